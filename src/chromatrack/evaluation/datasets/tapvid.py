"""TAP-Vid, any point through a video: read the published pickles, track the points, score them.

    ROOT/tapvid_davis.pkl, or ROOT/tapvid_rgb_stacking.pkl, or
    ROOT/0000_of_0010.pkl to 0009_of_0010.pkl (Kinetics); what is in them: `tapvid_files`

Doersch et al. 2022; fetch them yourself from tapvid.github.io. Annotations and RGB-stacking videos
are CC BY 4.0; the DAVIS and Kinetics videos keep their own licences.

The protocol is on 256x256 pixels: frames are resized to that (Lanczos, as the published reader
does), and distances are measured there. The published raster has a pixel's centre at +0.5, ours at
0: `coords.share_to_pixel` takes that off. Pickles are read without unpickling (`safe_pickle`).
"""

from __future__ import annotations

import inspect
import math
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from chromatrack.errors import InputError
from chromatrack.evaluation.datasets.tapvid_files import (
    TapvidClip,
    clip_frames,
    find_pickles,
    make_clip,
    read_entries,
)
from chromatrack.evaluation.metrics.tapvid import (
    TAPVID_COLUMNS,
    QueryMode,
    mean_scores,
    tapvid_scores,
)
from chromatrack.evaluation.runner import Benchmark, ClipReport, Result, in_order
from chromatrack.ops.coords import nearest_inside, rescale_points, share_to_pixel
from chromatrack.structures import PointMark, TrackedPoint
from chromatrack.video.writer import ImageSequenceWriter

RASTER = (256, 256)
"""(height, width) on which distances are measured."""

FrameSize = Literal["256", "own"]


class PointFrame(Protocol):
    """What is read of a tracked frame."""

    @property
    def index(self) -> int: ...  # 0-based frame number

    @property
    def points(self) -> Mapping[int, TrackedPoint]: ...


class PointTracker(Protocol):
    """Anything that tracks points through the frames of a folder, in order."""

    def track(
        self,
        video: Path,
        *,
        points: Sequence[PointMark],
        direction: Literal["forward", "both"],
        start: int,
        end: int,
    ) -> Iterable[PointFrame]:
        """All `points` are marked on one frame, from which they go forward or both ways."""
        ...


def read_tapvid(
    root: str | PathLike[str],
    *,
    queries: QueryMode = "first",
    frame_size: FrameSize = "256",
    together: bool = True,
    videos: Iterable[str] | None = None,
) -> Benchmark:
    """Find the videos of one TAP-Vid set.

    Args:
        root: a pickle, or the folder that holds one, or Kinetics' parts.
        queries: "first" asks for every point once, from where it is first seen, and scores the
            frames after; "strided" from every 5th frame that shows it, both ways.
        frame_size: "256" shows the tracker 256x256 pixels, as published; "own" the video as it is,
            which the authors count as a category of its own. Scores are of 256x256 either way.
        together: follow the points asked for on one frame in one run; False follows each alone.
        videos: only these names; by default all.

    Raises:
        LayoutError: no pickle, parts missing, or content that is not as published.
        InputError: an unknown mode or video.
    """
    if frame_size not in ("256", "own"):
        raise InputError(f"frame_size: expected '256' or 'own', got {frame_size!r}")
    files = find_pickles(Path(root))
    entries = {name: entry for file in files for name, entry in read_entries(file, files)}
    chosen = list(entries if videos is None else dict.fromkeys(videos))
    if unknown := [name for name in chosen if name not in entries]:
        raise InputError(
            f"videos: expected names in '{root}' ({', '.join(entries)}), got {', '.join(unknown)}"
        )
    return Benchmark(
        name="tapvid",
        clips=tuple(make_clip(name, *entries[name], queries=queries) for name in chosen),
        measure=partial(measure_clip, queries=queries, frame_size=frame_size, together=together),
        combine=combine,
        settings={
            "set": re.sub(r"^\d+_of_\d+$", "kinetics", files[0].stem),
            "queries": queries,
            "frame_size": frame_size,
            "together": together,
        },
        reads=(Path(root), *files),
    )


def measure_clip(
    clip: TapvidClip,
    *,
    tracker: PointTracker,
    folder: Path | None,
    tick: Callable[[], None],
    queries: QueryMode,
    frame_size: FrameSize = "256",
    together: bool = True,
) -> ClipReport:
    """Track every query of a video and score it.

    Points asked for on one frame are tracked in one run, or alone; those of other frames never, so
    that no run is shown two places of one point. A frame or point that the tracker does not give is
    hidden and nowhere.

    Returns:
        {column of `TAPVID_COLUMNS`: 0..1 or None where nothing counts, "queries", "frames"}.
    """
    _check_follows_points(tracker)
    forward = queries == "first"
    shares, occluded = clip.points.load(), clip.occluded.load().astype(bool)
    tracks, asked = clip.queries[:, 0], clip.queries[:, 1]
    shape = (len(tracks), clip.length)
    found, hidden = np.full((*shape, 2), np.nan), np.ones(shape, dtype=bool)
    with tempfile.TemporaryDirectory(prefix="chromatrack-") as temporary:
        frames = Path(temporary)
        size = _write_frames(clip, frames, frame_size=frame_size)
        places = nearest_inside(share_to_pixel(shares.astype(np.float64), size=size), size=size)
        for start in clip.runs:
            rows = np.flatnonzero(asked == start)
            for group in [rows] if together else rows[:, None]:
                marks = [PointMark(int(q), start, *places[tracks[q], start]) for q in group]
                first, end = start if forward else 0, clip.length
                way = "forward" if forward else "both"
                run = tracker.track(frames, points=marks, direction=way, start=first, end=end)
                for frame in in_order(run, name=clip.name, start=first, end=end):
                    for q in {mark.id for mark in marks} & frame.points.keys():
                        point = frame.points[q]
                        found[q, frame.index] = point.x, point.y
                        hidden[q, frame.index] = not point.visible
            for _ in range(clip.runs[start]):
                tick()
    scores = tapvid_scores(
        rescale_points(found, from_size=size, to_size=RASTER),
        hidden,
        share_to_pixel(shares[tracks].astype(np.float64), size=RASTER),
        occluded[tracks],
        asked,
        queries=queries,
    )
    return {
        **{column: None if math.isnan(v) else v for column, v in scores.items()},
        "queries": len(tracks),
        "frames": clip.length,
    }


def combine(reports: Mapping[str, ClipReport]) -> Result:
    """The mean over the videos, each column over those where something counts.

    Returns:
        {"scores": {column: 0..1 or None}, "queries": of all videos, "left_out": videos where
        nothing counts in one column or more}.
    """
    rows = [
        {column: math.nan if r[column] is None else r[column] for column in TAPVID_COLUMNS}
        for r in reports.values()
    ]
    scores = mean_scores(rows)
    return {
        "scores": {column: None if math.isnan(v) else v for column, v in scores.items()},
        "queries": sum(r["queries"] for r in reports.values()),
        "left_out": [
            name for name, r in reports.items() if any(r[c] is None for c in TAPVID_COLUMNS)
        ],
    }


def _check_follows_points(tracker: PointTracker) -> None:
    parameters = inspect.signature(tracker.track).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if not takes_all and not {"points", "direction"} <= parameters.keys():
        raise InputError(
            "expected a tracker that follows points in a direction, got "
            f"{type(tracker).__name__}, which does not; choose another model"
        )


def _write_frames(clip: TapvidClip, folder: Path, *, frame_size: FrameSize) -> tuple[int, int]:
    """Write the frames as the tracker is to see them, lossless; their (height, width)."""
    size = (0, 0)
    with ImageSequenceWriter(folder) as writer:
        for rgb in clip_frames(clip):
            if frame_size == "256" and rgb.shape[:2] != RASTER:
                picture = Image.fromarray(rgb).resize(
                    (RASTER[1], RASTER[0]), Image.Resampling.LANCZOS
                )
                rgb = np.asarray(picture)
            size = (rgb.shape[0], rgb.shape[1])
            writer.write(rgb)
    return size
