"""Colours of the frames before a reference: carried back from it, as after it forth.

Before a shot's first reference these are what is shown. Between two references both passes are:
each pixel by how sure either is of it and how near its reference is, so that nothing jumps.
Only so many frames are held at once. Those farther from the reference than that are coloured as if
there were no such pass, and one fades into the other.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from chromatrack.tracking.color_carry import Estimate
from chromatrack.tracking.color_reliability import ColorSignals

BACK = 48
"""Frames before a reference that are coloured from it backwards, at most: some 2 MB each."""

FADE = 16
"""Of these, the first over which their colours take over from those of the frames before."""


LITTLE = 0.01
"""What colours of no confidence still count, where both passes are joined."""


@dataclass(frozen=True)
class KnownColors:
    """Colours of a frame from a pass that went back. share: of what is shown, (0, 1].

    ab: `(2, H, W)`, confidence: `(1, H, W)`, both float16.
    """

    ab: Tensor
    confidence: Tensor
    signals: ColorSignals
    share: float

    @classmethod
    def of(cls, settled: Estimate, signals: ColorSignals, share: float) -> KnownColors:
        """Of a frame's colours, held in half the room."""
        return cls(settled.ab.half(), settled.confidence.half(), signals, share)

    def estimate(self) -> Estimate:
        """The colours as they are joined and shown."""
        sure = self.confidence.float()
        return Estimate(self.ab.float(), torch.ones_like(sure), sure)

    def over(self, other: Estimate) -> Estimate:
        """These over colours that came forth, by their share."""
        return Estimate(
            torch.lerp(other.ab, self.ab.float(), self.share),
            other.weight,
            torch.lerp(other.confidence, self.confidence.float(), self.share),
        )

    def joined(self, other: Estimate) -> Estimate:
        """These and colours that came forth, by their share and by how sure both are."""
        sure = self.confidence.float()
        back = self.share * (sure.square() + LITTLE)
        forth = (1 - self.share) * (other.confidence.square() + LITTLE)
        share = back / (back + forth)
        return Estimate(
            torch.lerp(other.ab, self.ab.float(), share),
            other.weight,
            torch.lerp(other.confidence, sure, share),
        )


def span_before(references: Collection[int], start: int, end: int | None) -> range:
    """The frames that are coloured backwards: those before the first reference of start .. end - 1.

    Empty where the first frame is a reference, or none of them is.
    """
    inside = [i for i in references if i >= start and (end is None or i < end)]
    first = min(inside, default=start)
    return range(max(start, first - BACK), first)


def share_of(index: int, span: range, start: int) -> float:
    """How much of what is shown at a frame of the span comes from the pass that went back."""
    return 1.0 if span.start == start else min(1.0, (index - span.start + 1) / FADE)


def spans_between(references: Collection[int], start: int, end: int | None) -> list[range]:
    """The frames that are coloured both ways: those before every reference but the first.

    Ascending; args as `span_before`. Empty spans, between neighbours, are left out.
    """
    inside = sorted(i for i in references if i >= start and (end is None or i < end))
    spans = (range(max(before + 1, at - BACK), at) for before, at in pairwise(inside))
    return [span for span in spans if span]


def share_between(index: int, span: range) -> float:
    """How much a frame of such a span is coloured from behind: from about 0, smoothly, to 1."""
    part = (index - span.start + 1) / (len(span) + 1)
    return part * part * (3 - 2 * part)
