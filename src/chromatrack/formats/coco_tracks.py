"""Which annotations of a COCO file are marks, and which of them are of one instance."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence

from chromatrack.errors import InputError, shown
from chromatrack.formats.color_text import read_color
from chromatrack.formats.json_fields import JsonValue
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.written_things import UNNAMED
from chromatrack.structures import Color, Kind


def has_joints(item: JsonValue) -> bool:
    """Whether an annotation has keypoints; tools write an empty list where a thing is not seen."""
    return item.get("keypoints") is not None and item["keypoints"].value != []


def has_marked_joints(item: JsonValue) -> bool:
    """Whether any joint of an annotation is marked, as far as it can be read."""
    values, count = item["keypoints"].value, item.value.get("num_keypoints")
    return count != 0 and not (isinstance(values, list) and not any(values[2::3]))


MOST_OBJECT = 65535
"""Largest id of an object that a mask file can hold."""


def category_names(data: JsonValue) -> dict[object, object]:
    """{category id: name} of a file, as far as there are such."""
    given = data.get("categories")
    categories = [] if given is None else given.items()
    found = ((item["id"].value, item.fields().get("name")) for item in categories)
    return {number: name for number, name in found if isinstance(number, int | float | str)}


def category_colors(data: JsonValue) -> dict[int, Color]:
    """{category id: colour} of a file whose categories have one, as those of panoptic files.

    Raises:
        InputError: no colour.
    """
    given = data.get("categories")
    found = {}
    for category in given.items() if given is not None else ():
        color, number = category.get("color"), category.value.get("id")
        if color is not None and isinstance(number, int):
            found[number] = read_color(color.value, color.place)
    return found


def draw_category(
    item: JsonValue, colors: Mapping[int, Color], kind: Kind, number: int, source: MarkedSource
) -> None:
    """Keep an annotation's own colour, else that of its category for its first thing.

    colors: `category_colors`.
    """
    key = item.value.get("category_id")
    if (own := item.get("color")) is not None:
        color = read_color(own.value, own.place)
        source.draw_first(("category", key), kind, number, color)
        source.colors[kind, number] = color
        return
    if isinstance(key, int):
        source.draw_first(("category", key), kind, number, colors.get(key))


def label_category(
    item: JsonValue,
    categories: Mapping[object, object],
    kind: Kind,
    number: int,
    source: MarkedSource,
) -> None:
    """Keep an annotation's name, or else that of its category, and the category, if it says one.

    categories: `category_names`.
    """
    key = item.value.get("category_id")
    said = categories.get(key) if isinstance(key, int | str) else None
    if categories and isinstance(key, int | float | str) and key not in categories:
        source.say(f"{item.place}: category {shown(key)} is not among the categories; has none")
    category = "" if said in (None, UNNAMED[kind]) else str(said)
    source.label(kind, number, category, name=str(item.value.get("name") or ""))


def instance_ids(
    annotations: Sequence[JsonValue],
    source: MarkedSource | None,
    *,
    objects: bool = False,
    frames: Sequence[int] = (),
) -> list[int]:
    """The instance of each annotation: its track, else its id, or a free one if a track has that.

    Args:
        objects: they have to be ids that objects can have, 1 to `MOST_OBJECT`; others become free
            ones, as tracks do that are called by texts.
        frames: of each annotation; with them it is told where no track joins several.

    Raises:
        InputError: a track of two categories.
    """
    keys = [_track(item) for item in annotations]
    _check_categories(annotations, keys)
    least, most, noun = (1, MOST_OBJECT, "object") if objects else (0, None, "instance")
    known = {key if key is not None else item["id"].whole() for item, key in _pairs(annotations)}
    taken = {n for n in known if isinstance(n, int) and least <= n <= (most or n)}
    free = (n for n in _upwards(taken, least, most) if n not in taken)
    tell = warnings.warn if source is None else source.say
    tracks = {
        key: key if key in taken else next(free) for key in dict.fromkeys(keys) if key is not None
    }
    ids, renumbered = [], []
    for item, key in _pairs(annotations):
        number = tracks[key] if key is not None else item["id"].whole()
        if key is None and number in tracks.values():
            number = next(free)
            tell(f"{item.place}: has no track, and its id is a track's; it is {noun} {number}")
        elif key is None and number not in taken:
            number = next(free)
            renumbered.append(f"{item.place}: annotation {item['id'].value} is {noun} {number}")
        ids.append(number)
    renumbered += [f"track {key} is {noun} {n}" for key, n in tracks.items() if key != n]
    for text in renumbered[:1]:
        more = len(renumbered) - 1
        tell(f"{text}" + (f" ({more} more are renumbered, too)" if more else ""))
    if not tracks and len(ids) > 1 and len(set(frames)) > 1:
        tell(
            f"'{annotations[0].file}': {len(ids)} annotations on {len(set(frames))} frames without "
            f"track_id are {noun}s of their own; give those of one thing one track_id"
        )
    return ids


def _pairs(annotations: Sequence[JsonValue]) -> list[tuple[JsonValue, int | str | None]]:
    return [(item, _track(item)) for item in annotations]


def _upwards(taken: set[int], least: int, most: int | None) -> Iterator[int]:
    """Numbers behind the largest taken one, then those before it."""
    first = max(taken, default=0) + 1
    behind = itertools.count(first) if most is None else range(first, most + 1)
    return itertools.chain(behind, range(least, first))


def _check_categories(annotations: Sequence[JsonValue], keys: Sequence[int | str | None]) -> None:
    first: dict[int | str, JsonValue] = {}
    for item, key in zip(annotations, keys, strict=True):
        if key is None:
            continue
        other = first.setdefault(key, item)
        if other["category_id"].value != item["category_id"].value:
            raise InputError(
                f"{item.place}: track {key} is of another category in {other.path}; number the "
                "tracks of both apart"
            )


def _track(item: JsonValue) -> int | str | None:
    """The track an annotation says it is of: a number, or a text that is none."""
    given = item.get("track_id", "instance_id")
    if given is None and isinstance(item.value.get("attributes"), dict):
        given = item["attributes"].get("track_id", "instance_id")
    if given is None or (text := str(given.value).strip()) == "":
        return None
    if isinstance(given.value, str):
        return int(text) if re.fullmatch("[0-9]{1,9}", text) else text
    return given.whole()
