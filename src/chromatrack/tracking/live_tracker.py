"""Tracking of live frames at a working size that may change on the way."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from chromatrack.errors import InputError
from chromatrack.structures import BoxMark, KeypointMark, LostMark, PointMark
from chromatrack.tracking.embedder import FrameEmbedder
from chromatrack.tracking.inference import TrackedFrame
from chromatrack.tracking.mark_checks import check_all, dated
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.pace import Level
from chromatrack.tracking.session import Session
from chromatrack.video.reader import VideoInfo


class LiveTracker:
    """A session on live frames that goes on at another working size when told to.

    Features of one size say nothing of another's. So a new session is begun at the new size with
    the picture and marks of the user, and given the last frame with what was found on it. Kept for
    that: these two pictures, whatever the number of frames.
    """

    def __init__(
        self, embedder: FrameEmbedder, rgb: np.ndarray, marks: Marks, *, pts_seconds: float = 0.0
    ) -> None:
        """Begin with the frame that is marked.

        Args:
            rgb: `(H, W, 3)` uint8; all later frames have its size.
            marks: on it, as frame 0.

        Raises:
            InputError: marks on other frames, nothing marked, or something outside the frame.
        """
        self._embedder, self._marks = embedder, check_first(marks, rgb)
        self._rgb, self._began = np.array(rgb), pts_seconds
        self.level: Level | None = None
        self._session = self._begin(embedder)
        self._shown_at = pts_seconds

    @property
    def result(self) -> TrackedFrame:
        """What was found on the current frame."""
        return self._session.result

    @property
    def size(self) -> int:
        """Short side in px at which frames are looked at."""
        height, width = self._rgb.shape[:2]
        return min(self._at(self.level).config.working_size((height, width)))

    def step(self, rgb: np.ndarray, *, pts_seconds: float) -> TrackedFrame:
        """Push the next frame and find everything on it; as `Session.step`."""
        found = self._session.step(rgb, pts_seconds=pts_seconds)
        self._shown_at = pts_seconds
        return found

    def change(self, level: Level) -> None:
        """Look at frames from here on as finely as `level` says; the current frame stays as it is.

        What was seen on it is carried over; what was not is looked for again at the new size.
        """
        if level == self.level:
            return
        last, at = self._session.result, self._shown_at
        self.level = level
        self._session = self._begin(self._at(level))
        if at > self._began:
            self._session.take_over(last.rgb, pts_seconds=at, marks=marks_of(last, index=1))

    def _begin(self, embedder: FrameEmbedder) -> Session:
        session = Session(embedder, self._rgb, pts_seconds=self._began)
        session.add_marks(self._marks)
        return session

    def _at(self, level: Level | None) -> FrameEmbedder:
        if level is None:
            return self._embedder
        twin, config = copy.copy(self._embedder), self._embedder.config
        propagate = replace(config.propagate, recent=level.recent)
        twin.config = replace(config, size=level.size, propagate=propagate)
        return twin


def warm_up(embedder: FrameEmbedder) -> None:
    """Track a made-up picture twice, so that what is set up at first use is before the film runs.

    Compiling takes seconds, in which what is marked on a live picture would move away.
    """
    rng = np.random.default_rng(0)
    rgb = np.kron(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
    mask = np.zeros(rgb.shape[:2], np.int32)
    mask[24:72, 32:96] = 1
    marks = Marks({0: mask}, [PointMark(1, 0, 64.0, 48.0)], [BoxMark(1, 0, 8.0, 8.0, 48.0, 48.0)])
    live = LiveTracker(embedder, rgb, marks)
    for number in (1, 2):
        live.step(np.roll(rgb, 2 * number, axis=1), pts_seconds=float(number))


def check_first(marks: Marks, rgb: np.ndarray) -> Marks:
    """Marks that are all on frame 0, inside it, with their values as plain floats.

    Raises:
        InputError: which are not, or nothing is marked.
    """
    marks = marks.typed()
    for what, frame in dated(marks):
        if frame != 0:
            raise InputError(
                f"{what} on frame {frame}: expected frame 0, the one that is marked of live video"
            )
    height, width = rgb.shape[:2]
    info = VideoInfo("live frames", height, width, None, None, None, "", "", 0, False)
    check_all(marks, info, start=0, end=1)
    if any(mark.x is None for mark in [*marks.points, *marks.boxes]) or marks.lost:
        raise InputError("lost: expected things that are seen on the first frame, got absent ones")
    return marks


def marks_of(found: TrackedFrame, *, index: int) -> Marks:
    """What was found on a frame, as marks on frame `index`; what is not seen is declared lost."""
    size = found.rgb.shape[:2]
    seen = [number for number, here in found.present.items() if here]
    mask = np.where(np.isin(found.mask, seen), found.mask, 0)
    points = [
        PointMark(i, index, *(_inside(p.x, p.y, size) if p.visible else (None, None)))
        for i, p in found.points.items()
    ]
    boxes = [
        BoxMark(i, index, b.x, b.y, b.width, b.height)
        if b.visible
        else BoxMark(i, index, None, None, None, None)
        for i, b in found.boxes.items()
    ]
    poses = []
    for i, pose in found.keypoints.items():
        known = np.isfinite(pose.joints).all(axis=1)
        joints = np.clip(pose.joints, 0, (size[1] - 1, size[0] - 1))
        joints[~(pose.visible & known)] = np.nan
        poses.append(KeypointMark(i, index, joints, known & ~pose.visible))
    lost = [LostMark(i, index) for i in found.present if i not in seen]
    return Marks({index: mask} if mask.any() else {}, points, boxes, poses, lost)


def _inside(x: float, y: float, size: tuple[int, int]) -> tuple[float, float]:
    return min(max(x, 0.0), size[1] - 1.0), min(max(y, 0.0), size[0] - 1.0)
