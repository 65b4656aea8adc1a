"""Keypoints: skeletons of named joints, as COCO keypoint JSON and as a short JSON by hand.

The short form names joints instead of counting them:
`{"skeleton": {"names": ["hip", "knee"], "edges": [["hip", "knee"]]},
"marks": [{"id": 1, "frame": 0, "joints": {"hip": [31.5, 40], "knee": null}}]}`;
null declares a joint lost, one left out is not marked on that frame.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

import numpy as np

from chromatrack.atomic import WholeFile
from chromatrack.errors import InputError, shown
from chromatrack.formats.coco import HIDDEN, VISIBLE, CocoFile, CocoInstance, parse_coco
from chromatrack.formats.csv_tables import TrackData
from chromatrack.formats.json_fields import entry, listed, load_json_object, mapped, whole, xy_pair
from chromatrack.structures import KeypointMark, Skeleton, TrackedKeypoints


def read_keypoints(
    path: str | PathLike[str], *, skeleton: Skeleton | None = None
) -> tuple[Skeleton, list[KeypointMark]]:
    """Read marked joints, from COCO keypoint JSON or from the short form above.

    COCO: `keypoints` are x, y, v per joint, where v = 0 is not marked, 1 is marked though hidden
    and 2 is visible; an annotation with no marked joint is passed over. The frame is the image's
    `frame_index` or `frame_id`, else the last number in its file name, else its id; the instance
    is the annotation's `track_id` or `instance_id`, else its id.

    Returns:
        The skeleton, and the marks in the order of the file.

    Raises:
        InputError: no such file, not JSON, neither form, no marks, an unknown joint, an edge to
            one, a wrong number of values, a position that is not finite, or two marks for one id
            and frame.
    """
    data = load_json_object(path, what="keypoints")
    name = str(path)
    if skeleton is not None:
        data = _with_skeleton(data, skeleton)
    if "annotations" in data:
        coco = parse_coco(data, name)
        found, marks = _coco_skeleton(coco, name), _coco_marks(coco)
    else:
        found = _short_skeleton(entry(data, "skeleton", f"'{name}'"), f"'{name}': skeleton")
        marks = _short_marks(entry(data, "marks", f"'{name}'"), found, name)
    if not marks:
        raise InputError(f"'{name}': expected at least one marked joint, got none; mark some")
    return found, marks


def read_skeleton(path: str | PathLike[str]) -> Skeleton:
    """Read a skeleton: `{"names": [...], "edges": [["hip", "knee"], ...]}`, or from a marks file.

    Raises:
        InputError: no such file, not JSON, no names, or an edge to an unknown joint.
    """
    data = load_json_object(path, what="a skeleton")
    if "categories" in data:
        return _coco_skeleton(
            parse_coco({"images": [], **data, "annotations": []}, str(path)), path
        )
    return _short_skeleton(data.get("skeleton", data), f"'{path}'")


def read_keypoint_tracks(path: str | PathLike[str]) -> tuple[Skeleton, dict[int, TrackData]]:
    """Read a keypoints.json: the skeleton, and {instance id: its track}, ids ascending.

    A track's values are (N, J, 2) float64 xy px, NaN where v = 0. A file without annotations is a
    run that tracked nothing: {}.

    Raises:
        InputError: as `read_keypoints`, but no marks are no error.
    """
    coco = parse_coco(load_json_object(path, what="COCO keypoints"), str(path))
    _check_unique([(i.id, i.frame, i.place) for i in coco.instances])
    found: dict[int, list[CocoInstance]] = {}
    for instance in sorted(coco.instances, key=lambda i: (i.id, i.frame)):
        found.setdefault(instance.id, []).append(instance)
    return _coco_skeleton(coco, path), {key: _track(rows) for key, rows in found.items()}


class KeypointWriter(WholeFile):
    """Writes COCO keypoint JSON frame by frame; see `WholeFile` for how it ends.

    An image has `frame_index` and `pts_seconds`; an annotation `track_id`, `keypoints` (v = 2
    visible, 1 a best guess, 0 unknown), `num_keypoints`, `keypoint_scores` (confidence per joint)
    and `score` (their mean).
    """

    def __init__(self, path: str | PathLike[str], skeleton: Skeleton) -> None:
        """Open the file and write the skeleton. Raises OutputError if it cannot be."""
        super().__init__(path)
        self._joints = len(skeleton.names)
        self._images: list[str] = []
        self._annotations = 0
        category = {"id": 1, "name": "skeleton", **_coco_joint_names(skeleton)}
        self.text(f'{{"categories": [{_json(category)}],\n"annotations": [')

    def write(
        self, index: int, pts_seconds: float, keypoints: Mapping[int, TrackedKeypoints]
    ) -> None:
        """Add one frame, instances ascending; places are rounded to a thousandth px.

        Raises:
            InputError: another number of joints than the skeleton has.
            OutputError: the file cannot be written.
        """
        image = {"id": index, "file_name": f"{index:05d}.png", "frame_index": index}
        self._images.append(_json({**image, "pts_seconds": round(pts_seconds, 6)}))
        for number in sorted(keypoints):
            instance = keypoints[number]
            if instance.joints.shape != (self._joints, 2):
                raise InputError(
                    f"keypoints {number} on frame {index}: expected ({self._joints}, 2) joints, "
                    f"got {instance.joints.shape}; use the skeleton they were marked with"
                )
            start = ",\n" if self._annotations else "\n"
            self._annotations += 1
            head = {"id": self._annotations, "image_id": index, "category_id": 1}
            self.text(start + _json({**head, "track_id": number, **_coco_joints(instance)}))

    def close(self) -> None:
        """Add the images and finish the file; nothing happens the second time."""
        if not self.closed:
            images = ",\n".join(self._images)
            self.text(f'],\n"images": [\n{images}]}}\n')
        super().close()


# -- COCO ------------------------------------------------------------------------------------


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _coco_joint_names(skeleton: Skeleton) -> dict[str, Any]:
    """What a category says of its joints."""
    edges = [[a + 1, b + 1] for a, b in skeleton.edges]
    return {"keypoints": list(skeleton.names), "skeleton": edges}


def _with_skeleton(data: dict[str, Any], skeleton: Skeleton) -> dict[str, Any]:
    """A marks file's JSON, with joint names and edges where it has none of its own."""
    if "annotations" not in data:
        names = skeleton.names
        edges = [[names[a], names[b]] for a, b in skeleton.edges]
        return {"skeleton": {"names": list(names), "edges": edges}, **data}
    categories = data.get("categories", [])
    if not isinstance(categories, list) or not all(isinstance(c, dict) for c in categories):
        return data
    named = [{**_coco_joint_names(skeleton), **category} for category in categories]
    return {**data, "categories": named}


def _coco_joints(instance: TrackedKeypoints) -> dict[str, Any]:
    """What an annotation says of its joints."""
    known = np.asarray(np.isfinite(instance.joints).all(axis=1))
    v = np.where(known, np.where(instance.visible, VISIBLE, HIDDEN), 0)
    xy = np.round(np.where(known[:, None], instance.joints, 0.0), 3)
    keypoints: list[float] = []
    for (x, y), flag in zip(xy.tolist(), v.tolist(), strict=True):
        keypoints += [x, y, flag]
    scores = np.round(np.asarray(instance.confidence, dtype=np.float64), 4)
    return {
        "keypoints": keypoints,
        "num_keypoints": int(known.sum()),
        "score": round(float(scores.mean()), 4),
        "keypoint_scores": scores.tolist(),
    }


def _coco_skeleton(coco: CocoFile, name: str | PathLike[str]) -> Skeleton:
    return _told(f"'{name}'", coco.names, coco.edges)


def _coco_marks(coco: CocoFile) -> list[KeypointMark]:
    marked = [i for i in coco.instances if (i.v > 0).any()]
    _check_unique([(i.id, i.frame, i.place) for i in marked])
    return [KeypointMark(i.id, i.frame, i.xy, np.zeros(len(i.v), dtype=bool)) for i in marked]


def _track(rows: list[CocoInstance]) -> TrackData:
    return TrackData(
        frames=np.array([row.frame for row in rows], dtype=np.int64),
        pts_seconds=np.array([row.pts_seconds for row in rows]),
        values=np.stack([row.xy for row in rows]),
        visible=np.stack([row.v == VISIBLE for row in rows]),
        confidence=np.stack([row.confidence for row in rows]),
    )


# -- the short form --------------------------------------------------------------------------


def _told(place: str, names: tuple[str, ...], edges: tuple[tuple[int, int], ...]) -> Skeleton:
    """The skeleton; errors begin with the place it was read from."""
    try:
        return Skeleton(names, edges)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error


def _short_skeleton(value: object, place: str) -> Skeleton:
    data = mapped(value, place)
    names = tuple(listed(entry(data, "names", place), f"{place}: names"))
    numbers = {name: i for i, name in enumerate(names) if isinstance(name, str)}
    edges = []
    for edge in listed(data.get("edges", []), f"{place}: edges"):
        ends = listed(edge, f"{place}: edges")
        if len(ends) != 2:
            raise InputError(f"{place}: expected edges of two joints, got {shown(edge)}")
        edges.append(tuple(_joint_number(end, numbers, f"{place}: edges") for end in ends))
    return _told(place, names, tuple(edges))


def _joint_number(name: object, numbers: Mapping[str, int], place: str) -> int:
    if not isinstance(name, str) or name not in numbers:
        raise InputError(
            f"{place}: expected a joint of the skeleton ({', '.join(numbers)}), got the unknown "
            f"joint {shown(name)}; correct its name"
        )
    return numbers[name]


def _short_marks(value: object, skeleton: Skeleton, name: str) -> list[KeypointMark]:
    marks, places = [], []
    for i, item in enumerate(listed(value, f"'{name}': marks")):
        place = f"'{name}': marks[{i}]"
        mark = _short_mark(mapped(item, place), skeleton, place)
        marks.append(mark)
        places.append((mark.id, mark.frame, place))
    _check_unique(places)
    return marks


def _short_mark(item: dict[str, Any], skeleton: Skeleton, place: str) -> KeypointMark:
    number = whole(entry(item, "id", place), f"{place}.id")
    frame = whole(entry(item, "frame", place), f"{place}.frame")
    given = mapped(entry(item, "joints", place), f"{place}.joints")
    if not given:
        raise InputError(f"{place}.joints: expected at least one joint, got none; mark one")
    numbers = {name: i for i, name in enumerate(skeleton.names)}
    joints = np.full((len(numbers), 2), np.nan)
    lost = np.zeros(len(numbers), dtype=bool)
    for joint, xy in given.items():
        i = _joint_number(joint, numbers, f"{place}.joints")
        lost[i] = xy is None
        if xy is not None:
            joints[i] = xy_pair(xy, f"{place}.joints.{joint}")
    return KeypointMark(number, frame, joints, lost)


def _check_unique(marks: Iterable[tuple[int, int, str]]) -> None:
    """Raises InputError if two of (id, frame, place) have one id and frame."""
    seen: dict[tuple[int, int], str] = {}
    for number, frame, place in marks:
        if (number, frame) in seen:
            raise InputError(
                f"{place}: id {number} on frame {frame} is there already, in "
                f"{seen[number, frame].rpartition(': ')[2]}; keep one of the two"
            )
        seen[number, frame] = place
