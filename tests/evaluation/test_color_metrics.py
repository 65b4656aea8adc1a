"""SSIM, CIEDE2000, CDC, colourfulness: against scikit-image, scipy, published numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from synthetic import still

from chromatrack.errors import InputError
from chromatrack.evaluation.metrics.color import (
    DISTANCES,
    ColorConsistency,
    ciede2000,
    colorfulness,
    psnr_wrapped,
    ssim,
)
from chromatrack.evaluation.metrics.masks import psnr

SHARMA = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425
50 3.1571 -77.2803 50 0 -82.7485 2.8615
50 2.8361 -74.02 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1
50 -1.1848 -84.8006 50 0 -82.7485 1
50 -0.9009 -85.5211 50 0 -82.7485 1
50 0 0 50 -1 2 2.3669
50 -1 2 50 0 0 2.3669
50 2.49 -0.001 50 -2.49 0.0009 7.1792
50 2.49 -0.001 50 -2.49 0.001 7.1792
50 2.49 -0.001 50 -2.49 0.0011 7.2195
50 2.49 -0.001 50 -2.49 0.0012 7.2195
50 -0.001 2.49 50 0.0009 -2.49 4.8045
50 -0.001 2.49 50 0.001 -2.49 4.8045
50 -0.001 2.49 50 0.0011 -2.49 4.7461
50 2.5 0 50 0 -2.5 4.3065
50 2.5 0 73 25 -18 27.1492
50 2.5 0 61 -5 29 22.8977
50 2.5 0 56 -27 -3 31.903
50 2.5 0 58 24 15 19.4535
50 2.5 0 50 3.1736 0.5854 1
50 2.5 0 50 3.2972 0 1
50 2.5 0 50 1.8634 0.5757 1
50 2.5 0 50 3.2592 0.335 1
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.263
61.2901 3.7196 -5.3901 61.4292 2.248 -4.962 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.694 23.0331 14.973 -42.5619 2.0373
36.4612 47.858 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.441 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.135 0.9033 -0.0636 -0.5514 0.9082
"""
"""L, a, b of two colours and their difference: table 1 of Sharma, Wu and Dalal 2005."""


def pictures(seed: int, size: tuple[int, int] = (24, 31)) -> tuple[np.ndarray, np.ndarray]:
    """A picture and a noisy copy, both `(H, W, 3)` uint8."""
    rng = np.random.default_rng(seed)
    truth = still(size, seed=seed)
    noisy = truth + rng.normal(0, rng.uniform(1, 60), truth.shape)
    return noisy.clip(0, 255).astype(np.uint8), truth


def reference_ssim(image: np.ndarray, truth: np.ndarray) -> float:
    return structural_similarity(
        image,
        truth,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=2,
    )


def lab_of(rgb: np.ndarray) -> np.ndarray:
    return np.moveaxis(rgb2lab(rgb), 2, 0)


# -- SSIM and PSNR -------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(11, 40), st.integers(11, 40))
@example(522, 11, 11)  # one bright window of little contrast
def test_ssim_and_psnr_are_scikit_images(seed, height, width):
    image, truth = pictures(seed, (height, width))
    assert ssim(image, truth) == pytest.approx(reference_ssim(image, truth), abs=2e-6)
    assert ssim(image, truth) == pytest.approx(ssim(truth, image), abs=1e-6)
    expected = peak_signal_noise_ratio(truth, image, data_range=255)
    assert psnr(image, truth) == pytest.approx(expected)


@pytest.mark.parametrize("value", [0, 100, 200, 255])
def test_ssim_of_even_pictures_is_that_of_their_light_alone(value):
    image, truth = (np.full((16, 20, 3), v, dtype=np.uint8) for v in (value, 201))
    light = (0.01 * 255) ** 2
    expected = (2 * value * 201 + light) / (value**2 + 201**2 + light)
    assert ssim(image, truth) == pytest.approx(expected, abs=1e-5)


def test_wrapped_psnr_hides_large_differences_and_is_psnr_where_they_are_small():
    picture = np.full((12, 12, 3), 100, np.uint8)
    assert psnr_wrapped(picture + 9, picture) == pytest.approx(psnr(picture + 9, picture))
    assert psnr_wrapped(picture + 16, picture) == math.inf, "16^2 wraps to 0"
    assert psnr_wrapped(picture + 60, picture) > psnr(picture + 60, picture) + 10
    assert psnr_wrapped(picture, picture + 9) == pytest.approx(psnr(picture + 9, picture))


def test_ssim_of_equal_pictures_is_exactly_one():
    _, truth = pictures(3)
    assert ssim(truth, truth) == 1
    assert ssim(truth / 255, truth / 255, peak=1) == 1
    inverted = ssim(255 - truth, truth)
    assert inverted < 0.2


@pytest.mark.parametrize("score", [ssim, psnr])
def test_pictures_of_other_sizes_and_nan_are_refused(score):
    truth = np.zeros((16, 16, 3), np.uint8)
    for other in (np.zeros((16, 17, 3)), np.zeros((16, 16, 1)), np.zeros((16, 16))):
        with pytest.raises(InputError):
            score(other, truth)
    with pytest.raises(InputError):
        score(np.zeros((0, 16, 3)), np.zeros((0, 16, 3)))
    with pytest.raises(InputError, match="finite"):
        score(np.full((16, 16, 3), np.nan), truth)
    with pytest.raises(InputError, match="peak"):
        score(truth, truth, peak=0)


def test_ssim_needs_room_for_its_window():
    with pytest.raises(InputError, match="11 pixels or more"):
        ssim(np.zeros((10, 40, 3)), np.zeros((10, 40, 3)))


# -- CIEDE2000 -----------------------------------------------------------------------------


def test_ciede2000_gives_the_published_pairs():
    rows = np.array([line.split() for line in SHARMA.split("\n") if line], dtype=float)
    assert len(rows) == 34
    first, second, published = rows[:, :3].T, rows[:, 3:6].T, rows[:, 6]
    np.testing.assert_allclose(ciede2000(first, second), published, atol=5.1e-5)
    np.testing.assert_allclose(ciede2000(second, first), published, atol=5.1e-5)


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_ciede2000_is_scikit_images(seed):
    labs = [lab_of(picture) for picture in pictures(seed)]
    expected = deltaE_ciede2000(*(np.moveaxis(lab, 0, 2) for lab in labs))
    found = ciede2000(*labs)
    assert found.shape == expected.shape and (found >= 0).all()
    np.testing.assert_allclose(found, expected, atol=1e-9)
    short = ciede2000(*(lab.astype(np.float32) for lab in labs))
    assert short.dtype == np.float32
    np.testing.assert_allclose(short, expected, atol=1e-3)


def test_equal_colors_differ_by_nothing_and_black_from_white_by_100():
    lab = lab_of(still((12, 15)))
    assert not ciede2000(lab, lab).any()
    greys = np.zeros((3, 4))
    assert not ciede2000(greys, greys).any(), "no hue at all"
    black, white = np.zeros((3, 1)), np.array([[100.0], [0], [0]])
    assert ciede2000(black, white) == pytest.approx(100)


def test_colors_that_do_not_fit_are_refused():
    lab = np.zeros((3, 4, 5))
    for other in (np.zeros((3, 4, 6)), np.zeros((3, 0, 5))):
        with pytest.raises(InputError, match="two"):
            ciede2000(other, lab)
    with pytest.raises(InputError, match="two"):
        ciede2000(np.zeros((4, 5, 3)), np.zeros((4, 5, 3)))
    with pytest.raises(InputError, match="floats"):
        ciede2000(np.zeros((3, 4, 5), np.uint8), lab)
    with pytest.raises(InputError, match="finite"):
        ciede2000(np.full((3, 4, 5), np.nan), lab)


# -- colourfulness -------------------------------------------------------------------------


def test_colorfulness_of_worked_pictures():
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    assert colorfulness(grey) == 0
    red = np.zeros((2, 4, 3), np.uint8)
    red[..., 0] = 200
    assert colorfulness(red) == pytest.approx(0.3 * math.hypot(200, 100)), "even: no spread"
    half = red.copy()
    half[0] = 0, 200, 0  # rg is -200 and 200, yb 100 everywhere
    assert colorfulness(half) == pytest.approx(200 + 0.3 * 100), "signs are kept"


def test_colorfulness_grows_with_saturation():
    picture = still((20, 20)).astype(float)
    grey = picture.mean(axis=2, keepdims=True)
    values = [colorfulness(grey + share * (picture - grey)) for share in (0, 0.3, 0.6, 1)]
    assert values[0] == pytest.approx(0, abs=1e-4) and values == sorted(values)


def test_colorfulness_refuses_what_is_no_picture():
    for wrong in (np.zeros((4, 4)), np.zeros((4, 4, 2)), np.zeros((0, 4, 3))):
        with pytest.raises(InputError, match="colorfulness"):
            colorfulness(wrong)
    with pytest.raises(InputError, match="finite"):
        colorfulness(np.full((4, 4, 3), np.nan))


# -- CDC -----------------------------------------------------------------------------------


def cdc(frames) -> float | None:
    consistency = ColorConsistency()
    for frame in frames:
        consistency.add(frame)
    return consistency.value


def defined_cdc(frames: list[np.ndarray]) -> float:
    """CDC as its definition reads: all histograms at once, scipy's Jensen-Shannon distance."""
    histograms = [
        [np.histogram(frame[..., c], bins=256, range=(0, 256), density=True)[0] for c in range(3)]
        for frame in frames
    ]
    by_distance = []
    for d in (1, 2, 4):
        pairs = zip(histograms, histograms[d:], strict=False)
        channels = [jensenshannon(p[c], q[c]) ** 2 for p, q in pairs for c in range(3)]
        by_distance.append(np.mean(channels))
    return float(np.mean(by_distance))


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.integers(5, 12))
def test_cdc_is_its_definition(seed, count):
    frames = [pictures(seed + i)[0] for i in range(count)]
    assert cdc(frames) == pytest.approx(defined_cdc(frames), rel=1e-9)


def test_cdc_of_what_does_not_change_is_nothing_and_of_all_change_ln_2():
    picture = still((9, 7))
    assert cdc([picture] * 6) == 0
    turned = [np.ascontiguousarray(picture[::-1]) if i % 2 else picture for i in range(6)]
    assert cdc(turned) == 0, "only the distribution counts"
    even = [np.full((4, 4, 3), 20 * i, np.uint8) for i in range(6)]
    assert cdc(even) == pytest.approx(math.log(2))


def test_cdc_needs_a_pair_at_every_distance():
    frames = [pictures(i)[0] for i in range(5)]
    assert max(DISTANCES) == 4
    for count in range(5):
        assert cdc(frames[:count]) is None
    assert cdc(frames) is not None


def test_cdc_refuses_what_is_no_frame():
    for wrong in (np.zeros((4, 4), np.uint8), np.full((4, 4, 3), np.nan), np.zeros((0, 4, 3))):
        with pytest.raises(InputError, match="uint8"):
            cdc([wrong])
