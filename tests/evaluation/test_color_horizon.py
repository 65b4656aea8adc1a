"""Colour errors by the time since the reference: which frames, which errors, which methods win."""

from __future__ import annotations

import json
import pickle
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import moving_clip, rgb_of, still, write_clip

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.colorizers import (
    CHAINED,
    FLOW,
    GREY,
    STILL,
    Method,
    ab_of,
    copied,
    flow_methods,
    grey_of,
    held_still,
    left_grey,
    tracker_method,
)
from chromatrack.evaluation.baselines.flow import Flow, carry, chain, dis_flow
from chromatrack.evaluation.datasets.color_horizon import (
    HORIZONS,
    OFF_BY,
    HorizonScore,
    clip_differences,
    color_clip,
    horizon_benchmark,
    mean_error,
    nearest_frames,
    open_clip,
    read_scores,
    score_picture,
)
from chromatrack.evaluation.metrics.color import (
    WITHIN,
    ab_error,
    bootstrap_interval,
    share_within,
)
from chromatrack.evaluation.runner import evaluate
from chromatrack.model.encoder import build_encoder
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.resample import planes
from chromatrack.propagation.config import PropagateConfig
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import Tracker

SIZE = (48, 80)


def measure_horizons(clip, *, methods):
    """Scores of every method at every horizon of a clip."""
    pictures = color_clip(clip, methods=methods)
    return [score for colored in pictures for score in score_picture(clip, colored)]


def make_tracker(*, recent: int = 0) -> Tracker:
    torch.manual_seed(0)
    color = PropagateConfig(recent=recent, restrict_first=False)
    config = TrackConfig(size=48, color=color)
    return Tracker(build_encoder("small"), device="cpu", config=config)


def sliding(frames: int, step: int = 2) -> list[np.ndarray]:
    """A picture that slides to the left by `step` whole pixels per frame."""
    wide = still((SIZE[0], SIZE[1] + step * frames), seed=3)
    return [np.ascontiguousarray(wide[:, step * i : step * i + SIZE[1]]) for i in range(frames)]


def points(flow: Flow) -> dict[str, Method]:
    """The comparison points with this flow."""
    return {GREY: Method(left_grey), STILL: Method(held_still), **flow_methods(flow)}


def slide_flow(step: int):
    """The exact flow of `sliding`, told by how far two frames are apart in it."""

    def flow(source: np.ndarray, target: np.ndarray) -> np.ndarray:
        shifts = range(-step * 12, step * 12 + 1, step)
        middle = source[:, 24:-24].astype(int)
        errors = {s: np.abs(middle - np.roll(target, -s, 1)[:, 24:-24]).mean() for s in shifts}
        found = np.zeros((*source.shape, 2), dtype=np.float32)
        found[..., 0] = min(errors, key=lambda s: errors[s])
        return found

    return flow


# -- errors --------------------------------------------------------------------------------


def test_ab_error_is_the_mean_absolute_difference():
    truth = np.zeros((2, 3, 4), dtype=np.float32)
    wrong = truth.copy()
    wrong[0, 0, 0], wrong[1, 0, 0] = 6, -8
    assert ab_error(truth, truth) == 0
    assert ab_error(wrong, truth) == pytest.approx(14 / 24)


def test_share_within_counts_pixels_by_their_distance():
    truth = np.zeros((2, 1, 4))
    wrong = np.array([[[0.0, 3, 6, 30]], [[0.0, 4, 8, 40]]])
    expected = {0: 0.25, 5: 0.5, 10: 0.75, 49: 0.75}
    assert share_within(wrong, truth, distances=(0, 5, 10, 49)) == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_accuracy_curve_never_falls(seed):
    rng = np.random.default_rng(seed)
    curve = share_within(rng.normal(0, 15, (2, 5, 6)), rng.normal(0, 15, (2, 5, 6)))
    shares = [curve[d] for d in WITHIN]
    assert shares == sorted(shares) and shares[0] >= 0 and shares[-1] <= 1


@pytest.mark.parametrize("score", [ab_error, share_within])
def test_colors_that_do_not_fit_are_refused(score):
    truth = np.zeros((2, 4, 4))
    with pytest.raises(InputError, match="two"):
        score(np.zeros((2, 4, 5)), truth)
    with pytest.raises(InputError, match="two"):
        score(np.zeros((3, 4, 4)), np.zeros((3, 4, 4)))
    with pytest.raises(InputError, match="finite"):
        score(np.full((2, 4, 4), np.nan), truth)


def test_bootstrap_of_one_value_is_that_value_and_covers_the_mean():
    assert bootstrap_interval([2.5]) == (2.5, 2.5)
    values = np.random.default_rng(1).normal(1.0, 2.0, 60).tolist()
    low, high = bootstrap_interval(values)
    error = 1.96 * np.std(values) / np.sqrt(60)
    assert low == pytest.approx(np.mean(values) - error, abs=0.12)
    assert high == pytest.approx(np.mean(values) + error, abs=0.12)
    assert bootstrap_interval(values) == (low, high), "the same every time"
    narrow = bootstrap_interval(values, coverage=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_bootstrap_refuses_nothing_and_no_coverage():
    with pytest.raises(InputError, match="at least one"):
        bootstrap_interval([])
    with pytest.raises(InputError, match="coverage"):
        bootstrap_interval([1.0], coverage=1.0)


# -- frames --------------------------------------------------------------------------------


def test_frames_are_found_by_their_times():
    times = [index / 24 for index in range(50)]
    found = nearest_frames(times, HORIZONS)
    assert found == {0.2: 5, 0.5: 12, 1.0: 24, 2.0: 48}, "3 and 4 s lie behind the end"


def test_a_source_that_starts_later_and_varies_its_rate_counts_from_its_first_frame():
    times = [10.0, 10.04, 10.21, 10.3, 10.52, 11.2]
    assert nearest_frames(times, (0.2, 0.5, 1.0)) == {0.2: 2, 0.5: 4}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.005, 0.4), min_size=0, max_size=40),
    st.lists(st.floats(0.01, 4.0), min_size=1, max_size=5),
)
def test_no_nearer_frame_is_passed_over(steps, horizons):
    times = np.concatenate([[0.0], np.cumsum(steps)])
    found = nearest_frames(times.tolist(), horizons)
    for horizon in horizons:
        away = np.abs(times[1:] - horizon)
        if horizon in found:
            assert found[horizon] >= 1 and away[found[horizon] - 1] == away.min() <= OFF_BY + 1e-5
        else:
            assert not away.size or away.min() > OFF_BY


def test_horizons_must_lie_behind_the_reference():
    with pytest.raises(InputError, match="above 0"):
        nearest_frames([0, 1], (0.0, 1.0))


def test_clips_say_which_frames_they_need(tmp_path):
    folder = write_clip(tmp_path / "sequence" / "img", sliding(13))
    clip = open_clip(folder, fps=20)
    assert (clip.name, clip.size, dict(clip.targets)) == ("sequence", SIZE, {0.2: 4, 0.5: 10})
    assert len(clip.times) == 11 and clip.times[10] == pytest.approx(0.5)
    assert [frame.index for frame in clip.frames()] == list(range(11))
    assert dict(open_clip(folder).targets) == {0.2: 5, 0.5: 12}, "24 frames a second"
    assert open_clip(folder, fps=20, short_side=24).size == (24, 40)


def test_videos_go_by_their_own_times(tmp_path):
    video = write_clip(tmp_path / "clip.mp4", sliding(12), fps=12.0)
    clip = open_clip(video, fps=50, seconds=(0.5,))
    assert clip.name == "clip" and dict(clip.targets) == {0.5: 6}


def test_clips_too_short_or_with_no_rate_are_refused(tmp_path):
    folder = write_clip(tmp_path / "short", sliding(3))
    with pytest.raises(InputError, match="expected a longer clip"):
        open_clip(folder)
    with pytest.raises(InputError, match="fps"):
        open_clip(folder, fps=0)


# -- methods -------------------------------------------------------------------------------


def test_chained_places_add_up_and_stay_inside():
    size = (6, 9)
    step = np.zeros((*size, 2), dtype=np.float32)
    step[..., 0] = 1.5
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(9.0), indexing="ij")
    places = chain(chain(torch.stack([x, y], -1), step), step)
    torch.testing.assert_close(places[:, :5, 0], x[:, :5] + 3)
    torch.testing.assert_close(places[..., 1], y)
    assert float(places[..., 0].max()) == 8, "what comes from outside is taken for the border"
    carried = carry(torch.stack([x**2, y]), places)
    torch.testing.assert_close(carried[:, :, :5], torch.stack([(x + 3) ** 2, y])[:, :, :5])


def test_grey_pictures_keep_luminance_and_lose_color():
    rgb = still(SIZE)
    grey = grey_of(rgb)
    assert grey.dtype == np.uint8 and (np.ptp(grey, axis=2) == 0).all()
    assert float(ab_of(grey).abs().max()) < 0.05
    lightness = [rgb_to_lab(planes(p).float() / 255)[0] for p in (rgb, grey)]
    torch.testing.assert_close(*lightness, atol=0.5, rtol=0)
    np.testing.assert_array_equal(grey_of(grey), grey)


def test_a_still_picture_is_kept_exactly_by_all_but_grey(tmp_path):
    picture = still(SIZE)
    clip = open_clip(write_clip(tmp_path / "still", [picture] * 6), seconds=(0.2,))
    none = lambda source, target: np.zeros((*source.shape, 2), dtype=np.float32)  # noqa: E731
    errors = {s.method: s.error for s in measure_horizons(clip, methods=points(none))}
    assert errors[STILL] == errors[FLOW] == errors[CHAINED] < 0.5
    assert errors[GREY] == pytest.approx(float(ab_of(picture).abs().mean()), abs=0.3)


def test_exact_flow_carries_colors_that_standing_still_gets_wrong(tmp_path):
    clip = open_clip(write_clip(tmp_path / "sliding", sliding(6)), seconds=(0.1, 0.2))
    scores = list(measure_horizons(clip, methods=points(slide_flow(2))))
    assert {(s.method, s.seconds, s.index) for s in scores} == {
        (method, *at) for method in (GREY, STILL, FLOW, CHAINED) for at in ((0.1, 2), (0.2, 5))
    }
    late = {s.method: s for s in scores if s.seconds == 0.2}
    for method in (FLOW, CHAINED):
        assert late[method].error < 0.6 * late[STILL].error
        assert late[method].psnr > late[STILL].psnr
        assert late[method].within[5.0] > late[STILL].within[5.0]


def test_dense_flow_follows_a_sliding_picture():
    pytest.importorskip("cv2", reason="OpenCV is not installed (the extra `flow`)")
    first, second = (grey_of(rgb)[..., 0].copy() for rgb in sliding(2))
    found = dis_flow()(first, second)
    assert found.shape == (*SIZE, 2) and found.dtype == np.float32
    middle = np.median(found[8:-8, 12:-12], axis=(0, 1))
    np.testing.assert_allclose(middle, (-2, 0), atol=0.2)


def test_without_opencv_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=r"pip install chromatrack\[flow\]"):
        dis_flow()


def test_no_color_of_the_clip_reaches_the_tracker(tmp_path):
    first, *rest = rgb_of(moving_clip(frames=6, size=SIZE, velocity=(1.0, 0.0)))
    tracker = make_tracker()
    clip = open_clip(write_clip(tmp_path / "true", [first, *rest]), seconds=(0.2,))
    other = open_clip(
        write_clip(tmp_path / "other", [first, *(grey_of(rgb) for rgb in rest)]), seconds=(0.2,)
    )
    found = [
        {c.method: c.rgb for c in color_clip(of, methods={"ours": tracker_method(tracker)})}
        for of in (clip, other)
    ]
    np.testing.assert_array_equal(found[0]["ours"], found[1]["ours"])
    assert float(ab_of(found[0]["ours"]).abs().mean()) > 1, "it is coloured"


@pytest.mark.parametrize("recent", [0, 2])
def test_the_tracker_colors_as_on_the_whole_grey_clip(tmp_path, recent):
    frames = rgb_of(moving_clip(frames=7, size=SIZE))
    tracker = make_tracker(recent=recent)
    greys = [(index, grey_of(rgb)) for index, rgb in enumerate(frames)][1:6]
    whole = dict(copied(tracker, frames[0], greys))
    clip = open_clip(write_clip(tmp_path / "clip", frames), seconds=(0.1, 0.2))
    colored = color_clip(clip, methods={"ours": tracker_method(tracker)})
    ours = {c.index: c.rgb for c in colored if c.method == "ours"}
    assert sorted(ours) == [2, 5] and sorted(whole) == [1, 2, 3, 4, 5]
    for index, rgb in ours.items():
        np.testing.assert_array_equal(rgb, whole[index])


# -- as a benchmark ------------------------------------------------------------------------


@pytest.fixture
def clips(tmp_path):
    names = {"sliding": sliding(6), "still": [still(SIZE)] * 4}
    folders = [write_clip(tmp_path / name, frames) for name, frames in names.items()]
    return [open_clip(folder, seconds=(0.1, 0.2)) for folder in folders]


def test_the_benchmark_says_what_measuring_every_clip_says(clips, tmp_path):
    flow = {"told flow": flow_methods(slide_flow(2))[FLOW]}
    ours = make_tracker()
    seen = []
    result = evaluate(
        horizon_benchmark(clips, methods=["model", "still", "grey"], others=flow),
        tracker=ours,
        output=tmp_path / "out",
        progress=lambda name, done, total: seen.append((name, done, total)),
    )
    methods = {"custom": tracker_method(ours), STILL: Method(held_still), GREY: Method(left_grey)}
    expected = [s for clip in clips for s in measure_horizons(clip, methods={**methods, **flow})]
    assert read_scores(result["sequences"]) == expected
    stored = json.loads((tmp_path / "out/result.json").read_text())
    assert read_scores(stored["sequences"]) == expected
    assert [done for _, done, _ in seen] == list(range(1, 10)) and seen[-1] == ("still", 9, 9)
    assert (tmp_path / "out/horizons/sliding.png").exists()


def test_the_benchmark_averages_over_the_clips_that_reach_a_horizon(clips):
    result = evaluate(horizon_benchmark(clips, methods=["still", "grey"]), tracker=None)
    scores = read_scores(result["sequences"])
    rows = {(row["method"], row["seconds"]): row for row in result["horizons"]}
    counts = {0.1: 2, 0.2: 1}
    assert {key: row["clips"] for key, row in rows.items()} == {
        (method, seconds): counts[seconds] for method in (STILL, GREY) for seconds in counts
    }
    for (method, seconds), row in rows.items():
        assert row["error"] == pytest.approx(mean_error(scores, method=method, seconds=seconds))
    assert result["scores"]["ab error at 0.2 s"] == rows[STILL, 0.2]["error"]


def test_the_benchmark_goes_to_other_processes_and_checks_its_methods(clips):
    benchmark = horizon_benchmark(clips, others={"second": tracker_method(make_tracker())})
    assert pickle.loads(pickle.dumps(benchmark.clips)) == benchmark.clips
    assert pickle.loads(pickle.dumps(benchmark.measure)).keywords["names"][0] == "model"
    with pytest.raises(InputError, match="vivid"):
        horizon_benchmark(clips, methods=["vivid"])
    with pytest.raises(InputError, match="a model that colours"):
        evaluate(horizon_benchmark(clips, methods=["model"]), tracker=None)


# -- means ---------------------------------------------------------------------------------


def score(clip: str, method: str, seconds: float, error: float) -> HorizonScore:
    return HorizonScore(clip, method, seconds, 1, seconds, error, {10.0: 1.0}, 30.0)


def test_differences_pair_the_same_clips():
    scores = [
        score("a", "ours", 1.0, 2.0),
        score("a", STILL, 1.0, 5.0),
        score("b", "ours", 1.0, 4.0),
        score("b", STILL, 1.0, 3.0),
        score("b", STILL, 2.0, 9.0),
        score("c", "ours", 1.0, 6.0),
    ]
    apart = clip_differences(scores, method="ours", other=STILL, seconds=1.0)
    assert apart == {"a": -3.0, "b": 1.0}
    assert mean_error(scores, method="ours", seconds=1.0) == 4.0
    with pytest.raises(InputError, match="no clip"):
        mean_error(scores, method="ours", seconds=2.0)
