"""Scores of tracks: perfect, empty and wrong input, and cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.evaluation.metrics.tracks import (
    median_error,
    pck,
    point_errors,
    precision_at,
    present_while_hidden,
    reappearance,
    refound,
    success_auc,
    visibility_accuracy,
    wrong_taken,
)
from chromatrack.ops.coords import box_iou

NAN = math.nan
SHARES = np.array([1, 1, 0.4, 0, 0, 0, 0.3, 0.6, 1, 1, 1, 1, 1], dtype=float)
"""Thirteen frames of an object that is back, by half, on frame 7."""


def test_point_errors_are_distances():
    predicted = np.array([[3.0, 4.0], [1.0, 1.0]])
    truth = np.array([[0.0, 0.0], [1.0, 1.0]])
    assert point_errors(predicted, truth).tolist() == [5.0, 0.0]


def test_a_point_that_was_not_predicted_is_infinitely_wrong():
    errors = point_errors(np.array([[NAN, NAN], [NAN, 2.0]]), np.zeros((2, 2)))
    assert np.isinf(errors).all()


def test_a_truth_that_is_not_finite_is_refused():
    with pytest.raises(InputError, match="finite"):
        point_errors(np.zeros((1, 2)), np.array([[NAN, 0.0]]))


def test_points_of_two_shapes_are_refused():
    with pytest.raises(InputError, match=r"\(1, 2\) and \(2, 2\)"):
        point_errors(np.zeros((1, 2)), np.zeros((2, 2)))
    with pytest.raises(InputError, match="xy"):
        point_errors(np.zeros((2, 3)), np.zeros((2, 3)))


def test_median_error_leaves_out_the_first_frame_and_hidden_points():
    errors = np.array([[100.0, 100.0], [1.0, 50.0], [3.0, 2.0]])
    counted = np.array([[True, True], [True, False], [True, True]])
    assert median_error(errors, counted) == 2.0
    assert median_error(errors, np.ones_like(counted)) == 2.5


def test_median_error_is_infinite_when_half_is_missed():
    errors = np.array([[0.0, 0.0], [1.0, np.inf]])
    assert math.isinf(median_error(errors, np.ones((2, 2), dtype=bool)))
    assert math.isinf(median_error(np.array([[0.0], [NAN]]), np.ones((2, 1), dtype=bool)))


def test_median_error_needs_something_to_count():
    with pytest.raises(InputError, match="got none"):
        median_error(np.zeros((3, 1)), np.zeros((3, 1), dtype=bool))
    with pytest.raises(InputError, match="2 frames"):
        median_error(np.zeros((1, 1)), np.ones((1, 1), dtype=bool))


def test_visibility_accuracy_counts_both_kinds_of_error():
    truth = np.array([[True, True], [True, False], [False, True]])
    assert visibility_accuracy(truth, truth) == 1.0
    told = np.array([[False, False], [True, True], [True, True]])
    assert visibility_accuracy(told, truth) == 0.5
    assert visibility_accuracy(~truth, truth) == 0.0


def test_precision_at_includes_its_limit():
    assert precision_at(np.array([1.0, 4.0, 4.1, np.inf, NAN]), 4.0) == 0.4


@pytest.mark.parametrize("errors, pixels", [(np.array([]), 4.0), (np.ones(2), 0.0)])
def test_precision_refuses_nothing_and_no_limit(errors, pixels):
    with pytest.raises(InputError):
        precision_at(errors, pixels)


def test_pck_scales_with_the_reference():
    errors = np.array([[10.0, 19.0], [21.0, NAN]])
    assert pck(errors, 100.0, alpha=0.2) == 0.5
    assert pck(errors, np.array([[40.0], [200.0]]), alpha=0.2) == 0.25
    assert pck(np.zeros(3), 1.0) == 1.0


@pytest.mark.parametrize("reference", [0.0, NAN, np.ones(3)])
def test_pck_refuses_a_reference_that_does_not_fit(reference):
    with pytest.raises(InputError):
        pck(np.zeros((2, 2)), reference)


def test_box_iou_of_cases_worked_by_hand():
    a = np.array([[0, 0, 4, 4], [0, 0, 4, 4], [0, 0, 4, 4], [0, 0, 0, 0]], dtype=float)
    b = np.array([[0, 0, 4, 4], [2, 2, 4, 4], [4, 0, 4, 4], [0, 0, 0, 0]], dtype=float)
    assert box_iou(a, b).tolist() == [1.0, 4 / 28, 0.0, 0.0]


def test_a_missing_box_overlaps_nothing():
    assert box_iou(np.full(4, NAN), np.array([0.0, 0.0, 2.0, 2.0])) == 0.0


def test_boxes_are_checked():
    with pytest.raises(InputError, match="negative"):
        box_iou(np.array([0, 0, -1, 2.0]), np.zeros(4))
    with pytest.raises(InputError, match="x, y, width, height"):
        box_iou(np.zeros(3), np.zeros(3))


boxes = st.tuples(*[st.floats(-50, 50)] * 2, *[st.floats(0.1, 50)] * 2).map(np.array)


@given(boxes, boxes)
def test_box_iou_is_symmetric_and_a_share(a, b):
    iou = float(box_iou(a, b))
    assert 0 <= iou <= 1 + 1e-12
    assert iou == pytest.approx(float(box_iou(b, a)))
    assert box_iou(a, a) == pytest.approx(1)


def test_success_auc_is_the_mean_over_21_thresholds():
    assert success_auc(np.ones(4)) == pytest.approx(20 / 21)
    assert success_auc(np.zeros(4)) == 0.0
    assert success_auc(np.array([0.52])) == pytest.approx(11 / 21)
    assert success_auc(np.array([0.5, NAN])) == pytest.approx(5 / 21)


@pytest.mark.parametrize("ious", [[], [1.2], [-0.1]])
def test_success_auc_refuses_what_is_no_overlap(ious):
    with pytest.raises(InputError):
        success_auc(np.array(ious))


def test_reappearance_is_the_first_frame_half_visible_after_the_last_hidden_one():
    assert reappearance(SHARES) == 7


@pytest.mark.parametrize("shares", [np.ones(4), np.array([1, 0.2]), np.array([1, 0, 2.0])])
def test_reappearance_needs_an_object_that_comes_back(shares):
    with pytest.raises(InputError):
        reappearance(shares)


def test_refound_needs_to_be_found_in_time_and_kept():
    perfect = np.ones(13)
    assert refound(perfect, SHARES)
    assert not refound(np.zeros(13), SHARES)
    late = np.where(np.arange(13) >= 12, 1.0, 0.0)
    assert not refound(late, SHARES, within=5)
    lost_again = np.where(np.arange(13) == 7, 1.0, 0.1)
    assert not refound(lost_again, SHARES)
    assert not refound(np.full(13, NAN), SHARES)
    before_only = np.where(np.arange(13) < 7, 1.0, 0.0)
    assert not refound(before_only, SHARES)


def test_refound_forgives_one_bad_frame_at_the_end():
    assert refound(np.r_[np.ones(12), 0.4], SHARES)


def test_refound_of_two_lengths_is_refused():
    with pytest.raises(InputError, match="one shape"):
        refound(np.ones(12), SHARES)


def test_wrong_taken_needs_three_frames_or_the_last():
    right = np.full(6, 10.0)
    assert not wrong_taken(right, np.zeros(6), after=0)
    assert not wrong_taken(right, np.array([0, 20, 20, 0, 0, 0]), after=0)
    assert wrong_taken(right, np.array([0, 20, 20, 20, 0, 0]), after=0)
    assert not wrong_taken(right, np.array([20, 20, 20, 20, 0, 0]), after=3)
    assert wrong_taken(right, np.array([0, 0, 0, 0, 0, 20]), after=0)
    assert not wrong_taken(np.zeros(6), np.zeros(6), after=0)


def test_wrong_taken_refuses_a_frame_outside_the_clip():
    with pytest.raises(InputError, match="frame"):
        wrong_taken(np.zeros(3), np.zeros(3), after=3)


def test_present_while_hidden_looks_only_at_frames_that_show_nothing():
    present = np.zeros(13, dtype=bool)
    assert present_while_hidden(present, SHARES) == 0.0
    present[[0, 3, 8]] = True
    assert present_while_hidden(present, SHARES) == pytest.approx(1 / 3)
    assert math.isnan(present_while_hidden(present, np.ones(13)))
