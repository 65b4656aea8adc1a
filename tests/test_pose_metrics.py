from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.measure.pose_metrics import (
    badja_accuracy,
    centre_errors,
    jhmdb_pck,
    joint_rates,
    person_sizes,
)


def square(frames: int = 3) -> np.ndarray:
    """(T, 4, 2) corners of a square with the diagonal 100 / 0.6: a person of size 100."""
    side = 100 / 0.6 / math.sqrt(2)
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]])
    return np.repeat(corners[None], frames, axis=0)


def moved(joints: np.ndarray, frame: int, joint: int, distance: float) -> np.ndarray:
    result = joints.copy()
    result[frame, joint] += (0.6 * distance, 0.8 * distance)
    return result


def test_badja_counts_a_joint_up_to_a_fifth_of_the_root_of_the_area():
    truth = np.zeros((3, 2, 2))
    visible, areas = np.ones((3, 2), dtype=bool), np.array([1.0, 2500.0, 10000.0])
    assert badja_accuracy(truth, truth, visible, areas) == 1.0
    for distance, expected in ((9.9, 1.0), (10.1, 0.75)):
        found = moved(truth, 1, 0, distance)
        assert badja_accuracy(found, truth, visible, areas) == expected
    assert badja_accuracy(moved(truth, 2, 0, 19.9), truth, visible, areas) == 1.0
    assert badja_accuracy(moved(truth, 2, 0, 19.9), truth, visible, areas, alpha=0.1) == 0.75


def test_badja_leaves_out_the_first_frame_and_joints_not_visible_then_or_now():
    truth = np.zeros((3, 3, 2))
    visible = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 1]], dtype=bool)
    areas = np.full(3, 100.0)
    found = np.full(truth.shape, 500.0)  # wrong wherever it is not put right
    found[1, 0] = found[2, 0] = 0.0
    assert badja_accuracy(found, truth, visible, areas) == pytest.approx(2 / 3)
    truth[~visible] = np.nan  # is not read
    assert badja_accuracy(found, truth, visible, areas) == pytest.approx(2 / 3)


def test_badja_counts_a_missing_joint_as_wrong():
    truth = np.zeros((3, 2, 2))
    visible, areas = np.ones((3, 2), dtype=bool), np.ones(3)
    found = truth.copy()
    found[1, 1] = np.nan
    assert badja_accuracy(found, truth, visible, areas) == 0.75


def test_badja_refuses_what_does_not_fit():
    truth, areas = np.zeros((3, 2, 2)), np.ones(3)
    visible = np.ones((3, 2), dtype=bool)
    with pytest.raises(InputError, match="one shape"):
        badja_accuracy(truth[:2], truth, visible, areas)
    with pytest.raises(InputError, match=r"need visible \(3, 2\)"):
        badja_accuracy(truth, truth, visible[:, :1], areas)
    with pytest.raises(InputError, match="need visible"):
        badja_accuracy(truth, truth, visible, areas[:2])
    late = visible & (np.arange(3) > 0)[:, None]
    with pytest.raises(InputError, match="none to score"):
        badja_accuracy(truth, truth, late, areas)
    with pytest.raises(InputError, match="above 0"):
        badja_accuracy(truth, truth, visible, areas * 0)


def test_a_persons_size_is_taken_from_the_box_of_all_joints():
    joints = np.array([[[0.0, 0.0], [30.0, 10.0], [10.0, 40.0]]])
    assert person_sizes(joints) == pytest.approx([30.0])  # 0.6 * hypot(30, 40)
    assert person_sizes(square(2)) == pytest.approx([100, 100])


def test_jhmdb_judges_by_the_size_in_the_same_frame():
    truth = square()
    truth[2] *= 2  # a person of size 200
    assert jhmdb_pck([(truth, truth)]) == 1.0
    for frame, distance, expected in ((1, 9.9, 1.0), (1, 10.1, 7 / 8), (2, 19.9, 1.0)):
        pair = moved(truth, frame, 3, distance), truth
        assert jhmdb_pck([pair], alpha=0.1) == pytest.approx(expected)
    assert jhmdb_pck([(moved(truth, 0, 0, 1e6), truth)]) == 1.0, "the first frame is skipped"
    assert joint_rates([(moved(truth, 1, 3, 11), truth)], alpha=0.1).tolist() == [1, 1, 1, 0.5]


def test_a_dropped_joint_is_wrong_unless_scored_as_crw_does():
    truth = square()
    found = truth.copy()
    found[1, 0] = np.nan
    found[1:, 1] = np.nan
    assert jhmdb_pck([(found, truth)]) == pytest.approx((0.5 + 0 + 1 + 1) / 4)
    assert jhmdb_pck([(found, truth)], compat="crw") == 1.0
    rates = joint_rates([(found, truth)], alpha=0.1, compat="crw")
    assert np.isnan(rates).tolist() == [False, True, False, False]
    assert jhmdb_pck([(np.full_like(truth, np.nan), truth)], compat="crw") == 0.0


def test_rates_are_over_the_frames_of_all_clips():
    long, short = square(5), square(2)
    wrong = moved(short, 1, 0, 50)
    assert joint_rates([(long, long), (wrong, short)], alpha=0.1)[0] == pytest.approx(4 / 5)


@pytest.mark.parametrize(
    ("clips", "options", "message"),
    [
        ([], {}, "at least one clip"),
        ([(square(), square())], {"alpha": 0.0}, "alpha above 0"),
        ([(square(), square())], {"compat": "CRW"}, "None or 'crw'"),
        ([(square(), square(2))], {}, "one shape"),
        ([(square(1), square(1))], {}, "2 frames or more"),
        ([(square(), square()), (square()[:, :3], square()[:, :3])], {}, "one number of joints"),
        ([(square(), square() * 0)], {}, "not all one"),
        ([(square(), square() * np.nan)], {}, "finite"),
    ],
)
def test_jhmdb_refuses_what_does_not_fit(clips, options, message):
    with pytest.raises(InputError, match=message):
        jhmdb_pck(clips, **options)


def test_centres_of_boxes_are_compared():
    truth = np.array([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])
    found = np.array([[0.0, 0, 10, 10], [-5, -5, 20, 20], [3, 4, 10, 10]])
    assert centre_errors(found, truth) == pytest.approx([0, 0, 5])
    found[1, 2] = np.nan
    assert centre_errors(found, truth)[1] == math.inf
    with pytest.raises(InputError, match=r"\(\.\.\., 4\)"):
        centre_errors(found[:, :3], truth[:, :3])
    with pytest.raises(InputError, match="one shape"):
        centre_errors(found[:1], truth)


factors = st.sampled_from([0.25, 0.5, 2.0, 8.0])  # exact in binary, so limits stay limits


@given(seed=st.integers(0, 2**32 - 1), factor=factors)
def test_scores_do_not_depend_on_the_size_of_the_picture(seed, factor):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 100, (4, 5, 2))
    found = truth + rng.normal(0, 12, truth.shape)
    found[rng.random((4, 5)) < 0.1] = np.nan
    visible, areas = rng.random((4, 5)) < 0.8, rng.uniform(500, 5000, 4)
    visible[:2, 0] = True
    pck = jhmdb_pck([(found, truth)], alpha=0.2)
    assert jhmdb_pck([(found * factor, truth * factor)], alpha=0.2) == pck
    share = badja_accuracy(found, truth, visible, areas)
    scaled = badja_accuracy(found * factor, truth * factor, visible, areas * factor**2)
    assert scaled == pytest.approx(share)
    assert 0 <= share <= 1 and 0 <= pck <= 1


@given(seed=st.integers(0, 2**32 - 1), low=st.floats(0.05, 0.5), more=st.floats(0, 0.5))
def test_a_wider_limit_never_scores_less(seed, low, more):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 100, (3, 4, 2))
    clips = [(truth + rng.normal(0, 20, truth.shape), truth)]
    assert jhmdb_pck(clips, alpha=low + more) >= jhmdb_pck(clips, alpha=low)
