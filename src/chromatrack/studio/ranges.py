"""Marks cut to the frames that are tracked."""

from __future__ import annotations

from dataclasses import replace

from chromatrack.errors import InputError
from chromatrack.tracking.marks import Marks


def within(marks: Marks, start: int, end: int | None) -> Marks:
    """The marks on frames [start, end). Raises InputError where there are none."""

    def is_in(frame: int) -> bool:
        return start <= frame and (end is None or frame < end)

    masks = {frame: mask for frame, mask in marks.masks.items() if is_in(frame)}
    found = replace(
        marks,
        masks=masks,
        points=[mark for mark in marks.points if is_in(mark.frame)],
        boxes=[mark for mark in marks.boxes if is_in(mark.frame)],
        keypoints=[mark for mark in marks.keypoints if is_in(mark.frame)],
        lost=[mark for mark in marks.lost if is_in(mark.frame)],
    )
    labels = found.layout()
    found = replace(found, lost=[mark for mark in found.lost if mark.id in labels.regions])
    things = {("keypoints" if k == "joint" else k, i) for k, i, _ in found.labels()}
    if not things:
        raise InputError("expected a mark on the frames to track, got none; mark something first")
    return replace(
        found,
        names={t: n for t, n in found.names.items() if t in things},
        colors={t: c for t, c in found.colors.items() if t in things},
    )
