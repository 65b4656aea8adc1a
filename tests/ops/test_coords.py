"""Pixel centres: cell <-> pixel, rescaling, sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.ops.coords import (
    FeatureSpec,
    box_edges,
    cell_count,
    cell_to_pixel,
    centred_offset,
    edges_box,
    fit_size,
    image_size,
    inside_image,
    nearest_inside,
    pixel_grid,
    pixel_to_cell,
    rescale_box,
    rescale_points,
    share_to_pixel,
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


@given(
    sides, sides, st.integers(16, 600), st.sampled_from([1.0, 1.5, 2.0]), st.sampled_from([1, 2, 8])
)  # fmt: skip
def test_fit_size_keeps_the_aspect_and_enlarges_no_more_than_asked(
    height, width, short_side, enlarge, multiple
):
    fitted = fit_size((height, width), short_side=short_side, enlarge=enlarge, multiple=multiple)
    assert all(side % multiple == 0 and side >= multiple for side in fitted)
    scale = min(enlarge, short_side / min(height, width))
    for side, got in zip(fitted, (height, width), strict=True):
        assert abs(side - max(multiple, got * scale)) <= multiple / 2
        assert side <= enlarge * got + multiple / 2 or side == multiple


def test_fit_size_of_the_usual_cases():
    assert fit_size((1080, 1920), short_side=480) == (480, 853)
    assert fit_size((1920, 1080), short_side=480) == (853, 480)
    assert fit_size((90, 120), short_side=480) == (90, 120)  # by default nothing is enlarged
    assert fit_size((90, 120), short_side=480, enlarge=2) == (180, 240)
    assert fit_size((360, 640), short_side=480, enlarge=2) == (480, 853)
    assert fit_size((1080, 1920), short_side=480, enlarge=2) == (480, 853)


@given(sides, sides, st.sampled_from([1, 4, 5, 8]))
def test_cells_just_cover_the_image(height, width, stride):
    for cells, pixels in zip(
        cell_count((height, width), stride=stride), (height, width), strict=True
    ):
        assert (cells - 1) * stride < pixels <= cells * stride


def test_image_size_is_height_then_width():
    assert image_size(torch.zeros(2, 3, 5, 7)) == (5, 7)


def test_an_image_covers_its_pixels_to_their_outer_edges():
    xy = torch.tensor(
        [[[-0.5, -0.5], [31.5, 23.5], [0.0, 12.0]], [[-0.6, 3.0], [31.6, 3.0], [3.0, 23.6]]]
    )
    assert inside_image(xy, (24, 32)).tolist() == [[True] * 3, [False] * 3]


def test_pixel_grid_is_xy_of_every_cell():
    grid = pixel_grid((3, 4), stride=8, offset=3.5)
    assert grid.shape == (3, 4, 2) and grid.dtype == torch.float32
    assert grid[2, 1].tolist() == [11.5, 19.5]
    assert grid[0, 3].tolist() == [27.5, 3.5]


boxes = st.tuples(
    st.floats(-500, 2000), st.floats(-500, 2000), st.floats(0.1, 2000), st.floats(0.1, 2000)
)


def test_a_box_covers_its_pixels_to_their_outer_edges():
    assert box_edges((0, 0, 1, 1)) == (-0.5, -0.5, 0.5, 0.5)  # the top left pixel alone
    assert box_edges((3, 5, 10, 4)) == (2.5, 4.5, 12.5, 8.5)  # columns 3 .. 12, rows 5 .. 8


@given(boxes)
def test_edges_and_boxes_are_inverses(box):
    np.testing.assert_allclose(edges_box(box_edges(box)), box, atol=1e-9)


@given(sides, sides, sides, sides)
def test_the_box_of_a_whole_frame_is_rescaled_to_the_whole_frame(
    height, width, new_height, new_width
):
    moved = rescale_box(
        (0, 0, width, height), from_size=(height, width), to_size=(new_height, new_width)
    )
    np.testing.assert_allclose(moved, (0, 0, new_width, new_height), atol=1e-6)


@given(boxes, sides, sides, sides, sides)
def test_rescaling_a_box_scales_its_sides_and_comes_back(box, height, width, new_height, new_width):
    old, new = (height, width), (new_height, new_width)
    moved = rescale_box(box, from_size=old, to_size=new)
    np.testing.assert_allclose(moved[2], box[2] * new_width / width, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(moved[3], box[3] * new_height / height, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(rescale_box(moved, from_size=new, to_size=old), box, atol=1e-3)


def test_doubling_a_frame_doubles_a_box_around_the_same_pixels():
    assert rescale_box((3, 5, 10, 4), from_size=(40, 60), to_size=(80, 120)) == (6, 10, 20, 8)


def test_shares_of_the_frame_run_from_corner_to_corner():
    shares = np.array([[0, 0], [1, 1], [0.5, 0.25]])
    expected = [[-0.5, -0.5], [63.5, 31.5], [31.5, 7.5]]
    assert share_to_pixel(shares, size=(32, 64)).tolist() == expected
    small, large = (share_to_pixel(shares, size=size) for size in ((32, 64), (100, 90)))
    assert rescale_points(small, from_size=(32, 64), to_size=(100, 90)) == pytest.approx(large)


def test_the_nearest_place_inside():
    points = np.array([[-3.0, 5.0], [4.0, 31.6], [63.5, -0.5]])
    assert nearest_inside(points, size=(32, 64)).tolist() == [[-0.5, 5], [4, 31.5], [63.5, -0.5]]


@given(st.integers(0, 40), st.sampled_from([(8, 0.0), (8, 3.5), (4, 1.5)]), st.integers(0, 2))
def test_cells_stay_where_they_are_when_a_picture_is_halved(cell, grid, times):
    spec = FeatureSpec(3, *grid)
    small = spec.halved(times)
    at, smaller = (
        cell_to_pixel(torch.tensor(1.0 * cell), stride=s.stride, offset=s.offset)
        for s in (spec, small)
    )
    assert float(at) + 0.5 == pytest.approx((float(smaller) + 0.5) * 2**times)
