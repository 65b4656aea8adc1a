"""Does an object lose by what else is marked? Pieces of the ground around it are marked as well.

    python benchmarks/marked_ground.py DAVIS [--sequences bear,hike] [--frames 40] [--size 480]
                                       [--alone J.json]

DAVIS is in the published layout (JPEGImages/480p, Annotations/480p). On the first frame of each
sequence four rectangles of ground are marked besides the object, one at each side of it, half as
wide and high as it is; the object passes in front of some of them. Printed: mean J of the object
over the frames, tracked alone and tracked with the four; the mean over sequences, with the 95 %
interval of the difference over sequences. J of objects alone is kept in --alone, and taken from it
where it is there. What becomes of the ground is not measured: no truth of it is at hand.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np


def with_ground(mask: np.ndarray) -> np.ndarray:
    """`(H, W)` ids: 1 the object, 2 to 5 ground at its left, right, top and bottom."""
    y, x = np.nonzero(mask)
    left, top, right, bottom = x.min(), y.min(), x.max() + 1, y.max() + 1
    wide, high = (right - left) // 2, (bottom - top) // 2
    middle_x, middle_y = (left + right) // 2 - wide // 2, (top + bottom) // 2 - high // 2
    corners = [
        (left - wide, middle_y),
        (right, middle_y),
        (middle_x, top - high),
        (middle_x, bottom),
    ]
    ids = np.zeros(mask.shape, np.int32)
    for number, (at_x, at_y) in enumerate(corners, start=2):
        ids[max(0, at_y) : max(0, at_y + high), max(0, at_x) : max(0, at_x + wide)] = number
    ids[mask] = 1
    return ids


def overlap(tracker: object, folder: Path, ids: np.ndarray, truths: list[Path], size: int) -> float:
    """Mean J of object 1 over the frames after the first one."""
    from chromatrack.formats.masks import read_mask
    from chromatrack.runs.writer import track_to_folder
    from chromatrack.tracking.marks import Marks

    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / "run"
        track_to_folder(
            tracker,  # type: ignore[arg-type]
            folder,
            Marks(masks={0: ids}),
            output=output,
            end=len(truths),
            outputs=("masks",),
        )
        found = []
        for number, path in enumerate(truths[1:], start=1):
            truth = read_mask(path) > 0
            mine = read_mask(output / "masks" / f"{number:05d}.png") == 1
            found.append((mine & truth).sum() / max(1, (mine | truth).sum()))
    return float(np.mean(found))


def main() -> None:
    """Measure and print a line for each sequence, and the mean."""
    from chromatrack.evaluation.metrics.color import bootstrap_interval
    from chromatrack.formats.masks import read_mask
    from chromatrack.tracking.cores import prepare_process
    from chromatrack.tracking.tracker import TrackConfig, Tracker

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("davis", type=Path)
    parser.add_argument("--sequences", help="names, with commas between; all if left out")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--size", type=int, default=480)
    parser.add_argument("--alone", type=Path)
    given = parser.parse_args()
    names = given.sequences.split(",") if given.sequences else None
    prepare_process()
    tracker = Tracker.from_pretrained("small", config=TrackConfig(size=given.size))
    alone: dict[str, float] = {}
    if given.alone is not None and given.alone.is_file():
        alone = json.loads(given.alone.read_text())
    lost = []
    pictures = given.davis / "JPEGImages/480p"
    for folder in sorted(one for one in pictures.iterdir() if not names or one.name in names):
        truths = sorted((given.davis / "Annotations/480p" / folder.name).glob("*.png"))
        truths = truths[: given.frames]
        mask = read_mask(truths[0]) > 0
        key = f"{folder.name} {given.size} {len(truths)}"
        if key not in alone:
            alone[key] = overlap(tracker, folder, mask.astype(np.int32), truths, given.size)
        among = overlap(tracker, folder, with_ground(mask), truths, given.size)
        lost.append(among - alone[key])
        print(f"{folder.name:<18} alone {alone[key]:.3f}  with ground {among:.3f}", flush=True)
        if given.alone is not None:
            given.alone.write_text(json.dumps(alone))
    low, high = bootstrap_interval(np.array(lost))
    print(f"mean difference {np.mean(lost):+.3f} [{low:+.3f}, {high:+.3f}]")


if __name__ == "__main__":
    main()
