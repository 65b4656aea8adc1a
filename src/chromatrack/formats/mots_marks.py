"""Masks out of MOTS text: a line per object and frame, `frame id class height width runs`.

The id is class * 1000 + number; class 10 is what nobody labelled. MOTSChallenge counts frames from
1, KITTI from 0: a file with a frame 0 is KITTI's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.coco_masks import unpacked_runs
from chromatrack.formats.file_marks import FileMarks, GivenFile, MaskPiece, painted
from chromatrack.formats.json_fields import JsonValue
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.mots import CAR, PEDESTRIAN, PER_CLASS
from chromatrack.formats.run_lengths import runs_to_mask

_IGNORED = 10
_NAMES = {CAR: "car", PEDESTRIAN: "pedestrian"}


class _Row(NamedTuple):
    """A line of the file. size: (height, width) px."""

    line: int
    place: str
    frame: int
    track: int
    kind: int
    size: tuple[int, int]
    runs: str


def mots_size(given: GivenFile) -> tuple[int, int] | None:
    """(height, width) that the first line states."""
    return next((row.size for row in _rows(given)), None)


def read_mots(given: GivenFile, source: MarkedSource) -> FileMarks:
    """Masks of tracks; every row is a mark.

    Raises:
        InputError: a row of another form, two rows for one id and frame, runs that do not fill the
            picture, or a picture of another shape than the video.
    """
    every = list(_rows(given))
    rows = [row for row in every if row.kind != _IGNORED]
    if len(rows) < len(every):
        source.say(f"'{given.path}': passed over {len(every) - len(rows)} rows of ignored regions")
    first = int(all(row.frame > 0 for row in every))
    source.say(f"'{given.path}': frames are counted from {first}", warned=False)
    ids = _ids(rows, source, f"'{given.path}'")
    seen: dict[tuple[int, int], int] = {}
    for row in rows:
        if (other := seen.setdefault((row.track, row.frame), row.line)) != row.line:
            raise InputError(
                f"{row.place}: id {row.track} on frame {row.frame} is there already, in line "
                f"{other}; keep one row"
            )
    pieces = (_piece(row, ids[row.track], first, given, source) for row in rows)
    return FileMarks(masks=painted(pieces, source, f"'{given.path}'"))


def _piece(row: _Row, number: int, first: int, given: GivenFile, source: MarkedSource) -> MaskPiece:
    source.mask_size_check(row.place)(row.size)
    height, width = row.size
    counts = JsonValue(row.runs, str(given.path), f"line {row.line}")
    runs = unpacked_runs(counts)
    if int(runs.sum()) != height * width:
        raise InputError(
            f"{row.place}: expected runs of {height} x {width} pixels in all, got "
            f"{int(runs.sum())}; save the mask again"
        )
    inside = runs_to_mask(runs, (width, height)).T
    fitted = source.fit_mask(np.where(inside, number, 0).astype(np.int32), row.place)
    frame = source.frame(row.frame - first, row.place)
    return MaskPiece(number, frame, (0, 0), fitted > 0)


def _ids(rows: list[_Row], source: MarkedSource, place: str) -> dict[int, int]:
    """{track: id}: its number within the class, a free one where that is 0 or taken."""
    kinds = {row.track: row.kind for row in rows}
    ids: dict[int, int] = {}
    for track, kind in kinds.items():
        number = track - kind * PER_CLASS
        if 0 < number < PER_CLASS and number not in ids.values():
            ids[track] = number
    free = (number for number in range(1, 2 * len(kinds) + 2) if number not in set(ids.values()))
    renumbered = [track for track in kinds if track not in ids]
    for track in renumbered:
        ids[track] = next(free)
    if renumbered:
        more = f" ({len(renumbered) - 1} more are renumbered, too)" if renumbered[1:] else ""
        source.say(f"{place}: track {renumbered[0]} is object {ids[renumbered[0]]}{more}")
    for track, kind in kinds.items():
        source.label("object", ids[track], _NAMES.get(kind, ""))
    return ids


def _rows(given: GivenFile) -> Iterator[_Row]:
    for line, text in enumerate(given.text().splitlines(), start=1):
        cells = text.split()
        if not cells:
            continue
        place = f"'{given.path}', line {line}"
        numbers = [int(cell) for cell in cells[:5] if cell.isdecimal() and len(cell) <= 9]
        if len(cells) != 6 or len(numbers) != 5:
            raise InputError(
                f"{place}: expected frame, id, class, height, width (integers from 0 up) and runs, "
                f"got {text!r:.80}; correct the row"
            )
        frame, track, kind, height, width = numbers
        yield _Row(line, place, frame, track, kind, (height, width), cells[5])
