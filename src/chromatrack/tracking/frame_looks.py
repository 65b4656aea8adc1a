"""Single frames as the network sees them, for tools that look around in a video.

The same features that tracking copies by: `FrameEmbedder.for_clip` fitted to the first frame.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chromatrack.ops.affinity import affinity, similarity
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import (
    FeatureSpec,
    image_size,
    pixel_grid,
    pixel_to_cell,
    rescale_points,
)
from chromatrack.structures import Source
from chromatrack.tracking.embedder import FrameEmbedder
from chromatrack.video.random_access import FrameReader

_KEPT = 24  # frames whose features are remembered


@dataclass(frozen=True)
class Look:
    """One frame as the network sees it.

    image: `(3, H', W')` float32 sRGB in [0, 1] at the working size. features: `(C, h, w)`, unit
    length per cell. size: (height, width) of the frame itself.
    """

    image: Tensor
    features: Tensor
    spec: FeatureSpec
    size: tuple[int, int]

    def cells_of(self, xy: Sequence[tuple[float, float]]) -> Tensor:
        """`(P, 2)` int64 (row, column) of the cells nearest to places in px of the frame."""
        places = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
        working = rescale_points(places, from_size=self.size, to_size=image_size(self.image))
        cells = pixel_to_cell(working, stride=self.spec.stride, offset=self.spec.offset)
        h, w = self.features.shape[-2:]
        near = np.rint(cells).clip([0, 0], [w - 1, h - 1]).astype(np.int64)
        return torch.from_numpy(near[:, ::-1].copy())


class FrameLooks:
    """Frames of one video, looked at in any order; the last ones are remembered."""

    def __init__(self, embedder: FrameEmbedder, video: Source) -> None:
        """Open the video. Raises VideoError."""
        self._embedder, self._reader = embedder, FrameReader(video)
        self._encode: Any = None
        self._looks: OrderedDict[int, Look] = OrderedDict()

    def close(self) -> None:
        """Release the video."""
        self._reader.close()

    def picture(self, index: int) -> np.ndarray:
        """A frame itself, `(H, W, 3)` uint8. Raises VideoError where it cannot be read."""
        return self._reader.read(index)

    @torch.inference_mode()
    def look(self, index: int) -> Look:
        """A frame. Raises VideoError where it cannot be read."""
        if index not in self._looks:
            rgb = self._reader.read(index)
            image = self._embedder.image(rgb)
            if self._encode is None:
                first = rgb if index == 0 else self._reader.read(0)
                self._encode = self._embedder.for_clip(self._embedder.lab(first))
            features = self._encode(rgb_to_lab(image)[None])[0].cpu()
            size = (rgb.shape[0], rgb.shape[1])
            self._looks[index] = Look(image.cpu(), features, self._embedder.spec, size)
            while len(self._looks) > _KEPT:
                self._looks.popitem(last=False)
        self._looks.move_to_end(index)
        return self._looks[index]

    @torch.inference_mode()
    def pointer(self, frame: int, at: tuple[float, float], marked: Sequence[int]) -> dict[str, Any]:
        """Where a pixel copies from: the cell's pointer over the frames that a forward pass uses.

        Args:
            at: (x, y) px. marked: frames with marks.

        Returns:
            {"target": [x, y] of the cell's middle, "references": [{"frame", "size": cell's width
            and height, "cells": [[x, y, weight], ...]}]}, px of the frame; weights sum to 1.
        """
        config = self._embedder.config.propagate
        before = [f for f in marked if f < frame][-1:]
        after = [f for f in marked if f > frame][:1]
        recent = [f for f in range(frame - 1, frame - 1 - config.recent, -1) if f >= 0]
        radius = {f: config.recent_radius for f in recent}
        radius |= {f: config.radius for f in (*before, *after)}
        look = self.look(frame)
        row, column = look.cells_of([at])[0].tolist()
        target = look.features[:, row, column]
        h, w = look.features.shape[-2:]
        y, x = torch.arange(h)[:, None] - row, torch.arange(w)[None, :] - column
        scores, allowed = [], []
        for number, reach in sorted(radius.items()):
            features = self.look(number).features.flatten(1)
            scores.append(similarity(target[:, None], features)[0])
            near = torch.ones(h, w, dtype=torch.bool)
            if reach is not None:
                near = (y.abs() <= reach) & (x.abs() <= reach)
            allowed.append(near.flatten())
        grid = self._middles(look)
        told: dict[str, Any] = {"target": grid[row, column].tolist(), "references": []}
        if not scores:
            return told
        weights = affinity(
            torch.cat(scores)[None],
            temperature=config.temperature,
            top_k=config.top_k,
            mask=torch.cat(allowed)[None],
        )[0].reshape(-1, h, w)
        step = [look.size[1] / image_size(look.image)[1], look.size[0] / image_size(look.image)[0]]
        for number, weight in zip(sorted(radius), weights, strict=True):
            cells = [
                [*grid[r, c].tolist(), round(float(weight[r, c]), 4)]
                for r, c in weight.nonzero().tolist()
            ]
            size = [round(look.spec.stride * s, 2) for s in step]
            told["references"].append({"frame": number, "size": size, "cells": cells})
        return told

    def _middles(self, look: Look) -> Tensor:
        """`(h, w, 2)` xy of the cells' middles, px of the frame."""
        h, w = look.features.shape[-2:]
        grid = pixel_grid((h, w), stride=look.spec.stride, offset=look.spec.offset)
        return rescale_points(grid, from_size=image_size(look.image), to_size=look.size)
