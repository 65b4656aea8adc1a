"""A model fitted to a clip: better on frames kept back or as it was, and the same again."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from synthetic import moving_clip, write_clip

from chromatrack.errors import InputError
from chromatrack.model.weights import load_encoder, save_encoder
from chromatrack.runs.fitted_model import FittedModel
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import Tracker
from chromatrack.training import fit as fitting
from chromatrack.training.config import Objective, SamplerConfig
from chromatrack.training.data import clip_frames
from chromatrack.training.data.clip_frames import MOST_STRETCHES, STRETCH, read_clip_frames
from chromatrack.training.fit import FittingTracker, fit
from chromatrack.video.reader import Frame

FRAMES = 12


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=FRAMES, size=(48, 80), radius=10)


@pytest.fixture(scope="module")
def clip(film, tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("film") / "clip.mp4", film)


@pytest.fixture
def eager(monkeypatch) -> None:
    """Steps as long as a network needs that has learned nothing yet."""
    recipe = replace(fitting.fitting(), objective=Objective(), learning_rate=1e-2, warmup=0.0)
    recipe = replace(recipe, sampler=replace(recipe.sampler, crop=64, jitter=0.0))
    monkeypatch.setattr(fitting, "fitting", lambda: recipe)


@pytest.fixture
def model(tiny_encoder, tmp_path) -> str:
    path = tmp_path / "tiny.safetensors"
    save_encoder(path, tiny_encoder)
    return str(path)


def weights(fitted: FittedModel, tmp_path) -> dict[str, torch.Tensor]:
    path = tmp_path / "fitted.safetensors"
    fitted.write(path)
    return load_encoder(path).state_dict()


@pytest.mark.usefixtures("eager")
def test_it_is_better_on_frames_kept_back_and_the_same_again(model, clip, tmp_path):
    told = []
    once = fit(clip, model=model, steps=10, progress=lambda *row: told.append(row))
    assert 0 < once.facts.step <= once.facts.steps <= 10
    assert once.facts.error_after < once.facts.error_before
    assert f"{once.facts.error_after:.2f} (step {once.facts.step} of" in str(once.facts)
    assert told[FRAMES - 1] == ("read", FRAMES, None) and told[-1][0] == "fit"
    found, start = weights(once, tmp_path), load_encoder(model).state_dict()
    assert any(not torch.equal(found[name], start[name]) for name in start)
    assert all(torch.equal(found[n], start[n]) for n in start if "running" in n)  # its own still
    assert FittedModel.read(tmp_path / "fitted.safetensors") == once
    assert fit(clip, model=model, steps=10).content == once.content
    assert fit(clip, model=model, steps=10, seed=1).content != once.content


def test_a_model_that_no_step_makes_better_stays_as_it_was(model, clip, tmp_path, monkeypatch):
    def spoiled(run, config, rate):
        with torch.no_grad():
            for weight in run.encoder.parameters():
                weight.zero_()

    monkeypatch.setattr(fitting, "update", spoiled)
    found = fit(clip, model=model, steps=30)
    assert found.facts.step == 0 and found.facts.steps < 30  # it gave up
    assert found.facts.error_after == found.facts.error_before
    assert "is used as it was" in str(found.facts)
    start = load_encoder(model).state_dict()
    kept = weights(found, tmp_path)
    assert all(torch.equal(kept[name], start[name]) for name in start)


def test_a_clip_without_colors_teaches_nothing(model, film, tmp_path):
    grey = [np.repeat(frame.rgb.mean(2, keepdims=True).astype(np.uint8), 3, 2) for frame in film]
    found = fit(write_clip(tmp_path / "grey.mp4", grey), model=model, steps=5)
    assert (found.facts.steps, found.facts.step) == (0, 0)
    assert "no colours to learn from" in str(found.facts)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({}, "minutes or steps, one of them"),
        ({"minutes": 1, "steps": 1}, "minutes or steps, one of them"),
        ({"minutes": 0}, "more than 0 minutes, got 0"),
        ({"minutes": float("nan")}, "more than 0 minutes, got nan"),
        ({"steps": 0}, "1 step or more, got 0"),
        ({"steps": 1, "end": 7}, "10 frames or more of one scene.* got 7"),
    ],
)
def test_what_cannot_be_fitted_is_refused(model, clip, budget, message):
    with pytest.raises(InputError, match=message):
        fit(clip, model=model, **budget)


def test_a_network_of_another_kind_is_refused(tiny_clip_encoder, clip, tmp_path):
    save_encoder(tmp_path / "clips.safetensors", tiny_clip_encoder)
    with pytest.raises(InputError, match="a network of single frames that copies colours"):
        fit(clip, model=str(tmp_path / "clips.safetensors"), steps=1)


def test_minutes_end_it(model, clip):
    found = fit(clip, model=model, minutes=0.005)
    assert 1 <= found.facts.steps < 1000


def test_a_benchmark_tracks_every_clip_with_its_own_model(model, film, clip):
    told = []
    tracker = Tracker.from_pretrained(model, device="cpu", config=TrackConfig(size=48))
    fitted = FittingTracker(tracker, steps=3, tell=told.append)
    frames = list(fitted.track(clip, masks={0: film[0].mask}))
    assert len(frames) == FRAMES and fitted.config == tracker.config
    assert len(told) == 1 and told[0].startswith("clip.mp4: fit: ")


# -- the frames ------------------------------------------------------------------------------


def endless(monkeypatch, frames: int) -> None:
    """A video of so many frames at 24 a second, each a picture of its number."""

    def read(video, *, start, end, size):
        for index in range(start, frames):
            rgb = np.full((*size, 3), [index // 256, index % 256, 0], np.uint8)
            yield Frame(rgb, index, index / 24)

    info = type("Info", (), {"height": 16, "width": 16})
    monkeypatch.setattr(clip_frames, "probe", lambda _: info)
    monkeypatch.setattr(clip_frames, "read_frames", read)


def numbers(rgb: torch.Tensor) -> list[int]:
    return [int(x[0, 0, 0]) * 256 + int(x[1, 0, 0]) for x in rgb]


@pytest.mark.parametrize("frames", [30, 300, 5000])
def test_frames_of_a_long_video_are_few_and_from_all_over_it(monkeypatch, frames):
    endless(monkeypatch, frames)
    ticks = count(1)
    config = SamplerConfig(short_side=16, spacing_seconds=0.04)
    found = read_clip_frames("film", config, tick=lambda n: assert_equal(n, next(ticks)))
    shown = [number for clip in found.clips for number in numbers(clip.rgb)]
    assert len(found.clips) <= MOST_STRETCHES and len(shown) <= MOST_STRETCHES * STRETCH
    assert shown == sorted(shown) and shown[0] < STRETCH and shown[-1] > 0.75 * frames
    held = {number for pair in found.held for number in numbers(pair)}
    assert held and not held & set(shown)
    assert all(abs(a - b) <= 10 for a, b in (numbers(pair) for pair in found.held))


def assert_equal(one: object, other: object) -> None:
    assert one == other
