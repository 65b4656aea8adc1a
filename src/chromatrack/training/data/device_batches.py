"""Step -> batch, drawn and cut on the accelerator in a few large operations.

The draws are those of `sampler.Sampler` (frames by time, random square views, each view's own
motion, light, hidden channels), made for a whole batch at once from the step's number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from chromatrack.model.encoder import normalize_lab
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import FeatureSpec, cell_count
from chromatrack.training.config import SamplerConfig
from chromatrack.training.data.augment import NOISE, draw_hidden
from chromatrack.training.data.crops import CONTROL, bend_basis, grid_pixels
from chromatrack.training.data.frame_table import FrameTable, neighbour
from chromatrack.training.data.sampler import PHOTOS, Batch, Sampler


@dataclass(frozen=True)
class _Draw:
    """What is drawn for B examples of V views, before anything is cut.

    frames: (B, V) int, rows of the table. matrix: (B, V, 3, 3), view pixels to image pixels.
    bend: (B, CONTROL**2, 2) displacements of the target's control points.
    gain, shift: (B, V, 3). hidden: (B, 3) bool.
    """

    frames: np.ndarray
    matrix: np.ndarray
    bend: np.ndarray
    gain: np.ndarray
    shift: np.ndarray
    hidden: np.ndarray
    gap_seconds: np.ndarray


class DeviceSampler:
    """Draws batches from a table of frames; `batches` and `batch` as `Sampler` has them."""

    def __init__(self, table: FrameTable, spec: FeatureSpec, config: SamplerConfig) -> None:
        self.table, self.spec, self.config = table, spec, config
        weight = table.weight[: table.videos].numpy()
        self._chance = np.cumsum(weight / weight.sum()) if len(weight) else weight

    def batches(
        self, size: int, *, start: int = 0, rank: int = 0, world: int = 1
    ) -> Iterator[Batch]:
        """The batches of all steps from `start` on, without end."""
        step = start
        while True:
            yield self.batch(step, size=size, rank=rank, world=world)
            step += 1

    def batch(self, step: int, *, size: int, rank: int = 0, world: int = 1) -> Batch:
        """The share of process `rank` in one step's batch of `size` examples.

        The draws depend on the data, the configuration, the step and `rank` of `world` alone; the
        noise is the device's.
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
        base = random_views(size, config, rng)
        matrix = base[:, None] @ motions(amount, config.crop, rng)
        lightness, color = np.exp(
            rng.normal(size=(2, count, views)) * config.jitter * np.reshape([0.2, 0.25], (2, 1, 1))
        )
        shift = rng.normal(size=(count, views, 3)) * config.jitter * [0.12, 0.04, 0.04]
        bends = config.thin_plate * config.crop * rng.normal(size=(count, CONTROL**2, 2))
        hidden = np.stack([draw_hidden(rng, hide=config.hide) for _ in range(count)])
        known = (frames[:, 0] == frames[:, -1]) if views > 1 else ~moving
        hidden[known & (rng.random(count) < config.stills_show_all)] = False
        seconds = self.table.seconds.numpy()
        gaps = np.abs(seconds[frames] - seconds[target][:, None]).max(1)
        gain = np.stack([lightness, color, color], axis=-1)
        return _Draw(frames, matrix, bends, gain, shift, hidden, gaps)

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
        xy = _look(matrix.flatten(0, 1).float(), (crop, crop), 1, 0.0).unflatten(0, (B, V))
        if bends is not None:
            xy[:, -1] += self._bent(matrix[:, -1], bends, (crop, crop), 1, 0.0, torch.float32)
        frames = torch.from_numpy(draw.frames).flatten()
        rgb = sample(
            table.pixels,
            table.first[frames].to(device),
            table.size[frames].to(device),
            xy.flatten(0, 1),
        )
        lab = normalize_lab(rgb_to_lab(rgb)).unflatten(0, (B, V))
        gain, shift = put(draw.gain).float(), put(draw.shift).float()
        seen = lab * gain[..., None, None] + shift[..., None, None]
        if self.config.jitter:
            seen = seen + torch.randn_like(seen) * (NOISE * self.config.jitter)
        return Batch(
            lab=lab,
            seen=seen,
            hidden=put(draw.hidden),
            correspondence=self._correspondence(draw, matrix, bends),
            gap_seconds=put(draw.gap_seconds).float(),
            source=table.source[torch.from_numpy(draw.frames[:, -1])].to(device),
        )

    def _bent(
        self,
        matrix: Tensor,
        bends: Tensor,
        cells: tuple[int, int],
        stride: int,
        offset: float,
        dtype: torch.dtype,
    ) -> Tensor:
        """`(B, h, w, 2)`: by how many image pixels a bend moves what each grid pixel shows."""
        basis = bend_basis(self.config.crop, cells, stride, offset, dtype, bends.device)
        moved = bends.to(dtype).transpose(1, 2) @ basis  # (B, 2, h * w)
        return (matrix[:, :2, :2].to(dtype) @ moved).transpose(1, 2).unflatten(1, cells)

    def _correspondence(self, draw: _Draw, matrix: Tensor, bends: Tensor | None) -> Tensor:
        """`(B, h, w, 2)`: as `crops.view_correspondence`, NaN where view 0 is another frame."""
        spec, crop = self.spec, self.config.crop
        cells = cell_count((crop, crop), stride=spec.stride)
        xy = _look(matrix[:, -1], cells, spec.stride, spec.offset)
        if bends is not None:
            xy = xy + self._bent(
                matrix[:, -1], bends, cells, spec.stride, spec.offset, torch.float64
            )
        back = torch.linalg.inv(matrix[:, 0])
        found = torch.einsum("bij,bhwj->bhwi", back[:, :2, :2], xy) + back[:, None, None, :2, 2]
        size = self.table.size[torch.from_numpy(draw.frames[:, -1])].to(xy)
        limit = size.flip(1)[:, None, None] - 1
        inside = ((xy >= 0) & (xy <= limit) & (found >= 0) & (found <= crop - 1)).all(-1)
        same = torch.from_numpy(draw.frames[:, 0] == draw.frames[:, -1]).to(xy.device)
        inside &= same[:, None, None]
        return found.masked_fill(~inside[..., None], float("nan")).float()


def random_views(size: np.ndarray, config: SamplerConfig, rng: np.random.Generator) -> np.ndarray:
    """`crops.random_view` for n images of `(n, 2)` (height, width): `(n, 3, 3)`."""
    crop = config.crop
    shorter = size.min(1)
    largest = np.minimum(shorter / crop, np.maximum(shorter - 1, 1) / (crop - 1))
    scale = rng.uniform(0.6 * largest, largest)
    side = scale * (crop - 1)
    matrix = np.zeros((len(size), 3, 3))
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    matrix[:, 0, 2] = rng.uniform(0, np.maximum(size[:, 1] - 1 - side, 0))
    matrix[:, 1, 2] = rng.uniform(0, np.maximum(size[:, 0] - 1 - side, 0))
    matrix[:, 2, 2] = 1
    mirrored = rng.random(len(size)) < 0.5
    matrix[mirrored] = matrix[mirrored] @ _mirror(crop)
    return matrix


def _mirror(crop: int) -> np.ndarray:
    return np.array([[-1, 0, crop - 1], [0, 1, 0], [0, 0, 1.0]])


def motions(amount: np.ndarray, crop: int, rng: np.random.Generator) -> np.ndarray:
    """`crops.perturb`'s random small motions, `(*amount.shape, 3, 3)`, strength by strength."""
    angle = amount * rng.normal(0, np.radians(7), size=amount.shape)
    zoom = np.exp(amount * rng.normal(0, 0.15, size=amount.shape))
    shear = amount * rng.normal(0, 0.06, size=amount.shape)
    stretch = np.exp(amount * rng.normal(0, 0.05, size=amount.shape))
    shift = amount[..., None] * rng.normal(0, 0.09, size=(*amount.shape, 2)) * crop
    cos, sin = np.cos(angle), np.sin(angle)
    rotate = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    one, none = np.ones_like(shear), np.zeros_like(shear)
    shears = np.stack([np.stack([one, shear], -1), np.stack([none, one], -1)], -2)
    zooms = np.stack([zoom * stretch, zoom / stretch], -1)
    linear = rotate @ (shears * zooms[..., None, :])
    middle = np.full(2, (crop - 1) / 2)
    motion = np.zeros((*amount.shape, 3, 3))
    motion[..., :2, :2] = linear
    motion[..., :2, 2] = middle - linear @ middle + shift
    motion[..., 2, 2] = 1
    return motion


def _look(matrix: Tensor, cells: tuple[int, int], stride: int, offset: float) -> Tensor:
    """Where in their images n views look, without a bend: `(n, h, w, 2)` xy pixels."""
    x, y = grid_pixels(cells, stride, offset, matrix.dtype, matrix.device)
    m = matrix[:, :2, :, None, None]
    return torch.stack([row[:, 0] * x + row[:, 1] * y + row[:, 2] for row in m.unbind(1)], -1)


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


AnySampler = Sampler | DeviceSampler
"""What draws a run's batches."""
