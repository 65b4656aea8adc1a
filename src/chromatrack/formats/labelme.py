"""LabelMe's JSON: one file per picture, with labelled shapes on it.

What belongs to one object, which shapes have an area, and what is told of the picture.
"""

from __future__ import annotations

import base64
import io
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
from PIL import ImageOps

from chromatrack.errors import InputError
from chromatrack.formats.json_fields import JsonValue
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.outlines import (
    PolygonMark,
    checked_ring,
    object_id,
    read_ring,
    rectangle_ring,
)
from chromatrack.formats.picture_names import NamedPicture, folder_of, last_number, listed
from chromatrack.video.picture_files import opened_picture

NO_OBJECTS = frozenset({"__ignore__", "_background_", "__background__"})
"""Labels of what LabelMe's own data sets leave out."""

CIRCLE_CORNERS = 256
"""A circle is outlined with so many corners; then less than 0.0001 of its radius is missing."""

_NUMBER = re.compile("[0-9]{1,18}")
_FOUR_CORNERS = frozenset({"rectangle", "rotation"})

_Thing = tuple[str, str | None, int]
"""(label, group, number): shapes with all alike are one object.

number: counts shapes of one label without a group on one picture, which are instances of their own.
"""


def read_labelme(files: Sequence[JsonValue], source: MarkedSource | None) -> list[PolygonMark]:
    """Outlined objects of LabelMe files, in their order.

    The picture is that of `imagePath`, else of the file's own name; a name that tells no frame is
    the first frame. Shapes of one label and one `group_id` are one object, on one picture and on
    all of them; without a group, one shape of a label on each picture is one object, and several on
    one picture are an object each, as LabelMe itself has it. A label that is a number is the
    object's id; the others get, by first appearance, the smallest id from 1 that is free. Polygons,
    rectangles, circles and masks have an area; other shapes are passed over, as are the labels of
    `NO_OBJECTS`.

    Args:
        files: the content of each.
        source: the video they are for, or None: the frame is the last number in the name.

    Raises:
        InputError: as `polygons.read_polygons`; or several shapes of a label without a group on one
            picture and more on another, so that nobody can tell which is which.
    """
    shown_of = _of_this_video(files, source)
    frames = _frames(shown_of, source)
    shapes = [(content, frame, s) for content, frame in frames for s in _shapes(content, source)]
    things = _things(shapes)
    ids, scales = _object_ids(things), {file.file: _scale(file, source) for file, _ in frames}
    marks = []
    for (content, frame, shape), thing in zip(shapes, things, strict=True):
        label, number = thing[0], object_id(ids[thing], shape["label"])
        scale = scales[content.file]
        rings = tuple(ring * scale for ring in _rings(shape))
        marks.append(PolygonMark(number, frame, rings))
        if source is not None and label != str(number):
            source.call("object", number, label)
    if source is not None:
        _say_instances(ids, source)
    return marks


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


def _shapes(content: JsonValue, source: MarkedSource | None) -> list[JsonValue]:
    """The shapes that outline an object."""
    kept, left_out = [], Counter[str]()
    for shape in content["shapes"].items():
        label, kind = str(shape["label"].value).strip(), _kind(shape)
        if label in NO_OBJECTS:
            left_out[f"labelled {label}"] += 1
        elif kind in {"polygon", "circle", "mask"} | _FOUR_CORNERS:
            kept.append(shape)
        else:
            left_out[f"of the type {kind}, which has no area"] += 1
    tell = warnings.warn if source is None else source.say
    for what, count in left_out.items():
        tell(f"{content.place}: passed over {count} shape{'s'[: count > 1]} {what}")
    return kept


def _kind(shape: JsonValue) -> str:
    return str(shape.value.get("shape_type") or "polygon")


def _label_and_group(shape: JsonValue) -> tuple[str, str | None]:
    group = shape.value.get("group_id")
    return str(shape["label"].value).strip(), None if group is None else str(group)


def _things(shapes: Sequence[tuple[JsonValue, int, JsonValue]]) -> list[_Thing]:
    """The thing that each shape is of.

    Raises:
        InputError: it cannot be told.
    """
    given = [(content.place, *_label_and_group(shape)) for content, _, shape in shapes]
    alone = Counter(
        (label, place)
        for place, label, group in given
        if group is None and not _NUMBER.fullmatch(label)
    )
    for (label, place), count in alone.items():
        if count > 1 and (other := next((p for n, p in alone if n == label and p != place), None)):
            raise InputError(
                f"{place}: {count} shapes labelled {label} without a group, and more in {other}: "
                "which is which cannot be told; give each thing one group_id on all pictures"
            )
    seen, things = Counter[tuple[str, str]](), []
    for place, label, group in given:
        number = 0
        if group is None and alone[label, place] > 1:
            seen[label, place] += 1
            number = seen[label, place]
        things.append((label, group, number))
    return things


def _object_ids(things: Iterable[_Thing]) -> dict[_Thing, int]:
    """{thing: id}: a number that labels one thing is its id, others get the smallest free ones."""
    distinct = list(dict.fromkeys(things))
    groups = Counter(label for label, _, _ in distinct)
    ids = {
        thing: int(thing[0])
        for thing in distinct
        if _NUMBER.fullmatch(thing[0]) and groups[thing[0]] == 1
    }
    taken = set(ids.values())
    free = (number for number in range(1, 2 * len(distinct) + 2) if number not in taken)
    return ids | {thing: next(free) for thing in distinct if thing not in ids}


def _say_instances(ids: dict[_Thing, int], source: MarkedSource) -> None:
    """Tell which group or shape became which object."""
    for (label, group, number), object_number in ids.items():
        if group is not None:
            source.say(f"object {object_number} is {label}, group {group}", warned=False)
        elif number == 1:
            own = [ids[thing] for thing in ids if thing[:2] == (label, None)]
            source.say(
                f"{len(own)} shapes labelled {label} without a group are objects "
                f"{listed([str(n) for n in own])}; give them one group_id if they are parts of one"
            )


# -- areas -----------------------------------------------------------------------------------


def _rings(shape: JsonValue) -> tuple[np.ndarray, ...]:
    """(n, 2) corners of each outline of a shape, px as LabelMe stores them."""
    kind, points = _kind(shape), shape["points"]
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
