"""Reliability of all that was tracked on a frame, by kind, and as result.json has it.

The mask of an object, a box, a point and a skeleton's joint have one number each; a skeleton has
the mean of its joints, which is the share of them that is expected to be right. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chromatrack.structures import LabelName


def by_kind(
    objects: Mapping[int, float], places: Mapping[LabelName, float]
) -> dict[str, dict[int, float]]:
    """{"object": {id: reliability}, "box", "point" and "keypoints" likewise}, [0, 1].

    Args:
        objects: of masks, by id. places: of the rest, by name.
    """
    found: dict[str, dict[int, float]] = {"object": dict(objects)}
    for kind in ("box", "point"):
        found[kind] = {number: v for (k, number, _), v in places.items() if k == kind}
    joints = _joints(places)
    found["keypoints"] = {i: sum(known.values()) / len(known) for i, known in joints.items()}
    return found


def places_row(places: Mapping[LabelName, float]) -> dict[str, Any]:
    """Of all but masks, as JSON: by kind and id, "joint" a list per skeleton; null: not said.

    Kinds of which nothing is said are left out.
    """
    row: dict[str, Any] = {
        kind: {number: round(value, 5) for number, value in values.items()}
        for kind, values in by_kind({}, places).items()
        if values
    }
    joints = _joints(places)
    if joints:
        row["joint"] = {
            number: [_rounded(known.get(joint)) for joint in range(max(known) + 1)]
            for number, known in joints.items()
        }
    return row


def read_places_row(row: Mapping[str, Any]) -> dict[LabelName, float]:
    """What `places_row` wrote, by name; values rounded."""
    found: dict[LabelName, float] = {}
    for kind in ("box", "point"):
        found |= {(kind, int(i), 0): float(value) for i, value in row.get(kind, {}).items()}
    for i, values in row.get("joint", {}).items():
        known = {joint: value for joint, value in enumerate(values) if value is not None}
        found |= {("joint", int(i), joint): float(value) for joint, value in known.items()}
    return found


def _joints(places: Mapping[LabelName, float]) -> dict[int, dict[int, float]]:
    """skeleton -> {number of the joint: reliability}."""
    found: dict[int, dict[int, float]] = {}
    for (kind, number, joint), value in places.items():
        if kind == "joint":
            found.setdefault(number, {})[joint] = value
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
