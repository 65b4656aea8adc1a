"""Our own tables of points and boxes, as marks of a file that may be anything."""

from __future__ import annotations

from chromatrack.formats.csv_tables import read_boxes, read_names, read_points
from chromatrack.formats.file_marks import FileMarks, GivenFile
from chromatrack.formats.marked_source import MarkedSource


def read_point_table(given: GivenFile, source: MarkedSource) -> FileMarks:
    """Points, and their names."""
    for number, name in read_names(given.path).items():
        source.call("point", number, name)
    return FileMarks(points=read_points(given.path, source=source))


def read_box_table(given: GivenFile, source: MarkedSource) -> FileMarks:
    """Boxes, and their names."""
    for number, name in read_names(given.path).items():
        source.call("box", number, name)
    return FileMarks(boxes=read_boxes(given.path, source=source))
