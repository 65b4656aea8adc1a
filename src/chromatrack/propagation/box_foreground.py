"""The object in a box: what the box holds and its surroundings do not, by colours and features."""

from __future__ import annotations

import torch
from torch import Tensor

from chromatrack.ops.compiled import window_max
from chromatrack.ops.coords import Box, FeatureSpec, box_edges, image_size
from chromatrack.ops.cutout import cut_out_small, with_surroundings
from chromatrack.ops.resample import to_cells

_LONG_SIDE = 64  # pixels to which a larger box is brought before its object is cut out
_LEAST_SHARE = 0.1  # of the box; a smaller object is not believed
_LEAST_SIDE = 0.6  # of the box's width and height that an object in it has at least
_FAINT = 0.05  # of the object's pixels in a row or column, below which they are strays
_SOFT = 0.06  # width of the change from background to object, in likeness
_RING = 3  # cells around a box that count as its background
_INSIDE = 0.5  # share of a cell from which it is inside a box, or in its middle
_LEAST_FOREGROUND = 0.15  # of the box's cells; less is not believed
_TAPER = 1.5  # slope from a box's middle to its edge: 1 up to a third of the way, then falling


def object_in_box(
    image: Tensor, features: Tensor, covered: Tensor, box: Box, *, spec: FeatureSpec
) -> Tensor:
    """The part of a box that is the object.

    It is cut out by its colours. Where that finds hardly anything, or something that does not fill
    the box, what its cells look like decides (`foreground`): a box is drawn around an object.

    Args:
        image: `(3, H, W)` float32 sRGB in [0, 1], as the encoder sees it. features: `(C, h, w)`,
            unit length per cell. covered: `(h, w)` share the box covers. box: in pixels of image.

    Returns:
        `(h, w)` in [0, 1], 0 outside the box; the whole box where nothing in it stands out.
    """
    found = _by_color(image, box)
    if found is None:
        return foreground(features, covered)
    label = to_cells(found[None, None].to(image), spec)[0, 0] * (covered > 0)
    return label if bool(label.any()) else foreground(features, covered)


def _by_color(image: Tensor, box: Box) -> Tensor | None:
    """`(H, W)` of 1 and 0: the object as its colours show it; None where they do not."""
    inside = pixels_of(box, image_size(image))
    if not bool(inside.any()):
        return None
    part = with_surroundings(inside)
    share = cut_out_small(image[:, part[0], part[1]].cpu(), inside[part], long_side=_LONG_SIDE)
    cut = (share > 1 / 2) & inside[part]
    if float(cut.sum()) < _LEAST_SHARE * float(inside.sum()):
        return None
    for axis in (0, 1):
        line = cut.sum(axis)
        filled = int((line > _FAINT * line.max()).sum())
        if filled < _LEAST_SIDE * int(inside.any(axis).sum()):
            return None
    found = torch.zeros(inside.shape)
    found[part] = cut.float()
    return found


def pixels_of(box: Box, size: tuple[int, int]) -> Tensor:
    """`(H, W)` bool: pixels of an image of (height, width) whose centre is in a box."""
    left, top, right, bottom = box_edges(box)
    y, x = torch.arange(size[0]), torch.arange(size[1])
    return ((y >= top) & (y < bottom))[:, None] & ((x >= left) & (x < right))[None, :]


def foreground(features: Tensor, covered: Tensor) -> Tensor:
    """The object in a box by its cells' looks: those that are not like the surroundings.

    Args:
        features: `(C, h, w)`, unit length per cell. covered: `(h, w)` share the box covers.

    Returns:
        `(h, w)` in [0, 1], 0 outside the box; the whole box where nothing in it stands out.
    """
    cells, inside = features.flatten(1).T, covered.flatten() > _INSIDE
    near = window_max(covered[None], _RING).flatten() > 0
    ring = near & (covered.flatten() == 0)
    core = inside & (centred(covered).flatten() > _INSIDE)
    if not bool(core.any()) or not bool(ring.any()):
        return covered
    some = covered.flatten() > 0
    out = (cells[some] @ cells[ring].T).amax(1)
    within = (cells[some] @ cells[core].T).topk(min(2, int(core.sum())), dim=1).values[:, -1]
    share = torch.zeros_like(covered).flatten()
    share[some] = ((within - out) / _SOFT).sigmoid()
    label = covered * share.reshape(covered.shape)
    if float(label.sum()) < _LEAST_FOREGROUND * float(covered.sum()):
        return covered
    return label / label.max().clamp(min=1e-6)


def centred(covered: Tensor) -> Tensor:
    """1 in the middle of a box's cells, 0 at its edge: `(h, w)`."""
    result = covered.clone()
    for axis in (0, 1):
        line = covered.sum(1 - axis)
        total = line.sum().clamp(min=1e-6)
        places = torch.arange(len(line), device=line.device)
        mean = (line * places).sum() / total
        half = (line > 0).sum() / 2
        weight = (_TAPER * (1 - (places - mean).abs() / half)).clamp(0, 1)
        result = result * (weight[:, None] if axis == 0 else weight[None, :])
    return result
