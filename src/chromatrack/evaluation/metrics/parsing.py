"""Scores of semantic parts over all pixels of a data set: pure numpy.

Pixels are counted once, in a confusion matrix of truth by prediction; matrices of frames and videos
add up, and scores are read from the sum. InputError says that arrays have other shapes or values.
"""

from __future__ import annotations

import math

import numpy as np

from chromatrack.errors import InputError


def confusion_matrix(predicted: np.ndarray, truth: np.ndarray, *, classes: int) -> np.ndarray:
    """How many pixels of each class were taken for which.

    Args:
        predicted: integer classes 0..classes - 1, any shape.
        truth: the same shape; pixels of other values (as 255, void) are left out.
        classes: how many there are, 0 (background) among them.

    Returns:
        (classes, classes) int64; rows are the truth, columns the prediction.
    """
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    if predicted.shape != truth.shape or predicted.size == 0:
        raise InputError(
            f"expected predicted and true classes of one shape, got {predicted.shape} and "
            f"{truth.shape}"
        )
    if predicted.dtype.kind not in "iub" or truth.dtype.kind not in "iub":
        raise InputError(f"expected integer classes, got {predicted.dtype} and {truth.dtype}")
    if predicted.min() < 0 or predicted.max() >= classes:
        raise InputError(
            f"predicted: expected classes 0 to {classes - 1}, got {predicted.min()} to "
            f"{predicted.max()}"
        )
    known = (truth >= 0) & (truth < classes)
    pairs = truth[known].astype(np.int64) * classes + predicted[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union of each class, (C,) float64, from (C, C) counts.

    NaN for a class that is neither in the truth nor predicted.
    """
    counts = _counts(confusion)
    right = np.diag(counts)
    return _shares(right, counts.sum(axis=0) + counts.sum(axis=1) - right)


def parsing_scores(confusion: np.ndarray) -> dict[str, float]:
    """Scores of (C, C) counts, class 0 background, as the literature on semantic parts has them.

    Returns:
        {"mIoU": mean of `class_iou`, "mIoU-parts": without background, "mean-accuracy": mean over
        the classes of the truth of the share of their pixels that is right, "pixel-accuracy": that
        of all pixels}, 0..1; NaN where there is nothing to count. Classes that are neither in the
        truth nor predicted are left out of means; one that is predicted alone has IoU 0.
    """
    counts, ious = _counts(confusion), class_iou(confusion)
    return {
        "mIoU": _mean(ious),
        "mIoU-parts": _mean(ious[1:]),
        "mean-accuracy": _mean(_shares(np.diag(counts), counts.sum(axis=1))),
        "pixel-accuracy": float(_shares(np.trace(counts), counts.sum())),
    }


def _counts(confusion: np.ndarray) -> np.ndarray:
    counts = np.asarray(confusion)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise InputError(f"confusion: expected (C, C) counts, got {counts.shape}")
    if counts.dtype.kind not in "iu" or counts.min() < 0:
        raise InputError("confusion: expected whole numbers of 0 or more, got others")
    return counts


def _shares(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), math.nan)


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan
