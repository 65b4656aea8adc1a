"""Places found again: terms that ask the pointer for a known place instead of a colour.

`match_loss` compares two views of one frame; `walk_loss` goes to other frames and comes back.
Both ask a random part of the target's cells, so that large batches fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from chromatrack.ops.affinity import affinity, similarity
from chromatrack.ops.coords import FeatureSpec, pixel_to_cell

LEAST = 1e-6  # probability below which a wrong answer costs no more


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


def draw_cells(count: int, wanted: int, device: torch.device) -> Tensor:
    """`(min(count, wanted),)` int64: some of `count` cells, each at most once; 0 wanted: all."""
    if not 0 < wanted < count:
        return torch.arange(count, device=device)
    return torch.randperm(count, device=device)[:wanted]


def match_loss(
    target: Tensor,
    reference: Tensor,
    places: tuple[Tensor, Tensor],
    *,
    others: Tensor,
    foreign: Tensor,
    temperature: float,
) -> Tensor:
    """Cross-entropy of the pointer against known places, cells of other pictures as distractors.

    Source: dense contrastive learning on two views of a still (HVC 2024, without its momentum
    encoder); cells of other pictures as negatives after LIIR 2022.

    Args:
        target: `(B, C, Q)` features. reference: `(B, C, N)`.
        places: index `(B, Q, 4)` and weight `(B, Q, 4)` of `correspondence_targets`.
        others: `(C, M)` cells of the whole batch. foreign: `(B, M)` bool, of another source.

    Returns:
        Scalar mean over known cells (0 if none is known).
    """
    index, weight = places
    own = similarity(target, reference) / temperature
    away = (target.transpose(1, 2) @ others) / temperature
    away = away.masked_fill(~foreign[:, None], float("-inf"))
    own, away = own.float(), away.float()
    total = torch.logaddexp(own.logsumexp(2), away.logsumexp(2).clamp(min=-1e4))
    log_pointer = own.gather(2, index) - total[..., None]
    return -(log_pointer * weight).sum() / weight.sum().clamp(min=1)


def walk_loss(
    target: Tensor, path: Sequence[Tensor], places: tuple[Tensor, Tensor], *, temperature: float
) -> Tensor:
    """Cross-entropy of where a walk over several pictures ends, against the known place.

    Source: contrastive random walk on a palindrome (Jabri et al. 2020); the way back ends in
    another view of the first frame, so that position alone does not solve it.

    Args:
        target: `(B, C, Q)` features where walks begin. path: `(B, C, N)` each, the last one where
            they end.
        places: index `(B, Q, 4)` and weight `(B, Q, 4)` of `correspondence_targets`.

    Returns:
        Scalar mean over known cells (0 if none is known).
    """
    index, weight = places
    walk = affinity(similarity(target, path[0]), temperature=temperature)
    for here, there in pairwise(path):
        walk = walk @ affinity(similarity(here, there), temperature=temperature)
    arrived = (walk.gather(2, index) * weight).sum(2)
    known = weight.sum(2) > 0
    lost = -arrived.float().clamp(min=LEAST).log()
    return (lost * known).sum() / known.sum().clamp(min=1)


def place_terms(
    features: Tensor,
    correspondence: Tensor,
    source: Tensor,
    spec: FeatureSpec,
    *,
    temperature: float,
    queries: int,
    distractors: int,
    walk: bool,
) -> dict[str, Tensor]:
    """`correspondence`, and `walk` if asked.

    Args:
        features: `(B, V, C, h, w)` of all views; view 0 and the last are of one frame.
        correspondence: `(B, h, w, 2)` xy pixels in view 0; NaN where unknown.
        source: `(B,)` int64; cells of the same source are no distractors.
        queries: cells asked of each target; 0: all. distractors: cells of other pictures.
    """
    B, V, _, h, w = features.shape
    index, weight = correspondence_targets(correspondence, (h, w), spec)
    asked = draw_cells(h * w, queries, features.device)
    places = index[:, asked], weight[:, asked].to(features)
    cells = features.flatten(3)
    target = cells[:, -1][..., asked]
    drawn = draw_cells(B * (V - 1) * h * w, distractors, features.device)
    others = cells[:, :-1].movedim(2, 0).flatten(1)[:, drawn]
    owner = source[drawn // ((V - 1) * h * w)]
    found = {
        "correspondence": match_loss(
            target,
            cells[:, 0],
            places,
            others=others,
            foreign=owner[None] != source[:, None],
            temperature=temperature,
        )
    }
    if walk:
        between = [cells[:, view] for view in range(1, V - 1)]
        path = [*between, *between[-2::-1], cells[:, 0]]
        found["walk"] = walk_loss(target, path, places, temperature=temperature)
    return found
