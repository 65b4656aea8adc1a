"""Masks out of boxes: the object that a box was drawn around, cut out by its colours."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch

from chromatrack.errors import InputError
from chromatrack.ops.coords import Box, box_edges
from chromatrack.ops.cutout import cut_out_small, with_surroundings
from chromatrack.ops.resample import planes
from chromatrack.structures import BoxMark, Kind, LostMark, Source
from chromatrack.tracking.mark_checks import check_boxes
from chromatrack.tracking.marks import Marks
from chromatrack.video.reader import probe, read_frame

LONG_SIDE = 96
"""Pixels to which a larger box is brought before its object is cut out."""
LEAST_SHARE = 0.1
"""Of a box; a smaller object is not believed."""


_Said = TypeVar("_Said")


def boxes_as_masks(marks: Marks, video: Source) -> Marks:
    """Marks with masks of objects in the place of boxes, under the boxes' ids and names.

    Where boxes overlap, the smaller one is in front; painted masks are in front of all. A box that
    is declared lost becomes a lost object.

    Raises:
        InputError: a box outside the frame, one of id 0, or an object that is painted on the same
            frame. VideoError: its frame cannot be read.
    """
    check_boxes(marks, probe(video))
    masks = dict(marks.masks)
    shown = [box for box in marks.boxes if box.x is not None]
    for frame in sorted({box.frame for box in shown}):
        boxes = [box for box in shown if box.frame == frame]
        masks[frame] = _painted(boxes, read_frame(video, index=frame).rgb, masks.get(frame))
    lost = [LostMark(box.id, box.frame) for box in marks.boxes if box.x is None]
    return replace(
        marks,
        masks=masks,
        boxes=(),
        lost=[*marks.lost, *lost],
        names=_of_objects(marks.names),
        colors=_of_objects(marks.colors),
        categories=_of_objects(marks.categories),
    )


def _of_objects(given: Mapping[tuple[Kind, int], _Said]) -> dict[tuple[Kind, int], _Said]:
    """What is said of things, with boxes as objects."""
    return {("object" if kind == "box" else kind, n): said for (kind, n), said in given.items()}


def _painted(boxes: list[BoxMark], rgb: np.ndarray, over: np.ndarray | None) -> np.ndarray:
    """`(H, W)` int32 ids: the objects in the boxes of one frame, and what was painted over them."""
    painted = np.zeros(rgb.shape[:2], dtype=np.int32)
    for box in sorted(boxes, key=lambda box: -(box.width or 0) * (box.height or 0)):
        what = f"box {box.id} on frame {box.frame}"
        if box.id < 1 or (over is not None and bool((over == box.id).any())):
            raise InputError(
                f"{what}: expected an id from 1 up that no mask has on that frame, to cut it out; "
                "give it another"
            )
        painted[mask_in_box(rgb, (box.x, box.y, box.width, box.height), what=what)] = box.id  # type: ignore[arg-type]
    if over is not None and over.shape == painted.shape:
        painted = np.where(over > 0, over, painted)
    for box in boxes:
        if not (painted == box.id).any():
            raise InputError(
                f"box {box.id} on frame {box.frame}: expected an object to see in it, but others "
                "cover it all; paint masks of them"
            )
    return painted


def mask_in_box(rgb: np.ndarray, box: Box, *, what: str = "box") -> np.ndarray:
    """The object in a box: what it holds and its close surroundings do not, by colours.

    Args:
        rgb: (H, W, 3) uint8. box: (x, y, width, height) px, left and top pixel first; it meets the
            frame. what: its name in a warning.

    Returns:
        (H, W) bool, False outside the box; the ellipse in the box, with a warning, where nothing in
        it stands out.
    """
    inside = pixels_in_box(rgb.shape[:2], box)
    part = with_surroundings(torch.from_numpy(inside))
    image = planes(np.ascontiguousarray(rgb[part])).float() / 255
    share = cut_out_small(image, torch.from_numpy(inside[part]), long_side=LONG_SIDE)
    mask = np.zeros_like(inside)
    mask[part] = (share.numpy() > 1 / 2) & inside[part]
    if mask.sum() >= LEAST_SHARE * inside.sum():
        return mask
    warnings.warn(
        f"{what}: nothing in it stands out from its surroundings by colour, so the ellipse in it "
        "is taken; a painted mask does better",
        stacklevel=2,
    )
    ellipse = ellipse_in_box(rgb.shape[:2], box) & inside
    return ellipse if ellipse.any() else inside  # of a box that is mostly outside the frame


def pixels_in_box(size: tuple[int, int], box: Box) -> np.ndarray:
    """`(H, W)` bool: pixels whose centre is in the box, at least one in each direction."""
    left, top, right, bottom = box_edges(box)
    spans = []
    for low, high, count in ((top, bottom, size[0]), (left, right, size[1])):
        places = np.arange(count)
        held = (places >= low) & (places < high)
        held[min(max(round((low + high) / 2), 0), count - 1)] |= not held.any()
        spans.append(held)
    return spans[0][:, None] & spans[1][None, :]


def ellipse_in_box(size: tuple[int, int], box: Box) -> np.ndarray:
    """`(H, W)` bool: pixels in the ellipse that touches a box's sides."""
    left, top, right, bottom = box_edges(box)
    x = (np.arange(size[1]) - (left + right) / 2) / max(box[2] / 2, 1)
    y = (np.arange(size[0]) - (top + bottom) / 2) / max(box[3] / 2, 1)
    return (y**2)[:, None] + (x**2)[None, :] <= 1
