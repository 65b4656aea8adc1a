"""Label maps: what a user paints <-> soft `(L, h, w)` maps, and their way to full resolution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.distinct import distinct
from chromatrack.errors import InputError
from chromatrack.ops.coords import FeatureSpec, image_size, pixel_to_cell, rescale_points
from chromatrack.ops.resample import from_coarse, to_cells, upsample, upsample_guided
from chromatrack.ops.winners import largest_channel, largest_of_coarse
from chromatrack.propagation.config import Upsample

_MANY = 32  # labels from which they are brought to another size a few at a time


def object_ids(masks: Sequence[np.ndarray]) -> list[int]:
    """The object ids in the masks, sorted, without background (0)."""
    ids = sorted({int(i) for mask in masks for i in distinct(mask)} - {0})
    if ids and ids[0] < 0:
        raise InputError(f"mask: expected object ids >= 0, got {ids[0]}")
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
        `(L, h, w)` float32 in [0, 1], sum 1; channel 0 is background. What is painted has a share
        of a cell at least, also beyond the last cells' windows.
    """
    table = np.zeros(max([*ids, int(mask.max()), 0]) + 1, dtype=np.int64)
    table[list(ids)] = np.arange(1, len(ids) + 1)
    classes = torch.from_numpy(table[mask])
    if len(ids) < _MANY:
        onehot = F.one_hot(classes, len(ids) + 1).permute(2, 0, 1)[None].float()
        label_map = _shares(onehot, size, spec)
    else:
        parts = torch.arange(len(ids) + 1).split(_MANY)
        each = ((classes == part[:, None, None]).float()[None] for part in parts)
        label_map = torch.cat([_shares(onehot, size, spec) for onehot in each])
    empty = (label_map.flatten(1).amax(1) == 0).nonzero()[:, 0].tolist()
    for channel in set(empty) & set(distinct(table[mask]).tolist()):
        row, column = np.argwhere(table[mask] == channel).mean(0)
        xy = rescale_points(np.array([column, row]), from_size=mask.shape[:2], to_size=size)
        give_cell(label_map, channel, (float(xy[0]), float(xy[1])), spec=spec)
    return label_map


def _shares(onehot: Tensor, size: tuple[int, int], spec: FeatureSpec) -> Tensor:
    if onehot.shape[-2:] != size:
        onehot = F.interpolate(onehot, size=size, mode="bilinear", antialias=True)
    return to_cells(onehot, spec)[0]


def give_cell(
    label_map: Tensor, channel: int, xy: tuple[float, float], *, spec: FeatureSpec
) -> None:
    """Put a pixel's share of the cell nearest to a place (working pixels) into a label, in place.

    Channel 0 gives it, as far as it has it.
    """
    h, w = label_map.shape[-2:]
    at = [pixel_to_cell(np.array(v), stride=spec.stride, offset=spec.offset) for v in xy]
    column, row = (min(max(round(float(v)), 0), n - 1) for v, n in zip(at, (w, h), strict=True))
    label_map[channel, row, column] = share = 1 / spec.stride**2
    label_map[0, row, column] = max(0.0, float(label_map[0, row, column]) - share)


def merge_given(given: Tensor, predicted: Tensor, *, painted: Tensor) -> Tensor:
    """Put what the user painted over what was predicted: both `(L, h, w)`.

    painted: `(L,)` bool, objects the user said something about (those all 0 are absent). They are
    exactly as painted; others stay as predicted, but for the cells now taken.
    """
    painted = painted.clone()
    painted[0] = False
    others = predicted * ~painted[:, None, None]
    others[0] = 0
    free = 1 - given[painted].sum(0, keepdim=True)
    others = others * free
    merged = torch.where(painted[:, None, None], given, others)
    merged[0] = (1 - merged[1:].sum(0)).clamp(min=0)
    return merged


def label_map_to_mask(
    label_map: Tensor, *, ids: Sequence[int], size: tuple[int, int] | None = None
) -> np.ndarray:
    """`(L, H, W)` -> object ids `(H, W)` int32, at `size` if given: the largest label wins."""
    table = np.array([0, *ids], dtype=np.int32)
    winner = largest_channel(label_map, image_size(label_map) if size is None else size)
    return np.take(table, winner, mode="clip")


def masks_to_ids(masks: Tensor, *, ids: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """Object ids `(H, W)` int32 of decoded masks `(R, H / 4, W / 4)`: as of `to_image`, at once."""
    return np.take(np.array([0, *ids], dtype=np.int32), largest_of_coarse(masks, size), mode="clip")


def to_image(
    label_map: Tensor,
    image: Tensor,
    *,
    spec: FeatureSpec,
    how: Upsample,
    stretch: bool = False,
    masks: Tensor | None = None,
) -> Tensor:
    """Masks' label map `(L, h, w)`, channel 0 background, at the image's size: `(L, H, W)`.

    stretch: each label is stretched to [0, 1] over the frame, as in DINO's evaluation on DAVIS.
    masks: `(L - 1, H / 4, W / 4)`, the labels as decoded, if they were.
    """
    if masks is not None:
        objects = from_coarse(masks, image_size(image))
        dense = torch.cat([(1 - objects.sum(0, keepdim=True)).clamp(min=0), objects])
    elif how != "bilinear":
        dense = upsample_guided(label_map, image, spec=spec, background=True)
    else:
        dense = upsample(label_map, size=image_size(image), spec=spec)
    if not stretch:
        return dense
    low = dense.amin((1, 2), keepdim=True)
    return (dense - low) / (dense.amax((1, 2), keepdim=True) - low).clamp(min=1e-9)
