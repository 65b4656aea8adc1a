"""Labels that come and go while a pass is under way: its state moved to another layout."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from chromatrack.propagation.bidirectional import DirectedPass
from chromatrack.propagation.exemplars import Surroundings
from chromatrack.propagation.label_state import LabelState
from chromatrack.propagation.layout import Layout, channel_names
from chromatrack.propagation.memory_bank import MemoryBank
from chromatrack.propagation.point_labels import PointTracks
from chromatrack.propagation.redetection import ObjectMemory, Redetector
from chromatrack.structures import LabelName

Carry = Callable[[Tensor], Tensor]
"""`(L, ...)` of the old layout -> `(L', ...)` of the new one, 0 for labels that are new."""


def grown(layout: Layout, more: Layout) -> Layout:
    """A layout with more labels, the new ones behind the old ones of their kind."""

    def joined(old: tuple, new: tuple) -> tuple:
        return old + tuple(x for x in new if x not in old)

    return Layout(
        joined(layout.regions, more.regions),
        joined(layout.boxes, more.boxes),
        joined(layout.points, more.points),
    )


def shrunk(layout: Layout, labels: set[LabelName]) -> Layout:
    """A layout without some labels."""
    return Layout(
        tuple(i for i in layout.regions if ("object", i, 0) not in labels),
        tuple(i for i in layout.boxes if ("box", i, 0) not in labels),
        tuple(name for name in layout.points if name not in labels),
    )


@torch.inference_mode()
def fork(run: DirectedPass) -> DirectedPass:
    """A copy of a pass that goes its own way; what no step changes in place is shared."""
    kinds, bank = run.kinds, run.propagator.bank
    shared: list[Any] = [run.propagator.encode, run.embed, run.told]
    shared += run.propagator.clip
    shared += [*run.watch.colors.values(), run.watch.now]
    for reference in [*bank.frames(), bank.recalled]:
        if reference is not None:
            shared += [reference.features, reference.label_map]
    shared += [*kinds.bodies.marked.values(), *kinds.bodies.recent]
    for body in kinds.bodies.bodies.values():
        shared += [*body.views, body.before, body.recalled]
    return copy.deepcopy(run, {id(thing): thing for thing in shared if thing is not None})


@torch.inference_mode()
def relayout(run: DirectedPass, layout: Layout) -> None:
    """Move all state of a pass, by label, to the channels of another layout, in place.

    New labels are unknown on the frames so far; labels that are gone leave nothing behind.

    Args:
        layout: as made by `grown` or `shrunk` from the one in use.
    """
    kinds, old = run.kinds, run.kinds.layout
    if layout == old:
        return
    before = {name: channel for channel, name in enumerate(channel_names(old), start=1)}
    source = [0, *(before.get(name, -1) for name in channel_names(layout))]

    def carry(values: Tensor) -> Tensor:
        pick = torch.tensor(source, device=values.device)
        known = (pick >= 0).reshape(-1, *[1] * (values.ndim - 1))
        return values[pick.clamp(min=0)] * known

    moved = {channel: place for place, channel in enumerate(source) if channel > 0}
    unused = _carry_bank(run.propagator.bank, carry, empty=len(layout) == 1)
    _carry_bodies(kinds.bodies, layout, carry, moved)
    for index in unused & kinds.bodies.marked.keys():
        del kinds.bodies.marked[index]
    boxes = kinds.boxes.tracks
    kinds.boxes.tracks = {moved[c]: track for c, track in boxes.items() if c in moved}
    rows = [old.points.index(name) for name in layout.points if name in old.points]
    assert all(name in old.points for name in layout.points[: len(rows)]), "new points come last"
    _carry_points(kinds.points, rows, len(layout.points))
    kinds.ended = carry(kinds.ended)
    kinds.layout = layout
    run.propagator.free = layout.free


def _carry_bank(bank: MemoryBank, carry: Carry, *, empty: bool) -> set[int]:
    """Returns the frames whose marks showed only labels that are gone; they are forgotten."""
    if empty:
        bank.marked, bank.early, bank.recalled = [], [], None
        bank.rolling.clear()
    bank.relabel(carry)
    useless = [m for m in bank.marked if m.shown is not None and not bool(m.shown[1:].any())]
    bank.marked = [mark for mark in bank.marked if not any(mark is m for m in useless)]
    return {mark.index for mark in useless}


def _carry_bodies(
    redetector: Redetector, layout: Layout, carry: Carry, moved: dict[int, int]
) -> None:
    def carried(seen: Surroundings) -> Surroundings:
        return replace(seen, labels=carry(seen.labels))

    def body_of(body: ObjectMemory) -> ObjectMemory:
        return body if body.before is None else replace(body, before=carried(body.before))

    redetector.regions, redetector.boxes = layout.region_channels, layout.box_channels
    redetector.bodies = {
        moved[c]: body_of(body) for c, body in redetector.bodies.items() if c in moved
    }
    redetector.marked = {index: carried(seen) for index, seen in redetector.marked.items()}
    redetector.recent = deque(map(carried, redetector.recent), maxlen=redetector.recent.maxlen)


def _carry_points(points: PointTracks, rows: list[int], count: int) -> None:
    """Keep `rows`; `PointTracks` makes room for new ones itself, behind them."""
    points.count = count
    rows = [row for row in rows if row < len(points.xy)]
    for name in ("age", "xy", "started", "hidden"):
        values: Tensor = getattr(points, name)
        setattr(points, name, values[rows])
    for name in ("marked", "last", "elder", "waiting"):
        templates = getattr(points, name)
        if templates is not None:
            kept = torch.tensor(rows, dtype=torch.long, device=templates.features.device)
            setattr(points, name, templates[kept])


def forget_marked(kinds: LabelState, *, kept: set[int], spare: int = 8) -> None:
    """Drop whole-frame views of old marked frames, but for those `kept` and the last `spare`."""
    marked = kinds.bodies.marked
    old = sorted(index for index in marked if index not in kept)
    for index in old[: max(0, len(old) - spare)]:
        del marked[index]
