"""Points as CSV: the user's marks in, tracks out and in again.

Marks need the columns `id,frame,x,y`; tracks are written as
`id,frame,pts_seconds,x,y,visible,confidence`, which reads as marks too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike

from chromatrack.atomic import WholeFile
from chromatrack.formats.csv_tables import (
    TrackData,
    marked_rows,
    read_track_table,
    track_line,
)
from chromatrack.structures import PointMark, TrackedPoint


def read_points(path: str | PathLike[str]) -> list[PointMark]:
    """Read marked points from a CSV file with the columns id, frame, x, y, in any order.

    Other columns are passed over, but in a table with a `visible` column, as tracks have, a row
    that says 0 declares the point lost there: its x and y are a guess. So does a row with empty x
    and y. A byte order mark, CRLF and ';' or tab between cells (then with '.' or ',' as decimal
    mark) are fine.

    Returns:
        The marks in the order of the file; x, y in px from the centre of the top-left pixel.

    Raises:
        InputError: no such file, a missing column, no rows, a cell that is not a finite number (or
            for id and frame, not an integer from 0 up), only one of x and y, or two rows for one
            id and frame.
    """
    marks = []
    for number, frame, xy, _ in marked_rows(path, ("x", "y")):
        x, y = (None, None) if xy is None else xy
        marks.append(PointMark(number, frame, x, y))
    return marks


def read_tracks(path: str | PathLike[str]) -> dict[int, TrackData]:
    """Read a tracks.csv: {point id: its track, values (N, 2) float64 xy px}, ids ascending.

    A table without rows is a run that tracked nothing: {}.

    Raises:
        InputError: as `read_points`, and for a missing column of those that tracks have.
    """
    return read_track_table(path, ("x", "y"))


def write_tracks(
    path: str | PathLike[str], rows: Iterable[tuple[int, float, Mapping[int, TrackedPoint]]]
) -> None:
    """Write tracked points, frame by frame, as by `TrackWriter`.

    Args:
        rows: frame number, its time in seconds, and {point id: where}, for every frame.

    Raises:
        OutputError: the file cannot be written.
    """
    with TrackWriter(path) as writer:
        for index, pts_seconds, points in rows:
            writer.write(index, pts_seconds, points)


class TrackWriter(WholeFile):
    """Writes a tracks.csv frame by frame; see `WholeFile` for how it ends."""

    def __init__(self, path: str | PathLike[str]) -> None:
        """Open the table and write its header. Raises OutputError if it cannot be."""
        super().__init__(path)
        self.text("id,frame,pts_seconds,x,y,visible,confidence\n")

    def write(self, index: int, pts_seconds: float, points: Mapping[int, TrackedPoint]) -> None:
        """Add the points of one frame, ids ascending; places are rounded to a thousandth px."""
        for number in sorted(points):
            p = points[number]
            self.text(track_line(number, index, pts_seconds, (p.x, p.y), p.visible, p.confidence))
