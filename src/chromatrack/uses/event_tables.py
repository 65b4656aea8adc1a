"""Tables of events and of places over time as CSV: one header line, one row per event or frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, fields
from os import PathLike
from typing import Literal, TypeAlias

from chromatrack.atomic import WholeFile

EventName: TypeAlias = Literal[
    "cut", "entry", "exit", "hidden", "contact", "dwell",
    "speed_mean", "speed_max", "path_length", "distance_min", "distance_mean",
]  # fmt: skip
Side: TypeAlias = Literal["left", "top", "right", "bottom"]


@dataclass(frozen=True)
class Event:
    """One row of events.csv; None where a column says nothing about this event.

    start_frame, end_frame: first and last frame. start_seconds: when the first one appears.
    end_seconds: when the last one vanishes; a moment (cut, entry, exit, speed_max, distance_min)
    has both times alike. value, unit: what was measured. x, y: where, px. side: border of the
    frame through which a thing came or went.
    """

    event: EventName
    kind: str | None
    id: int | None
    other_kind: str | None
    other_id: int | None
    start_frame: int
    end_frame: int
    start_seconds: float
    end_seconds: float
    duration_seconds: float
    value: float | None = None
    unit: str | None = None
    x: float | None = None
    y: float | None = None
    side: Side | None = None


@dataclass(frozen=True)
class FrameRow:
    """One row of frames.csv: a thing on a frame where it is there; speed in px/s."""

    kind: str
    id: int
    frame: int
    pts_seconds: float
    x: float
    y: float
    area: float | None
    speed: float | None


def table_text(row_type: type[Event] | type[FrameRow], rows: Iterable[Event | FrameRow]) -> str:
    """Rows as CSV text, columns as the fields of `row_type`.

    Times are rounded to the microsecond, other fractions to a thousandth; None is an empty cell.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f.name for f in fields(row_type)]
    writer.writerow(names)
    for row in rows:
        writer.writerow(_cell(name, getattr(row, name)) for name in names)
    return text.getvalue()


def _cell(name: str, value: object) -> object:
    if isinstance(value, float):
        return round(value, 6 if name.endswith("_seconds") else 3)
    return "" if value is None else value


def write_table(
    path: str | PathLike[str],
    row_type: type[Event] | type[FrameRow],
    rows: Iterable[Event | FrameRow],
) -> None:
    """Write rows as a CSV file, as by `table_text`; it appears whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    text = table_text(row_type, rows)
    with WholeFile(path) as file:
        file.text(text)
