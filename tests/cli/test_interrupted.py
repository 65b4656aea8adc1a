"""Training in a process of its own that is stopped, killed or starved of disk, and goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open
from synthetic import moving_clip, still, write_clip
from training_runs import newest, same_run

SOURCES = Path(__file__).parents[2] / "src"
TINY_RUN = ("--batch", 1, "--crop", 32, "--log-every", 1, "--device", "cpu")
STEPS = 60


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_clip(folder / "film.mp4", moving_clip(frames=10, size=(48, 64), radius=8), fps=5.0)
    write_clip(folder / "photos", [still((48, 60), seed=n) for n in range(2)])
    return folder


def start(*arguments: object, limit: str = "") -> subprocess.Popen[str]:
    """`chromatrack train ...`; `limit` is code to run in the process first."""
    code = (
        f"{limit}\nimport sys\nfrom chromatrack.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    )
    path = os.pathsep.join([str(SOURCES), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", code, "train", *map(str, arguments), *map(str, TINY_RUN)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def until(sign: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a file is there (or the process has ended)."""
    deadline = time.monotonic() + 120
    while not sign.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    """A run that nothing happened to."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    process = start(data, "-o", folder, "--steps", STEPS)
    assert process.wait(timeout=240) == 0, process.stderr.read() if process.stderr else ""
    return folder


def test_a_kill_at_any_moment_costs_nothing_but_time(data, whole, tmp_path):
    """kill -9 at random times; what comes out is the uninterrupted run, bit for bit."""
    folder, kills = tmp_path / "run", 0
    often = ("--save-seconds", 0.01)
    process = start(data, "-o", folder, "--steps", STEPS, *often)
    moments = random.Random(4)
    while kills < 3:
        until(folder / "log.jsonl", process)
        time.sleep(moments.uniform(0.0, 1.5) if kills else 0.7)
        if process.poll() is not None:
            break
        process.kill()
        process.communicate(timeout=60)
        kills += 1
        resume = ("--resume",) if list(folder.glob("checkpoint-*.pt")) else ()
        (folder / "log.jsonl").unlink() if not resume else None
        process = start(data, "-o", folder, "--steps", STEPS, *often, *resume)
        time.sleep(2.0)
    _, complaint = process.communicate(timeout=240)
    assert process.returncode == 0, complaint
    assert kills >= 1 and newest(folder).step == STEPS
    assert same_run(whole, folder)
    whole_log, log = ((f / "log.csv").read_text().splitlines() for f in (whole, folder))
    assert [line.split(",")[0] for line in log] == [line.split(",")[0] for line in whole_log]
    assert {path.suffix for path in folder.glob(".*")} <= {".part", ".tmp"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_stop_it_saves_and_goes_on_bit_for_bit(data, whole, tmp_path, number, code):
    folder = tmp_path / "run"
    process = start(data, "-o", folder, "--steps", STEPS)
    until(folder / "log.jsonl", process)
    process.send_signal(number)
    said, complaint = process.communicate(timeout=120)
    assert process.returncode == code and said == ""
    assert "--resume" in complaint.splitlines()[-1] and "Traceback" not in complaint
    assert 0 < newest(folder).step < STEPS
    again = start(data, "-o", folder, "--resume")
    assert again.wait(timeout=240) == 0
    assert same_run(whole, folder)


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no file size limit on this system")
def test_a_full_disk_stops_with_one_line_and_the_last_checkpoint_is_whole(data, whole, tmp_path):
    folder = tmp_path / "run"
    process = start(data, "-o", folder, "--steps", STEPS // 2)
    assert process.wait(timeout=240) == 0
    limit = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))"
    )
    process = start(data, "-o", folder, "--steps", STEPS, "--resume", limit=limit)
    said, complaint = process.communicate(timeout=240)
    assert (process.returncode, said) == (2, "")
    lines = [x for x in complaint.strip().splitlines() if not x.startswith("warning:")]
    assert len(lines) == 1 and "cannot be written (File too large)" in lines[0]
    assert newest(folder).step == STEPS // 2
    again = start(data, "-o", folder, "--resume", "--steps", STEPS)
    assert again.wait(timeout=240) == 0
    assert newest(folder).step == STEPS


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_measuring_after_the_last_step_ends_too_and_is_made_up_for(
    data, tmp_path, number, code
):
    folder = tmp_path / "run"
    slow = (
        "import time, chromatrack.training.data.sampler as s\n"
        "real = s.Sampler.batch\n"
        "def batch(self, step, *, size, **more):\n"
        "    if size > 1: open('sign', 'a').write('.'); time.sleep(0.5)\n"
        "    return real(self, step, size=size, **more)\n"
        f"s.Sampler.batch = batch\nimport os; os.chdir({str(tmp_path)!r})"
    )
    process = start(data, "-o", folder, "--steps", 2, limit=slow)
    until(tmp_path / "sign", process)
    process.send_signal(number)
    said, complaint = process.communicate(timeout=120)
    assert process.returncode == code and said == ""
    assert len((tmp_path / "sign").read_text()) < 24  # of the batches that are measured
    assert "--resume" in complaint.splitlines()[-1] and "Traceback" not in complaint
    assert newest(folder).step == 2 and notes_of(folder)["complete"] == "no"
    again = start(data, "-o", folder, "--resume")
    assert again.wait(timeout=240) == 0 and notes_of(folder)["complete"] == "yes"


def notes_of(folder: Path) -> dict[str, str]:
    """What the weights file says of the run."""
    with safe_open(folder / "model.safetensors", "pt") as file:
        return file.metadata()
