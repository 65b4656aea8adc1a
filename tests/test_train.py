"""Training on tiny data: what is written, resuming, stopping early, and a loss that blows up."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from synthetic import moving_clip, still, write_clip

from chromatrack.encoder import load_encoder, read_header
from chromatrack.errors import InputError, OutputError, TrainingError
from chromatrack.learn.clips import SamplerConfig
from chromatrack.learn.train import (
    StepReport,
    TrainConfig,
    one_cycle,
    plot_losses,
    prefetch,
    read_log,
    train,
)

SIX = TrainConfig(
    steps=6,
    batch=2,
    log_every=2,
    sampler=SamplerConfig(crop=32, short_side=40, spacing_seconds=0.04),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two photos and a short video."""
    folder = tmp_path_factory.mktemp("data")
    for number in range(2):
        Image.fromarray(still((48, 60), seed=number)).save(folder / f"{number}.png")
    write_clip(folder / "film.mp4", moving_clip(frames=8, size=(48, 64), radius=8))
    return folder


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory) -> tuple[Path, list[StepReport]]:
    """A run of six steps."""
    folder = tmp_path_factory.mktemp("runs") / "six"
    return folder, list(train([data], output=folder, config=SIX))


def step_of(folder: Path) -> int:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["step"]


def test_a_run_reports_and_writes_everything(finished):
    folder, reports = finished
    assert [r.step for r in reports] == [2, 4, 6]
    assert [r.progress for r in reports] == pytest.approx([2 / 6, 4 / 6, 1.0])
    assert [r.pairs_seen for r in reports] == [4, 8, 12]
    for r in reports:
        total = SIX.copy_weight * r.copy + SIX.correspondence_weight * r.correspondence
        assert r.loss == pytest.approx(total, rel=1e-4) and r.copy > 0
    assert read_log(folder / "log.jsonl") == reports
    assert len((folder / "log.jsonl").read_text().splitlines()) == 3
    assert json.loads((folder / "config.json").read_text())["steps"] == 6
    assert step_of(folder) == 6
    with Image.open(folder / "loss.png") as image:
        assert image.format == "PNG" and image.width > 300
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["checkpoint.pt", "config.json", "log.jsonl", "loss.png", "model.safetensors"]


def test_the_weights_of_a_run_load_and_say_what_they_saw(finished):
    folder, _ = finished
    encoder = load_encoder(folder / "model.safetensors")
    assert encoder.spec.channels == 64
    header = read_header(folder / "model.safetensors")
    assert (header["steps"], header["pairs_seen"]) == ("6", "12")
    assert (header["videos"], header["photos"]) == ("1", "2")
    with torch.no_grad():
        assert bool(torch.isfinite(encoder(torch.rand(1, 3, 40, 48))).all())


def test_weights_change_and_the_same_seed_gives_the_same_run(data, tmp_path):
    two = replace(SIX, steps=2)
    runs = [train([data], output=tmp_path / name, config=two) for name in ("a", "b")]
    a, b = ([replace(r, seconds=0.0) for r in run] for run in runs)
    assert a == b
    states = [load_encoder(tmp_path / n / "model.safetensors").state_dict() for n in ("a", "b")]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_resume_goes_on_where_it_stopped(data, tmp_path):
    folder = tmp_path / "run"
    list(train([data], output=folder, config=replace(SIX, steps=2)))
    more = list(train([data], output=folder, config=replace(SIX, steps=4), resume=True))
    assert [r.step for r in more] == [4]
    assert [r.step for r in read_log(folder / "log.jsonl")] == [2, 4]
    assert step_of(folder) == 4 and more[0].seconds > read_log(folder / "log.jsonl")[0].seconds
    done = list(train([data], output=folder, config=replace(SIX, steps=4), resume=True))
    assert done == [] and step_of(folder) == 4


def test_an_interrupted_run_ends_as_if_it_had_not_been(data, tmp_path):
    config = replace(SIX, steps=4, log_every=1)
    whole = list(train([data], output=tmp_path / "whole", config=config))
    reports = train([data], output=tmp_path / "parts", config=config)
    first = [next(reports), next(reports)]
    reports.close()
    rest = list(train([data], output=tmp_path / "parts", config=config, resume=True))
    assert [r.loss for r in first + rest] == [r.loss for r in whole]
    a, b = (
        load_encoder(tmp_path / n / "model.safetensors").state_dict() for n in ("whole", "parts")
    )
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_starting_from_trained_weights(data, finished, tmp_path):
    weights = finished[0] / "model.safetensors"
    config = replace(SIX, init=str(weights), steps=1, learning_rate=1e-12, weight_decay=0.0)
    list(train([data], output=tmp_path / "on", config=config))
    before = load_encoder(weights).state_dict()
    after = load_encoder(tmp_path / "on" / "model.safetensors").state_dict()
    for name, value in before.items():
        if name.endswith("weight"):
            torch.testing.assert_close(after[name], value, atol=1e-6, rtol=0)
    with pytest.raises(InputError, match="expected weights of a 'base' network"):
        train([data], output=tmp_path / "other", config=replace(config, model="base"))
    assert not (tmp_path / "other").exists()


def test_another_runs_folder_is_not_overwritten(data, finished, tmp_path):
    folder, _ = finished
    before = (folder / "checkpoint.pt").read_bytes()
    with pytest.raises(InputError, match=r"holds a run already; resume it \(--resume\) or choose"):
        train([data], output=folder, config=SIX)
    with pytest.raises(InputError, match="expected a 'base' run, came a 'small' run"):
        train([data], output=folder, config=replace(SIX, model="base"), resume=True)
    assert (folder / "checkpoint.pt").read_bytes() == before
    with pytest.raises(InputError, match=r"expected a checkpoint\.pt to resume from, found none"):
        train([data], output=tmp_path / "fresh", config=SIX, resume=True)


def test_leaving_early_saves_and_ends_the_background_thread(data, tmp_path):
    reports = train([data], output=tmp_path, config=replace(SIX, steps=1000, log_every=1))
    assert next(reports).step == 1
    assert next(reports).step == 2
    reports.close()
    assert step_of(tmp_path) == 2
    load_encoder(tmp_path / "model.safetensors")
    assert (tmp_path / "loss.png").is_file()
    assert not any(t.name == "chromatrack-clips" for t in threading.enumerate())


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_checkpoint(
    data, tmp_path, monkeypatch
):
    folder = tmp_path / "run"
    list(train([data], output=folder, config=replace(SIX, steps=2)))
    before = (folder / "checkpoint.pt").read_bytes()
    nan = torch.tensor(float("nan"))
    monkeypatch.setattr("chromatrack.learn.train.losses", lambda *_: (nan, nan))
    with pytest.raises(TrainingError, match=r"loss is nan at step 2; .*lower the learning rate"):
        list(train([data], output=folder, config=replace(SIX, steps=4), resume=True))
    assert (folder / "checkpoint.pt").read_bytes() == before
    state = load_encoder(folder / "model.safetensors").state_dict()
    assert all(bool(torch.isfinite(x).all()) for x in state.values())


def test_a_budget_in_minutes(data, tmp_path):
    config = replace(SIX, minutes=1e-4, log_every=1)
    reports = list(train([data], output=tmp_path, config=config))
    assert reports[-1].progress == 1.0 and reports[-1].seconds >= 0.006


def test_without_the_known_motion_loss(data, tmp_path):
    config = replace(SIX, steps=1, log_every=1, correspondence_weight=0.0)
    (report,) = train([data], output=tmp_path, config=config)
    assert report.correspondence == 0 and report.loss == pytest.approx(10 * report.copy, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minutes": 0.0}, "minutes: expected more than 0, came 0.0"),
        ({"steps": 0}, "steps: expected 1 or more, came 0"),
        ({"batch": 0}, "batch: expected 1 or more, came 0"),
        ({"log_every": 0}, "log_every: expected 1 or more, came 0"),
        ({"model": "vondrick2018"}, "model: expected small or base, came 'vondrick2018'"),
    ],
)
def test_knobs_are_checked_before_anything_is_written(data, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        train([data], output=tmp_path / "run", config=replace(SIX, **changes))
    assert not (tmp_path / "run").exists()


def test_missing_data_and_an_output_that_cannot_be(data, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        train([tmp_path / "nowhere"], output=tmp_path / "run", config=SIX)
    assert not (tmp_path / "run").exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot create the run folder"):
        train([data], output=tmp_path / "file" / "run", config=SIX)


@given(st.floats(0, 1), st.floats(0.01, 0.5))
def test_the_learning_rate_stays_between_zero_and_its_peak(progress, warmup):
    assert 0 <= one_cycle(progress, peak=2e-3, warmup=warmup) <= 2e-3 * (1 + 1e-9)


def test_the_learning_rate_warms_up_and_ends_at_zero():
    rates = [one_cycle(p / 100, peak=1.0, warmup=0.2) for p in range(101)]
    assert rates[0] == pytest.approx(0.04) and rates[20] == 1.0 and rates[100] == 0.0
    assert rates[:21] == sorted(rates[:21]) and rates[20:] == sorted(rates[20:], reverse=True)
    assert one_cycle(1.3, peak=1.0, warmup=0.2) == 0.0


def test_errors_of_the_background_thread_come_through():
    def broken():
        yield 1
        raise TrainingError("no more")

    items = prefetch(cast(Any, broken()), depth=2)
    assert next(items) == 1
    with pytest.raises(TrainingError, match="no more"):
        next(items)


def test_prefetch_stays_within_its_depth():
    taken = []
    numbers = (taken.append(n) or n for n in range(100))
    items = prefetch(cast(Any, numbers), depth=3)
    assert [next(items) for _ in range(5)] == list(range(5))
    items.close()
    assert len(taken) <= 5 + 3 + 1


def test_a_half_written_line_of_the_log_is_left_out(finished, tmp_path):
    folder, reports = finished
    text = (folder / "log.jsonl").read_text()
    (tmp_path / "log.jsonl").write_text(text + text.splitlines()[0][:30])
    assert read_log(tmp_path / "log.jsonl") == reports
    assert read_log(tmp_path / "none.jsonl") == []


def test_a_curve_of_one_report(finished, tmp_path):
    plot_losses(finished[1][:1], tmp_path / "one.png")
    assert [p.name for p in tmp_path.iterdir()] == ["one.png"]
    with Image.open(tmp_path / "one.png") as image:
        assert len(image.getcolors(1 << 20) or []) > 5
