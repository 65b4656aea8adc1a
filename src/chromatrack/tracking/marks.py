"""Everything a user can put on frames, of all kinds together, and as label maps frame by frame."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from pathlib import Path
from typing import TypedDict, TypeVar, Unpack

import numpy as np
import torch

from chromatrack.errors import InputError
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.mask_marks import read_mask_file
from chromatrack.formats.mask_pixels import SizeCheck
from chromatrack.formats.masks import read_mask
from chromatrack.ops.coords import (
    FeatureSpec,
    cell_count,
    pixel_to_cell,
    rescale_box,
    rescale_points,
)
from chromatrack.propagation.box_labels import box_to_label
from chromatrack.propagation.label_maps import give_cell, masks_to_label_map, object_ids
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.point_labels import bumps
from chromatrack.propagation.propagate import FrameMarks
from chromatrack.structures import (
    BoxMark,
    Categories,
    Colors,
    KeypointMark,
    Kind,
    LabelName,
    LostMark,
    PointMark,
    Skeleton,
    Source,
)
from chromatrack.tracking.mark_types import (
    LARGEST_FRAME,
    frame_number,
    is_path,
    mask_array,
    typed,
    whole,
)
from chromatrack.video.picture_files import read_rgb

Masks = Source | np.ndarray | Mapping[int, np.ndarray | Source]


ColorReference = Source | tuple[np.ndarray, int | None]


class MarkArguments(TypedDict, total=False):
    """Marks as keywords of the calls that users make.

    masks: a PNG or `(H, W)` integer array for the first frame; a folder of `00000.png`-named masks
    or a dict for several frames. Ids are kept; 0 is background. points, boxes, keypoints: on any
    frames, in pixels of the source. lost: regions declared absent on a frame. skeleton: names and
    edges of the keypoints' joints. names: what things are called, by kind and id.
    colors: what they are drawn in, (red, green, blue) 0..255, by kind and id, where not by number.
    categories: what they are, such as cow, by kind and id.
    """

    masks: Masks | None
    points: Sequence[PointMark]
    boxes: Sequence[BoxMark]
    keypoints: Sequence[KeypointMark]
    lost: Sequence[LostMark]
    skeleton: Skeleton | None
    names: Mapping[tuple[Kind, int], str]
    colors: Colors
    categories: Categories


@dataclass(frozen=True)
class Marks:
    """What the user marked, by kind; every frame with a mark is a keyframe.

    masks: frame -> `(H, W)` integer object ids, 0 = nothing said. lost: regions declared absent.
    skeleton: names and edges of the keypoints' joints, if there are any. names: what things are
    called, colors: what they are drawn in, categories: what they are, by kind and id, where the
    user said so.
    Points, boxes and joints without a position are declared lost on that frame.
    """

    masks: Mapping[int, np.ndarray] = field(default_factory=dict)
    points: Sequence[PointMark] = ()
    boxes: Sequence[BoxMark] = ()
    keypoints: Sequence[KeypointMark] = ()
    lost: Sequence[LostMark] = ()
    skeleton: Skeleton | None = None
    names: Mapping[tuple[Kind, int], str] = field(default_factory=dict)
    colors: Colors = field(default_factory=dict)
    categories: Categories = field(default_factory=dict)

    @classmethod
    def of(cls, *, start: int = 0, **given: Unpack[MarkArguments]) -> Marks:
        """Marks as a user gives them.

        Args:
            start: the frame of a single mask.
            given: see `MarkArguments`.

        Raises:
            InputError: a mask file that cannot be read.
        """
        unknown = sorted(set(given) - set(MarkArguments.__annotations__))
        if unknown:
            known = ", ".join(MarkArguments.__annotations__)
            raise InputError(f"{unknown[0]}: expected one of {known}")
        masks = given.get("masks")
        painted = {} if masks is None else read_marks(masks, start=start)
        return cls(**{**given, "masks": painted}).typed()

    def typed(self) -> Marks:
        """The same with ids and frames as ints, coordinates as floats, masks as arrays of ints.

        Raises:
            InputError: something that is none of these.
        """
        frames = {frame_number(f, "masks"): m for f, m in self.masks.items()}
        if self.skeleton is not None and not isinstance(self.skeleton, Skeleton):
            raise InputError(f"skeleton: expected a Skeleton, got {type(self.skeleton).__name__}")
        return replace(
            self,
            masks={f: mask_array(mask, f"mask of frame {f}") for f, mask in frames.items()},
            points=typed(self.points, PointMark, "point"),
            boxes=typed(self.boxes, BoxMark, "box"),
            keypoints=typed(self.keypoints, KeypointMark, "keypoints"),
            lost=typed(self.lost, LostMark, "lost"),
        )

    def layout(self) -> Layout:
        """One channel for everything that was ever marked; joints that never were have none."""
        names = [("point", i, 0) for i in sorted({mark.id for mark in self.points})]
        counts = {mark.id: len(mark.joints) for mark in self.keypoints}
        joints = [("joint", i, j) for i in sorted(counts) for j in range(counts[i])]
        shown = {name for name, _, place in self.places() if place is not None}
        names += [name for name in joints if name in shown]
        boxes = tuple(sorted({mark.id for mark in self.boxes}))
        unmarked = tuple(name for name in joints if name not in shown)
        regions = tuple(object_ids(list(self.masks.values())))
        return Layout(regions, boxes, tuple(names), unmarked)

    def frames(self) -> list[int]:
        """Keyframes, in order."""
        dated = [*self.points, *self.boxes, *self.keypoints, *self.lost]
        return sorted({*self.masks, *(mark.frame for mark in dated)})

    def keyframes(self, layout: Layout) -> dict[int, dict[int, bool]]:
        """channel -> {frame: True where shown, False where declared lost}."""
        result: dict[int, dict[int, bool]] = {c: {} for c in range(1, len(layout))}
        regions = {number: channel for channel, number in enumerate(layout.regions, start=1)}
        for frame, mask in self.masks.items():
            for i in object_ids([mask]):
                result[regions[i]][frame] = True
        for mark in self.lost:
            result[1 + layout.regions.index(mark.id)][mark.frame] = False
        channels = dict(zip(layout.boxes, layout.box_channels, strict=True))
        for box in self.boxes:
            result[channels[box.id]][box.frame] = box.x is not None
        rows = {name: row for row, name in enumerate(layout.points, start=layout.first_point)}
        for name, frame, xy in self.places():
            if name not in layout.unmarked:
                result[rows[name]][frame] = xy is not None
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
    ) -> FrameMarks | None:
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
        channels = dict(zip(layout.boxes, layout.box_channels, strict=True))
        for box in self.boxes:
            if box.frame != index or box.id not in channels:
                continue
            channel = channels[box.id]
            painted[channel] = True
            if box.x is not None:
                drawn = (box.x, box.y, box.width, box.height)
                boxes[channel] = rescale_box(drawn, from_size=frame_size, to_size=image_size)  # type: ignore[arg-type]
                label_map[channel] = box_to_label(boxes[channel], size=size, spec=spec)
                if not bool(label_map[channel].any()):
                    x, y, width, height = boxes[channel]
                    middle = x + (width - 1) / 2, y + (height - 1) / 2
                    give_cell(label_map, channel, middle, spec=spec)
        xy = {}
        rows = {name: row for row, name in enumerate(layout.points, start=layout.first_point)}
        for name, frame, place in self.places():
            if frame != index or name not in rows:
                continue
            channel = rows[name]
            painted[channel] = True
            if place is not None:
                working = rescale_points(np.array(place), from_size=frame_size, to_size=image_size)
                cell = pixel_to_cell(working, stride=spec.stride, offset=spec.offset)
                xy[channel] = float(cell[0]), float(cell[1])
                label_map[channel] = bumps(torch.tensor([xy[channel]]), size)[0]
        if not bool(painted.any()):
            return None
        painted[0] = True
        return FrameMarks(label_map, painted, xy, boxes)

    def labels(self) -> dict[LabelName, set[int]]:
        """label -> the frames on which it is shown or declared lost."""
        found: dict[LabelName, set[int]] = {}
        for frame, mask in self.masks.items():
            for i in object_ids([mask]):
                found.setdefault(("object", i, 0), set()).add(frame)
        for kind, dated in (("object", self.lost), ("box", self.boxes), ("point", self.points)):
            for mark in dated:
                found.setdefault((kind, mark.id, 0), set()).add(mark.frame)
        for pose in self.keypoints:
            for number in said_joints(pose).nonzero()[0].tolist():
                found.setdefault(("joint", pose.id, number), set()).add(pose.frame)
        return found

    def merged_with(self, new: Marks) -> Marks:
        """All marks; where both speak of one label on one frame, the new one holds.

        Args:
            new: masks of the same size, poses of one id with equally many joints.
        """
        masks = {frame: _without_said(mask, frame, new) for frame, mask in self.masks.items()}
        for frame, mask in new.masks.items():
            masks[frame] = np.where(mask > 0, mask, masks.get(frame, np.zeros_like(mask)))
        said = new.labels()
        lost = [m for m in self.lost if m.frame not in said.get(("object", m.id, 0), ())]
        return Marks(
            {frame: mask for frame, mask in masks.items() if mask.any()},
            _renewed(self.points, new.points),
            _renewed(self.boxes, new.boxes),
            _merge_poses([*self.keypoints, *new.keypoints]),
            _renewed(lost, new.lost),
            self.skeleton or new.skeleton,
            {**self.names, **new.names},
            {**self.colors, **new.colors},
            {**self.categories, **new.categories},
        )

    def without(self, said: Collection[tuple[LabelName, int]]) -> Marks:
        """All marks but those that speak of a label on a frame of `said`."""
        gone: dict[int, set[LabelName]] = {}
        for name, frame in said:
            gone.setdefault(frame, set()).add(name)

        def stays(kind: str, mark: PointMark | BoxMark | LostMark) -> bool:
            return (kind, mark.id, 0) not in gone.get(mark.frame, ())

        masks = {}
        for frame, mask in self.masks.items():
            ids = [number for kind, number, _ in gone.get(frame, ()) if kind == "object"]
            masks[frame] = np.where(np.isin(mask, ids), 0, mask) if ids else mask
        poses = []
        for pose in self.keypoints:
            names = gone.get(pose.frame, set())
            out = np.array([("joint", pose.id, n) in names for n in range(len(pose.joints))])
            joints = np.where(out[:, None], np.nan, pose.joints)
            pose = replace(pose, joints=joints, lost=pose.lost & ~out) if out.any() else pose
            poses += [pose] if said_joints(pose).any() else []
        return replace(
            self,
            masks={frame: mask for frame, mask in masks.items() if mask.any()},
            points=[mark for mark in self.points if stays("point", mark)],
            boxes=[mark for mark in self.boxes if stays("box", mark)],
            keypoints=poses,
            lost=[mark for mark in self.lost if stays("object", mark)],
        )

    def restricted_to(self, labels: Collection[LabelName]) -> Marks:
        """The marks that speak of `labels`, and nothing else that stands on the same frames."""
        wanted = set(labels)
        things = {("keypoints" if kind == "joint" else kind, i) for kind, i, _ in wanted}
        ids = [i for kind, i, _ in wanted if kind == "object"]
        masks = {f: np.where(np.isin(mask, ids), mask, 0) for f, mask in self.masks.items()}
        poses = []
        for pose in self.keypoints:
            is_wanted = np.array([("joint", pose.id, n) in wanted for n in range(len(pose.joints))])
            joints = np.where(is_wanted[:, None], pose.joints, np.nan)
            pose = replace(pose, joints=joints, lost=pose.lost & is_wanted)
            poses += [pose] if said_joints(pose).any() else []
        return Marks(
            {frame: mask for frame, mask in masks.items() if mask.any()},
            [mark for mark in self.points if ("point", mark.id, 0) in wanted],
            [mark for mark in self.boxes if ("box", mark.id, 0) in wanted],
            poses,
            [mark for mark in self.lost if ("object", mark.id, 0) in wanted],
            self.skeleton,
            {thing: name for thing, name in self.names.items() if thing in things},
            {thing: color for thing, color in self.colors.items() if thing in things},
            {thing: said for thing, said in self.categories.items() if thing in things},
        )


_Dated = TypeVar("_Dated", PointMark, BoxMark, LostMark)


def said_joints(pose: KeypointMark) -> np.ndarray:
    """`(J,)` bool: joints marked or declared lost."""
    return np.isfinite(pose.joints).all(axis=1) | pose.lost


def _without_said(mask: np.ndarray, frame: int, new: Marks) -> np.ndarray:
    said = [mark.id for mark in new.lost if mark.frame == frame]
    if frame in new.masks:
        said += object_ids([new.masks[frame]])
    return np.where(np.isin(mask, said), 0, mask) if said else mask


def _renewed(old: Collection[_Dated], new: Collection[_Dated]) -> list[_Dated]:
    merged = {(mark.id, mark.frame): mark for mark in [*old, *new]}
    return [merged[key] for key in sorted(merged)]


def _merge_poses(poses: Collection[KeypointMark]) -> list[KeypointMark]:
    merged: dict[tuple[int, int], KeypointMark] = {}
    for pose in poses:
        key = pose.id, pose.frame
        if key in merged:
            said, under = said_joints(pose), merged[key]
            joints = np.where(said[:, None], pose.joints, under.joints)
            pose = replace(pose, joints=joints, lost=np.where(said, pose.lost, under.lost))
        merged[key] = pose
    return [merged[key] for key in sorted(merged)]


def read_marks(
    masks: Masks, *, start: int, source: MarkedSource | None = None
) -> dict[int, np.ndarray]:
    """Masks in any accepted form -> frame index -> `(H, W)` integer object ids.

    Args:
        start: the frame of a single mask; several pictures in a file are of frames 0, 1, 2, ...
        source: the video they are for: says what the names of files mean, and brings masks to its
            size. A single file is of the picture of its name, if the video has that.
    """
    if isinstance(masks, np.ndarray):
        return {start: masks}
    if isinstance(masks, Mapping):
        named = {frame_number(f, "masks"): mask for f, mask in masks.items()}
        if source is None:
            return {frame: _opened(mask) for frame, mask in named.items()}
        return {frame: _fitted(mask, frame, source) for frame, mask in named.items()}
    if not is_path(masks):
        raise InputError(
            "masks: expected a file or folder, an (H, W) array, or a dict of them by frame, got "
            f"{type(masks).__name__}"
        )
    return read_mask_file(masks, start=start, source=source)


def read_reference(reference: ColorReference) -> tuple[np.ndarray, int | None]:
    """`"R.png@12"`, `"R.png"` or (rgb, index) -> rgb `(H, W, 3)` uint8 and frame index or None."""
    if isinstance(reference, tuple):
        return _given_picture(reference)
    if not is_path(reference):
        raise InputError(
            "references: expected pictures as 'PICTURE', 'PICTURE@FRAME' or (rgb, frame), got "
            f"{type(reference).__name__}"
        )
    text, index = fspath(reference), None
    name, at, number = text.rpartition("@")
    if at and not Path(text).exists():
        if not number.isdecimal():
            raise InputError(
                f"reference {text!r}: expected PICTURE or PICTURE@FRAME with FRAME counted from 0"
            )
        text, index = name, int(number)
    return np.array(read_rgb(text, name=f"reference {text!r}")), index


def _opened(mask: np.ndarray | Source, *, fits: SizeCheck | None = None) -> np.ndarray:
    """A mask that may be named by its file."""
    return read_mask(mask, fits=fits) if isinstance(mask, str | PathLike) else mask


def _fitted(mask: np.ndarray | Source, frame: int, source: MarkedSource) -> np.ndarray:
    """A mask of a frame that may be named by its file, at the size of its video."""
    place = f"mask of frame {frame}"
    return source.fit_mask(_opened(mask, fits=source.mask_size_check(place)), place)


def _given_picture(reference: tuple[np.ndarray, int | None]) -> tuple[np.ndarray, int | None]:
    """(rgb, frame index or None) as a user gives them, checked."""
    rgb, index = reference if len(reference) == 2 else (np.empty(0), None)
    is_rgb = isinstance(rgb, np.ndarray) and rgb.dtype == np.uint8 and rgb.ndim == 3
    if not is_rgb or rgb.shape[-1] != 3 or rgb.size == 0:
        raise InputError("references: expected (rgb (H, W, 3) uint8, frame or None)")
    return rgb, None if index is None else whole(index, "references: frame", most=LARGEST_FRAME)
