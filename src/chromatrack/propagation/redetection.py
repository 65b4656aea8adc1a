"""Lost and found: when an object is gone, and where it comes back.

Beside the memory bank, which forgets, every object keeps a few views of itself: cells of its own
and cells of what was around it, of the marked frame and of later frames that were sure and looked
different. They answer, for any cell of any frame: more like the object, or more like the rest?
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.affinity import tiled_affinity
from chromatrack.propagation.config import PropagateConfig
from chromatrack.propagation.exemplars import (
    MARGIN,
    Exemplar,
    PlacedExemplar,
    Surroundings,
    coarse_factor,
    coarser,
    fit,
    keep_view,
    likeness,
    middle,
    put_back,
    surroundings,
    take_view,
    thinned,
)
from chromatrack.propagation.memory_bank import Reference
from chromatrack.propagation.propagate import FrameMarks

_AROUND = 4  # cells around its place in which a found object's cells are copied from its view
_EVERY = 5  # frames between two looks at whether a view is worth keeping
_JUDGED = 1024  # of an object's cells, evenly spread, that it is judged by
_PATIENCE = 3  # frames in doubt after which an object is lost
_CONFIRM = 2  # frames on which a candidate must stand before it is believed
_REGROW = 8  # frames for which a found object's view stands beside the recent frames
_MOST_EVIDENCE = 1.5  # of a cell's looks against what the pointer copied, in e-folds
_UNHELD = 0.05  # what an object close by is given of a cell it does not hold, to contest it
_UNLIKE = 0.22  # how much less like its views than usual a found object may be
_DOUBTFUL = 0.06  # of the change from sure to unsure, in likeness
_SOFT = 0.03  # of the change from "not it" to "it", in likeness


@dataclass
class ObjectMemory:
    """What is known of one object.

    usual: by how much its cells are more like its own views than like the rest, when it is seen
    well. like: how like its views they are then. area: in cells, when last seen well. place:
    `(2,)` xy in cells, where last seen.
    """

    views: list[Exemplar] = field(default_factory=list)
    lost: bool = False
    usual: float = 0.1
    like: float = 0.8
    area: float = 0.0
    place: Tensor | None = None
    doubt: int = 0
    hidden: int = 0
    candidate: Tensor | None = None
    stood: int = 0
    confidence: float = 0.0
    fresh: bool = True
    before: Surroundings | None = None
    recalled: PlacedExemplar | None = None

    @property
    def floor(self) -> float:
        """The margin below which what is labelled is no longer believed to be the object."""
        return min(self.usual - 0.2, -0.1)

    @property
    def accept(self) -> float:
        """The margin from which something seen anywhere in the frame is taken for the object."""
        return self.usual - max(0.06, 0.45 * abs(self.usual))


@dataclass
class Redetector:
    """All objects of a pass; `settle` is called on every frame with what the pointer copied.

    regions: label channels of objects that share cells. boxes: of those that do not.
    """

    regions: Sequence[int]
    boxes: Sequence[int]
    config: PropagateConfig
    bodies: dict[int, ObjectMemory] = field(default_factory=dict)
    marked: dict[int, Surroundings] = field(default_factory=dict)
    recent: deque[Surroundings] = field(default_factory=lambda: deque(maxlen=8))

    def settle(
        self,
        index: int,
        features: Tensor,
        painted_over: Tensor,
        given: FrameMarks | None,
        *,
        cut: bool,
    ) -> tuple[Tensor, Tensor]:
        """Take out what is lost, put in what is found.

        Args:
            features: `(C, h, w)`. painted_over: `(L, h, w)`, what was copied and what the user
                painted over it. cut: a scene cut lies before this frame: nothing copied holds.

        Returns:
            `(L, h, w)` label map (regions and boxes only are changed; background is not made up
            for), and `(L,)` bool, False for objects about which the frame says nothing.
        """
        label_map = painted_over.clone()
        known = torch.ones(len(label_map), dtype=torch.bool, device=features.device)
        around = surroundings(index, features, label_map, margin=2)
        if given is not None:
            self.marked[index] = surroundings(index, features, label_map)
        self._contest(features, label_map, given)
        for channel in [*self.regions, *self.boxes]:
            body = self.bodies.setdefault(channel, ObjectMemory())
            if given is not None and bool(given.painted[channel]):
                self._renew(body, channel, index, features, label_map[channel])
            elif body.views:
                if not body.lost:
                    self._judge(body, channel, index, features, label_map[channel], cut=cut)
                if body.lost:
                    found = self._search(body, channel, features)
                    if channel in self.regions:
                        label_map[list(self.regions)] *= 1 - found
                    label_map[channel] = found
            if body.lost or not body.views:
                label_map[channel] = 0
                known[channel] = False
        self.recent.append(around)
        return label_map, known

    def reference(self, index: int, size: tuple[int, int], labels: int) -> Reference | None:
        """The views of objects found lately, put back where they were found, as one reference."""
        found = {c: body.recalled for c, body in self.bodies.items() if body.recalled is not None}
        if not found:
            return None
        some = next(iter(found.values())).view.features
        features = some.new_zeros(len(some), *size)
        label_map, trust = some.new_zeros(labels, *size), some.new_zeros(labels)
        for channel, recalled in found.items():
            trust[channel] = 1
            put_back(recalled, features, label_map[channel])
            body = self.bodies[channel]
            steps = recalled.steps - 1
            body.recalled = replace(recalled, steps=steps) if steps > 0 else None
        return Reference(index, features, label_map, self.config.recent_radius, trust)

    def _contest(self, features: Tensor, label_map: Tensor, given: FrameMarks | None) -> None:
        """Let regions that meet contest their cells, in place: each goes to what it looks like.

        The pointer's recent frames pass mistakes on; where look-alikes cross, the views decide.
        """
        bodies = {c: b for c in self.regions if (b := self.bodies.get(c)) and b.views}
        able = [c for c, b in bodies.items() if not b.lost]
        if given is not None:
            able = [c for c in able if not bool(given.painted[c])]
        if len(able) < 2:
            return
        labels = label_map[able]
        near = F.max_pool2d(labels[None], 2 * MARGIN + 1, 1, MARGIN)[0] > 0.3
        cells = ((near.sum(0) > 1) & (labels.sum(0) > 0.3)).flatten().nonzero()[:, 0]
        if len(cells) == 0:
            return
        some = features.flatten(1).T[cells]
        like = torch.stack(
            [likeness(some, torch.cat([v.own for v in bodies[c].views])) for c in able]
        )
        like = like.masked_fill(~near.flatten(1)[:, cells], -1.0)
        evidence = ((like - like.amax(0)) / _SOFT).clamp(min=-_MOST_EVIDENCE).exp()
        held = labels.flatten(1)[:, cells]
        share = (held + _UNHELD * near.flatten(1)[:, cells]) * evidence
        share = share / share.sum(0) * held.sum(0)
        flat = label_map.view(len(label_map), -1)
        flat[torch.tensor(able)[:, None], cells[None, :]] = share

    def _rest(self, body: ObjectMemory, channel: int) -> Tensor:
        """Cells `(m, C)` that are not the object: around it in its views, and of whole frames."""
        frames = [*self.marked.values()] + ([body.before] if body.before is not None else [])
        near = [view.around for view in body.views]
        return torch.cat([*near, *(frame.without(channel) for frame in frames)])

    def _margin(self, body: ObjectMemory, channel: int, cells: Tensor) -> tuple[Tensor, Tensor]:
        """How much more cells `(n, C)` are like the object than like the rest, and how like it."""
        own = likeness(cells, torch.cat([view.own for view in body.views]))
        return own - likeness(cells, self._rest(body, channel)), own

    def _renew(
        self, body: ObjectMemory, channel: int, index: int, features: Tensor, labels: Tensor
    ) -> None:
        """The user painted the object here, or declared it lost."""
        body.doubt = body.hidden = body.stood = 0
        body.candidate = body.recalled = None
        body.lost = not bool((labels > 0).any())
        body.confidence = float(not body.lost)
        if body.lost:
            body.before = None
            return
        body.views = [take_view(index, features, labels)]
        body.area, body.place = float(labels.sum()), middle(labels)
        strong = features.flatten(1).T[labels.flatten() >= min(0.5, float(labels.max()))]
        body.usual = float(self._margin(body, channel, strong)[0].mean())
        body.fresh = True

    def _judge(
        self,
        body: ObjectMemory,
        channel: int,
        index: int,
        features: Tensor,
        labels: Tensor,
        *,
        cut: bool,
    ) -> None:
        """Is what was copied still the object?"""
        flat = labels.flatten()
        core = flat > 0.4
        mass = float(flat[core].sum())
        if cut or mass < max(0.5, 0.06 * body.area):
            self._lose(body)
            return
        core = thinned(core.nonzero()[:, 0], _JUDGED)
        weight = flat[core] / flat[core].sum()
        margins, own = self._margin(body, channel, features.flatten(1).T[core])
        margin, like = float((margins * weight).sum()), float((own * weight).sum())
        if body.fresh:  # the marked frame's own cells are more like themselves than any later ones
            body.usual, body.like, body.fresh = margin, like, False
        halfway = body.floor + 0.25 * (body.usual - body.floor)
        body.confidence = 1 / (1 + math.exp(-(margin - halfway) / _DOUBTFUL))
        if margin < body.floor:
            body.doubt += 1
            if body.doubt >= _PATIENCE:
                self._lose(body)
            return
        body.doubt = 0
        if margin > body.usual - 0.05:
            body.usual += 0.05 * (margin - body.usual)
            body.like += 0.05 * (like - body.like)
            body.area += (0.2 if mass > body.area else 0.03) * (mass - body.area)
        body.place = middle(labels)
        if index % _EVERY == 0 and margin > max(0.05, 0.5 * body.usual):
            keep_view(body.views, take_view(index, features, labels))

    def _lose(self, body: ObjectMemory) -> None:
        body.lost, body.hidden, body.stood, body.doubt = True, 0, 0, 0
        body.candidate, body.recalled, body.confidence = None, None, 0.0
        body.before = self.recent[0] if self.recent else None

    def _search(self, body: ObjectMemory, channel: int, features: Tensor) -> Tensor:
        """Look for a lost object in the whole frame; its labels `(h, w)`, 0 while not found."""
        body.hidden += 1
        size = (features.shape[1], features.shape[2])
        factor = coarse_factor(size)
        coarse = coarser(features, factor)
        found = self._candidate(body, channel, coarse, factor)
        nothing = features.new_zeros(size)
        if found is None:
            body.candidate, body.stood = None, 0
            return nothing
        place, confidence = found
        near = body.candidate is not None and float((place - body.candidate).norm()) < 5
        body.stood = body.stood + 1 if near else 1
        body.candidate = place
        if body.stood < _CONFIRM:
            return nothing
        labels = self._put_back(body, features, place)
        if float(labels.sum()) < max(0.5, 0.06 * body.area):
            return nothing
        body.lost, body.doubt, body.confidence = False, 0, confidence
        body.place, body.candidate = middle(labels), None
        return labels

    def _put_back(self, body: ObjectMemory, features: Tensor, place: Tensor) -> Tensor:
        """Labels `(h, w)` of a found object: the best view laid over the place, and copied."""
        C, h, w = features.shape
        fits = [(fit(view, features, place), view) for view in body.views]
        (_, corner), view = max(fits, key=lambda pair: pair[0][0])
        body.recalled = PlacedExemplar(view, corner, _REGROW)
        canvas, labels = features.new_zeros(C, h, w), features.new_zeros(h, w)
        put_back(body.recalled, canvas, labels)
        pointer = tiled_affinity(
            features,
            canvas[None],
            radius=[_AROUND],
            top_k=self.config.top_k or (2 * _AROUND + 1) ** 2,
            temperature=self.config.temperature,
        )
        return pointer.readout(labels[None, None])[0]

    def _candidate(
        self, body: ObjectMemory, channel: int, coarse: Tensor, factor: int
    ) -> tuple[Tensor, float] | None:
        """The best place, `(2,)` xy in cells, and the confidence in it."""
        C, h, w = coarse.shape
        cells = coarse.reshape(C, -1).T
        margin, own = self._margin(body, channel, cells)
        heat = ((margin - body.accept) / _SOFT).sigmoid() * (own > max(0.4, body.like - _UNLIKE))
        smooth = F.avg_pool2d(heat.reshape(1, 1, h, w), 3, 1, 1)[0, 0]
        peak = int(smooth.argmax())
        radius = math.sqrt(max(body.area, 1.0) / math.pi) * 1.6 / factor + 1
        y = torch.arange(h, device=coarse.device)[:, None] - peak // w
        x = torch.arange(w, device=coarse.device)[None, :] - peak % w
        region = (x * x + y * y <= radius * radius) & (heat.reshape(h, w) > 0.5)
        mass = float(region.sum()) * factor * factor
        if mass < max(1.0, 0.12 * body.area):
            return None
        if self._agreement(body, cells, region) < 0.3:
            return None
        place = torch.tensor([float(peak % w), float(peak // w)], device=coarse.device) * factor
        return place, float(heat[region.flatten()].mean())

    def _agreement(self, body: ObjectMemory, cells: Tensor, region: Tensor) -> float:
        """Backward check: the share of the object's cells that point into the region."""
        wide = F.max_pool2d(region[None, None].float(), 3, 1, 1)[0, 0].flatten() > 0
        shares = []
        for view in body.views:
            best = (view.own @ cells.T).max(1)
            weight = (best.values - 0.4).clamp(min=0)
            shares.append(float((weight * wide[best.indices]).sum() / weight.sum().clamp(min=1e-6)))
        return max(shares)
