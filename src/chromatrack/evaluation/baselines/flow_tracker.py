"""Optical flow as a tracker: every kind of label carried along it, as `track.Tracker` takes them.

One of the baselines of Vondrick et al. 2018. Chained: from frame to frame, as there; straight: from
the frame where a label was given. Nothing is learned, found again or searched for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain as joined
from typing import Unpack, get_args

import numpy as np

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.flow import Flow, Mode
from chromatrack.evaluation.baselines.flow_color import Placed, colorize_by_flow, place_references
from chromatrack.evaluation.baselines.flow_labels import Between, BoxFlow, PointFlow, RegionFlow
from chromatrack.ops.coords import FeatureSpec, image_size
from chromatrack.ops.resample import planes
from chromatrack.propagation.bidirectional import Direction, FrameReading
from chromatrack.propagation.label_maps import label_map_to_mask
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.propagate import Input
from chromatrack.structures import Source
from chromatrack.tracking.colorize import ColorizedFrame
from chromatrack.tracking.inference import TrackedFrame, VideoRun, read_ways, tracked_frame
from chromatrack.tracking.mark_checks import checked_marks
from chromatrack.tracking.marks import ColorReference, MarkArguments, Marks
from chromatrack.video.reader import Frame, read_frames

PIXELS = FeatureSpec(channels=1, stride=1, offset=0.0)
"""Where the cells are of what is read per pixel."""


class BaselineTracker(ABC):
    """A tracker that needs no features; how it carries labels and colours is the subclass's."""

    model: str

    def track(
        self,
        video: Source,
        *,
        direction: Direction = "both",
        start: int = 0,
        end: int | None = None,
        **marks: Unpack[MarkArguments],
    ) -> Iterator[TrackedFrame]:
        """Arguments, frames and errors as of `Tracker.track`."""
        checked = checked_marks(video, Marks.of(start=start, **marks), start=start, end=end)
        return self._carry(video, checked, direction, start, end)

    @abstractmethod
    def _carry(
        self, video: Source, marks: Marks, direction: Direction, start: int, end: int | None
    ) -> Iterator[TrackedFrame]: ...

    def colorize(
        self,
        video: Source,
        *,
        references: Sequence[ColorReference],
        start: int = 0,
        end: int | None = None,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Iterator[ColorizedFrame]:
        """Arguments, frames and errors as of `Tracker.colorize`; frames count as they are given."""
        placed = place_references(video, references, start=start)
        frames = self._carry_colors(video, placed, start, end)
        if progress is None:
            return frames
        return _counted(frames, None if end is None else end - start, progress)

    @abstractmethod
    def _carry_colors(
        self, video: Source, placed: Placed, start: int, end: int | None
    ) -> Iterator[ColorizedFrame]: ...


def _counted(
    frames: Iterator[ColorizedFrame], total: int | None, progress: Callable[[int, int | None], None]
) -> Iterator[ColorizedFrame]:
    for count, frame in enumerate(frames, start=1):
        progress(count, total)
        yield frame


@dataclass(frozen=True)
class FlowConfig:
    """What a flow tracker was: the name of its flow, and the mode."""

    flow: str
    mode: Mode = "chained"


class FlowTracker(BaselineTracker):
    """Carries labels along dense optical flow.

    Masks are sampled per object, softly, at the places on their keyframe that the pixels of a frame
    come from; a pixel that comes from outside the frame is background. Points and joints go with
    the flow, and are seen where the way back agrees. Boxes move and grow as the points in them do.
    Labels declared lost stay so until they are given again. A mask's confidence is 1 while any of
    it is left: flow does not tell how sure it is of one.
    Memory: one frame, and one more with its places for each frame on which some label was last
    given; it does not grow with the video.
    """

    def __init__(self, flow: Flow, mode: Mode = "chained", *, name: str = "custom flow") -> None:
        """name: of the flow, for the record.

        Raises:
            InputError: an unknown mode.
        """
        if mode not in get_args(Mode):
            raise InputError(f"mode: expected chained or straight, got {mode!r}")
        self.flow = flow
        self.config = FlowConfig(name, mode)
        self.model = f"{name}, {mode}"

    def _carry(
        self, video: Source, marks: Marks, direction: Direction, start: int, end: int | None
    ) -> Iterator[TrackedFrame]:
        frames = read_frames(video, start=start, end=end)
        first = next(frames, None)
        if first is None:
            return
        run = FlowRun(video, marks, start, first, flow=self.flow, mode=self.config.mode)
        for frame, reading in read_ways(run, joined([first], frames), direction=direction):
            mask = np.zeros(first.rgb.shape[:2], dtype=np.int32)
            if reading.regions is not None and run.layout.regions:
                mask = label_map_to_mask(reading.regions, ids=run.layout.regions)
            yield tracked_frame(frame, reading, mask, marks, run.layout, spec=PIXELS)

    def _carry_colors(
        self, video: Source, placed: Placed, start: int, end: int | None
    ) -> Iterator[ColorizedFrame]:
        return colorize_by_flow(self.flow, self.config.mode, video, placed, start, end)


@dataclass
class FlowRun(VideoRun):
    """A run of a flow tracker."""

    flow: Flow = field(kw_only=True)
    mode: Mode = field(kw_only=True)

    def input(self, frame: Frame) -> Input:
        """The frame as it is."""
        return Input(frame.index, planes(frame.rgb), None, frame)

    def new_pass(self, *, backward: bool = False) -> FlowPass:
        """A pass that has seen nothing yet; backward is no other way for a flow."""
        return FlowPass(self.flow, self.mode, self.marks, self.layout)


class FlowPass:
    """One way through the frames. What each kind of label needs is in its own state."""

    def __init__(self, flow: Flow, mode: Mode, marks: Marks, layout: Layout) -> None:
        self.flow, self.mode, self.marks, self.layout = flow, mode, marks, layout
        self.regions, self.boxes = RegionFlow(), BoxFlow()
        self.points = PointFlow(len(layout.points))
        self.pictures: dict[int, np.ndarray] = {}

    def step(self, frame: Input) -> FrameReading:
        """Label the next frame."""
        index, rgb, chained = frame.index, frame.frame.rgb, self.mode == "chained"
        between = Between(self.flow, self.pictures, rgb)
        kinds = (self.regions, self.points, self.boxes)
        for kind in kinds:
            kind.move(between, index if chained else None)
        self._put(index, image_size(frame.image))
        used = {since for kind in kinds for since in kind.since()}
        self.pictures = {k: v for k, v in {**self.pictures, index: rgb}.items() if k in used}
        return self._read(image_size(frame.image))

    def _put(self, index: int, size: tuple[int, int]) -> None:
        """What the user put on this frame, in place of what came here."""
        if index in self.marks.masks:
            self.regions.paint(index, self.marks.masks[index])
        for mark in self.marks.lost:
            if mark.frame == index:
                self.regions.painted_on.pop(mark.id, None)
        for box in self.marks.boxes:
            if box.frame == index:
                self.boxes.put(box)
        for name, frame, place in self.marks.places():
            if frame == index:
                self.points.put(self.layout.points.index(name), place, index)

    def _read(self, size: tuple[int, int]) -> FrameReading:
        layout = self.layout
        regions = self.regions.read(layout, size) if layout.regions else None
        confidence = dict.fromkeys(layout.region_channels, 1.0)
        boxes = {}
        for number, channel in zip(layout.boxes, layout.box_channels, strict=True):
            if number in self.boxes.tracks:
                track = self.boxes.tracks[number]
                boxes[channel], confidence[channel] = track.box, track.confidence
        seen = self.points.read() if layout.points else None
        if not self.regions.painted_on and not boxes and seen is None:
            regions = None
        return FrameReading(regions, confidence, boxes=boxes, seen=seen)
