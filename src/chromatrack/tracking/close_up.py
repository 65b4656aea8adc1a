"""Things smaller than a cell: followed in a window of their own, enlarged, that goes with them.

A ball of 6 pixels in a 1080p frame is a tenth of a cell at the usual working size, and its cell
looks like the ground around it. A window around it, enlarged until the thing is a few cells wide,
is tracked like a small video; it is centred on where the thing is expected, so that a thing that
flies stays in it. Every mark starts anew.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from chromatrack.distinct import distinct
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import Box, cell_count, image_size, rescale_box
from chromatrack.ops.resample import planes, resize
from chromatrack.ops.shot_boundary import CutDetector
from chromatrack.propagation.bidirectional import DirectedPass, FrameReading
from chromatrack.propagation.box_labels import box_to_label
from chromatrack.propagation.close_up import CloseUp
from chromatrack.propagation.label_maps import label_map_to_mask, masks_to_label_map, to_image
from chromatrack.propagation.label_state import LabelState
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.propagate import FrameMarks, Input, Propagator
from chromatrack.tracking.embedder import FrameEmbedder
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.readout import DOUBTFUL

SMALL = 0.75
"""Cells below which a thing is small: it is lost within a few frames at the working size."""

LEAST_PIXELS = 4
"""Of the source, below which there is nothing to recognise a thing by."""

MOST_CLOSE_UPS = 8
"""Small things followed in a run; each costs about a quarter of a frame on every frame."""

_WIDTH = 24  # working pixels that a small thing is enlarged to
_WINDOW = 320  # working pixels along the side of its window
_MOST_ENLARGED = 12


@dataclass(frozen=True)
class SmallThing:
    """A region or box that is small wherever it is marked. pixels: its largest area, on frame."""

    kind: Literal["object", "box"]
    number: int
    frame: int
    pixels: float


def small_things(
    marks: Marks, *, frame_size: tuple[int, int], working_size: tuple[int, int], stride: int
) -> list[SmallThing]:
    """The painted regions and the boxes that are small on all their marks, by kind and id."""
    scale = working_size[0] * working_size[1] / (frame_size[0] * frame_size[1]) / stride**2
    largest: dict[tuple[Literal["object", "box"], int], tuple[float, int]] = {}
    for frame, mask in sorted(marks.masks.items()):
        for number in distinct(mask).tolist():
            count = int(np.count_nonzero(mask == number)) if number else 0
            if number and count > largest.get(("object", number), (0, 0))[0]:
                largest["object", number] = count, frame
    for box in marks.boxes:
        pixels = (box.width or 0) * (box.height or 0)
        if pixels > largest.get(("box", box.id), (0, 0))[0]:
            largest["box", box.id] = pixels, box.frame
    return [
        SmallThing(kind, number, frame, pixels)
        for (kind, number), (pixels, frame) in sorted(largest.items(), reverse=True)
        if pixels * scale < SMALL
    ]


def followed(small: list[SmallThing]) -> list[SmallThing]:
    """Those that get a close-up."""
    return [thing for thing in small if thing.pixels >= LEAST_PIXELS][:MOST_CLOSE_UPS]


def warn_of_small(small: list[SmallThing]) -> None:
    """One warning for all small things that get no close-up."""
    close = followed(small)
    left = [thing for thing in small if thing not in close]
    if not left:
        return
    thing, rest = left[0], len(left) - 1
    pixels = "1 pixel" if thing.pixels == 1 else f"{thing.pixels:g} pixels"
    others = f" (and {rest} more such)" if rest else ""
    if thing.pixels < LEAST_PIXELS:
        advice = "draw it whole, erase it where it is a slip, or mark its place with a point"
    else:
        advice = f"a larger --size helps ({MOST_CLOSE_UPS} small things are enlarged at most)"
    warnings.warn(
        f"{thing.kind} {thing.number} covers {pixels} of frame {thing.frame}, too little to be "
        f"followed{others}: it will hardly be found on other frames; {advice}",
        stacklevel=2,
    )


def warn_of_live(small: list[SmallThing]) -> None:
    """One warning for all small things of a live session, which has no close-ups."""
    if small:
        thing, rest = small[0], len(small) - 1
        others = f" (and {rest} more such)" if rest else ""
        warnings.warn(
            f"{thing.kind} {thing.number} covers {thing.pixels:g} px of frame {thing.frame}, less "
            f"than a cell{others}: a live session has no close-ups, so it will hardly be found on "
            "other frames; use a larger size, or `Tracker.track` on a recording",
            stacklevel=4,
        )


class _KnownCuts(CutDetector):
    """Cuts as the whole frame showed them: a window that moves has none of its own."""

    cut: bool = False

    def is_cut(self, image: Tensor) -> bool:
        del image
        return self.cut


@dataclass(frozen=True)
class _Window:
    """A part of a frame, enlarged. image: `(3, H', W')` in [0, 1]."""

    rows: slice
    columns: slice
    image: Tensor

    @property
    def corner(self) -> tuple[int, int]:
        return self.rows.start, self.columns.start

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels of the source."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def inward(self, box: Box) -> Box:
        """A box of the source, in pixels of the enlarged image."""
        x, y, width, height = box
        own = x - self.columns.start, y - self.rows.start, width, height
        return rescale_box(own, from_size=self.size, to_size=image_size(self.image))

    def outward(self, box: Box) -> Box:
        """The inverse of `inward`."""
        own = rescale_box(box, from_size=image_size(self.image), to_size=self.size)
        return own[0] + self.columns.start, own[1] + self.rows.start, own[2], own[3]


@dataclass(frozen=True)
class Found:
    """What a window shows: a region's mask, or a box in pixels of the source."""

    reading: FrameReading
    close_up: CloseUp | None = None
    box: Box | None = None


@dataclass
class Follower(ABC):
    """One small thing on its way through the frames.

    area: pixels of the source. way: the pass over its windows since the last mark, None before the
    first and after it was declared lost. place: its middle, (x, y) px; motion: since one frame.
    """

    number: int
    area: float
    embedder: FrameEmbedder
    marks: Marks
    way: DirectedPass | None = None
    cuts: _KnownCuts = field(default_factory=_KnownCuts)
    place: np.ndarray = field(default_factory=lambda: np.zeros(2))
    motion: np.ndarray = field(default_factory=lambda: np.zeros(2))

    def step(self, frame: Input, *, cut: bool) -> Found | None:
        """The thing on the next frame; None while it was not marked yet, or was declared lost."""
        start = self.marked(frame.index)
        if start is not None:
            self.place, self.motion = start, np.zeros(2)
        elif self.is_lost(frame.index):
            self.way = None
        if start is None and self.way is None:
            return None
        window, given = self._window(frame.frame.rgb), None
        if start is not None:
            given = self._on_device(self.given(frame.index, window))
            self.way = self._new_pass(window.image)
        assert self.way is not None
        self.cuts.cut = cut
        reading = self.way.step(Input(frame.index, window.image, given, frame.frame))
        found, place = self.read(reading, window)
        if place is None:
            self.motion = np.zeros(2)
        elif start is None:
            self.motion, self.place = place - self.place, place
        else:
            self.place = place
        return found

    @property
    def zoom(self) -> float:
        """Working pixels per pixel of the source."""
        return min(_MOST_ENLARGED, _WIDTH / self.area**0.5)

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """Of a label map with this thing alone."""

    @abstractmethod
    def marked(self, index: int) -> np.ndarray | None:
        """Its middle, (x, y) px, where it was marked on a frame."""

    @abstractmethod
    def is_lost(self, index: int) -> bool:
        """Whether it was declared lost on a frame."""

    @abstractmethod
    def given(self, index: int, window: _Window) -> FrameMarks:
        """Its mark on a frame, in a window."""

    @abstractmethod
    def read(self, reading: FrameReading, window: _Window) -> tuple[Found, np.ndarray | None]:
        """What was found in a window, and its middle, (x, y) px, if it is there."""

    def _window(self, rgb: np.ndarray) -> _Window:
        """Around where it is expected, inside the frame."""
        zoom, slices = self.zoom, []
        for middle, length in zip((self.place + self.motion)[::-1], rgb.shape[:2], strict=True):
            extent = min(length, max(1, round(_WINDOW / zoom)))
            low = min(max(0, round(float(middle) - (extent - 1) / 2)), length - extent)
            slices.append(slice(low, low + extent))
        part = np.ascontiguousarray(rgb[slices[0], slices[1]])
        size = [max(1, round(side * zoom)) for side in part.shape[:2]]
        pixels = planes(part).to(self.embedder.device).float().div_(255)
        return _Window(slices[0], slices[1], resize(pixels, size))

    def _on_device(self, given: FrameMarks) -> FrameMarks:
        device = self.embedder.device
        label_map, painted = given.label_map.to(device), given.painted.to(device)
        return FrameMarks(label_map, painted, given.xy, given.boxes)

    def _new_pass(self, image: Tensor) -> DirectedPass:
        spec, config = self.embedder.spec, self.embedder.config
        labels = LabelState(self.layout, spec, config.propagate, redetect=config.redetect)
        labels.cuts = self.cuts
        propagator = Propagator(
            self.embedder.for_clip(rgb_to_lab(image)),
            spec,
            config.propagate,
            settle=labels.settle,
            background=True,
            free=self.layout.free,
        )
        return DirectedPass(propagator, labels, {}, _nothing_ahead)


class RegionFollower(Follower):
    """Follows a painted region."""

    @property
    def layout(self) -> Layout:
        """One region."""
        return Layout(regions=(self.number,))

    def marked(self, index: int) -> np.ndarray | None:
        """Its middle on a frame where it is painted; where it is in parts, one that has a part."""
        mask = self.marks.masks.get(index)
        places = np.argwhere(mask == self.number) if mask is not None else np.zeros((0, 2))
        if not len(places):
            return None
        middle = np.mean(places, axis=0)
        away = np.abs(places - middle).max(axis=1)
        is_shown = away.min() < _WINDOW / self.zoom / 2 - 1
        return (middle if is_shown else places[away.argmin()].astype(float))[::-1]

    def is_lost(self, index: int) -> bool:
        """Whether it was declared lost on a frame."""
        return any(m.id == self.number and m.frame == index for m in self.marks.lost)

    def given(self, index: int, window: _Window) -> FrameMarks:
        """What is painted of it in a window."""
        shown = self.marks.masks[index][window.rows, window.columns] == self.number
        size, spec = image_size(window.image), self.embedder.spec
        label_map = masks_to_label_map(shown.astype(np.int64), ids=(1,), size=size, spec=spec)
        return FrameMarks(label_map, torch.ones(2, dtype=torch.bool))

    def read(self, reading: FrameReading, window: _Window) -> tuple[Found, np.ndarray | None]:
        """Its mask, and the middle of that."""
        assert reading.regions is not None
        spec, how = self.embedder.spec, self.embedder.config.upsample
        dense = to_image(reading.regions, window.image, spec=spec, how=how)
        mask = label_map_to_mask(dense, ids=(1,), size=window.size) > 0
        place = np.argwhere(mask).mean(0) + window.corner if mask.any() else None
        close_up = CloseUp(window.corner, mask)
        return Found(reading, close_up), None if place is None else place[::-1]


class BoxFollower(Follower):
    """Follows what a box holds."""

    @property
    def layout(self) -> Layout:
        """One box."""
        return Layout(boxes=(self.number,))

    def _drawn(self, index: int) -> Box | None:
        for box in self.marks.boxes:
            sides = (box.x, box.y, box.width, box.height)
            if box.id == self.number and box.frame == index and None not in sides:
                return sides  # pyright: ignore[reportReturnType]
        return None

    def marked(self, index: int) -> np.ndarray | None:
        """The middle of the box that was drawn on a frame."""
        drawn = self._drawn(index)
        return None if drawn is None else _middle(drawn)

    def is_lost(self, index: int) -> bool:
        """Whether it was declared lost on a frame."""
        at = [box for box in self.marks.boxes if (box.id, box.frame) == (self.number, index)]
        return any(box.x is None for box in at)

    def given(self, index: int, window: _Window) -> FrameMarks:
        """The box as drawn, in a window."""
        drawn = self._drawn(index)
        assert drawn is not None
        box, spec = window.inward(drawn), self.embedder.spec
        size = cell_count(image_size(window.image), stride=spec.stride)
        label_map = torch.zeros(2, *size)
        label_map[1] = box_to_label(box, size=size, spec=spec)
        return FrameMarks(label_map, torch.ones(2, dtype=torch.bool), boxes={1: box})

    def read(self, reading: FrameReading, window: _Window) -> tuple[Found, np.ndarray | None]:
        """Its box, and the middle of that where it is seen."""
        if 1 not in reading.boxes:
            return Found(reading), None
        box = window.outward(reading.boxes[1])
        is_seen = reading.confidence.get(1, 0.0) > DOUBTFUL
        return Found(reading, box=box), _middle(box) if is_seen else None


def _middle(box: Box) -> np.ndarray:
    x, y, width, height = box
    return np.array([x + (width - 1) / 2, y + (height - 1) / 2])


def _nothing_ahead(index: int) -> tuple[Tensor, Input]:
    raise AssertionError(f"a close-up looks at no other frame, not at {index}")


@dataclass
class CloseUpPass(DirectedPass):
    """A pass that follows some of its regions and boxes, by channel, in close-ups."""

    followers: dict[int, Follower] = field(default_factory=dict)

    def _read(self, frame: Input) -> FrameReading:
        """The next frame; small things as their close-ups show them."""
        reading = super()._read(frame)
        found = dict(self._found(frame, cut=reading.cut)) if self.followers else {}
        if reading.regions is None or not found:
            return reading
        regions, boxes, working = reading.regions.clone(), {}, image_size(frame.image)
        masks = None if reading.masks is None else reading.masks.clone()
        for channel, thing in found.items():
            if thing.box is not None:
                size = frame.frame.rgb.shape[:2]
                boxes[channel] = rescale_box(thing.box, from_size=size, to_size=working)
            elif channel < len(regions):
                regions[0] += regions[channel]
                regions[channel] = 0
                if masks is not None:
                    masks[channel - 1] = 0
        own = {channel: thing.reading for channel, thing in found.items()}
        signals = {channel: r.signals[1] for channel, r in own.items() if 1 in r.signals}
        return replace(
            reading,
            regions=regions,
            masks=masks,
            confidence={**reading.confidence, **{c: r.confidence[1] for c, r in own.items()}},
            entropy={**reading.entropy, **{c: r.entropy[1] for c, r in own.items()}},
            boxes={**reading.boxes, **boxes},
            signals={**reading.signals, **signals},
            close_ups={c: x.close_up for c, x in found.items() if x.close_up is not None},
        )

    @torch.inference_mode()
    def _found(self, frame: Input, *, cut: bool) -> Iterator[tuple[int, Found]]:
        for channel, follower in self.followers.items():
            found = follower.step(frame, cut=cut)
            if found is not None:
                yield channel, found
