"""Colour classes predicted from one picture: the head, the balance of classes, the annealed mean.

It serves a baseline, single-image colorization: what features learn when colours are to be known
from the picture itself instead of copied from another one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromatrack.errors import InputError
from chromatrack.ops.color import dequantize

SHARPNESS = 1 / 0.07
"""Unit-length features times this meet the head: the pointer's scale in the default recipe."""

UNIFORM_SHARE = 0.5
ANNEALING = 0.38
"""Both as in Zhang et al. 2016 (their lambda and T)."""


class ColorHead(nn.Module):
    """A linear classifier of every cell's colour, with the colours its classes stand for.

    codebook: `(K, 2)` normalised ab. balance: `(K,)`, what an error costs in training by the
    class of the truth. Both are set when a run begins and are saved with the weights.
    """

    codebook: Tensor
    balance: Tensor

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.classes = nn.Conv2d(channels, classes, 1)
        self.register_buffer("codebook", torch.zeros(classes, 2))
        self.register_buffer("balance", torch.ones(classes))

    def forward(self, features: Tensor) -> Tensor:
        """`(B, C, h, w)` features of any length -> class scores `(B, K, h, w)`, before softmax."""
        return self.classes(F.normalize(features, dim=1) * SHARPNESS)

    def ab(self, scores: Tensor) -> Tensor:
        """Class scores `(B, K, h, w)` -> `(B, 2, h, w)` normalised ab, the annealed mean."""
        return annealed_mean(scores, self.codebook)


def class_balance(counts: Tensor, *, uniform_share: float = UNIFORM_SHARE) -> Tensor:
    """Weights of classes, larger for rare ones; the mean over all pixels is 1.

    Source: Zhang et al. 2016, section 2.2: inverse of the class shares mixed with even ones,
    without their smoothing over neighbouring classes, as ours are clusters and no grid.

    Args:
        counts: `(K,)` pixels of each class. uniform_share: 1 gives every class the weight 1.

    Returns:
        `(K,)` float32; none is more than K (1 - s) / s + 1 times another, s the uniform share.

    Raises:
        InputError: no pixels, or a share outside (0, 1].
    """
    if float(counts.sum()) <= 0 or not 0 < uniform_share <= 1:
        raise InputError(
            "class_balance: expected counted pixels and a share above 0 and up to 1, got "
            f"{float(counts.sum()):g} pixels and {uniform_share}"
        )
    shares = counts.float() / counts.sum()
    weights = 1 / ((1 - uniform_share) * shares + uniform_share / len(counts))
    return weights / (weights * shares).sum()


def annealed_mean(scores: Tensor, codebook: Tensor, *, temperature: float = ANNEALING) -> Tensor:
    """Mean colour of class distributions sharpened by a temperature: between mean and mode.

    Source: Zhang et al. 2016, section 2.3.

    Args:
        scores: `(..., K, h, w)` before softmax. codebook: `(K, 2)`.
        temperature: 1 is the mean (pale), towards 0 the most likely colour (blotchy).

    Returns:
        `(..., 2, h, w)`, in the hull of the codebook.

    Raises:
        InputError: temperature is not above 0.
    """
    if not temperature > 0:
        raise InputError(f"temperature: expected more than 0, got {temperature}")
    return dequantize((scores / temperature).softmax(-3), codebook)
