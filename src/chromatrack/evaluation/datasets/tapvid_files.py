"""TAP-Vid's published pickles: which there are, the videos in them, and their frames.

    tapvid_davis.pkl            {video: {"video", "points", "occluded"}}     30 videos
    tapvid_rgb_stacking.pkl     [{"video", "points", "occluded"}, ...]       50 videos
    0000_of_0010.pkl ...        lists, made by the publisher's script from Kinetics clips

video: (T, H, W, 3) uint8, or T encoded pictures. points: (N, T, 2) float x, y as shares of width
and height from the frame's top-left corner. occluded: (N, T) bool. The files are gigabytes: they
are read without unpickling (`safe_pickle`), and a video's frames only when it is measured.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.errors import LayoutError
from chromatrack.evaluation.datasets.safe_pickle import ByteSpan, StoredArray, read_array_pickle
from chromatrack.evaluation.metrics.tapvid import QueryMode, evaluated_frames, sample_queries
from chromatrack.video.picture_files import opened_picture

EXPECTED = (
    "tapvid_davis.pkl, tapvid_rgb_stacking.pkl, or Kinetics' 0000_of_0010.pkl to 0009_of_0010"
)
KEYS = ("video", "points", "occluded")


@dataclass(frozen=True)
class TapvidClip:
    """One video: where it is, its tracks (small, once loaded) and its queries.

    video: left in its file; an array, or the frames one by one, encoded or as arrays.
    points: (N, T, 2) shares of width and height. occluded: (N, T) bool. queries: (Q, 2) track and
    frame. runs: the frames from which to track, and how many frames each run goes through.
    """

    name: str
    video: StoredArray | tuple[Any, ...]
    points: StoredArray
    occluded: StoredArray
    length: int
    queries: np.ndarray
    runs: Mapping[int, int]

    @property
    def frame_count(self) -> int:
        """Frames to be tracked, those of all runs together."""
        return sum(self.runs.values())


def find_pickles(root: Path) -> list[Path]:
    """The pickle, or all parts of one set."""
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise LayoutError(f"no '{root}'; expected {EXPECTED}, or their folder")
    there = sorted(root.glob("*.pkl"))
    parts = {path.stem for path in there if re.fullmatch(r"\d+_of_\d+", path.stem)}
    if not there or (len(there) > 1 and len(parts) < len(there)):
        names = ", ".join(path.name for path in there) or "none"
        raise LayoutError(f"'{root}' is to hold the pickle of one set ({EXPECTED}); found {names}")
    if not parts:
        return there
    count = max(parts, key=len).split("_of_")[1]
    wanted = [f"{number:0{len(count)}d}_of_{count}" for number in range(int(count))]
    if parts != set(wanted):
        odd = sorted(parts ^ set(wanted))
        raise LayoutError(f"'{root}' is to hold all parts of one set; see {', '.join(odd[:3])}")
    return there


def read_entries(file: Path, files: Sequence[Path]) -> Iterator[tuple[str, tuple[Any, str]]]:
    """(name, (entry, where it is, for messages)) of every video in a pickle."""
    content = read_array_pickle(file)
    if isinstance(content, dict):
        named = content
    elif isinstance(content, list | tuple):
        digits = len(str(max(len(content) - 1, 0)))
        before = f"{file.stem}-" if len(files) > 1 else ""
        named = {f"{before}{index:0{digits}d}": entry for index, entry in enumerate(content)}
    else:
        named = {}
    if not named:
        raise LayoutError(
            f"'{file}': expected a dict or list of videos, as in {EXPECTED}; got none"
        )
    for name, entry in named.items():
        yield str(name), (entry, f"'{file}', video '{name}'")


def make_clip(name: str, entry: Any, where: str, *, queries: QueryMode) -> TapvidClip:  # noqa: ANN401
    """A checked video, with its queries."""
    if not isinstance(entry, dict) or not set(KEYS) <= entry.keys():
        got = ", ".join(map(str, entry)) if isinstance(entry, dict) else type(entry).__name__
        raise LayoutError(f"{where}: expected {', '.join(KEYS)}; got {got}")
    video, length = _video(entry["video"], where)
    points, occluded = entry["points"], entry["occluded"]
    _check_tracks(points, occluded, length, where)
    hidden = occluded.load().astype(bool)
    if not np.isfinite(points.load()[~hidden]).all():
        raise LayoutError(f"{where}: expected finite points wherever one is visible, got others")
    asked = sample_queries(hidden, queries=queries)
    scored = evaluated_frames(asked[:, 1], length, queries=queries).any(axis=1)
    starts = sorted(set(asked[scored, 1].tolist()))
    runs = {start: length - start if queries == "first" else length for start in starts}
    return TapvidClip(name, video, points, occluded, length, asked, runs)


def _video(video: Any, where: str) -> tuple[StoredArray | tuple[Any, ...], int]:  # noqa: ANN401
    """The frames, left in the file, and how many."""
    if isinstance(video, StoredArray) and np.dtype(video.dtype).kind == "O":
        video = video.items
    if isinstance(video, list | tuple) and len(video) > 0:
        return tuple(video), len(video)
    if isinstance(video, StoredArray) and video.shape and video.shape[0] > 0:
        dtype = np.dtype(video.dtype)
        if _is_picture(video.shape[1:], dtype) or (len(video.shape) == 1 and dtype.kind == "S"):
            return video, video.shape[0]
    got = f"{video.shape} {video.dtype}" if isinstance(video, StoredArray) else f"{video!r:.40}"
    raise LayoutError(f"{where}: expected video (T, H, W, 3) uint8 or T pictures, got {got}")


def _check_tracks(points: Any, occluded: Any, length: int, where: str) -> None:  # noqa: ANN401
    arrays = isinstance(points, StoredArray) and isinstance(occluded, StoredArray)
    shapes = (points.shape, occluded.shape) if arrays else (type(points), type(occluded))
    tracks = points.shape[0] if arrays and points.shape else 0
    if not arrays or tracks == 0 or shapes != ((tracks, length, 2), (tracks, length)):
        raise LayoutError(
            f"{where}: expected points (N, {length}, 2) and occluded (N, {length}) for its "
            f"{length} frames, got {shapes[0]} and {shapes[1]}"
        )
    if np.dtype(points.dtype).kind not in "fiu" or np.dtype(occluded.dtype).kind not in "biu":
        raise LayoutError(
            f"{where}: expected points as numbers and occluded as bool, got {points.dtype} and "
            f"{occluded.dtype}"
        )


def clip_frames(clip: TapvidClip) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8 frames, one in memory at a time."""
    video = clip.video
    for index, frame in enumerate(video.load() if isinstance(video, StoredArray) else video):
        if isinstance(frame, StoredArray):
            frame = frame.load()
        where = f"video '{clip.name}', frame {index}"
        if isinstance(frame, bytes | ByteSpan):
            yield _decoded(frame if isinstance(frame, bytes) else frame.read(), where)
        elif isinstance(frame, np.ndarray) and _is_picture(frame.shape, frame.dtype):
            yield np.ascontiguousarray(frame)
        else:
            raise LayoutError(f"{where}: expected (H, W, 3) uint8 or an encoded picture")


def _is_picture(shape: tuple[int, ...], dtype: np.dtype) -> bool:
    return len(shape) == 3 and shape[2] == 3 and min(shape) > 0 and dtype == np.uint8


def _decoded(content: bytes, where: str) -> np.ndarray:
    with opened_picture(io.BytesIO(content), name=where, error=LayoutError) as picture:
        return np.array(picture.convert("RGB"))
