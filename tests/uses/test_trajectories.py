from __future__ import annotations

import numpy as np
import pytest
from hand_results import hand_result, squares
from hypothesis import given, settings
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.uses.trajectories import box_gap, mask_centre, outline_gap, read_traces
from chromatrack.viz.overlays import mask_outline

NAN2, NAN4 = [np.nan] * 2, [np.nan] * 4


def outline_xy(mask: np.ndarray, number: int) -> np.ndarray:
    return np.argwhere(mask_outline(mask) & (mask == number))[:, ::-1].astype(float)


def test_masks_boxes_points_and_joints_are_measured():
    result = hand_result(
        masks=squares({7: [(10, 20), None]}),
        boxes={2: np.array([[10, 20, 10, 10], NAN4])},
        points={0: np.array([NAN2, [3.25, 4]])},
        keypoints={5: np.array([[[1, 2], [3, 6]], [[1, 2], NAN2]])},
        first=40,
    )
    traces = read_traces(result)
    by_name = {(t.kind, t.id): t for t in traces.things}
    assert list(by_name) == [("object", 7), ("box", 2), ("point", 0), ("keypoints", 5)]
    assert traces.frames.tolist() == [40, 41]
    for name in (("object", 7), ("box", 2)):
        thing = by_name[name]
        assert thing.xy[0].tolist() == [14.5, 24.5] and np.isnan(thing.xy[1]).all()
        assert thing.extent[0].tolist() == [10, 20, 19, 29]
        assert thing.area[0] == 100 and thing.present.tolist() == [True, False]
    assert by_name["point", 0].present.tolist() == [False, True]
    assert by_name["point", 0].extent[1].tolist() == [3.25, 4, 3.25, 4]
    assert by_name["keypoints", 5].xy.tolist() == [[2, 4], [1, 2]]


def test_a_track_may_be_shorter_than_the_result_and_reach_beyond_it():
    long = hand_result(points={1: np.ones((6, 2))}, first=2)
    short = hand_result(masks=squares({3: [(0, 0)] * 3}), first=5)
    both = read_traces(type(short)(**{**vars(short), "points": long.points}))
    assert both.things[1].present.tolist() == [True, True, True]
    later = type(long)(**{**vars(long), "points": {1: long.points[1]}, "frames": short.frames})
    assert read_traces(later).things[0].present.tolist() == [True, True, True]


def test_a_mask_reported_absent_is_absent():
    result = hand_result(masks=squares({1: [(5, 5)]}))
    result.frames[0].present[1] = False
    assert not read_traces(result).things[0].present.any()


def test_only_what_is_asked_for_is_measured():
    result = hand_result(masks=squares({1: [(0, 0)], 2: [(30, 30)]}), points={1: np.zeros((1, 2))})
    assert [t.id for t in read_traces(result, only=[("object", 2)]).things] == [2]
    assert [t.kind for t in read_traces(result, only=[("point", 1)]).things] == ["point"]


def test_frames_vanish_when_the_next_appears():
    traces = read_traces(hand_result(points={1: np.zeros((3, 2))}, times=[0.5, 0.6, 1.0]))
    assert traces.ends == pytest.approx([0.6, 1.0, 1.4])


def test_a_speck_far_away_does_not_move_the_centre():
    mask = squares({1: [(10, 10)]})[0]
    mask[55:58, 75:78] = 1
    assert mask_centre(*np.nonzero(mask)).tolist() == [14.5, 14.5]


@given(
    left=st.integers(0, 60),
    top=st.integers(0, 40),
    width=st.integers(1, 20),
    height=st.integers(1, 20),
)
def test_the_centre_of_a_compact_mask_is_its_mean(left, top, width, height):
    mask = np.zeros((60, 80), bool)
    mask[top : top + height, left : left + width] = True
    rows, columns = np.nonzero(mask)
    if max(width, height) <= 3 * min(width, height):
        assert mask_centre(rows, columns) == pytest.approx([columns.mean(), rows.mean()])


@settings(max_examples=30)
@given(x=st.integers(0, 60), y=st.integers(0, 45), reach=st.floats(0, 40))
def test_gaps_of_outlines_are_those_of_all_pixels(x, y, reach):
    mask = squares({1: [(20, 15)], 2: [(x, y)]}, side=8)[0]
    first, second = np.argwhere(mask == 1), np.argwhere(mask == 2)
    if len(first) == 0:
        return
    nearest = np.hypot(*np.moveaxis(first[:, None] - second[None], -1, 0)).min() - 1
    found = outline_gap(outline_xy(mask, 1), outline_xy(mask, 2), reach=reach)
    assert found == (pytest.approx(nearest) if nearest <= reach else np.inf)


def test_boxes_that_share_an_edge_touch():
    first = np.array([0.0, 0, 9, 9])
    assert box_gap(first, np.array([10.0, 3, 20, 5])) == 0
    assert box_gap(first, np.array([13.0, 14, 20, 20])) == 5
    assert box_gap(first, np.array([5.0, 5, 6, 6])) == 0


def test_gaps_are_measured_within_reach_and_within_a_kind():
    result = hand_result(
        masks=squares({1: [(0, 0), (0, 0), (0, 0)], 2: [(12, 0), (30, 0), None]}),
        points={1: np.array([[0, 0], [0, 0], NAN2]), 4: np.array([[3, 4], [50, 0], [1, 1]])},
        boxes={1: np.array([[0, 0, 5, 5]] * 3), 2: np.array([[8, 0, 5, 5]] * 3)},
        keypoints={
            1: np.array([[[0, 0], [10, 0]]] * 3),
            2: np.array([[[12, 0], NAN2]] * 3),
        },
    )
    gaps = read_traces(result, reach=5.0).gaps
    assert sorted(gaps) == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert gaps[0, 1].tolist() == [2, np.inf, np.inf]
    assert gaps[2, 3].tolist() == [3, 3, 3]
    assert gaps[4, 5].tolist() == [5, 50, np.inf]
    assert gaps[6, 7].tolist() == [2, 2, 2]
    assert not read_traces(result).gaps


def test_progress_counts_the_masks():
    seen = []
    result = hand_result(masks=squares({1: [(0, 0)] * 3}))
    read_traces(result, progress=lambda *report: seen.append(report))
    assert seen == [("measure", 1, 3), ("measure", 2, 3), ("measure", 3, 3)]


def test_a_mask_of_another_size_is_refused():
    result = hand_result(masks=squares({1: [(0, 0)]}))
    wrong = type(result)(**{**vars(result), "size": (50, 80)})
    with pytest.raises(InputError, match="mask of frame 0 is 80x60 but the video is 80x50"):
        read_traces(wrong)
