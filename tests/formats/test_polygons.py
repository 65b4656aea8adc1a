from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chromatrack.errors import InputError
from chromatrack.formats.polygons import (
    PolygonMark,
    paint_polygons,
    rasterize,
    read_polygons,
)

TRIANGLE = [[0, 0], [4, 0], [0, 4]]
QUARTERS = st.integers(-12, 60).map(lambda n: n / 4)
RINGS = hnp.arrays(np.float64, st.tuples(st.integers(3, 8), st.just(2)), elements=QUARTERS)


def saved(tmp_path, data: object, name: str = "p.json"):
    path = tmp_path / name
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def labelme(*labels: str, image: str | None = "img_0007.png", **shape: object) -> dict:
    shapes = [{"label": label, "points": TRIANGLE, "shape_type": "polygon"} for label in labels]
    return {"imagePath": image, "shapes": [s | shape for s in shapes]}


def own(**fields: object) -> dict:
    return {"objects": [{"id": 1, "frame": 0} | fields]}


def square(left: float, top: float, side: float) -> np.ndarray:
    return np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * side + (left, top)


def test_a_square_around_pixel_centres_is_exact():
    inside = rasterize([square(1.5, 0.5, 2)], (5, 6))
    expected = np.zeros((5, 6), dtype=bool)
    expected[1:3, 2:4] = True
    np.testing.assert_array_equal(inside, expected)
    assert inside.dtype == bool


def test_centres_on_the_left_and_top_outline_belong_and_those_opposite_do_not():
    expected = np.zeros((5, 5), dtype=bool)
    expected[1:3, 1:3] = True
    np.testing.assert_array_equal(rasterize([square(1, 1, 2)], (5, 5)), expected)


def test_a_second_ring_is_a_hole_and_a_crossing_ring_is_even_odd():
    hole = rasterize([square(-0.5, -0.5, 7), square(1.5, 1.5, 3)], (7, 7))
    expected = np.ones((7, 7), dtype=bool)
    expected[2:5, 2:5] = False
    np.testing.assert_array_equal(hole, expected)
    bow_tie = np.array([(-0.5, -0.5), (6.5, 6.5), (6.5, -0.5), (-0.5, 6.5)])
    rows = rasterize([bow_tie], (7, 7)).sum(axis=1)
    assert rows.tolist() == [1, 3, 5, 7, 5, 3, 1]
    assert rasterize([], (2, 3)).tolist() == [[False] * 3] * 2


def test_winding_fills_what_a_ring_goes_round_twice_or_crosses():
    square = [[2, 2], [8, 2], [8, 8], [2, 8]]
    whole = rasterize([np.array(square, float)], (12, 12))
    twice = np.array(square * 2, float)
    assert not rasterize([twice], (12, 12)).any()
    assert np.array_equal(rasterize([twice], (12, 12), winding=True), whole)
    assert np.array_equal(rasterize([twice[::-1]], (12, 12), winding=True), whole)
    on = np.array([*square, [2, 2], [6, 2], [6, 5]], float)  # its end goes round once more
    assert np.array_equal(rasterize([on], (12, 12), winding=True), whole)
    assert not rasterize([on], (12, 12))[3, 5]


def test_what_leaves_the_frame_is_cut():
    assert rasterize([square(-1e6, -1e6, 2e6)], (3, 4)).all()
    assert not rasterize([square(10, 10, 5)], (3, 4)).any()
    np.testing.assert_array_equal(
        rasterize([square(-3.5, -3.5, 5)], (3, 3)), [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    )


@settings(max_examples=80, deadline=None)
@given(rings=st.lists(RINGS, min_size=1, max_size=3))
def test_pixels_equal_the_even_odd_rule(rings):
    """The definition, one pixel at a time: count the edges left of its centre or through it."""
    expected = np.zeros((12, 14), dtype=bool)
    for y, x in np.ndindex(expected.shape):
        for ring in rings:
            for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                if (y0 <= y) != (y1 <= y):
                    # Exact: quarters make small fractions, compared without dividing.
                    left = (x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)
                    expected[y, x] ^= left * np.sign(y1 - y0) >= 0
    got = rasterize(rings, expected.shape)
    # A crossing within rounding of a centre may fall on either side of it.
    for y, x in np.argwhere(got != expected):
        assert _distance_to_edges(rings, float(x), float(y)) < 1e-9


def _distance_to_edges(rings, x: float, y: float) -> float:
    best = np.inf
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if (y0 <= y) != (y1 <= y):
                best = min(best, abs(x0 + (y - y0) / (y1 - y0) * (x1 - x0) - x))
    return best


@settings(max_examples=60, deadline=None)
@given(cut=st.tuples(st.floats(1, 9), st.floats(1, 9), st.floats(1, 9), st.floats(1, 9)))
def test_neighbours_share_no_pixel_and_leave_none_out(cut):
    a, b, c, d = cut
    seam = [(a, -0.5), (b, 3.3), (c, 6.1), (d, 10.5)]
    left = np.array([(-0.5, -0.5), *seam, (-0.5, 10.5)])
    right = np.array([(10.5, 10.5), *reversed(seam), (10.5, -0.5)])
    total = rasterize([left], (11, 11)).astype(int) + rasterize([right], (11, 11))
    assert (total == 1).all()


@pytest.mark.parametrize(
    ("ring", "pattern"),
    [
        (np.zeros((2, 2)), "at least 3 corners"),
        (np.zeros((4, 3)), "shape"),
        (np.array([(0, 0), (1, np.nan), (2, 2)]), "finite"),
        (np.array([(0, 0), (1, 1e12), (2, 2)]), "finite"),
    ],
)
def test_no_polygon_is_refused(ring, pattern):
    with pytest.raises(InputError, match=pattern):
        rasterize([ring], (4, 4))


def test_own_form_has_one_ring_or_several(tmp_path):
    rings = [square(0, 0, 9).tolist(), square(2, 2, 3).tolist()]
    data = {"objects": [
        {"id": 4, "frame": 2, "polygon": TRIANGLE}, {"id": 1, "frame": 0, "polygons": rings}
    ]}  # fmt: skip
    first, second = read_polygons(saved(tmp_path, data))
    assert (first.id, first.frame, len(first.rings)) == (4, 2, 1)
    np.testing.assert_array_equal(first.rings[0], TRIANGLE)
    assert (second.id, second.frame, len(second.rings)) == (1, 0, 2)
    assert rasterize(second.rings, (9, 9)).sum() == 81 - 9


def test_labelme_labels_become_ids(tmp_path):
    marks = read_polygons(saved(tmp_path, labelme("dog", "2", "cat", "dog", "1")))
    assert [mark.id for mark in marks] == [3, 2, 4, 5, 1]
    assert {mark.frame for mark in marks} == {7}
    for image in (None, "first.jpg"):
        assert read_polygons(saved(tmp_path, labelme("1", image=image)))[0].frame == 0


def test_a_folder_numbers_labels_alike_in_all_files(tmp_path):
    saved(tmp_path, labelme("dog", "cat", image="00000.jpg"), "00000.json")
    saved(tmp_path, labelme("cat", "bird", image="00005.jpg"), "00005.json")
    marks = read_polygons(tmp_path)
    assert [(mark.frame, mark.id) for mark in marks] == [(0, 1), (0, 2), (5, 2), (5, 3)]


@pytest.mark.parametrize(
    ("data", "pattern"),
    [
        ("no json", "expected polygons as JSON"),
        ({"things": []}, 'expected "objects"'),
        ({"objects": []}, "at least one polygon"),
        (own(), 'one of "polygon"'),
        (own(polygon=TRIANGLE, polygons=[TRIANGLE]), 'one of "polygon"'),
        (own(polygons=[]), "at least one ring"),
        (own(polygon=TRIANGLE[:2]), r"objects\[0\].polygon: a polygon has at least 3"),
        (own(polygon=[]), "at least 3"),
        (own(polygon=[[0, 0], [1, float("nan")], [2, 2]]), "finite number, got NaN"),
        (own(polygon=[[0, 0], [1], [2, 2]]), r"expected \[x, y\], got \[1\]"),
        (own(polygon=[0, 0, 1, 1, 2, 2]), r"expected a list \[...\], got 0"),
        (own(polygon=TRIANGLE, id=0), "object id from 1 up, got 0"),
        (own(polygon=TRIANGLE, frame=-1), "expected an integer from 0 up, got -1"),
        (labelme(), "at least one polygon"),
        (labelme("0"), "object id from 1 up, got 0"),
        (labelme("1", shape_type="rectangle"), "expected the two points of a rectangle, got 3"),
        (labelme("1", points=TRIANGLE[:2]), r"shapes\[0\].points: .* at least 3"),
        ({"shapes": [{"points": TRIANGLE}]}, 'expected "label"'),
        ({"shapes": 3}, "expected a list"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, data, pattern):
    with pytest.raises(InputError, match=pattern) as caught:
        read_polygons(saved(tmp_path, data))
    assert "p.json" in str(caught.value) and "\n" not in str(caught.value)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match="none"):
        read_polygons(tmp_path / "none.json")
    with pytest.raises(InputError, match="at least one polygon"):
        read_polygons(tmp_path)


def test_painting_unites_an_objects_parts_and_the_later_is_on_top():
    marks = [
        PolygonMark(2, 5, (square(-0.5, -0.5, 2),)),
        PolygonMark(2, 5, (square(0.5, -0.5, 2),)),
        PolygonMark(9, 5, (square(1.5, -0.5, 2),)),
        PolygonMark(7, 1, (square(-0.5, -0.5, 1),)),
    ]
    masks = paint_polygons(marks, (2, 4))
    assert list(masks) == [1, 5] and masks[5].dtype == np.int32
    assert masks[5].tolist() == [[2, 2, 9, 9]] * 2
    assert masks[1].tolist() == [[7, 0, 0, 0], [0, 0, 0, 0]]
