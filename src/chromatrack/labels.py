"""Label maps: what a user paints <-> soft `(L, h, w)` maps, and their way to full resolution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.coords import cell_count, cell_to_pixel, image_size
from chromatrack.encoder import FeatureSpec
from chromatrack.errors import InputError


def to_cells(image: Tensor, spec: FeatureSpec) -> Tensor:
    """Average of the pixels around each cell's position.

    The window is the smallest of at least `stride` pixels that is centred on the cell exactly:
    stride + 1 wide when cells sit on pixel centres (offset 0), stride wide when between two.

    Args:
        image: `(B, C, H, W)` float.

    Returns:
        `(B, C, h, w)`; pixels outside the image do not count.
    """
    h, w = cell_count(image_size(image), stride=spec.stride)
    between = round(2 * spec.offset) % 2 == 1
    window = spec.stride + (between == bool(spec.stride % 2))
    before = (window - 1) / 2 - spec.offset
    left = round(before)
    right_y = (h - 1) * spec.stride - left + window - image.shape[-2]
    right_x = (w - 1) * spec.stride - left + window - image.shape[-1]
    pad = (left, right_x, left, right_y)
    total = F.avg_pool2d(F.pad(image, pad), window, spec.stride, divisor_override=1)
    ones = F.pad(image.new_ones(1, 1, *image.shape[-2:]), pad)
    return total / F.avg_pool2d(ones, window, spec.stride, divisor_override=1)


def object_ids(masks: Sequence[np.ndarray]) -> list[int]:
    """The object ids in the masks, sorted, without background (0)."""
    ids = sorted({int(i) for mask in masks for i in np.unique(mask)} - {0})
    if ids and ids[0] < 0:
        raise InputError(f"mask: expected object ids >= 0, came {ids[0]}")
    return ids


def masks_to_label_map(
    mask: np.ndarray, *, ids: Sequence[int], size: tuple[int, int], spec: FeatureSpec
) -> Tensor:
    """Object ids painted on a frame -> soft label map.

    Args:
        mask: `(H, W)` integer object ids, 0 = background.
        ids: the ids of channels 1..L-1, in order.
        size: (height, width) of the frame as the encoder sees it.

    Returns:
        `(L, h, w)` float32 in [0, 1], sum 1; channel 0 is background.
    """
    table = np.zeros(max([*ids, int(mask.max()), 0]) + 1, dtype=np.int64)
    table[list(ids)] = np.arange(1, len(ids) + 1)
    classes = torch.from_numpy(table[mask])
    onehot = F.one_hot(classes, len(ids) + 1).permute(2, 0, 1)[None].float()
    if onehot.shape[-2:] != size:
        onehot = F.interpolate(onehot, size=size, mode="bilinear", antialias=True)
    return to_cells(onehot, spec)[0]


def merge_given(given: Tensor, predicted: Tensor | None) -> Tensor:
    """Put what the user painted over what was predicted: both `(L, h, w)`.

    Objects the user painted are exactly as painted; objects the user did not paint stay as
    predicted, but for the cells now taken. Without a prediction the given map is returned.
    """
    if predicted is None:
        return given
    painted = given.flatten(1).amax(1) > 0
    painted[0] = False
    others = predicted * ~painted[:, None, None]
    others[0] = 0
    free = 1 - given[painted].sum(0, keepdim=True)
    others = others * free
    merged = torch.where(painted[:, None, None], given, others)
    merged[0] = (1 - merged[1:].sum(0)).clamp(min=0)
    return merged


def label_map_to_mask(label_map: Tensor, *, ids: Sequence[int]) -> np.ndarray:
    """Full-resolution `(L, H, W)` -> object ids `(H, W)` int32: the largest label wins."""
    table = np.array([0, *ids], dtype=np.int32)
    return table[label_map.max(0).indices.cpu().numpy()]


def upsample(label_map: Tensor, *, size: tuple[int, int], spec: FeatureSpec) -> Tensor:
    """Bilinear `(L, h, w)` -> `(L, H, W)`, each cell at its own pixel position (spec)."""
    h, w = label_map.shape[-2:]
    s = spec.stride
    dense = ((h - 1) * s + 1, (w - 1) * s + 1)
    grown = F.interpolate(label_map[None], size=dense, mode="bilinear", align_corners=True)
    left = round(float(cell_to_pixel(torch.zeros(()), stride=s, offset=spec.offset)))
    right, bottom = size[1] - dense[1] - left, size[0] - dense[0] - left
    return F.pad(grown, (left, right, left, bottom), mode="replicate")[0]


def upsample_guided(label_map: Tensor, image: Tensor, *, spec: FeatureSpec) -> Tensor:
    """Label map `(L, h, w)` -> `(L, H, W)` at the image's size."""
    return upsample(label_map, size=image_size(image), spec=spec)
