from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.evaluation.metrics.keypoints import (
    badja_accuracy,
    centre_errors,
    joint_counts,
    joint_rates,
    mean_rate,
    person_sizes,
    pooled_rate,
    pose_counts,
)


def total_counts(clips, *, alpha=0.1, compat=None):
    counts = [pose_counts(*clip, alpha=alpha, compat=compat) for clip in clips]
    return sum(right for right, _ in counts), sum(total for _, total in counts)


def rates_of(clips, **options):
    return joint_rates(*total_counts(clips, **options))


def pck_of(clips, **options):
    return mean_rate(*total_counts(clips, **options))


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
    assert pck_of([(truth, truth)]) == 1.0
    for frame, distance, expected in ((1, 9.9, 1.0), (1, 10.1, 7 / 8), (2, 19.9, 1.0)):
        pair = moved(truth, frame, 3, distance), truth
        assert pck_of([pair], alpha=0.1) == pytest.approx(expected)
    assert pck_of([(moved(truth, 0, 0, 1e6), truth)]) == 1.0, "the first frame is skipped"
    assert rates_of([(moved(truth, 1, 3, 11), truth)], alpha=0.1).tolist() == [1, 1, 1, 0.5]


def test_a_dropped_joint_is_wrong_unless_scored_as_crw_does():
    truth = square()
    found = truth.copy()
    found[1, 0] = np.nan
    found[1:, 1] = np.nan
    assert pck_of([(found, truth)]) == pytest.approx((0.5 + 0 + 1 + 1) / 4)
    assert pck_of([(found, truth)], compat="crw") == 1.0
    rates = rates_of([(found, truth)], alpha=0.1, compat="crw")
    assert np.isnan(rates).tolist() == [False, True, False, False]
    assert math.isnan(pck_of([(np.full_like(truth, np.nan), truth)], compat="crw"))


def test_rates_are_over_the_frames_of_all_clips():
    long, short = square(5), square(2)
    wrong = moved(short, 1, 0, 50)
    assert rates_of([(long, long), (wrong, short)], alpha=0.1)[0] == pytest.approx(4 / 5)


@pytest.mark.parametrize(
    ("clips", "options", "message"),
    [
        ([(square(), square())], {"alpha": 0.0}, "alpha above 0"),
        ([(square(), square())], {"compat": "CRW"}, "None or 'crw'"),
        ([(square(), square(2))], {}, "one shape"),
        ([(square(1), square(1))], {}, "2 frames or more"),
        ([(square()[0], square()[0])], {}, "one shape"),
        ([(square(), square() * np.nan)], {}, "finite"),
    ],
)
def test_jhmdb_refuses_what_does_not_fit(clips, options, message):
    with pytest.raises(InputError, match=message):
        pck_of(clips, **options)


def test_a_frame_whose_joints_are_all_in_one_place_is_not_judged():
    truth = square()
    truth[1] = 5.0
    right, total = pose_counts(truth, truth, alpha=0.1)
    assert right.tolist() == total.tolist() == [1, 1, 1, 1]
    # CRW divides by 0: what is left of the frame is wrong
    right, total = pose_counts(truth, truth, alpha=0.1, compat="crw")
    assert right.tolist() == [1, 1, 1, 1] and total.tolist() == [2, 2, 2, 2]


def test_only_annotated_joints_count_and_make_the_size():
    truth = square()
    visible = np.ones(truth.shape[:2], dtype=bool)
    visible[1, 3] = visible[2, 1:] = False
    assert person_sizes(truth, visible) == pytest.approx([100, 100, 0])
    assert np.isnan(person_sizes(truth, visible & False)).all()
    found = truth + np.array([12.0, 0])
    truth[~visible] = np.nan  # is not read
    right, total = pose_counts(found, truth, alpha=0.2, counted=visible)
    assert right.tolist() == total.tolist() == [1, 1, 1, 0]  # frame 2 has one joint, and no size
    with pytest.raises(InputError, match=r"counted: expected \(3, 4\)"):
        pose_counts(found, truth, alpha=0.2, counted=visible[:2])


def test_crw_takes_dropped_joints_out_of_the_persons_size_too():
    truth = square()
    found = truth + np.array([8.0, 0])
    assert pck_of([(found, truth)]) == 1.0
    found[1, 3] = np.nan  # the box of the other three is the same
    assert pck_of([(found, truth)], compat="crw") == 1.0
    found[1, 2] = np.nan  # that of two is a side of the square: 70.7 px instead of 100
    assert rates_of([(found, truth)], compat="crw").tolist() == [0.5, 0.5, 1, 1]
    assert rates_of([(found, truth)]).tolist() == [1, 1, 0.5, 0.5]


def naive_crw(clips, alpha: float) -> float:
    """The published rule in loops: distances by joint over all clips, then the mean of shares."""
    shares = [[] for _ in range(clips[0][0].shape[1])]
    for found, truth in clips:
        for frame in range(1, len(truth)):
            there = [j for j in range(truth.shape[1]) if not np.isnan(found[frame, j]).any()]
            for joint in there:
                box = truth[frame, there]
                size = 0.6 * math.dist(box.max(axis=0), box.min(axis=0))
                off = math.dist(found[frame, joint], truth[frame, joint])
                shares[joint].append(size > 0 and off / size <= alpha)
    return float(np.mean([np.mean(share) for share in shares if share]))


@given(seed=st.integers(0, 2**32 - 1), alpha=st.sampled_from([0.1, 0.2, 0.5]))
def test_crw_equals_the_published_rule_in_loops(seed, alpha):
    rng = np.random.default_rng(seed)
    clips = []
    for frames in (2, 5):
        truth = rng.uniform(0, 100, (frames, 6, 2))
        found = truth + rng.normal(0, 15, truth.shape)
        found[rng.random((frames, 6)) < 0.3] = np.nan
        found[1, 0] = truth[1, 0] + 1
        clips.append((found, truth))
    assert pck_of(clips, alpha=alpha, compat="crw") == pytest.approx(naive_crw(clips, alpha))


def test_counts_by_another_length_and_pooled():
    errors = np.array([[9.0, 9], [1.0, 3], [np.inf, np.nan], [0, 0]])
    lengths = np.array([1.0, 10.0, 10.0, np.nan])
    right, total = joint_counts(errors, lengths, alpha=0.2)
    assert right.tolist() == [1, 0] and total.tolist() == [2, 2]
    assert pooled_rate(right, total) == 0.25 and mean_rate(right, total) == 0.25
    right, total = np.array([1, 3]), np.array([1, 6])
    assert pooled_rate(right, total) == 4 / 7 and mean_rate(right, total) == 0.75
    nothing = np.zeros(2, dtype=np.int64)
    assert math.isnan(pooled_rate(nothing, nothing)) and math.isnan(mean_rate(nothing, nothing))
    with pytest.raises(InputError, match="2 frames or more"):
        joint_counts(errors[:1], lengths[:1], alpha=0.2)
    with pytest.raises(InputError, match="lengths"):
        joint_counts(errors, lengths[:2], alpha=0.2)


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
    pck = pck_of([(found, truth)], alpha=0.2)
    assert pck_of([(found * factor, truth * factor)], alpha=0.2) == pck
    share = badja_accuracy(found, truth, visible, areas)
    scaled = badja_accuracy(found * factor, truth * factor, visible, areas * factor**2)
    assert scaled == pytest.approx(share)
    assert 0 <= share <= 1 and 0 <= pck <= 1


@given(seed=st.integers(0, 2**32 - 1), low=st.floats(0.05, 0.5), more=st.floats(0, 0.5))
def test_a_wider_limit_never_scores_less(seed, low, more):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 100, (3, 4, 2))
    clips = [(truth + rng.normal(0, 20, truth.shape), truth)]
    assert pck_of(clips, alpha=low + more) >= pck_of(clips, alpha=low)
