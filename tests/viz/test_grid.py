"""Labelled coordinates around a frame: at the pixels they name, on frames of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.viz.grid import MOST_LINES, frame_grid, line_step
from chromatrack.viz.overlays import PAPER


@given(st.integers(1, 100_000))
def test_lines_are_round_and_neither_too_many_nor_needlessly_few(length):
    step = line_step(length)
    assert str(step).rstrip("0") in ("1", "2", "5")
    assert length / step <= MOST_LINES
    assert step == 1 or length / (step / 2.5) > MOST_LINES


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90))
def test_any_frame_is_shown_whole_inside_a_margin(height, width):
    rgb = np.full((height, width, 3), (200, 30, 40), np.uint8)
    page = frame_grid(rgb)
    inside = (page != PAPER).all(axis=2) & (page[..., 0] > page[..., 1].astype(int) + 60)
    rows, columns = inside.any(1).nonzero()[0], inside.any(0).nonzero()[0]
    assert (np.ptp(rows) + 1) * width == (np.ptp(columns) + 1) * height
    assert min(rows[0], columns[0]) > 0


@pytest.mark.parametrize(("size", "x", "y"), [((90, 160), 20, 50), ((480, 854), 100, 300)])
def test_lines_cross_over_the_pixel_that_they_name(size, x, y):
    rgb = np.full((*size, 3), 128, np.uint8)
    plain = frame_grid(rgb)
    rgb[y, x] = (255, 0, 0)
    changed = (frame_grid(rgb) != plain).any(axis=2)
    rows, columns = changed.any(1).nonzero()[0], changed.any(0).nonzero()[0]
    middle = plain[(rows[0] + rows[-1] + 1) // 2, (columns[0] + columns[-1] + 1) // 2]
    assert (middle > 128 + 50).all()


def test_a_frame_of_another_type_is_refused():
    with pytest.raises(InputError, match="uint8"):
        frame_grid(np.zeros((4, 4, 3)))
