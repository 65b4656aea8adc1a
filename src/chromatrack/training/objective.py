"""The colorization objective: hide colours, copy them along the pointer, compare. Pure functions.

The pointer is the one of tracking: `affinity.similarity`, `affinity.affinity`, `affinity.readout`.
`terms` puts together what a recipe asks for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.affinity import affinity, readout, similarity, window_mask
from chromatrack.ops.color import quantize
from chromatrack.ops.coords import FeatureSpec, pixel_to_cell
from chromatrack.ops.resample import to_cells

if TYPE_CHECKING:
    from chromatrack.training.config import Objective
    from chromatrack.training.data.sampler import Batch


LEAST = 1e-6  # probability below which a wrong answer costs no more


def regress(copied: Tensor, truth: Tensor, hidden: Tensor) -> Tensor:
    """Smooth L1 between copied and true Lab, over the channels the network did not see.

    Source: MAST (Lai et al. 2020).

    Args:
        copied, truth: `(B, 3, N)` normalised Lab.
        hidden: `(B, 3)` bool.

    Returns:
        Scalar: mean over hidden channels and cells (0 if nothing is hidden).
    """
    error = F.smooth_l1_loss(copied, truth, beta=0.1, reduction="none").mean(2)
    return (error * hidden).sum() / hidden.sum().clamp(min=1)


def classify(copied: Tensor, truth: Tensor, counted: Tensor) -> Tensor:
    """Cross-entropy of copied colour distributions.

    Source: Vondrick et al. 2018, equation 3: the copied one-hot colours already are a distribution,
    so there is no second softmax.

    Args:
        copied: `(B, K, N)` probabilities, summing to 1 over K.
        truth: `(B, N)` int64 classes.
        counted: `(B,)` bool, examples with a hidden colour.

    Returns:
        Scalar mean over counted examples and cells (0 if there is none).
    """
    chosen = copied.gather(1, truth[:, None]).squeeze(1)
    error = -chosen.clamp(min=LEAST).log().mean(1)
    return (error * counted).sum() / counted.sum().clamp(min=1)


def predict_loss(scores: Tensor, truth: Tensor, balance: Tensor) -> Tensor:
    """Cross-entropy of colour classes predicted from the picture itself, rare ones weighing more.

    Source: Zhang et al. 2016, equation 2, with one true class instead of the five nearest.

    Args:
        scores: `(B, K, N)` before softmax. truth: `(B, N)` int64 classes.
        balance: `(K,)` weights, of mean 1 over all pixels.

    Returns:
        Scalar: mean over examples and cells of weight times error.
    """
    error = F.cross_entropy(scores, truth, reduction="none")
    return (error * balance[truth]).mean()


def near_window(size: tuple[int, int], *, near: Tensor, radius: int, references: int) -> Tensor:
    """Where targets may look: `(B, N, references * N)` bool; near ones within `radius` cells."""
    inside = window_mask(size, radius=radius).to(near.device).repeat(1, references)
    return inside[None] | ~near[:, None, None]


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
        target, reference: `(B, C, h, w)` feature maps.
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


def distill_loss(features: Tensor, taught: Tensor) -> Tensor:
    """How far features are from a teacher's: 1 - cosine, mean over cells.

    Args:
        features, taught: `(N, C, h, w)`, unit length per cell.
    """
    return 1 - (features * taught).sum(1).mean()


def terms(
    features: Tensor,
    batch: Batch,
    objective: Objective,
    spec: FeatureSpec,
    codebook: Tensor | None = None,
    balance: Tensor | None = None,
    taught: Tensor | None = None,
) -> dict[str, Tensor]:
    """Every term of a recipe's objective, by name, before its weight.

    Args:
        features: `(B, V, C, h, w)` float32 of all views; the last one is the target. Class scores
            `(B, V, K, h, w)` where colours are predicted.
        codebook: `(K, 2)` normalised ab colors, for `classify` and `predict`.
        balance: `(K,)` weights of their classes, for `predict`.
        taught: the teacher's features `(B, V, C, h, w)`, for `distill`.

    Returns:
        Scalars: `predict` alone where it has a weight; else those whose weight is not 0.
    """
    if objective.predict:
        assert codebook is not None and balance is not None
        return {"predict": _predict(features, batch, spec, codebook, balance)}
    found: dict[str, Tensor] = {}
    T = objective.temperature
    if objective.copy:
        scores, mask = _scores(features, batch, objective)
        pointer = affinity(scores, temperature=T, mask=mask)
        found["copy"] = _copy(pointer, batch.lab, batch.hidden, objective, spec, codebook)
    if objective.correspondence:
        found["correspondence"] = _known_motion(features, batch, spec, temperature=T)
    if objective.distill:
        assert taught is not None
        found["distill"] = distill_loss(features.flatten(0, 1), taught.flatten(0, 1))
    return found


def _scores(features: Tensor, batch: Batch, objective: Objective) -> tuple[Tensor, Tensor | None]:
    """Similarity of the target to all references `(B, N, R * N)`, and where it may look."""
    _, V, _, h, w = features.shape
    target = features[:, -1].flatten(2)
    references = features[:, :-1].transpose(1, 2).flatten(2)  # (B, C, R * N), reference-major
    mask = None
    if objective.window is not None:
        near = (batch.gap_seconds > 0) & (batch.gap_seconds < objective.window_seconds)
        mask = near_window((h, w), near=near, radius=objective.window, references=V - 1)
    return similarity(target, references), mask


def _copy(
    pointer: Tensor,
    lab: Tensor,
    hidden: Tensor,
    objective: Objective,
    spec: FeatureSpec,
    codebook: Tensor | None,
) -> Tensor:
    B, V = lab.shape[:2]
    if objective.compare == "regress":
        values = to_cells(lab.flatten(0, 1), spec).unflatten(0, (B, V)).flatten(3)
        copied = readout(pointer, values[:, :-1].transpose(1, 2).flatten(2))
        return regress(copied, values[:, -1], hidden)
    assert codebook is not None
    classes = _classes(lab, spec, codebook)
    one_hot = F.one_hot(classes[:, :-1].flatten(1), len(codebook)).transpose(1, 2).to(pointer)
    return classify(readout(pointer, one_hot), classes[:, -1], hidden[:, 1:].any(1))


def _classes(lab: Tensor, spec: FeatureSpec, codebook: Tensor) -> Tensor:
    """The colour class of every cell: `(B, V, N)` int64."""
    ab = to_cells(lab.flatten(0, 1)[:, 1:], spec)
    return quantize(ab, codebook).unflatten(0, lab.shape[:2]).flatten(2)


def _predict(
    scores: Tensor, batch: Batch, spec: FeatureSpec, codebook: Tensor, balance: Tensor
) -> Tensor:
    classes = _classes(batch.lab, spec, codebook).flatten(0, 1)
    return predict_loss(scores.flatten(0, 1).flatten(2), classes, balance)


def _known_motion(
    features: Tensor, batch: Batch, spec: FeatureSpec, *, temperature: float
) -> Tensor:
    known = torch.isfinite(batch.correspondence).flatten(1).any(1)
    if not bool(known.any()):
        return features.new_zeros(())
    return correspondence_loss(
        features[known, -1],
        features[known, 0],
        batch.correspondence[known],
        spec,
        temperature=temperature,
    )


def total(found: dict[str, Tensor], objective: Objective) -> Tensor:
    """The weighted sum of terms."""
    return torch.stack([getattr(objective, name) * term for name, term in found.items()]).sum()
