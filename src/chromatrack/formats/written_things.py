"""What writers of formats share: frame numbers, ids that are unique over all kinds, categories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.structures import Color, Kind

Thing = tuple[Kind, int]
"""Kind and id of something tracked."""

UNNAMED: dict[Kind, str] = {
    "object": "object",
    "box": "box",
    "point": "point",
    "keypoints": "skeleton",
}
"""The category or label of things without a name, which readers take for none."""


@dataclass(frozen=True)
class BoxTrack:
    """A box on every frame: one that was tracked, or the one around an object's mask.

    number: its id in the file. values: (N, 4) left, top, width, height px. visible: (N,) bool.
    confidence: (N,) in [0, 1], NaN where nothing is known.
    """

    kind: Kind
    id: int
    number: int
    values: np.ndarray
    visible: np.ndarray
    confidence: np.ndarray


def box_tracks(
    tracked: TrackedVideo, name: str, *, kinds: Sequence[Kind] = ("object", "box"), least: int = 0
) -> tuple[list[BoxTrack], list[str]]:
    """All boxes of a video, and notes on what was made of masks and ids.

    Args:
        name: of the format, for the notes.
        kinds: of objects and boxes those that are wanted.
        least: smallest id that the format knows.
    """
    numbers, notes = unique_numbers(things_of(tracked, kinds), name, least=least)
    found = []
    if "object" in kinds and tracked.objects:
        for number, values in tracked.boxes_of_masks().items():
            seen = np.asarray(np.isfinite(values).all(axis=1))
            confidence = tracked.objects[number].confidence
            key: Thing = ("object", number)
            found.append(BoxTrack("object", number, numbers[key], values, seen, confidence))
        notes.insert(0, f"{name}: masks are written as the boxes around them")
    for number in tracked.ids("box") if "box" in kinds else ():
        data = tracked.boxes[number]
        seen = np.asarray(data.visible & np.isfinite(data.values).all(axis=1))
        own = numbers["box", number]
        found.append(BoxTrack("box", number, own, data.values, seen, data.confidence))
    return found, notes


def things_of(tracked: TrackedVideo, kinds: Iterable[Kind]) -> list[Thing]:
    """Everything of some kinds, in their order, ids ascending."""
    return [(kind, number) for kind in kinds for number in tracked.ids(kind)]


def unique_numbers(
    things: Sequence[Thing], name: str, *, least: int = 0
) -> tuple[dict[Thing, int], list[str]]:
    """An id for each thing, its own where it is the first with it, and notes on the others.

    Args:
        name: of the format, for the notes.
        least: smallest id that the format knows.
    """
    taken: dict[int, Thing] = {}
    for thing in things:
        if thing[1] >= least:
            taken.setdefault(thing[1], thing)
    numbers = {thing: number for number, thing in taken.items()}
    free = max(taken, default=least - 1) + 1
    notes = []
    for kind, number in things:
        if (kind, number) not in numbers:
            numbers[kind, number] = free
            notes.append(f"{name}: {kind} {number} has the id {free} there")
            free += 1
    return numbers, notes


def picture_file(tracked: TrackedVideo, frame: int, options: ExportOptions) -> str:
    """What a frame's picture is called: as in the folder that was tracked, else `00012.jpg`.

    Numbers that the user chose to count from are the names then.
    """
    if options.start_number is None and tracked.pictures:
        return tracked.pictures[frame]
    return f"{frame + frame_shift(tracked, options):05d}.jpg"


def frame_shift(tracked: TrackedVideo, options: ExportOptions, *, first: int = 0) -> int:
    """What is added to a frame's number in the video; first: how the format counts frame 0."""
    if options.start_number is None:
        return first
    if options.start_number < first:
        raise InputError(
            f"start-number: expected {first} or more, as this format counts from {first}, got "
            f"{options.start_number}"
        )
    return options.start_number - int(tracked.frames[0])


def category_of(tracked: TrackedVideo, thing: Thing) -> str:
    """The category or label of a thing; without one its name, else what its kind is called."""
    return tracked.categories.get(thing) or tracked.names.get(thing) or UNNAMED[thing[0]]


def own_name(tracked: TrackedVideo, thing: Thing) -> str:
    """The name of a thing, where its `category_of` does not say it already; else ""."""
    name = tracked.names.get(thing, "")
    return "" if name == category_of(tracked, thing) else name


def category_colors(tracked: TrackedVideo, things: Iterable[Thing]) -> dict[str, Color]:
    """{category: colour} of those with one: that of its first thing that was given one."""
    found: dict[str, Color] = {}
    for thing in things:
        if color := tracked.colors.get(thing):
            found.setdefault(category_of(tracked, thing), color)
    return found


def category_ids(tracked: TrackedVideo, things: Iterable[Thing]) -> dict[str, int]:
    """{category: id from 1} of some things, in their order."""
    names = dict.fromkeys(category_of(tracked, thing) for thing in things)
    return {name: number for number, name in enumerate(names, start=1)}
