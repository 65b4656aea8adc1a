"""How far to trust what was tracked, estimated without labels.

Vondrick et al. 2018 saw that where colours fail to be copied, labels fail too. That, and what else
features and pointers tell of themselves, is summed up as one probability per region and frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from chromatrack.ops.affinity import similarity
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.compiled import largest, window_max
from chromatrack.ops.coords import FeatureSpec
from chromatrack.ops.kept import kept_of
from chromatrack.ops.resample import to_cells
from chromatrack.propagation.exemplars import thinned
from chromatrack.propagation.memory_bank import MemoryBank, Reference
from chromatrack.propagation.propagate import Propagated

MOST = 128
"""Cells of a region, and as many beside it, that are looked at, evenly spread."""

_ALL = 4 * MOST
"""Cells that are looked at of all regions together, where that leaves `_LEAST` of each."""

_LEAST = 32

_BESIDE = 6  # cells around a region that count as beside it
_FAINT = 0.05  # least share of a cell that belongs to a region
_GONE = 0.5  # cells: a region of less is not there


@dataclass(frozen=True)
class Signals:
    """What tells of one region on one frame, without labels, whether it is tracked right.

    color_error: mean absolute distance of its cells' ab from the ab copied to them from the frame
    that the user marked, Lab units. agreement: soft IoU, [0, 1], of the mark with the region copied
    back to the marked frame. entropy: of its cells' pointers, [0, 1]. sharpness: how much of its
    cells is its own, [0, 1], mean over them. present: False where nothing is held to be the thing;
    then the others say nothing.
    """

    color_error: float = 0.0
    agreement: float = 0.0
    entropy: float = 0.0
    sharpness: float = 0.0
    present: bool = True


# -- signals: pure functions ---------------------------------------------------------------


def color_error(
    features: Tensor,
    labels: Tensor,
    ab: Tensor,
    marked_features: Tensor,
    marked_ab: Tensor,
    *,
    top_k: int | None,
    temperature: float,
    most: int = MOST,
) -> float:
    """How far a region's colours are from those copied to it from the marked frame, Lab units.

    Source: colour copying of Vondrick et al. 2018 as a test. Theirs sees grey frames; these
    features may see colours and find them the better, so the error that is left tells the more.

    Args:
        features, marked_features: `(C, h, w)`, unit length per cell. labels: `(h, w)` in [0, 1].
        ab, marked_ab: `(2, h, w)` of the cells, Lab units.
        top_k, temperature: of the pointer, which searches the whole marked frame.
        most: cells of the region that are looked at, evenly spread.

    Returns:
        Mean absolute error over ab and cells, weighted by labels; 0 where labels are all 0.
    """
    share = labels.flatten()
    cells = thinned((share > _FAINT).nonzero()[:, 0], most)
    if len(cells) == 0:
        return 0.0
    scores = similarity(features.flatten(1)[:, cells], marked_features.flatten(1))
    values, index = largest(scores, min(top_k or scores.shape[1], scores.shape[1]))
    copied = (marked_ab.flatten(1)[:, index] * (values / temperature).softmax(1)).sum(2)
    apart = (copied - ab.flatten(1)[:, cells]).abs().mean(0)
    return float((apart * share[cells]).sum() / share[cells].sum())


def agreement(
    features: Tensor,
    labels: Tensor,
    marked_features: Tensor,
    marked_labels: Tensor,
    *,
    most: int = MOST,
    of_mark: tuple[Tensor, Tensor] | None = None,
) -> float:
    """Soft intersection over union of what was marked and the region copied back to it.

    Cells that are marked and cells beside them take the label of the cell most like them anywhere
    in the frame: the mark went forward with the video, and comes back in one step.

    Args:
        features, marked_features: `(C, h, w)`, unit length per cell.
        labels, marked_labels: `(h, w)` in [0, 1].
        most: cells of the mark, and as many beside it, that are looked at, evenly spread. of_mark:
            `cells_of_mark`, where that is known already.

    Returns:
        [0, 1]; 0 where nothing is marked.
    """
    cells, stands_for = cells_of_mark(marked_labels, most) if of_mark is None else of_mark
    if len(cells) == 0:
        return 0.0
    scores = similarity(marked_features.flatten(1)[:, cells], features.flatten(1))
    back = labels.flatten()[largest(scores, 1)[1][:, 0]]
    truth = marked_labels.flatten()[cells]
    union = (stands_for * torch.maximum(back, truth)).sum()
    return float((stands_for * torch.minimum(back, truth)).sum() / union)


def cells_of_mark(marked_labels: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Cells of a mark `(h, w)` and cells beside it, evenly spread, and for how many each stands.

    `(n,)` int64 and float; none where nothing is marked.
    """
    marked = marked_labels.flatten()
    around = window_max(marked_labels[None], _BESIDE).flatten()
    inside = (marked > _FAINT).nonzero()[:, 0]
    beside = ((marked <= _FAINT) & (around > _FAINT)).nonzero()[:, 0]
    if len(inside) == 0:
        return inside, marked[:0]
    some = [thinned(cells, most) for cells in (inside, beside)]
    each = [len(inside) / len(some[0]), len(beside) / max(1, len(some[1]))]
    stands_for = [marked.new_full((len(s),), n) for s, n in zip(some, each, strict=True)]
    return torch.cat(some), torch.cat(stands_for)


def weighted_mean(labels: Tensor, values: Tensor) -> float:
    """Mean of `(h, w)` values, weighted by `(h, w)` labels; 0 where those are all 0."""
    return float((labels * values).sum() / labels.sum().clamp(min=1e-6))


# -- one number ----------------------------------------------------------------------------

WEIGHTS = (-4.073, -2.9, 2.631, 12.209)
"""Of 1, log(COLOUR_FLOOR + color_error), agreement, sharpness, in the logistic.

From `benchmarks/reliability.py`; entropy is left out, see docs/reliability.md.
"""

COLOR_FLOOR = 0.5
"""Lab units added before the logarithm: less than that is noise."""

ABSENT = 0.05
"""Chance that a region reported absent really is: 33 of 33 such frames in the fit were wrong."""


def inputs(signals: Signals) -> tuple[float, float, float]:
    """What the logistic combines."""
    error = math.log(COLOR_FLOOR + signals.color_error)
    return error, signals.agreement, signals.sharpness


def estimate(signals: Signals | None) -> float:
    """Chance, [0, 1], that a region's mask overlaps the truth with J of 0.5 or more.

    None, what the user painted, is certain.
    """
    if signals is None:
        return 1.0
    return chance(WEIGHTS, inputs(signals)) if signals.present else ABSENT


def gone(signals: Signals) -> Signals:
    """The same of a region of which nothing is left on the frame."""
    return replace(signals, present=False)


def chance(weights: Sequence[float], values: Sequence[float]) -> float:
    """A logistic's probability; the first weight is of 1, the others of the values."""
    logit = weights[0] + sum(w * x for w, x in zip(weights[1:], values, strict=True))
    return (1 + math.tanh(logit / 2)) / 2


LOOK_BELOW = 0.875
"""Reliability below which a frame is to be looked at: 80 % of the bad ones in the fit."""

LOOK_BELOW_OF = {"object": LOOK_BELOW, "box": 0.767, "point": 0.595, "keypoints": 0.499}
"""The same by kind; of a skeleton it is the mean over its joints."""

GAP = 3
"""Frames between two flagged ones that are flagged with them."""


@dataclass(frozen=True)
class ReviewRange:
    """Frames first..last (both included) on which something may not be where it is said to be.

    object: its id. reliability: the lowest of them. kind: "object" (a mask), "box", "point",
    "keypoints", or "color" (of the whole frame, whatever the id).
    """

    object: int
    first: int
    last: int
    reliability: float
    kind: str = "object"

    def __str__(self) -> str:
        frames = f"frames {self.first}-{self.last}"
        if self.first == self.last:
            frames = f"frame {self.first}"
        where = f"{frames} of {self.kind} {self.object}"
        if self.kind == "color":
            where = f"the colours of {frames}"
        return f"{where}: reliability {self.reliability:.2f}"


def frames_to_look_at(
    frames: Iterable[tuple[int, Mapping[int, float]]], *, below: float = LOOK_BELOW, gap: int = GAP
) -> list[ReviewRange]:
    """Ranges of unreliable frames, the worst first.

    Args:
        frames: (frame number, reliability by object), ascending.
        below: reliability from which a frame is good. gap: good frames that part no range.
    """
    done: list[ReviewRange] = []
    last: dict[int, ReviewRange] = {}
    for index, reliability in frames:
        for number, value in reliability.items():
            if value >= below:
                continue
            open_range = last.get(number)
            if open_range is None or index - open_range.last > gap + 1:
                done += [] if open_range is None else [open_range]
                last[number] = ReviewRange(number, index, index, value)
            else:
                lowest = min(value, open_range.reliability)
                last[number] = ReviewRange(number, open_range.first, index, lowest)
    return sorted(
        [*done, *last.values()], key=lambda r: (r.reliability, r.first - r.last, r.object)
    )


KindReliability = Mapping[str, Mapping[int, float]]
"""kind -> id -> reliability, as `tracking.reliability.by_kind` makes it."""


def doubtful_things(reliability: KindReliability) -> KindReliability:
    """What of a frame's reliability `things_to_look_at` needs: that of what may be wrong."""
    found = {
        kind: {number: value for number, value in by_id.items() if not value >= LOOK_BELOW_OF[kind]}
        for kind, by_id in reliability.items()
        if kind in LOOK_BELOW_OF
    }
    return {kind: by_id for kind, by_id in found.items() if by_id}


def things_to_look_at(frames: Iterable[tuple[int, KindReliability]]) -> list[ReviewRange]:
    """Ranges of unreliable frames of everything tracked, the worst first; args as above."""
    found, rows = [], list(frames)
    for kind, below in LOOK_BELOW_OF.items():
        ranges = frames_to_look_at([(i, by_kind.get(kind, {})) for i, by_kind in rows], below=below)
        found += [replace(r, kind=kind) for r in ranges]
    return sorted(found, key=lambda r: (r.reliability, r.first - r.last))


def look_at_rows(frames: Iterable[tuple[int, KindReliability]]) -> list[dict[str, int | float]]:
    """`things_to_look_at` as result.json has them: the id stands under its kind."""
    return [
        {r.kind: r.object, "first": r.first, "last": r.last, "reliability": round(r.reliability, 5)}
        for r in things_to_look_at(frames)
    ]


# -- what a pass keeps for them ------------------------------------------------------------


def cell_colors(lab: Tensor, spec: FeatureSpec) -> Tensor:
    """ab `(2, h, w)` of the cells of a frame in Lab, `(3, H, W)`."""
    return to_cells(lab[None, 1:], spec)[0]


@dataclass
class SignalReader:
    """Reads the signals of every region in a pass; keeps the colours of its marked frames.

    colours: frame -> `(2, h, w)` ab of its cells. Bounded like the memory bank.
    """

    spec: FeatureSpec
    colors: dict[int, Tensor] = field(default_factory=dict)

    def fork(self) -> SignalReader:
        """A copy that goes its own way."""
        return replace(self, colors=dict(self.colors))

    @torch.inference_mode()
    def see(self, step: Propagated, bank: MemoryBank) -> Tensor:
        """ab `(2, h, w)` of a step's cells, kept as long as its frame is a mark."""
        ab = step.input.ab
        if ab is None:
            ab = cell_colors(rgb_to_lab(step.input.image), self.spec)
        seen = self.colors | {step.input.index: ab}
        self.colors = {mark.index: seen[mark.index] for mark in bank.marked if mark.index in seen}
        return ab

    @torch.inference_mode()
    def read(
        self, step: Propagated, ab: Tensor, bank: MemoryBank, channels: Iterable[int]
    ) -> dict[int, Signals | None]:
        """Signals of a step by channel; None: the user said it; left out: not marked so far.

        ab: of the step's cells, from `see`.
        """
        index, given = step.input.index, step.input.given
        marks = {mark.index: mark for mark in bank.marked}
        found: dict[int, Signals | None] = {}
        channels = list(channels)
        most = max(_LEAST, min(MOST, _ALL // max(1, len(channels))))
        for channel in channels:
            if given is not None and bool(given.painted[channel]):
                found[channel] = None
            elif (mark := self.nearest(marks.values(), channel, index)) is not None:
                found[channel] = self._signals(step, channel, ab, mark, bank, most=most)
        return found

    def nearest(self, marks: Iterable[Reference], channel: int, index: int) -> Reference | None:
        """The nearest mark of a channel among the frames seen."""
        of_it = (m for m in marks if m.index in self.colors and _shows(m, channel))
        return min(of_it, key=lambda mark: abs(mark.index - index), default=None)

    def _signals(
        self,
        step: Propagated,
        channel: int,
        ab: Tensor,
        mark: Reference,
        bank: MemoryBank,
        *,
        most: int,
    ) -> Signals:
        assert step.label_map is not None and step.features is not None
        labels = step.label_map[channel]
        if float(labels.sum()) < _GONE:
            return Signals(present=False)
        error = color_error(
            step.features,
            labels,
            ab,
            mark.features,
            self.colors[mark.index],
            top_k=bank.config.top_k,
            temperature=bank.config.temperature,
            most=most,
        )
        back = agreement(
            step.features,
            labels,
            mark.features,
            mark.label_map[channel],
            most=most,
            of_mark=_known_of_mark(mark, channel, most),
        )
        entropy = 0.0 if step.entropy is None else weighted_mean(labels, step.entropy)
        return Signals(error, back, entropy, weighted_mean(labels, labels))


def _known_of_mark(mark: Reference, channel: int, most: int) -> tuple[Tensor, Tensor]:
    """`cells_of_mark` of a channel, the same on every frame."""
    known = _cells_of_marks(mark.label_map)
    if (channel, most) not in known:
        known[channel, most] = cells_of_mark(mark.label_map[channel], most)
    return known[channel, most]


def _nothing_yet(_: Tensor) -> dict[tuple[int, int], tuple[Tensor, Tensor]]:
    return {}


_cells_of_marks = kept_of(_nothing_yet)


def _shows(mark: Reference, channel: int) -> bool:
    return mark.shown is None or bool(mark.shown[channel])
