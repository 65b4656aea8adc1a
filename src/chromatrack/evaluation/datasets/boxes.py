"""Boxes of one object, in sequences as OTB, VOT and TLD publish them: track the box, score it.

What is read, and how each counts pixels: `box_formats`. One pass from the first frame, which the
scores count, too, as OTB's one-pass evaluation (Wu et al. 2013) and TLD's do. Frames on which the
object is absent are left out of success, precision@20 and mean overlap; "found" judges them, too:
precision, recall and F of what the tracker reports visible, at an overlap above a half, as TLD
(Kalal et al. 2012) has it. Not VOT's own accuracy, robustness and EAO, which restart trackers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

import numpy as np

from chromatrack.evaluation.datasets.box_formats import BoxSequence, find_sequences
from chromatrack.evaluation.metrics.keypoints import centre_errors
from chromatrack.evaluation.metrics.tracks import (
    detection_scores,
    precision_at,
    success_auc,
)
from chromatrack.evaluation.runner import (
    AnyTracker,
    Benchmark,
    ClipReport,
    Result,
    Tick,
    chosen,
    in_order,
)
from chromatrack.ops.coords import box_iou
from chromatrack.structures import BoxMark

PRECISION_PIXELS = 20.0
"""Limit of the centre error that the field compares trackers at."""

OBJECT = 1
"""The id under which the object is tracked."""

SUCCESS, PRECISION, OVERLAP = "success AUC", "precision@20", "mean overlap"
FOUND = ("found precision", "found recall", "found F")
SCORES = (SUCCESS, PRECISION, OVERLAP, *FOUND)


def box_benchmark(
    root: str | PathLike[str], *, sequences: Iterable[str] | None = None
) -> Benchmark:
    """Find the sequences at or below a folder, each in its own layout.

    Args:
        root: one sequence's folder, or one that holds some. sequences: only these; by default all.

    Raises:
        LayoutError: no sequence there, or one that is not as published.
        InputError: an unknown name.
    """
    readers = chosen(find_sequences(root), sequences)
    return Benchmark(
        name="boxes",
        clips=tuple(read() for read in readers.values()),
        measure=measure_box,
        combine=combine_boxes,
        reads=(Path(root),),
    )


def track_box(
    sequence: BoxSequence, *, tracker: AnyTracker, tick: Tick | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Track the given box.

    Returns:
        (T, 4) float64 x, y, width, height, NaN where the tracker gives no frame or no box (a best
        guess counts also where reported hidden); and (T,) bool, whether it is reported visible.

    Raises:
        InputError: the tracker's frames are not in order.
    """
    start, end = sequence.start, sequence.start + len(sequence.boxes)
    x, y, width, height = sequence.first
    mark = BoxMark(id=OBJECT, frame=start, x=x, y=y, width=width, height=height)
    found = np.full(sequence.boxes.shape, np.nan)
    visible = np.zeros(len(found), dtype=bool)
    tracked = tracker.track(sequence.video, boxes=[mark], start=start, end=end)
    for frame in in_order(tracked, name=sequence.name, start=start, end=end, tick=tick):
        box = frame.boxes.get(OBJECT)
        if box is not None:
            found[frame.index - start] = box.x, box.y, box.width, box.height
            visible[frame.index - start] = box.visible
    return found, visible


def measure_box(
    sequence: BoxSequence,
    *,
    tracker: AnyTracker,
    folder: Path | None = None,
    tick: Tick | None = None,
) -> ClipReport:
    """Track the box of one sequence from its first frame, and score it.

    Args:
        tracker: has `.track(video, boxes=[BoxMark], start=, end=)`.
        folder: not used, nothing is saved.

    Returns:
        {score: 0..1 for every one of `SCORES`, "layout", "frames": with the object,
        "missing_frames": of these without a box, "absent_frames", "present_while_absent": share of
        these on which the object is reported, None if never absent}.

    Raises:
        InputError: see `track_box`.
    """
    found, visible = track_box(sequence, tracker=tracker, tick=tick)
    return {"layout": sequence.layout, **box_scores(found, visible, sequence.boxes)}


def box_scores(found: np.ndarray, visible: np.ndarray, truth: np.ndarray) -> ClipReport:
    """The scores of one sequence, as `measure_box` reports them.

    Args:
        found: (T, 4) float64 x, y, width, height, NaN where none. visible: (T,) bool, reported.
        truth: (T, 4), NaN where absent; present somewhere.

    Raises:
        InputError: two shapes, or an object that is never present.
    """
    ious, absent = box_iou(found, truth), np.asarray(np.isnan(truth).any(axis=1))
    predicted, true = found[~absent], truth[~absent]
    return {
        SUCCESS: success_auc(ious[~absent]),
        PRECISION: precision_at(centre_errors(predicted, true), PRECISION_PIXELS),
        OVERLAP: float(ious[~absent].mean()),
        **dict(zip(FOUND, detection_scores(ious, ~absent, visible), strict=True)),
        "frames": len(true),
        "missing_frames": int(np.isnan(predicted).any(axis=1).sum()),
        "absent_frames": int(absent.sum()),
        "present_while_absent": float(visible[absent].mean()) if absent.any() else None,
    }


def combine_boxes(reports: Mapping[str, ClipReport]) -> Result:
    """{"scores": {score: the mean over the sequences}}."""
    return {
        "scores": {
            name: float(np.mean([report[name] for report in reports.values()])) for name in SCORES
        }
    }
