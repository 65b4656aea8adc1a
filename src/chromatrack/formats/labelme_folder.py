"""Everything tracked as LabelMe's files: one JSON per frame, named as the picture it is of.

Objects are masks, boxes rectangles, points points; joints are points with one `group_id` per
skeleton, labelled with the joint and described by its name. A label is the category, if there is
one, and then the name, if it is another text, the description. `track_id` is ours: LabelMe keeps
it, and `labelme.read_labelme` takes it for the id. A point is counted from the centre of the
top-left pixel, as LabelMe paints.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chromatrack.atomic import replace_file
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.tracked_video import TrackedVideo, mask_boxes
from chromatrack.formats.written_things import own_name, picture_file
from chromatrack.json_text import json_text
from chromatrack.structures import Kind

VERSION = "5.4.1"
"""Of LabelMe, whose files these are."""

Plain = dict[str, Any]


def write_labelme(tracked: TrackedVideo, folder: Path, options: ExportOptions) -> list[str]:
    """Write a file per frame with what is seen on it; pictures are not copied."""
    height, width = tracked.size
    masks = tracked.masks() if tracked.objects else None
    for row, frame in enumerate(tracked.each_frame()):
        picture = picture_file(tracked, frame, options)
        shapes = list(_objects(tracked, next(masks))) if masks is not None else []
        shapes += [*_boxes(tracked, row), *_points(tracked, row), *_joints(tracked, row)]
        content = {"version": VERSION, "flags": {}, "shapes": shapes, "imageData": None}
        size = {"imageHeight": height, "imageWidth": width}
        text = json_text({**content, "imagePath": picture, **size}, indent=1)
        replace_file(folder / f"{Path(picture).stem}.json", text + "\n")
    first = picture_file(tracked, int(tracked.frames[0]), options)
    return [f"labelme: put the pictures of the frames beside the files, as {first} and so on"]


def _objects(tracked: TrackedVideo, mask: np.ndarray) -> Iterator[Plain]:
    for number, (left, top, width, height) in sorted(mask_boxes(mask).items()):
        if number in tracked.objects:
            crop = mask[top : top + height, left : left + width] == number
            ends = [[left, top], [left + width - 1, top + height - 1]]
            yield _shape(tracked, "object", number, "mask", ends) | {"mask": _picture(crop)}


def _boxes(tracked: TrackedVideo, row: int) -> Iterator[Plain]:
    for number in tracked.ids("box"):
        data = tracked.boxes[number]
        if data.visible[row] and np.isfinite(data.values[row]).all():
            left, top, width, height = data.values[row].tolist()
            ends = [[left, top], [left + width, top + height]]
            yield _shape(tracked, "box", number, "rectangle", ends)


def _points(tracked: TrackedVideo, row: int) -> Iterator[Plain]:
    for number in tracked.ids("point"):
        data = tracked.points[number]
        if data.visible[row] and np.isfinite(data.values[row]).all():
            yield _shape(tracked, "point", number, "point", [data.values[row].tolist()])


def _joints(tracked: TrackedVideo, row: int) -> Iterator[Plain]:
    parts = tracked.skeleton.names if tracked.skeleton else ()
    for number in tracked.ids("keypoints"):
        data = tracked.keypoints[number]
        for joint, xy in enumerate(data.values[row]):
            if data.visible[row][joint] and np.isfinite(xy).all():
                shape = _shape(tracked, "keypoints", number, "point", [xy.tolist()])
                name = tracked.names.get(("keypoints", number), "")
                part = {"label": parts[joint], "group_id": number, "description": name}
                yield shape | part


def _shape(
    tracked: TrackedVideo,
    kind: Kind,
    number: int,
    shape_type: str,
    points: Sequence[Sequence[float]],
) -> Plain:
    thing = kind, number
    label = tracked.categories.get(thing) or tracked.names.get(thing) or str(number)
    name = own_name(tracked, thing) if thing in tracked.categories else ""
    rounded = [[round(value, 3) for value in point] for point in points]
    head = {"label": label, "points": rounded, "group_id": None, "description": name}
    return {**head, "shape_type": shape_type, "flags": {}, "mask": None, "track_id": number}


def _picture(crop: np.ndarray) -> str:
    """A bool array as PNG in base64, as LabelMe keeps masks."""
    file = io.BytesIO()
    Image.fromarray(crop.astype(np.uint8) * 255).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
