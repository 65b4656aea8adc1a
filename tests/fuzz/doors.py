"""What is done with a damaged file: the same that a command does, within one process.

A door returns, or raises one of the package's own errors; anything else is a fault. It raises
Wrong where it returned something that cannot be.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import mutations
import numpy as np
import specimens
import torch

from chromatrack.cli.main import main
from chromatrack.errors import ChromatrackError
from chromatrack.evaluation.datasets.tapvid import read_tapvid
from chromatrack.evaluation.datasets.tapvid_files import clip_frames
from chromatrack.formats.csv_tables import BOX, read_boxes, read_points, read_tracks
from chromatrack.formats.keypoints import read_keypoint_tracks, read_keypoints, read_skeleton
from chromatrack.formats.masks import read_mask, read_mask_folder
from chromatrack.formats.polygons import paint_polygons, read_polygons
from chromatrack.model.weights import load_checkpoint, load_encoder
from chromatrack.runs.marks_json import read_run_marks
from chromatrack.runs.reader import read_result
from chromatrack.tracking.mark_checks import check_all
from chromatrack.tracking.marks import Marks, read_reference
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
    frame_range(path, start="0s", end="0.2s")


def picture(path: Path, folder: Path) -> None:
    try:
        rgb, _ = read_reference(path)
        expect(rgb.ndim == 3 and rgb.dtype == np.uint8, f"reference {rgb.shape}")
    finally:
        for frame in read_frames(path):
            expect(frame.rgb.dtype == np.uint8, "frame of another type")


def mask(path: Path, folder: Path) -> None:
    ids = read_mask(path)
    expect(ids.ndim == 2 and ids.min() >= 0, f"mask {ids.shape}")
    _checked(Marks(masks={0: ids}))


def mask_folder(path: Path, folder: Path) -> None:
    for index in (0, 2):
        shutil.copy(path, folder / f"{index:05d}.png")
    _checked(Marks(masks=read_mask_folder(folder)))


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


@cache
def finished_run() -> Path:
    """A run's folder that every command is given a copy of, beside the files it was made of."""
    folder = Path(tempfile.mkdtemp(prefix="chromatrack-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return specimens.run_folder(folder)


def command(*options: str, clip: str = "HOME/clip.mkv") -> Door:
    """`chromatrack track` into a finished run's folder, with the damaged file as marks or clip.

    `{}` stands for the damaged file, HOME for where whole ones are. Afterwards the old run is there
    as it was, or the new one is whole.
    """

    def run(path: Path, folder: Path) -> None:
        out = folder / "out"
        shutil.copytree(finished_run(), out)
        before = _content(out)
        code = _called("track", clip, *options, "-o", str(out), *SMALL, damaged=path)
        if code != 2 and (code == 0 or _content(out) != before):
            _whole(out, complete=code == 0)  # no frame at all leaves the earlier run
        elif code == 2:
            expect(_content(out) == before, "refused, and the earlier run is changed")

    return run


def correction(*options: str) -> Door:
    """`chromatrack correct` of a finished run: done, or the run is as it was."""

    def run(path: Path, folder: Path) -> None:
        out = folder / "out"
        shutil.copytree(finished_run(), out)
        before = _content(out)
        code = _called("correct", str(out), *options, "--device", "cpu", damaged=path)
        if code == 0:
            _whole(out, complete=True)
        else:
            expect(_content(out) == before, "refused, and the run is changed")

    return run


def made_video(*arguments: str) -> Door:
    """A command that writes a video `OUT`: it is there whole, or what was there before."""

    def run(path: Path, folder: Path) -> None:
        out = folder / "out.mkv"
        shutil.copy(finished_run().parent / "clip.mkv", out)
        before = out.read_bytes()
        given = [str(out) if argument == "OUT" else argument for argument in arguments]
        if _called(*given, damaged=path) == 2:
            expect(out.read_bytes() == before, "refused, and the earlier video is changed")
        else:
            expect(sum(1 for _ in read_frames(out)) > 0, "a video without frames")

    return run


SMALL = ("--size", "48", "--device", "cpu")


def _called(*arguments: str, damaged: Path) -> int:
    """The exit code of a command; Wrong unless it is one of ours and 2 comes with one line."""
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
    return code


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


@dataclass(frozen=True)
class Kind:
    """One kind of input: how a whole one is made, how it is damaged, what is done with it.

    inside: of a run's folder, the file to damage; the door then gets the folder.
    share: how often it is drawn.
    """

    make: Callable[[Path], Path]
    damage: Callable[[bytes, Any], bytes]
    door: Door
    inside: str | None = None
    share: float = 1.0


def _videos() -> Iterator[tuple[str, Kind]]:
    makers = {
        "mp4": specimens.video("mp4", "libx264", "yuv420p"),
        "mkv": specimens.video("mkv", "ffv1", "bgr0"),
        "ts": specimens.video("ts", "mpeg2video", "yuv420p"),
        "avi": specimens.video("avi", "mpeg4", "yuv420p"),
        "mov": specimens.video("mov", "mjpeg", "yuvj420p"),
        "flv": specimens.video("flv", "flv1", "yuv420p"),
        "webm": specimens.video("webm", "libvpx-vp9", "yuv420p"),
        "gif": specimens.video("gif", "gif", "rgb8"),
    }
    for name, make in makers.items():
        yield f"video-{name}", Kind(make, mutations.damaged_bytes, video, share=3)
        yield (
            f"track-{name}",
            Kind(make, mutations.damaged_bytes, command("--masks", "HOME/mask.png", clip="{}")),
        )


def _pictures() -> Iterator[tuple[str, Kind]]:
    for suffix in ("png", "jpg", "bmp", "tif", "webp", "ppm", "tga", "jp2", "avif", "gif"):
        make = specimens.picture(suffix)
        yield f"picture-{suffix}", Kind(make, mutations.damaged_bytes, picture)
    for suffix in ("png", "bmp", "tif", "webp", "ppm", "gif"):
        make = specimens.mask_picture(suffix)
        yield f"mask-{suffix}", Kind(make, mutations.damaged_bytes, mask)
    make = specimens.mask_picture("png")
    for name, frames in (("tif", "tif"), ("png", "png"), ("webp", "webp")):
        make = specimens.pages(frames)
        yield f"pages-{name}", Kind(make, mutations.damaged_bytes, video)
    for suffix in ("png", "jpg"):
        make = specimens.picture(suffix)
        colored = made_video("colorize", "HOME/clip.mkv", "--reference", "{}", "-o", "OUT", *SMALL)
        yield f"colorize-{suffix}", Kind(make, mutations.damaged_bytes, colored)
    painted = made_video("paint", "HOME/clip.mkv", "--texture", "{}@0:4,4", "-o", "OUT", *SMALL)
    yield "paint-png", Kind(specimens.picture("png", "RGBA"), mutations.damaged_bytes, painted)
    yield "mask-folder", Kind(make, mutations.damaged_bytes, mask_folder)
    yield "track-masks", Kind(make, mutations.damaged_bytes, command("--masks", "{}"))


def _marks() -> Iterator[tuple[str, Kind]]:
    point = specimens.table("marks", "id,frame,x,y", (1, 0, 8, 9), (2, 1, 12, 9), (1, 3, "", ""))
    columns = "id,frame,x,y,width,height"
    box = specimens.table("marks", columns, (1, 0, 4, 6, 10, 10), (2, 2, 20, 18, 10, 4))
    for name, make, door in (("points", point, points), ("boxes", box, boxes)):
        yield name, Kind(make, mutations.damaged_csv, door, share=2)
        yield f"track-{name}", Kind(make, mutations.damaged_csv, command(f"--{name}", "{}"))
        yield f"correct-{name}", Kind(make, mutations.damaged_csv, correction(f"--{name}", "{}"))
    for name, value in (("own", specimens.own_polygons), ("labelme", specimens.labelme)):
        make = specimens.json_file("marks", value)
        yield f"polygons-{name}", Kind(make, mutations.damaged_json, polygons, share=2)
        yield f"track-{name}", Kind(make, mutations.damaged_json, command("--polygons", "{}"))
    for name in ("coco", "cvat", "roboflow", "short_pose"):
        make = specimens.json_file("marks", getattr(specimens, name))
        yield f"keypoints-{name}", Kind(make, mutations.damaged_json, keypoints, share=2)
        yield f"track-{name}", Kind(make, mutations.damaged_json, command("--keypoints", "{}"))
    make = specimens.json_file("marks", specimens.skeleton)
    yield "skeleton", Kind(make, mutations.damaged_json, skeleton)


def _models() -> Iterator[tuple[str, Kind]]:
    yield "weights", Kind(specimens.weights, mutations.damaged_bytes, weights, share=4)
    yield (
        "track-weights",
        Kind(
            specimens.weights,
            mutations.damaged_bytes,
            command("--masks", "HOME/mask.png", "--model", "{}"),
        ),
    )
    yield "checkpoint", Kind(specimens.checkpoint, mutations.damaged_bytes, checkpoint, share=2)
    yield "shard", Kind(specimens.shard, mutations.damaged_bytes, data)
    yield "tapvid", Kind(specimens.tapvid, mutations.damaged_bytes, tapvid, share=2)


def _runs() -> Iterator[tuple[str, Kind]]:
    files: dict[str, Callable[[bytes, Any], bytes]] = {
        "result.json": mutations.damaged_json,
        "keypoints.json": mutations.damaged_json,
        "tracks.csv": mutations.damaged_csv,
        "boxes.csv": mutations.damaged_csv,
        "masks/00001.png": mutations.damaged_bytes,
        "marks/00000.png": mutations.damaged_bytes,
    }
    steady = made_video("stabilize", "HOME/clip.mkv", "--track", "{}", "--lock", "1", "-o", "OUT")
    for name, damage in files.items():
        yield f"stabilize-{name}", Kind(specimens.run_folder, damage, steady, inside=name)
        yield f"run-{name}", Kind(specimens.run_folder, damage, saved_run, inside=name)


KINDS: dict[str, Kind] = dict(
    [*_videos(), *_pictures(), *_marks(), *_models(), *_runs()],
)


def try_door(kind: Kind, path: Path, folder: Path) -> str | None:
    """None where a damaged file was answered well, else what is wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            kind.door(path, folder)
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
