"""What a user means who clicks on a thing: a region that grows from there to where edges stop it.

From the clicks, paths are followed over the frame: a step costs what features and colours change on
it and its length, so that crossing an edge is dear and wandering within a thing is cheap. The
places that cost no more than a limit are a region; of all limits, the one is taken whose region
ends at clear edges and is not small: a part of a many-coloured thing has clear edges as well. The
pixels are then told from their surroundings by their colours, as `ops.cutout` does.

Each further click adds or takes away a region of its own, found in the same way. Whoever clicks
again corrects the largest mistake that is left, in its middle: what a click changes holds it, lies
around it on all sides, is nearer to it than to what was said otherwise, ends at clear edges and is
less with every click (`_correction`). All else stays; of a region in several parts, all parts that
the click is not on stay whole where it takes away. A drag through what is missing says more: what
it alone would select is added. A loop round a thing says the most (`select_loop`): what it selects
is added, or all there is where it goes round most of that; what is said later corrects it.

Source: geodesic segmentation (Bai and Sapiro 2007), contrast along nested level sets as of MSER
(Matas et al. 2002), refined as GrabCut (Rother, Kolmogorov, Blake 2004).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.ops.coords import image_size
from chromatrack.ops.islands import islands
from chromatrack.tracking.frame_looks import Look
from chromatrack.tracking.select_colors import by_color, connected
from chromatrack.tracking.select_loop import in_loop, thing_in_loop
from chromatrack.tracking.select_paths import changes, cost_from, look_on_grid, places_on_grid

_LIMITS = 48  # regions that are compared
_LARGEST = 0.6  # of the frame, that a region may take
_LEAST = 12  # steps of the grid that a region has
_USUAL = 0.05  # of the frame: regions below this count for less,
_SMALLER = 0.4  # by this power of their size
_CHANGE = 0.5  # of a region's size, that a further click adds or takes away at most,
_ELSEWHERE = 1.25  # and the same where it is farther from the region than that is wide
_CORRECTS = 0.5  # of the region: the most that the second click changes, the third half of it ...
_ADDS = 0.3  # the same of a click that adds
_SPECK = 16  # pixels, and
_TINY = 0.002  # of a region, below which a part that a stroke leaves over is none
_BASE = 4  # clicks that what was selected before stands for
_REACH = 2.0  # of the distance to the nearest place that a click leaves: how far it reaches
_LEAST_REACH = 3.0  # steps of the grid
_ALL_OVER = 0.6  # of the region: so much a second click changes also where it is not
_AROUND = 0.6  # of what is nearest to the first click that its region has
_DRAG = 4  # steps of the grid that a stroke goes over if it is more than a click
_LONG = 1.0  # of the region: the least square of its length then
_BESIDE = 0.5  # of a drag's length: how far beside it things are added,
_DRAGGED = 0.6  # and of the square of it: how much
_ANEW = 0.5  # of the region: a loop that goes round more says the thing anew


@dataclass(frozen=True)
class Stroke:
    """A click, a scribble or a loop.

    places: (x, y) px of the frame, at least one. inside: whether they are of the thing. size: from
    0 to 1, how far to grow from there, as it is dragged; 0.5: to the clearest edges. around:
    whether the places, at least three, go round the thing, or round what is none of it.
    """

    places: tuple[tuple[float, float], ...]
    inside: bool = True
    size: float = 0.5
    around: bool = False

    def __post_init__(self) -> None:
        """Refuse a loop that goes round nothing."""
        if self.around and len(self.places) < 3:
            raise InputError(
                f"stroke around a thing: expected at least 3 places, got {len(self.places)}"
            )


@dataclass
class Selection:
    """What is selected on a frame after each of some strokes.

    base: `(H, W)` bool, what was selected before the first of them, which they correct; None: it
    begins with them.
    """

    look: Look
    base: np.ndarray | None = None
    strokes: list[Stroke] = field(default_factory=list)
    regions: list[np.ndarray] = field(default_factory=list)

    @torch.inference_mode()
    def __post_init__(self) -> None:
        """See the frame as the strokes do."""
        self._lab, self._features = look_on_grid(self.look)
        self._edges = changes(self._lab, self._features)
        self._costs: dict[tuple[tuple[float, float], ...], Tensor] = {}

    @torch.inference_mode()
    def after(self, strokes: Sequence[Stroke], base: np.ndarray | None = None) -> np.ndarray:
        """The region that is meant by strokes, each correcting what those before it have left.

        Args:
            base: `(H, W)` bool, as above.

        Returns:
            `(H, W)` bool at the frame's size, True at the last stroke if it is inside.

        Raises:
            InputError: there is none; or the first is outside, and there is no base.
        """
        base = base if base is not None and base.any() else None
        if not strokes or (base is None and not strokes[0].inside):
            raise InputError("strokes: expected the first one inside the object")
        is_same = base is self.base or (
            base is not None and self.base is not None and np.array_equal(base, self.base)
        )
        if not is_same:
            self.base, self.strokes, self.regions = base, [], []
        same = 0
        for old, new in zip(self.strokes, strokes, strict=False):
            if old != new:
                break
            same += 1
        del self.strokes[same:], self.regions[same:]
        for stroke in strokes[same:]:
            self._add(stroke)
        return self.regions[-1]

    def _add(self, stroke: Stroke) -> None:
        before = self.regions[-1] if self.regions else self.base
        self.strokes.append(stroke)
        if stroke.around:
            self.regions.append(self._with_loop(stroke, before))
            return
        loops = [n for n, one in enumerate(self.strokes) if one.around]
        strokes, base = self.strokes, self.base
        if loops:
            strokes, base = strokes[loops[-1] + 1 :], self.regions[loops[-1]]
        proposed = self._proposed(strokes, base)
        if before is None:
            self.regions.append(proposed)
            return
        change = (proposed if stroke.inside else ~proposed) & (before != stroke.inside)
        count = len(strokes) - 1 + (0 if base is None else _BASE)
        is_first = base is None and count == 1 and change.sum() <= _ALL_OVER * before.sum()
        if stroke.inside and self._is_drag(stroke, before):
            taken = self._dragged(stroke, strokes)
        elif is_first or stroke.size != 0.5:  # as far as the user says
            taken = change if base is None else _around(change, self._cost(stroke))
        else:
            away, nearer = self._cost(stroke), self._nearer(stroke, strokes)
            region = _on_grid(before, away)
            share = (_ADDS if stroke.inside else _CORRECTS) / count
            if stroke.inside and region.any() and _is_elsewhere(away == 0, region):
                share = _ELSEWHERE  # another part of the thing
            most = share * int(region.sum())
            taken = change & _correction(change, away, nearer, self._edges, most=most)
        said = F.interpolate((self._cost(stroke) == 0)[None, None].float(), before.shape)[0, 0] > 0
        changed = taken | said.numpy()
        if not stroke.inside:
            changed &= _parts_at(before, stroke.places)
        now = np.where(changed, stroke.inside, before)
        meant = said.numpy() if stroke.inside else np.zeros_like(now)
        self.regions.append(_without_specks(now, before, meant))

    def _with_loop(self, stroke: Stroke, before: np.ndarray | None) -> np.ndarray:
        """`(H, W)` bool: a region and the thing in a loop, or without all that is in it.

        A loop round most of the region says it anew.
        """
        within = in_loop(stroke.places, self.look.size)
        if not stroke.inside and before is not None:
            return before & ~within
        found = thing_in_loop(self.look, within)
        if before is None or (before & within).sum() > _ANEW * before.sum():
            return found
        return before | found

    def _cost(self, stroke: Stroke) -> Tensor:
        """`(h, w)` what paths from a stroke to each place cost."""
        if stroke.places not in self._costs:
            seeds = places_on_grid(self.look, stroke.places, self._lab)
            self._costs[stroke.places] = cost_from(seeds, self._edges)
        return self._costs[stroke.places]

    def _nearer(self, stroke: Stroke, strokes: Sequence[Stroke]) -> Tensor:
        """`(h, w)` bool: what is nearer to a stroke than to any that says the contrary."""
        others = [self._cost(one) for one in strokes if one.inside != stroke.inside]
        away = self._cost(stroke)
        return away < torch.stack(others).amin(0) if others else away.isfinite()

    def _dragged(self, stroke: Stroke, strokes: Sequence[Stroke]) -> np.ndarray:
        """`(H, W)` bool: what a drag alone would select, no farther from it than it is long."""
        away = self._cost(stroke)
        seed, grid = away == 0, torch.ones_like(away).nonzero().float()
        at = seed.nonzero().float()
        length = float((at.amax(0) - at.amin(0)).norm())
        distance = torch.cdist(grid, at).amin(1).reshape(away.shape)
        near = self._nearer(stroke, strokes) & (distance <= max(_LEAST_REACH, _BESIDE * length))
        most = max(_LEAST / away.numel(), min(_LARGEST, _DRAGGED * length**2 / away.numel()))
        alone = self._proposed([stroke], None, largest=most)
        part = connected((_on_grid(alone, away) & near) | seed, seed)
        wider = F.max_pool2d(part[None, None].float(), 3, 1, 1)  # edges are finer than the grid
        return alone & _at(wider[0, 0], alone.shape)

    def _is_drag(self, stroke: Stroke, before: np.ndarray) -> bool:
        """Whether a stroke goes over much, beside the region that it corrects."""
        at = (self._cost(stroke) == 0).nonzero().float()
        length, region = float((at.amax(0) - at.amin(0)).norm()), _on_grid(before, self._lab[0])
        return len(at) >= _DRAG and length**2 >= _LONG * float(region.sum())

    def _has(self, found: np.ndarray, stroke: Stroke) -> bool:
        """Whether a region `(H, W)` bool has most of what is nearest to a stroke."""
        away = self._cost(stroke)
        least = away.flatten().sort().values[min(_LEAST, away.numel() - 1)]
        nearest = F.interpolate((away <= least)[None, None].float(), found.shape)[0, 0] > 0
        return bool(found[nearest.numpy()].mean() >= _AROUND)

    def _proposed(
        self, strokes: Sequence[Stroke], base: np.ndarray | None, *, largest: float = _LARGEST
    ) -> np.ndarray:
        """`(H, W)` bool: the region of all of some strokes at once, of that share at most."""
        edges = self._edges
        mine = [(self._cost(one), one.size) for one in strokes if one.inside]
        nothing = torch.full(image_size(self._lab), torch.inf)
        near = torch.stack([nothing, *(away for away, _ in mine)]).amin(0)
        region = nothing < 0 if base is None else _on_grid(base, nothing)
        for away, size in mine:
            region = _with_clearest_edges(away, edges, region, size=size, largest=largest)
        for one in strokes:
            if not one.inside:
                away = self._cost(one)
                allowed = torch.where(away < near, away, torch.inf)
                region = _with_clearest_edges(allowed, edges, region, size=0.5, takes=True)
        inside = [place for one in strokes if one.inside for place in one.places]
        outside = [place for one in strokes if not one.inside for place in one.places]
        found = _at(by_color(self.look, region, inside, outside), self.look.size)
        is_new = base is None and len(strokes) == 1
        while is_new and not self._has(found, strokes[0]) and region.sum() > _LEAST:
            # Its colours are not those of the click: a smaller region is meant.
            empty, most = torch.zeros_like(region), 0.5 * float(region.float().mean())
            region = _with_clearest_edges(near, edges, empty, size=mine[0][1], largest=most)
            found = _at(by_color(self.look, region, inside, outside), self.look.size)
        return found


def _on_grid(pixels: np.ndarray, like: Tensor) -> Tensor:
    """`(h, w)` bool: the steps of the grid that are more than half in `(H, W)` bool."""
    whole = torch.from_numpy(pixels)[None, None].float()
    return F.interpolate(whole, like.shape, mode="area")[0, 0] > 0.5


def _parts_at(region: np.ndarray, places: Sequence[tuple[float, float]]) -> np.ndarray:
    """`(H, W)` bool: the parts of a region that a stroke goes over; the nearest where over none."""
    parts = islands(region)
    high, wide = region.shape
    xy = np.asarray(places, dtype=np.float64).reshape(-1, 2)
    lines = [xy[:1]]
    for start, end in itertools.pairwise(xy):
        steps = np.linspace(0, 1, 2 + int(np.abs(end - start).max()))[1:, None]
        lines.append(start + steps * (end - start))
    at = np.rint(np.concatenate(lines)).clip([0, 0], [wide - 1, high - 1]).astype(int)
    numbers = np.unique(parts[at[:, 1], at[:, 0]])
    if not numbers.any() and region.any():
        rows, columns = np.nonzero(region)
        nearest = np.hypot(columns - xy[0, 0], rows - xy[0, 1]).argmin()
        numbers = parts[rows[nearest], columns[nearest]]
    return region & np.isin(parts, numbers)


def _without_specks(now: np.ndarray, before: np.ndarray, meant: np.ndarray) -> np.ndarray:
    """A region without tiny parts that a stroke has left over or added: nobody sees them.

    Args:
        now, before: `(H, W)` bool, after and before it. meant: `(H, W)` bool, what it said.
    """
    parts = islands(now)
    sizes = np.bincount(parts.ravel())
    tiny = sizes < max(_SPECK, _TINY * int(now.sum()))
    tiny[0] = False
    tiny[np.unique(parts[meant])] = False
    whole = islands(before) if tiny.any() else parts
    for number in np.flatnonzero(tiny):
        was = np.unique(whole[parts == number])
        if len(was) == 1 and was[0] and np.count_nonzero(whole == was[0]) == sizes[number]:
            tiny[number] = False  # as it was
    return now & ~tiny[parts]


def _around(change: np.ndarray, away: Tensor) -> np.ndarray:
    """Of `(H, W)` bool changes, those that hang together with a stroke: where it costs 0."""
    part = connected(_on_grid(change, away) | (away == 0), away == 0)
    wider = F.max_pool2d(part[None, None].float(), 3, 1, 1)  # edges are finer than the grid
    return change & _at(wider[0, 0], change.shape)


def _correction(
    change: np.ndarray,
    away: Tensor,
    nearer: Tensor,
    edges: Sequence[tuple[int, int, np.ndarray]],
    *,
    most: float,
) -> np.ndarray:
    """`(H, W)` bool: where a stroke may change the region.

    Args:
        change: `(H, W)` bool, what would be changed. away: `(h, w)` what paths from the stroke
            cost. nearer: `(h, w)` bool, no stroke that says the contrary is as near.
        most: places of the grid; of more, those are meant that end at the clearest edges.
    """
    seed = away == 0
    part = connected((_on_grid(change, away) & nearer) | seed, seed)
    rest = (~part).nonzero().float()
    distance = (
        torch.cdist(torch.ones_like(away).nonzero().float(), seed.nonzero().float())
        .amin(1)
        .reshape(away.shape)
    )
    if len(rest):
        reach = max(_LEAST_REACH, _REACH * float(distance[~part].min()))
        part = connected(part & (distance <= reach), seed)
    if int(part.sum()) > most:
        reached = away[part].sort().values
        counts = np.geomspace(min(_LEAST, most), most, _LIMITS).round().astype(int)
        best, found = -1.0, seed
        for count in np.unique(counts):
            some = (part & (away <= reached[max(0, count - 1)])) | seed
            contrast = _contrast(some.numpy(), edges) * float(some.float().mean()) ** _SMALLER
            if contrast > best:
                best, found = contrast, some
        part = connected(found, seed)
    wider = F.max_pool2d(part[None, None].float(), 3, 1, 1)  # edges are finer than the grid
    if int(part.sum()) == int(seed.sum()):
        wider = part[None, None].float()
    return _at(wider[0, 0], change.shape)


def _with_clearest_edges(
    away: Tensor,
    edges: Sequence[tuple[int, int, np.ndarray]],
    before: Tensor,
    *,
    size: float,
    takes: bool = False,
    largest: float = _LARGEST,
) -> Tensor:
    """A region with more to it, or less: of all limits, that with the clearest edges then.

    Args:
        away: `(h, w)` cost from the click. before: `(h, w)` bool, the region so far.
        takes: whether the places within the limit are taken away. largest: share of the frame.

    Returns:
        `(h, w)` bool; `before` where the click says nothing new.
    """
    reached = away[away.isfinite()].sort().values
    if not len(reached):
        return before
    seed = away == reached[0]
    if bool(before.any()) and bool(before[seed].any()) != takes:
        return before
    whole = int(largest * away.numel())
    if bool(before.any()):
        share = _ELSEWHERE if _is_elsewhere(seed, before) else _CHANGE
        whole = max(_LEAST, int(share * before.sum()))
    most = max(1, min(len(reached) - 1, whole))
    least = min(_LEAST, most)
    counts = np.unique(np.geomspace(least, most, _LIMITS).round().astype(int))
    limits = [float(reached[count]) for count in counts]
    if size != 0.5:
        return before | (away <= limits[round(size * (len(limits) - 1))])
    best, found = -1.0, before
    for limit in limits:
        within = away <= limit
        region = (before & ~within if takes else before | within).numpy()
        contrast = _contrast(region, edges) * min(region.mean(), _USUAL) ** _SMALLER
        if contrast > best:
            best, found = contrast, torch.from_numpy(region)
    return found


def _is_elsewhere(seed: Tensor, region: Tensor) -> bool:
    """Whether a place is farther from a region than half the width of a disc of its size."""
    away = torch.cdist(seed.nonzero()[:1].float(), region.nonzero().float()).min()
    return bool(away > (region.sum() / torch.pi).sqrt())


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


def _at(share: Tensor, size: tuple[int, ...]) -> np.ndarray:
    """`(h, w)` shares at the frame's size: `(H, W)` bool, without the grid's steps."""
    full = F.interpolate(share[None, None], size=list(size), mode="bilinear")[0, 0]
    return (full > 0.5).numpy()
