"""Tracked masks and boxes as COCO: a picture per frame, or whole videos as in YouTube-VIS.

COCO counts from the corner of the first pixel: a box that covers the columns x .. x + width - 1 has
the same x and width there. Categories are those of the things, without one their names, and have
their colours as those of panoptic files do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.atomic import replace_file
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.run_lengths import CocoRuns, coco_runs, run_lengths
from chromatrack.formats.tracked_video import TrackedVideo, mask_boxes
from chromatrack.formats.written_things import (
    Thing,
    category_colors,
    category_ids,
    category_of,
    own_name,
    picture_file,
    things_of,
    unique_numbers,
)
from chromatrack.json_text import json_text
from chromatrack.structures import Color

Plain = dict[str, Any]


def write_coco(tracked: TrackedVideo, path: Path, options: ExportOptions) -> list[str]:
    """Write instances per picture; `track_id` says which are one thing.

    Pictures are called `<video>/00012.jpg`, or as in the folder that was tracked; `frame_index` is
    the number in the video.
    """
    things = things_of(tracked, ("object", "box"))
    numbers, notes = unique_numbers(things, "coco", least=1)
    categories = category_ids(tracked, things)
    annotations = list[Plain]()
    images = []
    masks = tracked.masks() if tracked.objects else None
    for row, frame in enumerate(tracked.each_frame()):
        height, width = tracked.size
        file = _place(tracked, frame, options)
        image = {"id": row + 1, "file_name": file, "width": width, "height": height}
        seconds = round(float(tracked.times[row]), 6)
        images.append({**image, "frame_index": frame, "pts_seconds": seconds})
        found: list[tuple[Thing, Plain]] = []
        if masks is not None:
            found += _masks_on(tracked, row, next(masks))
        found += _boxes_on(tracked, row)
        for thing, said in found:
            head = {"id": len(annotations) + 1, "image_id": row + 1}
            kind = _about(tracked, thing, categories)
            annotations.append({**head, **kind, "track_id": numbers[thing], **said})
    content = {"images": images, "annotations": annotations}
    _write(path, tracked, content, categories, category_colors(tracked, things))
    return notes


def write_youtube_vis(tracked: TrackedVideo, path: Path, options: ExportOptions) -> list[str]:
    """Write one annotation per object with a segmentation, or null, for each of the frames.

    Run lengths are plain lists, as in the data set's own files: readers of truths want them.
    """
    things = things_of(tracked, ("object",))
    categories = category_ids(tracked, things)
    count = len(tracked.frames)
    height, width = tracked.size
    annotations: dict[int, Plain] = {}
    for thing in things:
        head = {"id": thing[1], "video_id": 1, "track_id": thing[1], "iscrowd": 0}
        head |= _about(tracked, thing, categories)
        size = {"height": height, "width": width, "length": count}
        known = tracked.objects[thing[1]].confidence
        head |= _score(float(np.nanmean(known)) if np.isfinite(known).any() else 1.0)
        lists = {key: [None] * count for key in ("segmentations", "bboxes", "areas")}
        annotations[thing[1]] = {**head, **size, **lists}
    for row, mask in enumerate(tracked.masks()):
        for (_, number), said in _masks_on(tracked, row, mask):
            runs = run_lengths((mask == number).T).tolist()
            annotations[number]["segmentations"][row] = {"size": [height, width], "counts": runs}
            annotations[number]["bboxes"][row] = said["bbox"]
            annotations[number]["areas"][row] = said["area"]
    files = [_place(tracked, frame, options) for frame in tracked.frames.tolist()]
    video = {"id": 1, "name": tracked.video_name, "width": width, "height": height}
    video |= {"length": count, "file_names": files}
    content = {"videos": [video], "annotations": list(annotations.values())}
    _write(path, tracked, content, categories, category_colors(tracked, things))
    return []


def _about(tracked: TrackedVideo, thing: Thing, categories: Mapping[str, int]) -> Plain:
    """The category, and a name and colour that say more, which other readers pass over."""
    said: Plain = {"category_id": categories[category_of(tracked, thing)]}
    if name := own_name(tracked, thing):
        said["name"] = name
    if color := tracked.colors.get(thing):
        said["color"] = list(color)
    return said


def _place(tracked: TrackedVideo, frame: int, options: ExportOptions) -> str:
    """Where a frame's picture is for a file: `video/00012.jpg`."""
    return f"{tracked.video_name}/{picture_file(tracked, frame, options)}"


def _masks_on(tracked: TrackedVideo, row: int, mask: np.ndarray) -> list[tuple[Thing, Plain]]:
    """What a file says of each object that is seen on a frame, but for ids."""
    found: list[tuple[Thing, Plain]] = []
    for number, box in sorted(mask_boxes(mask).items()):
        if number not in tracked.objects:
            continue
        inside = mask == number
        runs: CocoRuns = coco_runs(inside)
        area = int(np.count_nonzero(inside))
        said: Plain = {"segmentation": runs, "bbox": list(box), "area": area, "iscrowd": 0}
        score = float(tracked.objects[number].confidence[row])
        found.append((("object", number), said | _score(score)))
    return found


def _boxes_on(tracked: TrackedVideo, row: int) -> list[tuple[Thing, Plain]]:
    """The same of each box; its segmentation is empty."""
    found: list[tuple[Thing, Plain]] = []
    for number in tracked.ids("box"):
        data = tracked.boxes[number]
        values = data.values[row]
        if data.visible[row] and np.isfinite(values).all():
            box = np.round(values, 3).tolist()
            area = round(float(values[2] * values[3]), 3)
            said: Plain = {"segmentation": [], "bbox": box, "area": area, "iscrowd": 0}
            found.append((("box", number), said | _score(float(data.confidence[row]))))
    return found


def _score(value: float) -> Plain:
    return {"score": round(value, 4)} if np.isfinite(value) else {}


def _color(color: Color | None) -> Plain:
    """As categories of panoptic files have it."""
    return {} if color is None else {"color": list(color)}


def _write(
    path: Path,
    tracked: TrackedVideo,
    content: Mapping[str, Sequence[Plain]],
    names: Mapping[str, int],
    colors: Mapping[str, Color],
) -> None:
    info = {"description": tracked.video_name, "contributor": "chromatrack"}
    categories = [
        {"id": number, "name": name, "supercategory": "", **_color(colors.get(name))}
        for name, number in names.items()
    ]
    text = json_text({"info": info, "licenses": [], **content, "categories": categories})
    replace_file(path, text + "\n")
