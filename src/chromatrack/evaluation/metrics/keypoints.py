"""Scores of the labelled joint and box sets, as each set defines them: pure numpy.

A prediction that is NaN was not made and counts as wrong, unless a function says otherwise. Scores
are fractions, 0 to 1. InputError says that shapes do not fit, that there is nothing to score, or
that a true place is not finite.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from chromatrack.errors import InputError
from chromatrack.evaluation.metrics.tracks import pck, point_errors, same_shape

BADJA_ALPHA = 0.2
"""A joint is right within this share of the square root of the animal's area."""

JHMDB_BODY = 0.6
"""A person's size, as a share of the diagonal of the box around all true joints."""

PCK_ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Shares of a person's size that are usually reported."""

Compat = Literal["crw"] | None
"""None: honest, a joint that was not predicted is wrong. "crw": as CRW's published code scores."""

Counts = tuple[np.ndarray, np.ndarray]
"""(right, total): how often each of J joints was right, and judged; (J,) int64. They add up."""


def badja_accuracy(
    predicted: np.ndarray,
    truth: np.ndarray,
    visible: np.ndarray,
    areas: np.ndarray,
    *,
    alpha: float = BADJA_ALPHA,
) -> float:
    """Share of joints within `alpha * sqrt(area)`, over all joints and frames of a clip at once.

    Source: BADJA (Biggs et al. 2018). Only joints visible on the first frame, which is given, are
    tracked; each counts on every later frame on which it is visible.

    Args:
        predicted: (T, J, 2) float xy pixels; NaN where nothing was predicted.
        truth: (T, J, 2) float xy pixels; read only where `visible`.
        visible: (T, J) bool: the joint is annotated as visible.
        areas: (T,) pixels of the animal, above 0.
        alpha: share of the square root of the area, above 0.
    """
    predicted, truth = same_shape(predicted, truth, "joints", rank=3)
    visible, areas = np.asarray(visible, dtype=bool), np.asarray(areas, dtype=np.float64)
    if visible.shape != truth.shape[:2] or areas.shape != truth.shape[:1]:
        raise InputError(
            f"joints of shape {truth.shape} need visible {truth.shape[:2]} and areas "
            f"{truth.shape[:1]}; got {visible.shape} and {areas.shape}"
        )
    counted = visible & visible[:1]
    counted[:1] = False
    if not counted.any():
        raise InputError(
            "no joint is visible both on the first and on a later frame; none to score"
        )
    lengths = np.broadcast_to(np.sqrt(areas)[:, None], counted.shape)[counted]
    return pck(point_errors(predicted[counted], truth[counted]), lengths, alpha=alpha)


def person_sizes(joints: np.ndarray, counted: np.ndarray | None = None) -> np.ndarray:
    """Size of a person per frame: 0.6 times the diagonal of the box around all joints that count.

    Source: the pose propagation protocol on JHMDB, as CRW scores it (Jabri et al. 2020).

    Args:
        joints: (T, J, 2) float xy pixels, finite where counted.
        counted: (T, J) bool; by default all.

    Returns:
        (T,) float64 pixels; NaN where no joint counts, 0 where they are all in one place.
    """
    joints = np.asarray(joints, dtype=np.float64)
    if joints.ndim != 3 or joints.shape[-1] != 2 or 0 in joints.shape:
        raise InputError(f"joints: expected (T, J, 2) xy pixels, got {joints.shape}")
    counted = _counted(counted, joints.shape[:2])
    if not np.isfinite(joints[counted]).all():
        raise InputError("joints: expected finite places, got others")
    low = np.where(counted[..., None], joints, np.inf).min(axis=1)
    high = np.where(counted[..., None], joints, -np.inf).max(axis=1)
    some = np.asarray(counted.any(axis=1))
    sides = np.where(some[:, None], high, 0) - np.where(some[:, None], low, 0)
    return np.where(some, JHMDB_BODY * np.hypot(*sides.T), np.nan)


def joint_counts(
    errors: np.ndarray,
    lengths: np.ndarray,
    *,
    alpha: float,
    counted: np.ndarray | None = None,
) -> Counts:
    """How often each joint is right on a clip, its first frame left out.

    Args:
        errors: (T, J) float pixels; NaN or infinity: not predicted, wrong.
        lengths: (T,) float pixels: the person's size; a frame where it is NaN is not judged, and
            where it is 0 every joint is wrong.
        alpha: a joint is right up to this share of the length, above 0.
        counted: (T, J) bool, which joints are judged; by default all.

    Returns:
        (right, total): (J,) int64 each, right <= total.
    """
    errors, lengths = np.asarray(errors, dtype=np.float64), np.asarray(lengths, dtype=np.float64)
    if errors.ndim != 2 or len(errors) < 2 or lengths.shape != errors.shape[:1]:
        raise InputError(
            f"joint_counts: expected errors (T, J) of 2 frames or more and lengths (T,), got "
            f"{errors.shape} and {lengths.shape}"
        )
    if not alpha > 0:
        raise InputError(f"joint_counts: expected alpha above 0, got {alpha}")
    judged = _counted(counted, errors.shape) & np.isfinite(lengths)[:, None]
    near = (errors <= alpha * lengths[:, None]) & (lengths > 0)[:, None]
    return (near & judged)[1:].sum(axis=0), judged[1:].sum(axis=0)


def pose_counts(
    predicted: np.ndarray,
    truth: np.ndarray,
    *,
    alpha: float,
    counted: np.ndarray | None = None,
    compat: Compat = None,
) -> Counts:
    """How often each joint is within `alpha * person_sizes`, the first frame left out.

    Source: CRW's published evaluation (eval_pck), whose rule for dropped joints is `compat="crw"`:
    they are left out of the score, and of the box that gives the person's size.

    Args:
        predicted: (T, J, 2) float xy pixels; NaN: dropped, not predicted.
        truth: (T, J, 2) float xy pixels, finite where counted.
        alpha: share of the person's size, above 0.
        counted: (T, J) bool, which joints are annotated; by default all.
        compat: None counts a dropped joint as wrong, and does not judge a frame whose annotated
            joints are all in one place, as no size can be told from it.
    """
    if compat not in (None, "crw"):
        raise InputError(f"compat: expected None or 'crw', got {compat!r}")
    predicted, truth = same_shape(predicted, truth, "joints", rank=3)
    counted = _counted(counted, truth.shape[:2])
    errors = joint_errors(predicted, truth, counted)
    if compat == "crw":
        counted = counted & np.isfinite(errors)
    sizes = person_sizes(truth, counted)
    if compat is None:
        sizes[sizes == 0] = np.nan
    return joint_counts(errors, sizes, alpha=alpha, counted=counted)


def joint_errors(predicted: np.ndarray, truth: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Distance of every joint from its true place.

    Args:
        predicted, truth: (..., 2) float xy pixels. counted: (...) bool: the truth is annotated.

    Returns:
        (...) float64 pixels; infinity where nothing was predicted; what is not counted is not read.
    """
    return point_errors(predicted, np.where(counted[..., None], truth, 0))


def joint_rates(right: np.ndarray, total: np.ndarray) -> np.ndarray:
    """(J,) float64 share of right joints, 0..1, of (J,) counts; NaN for a joint never judged."""
    return np.where(total > 0, right / np.maximum(total, 1), np.nan)


def mean_rate(right: np.ndarray, total: np.ndarray) -> float:
    """PCK: the mean over joints of `joint_rates`, 0..1; NaN when no joint was ever judged."""
    rates = joint_rates(right, total)
    return float(np.nanmean(rates)) if np.isfinite(rates).any() else math.nan


def pooled_rate(right: np.ndarray, total: np.ndarray) -> float:
    """Share of right joints over all joints at once, 0..1; NaN when none was judged."""
    return float(right.sum() / total.sum()) if total.sum() else math.nan


def centre_errors(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance between the centres of boxes, (..., 4) float x, y, width, height -> (...) pixels.

    Infinity where nothing was predicted (NaN); the truth is finite.
    """
    predicted, truth = same_shape(predicted, truth, "boxes")
    if truth.ndim == 0 or truth.shape[-1] != 4:
        raise InputError(f"boxes: expected (..., 4) x, y, width, height, got {truth.shape}")
    return point_errors(*(box[..., :2] + box[..., 2:] / 2 for box in (predicted, truth)))


def _counted(counted: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    if counted is None:
        return np.ones(shape, dtype=bool)
    counted = np.asarray(counted, dtype=bool)
    if counted.shape != shape:
        raise InputError(f"counted: expected {shape} as the joints have, got {counted.shape}")
    return counted
