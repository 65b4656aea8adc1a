"""Points, joints, boxes and many masks on real labelled clips: one table, a row per model.

    python benchmarks/kinds.py DATA [--models small raw-lab flow identity] [--through kinds]

DATA holds what was gathered for development (see DATA/README.md): BADJA's joints of three DAVIS
clips (tracked as points), a JHMDB clip (a skeleton), two OTB sequences (a box), and a clip with
masks of five objects. `identity` keeps what was given on the first frame.

`--through masks` gives everything as masks, as one can without any other kind: a point or joint is
a disc of --disc-radius with its own id, its place the mean of the pixels found; a box is the mask
of its inside, and found as the extent of a mask. Discs not much larger than a cell of the network
are soon gone, which counts as wrong.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.cli.options import Evaluated, load_evaluated
from chromatrack.evaluation.datasets.badja import badja_benchmark
from chromatrack.evaluation.datasets.boxes import PRECISION, SUCCESS, box_benchmark
from chromatrack.evaluation.datasets.jhmdb import jhmdb_benchmark
from chromatrack.evaluation.metrics.masks import frame_scores, sequence_scores
from chromatrack.evaluation.runner import evaluate, in_order
from chromatrack.formats.masks import read_mask
from chromatrack.structures import (
    BoxMark,
    KeypointMark,
    PointMark,
    TrackedBox,
    TrackedKeypoints,
    TrackedPoint,
)
from chromatrack.video.reader import probe

MODELS = ("small", "raw-lab", "identity")
SETS = ("badja", "jhmdb", "otb", "penguins")

Marks = Mapping[int, np.ndarray]
Score = Callable[[Path, Any], dict[str, float]]


@dataclass(frozen=True)
class Found:
    """What was found on one frame, in the shape of the package's own tracked frames."""

    index: int
    mask: np.ndarray
    points: dict[int, TrackedPoint] = field(default_factory=dict)
    boxes: dict[int, TrackedBox] = field(default_factory=dict)
    keypoints: dict[int, TrackedKeypoints] = field(default_factory=dict)


class ThroughMasks:
    """Tracks points, joints and boxes with a tracker that knows masks only."""

    def __init__(self, tracker: Any, *, radius: float) -> None:
        self.tracker = tracker
        self.radius = radius

    def track(
        self,
        video: Path,
        *,
        masks: Marks | None = None,
        points: Sequence[PointMark] = (),
        boxes: Sequence[BoxMark] = (),
        keypoints: Sequence[KeypointMark] = (),
        start: int = 0,
        end: int | None = None,
    ) -> Iterator[Found]:
        """One kind of marks at a time, all on frame `start`."""
        if masks is not None:
            yield from self._follow(video, masks[start], start, end)
            return
        info = probe(video)
        size = (info.height, info.width)
        joints = [mark.joints for mark in keypoints]
        places = np.array([place_of(mark) for mark in points] or np.concatenate(joints or [[]]))
        mask = box_masks(boxes, size) if boxes else discs(places, size, self.radius)
        for frame in self._follow(video, mask, start, end):
            if boxes:
                yield Found(frame.index, frame.mask, boxes=extents(frame.mask))
                continue
            found = centroids(frame.mask, len(places))
            ids = {mark.id: row for mark, row in zip(points, found, strict=False)}
            there = {i: row.tolist() for i, row in ids.items() if not np.isnan(row).any()}
            spots = {i: TrackedPoint(x, y, True, 1.0) for i, (x, y) in there.items()}
            parts = np.split(found, np.cumsum([len(pose) for pose in joints])) if joints else []
            poses = {
                mark.id: pose_of(part) for mark, part in zip(keypoints, parts[:-1], strict=True)
            }
            yield Found(frame.index, frame.mask, points=spots, keypoints=poses)

    def _follow(
        self, video: Path, mask: np.ndarray, start: int, end: int | None
    ) -> Iterator[Found]:
        for frame in self.tracker.track(video, masks={start: mask}, start=start, end=end):
            yield Found(frame.index, frame.mask)


def place_of(mark: PointMark) -> tuple[float, float]:
    """Where a point is marked; these data sets mark none as lost."""
    assert mark.x is not None and mark.y is not None
    return mark.x, mark.y


def box_of(mark: BoxMark) -> tuple[float, float, float, float]:
    """The marked box; these data sets mark none as lost."""
    assert mark.x is not None and mark.y is not None
    assert mark.width is not None and mark.height is not None
    return mark.x, mark.y, mark.width, mark.height


def pose_of(joints: np.ndarray) -> TrackedKeypoints:
    """A pose of (J, 2) joints, visible where there is a place."""
    there = np.asarray(np.isfinite(joints).all(axis=1))
    return TrackedKeypoints(joints, there, np.asarray(there, dtype=np.float64))


def discs(places: np.ndarray, size: tuple[int, int], radius: float) -> np.ndarray:
    """(H, W) int32 ids 1.. of discs around (P, 2) places; where they meet, the nearest has it."""
    y, x = np.mgrid[: size[0], : size[1]]
    mask, nearest = np.zeros(size, dtype=np.int32), np.full(size, radius)
    for number, place in enumerate(places, start=1):
        distance = np.hypot(x - place[0], y - place[1])
        closer = distance < nearest
        mask[closer], nearest[closer] = number, distance[closer]
    return mask


def centroids(mask: np.ndarray, count: int) -> np.ndarray:
    """(count, 2) mean xy of the pixels of ids 1 to `count`; NaN for one that is gone."""
    rows, columns = np.nonzero(mask)
    ids = mask[rows, columns] - 1
    sizes = np.bincount(ids, minlength=count).astype(np.float64)
    sums = [np.bincount(ids, weights=at, minlength=count) for at in (columns, rows)]
    places = np.stack(sums, axis=1) / np.maximum(sizes, 1)[:, None]
    return np.where(sizes[:, None] > 0, places, np.nan)


def box_masks(boxes: Sequence[BoxMark], size: tuple[int, int]) -> np.ndarray:
    """(H, W) int32: the pixels of every box have its id."""
    mask = np.zeros(size, dtype=np.int32)
    for mark in boxes:
        x, y, width, height = (round(number) for number in box_of(mark))
        mask[max(y, 0) : y + height, max(x, 0) : x + width] = mark.id
    return mask


def extents(mask: np.ndarray) -> dict[int, TrackedBox]:
    """The box around the pixels of every id."""
    boxes = {}
    for number in np.unique(mask[mask > 0]).tolist():
        rows, columns = (np.flatnonzero((mask == number).any(axis=axis)) for axis in (1, 0))
        x, y = float(columns[0]), float(rows[0])
        width, height = float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1)
        boxes[number] = TrackedBox(x, y, width, height, True, 1.0)
    return boxes


def tracker_of(model: str, *, through: str, radius: float) -> Any:
    """The tracker to measure, or what stands in for one."""
    tracker: Any = load_evaluated(Evaluated(model=model, device="cpu"))
    through_masks = through == "masks" and model != "identity"
    return ThroughMasks(tracker, radius=radius) if through_masks else tracker


def score_badja(data: Path, tracker: Any) -> dict[str, float]:
    """Joints of animals: share within 0.2 of the root of the animal's area."""
    result = evaluate(badja_benchmark(data / "badja", data / "davis16-dev"), tracker=tracker)
    row = {f"BADJA {name}": scores["PCK@0.2"] for name, scores in result["sequences"].items()}
    return {**row, "BADJA mean": result["scores"]["PCK@0.2"]}


def score_jhmdb(data: Path, tracker: Any) -> dict[str, float]:
    """Joints of a person."""
    result = evaluate(jhmdb_benchmark(data / "jhmdb"), tracker=tracker)
    return {f"JHMDB {name}": score for name, score in result["scores"].items()}


def score_otb(data: Path, tracker: Any) -> dict[str, float]:
    """One box per clip."""
    result = evaluate(box_benchmark(data / "boxes/otb"), tracker=tracker)
    return {
        f"{name} {short}": scores[column]
        for name, scores in result["sequences"].items()
        for column, short in ((SUCCESS, "AUC"), (PRECISION, "P@20"))
    }


def score_penguins(data: Path, tracker: Any) -> dict[str, float]:
    """Masks of several objects: the mean J of each, the first and last frame left out."""
    folder = data / "objects/penguins"
    truth = [read_mask(path) for path in sorted((folder / "Annotations").glob("*.png"))]
    ids = np.unique(truth[0][truth[0] > 0]).tolist()
    found: list[np.ndarray | None] = [None] * len(truth)
    tracked = tracker.track(folder / "JPEGImages", masks={0: truth[0]})
    for frame in in_order(tracked, name="penguins", start=0, end=len(truth)):
        found[frame.index] = frame.mask
    pairs = zip(found, truth, strict=True)
    frames = [frame_scores(mask, true, object_ids=ids) for mask, true in pairs]
    result = sequence_scores(frames, object_ids=ids)
    objects = {f"penguin {i}": scores["J-Mean"] for i, scores in result.objects.items()}
    return {"penguins J": result.scores["J-Mean"], **objects}


def scores_of(data: Path, tracker: Any, sets: Sequence[str]) -> dict[str, float]:
    """One row of the table."""
    score: dict[str, Score] = {
        "badja": score_badja,
        "jhmdb": score_jhmdb,
        "otb": score_otb,
        "penguins": score_penguins,
    }
    row: dict[str, float] = {}
    for name in sets:
        row |= score[name](data, tracker)
        print(name, {k: round(v, 3) for k, v in row.items()}, file=sys.stderr)
    return row


def markdown(results: Mapping[str, Mapping[str, float]]) -> str:
    """Table of {row name: {column: fraction}}, ending in a newline.

    The columns are those of all rows, in order of first appearance; a score that a row lacks, or
    that is not a number, is left empty.
    """
    columns = list(dict.fromkeys(column for row in results.values() for column in row))
    lines = [("model", *columns), ("---", *["---:"] * len(columns))]
    for name, row in results.items():
        scores = (row.get(column, math.nan) for column in columns)
        lines.append((name, *("" if math.isnan(score) else f"{score:.3f}" for score in scores)))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of the labelled data")
    parser.add_argument("--models", nargs="+", default=MODELS, help="names or weights files")
    parser.add_argument("--through", choices=("kinds", "masks"), default="kinds")
    parser.add_argument("--disc-radius", type=float, default=8.0, help="pixels, through masks")
    parser.add_argument("--only", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--json", type=Path, help="write the scores here, too")
    options = parser.parse_args()
    make = functools.partial(tracker_of, through=options.through, radius=options.disc_radius)
    rows = {m: scores_of(options.data, make(m), options.only) for m in options.models}
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print(markdown(rows), end="")


if __name__ == "__main__":
    main()
