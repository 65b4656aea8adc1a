"""Clips for the benchmark of stages: as many objects as asked for, in a loop without a seam."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image

from chromatrack.evaluation.synthetic.appearance import COATS, GROUNDS, ground_texture
from chromatrack.evaluation.synthetic.materials import sample_texture
from chromatrack.evaluation.synthetic.render import Camera, Pose, compose, finish
from chromatrack.evaluation.synthetic.scenes import Body, Studio
from chromatrack.evaluation.synthetic.scenes import Path as Way

PERIOD = 48
"""Frames after which everything is where it was."""

_LENGTH = 2.7  # of a creature, in its own units
_NOISE = 0.010
_FINEST = 480  # lines that are drawn: more take seconds a frame


@dataclass(frozen=True)
class Scene:
    """size: (height, width), px. across: length of each object in frame heights; None: as fits."""

    size: tuple[int, int]
    objects: int
    across: float | None = None
    seed: int = 0


def frame_size(name: str) -> tuple[int, int]:
    """(height, width) of 240p, 480p, 1080p and so on: 16:9, even."""
    height = int(name.removesuffix("p"))
    return height, 2 * round(height * 8 / 9)


def render(scene: Scene) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The frames of one period: rgb `(H, W, 3)` uint8 and ids `(H, W)` int32.

    Drawn at 480 lines at most and enlarged, then given the noise of a sensor at full size.
    """
    rng = np.random.default_rng(scene.seed)
    height = min(scene.size[0], _FINEST)
    size = height, round(height * scene.size[1] / scene.size[0])
    ground = ground_texture(GROUNDS[scene.seed % len(GROUNDS)], rng, height=height)
    bodies = _bodies(scene, height)
    py, px = np.mgrid[: size[0], : size[1]].astype(np.float32)
    for index in range(PERIOD):
        camera = Camera(0.03 * math.sin(2 * math.pi * index / PERIOD))
        rgb = sample_texture(ground, *camera.to_world(px, py, size=size))
        mask = np.zeros(size, dtype=np.int32)
        for body in bodies:
            compose(rgb, mask, body, camera=camera, progress=index)
        rgb, mask = _enlarged(rgb, mask, scene.size)
        yield finish(rgb, noise=_NOISE, rng=rng), mask


def _enlarged(
    rgb: np.ndarray, mask: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    if mask.shape == size:
        return rgb, mask
    to = size[1], size[0]
    picture = Image.fromarray((255 * rgb.clip(0, 1)).astype(np.uint8))
    fine = np.asarray(picture.resize(to, Image.Resampling.BICUBIC), dtype=np.float32) / 255
    return fine, np.array(Image.fromarray(mask).resize(to, Image.Resampling.NEAREST))


def _bodies(scene: Scene, height: int) -> list[Body]:
    """A creature in every field of a grid over the frame, each on a round of its own."""
    aspect = scene.size[1] / scene.size[0]
    columns = max(1, round(math.sqrt(scene.objects * aspect / 1.5)))
    rows = math.ceil(scene.objects / columns)
    field = aspect / columns, 1 / rows
    across = scene.across or 0.7 * min(field[0], 1.5 * field[1])
    bodies = []
    for number in range(scene.objects):
        row, column = divmod(number, columns)
        middle = (column + 0.5) * field[0] - aspect / 2, (row + 0.5) * field[1] - 0.5
        rng = np.random.default_rng([scene.seed, number])  # places do not hang on the size
        studio = Studio(rng, height, PERIOD, 0, COATS[number % len(COATS)])
        way = _round(middle, field, across / _LENGTH, phase=float(rng.uniform(0, 2 * math.pi)))
        bodies.append(studio.body(number + 1, way))
    return bodies


def _round(
    middle: tuple[float, float], field: tuple[float, float], scale: float, *, phase: float
) -> Way:
    """An ellipse inside a field, with a sway."""
    rest = Pose(*middle, scale)

    def way(index: float) -> Pose:
        turn = 2 * math.pi * index / PERIOD + phase
        x, y = 0.12 * field[0] * math.sin(turn), 0.12 * field[1] * math.cos(turn)
        return replace(rest, x=rest.x + x, y=rest.y + y, angle=0.25 * math.sin(turn))

    return way


def write_clip(folder: Path, scene: Scene, *, frames: int) -> tuple[Path, Path, np.ndarray]:
    """The scene as long as asked for, by looping: video, mask of its first frame, and that mask."""
    from chromatrack.formats.masks import write_mask
    from chromatrack.video.reader import open_writer

    period = list(islice(render(scene), frames))
    clip, mask = folder / "clip.mp4", folder / "mask.png"
    with open_writer(clip, fps=25) as writer:
        for rgb, _ in islice(cycle(period), frames):
            writer.write(rgb)
    write_mask(mask, period[0][1])
    return clip, mask, period[0][1]


def spread_points(mask: np.ndarray, count: int) -> list[tuple[float, float]]:
    """(x, y) px: half of them evenly on what is marked `(H, W)`, the others on what is not."""
    found = []
    for wanted, number in ((mask > 0, (count + 1) // 2), (mask == 0, count // 2)):
        places = np.flatnonzero(wanted)
        if number and len(places):
            pick = places[np.linspace(0, len(places) - 1, number).round().astype(int)]
            found += [(float(at % mask.shape[1]), float(at // mask.shape[1])) for at in pick]
    return found
