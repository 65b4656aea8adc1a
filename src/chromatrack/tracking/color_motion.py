"""Where a frame's cells were in the frame before, and so where in the references.

Frame to frame things move little and look alike: their places are found surely. Chained, they say
where a cell lies in a reference long after its features alone would; each frame they are fitted to
the reference anew, so that errors do not pile up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from chromatrack.ops.affinity import tiled_affinity
from chromatrack.ops.coords import FeatureSpec, grid_like, image_size, pixel_to_cell
from chromatrack.ops.window_search import WindowSearch
from chromatrack.tracking.color_detail import Places, places_over

REACH = 64
"""Pixels that a thing may have moved since the frame before."""

TOP_K = 3
"""Cells of the frame before that a cell points to."""


@dataclass
class FrameMotion:
    """The frame before, as one pass over a clip keeps it: its features and its L."""

    spec: FeatureSpec
    temperature: float
    search: WindowSearch = field(default_factory=WindowSearch)
    first: Tensor | None = None
    before: tuple[Tensor, Tensor] | None = None

    def step(self, features: Tensor, light: Tensor) -> Places | None:
        """Where the cells of the next frame lie in the one before; None: there is none.

        Args:
            features: `(C, h, w)`. light: `(1, H, W)` L.
        """
        before, self.before = self.before, (features, light)
        if before is None:
            return None
        self.first = before[0] if self.first is None else self.first
        self.search.lead_by(self.first)  # any frame's will do, and what is laid out by it is kept
        pointer = tiled_affinity(
            features,
            [before[0]],
            radius=[REACH // self.spec.stride],
            top_k=TOP_K,
            temperature=self.temperature,
            search=self.search,
        )
        return places_over(pointer, light, [before[1]], spec=self.spec)

    def forget(self) -> None:
        """What comes next does not follow the frame before."""
        self.before = None


@dataclass
class FollowedPlaces:
    """Where the cells of the frame before lay in the references.

    keys: which reference each number of a picture in `places` means.
    """

    spec: FeatureSpec
    places: Places | None = None
    keys: tuple[int, ...] = ()

    def moved(self, motion: Places | None, keys: Sequence[int]) -> Places | None:
        """Where the cells of the next frame lie in references `keys`, by how they moved.

        A cell takes over the place of the cell next to where it was.
        """
        if motion is None or self.places is None:
            return None
        h, w = image_size(motion.picture)
        at = grid_like(motion.shift, (h, w), self.spec.stride, self.spec.offset) + motion.shift
        cell = pixel_to_cell(at, stride=self.spec.stride, offset=self.spec.offset).round().long()
        x, y = cell[0].clamp(0, w - 1), cell[1].clamp(0, h - 1)
        numbers = [keys.index(key) if key in keys else -1 for key in self.keys]
        picture = torch.tensor(numbers, device=x.device)[self.places.picture[y, x]]
        return Places(
            motion.shift + self.places.shift[:, y, x],
            picture.clamp(min=0),
            self.places.lends[y, x] & motion.lends & (picture >= 0),
        )

    def keep(self, places: Places | None, keys: Sequence[int]) -> None:
        """Go on from where the cells of a frame lie in references `keys`."""
        self.places, self.keys = places, tuple(keys)

    def given(self, key: int, like: Tensor) -> None:
        """Go on from reference `key` itself; like: `(.., h, w)`, any map of its cells."""
        size = image_size(like)
        none = torch.zeros(size, dtype=torch.int64, device=like.device)
        self.keep(Places(like.new_zeros(2, *size), none, none == 0), [key])
