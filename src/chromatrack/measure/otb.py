"""OTB, boxes of one object: read a sequence as published, track the box, score it.

    SEQUENCE/groundtruth_rect.txt    x, y, width, height per frame; comma, tab or space between
    SEQUENCE/img/0001.jpg

Pixels are counted from 1 in the file, so 1 is taken off x and y. A row with NaN or with no width or
height says that the object is absent there; such frames are left out of the two scores, as in the
published evaluation, and it is told apart how often an object was reported on them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from chromatrack.errors import LayoutError
from chromatrack.formats.boxes import BoxMark, TrackedBox
from chromatrack.measure.davis import IMAGE_SUFFIXES
from chromatrack.measure.kind_report import in_order
from chromatrack.measure.pose_metrics import centre_errors
from chromatrack.measure.track_metrics import box_iou, precision_at, success_auc

PRECISION_PIXELS = 20.0
"""Limit of the centre error that the field compares trackers at."""

OBJECT = 1
"""The id under which the object is tracked."""

SUCCESS, PRECISION = "success AUC", "precision@20"


class BoxFrame(Protocol):
    """What is read of a tracked frame."""

    @property
    def index(self) -> int: ...  # 0-based frame number

    @property
    def boxes(self) -> Mapping[int, TrackedBox]: ...


class BoxTracker(Protocol):
    """Anything that tracks a box through the frames of a folder, in order."""

    def track(
        self, video: Path, *, boxes: Sequence[BoxMark], start: int, end: int
    ) -> Iterable[BoxFrame]:
        """All `boxes` are marked on frame `start`; `end` is exclusive."""
        ...


@dataclass(frozen=True)
class OtbSequence:
    """One sequence: row t of `boxes` is frame `start + t` of the pictures in `folder`.

    boxes: (T, 4) float64 x, y, width, height in pixels, counted from 0; NaN where absent.
    """

    name: str
    folder: Path
    boxes: np.ndarray
    start: int


def read_otb(
    folder: str | PathLike[str], *, truth: str = "groundtruth_rect.txt", start: int | None = None
) -> OtbSequence:
    """Read one sequence, and check that every frame has a row.

    Args:
        folder: the sequence's folder, with img and the boxes.
        truth: the file of boxes; `groundtruth_rect.2.txt` is the second object of some sequences.
        start: 0-based picture of the first row; a few sequences are annotated from a later picture
            on, or not to the end. None expects a row for every picture.

    Raises:
        LayoutError: something is missing, a row is not a box, or rows and pictures do not fit.
    """
    base = Path(folder)
    images = base / "img"
    if not images.is_dir():
        raise LayoutError(f"'{base}' holds no img folder; expected OTB's img and {truth}")
    files = [path for path in images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    pictures = sum(not path.name.startswith(".") for path in files)
    boxes = _read_boxes(base / truth)
    fits = len(boxes) == pictures if start is None else 0 <= start <= pictures - len(boxes)
    if not fits:
        raise LayoutError(
            f"'{base / truth}' has {len(boxes)} rows and '{images}' {pictures} pictures; "
            "name the picture of the first row (start) if only some are annotated"
        )
    return OtbSequence(name=base.name, folder=images, boxes=boxes, start=start or 0)


def track_box(sequence: OtbSequence, *, tracker: BoxTracker) -> tuple[np.ndarray, np.ndarray]:
    """Track the first row's box.

    Returns:
        (T, 4) float64 x, y, width, height, NaN where the tracker gives no frame or no box (a best
        guess counts also where reported hidden); and (T,) bool, whether it is reported visible.

    Raises:
        InputError: the tracker's frames are not in order.
    """
    start, end = sequence.start, sequence.start + len(sequence.boxes)
    x, y, width, height = sequence.boxes[0].tolist()
    mark = BoxMark(id=OBJECT, frame=start, x=x, y=y, width=width, height=height)
    found = np.full(sequence.boxes.shape, np.nan)
    visible = np.zeros(len(found), dtype=bool)
    tracked = tracker.track(sequence.folder, boxes=[mark], start=start, end=end)
    for frame in in_order(tracked, name=sequence.name, start=start, end=end):
        box = frame.boxes.get(OBJECT)
        if box is not None:
            found[frame.index - start] = box.x, box.y, box.width, box.height
            visible[frame.index - start] = box.visible
    return found, visible


def evaluate_otb(sequences: Iterable[OtbSequence], *, tracker: BoxTracker) -> dict[str, Any]:
    """Track the box of every sequence from its first frame, and score it.

    Source: the one-pass evaluation of OTB (Wu et al. 2013), whose scores count the given first
    frame, too.

    Args:
        sequences: what `read_otb` gives.
        tracker: has `.track(folder, boxes=[BoxMark], start=, end=)`.

    Returns:
        {"benchmark", "scores": {"success AUC", "precision@20"}: means over the sequences,
        "sequences": {name: {the same, "frames": scored, "missing_frames": without a box,
        "absent_frames", "present_while_absent": share, NaN if never absent}}}.

    Raises:
        LayoutError: no sequence. InputError: see `track_box`.
    """
    reports: dict[str, dict[str, Any]] = {}
    for sequence in sequences:
        reports[sequence.name] = _scores(sequence.boxes, *track_box(sequence, tracker=tracker))
    if not reports:
        raise LayoutError("OTB: expected at least one sequence, came none")
    means = {
        name: float(np.mean([report[name] for report in reports.values()]))
        for name in (SUCCESS, PRECISION)
    }
    return {"benchmark": "otb", "scores": means, "sequences": reports}


def _scores(truth: np.ndarray, found: np.ndarray, visible: np.ndarray) -> dict[str, Any]:
    absent = np.isnan(truth).any(axis=1)
    predicted, true = found[~absent], truth[~absent]
    return {
        SUCCESS: success_auc(box_iou(predicted, true)),
        PRECISION: precision_at(centre_errors(predicted, true), PRECISION_PIXELS),
        "frames": len(true),
        "missing_frames": int(np.isnan(predicted).any(axis=1).sum()),
        "absent_frames": int(absent.sum()),
        "present_while_absent": float(visible[absent].mean()) if absent.any() else math.nan,
    }


def _read_boxes(path: Path) -> np.ndarray:
    """(T, 4) float64 x, y, width, height counted from 0; whole rows of NaN where absent."""
    try:
        lines = path.read_text("utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise LayoutError(f"cannot read '{path}': {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LayoutError(f"'{path}' is no text; expected x, y, width, height per line") from error
    if not lines:
        raise LayoutError(f"'{path}' is empty; expected x, y, width, height per line")
    boxes = np.array([_box(line, f"'{path}', line {n}") for n, line in enumerate(lines, start=1)])
    if np.isnan(boxes[0]).any():
        raise LayoutError(f"'{path}': the object is absent on the first frame; nothing to track")
    return boxes


def _box(line: str, where: str) -> tuple[float, float, float, float]:
    try:
        x, y, width, height = map(float, re.split(r"\s*[,;\s]\s*", line.strip()))
    except ValueError as error:
        raise LayoutError(
            f"{where}: expected the four numbers x, y, width, height; came {line!r:.60}"
        ) from error
    numbers = (x, y, width, height)
    if any(map(math.isnan, numbers)) or width == 0 or height == 0:
        return math.nan, math.nan, math.nan, math.nan
    if not all(map(math.isfinite, numbers)) or width < 0 or height < 0:
        raise LayoutError(f"{where}: expected a finite box of positive size; came {line!r:.60}")
    return x - 1, y - 1, width, height
