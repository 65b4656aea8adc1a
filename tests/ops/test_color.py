"""Colour: equal to scikit-image, round trips, gamut, codebook."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import lab2rgb, rgb2lab

from chromatrack.errors import InputError
from chromatrack.ops.color import dequantize, fit_codebook, lab_to_rgb, quantize, rgb_to_lab

seeds = st.integers(0, 2**31)


def random_rgb(seed: int, size: tuple[int, int] = (24, 32)) -> torch.Tensor:
    """(3, H, W) float32 in [0, 1] with black, white and the primaries among the colours."""
    rgb = torch.rand(3, *size, generator=torch.Generator().manual_seed(seed))
    corners = torch.tensor([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    rgb[:, 0, :8] = corners.T.float()
    rgb[:, 1, :8] = torch.linspace(0, 0.1, 8)
    return rgb


def by_pixel(image: torch.Tensor) -> np.ndarray:
    return image.movedim(-3, -1).double().numpy()


@settings(max_examples=15)
@given(seeds)
def test_rgb_to_lab_equals_scikit_image(seed):
    rgb = random_rgb(seed)
    np.testing.assert_allclose(by_pixel(rgb_to_lab(rgb)), rgb2lab(by_pixel(rgb)), atol=1e-3)


@settings(max_examples=15)
@given(seeds)
@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_lab_to_rgb_equals_scikit_image_also_outside_the_gamut(seed):
    lab = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(seed))
    lab = lab * torch.tensor([100.0, 160, 160])[:, None, None]
    lab = lab - torch.tensor([0.0, 80, 80])[:, None, None]
    np.testing.assert_allclose(by_pixel(lab_to_rgb(lab)), lab2rgb(by_pixel(lab)), atol=1e-3)


@settings(max_examples=15)
@given(seeds, st.sampled_from(["clip", "desaturate"]))
def test_round_trip_gives_the_colors_back(seed, gamut):
    rgb = random_rgb(seed)
    back = lab_to_rgb(rgb_to_lab(rgb), gamut=gamut)
    torch.testing.assert_close(back, rgb, atol=2e-3, rtol=0)


@settings(max_examples=15)
@given(seeds)
def test_desaturate_keeps_lightness_and_stays_in_range(seed):
    generator = torch.Generator().manual_seed(seed)
    lab = torch.rand(3, 24, 32, generator=generator) * 220 - 110
    lab[0] = torch.rand(24, 32, generator=generator) * 100
    rgb = lab_to_rgb(lab, gamut="desaturate")
    assert float(rgb.min()) >= 0 and float(rgb.max()) <= 1
    assert float((rgb_to_lab(rgb)[0] - lab[0]).abs().max()) < 0.1
    clipped = rgb_to_lab(lab_to_rgb(lab, gamut="clip"))[0]
    assert float((clipped - lab[0]).abs().max()) > 1  # the test's colours do leave the gamut


def test_known_colors():
    rgb = torch.tensor([[1.0, 0, 0.5], [1.0, 0, 0.5], [1.0, 0, 0.5]])[..., None]
    lab = rgb_to_lab(rgb)
    torch.testing.assert_close(lab[0, :, 0], torch.tensor([100.0, 0, 53.389]), atol=0.01, rtol=0)
    assert float(lab[1:].abs().max()) < 0.01


def test_batches_and_dtypes_go_through():
    rgb = torch.rand(2, 5, 3, 4, 6, dtype=torch.float64)
    lab = rgb_to_lab(rgb)
    assert lab.shape == rgb.shape and lab.dtype == torch.float64
    torch.testing.assert_close(lab[1, 3], rgb_to_lab(rgb[1, 3]))


@pytest.mark.parametrize("convert", [rgb_to_lab, lab_to_rgb])
@pytest.mark.parametrize(
    "image", [torch.zeros(4, 8, 8), torch.zeros(3, 8), torch.zeros(3, 8, 8, dtype=torch.uint8)]
)
def test_wrong_images_are_refused_with_what_came(convert, image):
    with pytest.raises(InputError, match=r"expected a float tensor .*got \("):
        convert(image)


def separated_clusters() -> tuple[torch.Tensor, torch.Tensor]:
    centres = torch.tensor([[-60.0, 20.0], [0.0, -50.0], [0.0, 50.0], [70.0, 10.0]])
    generator = torch.Generator().manual_seed(3)
    points = centres.repeat(100, 1) + torch.randn(400, 2, generator=generator)
    return points, centres


def test_codebook_finds_separated_clusters_in_order():
    points, centres = separated_clusters()
    codebook = fit_codebook(points[torch.randperm(len(points))], clusters=4)
    assert codebook.shape == (4, 2) and codebook.dtype == torch.float32
    near = torch.cdist(centres, codebook)
    assert float(near.amin(1).max()) < 0.5
    assert sorted(codebook.tolist()) == codebook.tolist()


def test_codebook_is_deterministic_in_its_seed():
    points = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) * 100 - 50
    first = fit_codebook(points, clusters=16, seed=5)
    torch.manual_seed(99)
    assert torch.equal(first, fit_codebook(points, clusters=16, seed=5))
    assert not torch.equal(first, fit_codebook(points, clusters=16, seed=6))


def test_codebook_of_fewer_colors_than_clusters_is_finite():
    codebook = fit_codebook(torch.zeros(10, 2), clusters=4)
    assert codebook.shape == (4, 2) and bool(torch.isfinite(codebook).all())


@pytest.mark.parametrize("ab", [torch.zeros(3, 2), torch.zeros(20, 3), torch.zeros(20)])
def test_codebook_refuses_too_few_or_other_points(ab):
    with pytest.raises(InputError, match=r"expected \(N, 2\) ab values with N >= 4"):
        fit_codebook(ab, clusters=4)


def test_quantize_takes_the_nearest_class():
    _, centres = separated_clusters()
    ab = torch.tensor([[-55.0, 1.0], [60.0, -2.0]])[None].movedim(-1, 1)  # (1, 2, 2 pixels)
    classes = quantize(ab[..., None], centres)
    assert classes.shape == (1, 2, 1) and classes.dtype == torch.int64
    assert classes.flatten().tolist() == [0, 3]


def test_quantize_and_dequantize_are_inverse_on_codebook_colors():
    codebook = fit_codebook(torch.rand(300, 2) * 100 - 50, clusters=16)
    image = codebook.T.reshape(2, 4, 4)
    classes = quantize(image, codebook)
    assert classes.flatten().tolist() == list(range(16))
    weights = torch.nn.functional.one_hot(classes, 16).movedim(-1, -3).float()
    torch.testing.assert_close(dequantize(weights, codebook), image)


def test_dequantize_is_the_weighted_mean():
    codebook = torch.tensor([[0.0, 10.0], [20.0, -10.0]])
    weights = torch.tensor([0.25, 0.75]).reshape(2, 1, 1).expand(2, 3, 5)
    ab = dequantize(weights, codebook)
    assert ab.shape == (2, 3, 5)
    assert ab[:, 1, 1].tolist() == [15.0, -5.0]


def test_dequantize_wants_a_channel_per_class():
    with pytest.raises(InputError, match=r"\(\.\.\., 2, H, W\)"):
        dequantize(torch.zeros(3, 4, 4), torch.zeros(2, 2))
