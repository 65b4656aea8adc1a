"""The files in which a user says what to track, as the command line names them.

Nothing heavy is imported until they are read.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import UseAppendAction, arg

from chromatrack.errors import InputError
from chromatrack.formats.picture_names import Numbers

if TYPE_CHECKING:
    from chromatrack.formats.marked_source import MarkedSource
    from chromatrack.structures import KeypointMark, LostMark, Skeleton
    from chromatrack.tracking.marks import Marks


@dataclass(frozen=True)
class MarkFiles:
    """What to track: at least one of these; all kinds go together in one run.

    Args:
        masks: mask PNG of the first frame, or a folder of 00000.png-named masks.
        polygons: outlines of objects, ours or LabelMe's, painted over the masks.
        points: table with the columns id, frame, x, y.
        boxes: table with the columns id, frame, x, y, width, height.
        keypoints: skeletons of joints, COCO's or the short form.
        skeleton: joint names and edges, for keypoints that come without or to draw with.
        lost: object 3 is not there on frame 40: 3@40. May be repeated.
        numbers: what a number in a picture's name means: its frame's index, or the picture of the
            video that bears it; auto takes what is possible, and asks where both are.
        video_name: which of the videos in a file of several this one is, where no name fits.
    """

    masks: Annotated[Path | None, arg(metavar="PNG|FOLDER")] = None
    polygons: Annotated[Path | None, arg(metavar="JSON|FOLDER")] = None
    points: Annotated[Path | None, arg(metavar="CSV")] = None
    boxes: Annotated[Path | None, arg(metavar="CSV")] = None
    keypoints: Annotated[Path | None, arg(metavar="JSON")] = None
    skeleton: Annotated[Path | None, arg(metavar="JSON")] = None
    lost: Annotated[tuple[tuple[str, ...], ...], UseAppendAction, arg(metavar="ID@FRAME ...")] = ()
    numbers: Numbers = "auto"
    video_name: Annotated[str | None, arg(metavar="NAME")] = None


NO_MARKS = MarkFiles()


def source_for(files: MarkFiles, video: str, *, start: int) -> MarkedSource:
    """The video, opened to read the files for it.

    Raises:
        VideoError: it cannot be read. InputError: `numbers` does not go with it.
    """
    from chromatrack.tracking.marked_video import marked_source

    numbers, video_name = files.numbers, files.video_name
    return marked_source(video, numbers=numbers, video_name=video_name, start=start)


def read_mark_files(
    files: MarkFiles,
    video: str,
    *,
    output: Path,
    start: int,
    source: MarkedSource | None = None,
) -> Marks:
    """All marks in the files, as they lie on the video.

    Args:
        files: as the user named them.
        output: folder of the results, where none of them may be overwritten.
        start: the frame of a single mask.
        source: the same video, to keep what was understood; None: opened here, and what was passed
            over or scaled is told in warnings.

    Raises:
        InputError: no marks at all, a skeleton for no keypoints, a file that is not as it should
            be, or one that the results would overwrite. VideoError: the video cannot be read.
    """
    from chromatrack.formats.csv_tables import read_boxes, read_points
    from chromatrack.formats.keypoints import read_keypoints, read_skeleton
    from chromatrack.formats.polygons import read_polygons
    from chromatrack.tracking.mark_checks import add_polygons
    from chromatrack.tracking.marks import Marks, read_marks

    _check_named(files, output)
    if source is None:
        source = source_for(files, video, start=start)
        given = read_mark_files(files, video, output=output, start=start, source=source)
        tell_warned(source)
        return given
    masks = read_marks(files.masks, start=start, source=source) if files.masks else {}
    if files.polygons:
        masks = add_polygons(masks, read_polygons(files.polygons, source=source), source.size)
    skeleton = read_skeleton(files.skeleton) if files.skeleton else None
    keypoints: Sequence[KeypointMark] = ()
    if files.keypoints:
        own, keypoints = read_keypoints(files.keypoints, skeleton=skeleton, source=source)
        skeleton = own if skeleton is None else _drawn_with(skeleton, own)
    return Marks(
        masks=masks,
        points=read_points(files.points, source=source) if files.points else (),
        boxes=read_boxes(files.boxes, source=source) if files.boxes else (),
        keypoints=keypoints,
        lost=[parse_lost(text) for group in files.lost for text in group],
        skeleton=skeleton,
        names=source.names,
    )


def tell_warned(source: MarkedSource) -> None:
    """Warn of what may not be meant as it was understood."""
    for note in source.notes:
        if note.warned:
            warnings.warn(note.text, stacklevel=3)


def parse_lost(text: str) -> LostMark:
    """A mark of absence from `3@40`: object 3 is not there on frame 40.

    Raises:
        InputError: not an id and a frame.
    """
    from chromatrack.structures import LostMark

    number, _, frame = text.partition("@")
    if not (number.isdecimal() and frame.isdecimal()):
        raise InputError(
            f"lost {text!r}: expected ID@FRAME such as 3@40, object 3 is not there on frame 40"
        )
    return LostMark(int(number), int(frame))


def _drawn_with(skeleton: Skeleton, own: Skeleton) -> Skeleton:
    """`skeleton` with its joints in the order of the marks' own, where both name the same."""
    if set(skeleton.names) != set(own.names):
        return skeleton
    place = [own.names.index(name) for name in skeleton.names]
    return replace(own, edges=tuple((place[a], place[b]) for a, b in skeleton.edges))


def _check_named(files: MarkFiles, output: Path) -> None:
    from chromatrack.atomic import keep_apart
    from chromatrack.runs.files import TABLES

    sources = (files.masks, files.polygons, files.points, files.boxes, files.keypoints)
    if not any(sources):
        raise InputError(
            "expected something to track, got nothing; give --masks, --polygons, --points, "
            "--boxes or --keypoints"
        )
    if files.skeleton and not files.keypoints:
        raise InputError(f"skeleton {files.skeleton}: goes with --keypoints, got without; add them")
    for name in ("masks", "marks"):
        keep_apart(files.masks, output / name)
    for path in (*sources[1:], files.skeleton):
        for name in (*TABLES.values(), "result.json"):
            keep_apart(path, output / name)
