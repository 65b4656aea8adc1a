"""Running a benchmark: every clip measured on its own, then summed up and written."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from chromatrack.errors import InputError, OutputError
from chromatrack.measure.benchmark import Benchmark, evaluate


@dataclass(frozen=True)
class Counted:
    name: str
    frame_count: int


@dataclass(frozen=True)
class Config:
    top_k: int = 10


class Guess:
    config = Config()
    model = "guess"


def measure(clip, *, tracker, folder, tick):
    for _ in range(clip.frame_count):
        tick()
    return {"score": clip.frame_count / 10, "by": tracker.model}


def combine(reports):
    return {"scores": {"score": sum(r["score"] for r in reports.values()) / len(reports)}}


CLIPS = (Counted("ant", 2), Counted("bee", 4))


def test_every_clip_is_measured_and_the_result_written(tmp_path):
    seen = []
    benchmark = Benchmark("counting", CLIPS, measure, combine, settings={"split": "val"})
    result = evaluate(
        benchmark, tracker=Guess(), output=tmp_path / "out", progress=lambda *a: seen.append(a)
    )
    assert result["scores"] == {"score": pytest.approx(0.3)}
    assert result["sequences"]["bee"] == {"score": 0.4, "by": "guess"}
    assert (result["model"], result["config"], result["frames"]) == ("guess", {"top_k": 10}, 6)
    assert result["settings"] == {"split": "val"}
    assert seen[0] == ("ant", 1, 6) and seen[-1] == ("bee", 6, 6)
    assert json.loads((tmp_path / "out/result.json").read_text()) == result


def test_nothing_to_measure_and_nowhere_to_write(tmp_path):
    with pytest.raises(InputError, match="at least one clip"):
        evaluate(Benchmark("counting", (), measure, combine), tracker=Guess())
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make"):
        evaluate(
            Benchmark("counting", CLIPS, measure, combine),
            tracker=Guess(),
            output=tmp_path / "file/out",
        )
