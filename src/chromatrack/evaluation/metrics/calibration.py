"""How well a reliability tells good frames from bad ones, and what goes with what: pure numpy.

A reliability is a probability in [0, 1] that a frame is right. Three questions: does it order
frames (`auc`), are its values true (`reliability_bins`), and does it rest on something that goes
along with accuracy (`pearson`, `spearman`, with intervals over sequences)? InputError says that
shapes do not fit, values are not finite, or knobs are out of their range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from chromatrack.errors import InputError

Correlation = Literal["pearson", "spearman"]


def auc(scores: np.ndarray, positives: np.ndarray) -> float:
    """Area under the receiver operating characteristic: how often a positive scores higher.

    Source: Hanley and McNeil 1982: Mann and Whitney's U over the number of pairs; a tie counts
    one half. Of (N,) float and (N,) bool; NaN where all are positive or none is.
    """
    scores, positives = _pair(scores, positives, "scores", "positives")
    chosen = positives > 0
    hits, misses = int(chosen.sum()), int((~chosen).sum())
    if hits == 0 or misses == 0:
        return float("nan")
    u = ranks(scores)[chosen].sum() - hits * (hits + 1) / 2
    return float(u / (hits * misses))


@dataclass(frozen=True)
class ReliabilityBin:
    """Frames of like reliability: its mean, the share of them that is right, and their number."""

    low: float
    high: float
    reliability: float
    accuracy: float
    count: int


def reliability_bins(
    reliability: np.ndarray, right: np.ndarray, *, bins: int = 10, adaptive: bool = False
) -> list[ReliabilityBin]:
    """The reliability diagram: frames sorted into bins of like reliability; empty ones left out.

    Source: DeGroot and Fienberg 1983. Of (N,) float in [0, 1] and (N,) bool. `adaptive`: bins of
    equally many frames, not equally wide.
    """
    reliability, right = _pair(reliability, right, "reliability", "right")
    if bins < 1:
        raise InputError(f"bins: expected 1 or more, got {bins}")
    if reliability.min() < 0 or reliability.max() > 1:
        raise InputError(
            f"reliability: expected values from 0 to 1, got {reliability.min():g} to "
            f"{reliability.max():g}"
        )
    if adaptive:
        split = np.array_split(np.argsort(reliability, kind="stable"), bins)
        parts = [part for part in split if len(part)]
        edges = [(float(reliability[p].min()), float(reliability[p].max())) for p in parts]
    else:
        number = np.minimum((reliability * bins).astype(int), bins - 1)
        used = [n for n in range(bins) if (number == n).any()]
        parts = [np.flatnonzero(number == n) for n in used]
        edges = [(n / bins, (n + 1) / bins) for n in used]
    return [
        ReliabilityBin(
            low, high, float(reliability[part].mean()), float(right[part].mean()), len(part)
        )
        for (low, high), part in zip(edges, parts, strict=True)
    ]


def expected_calibration_error(
    reliability: np.ndarray, right: np.ndarray, *, bins: int = 10, adaptive: bool = False
) -> float:
    """Mean distance between reliability and share that is right, over the frames' bins.

    Source: Naeini et al. 2015. Arguments as of `reliability_bins`.
    """
    found = reliability_bins(reliability, right, bins=bins, adaptive=adaptive)
    total = sum(one.count for one in found)
    return sum(abs(one.reliability - one.accuracy) * one.count for one in found) / total


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation of two `(N,)`, N 2 or more; NaN where either is constant."""
    x, y = _pair(x, y, "x", "y", least=2)
    if x.min() == x.max() or y.min() == y.max():
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip((x @ y) / np.sqrt((x @ x) * (y @ y)), -1, 1))


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, ties sharing theirs."""
    x, y = _pair(x, y, "x", "y", least=2)
    return pearson(ranks(x), ranks(y))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 of `(N,)` values; equal ones share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]


@dataclass(frozen=True)
class CorrelationInterval:
    """A correlation and the percentile interval of its resamples."""

    value: float
    low: float
    high: float


def bootstrap_correlation(
    x: np.ndarray,
    y: np.ndarray,
    *,
    groups: Sequence[object] | np.ndarray | None = None,
    kind: Correlation = "pearson",
    coverage: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> CorrelationInterval:
    """A correlation with its interval over resampled groups (sequences), not single frames.

    Source: the percentile bootstrap (Efron) of clusters: frames of a sequence are alike, so whole
    sequences are drawn. Resamples in which something is constant are left out.

    Args:
        x, y: (N,) float. groups: (N,) what each value belongs to; None: every one to itself.
        coverage: of the interval.

    Returns:
        Value and interval; NaN where nothing can be said, the interval also with a single group.
    """
    x, y = _pair(x, y, "x", "y", least=2)
    if kind not in ("pearson", "spearman"):
        raise InputError(f"kind: expected pearson or spearman, got {kind!r}")
    if not 0 < coverage < 1:
        raise InputError(f"coverage: expected a share above 0 and below 1, got {coverage}")
    if samples < 1:
        raise InputError(f"samples: expected 1 or more, got {samples}")
    measure: Callable[[np.ndarray, np.ndarray], float] = pearson if kind == "pearson" else spearman
    members = _members(groups, len(x))
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(samples if len(members) > 1 else 0):
        rows = np.concatenate([members[g] for g in rng.integers(0, len(members), len(members))])
        drawn.append(measure(x[rows], y[rows]) if len(rows) > 1 else float("nan"))
    there = np.array(drawn)[np.isfinite(drawn)]
    if len(there) == 0:
        return CorrelationInterval(measure(x, y), float("nan"), float("nan"))
    low, high = np.quantile(there, [(1 - coverage) / 2, (1 + coverage) / 2])
    return CorrelationInterval(measure(x, y), float(low), float(high))


# -- calibration ---------------------------------------------------------------------------


def fit_logistic(inputs: np.ndarray, right: np.ndarray, *, ridge: float = 1.0) -> np.ndarray:
    """Weights of a logistic regression: right with probability 1 / (1 + exp(-(w[0] + w[1:] x))).

    Newton's steps on the log-likelihood minus ridge / 2 times the squared weights (not of w[0]).

    inputs: (N, D) float. right: (N,) bool. ridge: above 0, so that weights, (D + 1,), stay finite.
    """
    inputs = np.asarray(inputs, dtype=np.float64)
    right = np.asarray(right, dtype=np.float64)
    if inputs.ndim != 2 or right.shape != inputs.shape[:1] or not len(inputs):
        raise InputError(
            f"fit_logistic: expected inputs (N, D) and right (N,), got {inputs.shape} and "
            f"{right.shape}"
        )
    if not np.isfinite(inputs).all():
        raise InputError("fit_logistic: expected finite inputs, got NaN or infinity")
    if not ridge > 0:
        raise InputError(f"ridge: expected more than 0, got {ridge}")
    x = np.column_stack([np.ones(len(inputs)), inputs])
    shrink = np.diag([1e-6, *[ridge] * inputs.shape[1]])
    weights = np.zeros(x.shape[1])
    for _ in range(100):
        chance = logistic(x @ weights)
        slope = x.T @ (right - chance) - shrink @ weights
        curve = (x * (chance * (1 - chance))[:, None]).T @ x + shrink
        step = np.linalg.solve(curve, slope)
        weights = weights + step * min(1.0, 5.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return weights


def logistic(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) without overflow."""
    return (1 + np.tanh(np.asarray(logits) / 2)) / 2


def held_out(
    inputs: np.ndarray,
    right: np.ndarray,
    *,
    groups: Sequence[object] | np.ndarray,
    ridge: float = 1.0,
) -> np.ndarray:
    """Every row's probability from a fit to the other groups alone: `(N, D)`, `(N,)` -> `(N,)`."""
    members = _members(groups, len(inputs))
    if len(members) < 2:
        raise InputError(f"groups: expected two or more to hold one out, got {len(members)}")
    found = np.zeros(len(inputs))
    for rows in members:
        rest = np.setdiff1d(np.arange(len(inputs)), rows)
        weights = fit_logistic(inputs[rest], right[rest], ridge=ridge)
        found[rows] = logistic(weights[0] + inputs[rows] @ weights[1:])
    return found


# -- parts ---------------------------------------------------------------------------------


def _members(groups: Sequence[object] | np.ndarray | None, count: int) -> list[np.ndarray]:
    """Rows of each group, in order of first appearance."""
    if groups is None:
        return [np.array([row]) for row in range(count)]
    if len(groups) != count:
        raise InputError(f"groups: expected one for each of {count} values, got {len(groups)}")
    rows: dict[object, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return [np.array(found) for found in rows.values()]


def _pair(
    first: np.ndarray, second: np.ndarray, name: str, other: str, *, least: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Two (N,) float64 arrays of one length, checked."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < least:
        raise InputError(
            f"{name} and {other}: expected two arrays (N,) of one length, at least {least}, got "
            f"{a.shape} and {b.shape}"
        )
    for values, what in ((a, name), (b, other)):
        if not np.isfinite(values).all():
            raise InputError(f"{what}: expected finite values, got NaN or infinity")
    return a, b
