"""How far to trust the boxes, points and joints that were tracked, told without labels.

A box holds a region, so its signals are a region's. A point has a patch of cells around it: where
does the patch come from on the marked frame, and where does the marked patch go?
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.affinity import affinity, readout, similarity
from chromatrack.coords import image_size
from chromatrack.encoder import FeatureSpec
from chromatrack.memory import MemoryBank, Reference
from chromatrack.points import Seen, centres
from chromatrack.propagate import Propagated
from chromatrack.reliability import Signals, Watch, chance, inputs
from chromatrack.subcell import patch_similarity, patches, sample, square_offsets

NEAR = 8.0
"""A point is right up to this distance, in pixels of a frame scaled to RASTER x RASTER."""

RASTER = 256
"""Pixels of either side: distances count as in TAP-Vid (Doersch et al. 2022), whatever the size."""

AROUND = square_offsets(1)
"""Cells of a point's patch: 3 x 3."""

_MOST = 256  # points looked at together


@dataclass(frozen=True)
class PointSignals:
    """What tells of one point on one frame, without labels, whether it is where it is said to be.

    colour_error: mean absolute distance of the ab of its patch from the ab copied to it from the
    marked frame, Lab units; colour_change: from the ab around the marked place. back: how far from
    the marked place its patch comes from, pixels of a RASTER x RASTER frame; forth: how far from it
    the marked patch goes. likeness: of its patch to the marked one, [-1, 1]. entropy: of its cells'
    pointers, confidence: that it is seen, [0, 1]. present: False where it is reported hidden.
    """

    colour_error: float = 0.0
    colour_change: float = 0.0
    back: float = 0.0
    forth: float = 0.0
    likeness: float = 1.0
    entropy: float = 0.0
    confidence: float = 1.0
    present: bool = True


# -- signals: pure functions ---------------------------------------------------------------


def look_across(features: Tensor, xy: Tensor, onto: Tensor) -> Tensor:
    """Similarity of the cells of patches with all cells of another frame.

    Args:
        features, onto: `(C, h, w)`, unit length per cell. xy: `(P, 2)` in cells of `features`.

    Returns:
        `(P, K, h w)` for the K cells of `AROUND`.
    """
    cells = F.normalize(patches(features, xy, AROUND.to(xy)), dim=2)
    scores = similarity(cells.flatten(0, 1).T, onto.flatten(1))
    return scores.unflatten(0, cells.shape[:2])


def landed(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Where patches fit best on the frame they were compared with: `(P, 2)` xy in cells.

    Args:
        scores: `(P, K, h w)` of `look_across`. size: (h, w).
    """
    h, w = size
    maps = F.pad(scores.unflatten(2, size), (1, 1, 1, 1), mode="replicate")
    whole = scores.new_zeros(len(scores), h, w)
    for number, (x, y) in enumerate(AROUND.long().tolist()):
        whole += maps[:, number, 1 + y : 1 + y + h, 1 + x : 1 + x + w]
    best = whole.flatten(1).argmax(1)
    return torch.stack([best % w, best // w], 1).to(scores)


def on_raster(apart: Tensor, *, size: tuple[int, int], spec: FeatureSpec) -> Tensor:
    """Lengths of `(P, 2)` steps in cells, as pixels of a RASTER x RASTER frame: `(P,)`.

    size: (height, width) of the frame that the cells are of, in pixels.
    """
    scale = apart.new_tensor([spec.stride * RASTER / size[1], spec.stride * RASTER / size[0]])
    return (apart * scale).norm(dim=1)


# -- one number ----------------------------------------------------------------------------

BOX_WEIGHTS = (-4.073, -2.9, 2.631, 12.209)
"""Of 1, log colour error, agreement, sharpness: as of regions, for an IoU of 0.5 or more."""

BOX_ABSENT = 0.05
"""Chance that a box that is reported hidden is right all the same."""

POINT_WEIGHTS = (3.0, -0.5, -0.5, -0.5, 1.0)
"""Of 1 and `point_inputs`, for a distance of at most NEAR from the truth."""

JOINT_WEIGHTS = (3.0, -0.5, -0.5, -0.5, 1.0)
"""The same, for a distance of at most a fifth of the body's size: PCK@0.2."""

POINT_HIDDEN = 0.2
"""Chance that a point's best guess is right where it is reported hidden."""

JOINT_HIDDEN = 0.2
"""The same of a joint."""


def estimate_box(signals: Signals | None) -> float:
    """Chance, [0, 1], that a box overlaps the true one with an IoU of 0.5 or more.

    None, what the user drew, is certain.
    """
    if signals is None:
        return 1.0
    return chance(BOX_WEIGHTS, inputs(signals)) if signals.present else BOX_ABSENT


def point_inputs(signals: PointSignals) -> tuple[float, float, float, float]:
    """What the logistic combines."""
    back, forth = math.log1p(signals.back), math.log1p(signals.forth)
    return math.log1p(signals.colour_change), back, forth, signals.likeness


def estimate_point(signals: PointSignals | None, *, kind: Literal["point", "joint"]) -> float:
    """Chance, [0, 1], that a point or joint is right, as `POINT_WEIGHTS`, `JOINT_WEIGHTS` say.

    None, what the user marked, is certain.
    """
    if signals is None:
        return 1.0
    weights, hidden = {
        "point": (POINT_WEIGHTS, POINT_HIDDEN),
        "joint": (JOINT_WEIGHTS, JOINT_HIDDEN),
    }[kind]
    return chance(weights, point_inputs(signals)) if signals.present else hidden


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
    step: Propagated, seen: Seen | None, watch: Watch, bank: MemoryBank, *, first: int
) -> dict[int, PointSignals | None]:
    """Signals of a step's points by channel, `first` the first one's; None: the user said it.

    Left out: not marked so far. Call it after `watch.read` of the same step.
    """
    if seen is None or step.features is None:
        return {}
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
        for begin in range(0, len(rows), _MOST):
            some = rows[begin : begin + _MOST]
            told = _signals(step, seen, watch, bank, marks[index], some, first=first)
            found |= {first + row: signals for row, signals in zip(some, told, strict=True)}
    return found


def _signals(
    step: Propagated,
    seen: Seen,
    watch: Watch,
    bank: MemoryBank,
    mark: Reference,
    rows: Sequence[int],
    *,
    first: int,
) -> list[PointSignals]:
    """Signals of some points that were marked on one frame."""
    assert step.features is not None and watch.now is not None
    features, ab, marked_ab = step.features, watch.now, watch.colours[mark.index]
    xy, size = seen.xy[rows], (features.shape[1], features.shape[2])
    marked, _ = centres(mark.label_map[[first + row for row in rows]])
    around = AROUND.to(xy)
    own = patches(ab, xy, around)
    scores = look_across(features, xy, mark.features)
    pointer = affinity(scores, temperature=bank.config.temperature, top_k=bank.config.top_k)
    copied = readout(pointer, marked_ab.flatten(1)).transpose(1, 2)
    back = landed(scores, size) - marked
    forth = landed(look_across(mark.features, marked, features), size) - xy
    pixels = image_size(step.input.image)
    entropy = xy.new_zeros(len(rows))
    if step.entropy is not None:
        entropy = sample(step.entropy[None], xy)[:, 0]
    columns = [
        (copied - own).abs().mean((1, 2)),
        (patches(marked_ab, marked, around) - own).abs().mean((1, 2)),
        on_raster(back, size=pixels, spec=watch.spec),
        on_raster(forth, size=pixels, spec=watch.spec),
        patch_similarity(patches(features, xy, around), patches(mark.features, marked, around)),
        entropy,
        seen.confidence[rows],
    ]
    values, visible = torch.stack(columns, 1).tolist(), seen.visible[rows].tolist()
    return [PointSignals(*row, present=there) for row, there in zip(values, visible, strict=True)]
