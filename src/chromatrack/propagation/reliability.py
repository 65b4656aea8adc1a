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
from chromatrack.ops.compiled import largest
from chromatrack.ops.coords import FeatureSpec
from chromatrack.ops.resample import to_cells
from chromatrack.propagation.exemplars import thinned
from chromatrack.propagation.memory_bank import MemoryBank, Reference
from chromatrack.propagation.propagate import Propagated

MOST = 128
"""Cells of a region that are looked at, evenly spread."""

_ALL = 4 * MOST
"""Cells that are looked at of all regions together, where that leaves `_LEAST` of each."""

_LEAST = 32

_FAINT = 0.05  # least share of a cell that belongs to a region
_GONE = 0.5  # cells: a region of less is not there
_NARROW = 0.01  # cells: a rim of less is none


@dataclass(frozen=True)
class Signals:
    """What tells of one region on one frame, without labels, whether it is tracked right.

    color_error: mean absolute distance of its cells' ab from the ab copied to them from the frame
    that the user marked, Lab units. back: how much of its cells points back into the mark there,
    [0, 1]. entropy: of its cells' pointers, [0, 1]. sharpness: how much of its cells is its own,
    [0, 1], mean over them. certainty, rim: of its mask, as `certainty` and `rim` tell them; of what
    was copied where no mask is decoded, which `decoded` says. present: False where nothing is held
    to be the thing; then the others say nothing.
    """

    color_error: float = 0.0
    back: float = 0.0
    entropy: float = 0.0
    sharpness: float = 0.0
    certainty: float = 0.0
    rim: float = 0.0
    decoded: bool = True
    present: bool = True


# -- signals: pure functions ---------------------------------------------------------------


@dataclass(frozen=True)
class Cells:
    """Some cells of a region, evenly spread: `(n,)` int64, their shares of it, `(n,)`, > 0."""

    index: Tensor
    share: Tensor

    @classmethod
    def of(cls, labels: Tensor, *, most: int = MOST) -> Cells:
        """Of labels `(h, w)` in [0, 1]; cells that hold hardly any of it are passed over."""
        share = labels.flatten()
        index = thinned((share > _FAINT).nonzero()[:, 0], most)
        return cls(index, share[index])

    def mean(self, values: Tensor) -> float:
        """Mean of `(n,)` values, weighted by the shares; 0 where there are no cells."""
        return float((values * self.share).sum() / self.share.sum()) if len(self.share) else 0.0


def copied(
    features: Tensor,
    cells: Cells,
    marked_features: Tensor,
    marked_values: Tensor,
    *,
    top_k: int | None,
    temperature: float,
) -> Tensor:
    """What cells copy from the marked frame, all of it searched: `(D, h, w)` -> `(D, n)`.

    Args:
        features, marked_features: `(C, h, w)`, unit length per cell.
        top_k, temperature: of the pointer.
    """
    scores = similarity(features.flatten(1)[:, cells.index], marked_features.flatten(1))
    values, index = largest(scores, min(top_k or scores.shape[1], scores.shape[1]))
    return (marked_values.flatten(1)[:, index] * (values / temperature).softmax(1)).sum(2)


def color_error(cells: Cells, ab: Tensor, copied_ab: Tensor) -> float:
    """How far a region's colours are from those copied to it from the marked frame, Lab units.

    Source: colour copying of Vondrick et al. 2018 as a test. Theirs sees grey frames; these
    features may see colours and find them the better, so the error that is left tells the more.

    Args:
        ab: `(2, h, w)` of all cells, Lab units. copied_ab: `(2, n)` as `copied` gives it.

    Returns:
        Mean absolute error over ab and cells; 0 where there are none.
    """
    return cells.mean((copied_ab - ab.flatten(1)[:, cells.index]).abs().mean(0))


def certainty(mask: Tensor) -> float:
    """The IoU with the truth that a mask `(H, W)` of chances expects where it is cut at a half.

    Were the chances true and pixels independent, this is the expected intersection over the
    expected union. 0 where nothing is above a half.
    """
    inside = mask > 1 / 2
    sure = (mask * inside).sum()
    return float(sure / (inside.sum() + mask.sum() - sure).clamp(min=1e-6))


def rim(mask: Tensor) -> float:
    """`1 - certainty` of a mask `(H, W)` of chances times the square root of its area, cells.

    Of a disc with a blurred edge that is 3.5 times the width of what is unsure, however large the
    disc: the same certainty is a blurred edge of a small thing, and a part in doubt of a large one.
    """
    return (1 - certainty(mask)) * math.sqrt(float((mask > 1 / 2).sum()) + 1)


def weighted_mean(labels: Tensor, values: Tensor) -> float:
    """Mean of `(h, w)` values, weighted by `(h, w)` labels; 0 where those are all 0."""
    return float((labels * values).sum() / labels.sum().clamp(min=1e-6))


# -- one number ----------------------------------------------------------------------------

RIGHT = 0.75
"""J from which a mask counts as right: what COCO calls a strict match (Lin et al. 2014)."""

WEIGHTS = (-4.182, 1.817, 15.424, -2.826)
"""Of 1 and `inputs`, in the logistic: `benchmarks/reliability.py`."""

COPIED_WEIGHTS = (-8.327, 4.894, 8.891, -0.103)
"""The same where no mask is decoded."""

ABSENT = 0.05
"""Chance that a region reported absent really is: 21 of 21 such frames in the fit were wrong."""


def inputs(signals: Signals) -> tuple[float, float, float]:
    """What the logistic combines."""
    return signals.back, signals.certainty, math.log(_NARROW + signals.rim)


def estimate(signals: Signals | None) -> float:
    """Chance, [0, 1], that a region's mask overlaps the truth with J of RIGHT or more.

    None, what the user painted, is certain.
    """
    if signals is None:
        return 1.0
    weights = WEIGHTS if signals.decoded else COPIED_WEIGHTS
    return chance(weights, inputs(signals)) if signals.present else ABSENT


def gone(signals: Signals) -> Signals:
    """The same of a region of which nothing is left on the frame."""
    return replace(signals, present=False)


def chance(weights: Sequence[float], values: Sequence[float]) -> float:
    """A logistic's probability; the first weight is of 1, the others of the values."""
    logit = weights[0] + sum(w * x for w, x in zip(weights[1:], values, strict=True))
    return (1 + math.tanh(logit / 2)) / 2


LOOK_BELOW = 0.749
"""Reliability below which a frame is to be looked at: 80 % of the bad ones in the fit."""

LOOK_BELOW_OF = {"object": LOOK_BELOW, "box": 0.7, "point": 0.595, "keypoints": 0.499}
"""The same by kind; of a skeleton it is the mean over its joints.

Of the boxes below theirs half were wrong in the fit; to have 80 % of the wrong ones, every second
box would be below.
"""

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
        cells = Cells.of(labels, most=most)
        marked = torch.cat([self.colors[mark.index], mark.label_map[channel][None]])
        found = copied(
            step.features,
            cells,
            mark.features,
            marked,
            top_k=bank.config.top_k,
            temperature=bank.config.temperature,
        )
        entropy = 0.0 if step.entropy is None else weighted_mean(labels, step.entropy)
        masks = None if step.readings is None else step.readings.masks
        decoded = masks is not None and channel <= len(masks)
        mask = masks[channel - 1] if masks is not None and decoded else labels
        return Signals(
            color_error(cells, ab, found[:2]),
            cells.mean(found[2]),
            entropy,
            weighted_mean(labels, labels),
            certainty(mask),
            rim(mask),
            decoded,
        )


def _shows(mark: Reference, channel: int) -> bool:
    return mark.shown is None or bool(mark.shown[channel])
