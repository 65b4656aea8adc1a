"""Which labelled shapes on pictures are of one thing, and which id each thing gets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from chromatrack.errors import InputError
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.picture_names import listed
from chromatrack.structures import Kind

_NUMBER = re.compile("[0-9]{1,18}")

_PLURALS: dict[Kind, str] = {
    "object": "objects",
    "box": "boxes",
    "point": "points",
    "keypoints": "keypoints",
}

Labelled = tuple[str, str, str | None, int | None]
"""Place of the picture, as errors begin; label; group, if any; id that the file states, if any."""


class LabelThing(NamedTuple):
    """Shapes with all alike are of one thing.

    number: counts shapes of one label without a group on one picture, which are things of their
    own. track: the id that the file states, which is all that counts then.
    """

    label: str
    group: str | None = None
    number: int = 0
    track: int | None = None


def label_things(
    given: Sequence[Labelled], *, how: str = "give each thing one group_id on all pictures"
) -> list[LabelThing]:
    """The thing that each shape is of.

    how: what to do where that cannot be told.

    Raises:
        InputError: it cannot be told: several shapes of a label without a group on one picture, and
            more on another.
    """
    alone = Counter(
        (label, place)
        for place, label, group, track in given
        if group is None and track is None and not _NUMBER.fullmatch(label)
    )
    for (label, place), count in alone.items():
        if count > 1 and (other := next((p for n, p in alone if n == label and p != place), None)):
            raise InputError(
                f"{place}: {count} shapes labelled {label} without a group, and more in {other}: "
                f"which is which cannot be told; {how}"
            )
    seen, things = Counter[tuple[str, str]](), []
    for place, label, group, track in given:
        if track is not None:
            things.append(LabelThing("", track=track))
            continue
        number = 0
        if group is None and alone[label, place] > 1:
            seen[label, place] += 1
            number = seen[label, place]
        things.append(LabelThing(label, group, number))
    return things


def thing_ids(things: Iterable[LabelThing]) -> dict[LabelThing, int]:
    """{thing: id}: as stated; a number that labels one thing; others get the smallest free ones."""
    distinct = list(dict.fromkeys(things))
    groups = Counter(thing.label for thing in distinct)
    ids = {thing: thing.track for thing in distinct if thing.track is not None}
    for thing in distinct:
        if _NUMBER.fullmatch(thing.label) and groups[thing.label] == 1:
            ids[thing] = int(thing.label)
    taken = set(ids.values())
    free = (number for number in range(1, 2 * len(distinct) + 2) if number not in taken)
    return ids | {thing: next(free) for thing in distinct if thing not in ids}


def say_instances(ids: Mapping[LabelThing, int], source: MarkedSource, kind: Kind) -> None:
    """Tell which group or shape became which thing."""
    for thing, number in ids.items():
        if thing.group is not None:
            called = f"{thing.label}, " if thing.label else ""
            source.say(f"{kind} {number} is {called}group {thing.group}", warned=False)
        elif thing.number == 1:
            own = [ids[other] for other in ids if other[:2] == (thing.label, None)]
            source.say(
                f"{len(own)} shapes labelled {thing.label} without a group are {_PLURALS[kind]} "
                f"{listed([str(n) for n in own])}; give them one group_id if they are parts of one"
            )
