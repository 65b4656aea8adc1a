"""`shots.csv`: the shots of a film as a table that people edit.

| column | what |
|---|---|
| shot | number from 1; what is read goes by frames alone |
| first_frame, last_frame | of the shot, from 0, both included; every frame is of one shot |
| begins, ends | film (with the film itself), cut, dissolve or fade |
| whole_from, whole_to | frames that show this shot alone, both included; between them and those \
of the next shot lies the dissolve or fade |
| start_seconds, end_seconds | when the first frame is shown, and when the last one no longer is |
| name | yours, may be empty |

Read are first_frame and last_frame, and of the rest what is there but shot and the seconds.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import cast, get_args

from chromatrack.errors import InputError
from chromatrack.formats.csv_tables import csv_cell
from chromatrack.formats.shots import Edge, Shot

COLUMNS = (
    *("shot", "first_frame", "last_frame", "begins", "whole_from", "whole_to", "ends"),
    *("start_seconds", "end_seconds", "name"),
)


def shot_table(shots: Sequence[Shot], times: Sequence[float]) -> str:
    """The table as text.

    times: when each frame from 0 on is shown, seconds, and at the end when the last one no longer
    is: one more than there are frames.
    """
    lines = [",".join(COLUMNS)]
    for number, shot in enumerate(shots, start=1):
        whole = shot.whole or (shot.first, shot.end)
        cells: list[object] = [number, shot.first, shot.end - 1, shot.begins]
        cells += [whole[0], whole[1] - 1, shot.ends]
        cells += [f"{times[shot.first]:.6f}", f"{times[shot.end]:.6f}", csv_cell(shot.name)]
        lines.append(",".join(map(str, cells)))
    return "\n".join(lines) + "\n"


def is_shot_table(path: Path) -> bool:
    """Whether a file begins as the table does."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.readline().startswith("shot,first_frame,last_frame")
    except OSError:
        return False


def read_shot_table(path: str | PathLike[str]) -> list[Shot]:
    """The shots of a `shots.csv`, in order of the film.

    Raises:
        InputError: no such file, or what is wrong in which row.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise InputError(f"'{path}': expected a table of shots, got none ({why})") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(f"'{path}': expected a table of shots, got no CSV ({error})") from error
    if missing := [name for name in ("first_frame", "last_frame") if name not in header]:
        raise InputError(
            f"'{path}': expected columns first_frame and last_frame, got no {missing[0]}"
        )
    found = [_shot(row, f"'{path}', line {line}") for line, row in rows if any(_cells(row))]
    if not found:
        raise InputError(f"'{path}': expected at least one shot, got none")
    return sorted(found, key=lambda shot: shot.first)


def _cells(row: dict[str, str]) -> list[str]:
    return [value.strip() for value in row.values() if isinstance(value, str)]


def _shot(row: dict[str, str], place: str) -> Shot:
    first, last = _frame(row, "first_frame", place), _frame(row, "last_frame", place)
    assert first is not None and last is not None
    if last < first:
        raise InputError(f"{place}: expected first_frame <= last_frame, got {first} and {last}")
    begin, end = _frame(row, "whole_from", place, first), _frame(row, "whole_to", place, last)
    assert begin is not None and end is not None
    begin, end = min(max(begin, first), last), min(max(end, first), last)
    whole = (begin, end + 1) if begin <= end and (begin, end) != (first, last) else None
    edges = _edge(row, "begins", place), _edge(row, "ends", place)
    return Shot(first, last + 1, (row.get("name") or "").strip(), *edges, whole)


def _frame(row: dict[str, str], name: str, place: str, default: int | None = None) -> int | None:
    text = (row.get(name) or "").strip()
    if not text and default is not None:
        return default
    if not (text.isdecimal() and text.isascii() and len(text) < 10):
        raise InputError(f"{place}: expected {name} as a frame number from 0, got '{text[:40]}'")
    return int(text)


def _edge(row: dict[str, str], name: str, place: str) -> Edge:
    text = (row.get(name) or "").strip().lower() or "cut"
    if text not in get_args(Edge):
        raise InputError(f"{place}: expected {name} as {', '.join(get_args(Edge))}, got '{text}'")
    return cast("Edge", text)
