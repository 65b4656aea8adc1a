"""One colour for one surface: what cells copy from other scenes, agreed on with cells like them.

Pictures of other scenes fit by chance, so that neighbours on one coat come from one that is green
and one that is brown. What looks alike inside the frame is more surely one surface.
"""

from __future__ import annotations

import torch
from torch import Tensor

_TEMPERATURE = 0.05
"""Of the cosine of features."""

_NEAR = 0.3
"""Of the diagonal: how far away an alike cell has lost 63 % of its say."""

_LIGHT = 15.0
"""Difference of L at which it has lost as much: dark and light parts take colours of their own."""

_ROUNDS = 8
"""As often as alike cells agree: after two, a coat still has green and red parts."""

_EVERY = 2
"""Cells from one that is asked to the next: a quarter of them says as much."""


def agreed_colors(features: Tensor, light: Tensor, ab: Tensor) -> Tensor:
    """The mean colour of the cells of the same frame that each one is like.

    Source: non-local means (Buades et al. 2005), of colours by features, luminance and place.

    Args:
        features: `(C, h, w)`, unit length per cell. light: `(1, h, w)` L. ab: `(2, h, w)`, copied.

    Returns:
        `(2, h, w)` ab.
    """
    h, w = light.shape[1:]
    rows, columns = torch.meshgrid(
        torch.arange(h, device=ab.device), torch.arange(w, device=ab.device), indexing="ij"
    )
    asked = ((rows % _EVERY == 0) & (columns % _EVERY == 0)).flatten()
    at = torch.stack([rows, columns], -1).flatten(0, 1).float() / (h * h + w * w) ** 0.5
    looks, lights = features.flatten(1).T, light.flatten() / _LIGHT
    score = looks @ looks[asked].T / _TEMPERATURE
    score -= (torch.cdist(at, at[asked]) / _NEAR).square()
    score -= (lights[:, None] - lights[asked][None]).square()
    share, colors = score.softmax(1), ab.flatten(1).T
    for _ in range(_ROUNDS):
        colors = share @ colors[asked]
    return colors.T.reshape(2, h, w)
