"""The command line: one thin function per command. Results to files or stdout, progress to stderr."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import tyro

from chromatrack.errors import ChromatrackError


def train(
    data: Annotated[tuple[Path, ...], tyro.conf.Positional],
    /,
    *,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    model: Literal["small", "base"] = "small",
    steps: int = 10_000,
    minutes: float | None = None,
    resume: bool = False,
    batch: int = 8,
    learning_rate: float = 1e-3,
    crop: int = 208,
    photo_share: float = 0.5,
    copy_weight: float = 10.0,
    correspondence_weight: float = 1.0,
    jitter: float = 0.5,
    memory_gigabytes: float = 3.0,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> int:
    """Train a model on folders of videos and / or photos (also tar shards of photos).

    Args:
        data: folders or files: videos, photos, .tar shards of photos.
        output: run folder: weights, checkpoint, log.jsonl, loss.png.
        model: size of the encoder.
        steps: length of the schedule.
        minutes: wall-clock length of the schedule, instead of steps.
        resume: go on from the run folder's checkpoint.
        batch: pairs of views a step.
        learning_rate: peak of the one-cycle schedule, which ends at 0.
        crop: side of the square views, pixels.
        photo_share: share of pairs made from stills under random motion.
        copy_weight: weight of the colour-copying loss.
        correspondence_weight: weight of the known-motion loss on stills; 0 leaves it out.
        jitter: strength of random light and colour change, 0 to 1.
        memory_gigabytes: decoded video kept in memory; more data is rotated through.
        seed: of all randomness.
        device: where to train.
    """
    from chromatrack.learn.clips import SamplerConfig
    from chromatrack.learn.train import TrainConfig
    from chromatrack.learn.train import train as run
    from chromatrack.track import choose_device

    config = TrainConfig(
        model=model,
        steps=steps,
        minutes=minutes,
        batch=batch,
        learning_rate=learning_rate,
        copy_weight=copy_weight,
        correspondence_weight=correspondence_weight,
        jitter_strength=jitter,
        device=str(choose_device(device)),
        seed=seed,
        sampler=SamplerConfig(
            crop=crop, photo_share=photo_share, memory_gigabytes=memory_gigabytes, seed=seed
        ),
    )
    last = None
    for last in run(data, output=output, config=config, resume=resume):
        pass
    if last is not None:
        print(f"{last.step} steps, loss {last.loss:.4f}: {output / 'model.safetensors'}")
    return 0


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except ChromatrackError as error:
        print(f"chromatrack: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


def main() -> None:
    """Entry point of the `chromatrack` command."""
    warnings.showwarning = _warn  # one line, no source
    with _one_line_errors():
        raise SystemExit(tyro.extras.subcommand_cli_from_dict({"train": train}, prog="chromatrack"))
