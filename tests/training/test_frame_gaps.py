"""Frames of an example: apart in time, inside one scene."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromatrack.training.data.sampler import pick_frames, pick_regular


def uneven_times(seed: int = 0) -> np.ndarray:
    """Presentation times of a variable frame rate: 20 ms to 250 ms apart."""
    return np.cumsum(np.random.default_rng(seed).uniform(0.02, 0.25, size=80))


def picks(
    times, scene=None, *, pick=pick_frames, views=2, gap=(0.3, 0.7), count=300, seed=1
) -> list[Any]:
    scene = np.zeros(len(times), dtype=int) if scene is None else np.asarray(scene)
    rng = np.random.default_rng(seed)
    return [
        pick(np.asarray(times), scene, views=views, gap_seconds=gap, rng=rng) for _ in range(count)
    ]


def test_pairs_are_apart_in_time_not_in_frames():
    times = uneven_times()
    pairs = picks(times)
    gaps = np.array([times[target] - times[reference] for reference, target in pairs])
    assert np.abs(gaps).min() >= 0.3 - 1e-3 and np.abs(gaps).max() <= 0.7 + 1e-3
    assert len({abs(b - a) for a, b in pairs}) > 3
    assert 100 < (gaps > 0).sum() < 200  # the target comes before and after
    assert np.histogram(np.abs(gaps), bins=4, range=(0.3, 0.7))[0].min() > 40


def test_pairs_of_a_slow_video_are_neighbours():
    assert {abs(b - a) for a, b in picks(np.arange(5) * 10.0)} == {1}
    assert {tuple(sorted(pair)) for pair in picks([0.0, 99.0])} == {(0, 1)}


def test_a_gap_longer_than_the_clip_takes_its_ends():
    assert {tuple(sorted(p)) for p in picks(np.arange(8) * 0.1, gap=(3.0, 4.0))} >= {(0, 7)}


def test_more_references_differ_and_lie_on_both_sides():
    times = np.arange(40) * 0.05
    found = picks(times, views=4)
    signs = [np.sign(times[frames[:-1]] - times[frames[-1]]) for frames in found]
    assert all(len(set(frames)) == 4 for frames in found)
    assert sum(len(set(s)) == 2 for s in signs) > 100
    gaps = np.array([np.abs(times[f[:-1]] - times[f[-1]]) for f in found])
    assert gaps.min() >= 0.3 - 1e-3 and gaps.max() <= 0.7 + 1e-3


def test_a_scene_with_too_few_frames_repeats_references():
    found = picks([0.0, 0.4], views=4, count=20)
    assert all(len(f) == 4 and f[-1] not in f[:-1] for f in found)


@given(seed=st.integers(0, 10**6), views=st.integers(2, 4), cuts=st.lists(st.integers(1, 79)))
@settings(max_examples=60, deadline=None)
def test_no_example_straddles_a_cut(seed, views, cuts):
    times = uneven_times(seed)
    scene = np.zeros(len(times), dtype=int)
    for cut in cuts:
        scene[cut:] += 1
    for pick in (pick_frames, pick_regular):
        for frames in picks(times, scene, pick=pick, views=views, count=5, seed=seed):
            if frames is not None:
                assert len(frames) == views and len(set(scene[frames])) == 1


@pytest.mark.parametrize("pick", [pick_frames, pick_regular])
def test_scenes_of_one_frame_give_nothing(pick):
    assert picks(np.arange(6) * 0.4, np.arange(6), pick=pick, count=5) == [None] * 5


def test_one_long_scene_among_single_frames_is_found():
    scene = np.r_[np.arange(20), np.full(20, 20)]
    found = picks(np.arange(40) * 0.1, scene, count=50)
    assert all(f is not None and min(f) >= 20 for f in found)


@pytest.mark.parametrize("fps", [24, 25, 30, 12])
def test_regular_clips_are_one_gap_apart(fps):
    times = np.arange(10 * fps) / fps
    for frames in picks(times, pick=pick_regular, views=4, gap=(1 / 6, 1 / 6), count=50):
        steps = np.diff(times[frames])
        assert np.ptp(steps) < 1e-9 and abs(steps[0] - 1 / 6) <= 0.5 / fps + 1e-9


def test_every_start_of_a_regular_clip_is_drawn():
    found = picks(np.arange(10) / 6, pick=pick_regular, views=4, gap=(1 / 6, 1 / 6))
    assert {tuple(f) for f in found} == {(i, i + 1, i + 2, i + 3) for i in range(7)}


def test_where_frames_are_missing_there_is_no_regular_clip():
    times = np.array([0, 1, 2, 3, 7, 8, 9, 10, 11]) / 6
    found = picks(times, pick=pick_regular, views=4, gap=(1 / 6, 1 / 6))
    assert {f[0] for f in found} == {0, 4, 5}
    assert picks(times[:3], pick=pick_regular, views=4, gap=(1 / 6, 1 / 6), count=3) == [None] * 3


def test_too_sparse_frames_give_no_regular_clip():
    assert picks(np.arange(30) * 0.4, pick=pick_regular, gap=(1 / 6, 1 / 6), count=3) == [None] * 3
