"""Hard masks with soft edges that follow the picture. Pure."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.compiled import box_mean
from chromatrack.ops.coords import image_size
from chromatrack.ops.resample import guided

_WINDOW = 8  # px to each side in which it is seen how well colours tell a mask
_TELLING = (
    0.7,
    0.9,
)  # share of a mask that colours tell: where edges begin to follow them, do wholly
_SIDE = 240  # px of the shorter side per px of an edge's reach
_LEAST_REACH = 2


def soft_masks(masks: Tensor, image: Tensor) -> Tensor:
    """How much of every pixel belongs to each of several things, from hard masks.

    Near an edge the mask is made a linear function of colour (`resample.guided`), as far as colours
    tell it from what lies beside it; else it is smoothed by a pixel. Elsewhere it stays as it is.

    Args:
        masks: `(L, H, W)` bool, no two of which hold one pixel. image: `(3, H, W)` float32 sRGB in
            [0, 1].

    Returns:
        `(L, H, W)` float32 in [0, 1]; the sum over L is at most 1.
    """
    reach = max(_LEAST_REACH, round(min(image_size(image)) / _SIDE))
    hard = masks.float()
    fitted = guided(hard, image)
    mean, missed = box_mean(hard, _WINDOW), box_mean((fitted - hard).square(), _WINDOW)
    told = 1 - missed / (mean * (1 - mean)).clamp(min=1e-6)
    low, high = _TELLING
    trust = ((told - low) / (high - low)).clamp(0, 1)
    smooth = F.avg_pool2d(F.pad(hard[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    soft = torch.lerp(smooth, fitted, trust)
    soft = torch.where(_widened(hard, reach) > 0, soft, 0.0)
    soft = torch.where(_widened(1 - hard, reach) > 0, soft, 1.0)
    return soft / soft.sum(0, keepdim=True).clamp(min=1)


def _widened(masks: Tensor, reach: int) -> Tensor:
    return F.max_pool2d(masks[None], 2 * reach + 1, 1, reach)[0]
