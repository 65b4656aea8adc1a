"""What tracking and colouring leave on disk, valid however they end: finished, Ctrl-C or damage."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from os import fspath
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack import __version__
from chromatrack.draw import overlay_masks
from chromatrack.encoder import model_path
from chromatrack.errors import DamagedVideoError, InputError, OutputError, WeightsError
from chromatrack.formats.masks import write_mask
from chromatrack.labels import object_ids
from chromatrack.marks import ColourReference, Masks, Source, read_marks
from chromatrack.moments import Moment, frame_range
from chromatrack.progress import Report, stop_on_interrupt
from chromatrack.track import TrackedFrame, Tracker
from chromatrack.video import ImageSequenceWriter, open_writer, probe
from chromatrack.video_write import Codec

SCHEMA_VERSION = 1
"""Of result.json; raised when a key changes its meaning or goes."""


@dataclass(frozen=True)
class RunSummary:
    """What a finished run wrote: frames, wall-clock seconds and where to find it."""

    output: Path
    frames: int
    seconds: float

    @property
    def frames_per_second(self) -> float:
        """Frames per wall-clock second, reading and writing included."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0


@dataclass
class _TrackRun:
    """The state of a run: what goes to the top of result.json, and a finished line per frame."""

    folder: Path
    first: int
    head: dict[str, Any]
    rows: list[str] = field(default_factory=list)
    track_seconds: float = 0.0
    write_seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)


def track_to_folder(
    tracker: Tracker,
    video: Source,
    *,
    masks: Masks,
    output: Source,
    start: Moment = 0,
    end: Moment | None = None,
    progress: Report | None = None,
) -> RunSummary:
    """Track masks through a video and write masks, an overlay video and result.json.

    Writes `masks/00000.png` (numbered by frame, DAVIS palette), `overlay.mp4` (the source's timing
    and sound) and `result.json` into `output`. Files of the same names are overwritten; numbered
    masks that an earlier run left for other frames are removed at the end. Nothing else is.

    Args:
        tracker: the model and its configuration.
        video, masks: as in `Tracker.track`; not inside `output/masks`.
        output: folder, made if missing.
        start, end: first frame and the one after the last: numbers, or times such as "2.5s".
        progress: called after every frame.

    Raises:
        InputError, VideoError: as in `Tracker.track`, before anything is written.
        DamagedVideoError, KeyboardInterrupt: the frames until then are written, the overlay plays,
            and result.json says `"complete": false` and why.
        OutputError: `output` cannot be written.
    """
    folder, info = Path(output), probe(video)
    for given in (video, masks):
        _keep_apart(given, folder / "masks")
    _keep_apart(video, folder / "overlay.mp4")
    first, last = frame_range(video, start=start, end=end)
    marks = read_marks(masks, start=first)
    frames = tracker.track(video, masks=marks, start=first, end=last)
    head = {
        "schema_version": SCHEMA_VERSION,
        "chromatrack_version": __version__,
        "command": "track",
        "model": {"name": tracker.model, "sha256": model_sha256(tracker.model)},
        "device": str(tracker.device),
        "config": {**asdict(tracker.config), "start": first, "end": last},
        "video": asdict(info),
        "marked_frames": sorted(marks),
        "objects": object_ids(list(marks.values())),
    }
    run = _TrackRun(folder, first, head)
    _write_result(run, reason="not finished: still running, or ended without a word")
    total = _frames_ahead(info.frame_count, first, last)
    with stop_on_interrupt() as check_interrupt:
        try:
            with open_writer(
                folder / "overlay.mp4", fps=info.average_fps, audio_from=video
            ) as overlay:
                began = time.perf_counter()
                for frame in frames:
                    tracked = time.perf_counter()
                    write_mask(folder / "masks" / _mask_name(frame.index), frame.mask)
                    overlay.write(
                        overlay_masks(frame.rgb, frame.mask),
                        pts_seconds=frame.pts_seconds,
                        duration_seconds=frame.duration_seconds,
                    )
                    run.rows.append(_row(frame))
                    run.track_seconds += tracked - began
                    began = time.perf_counter()
                    run.write_seconds += began - tracked
                    if progress is not None:
                        progress("track", len(run.rows), total)
                    check_interrupt()
        except KeyboardInterrupt:
            _write_result(run, reason="interrupted")
            _tell_stale_masks(run)
            raise KeyboardInterrupt(_interrupted(len(run.rows), folder)) from None
        except DamagedVideoError as error:
            _write_result(run, reason=str(error))
            if run.rows:
                _remove_stale_masks(run)
            raise
        _write_result(run, reason=None)
        _remove_stale_masks(run)
    return RunSummary(folder, len(run.rows), time.perf_counter() - run.started)


def colorize_to_file(
    tracker: Tracker,
    video: Source,
    *,
    references: Sequence[ColourReference],
    output: Source,
    codec: Codec | None = None,
    start: Moment = 0,
    end: Moment | None = None,
    progress: Report | None = None,
) -> RunSummary:
    """Colour a video from coloured pictures and write it, with the source's timing and sound.

    Args:
        tracker: the model and its configuration.
        video, references: as in `Tracker.colorize`.
        output: a video file, whose suffix (or `codec`) says how it is coded, or a folder or
            `*.png` pattern for images. Not the video itself.
        start, end: first frame and the one after the last: numbers, or times such as "2.5s".
        progress: called after every frame.

    Raises:
        InputError, VideoError: as in `Tracker.colorize`; or `codec` does not go with `output`.
        DamagedVideoError, KeyboardInterrupt: the frames until then are written and play.
        OutputError: `output` cannot be written.
    """
    began, count, info = time.perf_counter(), 0, probe(video)
    first, last = frame_range(video, start=start, end=end)
    frames = tracker.colorize(video, references=references, start=first, end=last)
    total = _frames_ahead(info.frame_count, first, last)
    writer = open_writer(output, codec=codec, fps=info.average_fps, audio_from=video)
    with stop_on_interrupt() as check_interrupt:
        try:
            with writer:
                is_images = isinstance(writer, ImageSequenceWriter)
                if is_images and codec is not None:
                    raise InputError(f"codec: {output} takes PNG images, so leave {codec} out")
                target = writer.folder if is_images else writer.path
                for given in (video, *(r for r in references if not isinstance(r, tuple))):
                    _keep_apart(given, target)
                for frame in frames:
                    writer.write(
                        frame.rgb,
                        pts_seconds=frame.pts_seconds,
                        duration_seconds=frame.duration_seconds,
                    )
                    count += 1
                    if progress is not None:
                        progress("colorize", count, total)
                    check_interrupt()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_interrupted(count, Path(output))) from None
        finally:
            if isinstance(writer, ImageSequenceWriter) and count:
                _tell_stale_images(writer.folder, count)
    return RunSummary(Path(output), count, time.perf_counter() - began)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_sha256(model: str) -> str | None:
    """SHA-256 of a model's weights file; None for a model that was not read from one."""
    try:
        return file_sha256(model_path(model))
    except WeightsError:
        return None


# -- parts ---------------------------------------------------------------------------------


def _keep_apart(given: Source | np.ndarray | Mapping[int, np.ndarray], target: Path) -> None:
    """Raises InputError where writing to `target` would overwrite what was given to read."""
    if isinstance(given, np.ndarray | Mapping):
        return
    path, place = Path(given).resolve(), target.resolve()
    if path == place or (place in path.parents and not place.is_file()):
        raise InputError(
            f"{fspath(given)}: would be overwritten by the results in {target}; "
            "choose another output"
        )


def _frames_ahead(count: int | None, first: int, last: int | None) -> int | None:
    """How many frames a range holds, as far as the source declares it."""
    if count is None and last is None:
        return None
    ends = [number for number in (count, last) if number is not None]
    return max(0, min(ends) - first)


def _mask_name(index: int) -> str:
    return f"{index:05d}.png"


def _row(frame: TrackedFrame) -> str:
    """A frame's entry in result.json."""
    return json.dumps(
        {
            "index": frame.index,
            "pts_seconds": frame.pts_seconds,
            "areas": frame.areas,
            "entropy": {number: round(value, 5) for number, value in frame.entropy.items()},
        }
    )


def _write_result(run: _TrackRun, *, reason: str | None) -> None:
    """Write result.json: the head, then one line per frame; whole or not at all."""
    seconds, frames = time.perf_counter() - run.started, len(run.rows)
    head = {
        **run.head,
        "complete": reason is None,
        "reason": reason,
        "timings": {
            "frames": frames,
            "seconds": seconds,
            "frames_per_second": frames / seconds,
            "track_seconds": run.track_seconds,
            "write_seconds": run.write_seconds,
        },
    }
    text = json.dumps(head, indent=2).removesuffix("\n}")
    rows = ",\n".join(f"    {row}" for row in run.rows)
    text += f',\n  "frames": [\n{rows}\n  ]\n}}\n'
    path = run.folder / "result.json"
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}); choose a folder with write access"
        ) from error


def _stale_masks(run: _TrackRun) -> list[Path]:
    """Masks of an earlier run, for frames that this one did not write."""
    written = range(run.first, run.first + len(run.rows))
    return [
        path
        for path in sorted((run.folder / "masks").glob("*.png"))
        if re.fullmatch(r"[0-9]{5,}", path.stem)
        and path.name == _mask_name(int(path.stem))
        and int(path.stem) not in written
    ]


def _remove_stale_masks(run: _TrackRun) -> None:
    for path in _stale_masks(run):
        path.unlink(missing_ok=True)


def _tell_stale_masks(run: _TrackRun) -> None:
    if stale := _stale_masks(run):
        warnings.warn(
            f"{run.folder / 'masks'}: {len(stale)} masks of an earlier run remain, "
            f"{stale[0].name} the first; result.json lists the frames of this one",
            stacklevel=3,
        )


def _tell_stale_images(folder: Path, count: int) -> None:
    numbered = (path for path in folder.glob("*.png") if re.fullmatch(r"[0-9]{5,}", path.stem))
    stale = sorted(path.name for path in numbered if int(path.stem) >= count)
    if stale:
        warnings.warn(
            f"{folder}: {len(stale)} pictures remain that this run did not write, "
            f"{stale[0]} the first",
            stacklevel=3,
        )


def _interrupted(count: int, output: Path) -> str:
    if count == 0:
        return "interrupted before the first frame was written"
    return f"interrupted after {count} frames, which are in {output}"
