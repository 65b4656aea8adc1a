"""Rendered clips that look like nothing `small` was trained on, with exact masks, to measure on.

    python benchmarks/unlike.py FOLDER [--looks NAME ...] [--scenes NAME ...] [--seeds 1]

Writes FOLDER in DAVIS's layout (2017, `val`), so that `chromatrack evaluate davis FOLDER --year
2017` measures it. Each clip is a scene of `evaluation.synthetic` (its motion and masks unchanged)
under one of four looks:

animation: flat colours with black outlines. microscopy: blurred bright bodies on black, bleaching,
with shot noise. thermal: white-hot, of little contrast, with the sensor's fixed pattern and
changing gain. underwater: a blue-green veil, wandering light, floating specks.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from chromatrack.evaluation.synthetic.clips import TruthFrame, scene
from chromatrack.evaluation.synthetic.materials import fractal_noise
from chromatrack.evaluation.synthetic.scenes import SCENES
from chromatrack.formats.masks import write_mask

Look = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""Called with a frame's rgb `(H, W, 3)` float32 0..1, its ids `(H, W)` and its number; gives the
frame as it looks, of the same kind."""

FRAMES = 40
SIZE = (240, 426)


def animation(size: tuple[int, int], rng: np.random.Generator) -> Look:
    """Few flat colours, black lines where things end."""
    levels = int(rng.integers(3, 5))

    def look(rgb: np.ndarray, ids: np.ndarray, index: int) -> np.ndarray:
        flat = np.rint(blurred(rgb, 2.5) * levels) / levels
        flat[edges(ids)] = 0.03
        return flat

    return look


def microscopy(size: tuple[int, int], rng: np.random.Generator) -> Look:
    """Light of one wavelength from bodies alone, less of it with every frame, few photons."""
    photons = float(rng.uniform(25, 50))
    haze = 0.10 * fractal_noise(size, rng, cell=size[0] / 3, octaves=2)

    def look(rgb: np.ndarray, ids: np.ndarray, index: int) -> np.ndarray:
        light = np.where(ids > 0, 0.25 + 0.6 * rgb.mean(2), 0.08 * rgb.mean(2)) + haze
        light = blurred(light, 1.5) * np.exp(-index / 60)
        return grey(rng.poisson(np.clip(light, 0, 1) * photons) / photons)

    return look


def thermal(size: tuple[int, int], rng: np.random.Generator) -> Look:
    """Warmth instead of light: little contrast, a pattern that stands still, a gain that drifts."""
    pattern = 0.025 * rng.normal(size=(1, size[1])) + 0.015 * rng.normal(size=size)
    phase = float(rng.uniform(0, 6))

    def look(rgb: np.ndarray, ids: np.ndarray, index: int) -> np.ndarray:
        warmth = np.where(ids > 0, 0.5, 0.32) + 0.2 * (blurred(rgb, 2.0).mean(2) - 0.5)
        gain = 1 + 0.12 * np.sin(index / 9 + phase)
        return grey(blurred(warmth, 1.5) * gain + pattern + rng.normal(0, 0.02, size))

    return look


def underwater(size: tuple[int, int], rng: np.random.Generator) -> Look:
    """Red is lost, a veil lies over all, light wanders, specks drift by."""
    veil = np.array([0.05, 0.36, 0.42]) * rng.uniform(0.85, 1.15)
    light = fractal_noise((size[0], 3 * size[1]), rng, cell=size[0] / 6, octaves=3)
    specks, drift = rng.uniform(0, 1, (60, 2)) * size, rng.normal(0, 1.5, (60, 2))

    def look(rgb: np.ndarray, ids: np.ndarray, index: int) -> np.ndarray:
        rays = 0.7 + 0.6 * light[:, 4 * index : 4 * index + size[1], None]
        seen = 0.5 * blurred(rgb, 1.2) * rays * np.array([0.35, 0.85, 0.95]) + 0.5 * veil
        at = np.rint(specks + drift * index).astype(int) % np.array(size)
        seen[at[:, 0], at[:, 1]] += 0.35
        return blurred(seen, 0.7) + rng.normal(0, 0.012, rgb.shape)

    return look


LOOKS = {
    "animation": animation,
    "microscopy": microscopy,
    "thermal": thermal,
    "underwater": underwater,
}


def grey(values: np.ndarray) -> np.ndarray:
    """`(H, W)` -> `(H, W, 3)`."""
    return np.repeat(values[..., None], 3, axis=2)


def blurred(values: np.ndarray, radius: float) -> np.ndarray:
    """A blurred copy of 0..1, by a Gaussian of `radius` pixels."""
    image = Image.fromarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def edges(ids: np.ndarray) -> np.ndarray:
    """`(H, W)` bool: within a pixel of where one id meets another."""
    image = Image.fromarray(ids.astype(np.uint8))
    grown, shrunk = (
        image.filter(kind(3)) for kind in (ImageFilter.MaxFilter, ImageFilter.MinFilter)
    )
    return np.asarray(grown) != np.asarray(shrunk)


def write_clip(folder: Path, name: str, look: Look, frames: list[TruthFrame]) -> None:
    """Write a clip's pictures and masks of what is tracked."""
    images, masks = (folder / kind / "480p" / name for kind in ("JPEGImages", "Annotations"))
    images.mkdir(parents=True, exist_ok=True)
    for frame in frames:
        shown = look(frame.rgb.astype(np.float32) / 255, frame.mask, frame.index)
        rgb = np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)
        Image.fromarray(rgb).save(images / f"{frame.index:05d}.jpg", quality=92)
        ids = np.where(np.isin(frame.mask, frame.tracked), frame.mask, 0)
        write_mask(masks / f"{frame.index:05d}.png", ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--looks", nargs="+", choices=LOOKS, default=list(LOOKS))
    parser.add_argument(
        "--scenes", nargs="+", choices=SCENES, default=["rotation", "scale", "crossing"]
    )
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    names = []
    for kind in options.looks:
        for number, (name, seed) in enumerate(
            (name, seed) for name in options.scenes for seed in range(options.seeds)
        ):
            frames = list(scene(name, seed=seed, frames=FRAMES, size=SIZE))
            look = LOOKS[kind](SIZE, np.random.default_rng([seed, number]))
            names.append(f"{kind}-{name}-{seed}")
            write_clip(options.folder, names[-1], look, frames)
    lists = options.folder / "ImageSets" / "2017"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "val.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


if __name__ == "__main__":
    main()
