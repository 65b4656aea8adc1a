"""What lengths and times of a result are told in, where pixels or made-up times will not do."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from chromatrack.errors import InputError
from chromatrack.runs.reader import ASSUMED_FPS, Result


@dataclass(frozen=True)
class Scale:
    """What lengths and speeds are told in: so many px are one unit.

    Raises InputError for a scale that is not above 0, or a unit without a name.
    """

    pixels: float = 1.0
    unit: str = "px"

    def __post_init__(self) -> None:
        if not (self.pixels > 0 and np.isfinite(self.pixels)):
            raise InputError(f"scale: expected px per unit, above 0, got {self.pixels:g}")
        if not self.unit.strip():
            raise InputError("unit: expected its name, such as cm, got an empty text")


IN_PIXELS = Scale()


def at_rate(result: Result, fps: float) -> Result:
    """A result whose source states no times, at a rate that the user knows.

    Raises:
        InputError: a source that does state its times, or a rate that is not above 0.
    """
    if not (fps > 0 and np.isfinite(fps)):
        raise InputError(f"fps: expected frames per second, above 0, got {fps:g}")
    if result.times_stated:
        raise InputError(
            f"fps: {result.folder} was tracked in a video that states its times; leave it out"
        )
    frames = [replace(frame, pts_seconds=frame.index / fps) for frame in result.frames]
    return replace(result, frames=tuple(frames), times_stated=True)


def warn_of_made_up_times(result: Result) -> None:
    """Warn where the source of a result states no times."""
    if not result.times_stated:
        warnings.warn(
            f"{result.folder}: what was tracked states no times, {ASSUMED_FPS:g} frames/s are "
            "assumed; seconds and speeds are true at that rate only: give its own as --fps",
            stacklevel=3,
        )
