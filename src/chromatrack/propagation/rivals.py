"""Whose is a cell? Regions that claim the same ones, and what decides: looks, and place.

Look-alikes claim each other's cells wherever the pointer's windows reach. Where a region is
expected, from where it was and how it moved, tells them apart as long as their ways do. Regions
that look unlike each other need no such help, and it would do harm: what stands still is covered
by what passes in front of it, and expected there all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import torch
from torch import Tensor

from chromatrack.ops.compiled import window_max
from chromatrack.propagation.exemplars import MARGIN, likeness, thinned

NEAR = 0.3
"""Share of a cell from which a region is near it, or regions hold it together."""
_UNHELD = 0.05
"""What a region close by is given of a cell it does not hold, to contest it."""
_CLOSE = 2.0
"""Cells from its expected place up to which a region is close by."""
_MOST_BY_LOOKS = 1.5
"""Say of a cell's looks against what the pointer copied, at most, in e-folds."""
SOFT = 0.03
"""Width of the change from "not it" to "it", in likeness."""
_CLAIMED = 0.05
"""Share from which regions claim a cell."""
_SLACK, _SPREAD = 0.5, 0.8
"""Cells off its expected place at which a region claims as well as on it; falls like a Gauss curve
of that width beyond."""
_MOST_BY_PLACE = 4.0
"""Say of the place, at most, in e-folds."""
_FOLLOWED = 0.3
"""Share of a frame's step in a region's mean step."""
_UNSEEN = 40
"""Frames for which a region that meets another, or is lost, is expected by its way alone."""

_DOUBLES = 0.6
"""Of its likeness to itself later on, from which an object looks like another one: rendered doubles
have 0.77 and more; an inline skater and the window behind her 0.45 at most."""
_LIKE_LATER = 0.7
"""That likeness until it has been measured, a frame after the mark."""
_COMPARED = 64
"""Cells of an object that are compared with another one's."""


@dataclass(frozen=True)
class Way:
    """Where a region was last seen apart from others, and how it moved.

    cells: `(n, 2)` xy, held then. step: `(2,)` cells a frame. frames: since then.
    """

    cells: Tensor
    step: Tensor
    frames: int = 0

    @property
    def expected(self) -> Tensor:
        """`(n, 2)` xy of its cells on the frame that comes next."""
        return self.cells + self.step * (self.frames + 1)


@dataclass
class Ways:
    """Of all regions of a pass, by channel. Regions alone on a frame are not looked at."""

    known: dict[int, Way] = field(default_factory=dict)

    def fork(self) -> Ways:
        """A copy that goes its own way."""
        return Ways(dict(self.known))

    def relabel(self, channels: Mapping[int, int]) -> None:
        """Move all to other channels: old -> new, of those that stay."""
        self.known = {channels[c]: way for c, way in self.known.items() if c in channels}

    def forget(self) -> None:
        """Nothing is where it was: a scene cut, or frames in between that were not seen."""
        self.known.clear()

    def contest(
        self,
        label_map: Tensor,
        seen: Sequence[int],
        lost: Sequence[int],
        are_doubles: Callable[[int, int], bool] = lambda one, other: True,
    ) -> set[int]:
        """Let each region have the cells where it, and not its double, is expected; in place.

        What is expected of a lost one is kept from its doubles, until it is found or given up.

        Args:
            label_map: `(L, h, w)`, as copied. seen, lost: channels of regions. are_doubles: whether
                two channels look alike.

        Returns:
            The channels whose ways meet those of doubles on this frame.
        """
        hidden = [c for c in lost if c in self.known and self.known[c].frames]
        channels, ways = [*seen, *hidden], self.known
        rivals = [c for c in channels if c in ways]
        if len(rivals) < 2:
            return set()
        size = (label_map.shape[1], label_map.shape[2])
        around = {c: window_max(_drawn(ways[c].expected, size)[None], 1)[0] > 0 for c in rivals}
        pairs = [pair for pair in combinations(rivals, 2) if _overlap(*(around[c] for c in pair))]
        meeting = {c for pair in pairs if are_doubles(*pair) for c in pair}
        claims = {c: label_map[c] > _CLAIMED for c in channels}
        off = torch.stack([claims[c] & ~around[c] for c in rivals]).any(0)
        cells = off.flatten().nonzero()[:, 0]
        if len(cells):
            far = _distances(cells, size, [ways.get(c) for c in channels])
            flat, rows = label_map.view(len(label_map), -1), torch.tensor(channels)[:, None]
            known = far.new_tensor([c in ways for c in channels], dtype=torch.bool)[:, None]
            close, held = (far <= _CLOSE) & known, flat[rows, cells]
            holder = held.argmax(0)
            alike = _doubles_of(holder, close | (held > 0), channels, are_doubles)
            says = -(((far - _SLACK).clamp(min=0) / _SPREAD) ** 2) / 2
            says = torch.where(alike, says, says.gather(0, holder[None]))
            says = (says - says.amax(0)).clamp(min=-_MOST_BY_PLACE)
            flat[rows, cells] = _shared(held, close & alike, says)
        return meeting

    def follow(
        self,
        label_map: Tensor,
        *,
        seen: Collection[int],
        meeting: Collection[int],
        painted: Collection[int],
    ) -> None:
        """Note where regions are, once their cells are settled.

        Args:
            seen: channels of regions that are on the frame. meeting: as of `contest`. painted: of
                those that the user painted, with which all begins anew.
        """
        self.known = {c: way for c, way in self.known.items() if c not in painted}
        for channel in {*self.known, *seen}:
            way = self.known.get(channel)
            waits = channel in meeting or channel not in seen
            if way is not None and waits and way.frames < _UNSEEN:
                self.known[channel] = replace(way, frames=way.frames + 1)
                continue
            cells = _held(label_map[channel]) if channel in seen else label_map.new_zeros(0, 2)
            if not len(cells):
                self.known.pop(channel, None)
                continue
            step = cells.new_zeros(2)
            if way is not None:
                step = way.step
                if not way.frames:
                    step = step + _FOLLOWED * (cells.mean(0) - way.cells.mean(0) - step)
            self.known[channel] = Way(cells, step)


def look_alike(one: tuple[Tensor, float | None], other: tuple[Tensor, float | None]) -> bool:
    """Whether either of two regions looks like the other about as much as like itself later on.

    Args:
        one, other: looks `(n, C)` of a region's cells in its views, and how like them it is on
            later frames; None: that is not known yet.
    """
    return max(_likeness_to(*one, other[0]), _likeness_to(*other, one[0])) >= _DOUBLES


def _likeness_to(own: Tensor, later: float | None, others: Tensor) -> float:
    """How like a region's cells are to another's, as a share of how like its own they stay."""
    like = float(likeness(thinned(own, _COMPARED), others).mean())
    return like / (_LIKE_LATER if later is None else later)


def contest_by_looks(looks: Tensor, label_map: Tensor, own: Mapping[int, Tensor]) -> None:
    """Let regions that meet contest their cells, in place: each goes to what it looks like.

    The pointer's recent frames pass mistakes on; where look-alikes cross, the views decide.

    Args:
        looks: `(C, h, w)`. own: region channel -> looks `(n, C)` of its cells in its views.
    """
    if len(own) < 2:
        return
    labels = label_map[[*own]]
    near = window_max(labels, MARGIN) > NEAR
    cells = ((near.sum(0) > 1) & (labels.sum(0) > NEAR)).flatten().nonzero()[:, 0]
    if len(cells) == 0:
        return
    some, close = looks.flatten(1).T[cells], near.flatten(1)[:, cells]
    like = torch.stack([likeness(some, views) for views in own.values()])
    like = like.masked_fill(~close, -1.0)
    says = ((like - like.amax(0)) / SOFT).clamp(min=-_MOST_BY_LOOKS)
    flat, rows = label_map.view(len(label_map), -1), torch.tensor([*own])[:, None]
    flat[rows, cells] = _shared(flat[rows, cells], close, says)


def _overlap(one: Tensor, other: Tensor) -> bool:
    return bool((one & other).any())


def _doubles_of(
    holder: Tensor,
    wanted: Tensor,
    channels: Sequence[int],
    are_doubles: Callable[[int, int], bool],
) -> Tensor:
    """Whether each region is the one that holds a cell most, or a double of it: `(R, n)` bool.

    Args:
        holder: `(n,)` rows of `channels`. wanted: `(R, n)` bool, the regions that want the cells;
            others are not looked at.
    """
    alike = torch.zeros_like(wanted)
    for row in holder.unique().tolist():
        mine = holder == row
        for other in (wanted & mine).any(1).nonzero()[:, 0].tolist():
            if other == row or are_doubles(channels[row], channels[other]):
                alike[other] |= mine
        alike[row] |= mine
    return alike


def _shared(held: Tensor, close: Tensor, says: Tensor) -> Tensor:
    """What regions hold of cells `(R, n)`, shared anew: `says` `(R, n)` is in e-folds."""
    share = (held + _UNHELD * close) * says.exp()
    return share / share.sum(0).clamp(min=1e-9) * held.sum(0)


def _held(label: Tensor) -> Tensor:
    """`(n, 2)` xy of the cells that a region holds."""
    return (label > NEAR).nonzero().flip(1).to(label)


def _drawn(cells: Tensor, size: tuple[int, int]) -> Tensor:
    """Cells `(n, 2)` xy, rounded, as a map `(h, w)` of 0 and 1."""
    x, y = cells.round().long().unbind(1)
    inside = (x >= 0) & (y >= 0) & (x < size[1]) & (y < size[0])
    drawn = cells.new_zeros(size)
    drawn[y[inside], x[inside]] = 1
    return drawn


def _distances(cells: Tensor, size: tuple[int, int], ways: Sequence[Way | None]) -> Tensor:
    """Cells from each of n (numbers, row-major) to where each region is expected: `(R, n)`.

    0 where nothing is known of a region.
    """
    places = torch.stack([cells % size[1], cells // size[1]], 1).float()
    return torch.stack(
        [
            places.new_zeros(len(places))
            if way is None
            else torch.cdist(places, way.expected).amin(1)
            for way in ways
        ]
    )
