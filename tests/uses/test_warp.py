from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import still

from chromatrack.errors import InputError
from chromatrack.uses.plane_motion import motion_matrix
from chromatrack.uses.warp import Framing, Warp, crop_framing

SIZE = (96, 160)
MIDDLE = np.array([79.5, 47.5])


def moves(*rows: tuple[float, float, float, float], size=SIZE) -> np.ndarray:
    return motion_matrix(np.array(rows), pivot=np.array([size[1] - 1, size[0] - 1]) / 2)


@pytest.mark.parametrize("fill", ["black", "edge", "blur", "crop"])
@pytest.mark.parametrize("size", [(96, 160), (33, 47), (1, 1)])
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_no_motion_leaves_every_pixel(fill, size, kind):
    most = np.iinfo(kind).max
    rgb = np.random.default_rng(0).integers(0, most, (*size, 3), endpoint=True).astype(kind)
    np.testing.assert_array_equal(Warp(Framing(size), fill=fill)(rgb, np.eye(3)), rgb)


@pytest.mark.parametrize("fill", ["black", "edge", "blur"])
def test_a_shift_of_whole_pixels_moves_them_exactly(fill):
    rgb = still(SIZE)
    moved = Warp(Framing(SIZE), fill=fill)(rgb, moves((7, -5, 0, 0))[0])
    np.testing.assert_array_equal(moved[:-5, 7:], rgb[5:, :-7])
    outside = moved[:-6, :6]
    if fill == "black":
        assert outside.max() == 0
    elif fill == "edge":
        np.testing.assert_array_equal(outside, np.repeat(rgb[5:-1, :1], 6, axis=1))
    else:
        assert outside.std() < rgb[:, :20].std() and outside.mean() > 20


@pytest.mark.parametrize("fill", ["black", "edge", "blur"])
def test_a_deep_frame_is_moved_as_a_shallow_one(fill):
    rgb, matrix = still(SIZE), moves((6.3, -4.4, 0.02, 0.1))[0]
    move = Warp(Framing(SIZE), fill=fill)
    deep = move(rgb.astype(np.uint16) * 257, matrix)
    assert deep.dtype == np.uint16
    np.testing.assert_allclose(deep / 257, move(rgb, matrix).astype(float), atol=0.51)


def test_a_half_turn_is_exact():
    rgb = still(SIZE)
    turned = Warp(Framing(SIZE), fill="edge")(rgb, moves((0, 0, np.pi, 0))[0])
    assert np.abs(turned.astype(int) - rgb[::-1, ::-1]).max() <= 1


def test_a_motion_and_its_inverse_give_the_picture_back():
    rgb = still(SIZE)
    warp, matrix = Warp(Framing(SIZE), fill="edge"), moves((3.3, -2.7, 0.05, 0.04))[0]
    back = warp(warp(rgb, matrix), np.linalg.inv(matrix))
    assert np.abs(back.astype(int) - rgb)[20:-20, 20:-20].mean() < 1.5


@pytest.mark.parametrize(
    ("rows", "crop"),
    [
        ([(0, 0, 0, 0)], (0, 0, 160, 96)),
        ([(8, 0, 0, 0), (-2, 0, 0, 0)], (8, 5, 144, 86)),
        ([(0, -12, 0, 0)], (19, 12, 122, 72)),
    ],
)
def test_crops_are_the_largest_centred_part(rows, crop):
    framing = crop_framing(moves(*rows), size=SIZE)
    assert framing.crop == crop
    assert framing.output_size == (crop[3], crop[2])


@settings(max_examples=60)
@given(
    rows=st.lists(
        st.tuples(
            st.floats(-20, 20), st.floats(-12, 12), st.floats(-0.15, 0.15), st.floats(-0.1, 0.2)
        ),
        min_size=1,
        max_size=5,
    ),
    size=st.sampled_from([(96, 160), (97, 161), (120, 90)]),
)
def test_a_crop_is_even_keeps_the_aspect_and_shows_no_fill(rows, size):
    matrices = moves(*rows, size=size)
    framing = crop_framing(matrices, size=size)
    height, width = framing.output_size
    assert width % 2 == 0 and height % 2 == 0
    assert abs(height - width * size[0] / size[1]) < 2
    left, top, _, _ = framing.crop
    assert abs(left - (size[1] - width) / 2) <= 0.5 and abs(top - (size[0] - height) / 2) <= 0.5
    white = np.full((*size, 3), 255, np.uint8)
    for matrix in matrices:
        shown = Warp(Framing(size), fill="black")(white, matrix)
        assert shown[top : top + height, left : left + width].min() >= 254


def test_a_crop_could_not_be_larger():
    matrices = moves((9, 4, 0.03, 0), (-6, 2, -0.05, 0.02))
    left, top, width, height = crop_framing(matrices, size=SIZE).crop
    white = np.full((*SIZE, 3), 255, np.uint8)
    dark = min(
        Warp(Framing(SIZE), fill="black")(white, m)[
            top - 2 : top + height + 2, left - 2 : left + width + 2
        ].min()
        for m in matrices
    )
    assert dark < 250


def test_zoom_scales_the_crop_to_the_whole_size():
    rgb, rows = still(SIZE), [(8, 0, 0, 0), (-2, 0, 0, 0)]
    framing = crop_framing(moves(*rows), size=SIZE, zoom=True)
    assert framing.output_size == SIZE and framing.crop == (8, 5, 144, 86)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    ramp = np.stack([x, y, x], axis=-1).astype(np.uint8)
    zoomed = Warp(framing, fill="crop")(ramp, np.eye(3)).astype(float)
    corner, far = zoomed[0, 0, :2], zoomed[-1, -1, :2]
    assert corner == pytest.approx([8 - 0.5 + 0.45, 5 - 0.5 + 0.45], abs=0.6)
    assert far == pytest.approx([151.5 - 0.45, 90.5 - 0.45], abs=0.6)
    assert Warp(framing, fill="crop")(rgb, np.eye(3)).shape == rgb.shape


def test_motion_too_large_for_a_crop_is_refused():
    with pytest.raises(InputError, match=r"frame number 1 .*choose another fill"):
        crop_framing(moves((0, 0, 0, 0), (78, 0, 0, 0)), size=SIZE)
