"""The commands that work on what is there: correct a run, paint on a video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from chromatrack.cli.options import (
    AS_IT_IS,
    AS_USUAL,
    DEFAULTS,
    OutputOptions,
    Settings,
    SourceOptions,
    load_tracker,
)
from chromatrack.cli.track import End, Output, Start, Video, with_look_at
from chromatrack.tracking.config import Device

Many = tuple[tuple[str, ...], ...]


def correct(
    run: Annotated[Path, Positional, arg(metavar="FOLDER")],
    /,
    *,
    masks: Annotated[Many, UseAppendAction, arg(metavar="PNG@FRAME ...")] = (),
    points: Annotated[Path | None, arg(metavar="CSV")] = None,
    boxes: Annotated[Path | None, arg(metavar="CSV")] = None,
    keypoints: Annotated[Path | None, arg(metavar="JSON")] = None,
    lost: Annotated[Many, UseAppendAction, arg(metavar="ID@FRAME ...")] = (),
    video: Annotated[Path | None, arg(metavar="VIDEO")] = None,
    device: Device = "auto",
) -> str:
    """Add or replace marks of a finished run; only the frames between keyframes are done again.

    Args:
        run: folder that `chromatrack track` wrote; it is changed in place.
        masks: M.png@40 is a mask of frame 40 (from 0). May be repeated.
        points: table with the columns id, frame, x, y.
        boxes: table with the columns id, frame, x, y, width, height.
        keypoints: skeletons of joints, COCO's or the short form.
        lost: object 3 is not there on frame 40: 3@40. May be repeated.
        video: where the video is now, if it was moved.
        device: where to run.
    """
    from chromatrack.cli.mark_files import parse_lost
    from chromatrack.cli.progress import frame_bar
    from chromatrack.formats.csv_tables import read_boxes, read_points
    from chromatrack.formats.keypoints import read_keypoints
    from chromatrack.runs.correct import correct as run_correction
    from chromatrack.runs.correct import read_masks_at, tracker_of
    from chromatrack.tracking.marks import Marks

    skeleton, poses = read_keypoints(keypoints) if keypoints else (None, [])
    new = Marks(
        read_masks_at([name for group in masks for name in group]),
        read_points(points) if points else (),
        read_boxes(boxes) if boxes else (),
        poses,
        [parse_lost(text) for group in lost for text in group],
        skeleton,
    )
    with frame_bar() as report:
        done = run_correction(
            tracker_of(run, device=device),
            run,
            new,
            video=video,
            progress=report,
        )
    again = f"{done.frames_recomputed} of {done.frames} frames done again in {done.seconds:.1f} s"
    return with_look_at(f"{again}: {done.output}", done.look_at)


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
    from chromatrack.uses.layers import parse_painted, parse_texture, picture_and_place
    from chromatrack.uses.paint import paint_video
    from chromatrack.uses.video_output import check_apart

    for text in [text for groups in (texture, painted) for group in groups for text in group]:
        check_apart(picture_and_place(text)[0], output)
    source, quality = reading.of(video), encoding.quality()
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
    lines = [f"{done.frames} frames in {done.seconds:.1f} s: {done.output}"]
    for number, unseen in enumerate(done.unseen, start=1):
        if unseen:
            lines.append(f"picture {number} was not seen on {unseen} frames")
    return "\n".join(lines)
