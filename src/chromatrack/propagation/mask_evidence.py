"""What tells an object from its own background: found on marked frames, read on every later one.

Two discriminants of features, made from the last frame that the user marked: a ridge regression of
object against the rest, and how much more a cell is like the object's cells than like the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chromatrack.propagation.exemplars import likeness, strong_cells, thinned

_RIDGE = 1.0  # added to the squared features' sums
_FAINT = 0.05  # share of a cell below which it is the rest
_OWN, _REST = 256, 512  # cells kept of either


@dataclass(frozen=True)
class Discriminant:
    """Of one object. weights: `(C + 1,)` of the ridge, the last its constant. own, rest: cells."""

    weights: Tensor
    own: Tensor
    rest: Tensor

    @classmethod
    def of(cls, features: Tensor, label: Tensor) -> Discriminant:
        """Features `(C, h, w)` and an object's label `(h, w)` on a frame that shows it."""
        cells, shares = features.flatten(1).T, label.flatten()
        return cls(
            _ridge(cells, shares),
            thinned(cells[strong_cells(shares)], _OWN),
            thinned(cells[shares < _FAINT], _REST),
        )

    def read(self, features: Tensor) -> Tensor:
        """`(3, h, w)`: ridge (1 object, -1 rest), margin of likeness, likeness to the object."""
        cells = features.flatten(1).T
        own = likeness(cells, self.own)
        margin = own - likeness(cells, self.rest)
        ridge = cells @ self.weights[:-1] + self.weights[-1]
        return torch.stack([ridge, margin, own]).unflatten(1, features.shape[1:])


def _ridge(cells: Tensor, shares: Tensor) -> Tensor:
    """Weights of a ridge regression in which object and rest count alike: `(C + 1,)`."""
    ones = cells.new_ones(len(cells), 1)
    known = torch.cat([cells, ones], 1)
    half = len(cells) / 2
    inside, outside = shares.sum().clamp(min=1e-3), (1 - shares).sum().clamp(min=1e-3)
    weight = (shares / inside + (1 - shares) / outside) * half
    weighted = (known * weight[:, None]).T
    squares = weighted @ known + _RIDGE * torch.eye(known.shape[1], device=cells.device)
    return torch.linalg.solve(squares, weighted @ (2 * shares - 1))
