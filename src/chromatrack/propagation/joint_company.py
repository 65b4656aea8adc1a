"""A skeleton's joints keep each other company: one that leaves where the others go has jumped.

Likeness alone takes the left leg for the right one. A joint is expected where it was, moved as the
joints near it moved, or as most of the body did; how far off both it is found says whether it may
be called seen there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.structures import LabelName

LEAST = 4
"""Joints of a skeleton that must be seen on a frame and the one before to tell how it moves."""

OFF = 0.18
"""How far off a joint may be, in sizes of the body; limbs move by less from frame to frame."""

_OFF_MORE = 0.1
"""The same grows by this share for each frame that it is hidden."""
_NEAR = 0.3
"""Width, in sizes of the body, of the say that joints have in where one near them is expected."""
_DOUBTED = 0.5
"""What is left of the confidence of a joint that is off."""


def skeletons(names: Sequence[LabelName]) -> tuple[Tensor, ...]:
    """Of each skeleton among points, the rows of its joints: `(G,)` int64."""
    rows: dict[int, list[int]] = {}
    for row, (kind, number, _) in enumerate(names):
        if kind == "joint":
            rows.setdefault(number, []).append(row)
    return tuple(torch.tensor(some) for some in rows.values())


@dataclass(frozen=True)
class Company:
    """Where joints are expected, before a frame is looked at.

    groups: rows of each skeleton's joints. xy: `(P, 2)` cells, where each was seen, moved on
    with the others since. hidden: `(P,)` frames since; -1 where nothing is expected.
    """

    groups: tuple[Tensor, ...]
    xy: Tensor = field(default_factory=lambda: torch.zeros(0, 2))
    hidden: Tensor = field(default_factory=lambda: torch.zeros(0))

    def regrouped(self, groups: tuple[Tensor, ...], rows: Sequence[int]) -> Company:
        """Of other points: `rows` of these first, new ones behind them."""
        kept = [row for row in rows if row < len(self.xy)]
        there = tuple(group.to(self.xy.device) for group in groups)
        return Company(there, self.xy[kept], self.hidden[kept])

    def doubted(self, xy: Tensor, confidence: Tensor) -> Tensor:
        """Confidence `(P,)` of points found at `xy` `(P, 2)`, less where joints are off."""
        kept = self._grown(xy)
        out = confidence.clone()
        for group in kept.groups:
            body = kept._body(group, confidence)
            steps = xy[group] - kept.xy[group]
            moved = _medians(steps, body.near), _medians(steps, body.all)
            far = torch.stack([(steps - m).norm(dim=1) for m in moved]).amin(0)
            may = OFF * (1 + _OFF_MORE * kept.hidden[group]) * body.size
            off = (far > may) & (kept.hidden[group] >= 0) & body.tells
            out[group] = torch.where(off, _DOUBTED * out[group], out[group])
        return out

    def followed(self, xy: Tensor, visible: Tensor) -> Company:
        """What is expected after a frame on which points were found so."""
        kept = self._grown(xy)
        place, hidden = kept.xy.clone(), torch.full_like(kept.hidden, -1)
        for group in kept.groups:
            body = kept._body(group, visible.float())
            step = _medians(xy[group] - kept.xy[group], body.near)
            place[group] += torch.where(body.tells, step, 0)
            was = kept.hidden[group]
            hidden[group] = torch.where((was >= 0) & body.tells, was + 1, -1)
        return replace(
            kept,
            xy=torch.where(visible[:, None], xy, place),
            hidden=torch.where(visible, 0, hidden),
        )

    def _grown(self, xy: Tensor) -> Company:
        """With room for points that came since, where the others are."""
        more = len(xy) - len(self.xy)
        if more <= 0:
            return self
        hidden = F.pad(self.hidden.to(xy), (0, more), value=-1)
        there = tuple(group.to(xy.device) for group in self.groups)
        return Company(there, F.pad(self.xy.to(xy), (0, 0, 0, more)), hidden)

    def _body(self, group: Tensor, weight: Tensor) -> _Body:
        """Joints that were not seen on the last frame, or weigh little on this, have no say."""
        say = weight[group] * (self.hidden[group] == 0)
        seen, places = (say > 0.5)[:, None], self.xy[group]
        high = torch.where(seen, places, -torch.inf).amax(0)
        low = torch.where(seen, places, torch.inf).amin(0)
        size = (high - low).clamp(min=1).prod().sqrt()
        every = say.expand(len(say), -1).clone().fill_diagonal_(0)
        near = torch.exp(-((torch.cdist(places, places) / (_NEAR * size)) ** 2) / 2)
        return _Body(every * near, (every > 0).float(), size, seen.sum() >= LEAST)


@dataclass(frozen=True)
class _Body:
    """What joints of a skeleton say of each other: `(G, G)`, of those near, and of all.

    size: of those seen, in cells. tells: whether they are enough.
    """

    near: Tensor
    all: Tensor
    size: Tensor
    tells: Tensor


def _medians(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted medians by component: values `(G, 2)`, a row of weights `(G, G)` each: `(G, 2)`."""
    columns = []
    for value in values.unbind(1):
        order = value.argsort()
        running = weights[:, order].cumsum(1)
        columns.append(value[order][(running >= running[:, -1:] / 2).int().argmax(1)])
    return torch.stack(columns, 1)
