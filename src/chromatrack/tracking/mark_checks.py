"""Marks checked against the video: inside the frame, on frames that are there, whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import fspath

import numpy as np

from chromatrack.errors import BehindDamageError, BeyondEndError, DamagedVideoError, InputError
from chromatrack.formats.coco_tracks import MOST_OBJECT
from chromatrack.formats.polygons import PolygonMark, paint_polygons, rasterize
from chromatrack.propagation.config import USUAL_STRIDE
from chromatrack.propagation.label_maps import object_ids
from chromatrack.propagation.layout import Layout
from chromatrack.structures import KeypointMark, Skeleton, Source
from chromatrack.tracking.embedder import FrameEmbedder
from chromatrack.tracking.marks import Marks
from chromatrack.video.reader import Frame, VideoInfo, probe, read_frame

MOST_LABELS = 20_000
"""Regions, boxes, points and joints together, where the working size leaves room for them."""

MOST_BYTES = 8 << 30
"""Memory that more labels than ALWAYS may take; see `label_bytes`."""

ALWAYS = 2000
"""Labels that are never refused, whatever their memory."""

MOST_BOX = 100
"""A box may reach so many times the frame's longer side out of it."""


def checked_source(
    video: Source,
    marks: Marks,
    *,
    start: int,
    end: int | None,
    embedder: FrameEmbedder | None = None,
) -> VideoInfo:
    """What a video says of itself, once all marks on it were found to be right.

    That the last of them is on a frame of the video is found out by reading that frame: what the
    file says of its own length is not trusted.

    Args:
        embedder: says at which size frames are looked at: how many labels there is memory for.

    Raises:
        InputError: as `check_all`. VideoError: the video cannot be read. BehindDamageError: a mark
            lies behind the damage, so that what it shows is not known.
    """
    marks = marks.typed()
    check_count(marks.layout())  # before anything is read
    info, damage = probe(video), None
    room = {} if embedder is None else embedder.room((info.height, info.width))
    true = replace(info, frame_count=None)
    try:
        last = max([start, *marks.frames()])
        if last > 0:
            read_frame(video, index=last if end is None else max(start, min(last, end - 1)))
    except BeyondEndError as error:
        true = replace(info, frame_count=error.frame_count)
    except DamagedVideoError as error:
        damage = error
    check_all(marks, true, start=start, end=end, **room)
    if damage is not None:
        check_before_damage(marks, damage)
    return info


def label_bytes(layout: Layout, *, pixels: int, stride: int) -> int:
    """Memory that labels take, about: 20 label maps at a time, 3 masks at the working size.

    Args:
        pixels: of a frame as the encoder sees it. stride: pixels per cell.
    """
    per_label = 20 * 4 * pixels // stride**2
    per_region, per_point = 3 * 4 * pixels, 100_000
    regions, points = len(layout.regions), len(layout.points)
    return (len(layout) - 1) * per_label + regions * per_region + points * per_point


def check_count(layout: Layout, *, pixels: int | None = None, stride: int = USUAL_STRIDE) -> None:
    """InputError if there are too many labels, or more than there is memory for."""
    count = len(layout) - 1
    if count > MOST_LABELS:
        raise InputError(
            f"expected at most {MOST_LABELS} objects, boxes, points and joints together, got "
            f"{count}; track them in several runs"
        )
    if count <= ALWAYS or pixels is None:
        return
    needed = label_bytes(layout, pixels=pixels, stride=stride)
    if needed > MOST_BYTES:
        raise InputError(
            f"{count} objects, boxes, points and joints take about {needed / 2**30:.0f} GiB at "
            f"this working size, expected {MOST_BYTES >> 30} at most; track them in several runs "
            "or at a smaller --size"
        )


def check_all(
    marks: Marks,
    info: VideoInfo,
    *,
    start: int,
    end: int | None,
    pixels: int | None = None,
    stride: int = USUAL_STRIDE,
) -> None:
    """Check marks of all kinds against the video: inside the frame, on frames that are there.

    Args:
        info: of the video; its `frame_count` is how many frames there really are, None: enough.
        pixels: of a frame as the encoder sees it, where that is known; stride: pixels per cell.

    Raises:
        InputError: what is wrong with which mark.
    """
    marks = marks.typed()
    layout = marks.layout()
    check_count(layout, pixels=pixels, stride=stride)
    after = min(10**12 if end is None else end, info.frame_count or 10**12)
    if start >= after:
        raise InputError(
            f"start: expected a frame from 0 to {after - 1}, got {start}; there are no more"
            if after > 0
            else f"end: expected a frame from 1 on, the one after the last, got {end}"
        )
    _check_masks(marks, info)
    _check_single(marks)
    _check_whole(marks)
    for what, frame in dated(marks):
        if not start <= frame < after:
            raise _misdated(what, frame, info, start=start, after=after)
    for name, frame, place in marks.places():
        if place is not None:
            _check_inside(f"{name[0]} {name[1]} on frame {frame}", *place, info)
    check_boxes(marks, info)
    for lost in marks.lost:
        if lost.id not in layout.regions:
            raise InputError(
                f"lost: expected one of the painted ids {list(layout.regions)}, got {lost.id}"
            )
    if not any(any(frames.values()) for frames in marks.keyframes(layout).values()):
        raise InputError(
            "expected at least one object, point or box, got none: masks are all 0, or everything "
            "is declared lost"
        )


def check_reached(marks: Marks, video: Source, *, start: int, count: int) -> None:
    """Check, when a video was read to its end, that no mark is behind it.

    Args:
        count: how many frames it has.

    Raises:
        InputError: which mark is.
    """
    for what, frame in dated(marks):
        if frame >= count:
            info = VideoInfo(fspath(video), 0, 0, count, None, None, "", "", 0, False)
            raise _misdated(what, frame, info, start=start, after=count)


def check_before_damage(marks: Marks, damage: DamagedVideoError) -> None:
    """Raise the damage anew, with the name of the first mark that lies behind it, if one does."""
    first = damage.frame_index
    for what, frame in dated(marks):
        if frame >= first:
            raise _behind(what, frame, damage) from damage


def reference_frame(video: Source, index: int) -> Frame:
    """The frame that a coloured picture is of.

    Raises:
        InputError: the video has no such frame; BehindDamageError: it cannot be read. Both name it.
    """
    try:
        return read_frame(video, index=index)
    except BeyondEndError as error:
        span = f"from 0 to {error.frame_count - 1}"
        raise InputError(f"reference of frame {index}: expected a frame {span}; {error}") from error
    except DamagedVideoError as damage:
        raise _behind("reference", index, damage) from damage


def _behind(what: str, frame: int, damage: DamagedVideoError) -> BehindDamageError:
    first = damage.frame_index
    allowed = f"expected one of the frames 0 to {first - 1}" if first else "cannot be read"
    return BehindDamageError(f"{what} of frame {frame}: {allowed}; {damage}", frame_index=first)


def _misdated(what: str, frame: int, info: VideoInfo, *, start: int, after: int) -> InputError:
    """The error for a mark on a frame that is not tracked or not there."""
    allowed = f"a frame from {start} " + (f"to {after - 1}" if after < 10**12 else "on")
    why = "frames are counted from 0"
    if after == info.frame_count:
        why = f"{info.path} has {after} frames (0 to {after - 1})"
    return InputError(f"{what} of frame {frame}: expected {allowed}; {why}")


def _check_single(marks: Marks) -> None:
    """One point, box or pose per id and frame; a region is not painted and lost on one."""
    kinds = {"point": marks.points, "box": marks.boxes, "pose": marks.keypoints}
    for kind, given in kinds.items():
        seen = set()
        for mark in given:
            if (mark.id, mark.frame) in seen:
                raise InputError(
                    f"{kind} {mark.id} on frame {mark.frame}: "
                    f"expected one {kind} per id and frame, got two"
                )
            seen.add((mark.id, mark.frame))
    for lost in marks.lost:
        mask = marks.masks.get(lost.frame)
        if mask is not None and bool((mask == lost.id).any()):
            raise InputError(
                f"lost {lost.id} on frame {lost.frame}: expected a frame without it, got one "
                "whose mask shows it; it is either painted or lost"
            )


def _check_whole(marks: Marks) -> None:
    """Points and joints have both x and y or neither; poses of one id have the same joints."""
    for mark in marks.points:
        if (mark.x is None) != (mark.y is None):
            raise InputError(
                f"point {mark.id} on frame {mark.frame}: expected x and y, or neither where it is "
                f"lost, got {mark.x}, {mark.y}"
            )
    counts: dict[int, int] = {}
    for pose in marks.keypoints:
        what = f"keypoints {pose.id} on frame {pose.frame}"
        joints = counts.setdefault(pose.id, len(pose.joints))
        if len(pose.joints) != joints:
            raise InputError(
                f"{what}: expected {joints} joints as on its first frame, got {len(pose.joints)}"
            )
        for number, joint in enumerate(pose.joints):
            if not (np.isfinite(joint).all() or np.isnan(joint).all()):
                raise InputError(
                    f"{what}: expected finite x and y of joint {number}, or neither where it is "
                    f"not marked, got {joint[0]}, {joint[1]}"
                )


def _check_masks(marks: Marks, info: VideoInfo) -> None:
    size = (info.height, info.width)
    for index, mask in marks.masks.items():
        if mask.ndim != 2 or not np.issubdtype(mask.dtype, np.integer):
            raise InputError(
                f"mask of frame {index}: expected (H, W) integer object ids, "
                f"got {mask.shape} {mask.dtype}"
            )
        if mask.shape != size:
            raise InputError(
                f"mask of frame {index}: expected the video's {size[1]}x{size[0]} pixels, "
                f"got {mask.shape[1]}x{mask.shape[0]}; draw it on a frame of this video"
            )
        if (largest := int(mask.max(initial=0))) > MOST_OBJECT:
            raise InputError(
                f"mask of frame {index}: expected object ids up to {MOST_OBJECT}, which mask files "
                f"can hold, got {largest}; renumber it"
            )


def _check_inside(what: str, x: float, y: float, info: VideoInfo) -> None:
    if not (np.isfinite(x) and np.isfinite(y)):
        raise InputError(f"{what}: expected finite x and y, got {x}, {y}")
    if not (-1 / 2 <= x <= info.width - 1 / 2 and -1 / 2 <= y <= info.height - 1 / 2):
        raise InputError(
            f"{what}: expected a place inside the {info.width}x{info.height} frame, "
            f"got x {x:g}, y {y:g}; x and y are pixels of the source video"
        )


def check_boxes(marks: Marks, info: VideoInfo) -> None:
    """InputError unless every box has a size and meets the frame, or is lost as a whole."""
    for box in marks.boxes:
        what = f"box {box.id} on frame {box.frame}"
        values = (box.x, box.y, box.width, box.height)
        if all(value is None for value in values):
            continue
        sides = [value for value in values if value is not None and np.isfinite(value)]
        if len(sides) < 4 or min(sides[2:]) <= 0:
            raise InputError(
                f"{what}: expected finite x, y, and width and height > 0, got {values}"
            )
        x, y, width, height = sides
        most = MOST_BOX * max(info.width, info.height)
        if max(abs(side) for side in sides) > most:
            raise InputError(
                f"{what}: expected a box of at most {MOST_BOX} frames' width, got x {x:g}, y "
                f"{y:g}, width {width:g}, height {height:g}"
            )
        if x >= info.width or y >= info.height or x + width <= 0 or y + height <= 0:
            raise InputError(
                f"{what}: expected a box that meets the {info.width}x{info.height} frame, "
                f"got x {x:g}, y {y:g}, width {width:g}, height {height:g}"
            )


def checked_marks(
    video: Source,
    marks: Marks,
    *,
    start: int,
    end: int | None,
    embedder: FrameEmbedder | None = None,
) -> Marks:
    """The same marks in their types, checked against the video.

    Args:
        embedder: says how many labels there is memory for.

    Raises:
        InputError: as `Tracker.track`. VideoError: the video cannot be read.
    """
    marks = marks.typed()
    checked_source(video, marks, start=start, end=end, embedder=embedder)
    return marks


def add_polygons(
    masks: Mapping[int, np.ndarray], polygons: Iterable[PolygonMark], size: tuple[int, int]
) -> dict[int, np.ndarray]:
    """Paint outlined objects over masks.

    Args:
        masks: frame -> (H, W) integer ids; masks of another size are left as they are.
        size: (height, width) of the video.

    Returns:
        frame -> (H, W) integer ids.

    Raises:
        InputError: an outline holds no pixel of the frame that is not under a later one.
    """
    polygons = list(polygons)
    merged = dict(masks)
    for frame, painted in paint_polygons(polygons, size).items():
        for mark in polygons:
            if mark.frame == frame and not (painted == mark.id).any():
                raise _unseen(mark, painted)
        under = merged.get(frame)
        if under is None:
            merged[frame] = painted
        elif under.shape == painted.shape:
            merged[frame] = np.where(painted > 0, painted, under)
    return merged


def _unseen(mark: PolygonMark, painted: np.ndarray) -> InputError:
    """The error for an outline that does not show among all of its frame: why it does not."""
    height, width = painted.shape
    what = f"polygon of object {mark.id} on frame {mark.frame}: expected it to show"
    if above := object_ids([painted[rasterize(mark.rings, (height, width))]]):
        listed = ", ".join(map(str, above))
        return InputError(
            f"{what}, but the later polygon{'s'[: len(above) > 1]} of object {listed} "
            f"{'cover' if len(above) > 1 else 'covers'} all of it; give what lies on top last, or "
            "correct the corners"
        )
    return InputError(
        f"{what} inside the {width}x{height} frame, but no pixel of it does; correct its corners"
    )


def fit_skeleton(skeleton: Skeleton | None, keypoints: Sequence[KeypointMark]) -> Skeleton | None:
    """The skeleton of marked joints: None without any, numbered joints without edges by default.

    Raises:
        InputError: marks of different numbers of joints, or another number than the skeleton's.
    """
    if not keypoints:
        return None
    count = len(keypoints[0].joints)
    skeleton = skeleton or Skeleton(tuple(f"joint {n}" for n in range(count)), ())
    for mark in keypoints:
        if len(mark.joints) != len(skeleton.names):
            raise InputError(
                f"keypoints {mark.id} on frame {mark.frame}: expected the skeleton's "
                f"{len(skeleton.names)} joints, got {len(mark.joints)}; mark all with one skeleton"
            )
    return skeleton


def dated(marks: Marks) -> Iterator[tuple[str, int]]:
    """What each mark is, and its frame, in the order of kinds."""
    for frame in marks.masks:
        yield "mask", frame
    for mark in marks.points:
        yield f"point {mark.id}", mark.frame
    for box in marks.boxes:
        yield f"box {box.id}", box.frame
    for pose in marks.keypoints:
        yield f"keypoints {pose.id}", pose.frame
    for lost in marks.lost:
        yield f"lost {lost.id}", lost.frame
