"""Masks out of boxes: found, stacked, named, and refused where they mean nothing."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import moving_clip, rgb_of, write_clip

from chromatrack.errors import InputError
from chromatrack.structures import BoxMark, LostMark, PointMark
from chromatrack.tracking.box_masks import boxes_as_masks, mask_in_box
from chromatrack.tracking.marks import Marks

SIZE = (72, 96)


@pytest.fixture(scope="module")
def truth():
    return moving_clip(frames=3, size=SIZE, objects=2, radius=12)


@pytest.fixture(scope="module")
def clip(truth, tmp_path_factory) -> str:
    return str(write_clip(tmp_path_factory.mktemp("boxes") / "clip", rgb_of(truth)))


def box_around(mask: np.ndarray, number: int, frame: int = 0) -> BoxMark:
    rows, columns = (np.flatnonzero((mask == number).any(axis)) for axis in (1, 0))
    width, height = float(np.ptp(columns) + 1), float(np.ptp(rows) + 1)
    return BoxMark(number, frame, float(columns[0]), float(rows[0]), width, height)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_objects_are_cut_out_on_their_frames(clip, truth):
    boxes = [box_around(truth[0].mask, 1), box_around(truth[0].mask, 2)]
    boxes.append(box_around(truth[2].mask, 1, 2))
    names = {("box", 1): "ball", ("point", 4): "nose"}
    marks = Marks(boxes=boxes, points=[PointMark(4, 0, 3, 3)], names=names)
    made = boxes_as_masks(marks, clip)
    assert made.boxes == () and made.points == marks.points
    assert made.names == {("object", 1): "ball", ("point", 4): "nose"}
    assert sorted(made.masks) == [0, 2] and set(np.unique(made.masks[0])) == {0, 1, 2}
    for frame, number in ((0, 1), (0, 2), (2, 1)):
        assert iou(made.masks[frame] == number, truth[frame].mask == number) > 0.85


def test_what_was_painted_is_in_front_and_lost_boxes_are_lost_objects(clip, truth):
    painted = np.zeros(SIZE, np.int32)
    painted[:40] = 5
    box = box_around(truth[0].mask, 1)
    marks = Marks({0: painted}, boxes=[box, BoxMark(1, 2, None, None, None, None)])
    made = boxes_as_masks(marks, clip)
    assert made.lost == [LostMark(1, 2)] and sorted(made.masks) == [0]
    np.testing.assert_array_equal(made.masks[0] == 5, painted == 5)
    assert (made.masks[0] == 1).any()


def test_the_smaller_of_two_boxes_is_in_front(clip, truth):
    inner = box_around(truth[0].mask, 1)
    outer = BoxMark(2, 0, 0, 0, 96, 72)
    for boxes in ([inner, outer], [outer, inner]):
        mask = boxes_as_masks(Marks(boxes=boxes), clip).masks[0]
        assert iou(mask == 1, truth[0].mask == 1) > 0.85


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        (Marks(boxes=[BoxMark(0, 0, 5, 5, 20, 20)]), "an id from 1 up"),
        (
            Marks({0: np.ones(SIZE, np.int32)}, boxes=[BoxMark(1, 0, 5, 5, 20, 20)]),
            "that no mask has",
        ),
        (
            Marks({0: np.full(SIZE, 3, np.int32)}, boxes=[BoxMark(1, 0, 5, 5, 20, 20)]),
            "others cover it all",
        ),
        (Marks(boxes=[BoxMark(1, 0, 200, 5, 20, 20)]), "meets the 96x72 frame"),
        (Marks(boxes=[BoxMark(1, 0, 5, 5, 0, 20)]), "width and height > 0"),
        (Marks(boxes=[BoxMark(1, 9, 5, 5, 20, 20)]), "frame 9"),
    ],
)
def test_boxes_that_mean_no_object_are_refused(clip, marks, expected):
    with pytest.raises(InputError, match=expected):
        boxes_as_masks(marks, clip)


def test_where_nothing_stands_out_an_ellipse_is_taken_and_said():
    rgb = np.full((60, 80, 3), 90, np.uint8)
    with pytest.warns(UserWarning, match="box 3: nothing in it stands out"):
        mask = mask_in_box(rgb, (20, 10, 40, 30), what="box 3")
    assert mask.sum() == pytest.approx(np.pi * 20 * 15, rel=0.03)


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(-30, 94),
    y=st.floats(-30, 70),
    width=st.floats(0.01, 300),
    height=st.floats(0.01, 300),
)
def test_any_box_that_meets_the_frame_gives_something_inside_it(x, y, width, height):
    rgb = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    width, height = max(width, 1 - x), max(height, 1 - y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mask = mask_in_box(rgb, (x, y, width, height))
    assert mask.shape == SIZE and mask.any()
    rows, columns = np.nonzero(mask)
    assert columns.min() >= x - 1 and columns.max() <= x + width
    assert rows.min() >= y - 1 and rows.max() <= y + height
