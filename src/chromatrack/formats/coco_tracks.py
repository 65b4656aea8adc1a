"""Which annotations of a COCO file are marks, and which of them are of one instance."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence

from chromatrack.errors import InputError
from chromatrack.formats.json_fields import JsonValue
from chromatrack.formats.marked_source import MarkedSource


def has_joints(item: JsonValue) -> bool:
    """Whether an annotation has keypoints; tools write an empty list where a thing is not seen."""
    return item.get("keypoints") is not None and item["keypoints"].value != []


def has_marked_joints(item: JsonValue) -> bool:
    """Whether any joint of an annotation is marked, as far as it can be read."""
    values, count = item["keypoints"].value, item.value.get("num_keypoints")
    return count != 0 and not (isinstance(values, list) and not any(values[2::3]))


def instance_ids(annotations: Sequence[JsonValue], source: MarkedSource | None) -> list[int]:
    """The instance of each annotation: its track, else its id, or a free one if a track has that.

    Raises:
        InputError: a track of two categories.
    """
    tracks: dict[int, JsonValue] = {}
    for item in annotations:
        if (track := _track_id(item)) is not None:
            first = tracks.setdefault(track, item)
            if first["category_id"].value != item["category_id"].value:
                raise InputError(
                    f"{item.place}: track {track} is of another category in {first.path}; number "
                    "the tracks of both apart"
                )
    given = [item["id"].whole() for item in annotations if _track_id(item) is None]
    free = itertools.count(max([*given, *tracks], default=0) + 1)
    ids = []
    for item in annotations:
        track = _track_id(item)
        number = item["id"].whole() if track is None else track
        if track is None and number in tracks:
            number = next(free)
            tell = warnings.warn if source is None else source.say
            tell(f"{item.place}: has no track, and its id is a track's; it is instance {number}")
        ids.append(number)
    return ids


def _track_id(item: JsonValue) -> int | None:
    given = item.get("track_id", "instance_id")
    if given is None and isinstance(item.value.get("attributes"), dict):
        given = item["attributes"].get("track_id", "instance_id")
    return None if given is None else given.whole()
