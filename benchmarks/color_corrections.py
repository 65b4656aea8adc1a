"""Do strokes that correct a coloured frame mend what is wrong, and leave the rest?

    python benchmarks/color_corrections.py ROOT [CLIP ...]

ROOT has JPEGImages/480p and Annotations/480p as DAVIS; a clip's middle frame is taken. Colours are
made wrong, and one stroke of the right colour, in the midst of them, corrects them:

    blot      a disc in the object has another hue
    faint     the same, a hue that is half as far off
    object    the whole object has; the stroke is long
    spill     a disc beside the object has the object's colour
    nothing   nothing is wrong, and the stroke gives the object another colour

Prints the mean ab error (Lab units) inside, without and with the stroke (`nothing`: of the other
colour that was asked for), and how much ab changes within 150 px of it, mean and 95th percentile.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.nn import functional

from chromatrack.formats.color_strokes import Strokes
from chromatrack.ops.color import lab_to_rgb, rgb_to_lab
from chromatrack.ops.resample import planes
from chromatrack.tracking.color_strokes import PaintedFrame, spread
from chromatrack.tracking.tracker import Tracker

NEAR = 150  # px around what is wrong, where what changes is measured
PEN = 8  # px, radius of strokes
OFF = 25.0  # Lab units, how far wrong colours are off
KINDS = ("blot", "faint", "object", "spill", "nothing")


@dataclass(frozen=True)
class Case:
    """ground, wanted: ab `(2, H, W)`. inside: `(H, W)` bool. stroke: its ends (x, y), a line."""

    kind: str
    ground: np.ndarray
    wanted: np.ndarray
    inside: np.ndarray
    stroke: tuple[tuple[int, int], tuple[int, int]]


def ab_of(rgb: np.ndarray) -> np.ndarray:
    """ab `(2, H, W)` of a picture."""
    return rgb_to_lab(planes(rgb).float() / 255)[1:].numpy()


def depth(mask: np.ndarray, most: int = 60) -> np.ndarray:
    """Steps from the edge of a mask, `(H, W)`: how often it can be eroded."""
    left = torch.from_numpy(mask).float()[None, None]
    steps = left.clone()
    for _ in range(most):
        left = -functional.max_pool2d(-left, 3, 1, 1)
        steps += left
    return steps[0, 0].numpy()


def cases(ab: np.ndarray, mask: np.ndarray, turn: float) -> Iterator[Case]:
    """Of a frame with an object. turn: which way wrong colours are off, radians."""
    off = OFF * np.array([np.cos(turn), np.sin(turn)])[:, None, None]
    height, width = mask.shape
    rows, columns = np.mgrid[:height, :width]

    def disc(where: np.ndarray, largest: int) -> tuple[np.ndarray, int, tuple[int, int]]:
        steps = depth(where)
        y, x = np.unravel_index(int(steps.argmax()), steps.shape)
        radius = int(np.clip(steps.max(), 12, largest))
        return np.hypot(rows - y, columns - x) <= radius, radius, (int(x), int(y))

    own, radius, (x, y) = disc(mask, 40)
    own &= mask
    short = ((x - radius // 3, y), (x + radius // 3, y))
    yield Case("blot", np.where(own, ab + off, ab), ab, own, short)
    yield Case("faint", np.where(own, ab + off / 2, ab), ab, own, short)
    deep = depth(mask) >= min(8, depth(mask).max())
    most = np.unravel_index(int((np.hypot(rows - y, columns - x) * deep).argmax()), mask.shape)
    long = ((x, y), (int(most[1]), int(most[0])))
    yield Case("object", np.where(mask, ab + off, ab), ab, mask, long)
    yield Case("nothing", ab, np.where(mask, ab + off, ab), mask, long)
    beside = ~mask & (depth(~mask) < 60)
    beside[:40] = beside[-40:] = beside[:, :40] = beside[:, -40:] = False
    spilt, radius, (x, y) = disc(beside, 30)
    spilt &= ~mask
    color = np.median(ab[:, mask], axis=1)[:, None, None]
    short = ((x - radius // 3, y), (x + radius // 3, y))
    yield Case("spill", np.where(spilt, color, ab), ab, spilt, short)


def around(mask: np.ndarray, reach: int) -> np.ndarray:
    """A mask and all that is at most so many px beside it."""
    grown = torch.from_numpy(mask).float()[None, None]
    for window, pad in (((2 * reach + 1, 1), (reach, 0)), ((1, 2 * reach + 1), (0, reach))):
        grown = functional.max_pool2d(grown, window, 1, pad)
    return grown[0, 0].numpy() > 0


def stroke_of(case: Case, light: np.ndarray) -> np.ndarray:
    """Where its line is, `(H, W)` bool."""
    picture = Image.new("1", light.shape[::-1])
    pen = ImageDraw.Draw(picture)
    pen.line(case.stroke, fill=1, width=2 * PEN)
    for x, y in case.stroke:
        pen.ellipse((x - PEN, y - PEN, x + PEN, y + PEN), fill=1)
    return np.array(picture)


def measured(case: Case, tracker: Tracker, seen: PaintedFrame, light: np.ndarray) -> list[float]:
    """[error inside without, with; mean change near it, its 95th percentile]."""
    where = stroke_of(case, light)
    ab = np.median(case.wanted[:, where & case.inside], axis=1)
    level = np.median(light[where])
    lab = torch.tensor([level, *ab], dtype=torch.float32)[:, None, None]
    color = (lab_to_rgb(lab, gamut="desaturate") * 255).round().to(torch.uint8).flatten().numpy()
    rgb = np.zeros((*light.shape, 3), np.uint8)
    rgb[where] = color
    strokes = Strokes(0, rgb, where.astype(np.float32))
    found = ab_of(spread(tracker.embedder, "", strokes, ground=case.ground, known=seen))
    shown = case.ground.astype(np.float32)
    outside = around(case.inside, NEAR) & ~around(case.inside, 4) & ~where
    inside = case.inside & ~where
    error = [np.hypot(*(one - case.wanted))[inside].mean() for one in (shown, found)]
    change = np.hypot(*(found - shown))[outside]
    return [*map(float, error), float(change.mean()), float(np.percentile(change, 95))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("clips", nargs="*")
    given = parser.parse_args()
    names = given.clips or sorted(p.name for p in (given.root / "JPEGImages/480p").iterdir())
    tracker = Tracker.from_pretrained("small", device="cpu")
    rows: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    print("| clip | wrong | error | mended | changed near | 95% |\n|---|---|---:|---:|---:|---:|")
    for number, name in enumerate(names):
        pictures = sorted((given.root / "JPEGImages/480p" / name).glob("*.jpg"))
        picture = pictures[len(pictures) // 2]
        mask = given.root / "Annotations/480p" / name / f"{picture.stem}.png"
        rgb = np.array(Image.open(picture).convert("RGB"))
        seen = PaintedFrame.of(tracker.embedder, str(picture.parent), int(picture.stem))
        light = rgb_to_lab(planes(rgb).float() / 255)[0].numpy()
        for case in cases(ab_of(rgb), np.array(Image.open(mask)) > 0, 0.7 + 2.4 * number):
            row = measured(case, tracker, seen, light)
            rows[case.kind].append(row)
            print(f"| {name} | {case.kind} | " + " | ".join(f"{v:.2f}" for v in row) + " |")
    for kind, values in rows.items():
        print(f"| mean | {kind} | " + " | ".join(f"{v:.2f}" for v in np.mean(values, 0)) + " |")


if __name__ == "__main__":
    main()
