"""Inputs and stores elsewhere: fsspec's memory and local file systems, and an S3 server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from killing import kill_at_random
from processes import Fork
from quick_commands import commands, contents, drive, drive_in_fork
from test_batch import table, write_jobs

from chromatrack.batch.claims import Claims
from chromatrack.batch.cloud_store import CloudStore
from chromatrack.batch.job import Job, Step, is_same, run_job
from chromatrack.batch.manifest import read_manifest
from chromatrack.batch.store import Store
from chromatrack.batch.stores import open_store
from chromatrack.errors import InputError

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory():
    """A file system of this process alone."""
    fs = fsspec.filesystem("memory")
    for kept in (fs.store, fs.pseudo_dirs):
        kept.clear()
    yield fs
    for kept in (fs.store, fs.pseudo_dirs):
        kept.clear()


def test_a_store_elsewhere_holds_what_one_here_holds(memory, tmp_path):
    for path in ("memory://bucket/store", str(tmp_path / "store")):
        store = open_store(path, "me")
        assert type(store) is (CloudStore if "://" in path else Store)
        with Claims(store).living():
            assert store.create("a", ".batch", "claims", "x")
            assert not store.create("b", ".batch", "claims", "x")
            assert store.read_text(".batch", "claims", "x") == "a"
            assert store.read_text("none") == "" and store.record("x") is None
            store.remove(".batch", "claims", "x")
            store.remove(".batch", "claims", "x")
            assert Claims(store).take("y") and Claims(store).held() == ["y"]
            store.fail("y", {"schema_version": 1, "state": "failed"})
            assert store.told() == {"y"} and store.failure("y") is not None
            store.forgive("y")
            assert store.told() == set()
    memory.pipe_file("/other/file", b"")
    with pytest.raises(InputError, match="holds something already, and not from"):
        open_store("memory://other", "me")


def test_a_job_reads_and_writes_elsewhere(memory, tmp_path):
    memory.pipe_file("/in/v.txt", b"text")
    memory.pipe_file("/in/m.txt", b"mark")
    options = {"mark": "memory://in/m.txt"}
    job = Job("v", "memory://in/v.txt", (Step("track", options), Step("count")))
    store = open_store("memory://out", "me")
    record = run_job(job, commands(), store)
    assert record["state"] == "done" and store.record("v") == record
    assert record["video"] == "memory://in/v.txt"
    assert memory.cat_file("/out/jobs/v/count.txt") == b"4 letters\n"
    assert memory.cat_file("/out/jobs/v/track/mark.txt") == b"mark"
    assert is_same(job, store.record("v"), commands())
    memory.pipe_file("/in/v.txt", b"text")  # again, and so at another time
    assert not is_same(job, record, commands())
    again = run_job(job, commands(), store)
    assert again["digest"] == record["digest"] and again["seconds"] == record["seconds"]
    memory.pipe_file("/in/v.txt", b"te")
    assert run_job(job, commands(), store)["frames"] == 2
    assert not memory.exists("/out/jobs/v/track/3.txt")
    gone = Job("w", "memory://in/w.txt", (Step("track"),))
    with pytest.raises(InputError, match=r"memory://in/w\.txt: expected a file or folder"):
        run_job(gone, commands(), store)


def test_a_record_goes_before_the_files_it_is_about(memory, tmp_path, monkeypatch):
    memory.pipe_file("/in/v.txt", b"text")
    job, store = Job("v", "memory://in/v.txt", (Step("track"),)), open_store("memory://out", "me")
    run_job(job, commands(), store)
    memory.pipe_file("/in/v.txt", b"other")
    monkeypatch.setattr(type(memory), "put_file", _fails)
    with pytest.raises(OSError, match="cannot be written"):
        run_job(job, commands(), store)
    assert store.record("v") is None
    monkeypatch.undo()
    assert run_job(job, commands(), store)["frames"] == 5


def _fails(*_: object, **__: object) -> None:
    raise OSError("the line is dead")


def test_marks_elsewhere_are_told_by_what_they_are(memory, tmp_path):
    from chromatrack.cli.batch_commands import batch_commands

    memory.pipe_file("/in/b.csv", b"id,frame,x,y,width,height\n")
    path = tmp_path / "jobs.csv"
    path.write_text("video,marks\nmemory://in/a.mp4,memory://in/b.csv;memory://in/m.png@4\n")
    [job] = read_manifest(path, batch_commands()).jobs
    assert job.name == "a" and job.video == "memory://in/a.mp4"
    marks = {"marks": ["memory://in/b.csv"], "masks": ["memory://in/m.png@4"]}
    assert job.steps[0].options == marks


def test_a_batch_killed_over_a_store_by_url_ends_as_one_here(tmp_path):
    jobs = write_jobs(tmp_path / "in", 16, command="track+count", seconds=0.3)
    begin = drive_in_fork(jobs, f"file://{tmp_path / 'out'}", retries=9)
    kill_at_random(lambda: Fork(begin), kills=4, seed=3, longest_seconds=0.8)
    drive(jobs, tmp_path / "calm")
    assert contents(tmp_path / "out") == contents(tmp_path / "calm")
    assert {row["state"] for row in table(tmp_path / "out").values()} == {"done"}
    assert not list((tmp_path / "out/.batch/claims").glob("*"))


def test_what_is_missing_for_a_url_is_named(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no file system for it"):
        open_store("nothing://bucket", "me")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(InputError, match=r"pip install 'chromatrack\[cloud\]'"):
        open_store("s3://bucket", "me")


DRIVER = """
import sys, pathlib
from quick_commands import drive
drive(pathlib.Path(sys.argv[1]), sys.argv[2])
"""


@pytest.mark.slow
def test_a_batch_on_s3(tmp_path, monkeypatch):
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        paths = [*map(str, (Path(__file__).parent, Path(__file__).parents[1])), *sys.path]
        environment = os.environ | {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
            "PYTHONPATH": os.pathsep.join(paths),
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        fs = fsspec.filesystem("s3", skip_instance_cache=True)
        fs.mkdir("bucket")
        for number in range(5):
            fs.pipe_file(f"bucket/in/v{number}.txt", f"text {number}".encode())
        fs.pipe_file("bucket/in/v3.txt", b"broken")
        fs.pipe_file("bucket/in/m.txt", b"mark")
        row = {"mark": "s3://bucket/in/m.txt", "command": "track+count"}
        rows = [row | {"video": f"s3://bucket/in/v{n}.txt"} for n in range(5)]
        jobs = tmp_path / "jobs.jsonl"
        jobs.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        for _ in range(2):
            words = [sys.executable, "-c", DRIVER, str(jobs), "s3://bucket/out"]
            done = subprocess.run(words, env=environment, timeout=120, check=False)
            assert done.returncode == 0
        fs.get("bucket/out/", f"{tmp_path}/out/", recursive=True)
        states = [row["state"] for row in table(tmp_path / "out").values()]
        assert states == ["done", "done", "done", "failed", "done"]
        assert (tmp_path / "out/jobs/v0/count.txt").read_text() == "6 letters\n"
        assert (tmp_path / "out/report.html").exists()
    finally:
        server.stop()


def test_a_manifest_elsewhere_says_what_lies_beside_it(memory, tmp_path):
    memory.pipe_file("/bucket/day/jobs.csv", b"video,size\nclip.mp4,1\n../b.mp4,2\n")
    memory.pipe_file("/bucket/day/jobs.jsonl", b'{"video": "s3://other/c.mp4"}\n')
    read = read_manifest("memory://bucket/day/jobs.csv", commands())
    assert [job.video for job in read.jobs] == [
        "memory://bucket/day/clip.mp4",
        "memory://bucket/b.mp4",
    ]
    assert [job.place for job in read.jobs] == ["jobs.csv line 2", "jobs.csv line 3"]
    read = read_manifest("memory://bucket/day/jobs.jsonl", commands())
    assert [job.video for job in read.jobs] == ["s3://other/c.mp4"]
    with pytest.raises(InputError, match=r"memory://bucket/none\.csv: cannot be read"):
        read_manifest("memory://bucket/none.csv", commands())
    with pytest.raises(InputError, match=r"expected a \.csv or \.jsonl file"):
        read_manifest("memory://bucket/day", commands())
