"""Scores of points, boxes, joints and hidden objects: pure numpy; a miss counts against you.

A prediction that is NaN was not made: its error is infinite and its overlap 0. The first frame is
the one that was given, and is left out wherever a function takes whole clips. Scores are fractions,
0 to 1. All functions raise InputError for shapes that do not fit, and for arrays that hold nothing
to score or numbers out of the stated range.
"""

from __future__ import annotations

import math

import numpy as np

from chromatrack.errors import InputError


def point_errors(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance of every predicted point from its true place.

    Args:
        predicted: (..., 2) float xy pixels; NaN where nothing was predicted.
        truth: same shape, finite.

    Returns:
        (...) float64 pixels; infinity where nothing was predicted.
    """
    predicted, truth = same_shape(predicted, truth, "predicted points and truth")
    if truth.ndim == 0 or truth.shape[-1] != 2:
        raise InputError(f"points: expected (..., 2) xy pixels, got {truth.shape}")
    if not np.isfinite(truth).all():
        raise InputError("true points: expected finite numbers, got NaN or infinity")
    errors = np.hypot(*np.moveaxis(predicted - truth, -1, 0))
    return np.where(np.isnan(errors), np.inf, errors)


def median_error(errors: np.ndarray, counted: np.ndarray) -> float:
    """Median point error in pixels, the first frame left out; infinity when half was missed.

    Args:
        errors: (T, P) float pixels of `point_errors`, infinity = missed.
        counted: (T, P) bool: the true point is visible there.
    """
    errors, counted = _clip(errors, counted, "errors and counted")
    chosen = np.where(np.isnan(errors), np.inf, errors)[counted.astype(bool)]
    if chosen.size == 0:
        raise InputError("median_error: expected a visible point after the first frame, got none")
    middle = np.sort(chosen)[[(chosen.size - 1) // 2, chosen.size // 2]]
    return float(middle.mean())


def visibility_accuracy(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Share of points, (T, P) bool, whose visibility is right, the first frame left out.

    Source: occlusion accuracy of TAP-Vid (Doersch et al. 2022).
    """
    predicted, truth = _clip(predicted, truth, "predicted visibility and truth")
    return float(np.mean(predicted.astype(bool) == truth.astype(bool)))


def precision_at(errors: np.ndarray, pixels: float) -> float:
    """Share of errors, of any shape, of at most `pixels` (above 0); NaN and infinity are misses."""
    errors = _filled(errors, "errors")
    if not pixels > 0:
        raise InputError(f"precision_at: expected a limit above 0 pixels, got {pixels}")
    return float(np.mean(errors <= pixels))


def pck(errors: np.ndarray, reference: np.ndarray | float, *, alpha: float = 0.2) -> float:
    """Share of correct keypoints: errors of at most `alpha` times a reference length.

    Args:
        errors: any shape, float pixels; NaN or infinity = missed = wrong.
        reference: pixels, above 0, a number or an array that broadcasts to `errors`.
        alpha: share of the reference length, above 0.
    """
    errors, lengths = _filled(errors, "errors"), np.asarray(reference, dtype=np.float64)
    try:
        lengths = np.broadcast_to(lengths, errors.shape)
    except ValueError as error:
        raise InputError(
            f"pck: expected reference lengths for errors of shape {errors.shape}, "
            f"got {lengths.shape}"
        ) from error
    if not (np.isfinite(lengths).all() and (lengths > 0).all() and alpha > 0):
        raise InputError("pck: expected reference lengths and alpha above 0, got one that is not")
    return float(np.mean(errors <= alpha * lengths))


def success_auc(ious: np.ndarray) -> float:
    """Area under the success plot: mean over thresholds 0, 0.05 .. 1 of the share above each.

    Source: the OTB benchmark (Wu et al. 2013), whose perfect score is 20/21, since no overlap is
    above 1. `ious`: any shape, 0..1; NaN = missed = 0.
    """
    ious = np.asarray(ious, dtype=np.float64)
    if ious.size == 0 or (ious < 0).any() or (ious > 1).any():
        raise InputError("success_auc: expected at least one overlap, all from 0 to 1")
    thresholds = np.arange(21) / 20
    return float(np.mean(np.nan_to_num(ious.ravel(), nan=0.0)[:, None] > thresholds))


def detection_scores(
    ious: np.ndarray, present: np.ndarray, reported: np.ndarray, *, least: float = 0.5
) -> tuple[float, float, float]:
    """Precision, recall and F of an object that may be absent, over all frames of a clip.

    Source: TLD (Kalal et al. 2012): a detection is right when its overlap with the true box is
    larger than a half. Saying that an absent object is there costs precision.

    Args:
        ious: (T,) overlaps, 0..1; NaN = 0. present: (T,) bool, true, on some frame. reported: (T,)
            bool: the tracker says that it sees the object. least: the overlap to be larger than.

    Returns:
        (precision, recall, F); precision 0 where nothing was reported.
    """
    ious, present = same_shape(ious, present, "ious and present")
    _, reported = same_shape(ious, reported, "ious and reported")
    there, said = present > 0, reported > 0
    if not there.any():
        raise InputError("detection_scores: expected an object that is present, got none")
    right = int((there & said & (np.nan_to_num(ious, nan=0.0) > least)).sum())
    precision = right / int(said.sum()) if said.any() else 0.0
    recall = right / int(there.sum())
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both > 0 else 0.0


def reappearance(visible_share: np.ndarray, *, least: float = 0.5) -> int:
    """First frame on which an object is back: at least `least` visible, to the clip's end.

    visible_share: (T,) float, true visible share of the object's area; it is hidden somewhere, but
    not on the last frame.
    """
    shares = _filled(visible_share, "visible_share")
    if shares.ndim != 1 or (shares < 0).any() or (shares > 1).any():
        raise InputError(f"visible_share: expected (T,) shares from 0 to 1, got {shares.shape}")
    hidden = np.flatnonzero(shares < least)
    if hidden.size == 0 or hidden[-1] == len(shares) - 1:
        raise InputError("visible_share: expected an object that is hidden once and comes back")
    return int(hidden[-1]) + 1


def refound(
    ious: np.ndarray, visible_share: np.ndarray, *, within: int = 15, least: float = 0.5
) -> bool:
    """Whether a hidden object was found again, and kept.

    Found: its overlap with the right object reaches `least` on one of the `within` frames from its
    re-appearance on. Kept: the mean overlap of the clip's last 5 frames is at least `least`.

    Args:
        ious: (T,) overlap of the predicted mask with the right object; NaN = 0.
        visible_share: as in `reappearance`.
    """
    ious, shares = same_shape(ious, visible_share, "ious and visible_share")
    back = reappearance(shares)
    ious = np.nan_to_num(ious, nan=0.0)
    found = bool((ious[back : back + within] >= least).any())
    return found and float(ious[max(back, len(ious) - 5) :].mean()) >= least


def wrong_taken(right: np.ndarray, wrong: np.ndarray, *, after: int, at_least: int = 3) -> bool:
    """Whether the look-alike was tracked in place of the object after its re-appearance.

    Args:
        right, wrong: (T,) pixels of the predicted mask on the right object, and on the look-alike.
        after: first frame that counts.
        at_least: frames on which the look-alike must hold more of the mask; the last frame alone
            is enough, too.
    """
    right, wrong = same_shape(right, wrong, "right and wrong")
    if right.ndim != 1 or not 0 <= after < len(right):
        raise InputError(
            f"wrong_taken: expected (T,) pixels and a frame among them, got {right.shape}, {after}"
        )
    taken = (wrong > right)[after:]
    return bool(taken.sum() >= at_least or taken[-1])


def present_while_hidden(present: np.ndarray, visible_share: np.ndarray) -> float:
    """Share of the frames that show nothing of an object on which it was reported present.

    present: (T,) bool. visible_share: (T,) true visible share. NaN when some of it always is.
    """
    present, shares = same_shape(present, visible_share, "present and visible_share")
    if present.ndim != 1:
        raise InputError(f"present: expected (T,) frames, got {present.shape}")
    hidden = shares == 0
    return float(np.mean(present[hidden] > 0)) if hidden.any() else math.nan


def same_shape(
    a: np.ndarray, b: np.ndarray, what: str, *, rank: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays as float64; InputError unless they have one shape (of so many axes)."""
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or rank not in (None, first.ndim):
        raise InputError(f"{what}: expected one shape, got {first.shape} and {second.shape}")
    return first, second


def _clip(a: np.ndarray, b: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Both (T, P) without their first frame."""
    first, second = same_shape(a, b, what)
    if first.ndim != 2 or len(first) < 2 or first.shape[1] == 0:
        raise InputError(f"{what}: expected (T, P) with 2 frames or more, got {first.shape}")
    return first[1:], second[1:]


def _filled(values: np.ndarray, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise InputError(f"{name}: expected at least one value, got none")
    return array
