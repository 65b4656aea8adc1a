"""The command that tracks a camera, a network stream or stdin while it is being filmed.

Nothing heavy is imported before it runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from chromatrack.cli.mark_files import NO_MARKS, MarkFiles
from chromatrack.cli.options import AS_USUAL, DEFAULTS, OutputOptions, Settings, load_tracker
from chromatrack.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from chromatrack.tracking.marks import Marks
    from chromatrack.video.live_source import LiveSource

EXPOSURE_SECONDS = 1.0
"""What a camera gets to set its exposure before a snapshot."""

SourceName = Annotated[str, Positional, arg(metavar="SOURCE")]


def live(
    source: SourceName,
    /,
    *,
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="VIDEO")] = None,
    lines: bool = True,
    snapshot: Annotated[Path | None, arg(metavar="PNG")] = None,
    marks: OmitArgPrefixes[MarkFiles] = NO_MARKS,
    marked: Annotated[Path | None, arg(metavar="PICTURE")] = None,
    fps: float | None = None,
    every_frame: bool = False,
    max_frames: int | None = None,
    seconds: float | None = None,
    timeout: float = 10.0,
    input_size: Annotated[str | None, arg(metavar="WIDTHxHEIGHT")] = None,
    input_format: Literal[
        "rgb24", "bgr24", "gray", "rgba", "bgra", "yuv420p", "nv12", "yuyv422"
    ] = "rgb24",
    input_fps: float | None = None,
    encoding: OmitArgPrefixes[OutputOptions] = AS_USUAL,
    settings: OmitArgPrefixes[Settings] = DEFAULTS,
) -> int:
    """Track a camera or stream while it films; a line of JSON for every frame goes to stdout.

    Args:
        source: camera:0, an address such as rtsp://... or http://..., device:FORMAT:NAME (an input
            device of FFmpeg), or - for stdin.
        output: video with what was tracked drawn into it, .mp4 or .mkv.
        lines: write the lines of JSON.
        snapshot: write a frame there, to mark it, and end.
        marked: picture on which the marks are, such as a snapshot. None: the first frame.
        fps: keep up with so many frames a second, at a smaller working size where that helps.
        every_frame: drop no frame: the source has to wait.
        max_frames: end after so many frames.
        seconds: end so long after the first frame.
        timeout: so many seconds without a frame mean that the source has failed.
        input_size: of raw pictures on stdin; of a camera, the size to ask for.
        input_format: pixels of raw pictures on stdin.
        input_fps: frames per second of raw pictures on stdin, else timed as they arrive; of a
            camera, the rate to ask for.
    """
    from chromatrack.runs.live_run import LiveLimits, LiveOutputs, track_live
    from chromatrack.video.live_source import InputSettings, LiveSource, parse_size

    size = None if input_size is None else parse_size(input_size)
    given = InputSettings(size, input_fps, input_format, timeout)
    opened = LiveSource.of(source, given)
    if snapshot is not None:
        if marks != NO_MARKS or output is not None or marked is not None:
            raise InputError("snapshot: goes without marks and output; mark it, then track")
        return _snapshot(opened, snapshot)
    limits = LiveLimits(fps, every_frame, max_frames, seconds, timeout)
    encoded = encoding.quality(settings.quality)
    outputs = LiveOutputs(sys.stdout if lines else None, output, encoded)
    if marks == NO_MARKS:
        raise InputError(
            "expected something to track, got nothing; give --box, --point, --masks, --polygons, "
            "--points, --boxes or --keypoints (--snapshot writes a frame, to mark it)"
        )
    if marks.numbers == "names":
        raise InputError("numbers names: is for folders of pictures, got live video; leave it out")
    if not lines and output is None:
        raise InputError("expected results to go somewhere, got --no-lines and no --output")
    _check_named(marks, output, marked)
    place = f"first frame of {opened.name}" if marked is None else str(marked)
    summary = track_live(
        load_tracker(settings),
        opened.pictures(),
        name=opened.name,
        read_marks=lambda rgb: _marks_on(rgb, marks, place),
        outputs=outputs,
        marked=None if marked is None else _picture(marked),
        limits=limits,
        tell=_tell,
    )
    return 0 if summary.frames else 2


def _tell(text: str) -> None:
    print(f"chromatrack: {text}", file=sys.stderr, flush=True)


def _snapshot(source: LiveSource, output: Path) -> int:
    """Write the first picture; a camera's first ones are dark until its exposure has settled."""
    from contextlib import closing

    from chromatrack.atomic import UNSIGNED, OutputFile, check_output_files, replace_file
    from chromatrack.runs.file_names import keep_runs
    from chromatrack.video.image_writer import is_our_picture, signed_png

    if output.suffix.lower() != ".png":
        raise InputError(f"snapshot: expected the name of a .png file, got {output}")
    keep_runs(output)
    check_output_files([OutputFile(output, "snapshot", is_our_picture, UNSIGNED)])
    with closing(source.pictures()) as pictures:
        picture = next(pictures)
        if source.kind == "device":
            picture = next((p for p in pictures if p.seconds >= EXPOSURE_SECONDS), picture)
    height, width = picture.rgb.shape[:2]
    replace_file(output, signed_png(picture.rgb))
    _tell(
        f"frame {picture.number} of {source.name}, {width}x{height} px: {output}; mark it, and "
        f"track with --marked {output}"
    )
    return 0


def _check_named(marks: MarkFiles, output: Path | None, marked: Path | None) -> None:
    """InputError for an output that would replace what is read or what others wrote."""
    from chromatrack.atomic import OutputFile, check_output_files
    from chromatrack.cli.typed_marks import each
    from chromatrack.runs.file_names import keep_runs
    from chromatrack.video.encoding import codec_for
    from chromatrack.video.writer import is_our_video

    if output is None:
        return
    if output.suffix.lower() not in (".mp4", ".mkv"):
        raise InputError(f"output: expected a .mp4 or .mkv file, got {output}")
    codec_for(output, "h264")
    keep_runs(output)
    files = (marks.polygons, marks.points, marks.boxes, marks.keypoints, marks.skeleton, marked)
    reads = [*each(marks.masks), *each(marks.marks), *(file for file in files if file is not None)]
    check_output_files([OutputFile(output, "video", is_our_video)], reads=reads)


def _picture(path: Path) -> np.ndarray:
    import numpy as np

    from chromatrack.video.picture_files import read_rgb

    return np.array(read_rgb(path, name=f"marked {str(path)!r}"))


def _marks_on(rgb: np.ndarray, files: MarkFiles, place: str) -> Marks:
    """The marks of files and those typed, on a picture that is frame 0.

    Files of marks are read for a video, so the picture is made one for as long as that takes.
    """
    from tempfile import TemporaryDirectory

    from chromatrack.atomic import replace_file
    from chromatrack.cli.mark_files import read_mark_files, tell_warned
    from chromatrack.formats.marked_source import MarkedSource
    from chromatrack.video.image_writer import signed_png

    with TemporaryDirectory(prefix="chromatrack-") as folder:
        picture = Path(folder) / "00000.png"
        replace_file(picture, signed_png(rgb))
        source = MarkedSource(
            str(picture), rgb.shape[:2], 1, None, files.numbers, files.video_name, start=0
        )
        try:
            marks = read_mark_files(
                files, str(picture), output=Path(folder) / "none", start=0, source=source
            )
        except InputError as error:
            raise InputError(str(error).replace(str(picture), place)) from error
        tell_warned(source)
        return marks
