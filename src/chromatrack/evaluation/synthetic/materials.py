"""Procedural textures for rendered scenes: noise, colour ramps, and the demo's few materials.

A `Material` covers a rectangle around the origin in its own units; outside it the border repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

Color = tuple[float, float, float]
"""sRGB, each 0..1."""


@dataclass(frozen=True)
class Material:
    """image: (h, w, 3) float32 sRGB 0..1, centred on the origin; density: px per unit."""

    image: np.ndarray
    density: float


def sample_texture(texture: Material, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear colours (..., 3) float32 at texture positions x, y (units) of one shape."""
    h, w, _ = texture.image.shape
    px = np.clip(x * texture.density + (w - 1) / 2, 0, w - 1.001)
    py = np.clip(y * texture.density + (h - 1) / 2, 0, h - 1.001)
    left, top = px.astype(np.int32), py.astype(np.int32)
    fx, fy = (px - left)[..., None], (py - top)[..., None]
    flat, start = texture.image.reshape(-1, 3), top * w + left
    upper = flat[start] * (1 - fx) + flat[start + 1] * fx
    lower = flat[start + w] * (1 - fx) + flat[start + w + 1] * fx
    return (upper * (1 - fy) + lower * fy).astype(np.float32)


def fractal_noise(
    size: tuple[int, ...],
    rng: np.random.Generator,
    *,
    cell: tuple[float, float] | float,
    octaves: int = 5,
    gain: float = 0.55,
) -> np.ndarray:
    """Multi-octave value noise, (h, w) float32, stretched to 0..1.

    cell: size in px of the coarsest lattice, (vertical, horizontal) or one number; each further
    octave halves it and is weighted by `gain`.
    """
    h, w = size
    cell_y, cell_x = (cell, cell) if isinstance(cell, int | float) else cell
    total = np.zeros(size, dtype=np.float32)
    for octave in range(octaves):
        step_y, step_x = max(cell_y / 2**octave, 1.0), max(cell_x / 2**octave, 1.0)
        lattice = rng.random((int(h / step_y) + 4, int(w / step_x) + 4), dtype=np.float32)
        box = (1.5, 1.5, 1.5 + w / step_x, 1.5 + h / step_y)
        layer = Image.fromarray(lattice).resize((w, h), Image.Resampling.BICUBIC, box=box)
        total += gain**octave * np.asarray(layer)
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def ramp(value: np.ndarray, stops: Sequence[Color]) -> np.ndarray:
    """Colours (..., 3) float32 of values 0..1 along evenly spaced colour stops."""
    at = np.linspace(0, 1, len(stops))
    table = np.asarray(stops)
    return np.stack([np.interp(value, at, table[:, c]) for c in range(3)], -1).astype(np.float32)


def blend(under: np.ndarray, over: np.ndarray | Color, weight: np.ndarray) -> np.ndarray:
    """`under` (..., 3) with `over` laid on it by `weight` (...), clipped to 0..1."""
    share = np.clip(weight, 0, 1)[..., None]
    return (under + (np.asarray(over, dtype=np.float32) - under) * share).astype(np.float32)


def unit_grid(half: tuple[float, float], *, density: float) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) float32 maps over [-half_x, half_x] x [-half_y, half_y] at `density` px per unit."""
    w, h = (2 * round(side * density) + 1 for side in half)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    return (x - (w - 1) / 2) / density, (y - (h - 1) / 2) / density


def landscape_texture(height: int, rng: np.random.Generator) -> Material:
    """A summer meadow before hills, in frame heights: x to +-1.5, y to +-0.75, grass below 0.04."""
    density = 1.1 * height
    x, y = unit_grid((1.5, 0.75), density=density)
    image = ramp((y + 0.75) / 0.7, [(0.30, 0.53, 0.84), (0.55, 0.74, 0.92), (0.93, 0.92, 0.86)])
    clouds = fractal_noise(x.shape, rng, cell=(0.14 * density, 0.42 * density), octaves=6)
    image = blend(image, (1.0, 0.99, 0.97), (clouds - 0.50) * 4.0)
    image = blend(image, (0.72, 0.76, 0.84), (clouds - 0.66) * 2.0)
    hills: list[tuple[float, float, list[Color]]] = [
        (-0.19, 0.10, [(0.50, 0.60, 0.72), (0.60, 0.69, 0.78)]),
        (-0.11, 0.08, [(0.25, 0.40, 0.40), (0.42, 0.55, 0.47)]),
        (-0.04, 0.05, [(0.10, 0.22, 0.12), (0.20, 0.36, 0.15), (0.40, 0.52, 0.20)]),
    ]
    for level, relief, stops in hills:
        crest = fractal_noise(
            (1, x.shape[1]), rng, cell=(1.0, 0.55 * density), octaves=7, gain=0.42
        )
        wood = fractal_noise(
            x.shape, rng, cell=(0.025 * density, 0.035 * density), octaves=3, gain=0.8
        )
        line = level - relief * (crest - 0.5) - 0.02 * (wood - 0.5)
        image = blend(image, ramp(wood, stops), (y - line) * density + 0.5)
    return Material(_meadow(image, x, y, density=density, rng=rng), density)


def _meadow(
    image: np.ndarray, x: np.ndarray, y: np.ndarray, *, density: float, rng: np.random.Generator
) -> np.ndarray:
    """Lay the meadow over the lower part: grass patches in perspective, blades, flowers."""
    edge = 0.035 + 0.012 * np.sin(3.1 * x) + 0.006 * np.sin(11 * x)
    depth = np.clip((y - edge) / (0.75 - edge), 0.004, 1)
    patches = Material(
        ramp(
            fractal_noise((700, 1400), rng, cell=(90, 130), octaves=6, gain=0.6),
            [(0.15, 0.30, 0.07), (0.30, 0.47, 0.12), (0.46, 0.60, 0.18), (0.72, 0.72, 0.30)],
        ),
        density=1.0,
    )
    grass = sample_texture(patches, x / (0.35 + depth) * 420, 560 * depth**0.5 - 330)
    blades = fractal_noise(
        x.shape, rng, cell=(0.05 * density, 0.010 * density), octaves=3, gain=0.8
    )
    grass = grass * (1 + (blades - 0.5) * (0.25 + 0.75 * depth))[..., None]
    grass = blend(grass, (0.62, 0.70, 0.42), 0.45 - 3.0 * depth)
    petals: list[Color] = [
        (0.93, 0.22, 0.16), (0.98, 0.84, 0.20), (0.97, 0.95, 0.93), (0.62, 0.36, 0.80),
    ]  # fmt: skip
    for _ in range(420):
        color = petals[int(rng.integers(len(petals)))]
        _dab(grass, depth, color=color, density=density, rng=rng)
    return np.clip(blend(image, grass, (y - edge) * density + 0.5), 0, 1)


def _dab(
    grass: np.ndarray,
    depth: np.ndarray,
    *,
    color: Color,
    density: float,
    rng: np.random.Generator,
) -> None:
    """One flower at a random place, larger when nearer; changes `grass` in place."""
    h, w, _ = grass.shape
    row, column = int(h * (0.54 + 0.45 * rng.random())), int(w * rng.random())
    radius = density * (0.0022 + 0.008 * float(depth[row, column])) * rng.uniform(0.7, 1.2)
    reach = int(radius) + 2
    rows = slice(max(0, row - reach), min(h, row + reach + 1))
    columns = slice(max(0, column - reach), min(w, column + reach + 1))
    dy, dx = np.mgrid[rows, columns].astype(np.float32)
    distance = np.hypot((dx - column), (dy - row) * 1.25)
    grass[rows, columns] = blend(grass[rows, columns], color, radius - distance + 0.5)


def ball_texture(height: int, rng: np.random.Generator) -> Material:
    """A painted ball on the unit disc: six wavy gores, a star in the middle, scuffs."""
    u, v = unit_grid((1.15, 1.15), density=0.15 * height)
    wobble = fractal_noise(u.shape, rng, cell=0.08 * height, octaves=3) - 0.5
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    turn = (angle + 0.9 * radius + 0.5 * wobble) / (2 * np.pi) % 1.0
    gores: list[Color] = [
        (0.86, 0.13, 0.14), (0.98, 0.76, 0.16), (0.47, 0.20, 0.62),
        (0.97, 0.56, 0.60), (0.70, 0.09, 0.36), (0.98, 0.52, 0.10),
    ]  # fmt: skip
    image = np.asarray(gores, dtype=np.float32)[(turn * 6).astype(int) % 6]
    seam = np.abs((turn * 6) % 1.0 - 0.5)
    image = blend(image, (0.16, 0.12, 0.16), (seam * radius - 0.47 * radius + 0.012) * 60)
    star = radius - 0.25 - 0.07 * np.cos(5 * angle)
    image = blend(image, (0.97, 0.42, 0.08), -star * 40)
    image = blend(image, (0.20, 0.10, 0.10), 1 - np.abs(star) * 45)
    scuffs = fractal_noise(u.shape, rng, cell=0.03 * height, octaves=4, gain=0.7)
    return Material(np.clip(image * (0.86 + 0.26 * scuffs)[..., None], 0, 1), 0.15 * height)


def koi_texture(height: int, rng: np.random.Generator) -> Material:
    """A carp-shaped wind sock, head at u = -1: blue scales, orange bands, white belly, an eye."""
    density = 0.27 * height
    u, v = unit_grid((1.3, 0.8), density=density)
    row = np.floor(u / 0.13)
    across = (v / 0.15 + 0.5 * (row % 2)) % 1.0 - 0.5
    scale = np.hypot((u / 0.13) % 1.0 - 0.1, across * 1.5)
    image = ramp(np.clip(scale, 0, 1), [(0.16, 0.42, 0.78), (0.30, 0.60, 0.90), (0.05, 0.15, 0.42)])
    image = blend(image, (0.96, 0.95, 0.92), (v - 0.13 - 0.03 * np.sin(16 * u)) * 14)
    paint = fractal_noise(u.shape, rng, cell=0.4 * density, octaves=4) - 0.5
    bands = np.sin(6.2 * u + 2.0 * v + 3.0 * paint + 0.6)
    image = blend(image, (0.95, 0.38, 0.08), (bands - 0.45) * 9)
    rays = 0.5 + 0.5 * np.sin(70 * v / (0.5 + np.abs(u - 0.2)))
    image = blend(image, ramp(rays, [(0.98, 0.80, 0.35), (0.93, 0.30, 0.12)]), (u - 0.50) * 30)
    image = blend(image, (0.97, 0.94, 0.88), (-0.66 + 0.25 * v * v - u) * 25)
    eye = np.hypot(u + 0.80, v + 0.06)
    for radius, color in ((0.105, (0.93, 0.70, 0.12)), (0.060, (0.05, 0.05, 0.08))):
        image = blend(image, color, (radius - eye) * density * 0.8)
    weave = fractal_noise(u.shape, rng, cell=5.0, octaves=2)
    return Material(np.clip(image * (0.90 + 0.18 * weave)[..., None], 0, 1), density)


def bark_texture(height: int, rng: np.random.Generator) -> Material:
    """Birch bark in trunk half-widths: pale, dark lens-shaped marks across, fine fibres."""
    density = 0.085 * height
    u, v = unit_grid((1.8, 8.0), density=density)
    tone = fractal_noise(u.shape, rng, cell=(2.2 * density, 0.8 * density), octaves=5)
    image = ramp(tone, [(0.52, 0.46, 0.40), (0.80, 0.76, 0.70), (0.93, 0.91, 0.87)])
    marks = fractal_noise(u.shape, rng, cell=(0.22 * density, 1.3 * density), octaves=4)
    image = blend(image, (0.16, 0.13, 0.12), (marks - 0.62) * 9)
    fibres = fractal_noise(u.shape, rng, cell=(0.05 * density + 1, 0.6 * density), octaves=2)
    image = blend(image, (0.40, 0.34, 0.22), (v - 4.5) / 5.0)
    return Material(np.clip(image * (0.88 + 0.2 * fibres)[..., None], 0, 1), density)
