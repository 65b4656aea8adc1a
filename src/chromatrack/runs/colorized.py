"""A video coloured and written: the file or pictures, and how far each frame can be trusted."""

from __future__ import annotations

import json
import re
import time
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path

from chromatrack import __version__
from chromatrack.atomic import keep_apart, replace_file
from chromatrack.errors import InputError
from chromatrack.propagation.reliability import frames_to_look_at
from chromatrack.runs.progress import Report, stop_on_interrupt
from chromatrack.runs.writer import RunSummary, frames_ahead, interrupted
from chromatrack.structures import Source
from chromatrack.tracking.color_reliability import LOOK_BELOW
from chromatrack.tracking.marks import ColorReference
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.encoding import USUAL, Codec, Quality
from chromatrack.video.like_source import open_writer_like
from chromatrack.video.reader import (
    ImageSequenceWriter,
    Moment,
    frame_range,
    probe,
)


def colorize_to_file(
    tracker: Tracker,
    video: Source,
    *,
    references: Sequence[ColorReference],
    output: Source,
    codec: Codec | None = None,
    start: Moment = 0,
    end: Moment | None = None,
    quality: Quality = USUAL,
    progress: Report | None = None,
) -> RunSummary:
    """Colour a video from coloured pictures and write it, with the source's timing and sound.

    Args:
        tracker: the model and its configuration.
        video, references: as in `Tracker.colorize`.
        output: a video file, whose suffix (or `codec`) says how it is coded, or a folder or
            `*.png` pattern for images. Not the video itself. OUTPUT.reliability.json beside
            it says how far every frame can be trusted.
        start, end: first frame and the one after the last: numbers, or times such as "2.5s".
        quality: of a video file.
        progress: called after every frame.

    Raises:
        InputError, VideoError: as in `Tracker.colorize`; or `codec` does not go with `output`.
        DamagedVideoError, KeyboardInterrupt: the frames until then are written and play.
        OutputError: `output` cannot be written.
    """
    began, info = time.perf_counter(), probe(video)
    rows: list[tuple[int, float, float]] = []
    first, last = frame_range(video, start=start, end=end)
    frames = tracker.colorize(video, references=references, start=first, end=last)
    total = frames_ahead(info.frame_count, first, last)
    writer = open_writer_like(video, output, info=info, first=first, codec=codec, quality=quality)
    is_images = isinstance(writer, ImageSequenceWriter)
    target = writer.folder if is_images else writer.path
    with stop_on_interrupt() as check_interrupt:
        try:
            with writer:
                if is_images and codec is not None:
                    raise InputError(f"codec: {output} takes PNG images, so leave {codec} out")
                for given in (video, *references):
                    keep_apart(given, target)
                for frame in frames:
                    writer.write(
                        frame.rgb if frame.deep is None else frame.deep,
                        pts_seconds=frame.pts_seconds,
                        duration_seconds=frame.duration_seconds,
                    )
                    rows.append((frame.index, frame.pts_seconds, frame.reliability))
                    if progress is not None:
                        progress("colorize", len(rows), total)
                    check_interrupt()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(interrupted(len(rows), Path(output))) from None
        finally:
            if rows:
                _write_reliability(target.resolve(), rows, model=tracker.model)
            if rows and is_images:
                _warn_of_stale_images(target, writer.written)
    return RunSummary(Path(output), len(rows), time.perf_counter() - began)


def _warn_of_stale_images(folder: Path, written: Collection[str]) -> None:
    numbered = (path for path in folder.glob("*.png") if re.fullmatch(r"[0-9]{5,}", path.stem))
    stale = sorted(path.name for path in numbered if path.name not in written)
    if stale:
        warnings.warn(
            f"{folder}: {len(stale)} pictures remain that this run did not write, "
            f"{stale[0]} the first",
            stacklevel=3,
        )


def _write_reliability(
    target: Path, rows: Sequence[tuple[int, float, float]], *, model: str
) -> None:
    """Write TARGET.reliability.json; rows: number, pts_seconds and reliability of every frame."""
    ranges = frames_to_look_at([(i, {0: value}) for i, _, value in rows], below=LOOK_BELOW)
    content = {
        "chromatrack_version": __version__,
        "command": "colorize",
        "model": model,
        "look_at": [
            {"first": r.first, "last": r.last, "reliability": round(r.reliability, 5)}
            for r in ranges
        ],
        "frames": [
            {"index": index, "pts_seconds": pts, "reliability": round(value, 5)}
            for index, pts, value in rows
        ],
    }
    path = target.with_name(f"{target.name}.reliability.json")
    replace_file(path, json.dumps(content, indent=1) + "\n")
