"""COCO segmentations, of pictures or of whole videos (YouTube-VIS): outlines and run lengths.

COCO counts from the corner of the first pixel and we from its middle, half a pixel on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from chromatrack.errors import InputError, shown
from chromatrack.formats.coco_images import images_on, read_images
from chromatrack.formats.coco_tracks import (
    category_colors,
    category_names,
    draw_category,
    instance_ids,
    label_category,
)
from chromatrack.formats.coco_videos import annotations_on
from chromatrack.formats.json_fields import JsonValue
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.outlines import PolygonMark, checked_ring, object_id, rectangle_ring

MOST_PIXELS = 1 << 28
"""Of a picture that run lengths speak of."""


@dataclass(frozen=True)
class _Outlined:
    """One segmentation on one frame. item: the annotation; given: its segmentation there."""

    item: JsonValue
    given: JsonValue
    frame: int
    scale: tuple[float, float]


def read_coco_masks(
    data: JsonValue, source: MarkedSource | None, *, others_read: bool = False
) -> list[PolygonMark]:
    """Outlined objects of a COCO file, in its order.

    A segmentation is a list of outlines, which belong together, or run lengths, compressed or not.
    The frame is found as for COCO keypoints; where annotations are of a whole video, as in
    YouTube-VIS, it is that of each of the video's `file_names`, and null is nothing said. An object
    is a track, else an annotation; an id that cannot be an object's becomes a free one.

    Args:
        source: the video they are for, or None: the frame is the last number in the name.
        others_read: annotations without outline are read by others, so nothing is said of them.

    Raises:
        InputError: as `polygons.read_polygons`.
    """
    items = data["annotations"].items()
    of_videos = [item for item in items if "segmentations" in item]
    found = list(_on_videos(data, of_videos, source))
    on_images = [item for item in items if "segmentations" not in item]
    if others_read:
        on_images = [item for item in on_images if has_area(item.value.get("segmentation"))]
    found += _on_images(data, on_images, source)
    if not found:
        return []
    drawn = list({item.item.path: item.item for item in found}.values())
    ids = dict(zip([item.path for item in drawn], _object_ids(drawn, found, source), strict=True))
    if source is not None:
        names, colors = category_names(data), category_colors(data)
        for item in drawn:
            label_category(item, names, "object", ids[item.path], source)
            draw_category(item, colors, "object", ids[item.path], source)
        _say_crowds(data, drawn, source)
    marks = []
    for outlined in found:
        number = object_id(ids[outlined.item.path], outlined.item)
        rings = _rings(outlined, source)
        marks += [PolygonMark(number, outlined.frame, (ring,)) for ring in rings]
    return marks


def _on_images(
    data: JsonValue, items: Sequence[JsonValue], source: MarkedSource | None
) -> list[_Outlined]:
    drawn = [item for item in items if has_area(item.value.get("segmentation"))]
    if source is not None and (left := len(items) - len(drawn)):
        source.say(f"{data.place}: passed over {left} annotation{'s'[: left > 1]} without outline")
    if not drawn:
        return []
    used = {item["image_id"].whole() for item in drawn}
    images = read_images(data) if source is None else images_on(data, source, used)
    found = []
    for item in drawn:
        number = item["image_id"].whole()
        if number not in images:
            raise InputError(
                f"{item.place}: image {number} is not among the images; correct image_id"
            )
        if image := images[number]:
            found.append(_Outlined(item, item["segmentation"], image.frame, image.scale))
    return found


def _on_videos(
    data: JsonValue, items: Sequence[JsonValue], source: MarkedSource | None
) -> Iterator[_Outlined]:
    if not items:
        return
    for item, frames, scale in annotations_on(data, items, source):
        given = item["segmentations"].items()
        if len(given) != len(frames):
            raise InputError(
                f"{item.place}.segmentations: expected one for each of the video's {len(frames)} "
                f"pictures, got {len(given)}; write null where there is none"
            )
        for segmentation, frame in zip(given, frames, strict=True):
            if has_area(segmentation.value):
                yield _Outlined(item, segmentation, frame, scale)


def has_area(segmentation: object) -> bool:
    """Whether a segmentation is there at all; tools write an empty list for boxes."""
    return segmentation is not None and segmentation not in ([], [[]], {})


def _object_ids(
    items: Sequence[JsonValue], found: Sequence[_Outlined], source: MarkedSource | None
) -> list[int]:
    frames = {outlined.item.path: outlined.frame for outlined in found}
    alone = [frames[item.path] for item in items if "segmentations" not in item]
    return instance_ids(items, source, objects=True, frames=alone)


def _say_crowds(data: JsonValue, items: Sequence[JsonValue], source: MarkedSource) -> None:
    count = sum(1 for item in items if item.value.get("iscrowd") == 1)
    if count:
        source.say(
            f"{data.place}: {count} annotation{'s'[: count > 1]} marked iscrowd (as some tools do "
            "with what is painted); each is tracked as one object"
        )


# -- areas -----------------------------------------------------------------------------------


def _rings(outlined: _Outlined, source: MarkedSource | None) -> list[np.ndarray]:
    """Outlines of one segmentation, in the video's pixels from the middle of the first one."""
    given, scale = outlined.given, outlined.scale
    if isinstance(given.value, dict):
        size, corners = _size(given["size"]), _run_corners(given)
        scale = (1.0, 1.0) if source is None else source.scale(size, f"'{given.file}'")
    else:
        corners = [_outline(part) for part in _parts(given)]
    try:
        rings = [checked_ring(ring * scale - 0.5) for ring in corners]
    except InputError as error:
        raise InputError(f"{given.place}: {error}") from error
    if not rings:
        raise InputError(
            f"{given.place}: expected an outline or run lengths with an object, got an empty one"
        )
    return rings


def _parts(given: JsonValue) -> list[JsonValue]:
    """The outlines of a segmentation; one that is not in a list of its own counts too."""
    parts = given.items()
    return [given] if parts and not isinstance(parts[0].value, list) else parts


def _outline(given: JsonValue) -> np.ndarray:
    """(n, 2) corners of x0, y0, x1, y1, ... or of [x0, y0], [x1, y1], ..."""
    items = given.items()
    if items and isinstance(items[0].value, list):
        return np.array([item.xy() for item in items])
    if len(items) % 2 or len(items) < 6:
        raise InputError(
            f"{given.place}: expected x and y of at least 3 corners, got {len(items)} numbers; "
            "correct it"
        )
    return given.numbers(len(items)).reshape(-1, 2)


def _run_corners(given: JsonValue) -> list[np.ndarray]:
    """Rectangles, (4, 2) corners each, around the runs of a mask: at most three for each run.

    Runs go down the columns, the first one outside.
    """
    height, width = _size(given["size"])
    counts = given["counts"]
    runs = unpacked_runs(counts) if isinstance(counts.value, str) else _listed(counts)
    if not 0 < height * width <= MOST_PIXELS or int(runs.sum()) != height * width:
        raise InputError(
            f"{counts.place}: expected runs of {height} x {width} pixels in all, at most "
            f"{MOST_PIXELS >> 20} million, got {int(runs.sum())}; save the mask again"
        )
    ends = np.cumsum(runs)
    rings = []
    for start, end in zip(ends[:-1:2].tolist(), ends[1::2].tolist(), strict=True):
        if end > start:
            rings += [rectangle_ring(*box) for box in _boxes_of_run(start, end, height)]
    return rings


def _boxes_of_run(
    start: int, end: int, height: int
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Corners of the rectangles of pixels `start` to `end`, counted down the columns."""
    (first, top), (last, bottom) = divmod(start, height), divmod(end - 1, height)
    bottom += 1
    if first == last:
        yield (first, top), (first + 1, bottom)
        return
    if top:
        yield (first, top), (first + 1, height)
        first += 1
    if bottom < height:
        yield (last, 0), (last + 1, bottom)
        last -= 1
    if first <= last:
        yield (first, 0), (last + 1, height)


def _size(given: JsonValue) -> tuple[int, int]:
    """(height, width) px."""
    sides = given.items()
    if len(sides) != 2:
        raise InputError(f"{given.place}: expected [height, width], got {shown(given.value)}")
    return sides[0].whole(), sides[1].whole()


def _listed(counts: JsonValue) -> np.ndarray:
    runs = counts.numbers(len(counts.items()))
    if (runs < 0).any() or (runs > MOST_PIXELS).any() or (runs % 1).any():
        raise InputError(
            f"{counts.place}: expected run lengths from 0 up, got {shown(runs.tolist())}"
        )
    return _even(runs.astype(np.int64))


def unpacked_runs(counts: JsonValue) -> np.ndarray:
    """Run lengths out of COCO's text: groups of 5 bits, each run from the fourth on as the
    difference from that two before."""
    runs: list[int] = []
    value = shift = 0
    for letter in counts.value:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            break
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
        if not 0 <= runs[-1] <= MOST_PIXELS:
            break
    else:
        if not shift:
            return _even(np.array(runs, dtype=np.int64))
    raise InputError(f"{counts.place}: is no text of run lengths; save the mask again")


def _even(runs: np.ndarray) -> np.ndarray:
    """With a run outside for each inside."""
    return np.append(runs, 0) if len(runs) % 2 else runs
