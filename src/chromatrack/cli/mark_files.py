"""The files in which a user says what to track, as the command line names them.

Nothing heavy is imported until they are read.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import UseAppendAction, arg

from chromatrack.cli.typed_marks import Many, TypedMarks, each, with_typed
from chromatrack.errors import InputError
from chromatrack.formats.picture_names import Numbers

if TYPE_CHECKING:
    import numpy as np

    from chromatrack.formats.marked_source import MarkedSource
    from chromatrack.structures import KeypointMark, Skeleton, Source
    from chromatrack.tracking.marks import Marks


@dataclass(frozen=True, kw_only=True)
class MarkFiles(TypedMarks):
    """What to track: at least one of these; all kinds go together in one run.

    Args:
        marks: files or folders of any format that is known: ours, LabelMe, COCO, CVAT, MOT, Label
            Studio, VIA, DAVIS, YouTube-VOS, masks (see docs/formats.md). May be repeated.
        masks: mask PNG of the first frame, a folder of 00000.png-named masks, or masks of any
            frames: M.png@40 is one of frame 40 (from 0). May be repeated.
        polygons: outlines of objects, ours, LabelMe's or COCO's, painted over the masks.
        points: table with the columns id, frame, x, y and, if you like, name.
        boxes: table with the columns id, frame, x, y, width, height and, if you like, name.
        keypoints: skeletons of joints, COCO's or the short form.
        skeleton: joint names and edges, for keypoints that come without or to draw with.
        numbers: what a number in a picture's name means: its frame's index, or the picture of the
            video that bears it; auto takes what is possible, and asks where both are.
        video_name: which of the videos in a file of several this one is, where no name fits.
    """

    marks: Annotated[Many, UseAppendAction, arg(metavar="FILE|FOLDER ...")] = ()
    masks: Annotated[Many, UseAppendAction, arg(metavar="PNG|FOLDER|PNG@FRAME ...")] = ()
    polygons: Annotated[Path | None, arg(metavar="JSON|FOLDER")] = None
    points: Annotated[Path | None, arg(metavar="CSV")] = None
    boxes: Annotated[Path | None, arg(metavar="CSV")] = None
    keypoints: Annotated[Path | None, arg(metavar="JSON")] = None
    skeleton: Annotated[Path | None, arg(metavar="JSON")] = None
    numbers: Numbers = "auto"
    video_name: Annotated[str | None, arg(metavar="NAME")] = None


NO_MARKS = MarkFiles()


def source_for(
    files: MarkFiles, video: Source, *, start: int, end: int | None = None
) -> MarkedSource:
    """The video, opened to read the files for it.

    Raises:
        VideoError: it cannot be read. InputError: `numbers` does not go with it.
    """
    from chromatrack.tracking.marked_video import marked_source

    numbers, video_name = files.numbers, files.video_name
    return marked_source(video, numbers=numbers, video_name=video_name, start=start, end=end)


def read_mark_files(
    files: MarkFiles,
    video: Source,
    *,
    output: Path,
    start: int | None,
    known: Marks | None = None,
    source: MarkedSource | None = None,
) -> Marks:
    """All marks in the files and those typed, as they lie on the video.

    Args:
        files: as the user named them.
        output: folder of the results, where none of them may be overwritten.
        start: the frame of a mask that says none; None: it has to say one.
        known: of the run that they are added to, if there is one.
        source: the same video, to keep what was understood; None: opened here, and what was passed
            over or scaled is told in warnings.

    Raises:
        InputError: no marks at all, a skeleton for no keypoints, a file that is not as it should
            be, or one that the results would overwrite. VideoError: the video cannot be read.
    """
    from chromatrack.formats.csv_tables import read_boxes, read_points
    from chromatrack.formats.keypoints import read_keypoints, read_skeleton
    from chromatrack.formats.polygons import read_polygons
    from chromatrack.formats.table_marks import keep_looks
    from chromatrack.tracking.mark_checks import add_polygons
    from chromatrack.tracking.marks import Marks

    _check_named(files, output, new=known is None)
    if source is None:
        source = source_for(files, video, start=start or 0)
        given = read_mark_files(
            files, video, output=output, start=start, known=known, source=source
        )
        tell_warned(source)
        return given
    any_format = _read_any(files.marks, source, one_frame=start is not None)
    masks = _read_masks(files.masks, source, one_frame=start is not None)
    if files.polygons:
        masks = add_polygons(masks, read_polygons(files.polygons, source=source), source.size)
    skeleton = known.skeleton if known is not None else None
    if files.skeleton:
        skeleton = read_skeleton(files.skeleton)
    keypoints: Sequence[KeypointMark] = ()
    if files.keypoints:
        own, keypoints = read_keypoints(files.keypoints, skeleton=skeleton, source=source)
        skeleton = own if skeleton is None else _drawn_with(skeleton, own)
    if files.points:
        keep_looks(files.points, "point", source)
    if files.boxes:
        keep_looks(files.boxes, "box", source)
    marks = Marks(
        masks=masks,
        points=read_points(files.points, source=source) if files.points else (),
        boxes=read_boxes(files.boxes, source=source) if files.boxes else (),
        keypoints=keypoints,
        skeleton=skeleton,
        names=source.names,
        colors=source.colors,
        categories=source.categories,
    )
    if any_format is not None:
        marks = joined(any_format, marks)
        if files.skeleton and marks.skeleton is not None:
            marks = replace(
                marks, skeleton=_drawn_with(read_skeleton(files.skeleton), marks.skeleton)
            )
    if known is not None:
        marks = _in_order_of(marks, known.skeleton)
    return with_typed(marks, files, video, known=known, source=source)


def _read_any(names: Many, source: MarkedSource, *, one_frame: bool) -> Marks | None:
    """What --marks named, all together; names are in the source. None where nothing was."""
    from chromatrack.formats.file_marks import GivenFile
    from chromatrack.formats.mark_files import reader_of
    from chromatrack.tracking.marks import Marks

    found: Marks | None = None
    for name in each(names):
        given = GivenFile(Path(name))
        reader = reader_of(given)
        if not one_frame and not given.is_folder and reader.reader == "mask_marks:read_masks":
            raise InputError(
                f"marks {name}: is a mask that says no frame; give it as --masks {name}@FRAME"
            )
        marks = Marks(**vars(reader.read(given, source)))
        found = marks if found is None else joined(found, marks)
    return found


def joined(first: Marks, second: Marks) -> Marks:
    """Marks of two sources; masks of the second are painted over those of the first.

    Raises:
        InputError: both mark one point, box or skeleton on one frame, or joints of other names.
    """
    for kind in ("points", "boxes", "keypoints"):
        taken = {(mark.id, mark.frame) for mark in getattr(first, kind)}
        both = [mark for mark in getattr(second, kind) if (mark.id, mark.frame) in taken]
        if both:
            raise InputError(
                f"{kind}: id {both[0].id} is marked on frame {both[0].frame} in two files; keep one"
            )
    second = _in_order_of(second, first.skeleton) if first.keypoints else second
    return first.merged_with(second)


def tell_warned(source: MarkedSource) -> None:
    """Warn of what may not be meant as it was understood."""
    for note in source.notes:
        if note.warned:
            warnings.warn(note.text, stacklevel=3)


def _read_masks(names: Many, source: MarkedSource, *, one_frame: bool) -> Mapping[int, np.ndarray]:
    """What --masks named, one PNG, a folder or PNGs of frames: {frame: (H, W) int32 ids}."""
    from chromatrack.formats.mask_marks import masks_at
    from chromatrack.tracking.marks import read_marks

    given = list(each(names))
    if len(given) == 1 and (Path(given[0]).is_dir() or (one_frame and _says_no_frame(given[0]))):
        return read_marks(given[0], start=source.start, source=source)
    at = {source.frame(n, f"mask of frame {n}"): name for n, name in masks_at(given).items()}
    return read_marks(at, start=source.start, source=source)


def _says_no_frame(name: str) -> bool:
    return "@" not in name or Path(name).exists()


def _drawn_with(skeleton: Skeleton, own: Skeleton) -> Skeleton:
    """`skeleton` with its joints in the order of the marks' own, where both name the same."""
    if set(skeleton.names) != set(own.names):
        return skeleton
    place = [own.names.index(name) for name in skeleton.names]
    return replace(own, edges=tuple((place[a], place[b]) for a, b in skeleton.edges))


def _in_order_of(marks: Marks, skeleton: Skeleton | None) -> Marks:
    """Poses with their joints in the order that a run has them.

    Raises:
        InputError: joints of other names.
    """
    own = marks.skeleton
    if not marks.keypoints or own is None or skeleton is None or own.names == skeleton.names:
        return marks
    if set(own.names) != set(skeleton.names):
        raise InputError(
            f"keypoints: expected the joints of the run, {', '.join(skeleton.names)}, got "
            f"{', '.join(own.names)}; name them as there"
        )
    order = [own.names.index(name) for name in skeleton.names]
    poses = [
        replace(pose, joints=pose.joints[order], lost=pose.lost[order]) for pose in marks.keypoints
    ]
    return replace(marks, keypoints=poses, skeleton=skeleton)


def _check_named(files: MarkFiles, output: Path, *, new: bool) -> None:
    """InputError unless something is named, and none of it lies where the results go.

    A correction (not `new`) may take masks out of the run: a marked frame keeps its mask.
    """
    from chromatrack.atomic import check_output_folder
    from chromatrack.runs.file_names import RUN_NAMES

    sources = (*each(files.marks), files.polygons, files.points, files.boxes, files.keypoints)
    masks = [
        name if _says_no_frame(name) else name.rpartition("@")[0] for name in each(files.masks)
    ]
    typed = (files.box, files.point, files.polygon, files.lost)
    if not any((*masks, *sources, *typed)):
        raise InputError(
            "expected something to track, got nothing; give --box, --point, --masks, --polygons, "
            "--points, --boxes, --keypoints or --marks (`chromatrack frame` shows a frame to mark)"
        )
    if files.skeleton and not (files.keypoints or any(each(files.marks))):
        raise InputError(f"skeleton {files.skeleton}: goes with --keypoints, got without; add them")
    check_output_folder(
        output,
        RUN_NAMES,
        kind="results of `chromatrack track`",
        is_ours=True,  # what is in it is looked at when it is known what will be written
        reads=(*(masks if new else ()), *sources, files.skeleton),
    )
