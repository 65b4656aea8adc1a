"""CSV tables of points and boxes: the user's marks in, tracks out and in again.

A table has one header line, then one row per thing and frame, in any order. Marks need the columns
`id,frame` and those of their kind, and may have a `name` and `color`; tracks are written as
`id,frame,pts_seconds,...,visible,confidence,name,category,color`, which reads as marks too.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from chromatrack.atomic import WholeFile
from chromatrack.errors import InputError
from chromatrack.formats.color_text import hex_color, read_color
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.picture_names import NamedPicture
from chromatrack.formats.text_encoding import file_encoding
from chromatrack.structures import (
    BoxMark,
    Categories,
    Color,
    Colors,
    Kind,
    Names,
    PointMark,
    TrackedBox,
    TrackedPoint,
)

POINT = ("x", "y")
"""Columns of a point, px from the centre of the top-left pixel."""

BOX = ("x", "y", "width", "height")
"""Columns of a box, px: it covers the pixel columns x .. x + width - 1, counted from 0."""

_SEPARATORS = (",", ";", "\t")
"""Between cells; spreadsheets of many countries write ';' because ',' is their decimal mark."""

_LARGEST = 2**63 - 1
"""Of ids and frame numbers, which are kept as 64-bit integers."""

_WHOLE = re.compile(r"\+?([0-9]{1,19})(\.0*)?", re.ASCII)
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


def read_points(
    path: str | PathLike[str], *, source: MarkedSource | None = None
) -> list[PointMark]:
    """Read marked points from a CSV file with the columns id, frame, x, y, in any order.

    Other columns are passed over, but in a table with a `visible` column, as tracks have, a row
    that says 0 declares the point lost there: its x and y are a guess. So does a row with empty x
    and y. A byte order mark, CRLF and ';' or tab between cells (then with '.' or ',' as decimal
    mark) are fine.

    Args:
        source: the video they are for: `frame` may also name one of its pictures.

    Returns:
        The marks in the order of the file.

    Raises:
        InputError: no such file, a missing column, no rows, a cell that is not a finite number (or
            for id and frame, not an integer from 0 up), only one of x and y, or two rows for one
            id and frame.
    """
    marks = _marked_rows(path, POINT, source)
    return [PointMark(number, frame, *(xy or (None, None))) for number, frame, xy, _ in marks]


def read_boxes(path: str | PathLike[str], *, source: MarkedSource | None = None) -> list[BoxMark]:
    """Read marked boxes from a CSV file with the columns id, frame, x, y, width, height.

    Otherwise as `read_points`; a width or height that is not above 0 is an InputError too.
    """
    marks = []
    for number, frame, box, row in _marked_rows(path, BOX, source):
        for column, value in zip(BOX[2:], box[2:] if box else (), strict=False):
            if value <= 0:
                raise InputError(
                    f"{row.place}: expected {column} above 0 px, got {row.cells[column]!r}; "
                    "correct the row, or leave all four cells empty where the box is lost"
                )
        marks.append(BoxMark(number, frame, *(box or (None,) * 4)))
    return marks


class Looks(NamedTuple):
    """What things are called and drawn in, and what they are, by id, where a table says so."""

    names: dict[int, str]
    colors: dict[int, Color]
    categories: dict[int, str]

    @classmethod
    def of(cls, kind: Kind, names: Names, colors: Colors, categories: Categories) -> Looks:
        """Those of the things of one kind."""
        return cls(
            {n: name for (k, n), name in names.items() if k == kind},
            {n: color for (k, n), color in colors.items() if k == kind},
            {n: category for (k, n), category in categories.items() if k == kind},
        )

    def cells(self, number: int) -> str:
        """What `LOOKS` say of a thing, as cells of a table."""
        color = hex_color(self.colors[number]) if number in self.colors else ""
        texts = self.names.get(number, ""), self.categories.get(number, "")
        return ",".join([*map(csv_cell, texts), color])


LOOKS = "name,category,color"
"""Last columns of tables of things; empty where nothing was said."""


def read_looks(path: str | PathLike[str]) -> Looks:
    """Read names, categories and colours from the columns `name`, `category` and `color` of marks.

    A thing is named on any of its rows; without the column nothing is. Colours are `#ff8000`,
    `orange` or `rgb(255, 128, 0)`.

    Raises:
        InputError: as `read_points`, no colour, or two names, categories or colours for one id.
    """
    looks = Looks({}, {}, {})
    for row in table_rows(path, ("id", "frame")):
        name, color = row.cells.get("name", ""), row.cells.get("color", "")
        category = row.cells.get("category", "")
        if name or category or color:
            number = row.whole("id")
            if name and (said := looks.names.setdefault(number, name)) != name:
                raise InputError(
                    f"{row.place}: id {number} is called {said!r} before, here {name!r}; give it "
                    "one name"
                )
            if category and (said := looks.categories.setdefault(number, category)) != category:
                raise InputError(
                    f"{row.place}: id {number} is a {said!r} before, here {category!r}; give it "
                    "one category"
                )
            if color:
                given = read_color(color, row.place)
                if (drawn := looks.colors.setdefault(number, given)) != given:
                    raise InputError(
                        f"{row.place}: id {number} is {hex_color(drawn)} before, here {color!r}; "
                        "give it one colour"
                    )
    return looks


def read_tracks(path: str | PathLike[str], columns: Sequence[str] = POINT) -> dict[int, TrackData]:
    """Read a tracks.csv, or with `BOX` a boxes.csv: {id: track with (N, len(columns)) values}.

    Ids ascend. A table without rows is a run that tracked nothing: {}.

    Raises:
        InputError: as `read_points`, and for a missing column of those that tracks have.
    """
    wanted = ("id", "frame", "pts_seconds", *columns, "visible", "confidence")
    found: dict[int, list[tuple[float, ...]]] = {}
    for number, frame, row in _unique_rows(path, wanted):
        given = [row.number(column) for column in ("pts_seconds", *columns)]
        values = (math.nan if value is None else value for value in given)
        state = row.flag("visible") and None not in given[1:], row.number("confidence") or 0.0
        found.setdefault(number, []).append((frame, *values, *state))
    return {number: _track_data(found[number]) for number in sorted(found)}


class TableWriter(WholeFile):
    """Writes a tracks.csv or boxes.csv frame by frame; see `WholeFile` for how it ends."""

    def __init__(
        self,
        path: str | PathLike[str],
        columns: Sequence[str],
        looks: Looks | None = None,
    ) -> None:
        """Open a table of `POINT` or `BOX`. Raises OutputError if it cannot be.

        looks: what things are called, are and are drawn in, where that was said.
        """
        super().__init__(path)
        self._columns, self._looks = columns, looks or Looks({}, {}, {})
        self.text(track_header(columns))

    def write(
        self,
        index: int,
        pts_seconds: float,
        tracked: Mapping[int, TrackedPoint] | Mapping[int, TrackedBox],
    ) -> None:
        """Add what was tracked on a frame, ids ascending; px are rounded to a thousandth.

        Values that are not finite leave their cells empty, and the thing hidden.
        """
        for number, thing in sorted(tracked.items()):
            values = [getattr(thing, column) for column in self._columns]
            known = all(math.isfinite(value) for value in values)
            cells = ",".join(f"{value:.3f}" if known else "" for value in values)
            state = f"{int(thing.visible and known)},{thing.confidence:.4f}"
            looks = self._looks.cells(number)
            self.text(f"{number},{index},{pts_seconds:.6f},{cells},{state},{looks}\n")


def csv_cell(text: str) -> str:
    """A text as one cell of a table: in quotes where it holds a separator, a quote or a break."""
    is_plain = not re.search(r'[",;\t\r\n]', text) and text == text.strip()
    return text if is_plain else '"' + text.replace('"', '""') + '"'


def track_header(columns: Sequence[str]) -> str:
    """First line of a table of tracks."""
    return f"id,frame,pts_seconds,{','.join(columns)},visible,confidence,{LOOKS}\n"


# -- rows ------------------------------------------------------------------------------------


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
        whole = _WHOLE.fullmatch(text)
        if not whole or int(whole[1]) > _LARGEST:
            raise InputError(
                f"{self.place}: expected {column} to be an integer from 0 up, got {text!r}; "
                "correct the row"
            )
        return int(whole[1])

    def frame(self, source: MarkedSource | None) -> int:
        """The frame: a number, or with a `source` the name of one of its pictures."""
        text = self.cells["frame"]
        if source is None or (source.pictures is None) or not text:
            return self.whole("frame")
        if _WHOLE.fullmatch(text):
            return source.frame(self.whole("frame"), self.place)
        return source.frames([NamedPicture(self.place, (text,))])[0]

    def number(self, column: str) -> float | None:
        """The cell as a finite number, None if empty; raises InputError if it is none."""
        text = self.cells[column]
        if not text:
            return None
        value = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not abs(value) <= 1e12:  # what is beyond any picture is no more a place than inf
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
        with source.open(encoding=file_encoding(source), newline="") as file:
            yield from _rows(file, str(source), columns)
    except FileNotFoundError as error:
        raise InputError(f"no file '{source}'; check the path") from error
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(
            f"'{source}': expected a CSV table as UTF-8 text, but it cannot be read ({error}); "
            "save it as CSV (UTF-8)"
        ) from error


def _rows(file: TextIO, name: str, columns: Sequence[str]) -> Iterator[TableRow]:
    """As `table_rows`, for an open file."""
    first = file.readline()
    separator = max(_SEPARATORS, key=first.count)
    first = first.removeprefix("#")  # as VIA 1 and others begin a header
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
            cells = [
                cell if column in ("name", "category", "color") else cell.replace(",", ".")
                for column, cell in zip(header, cells, strict=True)
            ]
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


def _unique_rows(
    path: str | PathLike[str], columns: Sequence[str], source: MarkedSource | None = None
) -> Iterator[tuple[int, int, TableRow]]:
    """As `table_rows`, with id and frame; raises InputError too for two rows that share both."""
    seen: dict[tuple[int, int], int] = {}
    for row in table_rows(path, columns):
        number, frame = row.whole("id"), row.frame(source)
        if (number, frame) in seen:
            raise InputError(
                f"{row.place}: id {number} on frame {frame} is there already, in "
                f"line {seen[number, frame]}; keep one of the two rows"
            )
        seen[number, frame] = row.line
        yield number, frame, row


def _marked_rows(
    path: str | PathLike[str], columns: Sequence[str], source: MarkedSource | None
) -> Iterator[tuple[int, int, tuple[float, ...] | None, TableRow]]:
    """(id, frame, values, row); values are None where declared lost: all empty, or not visible.

    Raises:
        InputError: as `_unique_rows`; also for no rows at all, or some but not all values given.
    """
    row = None
    for number, frame, row in _unique_rows(path, ("id", "frame", *columns), source):
        given = [row.number(column) for column in columns]
        known = tuple(value for value in given if value is not None)
        if known and len(known) < len(given):
            shown = ", ".join(f"{c}={row.cells[c]!r}" for c in columns)
            raise InputError(
                f"{row.place}: expected all of {','.join(columns)}, or none where the thing is "
                f"lost, got {shown}; fill in the rest"
            )
        hidden = bool(row.cells.get("visible")) and not row.flag("visible")
        yield number, frame, None if hidden else known or None, row
    if row is None:
        raise InputError(
            f"'{path}': expected at least one row under the header, got none; add a mark"
        )


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
