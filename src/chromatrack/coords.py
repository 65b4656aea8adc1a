"""The only file that knows pixel centres: cell <-> pixel, and rescaling between image sizes.

Coordinates are `(x, y)` float pixels on the last axis; `(0, 0)` is the *centre* of the top-left
pixel, so an image of width W covers [-0.5, W - 0.5]. A cell's position is `stride * cell + offset`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Array = TypeVar("Array", Tensor, np.ndarray)


def cell_to_pixel(cells: Array, *, stride: float, offset: float) -> Array:
    """Pixel position of (fractional) cell positions, `stride * cell + offset`; any shape."""
    return cells * stride + offset


def pixel_to_cell(pixels: Array, *, stride: float, offset: float) -> Array:
    """Fractional cell position of pixel positions; the exact inverse of `cell_to_pixel`."""
    return (pixels - offset) / stride


def rescale_points(points: Array, *, from_size: tuple[int, int], to_size: tuple[int, int]) -> Array:
    """Move `(..., 2)` xy points from an image of `from_size` (height, width) to one of `to_size`.

    Image corners map to image corners: x' = (x + 0.5) * W' / W - 0.5.
    """
    scale_x = to_size[1] / from_size[1]
    scale_y = to_size[0] / from_size[0]
    if isinstance(points, Tensor):
        scale = points.new_tensor([scale_x, scale_y])
        return (points + 0.5) * scale - 0.5
    return (points + 0.5) * np.asarray([scale_x, scale_y], dtype=points.dtype) - 0.5


def centred_offset(stride: int) -> float:
    """Offset of cell 0 when cells are averages of `stride` x `stride` pixel blocks."""
    return (stride - 1) / 2


def fit_size(size: tuple[int, int], *, short_side: int, multiple: int = 1) -> tuple[int, int]:
    """(height, width) with the given short side, same aspect, rounded to `multiple`.

    Never enlarges: an image already smaller keeps its own size (rounded to `multiple`).
    """
    height, width = size
    scale = min(1.0, short_side / min(height, width))
    rounded = [max(multiple, round(side * scale / multiple) * multiple) for side in (height, width)]
    return rounded[0], rounded[1]


def image_size(image: Tensor) -> tuple[int, int]:
    """(height, width) of a `(..., H, W)` tensor."""
    return image.shape[-2], image.shape[-1]


def cell_count(size: tuple[int, int], *, stride: int) -> tuple[int, int]:
    """(h, w) cells that cover an image of (H, W) pixels: ceiling division by the stride."""
    return -(-size[0] // stride), -(-size[1] // stride)


def pixel_grid(cells: Sequence[int], *, stride: float, offset: float) -> Tensor:
    """(h, w, 2) float32 xy pixel positions of every cell of an (h, w) map."""
    h, w = cells
    y = cell_to_pixel(torch.arange(h, dtype=torch.float32), stride=stride, offset=offset)
    x = cell_to_pixel(torch.arange(w, dtype=torch.float32), stride=stride, offset=offset)
    return torch.stack([x[None, :].expand(h, w), y[:, None].expand(h, w)], dim=-1)
