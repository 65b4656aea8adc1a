"""How far to trust the boxes, points and joints that were tracked, estimated without labels.

A box holds a region, so its signals are a region's. A point has a patch of cells around it: where
does it fit on the marked frame, and did the point go where those around it went?
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.compiled import can_compile
from chromatrack.ops.coords import FeatureSpec, image_size
from chromatrack.ops.subpixel import (
    best_cells,
    offsets_like,
    patch_similarity,
    patches,
    sample,
    square_offsets,
)
from chromatrack.propagation.config import RECENT_REACH
from chromatrack.propagation.memory_bank import MemoryBank, Reference
from chromatrack.propagation.point_labels import Seen, centres
from chromatrack.propagation.propagate import Propagated
from chromatrack.propagation.reliability import SignalReader, Signals, chance, inputs

NEAR = 8.0
"""A point is right up to this distance, in pixels of a frame scaled to RASTER x RASTER."""

RASTER = 256
"""Pixels of either side: distances count as in TAP-Vid (Doersch et al. 2022), whatever the size."""

AROUND = 1
"""Cells of a point's patch: 3 x 3."""

OTHERS = 4
"""How many points around one tell whether it strays."""

_MOST = 64  # points looked at together


@dataclass(frozen=True)
class PointSignals:
    """What tells of one point on one frame, without labels, whether it is where it is said to be.

    Lengths are pixels of a RASTER x RASTER frame. color_error: mean absolute distance of the ab of
    its patch from that of the marked one, Lab units. back: how far from the marked place its patch
    fits best on the marked frame. stray: how far it is from where the points around it went, None
    where there are too few. likeness: of its patch to the marked one, [-1, 1]. entropy: of its
    cell's pointer, [0, 1]. present: False where it is reported hidden.
    """

    color_error: float = 0.0
    back: float = 0.0
    stray: float | None = 0.0
    likeness: float = 1.0
    entropy: float = 0.0
    present: bool = True


# -- signals: pure functions ---------------------------------------------------------------


def landed(features: Tensor, xy: Tensor, onto: Tensor, near: Tensor, *, reach: int) -> Tensor:
    """Where patches fit best on another frame, near a place: `(P, 2)` xy in cells.

    Cells of a patch are compared one by one; beyond the frame its border is repeated.

    Args:
        features, onto: `(C, h, w)`, unit length per cell. xy: `(P, 2)` in cells of `features`.
        near: `(P, 2)` xy in cells of `onto`, around which is searched.
        reach: cells up, down, left and right of it.
    """
    h, w = onto.shape[1:]
    cells = F.normalize(patches(features, xy, offsets_like(xy, AROUND)), dim=2)
    if can_compile(cells, onto, near):
        return best_cells(cells, onto, near.round(), reach=reach).to(xy)
    side = 2 * reach + 1
    middle = near.round().long()
    step = torch.arange(-reach - 1, reach + 2, device=near.device)
    columns, rows = (middle[:, :1] + step).clamp(0, w - 1), (middle[:, 1:] + step).clamp(0, h - 1)
    there = onto.flatten(1).T[rows[:, :, None] * w + columns[:, None, :]]
    scores = (there.flatten(1, 2) @ cells.transpose(1, 2)).unflatten(1, (side + 2, side + 2))
    whole = scores.new_zeros(len(scores), side, side)
    for number, (x, y) in enumerate(square_offsets(AROUND).long().tolist()):
        whole += scores[:, 1 + y : 1 + y + side, 1 + x : 1 + x + side, number]
    x, y = middle[:, :1] + step[1:-1], middle[:, 1:] + step[1:-1]
    outside = ((y < 0) | (y >= h))[:, :, None] | ((x < 0) | (x >= w))[:, None, :]
    best = whole.masked_fill(outside, -torch.inf).flatten(1).argmax(1)
    place = torch.stack([best % side, best // side], 1) - reach
    return (middle + place).to(xy)


def strays(marked: Tensor, xy: Tensor) -> Tensor:
    """Steps from where the points around each one went to where it is: `(P, 2)`.

    Of the OTHERS nearest points on the marked frame, the median step from there counts.

    Args:
        marked, xy: `(P, 2)` places there and here; P > OTHERS.
    """
    apart = torch.cdist(marked, marked).fill_diagonal_(torch.inf)
    others = apart.topk(OTHERS, largest=False).indices
    steps = xy - marked
    return steps - steps[others].median(1).values


def on_raster(steps: Tensor, size: tuple[int, int], *, spec: FeatureSpec) -> Tensor:
    """Lengths of `(P, 2)` steps in cells, as pixels of a RASTER x RASTER frame: `(P,)`.

    size: (height, width) of the frame that the cells are of, in pixels.
    """
    scale = steps.new_tensor([spec.stride * RASTER / size[1], spec.stride * RASTER / size[0]])
    return (steps * scale).norm(dim=1)


# -- one number ----------------------------------------------------------------------------

BOX_WEIGHTS = (0.911, 1.221, 5.126, -1.633)
"""Of 1 and `box_inputs`, for an IoU of 0.5 or more.

These and those below are from `benchmarks/place_reliability.py`; see docs/reliability.md.
"""

COPIED_BOX_WEIGHTS = (-4.309, -0.866, 8.469)
"""The same where what is in the box is not decoded."""

COLOR_FLOOR = 0.5
"""Lab units added to a box's colour error before the logarithm: less than that is noise."""

BOX_ABSENT = 0.05
"""Chance that a box that is reported hidden is right all the same: 1 of 54 in the fit."""

POINT_WEIGHTS = (4.358, -0.849, -0.470, -0.662, -0.882)
"""Of 1 and `point_inputs`, for a distance of at most NEAR from the truth."""

JOINT_WEIGHTS = (4.781, -0.968, -0.296, -0.448, -0.972)
"""The same, for a distance of at most a fifth of the body's size: PCK@0.2."""

LONE_POINT_WEIGHTS = (3.014, -1.548, -0.493, -0.897)
"""The same where there are too few points around to tell `stray`."""

LONE_JOINT_WEIGHTS = (3.242, -1.702, -0.346, -0.743)
"""The same of joints."""


def estimate_box(signals: Signals) -> float:
    """Chance, [0, 1], that a box overlaps the true one with an IoU of 0.5 or more."""
    weights = BOX_WEIGHTS if signals.decoded else COPIED_BOX_WEIGHTS
    return chance(weights, box_inputs(signals)) if signals.present else BOX_ABSENT


def box_inputs(signals: Signals) -> tuple[float, ...]:
    """What the logistic combines.

    The same as of a mask or, where what is in it is not decoded, log colour error and sharpness of
    its region.
    """
    if signals.decoded:
        return inputs(signals)
    return math.log(COLOR_FLOOR + signals.color_error), signals.sharpness


def point_inputs(signals: PointSignals) -> tuple[float, ...]:
    """What the logistic combines; `stray` comes last and only where it is known."""
    error, back = math.log1p(signals.color_error), math.log1p(signals.back)
    known = error, back, float(not signals.present)
    return known if signals.stray is None else (*known, math.log1p(signals.stray))


def estimate_point(signals: PointSignals, *, kind: Literal["point", "joint"]) -> float:
    """Chance, [0, 1], that a point or joint is right, as `POINT_WEIGHTS`, `JOINT_WEIGHTS` say.

    Where it is reported hidden, of its best guess.
    """
    weights = POINT_WEIGHTS if kind == "point" else JOINT_WEIGHTS
    if signals.stray is None:
        weights = LONE_POINT_WEIGHTS if kind == "point" else LONE_JOINT_WEIGHTS
    return chance(weights, point_inputs(signals))


def estimate_place(kind: str, signals: Signals | PointSignals | None) -> float:
    """Chance, [0, 1], that a "box", "point" or "joint" is right; 1 for what the user said."""
    if signals is None:
        return 1.0
    if isinstance(signals, Signals):
        return estimate_box(signals)
    return estimate_point(signals, kind="joint" if kind == "joint" else "point")


# -- what a pass reads of them -------------------------------------------------------------


@torch.inference_mode()
def read_point_signals(
    step: Propagated, ab: Tensor, watch: SignalReader, bank: MemoryBank, *, first: int
) -> dict[int, PointSignals | None]:
    """Signals of a step's points by channel, `first` the first one's; None: the user said it.

    Left out: not marked so far. ab: of the step's cells, from `watch.see`.
    """
    if step.readings is None or step.readings.seen is None:
        return {}
    seen = step.readings.seen
    found: dict[int, PointSignals | None] = {}
    rows_of: dict[int, list[int]] = {}
    marks = {mark.index: mark for mark in bank.marked}
    for row in range(len(seen.xy)):
        channel, given = first + row, step.input.given
        if given is not None and bool(given.painted[channel]):
            found[channel] = None
        elif (mark := watch.nearest(marks.values(), channel, step.input.index)) is not None:
            rows_of.setdefault(mark.index, []).append(row)
    for index, rows in rows_of.items():
        read = _signals(step, seen, ab, watch, marks[index], rows, first=first)
        found |= {first + row: signals for row, signals in zip(rows, read, strict=True)}
    return found


def _signals(
    step: Propagated,
    seen: Seen,
    ab: Tensor,
    watch: SignalReader,
    mark: Reference,
    rows: list[int],
    *,
    first: int,
) -> list[PointSignals]:
    """Signals of the points that were marked on one frame."""
    assert step.features is not None
    pixels, spec = image_size(step.input.image), watch.spec
    marked, _ = centres(mark.label_map[[first + row for row in rows]])
    xy, there = seen.xy[rows], [mark.features, watch.colors[mark.index]]
    around = offsets_like(xy, AROUND)
    own, own_ab = (patches(maps, xy, around) for maps in (step.features, ab))
    marked_own, marked_ab = (patches(maps, marked, around) for maps in there)
    columns = [
        (own_ab - marked_ab).abs().mean((1, 2)),
        on_raster(_found_at(step.features, xy, mark, marked, spec) - marked, pixels, spec=spec),
        patch_similarity(own, marked_own),
        xy.new_zeros(len(rows)) if step.entropy is None else sample(step.entropy[None], xy)[:, 0],
    ]
    far: list[float | None] = [None] * len(rows)
    if len(rows) > OTHERS:
        far = [*on_raster(strays(marked, xy), pixels, spec=spec).tolist()]
    values, visible = torch.stack(columns, 1).tolist(), seen.visible[rows].tolist()
    return [
        PointSignals(error, back, stray, like, entropy, present)
        for (error, back, like, entropy), stray, present in zip(values, far, visible, strict=True)
    ]


def _found_at(
    features: Tensor, xy: Tensor, mark: Reference, marked: Tensor, spec: FeatureSpec
) -> Tensor:
    """Where on the marked frame points' patches fit best, near the marked places."""
    reach = RECENT_REACH // spec.stride
    parts = [
        landed(features, some, mark.features, there, reach=reach)
        for some, there in zip(xy.split(_MOST), marked.split(_MOST), strict=True)
    ]
    return torch.cat(parts)
