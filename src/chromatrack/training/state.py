"""What changes while a network is trained, and how it goes into a checkpoint and comes out."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.model.batchnorm import channels_last, measure_statistics
from chromatrack.model.color_head import class_balance
from chromatrack.model.encoder import Encoder, build_encoder, color_head
from chromatrack.model.tensor_files import UNREADABLE, check_numbers, reason
from chromatrack.model.weights import load_encoder
from chromatrack.ops.color import fit_codebook, quantize
from chromatrack.training import checkpoint
from chromatrack.training.config import TrainConfig, network, to_json
from chromatrack.training.data.sampler import AnySampler
from chromatrack.training.widen import can_grow, grow

Watcher = Callable[[Encoder, int, float, Path], Mapping[str, float]]
"""Called as watcher(encoder, step, seconds, folder); changes nothing about the encoder."""

COUNTS = ("step", "seconds", "examples_seen", "frames_seen", "skipped", "best")
CODEBOOK_BATCHES = 8  # for every 16 colours
CALIBRATION_BATCHES = 24
CALIBRATION_VIEWS = 16


@dataclass
class TrainState:
    """A run in progress. `step` steps are behind it; `is_sound` is False within an update.

    codebook: `(K, 2)` normalised ab colours, for classification. teacher: a frozen network whose
    features are distilled. best: the best value of what the
    run is watched by, so far.
    """

    encoder: Encoder
    optimizer: torch.optim.Optimizer
    device: torch.device
    scaler: torch.amp.GradScaler  # pyright: ignore[reportPrivateImportUsage]
    codebook: Tensor | None = None
    teacher: Encoder | None = None
    step: int = 0
    seconds: float = 0.0
    examples_seen: int = 0
    frames_seen: int = 0
    skipped: int = 0
    best: float | None = None
    is_sound: bool = True
    notes: dict[str, str] = field(default_factory=dict)

    def progress(self, config: TrainConfig) -> float:
        """Share of the schedule that is behind it; 1 or more: nothing is left to do."""
        if config.minutes is not None:
            return self.seconds / (60 * config.minutes)
        return self.step / config.steps

    def fit_colors(self, sampler: AnySampler, config: TrainConfig) -> None:
        """Cluster the colours of the first batches, the same ones whenever the run is begun."""
        size = max(1, min(config.batch, 8))
        batches = CODEBOOK_BATCHES * max(1, config.objective.classes // 16)
        labs = [sampler.batch(step, size=size).lab for step in range(batches)]
        ab = torch.cat([x.flatten(0, 1)[:, 1:, ::8, ::8].cpu() for x in labs])
        pixels = ab.movedim(1, -1).reshape(-1, 2)
        found = fit_codebook(pixels, clusters=config.objective.classes, seed=config.seed)
        self.codebook = found.to(self.device)
        head = color_head(self.encoder)
        if head is not None:
            counts = quantize(pixels.T[..., None], found).flatten().bincount(minlength=len(found))
            head.codebook.copy_(found)
            head.balance.copy_(class_balance(counts))

    def content(self, config: TrainConfig) -> dict[str, Any]:
        """All that a checkpoint holds: tensors and plain values."""
        return {
            "encoder": self.encoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "codebook": self.codebook,
            **{name: getattr(self, name) for name in COUNTS},
            "random": torch.get_rng_state(),
            "config": to_json(config),
            "digest": self.notes.get("digest", ""),
        }

    def restore(self, content: Mapping[str, Any], path: Path) -> None:
        """Take everything from a checkpoint.

        Raises:
            InputError: it is of another network, or not as it was written.
        """
        try:
            check_numbers(content["encoder"], path)
            self.encoder.load_state_dict(content["encoder"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.scaler.load_state_dict(content["scaler"])
            self.codebook = content["codebook"]
            if self.codebook is not None:
                self.codebook = self.codebook.to(self.device)
            for name in COUNTS:
                setattr(self, name, _count(name, content[name]))
            torch.set_rng_state(content["random"])
        except InputError:
            raise
        except UNREADABLE as error:
            raise InputError(
                f"{path}: expected a run of the same network ({reason(error)})"
            ) from error

    def branch(self, source: Path) -> None:
        """Go on from what another run had learned, as step 0 of this one.

        source: a run's folder, of which the newest checkpoint is taken, or a checkpoint.

        Raises:
            InputError: there is none, or it is of another network.
        """
        found = (
            checkpoint.read_checkpoint(source) if source.is_file() else checkpoint.latest(source)
        )
        if found is None:
            raise InputError(f"{source}: expected a run's folder or a checkpoint, found none")
        self.restore(found.content, found.path)
        self.step, self.seconds, self.best = 0, 0.0, None


def _count(name: str, value: object) -> object:
    """The value of one of `COUNTS`; TypeError for what is no finite number, nor None.

    The best value may be whatever a score can be.
    """
    is_number = isinstance(value, int | float) and (name == "best" or math.isfinite(value))
    if value is not None and not is_number:
        raise TypeError(f"{name}: a number was expected, got {type(value).__name__}")
    return value


def begin(config: TrainConfig, device: torch.device) -> TrainState:
    """A run at step 0: fresh or given weights, an optimiser, nothing seen."""
    random.seed(config.seed)
    torch.manual_seed(config.seed)
    encoder = new_encoder(config).to(device)
    if encoder.spec.clip_length == 1:
        encoder = channels_last(encoder)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    optimizer = kind(
        encoder.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    is_half = choose_precision(config, device) == torch.float16
    scaler = torch.amp.GradScaler(device.type, enabled=is_half)  # pyright: ignore[reportPrivateImportUsage]
    teacher = None if config.teacher is None else _teacher(config.teacher, encoder, device)
    return TrainState(
        encoder, optimizer, device, scaler, codebook=_known_colors(encoder), teacher=teacher
    )


def _teacher(name: str, encoder: Encoder, device: torch.device) -> Encoder:
    """A trained network to learn from, frozen.

    Raises:
        InputError: its feature maps are of another shape than the network's.
    """
    teacher = load_encoder(name).to(device).eval().requires_grad_(False)
    theirs, own = (
        (one.config.embedding, one.spec.stride, one.spec.clip_length) for one in (teacher, encoder)
    )
    if theirs != own:
        raise InputError(
            f"teacher: expected features of (channels, stride, clip) {own} as the network has, got "
            f"{theirs} of {name}"
        )
    return teacher


def _known_colors(encoder: Encoder) -> Tensor | None:
    """The codebook that a colour head brought from the weights it started from."""
    head = color_head(encoder)
    return head.codebook.clone() if head is not None and bool(head.codebook.any()) else None


def new_encoder(config: TrainConfig) -> Encoder:
    """Random weights, or those of `config.init`, widened if the network is wider than those.

    Raises:
        InputError: the weights are of another network.
    """
    encoder = build_encoder(network(config))
    if config.init is None:
        return encoder
    trained = load_encoder(config.init)
    use = encoder.config  # how a network is used is not part of what was trained
    same = replace(trained.config, track_stride=use.track_stride, raw_share=use.raw_share)
    if same == encoder.config:
        encoder.load_state_dict(trained.state_dict())
        return encoder
    if can_grow(trained.config, encoder.config):
        return grow(trained, encoder, seed=config.seed)
    raise InputError(
        f"init: expected weights of a {config.model!r} network or of a narrower one, got another "
        f"in {config.init}"
    )


def choose_precision(config: TrainConfig, device: torch.device) -> torch.dtype:
    """The number format of the forward pass: float32 on CPUs, what a GPU is fast at there."""
    names = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if config.precision != "auto":
        return names[config.precision]
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def calibrate(
    run: TrainState, sampler: AnySampler, tick: Callable[[int, int], None] = lambda *_: None
) -> tuple[Encoder, dict[str, Tensor]]:
    """The network with its normalisation measured on unhidden colour, and the statistics of grey.

    Training hides channels at random, so its own running statistics fit no input ever used.

    Args:
        tick: called as tick(parts done, parts in all) before every part; what it raises ends it.
    """
    size = max(1, CALIBRATION_VIEWS // sampler.config.views)
    shown: list[Tensor] = []

    def ticked(part: int) -> Iterator[Tensor]:
        for number in range(CALIBRATION_BATCHES):
            tick(part * CALIBRATION_BATCHES + number, 3 * CALIBRATION_BATCHES)
            if part == 0:
                batch = sampler.batch(run.step + number, size=size)
                shown.append(batch.lab.flatten(0, 1).to(run.device))
            yield shown[number]

    for _ in ticked(0):
        pass
    grey = measure_statistics(run.encoder, ticked(1), grey=True)
    encoder = copy.deepcopy(run.encoder)
    color = measure_statistics(encoder, ticked(2), grey=False)
    encoder.load_state_dict({**encoder.state_dict(), **color})
    return encoder, grey
