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
    """Divides features by how they vary together in a picture.

    How alike two things look depends on the picture and on the network: the same cosine is close in
    one and far in another. The mean is not taken away: seen from the mean of one scene, all of
    another one lies in the same direction, and looks like whatever lies there.

    matrix: `(C, C)`, symmetric.
    """

    matrix: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Whitening:
        """Fitted to the cells of a feature map `(C, h, w)`."""
        cells = features.flatten(1).T
        away = cells - cells.mean(0)
        variances, directions = torch.linalg.eigh(away.T @ away / len(cells))
        variances = variances.clamp(min=0)
        scale = (variances + _SHRINK * variances.mean() + _NOISE).rsqrt()
        return cls((directions * scale) @ directions.T)

    def __call__(self, features: Tensor) -> Tensor:
        """`(C, h, w)` -> `(C, h, w)`, unit length per cell."""
        cells = self.matrix @ features.flatten(1)
        return F.normalize(cells, dim=0).unflatten(1, features.shape[1:])
