"""Scores of colours, and how far to trust their means: pure numpy functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chromatrack.errors import InputError

WITHIN = (2.0, 5.0, 10.0, 15.0, 20.0, 30.0)
"""Distances in the ab plane (Lab units) at which the accuracy curve is sampled."""


def ab_error(ab: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error over all pixels and both channels, Lab units.

    Args:
        ab: (2, H, W) float, Lab units. truth: same shape.

    Raises:
        InputError: other shapes, or values that are not finite.
    """
    return float(_differences(ab, truth).mean())


def ab_error_map(ab: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Absolute error of every pixel, the mean of both channels, Lab units: `(H, W)` float64.

    Args:
        ab: (2, H, W) float, Lab units. truth: same shape.

    Raises:
        InputError: other shapes, or values that are not finite.
    """
    return _differences(ab, truth).mean(axis=0)


def share_within(
    ab: np.ndarray, truth: np.ndarray, *, distances: Sequence[float] = WITHIN
) -> dict[float, float]:
    """Accuracy curve: share of pixels whose colour lies at most so far from the true one.

    Args:
        ab: (2, H, W) float, Lab units. truth: same shape.
        distances: Euclidean, in the ab plane, Lab units.

    Returns:
        {distance: share in [0, 1]}, not falling with the distance.

    Raises:
        InputError: other shapes, or values that are not finite.
    """
    apart = np.hypot(*_differences(ab, truth))
    return {distance: float((apart <= distance).mean()) for distance in distances}


def _differences(ab: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(2, H, W) float64, not negative."""
    if ab.shape != truth.shape or ab.ndim != 3 or ab.shape[0] != 2 or ab.size == 0:
        raise InputError(f"ab: expected two (2, H, W) arrays, came {ab.shape} and {truth.shape}")
    apart = np.abs(ab.astype(np.float64) - truth.astype(np.float64))
    if not np.isfinite(apart).all():
        raise InputError("ab: expected finite values, came NaN or infinity")
    return apart


def bootstrap_interval(
    values: Sequence[float], *, coverage: float = 0.95, samples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Interval of the mean of independent values: percentiles of the means of resamples.

    Source: Efron's percentile bootstrap. With clips as values it says how far the mean hangs on
    which clips were taken; of a single value it is that value twice.

    Raises:
        InputError: no value, or a coverage outside (0, 1).
    """
    if len(values) == 0:
        raise InputError("bootstrap_interval: expected at least one value, came none")
    if not 0 < coverage < 1:
        raise InputError(f"coverage: expected a share above 0 and below 1, came {coverage}")
    there = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(there), (samples, len(there)))
    low, high = np.quantile(there[drawn].mean(axis=1), [(1 - coverage) / 2, (1 + coverage) / 2])
    return float(low), float(high)
