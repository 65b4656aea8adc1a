"""How smoothly a corrected span of a run joins what is on either side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chromatrack.errors import InputError
from chromatrack.ops.coords import box_iou
from chromatrack.runs.reader import Result
from chromatrack.structures import Kind


@dataclass(frozen=True)
class Seams:
    """Largest change from one frame to the next: where a span begins and ends, and within it.

    Objects and boxes: 1 - IoU, in [0, 1]. Points and keypoints: px that a visible one jumped. None
    where nothing can be compared.
    """

    at_seams: float | None
    inside: float | None


def measure_seams(result: Result, kind: Kind, number: int, *, first: int, last: int) -> Seams:
    """Compare the jumps at the ends of a span with those inside it.

    Args:
        result: a saved run. kind, number: what to look at.
        first, last: frames of the span, both included.

    Raises:
        InputError: no such thing in the result.
    """
    if number not in result.ids(kind):
        there = ", ".join(map(str, result.ids(kind))) or "none"
        raise InputError(f"{kind} {number}: is not in the result; there are {there}")
    pairs = [i for i in result.indices[:-1].tolist() if first - 1 <= i <= last]
    changes = {i: _change(result, kind, number, i) for i in pairs}
    ends = {first - 1, last}
    return Seams(
        _largest([c for i, c in changes.items() if i in ends]),
        _largest([c for i, c in changes.items() if i not in ends]),
    )


def _largest(changes: Sequence[float | None]) -> float | None:
    return max((change for change in changes if change is not None), default=None)


def _change(result: Result, kind: Kind, number: int, index: int) -> float | None:
    """Change of one thing from a frame to the next; None where it is on neither or unknown."""
    if kind == "object":
        a, b = result.mask(index) == number, result.mask(index + 1) == number
        union = int((a | b).sum())
        return 1 - int((a & b).sum()) / union if union else None
    track = result.tracks(kind)[number]
    rows = [np.flatnonzero(track.frames == i) for i in (index, index + 1)]
    if not all(len(row) for row in rows):
        return None
    a, b = (track.values[row[0]] for row in rows)
    if kind == "box":
        return 1 - float(box_iou(a, b))
    seen = np.atleast_1d(track.visible[rows[0][0]] & track.visible[rows[1][0]])
    apart = np.linalg.norm(np.atleast_2d(a - b), axis=1)[seen]
    return float(apart.max()) if len(apart) else None
