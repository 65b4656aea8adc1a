"""Tracking of masks, boxes, points and joints on rendered clips whose truth is known exactly.

    python benchmarks/synthetic.py [--model small] [--seeds 5] [--occlusion-seeds 50] [--size 480]

Prints one table. Four scenes hold one difficulty each (the object moves, turns, grows, bends):
frames of --size height, 16:9, 50 frames. In four more the object is hidden, leaves the frame,
crosses its double, or is cut away, at half that height; there the questions are whether it is found
again, whether the look-alike is taken in its place, and what is reported while it is hidden.

`--through masks` tracks everything as masks, as one can without any other kind: a point or a joint
is a disc of radius 8 px with its own id, its place the mean of the pixels found, a box is the
extent of a mask. `--through kinds` gives points, boxes and joints as what they are, one run each.
In the last four scenes only masks are tracked, unless --event-kinds says more.

J: mean overlap of all frames but the given one (nothing found where nothing is there counts 1).
Box AUC: success area of frames that show the object, of a mask's extent where no box was given.
Points: median error of those visible, of the median clip; inf: most were lost. PCK@0.2: visible
joints within 0.2 of the longer side of the object's box.
"""

from __future__ import annotations

import argparse
import functools
import math
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from synthetic_table import Row, table, to_json

from chromatrack.evaluation.metrics import tracks as scores
from chromatrack.evaluation.metrics.masks import jaccard
from chromatrack.evaluation.synthetic.clips import TruthFrame, extent, scene
from chromatrack.evaluation.synthetic.scenes import SCENES, hidden_frames
from chromatrack.ops.coords import box_iou

PLAIN = ("translation", "rotation", "scale", "deformation")
KINDS = ("masks", "boxes", "points", "joints")
DISC_RADIUS = 8.0
NEAR = 4.0
"""Pixels: the table also tells the share of points with at most this error."""
NO_BOX = (math.nan,) * 4


@dataclass(frozen=True)
class Job:
    """One clip to measure: which, how large, with which model, through what."""

    name: str
    seed: int
    size: tuple[int, int]
    model: str
    through: str
    kinds: tuple[str, ...]


@functools.cache
def tracker_of(model: str) -> Any:
    """The tracker, loaded once per process."""
    from chromatrack.tracking.tracker import Tracker

    return Tracker.from_pretrained(model, device="cpu")


def measure(job: Job) -> Row:
    """Render a clip, track it, score it."""
    with tempfile.TemporaryDirectory() as folder:
        truth = list(render(job, Path(folder)))
        row = Row(job.name, job.seed, len(truth), hidden_frames(job.name, seed=job.seed))
        follow = functools.partial(tracker_of(job.model).track, folder, end=len(truth))
        if "masks" in job.kinds:
            score_masks(row, truth, follow, through=job.through)
        if "boxes" in job.kinds and job.through == "kinds":
            row.box_auc = box_auc(truth, boxes_by_kind(truth, follow))
        if "points" in job.kinds:
            find = points_by_kind if job.through == "kinds" else points_by_discs
            score_points(row, truth, *find(truth, follow))
        if "joints" in job.kinds:
            find = joints_by_kind if job.through == "kinds" else joints_by_discs
            score_joints(row, truth, find(truth, follow))
    return row


def render(job: Job, folder: Path) -> Iterator[TruthFrame]:
    """Write a clip's frames as pictures; yields the truth without them."""
    for frame in scene(job.name, seed=job.seed, size=job.size):
        Image.fromarray(frame.rgb).save(folder / f"{frame.index:05d}.png", compress_level=1)
        yield replace(frame, rgb=frame.rgb[:0], mask=frame.mask.astype(np.uint8))


# -- masks and boxes ---------------------------------------------------------------------------


def score_masks(
    row: Row, truth: Sequence[TruthFrame], follow: Callable[..., Any], *, through: str
) -> None:
    """Track the objects' masks from frame 0 and fill in what their masks tell."""
    ids = truth[0].tracked
    first = np.where(np.isin(truth[0].mask, ids), truth[0].mask, 0).astype(np.int32)
    masks, present = [], {i: [] for i in ids}
    for frame in follow(masks=first):
        masks.append(frame.mask.astype(np.uint8))
        for i in ids:
            there = frame.present[i] if through == "kinds" else frame.areas[i] > 0
            present[i].append(there)
    overlaps = {i: ious_of(truth, masks, i) for i in ids}
    row.j = float(np.mean([overlaps[i][1:] for i in ids]))
    row.box_auc = box_auc(truth, {i: np.array([box_of(m == i) for m in masks]) for i in ids})
    if row.scene not in PLAIN:
        for i in ids:
            score_hidden(row, truth, masks, overlaps[i], np.array(present[i]), i)


def score_hidden(
    row: Row,
    truth: Sequence[TruthFrame],
    masks: Sequence[np.ndarray],
    ious: np.ndarray,
    present: np.ndarray,
    object_id: int,
) -> None:
    """Found again, look-alike taken, reported while hidden: one object of one clip."""
    shares = np.array([frame.visible_share[object_id] for frame in truth])
    hides = bool((shares < 0.5).any())
    if hides:
        row.refound.append(scores.refound(ious, shares))
        row.present_hidden.append(scores.present_while_hidden(present, shares))
    rival = truth[0].rivals.get(object_id)
    if rival is not None:
        back = scores.reappearance(shares) if hides else last_touch(truth)
        right, wrong = (
            np.array(
                [
                    np.count_nonzero((mask == object_id) & (frame.mask == other))
                    for frame, mask in zip(truth, masks, strict=True)
                ]
            )
            for other in (object_id, rival)
        )
        row.wrong.append(scores.wrong_taken(right, wrong, after=back))


def last_touch(truth: Sequence[TruthFrame]) -> int:
    """First frame after any tracked object was hidden: from here on a swap counts."""
    backs = []
    for object_id in truth[0].tracked:
        shares = np.array([frame.visible_share[object_id] for frame in truth])
        if (shares < 0.5).any():
            backs.append(scores.reappearance(shares))
    return max(backs, default=len(truth) // 2)


def ious_of(truth: Sequence[TruthFrame], masks: Sequence[np.ndarray], object_id: int) -> np.ndarray:
    """(T,) overlap of one object's predicted and true mask; 1 where both are empty."""
    pairs = zip(truth, masks, strict=True)
    return np.array([jaccard(m == object_id, frame.mask == object_id) for frame, m in pairs])


def box_of(mask: np.ndarray) -> tuple[float, ...]:
    """x, y, width, height of a bool mask's extent; NaN when it is empty."""
    return extent(mask) if mask.any() else NO_BOX


def box_auc(truth: Sequence[TruthFrame], boxes: dict[int, np.ndarray]) -> float:
    """Success area of (T, 4) boxes per object, on frames after the first that show it."""
    ious = []
    for object_id, found in boxes.items():
        true = np.array([frame.boxes.get(object_id, NO_BOX) for frame in truth])
        shown = np.array([frame.present[object_id] for frame in truth])
        shown[0] = False
        ious.append(box_iou(found[shown], true[shown]))
    return scores.success_auc(np.concatenate(ious))


def boxes_by_kind(truth: Sequence[TruthFrame], follow: Callable[..., Any]) -> dict[int, np.ndarray]:
    """(T, 4) boxes per object, given as boxes on frame 0; NaN where reported absent."""
    from chromatrack.structures import BoxMark

    ids = truth[0].tracked
    found = {i: [] for i in ids}
    for frame in follow(boxes=[BoxMark(i, 0, *truth[0].boxes[i]) for i in ids]):
        for i in ids:
            box = frame.boxes[i]
            place = (box.x, box.y, box.width, box.height)
            found[i].append(place if box.visible else NO_BOX)
    return {i: np.array(boxes) for i, boxes in found.items()}


# -- points and joints -------------------------------------------------------------------------


def score_points(
    row: Row, truth: Sequence[TruthFrame], found: np.ndarray, visible: np.ndarray
) -> None:
    """Fill in errors and visibility of (T, P, 2) points, in the order of the truth's ids."""
    true = np.array([list(frame.points.values()) for frame in truth])
    shown = np.array([list(frame.points_visible.values()) for frame in truth])
    errors = scores.point_errors(found, true)
    row.point_median = scores.median_error(errors, shown)
    row.visibility = scores.visibility_accuracy(visible, shown)
    row.points_near = scores.precision_at(errors[1:][shown[1:]], NEAR)


def score_joints(row: Row, truth: Sequence[TruthFrame], found: np.ndarray) -> None:
    """Fill in the share of right joints of (T, J, 2)."""
    true = np.array([frame.joints for frame in truth])
    shown = np.array([frame.joints_visible for frame in truth])
    shown[0] = False
    sides = np.array([max(frame.full_boxes[1][2:]) for frame in truth])
    lengths = np.broadcast_to(sides[:, None], shown.shape)[shown]
    row.pck = scores.pck(scores.point_errors(found, true)[shown], lengths, alpha=0.2)


def points_by_kind(
    truth: Sequence[TruthFrame], follow: Callable[..., Any]
) -> tuple[np.ndarray, np.ndarray]:
    """(T, P, 2) places and (T, P) visibility of points given as points on frame 0."""
    from chromatrack.structures import PointMark

    ids = list(truth[0].points)
    marks = [PointMark(i, 0, *truth[0].points[i]) for i in ids]
    places, visible = [], []
    for frame in follow(points=marks):
        found = [frame.points.get(i) for i in ids]
        places.append([(math.nan, math.nan) if p is None else (p.x, p.y) for p in found])
        visible.append([p is not None and p.visible for p in found])
    return np.array(places), np.array(visible)


def joints_by_kind(truth: Sequence[TruthFrame], follow: Callable[..., Any]) -> np.ndarray:
    """(T, J, 2) places of joints given as keypoints of object 1 on frame 0."""
    from chromatrack.structures import KeypointMark

    joints = truth[0].joints
    mark = KeypointMark(1, 0, joints, np.zeros(len(joints), dtype=bool))
    missing = np.full(joints.shape, math.nan)
    found = [frame.keypoints.get(1) for frame in follow(keypoints=[mark])]
    return np.array([missing if f is None else f.joints for f in found])


def points_by_discs(
    truth: Sequence[TruthFrame], follow: Callable[..., Any]
) -> tuple[np.ndarray, np.ndarray]:
    """The same through masks: one disc per point; visible while any pixel of it is left."""
    places = follow_discs(truth, np.array(list(truth[0].points.values())), follow)
    return places, ~np.isnan(places[..., 0])


def joints_by_discs(truth: Sequence[TruthFrame], follow: Callable[..., Any]) -> np.ndarray:
    """The same through masks: one disc per joint."""
    return follow_discs(truth, truth[0].joints, follow)


def follow_discs(
    truth: Sequence[TruthFrame], places: np.ndarray, follow: Callable[..., Any]
) -> np.ndarray:
    """(T, P, 2) mean pixel of each of P discs around (P, 2) places on frame 0; NaN when gone."""
    count = len(places)
    found = []
    for frame in follow(masks=discs(places, truth[0].mask.shape)):
        rows, columns = np.nonzero(frame.mask)
        ids = frame.mask[rows, columns] - 1
        sizes = np.bincount(ids, minlength=count).astype(float)
        sums = [np.bincount(ids, weights=at, minlength=count) for at in (columns, rows)]
        with np.errstate(invalid="ignore"):
            found.append(np.stack(sums, axis=1) / sizes[:, None])
    return np.array(found)


def discs(places: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """(H, W) int32 ids 1.. of discs around (P, 2) places; where they meet, the nearest has it."""
    y, x = np.mgrid[: size[0], : size[1]]
    mask, nearest = np.zeros(size, dtype=np.int32), np.full(size, DISC_RADIUS)
    for number, place in enumerate(places, start=1):
        distance = np.hypot(x - place[0], y - place[1])
        closer = distance < nearest
        mask[closer], nearest[closer] = number, distance[closer]
    return mask


# -- the run -----------------------------------------------------------------------------------


def jobs_of(options: argparse.Namespace) -> list[Job]:
    """Every clip to measure, the long ones first."""
    jobs = []
    for name in options.only or SCENES:
        plain = name in PLAIN
        counts = {"occlusion": options.occlusion_seeds}
        count = options.seeds if plain else counts.get(name, options.event_seeds)
        height = options.size if plain else options.size // 2
        kinds = tuple(options.kinds if plain else options.event_kinds)
        size = (height, 2 * round(height * 8 / 9))
        for seed in range(options.first_seed, options.first_seed + count):
            jobs.append(Job(name, seed, size, options.model, options.through, kinds))
    return jobs


def one_thread() -> None:
    """Each of several processes keeps to one core."""
    import torch

    torch.set_num_threads(1)


def run(jobs: Sequence[Job], processes: int) -> Iterator[Row]:
    """Measure the clips, in order, in one process or several."""
    if processes == 1:
        yield from map(measure, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=one_thread) as pool:
        yield from pool.map(measure, jobs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="small")
    parser.add_argument("--through", choices=("kinds", "masks"), default="kinds")
    parser.add_argument("--seeds", type=int, default=5, help="clips per scene without an event")
    parser.add_argument("--occlusion-seeds", type=int, default=50)
    parser.add_argument("--event-seeds", type=int, default=15, help="exit, crossing, cut")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=480, help="frame height; events at half of it")
    parser.add_argument("--only", nargs="+", choices=SCENES)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--event-kinds", nargs="+", choices=KINDS, default=("masks",))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write scores here after every clip")
    options = parser.parse_args()
    jobs, rows = jobs_of(options), []
    for row in run(jobs, options.processes):
        rows.append(row)
        if options.json:
            options.json.write_text(to_json(rows), encoding="utf-8")
        print(f"{len(rows)}/{len(jobs)} {row.scene} {row.seed} J {row.j}", file=sys.stderr)
    print(table(rows))


if __name__ == "__main__":
    main()
