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
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.affinity import tiled_affinity
from chromatrack.ops.whitening import Whitening
from chromatrack.propagation.config import PropagateConfig
from chromatrack.propagation.exemplars import (
    Exemplar,
    PlacedExemplar,
    Surroundings,
    coarse_factor,
    coarser,
    fit,
    keep_view,
    likeness,
    likeness_to_rest,
    middle,
    pointing_back,
    put_back,
    strong_cells,
    surroundings,
    take_view,
    thinned,
)
from chromatrack.propagation.memory_bank import Reference
from chromatrack.propagation.propagate import FrameMarks
from chromatrack.propagation.relabeling import Relabeling
from chromatrack.propagation.rivals import SOFT, Ways, contest_by_looks, look_alike

_AROUND = 4
"""Cells around its place in which a found object's cells are copied from its view."""
_EVERY = 5
"""Frames between two looks at whether a view is worth keeping."""
_JUDGED = 1024
"""Of an object's cells, evenly spread, that it is judged by."""
_PATIENCE = 3
"""Frames in doubt after which an object is lost."""
_CONFIRM = 2
"""Frames on which a candidate must stand before it is believed."""
_REGROW = 8
"""Frames for which a found object's view stands beside the recent frames."""
_UNLIKE = 0.22
"""How much less like its views than usual a found object may be."""
_DOUBTFUL = 0.06
"""Width of the change from sure to unsure, in likeness."""
_DROP = 0.4
"""Margin that is lost before what is labelled is doubted: looks change by less."""
_FLOOR = -0.2
"""Margin above which nothing is doubted: it is about as much like itself as like the rest."""
_LEAST_SLACK = 0.02
"""Margin that a found object may miss of its usual one, however small that is."""
_SLACK = 0.6
"""The same as a share of its usual margin."""
_BEFORE = 8
"""Frames before an object was lost by whose surroundings it is recognised: later may hide it."""
_BLUR = 2
"""Cells around labels that say nothing of the rest: copied labels end about there."""
_CORE = 0.4
"""Share of a cell from which what was copied is judged: edges are mixed with the rest."""
_LEAST_CELLS = 0.5
"""Cells below which nothing is left of an object, however small it was."""
_LEAST_SHARE = 0.06
"""The same as a share of its area."""
_HALFWAY = 0.25
"""Where confidence is 1/2, from the margin that is doubted (0) to the usual one (1)."""
_WELL = 0.05
"""Margin below the usual one down to which an object is seen well enough to learn from."""
_LEARN = 0.05
"""Share of a frame in the running means of margin and likeness: about 20 frames count."""
_GROW = 0.2
"""The same of an area that grows: what was covered comes out within a few frames."""
_SHRINK = 0.03
"""The same of one that shrinks: what is being covered is not smaller."""
_VIEW_MARGIN = 0.05
"""Margin from which a frame shows an object well enough for a view."""
_VIEW_SHARE = 0.5
"""The same as a share of its usual margin."""
_STRIDE = 3
"""Cells that a hidden object may move from a frame to the next, where no cut lies between."""
_STEP = 5
"""Cells by which a candidate may move from a frame to the next."""
_LIKE = 0.8
"""Likeness of an object to its own views until it has been measured."""
_LEAST_LIKE = 0.4
"""Likeness below which a cell is never the object, and points at nothing."""
_SPREAD = 1.6
"""Radii of a disc of its area within which a candidate's cells lie: objects are no discs."""
_HOT = 0.5
"""Of 0 (not it) to 1 (it), from which a cell belongs to a candidate."""
_FOUND_CELLS = 1.0
"""Cells that a candidate has at least, however small the object is."""
_FOUND_SHARE = 0.12
"""The same as a share of its area: half of it may be covered, and half not alike."""
_AGREEMENT = 0.3
"""Share of a view's cells that must point back into a candidate."""


@dataclass
class ObjectMemory:
    """What is known of one object.

    usual: by how much its cells are more like its own views than like the rest, when it is seen
    well. like: how like its views they are then. area: in cells, when last seen well. place:
    `(2,)` xy in cells, where last seen; None: it may be anywhere.
    """

    views: list[Exemplar] = field(default_factory=list)
    lost: bool = False
    usual: float = 0.0
    like: float = _LIKE
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
        return min(self.usual - _DROP, _FLOOR)

    @property
    def accept(self) -> float:
        """The margin from which something seen anywhere in the frame is taken for the object."""
        return self.usual - max(_LEAST_SLACK, _SLACK * abs(self.usual))

    @property
    def reach(self) -> float:
        """Cells from where it was last seen to the farthest that it may be by now."""
        return _STEP + 2 * math.sqrt(self.area / math.pi) + _STRIDE * self.hidden

    @property
    def least(self) -> float:
        """Cells below which nothing of it is there."""
        return max(_LEAST_CELLS, _LEAST_SHARE * self.area)


@dataclass
class Redetector:
    """All objects of a pass; `settle` is called on every frame with what the pointer copied.

    regions: label channels of objects that share cells. boxes: of those that do not. whitening:
    from features to looks, in which likeness is measured; of the first marked frame.
    """

    regions: Sequence[int]
    boxes: Sequence[int]
    config: PropagateConfig
    objects: dict[int, ObjectMemory] = field(default_factory=dict)
    marked: dict[int, Surroundings] = field(default_factory=dict)
    recent: deque[Surroundings] = field(default_factory=lambda: deque(maxlen=_BEFORE))
    whitening: Whitening | None = None
    ways: Ways = field(default_factory=Ways)
    meeting: set[int] = field(default_factory=set)

    def fork(self) -> Redetector:
        """A copy that goes its own way."""
        objects = {c: replace(body, views=[*body.views]) for c, body in self.objects.items()}
        return replace(
            self,
            objects=objects,
            marked=dict(self.marked),
            recent=self.recent.copy(),
            ways=self.ways.fork(),
        )

    def relabel(self, way: Relabeling) -> None:
        """Move all labels to other channels, and forget the objects that are gone."""

        def moved(body: ObjectMemory) -> ObjectMemory:
            return replace(body, before=body.before and body.before.relabeled(way))

        channels = way.channels
        self.ways.relabel(channels)
        self.regions, self.boxes = way.new.region_channels, way.new.box_channels
        self.objects = {channels[c]: moved(b) for c, b in self.objects.items() if c in channels}
        self.marked = {index: seen.relabeled(way) for index, seen in self.marked.items()}
        self.recent = deque((seen.relabeled(way) for seen in self.recent), maxlen=_BEFORE)

    def forget_marked(self, *, kept: set[int], spare: int = 8) -> None:
        """Drop the surroundings on old marked frames but those `kept` and the last `spare`."""
        old = sorted(self.marked.keys() - kept)
        for index in old[: max(0, len(old) - spare)]:
            del self.marked[index]

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
        shown = given is not None and bool(given.shown.any())
        begun = self.whitening is not None or shown
        looks = self.looks(features) if begun else features
        things = max([*self.regions, *self.boxes], default=0) + 1
        around = surroundings(looks, label_map, channels=things, margin=_BLUR)
        if given is not None and begun:
            self.marked[index] = surroundings(looks, label_map, channels=things)
        if cut:
            self.ways.forget()
        self._contest(looks, label_map, given)
        for channel in [*self.regions, *self.boxes]:
            body = self.objects.setdefault(channel, ObjectMemory())
            if given is not None and bool(given.painted[channel]):
                self._renew(body, channel, features, looks, label_map[channel])
            elif body.views:
                if cut:
                    body.place = None
                if not body.lost:
                    self._judge(body, channel, index, features, looks, label_map[channel], cut=cut)
                if body.lost:
                    found = self._search(body, channel, features, looks)
                    if channel in self.regions:
                        label_map[list(self.regions)] *= 1 - found
                    label_map[channel] = found
            if body.lost or not body.views:
                label_map[channel] = 0
                known[channel] = False
        if begun:
            self.recent.append(around)
        if len(self.regions) > 1:
            seen = [c for c in self.regions if not self.objects[c].lost]
            painted = [] if given is None else [c for c in self.regions if bool(given.painted[c])]
            self.ways.follow(label_map, seen=seen, meeting=self.meeting, painted=painted)
        return label_map, known

    def looks(self, features: Tensor) -> Tensor:
        """What likeness is measured in, of `(C, h, w)` features; the first seen set the scale."""
        if self.whitening is None:
            self.whitening = Whitening.of(features)
        return self.whitening(features)

    def reference(self, index: int, size: tuple[int, int], labels: int) -> Reference | None:
        """The views of objects found lately, put back where they were found, as one reference."""
        found = {c: body.recalled for c, body in self.objects.items() if body.recalled is not None}
        if not found:
            return None
        some = next(iter(found.values())).view.features
        features = some.new_zeros(len(some), *size)
        label_map, trust = some.new_zeros(labels, *size), some.new_zeros(labels)
        for channel, recalled in found.items():
            trust[channel] = 1
            put_back(recalled, features, label_map[channel])
            body = self.objects[channel]
            steps = recalled.steps - 1
            body.recalled = replace(recalled, steps=steps) if steps > 0 else None
        return Reference(index, features, label_map, self.config.recent_radius, trust)

    def _contest(self, looks: Tensor, label_map: Tensor, given: FrameMarks | None) -> None:
        """Let regions contest their cells, in place: by where they are expected, and by looks."""
        bodies = {c: b for c in self.regions if (b := self.objects.get(c)) and b.views}
        if given is not None:
            bodies = {c: b for c, b in bodies.items() if not bool(given.painted[c])}
        able = [c for c, b in bodies.items() if not b.lost]
        lost = [c for c in bodies if c not in able]
        own = {c: torch.cat([view.own for view in body.views]) for c, body in bodies.items()}
        later = {c: None if b.fresh else max(b.like, _LEAST_LIKE) for c, b in bodies.items()}

        @cache
        def are_doubles(one: int, other: int) -> bool:
            return look_alike((own[one], later[one]), (own[other], later[other]))

        self.meeting = self.ways.contest(label_map, able, lost, are_doubles)
        contest_by_looks(looks, label_map, {c: own[c] for c in able})

    def _margin(self, body: ObjectMemory, channel: int, cells: Tensor) -> tuple[Tensor, Tensor]:
        """How much more cells `(n, C)` are like the object than like the rest, and how like it.

        The rest is what is around it in its views, and what is not it of whole frames.
        """
        own = likeness(cells, torch.cat([view.own for view in body.views]))
        frames = [*self.marked.values()] + ([body.before] if body.before is not None else [])
        around = [view.around for view in body.views]
        return own - likeness_to_rest(cells, around, frames, channel), own

    def _renew(
        self,
        body: ObjectMemory,
        channel: int,
        features: Tensor,
        looks: Tensor,
        labels: Tensor,
    ) -> None:
        """The user painted the object here, or declared it lost."""
        body.doubt = body.hidden = body.stood = 0
        body.candidate = body.recalled = None
        body.lost = not bool((labels > 0).any())
        body.confidence = float(not body.lost)
        if body.lost:
            body.before = None
            return
        body.views = [take_view(features, looks, labels)]
        body.area, body.place = float(labels.sum()), middle(labels)
        strong = looks.flatten(1).T[strong_cells(labels).flatten()]
        body.usual = float(self._margin(body, channel, strong)[0].mean())
        body.fresh = True

    def _judge(
        self,
        body: ObjectMemory,
        channel: int,
        index: int,
        features: Tensor,
        looks: Tensor,
        labels: Tensor,
        *,
        cut: bool,
    ) -> None:
        """Is what was copied still the object?"""
        flat = labels.flatten()
        core = flat > _CORE
        mass = float(flat[core].sum())
        if cut or mass < body.least:
            self._lose(body)
            return
        core = thinned(core.nonzero()[:, 0], _JUDGED)
        weight = flat[core] / flat[core].sum()
        margins, own = self._margin(body, channel, looks.flatten(1).T[core])
        margin, like = float((margins * weight).sum()), float((own * weight).sum())
        if body.fresh:  # the marked frame's own cells are more like themselves than any later ones
            body.usual, body.like, body.fresh = margin, like, False
        halfway = body.floor + _HALFWAY * (body.usual - body.floor)
        body.confidence = 1 / (1 + math.exp(-(margin - halfway) / _DOUBTFUL))
        if margin < body.floor:
            body.doubt += 1
            if body.doubt >= _PATIENCE:
                self._lose(body)
            return
        body.doubt = 0
        if margin > body.usual - _WELL:
            body.usual += _LEARN * (margin - body.usual)
            body.like += _LEARN * (like - body.like)
            body.area += (_GROW if mass > body.area else _SHRINK) * (mass - body.area)
        body.place = middle(labels)
        if index % _EVERY == 0 and margin > max(_VIEW_MARGIN, _VIEW_SHARE * body.usual):
            keep_view(body.views, take_view(features, looks, labels))

    def _lose(self, body: ObjectMemory) -> None:
        body.lost, body.hidden, body.stood, body.doubt = True, 0, 0, 0
        body.candidate, body.recalled, body.confidence = None, None, 0.0
        body.before = self.recent[0] if self.recent else None

    def _search(self, body: ObjectMemory, channel: int, features: Tensor, looks: Tensor) -> Tensor:
        """Look for a lost object in the whole frame; its labels `(h, w)`, 0 while not found."""
        body.hidden += 1
        size = (features.shape[1], features.shape[2])
        factor = coarse_factor(size)
        coarse = coarser(looks, factor)
        found = self._candidate(body, channel, coarse, factor)
        nothing = features.new_zeros(size)
        if found is None:
            body.candidate, body.stood = None, 0
            return nothing
        place, confidence = found
        near = body.candidate is not None and float((place - body.candidate).norm()) < _STEP
        body.stood = body.stood + 1 if near else 1
        body.candidate = place
        if body.stood < _CONFIRM:
            return nothing
        labels = self._put_back(body, features, place)
        if float(labels.sum()) < body.least:
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
        alike = own > max(_LEAST_LIKE, body.like - _UNLIKE)
        heat = ((margin - body.accept) / SOFT).sigmoid() * alike
        smooth = F.avg_pool2d(heat.reshape(1, 1, h, w), 3, 1, 1)[0, 0]
        peak = int(smooth.argmax())
        radius = math.sqrt(max(body.area, 1.0) / math.pi) * _SPREAD / factor + 1
        y = torch.arange(h, device=coarse.device)[:, None] - peak // w
        x = torch.arange(w, device=coarse.device)[None, :] - peak % w
        region = (x * x + y * y <= radius * radius) & (heat.reshape(h, w) > _HOT)
        mass = float(region.sum()) * factor * factor
        if mass < max(_FOUND_CELLS, _FOUND_SHARE * body.area):
            return None
        place = torch.tensor([float(peak % w), float(peak // w)], device=coarse.device) * factor
        if body.place is not None and float((place - body.place).norm()) > body.reach:
            return None
        if pointing_back(body.views, cells, region, least=_LEAST_LIKE) < _AGREEMENT:
            return None
        return place, float(heat[region.flatten()].mean())
