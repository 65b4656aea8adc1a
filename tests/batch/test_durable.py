"""A job's files are on disk before its folder is in place."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from chromatrack.batch.store import JOB_FILE, Store
from chromatrack.errors import OutputError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(str(tmp_path / "store"), "driver")
    found.make()
    found.begin()
    return found


def staged_job(folder: Path) -> None:
    (folder / "track" / "masks").mkdir(parents=True)
    (folder / "track" / "masks" / "0.png").write_bytes(b"mask")
    (folder / JOB_FILE).write_text("{}")


def test_all_is_forced_before_the_rename_and_the_name_after_it(store, monkeypatch):
    done: list[tuple[str, str]] = []
    names: dict[int, str] = {}
    opened, forced, renamed = os.open, os.fsync, Path.rename

    def open_(path, flags, *more):
        handle = opened(path, flags, *more)
        names[handle] = Path(path).name
        return handle

    def rename(path, target):
        done.append(("rename", Path(target).name))
        return renamed(path, target)

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "fsync", lambda h: (done.append(("force", names[h])), forced(h))[1])
    monkeypatch.setattr(Path, "rename", rename)
    with store.staged("cow", "d" * 64) as folder:
        staged_job(folder)
        store.publish("cow", folder, [JOB_FILE])
    there = done.index(("rename", "cow"))
    before = [name for what, name in done[:there] if what == "force"]
    assert set(before) >= {"0.png", "masks", "track", JOB_FILE}
    assert ("force", "jobs") in done[there:]


def test_a_broken_disk_is_no_done_job(store, monkeypatch):
    def broken(handle):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with (
        pytest.raises(OutputError, match="Input/output error"),
        store.staged("cow", "d" * 64) as folder,
    ):
        staged_job(folder)
        store.publish("cow", folder, [JOB_FILE])
    assert store.names("jobs") == []


def test_a_file_system_that_cannot_force_is_no_fault(store, monkeypatch):
    def cannot(handle):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", cannot)
    with store.staged("cow", "d" * 64) as folder:
        staged_job(folder)
        store.publish("cow", folder, [JOB_FILE])
    assert store.names("jobs") == ["cow"]
