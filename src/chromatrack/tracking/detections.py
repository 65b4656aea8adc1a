"""Results as `supervision.Detections`, to draw and count with; a detector's as marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.color_text import hex_color
from chromatrack.formats.exchange import need
from chromatrack.formats.thing_colors import color_of
from chromatrack.formats.tracked_video import mask_boxes
from chromatrack.formats.written_things import UNNAMED
from chromatrack.structures import BoxMark, Categories, Colors, Kind, Names
from chromatrack.tracking.inference import TrackedFrame
from chromatrack.tracking.marks import MarkArguments

if TYPE_CHECKING:
    from supervision import Detections  # pyright: ignore[reportMissingImports]

_Row = tuple[int, tuple[float, float, float, float], float]
"""Id, (left, top, right, bottom) px and confidence."""


def to_supervision(
    frame: TrackedFrame,
    *,
    kind: Literal["object", "box"] = "object",
    names: Names | None = None,
    colors: Colors | None = None,
    categories: Categories | None = None,
) -> Detections:
    """Objects or boxes of a frame that are seen, as detections of the package `supervision`.

    Args:
        kind: which of the two; objects have masks.
        names: what things are called, by kind and id.
        colors: what they are drawn in, where not by number.
        categories: what they are; each is a class, and each name of a thing without one.

    Returns:
        `xyxy` px from the corner of the first pixel, `tracker_id` our ids, `class_id` the number of
        the class among the classes, sorted, from 1 (0: without one), `data["class_name"]` the
        class, `data["name"]` the name, "" without one, `data["color"]` such as "#ff8000";
        `mask` (n, H, W) bool of objects. Ids ascend; nothing is seen: n is 0.

    Raises:
        InputError: supervision is not installed.
    """
    supervision: Any = need("supervision", "supervision", "to_supervision")
    rows = _objects(frame) if kind == "object" else _boxes(frame)
    called = {number: name for (of, number), name in (names or {}).items() if of == kind}
    sorts = {number: said for (of, number), said in (categories or {}).items() if of == kind}
    sorts = {**called, **sorts}
    classes = {name: n for n, name in enumerate(sorted(set(sorts.values())), start=1)}
    ids = [number for number, _, _ in rows]
    height, width = frame.mask.shape
    masks = [frame.mask == number for number in ids]
    return supervision.Detections(
        xyxy=np.array([box for _, box, _ in rows], dtype=np.float64).reshape(-1, 4),
        mask=np.array(masks, dtype=bool).reshape(-1, height, width) if kind == "object" else None,
        confidence=np.array([value for _, _, value in rows], dtype=np.float64),
        class_id=np.array([classes.get(sorts.get(n, ""), 0) for n in ids], dtype=np.int64),
        tracker_id=np.array(ids, dtype=np.int64),
        data={
            "class_name": np.array([sorts.get(n, UNNAMED[kind]) for n in ids], dtype=str),
            "name": np.array([called.get(n, "") for n in ids], dtype=str),
            "color": np.array([hex_color(color_of(kind, n, colors or {})) for n in ids], dtype=str),
        },
    )


def from_supervision(detections: Detections, *, frame: int = 0) -> MarkArguments:
    """What a detector found on a frame, as marks: `tracker.track(video, **from_supervision(...))`.

    Args:
        detections: objects where they have masks, else boxes. `tracker_id` are the ids; None: 1,
            2, 3, ... in order. `data["class_name"]` are categories, `data["name"]` names.
            Where masks overlap, the one of higher confidence is in front.
        frame: number of the frame in the video.

    Raises:
        InputError: nothing was found, ids below 1 or twice, or a mask or box is empty.
    """
    count = len(detections)
    given = detections.tracker_id
    ids = list(range(1, count + 1)) if given is None else [int(number) for number in given]
    if not count or min(ids) < 1 or len(set(ids)) < count:
        raise InputError(
            f"detections: expected at least one, each with an id of its own from 1, got {ids}; "
            "leave out what is not to be tracked"
        )
    if detections.mask is None:
        boxes: list[BoxMark] = []
        for number, (left, top, right, bottom) in zip(ids, detections.xyxy.tolist(), strict=True):
            _check_extent(number, right > left and bottom > top, "a box")
            boxes.append(BoxMark(number, frame, left, top, right - left, bottom - top))
        return {"boxes": boxes, **_said_of(detections, "box", ids)}
    masks = np.asarray(detections.mask, dtype=bool)
    sure = np.ones(count) if detections.confidence is None else detections.confidence
    painted = np.zeros(masks.shape[1:], dtype=np.int32)
    for place in np.argsort(sure, kind="stable").tolist():
        painted[masks[place]] = ids[place]
    for number in ids:
        _check_extent(number, bool((painted == number).any()), "a mask that others do not hide")
    return {"masks": {frame: painted}, **_said_of(detections, "object", ids)}


def _said_of(detections: Detections, kind: Kind, ids: Sequence[int]) -> MarkArguments:
    """Names and categories, where the detections have some."""
    said: dict[str, dict[tuple[Kind, int], str]] = {
        key: {(kind, n): str(text) for n, text in zip(ids, values, strict=True) if str(text)}
        for key in ("name", "class_name")
        if (values := detections.data.get(key)) is not None
    }
    return {"names": said.get("name", {}), "categories": said.get("class_name", {})}


def _check_extent(number: int, has_any: bool, what: str) -> None:
    if not has_any:
        raise InputError(
            f"detections: expected {what} with an area, got none for id {number}; leave it out"
        )


def _objects(frame: TrackedFrame) -> list[_Row]:
    return [
        (number, (x, y, x + width, y + height), frame.confidence.get(number, 1.0))
        for number, (x, y, width, height) in sorted(mask_boxes(frame.mask).items())
    ]


def _boxes(frame: TrackedFrame) -> list[_Row]:
    return [
        (number, (box.x, box.y, box.x + box.width, box.y + box.height), box.confidence)
        for number, box in sorted(frame.boxes.items())
        if box.visible and math.isfinite(box.x)
    ]
