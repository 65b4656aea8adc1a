"""Scene cuts: found where the scene is another one, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from patch_encoders import image_of, wave_frame
from synthetic import moving_clip

from chromatrack.ops.shot_boundary import CutDetector, color_histogram, correlation

TINTS = [(0.9, 0.4, 0.3), (0.3, 0.5, 1.0), (0.5, 1.0, 0.4)]


def shot(
    seed: int, count: int, *, step: tuple[float, float] = (2.0, 1.0), tint: int | None = None
) -> list[torch.Tensor]:
    """A texture of its own colours that moves `step` px a frame."""
    color = torch.tensor(TINTS[(seed if tint is None else tint) % 3])[:, None, None]
    frames = [wave_frame((step[0] * i, step[1] * i), seed=seed) for i in range(count)]
    return [image_of(frame) * color for frame in frames]


def cuts_of(images: Sequence[torch.Tensor]) -> list[int]:
    detector = CutDetector()
    return [index for index, image in enumerate(images) if detector.is_cut(image)]


def test_a_cut_is_found_on_the_first_frame_of_the_new_scene():
    assert cuts_of([*shot(0, 5), *shot(1, 5)]) == [5]


def test_every_cut_is_found_also_back_to_a_scene_seen_before():
    assert cuts_of([*shot(0, 4), *shot(1, 3), *shot(2, 5), *shot(0, 3)]) == [4, 7, 12]


def test_a_cut_right_after_the_first_frame_is_found():
    assert cuts_of([*shot(0, 1), *shot(1, 3)]) == [1]


def test_shots_of_one_frame_are_cuts_each():
    assert cuts_of([*shot(0, 4), *shot(1, 1), *shot(2, 4)]) == [4, 5]


@settings(max_examples=10)
@given(st.floats(-6, 6), st.floats(-6, 6), st.integers(0, 2))
def test_motion_is_no_cut(dx, dy, seed):
    assert cuts_of(shot(seed, 5, step=(dx, dy))) == []


def test_a_fast_pan_is_no_cut():
    clip = moving_clip(frames=6, size=(72, 104), camera_velocity=(9.0, 0.0), objects=2)
    images = [torch.from_numpy(f.rgb).permute(2, 0, 1).float() / 255 for f in clip]
    assert cuts_of(images) == []


def test_the_first_frame_and_still_frames_are_no_cuts():
    assert cuts_of(shot(0, 1) * 4) == []
    assert cuts_of([torch.zeros(3, 48, 64)] * 3) == []


def test_a_slow_fade_is_no_cut():
    a, b = shot(0, 1)[0], shot(1, 1)[0]
    assert cuts_of([a + (b - a) * i / 20 for i in range(21)]) == []


@pytest.mark.parametrize("gain", [0.7, 1.15])
def test_a_change_of_light_on_the_same_scene_is_no_cut(gain):
    images = shot(0, 8)
    assert cuts_of([*images[:4], *(image * gain for image in images[4:])]) == []


def test_something_that_comes_in_front_is_no_cut():
    images = shot(0, 6)
    other = shot(1, 1)[0]
    for index in range(2, 6):
        images[index][:, :, : 12 * (index - 1)] = other[:, :, : 12 * (index - 1)]
    assert cuts_of(images) == []


def test_noise_is_no_cut():
    generator = torch.Generator().manual_seed(0)
    images = [
        (image + 0.06 * torch.randn(image.shape, generator=generator)).clamp(0, 1)
        for image in shot(0, 6)
    ]
    assert cuts_of(images) == []


def test_the_same_frames_in_falling_order_have_the_same_cut():
    images = [*shot(0, 5), *shot(1, 4)]
    assert cuts_of(images[::-1]) == [4]  # between the same two frames


@given(st.integers(2, 30), st.integers(2, 30), st.floats(-0.5, 1.5))
def test_color_histograms_are_shares_of_the_pixels(height, width, value):
    histogram = color_histogram(torch.full((3, height, width), value))
    assert histogram.shape == (216,)
    np.testing.assert_allclose(float(histogram.sum()), 1, rtol=1e-5)
    assert float(histogram.max()) == 1  # one colour alone, also beyond [0, 1]


def test_colors_apart_fall_into_different_bins():
    image = torch.zeros(3, 8, 8)
    image[0, :, 4:] = 1
    assert sorted(color_histogram(image).tolist())[-2:] == [0.5, 0.5]


@given(st.floats(0.1, 3), st.floats(-2, 2))
def test_correlation_sees_neither_gain_nor_light(gain, light):
    a = torch.rand(6, 7, generator=torch.Generator().manual_seed(0))
    assert correlation(a, gain * a + light) == pytest.approx(1, abs=1e-4)
    assert correlation(a, light - gain * a) == pytest.approx(-1, abs=1e-4)


def test_flat_pictures_correlate():
    assert correlation(torch.zeros(4, 4), torch.ones(4, 4)) == 1
