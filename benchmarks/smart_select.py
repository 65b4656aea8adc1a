"""How good smart select gets with each click of a sensible user, on first frames with masks.

    python benchmarks/smart_select.py DAVIS [--sequences bear,hike] [--clicks 7] [--masks FOLDER]
                                      [--drags] [--half] [--loop]

DAVIS is in the published layout (JPEGImages/480p, Annotations/480p). The first click is in the
middle of the object, each further one in the middle of the largest region that is wrong, inside
where it is missing and outside where it is too much. Printed: IoU after each click; the largest
loss that a click brought (0: none made it worse); CPU seconds per click without the network's.

FOLDER: masks as `chromatrack evaluate davis DAVIS -o OUT` writes them, OUT/masks: then the clicks
correct these, a third and two thirds through each sequence and at its end; the first figure is
theirs. --drags: through the middle of the whole region that is wrong, from end to end, instead of
clicks in it. --half: what is corrected is the lower half of each object, of the same frames.
--loop: the first gesture is a loop round the object instead, as a hand draws it: 4 % of its longer
side outside its hull, off by 1.5 % of that side from place to place, on the first frame and a third
and two thirds through. Without --loop, --thirds has the same frames.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from chromatrack.tracking.frame_looks import FrameLooks, Look

Place = tuple[float, float]

_OUTSIDE = 0.04  # of the longer side: how far outside a hand draws a loop,
_OFF = 0.015  # and how far off from there
_PLACES = 40  # of it


def middle_of_largest(wrong: np.ndarray) -> tuple[int, Place]:
    """Pixels of the largest connected region, `(H, W)` bool, and the place (x, y) deepest in it."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8), connectivity=4)
    if len(stats) < 2:
        return 0, (0.0, 0.0)
    best = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    inside = np.pad(labels == best, 1).astype(np.uint8)
    away = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(away.argmax()), away.shape)
    return int(stats[best, cv2.CC_STAT_AREA]), (float(x), float(y))


def through_largest(wrong: np.ndarray) -> tuple[int, tuple[Place, ...]]:
    """Pixels of the largest connected region, and places along its middle, from end to end."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8), connectivity=4)
    if len(stats) < 2:
        return 0, ((0.0, 0.0),)
    best = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    inside = np.pad(labels == best, 1).astype(np.uint8)
    away = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.nonzero(labels == best)
    xy = np.stack([x, y], axis=1).astype(np.float64)
    centred = xy - xy.mean(0)
    along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    low, high = np.quantile(along, [0.08, 0.92])
    part = np.clip(((along - low) / max(1e-9, high - low) * 12).astype(int), -1, 12)
    places = []
    for n in range(12):
        here = np.flatnonzero(part == n)
        if len(here):
            deepest = here[away[y[here], x[here]].argmax()]
            places.append((float(x[deepest]), float(y[deepest])))
    return int(stats[best, cv2.CC_STAT_AREA]), tuple(places) or middle_of_largest(wrong)[1:]


def loop_round(truth: np.ndarray, seed: int) -> tuple[Place, ...]:
    """A loop round a thing, as a hand draws it: see above."""
    y, x = np.nonzero(truth)
    hull = cv2.convexHull(np.stack([x, y], axis=1).astype(np.int32))
    side = max(np.ptp(x), np.ptp(y))
    wide = 2 * max(2, round(_OUTSIDE * side)) + 1
    filled = np.zeros((truth.shape[0] + 2 * wide, truth.shape[1] + 2 * wide), np.uint8)
    cv2.fillPoly(filled, [hull + wide], (1,))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide))
    filled = cv2.dilate(filled, disc)
    outlines, _ = cv2.findContours(filled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=len)[:, 0] - wide
    places = outline[np.linspace(0, len(outline), _PLACES, endpoint=False).astype(int)]
    off = np.random.default_rng(seed).normal(0, _OFF * side, places.shape)
    return tuple((float(x), float(y)) for x, y in places + off)


def clicked(
    look: Look,
    truth: np.ndarray,
    clicks: int,
    base: np.ndarray | None = None,
    *,
    drags: bool,
    loop: tuple[Place, ...] | None = None,
) -> Iterator[tuple[float, float]]:
    """(IoU, CPU seconds) after each click or drag; of the base first, if there is one."""
    from chromatrack.tracking.smart_select import Selection, Stroke

    strokes, selection = [], None
    region = np.zeros_like(truth) if base is None else base
    if base is not None:
        yield (base & truth).sum() / max(1, (base | truth).sum()), 0.0
    for _ in range(clicks):
        missing, there = middle_of_largest(truth & ~region)
        extra, elsewhere = middle_of_largest(region & ~truth)
        is_missing = missing >= extra
        places = (there if is_missing else elsewhere,)
        if drags:
            places = through_largest(truth & ~region if is_missing else region & ~truth)[1]
        is_loop = loop is not None and not strokes
        strokes.append(Stroke(loop, around=True) if is_loop else Stroke(places, inside=is_missing))
        began = time.process_time()
        selection = selection or Selection(look)
        region = selection.after(strokes, base)
        spent = time.process_time() - began
        yield (region & truth).sum() / max(1, (region | truth).sum()), spent


def main() -> None:
    """Measure and print a line for each sequence and the mean."""
    from chromatrack.formats.masks import read_mask
    from chromatrack.tracking.tracker import Tracker

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("davis", type=Path)
    parser.add_argument("--sequences", help="names, with commas between; all if left out")
    parser.add_argument("--clicks", type=int, default=7)
    parser.add_argument("--masks", type=Path, help="what clicks correct, as evaluation saved it")
    parser.add_argument("--drags", action="store_true")
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--loop", action="store_true")
    parser.add_argument("--thirds", action="store_true")
    given = parser.parse_args()
    pictures = given.davis / "JPEGImages/480p"
    names = given.sequences.split(",") if given.sequences else None
    embedder = Tracker.from_pretrained("small").embedder
    rows, spent, losses = [], [], []
    for folder in sorted(one for one in pictures.iterdir() if not names or one.name in names):
        truths = sorted((given.davis / "Annotations/480p" / folder.name).glob("*.png"))
        count = len(truths)
        looks = FrameLooks(embedder, folder)
        corrects = given.half or given.masks is not None
        frames = (count // 3, 2 * count // 3, count - 1) if corrects else (0,)
        if given.loop or given.thirds:
            frames = (0, count // 3, 2 * count // 3)
        for frame in frames:
            truth, base = read_mask(truths[frame]) > 0, None
            if given.masks is not None:
                base = read_mask(given.masks / folder.name / f"{frame:05d}.png") > 0
            if given.half:
                rows_of = np.arange(len(truth))[:, None]
                base = truth & (rows_of >= np.median(np.nonzero(truth)[0]))
            look = looks.look(frame)
            loop = loop_round(truth, frame) if given.loop else None
            found = list(clicked(look, truth, given.clicks, base, drags=given.drags, loop=loop))
            ious, seconds = zip(*found, strict=True)
            rows.append(ious)
            spent += seconds[-given.clicks :]
            losses.append(max(0.0, *(a - b for a, b in pairwise(ious))))
            text = "  ".join(f"{value:.2f}" for value in ious)
            name = f"{folder.name} {frame}"
            print(f"{name:<21}{text}   largest loss {losses[-1]:.2f}", flush=True)
        looks.close()
    text = "  ".join(f"{value:.2f}" for value in np.mean(rows, axis=0))
    print(f"{'mean':<21}{text}   largest loss {max(losses):.2f}")
    print(f"CPU seconds per click: median {np.median(spent):.2f}, most {max(spent):.2f}")


if __name__ == "__main__":
    main()
