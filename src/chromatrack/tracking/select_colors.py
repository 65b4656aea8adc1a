"""Pixels of a selected region told from their surroundings by their colours.

Source: refined as GrabCut (Rother, Kolmogorov, Blake 2004).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import image_size, rescale_points
from chromatrack.ops.cutout import ColorMixture, Neighbours
from chromatrack.ops.resample import resize
from chromatrack.tracking.frame_looks import Look

_WIDER = 0.5  # of a region's size: how far around it colours are compared
_ROUNDS = 3
_TRUST = 0.35  # how far colours may overrule the region that was grown, in log odds per step
_FINE_SIDE = 128  # pixels of the longer side, at which colours are compared
_LEAST_PIXELS = 16
_COLORS = 2000  # pixels that a mixture is made of, about
_FADES = 0.5  # log odds that a pixel loses for each of
_FADING = 4  # so many parts of the way to where colours are compared no more


def by_color(
    look: Look,
    region: Tensor,
    inside: Sequence[tuple[float, float]],
    outside: Sequence[tuple[float, float]],
) -> Tensor:
    """`(H', W')` share of each pixel of the working size, its edges following the colours."""
    size = image_size(look.image)
    if not bool(region.any()):
        return torch.zeros(size)
    rows, columns = (region.any(axis).nonzero()[:, 0] for axis in (1, 0))
    around = max(6, round(_WIDER * max(len(rows), len(columns))))
    box = []
    for held, steps, whole in zip((rows, columns), region.shape, size, strict=True):
        low, high = (int(held[0]) - around) / steps, (int(held[-1]) + 1 + around) / steps
        box.append(slice(max(0, round(low * whole)), min(whole, round(high * whole))))
    image = look.image[:, *box]
    prior = F.interpolate(region.float()[None, None], size=list(size), mode="bilinear")[0, 0]
    prior = prior[tuple(box)]
    scale = min(1.0, _FINE_SIDE / max(image.shape[-2:]))
    small = [max(2, round(side * scale)) for side in image.shape[-2:]]
    lab = rgb_to_lab(resize(image, small))
    grown = resize(prior[None], small)[0]
    forced = _forced(look, box, small, inside, outside)
    share = _refined(lab, grown, forced)
    kept = connected(share > 0.5, forced > 0)
    share = torch.where(kept, share, share.clamp(max=0.49))
    full = torch.zeros(size)
    full[tuple(box)] = F.interpolate(
        share[None, None], size=list(image.shape[-2:]), mode="bilinear"
    )[0, 0]
    return full


def _forced(
    look: Look,
    box: Sequence[slice],
    small: Sequence[int],
    inside: Sequence[tuple[float, float]],
    outside: Sequence[tuple[float, float]],
) -> Tensor:
    """`(h, w)`: 1 around places said to be inside, -1 around those outside, else 0."""
    found = torch.zeros(*small)
    y, x = torch.arange(small[0])[:, None], torch.arange(small[1])[None, :]
    for value, xy in ((-1, outside), (1, inside)):
        for place in xy:
            working = rescale_points(
                np.asarray(place, dtype=np.float64),
                from_size=look.size,
                to_size=image_size(look.image),
            )
            part = (box[0].stop - box[0].start, box[1].stop - box[1].start)
            moved = working - np.array([box[1].start, box[0].start])
            at = rescale_points(moved, from_size=part, to_size=(small[0], small[1]))
            near = (y - float(at[1])) ** 2 + (x - float(at[0])) ** 2 <= 2.0
            found[near] = value
    return found


def _refined(lab: Tensor, grown: Tensor, forced: Tensor) -> Tensor:
    """`(h, w)` share of each pixel, from a region that was grown and from colours."""
    colors = lab.flatten(1).T
    graph = Neighbours.of(lab, torch.ones(grown.shape, dtype=torch.bool))
    share, thing = grown, grown > 0.5
    lean = torch.logit(grown.clamp(0.12, 0.88)) * _TRUST - _FADES * _far(grown > 0.5)
    for _ in range(_ROUNDS):
        if min(int(thing.sum()), int((~thing).sum())) < _LEAST_PIXELS:
            break
        mine = _mixture(colors[thing.flatten()]).log_density(colors)
        theirs = _mixture(colors[~thing.flatten()]).log_density(colors)
        odds = (mine - theirs).reshape(grown.shape) + lean
        odds = torch.where(forced > 0, 9.0, torch.where(forced < 0, -9.0, odds))
        share = graph.smooth(odds.sigmoid())
        before, thing = thing, share > 0.5
        if torch.equal(before, thing):
            break
    share = torch.where(forced > 0, 1.0, share)
    return torch.where(forced < 0, 0.0, share)


def _far(region: Tensor) -> Tensor:
    """`(h, w)` from 0 near a region to `_FADING` where colours are compared no more."""
    rows, columns = (region.any(axis).sum() for axis in (1, 0))
    step = max(1, round(_WIDER * float(max(rows, columns)) / _FADING))
    near = region[None, None].float()
    far = torch.zeros_like(near)
    for _ in range(_FADING):
        near = F.max_pool2d(near, 2 * step + 1, 1, step)
        far += 1 - near
    return far[0, 0]


def _mixture(colors: Tensor) -> ColorMixture:
    """Of colours `(N, 3)`; of many, some that are spread over them say as much."""
    return ColorMixture.fitted(colors[:: max(1, len(colors) // _COLORS)])


def connected(region: Tensor, seeds: Tensor) -> Tensor:
    """The parts of a region that hold a seed; holes of the region stay."""
    mine = (seeds & region).float()[None, None]
    allowed = region.float()[None, None]
    while True:
        more = F.max_pool2d(mine, 3, 1, 1) * allowed
        for _ in range(7):
            more = F.max_pool2d(more, 3, 1, 1) * allowed
        if torch.equal(more, mine):
            return mine[0, 0] > 0
        mine = more
