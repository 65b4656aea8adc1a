"""Does a second mark spoil what the first one had right? Marks that are rough, or of a part.

    python benchmarks/between_marks.py DAVIS [--sequences bear,hike] [--middle 24] [--size 480]

DAVIS is in the published layout (JPEGImages/480p, Annotations/480p). Each sequence is marked on its
first frame with its true mask, and on the middle one with: its true mask; the same, wider by 15 %
of its size (rough); one half of it, the upper or the left one (part: the rest is overlooked, or
hidden). The same with boxes: the true one, and one half as wide again and a fifth higher (wide).
Printed: mean J, of boxes IoU, over the frames between the two, and the mean over sequences.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

KINDS = ("true", "rough", "part", "box", "wide box")

Box = tuple[float, float, float, float]


def second_masks(mask: np.ndarray) -> dict[str, np.ndarray]:
    """What is marked on the middle frame: `(H, W)` bool of each kind."""
    y, x = np.nonzero(mask)
    part = mask.copy()
    if np.ptp(y) > np.ptp(x):
        part[int(np.median(y)) :] = False
    else:
        part[:, int(np.median(x)) :] = False
    wider = max(1, round(0.15 * float(np.sqrt(mask.sum()))))
    return {
        "true": mask,
        "rough": ndimage.binary_dilation(mask, iterations=wider),
        "part": part,
    }


def box_of(mask: np.ndarray) -> Box:
    """x, y, width, height of a mask, px."""
    y, x = np.nonzero(mask)
    return float(x.min()), float(y.min()), float(np.ptp(x) + 1), float(np.ptp(y) + 1)


def box_overlap(a: Box, b: Box) -> float:
    """IoU of two boxes."""
    wide = max(0.0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    return wide * high / (a[2] * a[3] + b[2] * b[3] - wide * high)


def overlaps(
    tracker: object, folder: Path, truths: list[np.ndarray]
) -> Iterator[tuple[str, float]]:
    """Mean J or IoU between the first and the last of `truths`, for every kind of mark there."""
    from chromatrack.evaluation.metrics.masks import jaccard
    from chromatrack.structures import BoxMark

    end = len(truths)
    between = [index for index in range(1, end - 1) if truths[index].any()]
    for kind, mask in second_masks(truths[-1]).items():
        marks = {0: truths[0].astype(np.int32), end - 1: mask.astype(np.int32)}
        masks = {f.index: f.mask == 1 for f in tracker.track(folder, masks=marks, end=end)}  # type: ignore[attr-defined]
        yield kind, float(np.mean([jaccard(masks[i], truths[i]) for i in between]))
    x, y, width, height = last = box_of(truths[-1])
    wide = (x - width / 4, y - height / 10, 1.5 * width, 1.2 * height)
    for kind, box in (("box", last), ("wide box", wide)):
        boxes = [BoxMark(1, 0, *box_of(truths[0])), BoxMark(1, end - 1, *box)]
        found = {f.index: f.boxes[1] for f in tracker.track(folder, boxes=boxes, end=end)}  # type: ignore[attr-defined]
        rows = {i: (one.x, one.y, one.width, one.height) for i, one in found.items()}
        yield kind, float(np.mean([box_overlap(rows[i], box_of(truths[i])) for i in between]))


def main() -> None:
    """Measure and print a line for each sequence, and the means."""
    from chromatrack.formats.masks import read_mask
    from chromatrack.tracking.cores import prepare_process
    from chromatrack.tracking.tracker import TrackConfig, Tracker

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("davis", type=Path)
    parser.add_argument("--sequences", help="names, with commas between; all if left out")
    parser.add_argument("--middle", type=int, default=24)
    parser.add_argument("--size", type=int, default=480)
    given = parser.parse_args()
    names = given.sequences.split(",") if given.sequences else None
    prepare_process()
    tracker = Tracker.from_pretrained("small", config=TrackConfig(size=given.size))
    print("| sequence | " + " | ".join(KINDS) + " |\n|---|" + "---:|" * len(KINDS))
    rows = []
    for folder in sorted((given.davis / "JPEGImages/480p").iterdir()):
        if names is not None and folder.name not in names:
            continue
        files = sorted((given.davis / "Annotations/480p" / folder.name).glob("*.png"))
        truths = [read_mask(path) > 0 for path in files[: given.middle + 1]]
        if not truths[-1].any():
            continue
        found = dict(overlaps(tracker, folder, truths))
        rows.append([found[kind] for kind in KINDS])
        print(f"| {folder.name} | " + " | ".join(f"{v:.3f}" for v in rows[-1]) + " |", flush=True)
    print("| mean | " + " | ".join(f"{v:.3f}" for v in np.mean(rows, axis=0)) + " |")


if __name__ == "__main__":
    main()
