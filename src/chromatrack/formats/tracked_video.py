"""What was tracked in a video, as every writer of an exchange format takes it: one row a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import NamedTuple

import numpy as np

from chromatrack.distinct import distinct
from chromatrack.formats.csv_tables import TrackData
from chromatrack.structures import Categories, Colors, Kind, LabelName, Names, Skeleton, Source

ALL_KINDS: tuple[Kind, ...] = ("object", "box", "point", "keypoints")


class ObjectTrack(NamedTuple):
    """What is known of one object beside its masks, (N,) each; one row for each frame.

    present: bool. confidence, reliability: in [0, 1], NaN where nothing is known of it.
    """

    present: np.ndarray
    confidence: np.ndarray
    reliability: np.ndarray


@dataclass(frozen=True)
class Trust:
    """How far what was tracked is to be trusted, and what of it a person marked; (N,) each.

    places: reliability in [0, 1] of each box, point and joint, by name. doubtful: 1 or 0, by kind
    and id. Of both, NaN or left out: not known. marked: bool, a person marked it on the frame or
    said that it is gone there, by name, left out: on none; None: not known of anything. gone: bool,
    the latter alone.
    """

    places: Mapping[LabelName, np.ndarray] = field(default_factory=dict)
    doubtful: Mapping[tuple[Kind, int], np.ndarray] = field(default_factory=dict)
    marked: Mapping[LabelName, np.ndarray] | None = None
    gone: Mapping[LabelName, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class TrackedVideo:
    """Everything tracked in a video. All tables have N rows, those of `frames`, in their order.

    video: as the run was given it. size: (height, width) px. frames: (N,) int64 numbers in the
    video, from 0, without gaps. times: (N,) float64 seconds. fps: frames a second, the median where
    they vary. objects: by id; their masks come from `mask(frame)`, (H, W) int32 ids. points, boxes,
    keypoints: TrackData by id, NaN where nothing is known; points are px from the centre of the
    top-left pixel, a box covers the pixel columns x .. x + width - 1. skeleton: of the keypoints.
    names, categories, colors: what things are called, are and are drawn in, where that was said.
    pictures: file names of the source's pictures by frame, where it is a folder of them that was
    found. cuts: (N,) bool, a cut lies just before the frame; empty: none are known. find_video:
    where the video is now, for writers that need its pictures; raises InputError where it is not
    found. find_trust: how far all of it is to be trusted. tell: called with how many frames are
    done; what it raises ends the writing.
    """

    video: str
    size: tuple[int, int]
    frames: np.ndarray
    times: np.ndarray
    fps: float
    objects: Mapping[int, ObjectTrack] = field(default_factory=dict)
    points: Mapping[int, TrackData] = field(default_factory=dict)
    boxes: Mapping[int, TrackData] = field(default_factory=dict)
    keypoints: Mapping[int, TrackData] = field(default_factory=dict)
    skeleton: Skeleton | None = None
    names: Names = field(default_factory=dict)
    colors: Colors = field(default_factory=dict)
    categories: Categories = field(default_factory=dict)
    pictures: Sequence[str] = ()
    mask: Callable[[int], np.ndarray] = lambda frame: _no_mask(frame)
    cuts: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    find_video: Callable[[], Source] = lambda: _no_video()
    find_trust: Callable[[], Trust] = lambda: Trust()
    tell: Callable[[int], None] = lambda done: None

    @property
    def video_name(self) -> str:
        """The video's file name, or that of its folder of pictures, without the suffix."""
        path = PurePath(self.video)
        return (path.parent if "*" in path.name else path).stem or "video"

    def ids(self, kind: Kind) -> list[int]:
        """Ids of one kind, ascending."""
        tables = {"object": self.objects, "point": self.points, "box": self.boxes}
        return sorted(tables.get(kind, self.keypoints))

    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of which there is at least one thing."""
        return tuple(kind for kind in ALL_KINDS if self.ids(kind))

    def called(self, kind: Kind, number: int) -> str:
        """The name of a thing: as the user gave it, else the kind and id, such as `box_2`."""
        return self.names.get((kind, number)) or f"{kind}_{number}"

    def each_frame(self) -> Iterator[int]:
        """The number of every frame in the video, one at a time: writers go through these.

        When the next one is asked for, the last one is told to be done.
        """
        for done, frame in enumerate(self.frames.tolist(), start=1):
            yield frame
            self.tell(done)

    def masks(self) -> Iterator[np.ndarray]:
        """(H, W) int32 ids of every frame, one at a time, told as `each_frame` does."""
        for frame in self.each_frame():
            yield self.mask(frame)

    def boxes_of_masks(self) -> dict[int, np.ndarray]:
        """{object id: (N, 4) left, top, width, height px}, NaN on frames without a mask.

        Reads every mask once.
        """
        found = {number: np.full((len(self.frames), 4), np.nan) for number in self.ids("object")}
        for row, mask in enumerate(self.masks()):
            for number, box in mask_boxes(mask).items():
                if number in found:
                    found[number][row] = box
        return found


def mask_boxes(mask: np.ndarray) -> dict[int, tuple[int, int, int, int]]:
    """{id: (left, top, width, height) px} around each object of an (H, W) mask; 0 is none."""
    found: dict[int, tuple[int, int, int, int]] = {}
    for number in distinct(mask):
        if number:
            inside = mask == number
            columns, rows = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
            left, top = int(columns[0]), int(rows[0])
            size = int(columns[-1]) - left + 1, int(rows[-1]) - top + 1
            found[int(number)] = (left, top, *size)
    return found


def mask_centres(mask: np.ndarray) -> dict[int, tuple[float, float]]:
    """{id: (x, y) px, the mean of its pixels} of each object of an (H, W) mask; 0 is none."""
    rows, columns = np.nonzero(mask)
    owner, found = mask[rows, columns], dict[int, tuple[float, float]]()
    for number in distinct(owner).tolist():
        own = owner == number
        found[number] = float(columns[own].mean()), float(rows[own].mean())
    return found


def _no_mask(frame: int) -> np.ndarray:
    raise ValueError(f"frame {frame}: no masks were given")


def _no_video() -> Source:
    raise ValueError("no video was given")
