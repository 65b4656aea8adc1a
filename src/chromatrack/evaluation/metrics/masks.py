"""Scores of masks and colours: pure numpy functions that validate, compute and return numbers.

J and F follow the official DAVIS semi-supervised evaluation: region similarity J, boundary accuracy
F, the first (given) and the last frame left out, the mean over all objects of all sequences. What
was not predicted counts as empty: a miss counts against you. Scores are fractions in [0, 1].

A mask is (H, W) bool or integer, non-zero the object. InputError says that one is of another rank
or dtype, that two have two shapes, or that there is nothing to score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chromatrack.errors import InputError

Scores = dict[str, float]

BOUNDARY_TOLERANCE = 0.008
"""Tolerance of the boundary score, as a fraction of the image diagonal."""

SCORE_COLUMNS = (
    "J&F-Mean",
    "J-Mean",
    "J-Recall",
    "J-Decay",
    "F-Mean",
    "F-Recall",
    "F-Decay",
)
"""The field's column names, in the order of the official tables."""


@dataclass(frozen=True)
class SequenceScores:
    """`scores` has `SCORE_COLUMNS`, the mean over `objects`, which has them per object id."""

    scores: Scores
    objects: dict[int, Scores]


def jaccard(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Region similarity J of two masks: intersection over union; 1.0 when both are empty.

    Source: Perazzi et al. 2016, as the official evaluation computes it.
    """
    return _jaccard(*_foregrounds(prediction, truth))


def boundary_map(mask: np.ndarray) -> np.ndarray:
    """One-pixel boundary of a mask, (H, W) bool: pixels unlike the right, lower or diagonal one.

    Source: the boundary map of Martin et al. (Berkeley segmentation benchmark) that DAVIS uses: the
    lies half a pixel towards the origin, and the image's own frame is no boundary.
    """
    return _boundary_map(_foreground(mask, name="mask"))


def boundary_f(
    prediction: np.ndarray, truth: np.ndarray, *, tolerance: float = BOUNDARY_TOLERANCE
) -> float:
    """Boundary accuracy F of two masks: harmonic mean of precision and recall of boundary pixels.

    Source: Perazzi et al. 2016; a boundary pixel is matched when the other boundary comes within
    ceil(tolerance * diagonal) pixels (8 at 480x854), Euclidean, limit included.

    Args:
        tolerance: fraction of the image diagonal, above 0 and at most 1.

    Returns:
        F in [0, 1]; 1.0 when neither mask has a boundary, 0.0 when only one has.
    """
    predicted, true = _foregrounds(prediction, truth)
    window = _window(predicted | true)
    radius = _boundary_radius(true.shape, tolerance)
    return _boundary_f(predicted[window], true[window], radius=radius)


def frame_scores(
    prediction: np.ndarray | None, truth: np.ndarray, *, object_ids: Sequence[int]
) -> np.ndarray:
    """J and F of every object on one frame.

    Args:
        prediction: (H, W) integer object ids, 0 = background; None when the frame was not
            predicted, which counts as empty. Ids that are not in `object_ids` are background.
        truth: (H, W) integer object ids, 0 = background.
        object_ids: the K ids to score, none of them 0.

    Returns:
        (K, 2) float64, columns J and F, rows in the order of `object_ids`.
    """
    if prediction is None:
        prediction = np.zeros_like(truth)
    predicted, true = _foregrounds(prediction, truth)
    if 0 in object_ids:
        raise InputError("object_ids must be objects' ids; 0 is the background")
    radius = _boundary_radius(truth.shape, BOUNDARY_TOLERANCE)
    around = _window(predicted | true)  # of all objects: each is looked for in here only
    prediction, truth = prediction[around], truth[around]
    scores = np.empty((len(object_ids), 2))
    for row, object_id in enumerate(object_ids):
        predicted, true = prediction == object_id, truth == object_id
        window = _window(predicted | true)
        predicted, true = predicted[window], true[window]
        scores[row] = _jaccard(predicted, true), _boundary_f(predicted, true, radius=radius)
    return scores


def mean_recall_decay(values: np.ndarray) -> tuple[float, float, float]:
    """(mean, recall, decay) of one object's scores on the scored frames, (T,) float, T >= 1.

    Source: the official evaluation: recall is the share of frames above 0.5; decay is the mean of
    the first quarter minus the mean of the last, quarters that share their border frames. The
    official code wraps frame numbers above 255 (uint8); here they are integers.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise InputError(
            f"per-frame scores must be a vector of at least one finite number; got shape "
            f"{values.shape}"
        )
    edges = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(int)
    first, last = values[edges[0] : edges[1] + 1], values[edges[3] : edges[4] + 1]
    return float(values.mean()), float((values > 0.5).mean()), float(first.mean() - last.mean())


def sequence_scores(frames: Sequence[np.ndarray], *, object_ids: Sequence[int]) -> SequenceScores:
    """Scores of one sequence from its per-frame J and F; the first and last frame are left out.

    Args:
        frames: one (K, 2) array of `frame_scores` per frame, all T >= 3 frames of the sequence.
        object_ids: the K ids, in the order of the rows.

    Returns:
        The mean over the objects, and every object's own scores.
    """
    expected = (len(object_ids), 2)
    if not object_ids:
        raise InputError("a sequence needs at least one object to score; object_ids is empty")
    if len(frames) < 3:
        raise InputError(
            f"a sequence needs at least 3 frames, as its first and last are not scored; "
            f"got {len(frames)}"
        )
    wrong = next((frame.shape for frame in frames if frame.shape != expected), None)
    if wrong is not None:
        raise InputError(f"each frame's scores must have shape {expected}; got {wrong}")
    values = np.stack(frames[1:-1])
    objects = {
        object_id: _object_scores(values[:, row, 0], values[:, row, 1])
        for row, object_id in enumerate(object_ids)
    }
    return SequenceScores(scores=_mean_scores(objects.values()), objects=objects)


def dataset_scores(sequences: Mapping[str, SequenceScores]) -> Scores:
    """`SCORE_COLUMNS` of a data set: the mean over all objects of all sequences, given by name."""
    if not sequences:
        raise InputError("dataset scores need at least one sequence; got none")
    return _mean_scores(
        scores for sequence in sequences.values() for scores in sequence.objects.values()
    )


def psnr(image: np.ndarray, reference: np.ndarray, *, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, decibel; infinity when equal.

    Args:
        image: any shape, integer or float, values in [0, peak]; never rounded to uint8 here.
        reference: same shape.
        peak: the largest possible value: 255 for 8-bit RGB, 1 for RGB in [0, 1].
    """
    if image.shape != reference.shape or image.size == 0:
        raise InputError(
            f"psnr needs two non-empty arrays of one shape; got {image.shape} and {reference.shape}"
        )
    if not peak > 0:
        raise InputError(f"peak must be above 0; got {peak}")
    error = float(np.mean((image.astype(np.float64) - reference.astype(np.float64)) ** 2))
    if not math.isfinite(error):
        raise InputError("psnr needs finite values; an array holds NaN or infinity")
    return 10 * math.log10(peak * peak / error) if error > 0 else math.inf


def _object_scores(j: np.ndarray, f: np.ndarray) -> Scores:
    """`SCORE_COLUMNS` of one object from its (T,) J and F on the scored frames."""
    j_mean, j_recall, j_decay = mean_recall_decay(j)
    f_mean, f_recall, f_decay = mean_recall_decay(f)
    numbers = ((j_mean + f_mean) / 2, j_mean, j_recall, j_decay, f_mean, f_recall, f_decay)
    return dict(zip(SCORE_COLUMNS, numbers, strict=True))


def _mean_scores(scores: Iterable[Scores]) -> Scores:
    rows = list(scores)
    return {name: float(np.mean([row[name] for row in rows])) for name in SCORE_COLUMNS}


def _jaccard(predicted: np.ndarray, true: np.ndarray) -> float:
    union = np.count_nonzero(predicted | true)
    return float(np.count_nonzero(predicted & true) / union) if union else 1.0


def _boundary_map(inside: np.ndarray) -> np.ndarray:
    boundary = np.zeros_like(inside)
    boundary[:, :-1] |= inside[:, :-1] ^ inside[:, 1:]
    boundary[:-1, :] |= inside[:-1, :] ^ inside[1:, :]
    boundary[:-1, :-1] |= inside[:-1, :-1] ^ inside[1:, 1:]
    return boundary


def _boundary_radius(size: tuple[int, ...], tolerance: float) -> int:
    """Pixels within which a boundary is matched, in an image of `size` (height, width)."""
    if not 0 < tolerance <= 1:
        raise InputError(f"tolerance must be in (0, 1], a share of the diagonal; got {tolerance}")
    height, width = size
    return math.ceil(tolerance * math.sqrt(height * height + width * width))


def _window(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the (H, W) bool mask's True pixels, and one pixel around them.

    Boundaries of two masks whose union is `mask` lie in there, also where they meet the image's
    frame; so what the two score, they score in this window.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return slice(0, 1), slice(0, 1)
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    return slice(max(0, top - 1), bottom + 1), slice(max(0, left - 1), right + 1)


def _boundary_f(predicted: np.ndarray, true: np.ndarray, *, radius: int) -> float:
    """`boundary_f` of two (H, W) bool masks."""
    pitch = 8 * -(-(true.shape[1] + radius) // 8)
    predicted_line = _as_bits(_boundary_map(predicted), pitch=pitch)
    true_line = _as_bits(_boundary_map(true), pitch=pitch)
    if not predicted_line or not true_line:
        return float(predicted_line == true_line)
    near_true = _dilated(true_line, radius=radius, pitch=pitch)
    near_predicted = _dilated(predicted_line, radius=radius, pitch=pitch)
    precision = (predicted_line & near_true).bit_count() / predicted_line.bit_count()
    recall = (true_line & near_predicted).bit_count() / true_line.bit_count()
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def _as_bits(mask: np.ndarray, *, pitch: int) -> int:
    """An (H, W) bool mask as one number, a bit per pixel; rows begin `pitch` bits apart."""
    height, width = mask.shape
    rows = np.zeros((height, pitch), dtype=bool)
    rows[:, :width] = mask
    return int.from_bytes(np.packbits(rows).tobytes(), "big")


def _dilated(bits: int, *, radius: int, pitch: int) -> int:
    """Dilate with a disk, `radius` pixels included; of use where `_as_bits` has pixels.

    A disk is one run per row. Shifting the number moves all pixels at once, by 1 to the side or by
    `pitch` to the next row; rows lie at least `radius` bits apart, so none reaches into another.
    """
    runs = [bits]
    for reach in range(1, radius + 1):
        runs.append(runs[-1] | bits << reach | bits >> reach)
    disk = runs[radius]
    for dy in range(1, radius + 1):
        run = runs[math.isqrt(radius * radius - dy * dy)]
        disk |= run << dy * pitch | run >> dy * pitch
    return disk


def _foreground(mask: np.ndarray, *, name: str) -> np.ndarray:
    if mask.ndim != 2 or mask.size == 0:
        raise InputError(f"{name} must be a non-empty (H, W) mask; got shape {mask.shape}")
    if mask.dtype.kind not in "bui":
        raise InputError(
            f"{name} must be bool or integer; got {mask.dtype}: threshold a soft mask first"
        )
    return mask.astype(bool)


def _foregrounds(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    masks = _foreground(prediction, name="prediction"), _foreground(truth, name="truth")
    if prediction.shape != truth.shape:
        raise InputError(
            f"prediction and truth must have one shape; got {prediction.shape} and {truth.shape}: "
            "resize the prediction to the annotation"
        )
    return masks
