"""Outputs put in place whole: killed at every step, two processes at once, what is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chromatrack.errors import InputError, OutputError
from chromatrack.runs import output_lock as locks
from chromatrack.runs.output_lock import hidden, output_lock
from chromatrack.runs.staging import Staging, settle

SOURCES = Path(__file__).resolve().parents[2] / "src"

OLD = {"result.json": "old", "tracks.csv": "old", "masks/0.png": "old", "masks/1.png": "old"}
NEW = {"result.json": "new", "boxes.csv": "new", "masks/0.png": "new", "marks/0.png": "new"}
AFTER = NEW | {"masks/1.png": "old", "notes.txt": "mine"}  # tracks.csv is removed
BEFORE = OLD | {"notes.txt": "mine"}

REPLACE = """
import os, sys
from pathlib import Path
from chromatrack.runs.staging import Staging
out, steps = Path(sys.argv[1]), int(sys.argv[2])
def counted(of):
    def call(*arguments, **options):
        global steps
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), 9)
        return of(*arguments, **options)
    return call
def write(files, folder):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
with Staging(out) as stage:
    write({NEW}, stage.path)
    for name in ("replace", "unlink", "rmdir", "write_bytes"):
        setattr(Path, name, counted(getattr(Path, name)))
    stage.put_in_place(last=stage.path / "result.json", removed=[out / "tracks.csv"])
"""


def write(files: dict[str, str], folder: Path) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def contents(folder: Path) -> dict[str, str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
    )


def test_killed_at_every_step_of_the_swap_it_is_the_old_or_the_new_run(tmp_path):
    """kill -9 before the 1st, 2nd, ... change of the disk; the next that opens it ends the swap."""
    found, code, steps = [], REPLACE.replace("{NEW}", repr(NEW)), 0
    while True:
        out = tmp_path / f"kill{steps}" / "out"
        write(BEFORE, out)
        code_of = python(code, out, steps).wait(timeout=60)
        raw = contents(out)
        if "result.json" in raw and code_of:  # what it says is there is there, also before that
            assert raw == BEFORE or raw.items() >= NEW.items()
        settle(out)
        assert contents(out) in (BEFORE, AFTER)
        found.append(contents(out) == AFTER)
        with Staging(out):
            assert [path.name for path in out.parent.glob(".*")] != []
        assert [path.name for path in out.parent.iterdir()] == ["out"]
        if code_of == 0:
            break
        assert code_of == -signal.SIGKILL
        steps += 1
    assert steps >= 6 and found == sorted(found) and found[0] is False and found[-1] is True


def test_a_new_folder_comes_into_being_by_one_rename(tmp_path, monkeypatch):
    out, renamed = tmp_path / "deep" / "out", []
    real = Path.replace
    monkeypatch.setattr(Path, "replace", lambda a, b: (renamed.append(Path(b)), real(a, b))[1])
    with Staging(out) as stage:
        write(NEW, stage.path)
        assert not out.exists()
        stage.put_in_place(last=stage.path / "result.json")
    assert contents(out) == NEW and [p for p in renamed if out in (p, *p.parents)] == [out]


def test_without_putting_in_place_nothing_changes(tmp_path):
    out = tmp_path / "out"
    write(BEFORE, out)
    with pytest.raises(OutputError) as caught, Staging(out) as stage:
        write(NEW, stage.path)
        raise OutputError(f"{stage.path / 'masks/0.png'}: cannot be written")
    assert str(caught.value) == f"{out}/masks/0.png: cannot be written"  # the user's own name
    assert contents(tmp_path) == {f"out/{name}": text for name, text in BEFORE.items()}


def test_files_beside_the_output_go_with_it(tmp_path):
    video = tmp_path / "c.mp4"
    write({"c.mp4": "old", "c.mp4.json": "old", "d.mp4": "mine"}, tmp_path)
    with Staging(video) as stage:
        stage.path.write_text("new")
        beside = stage.path.with_name("c.mp4.json")
        beside.write_text("new")
        stage.put_in_place(last=beside)
    assert contents(tmp_path) == {"c.mp4": "new", "c.mp4.json": "new", "d.mp4": "mine"}


def test_links_are_followed_and_stay(tmp_path):
    write(BEFORE, tmp_path / "there")
    (tmp_path / "out").symlink_to("there")
    with Staging(tmp_path / "out") as stage:
        write(NEW, stage.path)
        stage.put_in_place(last=stage.path / "result.json", removed=[tmp_path / "out/tracks.csv"])
    assert (tmp_path / "out").is_symlink() and contents(tmp_path / "there") == AFTER


def test_where_nothing_can_be_written_beside_all_is_done_inside(tmp_path, monkeypatch):
    out = tmp_path / "out"
    write(BEFORE, out)
    monkeypatch.setattr("os.path.ismount", lambda path: Path(path) == out)
    with Staging(out) as stage:
        assert out in stage.path.parents and list(tmp_path.iterdir()) == [out]
        write(NEW, stage.path)
        stage.put_in_place(last=stage.path / "result.json", removed=[out / "tracks.csv"])
    assert contents(out) == AFTER


def test_a_root_has_no_name():
    with pytest.raises(InputError, match="expected the name of an output"):
        Staging("/")


# -- two at once -----------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from chromatrack.runs.output_lock import output_lock
with output_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_of_the_first_and_a_dead_one_holds_nothing(tmp_path):
    out = tmp_path / "out"
    holder = python(HOLD, out)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    today = time.strftime("%Y-%m-%d")
    said = rf"out: is being written by process {holder.pid} \(since {today} [0-9:]{{8}}\)"
    with pytest.raises(OutputError, match=said), output_lock(out):
        pass
    with pytest.raises(OutputError, match=said), Staging(tmp_path / "." / "out"):
        pass
    began = time.monotonic()
    with pytest.raises(OutputError), output_lock(out, wait_seconds=0.3):
        pass
    assert 0.3 <= time.monotonic() - began < 5
    holder.kill()
    holder.wait(timeout=30)
    with output_lock(out):
        assert json.loads(hidden(out, "lock").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_locks_of_dead_processes_are_cleared_by_whoever_writes_beside_them(tmp_path):
    holder, other = python(HOLD, tmp_path / "alive"), python(HOLD, tmp_path / "dead")
    for process in (holder, other):
        assert process.stdout is not None and process.stdout.readline() == "held\n"
    other.kill()
    other.wait(timeout=30)
    kept = {"notes.chromatrack-lock.txt": "mine", ".x.chromatrack-lock": "link"}
    (tmp_path / "notes.chromatrack-lock.txt").write_text("mine")
    (tmp_path / ".x.chromatrack-lock").symlink_to("notes.chromatrack-lock.txt")
    (tmp_path / ".folder.chromatrack-lock").mkdir()
    assert hidden(tmp_path / "dead", "lock").exists()
    with output_lock(tmp_path / "out"), output_lock(tmp_path / "second"):
        assert hidden(tmp_path / "out", "lock").exists()
        assert not hidden(tmp_path / "dead", "lock").exists()
        with pytest.raises(OutputError), output_lock(tmp_path / "alive"):
            pass
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {*kept, ".alive.chromatrack-lock", ".folder.chromatrack-lock"}
    holder.kill()
    holder.wait(timeout=30)


def test_one_process_cannot_have_an_output_twice_either(tmp_path):
    with (
        output_lock(tmp_path / "out"),
        pytest.raises(OutputError, match="is being written by process"),
        output_lock(tmp_path / "out"),
    ):
        pass


def test_where_there_are_no_locks_all_works_without(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    write(BEFORE, tmp_path / "out")
    with Staging(tmp_path / "out") as stage:
        write(NEW, stage.path)
        stage.put_in_place(removed=[tmp_path / "out/tracks.csv"])
    assert contents(tmp_path / "out") == AFTER


def test_a_long_name_has_room_for_its_lock(tmp_path):
    for name in ("x" * 255, "ü" * 127):
        with output_lock(tmp_path / name):
            assert len(list(tmp_path.iterdir())) == 1
