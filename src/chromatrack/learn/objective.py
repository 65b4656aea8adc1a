"""The colorization objective: hide colours, copy them along the pointer, compare. Pure functions.

The pointer is the one of tracking: `affinity.similarity`, `affinity.affinity`, `affinity.readout`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.affinity import affinity, readout, similarity
from chromatrack.coords import pixel_to_cell
from chromatrack.encoder import FeatureSpec


def draw_hidden(pairs: int, generator: torch.Generator) -> Tensor:
    """Which Lab channels each pair hides: `(pairs, 3)` bool, never all three.

    Half of the pairs keep L alone; the others hide one channel, or two of which one is L.
    """
    choices = torch.tensor(
        [[0, 1, 1]] * 6 + [[0, 1, 0], [0, 0, 1]] * 2 + [[1, 0, 1], [1, 1, 0]], dtype=torch.bool
    )
    return choices[torch.randint(len(choices), (pairs,), generator=generator)]


def jitter(lab: Tensor, *, strength: float, generator: torch.Generator) -> Tensor:
    """Random light and colour change of every view: `(B, 3, H, W)` normalised Lab, same out."""
    B = len(lab)

    def normal(*shape: int) -> Tensor:
        return torch.randn(B, *shape, generator=generator).to(lab) * strength

    gain = torch.exp(
        torch.cat([0.2 * normal(1, 1, 1), 0.25 * normal(1, 1, 1).expand(B, 2, 1, 1)], 1)
    )
    shift = torch.cat([0.12 * normal(1, 1, 1), 0.04 * normal(2, 1, 1)], dim=1)
    noise = torch.randn(lab.shape, generator=generator).to(lab) * (0.02 * strength)
    return lab * gain + shift + noise


def copy_loss(
    target: Tensor,
    reference: Tensor,
    target_values: Tensor,
    reference_values: Tensor,
    hidden: Tensor,
    *,
    temperature: float,
) -> Tensor:
    """Copy the hidden channels from reference to target and compare.

    Source: Vondrick et al. 2018 with MAST's regression (smooth L1) in place of 16 classes.

    Args:
        target, reference: `(B, C, h, w)` unit-length feature maps.
        target_values, reference_values: `(B, 3, h, w)` normalised Lab per cell.
        hidden: `(B, 3)` bool, the channels the network did not see.

    Returns:
        Scalar: mean over hidden channels and cells (0 if nothing is hidden).
    """
    pointer = affinity(similarity(target.flatten(2), reference.flatten(2)), temperature=temperature)
    copied = readout(pointer, reference_values.flatten(2))
    error = F.smooth_l1_loss(copied, target_values.flatten(2), beta=0.1, reduction="none").mean(2)
    return (error * hidden).sum() / hidden.sum().clamp(min=1)


def correspondence_targets(
    correspondence: Tensor, size: tuple[int, int], spec: FeatureSpec
) -> tuple[Tensor, Tensor]:
    """Known motion as a distribution over reference cells: the four around the exact place.

    Args:
        correspondence: `(B, h, w, 2)` xy pixels in the reference view; NaN where unknown.
        size: (h, w) of the reference feature map.

    Returns:
        index `(B, N, 4)` int64 and weight `(B, N, 4)` float; weights sum to 1, or 0 if unknown.
    """
    h, w = size
    cells = pixel_to_cell(correspondence, stride=spec.stride, offset=spec.offset).flatten(1, 2)
    known = torch.isfinite(cells).all(-1)
    limit = cells.new_tensor([w - 1, h - 1])
    cells = torch.minimum(cells.nan_to_num(0).clamp(min=0), limit)
    low = cells.floor()
    part = cells - low
    x0, y0 = low.long().unbind(-1)
    x1, y1 = (x0 + 1).clamp(max=w - 1), (y0 + 1).clamp(max=h - 1)
    fx, fy = part.unbind(-1)
    index = torch.stack([y0 * w + x0, y0 * w + x1, y1 * w + x0, y1 * w + x1], dim=-1)
    weight = torch.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy], dim=-1)
    return index, weight * known[..., None]


def correspondence_loss(
    target: Tensor,
    reference: Tensor,
    correspondence: Tensor,
    spec: FeatureSpec,
    *,
    temperature: float,
) -> Tensor:
    """Cross-entropy of the pointer against known motion; cells of all pairs are the negatives.

    Source: dense contrastive learning on two views of a still (HVC 2024, without its momentum
    encoder); cells of other pictures as negatives after LIIR 2022.

    Args:
        target, reference: `(B, C, h, w)` unit-length feature maps.
        correspondence: `(B, h, w, 2)` xy pixels in the reference view; NaN where unknown.

    Returns:
        Scalar mean over known cells (0 if none is known).
    """
    B, _, h, w = target.shape
    index, weight = correspondence_targets(correspondence, (h, w), spec)
    keys = reference.flatten(2).transpose(0, 1).flatten(1)  # (C, B * N)
    logits = similarity(target.flatten(2), keys) / temperature  # (B, N, B * N)
    own = torch.arange(B, device=target.device).reshape(B, 1, 1) * (h * w)
    log_pointer = logits.gather(2, index + own) - logits.logsumexp(2, keepdim=True)
    return -(log_pointer * weight).sum() / weight.sum().clamp(min=1)
