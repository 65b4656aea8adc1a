"""What was found on a frame as `supervision.Detections`, to draw, count and filter with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from chromatrack.formats.color_text import hex_color
from chromatrack.formats.exchange import need
from chromatrack.formats.thing_colors import color_of
from chromatrack.formats.tracked_video import mask_boxes
from chromatrack.formats.written_things import UNNAMED
from chromatrack.structures import Categories, Colors, Names
from chromatrack.tracking.inference import TrackedFrame

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
