from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chromatrack.errors import InputError
from chromatrack.evaluation.metrics.parsing import class_iou, confusion_matrix, parsing_scores

CLASSES = 4


def iou_by_sets(pairs, number: int) -> float:
    """The definition: pixels of both by pixels of either, over all frames at once."""
    both = either = 0
    for predicted, truth in pairs:
        for p, t in zip(predicted.ravel(), truth.ravel(), strict=True):
            if not 0 <= t < CLASSES:
                continue
            both += p == number and t == number
            either += p == number or t == number
    return both / either if either else math.nan


def summed(pairs) -> np.ndarray:
    return sum(
        (confusion_matrix(p, t, classes=CLASSES) for p, t in pairs),
        np.zeros((CLASSES, CLASSES), dtype=np.int64),
    )


shapes = st.tuples(st.integers(1, 4), st.integers(1, 4))


@st.composite
def frames(draw):
    shape = draw(shapes)
    predicted = draw(hnp.arrays(np.int32, shape, elements=st.integers(0, CLASSES - 1)))
    some = st.integers(0, CLASSES - 1) | st.just(255)
    return predicted, draw(hnp.arrays(np.int32, shape, elements=some))


@settings(max_examples=50)
@given(pairs=st.lists(frames(), min_size=1, max_size=3))
def test_equal_to_the_definition_in_loops(pairs):
    counts = summed(pairs)
    expected = [iou_by_sets(pairs, number) for number in range(CLASSES)]
    assert class_iou(counts) == pytest.approx(expected, nan_ok=True)
    scores = parsing_scores(counts)
    there = [iou for iou in expected if not math.isnan(iou)]
    mean = float(np.mean(there)) if there else math.nan
    assert scores["mIoU"] == pytest.approx(mean, nan_ok=True)
    known = [(p == t)[t < CLASSES] for p, t in pairs]
    right = np.concatenate(known)
    share = float(right.mean()) if right.size else math.nan
    assert scores["pixel-accuracy"] == pytest.approx(share, nan_ok=True)


def test_a_hand_worked_frame():
    truth = np.array([[0, 0, 1, 1], [0, 0, 2, 255]])
    predicted = np.array([[0, 0, 1, 0], [0, 3, 1, 2]])
    counts = confusion_matrix(predicted, truth, classes=CLASSES)
    assert counts.tolist() == [[3, 0, 0, 1], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    ious = [3 / 5, 1 / 3, 0.0, 0.0]  # class 3 is predicted and never true: 0, not left out
    assert class_iou(counts) == pytest.approx(ious)
    assert parsing_scores(counts) == pytest.approx(
        {
            "mIoU": sum(ious) / 4,
            "mIoU-parts": sum(ious[1:]) / 3,
            "mean-accuracy": (3 / 4 + 1 / 2 + 0) / 3,
            "pixel-accuracy": 4 / 7,
        }
    )


def test_perfect_is_one_and_classes_that_never_occur_are_left_out():
    truth = np.array([[0, 0, 2]])
    counts = confusion_matrix(truth, truth, classes=CLASSES)
    assert set(parsing_scores(counts).values()) == {1.0}
    assert np.isnan(class_iou(counts)).tolist() == [False, True, False, True]


def test_a_mean_of_frames_is_not_what_is_scored():
    """A small part lost on one frame of many weighs by its pixels."""
    one = np.zeros((1, 10), dtype=int), np.array([[1] + [0] * 9])
    many = np.ones((1, 10), dtype=int), np.ones((1, 10), dtype=int)
    assert class_iou(summed([one, many]))[1] == pytest.approx(10 / 11)


def test_all_background_and_nothing_known():
    empty = np.zeros((3, 3), dtype=int)
    scores = parsing_scores(confusion_matrix(empty, empty, classes=CLASSES))
    assert scores["mIoU"] == 1.0 and math.isnan(scores["mIoU-parts"])
    unknown = confusion_matrix(empty, np.full((3, 3), 255), classes=CLASSES)
    assert unknown.sum() == 0
    assert all(math.isnan(score) for score in parsing_scores(unknown).values())


def test_everything_missed():
    truth = np.array([[0, 1, 1, 3]])
    scores = parsing_scores(confusion_matrix(np.zeros_like(truth), truth, classes=CLASSES))
    assert scores["mIoU"] == pytest.approx((1 / 4 + 0 + 0) / 3) and scores["mIoU-parts"] == 0.0


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), r"one shape, got \(2, 3\) and \(3, 2\)"),
        (np.zeros((0, 3), int), np.zeros((0, 3), int), "one shape"),
        (np.zeros((2, 3)), np.zeros((2, 3), int), "integer classes, got float64"),
        (np.zeros((2, 3), int), np.zeros((2, 3)), "integer classes"),
        (np.full((2, 3), 4), np.zeros((2, 3), int), "classes 0 to 3, got 4 to 4"),
        (np.full((2, 3), -1), np.zeros((2, 3), int), "classes 0 to 3, got -1"),
    ],
)
def test_wrong_pictures_say_what_was_expected(predicted, truth, message):
    with pytest.raises(InputError, match=message):
        confusion_matrix(predicted, truth, classes=CLASSES)


@pytest.mark.parametrize(
    "counts",
    [
        np.zeros((2, 3), int),
        np.zeros(4, int),
        np.zeros((0, 0), int),
        np.ones((2, 2)),
        -np.eye(2, dtype=int),
    ],
)
def test_what_is_no_confusion_matrix_is_refused(counts):
    with pytest.raises(InputError, match="confusion: expected"):
        parsing_scores(counts)
