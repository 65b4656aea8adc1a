"""Polygons as JSON, LabelMe's, COCO's or our own, and their pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from chromatrack.errors import InputError, shown
from chromatrack.formats.coco_masks import read_coco_masks
from chromatrack.formats.json_fields import JsonValue, load_json_object
from chromatrack.formats.labelme import read_labelme
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.outlines import FARTHEST as FARTHEST
from chromatrack.formats.outlines import PolygonMark as PolygonMark
from chromatrack.formats.outlines import checked_ring, object_id, read_ring


def read_polygons(
    path: str | PathLike[str], *, source: MarkedSource | None = None
) -> list[PolygonMark]:
    """Read outlined objects from a JSON file, or from all JSON files of a folder.

    Three forms are known:
    - `{"objects": [{"id": 1, "frame": 0, "polygon": [[x, y], ...]}]}`, or "polygons" with a list of
      rings, of which those inside others are holes;
    - LabelMe, as `labelme.read_labelme` says;
    - COCO's segmentations, of pictures or videos, as `coco_masks.read_coco_masks` says.

    Args:
        source: the video they are for: says what a picture's name means, and coordinates on a
            picture of another size are brought to its size. Without it the frame is the last number
            in the name, and coordinates are taken as they are stored.

    Returns:
        The marks in the order of the file. An object may have several on a frame (LabelMe has one
        shape per part): then it is all of them together.

    Raises:
        InputError: no such file, not JSON, none of the forms, no polygons, an id below 1, fewer
            than 3 corners, or one that is not a finite number; a name that tells no frame of the
            source, or a picture of another shape than its.
    """
    folder = Path(path)
    files = sorted(folder.glob("*.json")) if folder.is_dir() else [folder]
    data = [JsonValue(load_json_object(file, what="polygons"), str(file)) for file in files]
    marks = read_labelme([content for content in data if "shapes" in content], source)
    for content in data:
        if "annotations" in content:
            marks += read_coco_masks(content, source)
        elif "shapes" not in content:
            marks += _own_marks(content, source)
    if not marks:
        raise InputError(f"'{folder}': expected at least one polygon, got none; outline an object")
    if source is not None:
        say_what_reaches_out(marks, str(folder), source)
    return marks


def say_what_reaches_out(marks: Sequence[PolygonMark], name: str, source: MarkedSource) -> None:
    """Tell of the first outline that leaves the frame by more than a slip of the hand."""
    size = np.array(source.size[::-1])
    slip = np.maximum(2, 0.02 * size)
    for mark in marks:
        low = np.min([ring.min(axis=0) for ring in mark.rings], axis=0)
        high = np.max([ring.max(axis=0) for ring in mark.rings], axis=0)
        if (low < -slip).any() or (high > size - 1 + slip).any():
            source.say(
                f"'{name}': object {mark.id} on frame {mark.frame} reaches from x {low[0]:g}, y "
                f"{low[1]:g} to x {high[0]:g}, y {high[1]:g}, out of the video's {size[0]}x"
                f"{size[1]} pixels, and is cut off there; if it was drawn on a picture of another "
                "size, its file has to state that size"
            )
            return


def rasterize(
    rings: Sequence[np.ndarray], size: tuple[int, int], *, winding: bool = False
) -> np.ndarray:
    """(H, W) bool: the pixels whose centre lies inside an odd number of rings.

    A centre exactly on an outline belongs to what is right of it or below it, so polygons that
    share an edge share no pixel and leave none out.

    Args:
        rings: (n, 2) finite xy px each, n >= 3, else InputError; may cross themselves and leave
            the frame.
        size: (H, W) px.
        winding: those instead that the rings go round at all (the nonzero rule): of a ring drawn
            by hand, also what its end goes round once more.
    """
    height, width = size
    starts = [checked_ring(ring) for ring in rings]
    if not starts:
        return np.zeros(size, dtype=bool)
    start = np.concatenate(starts)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in starts])
    row, x, way = _crossings(start, end, height)
    # Everything from the first column at or right of a crossing on is turned over by it.
    column = np.clip(np.ceil(x), 0, width).astype(np.int64)
    turns = np.bincount(row * (width + 1) + column, way, height * (width + 1)).astype(np.int64)
    rounds = np.cumsum(turns.reshape(height, width + 1), axis=1)[:, :width]
    return rounds != 0 if winding else rounds % 2 == 1


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


def _crossings(
    start: np.ndarray, end: np.ndarray, height: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where edges cross pixel rows 0 .. height - 1, and which way.

    That is ((K,) int64 row, (K,) float64 x, (K,) int64: 1 downwards, -1 upwards). start, end:
    (E, 2) xy. An edge crosses the rows from its upper end, inclusive, to its lower
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
    way = np.where(down[:, 0], 1, -1)[edge]
    return row, top[:, 0] + share * (bottom[:, 0] - top[:, 0]), way


def _own_marks(data: JsonValue, source: MarkedSource | None) -> list[PolygonMark]:
    marks = []
    for item in data["objects"].items():
        number, frame = object_id(item["id"].whole(), item["id"]), item["frame"].whole()
        if source is not None:
            frame = source.frame(frame, item["frame"].place)
            name, category = (str(item.value.get(key) or "") for key in ("name", "category"))
            source.label("object", number, category, name=name)
            if color := item.get("color"):
                source.draw("object", number, color.value, color.place)
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
        marks.append(PolygonMark(number, frame, tuple(map(read_ring, given))))
    return marks
