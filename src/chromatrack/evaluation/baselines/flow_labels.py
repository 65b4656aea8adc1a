"""What becomes of each kind of label when optical flow carries it from frame to frame.

A label is followed from a picture: chained, that of the frame before, and straight, that of the
frame on which it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from chromatrack.evaluation.baselines.flow import (
    Flow,
    agreement,
    carry,
    chain,
    come_from,
    identity_places,
)
from chromatrack.ops.coords import Box, box_edges, inside_image
from chromatrack.ops.subpixel import sample
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.point_labels import Seen
from chromatrack.propagation.propagate import share_cells
from chromatrack.structures import BoxMark

_LATTICE = 12  # points per side of a box that are followed


class Between:
    """The flow between a frame and those that labels are followed from, computed when asked for."""

    def __init__(self, flow: Flow, pictures: Mapping[int, np.ndarray], now: np.ndarray) -> None:
        self._flow, self._pictures, self._now = flow, pictures, now
        self._there: dict[int, np.ndarray] = {}
        self._back: dict[int, np.ndarray] = {}

    def there(self, since: int) -> np.ndarray:
        """`(H, W, 2)` from frame `since` to this one."""
        if since not in self._there:
            self._there[since] = self._flow(self._pictures[since], self._now)
        return self._there[since]

    def back(self, since: int) -> np.ndarray:
        """`(H, W, 2)` from this frame to frame `since`."""
        if since not in self._back:
            self._back[since] = self._flow(self._now, self._pictures[since])
        return self._back[since]

    def follow(self, since: int, xy: Tensor) -> tuple[Tensor, Tensor]:
        """Where `(P, 2)` places on frame `since` are now, and how well the way back agrees."""
        there = sample(torch.from_numpy(self.there(since)).permute(2, 0, 1), xy)
        moved = xy + there
        back = torch.from_numpy(self.back(since))
        confidence = agreement(there, sample(back.permute(2, 0, 1), moved))
        return moved, confidence * inside_image(moved, (len(back), back.shape[1]))


# -- masks ---------------------------------------------------------------------------------


@dataclass
class Keyframe:
    """A painted frame: mask `(H, W)` ids, and where the pixels of the frame at hand were on it.

    places: `(H, W, 2)` xy. known: `(H, W)` bool, False for what came from outside. since: the frame
    that places are of, or the keyframe itself where the flow is straight.
    """

    mask: np.ndarray
    places: Tensor
    known: Tensor
    since: int


@dataclass
class RegionFlow:
    """The regions of a pass. painted_on: id -> the keyframe it was last painted on."""

    keyframes: dict[int, Keyframe] = field(default_factory=dict)
    painted_on: dict[int, int] = field(default_factory=dict)

    def move(self, between: Between, chained_to: int | None) -> None:
        """Go to the next frame: `chained_to`, or straight from the keyframes."""
        self.keyframes = {k: v for k, v in self.keyframes.items() if k in self.painted_on.values()}
        for keyframe in self.keyframes.values():
            flow = between.back(keyframe.since)
            if chained_to is None:
                size = keyframe.mask.shape
                keyframe.places = identity_places(size) + torch.from_numpy(flow)
                keyframe.known = inside_image(keyframe.places, (size[0], size[1]))
            else:
                keyframe.places = chain(keyframe.places, flow)
                keyframe.known = come_from(keyframe.known, flow)
                keyframe.since = chained_to

    def paint(self, index: int, mask: np.ndarray) -> None:
        """The user painted ids on this frame; 0 says nothing."""
        known = torch.ones(mask.shape, dtype=torch.bool)
        self.keyframes[index] = Keyframe(mask, identity_places(mask.shape), known, index)
        self.painted_on.update(dict.fromkeys(np.unique(mask[mask > 0]).tolist(), index))

    def since(self) -> set[int]:
        """The frames whose pictures are needed on the next one."""
        used = set(self.painted_on.values())
        return {keyframe.since for k, keyframe in self.keyframes.items() if k in used}

    def read(self, layout: Layout, size: tuple[int, int]) -> Tensor:
        """`(1 + R, H, W)` float32: background, and the share of every region."""
        found = torch.zeros(1 + len(layout.regions), *size)
        for number, channel in zip(layout.regions, layout.region_channels, strict=True):
            if number in self.painted_on:
                keyframe = self.keyframes[self.painted_on[number]]
                label = torch.from_numpy(keyframe.mask == number)[None].float()
                found[channel] = carry(label, keyframe.places)[0] * keyframe.known
        return share_cells(found)


# -- points --------------------------------------------------------------------------------


class PointFlow:
    """The points and joints of a pass, P of them.

    xy, confidence: on the frame at hand. origin: places on the frames `frames` that they are
    followed from; -1 where there is none.
    """

    def __init__(self, count: int) -> None:
        self.xy, self.origin = torch.zeros(count, 2), torch.zeros(count, 2)
        self.confidence, self.frames = torch.zeros(count), torch.full((count,), -1)
        self.known = torch.zeros(count, dtype=torch.bool)
        self.started = False

    def move(self, between: Between, chained_to: int | None) -> None:
        """Go to the next frame: `chained_to`, or straight from where they were marked."""
        for since in self.since():
            rows = self.frames == since
            self.xy[rows], self.confidence[rows] = between.follow(since, self.origin[rows])
            if chained_to is not None:
                self.origin[rows], self.frames[rows] = self.xy[rows], chained_to

    def put(self, row: int, place: tuple[float, float] | None, index: int) -> None:
        """The user marked a point on this frame, or declared it lost."""
        self.started = True
        self.frames[row] = -1 if place is None else index
        self.confidence[row] = float(place is not None)
        self.known[row] |= place is not None
        if place is not None:
            self.xy[row] = self.origin[row] = torch.tensor(place)

    def since(self) -> set[int]:
        """The frames whose pictures are needed on the next one."""
        return set(self.frames[self.frames >= 0].tolist())

    def read(self) -> Seen | None:
        """All points, those not marked yet unknown; None before the first mark."""
        if not self.started:
            return None
        visible = self.confidence > 1 / 2
        return Seen(self.xy.clone(), visible, self.confidence.clone(), self.known.clone())


# -- boxes ---------------------------------------------------------------------------------


@dataclass
class FlowBox:
    """A box on the frame at hand, and the one on frame `since` that it is followed from."""

    box: Box
    origin: Box
    since: int
    confidence: float = 1.0


@dataclass
class BoxFlow:
    """The boxes of a pass, by id."""

    tracks: dict[int, FlowBox] = field(default_factory=dict)

    def move(self, between: Between, chained_to: int | None) -> None:
        """Go to the next frame: `chained_to`, or straight from where they were drawn."""
        for track in self.tracks.values():
            track.box, track.confidence = moved_box(
                track.origin, lambda xy, since=track.since: between.follow(since, xy)
            )
            if chained_to is not None:
                track.origin, track.since = track.box, chained_to

    def put(self, mark: BoxMark) -> None:
        """The user drew a box on this frame, or declared it lost."""
        if mark.x is None or mark.y is None or mark.width is None or mark.height is None:
            self.tracks.pop(mark.id, None)
            return
        box = (mark.x, mark.y, mark.width, mark.height)
        self.tracks[mark.id] = FlowBox(box, box, mark.frame)

    def since(self) -> set[int]:
        """The frames whose pictures are needed on the next one."""
        return {track.since for track in self.tracks.values()}


def moved_box(box: Box, follow: Callable[[Tensor], tuple[Tensor, Tensor]]) -> tuple[Box, float]:
    """A box moved and scaled as the points in it are.

    Source: the median flow of Kalal, Mikolajczyk and Matas 2010: of a lattice of points the half
    that is followed best, the median of its shifts, and of its pairs' changes of distance. Points
    here are chosen by the way there and back alone, not by how alike their patches are.

    Args:
        follow: `(P, 2)` xy -> where they are now, and confidence `(P,)` in [0, 1].

    Returns:
        The box, and the mean confidence of all points; the same box where none can be followed.
    """
    left, top, right, bottom = box_edges(box)
    steps = (torch.arange(_LATTICE) + 1 / 2) / _LATTICE
    x, y = left + (right - left) * steps, top + (bottom - top) * steps
    before = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)
    after, confidence = follow(before)
    good = (confidence > 0) & (confidence >= confidence.median())
    if int(good.sum()) < 2:
        return box, 0.0
    before, after = before[good], after[good]
    shift = (after - before).median(0).values
    scale = float((torch.pdist(after) / torch.pdist(before)).median())
    width, height = max(box[2] * scale, 1.0), max(box[3] * scale, 1.0)
    x, y = (float(v) for v in shift)
    return (
        box[0] + x + (box[2] - width) / 2,
        box[1] + y + (box[3] - height) / 2,
        width,
        height,
    ), float(confidence.mean())
