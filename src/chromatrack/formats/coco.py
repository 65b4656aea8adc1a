"""The COCO keypoint layout: categories, images and annotations as plain names and arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from chromatrack.errors import InputError, shown
from chromatrack.formats.json_fields import entry, last_number, listed, mapped, number, whole

HIDDEN, VISIBLE = 1, 2
"""COCO's v of a joint that is marked; 0 is not marked."""


@dataclass(frozen=True)
class CocoInstance:
    """One annotation: instance `id` on a frame; `place` begins errors about it.

    pts_seconds: NaN where the file does not say. xy: (J, 2) float64 px, NaN where v is 0.
    v: (J,) int, 0 not marked, 1 marked though hidden, 2 visible. confidence: (J,) float64 in
    [0, 1]; 1 for marked joints where the file has no scores.
    """

    place: str
    id: int
    frame: int
    pts_seconds: float
    xy: np.ndarray
    v: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class CocoFile:
    """Joint names, 0-based edges and instances in the order of the file."""

    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    instances: tuple[CocoInstance, ...]


def parse_coco(data: dict[str, Any], name: str) -> CocoFile:
    """Read a COCO keypoint file's JSON; annotations without keypoints are passed over.

    Frame: an image's `frame_index` or `frame_id`, else the last number in its file name, else its
    id. Instance: an annotation's `track_id` or `instance_id`, else its id.

    Args:
        data: the JSON object.
        name: the file's name, for errors.

    Raises:
        InputError: not COCO keypoints, annotations of two different skeletons, an unknown image or
            category, a wrong number of values, or one that is not a finite number.
    """
    categories = _by_id(data, "categories", name)
    images = _by_id(data, "images", name)
    given = listed(entry(data, "annotations", f"'{name}'"), f"'{name}': annotations")
    places = [f"'{name}': annotations[{i}]" for i in range(len(given))]
    annotations = [
        (place, annotation)
        for place, annotation in zip(places, given, strict=True)
        if "keypoints" in mapped(annotation, place)
    ]
    names, edges = _skeleton(categories, annotations, name)
    times = {key: _frame_and_time(key, image, name) for key, image in images.items()}
    instances = tuple(_instance(a, place, times, len(names)) for place, a in annotations)
    return CocoFile(names, edges, instances)


def _by_id(data: dict[str, Any], key: str, name: str) -> dict[int, dict[str, Any]]:
    """The objects listed under `key`, by their id."""
    found = {}
    for i, item in enumerate(listed(entry(data, key, f"'{name}'"), f"'{name}': {key}")):
        place = f"'{name}': {key}[{i}]"
        found[whole(entry(mapped(item, place), "id", place), f"{place}.id")] = item
    return found


def _skeleton(
    categories: dict[int, dict[str, Any]], annotations: list[tuple[str, Any]], name: str
) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """Names and edges of the one category with keypoints that is used, or else of the first."""
    known = {key: value for key, value in categories.items() if "keypoints" in value}
    if not known:
        raise InputError(
            f"'{name}': expected a category with keypoints, got none; add the joints' names"
        )
    used = {}
    for place, annotation in annotations:
        key = whole(entry(annotation, "category_id", place), f"{place}.category_id")
        if key not in known:
            raise InputError(
                f"{place}: category {key} has no keypoints, only {shown(sorted(known))} do; "
                "correct category_id"
            )
        used[key] = True
    skeletons = {key: _names_and_edges(known[key], name) for key in used or [next(iter(known))]}
    if len(set(skeletons.values())) > 1:
        raise InputError(
            f"'{name}': expected one skeleton for all, got categories {shown(sorted(used))} with "
            "different joints; split the file"
        )
    return next(iter(skeletons.values()))


def _names_and_edges(
    category: dict[str, Any], name: str
) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """Joint names of a category and its edges, from 1-based to 0-based."""
    place = f"'{name}': category {category['id']}"
    names = tuple(listed(category["keypoints"], f"{place}.keypoints"))
    edges = []
    for edge in listed(category.get("skeleton", []), f"{place}.skeleton"):
        ends = [whole(end, f"{place}.skeleton") for end in listed(edge, f"{place}.skeleton")]
        if len(ends) != 2 or not all(1 <= end <= len(names) for end in ends):
            raise InputError(
                f"{place}.skeleton: expected pairs of joints 1 to {len(names)}, got an edge to "
                f"an unknown joint, {shown(edge)}; correct it"
            )
        edges.append((ends[0] - 1, ends[1] - 1))
    return tuple(name if isinstance(name, str) else shown(name) for name in names), tuple(edges)


def _frame_and_time(key: int, image: dict[str, Any], name: str) -> tuple[int, float]:
    """(frame number, seconds or NaN) of an image."""
    place = f"'{name}': image {key}"
    seconds = image.get("pts_seconds")
    time = math.nan if seconds is None else number(seconds, f"{place}.pts_seconds")
    for field in ("frame_index", "frame_id"):
        if image.get(field) is not None:
            return whole(image[field], f"{place}.{field}"), time
    in_name = last_number(str(image.get("file_name", "")))
    return key if in_name is None else in_name, time


def _instance(
    annotation: dict[str, Any], place: str, times: dict[int, tuple[int, float]], joints: int
) -> CocoInstance:
    image = whole(entry(annotation, "image_id", place), f"{place}.image_id")
    if image not in times:
        raise InputError(f"{place}: image {image} is not among the images; correct image_id")
    frame, seconds = times[image]
    fields = ("track_id", "instance_id", "id")
    field = next((f for f in fields if annotation.get(f) is not None), "id")
    instance = whole(entry(annotation, field, place), f"{place}.{field}")
    table = _numbers(annotation["keypoints"], 3 * joints, f"{place}.keypoints").reshape(joints, 3)
    v = table[:, 2]
    if not np.isin(v, (0, HIDDEN, VISIBLE)).all():
        raise InputError(
            f"{place}.keypoints: expected 0, 1 or 2 after each x, y, got {shown(v.tolist())}; "
            "correct it"
        )
    xy = np.where(v[:, None] > 0, table[:, :2], np.nan)
    confidence = _confidence(annotation, v, place)
    return CocoInstance(place, instance, frame, seconds, xy, v.astype(int), confidence)


def _confidence(annotation: dict[str, Any], v: np.ndarray, place: str) -> np.ndarray:
    """(J,) confidence: per joint if the file has it, else the instance's score where marked."""
    if annotation.get("keypoint_scores") is not None:
        return _numbers(annotation["keypoint_scores"], len(v), f"{place}.keypoint_scores")
    score = annotation.get("score")
    whole_score = 1.0 if score is None else number(score, f"{place}.score")
    return np.where(v > 0, whole_score, 0.0)


def _numbers(values: object, count: int, place: str) -> np.ndarray:
    """(count,) float64 of a list of that many finite numbers."""
    given = listed(values, place)
    if len(given) != count:
        raise InputError(f"{place}: expected {count} numbers, got {len(given)}; correct it")
    return np.array([number(value, place) for value in given], dtype=np.float64)
