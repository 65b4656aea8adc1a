"""What a user means who clicks on a thing: a region that grows from there to where edges stop it.

From the clicks, paths are followed over the frame: a step costs what features and colours change on
it, so that crossing an edge is dear and wandering within a thing is cheap. The places that cost no
more than a limit are a region; of all limits, the one is taken whose region ends at the clearest
edges. Its pixels are then told from its surroundings by their colours, as `ops.cutout` does.

Source: geodesic segmentation (Bai and Sapiro 2007), contrast along nested level sets as of MSER
(Matas et al. 2002), refined as GrabCut (Rother, Kolmogorov, Blake 2004).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import image_size, rescale_points
from chromatrack.ops.cutout import ColorMixture, Neighbours
from chromatrack.ops.resample import resize, to_coarse
from chromatrack.tracking.frame_looks import Look

_FEATURES = 40.0  # units of Lab that features of no likeness differ by
_STEP = 0.5  # the same for a step between equal places
_LIMITS = 48  # regions that are compared
_LARGEST = 0.6  # of the frame, that a region may take
_LEAST = 12  # steps of the grid that a region has
_WIDER = 0.5  # of a region's size: how far around it colours are compared
_ROUNDS = 3
_TRUST = 0.35  # how far colours may overrule the region that was grown, in log odds per step
_FINE_SIDE = 128  # pixels of the longer side, at which colours are compared
_LEAST_PIXELS = 16


@torch.inference_mode()
def select(
    look: Look,
    *,
    inside: Sequence[tuple[float, float]],
    outside: Sequence[tuple[float, float]] = (),
    size: float = 0.5,
) -> np.ndarray:
    """The region that is meant by places inside and outside of it.

    Args:
        look: the frame. inside, outside: (x, y) px of the frame; at least one inside.
        size: from 0 to 1, how far to grow, as it is dragged; 0.5: to the clearest edges.

    Returns:
        `(H, W)` bool at the frame's size; every part of it holds a place that was said to be
        inside, and none that was said to be outside.

    Raises:
        InputError: every place inside is outside, too.
    """
    lab, features = _grid(look)
    seeds, others = _places(look, inside, lab), _places(look, outside, lab)
    away = _cost_from(seeds, lab, features)
    if others:
        theirs = _cost_from(others, lab, features)
        away = torch.where(away < theirs, away, torch.inf)
        if not away.isfinite().any():
            raise InputError("inside, outside: expected places apart, got the same; move one")
    region = _with_clearest_edges(away, lab, features, size=size)
    shown = _by_color(look, region, inside, outside)
    return _at(shown, look.size)


def _grid(look: Look) -> tuple[Tensor, Tensor]:
    """Lab `(3, h, w)` and features `(C, h, w)` by 4 x 4 pixels of the working size."""
    size = image_size(look.image)
    features = to_coarse(look.features, size=size, spec=look.spec)
    return rgb_to_lab(resize(look.image, features.shape[-2:])), F.normalize(features, dim=0)


def _places(look: Look, xy: Sequence[tuple[float, float]], lab: Tensor) -> list[tuple[int, int]]:
    """(row, column) on the grid of places in px of the frame, each once."""
    if not xy:
        return []
    h, w = image_size(lab)
    places = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
    near = np.rint(rescale_points(places, from_size=look.size, to_size=(h, w)))
    near = near.clip([0, 0], [w - 1, h - 1]).astype(int)
    return sorted({(int(y), int(x)) for x, y in near})


_WAYS = ((0, 1), (1, 0), (1, 1), (1, -1))


def _changes(lab: Tensor, features: Tensor) -> list[tuple[int, int, np.ndarray]]:
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


def _cost_from(seeds: Sequence[tuple[int, int]], lab: Tensor, features: Tensor) -> Tensor:
    """`(h, w)`: the least that a path from a seed to each place costs."""
    h, w = image_size(lab)
    ways = []
    for down, across, change in _changes(lab, features):
        cost = ((change + _STEP) ** 2).tolist()
        ways.append((down, across, cost))
    away = [[float("inf")] * w for _ in range(h)]
    heap = []
    for row, column in seeds:
        away[row][column] = 0.0
        heap.append((0.0, row, column))
    while heap:
        cost, row, column = heapq.heappop(heap)
        if cost > away[row][column]:
            continue
        for down, across, steps in ways:
            for sign in (1, -1):
                y, x = row + sign * down, column + sign * across
                if not (0 <= y < h and 0 <= x < w):
                    continue
                step = steps[row][column] if sign > 0 else steps[y][x]
                if cost + step < away[y][x]:
                    away[y][x] = cost + step
                    heapq.heappush(heap, (cost + step, y, x))
    return torch.tensor(away)


def _with_clearest_edges(away: Tensor, lab: Tensor, features: Tensor, *, size: float) -> Tensor:
    """`(h, w)` bool: the places within the limit whose region ends at the clearest edges."""
    reached = away[away.isfinite()].sort().values
    most = max(1, min(len(reached) - 1, int(_LARGEST * away.numel())))
    least = min(_LEAST, most)
    counts = np.unique(np.geomspace(least, most, _LIMITS).round().astype(int))
    limits = [float(reached[count]) for count in counts]
    if size != 0.5:
        return away <= limits[round(size * (len(limits) - 1))]
    edges = _changes(lab, features)
    best, found = -1.0, away <= limits[0]
    for limit in limits:
        region = (away <= limit).numpy()
        contrast = _contrast(region, edges)
        if contrast > best:
            best, found = contrast, torch.from_numpy(region)
    return found


def _contrast(region: np.ndarray, edges: Sequence[tuple[int, int, np.ndarray]]) -> float:
    """Mean change across the border of a region; the frame's own border counts as none."""
    h, w = region.shape
    total, count = 0.0, 0
    for down, across, change in edges:
        here = slice(0, h - down), slice(max(0, -across), w - max(0, across))
        there = slice(down, h), slice(max(0, across), w - max(0, -across))
        crossed = region[here] != region[there]
        total += float(np.minimum(change[here][crossed], 60.0).sum())
        count += int(crossed.sum())
    rim = np.concatenate([region[0], region[-1], region[:, 0], region[:, -1]]).sum()
    return total / (count + 2 * int(rim) + 1e-9)


def _by_color(
    look: Look,
    region: Tensor,
    inside: Sequence[tuple[float, float]],
    outside: Sequence[tuple[float, float]],
) -> Tensor:
    """`(H', W')` share of each pixel of the working size, its edges following the colours."""
    size = image_size(look.image)
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
    kept = _connected(share > 0.5, forced > 0)
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
    lean = torch.logit(grown.clamp(0.12, 0.88)) * _TRUST
    for _ in range(_ROUNDS):
        if min(int(thing.sum()), int((~thing).sum())) < _LEAST_PIXELS:
            break
        mine = ColorMixture.fitted(colors[thing.flatten()]).log_density(colors)
        theirs = ColorMixture.fitted(colors[~thing.flatten()]).log_density(colors)
        odds = (mine - theirs).reshape(grown.shape) + lean
        odds = torch.where(forced > 0, 9.0, torch.where(forced < 0, -9.0, odds))
        share = graph.smooth(odds.sigmoid())
        before, thing = thing, share > 0.5
        if torch.equal(before, thing):
            break
    share = torch.where(forced > 0, 1.0, share)
    return torch.where(forced < 0, 0.0, share)


def _connected(region: Tensor, seeds: Tensor) -> Tensor:
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


def _at(share: Tensor, size: tuple[int, int]) -> np.ndarray:
    """`(H, W)` bool at the frame's size."""
    full = F.interpolate(share[None, None], size=list(size), mode="bilinear")[0, 0]
    return (full > 0.5).numpy()
