"""What is measured is put in place when all is done; what was there before stays until then."""

from __future__ import annotations

import os
import shutil
import signal
import time
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import pytest
from counting import combine

from chromatrack.errors import InputError, OutputError
from chromatrack.evaluation.paper.page import PaperResults, write_paper
from chromatrack.evaluation.paper.run import Methods, PaperPlan, evaluate_paper
from chromatrack.evaluation.runner import Benchmark, evaluate

pytestmark = pytest.mark.filterwarnings("ignore:.*are measured again:UserWarning")


@dataclass(frozen=True)
class Clip:
    name: str
    frame_count: int = 2


@dataclass
class Marker:
    """Leaves `text` as the prediction of every clip; may end or wait in the midst of one."""

    text: str
    stop: BaseException | None = None
    stops_at: str = "b"
    waits: float = 0.0

    model = "marker"


def measure(clip, *, tracker, folder, tick):
    place = folder / "masks" / clip.name
    place.mkdir(parents=True, exist_ok=True)
    (place / "0.png").write_text(tracker.text)
    if clip.name == tracker.stops_at:
        time.sleep(tracker.waits)
        if tracker.stop is not None:
            raise tracker.stop
    (place / "1.png").write_text(tracker.text)
    tick()
    return {"score": float(tracker.text)}


CLIPS = (Clip("a"), Clip("b"), Clip("c"))
BENCHMARK = Benchmark("marked", CLIPS, measure, combine)


def contents(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


ENDS = [
    KeyboardInterrupt(),
    InputError("no such frame"),
    OutputError("x: cannot be written (No space left on device)"),
    RuntimeError("a bug"),
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: type(end).__name__)
def test_a_run_that_ends_early_leaves_the_earlier_one_whole(tmp_path, end):
    out = tmp_path / "out"
    evaluate(BENCHMARK, tracker=Marker("0.5"), output=out)
    (out / "notes.txt").write_text("mine")
    before = contents(out)
    with pytest.raises(type(end)):
        evaluate(BENCHMARK, tracker=Marker("0.7", end), output=out, resume=True)
    assert contents(out) == before
    result = evaluate(BENCHMARK, tracker=Marker("0.5"), output=out, resume=True)
    assert len(result["resumed"]) == 3 and contents(out)["masks/a/0.png"] == b"0.5"
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("end", ENDS, ids=lambda end: type(end).__name__)
def test_without_an_earlier_result_whole_clips_are_put_in_place(tmp_path, end):
    out = tmp_path / "out"
    with pytest.raises(type(end)):
        evaluate(BENCHMARK, tracker=Marker("0.7", end), output=out)
    assert sorted(contents(out)) == ["clips/a.json", "masks/a/0.png", "masks/a/1.png"]
    assert hidden(tmp_path) == []


def _run(out: Path, tracker: Marker) -> None:
    evaluate(BENCHMARK, tracker=tracker, output=out, resume=True)


@pytest.mark.parametrize("has_earlier", [True, False])
def test_killed_it_loses_no_clip_and_no_earlier_result(tmp_path, has_earlier):
    out, slow = tmp_path / "out", Marker("0.7", waits=60.0)
    if has_earlier:
        evaluate(BENCHMARK, tracker=Marker("0.5"), output=out)
    before = contents(out) if has_earlier else {}
    process = get_context("fork").Process(target=_run, args=(out, slow))
    process.start()
    while not list(tmp_path.glob(".out.chromatrack-*/out/masks/b/0.png")):
        assert process.is_alive()
        time.sleep(0.02)
    with pytest.raises(OutputError, match=f"is being written by process {process.pid}"):
        evaluate(BENCHMARK, tracker=Marker("0.7"), output=out)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    assert contents(out) == before
    shutil.copytree(tmp_path, tmp_path.with_name("again"), symlinks=True)
    # a run of the same takes the killed one's clip; one that is to begin anew clears it
    result = evaluate(BENCHMARK, tracker=replace(slow, stops_at=""), output=out, resume=True)
    assert result["scores"] == {"score": pytest.approx(0.7)} and hidden(tmp_path) == []
    again = tmp_path.with_name("again")
    result = evaluate(BENCHMARK, tracker=Marker("0.7"), output=again / "out")
    assert result["resumed"] == [] and hidden(again) == []
    shutil.rmtree(again)


def test_clips_of_a_killed_run_are_taken_over(tmp_path):
    out = tmp_path / "out"
    evaluate(BENCHMARK, tracker=Marker("0.5"), output=out)
    left = tmp_path / ".out.chromatrack-999999/out"
    shutil.copytree(out, left)
    shutil.rmtree(out)
    (left / "result.json").unlink()
    (left / "clips/b.json").unlink()  # was being measured
    result = evaluate(BENCHMARK, tracker=Marker("0.5"), output=out, resume=True)
    assert result["resumed"] == ["a", "c"] and hidden(tmp_path) == []
    assert {name for name in contents(out) if name.startswith("masks")} == {
        f"masks/{clip.name}/{number}.png" for clip in CLIPS for number in (0, 1)
    }


@dataclass(frozen=True)
class Folders(Clip):
    folder: Path = Path()
    images: tuple[Path, ...] = ()


@pytest.mark.parametrize("name", ["data", "data/a", "data/b", "data/../data/b", "link", "data/"])
def test_results_do_not_go_where_is_read(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for part in ("a", "b"):
        (tmp_path / "data" / part).mkdir(parents=True)
        (tmp_path / "data" / part / "0.png").write_text("mine")
    (tmp_path / "link").symlink_to("data/a")
    clips = (Folders("a", 2, Path("data/a")), Folders("b", 2, Path(), (Path("data/b/0.png"),)))
    benchmark = replace(BENCHMARK, clips=clips, reads=(Path("data"),))
    before = contents(tmp_path)
    with pytest.raises(InputError, match="is what is read"):
        evaluate(benchmark, tracker=Marker("0.5"), output=name)
    assert contents(tmp_path) == before
    evaluate(benchmark, tracker=Marker("0.5"), output="data/scores")


@pytest.mark.parametrize("part", ["result.json", "clips", "masks", "sheets", "horizons"])
def test_results_replace_nothing_of_others(tmp_path, part):
    out = tmp_path / "out"
    (out / part).mkdir(parents=True)
    (out / part / "mine.txt").write_text("mine")
    before = contents(out)
    with pytest.raises(InputError, match=f"holds {part} already"):
        evaluate(BENCHMARK, tracker=Marker("0.5"), output=out)
    assert contents(out) == before and hidden(tmp_path) == []


def test_the_paper_page_replaces_only_its_own(tmp_path):
    page = tmp_path / "out/report.html"
    page.parent.mkdir()
    page.write_text("mine")
    with pytest.raises(InputError, match=r"holds report\.html already"):
        evaluate_paper(PaperPlan(tmp_path / "D"), Methods({"m": Marker("1")}), output=page.parent)
    with pytest.raises(InputError, match="is what is read"):
        evaluate_paper(PaperPlan(page.parent), Methods({"m": Marker("1")}), output=page.parent)
    assert page.read_text() == "mine"
    write_paper(PaperResults(model="m"), page.parent)
    with pytest.raises(InputError, match="ImageSets"):  # the next thing that is looked at
        evaluate_paper(PaperPlan(tmp_path / "D"), Methods({"m": Marker("1")}), output=page.parent)
