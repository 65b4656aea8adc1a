"""Pixel centres: cell <-> pixel, rescaling, sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.coords import (
    cell_count,
    cell_to_pixel,
    centred_offset,
    fit_size,
    image_size,
    pixel_grid,
    pixel_to_cell,
    rescale_points,
)

sides = st.integers(1, 2000)


@given(st.lists(st.floats(-1e4, 1e4), min_size=1), st.integers(1, 32), st.floats(-16, 16))
def test_pixel_to_cell_inverts_cell_to_pixel(values, stride, offset):
    cells = np.array(values)
    pixels = cell_to_pixel(cells, stride=stride, offset=offset)
    np.testing.assert_allclose(
        pixel_to_cell(pixels, stride=stride, offset=offset), cells, atol=1e-9
    )


def test_a_cell_sits_at_stride_times_cell_plus_offset():
    cells = torch.tensor([[0.0, 1.0], [2.5, -1.0]])
    pixels = cell_to_pixel(cells, stride=8, offset=3.5)
    assert pixels.tolist() == [[3.5, 11.5], [23.5, -4.5]]


@given(sides, sides, sides, sides)
def test_rescaling_maps_image_corners_to_image_corners(height, width, new_height, new_width):
    corners = np.array([[-0.5, -0.5], [width - 0.5, height - 0.5], [width / 2 - 0.5, -0.5]])
    moved = rescale_points(corners, from_size=(height, width), to_size=(new_height, new_width))
    expected = [[-0.5, -0.5], [new_width - 0.5, new_height - 0.5], [new_width / 2 - 0.5, -0.5]]
    np.testing.assert_allclose(moved, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_rescaling_keeps_dtype_and_shape_and_returns(kind):
    array = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    points: Any = torch.from_numpy(array) if kind == "torch" else array
    moved = rescale_points(points, from_size=(40, 30), to_size=(80, 90))
    assert moved.shape == points.shape and moved.dtype == points.dtype
    back = rescale_points(moved, from_size=(80, 90), to_size=(40, 30))
    np.testing.assert_allclose(np.asarray(back), array, atol=1e-5)
    assert float(moved[0, 0, 0]) == 1.0  # x: (0 + 0.5) * 3 - 0.5
    assert float(moved[0, 0, 1]) == 2.5  # y: (1 + 0.5) * 2 - 0.5


@given(st.integers(1, 64))
def test_centred_offset_is_the_middle_of_the_first_block(stride):
    assert centred_offset(stride) == np.arange(stride).mean()


@given(sides, sides, st.integers(16, 600), st.sampled_from([1, 2, 8]))
def test_fit_size_never_enlarges_and_keeps_the_aspect(height, width, short_side, multiple):
    fitted = fit_size((height, width), short_side=short_side, multiple=multiple)
    assert all(side % multiple == 0 and side >= multiple for side in fitted)
    scale = min(1, short_side / min(height, width))
    for side, came in zip(fitted, (height, width), strict=True):
        assert abs(side - max(multiple, came * scale)) <= multiple / 2
        assert side <= came + multiple / 2 or side == multiple


def test_fit_size_of_the_usual_cases():
    assert fit_size((1080, 1920), short_side=480) == (480, 853)
    assert fit_size((1920, 1080), short_side=480) == (853, 480)
    assert fit_size((90, 120), short_side=480) == (90, 120)


@given(sides, sides, st.sampled_from([1, 4, 5, 8]))
def test_cells_just_cover_the_image(height, width, stride):
    for cells, pixels in zip(
        cell_count((height, width), stride=stride), (height, width), strict=True
    ):
        assert (cells - 1) * stride < pixels <= cells * stride


def test_image_size_is_height_then_width():
    assert image_size(torch.zeros(2, 3, 5, 7)) == (5, 7)


def test_pixel_grid_is_xy_of_every_cell():
    grid = pixel_grid((3, 4), stride=8, offset=3.5)
    assert grid.shape == (3, 4, 2) and grid.dtype == torch.float32
    assert grid[2, 1].tolist() == [11.5, 19.5]
    assert grid[0, 3].tolist() == [27.5, 3.5]
