"""Every clip the tests use is made here: small, textured, with known motion and masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from chromatrack.evaluation.synthetic.materials import Material, fractal_noise, ramp, sample_texture
from chromatrack.evaluation.synthetic.render import (
    Camera,
    Pose,
    Sprite,
    SyntheticFrame,
    compose,
    finish,
)
from chromatrack.formats.masks import write_mask

GROUND_STOPS = [(0.10, 0.20, 0.35), (0.20, 0.50, 0.40), (0.75, 0.70, 0.35), (0.95, 0.90, 0.80)]
OBJECT_STOPS = [
    [(0.45, 0.05, 0.10), (0.95, 0.25, 0.10), (1.00, 0.85, 0.20)],
    [(0.05, 0.05, 0.40), (0.20, 0.30, 0.95), (0.75, 0.85, 1.00)],
    [(0.30, 0.05, 0.35), (0.80, 0.20, 0.80), (1.00, 0.75, 0.95)],
]


def moving_clip(
    *,
    frames: int = 12,
    size: tuple[int, int] = (96, 160),
    velocity: tuple[float, float] = (3.0, 1.0),
    camera_velocity: tuple[float, float] = (0.0, 0.0),
    objects: int = 1,
    radius: float = 18.0,
    noise: float = 0.0,
    seed: int = 0,
) -> list[SyntheticFrame]:
    """Textured discs that translate over a textured ground; about 1 ms per frame.

    velocity: (x, y) px per frame of object 1 over the ground; objects 2 and 3 move with (-x, y)
    and (x, -y).
    camera_velocity: (x, y) px per frame by which the camera moves over the ground.
    Object ids are 1..objects (at most 3), started on one line through the frame's middle; the
    later one is in front. `frame.centres` holds the exact (x, y) pixel centres.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    ground = noise_texture((height * 3, width * 3), GROUND_STOPS, rng=rng, cell=height / 5)
    signs = [(1, 1), (-1, 1), (1, -1)][:objects]
    sprites = []
    for number, (sx, sy) in enumerate(signs, start=1):
        side = int(2.4 * radius)
        skin = noise_texture((side, side), OBJECT_STOPS[number - 1], rng=rng, cell=radius / 2)
        middle = (len(signs) + 1) / 2
        start = (number - middle) * width / (len(signs) + 1), 0.0
        step = sx * velocity[0], sy * velocity[1]
        sprites.append(_disc(number, skin, start=start, step=step, radius=radius, height=height))
    py, px = np.mgrid[:height, :width].astype(np.float32)
    clip = []
    for index in range(frames):
        moved = camera_velocity[0] * index, camera_velocity[1] * index
        x, y = px - (width - 1) / 2 + moved[0], py - (height - 1) / 2 + moved[1]
        rgb = sample_texture(ground, x, y)
        mask = np.zeros(size, dtype=np.int32)
        view = Camera(moved[0] / height, moved[1] / height)
        centres = {s.object_id: compose(rgb, mask, s, camera=view, progress=index) for s in sprites}
        clip.append(SyntheticFrame(finish(rgb, noise=noise, rng=rng), mask, index, centres))
    return clip


def _disc(
    number: int,
    skin: Material,
    *,
    start: tuple[float, float],
    step: tuple[float, float],
    radius: float,
    height: int,
) -> Sprite:
    """A disc that moves `step` px per frame; `progress` is the frame index."""

    def path(index: float) -> Pose:
        x, y = start[0] + step[0] * index, start[1] + step[1] * index
        return Pose(x / height, y / height, scale=1 / height)

    reach = (radius + 2, radius + 2)
    return Sprite(number, skin, lambda u, v: np.hypot(u, v) - radius, path, reach=reach)


def noise_texture(
    size: tuple[int, int],
    stops: Sequence[tuple[float, float, float]],
    *,
    rng: np.random.Generator,
    cell: float = 16.0,
) -> Material:
    """Colour noise of (h, w) px along `stops`, 1 px per unit."""
    return Material(ramp(fractal_noise(size, rng, cell=cell), stops), density=1.0)


def still(size: tuple[int, int] = (96, 160), *, seed: int = 0) -> np.ndarray:
    """One (H, W, 3) uint8 textured picture without objects."""
    return moving_clip(frames=1, size=size, objects=0, seed=seed)[0].rgb


def rgb_of(frames: Iterable[SyntheticFrame | np.ndarray]) -> list[np.ndarray]:
    """The (H, W, 3) uint8 arrays of frames given either way."""
    return [frame.rgb if isinstance(frame, SyntheticFrame) else frame for frame in frames]


def write_clip(
    path: Path, frames: Iterable[SyntheticFrame | np.ndarray], fps: float = 25.0
) -> Path:
    """Write frames to a video file (.mp4, .mkv, .mov) or, without suffix, a folder of PNGs."""
    images = rgb_of(frames)
    if not path.suffix:
        path.mkdir(parents=True, exist_ok=True)
        for index, rgb in enumerate(images):
            Image.fromarray(rgb).save(path / f"{index:05d}.png")
        return path
    from chromatrack.video.reader import open_writer

    with open_writer(path, fps=fps) as writer:
        for rgb in images:
            writer.write(rgb)
    return path


def write_masks(folder: Path, frames: Iterable[SyntheticFrame]) -> Path:
    """Write the true masks as `00000.png`, ... into `folder`."""
    for frame in frames:
        write_mask(folder / f"{frame.index:05d}.png", frame.mask)
    return folder
