"""Running a benchmark: clips measured here or in processes, kept, taken again, summed up."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from counting import CLIPS, Config, Counted, Guess, Other, combine, measure

from chromatrack.errors import DamagedVideoError, InputError, OutputError
from chromatrack.evaluation.cache import clip_path
from chromatrack.evaluation.runner import (
    Benchmark,
    chosen,
    evaluate,
    every_frame,
    in_order,
    named,
)


@pytest.fixture
def log(tmp_path) -> Path:
    """Where `counting` says what it measured."""
    return tmp_path / "log.txt"


@pytest.fixture
def counting(log) -> Benchmark:
    logged = partial(measure, log=str(log))
    return Benchmark("counting", CLIPS, logged, combine, settings={"split": "val"})


def measured(log: Path) -> list[str]:
    """Names measured since last asked, in order."""
    if not log.exists():
        return []
    lines = log.read_text().splitlines()
    log.write_text("")
    return [line.split()[0] for line in lines]


def test_every_clip_is_measured_and_the_result_written(counting, tmp_path):
    seen = []
    result = evaluate(
        counting,
        tracker=Guess(),
        output=tmp_path / "out",
        protocol="ours",
        progress=lambda *a: seen.append(a),
    )
    assert result["scores"] == {"score": pytest.approx(0.3)}
    assert result["sequences"]["bee"] == {"score": 0.4, "by": "guess", "seconds": 8.0}
    assert list(result["sequences"]) == [clip.name for clip in CLIPS]
    assert (result["model"], result["config"], result["frames"]) == ("guess", {"top_k": 10}, 9)
    assert (result["settings"], result["protocol"]) == ({"split": "val"}, "ours")
    assert (result["seconds"], result["frames_per_second"]) == (18.0, 0.5)
    assert (result["resumed"], result["jobs"]) == ([], 1)
    assert seen[0] == ("ant", 1, 9) and seen[-1] == ("../c/ü?", 9, 9)
    assert json.loads((tmp_path / "out/result.json").read_text()) == result


def test_a_second_run_takes_what_is_there(counting, log, tmp_path):
    out = tmp_path / "out"
    some = replace(counting, clips=CLIPS[::2])
    first = evaluate(some, tracker=Guess(), output=out, resume=True)
    assert measured(log) == ["ant", "../c/ü?"] and first["resumed"] == []
    seen = []
    result = evaluate(
        counting, tracker=Guess(), output=out, resume=True, progress=lambda *a: seen.append(a)
    )
    assert measured(log) == ["bee"] and seen[0] == ("bee", 6, 9)
    assert result["resumed"] == ["ant", "../c/ü?"]
    assert (result["seconds"], result["frames_per_second"]) == (8.0, 0.5)
    plain = evaluate(counting, tracker=Guess())
    assert result["scores"] == plain["scores"] and result["sequences"] == plain["sequences"]
    measured(log)
    result = evaluate(counting, tracker=Guess(), output=out, resume=True, jobs=2)
    assert measured(log) == [] and len(result["resumed"]) == 3
    assert (result["seconds"], result["frames_per_second"]) == (0.0, 0.0)
    assert evaluate(counting, tracker=Guess(), output=out)["resumed"] == []


def test_what_was_made_with_something_else_is_measured_again(counting, log, tmp_path):
    evaluate(counting, tracker=Guess(), output=tmp_path, resume=True)
    changes = {
        "config, tracker": {"tracker": Guess(Config(top_k=5))},
        "tracker": {"tracker": Other()},
        "model": {"model": "else"},
        "protocol": {"protocol": "crw"},
        "settings": {"benchmark": replace(counting, settings={"split": "train"})},
        "measure": {"benchmark": replace(counting, measure=partial(measure, log=os.devnull))},
    }
    for name, change in changes.items():
        measured(log)
        given = {"benchmark": counting, "tracker": Guess(), **change}
        with pytest.warns(UserWarning, match=f"made with another {name}"):
            result = evaluate(given.pop("benchmark"), output=tmp_path, resume=True, **given)
        assert result["resumed"] == []
        evaluate(counting, tracker=Guess(), output=tmp_path)


def test_a_changed_clip_is_measured_again(counting, log, tmp_path):
    evaluate(counting, tracker=Guess(), output=tmp_path, resume=True)
    clip_path(tmp_path, "bee").write_text('{"name": "bee"}')  # not one of ours
    longer = replace(counting, clips=(Counted("ant", 5), *CLIPS[1:]))
    measured(log)
    with pytest.warns(UserWarning, match="another clip"):
        result = evaluate(longer, tracker=Guess(), output=tmp_path, resume=True)
    assert measured(log) == ["ant", "bee"] and result["resumed"] == ["../c/ü?"]


def test_names_of_clips_are_safe_as_names_of_files(tmp_path):
    names = ["a/b", "..", ".", "", "a%2Fb", "x" * 300, "x" * 301, "é" * 200, "a\udcff", "A:b*?\n"]
    paths = [clip_path(tmp_path, name) for name in names]
    assert len(set(paths)) == len(names)
    for path in paths:
        assert path.parent == tmp_path / "clips"
        path.parent.mkdir(exist_ok=True)
        path.write_text("")


def test_nothing_to_measure_and_nowhere_to_write(counting, tmp_path):
    with pytest.raises(InputError, match="at least one clip"):
        evaluate(Benchmark("counting", (), measure, combine), tracker=Guess())
    with pytest.raises(InputError, match="2 ant"):
        evaluate(replace(counting, clips=(CLIPS[0], CLIPS[0])), tracker=Guess())
    with pytest.raises(InputError, match="1 or more clips at a time, got 0"):
        evaluate(counting, tracker=Guess(), jobs=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        evaluate(counting, tracker=Guess(), output=tmp_path / "file/out")


# -- what benchmarks share -----------------------------------------------------------------


@dataclass(frozen=True)
class Frame:
    index: int


def delivered(indices, *, breaks: bool = False):
    for index in indices:
        yield Frame(index)
    if breaks:
        raise DamagedVideoError("broken", frame_index=indices[-1] + 1)


def test_frames_pass_in_order_also_with_gaps():
    frames = in_order(delivered([2, 3, 6]), name="bear", start=2, end=7)
    assert [frame.index for frame in frames] == [2, 3, 6]


def test_frames_that_are_not_delivered_are_none():
    tracked = every_frame(delivered([1, 3], breaks=True), name="bear", end=6)
    found = [frame and frame.index for frame in tracked]
    assert found == [None, 1, None, 3, None, None]


def test_a_stream_that_breaks_off_ends_early():
    frames = in_order(delivered([0, 1], breaks=True), name="bear", start=0, end=7)
    assert [frame.index for frame in frames] == [0, 1]


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([2, 2], "bear: expected frames 3 to 6 in order from the tracker; got frame 2"),
        ([3, 2], "expected frames 4 to 6.*got frame 2"),
        ([1], "expected frames 2 to 6.*got frame 1"),
        ([5, 7], "got frame 7"),
    ],
)
def test_frames_out_of_order_or_range_are_refused(indices, message):
    with pytest.raises(InputError, match=message):
        list(in_order(delivered(indices), name="bear", start=2, end=7))


@pytest.mark.parametrize("breaks", [False, True])
def test_every_frame_of_the_range_ticks_once_delivered_or_not(breaks):
    ticks = []
    frames = delivered([2, 3, 6], breaks=breaks)
    for count, _ in enumerate(
        in_order(frames, name="a", start=2, end=9, tick=lambda: ticks.append(1))
    ):
        assert len(ticks) == count
    assert len(ticks) == 7


def test_clips_are_chosen_by_name_and_in_the_order_asked_for():
    found = {"ant": 1, "bee": 2, "cat": 3}
    assert list(chosen(found, None)) == ["ant", "bee", "cat"]
    assert chosen(found, ("cat", "ant", "cat")) == {"cat": 3, "ant": 1}
    for names, said in ((("dog", "ant"), "got dog"), ((), "got none")):
        with pytest.raises(InputError, match=f"must be among ant, bee, cat; {said}"):
            chosen(found, names)


def test_folders_have_their_own_names_and_their_paths_where_two_are_alike():
    base = Path("root")
    folders = [base / "otb/David", base / "tld/David", base / "tld/Car"]
    assert list(named(folders, base)) == ["otb-David", "tld-David", "Car"]
