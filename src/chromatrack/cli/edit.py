"""The commands that work on what is there: correct a run, paint on a video."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from chromatrack.cli.exchange import tell_notes
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
from chromatrack.cli.track import End, Output, Start, Video, counted, thing_lines, with_look_at
from chromatrack.cli.typed_marks import Many, things
from chromatrack.errors import InputError
from chromatrack.tracking.config import Device

if TYPE_CHECKING:
    from chromatrack.tracking.marks import Marks


def correct(
    run: Annotated[Path, Positional, arg(metavar="FOLDER")],
    /,
    *,
    marks: OmitArgPrefixes[MarkFiles] = NO_MARKS,
    video: Annotated[Path | None, arg(metavar="VIDEO")] = None,
    start: Annotated[str | None, arg(metavar="FRAME|TIME")] = None,
    end: End = None,
    dry_run: bool = False,
    device: Device = "auto",
) -> str:
    """Add or replace marks of a finished run; only the frames between keyframes are done again.

    Args:
        run: folder that `chromatrack track` wrote; it is changed in place.
        video: where the video is now, if it was moved.
        start: first frame that may change, a number from 0, or a time such as 2.5s; those before it
            stay as they are. The same marks without it do them later.
        end: frame after the last that may change, a number, or a time such as 4s.
        dry_run: say what was understood of the marks and how much would be done again, and stop.
        device: where to run.
    """
    from chromatrack.cli.mark_files import read_mark_files, source_for, tell_warned
    from chromatrack.cli.progress import frame_bar
    from chromatrack.runs.correct import correct as run_correction
    from chromatrack.runs.correct import plan_correction, tracker_of
    from chromatrack.runs.kept_exports import kept_formats, write_exports
    from chromatrack.runs.marks_json import read_run_marks
    from chromatrack.runs.reader import read_result
    from chromatrack.tracking.cores import prepare_process
    from chromatrack.video.reader import frame_range

    result = read_result(run)
    source, known = result.find_video(video), read_run_marks(run)
    opened = source_for(marks, source, start=0, end=result.frames[-1].index + 1)
    new = read_mark_files(marks, source, output=run, start=None, known=known, source=opened)
    first, after = frame_range(source, start=start or 0, end=end)
    begin = None if start is None else first
    if dry_run:
        from chromatrack.tracking.marked_video import described
        from chromatrack.video.reader import probe

        plan = plan_correction(run, new, video=video, start=begin, end=after)
        return described(new, opened, probe(source), more=[str(plan)])
    tell_warned(opened)
    _warn_of_new_boxes(new, known)
    prepare_process()
    with frame_bar() as report:
        done = run_correction(
            tracker_of(run, device=device),
            run,
            new,
            video=video,
            start=begin,
            end=after,
            progress=report,
            announce=lambda plan: print(plan, file=sys.stderr),
        )
    formats = kept_formats(run)
    exported = write_exports(read_result(run), formats) if formats else []
    tell_notes(exported)
    again = f"{done.frames_recomputed} of {done.frames} frames done again in {done.seconds:.1f} s"
    lines = [f"{again}: {done.output}", *thing_lines(done.things)]
    held = sorted({(one.begin, one.last) for one in done.unfinished if one.held})
    if held:
        frames = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in held)
        lines.append(f"frames {frames} stay as they were; the same marks alone do them too")
    said = with_look_at("\n".join(lines), done.look_at)
    return "\n".join([said, *(f"export: {one.path}" for one in exported)])


def _warn_of_new_boxes(new: Marks, known: Marks) -> None:
    """A box under the id of an object is another thing, which is seldom what was meant."""
    before = things(known)
    for kind, number in sorted(things(new) - before):
        if kind == "box" and ("object", number) in before:
            warnings.warn(
                f"box {number} is new in this run, beside its object {number}; to correct the "
                "object, add --box-as-mask",
                stacklevel=2,
            )


def paint(
    video: Video,
    /,
    *,
    texture: Annotated[Many, UseAppendAction, arg(metavar="PICTURE[@FRAME:X,Y] ...")] = (),
    painted: Annotated[Many, UseAppendAction, arg(metavar="PICTURE[@FRAME] ...")] = (),
    output: Output,
    codec: Literal["h264", "ffv1", "prores"] | None = None,
    start: Start = "0",
    end: End = None,
    reading: OmitArgPrefixes[SourceOptions] = AS_IT_IS,
    encoding: OmitArgPrefixes[OutputOptions] = AS_USUAL,
    settings: OmitArgPrefixes[Settings] = DEFAULTS,
) -> str:
    """Carry textures, or what was repainted on a frame, with the surfaces of a video.

    Args:
        video: video file, image, folder or glob of images.
        texture: picture with transparency; T.png@12:40,60 puts it on frame 12 at x 40, y 60.
        painted: repainted copy of a frame: P.png@12 of frame 12; what changed is carried.
        output: video file (.mp4 H.264, .mkv FFV1, .mov ProRes), or a folder for PNG images.
        codec: another one than the suffix of the output says.
        start: first frame: a number from 0, or a time such as 2.5s.
        end: frame after the last: a number, or a time such as 4s.
    """
    from chromatrack.cli.progress import frame_bar
    from chromatrack.runs.video_staging import check_video_output
    from chromatrack.uses.layers import parse_painted, parse_texture, picture_and_place
    from chromatrack.uses.paint import paint_video

    if settings.decoder not in ("auto", "none"):
        raise InputError(
            f"decoder: paint carries parts of surfaces, which end where no edge is, without one; "
            f"got {settings.decoder}; leave --decoder out"
        )
    pictures = [text for groups in (texture, painted) for group in groups for text in group]
    source, quality = reading.of(video), encoding.quality()
    check_video_output(output, reads=[picture_and_place(text)[0] for text in pictures], like=source)
    with frame_bar() as report:
        done = paint_video(
            load_tracker(settings),
            source,
            textures=[parse_texture(text) for group in texture for text in group],
            painted=[parse_painted(text) for group in painted for text in group],
            output=output,
            codec=codec,
            start=start,
            end=end,
            quality=quality,
            progress=report,
        )
    lines = [f"{counted(done.frames, 'frame')} in {done.seconds:.1f} s: {done.output}"]
    for number, unseen in enumerate(done.unseen, start=1):
        if unseen:
            lines.append(f"picture {number} was not seen on {counted(unseen, 'frame')}")
    return "\n".join(lines)
