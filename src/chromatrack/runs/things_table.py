"""One tidy table of a run: a row per frame and thing, of every kind, and what it sums up to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from chromatrack.atomic import WholeFile
from chromatrack.errors import InputError
from chromatrack.formats.csv_tables import Looks, table_rows
from chromatrack.structures import (
    Categories,
    Colors,
    Kind,
    Names,
    TrackedBox,
    TrackedKeypoints,
    TrackedPoint,
)

if TYPE_CHECKING:  # reading results needs no torch
    from chromatrack.propagation.layout import Layout
    from chromatrack.tracking.inference import TrackedFrame

COLUMNS = (
    "id", "kind", "frame", "pts_seconds", "present", "x", "y", "left", "top", "width", "height",
    "area", "reliability", "name", "category", "color",
)  # fmt: skip
"""Of things.csv; what stands behind the name is not in those of earlier versions.

x, y: centre, px; left .. height: what it covers, px; area: px.
"""

Thing = tuple[Kind, int]


@dataclass(frozen=True)
class Extent:
    """Where a thing is on a frame, px; None where its kind has no such thing.

    xy: its centre. box: left, top, width, height of what it covers. area: pixels.
    """

    xy: tuple[float, float]
    box: tuple[float, float, float, float] | None = None
    area: float | None = None


def things_of(layout: Layout) -> list[Thing]:
    """Everything that is tracked, as (kind, id), in the order of the table."""
    points = sorted({number for kind, number, _ in layout.points if kind == "point"})
    kinds: tuple[tuple[Kind, Iterable[int]], ...] = (
        ("object", layout.regions),
        ("box", layout.boxes),
        ("point", points),
        ("keypoints", sorted(layout.joints())),
    )
    return [(kind, number) for kind, numbers in kinds for number in numbers]


def extents(frame: TrackedFrame) -> dict[Thing, Extent]:
    """Where everything is that is seen on a frame; what is absent or hidden is left out."""
    found: dict[Thing, Extent] = {}
    for number, extent in mask_extents(frame.mask).items():
        if frame.present.get(number, True):
            found["object", number] = extent
    for number, box in frame.boxes.items():
        if (extent := _of_box(box)) is not None:
            found["box", number] = extent
    for number, point in frame.points.items():
        if (extent := _of_point(point)) is not None:
            found["point", number] = extent
    for number, pose in frame.keypoints.items():
        if (extent := _of_pose(pose)) is not None:
            found["keypoints", number] = extent
    return found


def mask_extents(mask: np.ndarray) -> dict[int, Extent]:
    """{id: its extent} of every object of a `(H, W)` mask; the centre is the mean of its pixels."""
    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        return {}
    held = mask[rows[0] : rows[-1] + 1]  # most of a frame is background
    columns = np.flatnonzero(held.any(0))
    held = held[:, columns[0] : columns[-1] + 1]
    areas, corner = np.bincount(held.ravel()), (int(columns[0]), int(rows[0]))
    return {
        int(number): _of_profiles(held == number, int(areas[number]), corner)
        for number in np.flatnonzero(areas)
        if number > 0
    }


def _of_profiles(inside: np.ndarray, area: int, corner: tuple[int, int]) -> Extent:
    """The extent of a bool mask of `area` pixels, cut out at a corner, by column and row."""
    (x, left, width), (y, top, height) = (
        _along(np.count_nonzero(inside, axis=axis), area, first)
        for axis, first in enumerate(corner)
    )
    return Extent((x, y), (left, top, width, height), area)


def _along(counts: np.ndarray, area: int, first: int) -> tuple[float, int, int]:
    """Mean, first place and length of what is counted along one axis from `first` on."""
    places = np.flatnonzero(counts)
    mean = float(((places + first) * counts[places]).sum()) / area
    return mean, int(places[0]) + first, int(places[-1] - places[0] + 1)


class ThingsWriter(WholeFile):
    """Writes things.csv frame by frame; see `WholeFile` for how it ends."""

    def __init__(
        self,
        path: str | PathLike[str],
        layout: Layout,
        names: Names,
        colors: Colors | None = None,
        categories: Categories | None = None,
    ) -> None:
        """Open the table. Raises OutputError if it cannot be."""
        super().__init__(path)
        self._things = things_of(layout)
        said = names, colors or {}, categories or {}
        self._looks = {kind: Looks.of(kind, *said) for kind in get_args(Kind)}
        self.text(",".join(COLUMNS) + "\n")

    def write(self, frame: TrackedFrame) -> None:
        """Add a row for everything tracked; cells that say nothing are empty."""
        found, reliability = extents(frame), frame.reliability_by_kind
        for kind, number in self._things:
            extent = found.get((kind, number))
            cells: list[float | None] = [None] * 7
            if extent is not None:
                cells = [*extent.xy, *(extent.box or [None] * 4), extent.area]
            trust = reliability.get(kind, {}).get(number)
            row = [
                str(number),
                kind,
                str(frame.index),
                f"{frame.pts_seconds:.6f}",
                str(int(extent is not None)),
                *map(_cell, cells),
                "" if trust is None else f"{_as_written(trust):.4f}",
                self._looks[kind].cells(number),
            ]
            self.text(",".join(row) + "\n")


@dataclass(frozen=True)
class ThingSummary:
    """What became of one thing over a run.

    seen: on how many of `frames` it was there. lost: stretches (first, last) of frames between two
    on which it was seen, or after the last. reliability: mean over the frames, [0, 1], None where
    nothing is said; lowest: the smallest one and its frame.
    """

    kind: Kind
    id: int
    name: str | None
    seen: int
    frames: int
    lost: tuple[tuple[int, int], ...]
    reliability: float | None
    lowest: tuple[float, int] | None

    def __str__(self) -> str:
        what = f"{self.kind} {self.id}" + (f" ({self.name})" if self.name else "")
        said = [f"{what}: seen on {self.seen} of {self.frames} frames"]
        if self.lost:
            shown = [f"{a}" if a == b else f"{a}-{b}" for a, b in self.lost]
            more = f" and {len(shown) - _MOST_SPANS} more times" if len(shown) > _MOST_SPANS else ""
            said.append(f"lost on {', '.join(shown[:_MOST_SPANS])}{more}")
        if self.reliability is not None and self.lowest is not None:
            value, frame = self.lowest
            said.append(f"reliability {self.reliability:.2f}, lowest {value:.2f} on frame {frame}")
        return "; ".join(said)


_MOST_SPANS = 4


@dataclass
class Tally:
    """Counts, frame by frame, what becomes of everything tracked.

    things: what is counted. Memory grows by a number for each time that a thing goes or comes.
    """

    things: list[Thing]
    names: Names
    frames: int = 0
    _seen: dict[Thing, int] = field(default_factory=dict)
    _gone: dict[Thing, int] = field(default_factory=dict)  # since which frame, if it was there
    _lost: dict[Thing, list[tuple[int, int]]] = field(default_factory=dict)
    _trust: dict[Thing, tuple[float, int, float, int]] = field(default_factory=dict)
    _last: int = 0

    @classmethod
    def of_table(cls, path: Path) -> Tally:
        """What a things.csv says of all frames in it.

        Raises:
            InputError: no such file, or not as a run writes it.
        """
        tally, last = cls([], {}), None
        names: dict[Thing, str] = {}
        for row in table_rows(path, COLUMNS[: COLUMNS.index("category")]):
            kind, index, trust = row.cells["kind"], row.whole("frame"), row.number("reliability")
            if kind not in get_args(Kind):
                kinds = ", ".join(get_args(Kind))
                raise InputError(f"{row.place}: expected kind {kinds}, got {kind!r}; track again")
            thing: Thing = kind, row.whole("id")  # type: ignore[assignment]
            if last is None:
                last = index
            if index != last:
                tally._pass(last)
                last = index
            if tally.frames == 0:
                tally.things.append(thing)
                names |= {thing: row.cells["name"]} if row.cells["name"] else {}
            tally._count(thing, index, seen=row.flag("present"), trust=trust)
        if last is not None:
            tally._pass(last)
        return replace(tally, names=names)

    def add(self, frame: TrackedFrame) -> None:
        """Take in the next frame."""
        reliability = frame.reliability_by_kind
        for thing in self.things:
            trust = reliability.get(thing[0], {}).get(thing[1])
            self._count(thing, frame.index, seen=is_seen(frame, thing), trust=trust)
        self._pass(frame.index)

    def _pass(self, index: int) -> None:
        """Frame `index` is counted."""
        self.frames, self._last = self.frames + 1, index

    def _count(self, thing: Thing, index: int, *, seen: bool, trust: float | None) -> None:
        self._add_presence(thing, index, seen)
        if trust is not None:
            trust = _as_written(trust)
            total, count, low, where = self._trust.get(thing, (0.0, 0, math.inf, 0))
            low, where = min((low, where), (trust, index), key=lambda pair: pair[0])
            self._trust[thing] = total + trust, count + 1, low, where

    def _add_presence(self, thing: Thing, index: int, seen: bool) -> None:
        if not seen:
            if thing in self._seen:
                self._gone.setdefault(thing, index)
            return
        self._seen[thing] = self._seen.get(thing, 0) + 1
        if thing in self._gone:
            self._lost.setdefault(thing, []).append((self._gone.pop(thing), index - 1))

    def summaries(self) -> list[ThingSummary]:
        """What became of each thing so far."""
        return [self._summary(thing) for thing in self.things]

    def _summary(self, thing: Thing) -> ThingSummary:
        lost = list(self._lost.get(thing, ()))
        if thing in self._gone:
            lost.append((self._gone[thing], self._last))
        total, count, low, where = self._trust.get(thing, (0.0, 0, math.inf, 0))
        return ThingSummary(
            *thing,
            self.names.get(thing),
            self._seen.get(thing, 0),
            self.frames,
            tuple(lost),
            total / count if count else None,
            (low, where) if count else None,
        )


def is_seen(frame: TrackedFrame, thing: Thing) -> bool:
    """Whether a thing is there on a frame: a mask, or something visible."""
    kind, number = thing
    if kind == "object":
        return frame.areas.get(number, 0) > 0 and frame.present.get(number, True)
    if kind == "keypoints":
        pose = frame.keypoints.get(number)
        return pose is not None and bool(pose.visible.any())
    of_kind: Mapping[int, TrackedPoint | TrackedBox] = (
        frame.points if kind == "point" else frame.boxes
    )
    return number in of_kind and of_kind[number].visible


# -- parts -----------------------------------------------------------------------------------

_DIGITS = 3
"""Of places in the other tables: a correction, which has no more, must find the same here."""


def _as_written(trust: float) -> float:
    """A reliability as the table has it, whether it comes from result.json or before that."""
    return round(round(trust, 5), 4)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")


def _of_box(box: TrackedBox) -> Extent | None:
    given = (box.x, box.y, box.width, box.height)
    if not (box.visible and all(map(math.isfinite, given))):
        return None
    x, y, width, height = (round(value, _DIGITS) for value in given)
    return Extent(
        (x + (width - 1) / 2, y + (height - 1) / 2), (x, y, width, height), width * height
    )


def _of_point(point: TrackedPoint) -> Extent | None:
    known = point.visible and math.isfinite(point.x) and math.isfinite(point.y)
    return Extent((point.x, point.y)) if known else None


def _of_pose(pose: TrackedKeypoints) -> Extent | None:
    seen = pose.joints[pose.visible & np.isfinite(pose.joints).all(axis=1)].round(_DIGITS)
    if len(seen) == 0:
        return None
    (left, top), (right, bottom) = seen.min(axis=0).tolist(), seen.max(axis=0).tolist()
    x, y = seen.mean(axis=0).tolist()
    return Extent((x, y), (left, top, right - left + 1, bottom - top + 1))
