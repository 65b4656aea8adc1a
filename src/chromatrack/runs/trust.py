"""What a run says of how far each row of its tables is to be trusted, and what a person marked."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.json_fields import load_json_object
from chromatrack.formats.tracked_video import Trust
from chromatrack.propagation.reliability import doubtful_things
from chromatrack.runs.file_names import RESULT
from chromatrack.runs.marks_json import read_run_marks
from chromatrack.runs.reader import Result
from chromatrack.structures import Kind, LabelName
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.reliability import by_kind

Thing = tuple[Kind, int]
_KINDS: tuple[Kind, ...] = ("object", "box", "point", "keypoints")


def trust_in(result: Result) -> Trust:
    """How far what a run has tracked is to be trusted.

    Warns where its marks cannot be read, though it has some: nothing is said of them then.
    """
    marks = _marks(result)
    if marks is None:
        return Trust(_places(result), _doubtful(result), None)
    marked, gone = _said(marks, result)
    doubtful = _doubtful(result)
    for thing, frames in gone.items():
        _settle(doubtful, thing, frames, _absent(result, thing))
    return Trust(_places(result), doubtful, marked, gone)


def _marks(result: Result) -> Marks | None:
    """What was marked; None where that is not known, with a warning where it should be."""
    path = result.folder / RESULT
    if not path.is_file() or "marks" not in load_json_object(path, what="a result"):
        return None
    try:
        return read_run_marks(result.folder)
    except InputError as error:
        warnings.warn(f"{error}; which rows were marked is not said", stacklevel=4)
        return None


def _places(result: Result) -> dict[LabelName, np.ndarray]:
    """(N,) reliability of each box, point and joint on the run's N frames, NaN where not said."""
    found: dict[LabelName, np.ndarray] = {}
    for row, frame in enumerate(result.frames):
        for name, value in frame.place_reliability.items():
            if name not in found:
                found[name] = np.full(len(result.frames), np.nan)
            found[name][row] = value
    return found


def _doubtful(result: Result) -> dict[Thing, np.ndarray]:
    """(N,) whether a thing is less reliable on a frame than `look_at` of the run allows.

    1 or 0, NaN where the run says nothing of it.
    """
    found: dict[Thing, np.ndarray] = {}
    for row, frame in enumerate(result.frames):
        said = by_kind(frame.reliability, frame.place_reliability)
        doubted = doubtful_things(said)
        for kind in _KINDS:
            for number in said[kind]:
                if (kind, number) not in found:
                    found[kind, number] = np.full(len(result.frames), np.nan)
                found[kind, number][row] = number in doubted.get(kind, {})
    return found


def _settle(
    doubtful: dict[Thing, np.ndarray], name: LabelName, frames: np.ndarray, absent: np.ndarray
) -> None:
    """Doubt nothing around a frame on which a thing was said to be gone, where it is indeed absent.

    frames, absent: (N,) bool. In place.
    """
    things: dict[str, Thing] = {kind: (kind, name[1]) for kind in ("object", "point", "box")}
    doubts = doubtful.get(things[name[0]]) if name[0] in things else None  # not of joints
    if doubts is None:
        return
    for row in np.flatnonzero(frames).tolist():
        for step in (-1, 1):
            at = row
            while 0 <= at < len(doubts) and (at == row or (doubts[at] == 1 and absent[at])):
                doubts[at] = 0
                at += step


def _absent(result: Result, name: LabelName) -> np.ndarray:
    """(N,) bool: where a thing is not seen."""
    kind, number, _ = name
    if kind == "object":
        return np.array([not frame.present.get(number) for frame in result.frames], dtype=bool)
    absent = np.ones(len(result.frames), dtype=bool)
    if kind != "joint":
        track = result.tracks("box" if kind == "box" else "point").get(number)
        if track is not None:
            rows = np.searchsorted(result.indices, track.frames)  # the result may be a part of them
            rows = rows.clip(max=len(absent) - 1)
            known = result.indices[rows] == track.frames
            absent[rows[known]] = ~track.visible[known]
    return absent


def _said(
    marks: Marks, result: Result
) -> tuple[dict[LabelName, np.ndarray], dict[LabelName, np.ndarray]]:
    """(N,) bool by name: whether a person marked it on a frame; whether it was said to be gone."""
    rows = {frame: row for row, frame in enumerate(result.indices.tolist())}
    marked: dict[LabelName, np.ndarray] = {}
    gone: dict[LabelName, np.ndarray] = {}
    for name, frame, is_gone in _each(marks):
        if frame in rows:
            for table in (marked, gone) if is_gone else (marked,):
                flags = table.setdefault(name, np.zeros(len(rows), dtype=bool))
                flags[rows[frame]] = True
    return marked, gone


def _each(marks: Marks) -> Iterator[tuple[LabelName, int, bool]]:
    """Name, frame, and whether it was said to be gone, of every mark."""
    for frame, mask in marks.masks.items():
        yield from ((("object", int(i), 0), frame, False) for i in np.unique(mask) if i)
    yield from ((("object", mark.id, 0), mark.frame, True) for mark in marks.lost)
    yield from ((("point", mark.id, 0), mark.frame, mark.x is None) for mark in marks.points)
    yield from ((("box", mark.id, 0), mark.frame, mark.x is None) for mark in marks.boxes)
    for mark in marks.keypoints:
        for joint, (xy, lost) in enumerate(zip(mark.joints, mark.lost, strict=True)):
            if lost or np.isfinite(xy).all():
                yield ("joint", mark.id, joint), mark.frame, bool(lost)
