"""The commands that make something of a video; each returns what `cli` prints.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from chromatrack.cli.mark_files import NO_MARKS, MarkFiles
from chromatrack.cli.options import (
    AS_IT_IS,
    AS_USUAL,
    DEFAULTS,
    OutputOptions,
    Settings,
    SourceOptions,
    load_tracker,
)

if TYPE_CHECKING:
    from chromatrack.propagation.reliability import ReviewRange
    from chromatrack.runs.writer import RunSummary

Video = Annotated[str, Positional, arg(metavar="VIDEO")]
Output = Annotated[Path, arg(aliases=["-o"], metavar="PATH")]
Start = Annotated[str, arg(metavar="FRAME|TIME")]
End = Annotated[str | None, arg(metavar="FRAME|TIME")]


def track(
    video: Video,
    /,
    *,
    output: Output,
    marks: OmitArgPrefixes[MarkFiles] = NO_MARKS,
    direction: Literal["both", "forward", "backward"] = "both",
    start: Start = "0",
    end: End = None,
    show_reliability: bool = False,
    reading: OmitArgPrefixes[SourceOptions] = AS_IT_IS,
    encoding: OmitArgPrefixes[OutputOptions] = AS_USUAL,
    settings: OmitArgPrefixes[Settings] = DEFAULTS,
) -> str:
    """Track objects, points, boxes and skeletons through a video, all in one run.

    Args:
        video: video file, image, folder or glob of images.
        output: folder for masks/00000.png, tracks.csv, boxes.csv, keypoints.json (each if there is
            such a thing), overlay.mp4 and result.json.
        direction: where to go from the marked frames.
        start: first frame: a number from 0, or a time such as 2.5s.
        end: frame after the last: a number, or a time such as 4s.
        show_reliability: draw into overlay.mp4 how far each object can be trusted.
    """
    from chromatrack.cli.mark_files import read_mark_files
    from chromatrack.cli.progress import frame_bar
    from chromatrack.runs.writer import track_to_folder
    from chromatrack.video.reader import frame_range

    source, quality = reading.of(video), encoding.quality()
    first, last = frame_range(source, start=start, end=end)
    given = read_mark_files(marks, video, output=output, start=first)
    with frame_bar() as report:
        summary = track_to_folder(
            load_tracker(settings),
            source,
            given,
            output=output,
            direction=direction,
            start=first,
            end=last,
            show_reliability=show_reliability,
            quality=quality,
            progress=report,
        )
    return _summary(summary)


def colorize(
    video: Video,
    /,
    *,
    reference: Annotated[
        tuple[tuple[str, ...], ...], UseAppendAction, arg(metavar="PICTURE[@FRAME] ...")
    ],
    output: Output,
    codec: Literal["h264", "ffv1", "prores"] | None = None,
    start: Start = "0",
    end: End = None,
    reading: OmitArgPrefixes[SourceOptions] = AS_IT_IS,
    encoding: OmitArgPrefixes[OutputOptions] = AS_USUAL,
    settings: OmitArgPrefixes[Settings] = DEFAULTS,
) -> str:
    """Colour a grey or faded video from one or more coloured pictures; luminance is kept.

    Args:
        video: video file, image, folder or glob of images.
        reference: coloured pictures; R.png@12 is frame 12 (from 0) in colour. May be repeated.
        output: video file (.mp4 H.264, .mkv FFV1, .mov ProRes), or a folder for PNG images.
        codec: another one than the suffix of the output says.
        start: first frame: a number from 0, or a time such as 2.5s.
        end: frame after the last: a number, or a time such as 4s.
    """
    from chromatrack.cli.progress import frame_bar
    from chromatrack.runs.colorized import colorize_to_file

    source, quality = reading.of(video), encoding.quality()
    with frame_bar() as report:
        summary = colorize_to_file(
            load_tracker(settings),
            source,
            references=[picture for group in reference for picture in group],
            output=output,
            codec=codec,
            start=start,
            end=end,
            quality=quality,
            progress=report,
        )
    return _summary(summary)


def stabilize(
    video: Video,
    /,
    *,
    track: Annotated[Path, arg(metavar="FOLDER")],
    output: Output,
    lock: Annotated[str | None, arg(metavar="ID|KIND:IDS|background")] = None,
    smooth: Annotated[float | None, arg(metavar="SECONDS")] = None,
    motion: Literal["shift", "similarity"] | None = None,
    fill: Literal["black", "edge", "blur", "crop"] = "black",
    zoom: bool = False,
    reading: OmitArgPrefixes[SourceOptions] = AS_IT_IS,
    encoding: OmitArgPrefixes[OutputOptions] = AS_USUAL,
) -> str:
    """Hold the camera on a tracked thing, or on the background.

    Args:
        video: the video that was tracked.
        track: folder that `chromatrack track` wrote.
        output: video file, or a folder for PNG images.
        lock: 3 (object), box:1, point:1,2, keypoints:1 or background. None: the only thing tracked.
        smooth: follow the thing's path, smoothed over this time, instead of nailing it down.
        motion: shift only, or rotation and zoom too. None: what the lock allows.
        fill: what to show where the moved frame ends; crop shows only what is always filled.
        zoom: scale a crop back to the full size.
    """
    from chromatrack.cli.progress import frame_bar
    from chromatrack.runs.reader import read_result
    from chromatrack.uses.stabilize import stabilize_video

    source, quality = reading.of(video), encoding.quality()
    with frame_bar() as report:
        done = stabilize_video(
            source,
            read_result(track),
            output=output,
            lock=lock,
            smooth_seconds=smooth,
            fill=fill,
            zoom=zoom,
            motion=motion,
            quality=quality,
            progress=report,
        )
    still = "smoothed" if smooth else f"as on frame {done.reference_frame}"
    lines = [
        f"{done.frames} frames in {done.seconds:.1f} s: {done.output}",
        f"{done.lock} held {still}; the frame moves by up to {done.largest_shift:.1f} px",
    ]
    if done.bridged_frames:
        lines.append(f"not seen on {done.bridged_frames} frames, where its motion was filled in")
    if done.crop is not None:
        left, top, width, height = done.crop
        lines.append(f"kept {width}x{height} px from column {left}, row {top}")
    return "\n".join(lines)


def events(
    track: Annotated[Path, Positional, arg(metavar="FOLDER")],
    /,
    *,
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="CSV")] = None,
    per_frame: Annotated[Path | None, arg(metavar="CSV")] = None,
    near: float = 5.0,
    still: float = 10.0,
) -> str:
    """List what happened: who came, went, hid, met, stood still, how fast and how far.

    Args:
        track: folder that `chromatrack track` wrote.
        output: table with one row per event. None: printed.
        per_frame: table with one row per thing and frame.
        near: largest gap between two things that touch, px.
        still: speed below which a thing dwells, px/s.
    """
    from chromatrack.cli.progress import frame_bar
    from chromatrack.runs.reader import read_result
    from chromatrack.uses.events import EventRules, events_table, find_events

    rules = EventRules(near=near, still=still)
    with frame_bar() as report:
        found = find_events(
            read_result(track), output=output, per_frame=per_frame, rules=rules, progress=report
        )
    if output is None:
        return events_table(found).removesuffix("\n")
    return f"{len(found)} events: {output}"


def _summary(summary: RunSummary) -> str:
    speed = f"{summary.seconds:.1f} s, {summary.frames_per_second:.1f} frames/s"
    return with_look_at(f"{summary.frames} frames in {speed}: {summary.output}", summary.look_at)


def with_look_at(summary: str, ranges: Sequence[ReviewRange]) -> str:
    """What a command says, and a line on the worst frames if there are any to look at."""
    if not ranges:
        return summary
    more = len(ranges) - 1
    rest = f" ({more} more in result.json)" if more else ""
    return f"{summary}\nlook at {ranges[0]}{rest}"
