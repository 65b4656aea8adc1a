from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chromatrack.errors import InputError
from chromatrack.formats.masks import DAVIS_PALETTE
from chromatrack.viz.overlays import (
    contact_sheet,
    mask_outline,
    object_colors,
    overlay_masks,
)

MASKS = hnp.arrays(
    np.int32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=16),
    elements=st.integers(0, 3),
)


def grey(shape: tuple[int, int], value: int = 100) -> np.ndarray:
    return np.full((*shape, 3), value, dtype=np.uint8)


@settings(max_examples=50, deadline=None)
@given(mask=MASKS, alpha=st.floats(0, 1), outline=st.booleans())
def test_overlay_leaves_the_background_and_the_input_alone(mask, alpha, outline):
    rgb = grey(mask.shape)
    result = overlay_masks(rgb, mask, alpha=alpha, outline=outline)
    assert result.shape == rgb.shape and result.dtype == np.uint8
    assert (result[mask == 0] == 100).all()
    assert (rgb == 100).all()


def test_overlay_tints_by_alpha():
    mask = np.full((4, 4), 1)
    for alpha, expected in [(0.0, (100, 100, 100)), (0.5, (114, 50, 50)), (1.0, (128, 0, 0))]:
        result = overlay_masks(grey((4, 4)), mask, alpha=alpha, outline=False)
        np.testing.assert_array_equal(result[1, 1], expected)


@given(
    hnp.arrays(np.int32, (9, 11), elements=st.sampled_from([0, 0, 0, 1, 2, 300, 70_000])),
    st.sampled_from([0.0, 0.3, 0.45, 1.0]),
)
def test_overlay_is_the_blend_of_every_pixel(mask, alpha):
    rgb = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    own = {2: (3, 200, 5)}
    shown = overlay_masks(rgb, mask, alpha=alpha, outline=False, colors=own)
    tint = object_colors(mask, own).astype(np.float32)
    blend = np.rint(rgb * (1 - alpha) + tint * alpha).astype(np.uint8)
    np.testing.assert_array_equal(shown, np.where(mask[..., None] > 0, blend, rgb))


def test_outline_is_bright_thin_and_inside():
    mask = np.zeros((9, 9), dtype=int)
    mask[2:7, 2:7] = 1
    result = overlay_masks(grey((9, 9)), mask, alpha=0.0)
    red = (result == (255, 0, 0)).all(axis=-1)
    ring = mask.astype(bool)
    ring[3:6, 3:6] = False
    np.testing.assert_array_equal(red, ring)


def test_a_bold_outline_is_wider_and_has_a_dark_rim_on_both_sides():
    mask = np.zeros((360, 400), dtype=int)
    mask[100:200, 100:200] = 3
    shown = overlay_masks(grey((360, 400)), mask, alpha=0.0, bold=True)
    plain = overlay_masks(grey((360, 400)), mask, alpha=0.0)
    across = shown[150, 95:110].astype(int).sum(axis=-1)
    background = int(plain[150, 95].sum())
    bright = across > background
    assert bright.nonzero()[0].tolist() == [5, 6]  # columns 100 and 101; plain is one wide
    assert (plain[150, 95:110].sum(axis=-1) != background).sum() == 1
    assert (across < background).nonzero()[0].tolist() == [4, 7]
    assert np.array_equal(shown[:90], plain[:90]) and np.array_equal(
        shown[120:180, 120:180], plain[120:180, 120:180]
    )


def test_a_dashed_outline_has_gaps_on_every_side_of_its_object_alone():
    """A disc and a square; of the square's sides, and of the disc's eighths, each has both."""
    rows, columns = np.mgrid[:240, :400]
    mask = ((rows - 120) ** 2 + (columns - 100) ** 2 <= 80**2) * 1
    mask[40:200, 220:380] = 2
    plain = overlay_masks(grey((240, 400)), mask, alpha=0.0)
    edge = mask_outline(mask)
    for number in (1, 2):
        shown = overlay_masks(grey((240, 400)), mask, alpha=0.0, dashed=[number])
        gaps = (shown == 100).all(axis=-1) & edge & (mask == number)
        others = ~(edge & (mask == number))
        np.testing.assert_array_equal(shown[others], plain[others])
        angle = np.arctan2(rows - 120, columns - (100 if number == 1 else 300))
        for eighth in range(-4, 4):
            side = (angle // (np.pi / 4) == eighth) & edge & (mask == number)
            assert 0.25 < gaps[side].mean() < 0.75, (number, eighth)
    small = overlay_masks(grey((2, 2)), np.ones((2, 2), dtype=int), alpha=0.0, dashed=[1, 5])
    assert small.shape == (2, 2, 3)


@settings(max_examples=50, deadline=None)
@given(mask=MASKS, width=st.integers(1, 4))
def test_outline_equals_its_definition(mask, width):
    """A pixel is outline when another id is reachable in `width` city-block steps, each of them but
    the last one inside the object."""
    expected = np.zeros(mask.shape, dtype=bool)
    for y, x in np.argwhere(mask > 0):
        reached, frontier = {(y, x)}, {(y, x)}
        for _ in range(width):
            frontier = {
                (a + dy, b + dx)
                for a, b in frontier
                for dy, dx in ((1, 0), (-1, 0), (0, 1), (0, -1))
                if 0 <= a + dy < mask.shape[0] and 0 <= b + dx < mask.shape[1]
            } - reached
            if any(mask[cell] != mask[y, x] for cell in frontier):
                expected[y, x] = True
                break
            reached |= frontier
    np.testing.assert_array_equal(mask_outline(mask, width=width), expected)


def test_ids_above_255_wrap_and_stay_visible():
    ids = np.array([1, 255, 256, 510, 511, 70000])
    colors = object_colors(ids)
    np.testing.assert_array_equal(colors[[2, 4]], DAVIS_PALETTE[[1, 1]])
    np.testing.assert_array_equal(colors[3], DAVIS_PALETTE[255])
    assert (colors.max(axis=-1) > 0).all()


@pytest.mark.parametrize(
    ("rgb", "mask", "alpha", "pattern"),
    [
        (np.zeros((4, 4, 3)), np.zeros((4, 4), int), 0.5, "uint8"),
        (grey((4, 4)), np.zeros((4, 5), int), 0.5, r"\(4, 5\)"),
        (grey((4, 4)), np.zeros((4, 4)), 0.5, "integer"),
        (grey((4, 4)), np.zeros((4, 4), int), 1.5, r"1\.5"),
    ],
)
def test_overlay_refuses(rgb, mask, alpha, pattern):
    with pytest.raises(InputError, match=pattern):
        overlay_masks(rgb, mask, alpha=alpha)


def test_contact_sheet_holds_every_frame_at_one_height():
    colors = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]
    frames = [np.full((30, 40, 3), color, dtype=np.uint8) for color in colors]
    plain = contact_sheet([frames[:2], frames[2:]], cell_height=60, gap=5)
    for color, count in zip(colors, [4800, 4800, 4800], strict=True):
        assert (plain == color).all(axis=-1).sum() == count
    titled = contact_sheet(
        [frames[:2], frames[2:]],
        row_titles=["a long title", "b"],
        column_titles=["0", "1"],
        title="All",
        cell_height=60,
        gap=5,
    )
    assert titled.shape[1] > plain.shape[1] and titled.shape[0] > plain.shape[0]
    assert all((titled == color).all(axis=-1).sum() == 4800 for color in colors)


def test_contact_sheet_takes_mixed_sizes_and_wide_titles():
    rows = [[grey((20, 10)), grey((10, 20))], [], [grey((7, 7))]]
    sheet = contact_sheet(rows, cell_height=20, title="a title much wider than the frames below it")
    assert sheet.dtype == np.uint8 and sheet.shape[0] > 3 * 20 and sheet.shape[1] > 200
    assert (sheet == 100).all(axis=-1).sum() == 20 * 10 + 20 * 40 + 20 * 20


def test_contact_sheet_refuses():
    with pytest.raises(InputError, match="at least one frame"):
        contact_sheet([[], []])
    with pytest.raises(InputError, match="row_titles: expected 1"):
        contact_sheet([[grey((4, 4))]], row_titles=["a", "b"])
    with pytest.raises(InputError, match="column_titles: expected 1"):
        contact_sheet([[grey((4, 4))]], column_titles=["a", "b"])
    with pytest.raises(InputError, match="RGB"):
        contact_sheet([[np.zeros((4, 4), np.uint8)]])
