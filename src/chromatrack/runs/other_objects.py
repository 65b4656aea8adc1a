"""The objects of a run that a correction is not about: rivals of those it is, and kept.

Where one was found under a new mark, that was wrong, and it gives way. All else is as it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from chromatrack.distinct import distinct
from chromatrack.runs.affected_spans import FrameSpan
from chromatrack.runs.reader import Result
from chromatrack.tracking.marks import Marks

_SLIVER = 0.05
"""Of a mark, or of what was found under it: less is how edges are drawn, and says nothing."""


def found_under(new: Marks, result: Result) -> dict[int, set[int]]:
    """{object: those that a run found where new masks show it, more than a sliver of either}."""
    found: dict[int, set[int]] = defaultdict(set)
    if not result.objects:
        return found
    for frame, mask in new.masks.items():
        before = result.mask(frame)
        sizes = dict(zip(*(x.tolist() for x in np.unique(before, return_counts=True)), strict=True))
        for number in distinct(mask[mask > 0]).tolist():
            inside = before[mask == number]
            others, counts = np.unique(inside[inside != number], return_counts=True)
            for other, count in zip(others.tolist(), counts.tolist(), strict=True):
                if other > 0 and count > _SLIVER * min(len(inside), sizes[other]):
                    found[number].add(other)
    return found


def others_under(span: FrameSpan, under: Mapping[int, Collection[int]]) -> tuple[int, ...]:
    """Objects that those of a span may take pixels from, which are not tracked again with them."""
    own = {number for kind, number, _ in span.labels if kind == "object"}
    return tuple(sorted({other for number in own for other in under.get(number, ())} - own))


def with_rivals(marks: Marks, whole: Marks, result: Result) -> Marks:
    """Marks of some things, and on frames of their masks the other objects as they are known there.

    Nothing is done about those; but what is theirs is not taken for a part of the marked ones.

    Args:
        whole: all that is marked in the run. result: the run as it was.
    """
    own = marks.layout().regions
    if not own or set(result.objects) <= set(own):
        return marks
    masks = {}
    for frame, mask in marks.masks.items():
        others, painted = result.mask(frame), whole.masks.get(frame)
        if painted is not None:
            others = np.where(painted > 0, painted, others)
        others = np.where(np.isin(others, own), 0, others)
        masks[frame] = np.where(mask > 0, mask, others)
    return replace(marks, masks=masks)
