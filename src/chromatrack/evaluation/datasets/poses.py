"""A person's joints through a clip: what JHMDB and Penn Action share. Track, score, sum up.

All joints that the first frame shows are given there, and looked for on every later frame. A joint
counts where it is annotated as visible, if it was visible on the first frame, too: none can be
followed that was never shown. (JHMDB annotates all joints on all frames.)

`compat="crw"` is what CRW (Jabri et al. 2020) publishes, read from its code: every frame is brought
to 320 x 320 pixels before it is tracked, whatever its shape; places are brought back, so that
errors are pixels of the clip; joints that were not predicted are left out of the score and of the
box that tells the person's size. How labels are copied is the tracker's, not the score's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from chromatrack.errors import DamagedVideoError, InputError
from chromatrack.evaluation.metrics.keypoints import (
    PCK_ALPHAS,
    Compat,
    Counts,
    joint_counts,
    joint_errors,
    joint_rates,
    mean_rate,
    pooled_rate,
    pose_counts,
)
from chromatrack.evaluation.runner import AnyTracker, ClipReport, Result, Tick, in_order
from chromatrack.ops.coords import rescale_points
from chromatrack.structures import KeypointMark
from chromatrack.video.reader import probe, read_frames

PERSON = 1
"""The id under which the person is tracked."""

CRW_SIZE = (320, 320)
"""(height, width) that CRW brings frames of JHMDB to."""

BOX_ALPHA = 0.2
BOX_COLUMN = "PCK@0.2 box"
"""Share of joints within 0.2 of the longer side of the person's annotated box."""


@dataclass(frozen=True)
class PoseClip:
    """One clip: `video` is a file or a folder of pictures; joints (T, J, 2) float64 xy pixels.

    visible: (T, J) bool: annotated there; other places are not read. inside: (J,) bool: the place
    lies within the first frame. box_sides: (T,) float64 pixels, the longer side of the person's
    box, where a data set annotates one.
    """

    name: str
    video: Path
    joints: np.ndarray
    visible: np.ndarray
    inside: np.ndarray
    box_sides: np.ndarray | None = None

    @property
    def frame_count(self) -> int:
        """How many frames are tracked, the given one among them."""
        return len(self.joints)

    @property
    def given(self) -> np.ndarray:
        """(J,) bool: the joint is marked on the first frame."""
        return self.inside & self.visible[0]

    @property
    def counted(self) -> np.ndarray:
        """(T, J) bool: the joint is scored there, the first frame aside."""
        return self.visible & self.visible[:1]


def inside_frame(places: np.ndarray, *, width: int, height: int) -> np.ndarray:
    """(J,) bool, whether (J, 2) xy pixels lie between the centres of a frame's border pixels."""
    x, y = places.T
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def track_pose(
    clip: PoseClip, *, tracker: AnyTracker, compat: Compat = None, tick: Tick | None = None
) -> np.ndarray:
    """Track the joints that the first frame shows; with compat "crw", through 320 x 320 frames.

    Returns:
        (T, J, 2) float64 xy pixels of the clip; NaN where the tracker gives no frame or no joint. A
        best guess counts also where the joint is reported hidden.

    Raises:
        InputError: the tracker's frames are not in order, or its joints are not J.
    """
    if compat is None or not clip.given.any():
        return _track(clip, tracker=tracker, tick=tick)
    with TemporaryDirectory(prefix="chromatrack-") as folder:
        size = _write_resized(clip, Path(folder))
        joints = rescale_points(clip.joints, from_size=size, to_size=CRW_SIZE)
        small = replace(clip, video=Path(folder), joints=joints)
        found = _track(small, tracker=tracker, tick=tick)
    return rescale_points(found, from_size=CRW_SIZE, to_size=size)


def measure_pose(
    clip: PoseClip,
    *,
    tracker: AnyTracker,
    folder: Path | None = None,
    tick: Tick | None = None,
    compat: Compat = None,
) -> ClipReport:
    """Track one clip's joints, and count for every joint how often it is right.

    Args:
        tracker: has `.track(video, keypoints=[KeypointMark], end=)`.
        folder: not used, nothing is saved.
        compat: as in `pose_metrics.pose_counts`, and for the frames as in `track_pose`.

    Returns:
        {"PCK@0.1": score or None, ..., "frames": scored, "joints": given, "dropped": joints that
        count but were not predicted, "counts": {column: {"right": [J], "total": [J]}}}.

    Raises:
        InputError: see `track_pose`.
    """
    found = track_pose(clip, tracker=tracker, compat=compat, tick=tick)
    counts = _counts(clip, found, compat)
    missing = np.isnan(found).any(axis=-1) & clip.counted
    return {
        **{column: _score(column, *pair) for column, pair in counts.items()},
        "frames": clip.frame_count - 1,
        "joints": int(clip.given.sum()),
        "dropped": int(missing[1:].sum()),
        "counts": {
            column: {"right": right.tolist(), "total": total.tolist()}
            for column, (right, total) in counts.items()
        },
    }


def combine_poses(reports: Mapping[str, ClipReport], *, names: Sequence[str]) -> Result:
    """Sum up the counts of all clips, exactly: {"scores": {column}, "joints": {name: {column}}}.

    Args:
        reports: {clip: what `measure_pose` returns}, all with the same joints. names: the joints'.
    """
    columns = list(next(iter(reports.values()))["counts"])
    sums = {column: _sum(report["counts"][column] for report in reports.values())
            for column in columns}  # fmt: skip
    rates = {column: joint_rates(*pair).tolist() for column, pair in sums.items()}
    return {
        "scores": {column: _score(column, *pair) for column, pair in sums.items()},
        "joints": {
            name: {column: _number(rates[column][joint]) for column in columns}
            for joint, name in enumerate(names)
        },
    }


def _track(clip: PoseClip, *, tracker: AnyTracker, tick: Tick | None) -> np.ndarray:
    """(T, J, 2) places in the pixels of `clip.video`, NaN where there is none."""
    frames = clip.frame_count
    found = np.full(clip.joints.shape, np.nan)
    places = np.where(clip.given[:, None], clip.joints[0], np.nan)
    mark = KeypointMark(id=PERSON, frame=0, joints=places, lost=np.zeros(len(places), dtype=bool))
    tracked = tracker.track(clip.video, keypoints=[mark], end=frames) if clip.given.any() else ()
    for frame in in_order(tracked, name=clip.name, start=0, end=frames, tick=tick):
        person = frame.keypoints.get(PERSON)
        if person is None:
            continue
        if person.joints.shape != places.shape:
            raise InputError(
                f"{clip.name}: expected joints {places.shape} from the tracker, "
                f"got {person.joints.shape}"
            )
        found[frame.index] = person.joints
    return found


def _write_resized(clip: PoseClip, folder: Path) -> tuple[int, int]:
    """Write the clip's frames at CRW's size, bilinear, as pictures; its own (height, width).

    A stream that breaks off ends early; what is missing is not predicted, and so not in the score.
    """
    info = probe(clip.video)
    try:
        for frame in read_frames(clip.video, end=clip.frame_count, size=CRW_SIZE):
            Image.fromarray(frame.rgb).save(folder / f"{frame.index:06d}.png", compress_level=1)
    except DamagedVideoError as damage:
        if damage.frame_index == 0:
            raise
    return info.height, info.width


def _counts(clip: PoseClip, found: np.ndarray, compat: Compat) -> dict[str, Counts]:
    """Counts by column: PCK at every alpha, and by the annotated box where there is one."""
    counted = clip.counted
    counts = {
        f"PCK@{alpha:g}": pose_counts(
            found, clip.joints, alpha=alpha, counted=counted, compat=compat
        )
        for alpha in PCK_ALPHAS
    }
    if clip.box_sides is not None:
        errors = joint_errors(found, clip.joints, counted)
        judged = counted & np.isfinite(errors) if compat == "crw" else counted
        counts[BOX_COLUMN] = joint_counts(errors, clip.box_sides, alpha=BOX_ALPHA, counted=judged)
    return counts


def _sum(parts: Iterable[Mapping[str, Sequence[int]]]) -> Counts:
    pairs = [(part["right"], part["total"]) for part in parts]
    right, total = np.array(pairs, dtype=np.int64).sum(axis=0)
    return right, total


def _score(column: str, right: np.ndarray, total: np.ndarray) -> float | None:
    return _number((pooled_rate if column == BOX_COLUMN else mean_rate)(right, total))


def _number(score: float) -> Any:  # noqa: ANN401  (JSON has no NaN)
    return None if math.isnan(score) else score
