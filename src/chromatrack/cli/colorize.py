"""`chromatrack colorize`: a film coloured shot by shot, and help in choosing what to colour.

Nothing heavy is imported before it runs.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import OmitArgPrefixes, UseAppendAction, arg

from chromatrack.cli.options import (
    AS_IT_IS,
    AS_USUAL,
    COLOR_DEFAULTS,
    ColorSettings,
    OutputOptions,
    SourceOptions,
    load_tracker,
)
from chromatrack.cli.track import End, Output, Start, Video, summary_text
from chromatrack.cli.typed_marks import Many, each
from chromatrack.errors import InputError

if TYPE_CHECKING:
    from chromatrack.formats.color_strokes import Strokes
    from chromatrack.formats.shots import Shot
    from chromatrack.runs.frame_samples import FrameSamples
    from chromatrack.runs.progress import Report
    from chromatrack.runs.suggested import Suggestion
    from chromatrack.structures import Source
    from chromatrack.tracking.tracker import Tracker


@dataclass(frozen=True, kw_only=True)
class LookOptions:
    """How the coloured video looks.

    Args:
        strength: of the colours, 0 (grey) to 1 (as copied).
        side_by_side: show the grey frame on the left and the coloured one on the right.
        luma: perceived keeps the lightness that is seen; exact keeps the Y' of the source, bit by
            bit, in the YUV that is encoded (.mkv is then FFV1 in YUV).
        unsure_map: write a grey video (or a folder of pictures) here: white where colours are not
            sure.
    """

    strength: float = 1.0
    side_by_side: bool = False
    luma: Literal["perceived", "exact"] = "perceived"
    unsure_map: Annotated[Path | None, arg(metavar="PATH")] = None


AS_COPIED = LookOptions()


def colorize(
    video: Video,
    /,
    *,
    reference: Annotated[
        tuple[tuple[str, ...], ...], UseAppendAction, arg(metavar="PICTURE[@FRAME]|FOLDER ...")
    ] = (),
    strokes: Annotated[Many, UseAppendAction, arg(metavar="PNG@FRAME|JSON ...")] = (),
    output: Output,
    suggest: Annotated[int | None, arg(metavar="N")] = None,
    shots: Annotated[str, arg(metavar="find|one|CSV|EDL|FCPXML")] = "find",
    references_everywhere: bool = False,
    resume: bool = False,
    keep_fields: bool = False,
    codec: Literal["h264", "ffv1", "prores"] | None = None,
    start: Start = "0",
    end: End = None,
    look: OmitArgPrefixes[LookOptions] = AS_COPIED,
    reading: OmitArgPrefixes[SourceOptions] = AS_IT_IS,
    encoding: OmitArgPrefixes[OutputOptions] = AS_USUAL,
    settings: OmitArgPrefixes[ColorSettings] = COLOR_DEFAULTS,
) -> str:
    """Colour a grey or faded video from one or more coloured pictures; luminance is kept.

    Args:
        video: video file, image, folder or glob of images.
        reference: coloured pictures; R.png@12 is frame 12 (from 0) in colour and counts in its
            shot, R.png is a still that counts in all. A folder: all pictures in it that have
            colours, frame_00012.png is frame 12, and so is 00012.png if it looks like that frame.
            May be repeated.
        strokes: a few strokes of colour on a grey frame count as a reference for its shot: a PNG
            with alpha, or JSON points with colours. May be repeated.
        output: video file (.mp4 H.264, .mkv FFV1, .mov ProRes), or a folder for PNG images; with
            --suggest the folder for the pictures to colour.
        suggest: colour nothing, but write the N frames whose colouring would cover most of the film
            as grey pictures, to be coloured and given back with --reference FOLDER.
        shots: find looks for them; one: all is one shot; or a list that `chromatrack shots` wrote,
            or an edit.
        references_everywhere: let every reference count in all shots.
        resume: keep every finished shot beside the output until all is done, and go on with those
            of a run that was killed or stopped, given all the same. Takes room on the disk.
        keep_fields: colour an interlaced video as it is stored.
        codec: another one than the suffix of the output says.
        start: first frame: a number from 0, or a time such as 2.5s.
        end: frame after the last: a number, or a time such as 4s.
    """
    from chromatrack.cli.progress import frame_bar
    from chromatrack.runs.color_look import Look
    from chromatrack.runs.colorized import FilmOptions, colorize_to_file
    from chromatrack.tracking.color_strokes import strokes_as_references
    from chromatrack.video.reader import frame_range

    source, quality = reading.of(video), encoding.quality()
    how = Look(look.strength, look.side_by_side, look.luma == "exact")
    span = frame_range(source, start=start, end=end)
    tell_telecine(source, span)
    tell_transparency(source, span)
    check_whole_pictures(source, keep_fields=keep_fields)
    if suggest is not None and reference:
        raise InputError("suggest: chooses what to colour, so leave --reference out")
    if suggest is not None and strokes:
        raise InputError("suggest: chooses what to colour, so leave --strokes out")
    painted = strokes_on(strokes, source)
    names = [] if suggest is not None else checked_references(reference, source, also=painted)
    with frame_bar() as report:
        tracker = load_tracker(settings)
        samples = None if suggest is None else samples_of(source)
        listed = shots_for(shots, source, span=span, samples=samples, progress=report)
        if suggest is not None:
            return _suggest(tracker, source, listed, suggest, output, span, samples, report)
        summary = colorize_to_file(
            tracker,
            source,
            references=[*names, *strokes_as_references(tracker.embedder, source, painted)],
            output=output,
            codec=codec,
            start=span[0],
            end=span[1],
            quality=quality,
            film=FilmOptions(listed, references_everywhere, resume, how, look.unsure_map),
            progress=report,
        )
    return summary_text(summary, more_in="the .reliability.json beside it")


def shots_for(
    shots: str,
    video: Source,
    *,
    span: tuple[int, int | None],
    samples: FrameSamples | None = None,
    progress: Report | None = None,
) -> tuple[Shot, ...]:
    """The shots that the option asks for, of the frames in `span` at least.

    Raises:
        InputError: no such list, or a list of another film.
    """
    from chromatrack.runs.shots import find_shots, listed_shots

    if shots == "one":
        return ()
    if shots != "find":
        return listed_shots(Path(shots), video, samples=samples, progress=progress).shots
    found = find_shots(video, span=span, samples=samples, progress=progress).shots
    return found if len(found) > 1 else ()


def samples_of(video: Source) -> FrameSamples:
    """What keeps pictures of a film while it is read."""
    from chromatrack.runs.frame_samples import FrameSamples
    from chromatrack.video.reader import probe

    info = probe(video)
    return FrameSamples((info.height, info.width))


def check_whole_pictures(video: Source, *, keep_fields: bool) -> None:
    """InputError for an interlaced video that is to be neither deinterlaced nor kept as it is."""
    from chromatrack.video.reader import probe

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said here
        order = probe(video).display.field_order
    if order != "progressive" and not keep_fields:
        raise InputError(
            f"{video}: expected whole pictures, got interlaced ones ({order}); --deinterlace makes "
            "whole pictures of them, --keep-fields colours them as they are stored (right where "
            "they are whole and only marked so)"
        )


def tell_telecine(video: Source, span: tuple[int, int | None]) -> None:
    """Warn of film that was carried over to video by 3:2 pulldown."""
    from chromatrack.video.images import image_files
    from chromatrack.video.reader import probe
    from chromatrack.video.telecine import LOOKED_AT, find_pulldown

    if image_files(video) is not None:
        return
    last = span[1] or probe(video).frame_count or 0
    found = find_pulldown(video, start=max(span[0], (span[0] + last - LOOKED_AT) // 2))
    if found is not None:
        how = (
            "two of five pictures are woven of two" if found == "combed" else "every fifth repeats"
        )
        warnings.warn(
            f"{video}: is telecined film (3:2 pulldown: {how}); undo that first (inverse telecine) "
            "to colour the film's own frames",
            stacklevel=2,
        )


def tell_transparency(video: Source, span: tuple[int, int | None]) -> None:
    """Warn of pictures that are transparent in part, by the first of them."""
    from chromatrack.video.images import image_files
    from chromatrack.video.picture_files import is_opaque

    files = (image_files(video) or [])[span[0] :]
    if files and not is_opaque(files[0]):
        warnings.warn(
            f"{files[0]}: is transparent in part; the coloured picture will not be, and is black "
            "there",
            stacklevel=2,
        )


def strokes_on(names: Many, video: Source) -> list[Strokes]:
    """The strokes of an option. InputError says what is wrong with a file."""
    from chromatrack.formats.color_strokes import read_strokes
    from chromatrack.video.reader import probe

    if not names:
        return []
    info = probe(video)
    return read_strokes(list(each(names)), size=(info.height, info.width))


def checked_references(
    reference: Sequence[Sequence[str]], video: Source, *, also: Sequence[object] = ()
) -> list[str]:
    """The pictures of an option, folders opened; warns of references that lack something.

    One frame may have one picture; the same may be given again.

    also: what else gives colours, so that no picture is needed.

    Raises:
        InputError: no picture, a frame of another shape or with two pictures, or no reference has
            any colour.
    """
    from chromatrack.runs.shot_references import check_one_each, is_grey, picture_of, pictures_in
    from chromatrack.tracking.marks import read_reference
    from chromatrack.video.picture_files import is_opaque
    from chromatrack.video.reader import probe

    names = pictures_in([picture for group in reference for picture in group], video)
    if not names and also:
        return []
    if not names:
        raise InputError(
            "reference: expected at least one coloured picture, got none; --suggest N -o FOLDER "
            "says which frames are worth colouring"
        )
    check_one_each(names)
    info, grey = probe(video), 0
    for name in names:
        rgb, index = read_reference(name)
        (height, width), size = rgb.shape[:2], f"{info.width}x{info.height}"
        if index is not None and (height, width) != (info.height, info.width):
            if abs(width - height * info.width / info.height) > 1:
                raise InputError(
                    f"reference {name}: expected frame {index} of a {size} video in colour, got "
                    f"{width}x{height}, another shape; colour that frame, or leave @{index} out"
                )
            warnings.warn(f"reference {name}: is {width}x{height}, scaled to {size}", stacklevel=2)
        if not is_opaque(picture_of(name) or name):
            warnings.warn(
                f"reference {name}: is transparent in part, which is passed over: colours that are "
                "not seen are copied too; flatten it, or give strokes as --strokes",
                stacklevel=2,
            )
        if is_grey(rgb):
            grey += 1
            warnings.warn(
                f"reference {name}: has no colour, what it shows stays grey", stacklevel=2
            )
    if grey == len(names):
        raise InputError(
            f"reference: expected colours to copy, got grey alone in {', '.join(names)}"
        )
    return names


def _suggest(
    tracker: Tracker,
    video: Source,
    listed: tuple[Shot, ...],
    count: int,
    output: Path,
    span: tuple[int, int | None],
    samples: FrameSamples | None,
    report: Report,
) -> str:
    from chromatrack.runs.shots import shots_within
    from chromatrack.runs.suggested import suggest_references

    inside = shots_within(listed, video, span)
    found = suggest_references(
        tracker, video, inside, count=count, output=output, samples=samples, progress=report
    )
    lines = [_told(one) for one in found]
    total = sum(one.added for one in found)
    more = f"together {100 * total:.0f} % of {sum(s.end - s.first for s in inside)} frames"
    lines.append(f"{more}; colour them, then: --reference {output}")
    return "\n".join(lines)


def _told(one: Suggestion) -> str:
    extra = f", {100 * one.added:.1f} % more" if one.added < one.alone - 5e-4 else ""
    done = " (has colours, left as it is)" if one.is_colored else ""
    where = f"{one.path}: frame {one.frame} of shot {one.shot}"
    return f"{where}, covers {100 * one.alone:.1f} % of the film{extra}{done}"
