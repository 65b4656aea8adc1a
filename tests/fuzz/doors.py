"""What is done with a damaged file: the same that a command does, within one process.

A door returns, or raises one of the package's own errors; anything else is a fault. It raises
Wrong where it returned something that cannot be.
"""

from __future__ import annotations

import atexit
import csv
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import specimens
import torch

from chromatrack.cli.main import main
from chromatrack.errors import ChromatrackError
from chromatrack.evaluation.datasets.tapvid import read_tapvid
from chromatrack.evaluation.datasets.tapvid_files import clip_frames
from chromatrack.formats.csv_tables import BOX, read_boxes, read_points, read_tracks
from chromatrack.formats.keypoints import read_keypoint_tracks, read_keypoints, read_skeleton
from chromatrack.formats.mark_files import read_mark_file
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.masks import read_mask_folder
from chromatrack.formats.polygons import paint_polygons, read_polygons
from chromatrack.model.weights import load_checkpoint, load_encoder
from chromatrack.runs.marks_json import read_run_marks
from chromatrack.runs.reader import read_result
from chromatrack.tracking.mark_checks import check_all
from chromatrack.tracking.marks import Marks, read_marks, read_reference
from chromatrack.training.data.index import build_index
from chromatrack.uses.events import find_events
from chromatrack.video.reader import VideoInfo, frame_range, probe, read_frame, read_frames

Door = Callable[[Path, Path], None]
"""Called with the damaged file and an empty folder to write into."""

EXIT_CODES = {0, 2, 3}


class Wrong(Exception):
    """Something was accepted and what came of it cannot be."""


def expect(right: bool, what: str) -> None:
    """Raise Wrong unless `right`."""
    if not right:
        raise Wrong(what)


INFO = VideoInfo("clip.mp4", *specimens.SIZE, specimens.FRAMES, 1.0, 12.0, "h264", "rgb", 0, False)


def _checked(marks: Marks) -> None:
    check_all(marks, INFO, start=0, end=None)


def video(path: Path, folder: Path) -> None:
    info = probe(path)
    expect(info.height > 0 and info.width > 0, f"size {info.height}x{info.width}")
    count, last = 0, -np.inf
    for frame in read_frames(path):
        expect(frame.rgb.shape == (info.height, info.width, 3), f"frame {frame.rgb.shape}")
        expect(frame.index == count, f"frame {frame.index} instead of {count}")
        expect(last < frame.pts_seconds < np.inf, f"time {frame.pts_seconds} after {last}")
        count, last = count + 1, frame.pts_seconds
    read_frame(path, index=min(2, count - 1))
    frame_range(path, start="0s", end="0.1s")


def picture(path: Path, folder: Path) -> None:
    try:
        rgb, _ = read_reference(path)
        expect(rgb.ndim == 3 and rgb.dtype == np.uint8, f"reference {rgb.shape}")
    finally:
        for frame in read_frames(path):
            expect(frame.rgb.dtype == np.uint8, "frame of another type")


def mask(path: Path, folder: Path) -> None:
    """One mask or several in a file, read for the clip as commands do."""
    masks = read_marks(path, start=0, source=_source())
    for ids in masks.values():
        expect(ids.shape == specimens.SIZE and ids.min() >= 0, f"mask {ids.shape}")
    _checked(Marks(masks=masks))


def mask_folder(path: Path, folder: Path) -> None:
    for index in (0, 2):
        shutil.copy(path, folder / f"{index:05d}.png")
    _checked(Marks(masks=read_mask_folder(folder, source=_source())))


def _source() -> MarkedSource:
    return MarkedSource(INFO.path, specimens.SIZE, specimens.FRAMES)


def any_marks(path: Path, folder: Path) -> None:
    """Marks of another tool, told by content."""
    source = _source()
    marks = read_mark_file(path, source)
    for ids in marks.masks.values():
        expect(ids.shape == specimens.SIZE and ids.min() >= 0, f"mask {ids.shape}")
    expect(all(name.strip() for name in source.names.values()), "an empty name")
    _checked(Marks(**vars(marks)))


def points(path: Path, folder: Path) -> None:
    _checked(Marks(points=read_points(path)))


def boxes(path: Path, folder: Path) -> None:
    _checked(Marks(boxes=read_boxes(path)))


def polygons(path: Path, folder: Path) -> None:
    _checked(Marks(masks=paint_polygons(read_polygons(path), specimens.SIZE)))


def keypoints(path: Path, folder: Path) -> None:
    skeleton, marks = read_keypoints(path)
    _checked(Marks(keypoints=marks, skeleton=skeleton))


def skeleton(path: Path, folder: Path) -> None:
    read_skeleton(path)


def weights(path: Path, folder: Path) -> None:
    for grey in (False, True):
        encoder = load_encoder(path, grey=grey)
        with torch.inference_mode():
            features = encoder(torch.rand(1, 3, 24, 32))
        expect(bool(torch.isfinite(features).all()), "features that are not finite")


def checkpoint(path: Path, folder: Path) -> None:
    encoder = load_checkpoint(path)
    with torch.inference_mode():
        expect(bool(torch.isfinite(encoder(torch.rand(1, 3, 24, 32))).all()), "not finite")


def data(path: Path, folder: Path) -> None:
    build_index([path], cache=None)


def tapvid(path: Path, folder: Path) -> None:
    for clip in read_tapvid(path, queries="first").clips:
        for _ in clip_frames(clip):
            pass


def saved_run(path: Path, folder: Path) -> None:
    """`path` is a run's folder, one file of which is damaged."""
    read_run_marks(path)
    result = read_result(path)
    find_events(result, output=None)
    for frame in result.frames:
        if result.objects:
            result.mask(frame.index)


def tracks(path: Path, folder: Path) -> None:
    read_tracks(path)


def box_tracks(path: Path, folder: Path) -> None:
    read_tracks(path, BOX)


def keypoint_tracks(path: Path, folder: Path) -> None:
    read_keypoint_tracks(path)


# -- whole commands --------------------------------------------------------------------------


class Refused(ChromatrackError):
    """A command ended with exit code 2 and one line, and left all as it was."""


@cache
def finished_run() -> Path:
    """A run's folder that every command is given a copy of, beside the files it was made of."""
    folder = Path(tempfile.mkdtemp(prefix="chromatrack-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        return specimens.run_folder(folder)


def copied_run(folder: Path) -> Path:
    """A maker of a finished run's folder."""
    return Path(shutil.copytree(finished_run(), folder / "run"))


def command(*options: str, clip: str = "HOME/clip.mkv") -> Door:
    """`chromatrack track` into a finished run's folder, with the damaged file as marks or clip.

    `{}` stands for the damaged file, HOME for where whole ones are. Afterwards the old run is there
    as it was, or the new one is whole.
    """

    def run(path: Path, folder: Path) -> None:
        out = copied_run(folder)
        before = _content(out)
        with _left_alone(out):
            code = _called("track", clip, *options, "-o", str(out), *SMALL, damaged=path)
        if code == 0 or _content(out) != before:
            _whole(out, complete=code == 0)  # no frame at all leaves the earlier run

    return run


def correction(*options: str) -> Door:
    """`chromatrack correct` of a finished run: done, or the run is as it was."""

    def run(path: Path, folder: Path) -> None:
        _correct(copied_run(folder), *options, damaged=path)

    return run


def damaged_run(*options: str) -> Door:
    """`chromatrack correct` of a run one of whose files is damaged."""

    def run(path: Path, folder: Path) -> None:
        _correct(path, *options, damaged=path)

    return run


def _correct(out: Path, *options: str, damaged: Path) -> None:
    with _left_alone(out):
        code = _called("correct", str(out), *options, "--device", "cpu", damaged=damaged)
    expect(code == 0, f"exit code {code}")
    _whole(out, complete=True)


def made_video(*arguments: str) -> Door:
    """A command that writes a video `OUT`: it is there whole, or what was there before."""

    def run(path: Path, folder: Path) -> None:
        out = Path(shutil.copy(finished_run() / "overlay.mp4", folder / "out.mp4"))
        with _left_alone(folder):
            _called(*_with_output(arguments, out), damaged=path)
        expect(sum(1 for _ in read_frames(out)) > 0, "a video without frames")

    return run


def made_picture(*arguments: str) -> Door:
    """A command that writes a picture `OUT`: it is there whole, or not at all."""

    def run(path: Path, folder: Path) -> None:
        out = folder / "out.png"
        with _left_alone(folder):
            _called(*_with_output(arguments, out), damaged=path)
        read_reference(out)

    return run


def _with_output(arguments: Sequence[str], out: Path) -> list[str]:
    return [str(out) if argument == "OUT" else argument for argument in arguments]


def events(path: Path, folder: Path) -> None:
    """`chromatrack events` of a run one of whose files is damaged: both tables, or none."""
    tables = (folder / "events.csv", folder / "frames.csv")
    given = ("-o", str(tables[0]), "--per-frame", str(tables[1]))
    before = _content(path)
    with _left_alone(folder):
        _called("events", "{}", *given, damaged=path)
    expect(_content(path) == before, "the run is changed")
    for table in tables:
        rows = list(csv.reader(StringIO(table.read_text("utf-8"))))
        expect(len({len(row) for row in rows}) == 1, f"{table.name} has rows of several lengths")
        strange = {"nan", "inf", "-inf"} & {cell.lower() for row in rows for cell in row}
        expect(not strange, f"{table.name} holds {strange}")


def go_on(path: Path, folder: Path) -> None:
    """`chromatrack train --resume` from a damaged checkpoint."""
    with _left_alone(path):
        given = ("{}/photos", "-o", "{}/trained", "--resume", "--device", "cpu")
        _called("train", *given, damaged=path)


SMALL = ("--size", "48", "--device", "cpu")


def _called(*arguments: str, damaged: Path) -> int:
    """The exit code of a command, 0 or 3; Refused for 2 with one line, Wrong for all else."""
    home, errors = finished_run().parent, StringIO()
    given = [
        str(damaged)
        if text == "{}"
        else text.replace("HOME", str(home)).replace("{}", str(damaged))
        for text in arguments
    ]
    with redirect_stdout(StringIO()), redirect_stderr(errors):
        code = main(given)
    expect(code in EXIT_CODES, f"exit code {code}")
    lines = [x for x in errors.getvalue().splitlines() if x.startswith("chromatrack:")]
    expect(len(lines) == (code == 2), f"exit code {code} with {len(lines)} lines of error")
    if code == 2:
        raise Refused(lines[0])
    return code


@contextmanager
def _left_alone(folder: Path) -> Iterator[None]:
    """Where a command is refused, a folder holds what it held before."""
    before = _content(folder)
    try:
        yield
    except Refused as refused:
        after = _content(folder)
        changed = {name for name in before | after if before.get(name) != after.get(name)}
        expect(not changed, f"refused, and {sorted(changed)} changed: {refused}")
        raise


def _content(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _whole(out: Path, *, complete: bool) -> None:
    """A run's folder says the same in all its files."""

    def no_constant(name: str) -> Any:
        raise Wrong(f"result.json holds {name}")

    content = json.loads((out / "result.json").read_text(), parse_constant=no_constant)
    expect(content["complete"] is complete, f"complete is {content['complete']}")
    result = read_result(out)
    for frame in result.frames if result.objects else ():
        ids = set(np.unique(result.mask(frame.index)).tolist())
        expect(ids <= {0, *result.objects}, f"mask of frame {frame.index} holds {ids}")
    count = sum(1 for _ in read_frames(out / "overlay.mp4"))
    expect(count == len(result.frames), f"{count} overlay frames of {len(result.frames)}")


def try_door(door: Door, path: Path, folder: Path) -> str | None:
    """None where a damaged file was answered well, else what is wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            door(path, folder)
        except ChromatrackError as error:
            text = str(error)
            if not text.strip():
                return f"{type(error).__name__} without a word"
            return f"an error of several lines: {text!r}" if "\n" in text.strip() else None
        except Wrong as wrong:
            return f"Wrong: {wrong}"
        except SystemExit as stop:
            return f"SystemExit {stop.code}"
    return None
