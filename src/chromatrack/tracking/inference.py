"""Tracking a video: its frames through the passes, and every kind of label read at full size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from chromatrack.distinct import distinct
from chromatrack.errors import BeyondEndError, DamagedVideoError, VideoError
from chromatrack.model.encoder import embed_frames
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import FeatureSpec, image_size
from chromatrack.propagation.bidirectional import (
    AnySignals,
    DirectedPass,
    Direction,
    FrameReading,
    ReadingCache,
    chunks_backward,
)
from chromatrack.propagation.label_maps import label_map_to_mask, masks_to_ids, to_image
from chromatrack.propagation.label_state import LabelState
from chromatrack.propagation.layout import Layout, channel_names
from chromatrack.propagation.merging import both_ways
from chromatrack.propagation.point_reliability import estimate_place
from chromatrack.propagation.propagate import FrameMarks, Input, Propagator
from chromatrack.propagation.reliability import Signals, cell_colors, estimate, gone
from chromatrack.structures import LabelName, Source, TrackedBox, TrackedKeypoints, TrackedPoint
from chromatrack.tracking.close_up import (
    BoxFollower,
    CloseUpPass,
    Follower,
    RegionFollower,
    SmallThing,
    followed,
    small_things,
    warn_of_small,
)
from chromatrack.tracking.cores import is_ahead_worth_it
from chromatrack.tracking.embedder import FrameEmbedder
from chromatrack.tracking.mark_checks import check_reached
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.readout import read_boxes, read_points, read_signals
from chromatrack.tracking.reliability import by_kind
from chromatrack.video.ahead import ahead
from chromatrack.video.reader import Frame, read_frame, read_frames

_FEW = 8  # regions up to which each is counted by itself


@dataclass(frozen=True)
class TrackedFrame:
    """What was found on one frame.

    rgb: `(H, W, 3)` uint8, the source frame. mask: `(H, W)` int32 region ids, 0 = background.
    areas: pixels per region. entropy: mean pointer entropy over each region, [0, 1]; the higher,
    the less sure. confidence: that a region is where the mask says, [0, 1]. present: False for
    regions reported absent. points, boxes, keypoints: by id, in pixels of the source. cut: a scene
    cut lies just before. duration_seconds: how long the source shows the frame, if it says so.
    reliability: chance, [0, 1], that a region's mask is right (J of 0.75 or more), told without
    labels; 1 where it was painted, left out before it was first marked. signals: what that is made
    of (`reliability.estimate`), None where painted. place_reliability, place_signals: the same of
    boxes, points and joints by name (`point_reliability.py` says what is right of each).
    """

    index: int
    pts_seconds: float
    rgb: np.ndarray
    mask: np.ndarray
    areas: dict[int, int]
    entropy: dict[int, float]
    duration_seconds: float | None = None
    confidence: dict[int, float] = field(default_factory=dict)
    present: dict[int, bool] = field(default_factory=dict)
    points: dict[int, TrackedPoint] = field(default_factory=dict)
    boxes: dict[int, TrackedBox] = field(default_factory=dict)
    keypoints: dict[int, TrackedKeypoints] = field(default_factory=dict)
    cut: bool = False
    reliability: dict[int, float] = field(default_factory=dict)
    signals: dict[int, Signals | None] = field(default_factory=dict)
    place_reliability: dict[LabelName, float] = field(default_factory=dict)
    place_signals: dict[LabelName, AnySignals] = field(default_factory=dict)

    @property
    def reliability_by_kind(self) -> dict[str, dict[int, float]]:
        """Of everything by "object", "box", "point", "keypoints" and id; see `by_kind`."""
        return by_kind(self.reliability, self.place_reliability)


class Steps(Protocol):
    """One way through the frames, that labels them one by one."""

    def step(self, frame: Input) -> FrameReading: ...


@dataclass
class VideoRun(ABC):
    """One run over a video, whatever carries the labels: what its passes share."""

    video: Source
    marks: Marks
    start: int
    first: Frame
    layout: Layout = field(init=False)
    keyframes: Mapping[int, Mapping[int, bool]] = field(init=False)
    device: torch.device = field(init=False, default=torch.device("cpu"))

    def __post_init__(self) -> None:
        self.layout = self.marks.layout()
        self.keyframes = self.marks.keyframes(self.layout)

    @abstractmethod
    def input(self, frame: Frame) -> Input:
        """A frame on its way in."""

    @abstractmethod
    def new_pass(self, *, backward: bool = False) -> Steps:
        """A pass that has seen nothing yet."""

    def forward(self, frames: Iterator[Frame]) -> Iterator[tuple[Input, FrameReading]]:
        """The forward pass, as frames come."""
        run = self.new_pass()
        for given in self.inputs(frames):
            yield given, run.step(given)

    def backward_only(
        self, frames: Iterator[Frame], spool: ReadingCache | None
    ) -> Iterator[tuple[Input, FrameReading]]:
        """The backward pass alone, in the video's order; nothing after the last keyframe."""
        for frame in frames:
            given = self.input(frame)
            found = None
            if spool is not None:
                found = spool.get(frame.index, device=self.device)
            yield given, found or FrameReading(None)

    def backward(self) -> ReadingCache:
        """The whole backward pass, from the last keyframe down to the first frame."""
        spool, run = ReadingCache(), self.new_pass(backward=True)
        last = max(f for frames in self.keyframes.values() for f, shown in frames.items() if shown)
        size = self.first.rgb.nbytes
        for begin, after in chunks_backward(self.start, last, frame_bytes=size):
            frames = list(read_frames(self.video, start=begin, end=after))
            for given in self.inputs(reversed(frames)):
                spool.put(given.index, run.step(given))
        return spool

    def inputs(self, frames: Iterable[Frame]) -> Iterator[Input]:
        """Frames on their way into a pass, in order."""
        return map(self.input, frames)


@dataclass
class TrackerRun(VideoRun):
    """A run of a tracker."""

    embedder: FrameEmbedder = field(kw_only=True)
    encode: Callable[[Tensor], Tensor] = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.device = self.embedder.device
        lab = self.embedder.lab(self.first.rgb)
        self.encode = self.embedder.for_clip(lab)

    def input(self, frame: Frame) -> Input:
        """A frame on its way in, with what the user put on it."""
        image = self.embedder.image(frame.rgb)
        given = self.marks.on_frame(
            frame.index,
            self.layout,
            self.embedder.spec,
            frame_size=frame.rgb.shape[:2],
            image_size=image_size(image),
        )
        if given is not None:
            device = self.embedder.device
            label_map, painted = given.label_map.to(device), given.painted.to(device)
            given = FrameMarks(label_map, painted, given.xy, given.boxes)
        return Input(frame.index, image, given, frame)

    def inputs(self, frames: Iterable[Frame]) -> Iterator[Input]:
        """Frames on their way into a pass, in order, and embedded.

        Where torch leaves half of the cores idle, the next ones are made while one is tracked.
        """
        if not is_ahead_worth_it(self.device):
            return map(self._embedded, frames)
        return ahead(map(self._embedded, frames), depth=1)  # each is a picture and its features

    @torch.inference_mode()
    def _embedded(self, frame: Frame) -> Input:
        given = self.input(frame)
        shown = [f for frames in self.keyframes.values() for f, here in frames.items() if here]
        if self.embedder.spec.clip_length > 1 or frame.index < min(shown, default=frame.index):
            return given  # with others; or before there is anything to track
        lab = rgb_to_lab(given.image)
        ab = cell_colors(lab, self.embedder.spec)  # before the encoder uses it up
        features = embed_frames(self.encode, given.image[None], lab[None])[0]
        return replace(given, features=features, ab=ab)

    @torch.inference_mode()
    def embed(self, index: int) -> tuple[Tensor, Input]:
        """A frame anywhere in the video: its features, and it with what the user put on it."""
        frame = self.input(read_frame(self.video, index=index))
        return self.encode(frame.image[None])[0], frame

    def new_pass(self, *, backward: bool = False) -> DirectedPass:
        """A pass that has seen nothing yet."""
        spec, config = self.embedder.spec, self.embedder.config
        labels = LabelState(
            self.layout,
            spec,
            config.propagate,
            redetect=config.redetect,
            decode=self.embedder.decode,
            narrow=config.narrow,
        )
        propagator = Propagator(
            self.encode,
            spec,
            config.propagate,
            settle=labels.settle,
            background=True,
            free=self.layout.free,
        )
        ahead = self.keyframes if spec.clip_length == 1 else {}
        return CloseUpPass(
            propagator, labels, ahead, self.embed, backward, followers=self._followers()
        )

    def small(self) -> list[SmallThing]:
        """Painted regions and boxes that are too small for the working size."""
        size, config = self.first.rgb.shape[:2], self.embedder.config
        return small_things(
            self.marks,
            frame_size=size,
            working_size=config.working_size(size),
            stride=self.embedder.spec.stride,
        )

    def _followers(self) -> dict[int, Follower]:
        """What follows the small ones, by channel; none in the protocols of others."""
        config = self.embedder.config
        if not config.redetect or config.protocol != "ours" or self.embedder.spec.clip_length > 1:
            return {}
        kinds = {"object": RegionFollower, "box": BoxFollower}
        names = enumerate(channel_names(self.layout), start=1)
        channels = {name[:2]: channel for channel, name in names}
        return {
            channels[thing.kind, thing.number]: kinds[thing.kind](
                thing.number, thing.pixels, self.embedder, self.marks
            )
            for thing in followed(self.small())
        }


def _areas(mask: np.ndarray, regions: Sequence[int]) -> dict[int, int]:
    """{region: its pixels}: a few counted one by one, which needs no copy as long integers."""
    if len(regions) <= _FEW:
        return {i: int(np.count_nonzero(mask == i)) for i in regions}
    counts = np.bincount(mask.ravel(), minlength=max(regions) + 1)
    return {i: int(counts[i]) for i in regions}


def follow(
    embedder: FrameEmbedder,
    video: Source,
    marks: Marks,
    *,
    direction: Direction,
    start: int,
    end: int | None,
    new_run: Callable[..., TrackerRun] | None = None,
    begin: int | None = None,
) -> Iterator[TrackedFrame]:
    """`Tracker.track`, with its marks read and checked.

    Args:
        new_run: another kind of run; it knows where its forward pass is: at frame `begin`, the
            first to be yielded (None: `start`).
    """
    frames = read_frames(video, start=start, end=end)
    first = next(frames, None)
    if first is None:
        return
    frames = chain([first], frames)
    if begin is not None and begin > start:
        frames = _rest(video, begin, end)
    run = (new_run or TrackerRun)(video, marks, start, first, embedder=embedder)
    warn_of_small(run.small())
    count = start if begin is None else begin
    try:
        for frame, reading in read_ways(run, frames, direction=direction):
            yield tracked(frame, reading, run)
            count = frame.index + 1
    except BeyondEndError as error:
        check_reached(marks, video, start=start, count=error.frame_count)
        raise
    check_reached(marks, video, start=start, count=count)


def _rest(video: Source, begin: int, end: int | None) -> Iterator[Frame]:
    """Frames from `begin` on; none where the video ends before it."""
    if end is not None and begin >= end:
        return
    try:
        yield from read_frames(video, start=begin, end=end)
    except DamagedVideoError:
        raise
    except VideoError:  # the one before it was the last
        return


def read_ways(
    run: VideoRun, frames: Iterator[Frame], *, direction: Direction
) -> Iterator[tuple[Input, FrameReading]]:
    """A reading of every frame, through the passes that the direction and the marks ask for."""
    last = max(run.marks.frames())
    spool = None
    try:
        if direction == "backward" or (direction == "both" and last > run.start):
            spool = run.backward()
        if direction == "backward":
            yield from run.backward_only(frames, spool)
        elif spool is not None:
            yield from both_ways(run.forward(frames), spool, run.layout, run.keyframes)
        else:
            yield from run.forward(frames)
    finally:
        if spool is not None:
            spool.close()


def tracked(frame: Input, reading: FrameReading, run: TrackerRun) -> TrackedFrame:
    """A reading at the source's size, in the user's ids; what the user painted is as painted."""
    layout, size = run.layout, frame.frame.rgb.shape[:2]
    mask = np.zeros(size, dtype=np.int32)
    if reading.regions is not None and layout.regions:
        config = run.embedder.config
        if reading.masks is not None and not config.stretch and size == image_size(frame.image):
            mask = masks_to_ids(reading.masks, ids=layout.regions, size=size)
        else:
            dense = to_image(
                reading.regions,
                frame.image,
                spec=run.embedder.spec,
                how=config.upsample,
                stretch=config.stretch,
                masks=reading.masks,
            )
            mask = label_map_to_mask(dense, ids=layout.regions, size=size)
        for channel, close in sorted(reading.close_ups.items()):
            mask = close.paste(mask, layout.regions[channel - 1])
    return tracked_frame(frame, reading, mask, run.marks, layout, spec=run.embedder.spec)


def tracked_frame(
    frame: Input,
    reading: FrameReading,
    mask: np.ndarray,
    marks: Marks,
    layout: Layout,
    *,
    spec: FeatureSpec,
) -> TrackedFrame:
    """What users get of a frame.

    Args:
        mask: `(H, W)` int32 ids that were found, at the source's size; painted ones go over them.
        spec: where the cells are that points were read in.
    """
    source, working = frame.frame, image_size(frame.image)
    size = source.rgb.shape[:2]
    painted = marks.masks.get(frame.index)
    if painted is not None:
        elsewhere = np.where(np.isin(mask, distinct(painted)), 0, mask)
        mask = np.where(painted > 0, painted, elsewhere).astype(np.int32)
    areas = _areas(mask, layout.regions)
    by_id = list(zip(layout.regions, layout.region_channels, strict=True))
    points, keypoints = read_points(reading.seen, layout, spec, working, size)
    signals, of_places = read_signals(reading, layout)
    # What was copied to a frame may be cut away whole, by a mask's decoder or by what is painted.
    signals = {i: found if areas[i] or not found else gone(found) for i, found in signals.items()}
    return TrackedFrame(
        source.index,
        source.pts_seconds,
        source.rgb,
        mask,
        areas,
        {i: reading.entropy.get(c, 0.0) for i, c in by_id},
        source.duration_seconds,
        confidence={i: reading.confidence.get(c, 0.0) if areas[i] else 0.0 for i, c in by_id},
        present={i: areas[i] > 0 for i, _ in by_id},
        points=points,
        boxes=read_boxes(reading, layout, working, size),
        keypoints=keypoints,
        cut=reading.cut,
        reliability={i: estimate(found) for i, found in signals.items()},
        signals=signals,
        place_reliability={name: estimate_place(name[0], s) for name, s in of_places.items()},
        place_signals=of_places,
    )
