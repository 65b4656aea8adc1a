"""Scores of tracked points as TAP-Vid defines them (Doersch et al. 2022): pure numpy.

Distances are pixels of a 256x256 frame, whatever the video's size. A prediction that is NaN was not
made: it is within no distance. Scores of a video are over its queries and frames together; those
of a data set are the mean over its videos. InputError says that shapes, frames or modes are others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from chromatrack.errors import InputError

QueryMode = Literal["first", "strided"]

THRESHOLDS = (1, 2, 4, 8, 16)
"""Pixels of the 256x256 frame."""

QUERY_STRIDE = 5
"""Frames from one query of a `strided` track to the next."""

TAPVID_COLUMNS = (
    "AJ", "delta_avg", "OA",
    *(f"jaccard_{pixels}" for pixels in THRESHOLDS),
    *(f"delta_{pixels}" for pixels in THRESHOLDS),
)  # fmt: skip
"""Average Jaccard, mean share of positions within the thresholds (the paper's <delta^x_avg),
occlusion accuracy; then both of the first at each threshold."""


def sample_queries(occluded: np.ndarray, *, queries: QueryMode) -> np.ndarray:
    """Which track is asked for from which frame.

    Args:
        occluded: (N, T) bool. queries: "first": every track from the first frame that shows it,
            tracks that no frame shows left out; "strided": from every 5th frame that shows it.

    Returns:
        (Q, 2) int: track and frame of each query; "first" by track, "strided" by frame.
    """
    occluded = np.asarray(occluded, dtype=bool)
    _check_mode(queries)
    if occluded.ndim != 2:
        raise InputError(f"occluded: expected (N, T) tracks by frames, got {occluded.shape}")
    if queries == "first":
        shown = np.flatnonzero(~occluded.all(axis=1))
        return np.stack([shown, (~occluded[shown]).argmax(axis=1)], axis=1)
    frames, tracks = np.nonzero(~occluded[:, ::QUERY_STRIDE].T)
    return np.stack([tracks, frames * QUERY_STRIDE], axis=1)


def evaluated_frames(query_frames: np.ndarray, count: int, *, queries: QueryMode) -> np.ndarray:
    """Which of the `count` frames count for each query: (Q,) frames -> (Q, T) bool.

    queries: "first": all after the query's; "strided": all but the query's.
    """
    _check_mode(queries)
    asked = np.asarray(query_frames)
    if asked.ndim != 1 or not ((asked >= 0) & (asked < count)).all():
        raise InputError(f"query frames: expected a vector of frames 0 to {count - 1}, got others")
    frames = np.arange(count)
    return frames > asked[:, None] if queries == "first" else frames != asked[:, None]


def tapvid_scores(
    predicted: np.ndarray,
    predicted_occluded: np.ndarray,
    truth: np.ndarray,
    occluded: np.ndarray,
    query_frames: np.ndarray,
    *,
    queries: QueryMode,
) -> dict[str, float]:
    """Every score of one video.

    At a threshold, true positives are visible, said to be, and nearer than it. Jaccard: true
    positives by (truly visible + said to be visible, but hidden or not near enough). delta: share
    of the truly visible that is near enough, whatever is said of their visibility. OA: share of
    the frames whose visibility is told rightly.

    Args:
        predicted: (Q, T, 2) float xy pixels of 256x256; NaN where there is none.
        predicted_occluded: (Q, T) bool.
        truth: (Q, T, 2) as `predicted`; finite where not occluded.
        occluded: (Q, T) bool. query_frames: (Q,) int. queries: see `evaluated_frames`.

    Returns:
        {column of `TAPVID_COLUMNS`: 0..1}; NaN where nothing counts: delta where no point is
        visible, Jaccard where in addition none is said to be, OA where there is no frame.
    """
    found, places = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    hidden, said = np.asarray(occluded, bool), ~np.asarray(predicted_occluded, bool)
    shape = hidden.shape
    if len(shape) != 2 or said.shape != shape or {found.shape, places.shape} != {(*shape, 2)}:
        raise InputError(
            "expected (Q, T, 2) places and (Q, T) occlusion, predicted and true; got "
            f"{found.shape}, {said.shape} and {places.shape}, {shape}"
        )
    if np.asarray(query_frames).shape != shape[:1]:
        raise InputError(f"expected a query frame for each of the {shape[0]} tracks, got others")
    if not np.isfinite(places[~hidden]).all():
        raise InputError("truth: expected finite places wherever a point is visible, got others")
    counted = evaluated_frames(query_frames, shape[1], queries=queries)
    seen = ~hidden & counted
    said_seen = said & counted
    distance = np.square(found - places).sum(axis=-1)
    scores = {"OA": _share((said == ~hidden) & counted, counted)}
    for pixels in THRESHOLDS:
        near = distance < pixels**2  # NaN is not near
        right = seen & said_seen & near
        wrong = said_seen & ~right
        scores[f"jaccard_{pixels}"] = _ratio(right.sum(), seen.sum() + wrong.sum())
        scores[f"delta_{pixels}"] = _share(seen & near, seen)
    scores["AJ"] = float(np.mean([scores[f"jaccard_{pixels}"] for pixels in THRESHOLDS]))
    scores["delta_avg"] = float(np.mean([scores[f"delta_{pixels}"] for pixels in THRESHOLDS]))
    return {column: scores[column] for column in TAPVID_COLUMNS}


def mean_scores(videos: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean of each column over the videos; a video where it is NaN (nothing counts) is left out."""
    if not videos:
        raise InputError("mean_scores: expected at least one video, got none")
    table = {column: [scores[column] for scores in videos] for column in TAPVID_COLUMNS}
    kept = {column: [v for v in values if not math.isnan(v)] for column, values in table.items()}
    return {column: float(np.mean(v)) if v else math.nan for column, v in kept.items()}


def _check_mode(queries: str) -> None:
    if queries not in ("first", "strided"):
        raise InputError(f"queries: expected 'first' or 'strided', got {queries!r}")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    return _ratio(part.sum(), whole.sum())
