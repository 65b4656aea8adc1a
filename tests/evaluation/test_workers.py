"""Clips measured in processes: what comes back, what fails, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from counting import CLIPS, Counted, Failing, Guess, NeverAgain, combine, measure, measure_or_fail

from chromatrack.errors import DamagedVideoError, InputError, LayoutError, WorkerError
from chromatrack.evaluation.cache import clip_path
from chromatrack.evaluation.runner import Benchmark, evaluate
from chromatrack.evaluation.workers import core_count

SOURCES = Path(__file__).resolve().parents[2] / "src"


def test_processes_give_the_same_result_the_longest_clip_first(tmp_path):
    seen, log = [], tmp_path / "log.txt"
    counting = Benchmark("counting", CLIPS, partial(measure, log=str(log)), combine)
    one = evaluate(counting, tracker=Guess())
    log.unlink()
    two = evaluate(
        counting,
        tracker=Guess(),
        output=tmp_path / "out",
        jobs=2,
        progress=lambda *a: seen.append(a),
    )
    lines = [line.split() for line in log.read_text().splitlines()]
    assert sorted(name for name, *_ in lines) == ["../c/ü?", "ant", "bee"]
    assert lines[0][0] != "ant"  # the shortest is handed out once another is finished
    assert str(os.getpid()) not in {process for _, process, _ in lines}
    assert int(lines[0][2]) <= max(1, core_count() // 2)
    different = {"jobs", "wall_seconds"}
    assert {k: v for k, v in two.items() if k not in different} == {
        k: v for k, v in one.items() if k not in different
    }
    assert sum(1 for _ in seen) >= 3 and seen[-1][1:] == (9, 9)
    assert [state[1] for state in seen] == sorted(state[1] for state in seen)


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("layout", LayoutError, "^no such folder$"),
        ("damage", DamagedVideoError, "^broken$"),
        ("bug", ValueError, "^unforeseen\nwhile measuring 'bee'$"),
        ("ended", WorkerError, r"process failed while measuring 'bee' \(it has said why above\)"),
        ("killed", WorkerError, "SIGKILL while measuring 'bee'.*fewer jobs"),
    ],
)
def test_what_fails_in_a_process_is_one_error_here(how, kind, message, tmp_path):
    clips = (Counted("bee", 9), Counted("ant", 2), Counted("cat", 3))
    benchmark = Benchmark("failing", clips, measure_or_fail, combine)
    with pytest.raises(kind, match=message) as caught:
        evaluate(benchmark, tracker=Failing(how), output=tmp_path, jobs=2)
    assert getattr(caught.value, "frame_index", 7) == 7
    assert clip_path(tmp_path, "ant").exists() and not (tmp_path / "result.json").exists()


def test_a_tracker_that_cannot_be_sent_is_one_line():
    counting = Benchmark("counting", CLIPS, measure, combine)
    tracker = Guess()
    tracker.encode = lambda image: image
    with pytest.raises(InputError, match=r"Guess\) cannot be sent to other processes.*use jobs=1"):
        evaluate(counting, tracker=tracker, jobs=2)
    assert evaluate(counting, tracker=tracker)["frames"] == 9
    with pytest.raises(InputError, match="cannot be rebuilt in another process"):
        evaluate(counting, tracker=NeverAgain(), jobs=2)


def alive(process: int) -> bool:
    """Whether a process still does something (it may lie dead, not asked after)."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("number", "jobs", "last"),
    [
        (signal.SIGINT, 1, "KeyboardInterrupt: interrupted after 1 of 2 clips, which"),
        (signal.SIGINT, 2, "KeyboardInterrupt: interrupted after 1 of 2 clips, which"),
        (signal.SIGTERM, 1, "StoppedError: stopped by SIGTERM after 1 of 2 clips, which"),
        (signal.SIGTERM, 2, "StoppedError: stopped by SIGTERM after 1 of 2 clips, which"),
        (signal.SIGKILL, 2, ""),
    ],
)
def test_a_signal_ends_all_processes_and_keeps_finished_clips(number, jobs, last, tmp_path):
    code = f"import counting; counting.run_slowly({str(tmp_path / 'out')!r}, {jobs})"
    path = os.pathsep.join([str(SOURCES), str(Path(__file__).parents[1])])
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    done, begun = clip_path(Path("out"), "ant"), "out/bee *"

    def found(name: str) -> list[Path]:
        """In its place, or in the hidden folder beside it."""
        return [*tmp_path.glob(name), *tmp_path.glob(f".out.chromatrack-*/{name}")]

    while not (found(str(done)) and found(begun)) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert last in (said.splitlines() or [""])[-1]
    workers = {int(p.name.split()[1]) for p in found("out/* *")}
    assert workers and (jobs == 1) == (workers == {process.pid})
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, workers))
    [report] = found(str(done))
    assert (report == tmp_path / done) == (number != signal.SIGKILL)
    assert json.loads(report.read_text())["report"] == {"score": 1.0}
    assert not list(tmp_path.rglob("*.tmp"))
