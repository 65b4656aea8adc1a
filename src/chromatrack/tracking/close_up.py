"""Things smaller than a cell: followed in a window of their own, enlarged, that goes with them.

A ball of 6 pixels in a 1080p frame is a tenth of a cell at the usual working size, and its cell
looks like the ground around it. A window around it, enlarged until the thing is a few cells wide,
is tracked like a small video; it is centred on where the thing is expected, so that a thing that
flies stays in it. Every mark starts anew.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.resample import planes, resize
from chromatrack.ops.shot_boundary import CutDetector
from chromatrack.propagation.bidirectional import DirectedPass, FrameReading
from chromatrack.propagation.close_up import CloseUp
from chromatrack.propagation.label_maps import label_map_to_mask, masks_to_label_map, to_image
from chromatrack.propagation.label_state import LabelState
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.propagate import FrameMarks, Input, Propagator
from chromatrack.tracking.embedder import FrameEmbedder
from chromatrack.tracking.marks import Marks

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
    """A region that is small wherever it is marked. pixels, cells: its largest area."""

    number: int
    frame: int
    pixels: int
    cells: float


def small_things(
    marks: Marks, *, frame_size: tuple[int, int], working_size: tuple[int, int], stride: int
) -> list[SmallThing]:
    """The painted regions that are small on all their marks, by id."""
    scale = working_size[0] * working_size[1] / (frame_size[0] * frame_size[1]) / stride**2
    largest: dict[int, tuple[int, int]] = {}
    for frame, mask in sorted(marks.masks.items()):
        ids, counts = np.unique(mask, return_counts=True)
        for number, count in zip(ids.tolist(), counts.tolist(), strict=True):
            if number and count > largest.get(number, (0, 0))[0]:
                largest[number] = count, frame
    return [
        SmallThing(number, frame, count, count * scale)
        for number, (count, frame) in sorted(largest.items())
        if count * scale < SMALL
    ]


def followed(small: list[SmallThing]) -> list[SmallThing]:
    """Those that get a close-up."""
    return [thing for thing in small if thing.pixels >= LEAST_PIXELS][:MOST_CLOSE_UPS]


def warn_of_small(small: list[SmallThing]) -> None:
    """One warning for all small things that get no close-up."""
    close = {thing.number for thing in followed(small)}
    left = [thing for thing in small if thing.number not in close]
    if not left:
        return
    thing, rest = left[0], len(left) - 1
    pixels = "1 pixel" if thing.pixels == 1 else f"{thing.pixels} pixels"
    others = f" (and {rest} more such)" if rest else ""
    if thing.pixels < LEAST_PIXELS:
        advice = "erase it where it is a slip of the brush, or mark its place with a point"
    else:
        advice = f"a larger --size helps ({MOST_CLOSE_UPS} small objects are enlarged at most)"
    warnings.warn(
        f"object {thing.number} covers {pixels} of frame {thing.frame}, too little to be followed"
        f"{others}: it will hardly be found on other frames; {advice}",
        stacklevel=2,
    )


class _KnownCuts(CutDetector):
    """Cuts as the whole frame showed them: a window that moves has none of its own."""

    cut: bool = False

    def is_cut(self, image: torch.Tensor) -> bool:
        del image
        return self.cut


@dataclass
class Follower:
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

    def step(self, frame: Input, *, cut: bool) -> tuple[CloseUp, FrameReading] | None:
        """The thing on the next frame; None while it was not marked yet, or was declared lost."""
        rgb, shown = frame.frame.rgb, self._painted(frame.index)
        if shown is not None:
            self._place(np.argwhere(shown).mean(0)[::-1], known=False)
        elif any(m.id == self.number and m.frame == frame.index for m in self.marks.lost):
            self.way = None
        if shown is None and self.way is None:
            return None
        zoom = min(_MOST_ENLARGED, _WIDTH / self.area**0.5)
        rows, columns = self._window(rgb.shape[:2], _WINDOW / zoom)
        part = np.ascontiguousarray(rgb[rows, columns])
        size = tuple(max(1, round(side * zoom)) for side in part.shape[:2])
        image = resize(planes(part).to(self.embedder.device).float().div_(255), size)
        given = None
        if shown is not None:
            self.way = self._new_pass(image)
            given = self._given(shown[rows, columns], (size[0], size[1]))
        assert self.way is not None
        self.cuts.cut = cut
        reading = self.way.step(Input(frame.index, image, given, frame.frame))
        assert reading.regions is not None
        spec, config = self.embedder.spec, self.embedder.config
        dense = to_image(reading.regions, image, spec=spec, how=config.upsample)
        mask = label_map_to_mask(dense, ids=(1,), size=part.shape[:2]) > 0
        corner = rows.start, columns.start
        if mask.any():
            self._place(np.argwhere(mask).mean(0)[::-1] + corner[::-1], known=shown is None)
        else:
            self.motion = np.zeros(2)
        return CloseUp(corner, mask), reading

    def _painted(self, index: int) -> np.ndarray | None:
        mask = self.marks.masks.get(index)
        shown = None if mask is None else mask == self.number
        return shown if shown is not None and shown.any() else None

    def _place(self, place: np.ndarray, *, known: bool) -> None:
        self.motion = place - self.place if known else np.zeros(2)
        self.place = place

    def _window(self, size: tuple[int, int], side: float) -> tuple[slice, slice]:
        """Rows and columns of the window, inside the frame."""
        slices = []
        for middle, length in zip((self.place + self.motion)[::-1], size, strict=True):
            extent = min(length, max(1, round(side)))
            low = min(max(0, round(float(middle) - (extent - 1) / 2)), length - extent)
            slices.append(slice(low, low + extent))
        return slices[0], slices[1]

    def _given(self, shown: np.ndarray, size: tuple[int, int]) -> FrameMarks:
        ids = shown.astype(np.int64)
        label_map = masks_to_label_map(ids, ids=(1,), size=size, spec=self.embedder.spec)
        painted = torch.ones(2, dtype=torch.bool, device=self.embedder.device)
        return FrameMarks(label_map.to(self.embedder.device), painted)

    def _new_pass(self, image: torch.Tensor) -> DirectedPass:
        spec, config = self.embedder.spec, self.embedder.config
        labels = LabelState(Layout(regions=(1,)), spec, config.propagate, redetect=config.redetect)
        labels.cuts = self.cuts
        propagator = Propagator(
            self.embedder.for_clip(rgb_to_lab(image)),
            spec,
            config.propagate,
            settle=labels.settle,
            background=True,
        )
        return DirectedPass(propagator, labels, {}, _nothing_ahead)


def _nothing_ahead(index: int) -> tuple[torch.Tensor, FrameMarks | None]:
    raise AssertionError(f"a close-up looks at no other frame, not at {index}")


@dataclass
class CloseUpPass(DirectedPass):
    """A pass that follows some of its regions, by channel, in close-ups."""

    followers: dict[int, Follower] = field(default_factory=dict)

    def step(self, frame: Input) -> FrameReading:
        """Label the next frame; small things as their close-ups show them."""
        reading = super().step(frame)
        if reading.regions is None:
            return reading
        regions = reading.regions.clone()
        found = dict(self._found(frame, cut=reading.cut))
        for channel in found:
            regions[0] += regions[channel]
            regions[channel] = 0
        seen = {channel: close_reading for channel, (_, close_reading) in found.items()}
        signals = {channel: r.signals[1] for channel, r in seen.items() if 1 in r.signals}
        return replace(
            reading,
            regions=regions,
            confidence={**reading.confidence, **{c: r.confidence[1] for c, r in seen.items()}},
            entropy={**reading.entropy, **{c: r.entropy[1] for c, r in seen.items()}},
            signals={**reading.signals, **signals},
            close_ups={channel: close for channel, (close, _) in found.items()},
        )

    @torch.inference_mode()
    def _found(
        self, frame: Input, *, cut: bool
    ) -> Iterator[tuple[int, tuple[CloseUp, FrameReading]]]:
        for channel, follower in self.followers.items():
            found = follower.step(frame, cut=cut)
            if found is not None:
                yield channel, found
