"""Live sessions: frames pushed one by one, as from a camera, with marks whenever there are some."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict, TypeVar, Unpack, get_args

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.masks import check_mask
from chromatrack.ops.coords import Box
from chromatrack.propagation.exemplars import keep_view
from chromatrack.propagation.layout import Layout, channel_names
from chromatrack.structures import BoxMark, KeypointMark, Kind, LabelName, LostMark, PointMark
from chromatrack.tracking.close_up import SmallThing, small_things, warn_of_live
from chromatrack.tracking.embedder import FrameEmbedder
from chromatrack.tracking.inference import TrackedFrame, TrackerRun, tracked
from chromatrack.tracking.mark_checks import check_all, check_count
from chromatrack.tracking.mark_types import finite, joint_array, whole
from chromatrack.tracking.marks import Marks
from chromatrack.video.reader import Frame, VideoInfo


class LiveMarks(TypedDict, total=False):
    """Marks on the current frame, px.

    masks: `(H, W)` integer ids, 0 = nothing said. points: {id: (x, y)}. boxes: {id: (x, y, width,
    height)}. keypoints: {id: `(J, 2)` float xy}, NaN where a joint is not marked.
    """

    masks: np.ndarray | None
    points: Mapping[int, tuple[float, float]] | None
    boxes: Mapping[int, Box] | None
    keypoints: Mapping[int, np.ndarray] | None


_Value = TypeVar("_Value")


def start_session(
    embedder: FrameEmbedder,
    rgb: np.ndarray,
    *,
    pts_seconds: float = 0.0,
    **marks: Unpack[LiveMarks],
) -> Session:
    """Begin to track live frames; this is frame 0. Marks may also come later.

    A session in which everything is marked on frame 0 gives the frames of `Tracker.track` exactly,
    but for things smaller than a cell: those have no close-ups here, which is warned of.

    Args:
        rgb: `(H, W, 3)` uint8; all later frames have its size.
        pts_seconds: when the frame is shown.
        marks: what is on it, see `LiveMarks`.

    Raises:
        InputError: not a frame, or marks as in `Session.add`.
    """
    session = Session(embedder, rgb, pts_seconds=pts_seconds)
    if any(given is not None for given in marks.values()):
        session.add(**marks)
    return session


class Session:
    """Labels carried through frames as they come; memory does not grow with their number.

    Marks are put on the current frame, the last one pushed. The state before it is kept, so that
    the current frame can be done again with what was said about it.
    """

    def __init__(
        self, embedder: FrameEmbedder, rgb: np.ndarray, *, pts_seconds: float = 0.0
    ) -> None:
        """A session that tracks nothing yet. Raises InputError if `rgb` is no frame."""
        pts_seconds = finite(pts_seconds, "pts_seconds", "seconds")
        self._began = time.monotonic() - pts_seconds
        self._frame = Frame(_frame_pixels(rgb, None), 0, pts_seconds)
        self._run = TrackerRun("live frames", Marks(), 0, self._frame, embedder=embedder)
        self._now = self._run.new_pass()
        self._before = self._now.fork()
        self._result = self._track()

    @property
    def result(self) -> TrackedFrame:
        """What was found on the current frame."""
        return self._result

    @property
    def layout(self) -> Layout:
        """What is tracked: ids of regions, boxes, points and joints."""
        return self._run.layout

    def step(self, rgb: np.ndarray, *, pts_seconds: float | None = None) -> TrackedFrame:
        """Push the next frame and find everything on it.

        Args:
            rgb: `(H, W, 3)` uint8, of the size of the first one.
            pts_seconds: when it is shown, after the last one; None: now, by the clock.

        Raises:
            InputError: a frame of another size or type, or a time that is not later.
        """
        return self._push(rgb, pts_seconds, Marks())

    def take_over(self, rgb: np.ndarray, *, pts_seconds: float, marks: Marks) -> TrackedFrame:
        """Push the next frame with what another session found on it: labelled, but not by the user.

        It counts as a recent frame. The frames that the user marked stay what is copied from, and
        what doubt is measured by.

        Args:
            rgb, pts_seconds: as of `step`. marks: things that are tracked, on this frame; what is
                not to be seen is declared lost.

        Raises:
            InputError: as `step`.
        """
        bank, redetector = self._now.propagator.bank, self._now.labels.redetector
        marked = [*bank.marked]
        views = {channel: [*body.views] for channel, body in redetector.objects.items()}
        self._push(rgb, pts_seconds, marks)
        bank.marked = marked
        redetector.marked.pop(self._frame.index, None)
        for channel, body in redetector.objects.items():
            if views.get(channel) and not body.lost:
                found, body.views = body.views[0], views[channel]
                keep_view(body.views, found)
        return self._result

    def _push(self, rgb: np.ndarray, pts_seconds: float | None, marks: Marks) -> TrackedFrame:
        last = self._frame
        shown = _frame_pixels(rgb, last.rgb.shape[:2])
        if pts_seconds is None:
            pts_seconds = max(
                time.monotonic() - self._began, np.nextafter(last.pts_seconds, np.inf)
            )
        pts_seconds = finite(pts_seconds, "pts_seconds", "seconds")
        if not pts_seconds > last.pts_seconds:
            raise InputError(
                f"frame {last.index + 1}: expected pts_seconds after the last frame's "
                f"{last.pts_seconds:g}, got {pts_seconds:g}; push frames in order"
            )
        self._frame = Frame(shown, last.index + 1, float(pts_seconds))
        self._run.marks = marks
        self._before = self._now.fork()
        self._result = self._track()
        return self._result

    def add(self, **marks: Unpack[LiveMarks]) -> TrackedFrame:
        """Track more things from the current frame on.

        Args:
            marks: see `LiveMarks`.

        Returns:
            The current frame, done again.

        Raises:
            InputError: an id that is tracked already, nothing marked, or something outside the
                frame; the session is as it was.
        """
        return self.add_marks(self._marks(**marks))

    def add_marks(self, new: Marks) -> TrackedFrame:
        """The same of marks on the current frame, as files of marks give them."""
        self._check(new)
        known = {name[:2] for name in (*channel_names(self.layout), *self.layout.unmarked)}
        double = sorted({name[:2] for name in new.labels()} & known)
        if double:
            raise InputError(
                f"add: expected new ids, but {double[0][0]} {double[0][1]} is tracked already; "
                "use correct"
            )
        layout = self.layout.grown(new.layout())
        check_count(layout, **self._run.embedder.room(self._frame.rgb.shape[:2]))
        warn_of_live(self._small(new))
        return self._redo(new, layout)

    def correct(self, **marks: Unpack[LiveMarks]) -> TrackedFrame:
        """Say where tracked things really are on the current frame; later frames follow from it.

        Args:
            marks: see `LiveMarks`; of ids that are tracked already. Joints that were not marked
                so far are tracked from here on.

        Returns:
            The current frame, done again.

        Raises:
            InputError: an id that is not tracked, nothing marked, or something outside the frame;
                the session is as it was.
        """
        new = self._marks(**marks)
        self._check(new)
        names, layout = set(new.labels()), self.layout
        self._check_known(names - set(layout.unmarked))
        first = tuple(name for name in layout.unmarked if name in names)
        return self._redo(new, layout.grown(Layout(points=first)))

    def lost(
        self, number: int, *, kind: Kind = "object", joints: Sequence[int] | None = None
    ) -> TrackedFrame:
        """Say that something is not to be seen on the current frame; it may be found again later.

        Args:
            number: its id. kind: what it is.
            joints: of keypoints, numbers of the joints that are hidden; None: all that are tracked.

        Returns:
            The current frame, done again.

        Raises:
            InputError: nothing of that kind and id is tracked.
        """
        names = self._names(kind, number)
        index = self._frame.index
        if kind == "object":
            new = Marks(lost=[LostMark(number, index)])
        elif kind == "box":
            new = Marks(boxes=[BoxMark(number, index, None, None, None, None)])
        elif kind == "point":
            new = Marks(points=[PointMark(number, index, None, None)])
        else:
            tracked_ones = [joint for _, _, joint in names - set(self.layout.unmarked)]
            numbers = tracked_ones if joints is None else _joint_numbers(joints)
            self._check_known({("joint", number, joint) for joint in numbers})
            count = self.layout.joints()[number]
            hidden = np.isin(np.arange(count), numbers)
            nowhere = np.full((count, 2), np.nan)
            new = Marks(keypoints=[KeypointMark(number, index, nowhere, hidden)])
        return self._redo(new, self.layout)

    def remove(self, kind: Kind, number: int) -> TrackedFrame:
        """Track something no longer; its id is free again.

        Returns:
            The current frame without it.

        Raises:
            InputError: nothing of that kind and id is tracked.
        """
        names = self._names(kind, number)
        layout = self.layout.without(names)
        for run in (self._before, self._now):
            run.relabel(layout)
        self._run.layout = layout
        self._run.marks = self._run.marks.restricted_to(channel_names(layout))
        self._result = _without(self._result, kind, number)
        return self._result

    # -- parts -----------------------------------------------------------------------------

    def _track(self) -> TrackedFrame:
        frame = self._run.input(self._frame)
        reading = self._now.step(frame)
        kept = {mark.index for mark in self._now.propagator.bank.marked}
        self._now.labels.redetector.forget_marked(kept=kept)
        return tracked(frame, reading, self._run)

    def _small(self, new: Marks) -> list[SmallThing]:
        """Those of new marks that are smaller than a cell, so that a run would enlarge them."""
        size, embedder = self._frame.rgb.shape[:2], self._run.embedder
        working = embedder.config.working_size(size)
        return small_things(new, frame_size=size, working_size=working, stride=embedder.spec.stride)

    def _redo(self, new: Marks, layout: Layout) -> TrackedFrame:
        """Do the current frame again with more marks and perhaps more labels."""
        self._before.relabel(layout)
        self._now = self._before.fork()
        self._run.layout = layout
        self._run.marks = self._run.marks.merged_with(new)
        self._result = self._track()
        return self._result

    def _names(self, kind: Kind, number: int) -> set[LabelName]:
        """Labels of one tracked thing, those of its unmarked joints among them."""
        if kind not in get_args(Kind):
            choices = ", ".join(map(repr, get_args(Kind)))
            raise InputError(f"kind: expected one of {choices}, got {kind!r:.60}")
        number = whole(number, f"{kind}: id")
        part = "joint" if kind == "keypoints" else kind
        all_names = (*channel_names(self.layout), *self.layout.unmarked)
        names = {name for name in all_names if name[:2] == (part, number)}
        if not names:
            self._check_known({(part, number, 0)})
        return names

    def _check_known(self, names: set[LabelName]) -> None:
        known = channel_names(self.layout)
        for kind, number, joint in sorted(names - set(known)):
            ids = sorted({i for k, i, _ in known if k == kind})
            what = f"joint {joint} of keypoints {number}" if kind == "joint" else f"{kind} {number}"
            there = ", ".join(map(str, ids)) if ids else "none"
            raise InputError(
                f"{what}: is not tracked (ids of its kind that are: {there}); add it first"
            )

    def _check(self, new: Marks) -> None:
        """Raises InputError unless the marks hold something, inside the frame."""
        index, (height, width) = self._frame.index, self._frame.rgb.shape[:2]
        info = VideoInfo("live frames", height, width, None, None, None, "", "", 0, False)
        check_all(new, info, start=index, end=index + 1)
        if any(m.x is None for m in [*new.points, *new.boxes]):
            raise InputError("expected places, got None; use lost for what is not to be seen")

    def _marks(self, **given: Unpack[LiveMarks]) -> Marks:
        """What the user gives for the current frame, as marks on it."""
        index, masks = self._frame.index, given.get("masks")
        unknown = sorted(set(given) - set(LiveMarks.__annotations__))
        if unknown:
            known = ", ".join(LiveMarks.__annotations__)
            raise InputError(f"{unknown[0]}: expected one of {known}")
        points, boxes = _by_id(given, "points"), _by_id(given, "boxes")
        poses = []
        for number, joints in _by_id(given, "keypoints").items():
            xy = joint_array(joints, f"keypoints {number}")
            poses.append(KeypointMark(number, index, xy, np.zeros(len(xy), dtype=bool)))
        return Marks(
            {} if masks is None else {index: check_mask(masks)},
            [PointMark(n, index, *_values(xy, 2, f"point {n}")) for n, xy in points.items()],
            [BoxMark(n, index, *_values(box, 4, f"box {n}")) for n, box in boxes.items()],
            poses,
        )


def _joint_numbers(joints: object) -> list[int]:
    if not isinstance(joints, Sequence | np.ndarray) or isinstance(joints, str):
        raise InputError(f"joints: expected numbers of joints, got {type(joints).__name__}")
    return [whole(joint, "joints") for joint in joints]


def _by_id(given: Mapping[str, Any], name: str) -> dict[int, Any]:
    """{id: what was given for it} of one kind.

    Raises:
        InputError: no mapping, or something else than ids.
    """
    marks = given.get(name)
    if marks is None:
        return {}
    if not isinstance(marks, Mapping):
        raise InputError(f"{name}: expected {{id: place}}, got {type(marks).__name__}")
    return {whole(number, f"{name}: id"): place for number, place in marks.items()}


def _values(given: object, count: int, what: str) -> list[float]:
    if not isinstance(given, Sequence | np.ndarray) or isinstance(given, str | bytes):
        raise InputError(f"{what}: expected {count} numbers, got {given!r:.60}")
    if len(given) != count:
        raise InputError(f"{what}: expected {count} numbers, got {len(given)}: {given!r:.60}")
    return [finite(value, what) for value in given]


def _frame_pixels(rgb: np.ndarray, size: tuple[int, ...] | None) -> np.ndarray:
    """A copy of a pushed frame: cameras hand out one buffer again and again."""
    if not isinstance(rgb, np.ndarray):
        raise InputError(f"expected a frame (H, W, 3) uint8 RGB, got {type(rgb).__name__}")
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
        raise InputError(f"expected a frame (H, W, 3) uint8 RGB, got {rgb.shape} {rgb.dtype}")
    if size is not None and rgb.shape[:2] != size:
        raise InputError(
            f"expected a frame of {size[1]}x{size[0]} pixels like the first, got "
            f"{rgb.shape[1]}x{rgb.shape[0]}; start a new session"
        )
    return np.array(rgb)


def _without(frame: TrackedFrame, kind: Kind, number: int) -> TrackedFrame:
    """A tracked frame that does not tell of one thing."""

    def rest(values: dict[int, _Value]) -> dict[int, _Value]:
        return {i: value for i, value in values.items() if i != number}

    if kind == "object":
        return replace(
            frame,
            mask=np.where(frame.mask == number, 0, frame.mask).astype(np.int32),
            areas=rest(frame.areas),
            entropy=rest(frame.entropy),
            confidence=rest(frame.confidence),
            present=rest(frame.present),
            reliability=rest(frame.reliability),
            signals=rest(frame.signals),
        )
    name = ("joint" if kind == "keypoints" else kind, number)
    values, signals = frame.place_reliability, frame.place_signals
    frame = replace(
        frame,
        place_reliability={thing: v for thing, v in values.items() if thing[:2] != name},
        place_signals={thing: s for thing, s in signals.items() if thing[:2] != name},
    )
    if kind == "box":
        return replace(frame, boxes=rest(frame.boxes))
    if kind == "point":
        return replace(frame, points=rest(frame.points))
    return replace(frame, keypoints=rest(frame.keypoints))
