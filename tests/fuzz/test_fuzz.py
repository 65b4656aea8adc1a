"""A fast slice of the long run: damaged inputs of every kind end in a result or in one line."""

from __future__ import annotations

import pytest
import trials
from fuzz_kinds import KINDS

COUNT, SEED = 200, 20261128
COMMANDS = ("track-", "correct-", "colorize-", "train-")
"""Kinds that are tried with a whole command, a second or more: one of each in the fast run."""
FAST = {"track-mp4", "track-points", "correct-boxes", "colorize-png"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tmp_path_factory.mktemp("whole")


def some(values, is_fast):
    return [v if is_fast(v) else pytest.param(v, marks=pytest.mark.slow) for v in values]


@pytest.mark.parametrize("part", some(range(10), lambda part: part < 5))
def test_damaged_inputs_are_answered_in_one_line(part, whole):
    for trial in list(trials.draw(COUNT, seed=SEED))[part::10]:
        found = trials.answer(trial, whole)
        assert found is None, f"run.py --kind {trial.kind} --again {trial.seed}: {found}"


@pytest.mark.parametrize(
    "kind", some(sorted(KINDS), lambda kind: kind in FAST or not kind.startswith(COMMANDS))
)
def test_whole_inputs_are_accepted(kind, whole, tmp_path):
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    KINDS[kind].door(trials.copied(kind, whole, tmp_path / "in"), tmp_path / "out")


def test_the_same_seed_damages_alike(whole, tmp_path):
    (trial,) = trials.draw(1, seed=SEED, kinds=["points"])
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    once, again = (trials.prepare(trial, whole, tmp_path / name) for name in "ab")
    assert once.read_bytes() == again.read_bytes()
