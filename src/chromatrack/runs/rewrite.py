"""A saved run's files written anew after a correction: prepared aside, put in place at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.csv_tables import TrackData
from chromatrack.formats.masks import frame_file, read_mask, write_mask
from chromatrack.json_text import json_text
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.reliability import (
    KindReliability,
    ReviewRange,
    look_at_rows,
    things_to_look_at,
)
from chromatrack.runs.file_names import RESULT, resume_files
from chromatrack.runs.files import OverlayStyle, TrackFiles
from chromatrack.runs.marks_json import plain_marks
from chromatrack.runs.reader import Result
from chromatrack.runs.result_file import frame_row, write_result
from chromatrack.runs.staging import Staging
from chromatrack.runs.unfinished import UNFINISHED, Unfinished, plain_unfinished
from chromatrack.runs.writer import marked_things
from chromatrack.structures import (
    Kind,
    LabelName,
    Source,
    TrackedBox,
    TrackedKeypoints,
    TrackedPoint,
)
from chromatrack.tracking.inference import TrackedFrame
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.reliability import places_row, read_places_row
from chromatrack.video.encoding import USUAL, Quality
from chromatrack.video.reader import Frame, probe, read_frames
from chromatrack.viz.overlays import Panel

_NONE = np.zeros((0, 0), dtype=np.int32)


@dataclass
class Rewriting:
    """Takes in corrected frames, then writes the whole run with them.

    result, data: the run as it was saved, and its result.json. marks: all that is now marked.
    staging: where files are prepared. Masks wait on disk, so memory holds no pictures. on_frame:
    called with every frame that was taken in.
    look_at: frames on which tracking may have failed, the worst first, once all is written.
    unfinished: what the corrections have left to do. needed: files of the run that they go on with.
    """

    result: Result
    data: dict[str, Any]
    marks: Marks
    staging: Staging
    on_frame: Callable[[TrackedFrame], None] | None = None
    look_at: list[ReviewRange] = field(default_factory=list)
    unfinished: list[Unfinished] = field(default_factory=list)
    needed: set[Path] = field(default_factory=set)
    layout: Layout = field(init=False)
    stage: Path = field(init=False)

    def __post_init__(self) -> None:
        self.layout = self.marks.layout()
        self.stage = self.staging.path
        # Of every frame that was tracked again: what was found, without pixels, of which labels.
        self._found: dict[int, list[tuple[TrackedFrame, tuple[LabelName, ...]]]] = defaultdict(list)
        self._rows: dict[tuple[Kind, int], dict[int, int]] = {}
        kinds: tuple[Kind, ...] = ("point", "box", "keypoints")
        for kind in kinds:
            for number, track in self.result.tracks(kind).items():
                self._rows[kind, number] = {f: n for n, f in enumerate(track.frames.tolist())}

    def take(
        self, frame: TrackedFrame, labels: Collection[LabelName], over: Collection[int] = ()
    ) -> None:
        """Take in a frame that was tracked again for some labels; over: as `FrameSpan.over`."""
        if ids := _ids(labels, "object"):
            self._paint(frame, ids, over)
        found = replace(frame, rgb=_NONE, mask=_NONE, signals={}, place_signals={})
        self._found[frame.index].append((found, tuple(labels)))
        if self.on_frame is not None:
            self.on_frame(frame)

    def _paint(self, frame: TrackedFrame, ids: set[int], over: Collection[int]) -> None:
        """Stage the frame's mask: the old one, the objects found now, what the user painted."""
        mask = self._mask(frame.index)
        mask = np.where(np.isin(mask, sorted(ids)), 0, mask)
        free = np.isin(mask, [0, *over])
        mask = np.where(np.isin(frame.mask, sorted(ids)) & free, frame.mask, mask)
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

    def write(self, video: Source) -> Iterator[int]:
        """Prepare the tables, the overlay video and result.json; yields every frame's number."""
        info = probe(video)
        files = TrackFiles(
            self.stage,
            self.layout,
            video=video,
            fps=info.average_fps,
            skeleton=self.marks.skeleton,
            names=self.marks.names,
            colors=self.marks.colors,
            categories=self.marks.categories,
            outputs=self.result.outputs,
            write_masks=False,
            style=_saved_style(self.data),
            display=info.display,
            quality=_saved_quality(self.data),
        )
        first, last = self.result.frames[0].index, self.result.frames[-1].index
        rows: list[str] = []
        reliability: list[tuple[int, KindReliability]] = []
        with files:
            frames: Iterable[Frame] = read_frames(video, start=first, end=last + 1)
            if "overlay" not in self.result.outputs:  # nothing else shows the pictures
                frames = (Frame(_NONE, one.index, one.pts_seconds) for one in self.result.frames)
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
        head = {key: self.data[key] for key in self.data if key not in ("frames", UNFINISHED)}
        if self.unfinished:
            head[UNFINISHED] = plain_unfinished(self.unfinished)
        head |= marked_things(self.marks)
        head |= {
            "marks": plain_marks(self.marks),
            "look_at": look_at_rows(reliability),
        }
        write_result(self.stage, head, rows)
        self.look_at = things_to_look_at(reliability)

    def _row(self, whole: TrackedFrame, row: Mapping[str, Any]) -> str:
        """A frame's entry: as it was, but for what was corrected on the frame."""
        labels = self._labels(whole.index)
        if any(kind == "object" for kind, _, _ in labels):
            return frame_row(whole)
        if not labels and not self.layout.unmarked:
            return json_text(row)
        return json_text({**row, "place_reliability": places_row(whole.place_reliability)})

    def _labels(self, index: int) -> set[LabelName]:
        return {name for _, labels in self._found.get(index, ()) for name in labels}

    def _whole(self, frame: Frame, row: Mapping[str, Any]) -> TrackedFrame:
        """One frame with everything on it, found now or before."""
        index, ids, mask = frame.index, self.layout.regions, self._mask(frame.index)
        areas = {i: int((mask == i).sum()) for i in ids}

        def saved(name: str) -> dict[int, float]:
            try:
                return {int(i): float(value or 0.0) for i, value in row.get(name, {}).items()}
            except (AttributeError, TypeError, ValueError) as error:
                raise InputError(
                    f"{self.result.folder / RESULT}: expected {name} of frame {index} as numbers "
                    f"by object ({error}); track the video again"
                ) from error

        whole = TrackedFrame(
            index,
            float(row["pts_seconds"]),
            frame.rgb,
            mask,
            areas,
            dict.fromkeys(ids, 0.0) | saved("entropy"),
            frame.duration_seconds,
            confidence=dict.fromkeys(ids, 0.0) | saved("confidence"),
            present={i: areas[i] > 0 for i in ids},
            points=self._saved("point", _point, index),
            boxes=self._saved("box", _box, index),
            keypoints=self._saved("keypoints", _pose, index),
            cut=bool(row.get("cut", False)),
            reliability=saved("reliability"),
            place_reliability=read_places_row(row.get("place_reliability", {})),
        )
        for found, labels in self._found.get(index, ()):
            _enter(whole, found, labels)
        _forget_joints(whole, self.layout.unmarked)
        return replace(
            whole,
            entropy={i: whole.entropy[i] for i in ids},
            confidence={i: whole.confidence[i] if areas[i] else 0.0 for i in ids},
            reliability={i: whole.reliability[i] for i in ids if i in whole.reliability},
        )

    def _saved(
        self, kind: Kind, make: Callable[[TrackData, int], Any], index: int
    ) -> dict[int, Any]:
        """Things of one kind on a frame of the run as it was saved."""
        rows = self._rows
        return {
            number: make(track, rows[kind, number][index])
            for number, track in self.result.tracks(kind).items()
            if index in rows[kind, number]
        }

    def put_in_place(self, frames: Collection[int]) -> None:
        """Put every prepared file in its place, all or none of them.

        Args:
            frames: on which masks were marked, or marks removed; they are saved with the run.

        Raises:
            OutputError: a file cannot be written.
        """
        kept = {frame: mask for frame, mask in self.marks.masks.items() if frame in frames}
        for frame, mask in kept.items():
            write_mask(self.stage / "marks" / frame_file(frame), mask)
        marks = self.result.folder / "marks"
        self.staging.put_in_place(
            last=self.stage / RESULT,
            removed=[
                *(marks / frame_file(frame) for frame in set(frames) - set(kept)),
                # What the run itself would go on with is not so any more.
                *(one for one in resume_files(self.result.folder) if one not in self.needed),
            ],
        )


def _saved_quality(data: Mapping[str, Any]) -> Quality:
    """How the run's overlay was encoded; as usual where it does not say."""
    saved = data.get("quality")
    try:
        return Quality(int(saved["crf"]), saved["preset"]) if isinstance(saved, dict) else USUAL
    except (KeyError, TypeError, ValueError):
        return USUAL


def _saved_style(data: Mapping[str, Any]) -> OverlayStyle:
    """How the run's overlay was drawn; those of earlier versions had one place for bars."""
    panel, saved = "bottom-left" if data.get("show_reliability") else None, data.get("overlay")
    if not isinstance(saved, dict):
        return OverlayStyle(panel)
    known = [name for name in get_args(Panel) if name == saved.get("reliability_panel")]
    return OverlayStyle(next(iter(known), None), bool(saved.get("joint_names")))


def _ids(labels: Collection[LabelName], kind: str) -> set[int]:
    return {number for k, number, _ in labels if k == kind}


def _enter(whole: TrackedFrame, found: TrackedFrame, labels: Collection[LabelName]) -> None:
    """Put what was found of some labels into a frame, in place of what it had of them."""
    for i in _ids(labels, "object"):
        whole.entropy[i], whole.confidence[i] = found.entropy[i], found.confidence[i]
    by_id: dict[str, tuple[dict[int, Any], dict[int, Any]]] = {
        "object": (whole.reliability, found.reliability),
        "point": (whole.points, found.points),
        "box": (whole.boxes, found.boxes),
    }
    for kind, (old, new) in by_id.items():
        ids = _ids(labels, kind)
        for i in ids:
            old.pop(i, None)
        old.update({i: value for i, value in new.items() if i in ids})
    for name in labels:
        whole.place_reliability.pop(name, None)
    values = found.place_reliability
    whole.place_reliability.update({name: values[name] for name in labels if name in values})
    for number, pose in found.keypoints.items():
        joints = [joint for kind, i, joint in labels if kind == "joint" and i == number]
        under = whole.keypoints.get(number, pose)
        whole.keypoints[number] = _with_joints(under, pose, joints)


def _forget_joints(whole: TrackedFrame, unmarked: Collection[LabelName]) -> None:
    """Take out what an earlier run guessed of joints that are marked nowhere (any more)."""
    for name in unmarked:
        whole.place_reliability.pop(name, None)
    for number, pose in whole.keypoints.items():
        gone = [joint for _, i, joint in unmarked if i == number]
        nothing = TrackedKeypoints(
            np.full_like(pose.joints, np.nan),
            np.zeros_like(pose.visible),
            np.zeros_like(pose.confidence),
        )
        whole.keypoints[number] = _with_joints(pose, nothing, gone)


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
