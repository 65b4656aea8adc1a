"""A run's results written in a format that another tool reads."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from chromatrack.atomic import unwritable
from chromatrack.errors import ChromatrackError, InputError
from chromatrack.formats.csv_tables import TrackData
from chromatrack.formats.exchange import (
    ExportOptions,
    checked_output,
    format_named,
)
from chromatrack.formats.keypoints import read_keypoint_tracks
from chromatrack.formats.tracked_video import ObjectTrack, TrackedVideo
from chromatrack.runs.file_names import EXPORTS, TABLES, keep_runs
from chromatrack.runs.listed_folder import check_listed, put_listed
from chromatrack.runs.progress import Report
from chromatrack.runs.reader import ASSUMED_FPS, Result
from chromatrack.runs.staging import Staging
from chromatrack.runs.trust import trust_in
from chromatrack.structures import Kind, Source
from chromatrack.video.images import image_files
from chromatrack.video.source import VideoSource


@dataclass(frozen=True)
class Exported:
    """What was written.

    notes: what the user should know, such as what the format cannot carry. files: all of them.
    """

    path: Path
    notes: tuple[str, ...]
    files: tuple[Path, ...] = ()


def tracked_video(result: Result, *, video: Source | None = None) -> TrackedVideo:
    """A run as the writers of formats take it: every table has a row for each frame.

    Args:
        video: where the video is now, if it was moved.

    Raises:
        InputError: tables or masks of what was tracked were left out of the run by choice.
    """
    result.needs_masks()
    tables: dict[Kind, Mapping[int, TrackData]] = {
        kind: result.tracks(kind) for kind in ("point", "box", "keypoints")
    }
    skeleton = None
    if tables["keypoints"]:
        skeleton, _ = read_keypoint_tracks(result.folder / TABLES["keypoints"])
    frames, times = result.indices, result.times
    every = {
        kind: {number: _on_all(data, frames, times) for number, data in table.items()}
        for kind, table in tables.items()
    }
    steps = np.diff(times)
    fps = result.fps or (float(1 / np.median(steps)) if len(steps) else ASSUMED_FPS)
    return TrackedVideo(
        video=result.video_path,
        size=result.size,
        frames=frames,
        times=times,
        fps=fps,
        objects={number: _object(result, number) for number in result.ids("object")},
        points=every["point"],
        boxes=every["box"],
        keypoints=every["keypoints"],
        skeleton=skeleton,
        names=result.names,
        colors=result.colors,
        categories=result.categories,
        pictures=_pictures(result, video),
        mask=result.mask,
        cuts=result.cuts,
        find_video=lambda: result.find_video(video),
        find_trust=lambda: trust_in(result),
    )


def _pictures(result: Result, video: Source | None) -> tuple[str, ...]:
    """File names of the pictures that were tracked, by frame; none where that is not known."""
    try:
        files = image_files(VideoSource.of(result.find_video(video)).path)
    except InputError:
        return ()
    names = tuple(file.name for file in files or ())
    is_whole = len(names) > result.indices.max(initial=-1)
    one_each = len({Path(name).stem for name in names}) == len(names)
    return names if len(names) > 1 and is_whole and one_each else ()


def export_run(
    result: Result,
    name: str,
    output: Path,
    *,
    options: ExportOptions | None = None,
    video: Source | None = None,
    overwrite: bool = False,
    earlier: Collection[Path] | None = None,
) -> Exported:
    """Write a run in the format of a name, whole or not at all.

    What `options.progress` raises ends it between two frames: what was there before is whole.

    Args:
        output: a file (the format's suffix is added where it has none) or, for formats that are
            folders, a folder.
        video: where the video is now, if it was moved, for formats that need its pictures.
        overwrite: files of the same names may be there; else the output must be new, or an empty
            folder.
        earlier: files that may be replaced beside those of an earlier export that was given this,
            too; None: all. Given, a folder then holds what is written now, and nothing of earlier
            ones (`listed_folder`).

    Raises:
        InputError: no such format, nothing that it carries was tracked, its extra is missing, or
            something is there already. OutputError: it cannot be written.
    """
    chosen = format_named(name)
    path = checked_output(Path(output), chosen)
    _check_free(path, is_folder=chosen.is_folder, overwrite=overwrite)
    tracked = tracked_video(result, video=video)
    has = tracked.kinds()
    if not set(has) & set(chosen.kinds):
        raise InputError(
            f"{name}: carries {kinds_listed(chosen.kinds)}, but {result.folder} has "
            f"{kinds_listed(has)} alone; choose another format"
        )
    write, options = chosen.load_writer(), options or ExportOptions()
    is_listed = chosen.is_folder and earlier is not None
    with Staging(path) as stage:
        if is_listed:
            check_listed(path, earlier or ())
        if chosen.is_folder:
            stage.path.mkdir(parents=True)
        tracked = _told(tracked, options.progress)
        with _writing(path):
            notes = list(write(tracked, stage.path, options))
        written = sorted(file for file in stage.path.rglob("*") if file.is_file())
        files = [path / file.relative_to(stage.path) for file in written] or [path]
        tracked.tell(len(tracked.frames))
        if is_listed:
            put_listed(stage, earlier or ())
        else:
            stage.put_in_place()
    if left := [kind for kind in has if kind not in chosen.kinds]:
        notes.append(f"{name} has no place for {kinds_listed(left)}: left out")
    return Exported(path, tuple(notes), tuple(files))


def _told(tracked: TrackedVideo, progress: Report | None) -> TrackedVideo:
    """The same, telling how many frames are done; where a writer goes through them again, all."""
    if progress is None:
        return tracked
    total, most = len(tracked.frames), 0

    def tell(done: int) -> None:
        nonlocal most
        most = max(most, done)
        progress("export", most, total)

    tell(0)
    return replace(tracked, tell=tell)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """OutputError, with the output's own name, for what writers of others say of a full disk."""
    try:
        yield
    except ChromatrackError:
        raise
    except (OSError, RuntimeError) as error:  # OpenEXR and HDF5 say it as a RuntimeError
        full = os.strerror(errno.ENOSPC)
        number = getattr(error, "errno", None)
        if number is None and full not in str(error):
            raise
        reason = full if number is None else os.strerror(number)
        raise unwritable(path, OSError(number, reason)) from error


def _check_free(path: Path, *, is_folder: bool, overwrite: bool) -> None:
    """InputError if something is in the way of an output, or it would go into a run's own files."""
    inside = path.resolve().parent
    if inside.name != EXPORTS:
        keep_runs(path)
    if is_folder and path.is_file():
        raise InputError(f"{path}: is a file; expected the name of a folder")
    if not is_folder and path.is_dir():
        raise InputError(f"{path}: is a folder; expected the name of a file")
    if overwrite or not path.exists():
        return
    if not is_folder or any(path.iterdir()):
        what = "holds files already" if is_folder else "is there already"
        raise InputError(f"{path}: {what}; choose another output, or add --overwrite")


def _object(result: Result, number: int) -> ObjectTrack:
    frames = result.frames
    said = [frame.confidence.get(number) for frame in frames]
    return ObjectTrack(
        present=np.array([bool(frame.present.get(number)) for frame in frames], dtype=bool),
        confidence=_or_nan(said),
        reliability=_or_nan([frame.reliability.get(number) for frame in frames]),
    )


def _or_nan(values: Iterable[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _on_all(data: TrackData, frames: np.ndarray, times: np.ndarray) -> TrackData:
    """A table with a row for each of (N,) `frames`, NaN and not visible where it had none."""
    known = (data.frames >= frames[0]) & (data.frames <= frames[-1])
    rows = data.frames[known] - frames[0]  # frames are numbered without gaps
    values = np.full((len(frames), *data.values.shape[1:]), np.nan)
    visible = np.zeros((len(frames), *data.visible.shape[1:]), dtype=bool)
    confidence = np.zeros((len(frames), *data.confidence.shape[1:]))
    values[rows] = data.values[known]
    visible[rows] = data.visible[known]
    confidence[rows] = data.confidence[known]
    return TrackData(frames, times, values, visible, confidence)


_PLURALS = {"object": "masks", "box": "boxes", "point": "points", "keypoints": "keypoints"}


def kinds_listed(kinds: Iterable[str]) -> str:
    """Kinds as messages call them."""
    return ", ".join(_PLURALS[kind] for kind in kinds) or "nothing"
