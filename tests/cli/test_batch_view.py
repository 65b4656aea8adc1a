"""How far a batch is: plain lines, and what the live view shows."""

from __future__ import annotations

import io
import time

from rich.console import Console

from chromatrack.batch.drive import News, Progress
from chromatrack.batch.job import Job
from chromatrack.cli.batch_view import LiveView, PlainLines, batch_view, counted

JOBS = [Job(f"clip{number}", "v.mp4", ()) for number in range(1200)]


def progress(**given) -> Progress:
    made = Progress(JOBS, JOBS, began=time.monotonic() - 60)
    for name, value in given.items():
        setattr(made, name, value)
    return made


def test_a_line_says_how_far_it_is():
    assert counted(progress()) == "batch: 0 of 1,200 jobs, 0 running"
    given = {"ended": 100, "skipped": 500, "failed": 3, "running": {"a": 0.0}, "elsewhere": 2}
    line = counted(progress(**given))
    assert line.startswith("batch: 600 of 1,200 jobs, 3 failed, 1 running, 2 done by others, ")
    assert line.endswith(" left") and ("6 min 0 s" in line or "5 min 59 s" in line)


def test_plain_lines_are_few_but_for_what_failed(capsys):
    lines = PlainLines()
    for _ in range(50):
        lines.tell(News(progress()))
    failed = {"state": "failed", "message": "is broken"}
    lines.tell(News(progress(), JOBS[3], failed))
    lines.tell(News(progress(), JOBS[4], {"state": "done", "message": None}))
    lines.tell(News(progress(), JOBS[5], again="its worker was ended by SIGKILL"))
    assert capsys.readouterr().err.splitlines() == [
        "batch: 0 of 1,200 jobs, 0 running",
        "clip3: failed: is broken",
        "clip5: tried again: its worker was ended by SIGKILL",
    ]
    with batch_view() as tell:  # no terminal
        tell(News(progress()))
    assert capsys.readouterr().err == "batch: 0 of 1,200 jobs, 0 running\n"


def test_the_live_view_names_what_runs_the_longest_first():
    now = time.monotonic()
    running = {f"clip{number}": now - 20 + number for number in range(20)}
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    console.print(LiveView().shown(progress(running=running, ended=300)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "batch: 300 of 1,200 jobs, 20 running" in text and "and 4 more" in text
    assert text.index("clip0 ") < text.index("clip15 ") and "clip16 " not in text
