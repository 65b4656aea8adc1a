"""Sprites: cut-outs of pictures that move, grow, turn and bend, and change their light."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.coords import image_size

_SIZES = (0.13, 0.95)  # a sprite's longer side on the first frame, of the frame's shorter
_SIDE = 256  # shorter side of a frame for which paces are given
_CRISP = 3.0  # how much steeper than the cut-out's own its edges are drawn


@dataclass(frozen=True)
class Motion:
    """Where a sprite is and what it looks like at frame t; lengths in pixels, angles in radians.

    start, speed, gain: (y, x), of the middle. pull: acceleration. size: of the longer side. growth,
    squeeze: factor and its logarithm a frame. angle, turn. bend: share of the size by which it
    waves with frequency and phase, in the directions `waves` `(1, 2, 4, 4)`. gain: of each colour,
    drift: its factor a frame.
    """

    start: np.ndarray
    speed: np.ndarray
    pull: np.ndarray
    size: float
    growth: float
    squeeze: float
    angle: float
    turn: float
    bend: float
    phase: float
    frequency: float
    waves: Tensor
    gain: np.ndarray
    drift: float

    @classmethod
    def drawn(cls, size: tuple[int, int], rng: np.random.Generator) -> Motion:
        """A random one in frames of `size`: slow and steady, or fast and wild."""
        pace = rng.choice([1.5, 4, 9]) * min(size) / _SIDE
        low, high = (share * min(size) for share in _SIZES)
        return cls(
            start=rng.uniform(0.15, 0.85, 2) * size,
            speed=rng.normal(size=2) * pace,
            pull=rng.normal(size=2) * pace * 0.15,
            size=low * (high / low) ** rng.uniform(),
            growth=math.exp(rng.normal() * rng.choice([0.01, 0.04, 0.09])),
            squeeze=rng.normal() * 0.03,
            angle=rng.normal() * 0.2,
            turn=rng.normal() * rng.choice([0.01, 0.05, 0.12]),
            bend=rng.choice([0, 0.02, 0.06]),
            phase=rng.uniform(0, 2 * math.pi),
            frequency=rng.uniform(0.2, 0.9),
            waves=torch.from_numpy(rng.normal(size=(1, 2, 4, 4)).astype(np.float32)),
            gain=1 + rng.normal(size=3) * 0.15,
            drift=1 + rng.normal() * 0.01,
        )

    def like(self, other: Motion, rng: np.random.Generator) -> Motion:
        """This way to move with about the size and exactly the light of another."""
        return replace(self, size=other.size * math.exp(rng.normal() * 0.2), gain=other.gain)

    def middle(self, t: int) -> np.ndarray:
        """(y, x) on frame t, in pixels."""
        return self.start + self.speed * t + self.pull * t * t / 2

    def place(self, at: np.ndarray, t: int) -> np.ndarray:
        """(y, x) in pixels on frame t of what is at (y, x) from the middle, in sizes, unbent."""
        y, x = at * self.size * self.growth**t
        thin, angle = math.exp(self.squeeze * t), self.angle + self.turn * t
        y, x, sin, cos = y / thin, x * thin, math.sin(angle), math.cos(angle)
        return self.middle(t) + np.array([sin * x + cos * y, cos * x - sin * y])


@dataclass(frozen=True)
class Sprite:
    """A cut-out. color: `(3, h, w)` float in [0, 1]. shape: `(1, h, w)` float, 1 inside."""

    color: Tensor
    shape: Tensor
    motion: Motion

    @classmethod
    def cut(cls, picture: Tensor, mask: Tensor, motion: Motion) -> Sprite:
        """What a mask `(H, W)` bool, not empty, shows of a picture `(3, H, W)` float in [0, 1]."""
        rows, columns = (mask.any(axis).nonzero()[:, 0] for axis in (1, 0))
        box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        return cls(picture[:, *box], mask[None, *box].float(), motion)

    def draw(self, t: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """On frame t: colour `(3, *size)` in [0, 1], and how opaque `(1, *size)`, [0, 1]."""
        scale = self._scale(t)
        grid = self._places(t, size, scale)
        texture = torch.cat([self.color, self.shape])
        shrink = int(min(max(1, round(1 / scale)), min(image_size(texture)) // 2))
        if shrink > 1:  # else it would be sampled too sparsely
            texture = F.avg_pool2d(texture[None], shrink)[0]
        color = _sampled(texture[:3], grid, "border")
        shape = _sampled(texture[3:], grid, "zeros")
        gain = torch.from_numpy(self.motion.gain * self.motion.drift**t).float()
        return (color * gain[:, None, None]).clamp(0, 1), (_CRISP * (shape - 0.5) + 0.5).clamp(0, 1)

    def _scale(self, t: int) -> float:
        """Pixels of the frame that a pixel of the cut-out is long."""
        return self.motion.size * self.motion.growth**t / max(image_size(self.shape))

    def _places(self, t: int, size: tuple[int, int], scale: float) -> Tensor:
        """Where in the cut-out each pixel of the frame lies: `(1, *size, 2)` xy in [-1, 1]."""
        motion = self.motion
        y, x = motion.middle(t)
        rows, columns = torch.meshgrid(*(torch.arange(n) * 1.0 for n in size), indexing="ij")
        dy, dx, angle = rows - float(y), columns - float(x), motion.angle + motion.turn * t
        thin = math.exp(motion.squeeze * t)
        across = (math.cos(angle) * dx + math.sin(angle) * dy) / (scale * thin)
        along = (math.cos(angle) * dy - math.sin(angle) * dx) / scale * thin
        h, w = image_size(self.shape)
        grid = torch.stack([2 * across / w, 2 * along / h], -1)[None]
        if not motion.bend:
            return grid
        wave = _sampled(motion.waves[0], grid.clamp(-1, 1), "border").movedim(0, -1)
        strength = 2 * motion.bend * math.sin(motion.phase + motion.frequency * t)
        return grid + strength * wave


def _sampled(image: Tensor, grid: Tensor, beyond: str) -> Tensor:
    """`(C, h, w)` read at xy in [-1, 1] `(1, H, W, 2)` -> `(C, H, W)`."""
    return F.grid_sample(image[None], grid, padding_mode=beyond, align_corners=False)[0]
