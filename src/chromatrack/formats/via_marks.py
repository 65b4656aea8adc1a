"""Marks out of the tables of the VGG Image Annotator (VIA 2): rectangles, outlines, points.

VIA counts from the corner of the first pixel. The frame is that of `file_attributes`, else of the
picture's name; one thing is a `track` (or `track_id`, `id`) of `region_attributes`, else what its
label tells, as in LabelMe's files.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.csv_tables import TableRow, table_rows
from chromatrack.formats.file_marks import FileMarks, GivenFile, painted
from chromatrack.formats.json_fields import JsonValue
from chromatrack.formats.labelled_things import label_things, say_instances, thing_ids
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.outlines import PolygonMark, checked_ring
from chromatrack.formats.picture_names import NamedPicture
from chromatrack.formats.via_tracks import HEADER
from chromatrack.structures import BoxMark, Kind, PointMark

HALF = 0.5
"""From the corner of a pixel to its centre."""

_KINDS: dict[str, Kind] = {"rect": "box", "polygon": "object", "point": "point"}
_TRACKS, _NAMES = ("track", "track_id", "id"), ("name", "label", "class", "type")
_CATEGORIES = ("category", "label", "class", "type")


@dataclass(frozen=True)
class _Region:
    """A region of a row. shape, about: what the row says of its place and of the thing."""

    row: TableRow
    shape: JsonValue
    about: dict[str, Any]

    @property
    def name(self) -> str:
        """What the thing is called."""
        return next((str(self.about[key]) for key in _NAMES if self.about.get(key)), "")

    @property
    def category(self) -> str:
        """What the thing is."""
        return next((str(self.about[key]) for key in _CATEGORIES if self.about.get(key)), "")

    @property
    def track(self) -> int | None:
        """The track, where it is a number."""
        given = next((self.about[key] for key in _TRACKS if self.about.get(key) is not None), "")
        text = str(given).strip()
        return int(text) if text.isdecimal() and len(text) <= 9 else None


def read_via(given: GivenFile, source: MarkedSource) -> FileMarks:
    """Everything in a table of VIA.

    Raises:
        InputError: no JSON in a cell, a picture that is no frame, or places that are none.
    """
    rows = [row for row in table_rows(given.path, HEADER) if row.cells["region_count"] != "0"]
    frames = source.frames([_picture(row) for row in rows])
    found: dict[Kind, list[tuple[int, _Region]]] = defaultdict(list)
    passed = Counter[str]()
    for row, frame in zip(rows, frames, strict=True):
        shape = _cell(row, "region_shape_attributes")
        what = str(shape.value.get("name", "?"))
        if (kind := _KINDS.get(what)) is None:
            passed[what] += 1
            continue
        about = _cell(row, "region_attributes").value
        found[kind].append((frame, _Region(row, shape, about)))
    for what, count in passed.items():
        source.say(
            f"'{given.path}': passed over {count} region{'s'[: count > 1]} of the type {what}"
        )
    boxes: list[BoxMark] = []
    points: list[PointMark] = []
    outlines: list[PolygonMark] = []
    for kind, regions in found.items():
        for number, frame, region in _identified(kind, regions, source):
            if kind == "box":
                boxes.append(BoxMark(number, frame, *_rectangle(region.shape)))
            elif kind == "point":
                x, y = (region.shape[key].number() - HALF for key in ("cx", "cy"))
                points.append(PointMark(number, frame, x, y))
            else:
                outlines.append(PolygonMark(number, frame, (_ring(region.shape),)))
    masks = painted(outlines, source, f"'{given.path}'")
    return FileMarks(masks=masks, boxes=boxes, points=points)


def _identified(
    kind: Kind, regions: list[tuple[int, _Region]], source: MarkedSource
) -> list[tuple[int, int, _Region]]:
    """(id, frame, region) of each; names and colours go to the source."""
    given = [
        (f"'{r.row.file}': {r.row.cells['filename']}", r.name or kind, None, _object(kind, r))
        for _, r in regions
    ]
    things = label_things(given)
    ids = thing_ids(things)
    say_instances(ids, source, kind)
    for thing, (_, region) in zip(things, regions, strict=True):
        source.label(kind, ids[thing], region.category, name=region.name)
        source.draw(kind, ids[thing], region.about.get("color"), region.row.place)
    return [(ids[t], frame, region) for t, (frame, region) in zip(things, regions, strict=True)]


def _object(kind: Kind, region: _Region) -> int | None:
    """The track; that of an object is from 1 up."""
    if kind == "object" and region.track == 0:
        raise InputError(f"{region.row.place}: expected the track of an object from 1 up, got 0")
    return region.track


def _picture(row: TableRow) -> NamedPicture:
    stated = _cell(row, "file_attributes").value.get("frame")
    text = "" if stated is None else str(stated).strip()
    number = int(text) if text.isdecimal() and len(text) <= 9 else None
    return NamedPicture(row.place, (row.cells["filename"],), number)


def _cell(row: TableRow, column: str) -> JsonValue:
    """The JSON object in a cell; an empty cell has nothing."""
    text = row.cells[column] or "{}"
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{row.place}: expected JSON in {column}, but it cannot be read ({error}); export again"
        ) from error
    value = JsonValue(content, row.file, f"line {row.line}, {column}")
    value.fields()
    return value


def _rectangle(shape: JsonValue) -> tuple[float, float, float, float]:
    x, y, width, height = (shape[key].number() for key in ("x", "y", "width", "height"))
    if min(width, height) <= 0:
        raise InputError(
            f"{shape.place}: expected a width and height above 0 px, got {width:g}x{height:g}"
        )
    return x, y, width, height


def _ring(shape: JsonValue) -> np.ndarray:
    x, y = shape["all_points_x"], shape["all_points_y"]
    across = x.numbers(len(x.items()))
    try:
        return checked_ring(np.stack([across, y.numbers(len(across))], axis=1) - HALF)
    except InputError as error:
        raise InputError(f"{shape.place}: {error}") from error
