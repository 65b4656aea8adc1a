"""Our own tables of points and boxes, as marks of a file that may be anything."""

from __future__ import annotations

from pathlib import Path

from chromatrack.formats.csv_tables import read_boxes, read_looks, read_points
from chromatrack.formats.file_marks import FileMarks, GivenFile
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.structures import Kind


def read_point_table(given: GivenFile, source: MarkedSource) -> FileMarks:
    """Points, their names, categories and colours."""
    keep_looks(given.path, "point", source)
    return FileMarks(points=read_points(given.path, source=source))


def read_box_table(given: GivenFile, source: MarkedSource) -> FileMarks:
    """Boxes, their names, categories and colours."""
    keep_looks(given.path, "box", source)
    return FileMarks(boxes=read_boxes(given.path, source=source))


def keep_looks(table: Path, kind: Kind, source: MarkedSource) -> None:
    """Keep what a table says of its things besides places in the source. Raises InputError."""
    looks = read_looks(table)
    for number, name in looks.names.items():
        source.call(kind, number, name)
    for number, color in looks.colors.items():
        source.colors[kind, number] = color
    for number, category in looks.categories.items():
        source.classify(kind, number, category)
