from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chromatrack.errors import InputError
from chromatrack.evaluation.metrics.tapvid import (
    TAPVID_COLUMNS,
    THRESHOLDS,
    evaluated_frames,
    mean_scores,
    sample_queries,
    tapvid_scores,
)


def by_hand(found, said_occluded, truth, occluded, asked, *, queries):
    """The published definition, point by point and frame by frame."""
    right_visibility, frames = 0, 0
    counts = {pixels: dict.fromkeys(("tp", "fp", "fn", "near", "seen"), 0) for pixels in THRESHOLDS}
    for q, start in enumerate(asked):
        for t in range(truth.shape[1]):
            if t == start or (queries == "first" and t < start):
                continue
            frames += 1
            right_visibility += bool(said_occluded[q, t]) == bool(occluded[q, t])
            for pixels, count in counts.items():
                near = math.dist(found[q, t], truth[q, t]) < pixels
                seen, said = not occluded[q, t], not said_occluded[q, t]
                count["seen"] += seen
                count["near"] += seen and near
                count["tp"] += seen and said and near
                count["fp"] += said and not (seen and near)
                count["fn"] += seen and not (said and near)
    scores = {"OA": right_visibility / frames if frames else math.nan}
    for pixels, count in counts.items():
        whole = count["tp"] + count["fp"] + count["fn"]
        # a visible point that is placed wrongly counts twice: missed here, and claimed there
        scores[f"jaccard_{pixels}"] = count["tp"] / whole if whole else math.nan
        scores[f"delta_{pixels}"] = count["near"] / count["seen"] if count["seen"] else math.nan
    for name, start in (("AJ", "jaccard"), ("delta_avg", "delta")):
        scores[name] = float(np.mean([scores[f"{start}_{pixels}"] for pixels in THRESHOLDS]))
    return scores


@st.composite
def videos(draw):
    q, t = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    place = st.floats(0, 40, width=32)
    return {
        "predicted": draw(hnp.arrays(np.float64, (q, t, 2), elements=place | st.just(math.nan))),
        "predicted_occluded": draw(hnp.arrays(bool, (q, t))),
        "truth": draw(hnp.arrays(np.float64, (q, t, 2), elements=place)),
        "occluded": draw(hnp.arrays(bool, (q, t))),
        "query_frames": draw(hnp.arrays(np.int64, q, elements=st.integers(0, t - 1))),
        "queries": draw(st.sampled_from(["first", "strided"])),
    }


@given(video=videos())
def test_equal_to_the_definition_in_loops(video):
    expected = by_hand(
        video["predicted"],
        video["predicted_occluded"],
        video["truth"],
        video["occluded"],
        video["query_frames"],
        queries=video["queries"],
    )
    found = tapvid_scores(**video)
    assert list(found) == list(TAPVID_COLUMNS)
    assert found == pytest.approx(expected, nan_ok=True)


def video(q: int = 2, t: int = 4):
    """Points that move right by 3 px a frame, all visible, asked for on frame 0."""
    truth = np.zeros((q, t, 2))
    truth[..., 0] = 3 * np.arange(t)
    truth[..., 1] = 10 * np.arange(q)[:, None]
    return truth, np.zeros((q, t), dtype=bool), np.zeros(q, dtype=int)


@pytest.mark.parametrize("queries", ["first", "strided"])
def test_perfect_is_one(queries):
    truth, occluded, asked = video()
    occluded[1, 2] = True
    scores = tapvid_scores(truth, occluded, truth, occluded, asked, queries=queries)
    assert set(scores.values()) == {1.0}


def test_a_hand_worked_video():
    """One query on frame 0; frames 1 to 4: right, 3 px off, right but said hidden, truly hidden."""
    truth = np.zeros((1, 5, 2))
    occluded = np.array([[0, 0, 0, 0, 1]], dtype=bool)
    found = truth.copy()
    found[0, 2, 1] = 3.0
    said = np.array([[0, 0, 0, 1, 0]], dtype=bool)  # frame 4 is claimed to be visible
    scores = tapvid_scores(found, said, truth, occluded, np.array([0]), queries="first")
    assert scores["OA"] == 2 / 4
    assert scores["delta_1"] == scores["delta_2"] == 2 / 3
    assert scores["delta_4"] == scores["delta_8"] == scores["delta_16"] == 1.0
    # below 3 px: 1 true positive by 3 visible + 2 false claims; above: 2 by 3 + 1
    assert scores["jaccard_1"] == scores["jaccard_2"] == 1 / 5
    assert scores["jaccard_4"] == scores["jaccard_8"] == scores["jaccard_16"] == 2 / 4
    assert scores["AJ"] == pytest.approx((2 / 5 + 3 / 2) / 5)
    assert scores["delta_avg"] == pytest.approx((4 / 3 + 3) / 5)


@pytest.mark.parametrize("pixels", THRESHOLDS)
def test_a_distance_of_exactly_the_threshold_is_too_far(pixels):
    truth, occluded, asked = video()
    for nudge, expected in ((0.0, 0.0), (-1e-6, 1.0)):
        found = truth + np.array([0, pixels + nudge])
        scores = tapvid_scores(found, occluded, truth, occluded, asked, queries="first")
        assert scores[f"delta_{pixels}"] == scores[f"jaccard_{pixels}"] == expected


def test_frames_that_do_not_count_change_nothing():
    truth, occluded, asked = video(2, 6)
    asked[:] = 2
    found, said = truth.copy(), occluded.copy()
    found[:, :3], said[:, :3] = 99.0, True
    first = tapvid_scores(found, said, truth, occluded, asked, queries="first")
    assert set(first.values()) == {1.0}
    strided = tapvid_scores(found, said, truth, occluded, asked, queries="strided")
    assert strided["OA"] == strided["delta_1"] == 3 / 5
    assert evaluated_frames(asked, 6, queries="first").tolist() == [[False] * 3 + [True] * 3] * 2
    assert evaluated_frames(asked, 6, queries="strided").sum() == 10


def test_what_is_not_predicted_is_wrong():
    truth, occluded, asked = video()
    nowhere = np.full_like(truth, np.nan)
    scores = tapvid_scores(nowhere, ~occluded, truth, occluded, asked, queries="first")
    assert set(scores.values()) == {0.0}
    scores = tapvid_scores(nowhere, occluded, truth, occluded, asked, queries="first")
    assert scores["OA"] == 1.0 and scores["AJ"] == scores["delta_avg"] == 0.0


def test_all_hidden():
    truth, occluded, asked = video()
    occluded[:, 1:] = True
    truth[occluded] = np.nan  # is not read
    said_hidden = tapvid_scores(truth, occluded, truth, occluded, asked, queries="first")
    assert said_hidden["OA"] == 1.0
    assert math.isnan(said_hidden["AJ"]) and math.isnan(said_hidden["delta_avg"])
    said_seen = tapvid_scores(truth, ~occluded, truth, occluded, asked, queries="first")
    assert said_seen["OA"] == said_seen["AJ"] == 0.0 and math.isnan(said_seen["delta_avg"])


@pytest.mark.parametrize(("q", "t"), [(0, 4), (2, 1)])
def test_nothing_to_score(q, t):
    truth, occluded, asked = video(q, t)
    scores = tapvid_scores(truth, occluded, truth, occluded, asked, queries="first")
    assert all(math.isnan(score) for score in scores.values())


def test_the_mean_is_over_videos_that_have_the_score():
    one, two = dict.fromkeys(TAPVID_COLUMNS, 1.0), dict.fromkeys(TAPVID_COLUMNS, 0.5)
    assert mean_scores([one, two])["AJ"] == 0.75
    mean = mean_scores([one, two, {**one, "AJ": math.nan}])
    assert mean["AJ"] == 0.75 and mean["OA"] == pytest.approx(2.5 / 3)
    assert math.isnan(mean_scores([{**one, "AJ": math.nan}])["AJ"])
    with pytest.raises(InputError, match="at least one video"):
        mean_scores([])


def test_queries():
    occluded = np.ones((3, 12), dtype=bool)
    occluded[0, [3, 5, 10]] = False
    occluded[2, [0, 1, 5, 11]] = False
    assert sample_queries(occluded, queries="first").tolist() == [[0, 3], [2, 0]]
    strided = sample_queries(occluded, queries="strided").tolist()
    assert strided == [[2, 0], [0, 5], [2, 5], [0, 10]]
    assert sample_queries(np.ones((2, 4), bool), queries="first").shape == (0, 2)


@given(occluded=hnp.arrays(bool, st.tuples(st.integers(0, 5), st.integers(1, 17))))
def test_queries_show_their_point(occluded):
    for queries in ("first", "strided"):
        asked = sample_queries(occluded, queries=queries)
        assert not occluded[asked[:, 0], asked[:, 1]].any()
        assert len(set(map(tuple, asked.tolist()))) == len(asked)
    assert len(asked) == (~occluded[:, ::5]).sum() and (asked[:, 1] % 5 == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predicted": np.zeros((2, 3, 2))}, "expected .Q, T, 2. places"),
        ({"predicted": np.zeros((2, 4, 3))}, "expected .Q, T, 2. places"),
        ({"truth": np.zeros((2, 4))}, "expected .Q, T, 2. places"),
        ({"occluded": np.zeros((2, 3), bool)}, "expected .Q, T, 2. places"),
        ({"occluded": np.zeros(2, bool)}, "expected .Q, T, 2. places"),
        ({"predicted_occluded": np.zeros((1, 4), bool)}, "expected .Q, T, 2. places"),
        ({"query_frames": np.zeros(3, int)}, "query frame for each of the 2 tracks"),
        ({"query_frames": np.array([0, 4])}, "vector of frames 0 to 3"),
        ({"query_frames": np.array([0, -1])}, "vector of frames 0 to 3"),
        ({"truth": np.full((2, 4, 2), np.nan)}, "finite places"),
        ({"queries": "last"}, "expected 'first' or 'strided', got 'last'"),
    ],
)
def test_wrong_input_says_what_was_expected(change, message):
    truth, occluded, asked = video()
    sound = {
        "predicted": truth,
        "predicted_occluded": occluded,
        "truth": truth,
        "occluded": occluded,
        "query_frames": asked,
        "queries": "first",
    }
    with pytest.raises(InputError, match=message):
        tapvid_scores(**{**sound, **change})
    with pytest.raises(InputError, match="tracks by frames"):
        sample_queries(np.zeros(4, bool), queries="first")
