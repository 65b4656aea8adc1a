"""Scores of a reliability against scipy, hand-worked cases and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from chromatrack.errors import InputError
from chromatrack.evaluation.metrics.calibration import (
    auc,
    bootstrap_correlation,
    expected_calibration_error,
    fit_logistic,
    held_out,
    logistic,
    pearson,
    ranks,
    reliability_bins,
    spearman,
)

few = st.integers(0, 5).map(float)  # many ties
pairs = st.lists(st.tuples(few, st.booleans()), min_size=2, max_size=40)
columns = st.lists(st.tuples(few, few), min_size=3, max_size=40)


@given(pairs)
def test_auc_is_mann_whitneys_u(rows):
    scores = np.array([score for score, _ in rows])
    positives = np.array([positive for _, positive in rows])
    found = auc(scores, positives)
    if positives.all() or not positives.any():
        assert math.isnan(found)
        return
    u = stats.mannwhitneyu(scores[positives], scores[~positives]).statistic
    assert found == pytest.approx(u / (positives.sum() * (~positives).sum()), abs=1e-12)


def test_auc_perfect_reversed_constant():
    positives = np.array([0, 0, 1, 1], dtype=bool)
    assert auc(np.array([1, 2, 3, 4]), positives) == 1
    assert auc(np.array([4, 3, 2, 1]), positives) == 0
    assert auc(np.ones(4), positives) == 0.5
    assert auc(np.array([1, 2, 2, 3]), positives) == 0.875  # one of four pairs is tied


@given(columns)
def test_correlations_are_scipys(rows):
    x, y = np.array(rows).T
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(pearson(x, y)) and math.isnan(spearman(x, y))
        return
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y)[0], abs=1e-9)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y)[0], abs=1e-9)
    np.testing.assert_allclose(ranks(x), stats.rankdata(x))


@pytest.mark.parametrize("adaptive", [False, True])
def test_calibrated_values_have_no_error_and_wrong_ones_their_distance(adaptive):
    values = np.repeat([0.2, 0.8], 50)
    right = np.concatenate([np.arange(50) < 10, np.arange(50) < 40])
    bins = 2 if adaptive else 10
    assert expected_calibration_error(values, right, bins=bins, adaptive=adaptive) < 1e-12
    assert expected_calibration_error(np.ones(10), np.arange(10) < 7) == pytest.approx(0.3)
    found = reliability_bins(values, right, bins=bins, adaptive=adaptive)
    assert [(b.count, round(b.accuracy, 9)) for b in found] == [(50, 0.2), (50, 0.8)]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.booleans())
def test_every_frame_is_in_one_bin(rows, adaptive):
    values, right = np.array([v for v, _ in rows]), np.array([r for _, r in rows])
    found = reliability_bins(values, right, adaptive=adaptive)
    assert sum(b.count for b in found) == len(rows)
    assert all(b.low - 1e-9 <= b.reliability <= b.high + 1e-9 for b in found)
    assert sum(b.accuracy * b.count for b in found) == pytest.approx(right.sum())
    assert 0 <= expected_calibration_error(values, right, adaptive=adaptive) <= 1


def test_the_interval_is_over_groups_not_frames():
    rng = np.random.default_rng(0)
    place = rng.normal(size=12)
    groups = np.repeat(np.arange(12), 40)
    x = place[groups] + 0.05 * rng.normal(size=480)
    y = place[groups] + 0.6 * rng.normal(size=12)[groups]  # the noise is a whole sequence's
    clustered = bootstrap_correlation(x, y, groups=groups, samples=400)
    single = bootstrap_correlation(x, y, samples=400)
    assert clustered.value == single.value == pearson(x, y)
    assert clustered.low < clustered.value < clustered.high
    assert clustered.high - clustered.low > 2 * (single.high - single.low)
    assert clustered == bootstrap_correlation(x, y, groups=groups, samples=400)
    other = bootstrap_correlation(x, y, groups=groups, kind="spearman", samples=100)
    assert other.value == spearman(x, y)


def test_an_interval_of_single_frames_fits_fishers():
    rng = np.random.default_rng(1)
    x = rng.normal(size=300)
    y = 0.6 * x + 0.8 * rng.normal(size=300)
    found = bootstrap_correlation(x, y, samples=1000)
    low, high = stats.pearsonr(x, y).confidence_interval(0.95)
    assert found.low == pytest.approx(low, abs=0.03) and found.high == pytest.approx(high, abs=0.03)


def test_one_group_has_a_value_but_no_interval():
    found = bootstrap_correlation(np.arange(5), np.arange(5) ** 2, groups=["a"] * 5)
    assert found.value > 0.9 and math.isnan(found.low) and math.isnan(found.high)
    still = bootstrap_correlation(np.ones(6), np.arange(6), groups=list("aabbcc"), samples=20)
    assert all(math.isnan(v) for v in (still.value, still.low, still.high))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_the_logistic_fit_is_the_optimum(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 2))
    right = rng.random(60) < logistic(0.5 + x @ [1.5, -0.7])

    def loss(w):
        logits = w[0] + x @ w[1:]
        lost = np.logaddexp(0, logits) - right * logits
        return lost.sum() + 0.5 * (w[1:] ** 2).sum()

    best = optimize.minimize(loss, np.zeros(3), method="BFGS")
    np.testing.assert_allclose(fit_logistic(x, right, ridge=1.0), best.x, atol=1e-3)


def test_separable_and_one_class_data_stay_finite():
    x = np.linspace(-1, 1, 20)[:, None]
    assert np.isfinite(fit_logistic(x, x[:, 0] > 0)).all()
    assert logistic(fit_logistic(x, np.ones(20))[0]) > 0.99
    assert logistic(np.array([-1e4, 0, 1e4])).tolist() == [0, 0.5, 1]


def test_what_is_held_out_is_not_learned_from():
    groups = np.repeat(["a", "b", "c"], 20)
    x = np.tile(np.linspace(-1, 1, 20), 3)[:, None]
    right = x[:, 0] > 0
    before = held_out(x, right, groups=groups)
    turned = np.where(groups == "a", ~right, right)
    after = held_out(x, turned, groups=groups)
    np.testing.assert_array_equal(before[:20], after[:20])
    assert auc(before, right) == 1.0 and not np.array_equal(before[20:], after[20:])


def test_bad_input_is_named():
    three, flags = np.zeros(3), np.array([True, False, True])
    for call, message in [
        (lambda: auc(three, flags[:2]), "scores and positives"),
        (lambda: auc(np.zeros((3, 1)), flags), "scores and positives"),
        (lambda: auc(np.array([0, np.nan, 1]), flags), "scores: expected finite"),
        (lambda: auc(np.zeros(0), np.zeros(0)), "at least 1"),
        (lambda: reliability_bins(three + 2, flags), "from 0 to 1"),
        (lambda: reliability_bins(three, flags, bins=0), "bins: expected 1"),
        (lambda: expected_calibration_error(three, flags[:1]), "reliability and right"),
        (lambda: pearson(three[:1], three[:1]), "at least 2"),
        (lambda: spearman(three, np.zeros(4)), "x and y"),
        (lambda: bootstrap_correlation(three, three, groups="ab"), "groups: expected one"),
        (lambda: bootstrap_correlation(three, three, kind="kendall"), "kind: expected"),  # type: ignore[arg-type]
        (lambda: bootstrap_correlation(three, three, coverage=1), "coverage: expected"),
        (lambda: bootstrap_correlation(three, three, samples=0), "samples: expected"),
        (lambda: fit_logistic(three, flags), "inputs \\(N, D\\)"),
        (lambda: fit_logistic(np.full((3, 1), np.inf), flags), "finite inputs"),
        (lambda: fit_logistic(three[:, None], flags, ridge=0), "ridge: expected"),
        (lambda: held_out(three[:, None], flags, groups="aaa"), "two or more"),
    ]:
        with pytest.raises(InputError, match=message):
            call()
