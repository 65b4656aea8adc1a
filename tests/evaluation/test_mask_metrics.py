"""The metrics: known answers, bad input, and equality with an independent implementation."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chromatrack.errors import InputError
from chromatrack.evaluation.metrics import masks as metrics

DEV = Path(__file__).resolve().parents[3] / "shared/data/davis16-dev"

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@st.composite
def mask_pairs(draw, dtype=bool):
    size = draw(sizes)
    return draw(hnp.arrays(dtype, size)), draw(hnp.arrays(dtype, size))


def disc(size, centre, radius):
    y, x = np.mgrid[: size[0], : size[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius * radius


def test_jaccard_of_known_overlap():
    a, b = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
    a[:, :3], b[:, 2:4] = 255, 1
    assert metrics.jaccard(a, b) == 4 / 16


def test_perfect_and_empty_masks():
    empty, full = np.zeros((30, 40), bool), disc((30, 40), (15, 20), 9)
    for score in (metrics.jaccard, metrics.boundary_f):
        assert score(full, full) == 1.0
        assert score(empty, empty) == 1.0
        assert score(empty, full) == 0.0
        assert score(full, empty) == 0.0


def test_boundary_is_one_pixel_towards_the_origin_and_not_the_image_frame():
    mask = np.zeros((5, 6), bool)
    mask[2:, 3:] = True
    expected = np.zeros((5, 6), bool)
    expected[1, 2:] = True
    expected[1:, 2] = True
    assert np.array_equal(metrics.boundary_map(mask), expected)
    assert not metrics.boundary_map(np.ones((5, 6), bool)).any()


def test_boundary_tolerance_includes_its_limit():
    size = (480, 854)  # ceil(0.008 * diagonal) = 8
    truth = np.zeros(size, bool)
    truth[:, 400:] = True
    for shift, expected in ((8, 1.0), (9, 0.0)):
        moved = np.zeros(size, bool)
        moved[:, 400 + shift :] = True
        assert metrics.boundary_f(moved, truth) == expected


@given(mask_pairs())
def test_scores_are_symmetric_fractions(pair):
    for score in (metrics.jaccard, metrics.boundary_f):
        value = score(*pair)
        assert 0.0 <= value <= 1.0
        assert value == score(*reversed(pair))


@settings(max_examples=100, deadline=None)
@given(mask_pairs(np.uint8), st.integers(0, 3))
def test_equals_vos_benchmark_on_random_masks(pair, objects):
    oracle = pytest.importorskip("vos_benchmark.evaluator").Evaluator()
    prediction, truth = (mask % (objects + 1) for mask in pair)
    oracle.feed_frame(prediction, truth)
    for object_id in oracle.objects_in_gt:
        [[j, f]] = metrics.frame_scores(prediction, truth, object_ids=[object_id])
        assert j == oracle.object_iou[object_id][0]
        assert f == pytest.approx(oracle.boundary_f[object_id][0], abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(240, 427), (97, 130), (300, 130)]))
def test_equals_vos_benchmark_on_random_shapes(seed, size):
    oracle = pytest.importorskip("vos_benchmark.evaluator").Evaluator()
    rng = np.random.default_rng(seed)
    masks = [np.zeros(size, np.uint8) for _ in range(2)]
    for mask in masks:
        for object_id in (1, 2, 3):
            mask[disc(size, rng.uniform(0, size), rng.uniform(3, 60))] = object_id
    oracle.feed_frame(*masks)
    ids = sorted(oracle.objects_in_gt)
    scores = metrics.frame_scores(*masks, object_ids=ids)
    assert scores[:, 0].tolist() == [oracle.object_iou[i][0] for i in ids]
    assert scores[:, 1] == pytest.approx([oracle.boundary_f[i][0] for i in ids], abs=1e-12)


def slow_scores(prediction, truth, object_id, tolerance=metrics.BOUNDARY_TOLERANCE):
    """J and F by the book: whole frame, boundaries pixel by pixel, dilated with a disk by SciPy."""
    ndimage = pytest.importorskip("scipy.ndimage")
    predicted, true = prediction == object_id, truth == object_id
    union = (predicted | true).sum()
    j = (predicted & true).sum() / union if union else 1.0
    radius = math.ceil(tolerance * math.hypot(*truth.shape))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    lines = []
    for mask in (predicted, true):
        padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
        here = padded[:-1, :-1]
        around = padded[1:, :-1], padded[:-1, 1:], padded[1:, 1:]
        line = (here != around[0]) | (here != around[1]) | (here != around[2])
        lines.append(line)
    if not lines[0].any() or not lines[1].any():
        return j, float(not lines[0].any() and not lines[1].any())
    near = [ndimage.binary_dilation(line, structure=x * x + y * y <= radius**2) for line in lines]
    precision = (lines[0] & near[1]).sum() / lines[0].sum()
    recall = (lines[1] & near[0]).sum() / lines[1].sum()
    total = precision + recall
    return j, 2 * precision * recall / total if total else 0.0


@settings(max_examples=60, deadline=None)
@given(
    mask_pairs(np.uint8),
    st.integers(1, 3),
    st.sampled_from([0.008, 0.03, 0.1, 0.2]),
    st.tuples(*[st.integers(0, 20)] * 4),
)
def test_equals_the_slow_definition_on_random_masks(pair, objects, tolerance, margins):
    """Also where the objects fill a part of the frame only, which alone is looked at."""
    top, bottom, left, right = margins
    prediction, truth = (
        np.pad(mask % (objects + 1), ((top, bottom), (left, right))) for mask in pair
    )
    ids = list(range(1, objects + 1))
    scores = metrics.frame_scores(prediction, truth, object_ids=ids)
    assert scores.tolist() == [list(slow_scores(prediction, truth, i)) for i in ids]
    for i in ids:
        one = prediction == i, truth == i
        slow = slow_scores(prediction, truth, i, tolerance)
        assert (metrics.jaccard(*one), metrics.boundary_f(*one, tolerance=tolerance)) == slow


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(240, 427), (97, 130), (300, 131)]))
def test_equals_the_slow_definition_on_shapes_across_the_frame(seed, size):
    rng = np.random.default_rng(seed)
    masks = [np.zeros(size, np.int32) for _ in range(2)]
    for mask in masks:
        for object_id in (1, 2, 400):
            mask[disc(size, rng.uniform(-20, np.add(size, 20)), rng.uniform(3, 90))] = object_id
    scores = metrics.frame_scores(*masks, object_ids=[400, 2, 1])
    assert scores.tolist() == [list(slow_scores(*masks, i)) for i in (400, 2, 1)]


@pytest.mark.skipif(not DEV.is_dir(), reason="needs ../shared/data/davis16-dev")
@pytest.mark.parametrize("name", ["dance-jump", "soccerball"])
def test_equals_the_slow_definition_on_real_masks(name):
    from PIL import Image

    paths = sorted((DEV / "Annotations/480p" / name).glob("*.png"))[:21:10]
    truths = [(np.array(Image.open(path)) != 0).astype(np.uint8) for path in paths]
    for prediction, truth in pairwise(truths):
        [scores] = metrics.frame_scores(prediction, truth, object_ids=[1])
        assert tuple(scores) == slow_scores(prediction, truth, 1)


@pytest.mark.skipif(not DEV.is_dir(), reason="needs ../shared/data/davis16-dev")
@pytest.mark.parametrize("name", ["bear", "bmx-bumps"])
def test_equals_vos_benchmark_on_real_masks(name):
    """The prediction is the mask of three frames ago, so scores are neither 0 nor 1.

    The oracle starts an object's score where the object is first seen; DAVIS objects are there from
    the first frame on, so both count the same frames once the first and last are left out.
    """
    from PIL import Image

    oracle = pytest.importorskip("vos_benchmark.evaluator").Evaluator()
    paths = sorted((DEV / "Annotations/480p" / name).glob("*.png"))[:20]
    truths = [(np.array(Image.open(path)) != 0).astype(np.uint8) for path in paths]
    frames = []
    for index, truth in enumerate(truths):
        prediction = truths[max(0, index - 3)]
        frames.append(metrics.frame_scores(prediction, truth, object_ids=[1]))
        if 0 < index < len(truths) - 1:
            oracle.feed_frame(prediction, truth)
    scores = metrics.sequence_scores(frames, object_ids=[1]).scores
    j, f = oracle.conclude()
    assert scores["J-Mean"] * 100 == pytest.approx(j[1], abs=1e-9)
    assert scores["F-Mean"] * 100 == pytest.approx(f[1], abs=1e-9)
    assert 0 < scores["J-Mean"] < 1


def test_an_object_that_is_not_predicted_counts_as_empty():
    truth = np.zeros((20, 20), np.int32)
    truth[2:8, 2:8], truth[10:18, 10:18] = 1, 7
    only_one = np.where(truth == 1, 1, 0)
    assert metrics.frame_scores(only_one, truth, object_ids=[1, 7]).tolist() == [[1, 1], [0, 0]]
    assert metrics.frame_scores(None, truth, object_ids=[1, 7]).tolist() == [[0, 0], [0, 0]]
    assert metrics.frame_scores(None, truth, object_ids=[3]).tolist() == [[1, 1]]


def test_mean_recall_decay_by_hand():
    # 9 frames: quarters share their border frames: [0..2], [2..4], [4..6], [6..8]
    values = np.array([1.0, 0.9, 0.8, 0.5, 0.5, 0.5, 0.4, 0.3, 0.2])
    mean, recall, decay = metrics.mean_recall_decay(values)
    assert mean == pytest.approx(5.1 / 9)
    assert recall == 3 / 9  # exactly 0.5 is not recalled
    assert decay == pytest.approx(0.9 - 0.3)
    assert metrics.mean_recall_decay(np.array([0.7])) == (0.7, 1.0, 0.0)


def test_decay_does_not_wrap_beyond_255_frames():
    values = np.linspace(1, 0, 401)
    assert metrics.mean_recall_decay(values)[2] == pytest.approx(0.75)


def test_sequence_leaves_out_first_and_last_frame():
    frames = [np.array([[value, value / 2]]) for value in (0.0, 0.6, 0.8, 0.0)]
    scores = metrics.sequence_scores(frames, object_ids=[5]).objects[5]
    assert scores["J-Mean"] == pytest.approx(0.7)
    assert scores["F-Mean"] == pytest.approx(0.35)
    assert scores["J&F-Mean"] == pytest.approx(0.525)
    assert scores["J-Recall"] == 1.0 and scores["F-Recall"] == 0.0
    assert tuple(scores) == metrics.SCORE_COLUMNS


def test_dataset_is_the_mean_over_objects_not_sequences():
    one = metrics.sequence_scores([np.ones((1, 2))] * 3, object_ids=[1])
    three = metrics.sequence_scores([np.zeros((3, 2))] * 3, object_ids=[1, 2, 3])
    scores = metrics.dataset_scores({"a": one, "b": three})
    assert scores["J&F-Mean"] == scores["J-Mean"] == scores["F-Recall"] == 0.25


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_sequences_too_short_to_score_are_refused(frames):
    with pytest.raises(InputError, match=f"at least 3 frames.*got {frames}"):
        metrics.sequence_scores([np.ones((1, 2))] * frames, object_ids=[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: metrics.jaccard(a[:3], a), r"one shape; got \(3, 5\) and \(4, 5\)"),
        (lambda a: metrics.boundary_f(a.astype(float), a), "bool or integer; got float64"),
        (lambda a: metrics.jaccard(a, a[None]), r"\(H, W\) mask; got shape \(1, 4, 5\)"),
        (lambda a: metrics.boundary_map(a[:0]), r"non-empty.*\(0, 5\)"),
        (lambda a: metrics.boundary_f(a, a, tolerance=8), "share of the diagonal; got 8"),
        (lambda a: metrics.frame_scores(a.astype(float), a, object_ids=[1]), "got float64"),
        (lambda a: metrics.frame_scores(a[:3], a, object_ids=[]), "one shape"),
        (lambda a: metrics.frame_scores(a, a, object_ids=[1, 0]), "0 is the background"),
        (lambda a: metrics.sequence_scores([a] * 3, object_ids=[1]), r"shape \(1, 2\)"),
        (lambda a: metrics.sequence_scores([a] * 3, object_ids=[]), "at least one object"),
        (lambda a: metrics.dataset_scores({}), "at least one sequence"),
        (lambda a: metrics.mean_recall_decay(np.array([np.nan])), "finite"),
        (lambda a: metrics.psnr(a[:3], a), "one shape"),
        (lambda a: metrics.psnr(a, a, peak=0), "above 0; got 0"),
        (lambda a: metrics.psnr(a * np.inf, a * 1.0), "finite"),
    ],
)
def test_bad_input_is_refused_with_what_came(call, message):
    with pytest.raises(InputError, match=message):
        call(np.ones((4, 5), np.uint8))


def test_psnr_is_computed_in_float():
    dark, light = np.zeros((2, 3, 3), np.uint8), np.full((2, 3, 3), 255, np.uint8)
    assert metrics.psnr(dark, light) == 0.0
    assert metrics.psnr(dark, dark) == math.inf
    assert metrics.psnr(dark + 0.4, dark.astype(float)) == pytest.approx(56.0896, abs=1e-3)
    assert metrics.psnr(dark / 1.0, dark + 0.1, peak=1) == pytest.approx(20.0)


def test_metrics_import_no_torch():
    import subprocess
    import sys

    code = "import sys, chromatrack.evaluation.metrics.masks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
