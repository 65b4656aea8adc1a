"""Lengths in units and times at a known rate, in tables of events."""

from __future__ import annotations

import csv
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hand_results import hand_result
from synthetic import moving_clip, write_clip

from chromatrack.cli.main import main
from chromatrack.errors import InputError
from chromatrack.formats.masks import write_mask
from chromatrack.runs.reader import Result, read_result
from chromatrack.uses.events import EventRules, find_events
from chromatrack.uses.measures import Scale, at_rate
from chromatrack.video.decode import FALLBACK_FPS
from chromatrack.video.reader import probe

INF, NAN = float("inf"), float("nan")


def moving(times_stated: bool = True) -> Result:
    """Two things: one goes 20 px/s to the right, one stands; frames at 10/s."""
    going = np.array([10.0, 20.0]) + np.outer(np.arange(11), [2.0, 0.0])
    standing = np.tile([50.0, 20.0], (11, 1))
    return replace(hand_result(points={1: going, 2: standing}), times_stated=times_stated)


@pytest.mark.parametrize(("pixels", "unit"), [(4.0, "cm"), (0.5, "mm"), (1.0, "px"), (100, "m")])
def test_lengths_and_speeds_are_in_units_and_places_are_not(pixels, unit, tmp_path):
    plain = find_events(moving(), per_frame=tmp_path / "px.csv")
    told = find_events(moving(), scale=Scale(pixels, unit), per_frame=tmp_path / "unit.csv")
    assert [e.event for e in told] == [e.event for e in plain]  # rules stay px
    for a, b in zip(told, plain, strict=True):
        assert (a.x, a.y, a.start_seconds) == (b.x, b.y, b.start_seconds)
        if b.value is not None and b.unit is not None:
            assert a.value == pytest.approx(b.value / pixels)
            assert a.unit == b.unit.replace("px", unit)
    rows = []
    for name in ("px.csv", "unit.csv"):
        with (tmp_path / name).open(newline="", encoding="utf-8") as file:
            rows.append(list(csv.DictReader(file)))
    for px, row in zip(*rows, strict=True):
        assert float(row["speed"]) == pytest.approx(float(px["speed"]) / pixels, abs=1e-3)
        assert row["unit"] == unit and (row["x"], row["y"]) == (px["x"], px["y"])


def test_areas_go_by_the_square(tmp_path):
    boxes = {1: np.tile([10.0, 10.0, 20.0, 10.0], (5, 1))}
    find_events(hand_result(boxes=boxes), scale=Scale(10, "cm"), per_frame=tmp_path / "f.csv")
    with (tmp_path / "f.csv").open(newline="", encoding="utf-8") as file:
        assert {row["area"] for row in csv.DictReader(file)} == {"2.0"}


@pytest.mark.parametrize("pixels", [0, -1, NAN, INF])
def test_scales_are_checked(pixels):
    with pytest.raises(InputError, match="scale: expected px per unit, above 0"):
        Scale(pixels, "cm")
    with pytest.raises(InputError, match="unit: expected its name"):
        Scale(1.0, " ")


@pytest.mark.parametrize("fps", [5.0, 24.0, 1000.0])
def test_a_known_rate_makes_the_times(fps):
    result = moving(times_stated=False)
    with pytest.warns(UserWarning, match="states no times, 24 frames/s are assumed"):
        find_events(result)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_events(at_rate(result, fps), rules=EventRules(flicker_seconds=0))
    [mean] = [e for e in found if e.event == "speed_mean" and e.id == 1]
    assert mean.value == pytest.approx(2 * fps) and mean.end_seconds == pytest.approx(11 / fps)


@pytest.mark.parametrize("fps", [0, -3, NAN, INF])
def test_rates_are_checked(fps):
    with pytest.raises(InputError, match="fps: expected frames per second, above 0"):
        at_rate(moving(times_stated=False), fps)
    with pytest.raises(InputError, match="in a video that states its times; leave it out"):
        at_rate(moving(), 25)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Runs over pictures and over a video."""
    home = tmp_path_factory.mktemp("runs")
    film = moving_clip(frames=4, size=(48, 64), radius=9)
    write_mask(home / "m.png", film[0].mask)
    found = {}
    for name in ("folder", "clip.mkv"):
        clip, out = write_clip(home / name, film), home / f"{name}-out"
        args = ["--masks", str(home / "m.png"), "--size", "48", "-o", str(out)]
        assert main(["track", str(clip), *args]) == 0
        found[name] = out
    return found


def test_whether_times_are_made_up_is_kept_with_the_run(runs):
    assert not read_result(runs["folder"]).times_stated
    assert read_result(runs["clip.mkv"]).times_stated
    for name, stated in (("folder", False), ("clip.mkv", True)):
        path = runs[name] / "result.json"
        data = json.loads(path.read_text())
        del data["video"]["states_times"]  # a run of an earlier version
        path.write_text(json.dumps(data))
        assert read_result(runs[name]).times_stated is stated
        path.write_text(json.dumps({**data, "video": {**data["video"], "fps": 5.0}}))
        assert read_result(runs[name]).times_stated
        path.write_text(json.dumps(data))
        assert probe(data["video"]["path"]).states_times is stated


def test_the_command_line(runs, capsys):
    capsys.readouterr()
    assert main(["events", str(runs["folder"])]) == 0
    said = capsys.readouterr()
    assert "24 frames/s are assumed" in said.err and "px/s" in said.out
    scaled = ["--fps", "10", "--scale", "2.5", "--unit", "mm"]
    assert main(["events", str(runs["folder"]), *scaled]) == 0
    said = capsys.readouterr()
    assert "assumed" not in said.err and "mm/s" in said.out and "px" not in said.out
    for options, message in [
        (["--unit", "mm"], "unit mm: goes with --scale, got without"),
        (["--scale", "0"], "scale: expected px per unit, above 0, got 0"),
        (["--fps", "-1"], "fps: expected frames per second"),
    ]:
        assert main(["events", str(runs["folder"]), *options]) == 2
        assert message in capsys.readouterr().err
    assert main(["events", str(runs["clip.mkv"]), "--fps", "10"]) == 2
    assert "states its times; leave it out" in capsys.readouterr().err


@pytest.mark.parametrize(("near", "still"), [(2.0, 400.0), (40.0, 1.0), (0.0, 0.0), (None, 60.0)])
def test_a_command_with_a_scale_takes_all_its_lengths_in_it(runs, tmp_path, near, still):
    """The same events are found, whichever unit their rules are given in."""
    found = []
    for n, factor in enumerate((1.0, 4.0, 0.5)):
        rules = {"--near": near, "--still": still, "--scale": None if n == 0 else factor * factor}
        if n:
            rules |= {k: v and v / factor**2 for k, v in rules.items() if k != "--scale"}
        given = [str(x) for pair in rules.items() if pair[1] is not None for x in pair]
        table = tmp_path / f"{n}.csv"
        assert main(["events", str(runs["clip.mkv"]), "-o", str(table), *given]) == 0
        rows = [line.split(",") for line in table.read_text().splitlines()]
        found.append([row[:10] for row in rows])  # all but values and units
    assert found[0] == found[1] == found[2]


def test_the_assumed_rate_is_that_of_the_reader():
    from chromatrack.runs.reader import ASSUMED_FPS

    assert ASSUMED_FPS == FALLBACK_FPS
