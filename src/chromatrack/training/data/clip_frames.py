"""Frames of one video in memory, spread over all of it: some to train on, some kept back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from chromatrack.errors import DamagedVideoError, InputError
from chromatrack.ops.coords import fit_size
from chromatrack.ops.resample import planes
from chromatrack.structures import Source
from chromatrack.training.data.decode import Clip, as_clip
from chromatrack.video.reader import probe, read_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from chromatrack.training.config import SamplerConfig

STRETCH = 24
"""Frames that are kept in a row."""

MOST_STRETCHES = 12
"""Stretches that are kept of a long video, evenly spread."""

HELD_EVERY = 5
"""One frame of so many is kept back."""

MOST_PAIRS = 6
"""Pairs of frames kept back that are compared."""


@dataclass(frozen=True)
class ClipFrames:
    """What `Sampler` draws from, of one video, and pairs of frames that it never gives.

    clips: the stretches, without the frames kept back. held: `(2, 3, H, W)` uint8 each: two
    frames of one stretch and scene.
    """

    clips: tuple[Clip, ...]
    held: tuple[Tensor, ...]

    @property
    def video_count(self) -> int:
        """One."""
        return 1

    @property
    def photo_count(self) -> int:
        """None."""
        return 0

    def prepare(self, step: int) -> None:
        """Everything is there."""

    def available_clips(self, step: int) -> Sequence[int]:
        """All."""
        return range(len(self.clips))

    def clip(self, number: int) -> Clip | None:
        """A stretch."""
        return self.clips[number]

    def photo(self, number: int) -> Tensor | None:
        """There is none."""
        return None

    def video_of(self, number: int) -> int:
        """The only one."""
        return 0


def read_clip_frames(
    video: Source,
    config: SamplerConfig,
    *,
    start: int = 0,
    end: int | None = None,
    tick: Callable[[int], None] = lambda _: None,
) -> ClipFrames:
    """Read a video once, keeping stretches of frames from all over it.

    Memory does not grow with the video: of a long one every second stretch is let go of, as often
    as there are too many.

    Args:
        config: `short_side` and `spacing_seconds` of the frames that are kept.
        start, end: the first frame and the one after the last.
        tick: called with the number of frames read; what it raises ends it.

    Raises:
        InputError: too few frames to keep some back.
        VideoError: the video cannot be read. What lies behind damage is not seen.
    """
    stretches = _read_stretches(video, config, start=start, end=end, tick=tick)
    clips = [as_clip(torch.stack(frames), np.asarray(times)) for times, frames in stretches]
    held = [pair for clip in clips for pair in _held_pairs(clip)]
    kept = [part for clip in clips if (part := _without_held(clip)) is not None]
    if not held or not kept:
        count = sum(len(clip.rgb) for clip in clips)
        raise InputError(
            f"fit: expected {2 * HELD_EVERY} frames or more of one scene, to learn from most and "
            f"keep some back, got {count}; leave fit out for so short a clip"
        )
    chosen = np.linspace(0, len(held) - 1, min(MOST_PAIRS, len(held))).round().astype(int)
    return ClipFrames(tuple(kept), tuple(held[i] for i in chosen))


def _read_stretches(
    video: Source,
    config: SamplerConfig,
    *,
    start: int,
    end: int | None,
    tick: Callable[[int], None],
) -> list[tuple[list[float], list[Tensor]]]:
    """(times, frames) of stretches, at most `MOST_STRETCHES` and evenly spread."""
    info = probe(video)
    size = fit_size((info.height, info.width), short_side=config.short_side)
    found: dict[int, tuple[list[float], list[Tensor]]] = {}
    every, seen, last = 1, 0, -np.inf
    try:
        for count, frame in enumerate(read_frames(video, start=start, end=end, size=size)):
            tick(count + 1)
            if frame.pts_seconds - last < config.spacing_seconds - 1e-3:
                continue
            last, number = frame.pts_seconds, seen // STRETCH
            seen += 1
            if number % every:
                continue
            if number not in found and len(found) == MOST_STRETCHES:
                every *= 2
                found = {n: kept for n, kept in found.items() if n % every == 0}
                if number % every:
                    continue
            times, frames = found.setdefault(number, ([], []))
            times.append(frame.pts_seconds)
            frames.append(planes(frame.rgb).contiguous())
    except DamagedVideoError:
        if not found:
            raise
    return list(found.values())


def _is_held(count: int) -> np.ndarray:
    """`(count,)` bool: which frames of a stretch are kept back."""
    return np.arange(count) % HELD_EVERY == HELD_EVERY // 2


def _held_pairs(clip: Clip) -> list[Tensor]:
    """Neighbours among the frames kept back, and those once removed, within a scene."""
    held = np.flatnonzero(_is_held(len(clip.rgb)))
    pairs = [*pairwise(held), *zip(held, held[2:], strict=False)]
    return [clip.rgb[[a, b]] for a, b in pairs if clip.scene[a] == clip.scene[b]]


def _without_held(clip: Clip) -> Clip | None:
    """A stretch without the frames kept back; None if too little is left."""
    kept = np.flatnonzero(~_is_held(len(clip.rgb)))
    if len(kept) < 2:
        return None
    return Clip(clip.rgb[kept], clip.pts_seconds[kept], clip.scene[kept], clip.weight)
