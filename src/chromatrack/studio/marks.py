"""A project's marks as the tracker takes them, and which of them a run does not know yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.distinct import distinct
from chromatrack.runs.unfinished import Unfinished
from chromatrack.structures import (
    BoxMark,
    KeypointMark,
    LabelName,
    LostMark,
    PointMark,
    Skeleton,
)
from chromatrack.studio.document import Document
from chromatrack.studio.store import marked_ids, object_digests
from chromatrack.tracking.marks import Marks

Said = dict[LabelName, dict[int, Any]]
"""label -> {frame: what is said of it there}; values are only compared."""

Wanted = Collection[tuple[LabelName, int]]

GONE = "gone"


def marks_of(document: Document, folder: Path, *, wanted: Wanted | None = None) -> Marks:
    """A document's marks. wanted: labels on frames, all others are left out; None: all."""

    def is_wanted(kind: str, number: int, joint: int, frame: int) -> bool:
        return wanted is None or ((kind, number, joint), frame) in wanted

    masks: dict[int, np.ndarray] = {}
    points, boxes, poses, lost = [], [], [], []
    for frame, marks in frames_of(document):
        keep = [int(n) for n in marks["objects"] if is_wanted("object", int(n), 0, frame)]
        ids = marked_ids(document, folder, frame) if keep else None
        if ids is not None:
            masks[frame] = np.where(np.isin(ids, keep), ids, 0)
        lost += [LostMark(n, frame) for n in marks["gone"] if is_wanted("object", n, 0, frame)]
        for text, at in marks["points"].items():
            if is_wanted("point", int(text), 0, frame):
                points.append(PointMark(int(text), frame, *(at or (None, None))))
        for text, at in marks["boxes"].items():
            if is_wanted("box", int(text), 0, frame):
                boxes.append(BoxMark(int(text), frame, *(at or (None,) * 4)))
        for text, joints in marks["keypoints"].items():
            number = int(text)
            said = [
                joint if is_wanted("joint", number, j, frame) else None
                for j, joint in enumerate(joints)
            ]
            if any(joint is not None for joint in said):
                poses.append(_pose(number, frame, said))
    # What is declared lost but shown nowhere is nothing that could be tracked.
    shown = {int(n) for ids in masks.values() for n in distinct(ids)}
    if wanted is None:
        lost = [mark for mark in lost if mark.id in shown]
    names = {(one["kind"], one["id"]): one["name"] for one in document["objects"]}
    marked = Marks(masks, points, boxes, poses, lost, _skeleton(document))
    things = {("keypoints" if k == "joint" else k, i) for k, i, _ in marked.labels()}
    kept = {thing: name for thing, name in names.items() if thing in things}
    said = {(one["kind"], one["id"]): one.get("category") for one in document["objects"]}
    sorts = {thing: sort for thing, sort in said.items() if sort and thing in things}
    return Marks(masks, points, boxes, poses, lost, marked.skeleton, kept, categories=sorts)


def frames_of(document: Document) -> list[tuple[int, dict[str, Any]]]:
    """(frame, its marks), ascending."""
    return sorted((int(frame), marks) for frame, marks in document["marks"].items())


def _pose(number: int, frame: int, joints: list[Any]) -> KeypointMark:
    xy = [joint if isinstance(joint, list) else [np.nan, np.nan] for joint in joints]
    lost = np.array([joint == GONE for joint in joints])
    return KeypointMark(number, frame, np.array(xy, dtype=np.float64), lost)


def _skeleton(document: Document) -> Skeleton | None:
    for one in document["objects"]:
        if one["kind"] == "keypoints":
            return Skeleton(tuple(one["joints"]), tuple((a, b) for a, b in one["edges"]))
    return None


# -- what is said where ------------------------------------------------------------------------


def said_by_document(document: Document) -> Said:
    """What a document says of every label, frame by frame."""
    said: Said = {}
    for frame, marks in frames_of(document):
        for number, digest in marks["objects"].items():
            said.setdefault(("object", int(number), 0), {})[frame] = digest
        for number in marks["gone"]:
            said.setdefault(("object", number, 0), {})[frame] = GONE
        for kind, name in (("point", "points"), ("box", "boxes")):
            for number, at in marks[name].items():
                value = GONE if at is None else [round(float(v), 4) for v in at]
                said.setdefault((kind, int(number), 0), {})[frame] = value
        for number, joints in marks["keypoints"].items():
            for j, joint in enumerate(joints):
                if joint is not None:
                    value = GONE if joint == GONE else [round(float(v), 4) for v in joint]
                    said.setdefault(("joint", int(number), j), {})[frame] = value
    shown = {k for k, f in said.items() if any(v != GONE for v in f.values())}
    return {label: frames for label, frames in said.items() if label in shown}


def said_by_marks(marks: Marks) -> Said:
    """The same of marks that a run was given."""
    said: Said = {}
    for frame, mask in marks.masks.items():
        for number, digest in object_digests(mask).items():
            said.setdefault(("object", number, 0), {})[frame] = digest
    for mark in marks.lost:
        said.setdefault(("object", mark.id, 0), {})[mark.frame] = GONE
    for box in marks.boxes:
        values = (box.x, box.y, box.width, box.height)
        value = GONE if box.x is None else [round(float(v), 4) for v in values]  # type: ignore[arg-type]
        said.setdefault(("box", box.id, 0), {})[box.frame] = value
    for name, frame, xy in marks.places():
        said.setdefault(name, {})[frame] = GONE if xy is None else [round(v, 4) for v in xy]
    shown = {k for k, f in said.items() if any(v != GONE for v in f.values())}
    return {label: frames for label, frames in said.items() if label in shown}


@dataclass(frozen=True)
class Difference:
    """What marks say that a run does not know: `changed` anew or otherwise, `removed` no longer.

    stale: [first, after) ranges of frames that it may change, ascending and apart. stale_of: the
    same by thing, "object:1". held: the same of those that corrections were to leave as they were;
    held_by: the marks that those were made by.
    """

    changed: frozenset[tuple[LabelName, int]]
    removed: frozenset[tuple[LabelName, int]]
    stale: tuple[tuple[int, int], ...]
    stale_of: Mapping[str, tuple[tuple[int, int], ...]]
    held: tuple[tuple[int, int], ...] = ()
    held_by: frozenset[tuple[LabelName, int]] = frozenset()


def difference(
    old: Said,
    new: Said,
    *,
    first: int,
    after: int,
    unfinished: Sequence[Unfinished] = (),
    part: tuple[int, int] | None = None,
) -> Difference:
    """Between what a run was given and what is marked now, on frames [first, after).

    A mark changes frames up to its neighbouring keyframes. What is not to be tracked at all any
    more changes nothing of the others. unfinished: what a correction has left; the marks that it
    was made by count as changed, unless it was to leave it. part: frames [start, end) that alone
    marks on them may change.
    """
    changed: set[tuple[LabelName, int]] = set()
    removed: set[tuple[LabelName, int]] = set()
    stale: dict[str, list[tuple[int, int]]] = {}
    for label in {**old, **new}:
        before = _inside(old.get(label, {}), first, after)
        now = _inside(new.get(label, {}), first, after)
        frames = {f for f in {**before, **now} if before.get(f) != now.get(f)}
        changed |= {(label, f) for f in frames if f in now}
        removed |= {(label, f) for f in frames if f not in now}
        if not now:
            continue
        shown = {f for f, value in now.items() if value != GONE} - frames
        for frame in frames:
            left = max((f + 1 for f in shown if f < frame), default=first)
            right = min((f for f in shown if f > frame), default=after)
            if part is not None and part[0] <= frame < part[1]:
                left, right = max(left, part[0]), min(right, part[1])
            stale.setdefault(thing_of(label), []).append((left, right))
    held: list[tuple[int, int]] = []
    held_by: set[tuple[LabelName, int]] = set()
    for one in unfinished:
        frames = _inside(new.get(one.label, {}), first, after)
        inside = {f for f in frames if one.first <= f <= one.last}
        nearest = sorted(frames, key=lambda f: max(one.first - f, f - one.last))[:1]
        made_by = {(one.label, f) for f in inside or nearest}
        if one.held:
            begin, end = (one.begin, one.last + 1) if part is None else part
            begin, end = max(begin, one.begin), min(end, one.last + 1)
            if made_by and begin < end:
                held.append((begin, end))
                held_by |= made_by
            continue
        changed |= made_by
        if frames:
            stale.setdefault(thing_of(one.label), []).append((one.begin, one.last + 1))
    every = [one for ranges in stale.values() for one in ranges]
    by_thing = {key: _joined(ranges) for key, ranges in stale.items()}
    return Difference(
        *(frozenset(changed), frozenset(removed), _joined(every), by_thing),
        held=_joined(held),
        held_by=frozenset(held_by),
    )


def with_giving_way(news: Difference, under: Mapping[int, Collection[int]]) -> Difference:
    """The same, and what objects that give way to others may lose.

    under: {object: those that were found where it is marked now}.
    """
    stale_of = dict(news.stale_of)
    for number, others in under.items():
        ranges = news.stale_of.get(f"object:{number}", ())
        for other in others:
            key = f"object:{other}"
            stale_of[key] = _joined([*stale_of.get(key, ()), *ranges])
    return replace(news, stale_of=stale_of)


def thing_of(label: LabelName) -> str:
    """The key of the thing that a label is of: "keypoints:1" for a joint's."""
    kind, number, _ = label
    return f"{'keypoints' if kind == 'joint' else kind}:{number}"


def _inside(frames: Mapping[int, Any], first: int, after: int) -> dict[int, Any]:
    return {frame: value for frame, value in frames.items() if first <= frame < after}


def _joined(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for first, after in sorted(ranges):
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], after)
        else:
            found.append((first, after))
    return tuple(found)
