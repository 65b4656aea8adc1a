"""Live tracking: pictures as they come in, lines and an annotated video as they are found out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from chromatrack.errors import (
    ChromatrackError,
    DamagedVideoError,
    InputError,
    OutputError,
    VideoError,
)
from chromatrack.json_text import json_text
from chromatrack.runs.files import overlay_frame
from chromatrack.runs.progress import stop_on_interrupt, told
from chromatrack.runs.things_table import Extent, extents, things_of
from chromatrack.structures import Skeleton, TrackedKeypoints
from chromatrack.tracking.inference import TrackedFrame
from chromatrack.tracking.live_tracker import LiveTracker, warm_up
from chromatrack.tracking.mark_checks import fit_skeleton
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.pace import Pace, levels
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.encoding import USUAL, Quality
from chromatrack.video.live_source import BrokenStreamError, LivePicture
from chromatrack.video.newest import Newest, StalledError
from chromatrack.video.writer import VideoWriter
from chromatrack.viz.track_overlays import Trails

SCHEMA_VERSION = 1
"""Of the lines; raised when a key changes its meaning or goes."""

TRAIL = 30
"""Frames for which the annotated video shows where a point came from."""


@dataclass(frozen=True)
class LiveOutputs:
    """Where results go.

    lines: a line of JSON for each frame, at once; None: nowhere. video: annotated, .mp4 or .mkv,
    H.264. quality: of that.
    """

    lines: TextIO | None = None
    video: Path | None = None
    quality: Quality = USUAL


@dataclass(frozen=True)
class LiveLimits:
    """How live frames are taken, and when it is enough.

    fps: frames a second that are wanted: frames are looked at more coarsely to keep up. every: drop
    no frame. frames, seconds: end after so many frames; when a frame is shown so long after the
    first. timeout: seconds without a frame after which the source has stalled.

    Raises InputError for what is not possible.
    """

    fps: float | None = None
    every: bool = False
    frames: int | None = None
    seconds: float | None = None
    timeout: float = 10.0

    def __post_init__(self) -> None:
        """Check all."""
        if self.fps is not None and not 0.01 <= self.fps <= 1000:
            raise InputError(f"fps: expected 0.01 to 1000 frames a second, got {self.fps:g}")
        if self.frames is not None and self.frames < 1:
            raise InputError(f"max-frames: expected 1 or more, got {self.frames}")
        if self.seconds is not None and not (math.isfinite(self.seconds) and self.seconds > 0):
            raise InputError(f"seconds: expected more than 0, got {self.seconds:g}")


@dataclass
class LiveSummary:
    """What a live run came to.

    frames: tracked. dropped: came, but a newer one was there before they could be tracked. seconds:
    wall-clock from the first frame on. changes: of the working size.
    """

    frames: int = 0
    dropped: int = 0
    seconds: float = 0.0
    changes: int = 0

    def __str__(self) -> str:
        count = "1 frame" if self.frames == 1 else f"{self.frames} frames"
        more, changes = self.frames - 1, ""
        rate = f" ({more / self.seconds:.1f} frames/s)" if more and self.seconds > 0 else ""
        if self.changes:
            changes = f"; the working size was changed {self.changes} times"
        return f"{count} tracked in {self.seconds:.1f} s{rate}, {self.dropped} dropped{changes}"


@dataclass
class _LiveRun:
    """The state of a live run. tell: says what happens to the person, not to the program."""

    tracker: Tracker
    outputs: LiveOutputs
    limits: LiveLimits
    tell: Callable[[str], None]
    clock: Callable[[], float]
    now: Callable[[], float]
    summary: LiveSummary = field(default_factory=LiveSummary)
    marks: Marks = field(default_factory=Marks)
    skeleton: Skeleton | None = None
    live: LiveTracker | None = None
    pace: Pace | None = None
    video: VideoWriter | None = None
    trails: Trails = field(default_factory=lambda: Trails(TRAIL))
    said_behind: bool = False

    def begin(self, picture: LivePicture, marks: Marks, marked: np.ndarray | None) -> TrackedFrame:
        """Start with the marked picture; what is found on the first one of the stream."""
        self.skeleton = fit_skeleton(marks.skeleton, marks.keypoints)
        self.marks = marks
        rgb, embedder = picture.rgb, self.tracker.embedder
        if self.limits.fps is not None:
            chosen = levels(
                embedder.config,
                frame_size=rgb.shape[:2],  # type: ignore[arg-type]
                marks=marks,
                stride=embedder.spec.stride,
            )
            self.pace = Pace(self.limits.fps, chosen)
        if marked is None:
            self.live = LiveTracker(embedder, rgb, marks, pts_seconds=picture.seconds)
            return self.live.result
        self.live = LiveTracker(embedder, marked, marks, pts_seconds=picture.seconds - 1.0)
        return self.live.step(rgb, pts_seconds=picture.seconds)

    def put(self, picture: LivePicture, found: TrackedFrame, dropped: int) -> None:
        """Tell of a frame, the line first: others wait for it."""
        assert self.live is not None
        if self.outputs.lines is not None:
            row = {
                "schema_version": SCHEMA_VERSION,
                "frame": self.summary.frames,
                "source_frame": picture.number,
                "dropped": dropped,
                "seconds": round(picture.seconds, 4),
                "time": datetime.fromtimestamp(picture.arrived, UTC).isoformat("T", "milliseconds"),
                "delay_seconds": round(max(0.0, self.now() - picture.arrived), 4),
                "working_size": self.live.size,
                "cut": found.cut,
                "things": things_row(found, self.marks, self.skeleton),
            }
            self.outputs.lines.write(json_text(row) + "\n")
            self.outputs.lines.flush()
        if self.video is not None:
            self._draw(picture, found)
        self.summary.frames += 1
        self.summary.dropped = dropped

    def _draw(self, picture: LivePicture, found: TrackedFrame) -> None:
        assert self.video is not None
        if found.cut:
            self.trails.clear()
        self.trails.add(found.points)
        shown = overlay_frame(
            found,
            skeleton=self.skeleton,
            trails=self.trails,
            names=self.marks.names,
            colors=self.marks.colors,
            categories=self.marks.categories,
        )
        self.video.write(shown, pts_seconds=picture.seconds)

    def keep_up(self, took: float) -> None:
        """Look more coarsely or finely from the next frame on, if the time asks for it."""
        if self.pace is None or self.live is None:
            return
        was, per_frame = self.pace.level, self.pace.seconds
        if self.pace.add(took):
            per_frame = per_frame or took
            before = self.live.size
            self.live.change(self.pace.levels[self.pace.level])
            self.summary.changes += 1
            self.said_behind = False
            way = "to keep up with" if self.pace.level > was else "as there is room beyond"
            self.tell(
                f"working size {before} -> {self.live.size}, {way} {self.pace.fps:g} frames/s "
                f"(at {before} it is {1 / per_frame:.1f})"
            )
        elif self.pace.is_behind and not self.said_behind:
            self.said_behind = True
            self.tell(
                f"cannot keep up with {self.pace.fps:g} frames/s: "
                f"{1 / self.pace.seconds:.1f} at working size {self.live.size}, the smallest; "
                "frames are dropped"
            )


def track_live(
    tracker: Tracker,
    pictures: Iterator[LivePicture],
    *,
    name: str,
    read_marks: Callable[[np.ndarray], Marks],
    outputs: LiveOutputs,
    marked: np.ndarray | None = None,
    limits: LiveLimits = LiveLimits(),
    tell: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], float] = time.time,
) -> LiveSummary:
    """Track what is marked through pictures as they come; the newest one is always next.

    A frame's line is written before the next is taken. However it ends, the lines are whole and the
    annotated video plays; without any frame there is none.

    Args:
        pictures: of a `LiveSource`; read in a thread of its own.
        name: of the source, for messages.
        read_marks: the marks on a `(H, W, 3)` uint8 picture, as frame 0.
        outputs: where results go.
        marked: picture that the marks are on, of the stream's size; None: its first one.
        limits: how frames are taken, and when it is enough.
        tell: called with a line when the working size changes, and with the summary.
        clock, now: seconds that pass, and since 1970.

    Raises:
        InputError: as `LiveTracker`. VideoError: the source cannot be opened, or gives no picture.
        DamagedVideoError: it broke off or stalled after some frames.
        KeyboardInterrupt: a signal ended it.
        OutputError: the annotated video cannot be written; an mkv file keeps what it holds.
        OSError: the lines cannot be written.
    """
    run = _LiveRun(tracker, outputs, limits, tell, clock, now)
    unwritten: OSError | None = None
    warm_up(tracker.embedder)
    with stop_on_interrupt() as check, Newest(pictures, every=limits.every) as newest:
        try:
            first = _first(newest, name, limits.timeout, check)
            if marked is not None and marked.shape != first.rgb.shape:
                sizes = [f"{p.shape[1]}x{p.shape[0]}" for p in (first.rgb, marked)]
                raise InputError(
                    f"marked: expected a picture of {sizes[0]} px like {name}, got {sizes[1]}; "
                    "take one with --snapshot"
                )
            marks = read_marks(first.rgb if marked is None else marked)
            with ExitStack() as stack:
                if outputs.video is not None:
                    # mp4 and mkv alike: what is lossless is too much for hours
                    writer = VideoWriter(
                        outputs.video, codec="h264", at_once=True, **asdict(outputs.quality)
                    )
                    run.video = stack.enter_context(writer)
                try:
                    _follow(run, newest, name, first, marks, marked, check)
                except OutputError as error:  # no more room for the video: hours may be in it
                    assert run.video is not None
                    if run.video.path.suffix.lower() != ".mkv":
                        raise
                    run.video.keep()
                    raise OutputError(f"{error}; what was written until then is kept") from error
                except OSError as error:  # whoever read the lines has left: the video is finished
                    if isinstance(error, ChromatrackError):
                        raise
                    unwritten = error
        except KeyboardInterrupt as interrupt:
            done = f"after {run.summary.frames} frames" if run.summary.frames else "before a frame"
            raise told(interrupt, done) from None
        finally:
            if run.summary.frames:
                tell(str(run.summary))
    if unwritten is not None:
        raise unwritten
    return run.summary


def _first(
    newest: Newest[LivePicture], name: str, timeout: float, check: Callable[[], None]
) -> LivePicture:
    """The first picture. Raises VideoError where none comes."""
    try:
        # opening has its own time limit, of which it says more
        first = newest.take(timeout=2 * timeout + 5, idle=check)
    except (BrokenStreamError, StalledError) as error:
        raise VideoError(f"{name}: {error}; is it sending?") from error
    if first is None:
        raise VideoError(f"{name}: ended without a picture")
    return first


def _follow(
    run: _LiveRun,
    newest: Newest[LivePicture],
    name: str,
    picture: LivePicture,
    marks: Marks,
    marked: np.ndarray | None,
    check: Callable[[], None],
) -> None:
    """Track pictures until the source or the limits end it."""
    found = run.begin(picture, marks, marked)
    limits, began = run.limits, run.clock()
    run.put(picture, found, _dropped(newest, picture))
    while True:
        run.summary.seconds = run.clock() - began
        check()
        if limits.frames is not None and run.summary.frames >= limits.frames:
            return
        following = _next(run, newest, name, check)
        if following is None:
            return
        if limits.seconds is not None and following.seconds >= limits.seconds:
            return
        taken = run.clock()
        assert run.live is not None
        found = run.live.step(following.rgb, pts_seconds=following.seconds)
        run.put(following, found, _dropped(newest, following))
        run.keep_up(run.clock() - taken)


def _next(
    run: _LiveRun, newest: Newest[LivePicture], name: str, check: Callable[[], None]
) -> LivePicture | None:
    """The newest picture, None at the end. Raises DamagedVideoError where the source failed."""
    frames = run.summary.frames
    try:
        return newest.take(timeout=run.limits.timeout, idle=check)
    except BrokenStreamError as error:
        raise DamagedVideoError(str(error), frame_index=frames) from error
    except StalledError as error:
        text = f"{name}: stalled: {error}, after {frames} tracked frames; is it still sending?"
        raise DamagedVideoError(text, frame_index=frames) from error


def _dropped(newest: Newest[LivePicture], picture: LivePicture) -> int:
    """Pictures up to this one that were not tracked."""
    return picture.number + 1 - newest.taken


def things_row(
    frame: TrackedFrame, marks: Marks, skeleton: Skeleton | None
) -> list[dict[str, Any]]:
    """Everything tracked on a frame, as the lines have it; null where nothing is seen of it."""
    found, reliability = extents(frame), frame.reliability_by_kind
    rows = []
    for kind, number in things_of(marks.layout()):
        extent = found.get((kind, number))
        trust = reliability.get(kind, {}).get(number)
        row: dict[str, Any] = {"kind": kind, "id": number}
        if (kind, number) in marks.names:
            row["name"] = marks.names[kind, number]
        row |= {"present": extent is not None, **_place(extent)}
        row["reliability"] = None if trust is None else round(trust, 4)
        if kind == "keypoints" and skeleton is not None:
            row["joints"] = _joints(frame.keypoints[number], skeleton)
        rows.append(row)
    return rows


def _place(extent: Extent | None) -> dict[str, Any]:
    if extent is None:
        return {"x": None, "y": None, "box": None, "area": None}
    return {
        "x": round(float(extent.xy[0]), 2),
        "y": round(float(extent.xy[1]), 2),
        "box": None if extent.box is None else [round(float(side), 2) for side in extent.box],
        "area": None if extent.area is None else round(float(extent.area), 1),
    }


def _joints(pose: TrackedKeypoints, skeleton: Skeleton) -> dict[str, list[float] | None]:
    """{joint: [x, y], or null where it is not seen}."""
    return {
        name: [round(float(value), 2) for value in xy] if visible else None
        for name, xy, visible in zip(skeleton.names, pose.joints, pose.visible, strict=True)
    }
