"""The demo's little film: a rendered scene whose masks are known exactly.

World coordinates are in frame heights, x to the right, y down; `Camera` maps them to pixels. A
`Sprite` is a textured outline that follows a path of `Pose`s; what is composed last is in front.
Everything is numpy, deterministic in the seed, and made here: no picture is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from chromatrack.evaluation.synthetic.materials import (
    Material,
    ball_texture,
    bark_texture,
    koi_texture,
    landscape_texture,
    sample_texture,
)

Field = np.ndarray
"""A float32 map of any shape."""


@dataclass(frozen=True)
class SyntheticFrame:
    """One rendered frame with its truth.

    rgb: (H, W, 3) uint8 sRGB. mask: (H, W) int32 ids of what is visible, 0 = background or an
    occluder. centres: {object id: (x, y)} pixel position of the object's middle, hidden or not.
    """

    rgb: np.ndarray
    mask: np.ndarray
    index: int
    centres: Mapping[int, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Camera:
    """Where the camera looks: world point (x, y) at the frame's centre, zoom, angle in radians."""

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0
    angle: float = 0.0

    def to_world(self, px: Field, py: Field, *, size: tuple[int, int]) -> tuple[Field, Field]:
        """World coordinates of pixel positions in a frame of `size` (height, width)."""
        scale = 1.0 / (self.zoom * size[0])
        dx = (px - (size[1] - 1) / 2) * scale
        dy = (py - (size[0] - 1) / 2) * scale
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return cos * dx + sin * dy + self.x, cos * dy - sin * dx + self.y

    def to_pixel(self, x: float, y: float, *, size: tuple[int, int]) -> tuple[float, float]:
        """Pixel position of a world point; the inverse of `to_world`."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        dx, dy = x - self.x, y - self.y
        scale = self.zoom * size[0]
        px = (cos * dx - sin * dy) * scale + (size[1] - 1) / 2
        py = (sin * dx + cos * dy) * scale + (size[0] - 1) / 2
        return float(px), float(py)


@dataclass(frozen=True)
class Pose:
    """An object's place: world position, size (frame heights per unit), angle, (x, y) stretch."""

    x: float
    y: float
    scale: float
    angle: float = 0.0
    stretch: tuple[float, float] = (1.0, 1.0)


Outline = Callable[[Field, Field], Field]
"""(u, v) in object units -> implicit function, negative inside; any smooth scale."""
Warp = Callable[[Field, Field, float], tuple[Field, Field]]
"""(u, v, progress) -> material (u, v): undoes the object's deformation at this moment."""


@dataclass(frozen=True)
class Sprite:
    """A textured thing that moves. `object_id` 0 makes it an occluder that hides masks.

    `path` gives its pose for progress 0..1; `shade(u, v)` the light on it, unrotated; `reach` the
    half-size in object units of the box that holds it; `parallax` > 1 is nearer than the scene.
    """

    object_id: int
    texture: Material
    outline: Outline
    path: Callable[[float], Pose]
    warp: Warp = lambda u, v, progress: (u, v)
    shade: Outline | None = None
    reach: tuple[float, float] = (1.1, 1.1)
    parallax: float = 1.0


def compose(
    rgb: np.ndarray, mask: np.ndarray, sprite: Sprite, *, camera: Camera, progress: float
) -> tuple[float, float]:
    """Paint `sprite` over `rgb` (H, W, 3 float32 0..1) and `mask` (H, W int32), in place.

    Edges are anti-aliased by analytic coverage; a pixel belongs to the object that covers at
    least half of it. Returns the (x, y) pixel position of the sprite's middle.
    """
    size = mask.shape[0], mask.shape[1]
    view = Camera(camera.x * sprite.parallax, camera.y, camera.zoom, camera.angle)
    pose = sprite.path(progress)
    centre = view.to_pixel(pose.x, pose.y, size=size)
    box = _pixel_box(centre, pose, sprite.reach, view, size=size)
    if box is None:
        return centre
    rows, columns = box
    py, px = np.mgrid[rows, columns].astype(np.float32)
    wx, wy = view.to_world(px, py, size=size)
    a = (wx - pose.x) / (pose.scale * pose.stretch[0])
    b = (wy - pose.y) / (pose.scale * pose.stretch[1])
    cos, sin = np.cos(pose.angle), np.sin(pose.angle)
    u, v = sprite.warp(cos * a + sin * b, cos * b - sin * a, progress)
    coverage = _coverage(sprite.outline(u, v))
    color = sample_texture(sprite.texture, u, v)
    if sprite.shade is not None:
        color = color * sprite.shade(a, b)[..., None]
    under = rgb[rows, columns]
    rgb[rows, columns] = under + (color - under) * coverage[..., None]
    mask[rows, columns][coverage >= 0.5] = sprite.object_id
    return centre


def cast_shadow(
    rgb: np.ndarray,
    *,
    at: tuple[float, float],
    radii: tuple[float, float],
    strength: float,
    camera: Camera,
) -> None:
    """Darken `rgb` (H, W, 3 float32), in place, by a soft ellipse around world point `at`."""
    size = rgb.shape[0], rgb.shape[1]
    centre = camera.to_pixel(*at, size=size)
    pose = Pose(at[0], at[1], scale=1.0)
    box = _pixel_box(centre, pose, (3 * radii[0], 3 * radii[1]), camera, size=size)
    if box is None:
        return
    py, px = np.mgrid[box[0], box[1]].astype(np.float32)
    wx, wy = camera.to_world(px, py, size=size)
    distance = ((wx - at[0]) / radii[0]) ** 2 + ((wy - at[1]) / radii[1]) ** 2
    rgb[box[0], box[1]] *= (1 - strength * np.exp(-distance))[..., None]


def finish(rgb: np.ndarray, *, noise: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 from float32 0..1: sensor noise of standard deviation `noise` (0..1)."""
    grain = rng.normal(0.0, noise, rgb.shape).astype(np.float32)
    return np.rint(np.clip(rgb + grain, 0.0, 1.0) * 255).astype(np.uint8)


def render_demo_clip(
    *, frames: int = 60, size: tuple[int, int] = (360, 640), seed: int = 0
) -> Iterator[SyntheticFrame]:
    """Render the demo scene: a ball bounces past a tree (object 1), a koi kite passes (object 2).

    The camera pans, zooms a little and sways. The kite passes in front of tree and ball and hides
    a large part of the ball for some frames.
    The same arguments give the same pixels.
    """
    rng = np.random.default_rng(seed)
    height = size[0]
    meadow = landscape_texture(height, rng)
    ball = Sprite(1, ball_texture(height, rng), _ball_outline, _ball_path, shade=_ball_light)
    koi = Sprite(
        2, koi_texture(height, rng), _koi_outline, _koi_path, _koi_warp, _koi_light, (1.2, 0.75)
    )
    tree = Sprite(
        0, bark_texture(height, rng), _trunk_outline, _tree_path, shade=_trunk_light,
        reach=(1.6, 14.0), parallax=0.9,
    )  # fmt: skip
    py, px = np.mgrid[: size[0], : size[1]].astype(np.float32)
    for index in range(frames):
        progress = index / max(1, frames - 1)
        camera = _camera(progress)
        rgb = sample_texture(meadow, *camera.to_world(px, py, size=size))
        mask = np.zeros(size, dtype=np.int32)
        _ball_shadow(rgb, camera=camera, progress=progress)
        centres = {
            sprite.object_id: compose(rgb, mask, sprite, camera=camera, progress=progress)
            for sprite in (tree, ball, koi)
        }
        del centres[0]
        yield SyntheticFrame(finish(rgb, noise=0.006, rng=rng), mask, index, centres)


GROUND = 0.30


def _camera(t: float) -> Camera:
    sway = 0.004 * np.sin(9 * t) + 0.002 * np.sin(23 * t)
    return Camera(-0.12 + 0.24 * t, float(sway), 1.0 + 0.07 * t, float(0.025 * np.sin(4.5 * t)))


def _ball_path(t: float) -> Pose:
    bounce = abs(np.sin(np.pi * (2.4 * t + 0.85)))
    squeeze = 0.09 * max(0.0, 1 - 5 * bounce)
    y = GROUND - 0.13 * (1 - squeeze) - 0.19 * bounce
    stretch = (1 + squeeze, 1 - squeeze)
    return Pose(-0.55 + 1.15 * t, float(y), 0.135, float(0.8 * t), stretch)


def _ball_outline(u: Field, v: Field) -> Field:
    return np.hypot(u, v) - 1


def _ball_light(u: Field, v: Field) -> Field:
    """Sun from the upper left on a sphere, with a little light from the grass below."""
    z = np.sqrt(np.clip(1 - u * u - v * v, 0, 1))
    sun = np.clip(-0.45 * u - 0.62 * v + 0.64 * z, 0, 1)
    return 0.52 + 0.56 * sun + 0.5 * sun**24


def _ball_shadow(rgb: np.ndarray, *, camera: Camera, progress: float) -> None:
    pose = _ball_path(progress)
    lift = (GROUND - 0.13 - pose.y) / 0.19
    radii = (0.13 * (1 + 0.35 * lift), 0.026)
    at = (pose.x + 0.04 + 0.06 * lift, GROUND + 0.005)
    cast_shadow(rgb, at=at, radii=radii, strength=0.5 - 0.22 * lift, camera=camera)


def _koi_path(t: float) -> Pose:
    y = -0.24 + 0.25 * np.sin(np.pi * min(1.0, 1.05 * t)) ** 2 + 0.02 * np.sin(11 * t)
    return Pose(0.44 - 0.86 * t, float(y), 0.22, float(-0.16 + 0.42 * t + 0.05 * np.sin(9 * t)))


def _koi_warp(u: Field, v: Field, t: float) -> tuple[Field, Field]:
    """The wind runs through the body from head (u = -1) to tail, wider at the tail."""
    wave = 0.11 * (u + 1.15) * np.sin(3.1 * u - 26 * t)
    return u, v - wave


def _koi_outline(u: Field, v: Field) -> Field:
    body = np.sqrt(((u + 0.22) / 0.78) ** 2 + (v / 0.33) ** 2) - 1
    fork = 1.0 - 0.20 * np.clip(1 - np.abs(v) / 0.36, 0, 1)
    tail = np.maximum(np.abs(v) - (0.10 + 0.55 * (u - 0.42)), np.maximum(u - fork, 0.25 - u))
    fin = np.sqrt(((u + 0.12 + 0.9 * (v + 0.33)) / 0.26) ** 2 + ((v + 0.30) / 0.16) ** 2) - 1
    return np.minimum(np.minimum(body, tail), fin)


def _koi_light(u: Field, v: Field) -> Field:
    return np.clip(1.04 - 0.55 * v, 0.75, 1.2)


def _tree_path(t: float) -> Pose:
    return Pose(0.36, 0.0, 0.06)


def _trunk_outline(u: Field, v: Field) -> Field:
    middle = 0.16 * np.sin(0.55 * v) + 0.05 * np.sin(1.7 * v)
    root = 0.5 * np.exp((v - 7.0) / 1.3)
    return np.abs(u - middle) - (0.82 + 0.05 * np.sin(1.1 * v + 1) + root)


def _trunk_light(u: Field, v: Field) -> Field:
    return np.clip(0.98 - 0.34 * u - 0.22 * u * u, 0.35, 1.2)


def _coverage(implicit: Field) -> Field:
    """Share of each pixel inside, from an implicit function on the pixel grid (0..1)."""
    gy, gx = np.gradient(implicit)
    return np.clip(0.5 - implicit / np.maximum(np.hypot(gx, gy), 1e-6), 0, 1)


def _pixel_box(
    centre: tuple[float, float],
    pose: Pose,
    reach: tuple[float, float],
    camera: Camera,
    *,
    size: tuple[int, int],
) -> tuple[slice, slice] | None:
    """(rows, columns) of the frame that may show the thing, or None when it is out of view."""
    per_unit = pose.scale * camera.zoom * size[0]
    half_u, half_v = reach[0] * pose.stretch[0], reach[1] * pose.stretch[1]
    angle = pose.angle + camera.angle
    cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
    half_x = (cos * half_u + sin * half_v) * per_unit + 2
    half_y = (sin * half_u + cos * half_v) * per_unit + 2
    left, right = max(0, int(centre[0] - half_x)), min(size[1], int(centre[0] + half_x) + 2)
    top, bottom = max(0, int(centre[1] - half_y)), min(size[0], int(centre[1] + half_y) + 2)
    if right - left < 2 or bottom - top < 2:
        return None
    return slice(top, bottom), slice(left, right)
