"""Results written for other tools, and as videos: for the export dialog."""

from __future__ import annotations

import json
import re
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from chromatrack.errors import InputError
from chromatrack.formats.color_text import read_color
from chromatrack.formats.exchange import ExportOptions, format_named
from chromatrack.formats.keypoints import read_keypoint_tracks
from chromatrack.formats.masks import frame_file
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.runs.export import export_run, tracked_video
from chromatrack.runs.file_names import TABLES
from chromatrack.runs.kept_exports import old_exports
from chromatrack.runs.listed_folder import listed_folder
from chromatrack.runs.progress import Report
from chromatrack.runs.reader import Result, read_result
from chromatrack.runs.staging import Staging
from chromatrack.structures import Kind, Skeleton, Source, TrackedBox, TrackedPoint
from chromatrack.studio.color_store import Colors
from chromatrack.studio.export_list import (
    CUTOUT,
    FRAMES,
    IN_COLORS,
    OUTLINES,
    OVERLAY,
    PATHS,
    VIDEOS,
    title_of,
)
from chromatrack.studio.export_pictures import (
    NAMES_PICTURES,
    OF_EACH,
    PICTURES_NOTE,
    SOFT,
    soft_picture,
    write_frames,
)
from chromatrack.viz.paths import Paths, middles

Look = Callable[[int, np.ndarray], np.ndarray]
"""How a frame is shown: `ExportOptions.look`."""

_DRAWN = (OVERLAY, OUTLINES, PATHS)
_BEFORE = 120
"""Frames of which the picture of a path is, the video has all."""
_PREVIEW_FRAMES = 4
_PREVIEW_LINES = 24
_PREVIEW_LETTERS = 4000


def wanted_result(
    folder: Path, names: Mapping[str, str], colors: Mapping[str, str], keep: Collection[str]
) -> Result:
    """A run's results of the things that are kept, by the names and colours they have now.

    names, colors, keep: by keys, "object:1".
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = read_result(folder)

    def kept(kind: Kind, table: Mapping[int, Any]) -> dict[int, Any]:
        return {number: one for number, one in table.items() if f"{kind}:{number}" in keep}

    objects = tuple(number for number in result.objects if f"object:{number}" in keep)
    load = result.load_mask

    def mask(index: int) -> np.ndarray:
        ids = load(index)
        return np.where(np.isin(ids, objects), ids, 0)

    def of_thing(key: str) -> tuple[Kind, int]:
        kind, _, number = key.partition(":")
        return cast(Kind, kind), int(number)

    drawn = {of_thing(key): read_color(color, key) for key, color in colors.items()}
    return replace(
        result,
        objects=objects,
        points=kept("point", result.points),
        boxes=kept("box", result.boxes),
        keypoints=kept("keypoints", result.keypoints),
        names={of_thing(key): name for key, name in names.items()},
        colors=drawn,
        load_mask=mask,
    )


def object_files(
    folder: Path,
    name: str,
    *,
    names: Mapping[str, str],
    colors: Mapping[str, str],
    keep: Collection[str],
) -> list[str]:
    """What a format puts into its folder for each object, and for all of them; else nothing.

    Raises:
        InputError: there is no result.
    """
    if name not in OF_EACH:
        return []
    from chromatrack.runs.mattes import outputs_of

    found = outputs_of(tracked_video(wanted_result(folder, names, colors, keep)))
    return [f"{one}{OF_EACH[name]}" for one in found]


@contextmanager
def nothing_written() -> Iterator[None]:
    """Say of an export that is stopped what is left of it: nothing, and what was there before."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Stopped: nothing was written") from None


def write_export(
    folder: Path,
    name: str,
    output: Path,
    *,
    names: Mapping[str, str],
    colors: Mapping[str, str],
    keep: Collection[str],
    video: Source | None,
    start_number: int | None,
    progress: Report,
    saturation: float = 1.0,
    mark_doubtful: bool = True,
) -> dict[str, Any]:
    """Write a run's results; {"path", "message", "notes"}.

    Pictures of a film that was coloured are in its colours, as strong as `saturation` says. In
    videos with tracks what is doubtful is dashed, with a `?` at its name, if `mark_doubtful`.

    A folder then holds what was written, and of what was there before only what is the user's.

    Raises:
        InputError: the format cannot carry them, the video is missing, or a file of the user's is
            in the way. OutputError. KeyboardInterrupt: `progress` raised it; nothing was written.
    """
    result = wanted_result(folder, names, colors, keep)
    look, grey = _film_colors(folder, name, saturation, result)
    options = ExportOptions(start_number=start_number, progress=progress, look=look)
    if name in VIDEOS:
        if video is None:
            raise InputError(f"{name}: expected the video, which is missing; put it back")
        if name == CUTOUT and not result.objects:
            raise InputError("cutout: expected an object with a mask, got none")
        output.parent.mkdir(parents=True, exist_ok=True)
        if name in _DRAWN:
            paths = Paths(result.size, result.colors) if name == PATHS else None
            drawn = _drawn(
                result,
                video,
                fill=name == OVERLAY,
                look=look,
                mark_doubtful=mark_doubtful,
                paths=paths,
            )
            _write_drawn(result, video, output, options, drawn)
        else:
            write = {CUTOUT: _write_cutout, FRAMES: write_frames}[name]
            write(result, video, output, options)
        return {"path": str(output), "message": f"{name} written", "notes": grey}
    kept = old_exports(folder)
    done = export_run(
        result, name, output, options=options, video=video, overwrite=True, earlier=kept
    )
    told = [re.sub(f"^{re.escape(name)} (?=has )", f"{title_of(name)} ", n) for n in done.notes]
    notes = [*told, *grey, *([PICTURES_NOTE] if name in NAMES_PICTURES else [])]
    return {"path": str(done.path), "message": f"{name} written", "notes": notes}


def _film_colors(
    folder: Path, name: str, saturation: float, result: Result
) -> tuple[Look | None, list[str]]:
    """(how frames look in a format, what is to be said of those without colours)."""
    if name not in IN_COLORS:
        return None, []
    from chromatrack.studio.color_views import film_look

    look, rows = film_look(folder, saturation), Colors(folder).rows
    grey = sum(int(index) not in rows for index in result.indices)
    said = f"{grey} frames have no colours yet and are as in the video"
    return look, [said] if rows and grey else []


def _drawn(
    result: Result,
    video: Source,
    *,
    fill: bool = True,
    look: Look | None = None,
    mark_doubtful: bool = False,
    whole: Result | None = None,
    paths: Paths | None = None,
) -> Iterator[tuple[np.ndarray, Any]]:
    """(frame with everything drawn over it, the frame) for each frame of a run.

    fill: objects are filled in and points leave trails; else there are outlines alone. look:
    `ExportOptions.look`. mark_doubtful: as in `write_export`. whole: the run, where `result` is a
    part of it. paths: lines that go on with every frame.
    """
    from chromatrack.runs.files import overlay_frame
    from chromatrack.structures import TrackedKeypoints
    from chromatrack.tracking.inference import TrackedFrame
    from chromatrack.video.reader import read_frames
    from chromatrack.viz.track_overlays import Trails

    tracked, skeleton = tracked_video(result), _skeleton(result)
    first, after = int(result.indices[0]), int(result.indices[-1]) + 1
    trails = Trails(max(2, round(tracked.fps)))
    run = result if whole is None else whole
    doubts = tracked_video(run).find_trust().doubtful if mark_doubtful else {}
    rows = {index: row for row, index in enumerate(run.indices.tolist())}
    for row, frame in enumerate(read_frames(video, start=first, end=after)):
        if look is not None:
            frame = replace(frame, rgb=look(frame.index, frame.rgb))
        ids = result.mask(frame.index) if result.objects else np.zeros(result.size, dtype=np.int32)
        points, boxes = _points(tracked, row), _boxes(tracked, row)
        poses = {
            n: TrackedKeypoints(t.values[row], t.visible[row], t.confidence[row])
            for n, t in tracked.keypoints.items()
        }
        trails.add(points)
        found = TrackedFrame(
            frame.index,
            frame.pts_seconds,
            frame.rgb,
            ids,
            {n: int((ids == n).sum()) for n in result.objects},
            {},
            points=points,
            boxes=boxes,
            keypoints=poses,
        )
        if paths is not None:
            paths.add(middles(ids, result.objects, points, boxes))
            found = replace(found, rgb=paths.draw(found.rgb))
        shown = overlay_frame(
            found,
            skeleton=skeleton,
            trails=trails if fill else None,
            names=result.names,
            colors=result.colors,
            fill=fill,
            doubtful=[t for t, flags in doubts.items() if flags[rows[frame.index]] == 1],
        )
        yield shown, frame


def _points(tracked: TrackedVideo, row: int) -> dict[int, TrackedPoint]:
    found = {}
    for number, table in tracked.points.items():
        x, y = table.values[row].tolist()
        found[number] = TrackedPoint(x, y, bool(table.visible[row]), 1.0)
    return found


def _boxes(tracked: TrackedVideo, row: int) -> dict[int, TrackedBox]:
    found = {}
    for number, table in tracked.boxes.items():
        x, y, width, height = table.values[row].tolist()
        seen = bool(table.visible[row])
        found[number] = TrackedBox(x, y, width, height, visible=seen, confidence=1.0)
    return found


def _paths_before(result: Result, at: int) -> Paths:
    """Where things went before a row of a run, of some frames at most."""
    paths, tracked = Paths(result.size, result.colors), tracked_video(result)
    for row in range(max(0, at - _BEFORE), at):
        nothing = np.zeros(result.size, dtype=np.int32)
        mask = result.mask(int(result.indices[row])) if result.objects else nothing
        paths.add(middles(mask, result.objects, _points(tracked, row), _boxes(tracked, row)))
    return paths


def _skeleton(result: Result) -> Skeleton | None:
    if not result.keypoints:
        return None
    skeleton, _ = read_keypoint_tracks(result.folder / TABLES["keypoints"])
    return skeleton


def _write_drawn(
    result: Result,
    video: Source,
    output: Path,
    options: ExportOptions,
    drawn: Iterator[tuple[np.ndarray, Any]],
) -> None:
    from chromatrack.video.writer import VideoWriter

    total = len(result.frames)
    with Staging(output) as stage:
        fps = tracked_video(result).fps
        with VideoWriter(stage.path, fps=fps, audio_from=video) as writer:
            for count, (shown, frame) in enumerate(drawn, start=1):
                writer.write(
                    shown,
                    pts_seconds=frame.pts_seconds,
                    duration_seconds=frame.duration_seconds,
                )
                if options.progress is not None:
                    options.progress("export", count, total)
        stage.put_in_place()


def _cut_out(result: Result, rgb: np.ndarray, index: int) -> Image.Image:
    inside = (result.mask(index) > 0).astype(np.uint8) * 255
    return Image.fromarray(np.dstack([rgb, inside]), mode=None)


def _write_cutout(result: Result, video: Source, output: Path, options: ExportOptions) -> None:
    from chromatrack.video.reader import read_frames

    first, after = int(result.indices[0]), int(result.indices[-1]) + 1
    with listed_folder(output, old_exports(result.folder)) as folder:
        frames = read_frames(video, start=first, end=after)
        for count, frame in enumerate(frames, start=1):
            rgb = frame.rgb if options.look is None else options.look(frame.index, frame.rgb)
            picture = _cut_out(result, rgb, frame.index)
            picture.save(folder / frame_file(frame.index), compress_level=3)
            if options.progress is not None:
                options.progress("export", count, len(result.frames))


def preview(
    folder: Path,
    name: str,
    *,
    names: Mapping[str, str],
    colors: Mapping[str, str],
    keep: Collection[str],
    video: Source | None,
    start_number: int | None = None,
    frame: int | None = None,
    saturation: float = 1.0,
    mark_doubtful: bool = True,
) -> dict[str, str] | Image.Image:
    """The first rows of an export, {"text"}, or a picture of it.

    frame: the one that is shown, if it was tracked; else the one in the middle.

    Raises:
        InputError: as `write_export`.
    """
    result = wanted_result(folder, names, colors, keep)
    if name in VIDEOS or name in SOFT:
        if video is None:
            raise InputError(f"{name}: expected the video, which is missing; put it back")
        at = len(result.frames) // 2
        if frame is not None and result.indices[0] <= frame <= result.indices[-1]:
            at = int(np.searchsorted(result.indices, frame))
        some = replace(result, frames=result.frames[at : at + 1])
        look, _ = _film_colors(folder, name, saturation, some)
        if name in SOFT:
            return soft_picture(some, name, video, look)
        is_marked = mark_doubtful and name in _DRAWN
        paths = _paths_before(result, at) if name == PATHS else None
        drawn = _drawn(
            some,
            video,
            fill=name not in (OUTLINES, PATHS),
            look=look,
            mark_doubtful=is_marked,
            whole=result,
            paths=paths,
        )
        shown, found = next(drawn)
        if name == FRAMES:
            return Image.fromarray(found.rgb)
        return Image.fromarray(shown) if name in _DRAWN else _cut_out(some, found.rgb, found.index)
    some = replace(result, frames=result.frames[:_PREVIEW_FRAMES])
    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / f"preview{format_named(name).suffix}"
        options = ExportOptions(start_number=start_number)
        done = export_run(some, name, output, options=options, video=video, overwrite=True)
        return {"text": _text_of(done.path)}


def _text_of(path: Path) -> str:
    """The beginning of a text file, or what is in a folder or in a file that is no text."""
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file())
        return "\n".join(one.relative_to(path).as_posix() for one in files[:_PREVIEW_LINES])
    content = path.read_bytes()[: _PREVIEW_LETTERS * 4]
    try:
        text = content.decode("utf-8", errors="strict" if len(content) < 100 else "ignore")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return (
            f"{path.suffix.removeprefix('.')} file, {path.stat().st_size} bytes for "
            f"{_PREVIEW_FRAMES} frames"
        )
    if path.suffix == ".json" and text.count("\n") < 3:
        text = _indented(path, text)
    return "\n".join(text[:_PREVIEW_LETTERS].splitlines()[:_PREVIEW_LINES])


def _indented(path: Path, text: str) -> str:
    try:
        return json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=1, allow_nan=False)
    except ValueError:
        return text
