"""LabelMe's JSON: one file per picture, with labelled shapes on it.

What belongs to one object, which shapes have an area, and what is told of the picture.
"""

from __future__ import annotations

import base64
import io
import math
import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from PIL import ImageOps

from chromatrack.errors import InputError
from chromatrack.formats.json_fields import JsonValue
from chromatrack.formats.labelled_things import label_things, say_instances, thing_ids
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.outlines import (
    PolygonMark,
    checked_ring,
    object_id,
    read_ring,
    rectangle_ring,
)
from chromatrack.formats.picture_names import NamedPicture, folder_of, last_number
from chromatrack.structures import Kind
from chromatrack.video.picture_files import opened_picture

NO_OBJECTS = frozenset({"__ignore__", "_background_", "__background__"})
"""Labels of what LabelMe's own data sets leave out."""

CIRCLE_CORNERS = 256
"""A circle is outlined with so many corners; then less than 0.0001 of its radius is missing."""

_FOUR_CORNERS = frozenset({"rectangle", "rotation"})

WITH_AREA = frozenset({"polygon", "circle", "mask"}) | _FOUR_CORNERS
"""Types of shapes that outline an object."""


@dataclass(frozen=True)
class LabelledShape:
    """A shape of a file, whose frame and thing are known.

    content: the file's. number: id of the thing. scale: factors of x and y to the video's pixels.
    """

    content: JsonValue
    shape: JsonValue
    frame: int
    number: int
    scale: tuple[float, float]

    @property
    def label(self) -> str:
        """Its label, without blanks around it."""
        return _label(self.shape)


def read_labelme(
    files: Sequence[JsonValue],
    source: MarkedSource | None,
    *,
    types: Collection[str] = WITH_AREA,
    other: Collection[str] | None = (),
) -> list[PolygonMark]:
    """Outlined objects of LabelMe files, in their order.

    The picture is that of `imagePath`, else of the file's own name; a name that tells no frame is
    the first frame. Shapes of one label and one `group_id` are one object, on one picture and on
    all of them; without a group, one shape of a label on each picture is one object, and several on
    one picture are an object each, as LabelMe itself has it. A label that is a number is the
    object's id, and so is a `track_id`, which we write; the others get, by first appearance, the
    smallest id from 1 that is free. Polygons, rectangles, circles and masks have an area; other
    shapes are passed over, as are the labels of `NO_OBJECTS`.

    Args:
        files: the content of each.
        source: the video they are for, or None: the frame is the last number in the name.
        types: of the shapes that are read. other: those that are passed over without a word; None:
            all.

    Raises:
        InputError: as `polygons.read_polygons`; or several shapes of a label without a group on one
            picture and more on another, so that nobody can tell which is which.
    """
    marks = []
    for one in labelled_shapes(files, source, kind="object", types=types, other=other):
        number = object_id(one.number, one.shape["label"])
        rings = tuple(ring * one.scale for ring in _rings(one.shape))
        marks.append(PolygonMark(number, one.frame, rings))
    return marks


def labelled_shapes(
    files: Sequence[JsonValue],
    source: MarkedSource | None,
    *,
    kind: Kind,
    types: Collection[str],
    other: Collection[str] | None = (),
    grouped: bool | None = None,
) -> list[LabelledShape]:
    """The shapes of some types, with the frame and the thing each is of; names go to the source.

    Args:
        kind: of the things; a label of keypoints is a joint's, the group alone tells them apart.
        other: types that are passed over without a word; None: all.
        grouped: only those with a group, or without one; None: both.

    Raises:
        InputError: as `read_labelme`.
    """
    frames = _frames(_of_this_video(files, source), source)
    every = [
        (content, frame, shape)
        for content, frame in frames
        for shape in _shapes(content, source, types, other)
        if grouped in (None, _text(shape, "group_id") is not None)
    ]
    is_part = kind == "keypoints"
    things = label_things(
        [
            (c.place, "" if is_part else _label(s), _text(s, "group_id"), _track(s))
            for c, _, s in every
        ]
    )
    ids, scales = (
        thing_ids(things),
        {content.file: _scale(content, source) for content, _ in frames},
    )
    found = []
    for (content, frame, shape), thing in zip(every, things, strict=True):
        one = LabelledShape(content, shape, frame, ids[thing], scales[content.file])
        name = (_text(shape, "description") or "") if is_part or _track(shape) is not None else ""
        label = "" if is_part or one.label == str(one.number) else one.label
        if source is not None:
            source.label(kind, one.number, label, name=name)
        found.append(one)
    if source is not None:
        say_instances(ids, source, kind)
    return found


def _of_this_video(files: Sequence[JsonValue], source: MarkedSource | None) -> list[JsonValue]:
    """The files for this video, where their pictures stand in folders of several."""
    folders = {content.file: folder_of(_image_path(content)) for content in files}
    if source is None or len(set(folders.values())) < 2:
        return list(files)
    videos: dict[str, set[str]] = {folder: {folder or "."} for folder in folders.values()}
    chosen = source.video_among(videos, f"'{files[0].file}' and others beside it")
    return [content for content in files if folders[content.file] == chosen]


def _frames(files: Sequence[JsonValue], source: MarkedSource | None) -> list[tuple[JsonValue, int]]:
    if source is None:
        return [(content, last_number(_image_path(content)) or 0) for content in files]
    given = [
        NamedPicture(content.place, (_image_path(content) or content.file,), also=(content.file,))
        for content in files
    ]
    if source.pictures is None and len(files) == 1 and given[0].number is None:
        source.say(f"{files[0].place}: tells no frame, taken for frame {source.start}")
        return [(files[0], source.start)]
    return list(zip(files, source.frames(given), strict=True))


def _image_path(content: JsonValue) -> str:
    path = content.value.get("imagePath")
    return path if isinstance(path, str) else ""


def _scale(content: JsonValue, source: MarkedSource | None) -> tuple[float, float]:
    if source is None or (size := _size(content)) is None:
        return 1.0, 1.0
    return source.scale(size, content.place)


def _size(content: JsonValue) -> tuple[int, int] | None:
    """(height, width) of the picture: as stated, else that of the picture in the file."""
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if height and width:
        return height.whole(), width.whole()
    data = content.get("imageData")
    if data is None or not isinstance(data.value, str):
        return None
    try:
        with opened_picture(io.BytesIO(base64.b64decode(data.value))) as image:
            width, height = ImageOps.exif_transpose(image).size
            return height, width
    except ValueError:  # InputError is one
        return None


def _shapes(
    content: JsonValue,
    source: MarkedSource | None,
    types: Collection[str],
    other: Collection[str] | None,
) -> list[JsonValue]:
    """The shapes of some types."""
    kept, left_out = [], Counter[str]()
    for shape in content["shapes"].items():
        label, kind = _label(shape), shape_type(shape)
        if label in NO_OBJECTS:
            left_out[f"labelled {label}"] += 1
        elif kind in types:
            kept.append(shape)
        elif other is not None and kind not in other:
            left_out[f"of the type {kind}, which has no area"] += 1
    tell = warnings.warn if source is None else source.say
    for what, count in left_out.items():
        tell(f"{content.place}: passed over {count} shape{'s'[: count > 1]} {what}")
    return kept


def shape_type(shape: JsonValue) -> str:
    """What it is: polygon, rectangle, point, ..."""
    return str(shape.value.get("shape_type") or "polygon")


def _label(shape: JsonValue) -> str:
    return str(shape["label"].value).strip()


def _text(shape: JsonValue, key: str) -> str | None:
    value = shape.value.get(key)
    return None if value is None else str(value)


def _track(shape: JsonValue) -> int | None:
    """The id that we write beside a label."""
    given = shape.get("track_id")
    return None if given is None else given.whole()


# -- areas -----------------------------------------------------------------------------------


def _rings(shape: JsonValue) -> tuple[np.ndarray, ...]:
    """(n, 2) corners of each outline of a shape, px as LabelMe stores them."""
    kind, points = shape_type(shape), shape["points"]
    corners = len(points.items())
    if kind == "polygon" or (kind in _FOUR_CORNERS and corners == 4):
        return (read_ring(points),)
    if corners != 2:
        raise InputError(
            f"{points.place}: expected the two points of a {kind}, got {corners}; draw it again"
        )
    first, second = (point.xy() for point in points.items())
    if kind == "mask":
        return _mask_rings(shape["mask"], first)
    ring = _circle(first, second) if kind == "circle" else rectangle_ring(first, second)
    return (checked_ring(ring),)


def _circle(middle: tuple[float, float], rim: tuple[float, float]) -> np.ndarray:
    angles = np.arange(CIRCLE_CORNERS) * (2 * np.pi / CIRCLE_CORNERS)
    return np.array(middle) + math.dist(middle, rim) * np.stack([np.cos(angles), np.sin(angles)], 1)


def _mask_rings(given: JsonValue, corner: tuple[float, float]) -> tuple[np.ndarray, ...]:
    """A rectangle around each run of pixels of a picture in base64, its top left at `corner`."""
    try:
        data = base64.b64decode(given.value, validate=True)
        with opened_picture(io.BytesIO(data)) as image:
            inside = np.asarray(image.convert("L")) > 0
    except (TypeError, ValueError) as error:  # InputError is a ValueError
        raise InputError(
            f"{given.place}: expected a picture in base64, got something else ({error}); draw the "
            "mask again"
        ) from error
    left, top = round(corner[0]), round(corner[1])
    rings = []
    for row, values in enumerate(inside):
        column = left
        for is_inside, run in groupby(values.tolist()):
            start, column = column, column + len(list(run))
            if is_inside:
                ends = (start - 0.5, top + row - 0.5), (column - 0.5, top + row + 0.5)
                rings.append(checked_ring(rectangle_ring(*ends)))
    if not rings:
        raise InputError(f"{given.place}: expected a mask with an object, got an empty one")
    return tuple(rings)
