"""Does a correction of one object leave the others as good as they were?

    python benchmarks/corrections.py DATA

DATA: frames and masks of several objects in DAVIS's layout (JPEGImages, Annotations: PNG ids), as
one clip. It is tracked from its first frame; then each object by itself is marked in the middle as
a careful and as a hasty person would (its true mask; the same, wider by 4 % of its size, over
whatever is beside it), and only that is tracked again. J of the object and of the others, over all
frames but the first and the marked one, before and after.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
from scipy import ndimage

from chromatrack.formats.masks import read_mask
from chromatrack.runs.correct import correct
from chromatrack.runs.reader import read_result
from chromatrack.runs.writer import track_to_folder
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker


def jaccard(found: np.ndarray, true: np.ndarray) -> float:
    """Of two `(H, W)` bool masks; 1 where both are empty."""
    union = np.count_nonzero(found | true)
    return np.count_nonzero(found & true) / union if union else 1.0


def scores(folder: Path, truth: list[np.ndarray], ids: list[int], off: int) -> dict[int, float]:
    """Mean J of every object."""
    result = read_result(folder)
    frames = [i for i in range(1, len(truth)) if i != off]
    masks = {i: result.mask(i) for i in frames}
    return {n: float(np.mean([jaccard(masks[i] == n, truth[i] == n) for i in frames])) for n in ids}


def marked(true: np.ndarray, number: int, *, hasty: bool) -> np.ndarray:
    """An object's mask as a person draws it."""
    inside = true == number
    if hasty:
        wider = max(1, round(0.04 * np.sqrt(np.count_nonzero(inside))))
        inside = ndimage.binary_dilation(inside, iterations=wider)
    return np.where(inside, number, 0)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    given = parser.parse_args()
    files = sorted((given.data / "Annotations").glob("*.png"))
    truth = [read_mask(file) for file in files]
    ids = [int(n) for n in np.unique(truth[0]) if n > 0]
    middle = len(truth) // 2
    tracker = Tracker.from_pretrained("small")
    print("| mark | object | J before | after | the others before | after | worst change |")
    print("|---|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = Path(place) / "run"
        video = str(given.data / "JPEGImages")
        track_to_folder(tracker, video, Marks.of(masks={0: truth[0]}), output=run)
        before = scores(run, truth, ids, middle)
        for hasty in (False, True):
            for number in ids:
                if not (truth[middle] == number).any():
                    continue
                again = shutil.copytree(run, Path(place) / f"{hasty}-{number}")
                mark = marked(truth[middle], number, hasty=hasty)
                correct(tracker, again, Marks.of(masks={middle: mark}), video=video)
                after = scores(again, truth, ids, middle)
                others = [n for n in ids if n != number]
                means = [float(np.mean([j[n] for n in others])) for j in (before, after)]
                worst = min(after[n] - before[n] for n in others)
                print(
                    f"| {'hasty' if hasty else 'careful'} | {number} | {before[number]:.3f} | "
                    f"{after[number]:.3f} | {means[0]:.3f} | {means[1]:.3f} | {worst:+.3f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
