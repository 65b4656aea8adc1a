"""The files of a tracking run, frame by frame: masks, tables of places, and the overlay video."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Self

import numpy as np

from chromatrack.formats.csv_tables import BOX, POINT, TableWriter, track_header
from chromatrack.formats.keypoints import KeypointWriter
from chromatrack.formats.masks import frame_file, write_mask
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.reliability import LOOK_BELOW_OF
from chromatrack.structures import Skeleton, Source
from chromatrack.tracking.inference import TrackedFrame
from chromatrack.video.display import SQUARE, Display
from chromatrack.video.encoding import USUAL, Quality
from chromatrack.video.reader import open_writer
from chromatrack.viz.overlays import Bar, overlay_masks, overlay_reliability
from chromatrack.viz.track_overlays import Trails, overlay_boxes, overlay_points, overlay_skeleton

TABLES = {"point": "tracks.csv", "box": "boxes.csv", "keypoints": "keypoints.json"}
"""File name of each kind that is written as one table."""

TRAIL_SECONDS = 1.0
"""For how long the overlay shows where a point came from."""

_OUR_HEAD = {
    "tracks.csv": track_header(POINT),
    "boxes.csv": track_header(BOX),
    "keypoints.json": '{"categories": [{"id": 1, "name": "skeleton"',
}


class TrackFiles(contextlib.ExitStack):
    """Writes what was found on each frame; every file is whole however the run ends."""

    def __init__(
        self,
        folder: Path,
        layout: Layout,
        *,
        video: Source,
        fps: float | None,
        skeleton: Skeleton | None = None,
        show_reliability: bool = False,
        display: Display = SQUARE,
        quality: Quality = USUAL,
    ) -> None:
        """Nothing is written yet.

        Args:
            folder: where to.
            layout: what is tracked: each kind has its files.
            video, fps: source of the overlay's sound; frames a second, None where not known.
            skeleton: of the keypoints, if any are tracked.
            show_reliability: draw it into the overlay.
            display, quality: how the overlay's pictures are shown and encoded.
        """
        super().__init__()
        self.folder, self.layout, self.skeleton = folder, layout, skeleton
        self._video, self._fps = video, fps
        self._display, self._quality = display, quality
        self._show_reliability = show_reliability
        self._tables: dict[str, TableWriter | KeypointWriter] | None = None
        self._trails = Trails(max(2, min(240, round(TRAIL_SECONDS * (fps or 25)))))

    @property
    def kinds(self) -> set[str]:
        """Kinds with a table of their own."""
        kinds = {"keypoints" if kind == "joint" else kind for kind, _, _ in self.layout.points}
        return kinds | ({"box"} if self.layout.boxes else set())

    def __enter__(self) -> Self:
        writer = open_writer(
            self.folder / "overlay.mp4",
            fps=self._fps,
            audio_from=self._video,
            display=self._display,
            **asdict(self._quality),
        )
        self._overlay = self.enter_context(writer)
        return super().__enter__()

    def write(self, frame: TrackedFrame) -> None:
        """Add one frame to every file.

        Raises:
            OutputError: a file cannot be written.
        """
        if self._tables is None:  # not before: a run without frames overwrites no table
            self._tables = self._open_tables()
        if self.layout.regions:
            write_mask(self.folder / "masks" / frame_file(frame.index), frame.mask)
        found: Mapping[str, Mapping] = {
            "point": frame.points,
            "box": frame.boxes,
            "keypoints": frame.keypoints,
        }
        for kind, table in self._tables.items():
            table.write(frame.index, frame.pts_seconds, found[kind])  # type: ignore[arg-type]
        if frame.cut:
            self._trails.clear()
        self._trails.add(frame.points)
        shown = overlay_frame(frame, skeleton=self.skeleton, trails=self._trails)
        if self._show_reliability:
            shown = overlay_reliability(shown, reliability_bars(frame))
        self._overlay.write(
            shown,
            pts_seconds=frame.pts_seconds,
            duration_seconds=frame.duration_seconds,
        )

    def _open_tables(self) -> dict[str, TableWriter | KeypointWriter]:
        tables: dict[str, TableWriter | KeypointWriter] = {}
        for kind in sorted(self.kinds):
            path = self.folder / TABLES[kind]
            if kind == "keypoints":
                assert self.skeleton is not None
                table = KeypointWriter(path, self.skeleton)
            else:
                table = TableWriter(path, POINT if kind == "point" else BOX)
            tables[kind] = self.enter_context(table)
        return tables


def overlay_frame(
    frame: TrackedFrame, *, skeleton: Skeleton | None = None, trails: Trails | None = None
) -> np.ndarray:
    """Everything tracked on a frame drawn over it: masks, then boxes, skeletons and points.

    Args:
        skeleton: joins the joints of `frame.keypoints`; without it they are left out.
        trails: where the points came from.
    """
    rgb = overlay_masks(frame.rgb, frame.mask)
    if frame.boxes:
        rgb = overlay_boxes(rgb, frame.boxes)
    if frame.keypoints and skeleton is not None:
        rgb = overlay_skeleton(rgb, frame.keypoints, skeleton)
    if frame.points:
        rgb = overlay_points(rgb, frame.points, trails=trails.positions if trails else None)
    return rgb


def reliability_bars(frame: TrackedFrame) -> list[Bar]:
    """A bar for everything tracked: `2` is object 2, `b2` a box, `p2` a point, `k2` a skeleton."""
    letters = {"object": "", "box": "b", "point": "p", "keypoints": "k"}
    return [
        Bar(f"{letters[kind]}{number}", number, value, LOOK_BELOW_OF[kind])
        for kind, values in frame.reliability_by_kind.items()
        for number, value in sorted(values.items())
    ]


# -- what an earlier run left ----------------------------------------------------------------


def _stale_files(files: TrackFiles, written: range, marked: Collection[int]) -> list[Path]:
    """Files of an earlier run in the folder that the run at hand does not write.

    That is, masks of other frames than it has `written` or saved as `marked`, and tables of kinds
    that are not tracked; tables that were not written by a run are not among them.
    """
    folder = files.folder
    kept = written if files.layout.regions else range(0)
    stale = _numbered_pictures(folder / "masks", kept) + _numbered_pictures(
        folder / "marks", marked
    )
    untracked = [folder / name for kind, name in TABLES.items() if kind not in files.kinds]
    return stale + [path for path in untracked if _is_ours(path)]


def _numbered_pictures(folder: Path, kept: Collection[int]) -> list[Path]:
    """Pictures in a folder that are named as a run names them, but for the frames `kept`."""
    paths = (path for path in folder.glob("*.png") if re.fullmatch(r"[0-9]{5,}", path.stem))
    return sorted(
        path
        for path in paths
        if path.name == frame_file(int(path.stem)) and int(path.stem) not in kept
    )


def _is_ours(path: Path) -> bool:
    head = _OUR_HEAD[path.name]
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            return file.read(len(head)) == head
    except OSError:
        return False


def remove_stale(files: TrackFiles, *, written: range, marked: Collection[int]) -> None:
    """Remove what an earlier run left and this one did not write, with folders then empty."""
    for path in _stale_files(files, written, marked):
        path.unlink(missing_ok=True)
    for name in ("masks", "marks"):
        with contextlib.suppress(OSError):  # not there, or not empty
            (files.folder / name).rmdir()


def tell_stale(files: TrackFiles, *, written: range, marked: Collection[int]) -> None:
    """Warn of what an earlier run left; that may be much after an interrupted run."""
    if stale := _stale_files(files, written, marked):
        warnings.warn(
            f"{files.folder}: {len(stale)} files of an earlier run remain, "
            f"{stale[0].relative_to(files.folder)} the first; result.json says what this one wrote",
            stacklevel=3,
        )
