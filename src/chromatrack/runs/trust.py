"""What a run says of how far each row of its tables is to be trusted, and what a person marked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.tracked_video import Trust
from chromatrack.propagation.reliability import doubtful_things
from chromatrack.runs.marks_json import read_run_marks
from chromatrack.runs.reader import Result
from chromatrack.structures import Kind, LabelName
from chromatrack.tracking.reliability import by_kind

Thing = tuple[Kind, int]


def trust_in(result: Result) -> Trust:
    """All that is said below."""
    return Trust(_places(result), _doubtful(result), _marked(result))


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
    """(N,) whether a thing is to be looked at on a frame, as `look_at` of the run has it.

    1 or 0, NaN where the run says nothing of it.
    """
    found: dict[Thing, np.ndarray] = {}
    kinds: tuple[Kind, ...] = ("object", "box", "point", "keypoints")
    for row, frame in enumerate(result.frames):
        said = by_kind(frame.reliability, frame.place_reliability)
        doubted = doubtful_things(said)
        for kind in kinds:
            for number in said[kind]:
                if (kind, number) not in found:
                    found[kind, number] = np.full(len(result.frames), np.nan)
                found[kind, number][row] = number in doubted.get(kind, {})
    return found


def _marked(result: Result) -> Mapping[Thing, np.ndarray] | None:
    """(N,) bool: whether a person marked a thing on a frame, or said that it is gone there.

    Things that were marked on none of the frames are left out. None: the run does not say.
    """
    try:
        marks = read_run_marks(result.folder)
    except InputError:
        return None
    painted = [(int(i), frame) for frame, mask in marks.masks.items() for i in np.unique(mask) if i]
    said: dict[Kind, list[tuple[int, int]]] = {
        "object": painted + [(mark.id, mark.frame) for mark in marks.lost],
        "point": [(mark.id, mark.frame) for mark in marks.points],
        "box": [(mark.id, mark.frame) for mark in marks.boxes],
        "keypoints": [(mark.id, mark.frame) for mark in marks.keypoints],
    }
    rows = {frame: row for row, frame in enumerate(result.indices.tolist())}
    found: dict[Thing, np.ndarray] = {}
    for kind, places in said.items():
        for number, frame in places:
            if frame in rows:
                flags = found.setdefault((kind, number), np.zeros(len(rows), dtype=bool))
                flags[rows[frame]] = True
    return found
