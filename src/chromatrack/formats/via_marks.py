"""Marks out of the VGG Image Annotator (VIA 1 and 2), tables or JSON: boxes, outlines, points.

VIA counts from the corner of the first pixel. The frame is that of `file_attributes`, else of the
picture's name; one thing is a `track` (or `track_id`, `id`) of `region_attributes`, else what its
label tells, as in LabelMe's files.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
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
_FRAMES = ("frame", "frame_id")
PROJECT = "_via_img_metadata"
"""Under this key a project has its pictures."""

_TRACKS, _NAMES = ("track", "track_id", "id"), ("name", "label", "class", "type")
_CATEGORIES = ("category", "label", "class", "type")


@dataclass(frozen=True)
class _Region:
    """A region of a picture. shape, about: what is said of its place and of the thing.

    place: where it stands, as errors begin. picture: what its file is called. on: the same with
    the frame that is stated, if any.
    """

    place: str
    picture: str
    on: NamedPicture
    shape: JsonValue
    about: Mapping[str, Any]

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
    """Everything in a table, a JSON file or a project of VIA.

    Raises:
        InputError: no JSON in a cell, a picture that is no frame, or places that are none.
    """
    every = list(_in_json(given.value) if isinstance(given.json, dict) else _in_table(given))
    frames = source.frames([region.on for region in every])
    found: dict[Kind, list[tuple[int, _Region]]] = defaultdict(list)
    passed = Counter[str]()
    for region, frame in zip(every, frames, strict=True):
        what = str(region.shape.value.get("name", "?"))
        if (kind := _KINDS.get(what)) is None:
            passed[what] += 1
        else:
            found[kind].append((frame, region))
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
        (f"'{r.shape.file}': {r.picture}", r.name or kind, None, _object(kind, r))
        for _, r in regions
    ]
    things = label_things(given, how="give each thing one track in region_attributes")
    ids = thing_ids(things)
    say_instances(ids, source, kind)
    for thing, (_, region) in zip(things, regions, strict=True):
        source.label(kind, ids[thing], region.category, name=region.name)
        source.draw(kind, ids[thing], region.about.get("color"), region.place)
    return [(ids[t], frame, region) for t, (frame, region) in zip(things, regions, strict=True)]


def _object(kind: Kind, region: _Region) -> int | None:
    """The track; that of an object is from 1 up."""
    if kind == "object" and region.track == 0:
        raise InputError(f"{region.place}: expected the track of an object from 1 up, got 0")
    return region.track


def _in_table(given: GivenFile) -> Iterator[_Region]:
    """The regions of a table, a row each."""
    for row in table_rows(given.path, HEADER):
        if row.cells["region_count"] == "0":
            continue
        name, said = row.cells["filename"], _cell(row, "file_attributes")
        shape, about = (_cell(row, f"region_{what}") for what in ("shape_attributes", "attributes"))
        picture = _picture(row.place, name, said)
        yield _Region(row.place, name, picture, shape, about.fields())


def _in_json(data: JsonValue) -> Iterator[_Region]:
    """The regions of pictures, one after the other; of a project those of its pictures."""
    pictures = data.get(PROJECT) or data
    for key in pictures.fields():
        picture = pictures[key]
        name, regions = str(picture["filename"].value), picture["regions"]
        keyed = isinstance(regions.value, dict)  # as VIA 1 wrote them
        listed = [regions[n] for n in regions.value] if keyed else regions.items()
        said = picture.get("file_attributes") or JsonValue({}, data.file)
        for region in listed:
            about = region.get("region_attributes") or JsonValue({}, data.file)
            on = _picture(region.place, name, said)
            shape = region["shape_attributes"]
            shape.fields()
            yield _Region(region.place, name, on, shape, about.fields())


def _picture(place: str, name: str, said: JsonValue) -> NamedPicture:
    """The picture and the frame that its attributes state, if they do."""
    fields = said.fields()
    stated = next((fields[key] for key in _FRAMES if fields.get(key) is not None), None)
    text = "" if stated is None else str(stated).strip()
    number = int(text) if text.isdecimal() and len(text) <= 9 else None
    if number is None and re.fullmatch(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?|nan", text.lower()):
        raise InputError(
            f"{place}: expected the frame among file_attributes to be an integer from 0 up, got "
            f"{text:.40}; correct it"
        )
    return NamedPicture(place, (name,), number)


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
