"""Clips made, tracked and learned from, round by round: videos and photos in, a mask decoder out.

In every round new clips are tracked with the decoder as it is by then, so that it learns from the
errors it will meet. Everything follows from the recipe, the data and the step's number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from chromatrack.errors import TrainingError
from chromatrack.model.mask_decoder import MaskDecoder, save_decoder
from chromatrack.model.weights import load_encoder
from chromatrack.propagation.mask_decoding import FEEDBACK, Decode
from chromatrack.runs.output_lock import output_lock
from chromatrack.tracking.config import Device, TrackConfig
from chromatrack.tracking.embedder import FrameEmbedder
from chromatrack.training.data.index import Index, build_index
from chromatrack.training.masks.config import DecoderConfig
from chromatrack.training.masks.decoder_folder import DecoderFolder
from chromatrack.training.masks.learner import DecoderRun
from chromatrack.training.masks.material import Material, set_apart
from chromatrack.training.masks.samples import ClipTracker, SamplePool, Samples, shown_iou
from chromatrack.training.monitor.log import Validation
from chromatrack.training.signals import asked_to_stop, raise_for

_ALONE = 0.1  # share of the schedule before which nothing decoded is remembered
_FEEDBACKS = (0.0, 0.5, 1.0)  # of clips after that, drawn at random
_HELD_MEMORY = 0.15  # gigabytes


def learn(
    data: Sequence[str | PathLike[str]],
    *,
    output: str | PathLike[str],
    config: DecoderConfig | None = None,
    resume: bool = False,
    device: Device = "auto",
    cache: Path | None = None,
) -> Generator[Validation]:
    """Train a mask decoder; yields what was measured after every round, and at the end.

    Writes into `output`: config.json, log.jsonl, the last two checkpoints, samples/ while it is not
    done, and decoder.safetensors. Ctrl-C, SIGTERM and leaving the iteration early save first.

    Args:
        data: folders and files: videos, photos, tar shards.
        resume: go on from the newest checkpoint in `output`; with `steps` as budget, on a CPU, the
            run ends bit for bit as if it had not been interrupted.
        cache: folder for the index of the data; None: none is kept.

    Yields:
        Validation. After a round: clips, samples, loss, held_guided_iou and held_decoder_iou, of
        the same copied labels of held-out clips. At the end: tracked_guided_iou and
        tracked_decoder_iou, of held-out clips tracked with either.

    Raises:
        InputError: no data, or `output` holds another run. OutputError: the disk is full.
        WeightsError: no such encoder, or the decoder to begin with is none.
        StoppedError: SIGTERM or SIGHUP. TrainingError: nothing can be learned from the data.
    """
    config = config or DecoderConfig()
    files = DecoderFolder(Path(output))
    files.check(resume=resume, data=data)
    with ExitStack() as stack:
        stack.enter_context(output_lock(files.folder))
        embedder = FrameEmbedder(
            load_encoder(config.model),
            device=device,
            config=TrackConfig(size=min(config.size), upsample="guided", decoder="none"),
        )
        index = build_index(data, cache=cache)
        return _learn(index, ClipTracker(embedder), files, config, resume, stack.pop_all())


def _learn(
    index: Index,
    tracker: ClipTracker,
    files: DecoderFolder,
    config: DecoderConfig,
    resume: bool,
    stack: ExitStack,
) -> Generator[Validation]:
    with stack:
        fresh = replace(config, init=None) if resume else config
        run = DecoderRun.begin(fresh, tracker.embedder.device)
        files.open(run, index, config, resume=resume)
        asked = stack.enter_context(asked_to_stop(again_ends=True))
        if files.is_measured():
            return
        kept, held = set_apart(index, seed=config.seed)
        material = stack.enter_context(_material(kept, config, config.memory_gigabytes))
        pool = SamplePool(files.samples, most=config.pool)
        pool.load(last=run.step // config.round_steps)
        lesson = Lesson(run, tracker, material, pool, config, asked)
        try:
            lesson.held = _held_samples(held, lesson, files)
            for found in lesson.rounds():
                files.log(found)
                if files.is_time_to_save(config):
                    files.save(run, config)
                yield found
        finally:
            lesson.tick()
            complete = run.progress(config) >= 1
            if run.is_sound and run.step:
                files.save(run, config)
                save_decoder(
                    files.weights, run.averaged, notes=run.notes_of(config, complete=complete)
                )
        if complete and not run.step:
            raise TrainingError(
                f"minutes: the first clips alone took more than {config.minutes:g}; expected a "
                "longer time, or fewer held-out clips"
            )
        if complete and (found := _tracked(held, lesson)):
            files.log(found)
            yield found
            pool.clear()
    raise_for(asked(), step=run.step)


@dataclass
class Lesson:
    """What the rounds of one process share. held: samples of clips set aside."""

    run: DecoderRun
    tracker: ClipTracker
    material: Material
    pool: SamplePool
    config: DecoderConfig
    asked: Callable[[], int]
    held: Samples | None = None

    def __post_init__(self) -> None:
        self.began = time.monotonic() - self.run.seconds

    def tick(self) -> None:
        """Note how long the run has been at it."""
        self.run.seconds = time.monotonic() - self.began

    def rounds(self) -> Iterator[Validation]:
        """Rounds until the schedule or a signal ends them, each in full; what was measured."""
        while self._goes_on():
            number = self.run.step // self.config.round_steps
            if number not in self.pool.rounds and not self._make(number):
                return
            losses = self._learn_round()
            if self._round_ends() or self.run.progress(self.config) >= 1:
                yield self._measured(number, losses)

    def _goes_on(self) -> bool:
        self.tick()
        return self.run.progress(self.config) < 1 and not self.asked()

    def _round_ends(self) -> bool:
        return self.run.step % self.config.round_steps == 0

    def _make(self, number: int) -> bool:
        """Track the clips of a round; False where the time is up, or a signal came."""
        config, made = self.config, []
        uses_own = self.run.progress(config) >= _ALONE
        for clip in range(config.clips_before(number), config.clips_before(number + 1)):
            rng = np.random.default_rng((config.seed, 2, clip))
            feedback = float(rng.choice(_FEEDBACKS)) if uses_own else 0.0
            decode = self.run.averaged.decode
            found = self.tracker.samples(
                self.material.clip(clip), decode, feedback=feedback, rng=rng
            )
            made += [] if found is None else [found]
            for cycle in range(int(clip * config.cycles), int((clip + 1) * config.cycles)):
                real = self.material.real_clip(cycle)
                if real is not None:
                    found = self.tracker.cycled(real, decode, feedback=feedback)
                    made += [] if found is None else [found]
            if not self._goes_on():
                return False
        if made:
            self.pool.add(number, Samples.joined(made))
        if not len(self.pool):
            raise TrainingError(
                "nothing to learn from: every object of the first clips was lost at once; expected "
                "more clips, or an encoder that tracks"
            )
        return True

    def _learn_round(self) -> list[float]:
        """The steps up to the end of a round, unless a signal or the schedule ends them."""
        losses = [self.run.learn(self.pool, self.config)]
        while not self._round_ends() and self._goes_on():
            losses.append(self.run.learn(self.pool, self.config))
        self.tick()
        return losses

    def _measured(self, number: int, losses: list[float]) -> Validation:
        assert self.held is not None
        decoded = _decoded(self.run.averaged, self.held)
        values = {
            "clips": self.config.clips_before(number + 1),
            "samples": len(self.pool),
            "loss": float(np.mean(losses)),
            "held_guided_iou": float(shown_iou(self.held.inputs[:, 1:2], self.held.truth).mean()),
            "held_decoder_iou": float(shown_iou(decoded, self.held.truth).mean()),
        }
        return Validation(self.run.step, self.run.seconds, values)


@contextmanager
def _material(index: Index, config: DecoderConfig, gigabytes: float) -> Iterator[Material]:
    material = Material.of(index, config, memory_gigabytes=gigabytes)
    try:
        yield material
    finally:
        material.close()


@torch.inference_mode()
def _decoded(decoder: MaskDecoder, samples: Samples) -> torch.Tensor:
    device = next(decoder.parameters()).device
    parts = [decoder(part.to(device).float()).cpu() for part in samples.inputs.split(16)]
    return torch.sigmoid(torch.cat(parts))


def _held_samples(held: Index, lesson: Lesson, files: DecoderFolder) -> Samples | None:
    """Samples of held-out clips, tracked without a decoder, made once in a run.

    None where a signal came.

    Raises:
        TrainingError: no object is followed on any of them.
    """
    found = files.held_samples()
    if found is not None:
        return found
    made, config = [], lesson.config
    with _material(held, config, _HELD_MEMORY) as material:
        for number in range(config.held_out):
            if lesson.asked():
                return None
            rng = np.random.default_rng((config.seed, 3, number))
            made.append(
                lesson.tracker.samples(
                    material.clip(number), _untrained(lesson), feedback=0.0, rng=rng
                )
            )
    some = [samples for samples in made if samples is not None]
    if not some:
        raise TrainingError(
            f"held_out: every object of {config.held_out} clips was lost at once; expected more "
            "clips, or an encoder that tracks"
        )
    return files.keep_held(Samples.joined(some))


def _untrained(lesson: Lesson) -> Decode:
    """A decoder that says what the guided filter says."""
    return MaskDecoder().to(lesson.run.device).eval().decode


def _tracked(held: Index, lesson: Lesson) -> Validation | None:
    """Held-out clips tracked with the guided filter and with the decoder; None: a signal came."""
    run, config = lesson.run, lesson.config
    ways = {
        "tracked_guided_iou": (_untrained(lesson), 0.0),
        "tracked_decoder_iou": (run.averaged.decode, FEEDBACK),
    }
    scores: dict[str, list[float]] = {name: [] for name in ways}
    with _material(held, config, _HELD_MEMORY) as material:
        for number in range(config.held_out):
            clip = material.clip(number)
            for name, (decode, feedback) in ways.items():
                if lesson.asked():
                    return None
                scores[name] += lesson.tracker.scores(clip, decode, feedback=feedback)
    values = {name: float(np.mean(some)) if some else 0.0 for name, some in scores.items()}
    return Validation(run.step, run.seconds, values)
