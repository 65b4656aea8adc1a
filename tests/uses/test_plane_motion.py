from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.uses.plane_motion import (
    ROBUST_ROUNDS,
    apply_motion,
    bridge_gaps,
    fit_motion,
    matrix_motion,
    motion_matrix,
    shots,
    smooth_motions,
)

PIVOT = np.array([40.0, 30.0])
POINTS = np.array([[10.0, 12.0], [70, 8], [35, 50], [60, 44], [22, 31]])
rows = st.tuples(st.floats(-50, 50), st.floats(-50, 50), st.floats(-3, 3), st.floats(-1, 1)).map(
    np.array
)


def ends_of(times: np.ndarray) -> np.ndarray:
    return np.append(times[1:], 2 * times[-1] - times[-2])


@given(row=rows)
def test_a_similarity_is_found_from_points_it_moved(row):
    moved = apply_motion(motion_matrix(row, pivot=PIVOT), POINTS)
    for rounds in (0, ROBUST_ROUNDS):
        found = fit_motion(POINTS, moved, pivot=PIVOT, motion="similarity", rounds=rounds)
        np.testing.assert_allclose(found, row, atol=1e-9)


@given(row=rows, other=rows)
def test_matrices_and_rows_are_the_same_motion(row, other):
    matrix = motion_matrix(row, pivot=PIVOT)
    np.testing.assert_allclose(matrix_motion(matrix, pivot=PIVOT), row, atol=1e-9)
    both = matrix_motion(motion_matrix(other, pivot=PIVOT) @ matrix, pivot=PIVOT)
    assert both[3] == pytest.approx(row[3] + other[3], abs=1e-9)


def test_a_positive_angle_turns_x_to_y_and_the_pivot_stays():
    matrix = motion_matrix(np.array([0, 0, np.pi / 2, np.log(2)]), pivot=PIVOT)
    np.testing.assert_allclose(apply_motion(matrix, PIVOT), PIVOT)
    np.testing.assert_allclose(
        apply_motion(matrix, PIVOT + np.array([1, 0])), PIVOT + np.array([0, 2])
    )


def test_a_shift_does_not_turn():
    moved = apply_motion(motion_matrix(np.array([3, -2, 0.2, 0.1]), pivot=PIVOT), POINTS)
    found = fit_motion(POINTS, moved, pivot=PIVOT, motion="shift")
    np.testing.assert_allclose(found[:2], (moved - POINTS).mean(axis=0))
    assert found[2] == found[3] == 0


def test_points_on_one_spot_leave_a_shift():
    one = np.full((3, 2), 5.0)
    found = fit_motion(one, one + np.array([2, 1]), pivot=PIVOT, motion="similarity")
    np.testing.assert_allclose(found, [2, 1, 0, 0])


def test_one_wrong_point_of_many_hardly_matters():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 80, (12, 2))
    moved = points + np.array([4, -3])
    moved[5] += (0, 60)
    plain = fit_motion(points, moved, pivot=PIVOT, motion="shift")
    robust = fit_motion(points, moved, pivot=PIVOT, motion="shift", rounds=ROBUST_ROUNDS)
    assert abs(plain[1] + 3) == pytest.approx(5)
    assert np.hypot(*(robust[:2] - (4, -3))) < 1


def test_shots_lie_between_cuts():
    cuts = np.array([True, False, True, True, False])
    assert shots(cuts) == [slice(0, 2), slice(2, 3), slice(3, 5)]
    assert shots(np.zeros(3, bool)) == [slice(0, 3)]


def test_gaps_are_bridged_in_time_and_held_at_the_ends():
    times = np.array([0.0, 0.1, 0.2, 0.6, 1.0, 1.1])
    motions = np.full((6, 4), np.nan)
    motions[1], motions[4] = (0, 0, 3.1, 0), (9, -18, -3.1, 0.9)
    filled = bridge_gaps(motions, times, cuts=np.zeros(6, bool))
    np.testing.assert_allclose(filled[[0, 5]], filled[[1, 4]])
    np.testing.assert_allclose(filled[3, [0, 1, 3]], np.array([9, -18, 0.9]) * 5 / 9)
    assert filled[4, 2] == pytest.approx(2 * np.pi - 3.1), "the short way round"


def test_nothing_is_bridged_over_a_cut():
    motions = np.full((4, 4), np.nan)
    motions[0] = (5, 5, 0, 0)
    filled = bridge_gaps(motions, np.arange(4.0), cuts=np.array([0, 0, 1, 0], bool))
    np.testing.assert_array_equal(filled[:, 0], [5, 5, 0, 0])


@given(
    steps=st.lists(st.floats(0.005, 0.5), min_size=2, max_size=30),
    seconds=st.floats(0.05, 3),
    slope=st.floats(-100, 100),
)
def test_smoothing_leaves_a_steady_motion_at_any_frame_rate(steps, seconds, slope):
    times = np.cumsum(steps)
    motions = np.outer(times, [slope, 1, 0.1, 0.01]) + 3
    done = smooth_motions(
        motions, times, ends_of(times), seconds=seconds, cuts=np.zeros(len(times), bool)
    )
    np.testing.assert_allclose(done, motions, atol=1e-6)


def test_smoothing_is_a_gaussian_in_seconds():
    times = np.arange(200) * 0.02
    wave = np.sin(2 * np.pi * 2 * times)
    motions = np.stack([wave] * 4, axis=1)
    done = smooth_motions(motions, times, times + 0.02, seconds=0.1, cuts=np.zeros(200, bool))
    gain = np.exp(-0.5 * (2 * np.pi * 2 * 0.1) ** 2)
    np.testing.assert_allclose(done[50:150, 0], gain * wave[50:150], atol=1e-3)


def test_frames_count_by_how_long_they_are_shown():
    even = np.arange(100) * 0.02
    sparse = np.concatenate([even[:50:5], even[50:]])

    def at_one_second(times: np.ndarray) -> float:
        motions = np.stack([np.where(times < 0.99, 0.0, 10.0)] * 4, axis=1)
        cuts = np.zeros(len(times), bool)
        done = smooth_motions(motions, times, ends_of(times), seconds=0.2, cuts=cuts)
        return done[np.abs(times - 1).argmin(), 0]

    assert at_one_second(sparse) == pytest.approx(at_one_second(even), abs=0.5)


def test_smoothing_stops_at_cuts():
    motions = np.zeros((20, 4))
    motions[10:, 0] = 100
    cuts = np.arange(20) == 10
    times = np.arange(20) * 0.04
    done = smooth_motions(motions, times, times + 0.04, seconds=0.5, cuts=cuts)
    np.testing.assert_allclose(done, motions, atol=1e-9)
