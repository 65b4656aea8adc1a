"""Features in which every direction of a picture counts alike, so that likeness has one scale."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chromatrack.ops.compiled import unit_cells

_SHRINK = 0.1
"""Of the mean variance, added to all: directions that hardly vary would be blown up."""
_COMMON = 1.5
"""What cells have in common, at most, as a share of their spread; more tells nothing apart."""
_NOISE = 1e-4
"""Variance of unit features below which a direction is noise: a flat picture has no others."""


@dataclass(frozen=True)
class Whitening:
    """Divides features by how they vary together in a picture.

    How alike two things look depends on the picture and on the network: the same cosine is close in
    one and far in another. The mean is not taken away: seen from the mean of one scene, all of
    another one lies in the same direction, and looks like whatever lies there. But what all cells
    have in common makes two of them alike by 0.7 at most.

    matrix: `(C, C)`, symmetric. excess: `(C,)`, what they have in common beyond that, whitened.
    """

    matrix: Tensor
    excess: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Whitening:
        """Fitted to the cells of a feature map `(C, h, w)`."""
        cells = features.flatten(1).T
        mean = cells.mean(0)
        away = cells - mean
        covariance = (away.T @ away / len(cells)).cpu()  # not every device has what follows
        variances, directions = (part.to(mean) for part in torch.linalg.eigh(covariance))
        variances = variances.clamp(min=0)
        scale = (variances + _SHRINK * variances.mean() + _NOISE).rsqrt()
        matrix = (directions * scale) @ directions.T
        common, spread = matrix @ mean, (variances * scale * scale).sum().sqrt()
        most = _COMMON * spread / common.norm().clamp(min=1e-9)
        return cls(matrix, (1 - most).clamp(min=0) * common)

    def __call__(self, features: Tensor) -> Tensor:
        """`(C, h, w)` -> `(C, h, w)`, unit length per cell."""
        cells = self.matrix @ features.flatten(1) - self.excess[:, None]
        return unit_cells(cells.unflatten(1, features.shape[1:]))
