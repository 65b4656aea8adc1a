"""Scores of the labelled joint and box sets, as each set defines them: pure numpy.

A prediction that is NaN was not made and counts as wrong, unless a function says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from chromatrack.errors import InputError
from chromatrack.measure.track_metrics import pck, point_errors

BADJA_ALPHA = 0.2
"""A joint is right within this share of the square root of the animal's area."""

JHMDB_BODY = 0.6
"""A person's size, as a share of the diagonal of the box around all true joints."""

JHMDB_ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Shares of a person's size that are usually reported."""

Clip = tuple[np.ndarray, np.ndarray]
"""Predicted and true joints of one clip, each (T, J, 2) xy pixels."""


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

    Returns:
        0..1.

    Raises:
        InputError: shapes that do not fit, no joint to score, or a true place that is not finite.
    """
    predicted, truth = _pair(predicted, truth, "joints", rank=3)
    visible, areas = np.asarray(visible, dtype=bool), np.asarray(areas, dtype=np.float64)
    if visible.shape != truth.shape[:2] or areas.shape != truth.shape[:1]:
        raise InputError(
            f"joints of shape {truth.shape} need visible {truth.shape[:2]} and areas "
            f"{truth.shape[:1]}; came {visible.shape} and {areas.shape}"
        )
    counted = visible & visible[:1]
    counted[:1] = False
    if not counted.any():
        raise InputError(
            "no joint is visible both on the first and on a later frame; none to score"
        )
    lengths = np.broadcast_to(np.sqrt(areas)[:, None], counted.shape)[counted]
    return pck(point_errors(predicted[counted], truth[counted]), lengths, alpha=alpha)


def person_sizes(joints: np.ndarray) -> np.ndarray:
    """Size of a person per frame: 0.6 times the diagonal of the box around all true joints.

    Source: the pose propagation protocol on JHMDB, as CRW scores it (Jabri et al. 2020).

    Args:
        joints: (T, J, 2) float xy pixels, finite.

    Returns:
        (T,) float64 pixels.

    Raises:
        InputError: another shape, a number that is not finite, or all joints in one place.
    """
    joints = np.asarray(joints, dtype=np.float64)
    if joints.ndim != 3 or joints.shape[-1] != 2 or 0 in joints.shape:
        raise InputError(f"joints: expected (T, J, 2) xy pixels, came {joints.shape}")
    sizes = JHMDB_BODY * np.hypot(*np.moveaxis(np.ptp(joints, axis=1), -1, 0))
    if not np.isfinite(sizes).all() or (sizes == 0).any():
        raise InputError("joints: expected finite places that are not all one, came others")
    return sizes


def joint_rates(
    clips: Sequence[Clip], *, alpha: float, compat: Literal["crw"] | None = None
) -> np.ndarray:
    """How often each joint is right, over the frames of all clips, the first of each left out.

    Args:
        clips: (predicted, truth) of each clip, all with the same J; NaN: dropped, not predicted.
        alpha: a joint is right within this share of `person_sizes`, above 0.
        compat: None counts a dropped joint as wrong; "crw" leaves it out, as CRW's own code does.

    Returns:
        (J,) float64, 0..1; NaN for a joint that nothing is left of under "crw".

    Raises:
        InputError: no clip, shapes that do not fit, fewer than 2 frames, or such an option.
    """
    if compat not in (None, "crw"):
        raise InputError(f"compat: expected None or 'crw', came {compat!r}")
    if not clips or not alpha > 0:
        raise InputError(
            f"expected at least one clip and alpha above 0, came {len(clips)}, {alpha}"
        )
    pairs = [_pair(*clip, "joints", rank=3) for clip in clips]
    if len({truth.shape[1] for _, truth in pairs}) > 1 or any(len(t) < 2 for _, t in pairs):
        raise InputError("clips: expected one number of joints and 2 frames or more in each")
    errors = np.concatenate([point_errors(*pair)[1:] for pair in pairs])
    limits = np.concatenate([alpha * person_sizes(truth)[1:] for _, truth in pairs])
    counted = np.isfinite(errors) if compat == "crw" else np.ones_like(errors, dtype=bool)
    right, total = ((errors <= limits[:, None]) & counted).sum(axis=0), counted.sum(axis=0)
    return np.where(total > 0, right / np.maximum(total, 1), np.nan)


def jhmdb_pck(
    clips: Sequence[Clip], *, alpha: float = 0.1, compat: Literal["crw"] | None = None
) -> float:
    """PCK at `alpha`: the mean over the joints of `joint_rates`, whose arguments it takes.

    Returns:
        0..1; 0 when "crw" leaves nothing to score.
    """
    rates = joint_rates(clips, alpha=alpha, compat=compat)
    return float(np.nanmean(rates)) if np.isfinite(rates).any() else 0.0


def centre_errors(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance between the centres of boxes.

    Args:
        predicted: (..., 4) float x, y, width, height in pixels; NaN where there is none.
        truth: same shape, finite.

    Returns:
        (...) float64 pixels; infinity where nothing was predicted.

    Raises:
        InputError: two shapes, no box axis, or a truth that is not finite.
    """
    predicted, truth = _pair(predicted, truth, "boxes", rank=None)
    if truth.ndim == 0 or truth.shape[-1] != 4:
        raise InputError(f"boxes: expected (..., 4) x, y, width, height, came {truth.shape}")
    return point_errors(*(box[..., :2] + box[..., 2:] / 2 for box in (predicted, truth)))


def _pair(
    predicted: np.ndarray, truth: np.ndarray, what: str, *, rank: int | None
) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if a.shape != b.shape or (rank is not None and b.ndim != rank):
        raise InputError(f"{what}: expected two arrays of one shape, came {a.shape} and {b.shape}")
    return a, b
