"""Boxes of masks, followed from the first one alone: a benchmark of boxes out of one of masks.

    python benchmarks/boxes_of_masks.py DAVIS [--given box mask] [--halves docs/dev-halves.csv]

DAVIS is in the published layout (JPEGImages/480p, Annotations/480p). Of every sequence the first
frame's box around all that is marked is given, and the box of each later frame with the object
compared with the one around its annotation: intersection over union, its mean over the frames.
With `--given mask` the mask is given instead, and the extent of what is found is its box: what
boxes should reach, since a mask says more.

`--json FILE` keeps the scores by row and sequence, `--before FILE` compares with kept ones: for
each half, the mean paired difference of `box` with a 95 % interval (bootstrap over sequences).
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.cli.options import Evaluated, load_evaluated
from chromatrack.evaluation.datasets.davis import DavisSequence, read_annotation, read_davis
from chromatrack.evaluation.metrics.color import bootstrap_interval
from chromatrack.ops.coords import Box, box_iou
from chromatrack.structures import BoxMark

GIVEN = ("box", "mask")
NOWHERE = (np.nan,) * 4


def box_around(mask: np.ndarray) -> Box:
    """The box around all pixels of a mask `(H, W)`; NaN where there are none."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return NOWHERE  # pyright: ignore[reportReturnType]
    x, y = float(columns[0]), float(rows[0])
    return x, y, float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1)


def followed(tracker: Any, sequence: DavisSequence, first: np.ndarray, given: str) -> Iterator[Box]:
    """The box on every frame, from the first frame's mask or the box around it."""
    frames = sequence.folder
    if given == "mask":
        for frame in tracker.track(frames, masks={0: (first > 0).astype(np.int32)}):
            yield box_around(frame.mask > 0)
        return
    for frame in tracker.track(frames, boxes=[BoxMark(1, 0, *box_around(first > 0))]):
        box = frame.boxes.get(1)
        yield NOWHERE if box is None else (box.x, box.y, box.width, box.height)  # pyright: ignore[reportReturnType]


def score(tracker: Any, sequence: DavisSequence, given: str) -> float:
    """Mean overlap over the frames after the first that show the object."""
    masks = [read_annotation(path, year=2016) for path in sequence.annotations]
    truth = np.array([box_around(mask > 0) for mask in masks])
    found = np.array(list(followed(tracker, sequence, masks[0], given)))
    shown = ~np.isnan(truth).any(axis=1)
    shown[0] = False
    return float(box_iou(found[shown], truth[shown]).mean())


def halves(path: Path) -> dict[str, str]:
    """Half by sequence."""
    with path.open(newline="") as file:
        return {row["sequence"]: row["half"] for row in csv.DictReader(file)}


def differences(
    before: Mapping[str, float], after: Mapping[str, float], names: Sequence[str]
) -> str:
    """The mean paired difference and its interval."""
    apart = [after[name] - before[name] for name in names]
    low, high = bootstrap_interval(apart)
    return f"{np.mean(apart):+.3f} [{low:+.3f}, {high:+.3f}]"


def table(rows: Mapping[str, Mapping[str, float]], half_of: Mapping[str, str]) -> str:
    """A line per sequence, then the mean of each half and of all."""
    names = list(next(iter(rows.values())))
    lines = [f"| sequence | half | {' | '.join(rows)} |", f"|---|---|{'---:|' * len(rows)}"]
    for name in names:
        scores = " | ".join(f"{row[name]:.3f}" for row in rows.values())
        lines.append(f"| {name} | {half_of.get(name, '')} | {scores} |")
    for half, chosen in parts(names, half_of).items():
        means = " | ".join(f"{np.mean([row[n] for n in chosen]):.3f}" for row in rows.values())
        lines.append(f"| mean | {half} | {means} |")
    return "\n".join(lines)


def parts(names: Sequence[str], half_of: Mapping[str, str]) -> dict[str, list[str]]:
    """Sequences by half, those of which some are measured, and all."""
    found: dict[str, list[str]] = {}
    for name in names:
        if name in half_of:
            found.setdefault(half_of[name], []).append(name)
    return {**found, "all": list(names)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("davis", type=Path)
    parser.add_argument("--model", default="small", help="name or weights file")
    parser.add_argument("--given", nargs="+", choices=GIVEN, default=GIVEN[:1])
    parser.add_argument("--sequences", nargs="+", help="only these")
    parser.add_argument("--halves", type=Path, default=Path("docs/dev-halves.csv"))
    parser.add_argument("--json", type=Path, help="write the scores here, too")
    parser.add_argument("--before", type=Path, help="compare with scores written by --json")
    options = parser.parse_args()
    tracker = load_evaluated(Evaluated(model=options.model, device="cpu"))
    sequences = read_davis(options.davis, sequences=options.sequences).sequences
    rows: dict[str, dict[str, float]] = {given: {} for given in options.given}
    for sequence in sequences:
        for given, row in rows.items():
            row[sequence.name] = score(tracker, sequence, given)
            print(sequence.name, given, f"{row[sequence.name]:.3f}", file=sys.stderr, flush=True)
    half_of = halves(options.halves)
    print(table(rows, half_of))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    if options.before and "box" in rows:
        before = json.loads(options.before.read_text(encoding="utf-8"))["box"]
        for half, names in parts(list(rows["box"]), half_of).items():
            print(f"{half}: {differences(before, rows['box'], names)}")


if __name__ == "__main__":
    main()
