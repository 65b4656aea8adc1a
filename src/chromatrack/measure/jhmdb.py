"""JHMDB, 15 joints of a person: read a clip's published annotation, track the joints, score them.

    CLIP/joint_positions.mat    `pos_img`, 2 x 15 x frames: x and y of every joint
    CLIP/*.avi, or pictures     its frames, beside the annotation or named apart

MATLAB counts pixels from 1, so 1 is taken off: a place is then in pixels from the centre of the
top-left one. Joints are scored in the clip's own pixels (CRW first brings frames to 320x320, which
weighs x and y of other shapes differently). Needs SciPy: `pip install 'chromatrack[measure]'`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from chromatrack.errors import InputError, LayoutError
from chromatrack.formats.keypoints import KeypointMark, TrackedKeypoints
from chromatrack.image_files import IMAGE_SUFFIXES
from chromatrack.measure.kind_report import in_order
from chromatrack.measure.pose_metrics import JHMDB_ALPHAS, jhmdb_pck, joint_rates
from chromatrack.video import probe

JHMDB_JOINTS = (
    "neck", "belly", "face", "right shoulder", "left shoulder", "right hip", "left hip",
    "right elbow", "left elbow", "right knee", "left knee", "right wrist", "left wrist",
    "right ankle", "left ankle",
)  # fmt: skip
"""Names of the joints, in the order of the file."""

PERSON = 1
"""The id under which the person is tracked."""

VIDEO_SUFFIXES = frozenset({".avi", ".mp4", ".mov", ".mkv"})


class KeypointFrame(Protocol):
    """What is read of a tracked frame."""

    @property
    def index(self) -> int: ...  # 0-based frame number

    @property
    def keypoints(self) -> Mapping[int, TrackedKeypoints]: ...


class KeypointTracker(Protocol):
    """Anything that tracks a skeleton's joints through a video, in order."""

    def track(
        self, video: Path, *, keypoints: Sequence[KeypointMark], end: int
    ) -> Iterable[KeypointFrame]:
        """`keypoints` are marked on frame 0; `end` is exclusive."""
        ...


@dataclass(frozen=True)
class JhmdbClip:
    """One clip: `video` is a file or a folder of pictures; joints (T, 15, 2) float64 xy pixels.

    inside: (15,) bool: the joint lies within the first frame, and so can be given.
    """

    name: str
    video: Path
    joints: np.ndarray
    inside: np.ndarray


def read_jhmdb(
    folder: str | PathLike[str], *, video: str | PathLike[str] | None = None
) -> JhmdbClip:
    """Read one clip's joints, and find its frames.

    Args:
        folder: the clip's folder, with joint_positions.mat.
        video: its frames (a video or a folder of pictures); by default what lies in `folder`.

    Raises:
        LayoutError: no annotation or frames there, or not as published.
        InputError: SciPy is not installed. VideoError: the frames cannot be read.
    """
    base = Path(folder)
    joints = _read_positions(base / "joint_positions.mat")
    source = _find_video(base) if video is None else Path(video)
    info = probe(source)
    if info.frame_count is not None and info.frame_count < len(joints):
        raise LayoutError(
            f"'{source}' has {info.frame_count} frames; '{base}' has joints for {len(joints)}"
        )
    x, y = joints[0].T
    inside = (x >= 0) & (x <= info.width - 1) & (y >= 0) & (y <= info.height - 1)
    if not inside.any():
        raise LayoutError(
            f"'{base}': no joint of the first frame lies in {info.width}x{info.height}"
        )
    return JhmdbClip(name=base.name, video=source, joints=joints, inside=inside)


def track_pose(clip: JhmdbClip, *, tracker: KeypointTracker) -> np.ndarray:
    """Track the joints from the first frame; those outside that frame are not marked.

    Returns:
        (T, 15, 2) float64 xy pixels; NaN where the tracker gives no frame or no joint. A best guess
        counts also where the joint is reported hidden.

    Raises:
        InputError: the tracker's frames are not in order, or its joints are not 15.
    """
    frames = len(clip.joints)
    given = np.where(clip.inside[:, None], clip.joints[0], np.nan)
    mark = KeypointMark(id=PERSON, frame=0, joints=given, lost=np.zeros(len(given), dtype=bool))
    found = np.full(clip.joints.shape, np.nan)
    tracked = tracker.track(clip.video, keypoints=[mark], end=frames)
    for frame in in_order(tracked, name=clip.name, start=0, end=frames):
        person = frame.keypoints.get(PERSON)
        if person is None:
            continue
        if person.joints.shape != given.shape:
            raise InputError(
                f"{clip.name}: expected joints {given.shape} from the tracker, "
                f"came {person.joints.shape}"
            )
        found[frame.index] = person.joints
    return found


def evaluate_jhmdb(
    clips: Iterable[JhmdbClip],
    *,
    tracker: KeypointTracker,
    alphas: Sequence[float] = JHMDB_ALPHAS,
    compat: Literal["crw"] | None = None,
) -> dict[str, Any]:
    """Track the joints of every clip from its first frame, and score them.

    Args:
        clips: what `read_jhmdb` gives.
        tracker: has `.track(video, keypoints=[KeypointMark], end=)`.
        alphas, compat: as in `pose_metrics.joint_rates`.

    Returns:
        {"benchmark", "compat", "scores": {"PCK@0.1": ...}, "joints": {name: rate at the first
        alpha}, "sequences": {name: {"PCK@0.1": ..., "frames", "dropped": joints not predicted}}}.

    Raises:
        LayoutError: no clip. InputError: see `track_pose` and `joint_rates`.
    """
    tracked = [(clip, track_pose(clip, tracker=tracker)) for clip in clips]
    if not tracked:
        raise LayoutError("JHMDB: expected at least one clip, came none")
    pairs = [(found, clip.joints) for clip, found in tracked]
    rates = joint_rates(pairs, alpha=alphas[0], compat=compat)

    def scores(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
        return {f"PCK@{alpha:g}": jhmdb_pck(pairs, alpha=alpha, compat=compat) for alpha in alphas}

    return {
        "benchmark": "jhmdb",
        "compat": compat,
        "scores": scores(pairs),
        "joints": dict(zip(JHMDB_JOINTS, rates.tolist(), strict=True)),
        "sequences": {
            clip.name: {
                **scores([(found, clip.joints)]),
                "frames": len(found) - 1,
                "dropped": int(np.isnan(found[1:]).any(axis=-1).sum()),
            }
            for clip, found in tracked
        },
    }


def _read_positions(path: Path) -> np.ndarray:
    """(T, 15, 2) float64 xy from `pos_img`, counted from 0."""
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise InputError(
            "joint_positions.mat is read by SciPy, which is not installed; "
            "pip install 'chromatrack[measure]'"
        ) from error
    if not path.is_file():
        raise LayoutError(f"no '{path}'; expected a folder of JHMDB's joint_positions")
    damaged = (
        MatReadError, OSError, ValueError, TypeError, IndexError, NotImplementedError, zlib.error
    )  # fmt: skip
    try:
        content = loadmat(path, variable_names=["pos_img"])
    except damaged as error:
        raise LayoutError(f"cannot read '{path}' as a MATLAB file: {error}") from error
    places = content.get("pos_img")
    shape = None if places is None else places.shape
    expected = (2, len(JHMDB_JOINTS))
    if places is None or places.ndim != 3 or places.shape[:2] != expected or places.shape[2] < 2:
        raise LayoutError(
            f"'{path}': expected pos_img of 2 x 15 x frames (2 or more), came {shape}"
        )
    if places.dtype.kind not in "fiu" or not np.isfinite(places).all():
        raise LayoutError(f"'{path}': expected finite numbers in pos_img, came others")
    return np.ascontiguousarray(places.transpose(2, 1, 0), dtype=np.float64) - 1


def _find_video(folder: Path) -> Path:
    """The one video in a folder, or the folder itself when it holds pictures."""
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    if len(videos) == 1:
        return videos[0]
    if not videos and any(path.suffix.lower() in IMAGE_SUFFIXES for path in files):
        return folder
    raise LayoutError(
        f"'{folder}' holds {len(videos)} videos and is to hold one, or pictures; name the frames"
    )
