"""How long it takes to score saved masks of 30 DAVIS sequences, no tracker involved.

    python benchmarks/scoring.py DAVIS [--sequences 30] [--frames 70] [--slow-frames 40]

DAVIS is a folder in the published layout. Its sequences are repeated under other names, and their
frames forwards and backwards, until there are enough (links, in a temporary folder); the masks to
score are those of two frames before. All in this run, on the same masks:

1. `evaluate davis --predictions` with 1 and 2 processes: seconds, reading the files included;
2. J and F alone, per frame, against the definition (whole frames, boundaries dilated with a disk by
   SciPy) and against vos-benchmark, whose scores must be equal.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_dilation

from chromatrack.evaluation.datasets.davis import (
    SavedMasks,
    davis_benchmark,
    read_annotation,
    read_davis,
)
from chromatrack.evaluation.metrics.masks import BOUNDARY_TOLERANCE, boundary_map, frame_scores
from chromatrack.evaluation.runner import evaluate


def enlarge(root: Path, folder: Path, *, sequences: int, frames: int) -> tuple[Path, Path]:
    """A data set of links, and a folder of masks to score."""
    there = read_davis(root).sequences
    names = [
        f"{found.name}-{number}" for number, found in islice(enumerate(cycle(there)), sequences)
    ]
    for name, found in zip(names, cycle(there), strict=False):
        order = list(range(len(found.images)))
        order = list(islice(cycle(order + order[-2:0:-1]), frames))
        for index, source in enumerate(order):
            before = order[max(0, index - 2)]
            for kind, path in (
                ("davis/JPEGImages/480p", found.images[source]),
                ("davis/Annotations/480p", found.annotations[source]),
                ("masks", found.annotations[before]),
            ):
                link = folder / kind / name / f"{index:05d}{path.suffix}"
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path.resolve())
    (folder / "davis/ImageSets/480p").mkdir(parents=True)
    (folder / "davis/ImageSets/480p/val.txt").write_text("\n".join(names) + "\n")
    return folder / "davis", folder / "masks"


def slow_scores(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """J and F of object 1 as they are defined."""
    predicted, true = prediction == 1, truth == 1
    union = np.count_nonzero(predicted | true)
    j = np.count_nonzero(predicted & true) / union if union else 1.0
    radius = math.ceil(BOUNDARY_TOLERANCE * math.hypot(*truth.shape))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = x * x + y * y <= radius * radius
    lines = [boundary_map(predicted), boundary_map(true)]
    if not lines[0].any() or not lines[1].any():
        return j, float(not lines[0].any() and not lines[1].any())
    near = [binary_dilation(line, structure=disk) for line in lines]
    precision = np.count_nonzero(lines[0] & near[1]) / np.count_nonzero(lines[0])
    recall = np.count_nonzero(lines[1] & near[0]) / np.count_nonzero(lines[1])
    total = precision + recall
    return j, 2 * precision * recall / total if total else 0.0


def milliseconds(work: Callable[[], object]) -> float:
    """Processor time of this process, so that its neighbours count less."""
    began = time.process_time()
    work()
    return 1000 * (time.process_time() - began)


def compare(davis: Path, masks: Path, *, frames: int) -> None:
    """Print milliseconds a frame of the three ways; they must agree."""
    from vos_benchmark.evaluator import Evaluator

    found = read_davis(davis).sequences
    paths = [path for sequence in found[:12] for path in sequence.annotations[4:64:12]][:frames]
    pairs = [
        (
            read_annotation(masks / path.parent.name / path.name, year=2016),
            read_annotation(path, year=2016),
        )
        for path in paths
    ]
    oracle = Evaluator()
    fast = milliseconds(lambda: [frame_scores(*pair, object_ids=[1]) for pair in pairs])
    slow = milliseconds(lambda: [slow_scores(*pair) for pair in pairs])
    small = [(a.astype(np.uint8), b.astype(np.uint8)) for a, b in pairs]
    other = milliseconds(lambda: [oracle.feed_frame(*pair) for pair in small])
    ours = [tuple(frame_scores(*pair, object_ids=[1])[0]) for pair in pairs]
    assert ours == [slow_scores(*pair) for pair in pairs]
    theirs = np.stack([oracle.object_iou[1], oracle.boundary_f[1]], axis=1)
    assert np.allclose(ours, theirs, atol=1e-12)
    count = len(pairs)
    print(f"J and F alone, {count} frames, equal in all three (processor time):")
    print(f"  ours            {fast / count:7.2f} ms a frame")
    print(f"  the definition  {slow / count:7.2f} ms, {slow / fast:.0f} times ours")
    print(f"  vos-benchmark   {other / count:7.2f} ms, {other / fast:.0f} times ours")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--sequences", type=int, default=30)
    parser.add_argument("--frames", type=int, default=70)
    parser.add_argument("--slow-frames", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        davis, masks = enlarge(
            options.root, Path(temporary), sequences=options.sequences, frames=options.frames
        )
        total = options.sequences * options.frames
        print(f"{options.sequences} sequences of {options.frames} frames, files and all:")
        before = None
        for jobs in (1, 2):
            began, cpu = time.perf_counter(), time.process_time()
            result = evaluate(davis_benchmark(davis), tracker=SavedMasks(masks), jobs=jobs)
            seconds = time.perf_counter() - began
            own = f", {time.process_time() - cpu:.1f} s of processor" if jobs == 1 else ""
            print(f"  {jobs} jobs: {seconds:.1f} s, {1000 * seconds / total:.2f} ms a frame{own}")
            assert before in (None, result["scores"])
            before = result["scores"]
        compare(davis, masks, frames=options.slow_frames)


if __name__ == "__main__":
    main()
