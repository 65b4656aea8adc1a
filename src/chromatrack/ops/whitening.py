"""Features in which every direction of a picture counts alike, so that likeness has one scale."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_SHRINK = 0.1
"""Of the mean variance, added to all: directions that hardly vary would be blown up."""
_NOISE = 1e-4
"""Variance of unit features below which a direction is noise: a flat picture has no others."""


@dataclass(frozen=True)
class Whitening:
    """Takes the mean of a picture's features away and divides by how they vary together.

    What all cells of a picture have in common tells none of them apart, and how much that is
    depends on the picture and on the network: the same cosine is close in one and far in another.

    mean: `(C,)`. matrix: `(C, C)`, symmetric.
    """

    mean: Tensor
    matrix: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Whitening:
        """Fitted to the cells of a feature map `(C, h, w)`."""
        cells = features.flatten(1).T
        mean = cells.mean(0)
        away = cells - mean
        variances, directions = torch.linalg.eigh(away.T @ away / len(cells))
        variances = variances.clamp(min=0)
        scale = (variances + _SHRINK * variances.mean() + _NOISE).rsqrt()
        return cls(mean, (directions * scale) @ directions.T)

    def __call__(self, features: Tensor) -> Tensor:
        """`(C, h, w)` -> `(C, h, w)`, unit length per cell."""
        size = features.shape[1:]
        cells = self.matrix @ (features.flatten(1) - self.mean[:, None])
        return F.normalize(cells, dim=0).unflatten(1, size)
