"""The only file that knows pixel centres: cell <-> pixel, and rescaling between image sizes.

Coordinates are `(x, y)` float pixels on the last axis; `(0, 0)` is the *centre* of the top-left
pixel, so an image of width W covers [-0.5, W - 0.5]. A cell's position is `stride * cell + offset`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.ops.kept import kept

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


def fit_size(
    size: tuple[int, int], *, short_side: int, enlarge: float = 1.0, multiple: int = 1
) -> tuple[int, int]:
    """(height, width) with the given short side, same aspect, rounded to `multiple`.

    A smaller image is enlarged by at most `enlarge` (1: never).
    """
    height, width = size
    scale = min(enlarge, short_side / min(height, width))
    rounded = [max(multiple, round(side * scale / multiple) * multiple) for side in (height, width)]
    return rounded[0], rounded[1]


def image_size(image: Tensor) -> tuple[int, int]:
    """(height, width) of a `(..., H, W)` tensor."""
    return image.shape[-2], image.shape[-1]


def inside_image(xy: Tensor, size: tuple[int, int], *, slack: float = 0.01) -> Tensor:
    """Which `(..., 2)` xy pixel positions an image of (height, width) covers, edges included.

    slack: pixels by which a position may be outside, for rounding.
    """
    far = xy.new_tensor([size[1], size[0]]) - 0.5 + slack
    return ((xy >= -0.5 - slack) & (xy <= far)).all(-1)


def cell_count(size: tuple[int, int], *, stride: int) -> tuple[int, int]:
    """(h, w) cells that cover an image of (H, W) pixels: ceiling division by the stride."""
    height, width = size
    return (height + stride - 1) // stride, (width + stride - 1) // stride


def pixel_grid(cells: Sequence[int], *, stride: float, offset: float) -> Tensor:
    """(h, w, 2) float32 xy pixel positions of every cell of an (h, w) map."""
    h, w = cells
    y = cell_to_pixel(torch.arange(h, dtype=torch.float32), stride=stride, offset=offset)
    x = cell_to_pixel(torch.arange(w, dtype=torch.float32), stride=stride, offset=offset)
    return torch.stack([x[None, :].expand(h, w), y[:, None].expand(h, w)], dim=-1)


def _planes(cells: tuple[int, int], stride: float, offset: float) -> Tensor:
    return pixel_grid(cells, stride=stride, offset=offset).permute(2, 0, 1).contiguous()


grid_like = kept(_planes, most=8)
"""`grid_like(x, cells, stride, offset)`: the same as `(2, h, w)`, in x's type and on its device."""


Box = tuple[float, float, float, float]
"""(x, y, width, height): left and top pixel, and how many pixels; fractions allowed."""


def box_edges(box: Box) -> Box:
    """(left, top, right, bottom) where a box's outermost pixels end, in pixels."""
    x, y, width, height = box
    return x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5


def edges_box(edges: Box) -> Box:
    """(x, y, width, height) of the box with these edges; the inverse of `box_edges`."""
    left, top, right, bottom = edges
    return left + 0.5, top + 0.5, right - left, bottom - top


def rescale_box(box: Box, *, from_size: tuple[int, int], to_size: tuple[int, int]) -> Box:
    """Move a box from an image of `from_size` (height, width) to one of `to_size`."""
    left, top, right, bottom = box_edges(box)
    corners = np.array([[left, top], [right, bottom]])
    (left, top), (right, bottom) = rescale_points(corners, from_size=from_size, to_size=to_size)
    return edges_box((float(left), float(top), float(right), float(bottom)))


def share_to_pixel(shares: np.ndarray, *, size: tuple[int, int]) -> np.ndarray:
    """Pixel positions of `(..., 2)` xy given as shares of an image's width and height.

    (0, 0) is the image's top-left corner, (1, 1) its bottom-right one: x = share * W - 0.5.
    """
    return shares * np.asarray([size[1], size[0]], dtype=shares.dtype) - 0.5


def nearest_inside(points: np.ndarray, *, size: tuple[int, int]) -> np.ndarray:
    """The nearest position that an image of (height, width) covers, for `(..., 2)` xy pixels."""
    return np.clip(points, -0.5, np.asarray([size[1], size[0]], dtype=points.dtype) - 0.5)


@dataclass(frozen=True)
class FeatureSpec:
    """What a feature map is: cell i sits at pixel `stride * i + offset`.

    `clip_length` consecutive frames are needed to embed one frame (1: frames are independent).
    """

    channels: int
    stride: int
    offset: float
    clip_length: int = 1

    def halved(self, times: int) -> FeatureSpec:
        """Where the cells are when the picture's sides are `2 ** times` smaller, up to stride."""
        step = 2**times
        offset = (self.offset + 0.5) / step - 0.5
        return replace(self, stride=self.stride // step, offset=offset)


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes.

    Args:
        a, b: (..., 4) float x, y, width, height in pixels; NaN where there is none.

    Returns:
        (...) float64; 0 where a box is missing or both are empty.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim == 0 or a.shape[-1] != 4:
        raise InputError(
            f"boxes: expected two (..., 4) x, y, width, height of one shape, got {a.shape} and "
            f"{b.shape}"
        )
    if (a[..., 2:] < 0).any() or (b[..., 2:] < 0).any():
        raise InputError("boxes: expected width and height of 0 or more, got a negative one")
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    overlap = np.clip(high - low, 0, None).prod(axis=-1)
    union = a[..., 2:].prod(axis=-1) + b[..., 2:].prod(axis=-1) - overlap
    return np.where(union > 0, overlap / np.where(union > 0, union, 1), 0.0)
