"""The commands that make something of a video; each returns what `cli` prints.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import DisallowNone, OmitArgPrefixes, Positional, arg

from chromatrack.cli.exchange import Exports, tell_notes
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
from chromatrack.errors import InputError
from chromatrack.runs.file_names import Output as RunOutput
from chromatrack.runs.file_names import chosen_outputs

if TYPE_CHECKING:
    from chromatrack.propagation.reliability import ReviewRange
    from chromatrack.runs.things_table import ThingSummary
    from chromatrack.runs.writer import RunSummary
    from chromatrack.tracking.marks import Marks

MOST_THINGS = 20
"""Things that get a line of their own at the end of a run."""

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
    reliability_panel: Literal["bottom-left", "bottom-right", "top-left", "top-right", "outside"]
    | None = None,
    joint_names: bool = False,
    overlay: bool = True,
    only: Annotated[tuple[RunOutput, ...] | None, DisallowNone] = None,
    export: Exports = (),
    dry_run: bool = False,
    resume: bool = False,
    reading: OmitArgPrefixes[SourceOptions] = AS_IT_IS,
    encoding: OmitArgPrefixes[OutputOptions] = AS_USUAL,
    settings: OmitArgPrefixes[Settings] = DEFAULTS,
) -> str:
    """Track objects, points, boxes and skeletons through a video, all in one run.

    Args:
        video: video file, image, folder or glob of images.
        output: folder for masks/00000.png, tracks.csv, boxes.csv, keypoints.json (each if there is
            such a thing), things.csv (all of them), overlay.mp4 and result.json.
        direction: where to go from the marked frames.
        start: first frame: a number from 0, or a time such as 2.5s.
        end: frame after the last: a number, or a time such as 4s.
        show_reliability: draw into overlay.mp4 how far everything tracked can be trusted.
        reliability_panel: draw it there; outside makes the picture wider.
        joint_names: write the names of joints into overlay.mp4.
        overlay: write overlay.mp4; without, nothing is drawn or encoded.
        only: write these alone, and result.json: masks, tracks (all tables), overlay.
        export: write the results in these formats too, into exports/ of the folder; the names are
            those of `chromatrack export`. May be repeated.
        dry_run: say what was understood of the marks, and stop: nothing is tracked or written.
        resume: go on with a run in the folder that was killed or stopped, given all the same.
    """
    from chromatrack.cli.mark_files import read_mark_files, source_for, tell_warned
    from chromatrack.cli.progress import frame_bar
    from chromatrack.cli.typed_marks import each, things
    from chromatrack.runs.kept_exports import check_exports, formats_named, write_exports
    from chromatrack.runs.reader import read_result
    from chromatrack.runs.writer import track_to_folder
    from chromatrack.video.reader import frame_range

    formats = formats_named(each(export))
    opened, outputs = reading.of(video), chosen_outputs(only, overlay=overlay)
    quality = encoding.quality(settings.quality if "overlay" in outputs else "normal")
    first, last = frame_range(opened, start=start, end=end)
    source = source_for(marks, opened, start=first, end=last)
    given = read_mark_files(marks, opened, output=output, start=first, source=source)
    check_exports(formats, output, {kind for kind, _ in things(given)}, outputs)
    if dry_run:
        from chromatrack.tracking.marked_video import understood

        return understood(given, source, start=first, end=last)
    tell_warned(source)
    _check_direction(direction, given, first, last)
    with frame_bar() as report:
        summary = track_to_folder(
            load_tracker(settings),
            opened,
            given,
            output=output,
            direction=direction,
            start=first,
            end=last,
            show_reliability=show_reliability,
            reliability_panel=reliability_panel,
            joint_names=joint_names,
            resume=resume,
            quality=quality,
            outputs=outputs,
            progress=report,
        )
    exported = write_exports(read_result(output), formats) if formats else []
    tell_notes(exported)
    return "\n".join([summary_text(summary), *(f"export: {done.path}" for done in exported)])


def _check_direction(direction: str, marks: Marks, first: int, after: int | None) -> None:
    """InputError where a direction leads from no mark to any other frame."""
    keyframes = marks.frames()
    if direction == "backward" and keyframes and keyframes[-1] <= first:
        raise InputError(
            f"direction: backward from frame {keyframes[-1]} there is nothing before the first "
            f"frame, {first}; mark a later frame, or leave --direction out"
        )
    if direction == "forward" and after is not None and keyframes and keyframes[0] >= after - 1:
        raise InputError(
            f"direction: forward from frame {keyframes[0]} there is nothing after the last frame, "
            f"{after - 1}; mark an earlier frame, or leave --direction out"
        )


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
        lock: 3 (the object, else the one thing of id 3), box:1, point:1,2, keypoints:1 or
            background. None: the only thing tracked.
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
        f"{counted(done.frames, 'frame')} in {done.seconds:.1f} s: {done.output}",
        f"{done.lock} held {still}; the frame moves by up to {done.largest_shift:.1f} px",
    ]
    if done.bridged_frames:
        unseen = counted(done.bridged_frames, "frame")
        lines.append(f"not seen on {unseen}, where its motion was filled in")
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
    near: float | None = None,
    still: float | None = None,
    scale: Annotated[float | None, arg(metavar="PX")] = None,
    unit: str | None = None,
    fps: float | None = None,
) -> str:
    """List what happened: who came, went, hid, met, stood still, how fast and how far.

    Args:
        track: folder that `chromatrack track` wrote.
        output: table with one row per event. None: printed.
        per_frame: table with one row per thing and frame.
        near: largest gap between two things that touch, px or units of --scale. None: 5 px.
        still: speed below which a thing dwells, in the same per second. None: 10 px/s.
        scale: so many px are one unit: lengths and speeds are given and told in it; places stay px.
        unit: its name, such as cm.
        fps: frames per second of pictures, which state no times.
    """
    from chromatrack.cli.progress import frame_bar
    from chromatrack.runs.reader import read_result
    from chromatrack.uses.events import EventRules, events_table, find_events
    from chromatrack.uses.measures import IN_PIXELS, Scale, at_rate

    result, measure = read_result(track), IN_PIXELS
    if scale is not None:
        measure = Scale(scale, "unit" if unit is None else unit)
    elif unit is not None:
        raise InputError(f"unit {unit}: goes with --scale, got without; say how many px it has")
    given = {k: v for k, v in {"near": near, "still": still}.items() if v is not None}
    EventRules(**given)  # to tell what is wrong as it was given
    rules = EventRules(**{k: v * measure.pixels for k, v in given.items()})
    if fps is not None:
        result = at_rate(result, fps)
    with frame_bar() as report:
        found = find_events(
            result, output=output, per_frame=per_frame, rules=rules, scale=measure, progress=report
        )
    if output is None:
        return events_table(found).removesuffix("\n")
    return f"{counted(len(found), 'event')}: {output}"


def counted(number: int, what: str) -> str:
    """`1 frame`, `12 frames`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def summary_text(summary: RunSummary, *, more_in: str = "result.json") -> str:
    """What a run says at its end: frames, speed, a line for each thing, and where to look."""
    speed = f"{summary.seconds:.1f} s, {summary.frames_per_second:.1f} frames/s"
    done = f"{counted(summary.frames, 'frame')} in {speed}: {summary.output}"
    lines = [done, *thing_lines(summary.things)]
    return with_look_at("\n".join(lines), summary.look_at, more_in=more_in)


def thing_lines(things: Sequence[ThingSummary]) -> list[str]:
    """A line for each thing; where there are many, for those that were seen or trusted least."""
    if len(things) <= MOST_THINGS:
        return [str(thing) for thing in things]
    least = sorted(things, key=lambda t: (t.seen, 1.0 if t.reliability is None else t.reliability))
    rest = f"{len(things) - MOST_THINGS} more things are in things.csv; above are the least sure"
    return [*map(str, least[:MOST_THINGS]), rest]


def with_look_at(
    summary: str, ranges: Sequence[ReviewRange], *, more_in: str = "result.json"
) -> str:
    """What a command says, and a line on the worst frames if there are any to look at."""
    if not ranges:
        return summary
    more = len(ranges) - 1
    rest = f" ({more} more in {more_in})" if more else ""
    return f"{summary}\nlook at {ranges[0]}{rest}"
