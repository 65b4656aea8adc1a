"""A model fitted to one clip: a few steps on the clip's own colours, no labels needed.

The examples, the objective and the steps are those of training. What differs is when it ends: some
of the clip's frames are kept back, and of all moments the one that copies their colours best is
taken, the start among them.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from os import fspath
from pathlib import PurePath
from typing import Any, cast

import torch
from torch import Tensor

from chromatrack.errors import InputError, TrainingError
from chromatrack.json_text import json_text
from chromatrack.model.encoder import Encoder, ResNetEncoder, color_head
from chromatrack.model.weights import encoder_bytes, load_encoder, model_path
from chromatrack.ops.color import rgb_to_lab
from chromatrack.propagation.config import TOP_K, PropagateConfig
from chromatrack.runs.fitted_model import HEADER_KEY, FitFacts, FittedModel
from chromatrack.runs.progress import Report
from chromatrack.structures import Source
from chromatrack.tracking.colorize import ColorizedFrame
from chromatrack.tracking.config import Device, TrackConfig, choose_device
from chromatrack.tracking.inference import TrackedFrame
from chromatrack.tracking.tracker import Tracker
from chromatrack.training.config import TrainConfig, check, fitting
from chromatrack.training.data.clip_frames import ClipFrames, read_clip_frames
from chromatrack.training.data.sampler import Sampler
from chromatrack.training.distributed import here
from chromatrack.training.monitor.probes import copy_colors
from chromatrack.training.monitor.validate import embed_pair
from chromatrack.training.state import TrainState, begin
from chromatrack.training.train import (
    gradients,
    network_to_train,
    prefetch,
    rate_of,
    update,
)

LOOKS = 5
"""Looks at the frames kept back, spread over the whole budget."""

PATIENCE = 3
"""Looks without a better one after which it ends."""

LEAST_GAIN = 0.005
"""Share by which the error must fall to count: less is chance."""

_COPY = PropagateConfig()

NO_COLOR = 0.2
"""Error of ab, Lab units, below which a clip has no colours to learn from."""


def fit(
    video: Source,
    *,
    model: str = "small",
    minutes: float | None = None,
    steps: int | None = None,
    start: int = 0,
    end: int | None = None,
    device: Device = "auto",
    seed: int = 0,
    progress: Report | None = None,
) -> FittedModel:
    """Fit a model to a video, from the video alone; see `config.fitting` for how.

    One frame in five is kept back, and tells by the error of colours copied on it, from L alone,
    which step's weights to take: those of the model itself if none is clearly better.
    Memory does not grow with the video.

    Args:
        video: file, folder or glob of images, of at least ten frames.
        model: weights to start from: a shipped name, or the path of a weights file.
        minutes: at most so long, reading the video not counted; or
        steps: at most so many steps. With these, the same arguments give the same weights.
        start, end: first frame and the one after the last.
        progress: called as progress("read", frames, None), then progress("fit", percent, 100);
            what it raises ends the fit.

    Returns:
        A weights file's content. Its raw patches, stride and widths are the model's own.

    Raises:
        InputError: not one budget, a model that cannot be fitted, or too short a clip.
        VideoError, WeightsError: the video or the model cannot be read.
    """
    config = _configure(model, minutes, steps, seed)
    tell = progress or (lambda *_: None)
    with torch.random.fork_rng(devices=[]):
        torch_device = choose_device(device)
        run, grey = _begin(model, config, torch_device)
        frames = read_clip_frames(
            video,
            config.sampler,
            start=start,
            end=end,
            tick=lambda count: tell("read", count, None),
        )
        best = _Best(run, grey, frames.held)
        if best.before >= NO_COLOR:
            _train(run, frames, config, best, tell)
    facts = FitFacts(
        model=model,
        model_sha256=hashlib.sha256(model_path(model).read_bytes()).hexdigest(),
        steps=run.step,
        step=best.step,
        error_before=round(best.before, 4),
        error_after=round(best.error, 4),
        seed=seed,
    )
    notes = {HEADER_KEY: json_text(asdict(facts))}
    run.encoder.load_state_dict(best.weights)
    return FittedModel(encoder_bytes(run.encoder, notes=notes, grey_statistics=best.grey), facts)


@dataclass(frozen=True)
class FittingTracker:
    """A tracker whose model is fitted anew to every video, which benchmarks ask to be tracked.

    tracker: of a model's file, as it is used without fitting. minutes, steps: as of `fit`. tell:
    called with a line on every fit.
    """

    tracker: Tracker
    minutes: float | None = None
    steps: int | None = None
    tell: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        """Raises InputError for a budget that is none."""
        check_budget(minutes=self.minutes, steps=self.steps)

    @property
    def config(self) -> TrackConfig:
        """Every setting of the tracker."""
        return self.tracker.config

    def track(self, video: Source, **arguments: Any) -> Iterator[TrackedFrame]:  # noqa: ANN401
        """`Tracker.track` with the fitted model."""
        return self._fitted(video).track(video, **arguments)

    def colorize(self, video: Source, **arguments: Any) -> Iterator[ColorizedFrame]:  # noqa: ANN401
        """`Tracker.colorize` with the fitted model."""
        return self._fitted(video).colorize(video, **arguments)

    def _fitted(self, video: Source) -> Tracker:
        found = fit(
            video,
            model=self.tracker.model,
            minutes=self.minutes,
            steps=self.steps,
            device=cast("Device", self.tracker.device.type),
        )
        if self.tell is not None:
            self.tell(f"{PurePath(fspath(video)).name}: {found.facts}")
        return found.in_place_of(self.tracker)


def check_budget(*, minutes: float | None, steps: int | None) -> None:
    """InputError unless there is one budget, of more than nothing."""
    if (minutes is None) == (steps is None):
        raise InputError(
            f"fit: expected minutes or steps, one of them, got minutes {minutes} and steps {steps}"
        )
    if minutes is not None and not 0 < minutes < math.inf:
        raise InputError(f"fit: expected more than 0 minutes, got {minutes:g}")
    if steps is not None and steps < 1:
        raise InputError(f"fit: expected 1 step or more, got {steps}")


def _configure(model: str, minutes: float | None, steps: int | None, seed: int) -> TrainConfig:
    check_budget(minutes=minutes, steps=steps)
    config = fitting()
    config = replace(config, minutes=minutes, steps=steps or config.steps, seed=seed)
    config = replace(config, sampler=replace(config.sampler, seed=seed))
    if config.objective.distill:
        config = replace(config, teacher=model)
    check(config)
    return config


def _begin(
    model: str, config: TrainConfig, device: torch.device
) -> tuple[TrainState, dict[str, Tensor]]:
    """The model at step 0, and its normalisation statistics for grey input.

    It stays in evaluation mode: its normalisation is the model's own, so that it fits whatever
    `track` and `colorize` make of it for the clip's first frame.

    Raises:
        InputError: not a network of single frames whose colours are copied.
    """
    encoder = load_encoder(model)
    if not isinstance(encoder, ResNetEncoder) or color_head(encoder) is not None:
        raise InputError(
            f"fit: expected a network of single frames that copies colours, such as small, got "
            f"{model}; leave fit out"
        )
    grey = {name: value.clone() for name, value in load_encoder(model, grey=True).named_buffers()}
    run = begin(config, device, encoder=encoder)
    run.encoder.eval()
    return run, grey


class _Best:
    """The best weights so far, by colours copied from L alone between frames kept back."""

    def __init__(self, run: TrainState, grey: dict[str, Tensor], held: Sequence[Tensor]) -> None:
        self.grey, self._held = grey, held
        self._seeing = copy.deepcopy(run.encoder)
        self.before = self.error = self._error(run.encoder)
        self.weights = _copied(run.encoder)
        self.step, self.since = 0, 0

    def look(self, run: TrainState) -> None:
        """Take the weights as they are now if they are better than all before."""
        error = self._error(run.encoder)
        least = self.before * (1 - LEAST_GAIN) if self.step == 0 else self.error
        self.since += 1
        if error < least:
            self.error, self.step, self.since = error, run.step, 0
            self.weights = _copied(run.encoder)

    @torch.no_grad()
    def _error(self, encoder: Encoder) -> float:
        """Mean absolute error of ab, Lab units."""
        self._seeing.load_state_dict({**encoder.state_dict(), **self.grey})
        errors = []
        for pair in self._held:
            lab = rgb_to_lab(pair.to(next(encoder.parameters()).device).float() / 255)
            copied = copy_colors(
                embed_pair(self._seeing, lab),
                lab,
                self._seeing.spec,
                top_k=TOP_K,
                temperature=_COPY.temperature,
            )
            errors.append((copied.ab - copied.truth).abs().mean())
        return float(torch.stack(errors).mean())


def _copied(encoder: Encoder) -> Mapping[str, Tensor]:
    return {name: value.clone() for name, value in encoder.state_dict().items()}


def _train(
    run: TrainState, frames: ClipFrames, config: TrainConfig, best: _Best, tell: Report
) -> None:
    """Steps until the budget is used, or nothing has been better for a while.

    Raises:
        TrainingError: the loss is not finite.
    """
    sampler = Sampler(frames, run.encoder.spec, config.sampler)
    run.fit_colors(sampler, config)
    network = network_to_train(run, config, here())
    looks, began = 0, time.monotonic()
    with closing(prefetch(sampler.batches(config.batch), depth=2)) as batches:
        while run.progress(config) < 1 and best.since < PATIENCE:
            found = gradients(network, run, next(batches).to(run.device), config)
            if not bool(torch.isfinite(found["loss"])):
                raise TrainingError(f"fit: the loss is not finite at step {run.step}")
            update(run, config, rate_of(run, config))
            run.step += 1
            run.seconds = time.monotonic() - began
            tell("fit", min(100, int(100 * run.progress(config))), 100)
            if run.progress(config) * LOOKS >= looks + 1:
                looks = int(run.progress(config) * LOOKS)
                best.look(run)
