"""What does a second mark do to points? Is what the first mark had right still right?

    python benchmarks/point_marks.py [--seeds 4] [--first-seed 0] [--size 480]
        [--only rotation] [--events occlusion] [--badja BADJA --davis DAVIS [--sequences bear]]

Rendered scenes with known truth (`chromatrack.evaluation.synthetic`): all points are marked on the
first frame, and once more, where they are really in sight, on the middle one. Printed for each
scene, with the first mark alone and with both: the share of frames on which a point is right,
before the middle frame and after it. Right is: in sight, said to be so, and at most 8 px off (of a
frame scaled to 256 x 256); or hidden and said to be so. BADJA: the joints that are visible on the
first and the middle annotated frame, right by place alone.
"""

from __future__ import annotations

import argparse
import functools
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from synthetic import PLAIN, Job, render, tracker_of

NEAR, RASTER = 8.0, 256


def follow(
    track: Callable[..., Any], marks: Sequence[Any], ids: Sequence[int], frames: range
) -> tuple[np.ndarray, np.ndarray]:
    """(T, P, 2) places and (T, P) visibility."""
    places = np.full((len(frames), len(ids), 2), math.nan)
    visible = np.zeros((len(frames), len(ids)), dtype=bool)
    for frame in track(points=marks):
        for n, number in enumerate(ids):
            one = frame.points.get(number)
            if one is not None and frame.index in frames:
                places[frame.index - frames.start, n] = one.x, one.y
                visible[frame.index - frames.start, n] = one.visible
    return places, visible


def near(places: np.ndarray, true: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(T, P) bool: at most NEAR px off on frames of a size, height and width, scaled to RASTER."""
    scale = np.array([RASTER / size[1], RASTER / size[0]])
    with np.errstate(invalid="ignore"):
        return np.hypot(*np.moveaxis((places - true) * scale, -1, 0)) <= NEAR


def scene_rows(name: str, seed: int, size: int) -> list[tuple[float, float]]:
    """(before, after) shares that are right: with one mark, with two."""
    from chromatrack.structures import PointMark

    height = size if name in PLAIN else size // 2
    job = Job(name, seed, (height, 2 * round(height * 8 / 9)), "small", "kinds", ("points",))
    with tempfile.TemporaryDirectory() as folder:
        truth = list(render(job, Path(folder)))
        ids = list(truth[0].points)
        true = np.array([list(frame.points.values()) for frame in truth])
        shown = np.array([list(frame.points_visible.values()) for frame in truth])
        middle = len(truth) // 2
        first = [PointMark(i, 0, *truth[0].points[i]) for i in ids]
        second = [
            PointMark(i, middle, *truth[middle].points[i])
            for i in ids
            if truth[middle].points_visible[i]
        ]
        track = functools.partial(tracker_of("small").track, folder, end=len(truth))
        rows = []
        for marks in (first, [*first, *second]):
            places, visible = follow(track, marks, ids, range(len(truth)))
            right = np.where(shown, visible & near(places, true, job.size), ~visible)
            rows.append((float(right[1:middle].mean()), float(right[middle + 1 :].mean())))
    return rows


def badja_rows(annotations: Path, davis: str) -> list[tuple[float, float]]:
    """The same of an animal's joints, by place alone."""
    from chromatrack.evaluation.datasets.badja import read_badja
    from chromatrack.structures import PointMark
    from chromatrack.video.reader import probe

    clip = read_badja(annotations, davis)
    middle = len(clip.frames) // 2
    both = clip.visible[0] & clip.visible[middle]
    info, ids = (
        probe(clip.folder),
        [j for j, seen in zip(clip.joint_ids, both, strict=True) if seen],
    )
    frames, true = np.array(clip.frames), clip.joints[:, both]
    marks = [
        [
            PointMark(joint, clip.frames[row], *map(float, true[row, n]))
            for n, joint in enumerate(ids)
        ]
        for row in (0, middle)
    ]
    start, end = clip.frames[0], clip.frames[-1] + 1
    track = functools.partial(tracker_of("small").track, clip.folder, start=start, end=end)
    rows = []
    for given in (marks[0], [*marks[0], *marks[1]]):
        places, _ = follow(track, given, ids, range(start, end))
        right = near(places[frames - start], true, (info.height, info.width))
        known = np.isfinite(true[..., 0])
        before, after = slice(1, middle), slice(middle + 1, None)
        rows.append(tuple(float(right[part][known[part]].mean()) for part in (before, after)))
    return rows


def tell(name: str, rows: list[tuple[float, float]]) -> None:
    (a, b), (c, d) = rows
    print(f"{name:>24}  {a:6.3f} {c:6.3f}   {b:6.3f} {d:6.3f}", flush=True)


def main() -> None:
    """Measure and print a line for each clip, and the means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=["rotation", "scale", "deformation"])
    parser.add_argument("--events", nargs="*", default=["occlusion", "exit"])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=480)
    parser.add_argument("--badja", type=Path)
    parser.add_argument("--davis")
    parser.add_argument("--sequences", default="bear,dog-agility,horsejump-low")
    options = parser.parse_args()
    print(f"{'':>24}  before the middle   after it")
    print(f"{'':>24}  1 mark 2 marks    1 mark 2 marks")
    kept = []
    for name in [*options.only, *options.events]:
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            kept.append(scene_rows(name, seed, options.size))
            tell(f"{name} {seed}", kept[-1])
    if kept:
        tell("mean of scenes", [tuple(x) for x in np.mean(kept, axis=0)])
    if options.badja is not None:
        animals = [
            badja_rows(options.badja / f"{name}.json", options.davis)
            for name in options.sequences.split(",")
        ]
        for name, rows in zip(options.sequences.split(","), animals, strict=True):
            tell(name, rows)
        tell("mean of animals", [tuple(x) for x in np.mean(animals, axis=0)])


if __name__ == "__main__":
    main()
