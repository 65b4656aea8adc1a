"""How coloured frames are shown: how strongly, and beside their grey."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from chromatrack.errors import InputError
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.resample import planes
from chromatrack.tracking.colorize import ColorizedFrame, paint


@dataclass(frozen=True)
class Look:
    """What the frames of a coloured video look like.

    strength: 0 (grey) to 1 (as copied), of the saturation. side_by_side: the grey frame on the
    left, the coloured one on the right. exact_luma: the Y' of the source is kept to the bit.

    Raises InputError for a strength out of its range.
    """

    strength: float = 1.0
    side_by_side: bool = False
    exact_luma: bool = False

    def __post_init__(self) -> None:
        """Check the strength."""
        if not 0 <= self.strength <= 1:
            raise InputError(f"strength: expected 0 (grey) to 1 (as copied), got {self.strength:g}")

    def of(self, frame: ColorizedFrame) -> np.ndarray:
        """The frame to write, `(H, W or 2 W, 3)` uint8 or uint16."""
        rgb = frame.rgb if frame.deep is None else frame.deep
        shown = rgb if self.strength == 1 else paler(rgb, self.strength)
        return np.hstack([paler(rgb, 0.0), shown]) if self.side_by_side else shown


AS_COPIED = Look()


def paler(rgb: np.ndarray, strength: float) -> np.ndarray:
    """`(H, W, 3)` uint8 or uint16 with the saturation times `strength`, under its own luminance."""
    if strength == 0:
        grey = paint(rgb, torch.zeros(2, *rgb.shape[:2]))
        return np.repeat(grey[..., 1:2], 3, axis=2)  # rounding apart is no colour
    is_deep = rgb.dtype == np.uint16
    levels = rgb.astype(np.int32) if is_deep else rgb
    image = planes(levels).float() / (65535 if is_deep else 255)
    return paint(rgb, rgb_to_lab(image)[1:] * strength)
