"""What a run was given, kept in its folder so that it can be run again: marks in and out.

Masks are `marks/00000.png`, named by frame; everything else stands in result.json, under "marks":
`points` [id, frame, x, y], `boxes` [id, frame, x, y, width, height] (null where declared lost),
`keypoints` [id, frame, joints] with [x, y], null (not marked) or "lost" per joint, `lost`
[id, frame], `masks` the frames, the `skeleton`, and `names`, `colors`, `categories` by kind and id.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.json_fields import load_json_object, names_from_plain, plain_names
from chromatrack.formats.masks import frame_file, read_mask, write_mask
from chromatrack.formats.thing_colors import colors_from_plain, plain_colors
from chromatrack.structures import BoxMark, KeypointMark, LostMark, PointMark, Skeleton
from chromatrack.tracking.marks import Marks

_LOST = "lost"


def plain_marks(marks: Marks) -> dict[str, Any]:
    """Marks as plain lists for JSON, without the pixels of masks; `marks_from_plain` reads them."""
    skeleton = marks.skeleton
    return {
        "masks": sorted(int(frame) for frame in marks.masks),
        "points": [[int(m.id), int(m.frame), _number(m.x), _number(m.y)] for m in marks.points],
        "boxes": [
            [int(m.id), int(m.frame), *map(_number, (m.x, m.y, m.width, m.height))]
            for m in marks.boxes
        ],
        "keypoints": [
            [int(mark.id), int(mark.frame), _plain_joints(mark)] for mark in marks.keypoints
        ],
        "lost": [[int(mark.id), int(mark.frame)] for mark in marks.lost],
        "skeleton": None
        if skeleton is None
        else {"names": list(skeleton.names), "edges": [list(edge) for edge in skeleton.edges]},
        "names": plain_names(marks.names),
        "colors": plain_colors(marks.colors),
        "categories": plain_names(marks.categories),
    }


def marks_from_plain(data: Mapping[str, Any], masks: Mapping[int, np.ndarray]) -> Marks:
    """The marks that `plain_marks` made plain; `masks`: {frame: (H, W) integer ids}."""
    return Marks(
        masks,
        [PointMark(*row) for row in data["points"]],
        [BoxMark(*row) for row in data["boxes"]],
        [_keypoint_mark(*row) for row in data["keypoints"]],
        [LostMark(*row) for row in data["lost"]],
        _skeleton(data["skeleton"]),
        names_from_plain(data.get("names", {})),
        colors_from_plain(data.get("colors", {})),
        names_from_plain(data.get("categories", {})),
    )


def write_run_masks(folder: Path, masks: Mapping[int, np.ndarray]) -> None:
    """Write the masks that a run is given to `folder/marks`. Raises OutputError if it cannot."""
    for frame, mask in masks.items():
        write_mask(folder / "marks" / frame_file(frame), mask)


def read_run_marks(folder: Path) -> Marks:
    """What the run in a folder was given.

    Raises:
        InputError: no result there, one of a version that did not keep its marks, a damaged one, or
            a damaged mask, which is named.
    """
    path = folder / "result.json"
    if not path.is_file():
        raise InputError(f"{folder}: expected a folder that `chromatrack track` wrote; check it")
    data = load_json_object(path, what="a result of `chromatrack track`")
    if "marks" not in data:
        raise InputError(f"{path}: does not say what was marked; track the video again")
    try:
        frames = [int(frame) for frame in data["marks"]["masks"]]
    except (KeyError, TypeError, ValueError) as error:
        raise _odd(path, error) from error
    masks = {frame: read_mask(folder / "marks" / frame_file(frame)) for frame in frames}
    try:
        return marks_from_plain(data["marks"], masks)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _odd(path, error) from error


# -- parts -----------------------------------------------------------------------------------


def _odd(path: Path, error: Exception) -> InputError:
    kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
    return InputError(
        f"{path}: its marks are not as `chromatrack track` writes them ({kind}{error}); track the "
        "video again"
    )


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _plain_joints(mark: KeypointMark) -> list[list[float] | str | None]:
    return [
        _LOST if lost else [float(x), float(y)] if np.isfinite([x, y]).all() else None
        for (x, y), lost in zip(mark.joints, mark.lost, strict=True)
    ]


def _skeleton(data: Mapping[str, Any] | None) -> Skeleton | None:
    if data is None:
        return None
    edges = tuple((int(a), int(b)) for a, b in data["edges"])
    return Skeleton(tuple(data["names"]), edges)


def _keypoint_mark(number: int, frame: int, joints: list[list[float] | str | None]) -> KeypointMark:
    lost = np.array([joint == _LOST for joint in joints])
    xy = [joint if isinstance(joint, list) else [np.nan, np.nan] for joint in joints]
    return KeypointMark(number, frame, np.array(xy, dtype=np.float64), lost)
