"""The files in which a user says what to track, as the command line names them.

Nothing heavy is imported until they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import UseAppendAction, arg

from chromatrack.cli.typed_marks import Many, TypedMarks, each, with_typed
from chromatrack.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from chromatrack.structures import KeypointMark, Skeleton
    from chromatrack.tracking.marks import Marks


@dataclass(frozen=True, kw_only=True)
class MarkFiles(TypedMarks):
    """What to track: at least one of these; all kinds go together in one run.

    Args:
        masks: mask PNG of the first frame, a folder of 00000.png-named masks, or masks of any
            frames: M.png@40 is one of frame 40 (from 0). May be repeated.
        polygons: outlines of objects, ours or LabelMe's, painted over the masks.
        points: table with the columns id, frame, x, y.
        boxes: table with the columns id, frame, x, y, width, height.
        keypoints: skeletons of joints, COCO's or the short form.
        skeleton: joint names and edges, for keypoints that come without or to draw with.
    """

    masks: Annotated[Many, UseAppendAction, arg(metavar="PNG|FOLDER|PNG@FRAME ...")] = ()
    polygons: Annotated[Path | None, arg(metavar="JSON|FOLDER")] = None
    points: Annotated[Path | None, arg(metavar="CSV")] = None
    boxes: Annotated[Path | None, arg(metavar="CSV")] = None
    keypoints: Annotated[Path | None, arg(metavar="JSON")] = None
    skeleton: Annotated[Path | None, arg(metavar="JSON")] = None


NO_MARKS = MarkFiles()


def read_mark_files(
    files: MarkFiles, video: str, *, output: Path, start: int | None, known: Marks | None = None
) -> Marks:
    """All marks in the files and those typed, as they lie on the video.

    Args:
        files: as the user named them.
        output: folder of the results, where none of them may be overwritten.
        start: the frame of a mask that says none; None: it has to say one.
        known: of the run that they are added to, if there is one.

    Raises:
        InputError: no marks at all, a skeleton for no keypoints, a file that is not as it should
            be, or one that the results would overwrite. VideoError: the video cannot be read.
    """
    from chromatrack.formats.csv_tables import read_boxes, read_points
    from chromatrack.formats.keypoints import read_keypoints, read_skeleton
    from chromatrack.formats.polygons import read_polygons
    from chromatrack.tracking.mark_checks import add_polygons
    from chromatrack.tracking.marks import Marks
    from chromatrack.video.reader import probe

    _check_named(files, output, new=known is None)
    skeleton = known.skeleton if known is not None else None
    if files.skeleton:
        skeleton = read_skeleton(files.skeleton)
    keypoints: Sequence[KeypointMark] = ()
    if files.keypoints:
        own, keypoints = read_keypoints(files.keypoints, skeleton=skeleton)
        skeleton = own if skeleton is None else _drawn_with(skeleton, own)
    marks = Marks.of(
        start=start or 0,
        masks=_read_masks(files.masks, one_frame=start is not None),
        points=read_points(files.points) if files.points else (),
        boxes=read_boxes(files.boxes) if files.boxes else (),
        keypoints=keypoints,
        skeleton=skeleton,
    )
    if files.polygons:
        polygons, info = read_polygons(files.polygons), probe(video)
        marks = replace(marks, masks=add_polygons(marks.masks, polygons, (info.height, info.width)))
    if known is not None:
        marks = _in_order_of(marks, known.skeleton)
    return with_typed(marks, files, video, known=known)


def _read_masks(names: Many, *, one_frame: bool) -> Path | dict[int, np.ndarray] | None:
    """What --masks named: one PNG or folder, or {frame: (H, W) int32 ids}."""
    from chromatrack.runs.correct import read_masks_at

    given = list(each(names))
    if len(given) == 1 and (Path(given[0]).is_dir() or (one_frame and _says_no_frame(given[0]))):
        return Path(given[0])
    return read_masks_at(given) if given else None


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
    from chromatrack.atomic import keep_apart
    from chromatrack.runs.files import TABLES

    sources = (files.polygons, files.points, files.boxes, files.keypoints)
    masks = [
        name if _says_no_frame(name) else name.rpartition("@")[0] for name in each(files.masks)
    ]
    typed = (files.box, files.point, files.polygon, files.lost)
    if not any((*masks, *sources, *typed)):
        raise InputError(
            "expected something to track, got nothing; give --box, --point, --masks, --polygons, "
            "--points, --boxes or --keypoints (`chromatrack frame` shows a frame to mark)"
        )
    if files.skeleton and not files.keypoints:
        raise InputError(f"skeleton {files.skeleton}: goes with --keypoints, got without; add them")
    for mask in masks if new else ():
        for name in ("masks", "marks"):
            keep_apart(mask, output / name)
    for path in (*sources, files.skeleton):
        for name in (*TABLES.values(), "result.json"):
            keep_apart(path, output / name)
