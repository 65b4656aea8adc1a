"""Raw patches around every cell: what there is to match before anything is learned. Pure."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.compiled import unit_cells
from chromatrack.ops.coords import cell_count

POOL = 4
"""Pixels, the side of the squares that a patch averages over."""

SIDE = 5
"""Averages along a patch's side."""

PATCH_CHANNELS = 3 * SIDE * SIDE


SYMMETRIC_CHANNELS = 3 * SIDE * (SIDE // 2 + 1)
"""The same of Lab patches that are as their mirror images."""


def patches(maps: Tensor, *, stride: int, before: int) -> Tensor:
    """Cut a patch of 5 x 5 averages of 4 x 4 pixels around every cell.

    Args:
        maps: `(B, C, H, W)` float; border pixels repeat outside the frame.
        stride: pixels per cell, a multiple of 4.
        before: pixels from a patch's first one to pixel `stride * i` of its cell i.

    Returns:
        `(B, 25 C, h, w)`, channel by channel.
    """
    B, _, H, W = maps.shape
    h, w = cell_count((H, W), stride=stride)
    after = POOL * SIDE - before - stride
    down, right = stride * h - H + after, stride * w - W + after
    padded = F.pad(maps, (before, right, before, down), mode="replicate")
    averages = F.avg_pool2d(padded, POOL)
    return F.unfold(averages, SIDE, stride=stride // POOL).reshape(B, -1, h, w)


def symmetric_patches(lab: Tensor, *, stride: int) -> Tensor:
    """Mirror-symmetric patches around pixel `stride * i`, of the difference to the mean colour.

    Each patch is averaged with its mirror image, because things turn: what is seen from the left
    and later from the right looks alike so. With the frame's mean colour, which is the light's more
    than the things', all patches would be much alike.

    Args:
        lab: `(B, 3, H, W)` float, normalised Lab (`encoder.normalize_lab`).

    Returns:
        `(B, 45, h, w)`, unit length per cell, or 0 in a patch of the mean colour. Columns that
        stand for two are weighted so that inner products are those of the whole patches.
    """
    apart = lab - lab.mean((2, 3), keepdim=True)
    whole = patches(apart, stride=stride, before=POOL * SIDE // 2).unflatten(1, (-1, SIDE, SIDE))
    middle = SIDE // 2
    pairs = (whole[:, :, :, :middle] + whole.flip(3)[:, :, :, :middle]) / 2**0.5
    folded = torch.cat([pairs, whole[:, :, :, middle : middle + 1]], 3)
    return unit_cells(folded.flatten(1, 3))
