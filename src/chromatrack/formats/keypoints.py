"""Keypoints: skeletons of named joints, as COCO keypoint JSON and as a short JSON by hand.

The short form names joints instead of counting them:
`{"skeleton": {"names": ["hip", "knee"], "edges": [["hip", "knee"]]},
"marks": [{"id": 1, "frame": 0, "joints": {"hip": [31.5, 40], "knee": null}}]}`;
null declares a joint lost, one left out is not marked on that frame. A mark may have a `name` and a
`color`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np

from chromatrack.atomic import WholeFile
from chromatrack.errors import InputError, shown
from chromatrack.formats.coco_images import CocoImage, images_on, read_images
from chromatrack.formats.coco_tracks import (
    category_colors,
    draw_category,
    has_joints,
    has_marked_joints,
    instance_ids,
)
from chromatrack.formats.csv_tables import Looks, TrackData
from chromatrack.formats.json_fields import JsonValue, load_json_object
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.masks import frame_file
from chromatrack.structures import KeypointMark, Skeleton, TrackedKeypoints

OUR_CATEGORY = "skeleton"
"""Name of the category that we write."""

_HIDDEN, _VISIBLE = 1, 2
"""COCO's v of a joint that is marked; 0 is not marked."""


def read_keypoints(
    path: str | PathLike[str],
    *,
    skeleton: Skeleton | None = None,
    source: MarkedSource | None = None,
) -> tuple[Skeleton, list[KeypointMark]]:
    """Read marked joints, from COCO keypoint JSON or from the short form above.

    COCO: `keypoints` are x, y, v per joint, where v = 0 is not marked, 1 is marked though hidden
    and 2 is visible; an annotation with no marked joint is passed over, as one without `keypoints`
    or with `num_keypoints` 0 is. The frame is the image's `frame_index` or `frame_id`, else the
    last number in its file name, else its id; the instance is the annotation's `track_id` or
    `instance_id`, its own or among its `attributes` (CVAT), else its id.

    Args:
        skeleton: where the file has no names or edges of its own.
        source: the video they are for: says what a picture's name means and which video of several
            it is; joints on a picture of another size are brought to its size, and it keeps what
            the instances are called.

    Returns:
        The skeleton, and the marks in the order of the file.

    Raises:
        InputError: no such file, not JSON, neither form, no marks, an unknown joint, an edge to
            one, a wrong number of values, a position that is not finite, or two marks for one id
            and frame; with a source, an image that is no frame of it.
    """
    data = JsonValue(load_json_object(path, what="keypoints"), str(path))
    if "annotations" in data:
        skeleton, instances = _read_coco(data, skeleton, source=source, marked=True)
        marked = [i for i in instances if (i.v > 0).any()]
        _check_unique((i.id, i.frame, i.given) for i in marked)
        marks = [KeypointMark(i.id, i.frame, i.xy, np.zeros(len(i.v), dtype=bool)) for i in marked]
    else:
        if skeleton is None or "skeleton" in data:
            skeleton = _short_skeleton(data["skeleton"])
        items = data["marks"].items()
        marks = [_short_mark(item, skeleton, source) for item in items]
        _check_unique((m.id, m.frame, item) for m, item in zip(marks, items, strict=True))
    if not marks:
        raise InputError(f"{data.place}: expected at least one marked joint, got none; mark some")
    return skeleton, marks


def read_skeleton(path: str | PathLike[str]) -> Skeleton:
    """Read a skeleton: `{"names": [...], "edges": [["hip", "knee"], ...]}`, or from a marks file.

    Raises:
        InputError: no such file, not JSON, no names, or an edge to an unknown joint.
    """
    data = load_json_object(path, what="a skeleton")
    if "categories" in data:
        return _read_coco(JsonValue({"images": [], **data, "annotations": []}, str(path)))[0]
    return _short_skeleton(JsonValue(data.get("skeleton", data), str(path)))


def read_keypoint_tracks(path: str | PathLike[str]) -> tuple[Skeleton, dict[int, TrackData]]:
    """Read a keypoints.json: the skeleton, and {instance id: its track}, ids ascending.

    A track's values are (N, J, 2) float64 xy px, NaN where v = 0. A file without annotations is a
    run that tracked nothing: {}.

    Raises:
        InputError: as `read_keypoints`, but no marks are no error.
    """
    data = JsonValue(load_json_object(path, what="COCO keypoints"), str(path))
    skeleton, instances = _read_coco(data)
    _check_unique((i.id, i.frame, i.given) for i in instances)
    found: dict[int, list[_Instance]] = {}
    for instance in sorted(instances, key=lambda i: (i.id, i.frame)):
        found.setdefault(instance.id, []).append(instance)
    return skeleton, {key: _track(rows) for key, rows in found.items()}


class KeypointWriter(WholeFile):
    """Writes COCO keypoint JSON frame by frame; see `WholeFile` for how it ends.

    An image has `frame_index` and `pts_seconds`; an annotation `track_id`, `name` where there is
    one, `keypoints` (v = 2 visible, 1 a best guess, 0 never marked), `num_keypoints`,
    `keypoint_scores` (confidence per joint) and `score` (the mean of those that are known).
    """

    def __init__(
        self,
        path: str | PathLike[str],
        skeleton: Skeleton,
        looks: Looks | None = None,
        *,
        ids: Iterable[int] = (),
        size: tuple[int, int] | None = None,
    ) -> None:
        """Open the file and write the skeleton. Raises OutputError if it cannot be.

        looks: what instances are called and what they are, by id, where that was said. ids: all
        there may be, whose categories are written; none: ours comes first. size: (height, width)
        of the pictures; with it the file says it, and annotations have the `bbox` and `area` of the
        box around their joints, as other readers of COCO ask for.
        """
        super().__init__(path)
        self._looks, self._size = looks or Looks({}, {}, {}), size
        self._joints = len(skeleton.names)
        self._images: list[str] = []
        self._annotations = 0
        said = self._looks.categories
        wanted = [said.get(n, OUR_CATEGORY) for n in ids] or [OUR_CATEGORY, *said.values()]
        self._categories = list(dict.fromkeys(wanted))
        categories = [
            {"id": n, "name": name, **_coco_joint_names(skeleton)}
            for n, name in enumerate(self._categories, start=1)
        ]
        self.text(f'{{"categories": {_json(categories)},\n"annotations": [')

    def write(
        self,
        index: int,
        pts_seconds: float,
        keypoints: Mapping[int, TrackedKeypoints],
        *,
        picture: str | None = None,
    ) -> None:
        """Add one frame, instances ascending, to a thousandth px. picture: its file's name, if any.

        Raises:
            InputError: another number of joints than the skeleton has.
            OutputError: the file cannot be written.
        """
        image = {"id": index, "file_name": picture or frame_file(index), "frame_index": index}
        if self._size is not None:
            image |= {"height": self._size[0], "width": self._size[1]}
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
            head = {"id": self._annotations, "image_id": index}
            category = self._looks.categories.get(number, OUR_CATEGORY)
            head["category_id"] = self._categories.index(category) + 1
            named = {"name": self._looks.names[number]} if number in self._looks.names else {}
            row = {**head, "track_id": number, **named, **_coco_joints(instance)}
            if self._size is not None:
                row |= _coco_box(instance.joints)
            self.text(start + _json(row))

    def close(self) -> None:
        """Add the images and finish the file; nothing happens the second time."""
        if not self.closed:
            images = ",\n".join(self._images)
            self.text(f'],\n"images": [\n{images}]}}\n')
        super().close()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _coco_joint_names(skeleton: Skeleton) -> dict[str, Any]:
    """What a category says of its joints."""
    edges = [[a + 1, b + 1] for a, b in skeleton.edges]
    return {"keypoints": list(skeleton.names), "skeleton": edges}


def _coco_joints(instance: TrackedKeypoints) -> dict[str, Any]:
    """What an annotation says of its joints."""
    known = np.asarray(np.isfinite(instance.joints).all(axis=1))
    v = np.where(known, np.where(instance.visible, _VISIBLE, _HIDDEN), 0)
    xy = np.round(np.where(known[:, None], instance.joints, 0.0), 3)
    keypoints: list[float] = []
    for (x, y), flag in zip(xy.tolist(), v.tolist(), strict=True):
        keypoints += [x, y, flag]
    scores = np.round(np.asarray(instance.confidence, dtype=np.float64), 4)
    return {
        "keypoints": keypoints,
        "num_keypoints": int(known.sum()),
        "score": round(float(scores[known].mean()), 4) if known.any() else 0.0,
        "keypoint_scores": scores.tolist(),
    }


def _coco_box(joints: np.ndarray) -> dict[str, Any]:
    """What an annotation says of the box around its (J, 2) joints."""
    known = joints[np.isfinite(joints).all(axis=1)]
    low, high = (known.min(axis=0), known.max(axis=0)) if len(known) else (np.zeros(2), np.zeros(2))
    width, height = np.round(high - low, 3).tolist()
    box = [*np.round(low, 3).tolist(), width, height]
    return {"bbox": box, "area": round(width * height, 3), "iscrowd": 0}


# -- reading COCO ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Instance:
    """One annotation: instance `id` on a frame, as given in a file.

    pts_seconds: NaN where the file does not say. xy: (J, 2) float64 px, NaN where v is 0.
    v: (J,) int, 0 not marked, 1 marked though hidden, 2 visible. confidence: (J,) float64 in
    [0, 1]; 1 for marked joints where the file has no scores.
    """

    given: JsonValue
    id: int
    frame: int
    pts_seconds: float
    xy: np.ndarray
    v: np.ndarray
    confidence: np.ndarray


def _read_coco(
    data: JsonValue,
    default: Skeleton | None = None,
    *,
    source: MarkedSource | None = None,
    marked: bool = False,
) -> tuple[Skeleton, list[_Instance]]:
    """The skeleton and instances in the order of the file.

    Args:
        default: for nameless categories.
        source: the video they are for.
        marked: pass over all annotations without a marked joint, not only those without joints.

    Raises:
        InputError: not COCO keypoints, annotations of two different skeletons, an unknown image or
            category, a wrong number of values, or one that is not a finite number.
    """
    names = {} if default is None else _coco_joint_names(default)
    categories = {
        category["id"].whole(): replace(category, value={**names, **category.value})
        for category in data["categories"].items()
    }
    annotations = [item for item in data["annotations"].items() if has_joints(item)]
    if marked:
        annotations = [item for item in annotations if has_marked_joints(item)]
    used = {item["image_id"].whole() for item in annotations}
    images = read_images(data) if source is None else images_on(data, source, used)
    for item in annotations:
        if (image := item["image_id"].value) not in images:
            raise InputError(
                f"{item.place}: image {image} is not among the images; correct image_id"
            )
    annotations = [item for item in annotations if images[item["image_id"].value]]
    skeleton = _used_skeleton(data, categories, annotations)
    frames = [image.frame for item in annotations if (image := images[item["image_id"].value])]
    ids = instance_ids(annotations, source if marked else None, frames=frames if marked else ())
    if source is not None:
        colors = category_colors(data)
        for item, number in zip(annotations, ids, strict=True):
            said = str(categories[item["category_id"].whole()].value.get("name") or "")
            said, name = "" if said == OUR_CATEGORY else said, str(item.value.get("name") or "")
            source.label("keypoints", number, said, name=name)
            draw_category(item, colors, "keypoints", number, source)
    joints = len(skeleton.names)
    return skeleton, [
        _instance(item, number, images[item["image_id"].whole()], joints)
        for item, number in zip(annotations, ids, strict=True)
    ]


def _used_skeleton(
    data: JsonValue, categories: Mapping[int, JsonValue], annotations: Sequence[JsonValue]
) -> Skeleton:
    """That of the one category with keypoints that is used, or else of the first."""
    known = {key: category for key, category in categories.items() if "keypoints" in category}
    if not known:
        raise InputError(
            f"{data.place}: expected a category with keypoints, got none; add the joints' names"
        )
    used = {}
    for annotation in annotations:
        key = annotation["category_id"].whole()
        if key not in known:
            raise InputError(
                f"{annotation.place}: category {key} has no keypoints, only {shown(sorted(known))} "
                "do; correct category_id"
            )
        used[key] = known[key]
    skeletons = {_category_skeleton(used[key]) for key in used} or {
        _category_skeleton(next(iter(known.values())))
    }
    if len(skeletons) > 1:
        raise InputError(
            f"{data.place}: expected one skeleton for all, got categories {shown(sorted(used))} "
            "with different joints; split the file"
        )
    return skeletons.pop()


def _category_skeleton(category: JsonValue) -> Skeleton:
    """Joint names of a category and its edges, from 1-based to 0-based."""
    names = [item.value for item in category["keypoints"].items()]
    edges = []
    for edge in category["skeleton"].items() if "skeleton" in category else ():
        ends = [end.whole() for end in edge.items()]
        if len(ends) != 2 or not all(1 <= end <= len(names) for end in ends):
            raise InputError(
                f"{edge.place}: expected a pair of joints 1 to {len(names)}, got an edge to an "
                f"unknown joint, {shown(edge.value)}; correct it"
            )
        edges.append((ends[0] - 1, ends[1] - 1))
    texts = tuple(name if isinstance(name, str) else shown(name) for name in names)
    return _skeleton(category, texts, tuple(edges))


def _instance(item: JsonValue, number: int, image: CocoImage | None, joints: int) -> _Instance:
    assert image is not None
    table = item["keypoints"].numbers(3 * joints).reshape(joints, 3)
    v = table[:, 2]
    if not np.isin(v, (0, _HIDDEN, _VISIBLE)).all():
        raise InputError(
            f"{item.place}.keypoints: expected 0, 1 or 2 after each x, y, got {shown(v.tolist())}; "
            "correct it"
        )
    xy = np.where(v[:, None] > 0, table[:, :2] * image.scale, np.nan)
    if scores := item.get("keypoint_scores"):
        confidence = scores.numbers(joints)
    else:
        score = item.get("score")
        confidence = np.where(v > 0, score.number() if score else 1.0, 0.0)
    flags = v.astype(int)
    return _Instance(item, number, image.frame, image.pts_seconds, xy, flags, confidence)


def _track(rows: list[_Instance]) -> TrackData:
    return TrackData(
        frames=np.array([row.frame for row in rows], dtype=np.int64),
        pts_seconds=np.array([row.pts_seconds for row in rows]),
        values=np.stack([row.xy for row in rows]),
        visible=np.stack([row.v == _VISIBLE for row in rows]),
        confidence=np.stack([row.confidence for row in rows]),
    )


# -- reading the short form ------------------------------------------------------------------


def _skeleton(
    given: JsonValue, names: tuple[str, ...], edges: tuple[tuple[int, int], ...]
) -> Skeleton:
    """The skeleton; errors begin with the place it was read from."""
    try:
        return Skeleton(names, edges)
    except InputError as error:
        raise InputError(f"{given.place}: {error}") from error


def _short_skeleton(data: JsonValue) -> Skeleton:
    names = tuple(item.value for item in data["names"].items())
    numbers = {name: i for i, name in enumerate(names) if isinstance(name, str)}
    edges = []
    for edge in data["edges"].items() if "edges" in data else ():
        ends = edge.items()
        if len(ends) != 2:
            raise InputError(
                f"{edge.place}: expected edges of two joints, got {shown(edge.value)}; correct it"
            )
        edges.append(tuple(_joint_number(end.value, numbers, end.place) for end in ends))
    return _skeleton(data, names, tuple(edges))


def _joint_number(name: object, numbers: Mapping[str, int], place: str) -> int:
    if not isinstance(name, str) or name not in numbers:
        raise InputError(
            f"{place}: expected a joint of the skeleton ({', '.join(numbers)}), got the unknown "
            f"joint {shown(name)}; correct its name"
        )
    return numbers[name]


def _short_mark(item: JsonValue, skeleton: Skeleton, source: MarkedSource | None) -> KeypointMark:
    number, frame, given = item["id"].whole(), item["frame"].whole(), item["joints"]
    if source is not None:
        frame = source.frame(frame, item["frame"].place)
    if source is not None:
        name, category = (str(item.value.get(key) or "") for key in ("name", "category"))
        source.label("keypoints", number, category, name=name)
    if source is not None and (color := item.get("color")):
        source.draw("keypoints", number, color.value, color.place)
    if not given.fields():
        raise InputError(f"{given.place}: expected at least one joint, got none; mark one")
    numbers = {name: i for i, name in enumerate(skeleton.names)}
    joints = np.full((len(numbers), 2), np.nan)
    lost = np.zeros(len(numbers), dtype=bool)
    for joint, xy in given.fields().items():
        i = _joint_number(joint, numbers, given.place)
        lost[i] = xy is None
        if xy is not None:
            joints[i] = given[joint].xy()
    return KeypointMark(number, frame, joints, lost)


def _check_unique(marks: Iterable[tuple[int, int, JsonValue]]) -> None:
    """Raises InputError if two of (id, frame, as given) have one id and frame."""
    seen: dict[tuple[int, int], str] = {}
    for number, frame, given in marks:
        if (number, frame) in seen:
            raise InputError(
                f"{given.place}: id {number} on frame {frame} is there already, in "
                f"{seen[number, frame]}; keep one of the two"
            )
        seen[number, frame] = given.path
