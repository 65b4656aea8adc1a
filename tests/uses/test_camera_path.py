from __future__ import annotations

import numpy as np
import pytest
from hand_results import hand_result, squares
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.runs.reader import Result
from chromatrack.uses.camera_path import (
    Lock,
    anchored_path,
    choose_lock,
    lock_path,
    parse_lock,
    steady_matrices,
)
from chromatrack.uses.plane_motion import apply_motion, motion_matrix

POINTS = np.array([[10.0, 12.0], [70, 8], [35, 50], [60, 44], [22, 31]])
NO_VIDEO = "no video is read for these"


def moves(result: Result, lock: str, **options) -> np.ndarray:
    """(N, 3, 3) matrices of a lock on something tracked."""
    path = lock_path(NO_VIDEO, result, lock=parse_lock(lock))
    return steady_matrices(path, result, **options)


@pytest.mark.parametrize(
    ("text", "lock"),
    [
        (3, Lock("object", (3,))),
        ("12", Lock("object", (12,))),
        ("object:4", Lock("object", (4,))),
        ("point:1,2,1", Lock("point", (1, 2))),
        ("box:0", Lock("box", (0,))),
        ("keypoints:5", Lock("keypoints", (5,))),
        (" background ", Lock("background")),
    ],
)
def test_locks_are_read(text, lock):
    assert parse_lock(text) == lock


@pytest.mark.parametrize("text", ["", "point", "point:", "point:1,", "cat:1", "-1", "background:1"])
def test_what_is_no_lock_is_refused(text):
    with pytest.raises(InputError, match=r"^lock: expected an object id"):
        parse_lock(text)


def test_the_only_thing_is_chosen():
    result = hand_result(points={8: np.zeros((2, 2))})
    assert choose_lock(result, None) == Lock("point", (8,))
    assert choose_lock(result, Lock("background")) == Lock("background")


@pytest.mark.parametrize(
    ("lock", "meant"),
    [
        (1, Lock("object", (1,))),
        ("2", Lock("point", (2,))),
        ("2,3", Lock("point", (2, 3))),
        ("point:1", Lock("point", (1,))),
        ("9", Lock("object", (9,))),
        ("background", Lock("background")),
    ],
)
def test_an_id_without_a_kind_is_of_the_kind_that_has_it(lock, meant):
    points = {k: np.zeros((1, 2)) for k in (1, 2, 3)}
    result = hand_result(masks=squares({1: [(0, 0)]}), points=points)
    assert choose_lock(result, lock) == meant


def test_an_id_that_several_kinds_have_needs_its_kind():
    boxes = {2: np.array([[1.0, 1, 9, 9]])}
    result = hand_result(points={2: np.zeros((1, 2))}, boxes=boxes)
    with pytest.raises(InputError, match=r"lock 2: expected one thing, say \w+:2 or \w+:2$"):
        choose_lock(result, "2")
    assert choose_lock(result, "box:2") == Lock("box", (2,))


def test_several_things_or_none_need_a_lock():
    several = hand_result(
        masks=squares({1: [(0, 0)]}), points={k: np.zeros((1, 2)) for k in (1, 4)}
    )
    with pytest.raises(InputError, match=r"which .* are object:1, point:1, point:4, background"):
        choose_lock(several, None)
    none = hand_result(masks=squares({1: [None]}))
    with pytest.raises(InputError, match="say which thing to lock on; there are background"):
        choose_lock(none, None)
    many = hand_result(points={k: np.zeros((1, 2)) for k in range(20)})
    with pytest.raises(InputError, match="point:11, background and 8 more"):
        choose_lock(many, None)


def test_a_thing_that_is_never_there_is_refused():
    result = hand_result(points={1: np.full((3, 2), np.nan)})
    with pytest.raises(InputError, match="lock on point 1: it is present on no frame"):
        lock_path(NO_VIDEO, result, lock=Lock("point", (1,)))


@given(
    rows=st.lists(
        st.tuples(
            st.floats(-30, 30), st.floats(-30, 30), st.floats(-0.5, 0.5), st.floats(-0.3, 0.3)
        ),
        min_size=2,
        max_size=6,
    ),
    hidden=st.lists(st.integers(0, 4), min_size=6, max_size=6),
)
def test_points_that_come_and_go_are_held(rows, hidden):
    motions = motion_matrix(np.array(rows), pivot=np.array([40.0, 30.0]))
    places = np.stack([apply_motion(matrix, POINTS) for matrix in motions])
    anchors = places.copy()
    for n, number in zip(range(1, len(rows)), hidden, strict=False):
        anchors[n, number] = np.nan
    path = anchored_path(anchors, motion="similarity")
    assert path.reference == 0
    for n, matrix in enumerate(motion_matrix(path.motions, pivot=path.pivot)):
        np.testing.assert_allclose(apply_motion(matrix, places[n]), places[0], atol=1e-6)


def test_a_point_that_appears_later_takes_over():
    walk = np.arange(9)[:, None] * np.array([3.0, 1.0])
    anchors = np.stack([walk, walk + 20], axis=1)
    anchors[:4, 1] = np.nan
    anchors[5:, 0] = np.nan
    path = anchored_path(anchors, motion="shift")
    assert path.reference == 4, "the first frame that shows both"
    np.testing.assert_allclose(path.motions[:, :2], walk[4] - walk)


def test_an_object_at_the_border_for_most_of_its_time_is_taken_as_it_is():
    masks = squares({1: [(20 + n, 50) for n in range(6)]})
    shifts = moves(hand_result(masks=masks), "1")[:, 0, 2]
    np.testing.assert_allclose(shifts, -np.arange(6))


def test_frames_that_cut_an_object_are_filled_in():
    masks = squares({1: [(20, 20), (10, 20), (0, 20), (-5, 20), (-6, 20), (10, 20), (30, 20)]})
    shifts = moves(hand_result(masks=masks), "1")[:, 0, 2]
    np.testing.assert_allclose(shifts, [0, 10, 10, 10, 10, 10, -10])


def test_box_corners_tell_scale():
    boxes = np.array([[20.0, 20, 11, 11], [15, 15, 21, 21]])
    result = hand_result(boxes={1: boxes})
    path = lock_path(NO_VIDEO, result, lock=Lock("box", (1,)), motion="similarity")
    assert np.exp(path.motions[1, 3]) == pytest.approx(0.5)
    np.testing.assert_allclose(moves(result, "box:1"), np.stack([np.eye(3)] * 2), atol=1e-12)


def test_smoothing_follows_seconds_at_a_variable_frame_rate():
    times = np.cumsum([0, *([0.04, 0.12] * 7)])[:14]
    steady = hand_result(points={1: np.outer(times, [60, 20]) + 10}, times=times)
    found = moves(steady, "point:1", smooth_seconds=0.2)
    np.testing.assert_allclose(found, np.stack([np.eye(3)] * 14), atol=1e-9)


def test_a_cut_starts_the_smoothing_anew():
    points = np.repeat([[10.0, 10.0], [60.0, 40.0]], 7, axis=0)
    with_cut = hand_result(points={1: points}, cuts=[7])
    found = moves(with_cut, "point:1", smooth_seconds=0.3)
    np.testing.assert_allclose(found, np.stack([np.eye(3)] * 14), atol=1e-9)
    without = moves(hand_result(points={1: points}), "point:1", smooth_seconds=0.3)
    assert np.abs(without[:, :2, 2]).max() > 5
