"""The simulation of large batches: it agrees with what can be told without it."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture
def scaling(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import batch_scaling  # pyright: ignore[reportMissingImports]

    return batch_scaling


def test_one_thing_in_the_way_takes_what_it_takes(scaling):
    idle = {"fixed_seconds": 0.0, "start_seconds": 0.0, "driver_seconds": 0.0, "plan_seconds": 0.0}
    idle |= {"files": 0, "megabytes": 0.0, "slower": 1.0}
    even = scaling.Plan(clips=320, frames=100, seconds_per_frame=(0.36,), **idle)
    assert scaling.simulate(even, 1).hours == pytest.approx(20 * 36 / 3600)
    assert scaling.simulate(even, 1).busy == pytest.approx(1.0)
    assert scaling.simulate(even, 20).hours == pytest.approx(36 / 3600)
    assert scaling.simulate(even, 40).busy == pytest.approx(0.5)
    for given, name in (({"driver_seconds": 10.0}, "driver"), ({"files": 20_000}, "files")):
        slow = scaling.Plan(clips=320, frames=100, seconds_per_frame=(0.36,), **idle | given)
        least = scaling.bounds(slow, 20)[name]
        assert least > 0.8
        assert least <= scaling.simulate(slow, 20).hours <= least + 37 / 3600


def test_more_machines_are_never_slower_and_never_cheaper_than_the_work(scaling):
    plan = scaling.Plan(clips=2000, seconds_per_frame=(0.2, 0.5, 0.9))
    counts = (1, 3, 10, 40, 200)
    hours = [scaling.simulate(plan, count).hours for count in counts]
    assert hours == sorted(hours, reverse=True)
    for count, took in zip(counts, hours, strict=True):
        assert took >= scaling.bounds(plan, count)["work"]
        assert took >= scaling.bounds(plan, count)["files"]
    assert scaling.table(plan, [1])[2].startswith("| 1 | ")
