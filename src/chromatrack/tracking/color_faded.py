"""A faded film's own colours: too weak to show, but they say which colours differ.

Fading pales the dyes unevenly and casts all in one hue; over a shot it does so alike everywhere. So
one fit, from the film's colours to those of its references, undoes most of it, and what it gives
joins the colours copied from the references as a weak word of its own: it decides where nothing
good was copied, or something that it contradicts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from chromatrack.ops.coords import image_size
from chromatrack.tracking.color_carry import APART, Estimate

SAYS = 0.5
"""Weight of colours that are fitted perfectly, where that of perfect copies is about 1."""

AGAINST = 4.0
"""How much a colour loses that is `color_carry.APART` from one that is fitted perfectly."""

PRIOR = 0.3
"""Variance of a or b by which the fit leans towards no change: even colours teach it nothing."""

EVERY = 4
"""Pixels, along both axes, from one that is learned from to the next."""

LEAST = 0.5
"""Standard deviation of a film's ab, Lab units, below which it has no colours of its own."""


@dataclass
class FadedColors:
    """The fit of a film's own Lab to the ab of its references, as weighted sums over pixels.

    Source: least squares of ab on (a, b, L, 1), a global colour transfer with correspondences; it
    counts for as much as a and b explain beyond what L alone does.
    """

    sums: Tensor = field(default_factory=lambda: torch.zeros(6, 6, dtype=torch.float64))

    def learn(self, own: Tensor, ab: Tensor, weight: Tensor | None = None) -> None:
        """Pixels whose colours are known.

        Args:
            own: `(3, H, W)` Lab of the film. ab: `(2, H, W)` of a reference, or copied.
            weight: `(1, H, W)` >= 0, how well they are known; None: all alike.
        """
        rows = torch.cat([_inputs(own), ab])[:, ::EVERY, ::EVERY].flatten(1).double().cpu()
        if weight is not None:
            rows = rows * weight[:, ::EVERY, ::EVERY].flatten(1).double().cpu().sqrt()
        self.sums = self.sums + rows @ rows.T

    def quality(self) -> float:
        """Share, [0, 1], of what L leaves open of the references' colours that a and b explain."""
        pixels = float(self.sums[3, 3])
        if pixels <= 0:
            return 0.0
        spread = (self.sums.diagonal()[:2] - self.sums[3, :2].square() / pixels).sum() / pixels
        by_light, by_all = self._left([2, 3]), self._left([0, 1, 2, 3])
        if float(spread) < LEAST**2 or by_light <= 0:
            return 0.0
        return min(max(1 - by_all / by_light, 0.0), 1.0)

    def estimate(self, own: Tensor) -> Estimate:
        """Colours of a frame, own Lab `(3, H, W)`, and how much they count."""
        inputs = _inputs(own)
        fitted = self._fit([0, 1, 2, 3]).to(inputs)
        ab = (fitted.T @ inputs.flatten(1)).reshape(2, *image_size(own))
        quality, one = self.quality(), torch.ones_like(own[:1])
        return Estimate(ab, SAYS * quality * one, quality * one)

    def _fit(self, columns: list[int]) -> Tensor:
        """Coefficients `(len(columns), 2)`."""
        inner = self.sums[columns][:, columns]
        lean = PRIOR * self.sums[3, 3].clamp(min=1e-9)
        prior = torch.zeros(len(columns), 2, dtype=inner.dtype)
        if columns[0] == 0:
            prior[:2] = torch.eye(2, dtype=inner.dtype)
        free = [1.0 if column < 2 else 1e-6 for column in columns]  # a cast is no matter of belief
        ridge = lean * torch.tensor(free, dtype=inner.dtype).diag()
        return torch.linalg.solve(inner + ridge, self.sums[columns][:, 4:] + ridge @ prior)

    def _left(self, columns: list[int]) -> float:
        """Sum of the squares that a fit leaves."""
        fitted, cross = self._fit(columns), self.sums[columns][:, 4:]
        inner = self.sums[columns][:, columns]
        total = self.sums[4, 4] + self.sums[5, 5]
        return float(total - 2 * (fitted * cross).sum() + (fitted * (inner @ fitted)).sum())


def _inputs(own: Tensor) -> Tensor:
    """`(4, H, W)`: a, b, L about its middle, 1."""
    return torch.cat([own[1:], own[:1] - 50, torch.ones_like(own[:1])])


def against(estimate: Estimate, faded: Estimate) -> Estimate:
    """Colours that count less where those fitted contradict them, as far as the fit is good."""
    apart = (estimate.ab - faded.ab).square().sum(0, keepdim=True) / APART**2
    doubt = 1 / (1 + AGAINST * apart * faded.confidence**4)
    return replace(estimate, weight=estimate.weight * doubt)


def joined(copied: Estimate, faded: Estimate) -> Estimate:
    """Copied colours, and what the film's own say where these are weak or contradict them."""
    copied = against(copied, faded)
    weight = copied.weight + faded.weight
    share = faded.weight / weight.clamp(min=1e-6)
    return Estimate(
        torch.lerp(copied.ab, faded.ab, share),
        weight,
        torch.lerp(copied.confidence, faded.confidence, share),
    )
