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


def skeletons(names: Sequence[LabelName]) -> Tensor:
    """The skeleton's id of each of P points that is a joint, -1 of the others: `(P,)` int64."""
    return torch.tensor([i if kind == "joint" else -1 for kind, i, _ in names], dtype=torch.long)


@dataclass(frozen=True)
class Company:
    """Where joints are expected, before a frame is looked at.

    groups: `(P,)` skeleton of each, -1: none. xy: `(P, 2)` cells, where each was seen, moved on
    with the others since. hidden: `(P,)` frames since; -1 where nothing is expected.
    """

    groups: Tensor
    xy: Tensor = field(default_factory=lambda: torch.zeros(0, 2))
    hidden: Tensor = field(default_factory=lambda: torch.zeros(0))

    def regrouped(self, groups: Tensor, rows: Sequence[int]) -> Company:
        """Of other points: `rows` of these first, new ones behind them."""
        kept = [row for row in rows if row < len(self.xy)]
        return Company(groups, self.xy[kept], self.hidden[kept])

    def doubted(self, xy: Tensor, confidence: Tensor) -> Tensor:
        """Confidence `(P,)` of points found at `xy` `(P, 2)`, less where joints are off."""
        kept = self._grown(xy)
        out = confidence
        for group, size, near in kept._bodies(confidence):
            steps = xy[group] - kept.xy[group]
            of_all = _medians(steps, (near > 0).float())
            far = torch.stack([(steps - m).norm(dim=1) for m in (_medians(steps, near), of_all)])
            may = OFF * (1 + _OFF_MORE * kept.hidden[group])
            off = (far.amin(0) / size > may) & (kept.hidden[group] >= 0)
            out = out.clone()
            out[group] = torch.where(off, _DOUBTED * out[group], out[group])
        return out

    def followed(self, xy: Tensor, visible: Tensor) -> Company:
        """What is expected after a frame on which points were found so."""
        kept = self._grown(xy)
        place, hidden = kept.xy.clone(), torch.full_like(kept.hidden, -1)
        for group, _, near in kept._bodies(visible.float()):
            place[group] += _medians(xy[group] - kept.xy[group], near)
            was = kept.hidden[group]
            hidden[group] = torch.where(was >= 0, was + 1, was)
        return replace(
            kept,
            xy=torch.where(visible[:, None], xy, place),
            hidden=torch.where(visible, 0, hidden),
        )

    def _grown(self, xy: Tensor) -> Company:
        """With room for points that came since."""
        more = len(xy) - len(self.xy)
        groups = self.groups.to(xy.device)
        if more <= 0:
            return replace(self, groups=groups)
        hidden = F.pad(self.hidden.to(xy), (0, more), value=-1)
        return Company(groups, F.pad(self.xy.to(xy), (0, 0, 0, more)), hidden)

    def _bodies(self, weight: Tensor) -> list[tuple[Tensor, float, Tensor]]:
        """Of each skeleton that can be told of: rows `(G,)`, size in cells, say `(G, G)`.

        Joints that were not seen on the last frame, or weigh nothing on this, have no say.
        """
        bodies = []
        for number in self.groups.unique().tolist():
            group = (self.groups == number).nonzero()[:, 0]
            say = weight[group] * (self.hidden[group] == 0)
            if number < 0 or int((say > 0.5).sum()) < LEAST:
                continue
            places = self.xy[group]
            seen = places[say > 0.5]
            size = float((seen.amax(0) - seen.amin(0)).clamp(min=1).prod()) ** 0.5
            near = torch.exp(-((torch.cdist(places, places) / (_NEAR * size)) ** 2) / 2) * say
            bodies.append((group, size, near.fill_diagonal_(0)))
        return bodies


def _medians(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted medians by component: values `(G, 2)`, a row of weights `(G, G)` each: `(G, 2)`."""
    columns = []
    for value in values.unbind(1):
        order = value.argsort()
        running = weights[:, order].cumsum(1)
        columns.append(value[order][(running >= running[:, -1:] / 2).int().argmax(1)])
    return torch.stack(columns, 1)
