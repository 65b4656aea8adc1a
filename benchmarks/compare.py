"""Runs of `chromatrack evaluate davis` compared, sequence by sequence and by kind of error.

    python benchmarks/compare.py DAVIS BEFORE AFTER... [--halves docs/dev-halves.csv]

BEFORE and AFTER are what `chromatrack evaluate davis DAVIS ... -o FOLDER` wrote, masks saved.
For each half of the sequences and for all of them: J&F-Mean, and the mean paired difference to
BEFORE with a 95 % interval (bootstrap over sequences). A setting is chosen on the choosing half; a
change is kept when the interval of the other one excludes 0.

Then the kinds of error, in hundredths of J: on every frame the wrong pixels, as shares of what was
found or is true, split into

- boundary: near the object's true outline (0.008 of the diagonal, as F has it);
- spread: found farther off, joined to a part that lies on the object;
- elsewhere: found farther off, in pieces that touch the object nowhere (look-alikes, background);
- part lost: not found of an object that was found in part;
- absent: of an object that is there, and was reported gone.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt, label

from chromatrack.evaluation.datasets.davis import read_annotation, read_davis
from chromatrack.evaluation.metrics.color import bootstrap_interval
from chromatrack.evaluation.metrics.masks import BOUNDARY_TOLERANCE

KINDS = ("boundary", "spread", "elsewhere", "part lost", "absent")


def error_kinds(found: np.ndarray, true: np.ndarray, *, boundary: int) -> np.ndarray:
    """Wrong pixels by kind, as shares of the union: `(5,)`, sum 1 - J; 0 where both are empty.

    Args:
        found, true: `(H, W)` bool.
        boundary: pixels from the true outline that count as boundary.
    """
    union = (found | true).sum()
    if not union:
        return np.zeros(len(KINDS))
    if not found.any():
        return np.array([0, 0, 0, 0, true.sum() / union])
    near = _near_outline(true, boundary)
    wrong = found ^ true
    pieces, _ = label(found, structure=np.ones((3, 3)))
    on_object = np.isin(pieces, np.unique(pieces[found & true])) & found
    far = wrong & ~near
    counts = [
        (wrong & near).sum(),
        (far & found & on_object).sum(),
        (far & found & ~on_object).sum(),
        (far & true).sum(),
        0,
    ]
    return np.array(counts) / union


def _near_outline(true: np.ndarray, distance: int) -> np.ndarray:
    """Pixels at most so far from the object's outline, in and out: `(H, W)` bool."""
    if true.all() or not true.any():
        return np.zeros_like(true)
    return distance_transform_edt(true) + distance_transform_edt(~true) <= distance


def sequence_kinds(run: Path, davis: Path, name: str) -> np.ndarray:
    """`error_kinds`, mean over a sequence's scored frames (without its first and last)."""
    (sequence,) = read_davis(davis, sequences=[name]).sequences
    kinds = []
    for path in sequence.annotations[1:-1]:
        true = read_annotation(path, year=2016) > 0
        found = read_annotation(run / "masks" / name / f"{path.stem}.png", year=2016) > 0
        tolerance = int(np.ceil(BOUNDARY_TOLERANCE * np.hypot(*true.shape)))
        kinds.append(error_kinds(found, true, boundary=tolerance))
    return np.mean(kinds, axis=0)


def scores(run: Path) -> dict[str, float]:
    """J&F-Mean by sequence."""
    clips = json.loads((run / "result.json").read_text())["sequences"]
    return {name: clip["J&F-Mean"] for name, clip in clips.items()}


def read_halves(path: Path) -> dict[str, str]:
    """Half by sequence."""
    with path.open(newline="") as file:
        return {row["sequence"]: row["half"] for row in csv.DictReader(file)}


def difference(before: Sequence[float], after: Sequence[float]) -> str:
    """Mean paired difference and its interval, in words."""
    apart = np.subtract(after, before).tolist()
    low, high = bootstrap_interval(apart)
    return f"{np.mean(apart):+.3f} [{low:+.3f}, {high:+.3f}]"


def compare(davis: Path, runs: Sequence[Path], halves: dict[str, str]) -> None:
    """Print the tables of the module's docstring."""
    found = [scores(run) for run in runs]
    names = [name for name in found[0] if all(name in scored for scored in found)]
    print("\n| sequence | " + " | ".join(run.name for run in runs) + " |")
    print("|---|" + "---:|" * len(runs))
    for name in names:
        print(f"| {name} | " + " | ".join(f"{scored[name]:.3f}" for scored in found) + " |")
    of_half = {
        half: [n for n in names if halves.get(n) == half] for half in ("choosing", "reporting")
    }
    print("\n| run | half | J&F | difference, 95 % | " + " | ".join(KINDS) + " |")
    print("|---|---|---:|---|" + "---:|" * len(KINDS))
    for run, scored in zip(runs, found, strict=True):
        kinds = {name: sequence_kinds(run, davis, name) for name in names}
        for half, chosen in (of_half | {"all": names}).items():
            if not chosen:
                continue
            before, after = ([s[n] for n in chosen] for s in (found[0], scored))
            apart = "" if run == runs[0] else difference(before, after)
            mean = 100 * np.mean([kinds[name] for name in chosen], axis=0)
            parts = " | ".join(f"{value:.1f}" for value in mean)
            print(f"| {run.name} | {half} | {np.mean(after):.3f} | {apart} | {parts} |")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("davis", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--halves", type=Path, default=Path("docs/dev-halves.csv"))
    given = parser.parse_args(arguments)
    compare(given.davis, given.runs, read_halves(given.halves))


if __name__ == "__main__":
    main(sys.argv[1:])
