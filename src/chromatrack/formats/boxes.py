"""Boxes as CSV: the user's marks in, tracks out and in again; tables as in `track_tables`.

A box has its left and top pixel (x, y), width and height in px: it covers the pixel columns
x .. x + width - 1, counted from 0. Fractions are allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike

from chromatrack.atomic import WholeFile
from chromatrack.errors import InputError
from chromatrack.formats.csv_tables import (
    TableRow,
    TrackData,
    marked_rows,
    read_track_table,
    track_line,
)
from chromatrack.structures import BoxMark, TrackedBox

COLUMNS = ("x", "y", "width", "height")


def read_boxes(path: str | PathLike[str]) -> list[BoxMark]:
    """Read marked boxes from a CSV file with the columns id, frame, x, y, width, height.

    Columns in any order; other columns, lost rows, separators and decimal marks as for
    `read_points`.

    Returns:
        The marks in the order of the file, in px.

    Raises:
        InputError: as `read_points`, and for a width or height that is not above 0.
    """
    marks = []
    for number, frame, box, row in marked_rows(path, COLUMNS):
        if box is None:
            marks.append(BoxMark(number, frame, None, None, None, None))
        else:
            _check_sides(box, row)
            marks.append(BoxMark(number, frame, *box))
    return marks


def read_box_tracks(path: str | PathLike[str]) -> dict[int, TrackData]:
    """Read a boxes.csv: {box id: its track, values (N, 4) float64 x, y, width, height px}.

    Ids ascend. A table without rows is a run that tracked nothing: {}.

    Raises:
        InputError: as `read_points`, and for a missing column of those that tracks have.
    """
    return read_track_table(path, COLUMNS)


def write_box_tracks(
    path: str | PathLike[str], rows: Iterable[tuple[int, float, Mapping[int, TrackedBox]]]
) -> None:
    """Write tracked boxes, frame by frame, as by `BoxWriter`.

    Args:
        rows: frame number, its time in seconds, and {box id: where}, for every frame.

    Raises:
        OutputError: the file cannot be written.
    """
    with BoxWriter(path) as writer:
        for index, pts_seconds, boxes in rows:
            writer.write(index, pts_seconds, boxes)


class BoxWriter(WholeFile):
    """Writes a boxes.csv frame by frame; see `WholeFile` for how it ends."""

    def __init__(self, path: str | PathLike[str]) -> None:
        """Open the table and write its header. Raises OutputError if it cannot be."""
        super().__init__(path)
        self.text("id,frame,pts_seconds,x,y,width,height,visible,confidence\n")

    def write(self, index: int, pts_seconds: float, boxes: Mapping[int, TrackedBox]) -> None:
        """Add the boxes of one frame, ids ascending; sides are rounded to a thousandth px."""
        for number in sorted(boxes):
            b = boxes[number]
            values = (b.x, b.y, b.width, b.height)
            self.text(track_line(number, index, pts_seconds, values, b.visible, b.confidence))


def _check_sides(box: tuple[float, ...], row: TableRow) -> None:
    for column, value in zip(COLUMNS[2:], box[2:], strict=True):
        if value <= 0:
            raise InputError(
                f"{row.place}: expected {column} above 0 px, got {row.cells[column]!r}; correct "
                "the row, or leave all four cells empty where the box is lost"
            )
