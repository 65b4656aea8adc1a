"""Scores of colours, and how far to trust their means: pure numpy functions.

PSNR is in `masks`. What is not finite is refused, never skipped: InputError says so, as it does of
shapes that do not fit. `ab` and its truth are (2, H, W) float, Lab units.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from chromatrack.errors import InputError

WITHIN = (2.0, 5.0, 10.0, 15.0, 20.0, 30.0)
"""Distances in the ab plane (Lab units) at which the accuracy curve is sampled."""

WINDOW = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2)).astype(np.float32)
WINDOW /= WINDOW.sum()
"""Weights of SSIM's window along one axis: a Gaussian of 1.5 pixels, 11 pixels wide."""

DISTANCES = (1, 2, 4)
"""Frames between the two that CDC compares."""


def ab_error(ab: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error over all pixels and both channels, Lab units."""
    return float(_differences(ab, truth).mean())


def ab_error_map(ab: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Absolute error of every pixel, the mean of both channels, Lab units: `(H, W)` float64."""
    return _differences(ab, truth).mean(axis=0)


def share_within(
    ab: np.ndarray, truth: np.ndarray, *, distances: Sequence[float] = WITHIN
) -> dict[float, float]:
    """Accuracy curve, {distance: share of pixels whose colour is at most so far from the true}.

    distances: Euclidean, in the ab plane, Lab units.
    """
    apart = np.hypot(*_differences(ab, truth))
    return {distance: float((apart <= distance).mean()) for distance in distances}


def _differences(ab: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(2, H, W) float64, not negative."""
    if ab.shape != truth.shape or ab.ndim != 3 or ab.shape[0] != 2 or ab.size == 0:
        raise InputError(f"ab: expected two (2, H, W) arrays, got {ab.shape} and {truth.shape}")
    apart = np.abs(ab.astype(np.float64) - truth.astype(np.float64))
    if not np.isfinite(apart).all():
        raise InputError("ab: expected finite values, got NaN or infinity")
    return apart


def bootstrap_interval(
    values: Sequence[float], *, coverage: float = 0.95, samples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Interval of the mean of independent values: percentiles of the means of resamples.

    Source: Efron's percentile bootstrap. With clips as values it says how far the mean hangs on
    which clips were taken; of a single value it is that value twice.
    """
    if len(values) == 0:
        raise InputError("bootstrap_interval: expected at least one value, got none")
    if not 0 < coverage < 1:
        raise InputError(f"coverage: expected a share above 0 and below 1, got {coverage}")
    there = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(there), (samples, len(there)))
    low, high = np.quantile(there[drawn].mean(axis=1), [(1 - coverage) / 2, (1 + coverage) / 2])
    return float(low), float(high)


def psnr_wrapped(image: np.ndarray, reference: np.ndarray) -> float:
    """PSNR, dB, whose differences and squares wrap around at 256: wrong, and above the true one.

    Source: what public scripts of video colorization compute from 8-bit pictures. It is here to
    stand beside numbers that may have come of it, for nothing else. Of (H, W, 3) uint8; infinite
    where all squares wrap to 0.
    """
    _check_pictures(image, reference, name="psnr_wrapped")
    apart = image.astype(np.uint8) - reference.astype(np.uint8)
    error = float((apart * apart).mean(dtype=np.float64))
    return float("inf") if error == 0 else 10 * math.log10(255**2 / error)


def ssim(image: np.ndarray, reference: np.ndarray, *, peak: float = 255.0) -> float:
    """Structural similarity: the mean over channels and over all pixels whose window fits.

    Source: Wang et al. 2004 with their Gaussian window (sigma 1.5, 11 x 11 pixels); equal to
    scikit-image's `structural_similarity` with `gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=peak, channel_axis=2` within 2e-6.

    Args:
        image: (H, W, channels) integer or float, values in [0, peak]; sides of 11 pixels or more.
        reference: same shape.
        peak: the largest possible value: 255 for 8-bit RGB.

    Returns:
        [-1, 1]; exactly 1 when the two are equal.
    """
    _check_pictures(image, reference, name="ssim")
    if min(image.shape[:2]) < len(WINDOW):
        raise InputError(f"ssim: expected sides of {len(WINDOW)} pixels or more, got {image.shape}")
    if not peak > 0:
        raise InputError(f"peak: expected a value above 0, got {peak}")
    channels = range(image.shape[2])
    return float(np.mean([_ssim(image[..., c], reference[..., c], peak) for c in channels]))


def _ssim(image: np.ndarray, reference: np.ndarray, peak: float) -> float:
    """`ssim` of one channel; float32 is 2.5 times as fast as float64 and hardly away.

    Variances are those of values around a middle one: far from 0 float32 would lose their digits.
    """
    middle = np.float32((image.mean() + reference.mean()) / 2)
    x, y = image.astype(np.float32) - middle, reference.astype(np.float32) - middle
    moments = np.stack([x, y, x * x + y * y, x * y])
    mean_x, mean_y, squares, product = _windowed(_windowed(moments).swapaxes(1, 2))
    covariance = product - mean_x * mean_y
    variances = squares - (mean_x * mean_x + mean_y * mean_y)
    mean_x, mean_y = mean_x + middle, mean_y + middle
    light, contrast = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    shared = (2 * mean_x * mean_y + light) * (2 * covariance + contrast)
    apart = (mean_x * mean_x + mean_y * mean_y + light) * (variances + contrast)
    return float((shared / apart).mean(dtype=np.float64))


def _windowed(planes: np.ndarray) -> np.ndarray:
    """Weighted means over `WINDOW` along the middle axis of (P, H, W): (P, H - 10, W)."""
    reach = len(WINDOW) // 2
    inside = planes.shape[1] - 2 * reach
    total = planes[:, reach : reach + inside] * WINDOW[reach]
    for i in range(reach):
        mirrored = 2 * reach - i
        total += (planes[:, i : i + inside] + planes[:, mirrored : mirrored + inside]) * WINDOW[i]
    return total


def ciede2000(lab: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Colour difference as seen, per pixel; about 1 is just noticeable.

    Source: CIEDE2000 as in Sharma, Wu and Dalal 2005, k_L = k_C = k_H = 1, whose 34 test pairs it
    gives; equal to scikit-image's `deltaE_ciede2000`.

    Args:
        lab: (3, ...) float32 or float64, CIE Lab. truth: same shape.

    Returns:
        (...) in `lab`'s precision, not negative. float32 is twice as fast and 1e-4 away.
    """
    if lab.shape != truth.shape or lab.ndim < 2 or len(lab) != 3 or lab.size == 0:
        raise InputError(f"lab: expected two (3, ...) arrays, got {lab.shape} and {truth.shape}")
    if lab.dtype.kind != "f" or truth.dtype.kind != "f":
        raise InputError(f"lab: expected floats, got {lab.dtype} and {truth.dtype}")
    if not (np.isfinite(lab).all() and np.isfinite(truth).all()):
        raise InputError("lab: expected finite values, got NaN or infinity")
    light_1, a_1, b_1 = lab
    light_2, a_2, b_2 = truth
    widen = 1.5 - 0.5 * _saturation((np.hypot(a_1, b_1) + np.hypot(a_2, b_2)) / 2)
    chroma_1, hue_1 = _polar(a_1 * widen, b_1)
    chroma_2, hue_2 = _polar(a_2 * widen, b_2)
    turn = hue_2 - hue_1
    far = np.abs(turn) > np.pi  # the other way round is shorter
    turn = turn - np.where(far, np.copysign(2 * np.pi, turn), 0).astype(turn.dtype)
    hue = (hue_1 + hue_2) / 2 + np.where(far, np.pi, 0).astype(turn.dtype)
    chroma = (chroma_1 + chroma_2) / 2
    light = np.square((light_1 + light_2) / 2 - 50)
    d_light = (light_2 - light_1) / (1 + 0.015 * light / np.sqrt(20 + light))
    d_chroma = (chroma_2 - chroma_1) / (1 + 0.045 * chroma)
    d_hue = 2 * np.sqrt(chroma_1 * chroma_2) * np.sin(turn / 2)
    d_hue = d_hue / (1 + 0.015 * chroma * _hue_weight(hue))
    blues = np.exp(-np.square((np.degrees(hue) % 360 - 275) / 25))
    rotation = -2 * _saturation(chroma) * np.sin(math.radians(60) * blues)
    squares = np.square(d_light) + np.square(d_chroma) + np.square(d_hue)
    return np.sqrt(np.maximum(squares + rotation * d_chroma * d_hue, 0))


def _saturation(chroma: np.ndarray) -> np.ndarray:
    """sqrt(C^7 / (C^7 + 25^7)); products are many times faster than a power."""
    cube = chroma * chroma * chroma
    seventh = cube * cube * chroma
    return np.sqrt(seventh / (seventh + 25.0**7))


def _polar(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chroma, and hue in [0, 2 pi)."""
    hue = np.arctan2(b, a)
    return np.hypot(a, b), hue + np.where(hue < 0, 2 * np.pi, 0).astype(hue.dtype)


def _hue_weight(hue: np.ndarray) -> np.ndarray:
    """T of the formula, from the mean hue in radians."""
    return (
        1
        - 0.17 * np.cos(hue - math.radians(30))
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + math.radians(6))
        - 0.20 * np.cos(4 * hue - math.radians(63))
    )


def colorfulness(rgb: np.ndarray) -> float:
    """How colourful a picture looks: 0 grey, 33 moderately, 59 quite, 109 extremely so.

    Source: Hasler and Susstrunk 2003, M3, with signed rg = R - G and yb = (R + G) / 2 - B:
    the length of their standard deviations plus 0.3 times that of their means. Of (H, W, 3)
    integer or float, [0, 255].
    """
    _check_pictures(rgb, rgb, name="colorfulness")
    if rgb.shape[2] != 3:
        raise InputError(f"colorfulness: expected (H, W, 3), got {rgb.shape}")
    red, green, blue = np.moveaxis(rgb.astype(np.float32), 2, 0)
    opponents = (red - green, (red + green) / 2 - blue)
    spreads = [float(plane.std(dtype=np.float64)) for plane in opponents]
    means = [float(plane.mean(dtype=np.float64)) for plane in opponents]
    return math.hypot(*spreads) + 0.3 * math.hypot(*means)


class ColorConsistency:
    """CDC: how much the distribution of colours changes from frame to frame; 0: not at all.

    Source: Liu et al. 2021 (colour distribution consistency): the Jensen-Shannon divergence (nats)
    of the 256-bin histograms of a channel between frames i and i + d; the mean over all i, over the
    channels, and over d = 1, 2, 4. Memory: the last four histograms.

    >>> consistency = ColorConsistency()
    >>> for rgb in frames:
    ...     consistency.add(rgb)
    >>> consistency.value
    """

    def __init__(self) -> None:
        self._recent: deque[np.ndarray] = deque(maxlen=max(DISTANCES))
        self._sums = dict.fromkeys(DISTANCES, 0.0)
        self._counts = dict.fromkeys(DISTANCES, 0)

    def add(self, rgb: np.ndarray) -> None:
        """Count the next frame, `(H, W, 3)` uint8; InputError for anything else."""
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
            raise InputError(f"CDC: expected (H, W, 3) uint8 frames, got {rgb.shape} {rgb.dtype}")
        flat = rgb.reshape(-1, 3)
        counts = [np.bincount(flat[:, c], minlength=256) for c in range(3)]
        shares = np.stack(counts) / len(flat)
        for distance in DISTANCES:
            if distance <= len(self._recent):
                self._sums[distance] += _divergence(self._recent[-distance], shares)
                self._counts[distance] += 1
        self._recent.append(shares)

    @property
    def value(self) -> float | None:
        """CDC in [0, ln 2]; None for fewer than 5 frames, which have no pair at distance 4."""
        if not all(self._counts.values()):
            return None
        return float(np.mean([self._sums[d] / self._counts[d] for d in DISTANCES]))


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon divergence of (channels, bins) shares, nats, the mean over channels."""
    middle = (p + q) / 2
    both = np.stack([p, q])
    ratio = np.divide(both, middle, out=np.ones_like(both), where=both > 0)
    return float((both * np.log(ratio)).sum(axis=(0, 2)).mean() / 2)


def _check_pictures(image: np.ndarray, reference: np.ndarray, *, name: str) -> None:
    if image.shape != reference.shape or image.ndim != 3 or image.size == 0:
        raise InputError(
            f"{name}: expected (H, W, channels) pictures of one size, got {image.shape} and "
            f"{reference.shape}"
        )
    for picture in (image, reference):
        if picture.dtype.kind == "f" and not np.isfinite(picture).all():
            raise InputError(f"{name}: expected finite values, got NaN or infinity")
