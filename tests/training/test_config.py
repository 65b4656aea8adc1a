"""Recipes and schedules: the numbers of the paper, JSON there and back, knobs that cannot work."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.training.config import (
    RECIPES,
    TrainConfig,
    change,
    check,
    default,
    from_json,
    learning_rate,
    to_json,
    vondrick2018,
)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_can_work_and_come_back_from_json(name):
    config = RECIPES[name]()
    check(config)
    assert from_json(to_json(config)) == config


def test_the_papers_numbers():
    """Vondrick et al. 2018, section 4."""
    config = vondrick2018()
    assert (config.model, config.batch, config.steps) == ("vondrick2018", 32, 400_000)
    assert config.sampler.views == 4 and config.sampler.crop == 256
    assert config.sampler.gap_seconds == (1 / 6, 1 / 6) and config.sampler.regular_gap
    assert (config.objective.compare, config.objective.classes) == ("classify", 16)
    assert config.objective.temperature == 1.0 and not config.objective.unit_length
    assert config.optimizer == "adam" and config.sampler.hide == "color"

    def rate(step: int) -> float:
        return learning_rate(
            step / config.steps,
            schedule=config.schedule,
            peak=config.learning_rate,
            warmup=config.warmup,
            drops=config.drops,
        )

    assert rate(0) == rate(59_999) == 1e-3
    assert rate(60_000) == rate(399_999) == pytest.approx(1e-4)


@given(st.floats(0, 1), st.floats(0.01, 0.5))
def test_the_learning_rate_stays_between_zero_and_its_peak(progress, warmup):
    rate = learning_rate(progress, schedule="cosine", peak=2e-3, warmup=warmup)
    assert 0 <= rate <= 2e-3 * (1 + 1e-9)


def test_the_cosine_warms_up_and_ends_at_zero():
    rates = [learning_rate(p / 100, schedule="cosine", peak=1.0, warmup=0.2) for p in range(101)]
    assert rates[0] == pytest.approx(0.04) and rates[20] == 1.0 and rates[100] == 0.0
    assert rates[:21] == sorted(rates[:21]) and rates[20:] == sorted(rates[20:], reverse=True)
    assert learning_rate(1.3, schedule="cosine", peak=1.0, warmup=0.2) == 0.0


def test_steps_drop_the_rate_each_time():
    rates = [
        learning_rate(p, schedule="step", peak=1.0, warmup=0.0, drops=(0.5, 0.75), factor=0.5)
        for p in (0.0, 0.49, 0.5, 0.74, 0.75, 1.0)
    ]
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_knobs_are_found_where_they_belong():
    config = change(default(), steps=7, crop=64, temperature=0.1, seed=3, accumulate=None)
    assert (config.steps, config.sampler.crop, config.objective.temperature) == (7, 64, 0.1)
    assert config.seed == config.sampler.seed == 3 and config.accumulate == 1
    with pytest.raises(InputError, match="no knob called color"):
        change(default(), color=1)


def test_an_early_recipe_may_spell_colour():
    raw = to_json(vondrick2018()).replace('"hide": "color"', '"hide": "colour"')
    assert "colour" in raw and from_json(raw) == vondrick2018()


def test_an_older_recipe_reads_with_todays_defaults_and_another_file_does_not():
    raw = json.loads(to_json(default()))
    del raw["accumulate"], raw["objective"]["correspondence"]
    assert from_json(json.dumps(raw)) == default()
    raw["objective"]["cycle"] = raw["ema"] = 0.0  # terms that are gone, and were not used
    assert from_json(json.dumps(raw)) == default()
    raw["objective"]["cycle"] = 0.1
    with pytest.raises(InputError, match="unknown entries cycle"):
        from_json(json.dumps(raw))
    raw["objective"]["cycle"], raw["ema"] = 0.0, 0.9
    with pytest.raises(InputError, match="unknown entries ema"):
        from_json(json.dumps(raw))
    raw["ema"] = 0.0
    raw["objective"] |= {"walk": 0.0, "queries": 0, "distractors": 0}
    raw["sampler"] |= {"palindrome": False, "mirror_apart": 0.0, "least_side": 0.6}
    assert from_json(json.dumps(raw)) == default()
    raw["sampler"]["least_side"] = 0.85
    with pytest.raises(InputError, match="unknown entries least_side"):
        from_json(json.dumps(raw))
    for text in ("[1]", "{", '{"colour": 1}', '{"objective": {"x": 1}}'):
        with pytest.raises(InputError, match="expected the JSON of a training recipe"):
            from_json(text)


def test_the_default_recipe_is_what_the_dataclasses_say():
    assert default() == TrainConfig()
    assert (default().objective.compare, default().objective.copy) == ("classify", 1.0)


def test_runs_that_regressed_go_on_regressing():
    """A run's config.json and checkpoints name every knob, as they did from the first version."""
    raw = {
        "model": "small",
        "objective": {"compare": "regress", "classes": 16, "unit_length": True, "copy": 10.0},
        "steps": 5,
    }
    old = from_json(json.dumps(raw)).objective
    assert (old.compare, old.copy) == ("regress", 10.0)
    for name in RECIPES:
        told = json.loads(to_json(RECIPES[name]()))["objective"]
        assert {"compare", "copy", "classes"} <= set(told)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minutes": 0.0}, "minutes: expected more than 0, got 0.0"),
        ({"steps": 0}, "steps: expected 1 or more, got 0"),
        ({"batch": 0}, "batch: expected 1 or more, got 0"),
        ({"accumulate": 3}, r"batch: expected a multiple of accumulate \(3\), got 8"),
        ({"log_every": 0}, "log_every: expected 1 or more, got 0"),
        ({"model": "huge"}, "model: expected one of small, base, vondrick2018, got 'huge'"),
        ({"temperature": 0.0}, "temperature: expected more than 0, got 0.0"),
        ({"learning_rate": -1.0}, "learning_rate: expected more than 0, got -1.0"),
        ({"model": "vondrick2018"}, "views: expected 4, the clip that vondrick2018 embeds"),
    ],
)
def test_knobs_that_cannot_work_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        check(change(TrainConfig(), **changes))


def test_the_papers_network_takes_no_stills_with_known_motion():
    config = vondrick2018()
    objective = replace(config.objective, correspondence=1.0)
    with pytest.raises(InputError, match="correspondence: vondrick2018 embeds whole clips"):
        check(replace(config, objective=objective))


@pytest.mark.parametrize(
    ("knobs", "named"),
    [
        ({"cache": "table", "regular_gap": True}, "cache"),
        ({"decay": 1.5}, "decay"),
        ({"keep_every": 0}, "keep_every"),
    ],
)
def test_numbers_out_of_range_and_tables_of_whole_clips_are_refused(knobs, named):
    with pytest.raises(InputError, match=named):
        check(change(default(), **knobs))


def test_a_stable_rate_falls_in_its_last_share_alone():
    def rate(progress: float) -> float:
        return learning_rate(progress, schedule="wsd", peak=2.0, warmup=0.1, decay=0.25)

    assert rate(0.1) == rate(0.5) == rate(0.75) == 2.0
    assert rate(0.05) < 2.0 and 0 < rate(0.9) < 1.0
    assert rate(1.0) == 0.0
