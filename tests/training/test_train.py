"""Training on tiny data: what is written, going on bit for bit, stopping early, a bad loss."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from PIL import Image
from synthetic import moving_clip, still, write_clip
from training_runs import ends_quickly, newest, same, same_run

from chromatrack.errors import InputError, OutputError, TrainingError
from chromatrack.model.config import PRESETS
from chromatrack.model.encoder import build_encoder
from chromatrack.model.weights import load_encoder, read_header, save_encoder
from chromatrack.training import checkpoint
from chromatrack.training.config import (
    Objective,
    SamplerConfig,
    TrainConfig,
    change,
    from_json,
    single,
    vondrick2018,
)
from chromatrack.training.monitor.log import StepReport, read_log, read_validations
from chromatrack.training.train import prefetch, train

SIX = TrainConfig(
    objective=Objective(compare="regress", copy=10.0),
    steps=6,
    batch=2,
    log_every=2,
    sampler=SamplerConfig(crop=32, short_side=40, spacing_seconds=0.04),
)


@pytest.fixture(autouse=True)
def quick_ends(monkeypatch):
    """Of all runs but `finished`."""
    ends_quickly(monkeypatch)


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


def test_a_run_reports_and_writes_everything(finished):
    folder, reports = finished
    assert [r.step for r in reports] == [2, 4, 6]
    assert [r.progress for r in reports] == pytest.approx([2 / 6, 4 / 6, 1.0])
    assert [r.examples_seen for r in reports] == [4, 8, 12]
    assert [r.frames_seen for r in reports] == [8, 16, 24]
    for r in reports:
        assert list(r.terms) == ["copy"] and 0 <= r.waiting <= 1
        assert r.loss == pytest.approx(10 * r.terms["copy"], rel=1e-4) and r.loss > 0
    assert read_log(folder / "log.jsonl") == reports
    assert len((folder / "log.csv").read_text().splitlines()) == 4
    assert from_json((folder / "config.json").read_text()) == SIX
    assert newest(folder).step == 6
    with Image.open(folder / "loss.png") as image:
        assert image.format == "PNG" and image.width > 300
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        *("checkpoint-00000006.pt", "config.json", "data.json", "log.csv", "log.jsonl"),
        *("loss.png", "model.safetensors", "report.html"),
    ]


def test_the_weights_of_a_run_load_and_say_what_they_saw(finished):
    folder, _ = finished
    encoder = load_encoder(folder / "model.safetensors")
    assert encoder.config.embedding == 64
    header = read_header(folder / "model.safetensors")
    assert (header["steps"], header["examples_seen"], header["complete"]) == ("6", "12", "yes")
    assert (header["videos"], header["photos"]) == ("1", "2")
    with torch.no_grad():
        assert bool(torch.isfinite(encoder(torch.rand(1, 3, 40, 48))).all())


def test_weights_change_and_the_same_seed_gives_the_same_run(data, tmp_path):
    two = replace(SIX, steps=2)
    for name in ("a", "b"):
        list(train([data], output=tmp_path / name, config=two))
    list(train([data], output=tmp_path / "c", config=change(two, seed=1)))
    assert same_run(tmp_path / "a", tmp_path / "b")
    assert not same_run(tmp_path / "a", tmp_path / "c")


RECIPES = {
    "default": SIX,
    "every term": change(SIX, correspondence=1.0, window=2, thin_plate=0.03),
    "classes": change(SIX, compare="classify", hide="color", copy=1.0),
    "in parts": change(SIX, batch=4, accumulate=2),
    "single pictures": change(
        single(), steps=6, batch=2, log_every=2, crop=32, short_side=40, spacing_seconds=0.04
    ),
    "the paper": change(
        vondrick2018(),
        steps=6,
        batch=1,
        log_every=2,
        crop=32,
        short_side=40,
        spacing_seconds=0.02,
        gap_seconds=(0.04, 0.04),
    ),
}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_an_interrupted_run_ends_as_if_it_had_not_been(data, tmp_path, name):
    config = replace(RECIPES[name], steps=4, log_every=1)
    whole = list(train([data], output=tmp_path / "whole", config=config))
    reports = train([data], output=tmp_path / "parts", config=config)
    first = [next(reports), next(reports)]
    reports.close()
    assert newest(tmp_path / "parts").step == 2
    rest = list(train([data], output=tmp_path / "parts", config=config, resume=True))
    assert [r.loss for r in first + rest] == [r.loss for r in whole]
    assert same_run(tmp_path / "whole", tmp_path / "parts")
    a, b = (
        load_encoder(tmp_path / n / "model.safetensors").state_dict() for n in ("whole", "parts")
    )
    assert same(dict(a), dict(b))


def test_a_crash_between_checkpoints_doubles_nothing(data, tmp_path):
    """The log goes further than the newest checkpoint: it is cut back, then written again."""
    config = replace(SIX, steps=4, log_every=1)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    list(train([data], output=whole, config=config))
    reports = train([data], output=parts, config=config)
    next(reports)
    reports.close()
    ahead = read_log(whole / "log.jsonl")[:3]
    (parts / "log.jsonl").write_text(
        "".join(line + "\n" for line in (whole / "log.jsonl").read_text().splitlines()[:3])
        + '{"step": 4, "prog'
    )
    list(train([data], output=parts, config=config, resume=True))
    assert [r.step for r in read_log(parts / "log.jsonl")] == [1, 2, 3, 4]
    assert [r.loss for r in read_log(parts / "log.jsonl")][:3] == [r.loss for r in ahead]
    assert same_run(whole, parts)


def test_more_steps_after_the_end(data, tmp_path):
    folder = tmp_path / "run"
    list(train([data], output=folder, config=replace(SIX, steps=2)))
    more = list(train([data], output=folder, config=replace(SIX, steps=4), resume=True))
    assert [r.step for r in more] == [4] and newest(folder).step == 4
    assert more[0].seconds > read_log(folder / "log.jsonl")[0].seconds
    assert list(train([data], output=folder, config=replace(SIX, steps=4), resume=True)) == []


def test_other_data_on_resume_is_said(data, tmp_path):
    folder, other = tmp_path / "run", tmp_path / "other"
    list(train([data], output=folder, config=replace(SIX, steps=2)))
    write_clip(other / "film.mp4", moving_clip(frames=9, size=(48, 64), radius=8))
    with pytest.warns(UserWarning, match="the data is not what it was when the run was saved"):
        list(train([other], output=folder, config=replace(SIX, steps=4), resume=True))
    assert newest(folder).step == 4


def test_starting_from_trained_weights(data, finished, tmp_path):
    weights = finished[0] / "model.safetensors"
    config = replace(SIX, init=str(weights), steps=1, learning_rate=1e-12, weight_decay=0.0)
    list(train([data], output=tmp_path / "on", config=config))
    before = load_encoder(weights).state_dict()
    after = load_encoder(tmp_path / "on" / "model.safetensors").state_dict()
    for name, value in before.items():
        if name.endswith("weight"):
            torch.testing.assert_close(after[name], value, atol=2e-3, rtol=1e-3)
    list(train([data], output=tmp_path / "wide", config=replace(config, model="base")))
    assert load_encoder(tmp_path / "wide" / "model.safetensors").spec.channels == 128
    wide = str(tmp_path / "wide" / "model.safetensors")
    with pytest.raises(InputError, match="expected weights of a 'small' network or of a narrower"):
        list(train([data], output=tmp_path / "other", config=replace(config, init=wide)))
    assert not (tmp_path / "other").exists()


def test_a_student_comes_to_its_teachers_mirrored_features(data, tmp_path):
    teacher = tmp_path / "teacher.safetensors"
    torch.manual_seed(3)
    save_encoder(teacher, build_encoder(PRESETS["small"]))
    taught = change(
        SIX, teacher=str(teacher), distill=1.0, copy=0.0, hide="none", steps=12, log_every=3
    )
    reports = list(train([data], output=tmp_path / "student", config=taught))
    assert all(list(report.terms) == ["distill"] for report in reports)
    assert reports[-1].loss < 0.8 * reports[0].loss
    own = list(train([data], output=tmp_path / "own", config=change(taught, init=str(teacher))))
    assert 0.001 < own[0].loss < reports[0].loss  # its own, but not as lopsided


def test_a_teacher_and_its_weight_belong_together(data, tmp_path):
    with pytest.raises(InputError, match="teacher: expected weights where the weight of distill"):
        list(train([data], output=tmp_path / "a", config=change(SIX, distill=1.0)))
    with pytest.raises(InputError, match="teacher: expected weights where the weight of distill"):
        list(train([data], output=tmp_path / "b", config=change(SIX, teacher="small")))
    narrow = tmp_path / "narrow.safetensors"
    save_encoder(narrow, build_encoder(replace(PRESETS["small"], embedding=8)))
    given = change(SIX, distill=1.0, copy=0.0, teacher=str(narrow))
    with pytest.raises(InputError, match=r"teacher: expected features of \(channels, stride"):
        list(train([data], output=tmp_path / "c", config=given))


def test_another_runs_folder_is_not_overwritten(data, finished, tmp_path):
    folder, _ = finished
    before = (folder / "checkpoint-00000006.pt").read_bytes()
    with pytest.raises(InputError, match=r"holds a run already; resume it \(--resume\) or choose"):
        train([data], output=folder, config=SIX)
    with pytest.raises(InputError, match="expected a 'base' run, got a 'small' run"):
        list(train([data], output=folder, config=replace(SIX, model="base"), resume=True))
    assert (folder / "checkpoint-00000006.pt").read_bytes() == before
    with pytest.raises(InputError, match="expected a checkpoint to resume from, found none"):
        train([data], output=tmp_path / "fresh", config=SIX, resume=True)


def test_leaving_early_saves_and_ends_the_background_thread(data, tmp_path, monkeypatch):
    monkeypatch.undo()
    reports = train([data], output=tmp_path, config=replace(SIX, steps=1000, log_every=1))
    assert next(reports).step == 1
    assert next(reports).step == 2
    reports.close()
    assert newest(tmp_path).step == 2
    assert read_header(tmp_path / "model.safetensors")["complete"] == "no"
    assert (tmp_path / "report.html").is_file()
    assert not any(t.name.startswith("chromatrack-clips") for t in threading.enumerate())


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_checkpoint(
    data, tmp_path, monkeypatch
):
    folder = tmp_path / "run"
    list(train([data], output=folder, config=replace(SIX, steps=2)))
    before = (folder / "checkpoint-00000002.pt").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(
            "chromatrack.training.train.total",
            lambda found, _: found["copy"] * torch.tensor(float("nan")),
        )
        with pytest.raises(TrainingError, match=r"loss is nan at step 2; .*lower the learning"):
            list(train([data], output=folder, config=replace(SIX, steps=4), resume=True))
    assert (folder / "checkpoint-00000002.pt").read_bytes() == before
    assert newest(folder).step == 2
    list(train([data], output=folder, config=replace(SIX, steps=4), resume=True))
    state = newest(folder).content["encoder"]
    assert all(bool(torch.isfinite(x.float()).all()) for x in state.values())


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(data, tmp_path, monkeypatch):
    def explode(found, _):
        copied = found["copy"]
        return copied + (copied - copied.detach()).abs().sqrt() * 0  # d sqrt(0) is infinite

    monkeypatch.setattr("chromatrack.training.train.total", explode)
    with pytest.raises(TrainingError, match="the gradient is not finite at step 0"):
        list(train([data], output=tmp_path / "run", config=SIX))
    assert checkpoint.checkpoints(tmp_path / "run") == []


def test_a_budget_in_minutes(data, tmp_path):
    config = replace(SIX, minutes=1e-4, log_every=1)
    reports = list(train([data], output=tmp_path, config=config))
    assert reports[-1].progress == 1.0 and reports[-1].seconds >= 0.006


def test_what_is_set_aside_is_watched_and_the_best_is_kept(tmp_path):
    for number in range(10):
        clip = moving_clip(frames=8, size=(48, 64), radius=8, seed=number)
        write_clip(tmp_path / "data" / f"{number}.mp4", clip)
    seen, errors = [], iter([0.3, 0.1, 0.2, 0.4])

    def make(pairs):
        def watch(encoder, step, seconds, folder):
            seen.append((step, [name for name, *_ in pairs], tuple(pairs[0][1].shape)))
            return {"color_error": next(errors)}

        return watch

    config = replace(SIX, steps=4, watch_minutes=1e-9, log_every=1)
    folder = tmp_path / "run"
    list(train([tmp_path / "data"], output=folder, config=config, make_watcher=make))
    assert seen == [(step, ["5.mp4"], (3, 40, 53)) for step in (1, 2, 3, 4)]
    rows = read_validations(folder / "validation.jsonl")
    assert [row.values["color_error"] for row in rows] == [0.3, 0.1, 0.2, 0.4]
    assert checkpoint.read_checkpoint(folder / "best.pt").step == 2
    assert json.loads((folder / "data.json").read_text())["videos"] == 9


def test_missing_data_and_an_output_that_cannot_be(data, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        train([tmp_path / "nowhere"], output=tmp_path / "run", config=SIX)
    assert not (tmp_path / "run").exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        list(train([data], output=tmp_path / "file" / "run", config=SIX))


def test_knobs_are_checked_before_anything_is_written(data, tmp_path):
    with pytest.raises(InputError, match="steps: expected 1 or more, got 0"):
        train([data], output=tmp_path / "run", config=replace(SIX, steps=0))
    assert not (tmp_path / "run").exists()


def test_errors_of_the_background_thread_come_through():
    def broken():
        yield 1
        raise TrainingError("no more")

    items = prefetch(cast(Any, broken()), depth=2)
    assert next(items) == 1
    with pytest.raises(TrainingError, match="no more"):
        next(items)


def test_prefetch_ends_with_its_items_and_stays_within_its_depth():
    assert list(prefetch(iter(range(5)), depth=2)) == list(range(5))
    taken = []
    numbers = (taken.append(n) or n for n in range(100))
    items = prefetch(cast(Any, numbers), depth=3)
    assert [next(items) for _ in range(5)] == list(range(5))
    items.close()
    assert len(taken) <= 5 + 3 + 1


def test_places_are_learned_from_a_table_and_a_branch_goes_on_from_it(data, tmp_path):
    config = change(SIX, cache="table", views=3, correspondence=1.0, schedule="wsd", keep_every=4)
    stable = tmp_path / "stable"
    reports = list(train([data], output=stable, config=config, cache=tmp_path / "cache"))
    assert set(reports[-1].terms) == {"copy", "correspondence"}
    kept = stable / "kept-00000004.pt"
    assert checkpoint.read_checkpoint(kept).step == 4
    assert list((tmp_path / "cache").glob("frames-*.pt"))

    falling = replace(config, decay_from=str(kept), steps=2, decay=1.0, warmup=0.0)
    branch = tmp_path / "branch"
    list(train([data], output=branch, config=falling, cache=tmp_path / "cache"))
    assert newest(branch).step == 2
    assert newest(branch).content["frames_seen"] == (4 + 2) * 2 * 3
    assert newest(stable).step == 6

    with pytest.raises(InputError, match="expected a run's folder or a checkpoint"):
        nowhere = replace(falling, decay_from=str(tmp_path / "nowhere"))
        list(train([data], output=tmp_path / "x", config=nowhere))
