"""Where exactly a patch has gone: known shifts of a texture, on pixels and on features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from patch_encoders import SMOOTH_SPEC, image_of, smooth_patches, wave_frame

from chromatrack.ops.coords import cell_to_pixel, pixel_grid, pixel_to_cell
from chromatrack.ops.subpixel import (
    best_steps,
    patch_similarity,
    patches,
    sample,
    slide,
    square_offsets,
)

PIXELS = square_offsets(4, step=2.0)
SIZE = (72, 88)
PLACES = torch.tensor([[30.0, 36.0], [41.3, 40.7], [60.5, 33.25]])


def moved(texture_seed: int, shift: tuple[float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """The texture at rest and moved by `shift` px, `(3, H, W)` each."""
    return (
        image_of(wave_frame(size=SIZE, seed=texture_seed)),
        image_of(wave_frame(shift, size=SIZE, seed=texture_seed)),
    )


def test_offsets_are_a_square_around_zero_x_first():
    assert square_offsets(0).tolist() == [[0, 0]]
    offsets = square_offsets(1, step=2.0)
    assert offsets.dtype == torch.float32 and offsets.shape == (9, 2)
    assert offsets[:4].tolist() == [[-2, -2], [0, -2], [2, -2], [-2, 0]]
    assert not offsets.sum(0).any()


@given(st.floats(0, 11), st.floats(0, 6))
def test_sampling_reads_between_pixels_as_a_ramp_says(x, y):
    ramp = pixel_grid((7, 12), stride=1, offset=0).permute(2, 0, 1)
    found = sample(ramp, torch.tensor([x, y]))
    np.testing.assert_allclose(found.numpy(), [x, y], atol=1e-4)


def test_sampling_at_whole_positions_is_the_pixel_itself():
    maps = torch.rand(4, 5, 9, generator=torch.Generator().manual_seed(0))
    xy = torch.tensor([[0.0, 0.0], [8.0, 0.0], [3.0, 4.0]])
    expected = torch.stack([maps[:, 0, 0], maps[:, 0, 8], maps[:, 4, 3]])
    torch.testing.assert_close(sample(maps, xy), expected)


def test_outside_the_map_its_border_is_read():
    maps = torch.rand(2, 5, 9, generator=torch.Generator().manual_seed(1))
    xy = torch.tensor([[[-4.0, -9.0], [20.0, 2.0]]])
    found = sample(maps, xy)
    assert found.shape == (1, 2, 2)
    torch.testing.assert_close(found[0], torch.stack([maps[:, 0, 0], maps[:, 2, 8]]))


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1)])
def test_maps_of_a_single_row_or_column_can_be_sampled(size):
    maps = torch.full((3, *size), 0.4)
    found = sample(maps, torch.tensor([[0.0, 0.0], [2.0, 3.0]]))
    torch.testing.assert_close(found, torch.full((2, 3), 0.4))


def test_patches_are_positions_by_offsets_by_channels():
    ramp = pixel_grid((20, 20), stride=1, offset=0).permute(2, 0, 1)
    found = patches(ramp, torch.tensor([[5.5, 6.0], [9.0, 10.25]]), square_offsets(1))
    assert found.shape == (2, 9, 2)
    torch.testing.assert_close(found[1], torch.tensor([9.0, 10.25]) + square_offsets(1))


def test_similarity_of_a_patch_to_itself_is_one_and_to_its_negative_minus_one():
    a = torch.randn(4, 9, 6, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(patch_similarity(a, a), torch.ones(4))
    torch.testing.assert_close(patch_similarity(a, -a), -torch.ones(4))


@settings(max_examples=25)
@given(st.integers(-2, 2), st.integers(-2, 2))
def test_the_best_whole_step_is_found(dx, dy):
    maps = torch.nn.functional.normalize(
        torch.randn(16, 14, 15, generator=torch.Generator().manual_seed(3)), dim=0
    )
    places, around = torch.tensor([[6.0, 5.0], [8.0, 8.0]]), square_offsets(1)
    guess = places - torch.tensor([float(dx), float(dy)])
    templates = patches(maps, places, around)
    [(xy, score)] = best_steps(maps, [templates], guess, offsets=around, tries=square_offsets(2))
    assert torch.equal(xy, places)
    torch.testing.assert_close(score, torch.ones(2))


@settings(max_examples=25)
@given(st.integers(1, 70), st.integers(1, 40), st.integers(0, 5), st.booleans())
def test_steps_of_several_templates_are_those_of_each(points, channels, seed, blank):
    random = torch.Generator().manual_seed(seed)
    maps = torch.randn(channels, 9, 13, generator=random)
    around, tries = square_offsets(1), square_offsets(2)
    guess = torch.rand(points, 2, generator=random) * 12 - 1
    sought = [patches(maps, guess + torch.rand(2, generator=random), around) for _ in range(2)]
    if blank:
        sought[1] = torch.zeros_like(sought[1])
    found = best_steps(maps, sought, guess, offsets=around, tries=tries)
    for template, (xy, score) in zip(sought, found, strict=True):
        scores = [patch_similarity(patches(maps, guess + step, around), template) for step in tries]
        scored = torch.stack(scores)
        torch.testing.assert_close(score, scored.amax(0), atol=1e-5, rtol=0)
        taken = (xy[None] == guess + tries[:, None]).all(2)
        assert taken.any(0).all()
        reached = scored.masked_fill(~taken, -2).amax(0)
        torch.testing.assert_close(reached, scored.amax(0), atol=1e-5, rtol=0)


@settings(max_examples=15)
@given(st.floats(-3, 3), st.floats(-3, 3), st.integers(0, 5))
def test_a_shift_of_pixels_is_found_to_a_tenth(dx, dy, seed):
    still, shifted = moved(seed, (dx, dy))
    template = patches(still, PLACES, PIXELS)
    found = slide(shifted, template, PLACES, offsets=PIXELS, steps=12, reach=8.0)
    error = (found - PLACES - torch.tensor([dx, dy])).abs().max()
    assert float(error) < 0.1


@settings(max_examples=15)
@given(st.floats(-1.4, 1.4), st.floats(-1.4, 1.4), st.integers(0, 5))
def test_a_shift_of_features_is_found_to_less_than_half_a_cell(dx, dy, seed):
    still, shifted = moved(seed, (dx * SMOOTH_SPEC.stride, dy * SMOOTH_SPEC.stride))
    a, b = smooth_patches(still[None])[0], smooth_patches(shifted[None])[0]
    around = square_offsets(1)
    start = pixel_to_cell(PLACES, stride=SMOOTH_SPEC.stride, offset=SMOOTH_SPEC.offset)
    template = patches(a, start, around)
    [(step, _)] = best_steps(b, [template], start, offsets=around, tries=square_offsets(2))
    found = slide(b, template, step, offsets=around)
    assert float((found - start - torch.tensor([dx, dy])).abs().max()) < 0.5


@pytest.mark.parametrize(("stride", "offset"), [(4, 1.5), (8, 3.5), (8, 0.0)])
def test_cells_and_pixels_agree_on_where_a_point_is(stride, offset):
    # features that are the picture itself, averaged around each cell's own pixel position
    xy = pixel_grid((12, 16), stride=stride, offset=offset)
    place = torch.tensor([[37.25, 41.5]])
    cell = pixel_to_cell(place, stride=stride, offset=offset)
    torch.testing.assert_close(sample(xy.permute(2, 0, 1), cell), place)
    torch.testing.assert_close(cell_to_pixel(cell, stride=stride, offset=offset), place)


def test_what_has_not_moved_stays():
    still, _ = moved(0, (0, 0))
    found = slide(still, patches(still, PLACES, PIXELS), PLACES, offsets=PIXELS)
    torch.testing.assert_close(found, PLACES, atol=1e-3, rtol=0)


@settings(max_examples=15)
@given(st.floats(-0.15, 0.15))
def test_a_change_of_light_moves_nothing(light):
    still, shifted = moved(1, (1.2, -0.6))
    template = patches(still, PLACES, PIXELS)
    plain = slide(shifted, template, PLACES, offsets=PIXELS, reach=4.0)
    lit = slide(shifted + light, template, PLACES, offsets=PIXELS, reach=4.0)
    torch.testing.assert_close(lit, plain, atol=1e-3, rtol=0)


def test_what_would_go_further_than_its_reach_stays():
    still, shifted = moved(2, (2.5, 0))
    template = patches(still, PLACES, PIXELS)
    near = slide(shifted, template, PLACES, offsets=PIXELS, steps=12, reach=1.0)
    assert torch.equal(near, PLACES)
    far = slide(shifted, template, PLACES, offsets=PIXELS, steps=12, reach=4.0)
    assert float((far - PLACES - torch.tensor([2.5, 0.0])).abs().max()) < 0.1


def test_a_flat_patch_stays_where_it_was_guessed():
    flat = torch.full((3, 40, 40), 0.5)
    start = torch.tensor([[20.0, 20.0]])
    found = slide(flat, patches(flat, start, PIXELS), start, offsets=PIXELS)
    torch.testing.assert_close(found, start)


def test_a_stripe_moves_across_itself_and_not_along():
    x = torch.arange(60.0).expand(60, 60)
    stripes = [torch.cos((x - d) * 2 * torch.pi / 20)[None].repeat(3, 1, 1) for d in (0, 1.5)]
    start = torch.tensor([[30.0, 30.0]])
    template = patches(stripes[0], start, PIXELS)
    found = slide(stripes[1], template, start, offsets=PIXELS, reach=4.0)
    np.testing.assert_allclose(found.numpy(), [[31.5, 30.0]], atol=0.1)
