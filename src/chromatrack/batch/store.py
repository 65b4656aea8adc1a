"""A folder of jobs' outputs, each there whole or not at all, and what became of the others.

    STORE/jobs/NAME/        what a job wrote, and job.json, its record
    STORE/index.csv, report.html
    STORE/.batch/           store.json, failed/NAME.json, claims/, drivers/, work/

A job's folder is prepared in work/ and put in place by one rename, so the record in it is the proof
that it is done. Nothing else says so: whatever dies whenever, what is not in place is done again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from chromatrack.atomic import replace_file, unwritable
from chromatrack.errors import InputError, OutputError
from chromatrack.json_text import json_text

SCHEMA_VERSION = 1
"""Of records; raised when a key changes its meaning or goes, which makes all jobs anew."""

JOB_FILE = "job.json"
JOBS, INSIDE, MARK = "jobs", ".batch", "store.json"
LONGEST_NAME = 150
"""Bytes of a job's name: it is the name of a folder, with more added to it at times."""


@dataclass(frozen=True)
class Store:
    """A store on a local file system. driver: whose work it is, the name of a folder in work/."""

    path: Path
    driver: str

    @classmethod
    def open(cls, path: Path, driver: str) -> Store:
        """Make or find a store.

        Raises:
            InputError: something else is there. OutputError: it cannot be written.
        """
        store = cls(path, driver)
        if path.exists() and not path.is_dir():
            raise InputError(f"{path}: is a file; expected the name of a folder, a store of jobs")
        if not is_store(path):
            if path.exists() and any(path.iterdir()):
                raise InputError(
                    f"{path}: holds something already, and not from `chromatrack batch`; choose "
                    "another folder, or remove it first"
                )
            replace_file(store.inside(MARK), json_text({"command": "batch"}) + "\n")
        try:
            for folder in (path / JOBS, store.inside("failed"), store.inside("claims")):
                folder.mkdir(exist_ok=True)
            for folder in (store.inside("drivers"), store.inside("work")):
                folder.mkdir(exist_ok=True)
        except OSError as error:
            raise unwritable(path, error) from error
        return store

    def inside(self, *names: str) -> Path:
        """A file of the store's own."""
        return self.path.joinpath(INSIDE, *names)

    @property
    def work(self) -> Path:
        """Where this driver's jobs are prepared."""
        return self.inside("work", self.driver)

    def folder(self, name: str) -> Path:
        """Where a job's output is."""
        return self.path / JOBS / name

    # -- records ---------------------------------------------------------------------------

    def told(self) -> set[str]:
        """Names of jobs of which there may be a record or a failure: one look at two folders."""
        done = {path.name for path in (self.path / JOBS).iterdir()}
        return done | {path.stem for path in self.inside("failed").iterdir()}

    def record(self, name: str) -> dict[str, Any] | None:
        """What a job's folder says of it; None: it is not there."""
        return _read_record(self.folder(name) / JOB_FILE)

    def failure(self, name: str) -> dict[str, Any] | None:
        """What is said of a job that failed when it was last tried."""
        return _read_record(self.inside("failed", f"{name}.json"))

    def fail(self, name: str, record: dict[str, Any]) -> None:
        """Keep why a job failed. Raises OutputError."""
        self.write(self.inside("failed", f"{name}.json"), json_text(record, indent=1) + "\n")

    def forgive(self, name: str) -> None:
        """Forget that a job failed."""
        with suppress(FileNotFoundError):
            self.inside("failed", f"{name}.json").unlink()

    def amend(self, name: str, record: dict[str, Any]) -> None:
        """Write another record into a job's folder, such as where its files are now."""
        self.write(self.folder(name) / JOB_FILE, json_text(record, indent=1) + "\n")

    def write(self, path: Path, content: bytes | str) -> None:
        """Write a file whole, by a name that is of no other machine. Raises OutputError."""
        temporary = self.work / f"{token_hex(8)}.tmp"
        replace_file(temporary, content)
        try:
            temporary.replace(path)
        except OSError as error:
            raise unwritable(path, error) from error

    # -- outputs ---------------------------------------------------------------------------

    @contextmanager
    def staged(self, name: str) -> Iterator[Path]:
        """A folder to prepare a job's output in; gone at the end if it was not published."""
        folder = self.work / f"{name}.{token_hex(4)}"
        try:
            folder.mkdir()  # not its parents: if they are gone, this driver is held to be dead
        except OSError as error:
            raise unwritable(folder, error) from error
        mark = folder.stat().st_ino
        try:
            yield folder
        finally:
            with suppress(OSError):
                if folder.stat().st_ino == mark:
                    shutil.rmtree(folder, ignore_errors=True)

    def publish(self, name: str, folder: Path, needed: Sequence[str]) -> None:
        """Put a staged folder in place of what is there.

        Raises:
            OutputError: something needed is not in it, or it cannot be moved.
        """
        for one in needed:
            if not (folder / one).exists():
                raise OutputError(f"{folder}: {one} is missing; was the store cleared meanwhile?")
        target = self.folder(name)
        for attempt in range(5):
            old = self.work / f"{name}.{token_hex(4)}.old"
            try:
                with suppress(FileNotFoundError):
                    target.rename(old)
                folder.rename(target)
            except OSError as error:
                if folder.exists() and attempt < 4:  # another put its own there meanwhile
                    continue
                raise unwritable(target, error) from error
            shutil.rmtree(old, ignore_errors=True)
            return

    def clear(self, drivers: Iterable[str]) -> None:
        """Remove what drivers that died were preparing.

        Their folder is renamed first: a worker that outlived its driver for a moment finds no place
        to put its job from, so nothing half removed can get among the jobs.
        """
        for driver in drivers:
            folder = self.inside("work", driver)
            gone = folder.with_name(f"{driver}.{token_hex(4)}.gone")
            with suppress(OSError):
                folder.rename(gone)
        for gone in self.inside("work").glob("*.gone"):
            shutil.rmtree(gone, ignore_errors=True)

    def close(self) -> None:
        """Remove this driver's folder of work."""
        shutil.rmtree(self.work, ignore_errors=True)


def is_store(path: Path) -> bool:
    """Whether `chromatrack batch` made a folder."""
    return (path / INSIDE / MARK).is_file()


def check_name(name: str) -> str | None:
    """What is wrong with the name of a job, which is to be that of a folder; None: nothing."""
    what = "a name for a folder, no / or : in it, no dot at its ends"
    if not name or name.strip(". ") != name or any(sign in name for sign in '/\\:*?"<>|\n\r\t\0'):
        return f"job: expected {what}, got {name!r}"
    if len(os.fsencode(name)) > LONGEST_NAME:
        return f"job: expected at most {LONGEST_NAME} bytes, got {len(os.fsencode(name))}"
    return None


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("schema_version") != SCHEMA_VERSION:
        return None
    return found
