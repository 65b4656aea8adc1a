"""What is found of a thing in a window of its own, at the source's size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CloseUp:
    """A thing's mask `(a, b)` bool in source pixels; corner: its upper left (row, column)."""

    corner: tuple[int, int]
    mask: np.ndarray

    def paste(self, ids: np.ndarray, number: int) -> np.ndarray:
        """Object ids `(H, W)` in which `number` lies here and nowhere else."""
        rows, columns = (
            slice(low, low + side) for low, side in zip(self.corner, self.mask.shape, strict=True)
        )
        pasted = np.where(ids == number, 0, ids)
        pasted[rows, columns][self.mask] = number
        return pasted
