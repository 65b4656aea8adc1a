"""Signals and truth of tracked boxes, points and joints, for `place_reliability.py`."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chromatrack.cli.options import Evaluated, load_evaluated
from chromatrack.evaluation.datasets.badja import badja_benchmark
from chromatrack.evaluation.datasets.boxes import box_benchmark
from chromatrack.evaluation.datasets.davis import read_annotation, read_davis
from chromatrack.evaluation.datasets.jhmdb import jhmdb_benchmark
from chromatrack.evaluation.metrics.keypoints import person_sizes
from chromatrack.evaluation.synthetic.clips import TruthFrame, extent, scene
from chromatrack.ops.coords import box_iou
from chromatrack.propagation.point_reliability import RASTER, PointSignals
from chromatrack.structures import BoxMark, KeypointMark, PointMark
from chromatrack.video.reader import probe

SETS = ("davis-boxes", "boxes", "badja", "jhmdb", "synthetic")

SCENES = ("translation", "rotation", "deformation", "occlusion", "exit", "crossing")
"""Of the synthetic clips."""

FIRST_SEED = 200
"""Of the synthetic clips; lower ones served to tune the tracker."""

NO_BOX = (np.nan,) * 4

Row = dict[str, Any]


def box_rows(tracker: Any, name: str, video: Path, truth: np.ndarray, start: int) -> list[Row]:
    """Track the first of (T, 4) true boxes (NaN: none) from frame `start`."""
    mark = BoxMark(1, start, *truth[0].tolist())
    rows = []
    for frame in tracker.track(video, boxes=[mark], start=start, end=start + len(truth)):
        signals = frame.place_signals.get(("box", 1, 0))
        if signals is not None:
            box = frame.boxes[1]
            place = np.array([box.x, box.y, box.width, box.height])
            iou = float(box_iou(place, truth[frame.index - start]))
            told = {"kind": "box", "sequence": name, "frame": frame.index, "IoU": iou}
            rows.append(told | {"confidence": box.confidence, **asdict(signals)})
    return rows


def point_row(
    name: str, index: int, signals: PointSignals, apart: np.ndarray, scale: np.ndarray, body: float
) -> Row:
    """A point `apart` px from the truth. scale: raster px per px. body: the body's size, px."""
    far, share = float(np.hypot(*(apart * scale))), float(np.hypot(*apart)) / body
    told = {"kind": "point", "sequence": name, "frame": index, "apart": far, "share": share}
    return told | asdict(signals)


def joint_rows(
    tracker: Any, name: str, video: Path, truth: np.ndarray, bodies: np.ndarray, frames: range
) -> list[Row]:
    """Track (T, J, 2) true joints (NaN: not known), given on the first of T frames.

    bodies: (T,) size of the body, px.
    """
    info = probe(video)
    scale = RASTER / np.array([info.width, info.height])
    mark = KeypointMark(1, frames[0], truth[0], np.zeros(len(truth[0]), dtype=bool))
    rows, start, end = [], frames[0], frames[-1] + 1
    for frame in tracker.track(video, keypoints=[mark], start=start, end=end):
        if frame.index == start or frame.index not in frames:
            continue
        at = frames.index(frame.index)
        apart = frame.keypoints[1].joints - truth[at]
        for (kind, _, joint), signals in frame.place_signals.items():
            if kind == "joint" and np.isfinite(apart[joint]).all():
                told = point_row(name, frame.index, signals, apart[joint], scale, bodies[at])
                confidence = float(frame.keypoints[1].confidence[joint])
                rows.append(told | {"joint": joint, "confidence": confidence})
    return rows


def collect(asked: argparse.Namespace) -> Iterator[list[Row]]:
    """Rows of each sequence of a set."""
    settings = Evaluated(model=asked.model, size=asked.size)
    tracker: Any = load_evaluated(settings)
    names = asked.sequences
    if asked.set == "davis-boxes":
        for sequence in read_davis(asked.root, sequences=names).sequences:
            masks = [read_annotation(path, year=2016) > 0 for path in sequence.annotations]
            boxes = np.array([extent(m) if m.any() else NO_BOX for m in masks])
            yield box_rows(tracker, sequence.name, Path(sequence.folder), boxes, 0)
    elif asked.set == "boxes":
        for clip in box_benchmark(asked.root, sequences=names).clips:
            yield box_rows(tracker, clip.name, clip.video, clip.boxes, clip.start)
    elif asked.set == "badja":
        for clip in badja_benchmark(asked.root, asked.davis, sequences=names).clips:
            yield badja_rows(tracker, clip)
    elif asked.set == "jhmdb":
        for clip in jhmdb_benchmark(asked.root, sequences=names).clips:
            truth = clip.joints.copy()
            truth[:, ~clip.inside] = np.nan
            sizes = person_sizes(clip.joints, clip.counted)
            frames = range(clip.frame_count)
            yield joint_rows(tracker, clip.name, clip.video, truth, sizes, frames)
    else:
        for name in names or SCENES:
            for seed in range(FIRST_SEED, FIRST_SEED + asked.seeds):
                yield synthetic_rows(tracker, name, seed)


def badja_rows(tracker: Any, clip: Any) -> list[Row]:
    """Joints of an animal on the frames that are annotated, every fifth or so."""
    whole = np.full((clip.frame_count, *clip.joints.shape[1:]), np.nan)
    bodies = np.full(clip.frame_count, np.nan)
    at = np.array(clip.frames) - clip.frames[0]
    whole[at], bodies[at] = clip.joints, np.sqrt(clip.areas)
    frames = range(clip.frames[0], clip.frames[-1] + 1)
    return joint_rows(tracker, clip.name, clip.folder, whole, bodies, frames)


def synthetic_rows(tracker: Any, name: str, seed: int) -> list[Row]:
    """Points and boxes of a rendered clip; where they are hidden their true place counts."""
    size = (240, 426)
    with tempfile.TemporaryDirectory() as folder:
        truth: list[TruthFrame] = []
        for frame in scene(name, seed=seed, size=size):
            Image.fromarray(frame.rgb).save(Path(folder) / f"{frame.index:05d}.png")
            truth.append(replace(frame, rgb=frame.rgb[:0]))
        first, called = truth[0], f"{name}-{seed}"
        there = [i for i, seen in first.points_visible.items() if seen]
        marks = [PointMark(i, 0, *first.points[i]) for i in there]
        boxes = [BoxMark(i, 0, *first.boxes[i]) for i in first.tracked]
        rows = []
        scale = RASTER / np.array([size[1], size[0]])
        for frame in tracker.track(folder, points=marks, boxes=boxes):
            true = truth[frame.index]
            for (kind, i, _), signals in frame.place_signals.items():
                if signals is None:
                    continue
                told = {"seen": true.points_visible[i] if kind == "point" else true.present[i]}
                if kind == "point":
                    found = frame.points[i]
                    apart = np.array([found.x, found.y]) - true.points[i]
                    told |= point_row(called, frame.index, signals, apart, scale, np.inf)
                    told["confidence"] = found.confidence
                else:
                    box = frame.boxes[i]
                    place = np.array([box.x, box.y, box.width, box.height])
                    iou = float(box_iou(place, np.array(true.boxes.get(i, NO_BOX))))
                    told |= {"kind": "box", "sequence": called, "frame": frame.index, "IoU": iou}
                    told |= {"confidence": box.confidence, **asdict(signals)}
                rows.append(told)
    return rows
