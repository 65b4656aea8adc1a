"""Step -> batch, drawn and cut on the accelerator in a few large operations.

The draws are those of `sampler.Sampler` (frames by time, random square views, each view's own
motion, light, hidden channels), made for a whole batch at once from the step's number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from chromatrack.model.encoder import normalize_lab
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import FeatureSpec
from chromatrack.training.config import SamplerConfig
from chromatrack.training.data.augment import LightChange, change_light, draw_hidden, draw_light
from chromatrack.training.data.crops import (
    CONTROL,
    correspondences,
    random_motions,
    random_views,
    view_to_image,
)
from chromatrack.training.data.frame_table import FrameTable, neighbour
from chromatrack.training.data.sampler import PHOTOS, AnySampler, Batch


@dataclass(frozen=True)
class _Draw:
    """What is drawn for B examples of V views, before anything is cut.

    frames: (B, V) int, rows of the table. matrix: (B, V, 3, 3), view pixels to image pixels.
    bend: (B, CONTROL**2, 2) displacements of the target's control points.
    light: of B * V views. hidden: (B, 3) bool.
    """

    frames: np.ndarray
    matrix: np.ndarray
    bend: np.ndarray
    light: LightChange
    hidden: np.ndarray
    gap_seconds: np.ndarray


class DeviceSampler(AnySampler):
    """Draws batches from a table of frames."""

    def __init__(self, table: FrameTable, spec: FeatureSpec, config: SamplerConfig) -> None:
        self.table, self.spec, self.config = table, spec, config
        weight = table.weight[: table.videos].numpy()
        self._chance = np.cumsum(weight / weight.sum()) if len(weight) else weight

    def batch(self, step: int, *, size: int, rank: int = 0, world: int = 1) -> Batch:
        """The share of process `rank` in one step's batch of `size` examples.

        It depends on the data, the configuration, the step and `rank` of `world` alone; the noise
        on the kind of device too.
        """
        rng = np.random.default_rng((self.config.seed, step, rank))
        return self._cut(self._draw(len(range(rank, size, world)), rng))

    def _draw(self, count: int, rng: np.random.Generator) -> _Draw:
        config, views = self.config, self.config.views
        target, moving = self._targets(count, rng)
        frames = self._frames(target, moving, rng)
        amount = np.where(moving[:, None], config.video_motion, config.still_motion)
        amount = np.repeat(amount, views, axis=1)
        size = self.table.size.numpy()[target]
        base = random_views(size, config.crop, rng)
        matrix = base[:, None] @ random_motions(amount, config.crop, rng)
        light = draw_light(rng, views=count * views, strength=config.jitter)
        bends = config.thin_plate * config.crop * rng.normal(size=(count, CONTROL**2, 2))
        hidden = np.stack([draw_hidden(rng, hide=config.hide) for _ in range(count)])
        known = (frames[:, 0] == frames[:, -1]) if views > 1 else ~moving
        hidden[known & (rng.random(count) < config.stills_show_all)] = False
        seconds = self.table.seconds.numpy()
        gaps = np.abs(seconds[frames] - seconds[target][:, None]).max(1)
        return _Draw(frames, matrix, bends, light, hidden, gaps)

    def _targets(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Target frames `(count,)`, and which of them are to move."""
        table, config = self.table, self.config
        still, photo = rng.random(count) < config.photo_share, rng.random(count) < PHOTOS
        videos = np.searchsorted(self._chance, rng.random(count), side="right")
        videos = np.minimum(videos, max(table.videos - 1, 0))
        photos = table.videos + rng.integers(max(table.count - table.videos, 1), size=count)
        use_photo = (still & photo & (table.count > table.videos)) | (table.videos == 0)
        return np.where(use_photo, photos, videos), ~still & ~use_photo

    def _frames(
        self, target: np.ndarray, moving: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """`(B, V)` frames of each example: view by view at drawn times, the target last."""
        frames = np.repeat(target[:, None], self.config.views, axis=1)
        for view in range(self.config.views - 1):
            side = rng.choice([-1.0, 1.0], size=len(target))
            gap = side * rng.uniform(*self.config.gap_seconds, size=len(target))
            found = neighbour(self.table, target, gap)
            frames[:, view] = np.where(moving, found, target)
        return frames

    def _cut(self, draw: _Draw) -> Batch:
        table, device, crop = self.table, self.table.pixels.device, self.config.crop

        def put(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        B, V = draw.frames.shape
        matrix = put(draw.matrix)
        bends = put(draw.bend) if self.config.thin_plate else None
        xy = view_to_image(matrix.flatten(0, 1).float(), crop=crop, cells=(crop, crop))
        xy = xy.unflatten(0, (B, V))
        if bends is not None:
            xy[:, -1] = view_to_image(matrix[:, -1].float(), bends, crop=crop, cells=(crop, crop))
        frames = torch.from_numpy(draw.frames)
        first, size = (x[frames.flatten()].to(device) for x in (table.first, table.size))
        rgb = sample(table.pixels, first, size, xy.flatten(0, 1))
        lab = normalize_lab(rgb_to_lab(rgb))
        seen = change_light(lab[None], [draw.light])[0]
        known = correspondences(
            matrix[:, 0],
            matrix[:, -1],
            bends,
            table.size[frames[:, -1]].to(device),
            self.spec,
            crop=crop,
        )
        apart = put(draw.frames[:, 0] != draw.frames[:, -1])
        return Batch(
            lab=lab.unflatten(0, (B, V)),
            seen=seen.unflatten(0, (B, V)),
            hidden=put(draw.hidden),
            correspondence=known.masked_fill(apart[:, None, None, None], float("nan")),
            gap_seconds=put(draw.gap_seconds).float(),
            source=table.source[frames[:, -1]].to(device),
        )


def sample(pixels: Tensor, first: Tensor, size: Tensor, xy: Tensor) -> Tensor:
    """Bilinear samples of frames in a table, mirrored at their borders.

    Args:
        pixels: `(P, 3)` uint8. first: `(n,)` int64, each frame's first row. size: `(n, 2)` int64.
        xy: `(n, h, w, 2)` pixels.

    Returns:
        `(n, 3, h, w)` float32 sRGB, [0, 1].
    """
    height, width = (s[:, None, None] for s in size.unbind(1))
    x, y = _reflected(xy[..., 0], width), _reflected(xy[..., 1], height)
    left, top = x.floor(), y.floor()
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    x0, y0 = left.long(), top.long()
    right = torch.minimum(x0 + 1, width - 1) - x0
    down = (torch.minimum(y0 + 1, height - 1) - y0) * width
    at = first[:, None, None] + y0 * width + x0
    upper = torch.lerp(pixels[at].float(), pixels[at + right].float(), fx)
    at = at + down
    lower = torch.lerp(pixels[at].float(), pixels[at + right].float(), fx)
    return (torch.lerp(upper, lower, fy) / 255).movedim(-1, 1)


def _reflected(value: Tensor, size: Tensor) -> Tensor:
    """Coordinates folded back into [0, size - 1]."""
    period = (2 * (size - 1)).clamp(min=1).to(value.dtype)
    value = value.remainder(period)
    return torch.minimum(value, period - value).clamp(min=0).minimum((size - 1).to(value.dtype))
