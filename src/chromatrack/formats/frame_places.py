"""Places in a frame as other tools count them: from its corners, not from a pixel's centre."""

from __future__ import annotations

import numpy as np


def from_corner(xy: np.ndarray) -> np.ndarray:
    """(..., 2) px counted from the frame's top-left corner: the first pixel's centre is (.5, .5).

    xy: (..., 2) px from that centre.
    """
    return xy + 0.5


def upward(xy: np.ndarray, height: int) -> np.ndarray:
    """(..., 2) px counted from the frame's bottom-left corner, y up; xy: as of `from_corner`."""
    return from_corner(xy) * [1, -1] + [0, height]


def shares(xy: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(..., 2) shares of width and height from the top-left corner, in [0, 1] inside the frame."""
    return from_corner(xy) / size[::-1]
