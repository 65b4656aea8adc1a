"""What corrections have left as it was, stopped or told to, as result.json keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chromatrack.runs.affected_spans import FrameSpan
from chromatrack.structures import LabelName

UNFINISHED = "unfinished"
"""Of result.json: frames that marks of the run change, and that still are as before them."""


@dataclass(frozen=True)
class Unfinished:
    """One label's frames begin..last that are still to do, of first..last that its marks change.

    over: as `FrameSpan.over`. held: they were to stay as they were, and are done only when that is
    all there is to do.
    """

    label: LabelName
    first: int
    last: int
    begin: int
    over: tuple[int, ...] = ()
    held: bool = False


def left_to_do(
    old: Sequence[Unfinished],
    spans: Iterable[FrameSpan],
    reached: Mapping[FrameSpan, int],
    held: Iterable[Unfinished] = (),
) -> list[Unfinished]:
    """What is left after a correction.

    Args:
        old: what was left before. spans: what it was to do. reached: the last frame done of each
            span that was begun. held: what it was to leave as it was.
    """
    left, new = list(old), []
    for one in held:
        span = FrameSpan((one.label,), None, None, one.begin, one.last)
        left = [part for other in left for part in without_span(other, one.label, span)]
        new.append(one)
    for span in spans:
        begin = reached.get(span, span.start - 1) + 1
        for label in span.labels:
            left = [part for one in left for part in without_span(one, label, span)]
            if begin <= span.last:
                new.append(Unfinished(label, span.first, span.last, begin, span.over))
    return sorted({*left, *new}, key=lambda one: (one.label, one.begin))


def held_back(span: FrameSpan, part: range) -> list[Unfinished]:
    """What is left of a span of which only frames of a part are done."""
    parts = []
    for label in span.labels:
        if span.start < part.start:
            last = min(span.last, part.start - 1)
            parts.append(Unfinished(label, span.first, last, span.start, span.over, held=True))
        if part.stop <= span.last:
            begin = max(span.start, part.stop)
            parts.append(Unfinished(label, span.first, span.last, begin, span.over, held=True))
    return parts


def without_span(one: Unfinished, label: LabelName, span: FrameSpan) -> list[Unfinished]:
    """The parts of what is left of a label that a span does not do."""
    if one.label != label or span.last < one.begin or one.last < span.start:
        return [one]
    parts = []
    if one.begin < span.start:
        parts.append(replace(one, last=span.start - 1))
    if span.last < one.last:
        parts.append(replace(one, first=span.last + 1, begin=span.last + 1))
    return parts


def plain_unfinished(left: Iterable[Unfinished]) -> list[dict[str, Any]]:
    """As it is written."""
    return [
        {
            "kind": one.label[0],
            "id": one.label[1],
            "joint": one.label[2],
            "first": one.first,
            "last": one.last,
            "begin": one.begin,
            **({"over": list(one.over)} if one.over else {}),
            **({"held": True} if one.held else {}),
        }
        for one in left
    ]


def read_unfinished(data: Mapping[str, Any]) -> list[Unfinished]:
    """What a result.json says is left; what makes no sense there is passed over."""
    found: list[Unfinished] = []
    rows = data.get(UNFINISHED)
    for row in rows if isinstance(rows, list) else []:
        try:
            first, last, begin = int(row["first"]), int(row["last"]), int(row["begin"])
            label = (str(row["kind"]), int(row["id"]), int(row["joint"]))
            over = tuple(int(number) for number in row.get("over", ()))
        except (KeyError, TypeError, ValueError):
            continue
        if first <= begin <= last:
            held = row.get("held") is True
            found.append(Unfinished(label, first, last, begin, over, held))  # type: ignore[arg-type]
    return found
