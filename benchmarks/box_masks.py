"""How well a mask is made out of a box, on the first frames of a benchmark with masks.

    python benchmarks/box_masks.py DAVIS

DAVIS is in the published layout (JPEGImages/480p, Annotations/480p). Every object is put into its
tight box, and into one 5 % wider to each side, and IoU with its mask measured of: the box itself,
the ellipse in it, what `--box-as-mask` cuts out, and, where OpenCV is installed, its GrabCut.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

Box = tuple[float, float, float, float]
Method = Callable[[np.ndarray, Box], np.ndarray]


def objects(root: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, frame (H, W, 3) and mask (H, W) bool of every object on a clip's first frame."""
    from chromatrack.formats.masks import read_mask
    from chromatrack.video.reader import read_frame

    for folder in sorted((root / "Annotations/480p").iterdir()):
        first = min(folder.glob("*.png"))
        rgb, mask = (
            read_frame(root / "JPEGImages/480p" / folder.name, index=0).rgb,
            read_mask(first),
        )
        for number in np.unique(mask[mask > 0]).tolist():
            yield f"{folder.name} {number}", rgb, mask == number


def box_of(mask: np.ndarray, *, looser: float) -> Box:
    """The box around a mask, wider by a share of its size on each side."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    width, height = float(np.ptp(columns) + 1), float(np.ptp(rows) + 1)
    x, y = columns[0] - looser * width, rows[0] - looser * height
    return float(x), float(y), (1 + 2 * looser) * width, (1 + 2 * looser) * height


def methods() -> dict[str, Method]:
    from chromatrack.tracking.box_masks import ellipse_in_box, mask_in_box, pixels_in_box

    found: dict[str, Method] = {
        "box": lambda rgb, box: pixels_in_box(rgb.shape[:2], box),
        "ellipse": lambda rgb, box: ellipse_in_box(rgb.shape[:2], box),
        "cut out": mask_in_box,
    }
    try:
        import cv2
    except ImportError:
        return found

    def grab_cut(rgb: np.ndarray, box: Box) -> np.ndarray:
        inside = pixels_in_box(rgb.shape[:2], box)
        labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(0)
        cv2.grabCut(
            np.ascontiguousarray(rgb[..., ::-1]),
            labels,
            (0, 0, 1, 1),
            *models,
            5,
            cv2.GC_INIT_WITH_MASK,
        )
        return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)

    return {**found, "OpenCV's GrabCut": grab_cut}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path)
    root = parser.parse_args().root
    warnings.simplefilter("ignore")
    scores: dict[tuple[str, float], list[float]] = {}
    seconds: dict[str, list[float]] = {}
    for name, rgb, mask in objects(root):
        for looser in (0.0, 0.05):
            box, row = box_of(mask, looser=looser), []
            for method, make in methods().items():
                began = time.perf_counter()
                made = make(rgb, box)
                seconds.setdefault(method, []).append(time.perf_counter() - began)
                iou = float((made & mask).sum() / (made | mask).sum())
                scores.setdefault((method, looser), []).append(iou)
                row.append(f"{method} {iou:.3f}")
            print(f"{name}, box {looser:.0%} wider: {', '.join(row)}", flush=True)
    print("| a mask made of | tight box | 5 % wider | seconds |\n|---|---|---|---|")
    for method in methods():
        tight, wide = (statistics.mean(scores[method, looser]) for looser in (0.0, 0.05))
        print(f"| {method} | {tight:.3f} | {wide:.3f} | {statistics.median(seconds[method]):.2f} |")


if __name__ == "__main__":
    main()
