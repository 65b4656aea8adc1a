"""Motions of the plane over time: fit them to points, bridge gaps, smooth them. Pure numpy.

A motion is a row `(dx, dy, angle, log_scale)` about a pivot c: q = exp(log_scale) R(angle) (p - c)
+ c + (dx, dy), pixels and radians, x to the right, y down, positive angles from x to y. A row of
NaN is a motion that is not known.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np

Motion: TypeAlias = Literal["shift", "similarity"]
"""What may change: the place, or place, rotation and scale."""

ROBUST_FLOOR = 0.5
"""px: a spread of residuals below this is rounding, not a reason to doubt a point."""

ROBUST_ROUNDS = 10


def fit_motion(
    source: np.ndarray, target: np.ndarray, *, pivot: np.ndarray, motion: Motion, rounds: int = 0
) -> np.ndarray:
    """The motion that brings `source` onto `target` with the least weighted squared error.

    Umeyama (1991) in the plane, where it is one complex division. Weights are equal, then Cauchy,
    1 / (1 + (r / s)^2), s the median residual but at least `ROBUST_FLOOR` px.

    Args:
        source, target: (P, 2) float64 xy, px, P >= 1.
        pivot: (2,) xy of the returned motion.
        motion: "shift", or "similarity", which one point alone (or coinciding ones) leave a shift.
        rounds: how often it is fitted again with less weight for points far from the fit; one is
            enough for noise, `ROBUST_ROUNDS` for one wrong point among few.

    Returns:
        (4,) float64 dx, dy, angle, log_scale.
    """
    weight = np.ones(len(source))
    found = _weighted_motion(source, target, weight, pivot, motion)
    for _ in range(rounds):
        moved = apply_motion(motion_matrix(found, pivot=pivot), source)
        residual = np.hypot(*(moved - target).T)
        scale = max(ROBUST_FLOOR, float(np.median(residual)))
        weight = 1 / (1 + (residual / scale) ** 2)
        found = _weighted_motion(source, target, weight, pivot, motion)
    return found


def _weighted_motion(
    source: np.ndarray, target: np.ndarray, weight: np.ndarray, pivot: np.ndarray, motion: Motion
) -> np.ndarray:
    weight = weight / weight.sum()
    middle, aim = weight @ source, weight @ target
    a = 1.0 + 0.0j
    if motion == "similarity":
        z, w = _complex(source - middle), _complex(target - aim)
        spread = (weight * np.abs(z) ** 2).sum()
        turn = (weight * z.conj() * w).sum()
        # Points on one spot say nothing about rotation or scale.
        if spread > 1e-12 and abs(turn) > 1e-12 * spread:
            a = turn / spread
    shift = _complex(aim - pivot) - a * _complex(middle - pivot)
    return np.array([shift.real, shift.imag, np.angle(a), np.log(np.abs(a))])


def motion_matrix(motions: np.ndarray, *, pivot: np.ndarray) -> np.ndarray:
    """(..., 3, 3) float64 homogeneous matrices of (..., 4) motions about `pivot` (2,) px."""
    a = np.exp(motions[..., 3] + 1j * motions[..., 2])
    shift = _complex(pivot) * (1 - a) + _complex(motions[..., :2])
    matrix = np.zeros((*motions.shape[:-1], 3, 3))
    matrix[..., 0, 0] = matrix[..., 1, 1] = np.real(a)
    matrix[..., 1, 0], matrix[..., 0, 1] = np.imag(a), -np.imag(a)
    matrix[..., 0, 2], matrix[..., 1, 2] = np.real(shift), np.imag(shift)
    matrix[..., 2, 2] = 1
    return matrix


def matrix_motion(matrices: np.ndarray, *, pivot: np.ndarray) -> np.ndarray:
    """(..., 4) motions about `pivot` of (..., 3, 3) similarity matrices; undoes `motion_matrix`."""
    a = matrices[..., 0, 0] + 1j * matrices[..., 1, 0]
    shift = matrices[..., 0, 2] + 1j * matrices[..., 1, 2] - _complex(pivot) * (1 - a)
    return np.stack([shift.real, shift.imag, np.angle(a), np.log(np.abs(a))], axis=-1)


def apply_motion(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(..., 2) xy px of (..., 2) points moved by one (3, 3) matrix."""
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def is_known(points: np.ndarray) -> np.ndarray:
    """(...) bool: which of (..., 2) xy points are numbers, not NaN."""
    return np.isfinite(points[..., 0]) & np.isfinite(points[..., 1])


def shots(cuts: np.ndarray) -> list[slice]:
    """The stretches between cuts, of (N,) bool "a cut lies just before this frame"."""
    starts = [0, *(i for i in np.flatnonzero(cuts).tolist() if i > 0), len(cuts)]
    return [slice(a, b) for a, b in pairwise(starts) if b > a]


def bridge_gaps(motions: np.ndarray, times: np.ndarray, *, cuts: np.ndarray) -> np.ndarray:
    """Fill rows of NaN between known ones linearly in time; before and after them, the nearest.

    Nothing is carried over a cut; a shot of which nothing is known gets no motion at all.

    Args:
        motions: (N, 4). times: (N,) seconds, ascending. cuts: (N,) bool.

    Returns:
        (N, 4) float64 without NaN; angles run on without jumps of a full turn.
    """
    filled = np.zeros_like(motions)
    for shot in shots(cuts):
        rows = motions[shot]
        known = np.isfinite(rows).all(axis=1)
        if not known.any():
            continue
        values = rows[known].copy()
        values[:, 2] = np.unwrap(values[:, 2])
        when = times[shot]
        filled[shot] = np.stack([np.interp(when, when[known], v) for v in values.T], axis=1)
    return filled


def smooth_motions(
    motions: np.ndarray,
    times: np.ndarray,
    ends: np.ndarray,
    *,
    seconds: float,
    cuts: np.ndarray,
) -> np.ndarray:
    """Smooth every column with a Gaussian in time; a steady motion comes out as it was.

    At each frame a line is fitted, weighted by the Gaussian and by how long frames are shown, so
    that neither a variable frame rate nor the ends of a shot bend the path. Cuts separate.

    Args:
        motions: (N, 4) without NaN. times, ends: (N,) seconds when frames appear and vanish.
        seconds: standard deviation of the Gaussian, > 0.
        cuts: (N,) bool.

    Returns:
        (N, 4) float64.
    """
    smoothed = np.empty_like(motions)
    for shot in shots(cuts):
        when, shown, rows = times[shot], (ends - times)[shot], motions[shot]
        first = np.searchsorted(when, when - 4 * seconds)
        last = np.searchsorted(when, when + 4 * seconds, side="right")
        for i, (a, b) in enumerate(zip(first, last, strict=True)):
            away = (when[a:b] - when[i]) / seconds
            weight = shown[a:b] * np.exp(-0.5 * away**2)
            degree = min(1, b - a - 1)
            line = np.polyfit(away, rows[a:b], degree, w=np.sqrt(weight))
            smoothed[shot.start + i] = line[-1]  # its value at the frame's own time
    return smoothed


def _complex(xy: np.ndarray) -> np.ndarray:
    return xy[..., 0] + 1j * xy[..., 1]
