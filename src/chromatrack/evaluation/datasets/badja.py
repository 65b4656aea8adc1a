"""BADJA, joints of animals: read the published annotations and a DAVIS folder, track, score.

The annotations (Biggs et al. 2018, github.com/benjiebob/BADJA) are of DAVIS sequences, and of a few
other clips, which are left out and told; fetch both data sets yourself.

    ROOT/bear.json, or ROOT/joint_annotations/bear.json: a list with an entry per annotated frame,
        {"image_path": "DAVIS/JPEGImages/Full-Resolution/bear/00002.jpg",
         "joints": [[row, column], ...], "visibility": [true, ...], ...}
    DAVIS/JPEGImages/480p/bear/00002.jpg     DAVIS/Annotations/480p/bear/00002.png

Rows and columns count pixels of the 1920x1080 frames from 0 and are taken as pixel centres; they
are brought to the size of the frames in the DAVIS folder. The lists number the 37 joints of the
SMAL animal model, of which the data set's own catalogue scores 20 (`BADJA_JOINTS`); the chin (34),
annotated here and there, is not among them. The animal's area is that of everything the DAVIS
annotation of the frame marks, as others do. The first annotated frame is given and not scored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from chromatrack.errors import LayoutError
from chromatrack.evaluation.datasets.davis import IMAGE_SUFFIXES, read_annotation
from chromatrack.evaluation.metrics.keypoints import badja_accuracy
from chromatrack.evaluation.runner import Benchmark, ClipReport, Result, Tick, chosen, in_order
from chromatrack.ops.coords import rescale_points
from chromatrack.structures import PointMark, TrackedPoint
from chromatrack.video.images import frame_files

BADJA_SIZE = (1080, 1920)
"""(height, width) of the frames that the joints of the DAVIS clips were annotated on."""

BADJA_JOINTS = (8, 9, 10, 12, 13, 14, 15, 18, 19, 20, 22, 23, 24, 25, 28, 31, 32, 33, 35, 36)
"""The SMAL joints that count: legs, neck, tail, jaw, nose and ears."""

SCORE = "PCK@0.2"


class PointFrame(Protocol):
    """What is read of a tracked frame."""

    @property
    def index(self) -> int: ...  # 0-based frame number

    @property
    def points(self) -> Mapping[int, TrackedPoint]: ...


class PointTracker(Protocol):
    """Anything that tracks points through the frames of a folder, in order."""

    def track(
        self, video: Path, *, points: Sequence[PointMark], start: int, end: int
    ) -> Iterable[PointFrame]:
        """All `points` are marked on frame `start`; `end` is exclusive."""
        ...


@dataclass(frozen=True)
class BadjaClip:
    """One animal: the annotated frames that the DAVIS folder has, T of them, and J joints.

    folder: its frames. frames: 0-based frame numbers in it, ascending. joint_ids: SMAL numbers.
    joints: (T, J, 2) float64 xy pixels of the frames; NaN where not visible. visible: (T, J) bool.
    areas: (T,) float64 pixels of the animal. left_out: annotated frames the folder lacks.
    """

    name: str
    folder: Path
    frames: tuple[int, ...]
    joint_ids: tuple[int, ...]
    joints: np.ndarray
    visible: np.ndarray
    areas: np.ndarray
    left_out: int

    @property
    def frame_count(self) -> int:
        """How many frames are tracked, annotated or not."""
        return self.frames[-1] + 1 - self.frames[0]


def read_badja(
    annotations: str | PathLike[str],
    davis: str | PathLike[str],
    *,
    joints: Literal["scored", "all"] = "scored",
) -> BadjaClip:
    """Read the joints of one animal, brought to the size of its frames.

    Args:
        annotations: the animal's JSON file.
        davis: folder with JPEGImages and Annotations of DAVIS; 480p when there, else what is.
        joints: "scored" are those of `BADJA_JOINTS` (all, if none of them is annotated); "all" are
            those visible anywhere.

    Raises:
        LayoutError: a file is missing, or is not what the layout says.
    """
    path = Path(annotations)
    entries = _entries(path)
    name = Path(entries[0]["image_path"]).parent.name
    images, masks = _folders(Path(davis), name)
    numbers = {file.stem: index for index, file in enumerate(frame_files(images, IMAGE_SUFFIXES))}
    stems = [Path(entry["image_path"]).stem for entry in entries]
    there = [index for index, stem in enumerate(stems) if stem in numbers]
    if len(there) < 2:
        raise LayoutError(
            f"'{images}' holds {len(there)} of the {len(stems)} frames annotated in '{path}'; "
            "at least 2 are needed"
        )
    areas, frame_size = _areas([masks / f"{stems[index]}.png" for index in there])
    places, visible = _joints([entries[index] for index in there], path=path)
    ids = _joint_ids(visible, joints)
    places = rescale_points(places, from_size=BADJA_SIZE, to_size=frame_size)
    return BadjaClip(
        name=name,
        folder=images,
        frames=tuple(numbers[stems[index]] for index in there),
        joint_ids=ids,
        joints=np.where(visible[..., None], places, np.nan)[:, ids],
        visible=visible[:, ids],
        areas=areas,
        left_out=len(stems) - len(there),
    )


def track_joints(clip: BadjaClip, *, tracker: PointTracker, tick: Tick | None = None) -> np.ndarray:
    """Track the joints that are visible on the first annotated frame, as points with their ids.

    Returns:
        (T, J, 2) float64 xy pixels; NaN for joints not visible there, and where the tracker gives
        no frame or no point. A point's best guess counts also where it is reported hidden.
    """
    marks = [
        PointMark(id=joint, frame=clip.frames[0], x=float(x), y=float(y))
        for joint, (x, y), seen in zip(clip.joint_ids, clip.joints[0], clip.visible[0], strict=True)
        if seen
    ]
    start, end = clip.frames[0], clip.frames[-1] + 1
    rows = {frame: row for row, frame in enumerate(clip.frames)}
    columns = {joint: column for column, joint in enumerate(clip.joint_ids)}
    found = np.full(clip.joints.shape, np.nan)
    tracked = tracker.track(clip.folder, points=marks, start=start, end=end)
    for frame in in_order(tracked, name=clip.name, start=start, end=end, tick=tick):
        for joint, point in frame.points.items():
            if frame.index in rows and joint in columns:
                found[rows[frame.index], columns[joint]] = point.x, point.y
    return found


def badja_benchmark(
    root: str | PathLike[str],
    davis: str | PathLike[str],
    *,
    joints: Literal["scored", "all"] = "scored",
    sequences: Iterable[str] | None = None,
) -> Benchmark:
    """Find the animals whose frames the DAVIS folder has.

    Args:
        root: folder of the annotations. davis, joints: as in `read_badja`.
        sequences: only these animals (`bear`), all of which must be in the DAVIS folder.

    Raises:
        LayoutError: see `read_badja`, or no annotation or none of their clips is there.
        InputError: an unknown animal.
    """
    base = Path(root)
    inner = base / "joint_annotations"
    files = sorted((inner if inner.is_dir() else base).glob("*.json"))
    if not files:
        raise LayoutError(f"'{base}' holds no annotation; expected BADJA's bear.json, ... there")
    paths = chosen({path.stem: path for path in files}, sequences)
    there = {name: path for name, path in paths.items() if sequences or _has_clip(path, davis)}
    if not there:
        raise LayoutError(
            f"'{davis}' has the frames of none of {', '.join(paths)}; expected DAVIS with "
            "JPEGImages/480p and Annotations/480p"
        )
    return Benchmark(
        name="badja",
        clips=tuple(read_badja(path, davis, joints=joints) for path in there.values()),
        measure=measure_badja,
        combine=combine_badja,
        settings={"joints": joints, "not_in_davis": [name for name in paths if name not in there]},
        reads=(Path(root), Path(davis)),
    )


def measure_badja(
    clip: BadjaClip,
    *,
    tracker: PointTracker,
    folder: Path | None = None,
    tick: Tick | None = None,
) -> ClipReport:
    """Track the joints of one animal from its first annotated frame, and score them.

    Returns:
        {"PCK@0.2", "joints": tracked, "frames": scored, "left_out_frames"}.
    """
    found = track_joints(clip, tracker=tracker, tick=tick)
    return {
        SCORE: badja_accuracy(found, clip.joints, clip.visible, clip.areas),
        "joints": int(clip.visible[0].sum()),
        "frames": len(clip.frames) - 1,
        "left_out_frames": clip.left_out,
    }


def combine_badja(reports: Mapping[str, ClipReport]) -> Result:
    """{"scores": {"PCK@0.2": the mean over the animals}}."""
    return {"scores": {SCORE: float(np.mean([report[SCORE] for report in reports.values()]))}}


def _has_clip(path: Path, davis: str | PathLike[str]) -> bool:
    name = Path(_entries(path)[0]["image_path"]).parent.name
    return any((Path(davis) / "JPEGImages").glob(f"*/{name}/"))


def _entries(path: Path) -> list[dict[str, Any]]:
    """The file's list in the order of its frames; every entry has the keys that are read."""
    try:
        entries = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise LayoutError(f"cannot read '{path}': {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise LayoutError(f"'{path}' is no JSON: {error}; expected BADJA's list") from error
    keys = {"image_path", "joints", "visibility"}
    if not isinstance(entries, list) or not entries:
        raise LayoutError(f"'{path}': expected a list with an entry per frame, got another thing")
    for number, entry in enumerate(entries):
        where = f"'{path}', entry {number}:"
        if not isinstance(entry, dict) or not keys <= entry.keys():
            raise LayoutError(f"{where} expected {', '.join(sorted(keys))}; got {entry!r:.60}")
        if not isinstance(entry["image_path"], str):
            raise LayoutError(f"{where} image_path is {entry['image_path']!r:.60}")
    clips = {Path(entry["image_path"]).parent.name for entry in entries}
    if len(clips) > 1:
        raise LayoutError(f"'{path}': expected frames of one clip, got {', '.join(sorted(clips))}")
    stems = [Path(entry["image_path"]).stem for entry in entries]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
        raise LayoutError(f"'{path}': expected an entry per frame, got two for {twice[0]}")
    return sorted(entries, key=lambda entry: Path(entry["image_path"]).stem)


def _joints(entries: Sequence[Mapping[str, Any]], *, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(T, K, 2) float64 xy pixels of the annotated frames, and (T, K) bool visibility."""
    rows = [_entry_joints(entry, f"'{path}', {entry['image_path']}") for entry in entries]
    counts = sorted({len(places) for places, _ in rows})
    if len(counts) > 1:
        raise LayoutError(f"'{path}': expected one number of joints on all frames, got {counts}")
    return np.array([places for places, _ in rows]), np.array([visible for _, visible in rows])


def _entry_joints(entry: Mapping[str, Any], where: str) -> tuple[np.ndarray, np.ndarray]:
    """(K, 2) float64 xy pixels and (K,) bool visibility of one annotated frame."""
    seen = entry["visibility"]
    try:
        joints = np.array(entry["joints"], dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise LayoutError(f"{where}: joints are not [row, column] each: {error}") from error
    if joints.ndim != 2 or joints.shape[1] != 2:
        raise LayoutError(f"{where}: expected joints as [row, column] each, got {joints.shape}")
    if not isinstance(seen, list) or len(seen) != len(joints):
        raise LayoutError(f"{where}: expected {len(joints)} visibilities, got {seen!r:.60}")
    visible = np.array([bool(value) for value in seen])
    outside = visible & ~((joints >= 0) & (joints < BADJA_SIZE)).all(axis=1)
    if outside.any():
        joint = int(np.flatnonzero(outside)[0])
        place, (height, width) = joints[joint].tolist(), BADJA_SIZE
        raise LayoutError(f"{where}: joint {joint} is at {place}, outside {width}x{height}")
    return joints[:, ::-1], visible


def _joint_ids(visible: np.ndarray, joints: Literal["scored", "all"]) -> tuple[int, ...]:
    ids = np.flatnonzero(visible.any(axis=0)).tolist()
    scored = [joint for joint in ids if joint in BADJA_JOINTS]
    return tuple(scored if joints == "scored" and scored else ids)


def _folders(base: Path, name: str) -> tuple[Path, Path]:
    """The clip's folders of images and annotations, in 480p when there."""
    sizes = sorted(folder.name for folder in (base / "JPEGImages").glob("*") if folder.is_dir())
    for size in sorted(sizes, key=lambda size: size != "480p"):
        images, masks = (base / kind / size / name for kind in ("JPEGImages", "Annotations"))
        if images.is_dir() and masks.is_dir():
            return images, masks
    raise LayoutError(
        f"'{base}' has no clip '{name}'; expected JPEGImages/480p/{name} and "
        f"Annotations/480p/{name}"
    )


def _areas(paths: Sequence[Path]) -> tuple[np.ndarray, tuple[int, int]]:
    """(T,) marked pixels per annotation, above 0, and their (height, width)."""
    areas, sizes = [], set()
    for path in paths:
        mask = read_annotation(path, year=2016)
        sizes.add(mask.shape)
        areas.append(np.count_nonzero(mask))
        if not areas[-1]:
            raise LayoutError(f"'{path}' marks no animal; its area is the measure of errors")
    if len(sizes) > 1:
        raise LayoutError(f"'{paths[0].parent}': expected masks of one size, got {sorted(sizes)}")
    height, width = sizes.pop()
    return np.array(areas, dtype=np.float64), (height, width)
