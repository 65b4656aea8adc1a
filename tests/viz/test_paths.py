"""Lines along which things went."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.structures import TrackedBox, TrackedPoint
from chromatrack.viz.paths import Paths, middles

SIZE = (60, 80)
RED, BLUE = (255, 0, 0), (0, 0, 255)


def grey() -> np.ndarray:
    return np.full((*SIZE, 3), 90, np.uint8)


def drawn(paths: Paths) -> np.ndarray:
    """Where a line is."""
    return (paths.draw(grey()) != 90).any(axis=2)


def test_middles_are_those_of_what_is_seen():
    mask = np.zeros(SIZE, int)
    mask[10:20, 30:35] = 4
    points = {1: TrackedPoint(5.0, 6.0, True, 1.0), 2: TrackedPoint(5.0, 6.0, False, 1.0)}
    boxes = {
        3: TrackedBox(10.0, 20.0, 9.0, 5.0, visible=True, confidence=1.0),
        5: TrackedBox(10.0, 20.0, 9.0, 5.0, visible=False, confidence=1.0),
    }
    assert middles(mask, (4, 9), points, boxes) == {
        ("object", 4): (32.0, 14.5),
        ("box", 3): (14.0, 22.0),
        ("point", 1): (5.0, 6.0),
    }
    lost = {1: TrackedPoint(float("nan"), 6.0, True, 1.0)}
    assert middles(mask, (), lost, {}) == {}


def test_a_line_goes_through_the_middles_in_the_colour_of_the_thing():
    paths = Paths(SIZE, {("point", 1): RED, ("object", 1): BLUE})
    paths.add({("point", 1): (10.0, 20.0)})
    assert not drawn(paths).any()
    paths.add({("point", 1): (40.0, 20.0), ("object", 1): (10.0, 50.0)})
    paths.add({("point", 1): (40.0, 40.0), ("object", 1): (60.0, 50.0)})
    shown = paths.draw(grey())
    for x, y in ((11, 20), (25, 20), (40, 30), (40, 39)):
        assert tuple(shown[y, x]) == RED
    assert tuple(shown[50, 35]) == BLUE
    assert not drawn(paths)[:15].any() and drawn(paths).mean() < 0.1


def test_no_line_crosses_frames_where_it_is_not_seen():
    paths = Paths(SIZE)
    for x in (10.0, 20.0, None, 50.0, 60.0):
        paths.add({} if x is None else {("box", 2): (x, 30.0)})
    line = drawn(paths)[30]
    assert line[11:20].all() and line[51:60].all() and not line[25:46].any()


places = st.tuples(st.floats(-200, 300), st.floats(-200, 300))


@given(st.lists(places, max_size=8), st.floats(20, 4000))
def test_any_place_can_be_drawn_and_what_is_drawn_stays(xy, far):
    paths = Paths(SIZE, {("point", 1): RED})
    before = drawn(paths)
    for one in [*xy, (far, -far)]:
        paths.add({("point", 1): one})
        now = drawn(paths)
        assert not (before & ~now).any()
        before = now


@pytest.mark.parametrize("factor", [1, 4])
def test_lines_are_wider_on_larger_frames(factor):
    paths = Paths((480 * factor, 640 * factor))
    paths.add({("object", 1): (50.0, 100.0)})
    paths.add({("object", 1): (50.0, 300.0)})
    rgb = np.full((480 * factor, 640 * factor, 3), 90, np.uint8)
    wide = (paths.draw(rgb)[200] != 90).any(axis=1).sum()
    assert 2 * factor <= wide <= 2 * factor + 2
