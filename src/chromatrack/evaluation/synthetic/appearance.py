"""What the synthetic clips of `clips` look like: grounds, creatures, skins and planks.

Everything is drawn from a random generator; creatures live in object units (about -1..1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chromatrack.evaluation.synthetic.materials import (
    Color,
    Material,
    blend,
    fractal_noise,
    ramp,
    unit_grid,
)

JOINT_NAMES = ("tail", "hip", "chest", "head", "front foot", "hind foot")
JOINT_EDGES = ((0, 1), (1, 2), (2, 3), (2, 4), (1, 5))
REST_JOINTS = np.array(
    [(-0.88, -0.10), (-0.42, 0.02), (0.32, -0.02), (0.76, -0.34), (0.40, 0.52), (-0.46, 0.52)]
)
"""(J, 2) where the joints are in object units, before each creature's own proportions."""

LIMB_RADII = np.array([0.15, 0.34, 0.22, 0.17, 0.17])
HEAD_RADIUS = 0.25

GROUNDS: tuple[tuple[Color, ...], ...] = (
    ((0.16, 0.24, 0.10), (0.33, 0.43, 0.18), (0.55, 0.56, 0.30), (0.74, 0.70, 0.50)),
    ((0.30, 0.26, 0.24), (0.52, 0.46, 0.40), (0.68, 0.62, 0.55), (0.84, 0.80, 0.74)),
    ((0.10, 0.20, 0.28), (0.22, 0.38, 0.46), (0.45, 0.58, 0.60), (0.76, 0.80, 0.76)),
    ((0.36, 0.22, 0.14), (0.58, 0.40, 0.26), (0.72, 0.58, 0.40), (0.86, 0.78, 0.62)),
)
COATS: tuple[tuple[Color, ...], ...] = (
    ((0.28, 0.14, 0.08), (0.70, 0.36, 0.14), (0.93, 0.78, 0.54)),
    ((0.10, 0.10, 0.14), (0.46, 0.46, 0.52), (0.92, 0.91, 0.88)),
    ((0.40, 0.06, 0.08), (0.80, 0.22, 0.14), (0.98, 0.80, 0.36)),
    ((0.06, 0.12, 0.38), (0.20, 0.44, 0.78), (0.82, 0.90, 0.96)),
    ((0.30, 0.08, 0.34), (0.66, 0.30, 0.62), (0.95, 0.80, 0.86)),
)
WOODS: tuple[tuple[Color, ...], ...] = (
    ((0.30, 0.16, 0.08), (0.50, 0.30, 0.16), (0.66, 0.45, 0.28)),
    ((0.34, 0.36, 0.38), (0.54, 0.56, 0.58), (0.72, 0.73, 0.72)),
    ((0.10, 0.26, 0.24), (0.20, 0.42, 0.38), (0.40, 0.58, 0.50)),
)


@dataclass(frozen=True)
class Creature:
    """A body of round limbs between joints, in object units.

    joints: (J, 2) float64 (u, v). radii: one per edge of `JOINT_EDGES`. head: radius at the head.
    """

    joints: np.ndarray
    radii: np.ndarray
    head: float

    def outline(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Signed distance-like map of (u, v): negative inside the body; same shape."""
        inside = np.hypot(u - self.joints[3, 0], v - self.joints[3, 1]) - self.head
        for (start, end), radius in zip(JOINT_EDGES, self.radii, strict=True):
            limb = _segment_distance(u, v, self.joints[start], self.joints[end]) - radius
            inside = np.minimum(inside, limb)
        return inside


def creature(rng: np.random.Generator) -> Creature:
    """One of the family: the same build with its own proportions."""
    joints = REST_JOINTS + rng.uniform(-0.06, 0.06, REST_JOINTS.shape)
    radii = LIMB_RADII * rng.uniform(0.88, 1.12, LIMB_RADII.shape)
    return Creature(joints, radii, HEAD_RADIUS * float(rng.uniform(0.9, 1.1)))


def skin(stops: Sequence[Color], rng: np.random.Generator, *, density: float) -> Material:
    """A coat in object units at `density` px per unit: clouds of colour, stripes, spots, hair."""
    u, v = unit_grid((1.5, 1.2), density=density)
    paint = fractal_noise(u.shape, rng, cell=0.6 * density, octaves=5)
    image = ramp(paint, stops)
    turn, rate = rng.uniform(0.0, np.pi), rng.uniform(8.0, 13.0)
    wave = np.sin(rate * (np.cos(turn) * u + np.sin(turn) * v) + 5.0 * paint)
    image = blend(image, stops[0], (wave - 0.45) * 5.0)
    for _ in range(int(rng.integers(20, 34))):
        x, y, radius = rng.uniform(-1.1, 1.1), rng.uniform(-0.8, 0.8), rng.uniform(0.05, 0.15)
        spot = (radius - np.hypot(u - x, (v - y) * rng.uniform(0.8, 1.3))) * density * 0.7
        image = blend(image, stops[int(rng.choice([0, len(stops) - 1]))], spot)
    hair = fractal_noise(u.shape, rng, cell=0.08 * density + 1, octaves=3, gain=0.8)
    return Material(np.clip(image * (0.82 + 0.36 * hair)[..., None], 0, 1), density)


def ground_texture(stops: Sequence[Color], rng: np.random.Generator, *, height: int) -> Material:
    """Ground in frame heights (x to +-1.5, y to +-0.9): clouds, large patches, stones."""
    x, y = unit_grid((1.5, 0.9), density=height)
    image = ramp(fractal_noise(x.shape, rng, cell=0.45 * height, octaves=7, gain=0.6), stops)
    for _ in range(int(rng.integers(9, 15))):
        image = blend(image, stops[int(rng.integers(len(stops)))], 0.8 * _patch(x, y, height, rng))
    stones = fractal_noise(x.shape, rng, cell=0.035 * height, octaves=3, gain=0.7)
    image = blend(image, stops[0], (stones - 0.70) * 7.0)
    image = blend(image, stops[-1], (0.26 - stones) * 7.0)
    grain = fractal_noise(x.shape, rng, cell=0.012 * height + 1, octaves=2)
    return Material(np.clip(image * (0.84 + 0.32 * grain)[..., None], 0, 1), height)


def plank_texture(
    stops: Sequence[Color], rng: np.random.Generator, *, density: float, tall: float
) -> Material:
    """Boards in half-widths (x to +-1, y to +-`tall`): grain along y, seams, knots."""
    u, v = unit_grid((1.05, tall), density=density)
    fibres = fractal_noise(u.shape, rng, cell=(1.6 * density, 0.16 * density + 1), octaves=5)
    image = ramp(fibres, stops)
    boards = int(rng.integers(3, 6))
    seam = np.abs((u * boards / 2) % 1.0 - 0.5)
    image = blend(image, (0.10, 0.08, 0.07), (0.07 - seam) * 12.0)
    for _ in range(10):
        at = rng.uniform(-0.9, 0.9), rng.uniform(-tall, tall)
        knot = np.hypot((u - at[0]) * 1.6, v - at[1])
        image = blend(image, stops[0], (0.12 - np.abs(knot - 0.07)) * 9.0)
    return Material(image, density)


def _patch(x: np.ndarray, y: np.ndarray, height: int, rng: np.random.Generator) -> np.ndarray:
    """Weight (0..1) of one large bent patch of ground at a random place."""
    middle_x, middle_y, turn = rng.uniform(-1.4, 1.4), rng.uniform(-0.8, 0.8), rng.uniform(0, np.pi)
    long, short = rng.uniform(0.10, 0.40), rng.uniform(0.05, 0.16)
    dx, dy = x - middle_x, y - middle_y
    along, across = np.cos(turn) * dx + np.sin(turn) * dy, np.cos(turn) * dy - np.sin(turn) * dx
    across = across + 0.06 * np.sin(9.0 * along + rng.uniform(0, 6))
    level = np.maximum(np.abs(along) - long, np.abs(across) - short)
    return np.clip(-level * height / 2, 0, 1)


def _segment_distance(
    u: np.ndarray, v: np.ndarray, start: np.ndarray, end: np.ndarray
) -> np.ndarray:
    du, dv = end - start
    along = ((u - start[0]) * du + (v - start[1]) * dv) / (du * du + dv * dv)
    share = np.clip(along, 0.0, 1.0)
    return np.hypot(u - start[0] - share * du, v - start[1] - share * dv)
