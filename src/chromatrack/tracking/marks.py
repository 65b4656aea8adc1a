"""Everything a user can put on frames, of all kinds together, and as label maps frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from chromatrack.errors import InputError
from chromatrack.ops.coords import (
    FeatureSpec,
    cell_count,
    pixel_to_cell,
    rescale_box,
    rescale_points,
)
from chromatrack.propagation.box_labels import box_to_label
from chromatrack.propagation.label_maps import masks_to_label_map, object_ids
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.point_labels import bumps
from chromatrack.propagation.propagate import Given
from chromatrack.structures import BoxMark, KeypointMark, LabelName, LostMark, PointMark, Source
from chromatrack.tracking.read_marks import Masks, read_marks
from chromatrack.video.reader import VideoInfo, probe


@dataclass(frozen=True)
class Marks:
    """What the user marked, by kind; every frame with a mark is a keyframe.

    masks: frame -> `(H, W)` integer object ids, 0 = nothing said. lost: regions declared absent.
    Points, boxes and joints without a position are declared lost on that frame.
    """

    masks: Mapping[int, np.ndarray] = field(default_factory=dict)
    points: Sequence[PointMark] = ()
    boxes: Sequence[BoxMark] = ()
    keypoints: Sequence[KeypointMark] = ()
    lost: Sequence[LostMark] = ()

    @classmethod
    def gathered(
        cls,
        video: Source,
        *,
        masks: Masks | None,
        points: Sequence[PointMark],
        boxes: Sequence[BoxMark],
        keypoints: Sequence[KeypointMark],
        lost: Sequence[LostMark],
        start: int,
        end: int | None,
    ) -> Marks:
        """Marks as `Tracker.track` takes them, read and checked against the video.

        Raises:
            InputError: as `Tracker.track`. VideoError: the video cannot be read.
        """
        painted = {} if masks is None else read_marks(masks, start=start)
        marks = cls(painted, points, boxes, keypoints, lost)
        check_all(marks, probe(video), start=start, end=end)
        return marks

    def layout(self) -> Layout:
        """One channel for everything that was ever marked."""
        names = [("point", i, 0) for i in sorted({mark.id for mark in self.points})]
        joints = {mark.id: len(mark.joints) for mark in self.keypoints}
        names += [("joint", i, j) for i in sorted(joints) for j in range(joints[i])]
        boxes = tuple(sorted({mark.id for mark in self.boxes}))
        return Layout(tuple(object_ids(list(self.masks.values()))), boxes, tuple(names))

    def frames(self) -> list[int]:
        """Keyframes, in order."""
        dated = [*self.points, *self.boxes, *self.keypoints, *self.lost]
        return sorted({*self.masks, *(mark.frame for mark in dated)})

    def told(self, layout: Layout) -> dict[int, dict[int, bool]]:
        """channel -> {frame: True where shown, False where declared lost}."""
        result: dict[int, dict[int, bool]] = {c: {} for c in range(1, len(layout))}
        for frame, mask in self.masks.items():
            for i in object_ids([mask]):
                result[1 + layout.regions.index(i)][frame] = True
        for mark in self.lost:
            result[1 + layout.regions.index(mark.id)][mark.frame] = False
        for box in self.boxes:
            channel = layout.box_channels[layout.boxes.index(box.id)]
            result[channel][box.frame] = box.x is not None
        for name, frame, xy in self.places():
            result[layout.first_point + layout.points.index(name)][frame] = xy is not None
        return result

    def places(self) -> Iterator[tuple[LabelName, int, tuple[float, float] | None]]:
        for mark in self.points:
            known = mark.x is not None and mark.y is not None
            yield ("point", mark.id, 0), mark.frame, (mark.x, mark.y) if known else None  # type: ignore[misc]
        for pose in self.keypoints:
            for number, (joint, lost) in enumerate(zip(pose.joints, pose.lost, strict=True)):
                if lost:
                    yield ("joint", pose.id, number), pose.frame, None
                elif np.isfinite(joint).all():
                    place = float(joint[0]), float(joint[1])
                    yield ("joint", pose.id, number), pose.frame, place

    def on_frame(
        self,
        index: int,
        layout: Layout,
        spec: FeatureSpec,
        *,
        frame_size: tuple[int, int],
        image_size: tuple[int, int],
    ) -> Given | None:
        """What was put on one frame, or None.

        Args:
            layout: of the label map to make; marks of what it does not hold are left out.
            frame_size, image_size: (height, width) of the source and of what the encoder sees.
        """
        size = cell_count(image_size, stride=spec.stride)
        label_map = torch.zeros(len(layout), *size)
        painted = torch.zeros(len(layout), dtype=torch.bool)
        if index in self.masks and layout.regions:
            mask = np.where(np.isin(self.masks[index], layout.regions), self.masks[index], 0)
            regions = masks_to_label_map(mask, ids=layout.regions, size=image_size, spec=spec)
            label_map[: len(regions)] = regions
            painted[1 : len(regions)] = regions[1:].flatten(1).amax(1) > 0
        for mark in self.lost:
            if mark.frame == index and mark.id in layout.regions:
                painted[1 + layout.regions.index(mark.id)] = True
        boxes = {}
        for box in self.boxes:
            if box.frame != index or box.id not in layout.boxes:
                continue
            channel = layout.box_channels[layout.boxes.index(box.id)]
            painted[channel] = True
            if box.x is not None:
                drawn = (box.x, box.y, box.width, box.height)
                boxes[channel] = rescale_box(drawn, from_size=frame_size, to_size=image_size)  # type: ignore[arg-type]
                label_map[channel] = box_to_label(boxes[channel], size=size, spec=spec)
        xy = {}
        for name, frame, place in self.places():
            if frame != index or name not in layout.points:
                continue
            channel = layout.first_point + layout.points.index(name)
            painted[channel] = True
            if place is not None:
                working = rescale_points(np.array(place), from_size=frame_size, to_size=image_size)
                cell = pixel_to_cell(working, stride=spec.stride, offset=spec.offset)
                xy[channel] = float(cell[0]), float(cell[1])
                label_map[channel] = bumps(torch.tensor([xy[channel]]), size)[0]
        if not bool(painted.any()):
            return None
        painted[0] = True
        return Given(label_map, painted, xy, boxes)


MOST_LABELS = 2000
"""Regions, boxes, points and joints together; the label map of a frame grows with them."""


def check_all(marks: Marks, info: VideoInfo, *, start: int, end: int | None) -> None:
    """Check marks of all kinds against the video: inside the frame, on frames that are there.

    Raises:
        InputError: what is wrong with which mark.
    """
    after = min(end or 10**12, info.frame_count or 10**12)
    allowed = f"a frame from {start} " + (f"to {after - 1}" if after < 10**12 else "on")
    _check_masks(marks, info)
    _check_single(marks)
    _check_whole(marks)
    for what, frame in _dated(marks):
        if not start <= frame < after:
            raise InputError(
                f"{what} of frame {frame}: expected {allowed}; frames are counted from 0"
            )
    for name, frame, place in marks.places():
        if place is not None:
            _check_inside(f"{name[0]} {name[1]} on frame {frame}", *place, info)
    _check_boxes(marks, info)
    layout = marks.layout()
    for lost in marks.lost:
        if lost.id not in layout.regions:
            raise InputError(
                f"lost: expected one of the painted ids {list(layout.regions)}, came {lost.id}"
            )
    if not any(any(told.values()) for told in marks.told(layout).values()):
        raise InputError(
            "expected at least one object, point or box, came none: masks are all 0, or everything "
            "is declared lost"
        )
    if len(layout) - 1 > MOST_LABELS:
        raise InputError(
            f"expected at most {MOST_LABELS} objects, boxes, points and joints together, came "
            f"{len(layout) - 1}; track them in several runs"
        )


def _dated(marks: Marks) -> Iterator[tuple[str, int]]:
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


def _check_single(marks: Marks) -> None:
    """One point, box or pose per id and frame; a region is not painted and lost on one."""
    kinds = {"point": marks.points, "box": marks.boxes, "pose": marks.keypoints}
    for kind, given in kinds.items():
        seen = set()
        for mark in given:
            if (mark.id, mark.frame) in seen:
                raise InputError(
                    f"{kind} {mark.id} on frame {mark.frame}: "
                    f"expected one {kind} per id and frame, came two"
                )
            seen.add((mark.id, mark.frame))
    for lost in marks.lost:
        mask = marks.masks.get(lost.frame)
        if mask is not None and bool((mask == lost.id).any()):
            raise InputError(
                f"lost {lost.id} on frame {lost.frame}: expected a frame without it, came one "
                "whose mask shows it; it is either painted or lost"
            )


def _check_whole(marks: Marks) -> None:
    """Points and joints have both x and y or neither; poses of one id have the same joints."""
    for mark in marks.points:
        if (mark.x is None) != (mark.y is None):
            raise InputError(
                f"point {mark.id} on frame {mark.frame}: expected x and y, or neither where it is "
                f"lost, came {mark.x}, {mark.y}"
            )
    counts: dict[int, int] = {}
    for pose in marks.keypoints:
        what = f"keypoints {pose.id} on frame {pose.frame}"
        joints = counts.setdefault(pose.id, len(pose.joints))
        if len(pose.joints) != joints:
            raise InputError(
                f"{what}: expected {joints} joints as on its first frame, came {len(pose.joints)}"
            )
        for number, joint in enumerate(pose.joints):
            if not (np.isfinite(joint).all() or np.isnan(joint).all()):
                raise InputError(
                    f"{what}: expected finite x and y of joint {number}, or neither where it is "
                    f"not marked, came {joint[0]}, {joint[1]}"
                )


def _check_masks(marks: Marks, info: VideoInfo) -> None:
    size = (info.height, info.width)
    for index, mask in marks.masks.items():
        if mask.ndim != 2 or not np.issubdtype(mask.dtype, np.integer):
            raise InputError(
                f"mask of frame {index}: expected (H, W) integer object ids, "
                f"came {mask.shape} {mask.dtype}"
            )
        if mask.shape != size:
            raise InputError(
                f"mask of frame {index}: expected the video's {size[1]}x{size[0]} pixels, "
                f"came {mask.shape[1]}x{mask.shape[0]}; draw it on a frame of this video"
            )


def _check_inside(what: str, x: float, y: float, info: VideoInfo) -> None:
    if not (np.isfinite(x) and np.isfinite(y)):
        raise InputError(f"{what}: expected finite x and y, came {x}, {y}")
    if not (-1 / 2 <= x <= info.width - 1 / 2 and -1 / 2 <= y <= info.height - 1 / 2):
        raise InputError(
            f"{what}: expected a place inside the {info.width}x{info.height} frame, "
            f"came x {x:g}, y {y:g}; x and y are pixels of the source video"
        )


def _check_boxes(marks: Marks, info: VideoInfo) -> None:
    for box in marks.boxes:
        what = f"box {box.id} on frame {box.frame}"
        values = (box.x, box.y, box.width, box.height)
        if all(value is None for value in values):
            continue
        sides = [value for value in values if value is not None and np.isfinite(value)]
        if len(sides) < 4 or min(sides[2:]) <= 0:
            raise InputError(
                f"{what}: expected finite x, y, and width and height > 0, came {values}"
            )
        x, y, width, height = sides
        if x >= info.width or y >= info.height or x + width <= 0 or y + height <= 0:
            raise InputError(
                f"{what}: expected a box that meets the {info.width}x{info.height} frame, "
                f"came x {x:g}, y {y:g}, width {width:g}, height {height:g}"
            )
