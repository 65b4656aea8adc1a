"""Everything tracked as single places that move: what compositing tools take.

A point and a joint are one each, a box its centre, an object the centre of its mask.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chromatrack.formats.csv_tables import TrackData
from chromatrack.formats.poses import distinct
from chromatrack.formats.tracked_video import TrackedVideo, mask_centres
from chromatrack.formats.written_things import Thing
from chromatrack.structures import Color, Kind

CORNERS = ("upper left", "upper right", "lower right", "lower left")
"""Of a quadrilateral, in the order of its `corners`."""


@dataclass(frozen=True)
class Trajectory:
    """A place over N frames.

    name: no two alike in a video. xy: (N, 2) float64 px from the centre of the top-left pixel, NaN
    where it is not seen. confidence: (N,) float64 in [0, 1], NaN where nothing is known.
    color: as the user gave it, None where not.
    """

    name: str
    xy: np.ndarray
    confidence: np.ndarray
    color: Color | None = None

    @property
    def seen(self) -> np.ndarray:
        """(N,) bool."""
        return np.asarray(np.isfinite(self.xy).all(axis=-1))


@dataclass(frozen=True)
class Quadrilateral:
    """Four corners over N frames.

    corners: (N, 4, 2) float64 px from the centre of the top-left pixel, in the order of `CORNERS`,
    NaN where not all are seen.
    """

    name: str
    corners: np.ndarray
    color: Color | None = None

    @property
    def seen(self) -> np.ndarray:
        """(N,) bool."""
        return np.asarray(np.isfinite(self.corners).all(axis=(1, 2)))


class _Named(NamedTuple):
    """A place over N frames, before its name is made distinct."""

    name: str
    thing: Thing
    xy: np.ndarray
    confidence: np.ndarray


def trajectories(tracked: TrackedVideo) -> tuple[list[Trajectory], list[str]]:
    """Every place that is seen on a frame at least, and notes on what never is."""
    found: list[_Named] = []
    if tracked.objects:
        centres = _mask_centres(tracked)
        for number in tracked.ids("object"):
            track = tracked.objects[number]
            xy = np.where(track.present[:, None], centres[number], np.nan)
            name = tracked.called("object", number)
            found.append(_Named(name, ("object", number), xy, track.confidence))
    for number in tracked.ids("box"):
        data = tracked.boxes[number]
        centre = data.values[:, :2] + (data.values[:, 2:] - 1) / 2
        found.append(_placed(tracked, "box", number, centre, data))
    for number in tracked.ids("point"):
        data = tracked.points[number]
        found.append(_placed(tracked, "point", number, data.values, data))
    for number in tracked.ids("keypoints"):
        assert tracked.skeleton is not None
        data, whole = tracked.keypoints[number], tracked.called("keypoints", number)
        for j, joint in enumerate(tracked.skeleton.names):
            xy = np.where(data.visible[:, j, None], data.values[:, j], np.nan)
            name, sure = f"{whole} {joint}", data.confidence[:, j]
            found.append(_Named(name, ("keypoints", number), xy, sure))
    names = distinct((one.name, one.thing[1]) for one in found)
    every = [
        Trajectory(name, one.xy, one.confidence, tracked.colors.get(one.thing))
        for name, one in zip(names, found, strict=True)
    ]
    return [one for one in every if one.seen.any()], [
        f"{one.name} is never seen: left out" for one in every if not one.seen.any()
    ]


def quadrilaterals(tracked: TrackedVideo) -> list[Quadrilateral]:
    """Of every box its outer edges; and of four points, where there are just four, these."""
    found: list[Quadrilateral] = []
    names = distinct((tracked.called("box", number), number) for number in tracked.ids("box"))
    for name, number in zip(names, tracked.ids("box"), strict=True):
        data = tracked.boxes[number]
        box = np.where(data.visible[:, None], data.values, np.nan)
        (left, top), (right, bottom) = box[:, :2].T - 0.5, (box[:, :2] + box[:, 2:]).T - 0.5
        edges = [(left, top), (right, top), (right, bottom), (left, bottom)]
        color = tracked.colors.get(("box", number))
        found.append(Quadrilateral(name, np.array(edges).transpose(2, 0, 1), color))
    if len(ids := tracked.ids("point")) == len(CORNERS):
        tracks = [tracked.points[number] for number in ids]
        corners = np.stack([_seen(data.values, data.visible) for data in tracks], axis=1)
        corners[~np.isfinite(corners).all(axis=(1, 2))] = np.nan
        found.append(Quadrilateral("points", in_order(corners)))
    return [one for one in found if one.seen.any()]


def in_order(corners: np.ndarray) -> np.ndarray:
    """(N, 4, 2) corners in the order of `CORNERS`, as they stand on the first frame with all four.

    They keep their order on the others, so that what is pinned to them turns with them.
    """
    seen = np.flatnonzero(np.isfinite(corners).all(axis=(1, 2)))
    if not len(seen):
        return corners
    first = corners[seen[0]]
    x, y = (first - first.mean(axis=0)).T
    around = np.argsort(np.arctan2(y, x))  # clockwise in the picture, as y goes down
    start = int(np.argmin((first[around]).sum(axis=1)))
    return corners[:, np.roll(around, -start)]


def file_names(names: list[str]) -> list[str]:
    """Names for files of them, safe on any system, no two alike whatever their case."""
    found: list[str] = []
    for number, name in enumerate(names, start=1):
        safe = re.sub(r"[^\w .-]+", "_", name).strip(" .")[:80] or f"track_{number}"
        if re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", safe):
            safe = f"_{safe}"
        taken = {other.lower() for other in found}
        while safe.lower() in taken:
            safe = f"{safe}_{number}"
        found.append(safe)
    return found


def rate_note(tracked: TrackedVideo) -> list[str]:
    """A note where frames are not shown at one rate, as tools that count frames take them to be."""
    even = tracked.times[0] + (tracked.frames - tracked.frames[0]) / tracked.fps
    off = float(np.abs(tracked.times - even).max())
    if off * tracked.fps < 0.5:
        return []
    return [
        f"the video's frames are not shown at one rate: at {tracked.fps:.5g} a second some are "
        f"{off:.2g} s off; bring the video to one rate first where times matter"
    ]


def decimal(value: float) -> str:
    """A number to a thousandth, as short as it can be."""
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _placed(
    tracked: TrackedVideo, kind: Kind, number: int, xy: np.ndarray, data: TrackData
) -> _Named:
    seen = _seen(xy, data.visible)
    return _Named(tracked.called(kind, number), (kind, number), seen, data.confidence)


def _seen(xy: np.ndarray, visible: np.ndarray) -> np.ndarray:
    return np.where(visible[:, None], xy, np.nan)


def _mask_centres(tracked: TrackedVideo) -> dict[int, np.ndarray]:
    """{object id: (N, 2) mean of its mask's pixels}, NaN without one. Reads every mask once."""
    centres = {number: np.full((len(tracked.frames), 2), np.nan) for number in tracked.objects}
    for row, mask in enumerate(tracked.masks()):
        for number, centre in mask_centres(mask).items():
            if number in centres:
                centres[number][row] = centre
    return centres
