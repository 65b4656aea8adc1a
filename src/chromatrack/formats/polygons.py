"""Polygons as JSON, LabelMe's or our own, and their pixels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from chromatrack.errors import InputError, shown
from chromatrack.formats.json_fields import JsonValue, last_number, load_json_object

FARTHEST = 1e9
"""Largest coordinate of a corner, px; beyond it a row and a column no longer have exact numbers."""


@dataclass(frozen=True)
class PolygonMark:
    """An outline of object `id` on `frame`.

    rings: (n, 2) float64 xy px arrays, n >= 3, closed by themselves; what lies inside an odd number
    of them belongs to the object, so a second ring cuts a hole.
    """

    id: int
    frame: int
    rings: tuple[np.ndarray, ...]


def read_polygons(path: str | PathLike[str]) -> list[PolygonMark]:
    """Read outlined objects from a JSON file, or from all JSON files of a folder.

    Two forms are known:
    - `{"objects": [{"id": 1, "frame": 0, "polygon": [[x, y], ...]}]}`, or "polygons" with a list of
      rings, of which those inside others are holes;
    - LabelMe: `shapes` with a label and points; the frame is the last number in the name in
      `imagePath`, else 0. A label that is no number gets, by first appearance, the smallest id from
      1 that no other label has: the same in all files of a folder, which are read by name.
      Coordinates are taken as they are stored.

    Returns:
        The marks in the order of the file. An object may have several on a frame (LabelMe has one
        shape per part): then it is all of them together.

    Raises:
        InputError: no such file, not JSON, neither form, no polygons, a shape that is no polygon,
            an id below 1, fewer than 3 corners, or one that is not a finite number.
    """
    source = Path(path)
    files = sorted(source.glob("*.json")) if source.is_dir() else [source]
    data = [JsonValue(load_json_object(file, what="polygons"), str(file)) for file in files]
    ids = _label_ids(label for content in data for _, label in _labels(content))
    marks: list[PolygonMark] = []
    for content in data:
        marks += _labelme_marks(content, ids) if "shapes" in content else _own_marks(content)
    if not marks:
        raise InputError(f"'{source}': expected at least one polygon, got none; outline an object")
    return marks


def rasterize(rings: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the pixels whose centre lies inside an odd number of rings.

    A centre exactly on an outline belongs to what is right of it or below it, so polygons that
    share an edge share no pixel and leave none out.

    Args:
        rings: (n, 2) finite xy px each, n >= 3, else InputError; may cross themselves and leave
            the frame.
        size: (H, W) px.
    """
    height, width = size
    starts = [_checked(ring) for ring in rings]
    if not starts:
        return np.zeros(size, dtype=bool)
    start = np.concatenate(starts)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in starts])
    row, x = _crossings(start, end, height)
    # Everything from the first column at or right of a crossing on is turned over by it.
    column = np.clip(np.ceil(x), 0, width).astype(np.int64)
    turns = np.bincount(row * (width + 1) + column, minlength=height * (width + 1))
    inside = np.cumsum(turns.reshape(height, width + 1), axis=1) % 2 == 1
    return inside[:, :width]


def paint_polygons(marks: Iterable[PolygonMark], size: tuple[int, int]) -> dict[int, np.ndarray]:
    """Masks of outlined objects: {frame: (H, W) int32 ids}, frames ascending.

    Marks of one object on a frame are united; where objects overlap, the later mark is on top.
    """
    masks: dict[int, np.ndarray] = {}
    for mark in marks:
        mask = masks.setdefault(mark.frame, np.zeros(size, dtype=np.int32))
        mask[rasterize(mark.rings, size)] = mark.id
    return dict(sorted(masks.items()))


# -- parts -----------------------------------------------------------------------------------


def _crossings(start: np.ndarray, end: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Where edges cross pixel rows 0 .. height - 1: ((K,) int64 row, (K,) float64 x).

    start, end: (E, 2) xy. An edge crosses the rows from its upper end, inclusive, to its lower
    end, exclusive; it is always followed downwards, so that two polygons see a shared edge alike.
    """
    down = (start[:, 1] <= end[:, 1])[:, None]
    upper, lower = np.where(down, start, end), np.where(down, end, start)
    first = np.clip(np.ceil(upper[:, 1]), 0, height).astype(np.int64)
    after = np.clip(np.ceil(lower[:, 1]), 0, height).astype(np.int64)
    count = after - first
    edge = np.repeat(np.arange(len(count)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    top, bottom = upper[edge], lower[edge]
    share = (row - top[:, 1]) / (bottom[:, 1] - top[:, 1])
    return row, top[:, 0] + share * (bottom[:, 0] - top[:, 0])


def _checked(ring: np.ndarray) -> np.ndarray:
    """The ring as (n, 2) float64, or InputError."""
    corners = np.asarray(ring, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        raise InputError(
            f"a polygon has at least 3 corners, (n, 2), got shape {corners.shape}; add corners"
        )
    if not (np.abs(corners) <= FARTHEST).all():
        raise InputError(
            f"a polygon's corners are finite px positions, got {shown(corners.tolist())}; "
            "correct them"
        )
    return corners


def _ring(value: JsonValue) -> np.ndarray:
    """(n, 2) corners from JSON."""
    corners = [corner.xy() for corner in value.items()]
    try:
        return _checked(np.array(corners).reshape(len(corners), 2))
    except InputError as error:
        raise InputError(f"{value.place}: {error}") from error


def _own_marks(data: JsonValue) -> list[PolygonMark]:
    marks = []
    for item in data["objects"].items():
        number, frame = _object_id(item["id"].whole(), item["id"]), item["frame"].whole()
        if ("polygon" in item) == ("polygons" in item):
            raise InputError(
                f'{item.place}: expected one of "polygon" (a ring) and "polygons" (a list of '
                f"rings), got {shown(sorted(item.value))}; correct it"
            )
        given = [item["polygon"]] if "polygon" in item else item["polygons"].items()
        if not given:
            raise InputError(
                f"{item.place}: expected at least one ring, got none; outline the object"
            )
        marks.append(PolygonMark(number, frame, tuple(map(_ring, given))))
    return marks


def _labelme_marks(data: JsonValue, ids: dict[str, int]) -> list[PolygonMark]:
    frame = last_number(str(data.value.get("imagePath") or "")) or 0
    marks = []
    for shape, label in _labels(data):
        kind = shape.value.get("shape_type") or "polygon"
        if kind != "polygon":
            raise InputError(
                f"{shape.place}: expected a polygon, got a {shown(kind)}; draw it as a polygon"
            )
        ring = _ring(shape["points"])
        marks.append(PolygonMark(_object_id(ids[label], shape["label"]), frame, (ring,)))
    return marks


def _labels(data: JsonValue) -> list[tuple[JsonValue, str]]:
    """LabelMe's shapes with their labels; none in a file of our own form."""
    shapes = data["shapes"].items() if "shapes" in data else []
    return [(shape, str(shape["label"].value).strip()) for shape in shapes]


def _label_ids(labels: Iterable[str]) -> dict[str, int]:
    """{label: id}: integers are their own id, others the smallest free ones in order."""
    distinct = list(dict.fromkeys(labels))
    ids = {label: int(label) for label in distinct if re.fullmatch("[0-9]{1,18}", label)}
    taken = set(ids.values())
    free = (number for number in range(1, 2 * len(distinct) + 2) if number not in taken)
    return ids | {label: next(free) for label in distinct if label not in ids}


def _object_id(number: int, given: JsonValue) -> int:
    if not 1 <= number <= np.iinfo(np.int32).max:
        raise InputError(
            f"{given.place}: expected an object id from 1 up, got {number}; correct it"
        )
    return number
