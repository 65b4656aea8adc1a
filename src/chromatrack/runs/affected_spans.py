"""The frames that new marks can change in a saved run, and the passes that do them again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

import torch

from chromatrack.errors import InputError
from chromatrack.propagation.bidirectional import (
    DirectedPass,
    Direction,
    FrameReading,
    ReadingCache,
    chunks_backward,
)
from chromatrack.propagation.exemplars import surroundings
from chromatrack.propagation.layout import channel_names
from chromatrack.propagation.merging import both_ways
from chromatrack.propagation.propagate import Input
from chromatrack.structures import LabelName
from chromatrack.tracking.inference import TrackedFrame, TrackerRun, tracked
from chromatrack.tracking.marks import Marks
from chromatrack.video.reader import Frame, read_frames

_WARM = 13  # frames that a cut detector remembers
_PRIMED = 8  # keyframes beyond a span whose surroundings lost objects are recognised by


@dataclass(frozen=True)
class FrameSpan:
    """Frames first..last (both included) on which some labels are tracked again.

    left, right: the keyframes that show all of them around the span and stay as they are; None
    where there is none, so that the span reaches to the end of the run. begin: the first frame that
    is to do, and the left keyframe is the last before it: those before it are done already, or stay
    as they are; None: the first. over: other objects that may lose pixels to the labels'
    (`found_under`); all else keeps its own.
    """

    labels: tuple[LabelName, ...]
    left: int | None
    right: int | None
    first: int
    last: int
    begin: int | None = None
    over: tuple[int, ...] = ()

    @property
    def start(self) -> int:
        """The first frame to do."""
        return self.first if self.begin is None else self.begin

    @property
    def frames(self) -> range:
        """Those to do."""
        return range(self.start, self.last + 1)

    @property
    def forward_from(self) -> int:
        """Where a forward pass begins that knows nothing yet."""
        return self.first if self.left is None else self.left

    @property
    def known(self) -> range:
        """Frames after the keyframe that such a pass looks at for its memory alone."""
        return range(self.first if self.left is None else self.left + 1, self.start)

    def within(self, part: range) -> FrameSpan:
        """The same where only frames of a part are done again, and all others stay."""
        begin = self.begin if part.start <= self.start else part.start
        return replace(self, begin=begin, last=min(self.last, part.stop - 1))


def part_of_run(start: int | None, end: int | None, run: range) -> range:
    """Frames [start, end) of a run; None: from its first, to its last.

    Raises:
        InputError: they are none, or not of the run.
    """
    first, after = run.start if start is None else start, run.stop if end is None else end
    if not run.start <= first < after <= run.stop:
        raise InputError(
            f"start, end: expected frames of the run, {run.start} <= start < end <= {run.stop}; "
            f"got {first} and {after}"
        )
    return range(first, after)


def find_spans(
    merged: Marks,
    new: Marks,
    *,
    first: int,
    last: int,
    removed: Collection[tuple[LabelName, int]] = (),
) -> list[FrameSpan]:
    """The frames that new marks can change, label by label; labels with one span go together.

    Args:
        merged: all marks, the new ones among them.
        first, last: frames of the run.
        removed: what is not said any more, of labels that are still shown on another frame.
    """
    said = new.labels()
    for name, frame in removed:
        said.setdefault(name, set()).add(frame)
    layout = merged.layout()
    keyframes = merged.keyframes(layout)
    names = channel_names(layout)
    gaps: dict[tuple[int | None, int | None], set[LabelName]] = {}
    for name, frames in said.items():
        if name in layout.unmarked:  # declared lost, but shown nowhere: there is nothing to track
            continue
        shown = {f for f, here in keyframes[names.index(name) + 1].items() if here}
        for frame in frames:
            left = max((f for f in shown - frames if f < frame), default=None)
            right = min((f for f in shown - frames if f > frame), default=None)
            gaps.setdefault((left, right), set()).add(name)
    return [
        FrameSpan(
            tuple(sorted(labels)),
            left,
            right,
            first if left is None else left + 1,
            last if right is None else min(last, right - 1),
        )
        for (left, right), labels in gaps.items()
    ]


@dataclass(frozen=True)
class SpanCount:
    """How often a span's passes look at a frame.

    known: of the forward ones, those that are told, and done for its memory alone. told: frames
    that the second pass, which writes them, is told to have.
    """

    backward: int
    forward: int
    known: int
    told: int

    @property
    def looks(self) -> int:
        """Both ways."""
        return self.backward + self.forward

    @property
    def stages(self) -> list[tuple[str, int]]:
        """As they are told, in order."""
        back = [("backward", self.backward)] if self.backward else []
        return [*back, ("correct", self.told)]


def count_steps(
    spans: Iterable[FrameSpan],
    merged: Marks,
    direction: Direction,
    *,
    kept: Collection[FrameSpan] = (),
) -> list[SpanCount]:
    """How often the network will look at a frame: backward from the right, forward from the left.

    Args:
        merged: all marks, the new ones among them. kept: spans whose forward pass goes on.
    """
    layout = merged.layout()
    names, by_channel = channel_names(layout), merged.keyframes(layout)
    keyframes = {name: by_channel[number + 1] for number, name in enumerate(names)}
    counts = []
    for span in spans:
        forward = backward = known = 0
        if direction != "backward":
            forward = span.last - (span.start if span in kept else span.forward_from) + 1
            known = 0 if span in kept else len(span.known)
        shown = [f for n in span.labels for f, here in keyframes[n].items() if here]
        inside = [f for f in shown if span.start <= f <= span.last]
        top = span.right if span.right is not None else max(inside, default=None)
        if direction != "forward" and top is not None:
            backward = top - span.start + 1
        counts.append(SpanCount(backward, forward, known, known + span.last - span.start + 1))
    return counts


@dataclass
class SpanRun:
    """The passes over one span. steps: how many frames were labelled.

    on_backward: called with how many frames of the backward pass, which comes first, are done, and
    with how many it has. on_known: called with how many frames that are not to do the forward pass
    has looked at, for its memory. way: the forward pass, where it goes on with what it remembers.
    at: the last frame that it has labelled; None: it is in the midst of one.
    """

    run: TrackerRun
    span: FrameSpan
    on_backward: Callable[[int, int], None] = field(default=lambda *_: None)
    on_known: Callable[[int], None] = field(default=lambda _: None)
    way: DirectedPass | None = None
    at: int | None = None
    steps: int = 0

    def frames(self, direction: Direction) -> Iterator[TrackedFrame]:
        """Every frame of the span that is to do, with the span's labels only."""
        run, span, spool = self.run, self.span, None
        try:
            if direction != "forward":
                spool = self._backward()
            readings: Iterator[tuple[Input, FrameReading]]
            if direction == "backward":
                frames = read_frames(run.video, start=span.start, end=span.last + 1)
                readings = run.backward_only(frames, spool)
            elif spool is not None:
                readings = both_ways(self._forward(), spool, run.layout, run.keyframes)
            else:
                readings = self._forward()
            for frame, reading in readings:
                if frame.index >= span.start:
                    yield tracked(frame, reading, run)
                elif frame.index in span.known:
                    self.on_known(span.known.index(frame.index) + 1)
        finally:
            if spool is not None:
                spool.close()

    def _forward(self) -> Iterator[tuple[Input, FrameReading]]:
        begin = self.span.start if self.way is not None else self.span.forward_from
        way = self.way = self.way or self._primed(begin, backward=False)
        frames = read_frames(self.run.video, start=begin, end=self.span.last + 1)
        for given in self.run.inputs(frames):
            self.at = None
            reading = self._step(way, given)
            self.at = given.index
            yield given, reading

    def _backward(self) -> ReadingCache | None:
        """Down from the right keyframe, or from the last mark of the span."""
        shown = [f for frames in self.run.keyframes.values() for f, here in frames.items() if here]
        top = self.span.right
        if top is None:
            top = max((f for f in shown if self.span.start <= f <= self.span.last), default=None)
        if top is None:
            return None
        spool, way = ReadingCache(), self._primed(top, backward=True)
        size = self.run.first.rgb.nbytes
        for begin, after in chunks_backward(self.span.start, top, frame_bytes=size):
            frames = list(read_frames(self.run.video, start=begin, end=after))
            for given in self.run.inputs(reversed(frames)):
                spool.put(given.index, self._step(way, given))
                self.on_backward(top - given.index + 1, top - self.span.start + 1)
        return spool

    def _step(self, way: DirectedPass, frame: Input) -> FrameReading:
        reading = way.step(frame)
        self.steps += reading.regions is not None
        return reading

    @torch.inference_mode()
    def _primed(self, begin: int, *, backward: bool) -> DirectedPass:
        """A pass that knows of the frames before what a whole run's pass still remembers there.

        Those are the changes that are usual between frames, what surrounded the objects on earlier
        keyframes, and how points looked on the one before; all else starts anew at a keyframe.
        """
        run = self.run
        way = run.new_pass(backward=backward)
        given = [item for frames in run.keyframes.values() for item in frames.items()]
        beyond = {f for f, _ in given if f != begin and (f > begin) == backward}
        ends = [begin, *(f for f, here in given if here and f in beyond)]
        before = sorted(f for f in beyond if min(ends) <= f <= max(ends))
        if not before:
            return way
        for frame in self._just_before(begin, before, backward=backward):
            way.labels.cuts.is_cut(run.embedder.image(frame.rgb))
        if run.embedder.spec.clip_length == 1:
            self._recall_points(way, begin, backward=backward)
        if run.embedder.spec.clip_length == 1 and way.labels.redetect:
            seen = before[::-1] if backward else before
            way.labels.redetector.looks(run.embed(seen[0])[0])
            for keyframe in seen[-_PRIMED:]:
                features, frame = run.embed(keyframe)
                if frame.given is not None:
                    given = way.labels.prepare(frame.given, features, frame.image)
                    label_map = given.label_map
                    redetector = way.labels.redetector
                    looks = redetector.looks(features)
                    redetector.marked[keyframe] = surroundings(looks, label_map)
        return way

    def _recall_points(self, way: DirectedPass, begin: int, *, backward: bool) -> None:
        """Have the pass know how each point looks on the keyframe that is nearest before."""
        run, first = self.run, self.run.layout.first_point
        marked: dict[int, list[int]] = {}
        for number in range(len(run.layout.points)):
            shown = [f for f, here in run.keyframes[first + number].items() if here]
            before = [f for f in shown if f != begin and (f > begin) == backward]
            if before:
                nearest = min(before) if backward else max(before)
                marked.setdefault(nearest, []).append(number)
        for keyframe, numbers in marked.items():
            features, frame = run.embed(keyframe)
            if frame.given is not None:
                places = {number: frame.given.xy[first + number] for number in numbers}
                way.labels.points.recall(features, frame.image, places)

    def _just_before(self, begin: int, before: list[int], *, backward: bool) -> list[Frame]:
        """The last frames that a whole run's pass would have seen, in its order."""
        low, high = max(before[0], begin - _WARM), begin
        if backward:
            low, high = begin + 1, min(before[-1], begin + _WARM) + 1
        frames = list(read_frames(self.run.video, start=low, end=high))
        return frames[::-1] if backward else frames
