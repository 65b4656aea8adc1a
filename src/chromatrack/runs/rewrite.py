"""A saved run's files written anew after a correction: prepared aside, put in place at the end."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.atomic import unwritable
from chromatrack.errors import InputError, OutputError
from chromatrack.formats.csv_tables import TrackData
from chromatrack.formats.masks import frame_file, read_mask, write_mask
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.reliability import ReviewRange, Told, look_at_rows, things_to_look_at
from chromatrack.runs.files import TrackFiles
from chromatrack.runs.marks_json import plain_marks
from chromatrack.runs.reader import Result
from chromatrack.runs.writer import frame_row, indented
from chromatrack.structures import LabelName, Skeleton, TrackedBox, TrackedKeypoints, TrackedPoint
from chromatrack.tracking.inference import TrackedFrame
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.reliability import places_row, read_places_row
from chromatrack.video.reader import Frame, probe, read_frames


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A folder inside `folder` for files to be, gone afterwards with what is still in it.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        stage = tempfile.TemporaryDirectory(dir=folder, prefix=".correct-")
    except OSError as error:
        raise unwritable(folder, error) from error
    with stage:
        yield Path(stage.name)


@dataclass
class _Found:
    """What a correction found on one frame, of the labels it was about."""

    labels: set[LabelName] = field(default_factory=set)
    entropy: dict[int, float] = field(default_factory=dict)
    confidence: dict[int, float] = field(default_factory=dict)
    reliability: dict[int, float] = field(default_factory=dict)
    place_reliability: dict[LabelName, float] = field(default_factory=dict)
    points: dict[int, TrackedPoint] = field(default_factory=dict)
    boxes: dict[int, TrackedBox] = field(default_factory=dict)
    keypoints: dict[int, TrackedKeypoints] = field(default_factory=dict)


@dataclass
class Rewriting:
    """Takes in corrected frames, then writes the whole run with them.

    result, data: the run as it was saved, and its result.json. marks, skeleton: all that is now
    marked. stage: where files are prepared. Masks wait on disk, so memory holds no pictures.
    look_at: frames on which tracking may have failed, the worst first, once all is written.
    """

    result: Result
    data: dict[str, Any]
    marks: Marks
    skeleton: Skeleton | None
    stage: Path
    found: dict[int, _Found] = field(default_factory=dict)
    look_at: list[ReviewRange] = field(default_factory=list)
    layout: Layout = field(init=False)

    def __post_init__(self) -> None:
        self.layout = self.marks.layout()
        self._rows: dict[tuple[str, int], dict[int, int]] = {}
        for kind in ("point", "box", "keypoints"):
            for number, track in self.result.tracks(kind).items():
                self._rows[kind, number] = {f: n for n, f in enumerate(track.frames.tolist())}

    def take(self, frame: TrackedFrame, labels: Collection[LabelName]) -> None:
        """Take in a frame that was tracked again for some labels."""
        found = self.found.setdefault(frame.index, _Found())
        found.labels |= set(labels)
        ids = {i for kind, i, _ in labels if kind == "object"}
        if ids:
            self._paint(frame, ids)
            found.entropy |= {i: frame.entropy[i] for i in ids}
            found.confidence |= {i: frame.confidence[i] for i in ids}
            known = frame.reliability
            found.reliability |= {i: known[i] for i in ids if i in known}
        told = frame.place_reliability
        found.place_reliability |= {name: told[name] for name in labels if name in told}
        found.points |= frame.points
        found.boxes |= frame.boxes
        for number, pose in frame.keypoints.items():
            again = [j for kind, i, j in labels if kind == "joint" and i == number]
            under = found.keypoints.get(number) or self._old_pose(number, frame.index, pose)
            found.keypoints[number] = _with_joints(under, pose, again)

    def _paint(self, frame: TrackedFrame, ids: set[int]) -> None:
        """Stage the frame's mask: the old one, the objects found now, what the user painted."""
        mask = self._mask(frame.index)
        mask = np.where(np.isin(mask, sorted(ids)), 0, mask)
        mask = np.where(np.isin(frame.mask, sorted(ids)), frame.mask, mask)
        painted = self.marks.masks.get(frame.index)
        if painted is not None:
            mask = np.where(painted > 0, painted, mask)
        write_mask(self.stage / "masks" / frame_file(frame.index), mask)

    def _mask(self, index: int) -> np.ndarray:
        """Object ids `(H, W)` int32 of a frame as far as they are known now."""
        staged = self.stage / "masks" / frame_file(index)
        if staged.exists():
            return read_mask(staged)
        if not self.result.objects:
            return np.zeros(self.result.size, dtype=np.int32)
        return self.result.mask(index)

    def _old_pose(self, number: int, index: int, like: TrackedKeypoints) -> TrackedKeypoints:
        row = self._rows.get(("keypoints", number), {}).get(index)
        if row is None:
            return like
        return _pose(self.result.keypoints[number], row)

    def write(self, video: str) -> Iterator[int]:
        """Prepare the tables, the overlay video and result.json; yields every frame's number."""
        tables = Layout((), self.layout.boxes, self.layout.points)
        fps = probe(video).average_fps
        files = TrackFiles(
            self.stage,
            tables,
            video=video,
            fps=fps,
            skeleton=self.skeleton,
            show_reliability=bool(self.data.get("show_reliability", False)),
        )
        first, last = self.result.frames[0].index, self.result.frames[-1].index
        rows: list[str] = []
        reliability: list[tuple[int, Told]] = []
        with files:
            frames = read_frames(video, start=first, end=last + 1)
            for frame, row in zip(frames, self.data["frames"], strict=False):
                whole = self._whole(frame, row)
                files.write(whole)
                rows.append(self._row(whole, row))
                reliability.append((frame.index, whole.reliability_by_kind))
                yield frame.index
        if len(rows) < len(self.data["frames"]):
            raise InputError(
                f"{video}: expected {len(self.data['frames'])} frames from {first} on as in the "
                f"run, got {len(rows)}; name the video that was tracked"
            )
        self._write_result(rows, look_at_rows(reliability))
        self.look_at = things_to_look_at(reliability)

    def _row(self, whole: TrackedFrame, row: Mapping[str, Any]) -> str:
        """A frame's entry: as it was, but for what was corrected on the frame."""
        labels = self._labels(whole.index)
        if any(kind == "object" for kind, _, _ in labels):
            return frame_row(whole)
        if not labels:
            return json.dumps(row)
        return json.dumps({**row, "place_reliability": places_row(whole.place_reliability)})

    def _labels(self, index: int) -> set[LabelName]:
        return self.found[index].labels if index in self.found else set()

    def _whole(self, frame: Frame, row: Mapping[str, Any]) -> TrackedFrame:
        """One frame with everything on it, found now or before."""
        now, index = self.found.get(frame.index, _Found()), frame.index
        mask = self._mask(index)
        ids = self.layout.regions
        areas = {i: int((mask == i).sum()) for i in ids}

        def told(name: str, found: dict[int, float]) -> dict[int, float]:
            old = {int(i): value for i, value in row.get(name, {}).items()}
            return {i: float(found.get(i, old.get(i)) or 0.0) for i in ids}

        return TrackedFrame(
            index,
            float(row["pts_seconds"]),
            frame.rgb,
            mask,
            areas,
            told("entropy", now.entropy),
            frame.duration_seconds,
            confidence={
                i: value if areas[i] else 0.0
                for i, value in told("confidence", now.confidence).items()
            },
            present={i: areas[i] > 0 for i in ids},
            points=self._tracked("point", _point, now.points, index),
            boxes=self._tracked("box", _box, now.boxes, index),
            keypoints=self._tracked("keypoints", _pose, now.keypoints, index),
            cut=bool(row.get("cut", False)),
            reliability=self._reliability(index, row),
            place_reliability=self._place_reliability(index, row),
        )

    def _reliability(self, index: int, row: Mapping[str, Any]) -> dict[int, float]:
        """By object, as found now or as the run said; runs of older versions did not."""
        again = {i for kind, i, _ in self._labels(index) if kind == "object"}
        old = {int(i): float(value) for i, value in row.get("reliability", {}).items()}
        kept = {i: value for i, value in old.items() if i not in again}
        known = kept | (self.found[index].reliability if index in self.found else {})
        return {i: known[i] for i in self.layout.regions if i in known}

    def _place_reliability(self, index: int, row: Mapping[str, Any]) -> dict[LabelName, float]:
        """The same of boxes, points and joints, by name."""
        again, told = self._labels(index), read_places_row(row.get("place_reliability", {}))
        kept = {name: value for name, value in told.items() if name not in again}
        return kept | (self.found[index].place_reliability if index in self.found else {})

    def _tracked(self, kind: Any, make: Any, now: Mapping[int, Any], index: int) -> dict[int, Any]:  # noqa: ANN401
        """Things of one kind on a frame: those found now, and those that were not looked for."""
        part = "joint" if kind == "keypoints" else kind
        again = {i for k, i, _ in self._labels(index) if k == part}
        kept = {}
        for number, track in self.result.tracks(kind).items():
            row = self._rows[kind, number].get(index)
            if row is not None and (number not in again or kind == "keypoints"):
                kept[number] = make(track, row)
        return kept | dict(now)

    def _write_result(self, rows: list[str], look_at: list[dict[str, int | float]]) -> None:
        layout = self.layout
        head = {key: value for key, value in self.data.items() if key != "frames"}
        head |= {
            "marked_frames": self.marks.frames(),
            "objects": list(layout.regions),
            "points": [number for kind, number, _ in layout.points if kind == "point"],
            "boxes": list(layout.boxes),
            "keypoints": sorted({number for kind, number, _ in layout.points if kind == "joint"}),
            "marks": plain_marks(self.marks, self.skeleton),
            "look_at": look_at,
        }
        top = "".join(f'  "{key}": {indented(value)},\n' for key, value in head.items())
        lines = ",\n".join(f"    {row}" for row in rows)
        text = f'{{\n{top}  "frames": [\n{lines}\n  ]\n}}\n'
        (self.stage / "result.json").write_text(text, encoding="utf-8")

    def put_in_place(self, new: Marks) -> None:
        """Move every prepared file to its place, result.json last.

        Args:
            new: the marks of this correction; their frames' masks are saved with the run.

        Raises:
            OutputError: a file cannot be written.
        """
        told = {*new.masks, *(mark.frame for mark in new.lost)}
        kept = {frame: mask for frame, mask in self.marks.masks.items() if frame in told}
        for frame, mask in kept.items():
            write_mask(self.stage / "marks" / frame_file(frame), mask)
        paths = [path for path in self.stage.rglob("*") if path.is_file()]
        try:
            for path in sorted(paths, key=lambda path: path.name == "result.json"):
                target = self.result.folder / path.relative_to(self.stage)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
            for frame in told - set(kept):
                (self.result.folder / "marks" / frame_file(frame)).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"{self.result.folder}: cannot be written ({error.strerror}); make it writable "
                "and correct again"
            ) from error


def _point(track: TrackData, row: int) -> TrackedPoint:
    x, y = track.values[row].tolist()
    return TrackedPoint(x, y, bool(track.visible[row]), float(track.confidence[row]))


def _box(track: TrackData, row: int) -> TrackedBox:
    x, y, width, height = track.values[row].tolist()
    visible, confidence = bool(track.visible[row]), float(track.confidence[row])
    return TrackedBox(x, y, width, height, visible=visible, confidence=confidence)


def _pose(track: TrackData, row: int) -> TrackedKeypoints:
    return TrackedKeypoints(track.values[row], track.visible[row], track.confidence[row])


def _with_joints(
    old: TrackedKeypoints, new: TrackedKeypoints, joints: list[int]
) -> TrackedKeypoints:
    """A pose with some joints of another one."""
    pick = np.isin(np.arange(len(old.joints)), joints)
    return TrackedKeypoints(
        np.where(pick[:, None], new.joints, old.joints),
        np.where(pick, new.visible, old.visible),
        np.where(pick, new.confidence, old.confidence),
    )
