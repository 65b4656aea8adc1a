"""What a user means who draws a loop round a thing: what in it is unlike what is around it.

The loop is rough, and says much all the same: nothing outside is meant. Pixels are told by their
colours from those around the loop, as `ops.cutout` does for a rectangle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from chromatrack.formats.polygons import rasterize
from chromatrack.ops.coords import image_size
from chromatrack.ops.cutout import cut_out_small, with_surroundings
from chromatrack.ops.islands import islands
from chromatrack.tracking.frame_looks import Look

_LONG_SIDE = 128  # pixels of the longer side, at which colours are compared
_LEAST = 0.1  # of what is in the loop: all of it is meant where less stands out
_PART = 0.1  # of the largest part: what is smaller is none of it


def in_loop(places: Sequence[tuple[float, float]], size: tuple[int, int]) -> np.ndarray:
    """`(H, W)` bool: the pixels that a loop of at least three places (x, y) px goes round."""
    return rasterize([np.asarray(places, dtype=np.float64)], size, winding=True)


def thing_in_loop(look: Look, inside: np.ndarray) -> np.ndarray:
    """`(H, W)` bool: the thing that a loop goes round; all that is in it where nothing stands out.

    Args:
        inside: `(H, W)` bool at the frame's size, what is in the loop.
    """
    size = image_size(look.image)
    share = F.interpolate(torch.from_numpy(inside)[None, None].float(), list(size), mode="area")
    within = share[0, 0] >= 0.5
    if not bool(within.any()):  # smaller than what the network sees
        return inside
    part = with_surroundings(within)
    cut = cut_out_small(look.image[:, part[0], part[1]], within[part], long_side=_LONG_SIDE)
    whole = torch.zeros(size)
    whole[part] = cut
    full = F.interpolate(whole[None, None], list(look.size), mode="bilinear")[0, 0]
    found = (full > 0.5).numpy() & inside
    if found.sum() < _LEAST * inside.sum():
        return inside
    parts = islands(found)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.isin(parts, np.flatnonzero(sizes >= _PART * sizes.max()))
