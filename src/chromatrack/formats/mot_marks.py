"""Boxes out of MOT Challenge tables, results (10 columns) or ground truth (9).

Frames and pixels count from 1. In ground truth the seventh column says whether a row counts (0: it
does not), the eighth the class.
"""

from __future__ import annotations

import csv

from chromatrack.errors import InputError
from chromatrack.formats.file_marks import FileMarks, GivenFile
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.mot import FIRST_PIXEL
from chromatrack.formats.outlines import FARTHEST
from chromatrack.structures import BoxMark

CLASSES = {
    1: "pedestrian",
    2: "person on vehicle",
    3: "car",
    4: "bicycle",
    5: "motorbike",
    6: "non motorized vehicle",
    7: "static person",
    8: "distractor",
    9: "occluder",
    10: "occluder on the ground",
    11: "occluder full",
    12: "reflection",
}
"""Names of the classes in the ground truth of MOT16 and later."""

_TRUTH = 9  # columns


def read_mot(given: GivenFile, source: MarkedSource) -> FileMarks:
    """Boxes of tracks; every row is a mark.

    Raises:
        InputError: a row of another form, detections without tracks (id -1), a frame below 1, or
            two rows for one id and frame.
    """
    boxes: dict[tuple[int, int], BoxMark] = {}
    passed = 0
    for line, cells in enumerate(csv.reader(given.text().splitlines()), start=1):
        if not any(cell.strip() for cell in cells):
            continue
        place = f"'{given.path}', line {line}"
        values = _numbers(cells, place)
        if len(values) == _TRUTH and values[6] == 0:
            passed += 1
            continue
        mark = _box(values, place, source)
        if (mark.id, mark.frame) in boxes:
            raise InputError(
                f"{place}: id {mark.id} on frame {mark.frame + 1} is there already; keep one row"
            )
        boxes[mark.id, mark.frame] = mark
        if len(values) == _TRUTH:
            source.label("box", mark.id, CLASSES.get(int(values[7]), ""))
    if passed:
        source.say(f"'{given.path}': passed over {passed} rows that are marked not to count")
    return FileMarks(boxes=list(boxes.values()))


def _numbers(cells: list[str], place: str) -> list[float]:
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        values = []
    if not 6 <= len(values) <= 10 or not all(abs(value) <= FARTHEST for value in values):
        raise InputError(
            f"{place}: expected frame,id,left,top,width,height,... of 6 to 10 finite numbers, got "
            f"{','.join(cells)!r:.80}; correct the row"
        )
    return values


def _box(values: list[float], place: str, source: MarkedSource) -> BoxMark:
    frame, number, left, top, width, height = values[:6]
    if number < 0 or number % 1 or frame < 1 or frame % 1:
        raise InputError(
            f"{place}: expected a frame from 1 and the id of a track, got frame {frame:g}, id "
            f"{number:g}; detections without tracks (id -1) cannot be marks"
        )
    if min(width, height) <= 0:
        raise InputError(
            f"{place}: expected a width and height above 0 px, got {width:g}x{height:g}; correct it"
        )
    index = source.frame(int(frame) - 1, place)
    return BoxMark(int(number), index, left - FIRST_PIXEL, top - FIRST_PIXEL, width, height)
