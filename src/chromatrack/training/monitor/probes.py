"""A held-out pair as a network sees it: colours copied, pointers, embedding. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.model.encoder import normalize_lab
from chromatrack.ops.affinity import affinity, similarity, tiled_affinity
from chromatrack.ops.color import lab_to_rgb, rgb_to_lab
from chromatrack.ops.coords import FeatureSpec, cell_count, image_size, pixel_grid
from chromatrack.ops.resample import interleaved, to_cells, upsample, upsample_guided
from chromatrack.tracking.colorize import paint

CELLS_ASKED = 5
"""Cells of a target frame whose pointer is shown."""


@dataclass(frozen=True)
class Copied:
    """Colours copied from a reference to a target, per cell.

    ab, truth, still: `(2, h, w)` float32 in Lab units: copied, the target's own, and the
    reference's at the same place.
    """

    ab: Tensor
    truth: Tensor
    still: Tensor

    def error(self) -> float:
        """Mean absolute error of the copied colours, in normalised Lab (50 units = 1)."""
        return _normalised_error(self.ab, self.truth)

    def error_still(self) -> float:
        """The same of colours held still: what copying has to beat."""
        return _normalised_error(self.still, self.truth)


def _normalised_error(ab: Tensor, truth: Tensor) -> float:
    padded = F.pad(ab - truth, (0, 0, 0, 0, 1, 0), value=50.0)
    return float(normalize_lab(padded)[1:].abs().mean())


@dataclass(frozen=True)
class Pointers:
    """Where some target cells point, in pixels of frames of one size.

    asked, best, expected: `(P, 2)` float32 xy: the cells' own places, the most similar reference
    cell, and the mean of the pointer. weight: `(P, h, w)` float32, the pointer; sums to 1.
    """

    asked: Tensor
    best: Tensor
    expected: Tensor
    weight: Tensor


@dataclass(frozen=True)
class PairView:
    """A held-out pair as a network sees it: everything a row of the picture needs.

    reference, target, copied: `(H, W, 3)` uint8. error: `(H, W)` float32, ab distance in Lab units.
    heat: `(P, H, W)` float32 in [0, 1]. embedding: reference and target, `(H, W, 3)` uint8 each.
    is_predicted: the target's colours are not copied but predicted from its own L.
    """

    name: str
    reference: np.ndarray
    target: np.ndarray
    copied: np.ndarray
    error: np.ndarray
    pointers: Pointers
    heat: np.ndarray
    embedding: tuple[np.ndarray, np.ndarray]
    is_predicted: bool = False


def copy_colors(
    features: Tensor, lab: Tensor, spec: FeatureSpec, *, top_k: int | None, temperature: float
) -> Copied:
    """Copy the reference's colours along the pointer, over the whole frame, as `colorize` does.

    Args:
        features: `(2, C, h, w)`: reference, target. lab: `(2, 3, H, W)` float, Lab.
        top_k: cells to copy from; None: all.
    """
    _check_pair(features, lab, spec)
    top_k = features[0, 0].numel() if top_k is None else top_k
    still, truth = to_cells(lab[:, 1:], spec)
    pointer = tiled_affinity(
        features[1], features[:1], radius=[None], top_k=top_k, temperature=temperature
    )
    return Copied(pointer.readout(still[None]), truth, still)


def predicted_colors(ab: Tensor, lab: Tensor, spec: FeatureSpec) -> Copied:
    """Colours predicted from the target alone, beside the same truth as copied ones.

    Args:
        ab: `(2, h, w)` in Lab units, of the target. lab: `(2, 3, H, W)` float: reference, target.
    """
    still, truth = to_cells(lab[:, 1:], spec)
    return Copied(ab, truth, still)


def choose_cells(lab: Tensor, *, count: int = CELLS_ASKED) -> Tensor:
    """Cells worth asking: full of contrast or changed, far from each other, off the border.

    They depend on the frames alone, so that pictures of one run show the same cells.

    Args:
        lab: `(2, 3, h, w)` normalised Lab per cell: reference, target.

    Returns:
        `(P,)` int64 row-major, P <= count, the most striking first.
    """
    h, w = lab.shape[-2:]
    target = lab[1:]
    spread = F.avg_pool2d(target**2, 3, 1, 1) - F.avg_pool2d(target, 3, 1, 1) ** 2
    score = spread.clamp(min=0).sqrt().sum((0, 1)) + (lab[1] - lab[0]).abs().sum(0) + 1e-6
    rows = torch.arange(h, device=lab.device)[:, None]
    columns = torch.arange(w, device=lab.device)[None, :]
    edge = (rows < 1) | (rows >= h - 1) | (columns < 1) | (columns >= w - 1)
    score = torch.where(edge, torch.zeros_like(score), score)
    chosen: list[int] = []
    while len(chosen) < count and float(score.max()) > 0:
        best = int(score.argmax())
        chosen.append(best)
        near = (rows - best // w) ** 2 + (columns - best % w) ** 2 < (min(h, w) / 3.5) ** 2
        score = torch.where(near, torch.zeros_like(score), score)
    return torch.tensor(chosen, dtype=torch.int64, device=lab.device)


def point(features: Tensor, cells: Tensor, spec: FeatureSpec, *, temperature: float) -> Pointers:
    """The whole pointer of some target cells: softmax over every reference cell.

    Args:
        features: `(2, C, h, w)` unit length: reference, target. cells: `(P,)` int64 row-major.
    """
    C, h, w = features.shape[1:]
    reference, target = features.float().reshape(2, C, h * w)
    weight = affinity(similarity(target[:, cells], reference), temperature=temperature)
    grid = pixel_grid((h, w), stride=spec.stride, offset=spec.offset).to(weight).flatten(0, 1)
    return Pointers(grid[cells], grid[weight.argmax(1)], weight @ grid, weight.reshape(-1, h, w))


def embedding_colors(features: Tensor) -> Tensor:
    """The three main directions in which cells differ, as colour, common to all the frames given.

    Args:
        features: `(B, C, h, w)` float.

    Returns:
        `(B, 3, h, w)` float32 in [0, 1]; directions in which nothing differs are 0.5.
    """
    B, C, h, w = features.shape
    cells = features.float().permute(0, 2, 3, 1).reshape(-1, C)
    cells = cells - cells.mean(0)
    scatter = (cells.T @ cells).cpu().double()  # tiny, and not every device knows float64
    axes = torch.linalg.eigh(scatter).eigenvectors[:, -3:].flip(1)
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    axes = axes * torch.where(largest < 0, -1.0, 1.0)  # an eigenvector's sign is nobody's choice
    found = F.pad(cells @ axes.to(cells), (0, max(0, 3 - C)))
    low, high = (percentile(found, share) for share in (0.01, 0.99))
    middle, half = (low + high) / 2, ((high - low) / 2).clamp(min=1e-4)
    colors = ((found - middle) / half / 2 + 0.5).clamp(0, 1)
    return colors.reshape(B, h, w, 3).permute(0, 3, 1, 2)


def percentile(values: Tensor, share: float) -> Tensor:
    """The value of each column below which a share of `(N, K)` lies: `(K,)`."""
    return values.sort(0).values[round(share * (len(values) - 1))]


def look_at_pair(
    frames: Tensor,
    features: Tensor,
    spec: FeatureSpec,
    *,
    name: str,
    copied: Copied,
    temperature: float,
    is_predicted: bool = False,
) -> PairView:
    """Everything the picture shows of a pair of frames.

    Args:
        frames: `(2, 3, H, W)` uint8: reference, target. features: `(2, C, h, w)`, made from L.
        copied: the colours to show; is_predicted: they are not copied.
    """
    size = image_size(frames)
    lab = rgb_to_lab(frames.to(features.device).float() / 255)
    guide = lab_to_rgb(colorless(lab[1]))  # the target's own colours must not leak in
    ab = upsample_guided(copied.ab, guide, spec=spec)
    cells = choose_cells(to_cells(normalize_lab(lab), spec))
    pointers = point(features, cells, spec, temperature=temperature)
    heat = upsample(pointers.weight, size=size, spec=spec)
    heat = heat / heat.amax((1, 2), keepdim=True).clamp(min=1e-9)
    embedding = upsample(embedding_colors(features), size=size, spec=spec)
    reference, target = (interleaved(frame.float() / 255) for frame in frames)
    return PairView(
        name=name,
        reference=reference,
        target=target,
        copied=paint(target, ab),
        error=(ab - lab[1, 1:]).norm(dim=0).cpu().numpy(),
        pointers=pointers,
        heat=heat.cpu().numpy(),
        embedding=(interleaved(embedding[0]), interleaved(embedding[1])),
        is_predicted=is_predicted,
    )


def _check_pair(features: Tensor, lab: Tensor, spec: FeatureSpec) -> None:
    cells = cell_count(image_size(lab), stride=spec.stride)
    if lab.shape[:2] != (2, 3) or len(features) != 2 or features.shape[-2:] != cells:
        raise InputError(
            "copy_colors: expected features (2, C, h, w) and lab (2, 3, H, W) of the same two "
            f"frames, got {tuple(features.shape)} and {tuple(lab.shape)} at stride {spec.stride}"
        )


def colorless(lab: Tensor) -> Tensor:
    """Lab `(..., 3, H, W)` with a and b set to 0; also right for normalised Lab."""
    return lab * lab.new_tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
