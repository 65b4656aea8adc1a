"""Marks of all kinds out of JSON that is read in part elsewhere: LabelMe's, COCO's and our own.

`--polygons` and `--keypoints` take one kind from these; here a file gives everything it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from chromatrack.errors import InputError, shown
from chromatrack.formats.coco_images import images_on
from chromatrack.formats.coco_masks import has_area, read_coco_masks
from chromatrack.formats.coco_tracks import (
    category_colors,
    category_names,
    draw_category,
    has_joints,
    has_marked_joints,
    instance_ids,
    label_category,
)
from chromatrack.formats.file_marks import FileMarks, GivenFile, painted
from chromatrack.formats.json_fields import JsonValue, load_json_object
from chromatrack.formats.keypoints import read_keypoints
from chromatrack.formats.labelme import WITH_AREA, LabelledShape, labelled_shapes, read_labelme
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.outlines import PolygonMark
from chromatrack.formats.polygons import read_polygons, say_what_reaches_out
from chromatrack.structures import BoxMark, KeypointMark, PointMark, Skeleton

_BOXES, _POINTS = ("rectangle",), ("point",)


# -- LabelMe -----------------------------------------------------------------------------------


def labelme_size(given: GivenFile) -> tuple[int, int] | None:
    """(height, width) that the first file states."""
    for content in _contents(given):
        height, width = content.get("imageHeight"), content.get("imageWidth")
        if height and width:
            return height.whole(), width.whole()
        if (size := _first_size(content)) is not None:  # a folder of COCO
            return size
    return None


def read_labelme_marks(given: GivenFile, source: MarkedSource) -> FileMarks:
    """Everything in LabelMe's files, one or a folder: a rectangle is a box, a point a point.

    Points with a group are the joints of one skeleton, named by their labels. Of other JSON in the
    folder the outlines are read.

    Raises:
        InputError: as `read_labelme`, or two joints of one name.
    """
    every = _contents(given)
    files = [content for content in every if "shapes" in content]
    if len(files) < len(every):
        return _outlined(read_polygons(given.path, source=source), given, source)
    types, others = WITH_AREA - {*_BOXES}, {*_BOXES, *_POINTS}
    outlines = read_labelme(files, source, types=types, other=others)
    boxes = labelled_shapes(files, source, kind="box", types=_BOXES, other=None)
    points = labelled_shapes(files, source, kind="point", types=_POINTS, other=None, grouped=False)
    joints = labelled_shapes(
        files, source, kind="keypoints", types=_POINTS, other=None, grouped=True
    )
    skeleton, poses = _labelled_joints(joints)
    return replace(
        _outlined(outlines, given, source),
        boxes=[_labelled_box(one) for one in boxes],
        points=[PointMark(one.number, one.frame, *_only_place(one)) for one in points],
        keypoints=poses,
        skeleton=skeleton,
    )


def _contents(given: GivenFile) -> list[JsonValue]:
    files = sorted(given.path.glob("*.json")) if given.is_folder else [given.path]
    return [JsonValue(load_json_object(file, what="marks"), str(file)) for file in files]


def _labelled_box(one: LabelledShape) -> BoxMark:
    corners = np.array([point.xy() for point in one.shape["points"].items()])
    if len(corners) < 2 or (size := np.ptp(corners, axis=0) * one.scale).min() <= 0:
        raise InputError(
            f"{one.shape.place}: expected two corners of a rectangle with an area, got "
            f"{shown(corners.tolist())}; draw it again"
        )
    left, top = (corners.min(axis=0) * one.scale).tolist()
    return BoxMark(one.number, one.frame, left, top, *size.tolist())


def _only_place(one: LabelledShape) -> tuple[float, float]:
    points = one.shape["points"].items()
    if len(points) != 1:
        raise InputError(
            f"{one.shape['points'].place}: expected the one place of a point, got {len(points)}; "
            "draw it again"
        )
    x, y = points[0].xy()
    return x * one.scale[0], y * one.scale[1]


def _labelled_joints(
    joints: Sequence[LabelledShape],
) -> tuple[Skeleton | None, list[KeypointMark]]:
    """Points with groups as skeletons of the joints that they are labelled with."""
    if not joints:
        return None, []
    skeleton = Skeleton(tuple(dict.fromkeys(one.label for one in joints)), ())
    poses: dict[tuple[int, int], np.ndarray] = {}
    for one in joints:
        empty = np.full((len(skeleton.names), 2), np.nan)
        places = poses.setdefault((one.number, one.frame), empty)
        i = skeleton.names.index(one.label)
        if np.isfinite(places[i]).all():
            raise InputError(
                f"{one.shape.place}: expected one point labelled {one.label} in its group, got "
                "two; rename one"
            )
        places[i] = _only_place(one)
    none_lost = np.zeros(len(skeleton.names), dtype=bool)
    return skeleton, [
        KeypointMark(number, frame, places, none_lost) for (number, frame), places in poses.items()
    ]


# -- COCO --------------------------------------------------------------------------------------


def coco_size(given: GivenFile) -> tuple[int, int] | None:
    """(height, width) that the first picture or video of a file states."""
    return _first_size(given.value)


def _first_size(data: JsonValue) -> tuple[int, int] | None:
    for key in ("videos", "images"):
        for item in data[key].items() if data.get(key) else ():
            height, width = item.get("height"), item.get("width")
            if height and width and height.value and width.value:
                return height.whole(), width.whole()
    return None


def read_coco_marks(given: GivenFile, source: MarkedSource) -> FileMarks:
    """Everything in a COCO file: outlines are objects, boxes without any are boxes, and keypoints.

    Raises:
        InputError: as `read_coco_masks` and `read_keypoints`, or a box of another form.
    """
    data = given.value
    annotations = data["annotations"].items()
    skeleton, poses = None, list[KeypointMark]()
    if any(has_joints(item) and has_marked_joints(item) for item in annotations):
        skeleton, poses = read_keypoints(given.path, source=source)
    outlines = read_coco_masks(data, source, others_read=True)
    boxes = list(_coco_boxes(data, annotations, source))
    found = _outlined(outlines, given, source)
    return replace(found, boxes=boxes, keypoints=poses, skeleton=skeleton)


def _categories_with_joints(data: JsonValue) -> list[object]:
    """Ids of categories that are skeletons: an annotation of one without joints is not seen."""
    categories = data.get("categories")
    return [
        item.value.get("id")
        for item in (categories.items() if categories is not None else ())
        if isinstance(item.value, dict) and item.value.get("keypoints")
    ]


def _coco_boxes(
    data: JsonValue, annotations: Sequence[JsonValue], source: MarkedSource
) -> Iterator[BoxMark]:
    posed = _categories_with_joints(data)
    boxes = [
        item
        for item in annotations
        if item.get("bbox") is not None
        and not ("keypoints" in item and item.value.get("category_id") in posed)
        and "segmentations" not in item
        and not has_area(item.value.get("segmentation"))
        and not has_joints(item)
    ]
    if not boxes:
        return
    images = images_on(data, source, {item["image_id"].whole() for item in boxes})
    for item in boxes:
        if item["image_id"].whole() not in images:
            raise InputError(
                f"{item.place}: image {item['image_id'].value} is not among the images; correct "
                "image_id"
            )
    ours = [(item, image) for item in boxes if (image := images[item["image_id"].whole()])]
    numbers = instance_ids([b for b, _ in ours], source, frames=[i.frame for _, i in ours])
    names, colors = category_names(data), category_colors(data)
    for (item, image), number in zip(ours, numbers, strict=True):
        left, top, width, height = (item["bbox"].numbers(4) * np.tile(image.scale, 2)).tolist()
        if min(width, height) <= 0:
            raise InputError(
                f"{item.place}.bbox: expected a width and height above 0, got "
                f"{shown(item['bbox'].value)}; correct it"
            )
        label_category(item, names, "box", number, source)
        draw_category(item, colors, "box", number, source)
        yield BoxMark(number, image.frame, left, top, width, height)


# -- our own -----------------------------------------------------------------------------------


def read_outlines(given: GivenFile, source: MarkedSource) -> FileMarks:
    """Objects of `{"objects": [...]}`, as `read_polygons` reads them."""
    return _outlined(read_polygons(given.path, source=source), given, source)


def read_joints(given: GivenFile, source: MarkedSource) -> FileMarks:
    """Keypoints in the short form, as `read_keypoints` reads them."""
    skeleton, poses = read_keypoints(given.path, source=source)
    return FileMarks(keypoints=poses, skeleton=skeleton)


def _outlined(outlines: Sequence[PolygonMark], given: GivenFile, source: MarkedSource) -> FileMarks:
    if outlines:
        say_what_reaches_out(outlines, str(given.path), source)
    return FileMarks(masks=painted(outlines, source, f"'{given.path}'"))
