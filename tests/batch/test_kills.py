"""Workers and drivers killed at random times: the store ends as if nothing had happened."""

from __future__ import annotations

import csv
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from killing import family, kill_at_random
from processes import Fork
from quick_commands import contents, drive, drive_in_fork
from test_batch import table, write_jobs

from chromatrack.batch.claims import _who

TIMES = ("seconds", "frames_per_second", "tries")


def without_times(store: Path) -> list[dict[str, str]]:
    with (store / "index.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def wait_for(sign: Callable[[], bool], process: Fork) -> None:
    deadline = time.monotonic() + 60
    while not sign():
        assert process.poll() is None, process.err()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_batch_killed_again_and_again_ends_as_one_undisturbed(seed, tmp_path):
    broken = {f"v{n}": {"how": ""} for n in (3, 17)}
    jobs = write_jobs(tmp_path / "in", 40, command="track+count", seconds=0.3, **broken)
    for number in (3, 17):
        (tmp_path / f"in/v{number}.txt").write_text("broken")
    begin = drive_in_fork(jobs, tmp_path / "out", retries=9)
    killed = kill_at_random(lambda: Fork(begin), kills=8, seed=seed, longest_seconds=0.6)
    assert {"driver", "worker"} == set(killed) and len(killed) >= 4
    drive(jobs, tmp_path / "calm")
    assert contents(tmp_path / "out") == contents(tmp_path / "calm")
    assert without_times(tmp_path / "out") == without_times(tmp_path / "calm")
    states = [row["state"] for row in table(tmp_path / "out").values()]
    assert states.count("done") == 38 and states.count("failed") == 2
    assert drive(jobs, tmp_path / "out") == []
    for name in ("claims", "drivers", "work"):
        assert not list((tmp_path / "out/.batch" / name).iterdir())


def test_two_drivers_share_a_store_and_one_takes_over_from_the_other(tmp_path):
    log = tmp_path / "log.txt"
    jobs = write_jobs(tmp_path / "in", 12, seconds=0.3, log=str(log))
    out = tmp_path / "out"
    first, second = (Fork(drive_in_fork(jobs, out)) for _ in range(2))
    wait_for(lambda: len(list((out / "jobs").glob("*"))) >= 4, first)
    first.kill()
    assert second.wait(60) == 0, second.err()
    assert {row["state"] for row in table(out).values()} == {"done"}
    begun = [line.split()[1] for line in log.read_text().splitlines()]
    assert len(set(begun)) == 12 and len(begun) <= 12 + 2  # what the first one had in hand
    assert not list((out / ".batch/claims").iterdir())


def test_workers_end_with_their_driver(tmp_path):
    jobs = write_jobs(tmp_path / "in", 4, seconds=20.0)
    process = Fork(drive_in_fork(jobs, tmp_path / "out"))
    wait_for(lambda: len(list((tmp_path / "out/.batch/work").glob("*/v*"))) >= 2, process)
    children = family(process.pid)
    assert len(children) >= 3
    process.kill()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_stopped_batch_says_how_far_it_is_and_clears_up(tmp_path):
    jobs = write_jobs(tmp_path / "in", 4, seconds=20.0, v0={"seconds": 0.0})
    out = tmp_path / "out"
    process = Fork(drive_in_fork(jobs, out))
    wait_for((out / "jobs/v0").exists, process)
    process.send_signal(signal.SIGINT)
    process.wait(20)
    states = [row["state"] for row in table(out).values()]
    assert states == ["done", "waiting", "waiting", "waiting"]
    for name in ("claims", "drivers", "work"):
        assert not list((out / ".batch" / name).iterdir())


def test_a_job_half_prepared_by_a_dead_driver_is_not_taken_for_done(tmp_path):
    jobs, out = write_jobs(tmp_path / "in", 1), tmp_path / "out"
    drive(jobs, out)
    before = contents(out)
    left = out / ".batch/work/elsewhere-1-abcd/v0.1234"
    left.mkdir(parents=True)
    (left / "job.json").write_text("{}")
    who = {"machine": "other", "process": 1, "since": "1", "beat": 0}
    (out / ".batch/drivers/elsewhere-1-abcd").write_text(json.dumps(who))
    assert drive(jobs, out) == [] and contents(out) == before
    assert left.exists()  # it may live: it has not been watched for long enough
    own = json.loads(_who(0)) | {"since": "1"}  # of this machine, and of no process on it
    (out / ".batch/drivers/elsewhere-1-abcd").write_text(json.dumps(own))
    drive(jobs, out)
    assert not left.exists() and contents(out) == before
