"""What is set aside, and what is watched where nothing can be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from synthetic import moving_clip, write_clip

from chromatrack.training.config import SamplerConfig, TrainConfig
from chromatrack.training.data.index import build_index
from chromatrack.training.monitor.holdout import pairs_to_watch, set_aside

CONFIG = TrainConfig(sampler=SamplerConfig(crop=32, short_side=40))


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("holdout")
    for number in range(10):
        clip = moving_clip(frames=8, size=(48, 64), radius=8, seed=number)
        write_clip(folder / f"{number}.mp4", clip)
    return build_index([folder], cache=None)


def test_fewer_than_asked_for_is_said(index):
    with pytest.warns(UserWarning, match="1 of 10 videos set aside instead of 5"):
        kept, held = set_aside(index, replace(CONFIG, held_out=5))
    assert held is not None and (len(kept.videos), len(held.videos)) == (9, 1)
    (pair,) = pairs_to_watch(held, kept, CONFIG)
    assert "trained on" not in pair[0]


def test_a_few_clips_are_watched_though_they_are_trained_on(index):
    few = replace(index, videos=index.videos[:4])
    kept, held = set_aside(few, CONFIG)
    assert held is None and kept == few
    with pytest.warns(UserWarning, match="nothing set aside of 4 videos"):
        pairs = pairs_to_watch(held, kept, CONFIG)
    assert [name for name, *_ in pairs] == [f"{n}.mp4 (trained on)" for n in range(3)]
    assert all(a.shape == b.shape and not a.equal(b) for _, a, b in pairs)
