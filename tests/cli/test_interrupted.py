"""Training in a process of its own that is stopped, killed or starved of disk, and goes on."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from processes import Fork, command, until
from safetensors import safe_open
from synthetic import moving_clip, still, write_clip
from training_runs import newest, same_run

from chromatrack.training import run_folder
from chromatrack.training.data.sampler import Sampler

TINY_RUN = ("--batch", 1, "--crop", 32, "--log-every", 1, "--device", "cpu")
STEPS = 16


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_clip(folder / "film.mp4", moving_clip(frames=10, size=(48, 64), radius=8), fps=5.0)
    write_clip(folder / "photos", [still((48, 60), seed=n) for n in range(2)])
    return folder


def start(*arguments: object, **options: Any) -> Fork:
    """`chromatrack train ...` without the plots of its report, which take most of the time."""
    return command("train", *arguments, *TINY_RUN, **{"first": _without_plots} | options)


def _without_plots() -> None:
    run_folder.plot_losses = run_folder.write_report = lambda *_, **__: None


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    """A run that nothing happened to."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    process = start(data, "-o", folder, "--steps", STEPS)
    assert process.wait(timeout=240) == 0, process.err()
    return folder


def test_a_kill_at_any_moment_costs_nothing_but_time(data, whole, tmp_path):
    """kill -9 at random times; what comes out is the uninterrupted run, bit for bit."""
    folder, kills = tmp_path / "run", 0
    often = ("--save-seconds", 0.01)
    process = start(data, "-o", folder, "--steps", STEPS, *often)
    moments = random.Random(4)
    while kills < 3:
        until(folder / "log.jsonl", process)
        time.sleep(moments.uniform(0.05, 0.5))
        if process.poll() is not None:
            break
        process.kill()
        kills += 1
        resume = ("--resume",) if list(folder.glob("checkpoint-*.pt")) else ()
        (folder / "log.jsonl").unlink() if not resume else None
        process = start(data, "-o", folder, "--steps", STEPS, *often, *resume)
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
    process = start(data, "-o", folder, "--steps", STEPS, "--resume", limit=1_000_000)
    said, complaint = process.communicate(timeout=240)
    assert (process.returncode, said) == (2, "")
    lines = [x for x in complaint.strip().splitlines() if not x.startswith("warning:")]
    assert len(lines) == 1 and "cannot be written (File too large)" in lines[0]
    assert newest(folder).step == STEPS // 2
    again = start(data, "-o", folder, "--resume", "--steps", STEPS)
    assert again.wait(timeout=240) == 0
    assert newest(folder).step == STEPS


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_measuring_after_the_last_step_ends_too_and_is_made_up_for(
    data, tmp_path, number, code
):
    folder = tmp_path / "run"
    real = Sampler.batch

    def batch(self: Sampler, step: int, *, size: int, **more: Any) -> Any:
        if size > 1:
            with (tmp_path / "sign").open("a") as sign:
                sign.write(".")
            time.sleep(0.5)
        return real(self, step, size=size, **more)

    def slow() -> None:
        Sampler.batch = batch  # in that process alone

    process = start(data, "-o", folder, "--steps", 2, first=slow)
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
