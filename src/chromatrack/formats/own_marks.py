"""Marks of all kinds as a folder of our own files, which read back to the same marks.

`points.csv`, `boxes.csv`, `masks/00000.png` and `keypoints.json` (the short form), each where there
are such marks; `marks.json` says what the others have no place for: names, colours and categories,
where objects are declared lost, and the size of the pictures.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

from chromatrack.atomic import replace_file, starts_with
from chromatrack.errors import InputError
from chromatrack.formats.color_text import hex_color
from chromatrack.formats.csv_tables import BOX, POINT, read_boxes, read_points
from chromatrack.formats.file_marks import FileMarks, GivenFile
from chromatrack.formats.json_fields import (
    JsonValue,
    load_json_object,
    names_from_plain,
    plain_names,
)
from chromatrack.formats.keypoints import read_keypoints
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.masks import frame_file, read_mask_folder, write_mask
from chromatrack.formats.thing_colors import colors_from_plain, plain_colors
from chromatrack.json_text import json_text
from chromatrack.structures import Categories, Colors, KeypointMark, Kind, LostMark, Names, Skeleton

LIST, POINTS, BOXES, JOINTS, MASKS = (
    *("marks.json", "points.csv", "boxes.csv", "keypoints.json", "masks"),
)
NO_COLORS: Colors = {}
NO_CATEGORIES: Categories = {}

OWN_NAMES = (LIST, POINTS, BOXES, JOINTS, MASKS)
"""Everything that may be in such a folder."""

_HEAD = '{\n "marks_version"'


def is_own(folder: Path) -> bool:
    """Whether `write_own_marks` wrote a folder."""
    return starts_with(folder / LIST, _HEAD)


def write_own_marks(
    folder: Path,
    marks: FileMarks,
    names: Names,
    size: tuple[int, int] | None,
    *,
    colors: Colors = NO_COLORS,
    categories: Categories = NO_CATEGORIES,
) -> None:
    """Write marks into a folder.

    Args:
        names, colors, categories: of the marked things. size: (height, width) px of the
            pictures; None: not known.

    Raises:
        OutputError: it cannot be written.
    """
    lost = sorted((mark.id, mark.frame) for mark in marks.lost)
    told: dict[str, object] = {
        "marks_version": 1,
        "size": size,
        "lost": lost,
        "names": plain_names(names),
    }
    told["colors"] = plain_colors(colors)
    told["categories"] = plain_names(categories)
    said = names, colors, categories
    replace_file(folder / LIST, json_text(told, indent=1) + "\n")
    if marks.points:
        rows = ((m.id, m.frame, m.x, m.y) for m in marks.points)
        replace_file(folder / POINTS, _table("point", rows, *said))
    if marks.boxes:
        boxes = ((m.id, m.frame, m.x, m.y, m.width, m.height) for m in marks.boxes)
        replace_file(folder / BOXES, _table("box", boxes, *said))
    if marks.keypoints and marks.skeleton is not None:
        replace_file(folder / JOINTS, _joints(marks, marks.skeleton, *said))
    for frame, mask in marks.masks.items():
        write_mask(folder / MASKS / frame_file(frame), mask)


def read_own_marks(given: GivenFile, source: MarkedSource) -> FileMarks:
    """What `write_own_marks` wrote; frames are counted, whatever pictures are called.

    Raises:
        InputError: not as it is written, or of pictures of another size than the video's.
    """
    folder, source = given.path, replace(source, numbers="index")
    told = _told(folder)
    if told.size is not None and told.size != source.size:
        raise InputError(
            f"'{folder}': holds marks on {told.size[1]}x{told.size[0]} pixels, got a video of "
            f"{source.size[1]}x{source.size[0]}; import the file for this video again"
        )
    for (kind, number), name in told.names.items():
        source.call(kind, number, name)
    source.colors.update(told.colors)
    source.categories.update(told.categories)
    points, boxes, joints = folder / POINTS, folder / BOXES, folder / JOINTS
    skeleton, poses = None, list[KeypointMark]()
    if joints.exists():
        skeleton, poses = read_keypoints(joints, source=source)
    masks = folder / MASKS
    return FileMarks(
        masks=read_mask_folder(masks, source=source) if masks.is_dir() else {},
        points=read_points(points, source=source) if points.exists() else (),
        boxes=read_boxes(boxes, source=source) if boxes.exists() else (),
        keypoints=poses,
        lost=told.lost,
        skeleton=skeleton,
    )


def own_size(given: GivenFile) -> tuple[int, int] | None:
    """(height, width) that a folder states."""
    return _told(given.path).size


@dataclass(frozen=True)
class _Told:
    size: tuple[int, int] | None
    lost: list[LostMark]
    names: Names
    colors: Colors
    categories: Categories


def _told(folder: Path) -> _Told:
    path = folder / LIST
    data = JsonValue(load_json_object(path, what="our list of marks"), str(path))
    given = data.get("size")
    height, width = given.numbers(2).astype(int).tolist() if given else (0, 0)
    lost = [
        LostMark(*(part.whole() for part in item.items()))
        for item in data["lost"].items()
        if len(item.items()) == 2
    ]
    try:
        names = names_from_plain(data["names"].fields())
        stated = data.get("colors")  # not in files of earlier versions
        colors = colors_from_plain(stated.fields()) if stated else {}
        stated = data.get("categories")
        categories = names_from_plain(stated.fields()) if stated else {}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{data['names'].place}: expected names, colours, categories by kind and id ({error})"
        ) from error
    return _Told((height, width) if given else None, lost, names, colors, categories)


def _table(
    kind: Kind,
    rows: Iterable[tuple[int, *tuple[object, ...]]],
    names: Names,
    colors: Colors,
    categories: Categories,
) -> str:
    """Rows of id, frame and values; colours and categories have a column where there are some."""
    more: dict[str, Names] = {
        "color": {thing: hex_color(color) for thing, color in colors.items()},
        "category": categories,
    }
    more = {column: said for column, said in more.items() if said}
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    columns = POINT if kind == "point" else BOX
    table.writerow(["id", "frame", *columns, "name", *more])
    for number, *values in rows:
        thing = kind, number
        looks = [said.get(thing, "") for said in more.values()]
        cells = [number, *values, names.get(thing, ""), *looks]
        table.writerow("" if cell is None else cell for cell in cells)
    return text.getvalue()


def _joints(
    marks: FileMarks, skeleton: Skeleton, names: Names, colors: Colors, categories: Categories
) -> str:
    edges = [[skeleton.names[a], skeleton.names[b]] for a, b in skeleton.edges]
    listed = []
    for pose in marks.keypoints:
        thing: tuple[Kind, int] = ("keypoints", pose.id)
        mark: dict[str, object] = {"id": pose.id, "frame": pose.frame}
        mark |= {"name": names[thing]} if thing in names else {}
        mark |= {"color": hex_color(colors[thing])} if thing in colors else {}
        mark |= {"category": categories[thing]} if thing in categories else {}
        listed.append(mark | {"joints": _placed(pose, skeleton)})
    told = {"skeleton": {"names": list(skeleton.names), "edges": edges}, "marks": listed}
    return json.dumps(told, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _placed(pose: KeypointMark, skeleton: Skeleton) -> Mapping[str, Any]:
    """{joint: [x, y], or None where lost}; those of which nothing is said are left out."""
    found: dict[str, Any] = {}
    for name, (x, y), lost in zip(skeleton.names, pose.joints.tolist(), pose.lost, strict=True):
        if lost:
            found[name] = None
        elif math.isfinite(x) and math.isfinite(y):
            found[name] = [x, y]
    return found
