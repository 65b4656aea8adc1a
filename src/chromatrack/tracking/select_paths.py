"""What paths over a frame cost: a step is dear that crosses an edge of features or of colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import image_size, rescale_points
from chromatrack.ops.resample import resize, to_coarse
from chromatrack.tracking.frame_looks import Look

_FEATURES = 40.0  # units of Lab that features of no likeness differ by
_STEP = 8.0  # the same for a step between equal places
_AT_ONCE = 8  # rounds of learning from neighbours between looks whether that is all
_WAYS = ((0, 1), (1, 0), (1, 1), (1, -1))


def look_on_grid(look: Look) -> tuple[Tensor, Tensor]:
    """Lab `(3, h, w)` and features `(C, h, w)` by 4 x 4 pixels of the working size."""
    size = image_size(look.image)
    features = to_coarse(look.features, size=size, spec=look.spec)
    return rgb_to_lab(resize(look.image, features.shape[-2:])), F.normalize(features, dim=0)


def places_on_grid(
    look: Look, xy: Sequence[tuple[float, float]], lab: Tensor
) -> list[tuple[int, int]]:
    """(row, column) on the grid of places in px of the frame, in their order, each once."""
    if not xy:
        return []
    h, w = image_size(lab)
    places = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
    near = np.rint(rescale_points(places, from_size=look.size, to_size=(h, w)))
    near = near.clip([0, 0], [w - 1, h - 1]).astype(int)
    return list(dict.fromkeys((int(y), int(x)) for x, y in near))


def changes(lab: Tensor, features: Tensor) -> list[tuple[int, int, np.ndarray]]:
    """For each way to a neighbour: how much changes on it from every place, `(h, w)`."""
    h, w = image_size(lab)
    found = []
    for down, across in _WAYS:
        change = torch.full((h, w), torch.inf)
        here = slice(0, h - down), slice(max(0, -across), w - max(0, across))
        there = slice(down, h), slice(max(0, across), w - max(0, -across))
        color = (lab[:, *here] - lab[:, *there]).square().sum(0).sqrt()
        likeness = (features[:, *here] * features[:, *there]).sum(0)
        step = color + _FEATURES * (1 - likeness).clamp(min=0)
        change[here] = step / (down**2 + across**2) ** 0.5
        found.append((down, across, change.numpy()))
    return found


def cost_from(
    seeds: Sequence[tuple[int, int]], edges: Sequence[tuple[int, int, np.ndarray]]
) -> Tensor:
    """`(h, w)`: the least that a path from a seed to each place costs.

    Every place learns from its neighbours, over and over, until nothing changes any more.
    """
    h, w = edges[0][2].shape
    away = np.full((h, w), np.inf, dtype=np.float32)
    away[tuple(zip(*seeds, strict=True))] = 0.0
    ways = []
    for down, across, change in edges:
        here = slice(0, h - down), slice(max(0, -across), w - max(0, across))
        there = slice(down, h), slice(max(0, across), w - max(0, -across))
        cost = (change[here] + _STEP * (down**2 + across**2) ** 0.5).astype(np.float32)
        ways.append((away[here], away[there], cost, np.empty_like(cost)))
    while True:
        before = away.copy()
        for _ in range(_AT_ONCE):
            for one, other, cost, room in ways:
                np.minimum(other, np.add(one, cost, out=room), out=other)
                np.minimum(one, np.add(other, cost, out=room), out=one)
        if np.array_equal(before, away):
            return torch.from_numpy(away)
