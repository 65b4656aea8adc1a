"""CSV tables of marks and tracks: what points and boxes share.

A table has one header line, then one row per thing and frame, in any order.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TextIO

import numpy as np

from chromatrack.errors import InputError

SEPARATORS = (",", ";", "\t")
"""Between cells; spreadsheets of many countries write ';' because ',' is their decimal mark."""

LARGEST = 2**63 - 1
"""Of ids and frame numbers, which are kept as 64-bit integers."""

_WHOLE = re.compile(r"\+?[0-9]{1,19}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.ASCII | re.IGNORECASE)
_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class TrackData:
    """One tracked thing as read back from a file; rows ascend by frame.

    frames: (N,) int64. pts_seconds: (N,) float64, NaN where the file does not say. values: float64
    px, (N, 2) xy of a point, (N, 4) left, top, width, height of a box, (N, J, 2) xy of joints; NaN
    where nothing is known. visible: bool and confidence: float64 in [0, 1], (N,) or, for joints,
    (N, J).
    """

    frames: np.ndarray
    pts_seconds: np.ndarray
    values: np.ndarray
    visible: np.ndarray
    confidence: np.ndarray


# -- reading tables --------------------------------------------------------------------------


@dataclass(frozen=True)
class TableRow:
    """The cells of one row of a table, by column, and where it stands: file name and line."""

    file: str
    line: int
    cells: Mapping[str, str]

    @property
    def place(self) -> str:
        """The file and line, as errors begin."""
        return f"'{self.file}', line {self.line}"

    def whole(self, column: str) -> int:
        """The cell as an integer from 0 up; raises InputError if it is none."""
        text = self.cells[column]
        if not _WHOLE.fullmatch(text) or int(text) > LARGEST:
            raise InputError(
                f"{self.place}: expected {column} to be an integer from 0 up, got {text!r}; "
                "correct the row"
            )
        return int(text)

    def number(self, column: str) -> float | None:
        """The cell as a finite number, None if empty; raises InputError if it is none."""
        text = self.cells[column]
        if not text:
            return None
        value = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(value):
            raise InputError(
                f"{self.place}: expected {column} to be a finite number, got {text!r}; "
                "correct the row, or leave the cells empty where the thing is lost"
            )
        return value

    def flag(self, column: str) -> bool:
        """The cell as yes (1, true) or no (0, false); raises InputError if it is neither."""
        text = self.cells[column]
        if text.lower() not in _FLAGS:
            raise InputError(
                f"{self.place}: expected {column} to be 1 or 0, got {text!r}; correct the row"
            )
        return _FLAGS[text.lower()]


def table_rows(path: str | PathLike[str], columns: Sequence[str]) -> Iterator[TableRow]:
    """Rows of a CSV file that has at least `columns`; blank lines are passed over.

    Raises:
        InputError: no such file, not a UTF-8 text, empty, a missing or double column, or a row
            with more or fewer cells than the header.
    """
    source = Path(path)
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            yield from _rows(file, str(source), columns)
    except FileNotFoundError as error:
        raise InputError(f"no file '{source}'; check the path") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"'{source}': expected a CSV table as UTF-8 text, but it cannot be read ({error}); "
            "save it as CSV (UTF-8)"
        ) from error


def _rows(file: TextIO, name: str, columns: Sequence[str]) -> Iterator[TableRow]:
    """As `table_rows`, for an open file."""
    first = file.readline()
    separator = max(SEPARATORS, key=first.count)
    header = [cell.strip().lower() for cell in next(csv.reader([first], delimiter=separator), [])]
    _check_header(header, name, columns)
    reader = csv.reader(file, delimiter=separator)
    for cells in reader:
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        line = reader.line_num + 1
        if len(cells) != len(header):
            raise InputError(
                f"'{name}', line {line}: expected {len(header)} cells as in the header, got "
                f"{len(cells)}: {separator.join(cells)!r}; correct the row"
            )
        if separator != ",":
            cells = [cell.replace(",", ".") for cell in cells]
        yield TableRow(name, line, dict(zip(header, cells, strict=True)))


def _check_header(header: Sequence[str], name: str, columns: Sequence[str]) -> None:
    wanted = ",".join(columns)
    if not any(header):
        raise InputError(
            f"'{name}': expected a header line with {wanted}, got an empty line; add it"
        )
    missing = [column for column in columns if column not in header]
    if missing:
        raise InputError(
            f"'{name}', line 1: expected the columns {wanted}, got {','.join(header)!r}: "
            f"{', '.join(missing)} missing; name the columns in the first line"
        )
    double = next((column for column in columns if header.count(column) > 1), None)
    if double is not None:
        raise InputError(f"'{name}', line 1: the column {double} is there twice; remove one")


def marked_rows(
    path: str | PathLike[str], values: Sequence[str]
) -> Iterator[tuple[int, int, tuple[float, ...] | None, TableRow]]:
    """Marks of a CSV table: (id, frame, its `values` or None where declared lost, the row).

    Raises:
        InputError: as `table_rows`; also for no rows at all, some but not all values given, or two
            rows for one id and frame.
    """
    seen: dict[tuple[int, int], int] = {}
    for row in table_rows(path, ("id", "frame", *values)):
        number, frame = _new_key(row, seen)
        yield number, frame, _values_or_none(row, values), row
    if not seen:
        raise InputError(
            f"'{path}': expected at least one row under the header, got none; add a mark"
        )


def read_track_table(path: str | PathLike[str], values: Sequence[str]) -> dict[int, TrackData]:
    """Tracks in a CSV table, {id: TrackData with (N, len(values)) values}, ids ascending.

    Raises:
        InputError: as `marked_rows`, but no rows give {}.
    """
    columns = ("id", "frame", "pts_seconds", *values, "visible", "confidence")
    found: dict[int, list[tuple[float, ...]]] = {}
    seen: dict[tuple[int, int], int] = {}
    for row in table_rows(path, columns):
        number, frame = _new_key(row, seen)
        given = tuple(row.number(column) for column in values)
        place = tuple(math.nan if value is None else value for value in given)
        seconds, confidence = row.number("pts_seconds"), row.number("confidence")
        rest = (row.flag("visible") and None not in given, confidence or 0.0)
        time = math.nan if seconds is None else seconds
        found.setdefault(number, []).append((frame, time, *place, *rest))
    return {number: _track_data(found[number]) for number in sorted(found)}


def _new_key(row: TableRow, seen: dict[tuple[int, int], int]) -> tuple[int, int]:
    """(id, frame) of a row, entered into `seen`; raises InputError if it is there already."""
    number, frame = row.whole("id"), row.whole("frame")
    if (number, frame) in seen:
        raise InputError(
            f"{row.place}: id {number} on frame {frame} is there already, in "
            f"line {seen[number, frame]}; keep one of the two rows"
        )
    seen[number, frame] = row.line
    return number, frame


def _values_or_none(row: TableRow, values: Sequence[str]) -> tuple[float, ...] | None:
    """The values of a mark, None where it declares the thing lost: all empty, or not visible."""
    given = [row.number(column) for column in values]
    known = tuple(value for value in given if value is not None)
    if known and len(known) < len(given):
        shown = ", ".join(f"{c}={row.cells[c]!r}" for c in values)
        raise InputError(
            f"{row.place}: expected all of {','.join(values)}, or none where the thing is lost, "
            f"got {shown}; fill in the rest"
        )
    hidden = bool(row.cells.get("visible")) and not row.flag("visible")
    return None if not known or hidden else known


def _track_data(rows: list[tuple[float, ...]]) -> TrackData:
    """Rows of frame, time, values..., visible, confidence as arrays, sorted by frame."""
    rows.sort(key=lambda row: row[0])
    table = np.array(rows, dtype=np.float64)
    return TrackData(
        frames=np.array([row[0] for row in rows], dtype=np.int64),
        pts_seconds=table[:, 1],
        values=table[:, 2:-2],
        visible=table[:, -2] != 0,
        confidence=table[:, -1],
    )


# -- writing tables --------------------------------------------------------------------------


def track_line(
    number: int,
    index: int,
    pts_seconds: float,
    values: Sequence[float],
    visible: bool,
    confidence: float,
) -> str:
    """One row of a tracks table; values that are not finite leave their cells empty, hidden."""
    known = all(math.isfinite(value) for value in values)
    cells = [f"{value:.3f}" if known else "" for value in values]
    state = f"{int(visible and known)},{confidence:.4f}"
    return f"{number},{index},{pts_seconds:.6f},{','.join(cells)},{state}\n"
