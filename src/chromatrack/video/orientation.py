"""How stored pictures are to be turned and mirrored so that they are upright."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame


@dataclass(frozen=True)
class Orientation:
    """What to do with a stored picture: mirror it about its vertical axis, then turn it.

    turns: counter-clockwise quarter turns, 0 to 3.
    """

    turns: int = 0
    mirrored: bool = False

    @classmethod
    def of(cls, picture: VideoFrame) -> Orientation:
        """As the picture's display matrix says (its rotation is rounded to quarter turns)."""
        a, b, c, d = _matrix(picture) or (1, 0, 0, 1)
        if a * d - b * c >= 0:
            return cls(round(picture.rotation / 90) % 4)
        if abs(b) + abs(c) > abs(a) + abs(d):  # columns become rows
            return cls(1 if b > 0 else 3, mirrored=True)
        return cls(0 if a < 0 else 2, mirrored=True)

    def size(self, stored: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of what is stored as (height, width), upright; and the other way."""
        return (stored[1], stored[0]) if self.turns % 2 else stored

    def upright(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, C) pixels as stored -> upright, C-contiguous."""
        if self.mirrored:
            pixels = pixels[:, ::-1]
        return np.ascontiguousarray(np.rot90(pixels, self.turns))


UPRIGHT = Orientation()


def _matrix(picture: VideoFrame) -> tuple[int, int, int, int] | None:
    """The 2x2 part (a, b, c, d) of a display matrix: columns go along (a, b), rows (c, d)."""
    side_data: Any = picture.side_data  # typed as another kind of mapping than it is
    for number in range(len(side_data)):
        data: SideData = side_data[number]
        if data.type == Type.DISPLAYMATRIX and data.buffer_size >= 36:
            a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data)[:36])
            return a, b, c, d
    return None
