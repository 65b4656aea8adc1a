"""A batch by processes: what is in the store, what is done again, and what failures cost."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from quick_commands import batch_of, contents, drive

from chromatrack.batch.api import run_batch
from chromatrack.batch.claims import _who
from chromatrack.errors import InputError, OutputError, WorkerError


def table(store: Path) -> dict[str, dict[str, str]]:
    with (store / "index.csv").open(encoding="utf-8") as file:
        return {row["job"]: row for row in csv.DictReader(file)}


def write_jobs(home: Path, count: int = 4, **cells) -> Path:
    home.mkdir(exist_ok=True)
    for number in range(count):
        (home / f"v{number}.txt").write_text(f"text {number}")
    (home / "m.txt").write_text("mark")
    path = home / "jobs.jsonl"
    rows = [
        {"video": f"v{n}.txt", "mark": "m.txt"} | cells | cells.get(f"v{n}", {})
        for n in range(count)
    ]
    rows = [{k: v for k, v in row.items() if not isinstance(v, dict)} for row in rows]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_every_job_has_its_folder_and_its_row(tmp_path):
    jobs = write_jobs(tmp_path / "in", command="track+count", v1={"size": 2, "trust": 0.2})
    (tmp_path / "in/v2.txt").write_text("broken")
    told = drive(jobs, tmp_path / "out", processes=2)
    assert sorted(news.job.name for news in told) == ["v0", "v1", "v2", "v3"]
    rows = table(tmp_path / "out")
    assert [row["state"] for row in rows.values()] == ["done", "done", "failed", "done"]
    assert rows["v1"]["reliability"] == "0.2" and rows["v1"]["look_at"] == "1"
    assert rows["v0"]["frames"] == "6" and float(rows["v0"]["frames_per_second"]) > 0
    assert rows["v2"]["message"].endswith("v2.txt: is broken") and rows["v2"]["tries"] == "1"
    assert rows["v0"]["output"] == "jobs/v0" and rows["v2"]["output"] == ""
    folder = tmp_path / "out/jobs/v1"
    assert (folder / "count.txt").read_text() == "12 letters\n"
    assert (folder / "track/mark.txt").read_text() == "mark"
    record = json.loads((folder / "job.json").read_text())
    assert record["outputs"] == {"track": "track", "count": "count.txt"}
    assert record["worst"] == {"first": 2, "last": 3, "reliability": 0.1}
    page = (tmp_path / "out/report.html").read_text()
    assert "v2.txt: is broken" in page and page.index(">v1<") < page.index(">v0<")
    inside = {path.name for path in (tmp_path / "out/.batch").iterdir()}
    assert inside == {"store.json", "failed", "claims", "drivers", "work", "left"}
    for name in ("claims", "drivers", "work"):
        assert not list((tmp_path / "out/.batch" / name).iterdir())


def test_what_is_done_is_skipped_and_what_changed_is_done_again(tmp_path):
    jobs, out = write_jobs(tmp_path / "in"), tmp_path / "out"
    assert len(drive(jobs, out)) == 4
    before = contents(out)
    assert drive(jobs, out) == [] and contents(out) == before

    home = tmp_path / "in"
    (home / "v0.txt").write_text("text X")
    os.utime(home / "v1.txt", ns=(1, 1))  # touched
    kept = (out / "jobs/v1/track").stat().st_ino
    assert {n.job.name for n in drive(jobs, out)} == {"v0", "v1"}
    assert (out / "jobs/v1/track").stat().st_ino == kept
    assert (out / "jobs/v0/track/5.txt").read_text() == "X"
    assert drive(jobs, out) == []

    (home / "v2.txt").unlink()  # moved away once it was done
    assert drive(jobs, out) == []
    (home / "m.txt").write_text("other")
    assert {n.job.name for n in drive(jobs, out)} == {"v0", "v1", "v2", "v3"}
    assert table(out)["v2"]["state"] == "failed"
    write_jobs(home, size=2)
    assert len(drive(jobs, out)) == 4 and len(list((out / "jobs/v2/track").glob("*.txt"))) == 13
    assert {row["state"] for row in table(out).values()} == {"done"}


def test_failures_of_a_jobs_own_files_are_kept_until_they_change(tmp_path):
    jobs, out = write_jobs(tmp_path / "in", 2), tmp_path / "out"
    (tmp_path / "in/v1.txt").write_text("broken")
    assert len(drive(jobs, out)) == 2
    assert drive(jobs, out) == [] and table(out)["v1"]["state"] == "failed"
    assert [n.job.name for n in drive(jobs, out, retry_failed=True)] == ["v1"]
    (tmp_path / "in/v1.txt").write_text("mended")
    assert [n.record["state"] for n in drive(jobs, out)] == ["done"]
    assert not list((out / ".batch/failed").iterdir())


def test_other_failures_are_tried_again_so_many_times(tmp_path):
    log = tmp_path / "log.txt"
    how = (f"once:{tmp_path / 'a'}", f"die-once:{tmp_path / 'b'}", "die", "bug")
    own = {f"v{number}": {"how": text} for number, text in enumerate(how)}
    jobs = write_jobs(tmp_path / "in", 4, log=str(log), **own)
    told, out = drive(jobs, tmp_path / "out", retries=1), tmp_path / "out"
    again = sorted(f"{n.job.name} {n.again}" for n in told if n.again)
    assert len(again) == 4 and "its worker was ended by SIGKILL" in again[1]
    assert "v3 ValueError: unforeseen (" in again[3] and "quick_commands.py" in again[3]
    rows = table(out)
    assert [row["state"] for row in rows.values()] == ["done", "done", "failed", "failed"]
    assert [row["tries"] for row in rows.values()] == ["2", "2", "2", "2"]
    assert "most likely for lack of memory" in rows["v2"]["message"]
    assert len(log.read_text().splitlines()) == 8
    assert {n.job.name for n in drive(jobs, out, retries=0)} == {"v2", "v3"}  # not by their files


@pytest.mark.slow
def test_where_every_worker_dies_no_job_is_blamed_for_it(tmp_path):
    jobs, out = write_jobs(tmp_path / "in", 24, how="die", v0={"how": ""}), tmp_path / "out"
    with pytest.raises(WorkerError, match="20 workers died one after the other"):
        drive(jobs, out, retries=9)
    assert [row["state"] for row in table(out).values()] == ["done"] + ["waiting"] * 23


def test_a_worker_loads_once(tmp_path):
    log = tmp_path / "log.txt"
    jobs = write_jobs(tmp_path / "in", 12, log=str(log))
    drive(jobs, tmp_path / "out", processes=2, threads=3)
    lines = [line.split(maxsplit=2) for line in log.read_text().splitlines()]
    assert len(lines) == 12 and len({process for process, *_ in lines}) <= 2
    assert {loaded for *_, loaded in lines} == {"[3]"}


def test_damage_keeps_what_was_good(tmp_path):
    jobs = write_jobs(tmp_path / "in", 2, command="track+count", v1={"how": "damage"})
    out = tmp_path / "out"
    drive(jobs, out)
    row = table(out)["v1"]
    assert row["state"] == "damaged" and row["message"].endswith("v1.txt: ends early")
    assert (out / "jobs/v1/count.txt").exists() and drive(jobs, out) == []


def test_a_full_disk_ends_the_batch_and_blames_no_job(tmp_path):
    jobs = write_jobs(tmp_path / "in", 3, v1={"how": "full"})
    with pytest.raises(OutputError, match="no room"):
        drive(jobs, tmp_path / "out", retries=0, processes=1)
    rows = table(tmp_path / "out")
    assert rows["v1"]["state"] == "waiting" and rows["v0"]["state"] == "done"


def test_shards_share_a_store_and_leave_no_job_out(tmp_path):
    jobs, out = write_jobs(tmp_path / "in", 7), tmp_path / "out"
    names = []
    for part in (1, 2, 3):
        names += [news.job.name for news in drive(jobs, out, shard=(part, 3))]
        states = [row["state"] for row in table(out).values()]
        assert states.count("done") == len(names)
    assert sorted(names) == [f"v{n}" for n in range(7)]


def test_a_store_is_no_other_folder(tmp_path):
    jobs = write_jobs(tmp_path / "in", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("")
    with pytest.raises(InputError, match="holds something already, and not from"):
        run_batch(batch_of(jobs), str(tmp_path / "out"), tell=lambda _: None)
    with pytest.raises(InputError, match="is a file; expected the name of a folder"):
        run_batch(batch_of(jobs), str(tmp_path / "out/mine.txt"), tell=lambda _: None)
    (tmp_path / "out/mine.txt").unlink()
    drive(jobs, tmp_path / "out")
    (tmp_path / "out/mine.txt").write_text("")
    assert drive(jobs, tmp_path / "out") == []


@pytest.mark.parametrize("alone", [True, False])
def test_a_batch_that_ends_clears_what_was_left_of_rows_that_are_gone(tmp_path, alone):
    jobs, out = write_jobs(tmp_path / "in", count=2), tmp_path / "out"
    drive(jobs, out, processes=1)
    for name in ("gone", "v0"):  # the second is done
        (out / ".batch/left" / f"{name}.{'0123456789abcdef'}").mkdir()
    if not alone:  # a driver that lives: this very process
        (out / ".batch/drivers/other").write_text(_who(0))
    drive(jobs, out, processes=1)
    assert bool(list((out / ".batch/left").iterdir())) is not alone
    assert set(table(out)) == {"v0", "v1"}
