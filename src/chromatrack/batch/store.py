"""A folder of jobs' outputs, each there whole or not at all, and what became of the others.

    STORE/jobs/NAME/        what a job wrote, and job.json, its record
    STORE/index.csv, report.html
    STORE/.batch/           store.json, failed/NAME.json, claims/, drivers/, work/, left/

A job's folder is prepared in work/ and put in place by one rename, so the record in it is the proof
that it is done. Nothing else says so: whatever dies whenever, what is not in place is done again.
Files are forced to disk before the rename, so power loss is no other matter.

What is prepared is called `NAME.DIGEST.xxxx`, by the digest of all that the job is made of. What
dead or stopped workers were preparing is moved to left/, as `NAME.DIGEST`; the next to begin that
very job takes it up by one rename, so that nobody else can.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from chromatrack.atomic import replace_file, unwritable
from chromatrack.batch.durable import force_entries, force_folder
from chromatrack.batch.remote import is_remote
from chromatrack.errors import InputError, OutputError
from chromatrack.json_text import json_text

SCHEMA_VERSION = 1
"""Of records; raised when a key changes its meaning or goes, which makes all jobs anew."""

JOB_FILE = "job.json"
JOBS, INSIDE, MARK, LEFT = "jobs", ".batch", "store.json", "left"
_DIGEST = 16
"""Letters of a digest in the name of a folder."""
_FOLDERS = ("failed", "claims", "drivers", "work", LEFT)
LONGEST_NAME = 150
"""Bytes of a job's name: it is the name of a folder, with more added to it at times."""


@dataclass(frozen=True)
class Store:
    """A store on a local file system.

    path: its folder. driver: whose work it is, the name of a folder in work/.
    """

    path: str
    driver: str

    def make(self) -> None:
        """Make it, unless it is there.

        Raises:
            InputError: something else is there. OutputError: it cannot be written.
        """
        root = Path(self.path)
        if root.exists() and not root.is_dir():
            raise InputError(f"{root}: is a file; expected the name of a folder, a store of jobs")
        if not self._file(*self.inside(MARK)).is_file():
            if root.exists() and any(root.iterdir()):
                raise InputError(
                    f"{root}: holds something already, and not from `chromatrack batch`; choose "
                    "another folder, or remove it first"
                )
            self.mark()
        try:
            for names in ((JOBS,), *(self.inside(name) for name in _FOLDERS)):
                self._file(*names).mkdir(exist_ok=True)
        except OSError as error:
            raise unwritable(root, error) from error

    def mark(self) -> None:
        """Say whose folder it is."""
        text = json_text({"command": "batch"}) + "\n"
        if is_remote(self.path):
            self.put(text, *self.inside(MARK))
        else:
            replace_file(self._file(*self.inside(MARK)), text)

    def inside(self, *names: str) -> tuple[str, ...]:
        """Where a file of the store's own is."""
        return INSIDE, *names

    @property
    def name(self) -> str:
        """What to call it."""
        return self.path.rstrip("/").rpartition("/")[2] or self.path

    @property
    def work(self) -> Path:
        """Where this driver's jobs are prepared."""
        return self._file(*self.inside("work", self.driver))

    def _file(self, *names: str) -> Path:
        return Path(self.path).joinpath(*names)

    # -- small files -----------------------------------------------------------------------

    def begin(self) -> None:
        """Make the folder of this driver's work. Raises OutputError."""
        try:
            self.work.mkdir()
        except OSError as error:
            raise unwritable(self.work, error) from error

    def read_text(self, *names: str) -> str:
        """A small file; nothing where there is none."""
        try:
            return self._file(*names).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def put(self, content: bytes | str, *names: str) -> None:
        """Write a file whole, by a name that is of no other machine. Raises OutputError."""
        path = self._file(*names)
        if not self.work.is_dir():  # this driver's own name, before anything else of it
            replace_file(path, content)
            return
        temporary = self.work / f"{token_hex(8)}.tmp"
        replace_file(temporary, content)
        try:
            temporary.replace(path)
        except OSError as error:
            raise unwritable(path, error) from error

    def create(self, text: str, *names: str) -> bool:
        """Write a file unless it is there: of several who try, one succeeds. Raises OutputError."""
        path, mine = self._file(*names), self.work / f"{token_hex(8)}.tmp"
        try:
            mine.write_text(text, encoding="utf-8")
            return _is_first(mine, path)
        except OSError as error:
            raise unwritable(path, error) from error
        finally:
            with suppress(OSError):
                mine.unlink()

    def remove(self, *names: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            self._file(*names).unlink()

    def names(self, *names: str) -> list[str]:
        """What is in a folder."""
        return sorted(path.name for path in self._file(*names).iterdir())

    # -- records ---------------------------------------------------------------------------

    def told(self) -> set[str]:
        """Names of jobs of which there may be a record or a failure: one look at two folders."""
        failed = self.names(*self.inside("failed"))
        return {*self.names(JOBS), *(name.removesuffix(".json") for name in failed)}

    def record(self, name: str) -> dict[str, Any] | None:
        """What a job's folder says of it; None: it is not there."""
        return _as_record(self.read_text(JOBS, name, JOB_FILE))

    def failure(self, name: str) -> dict[str, Any] | None:
        """What is said of a job that failed when it was last tried."""
        return _as_record(self.read_text(*self.inside("failed", f"{name}.json")))

    def fail(self, name: str, record: dict[str, Any]) -> None:
        """Keep why a job failed. Raises OutputError."""
        self.put(json_text(record, indent=1) + "\n", *self.inside("failed", f"{name}.json"))

    def forgive(self, name: str) -> None:
        """Forget that a job failed."""
        self.remove(*self.inside("failed", f"{name}.json"))

    def amend(self, name: str, record: dict[str, Any]) -> None:
        """Write another record into a job's folder, such as where its files are now."""
        self.put(json_text(record, indent=1) + "\n", JOBS, name, JOB_FILE)

    # -- outputs ---------------------------------------------------------------------------

    @contextmanager
    def staged(self, name: str, digest: str) -> Iterator[Path]:
        """A folder to prepare a job's output in; it may hold what another left of the very job.

        It is gone at the end if it was not published, but for a worker that is stopped: then it is
        left to the next.
        """
        folder = self.work / f"{name}.{digest[:_DIGEST]}.{token_hex(4)}"
        if not self._take_up(name, digest, folder):
            try:
                folder.mkdir()  # not its parents: if they are gone, this driver is held to be dead
            except OSError as error:
                raise unwritable(folder, error) from error
        mark = folder.stat().st_ino
        try:
            yield folder
        except (KeyboardInterrupt, SystemExit):
            self._leave(folder)
            raise
        finally:
            with suppress(OSError):
                if folder.stat().st_ino == mark:
                    shutil.rmtree(folder, ignore_errors=True)

    def _take_up(self, name: str, digest: str, folder: Path) -> bool:
        """Make what a dead worker left of a job the folder of this one; what else it left goes."""
        for path in self.work.glob("*.*.*"):  # of a worker of this driver, which died
            if _staged_name(path) == (name, digest[:_DIGEST]):
                self._leave(path)
        wanted = self._file(*self.inside(LEFT, f"{name}.{digest[:_DIGEST]}"))
        for path in wanted.parent.glob("*"):
            if path != wanted and path.name.rpartition(".")[0] == name:
                shutil.rmtree(path, ignore_errors=True)
        try:
            wanted.rename(folder)
        except OSError:
            return False
        return True

    def _leave(self, folder: Path) -> None:
        """Keep a folder that was being prepared for the next to begin its job; empty ones go."""
        with suppress(OSError):
            if (named := _staged_name(folder)) is not None and any(folder.iterdir()):
                target = self._file(*self.inside(LEFT, ".".join(named)))
                shutil.rmtree(target, ignore_errors=True)  # an older one
                folder.rename(target)

    def forget_left(self, wanted: Collection[str]) -> None:
        """Remove what was left of jobs that nobody is to do any more; wanted: names of the others.

        What is not called as the store calls it is not the store's, and stays.
        """
        for path in self._file(*self.inside(LEFT)).iterdir():
            name, _, digest = path.name.rpartition(".")
            is_ours = len(digest) == _DIGEST and set(digest) <= set("0123456789abcdef")
            if is_ours and check_name(name) is None and path.is_dir() and name not in wanted:
                shutil.rmtree(path, ignore_errors=True)

    def publish(self, name: str, folder: Path, needed: Sequence[str]) -> None:
        """Put a staged folder in place of what is there; all of it is on disk before.

        Raises:
            OutputError: something needed is not in it, or it cannot be moved.
        """
        self.check_staged(folder, needed)
        target = self._file(JOBS, name)
        try:
            force_folder(folder)
        except OSError as error:
            raise unwritable(folder, error) from error
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
            try:
                force_entries(target.parent)
            except OSError as error:
                raise unwritable(target, error) from error
            shutil.rmtree(old, ignore_errors=True)
            return

    def check_staged(self, folder: Path, needed: Sequence[str]) -> None:
        """OutputError unless a staged folder has all that is needed."""
        for one in needed:
            if not (folder / one).exists():
                raise OutputError(f"{folder}: {one} is missing; was the store cleared meanwhile?")

    def output(self, name: str, inside: str) -> Path | None:
        """A file of a job, to be read here; None where there is none."""
        path = self._file(JOBS, name, inside)
        return path if path.exists() else None

    def works(self) -> list[str]:
        """Drivers that have a folder of work, and names of folders that are being removed."""
        return self.names(*self.inside("work"))

    def clear(self, drivers: Iterable[str]) -> None:
        """Leave what drivers that died were preparing to the next, and remove their folders.

        Their folder is renamed first: a worker that outlived its driver for a moment finds no place
        to put its job from, so nothing half removed can get among the jobs.
        """
        for driver in drivers:
            folder = self._file(*self.inside("work", driver))
            gone = folder.with_name(f"{driver}.{token_hex(4)}.gone")
            with suppress(OSError):
                folder.rename(gone)
                for staged in gone.iterdir():
                    self._leave(staged)
        for gone in self._file(*self.inside("work")).glob("*.gone"):
            shutil.rmtree(gone, ignore_errors=True)

    def close(self) -> None:
        """Remove this driver's folder of work; what is half prepared in it is left to the next."""
        with suppress(OSError):
            for staged in self.work.iterdir():
                self._leave(staged)
        shutil.rmtree(self.work, ignore_errors=True)


def check_name(name: str) -> str | None:
    """What is wrong with the name of a job, which is to be that of a folder; None: nothing."""
    what = "a name for a folder, no / or : in it, no dot at its ends"
    if not name or name.strip(". ") != name or any(sign in name for sign in '/\\:*?"<>|\n\r\t\0'):
        return f"job: expected {what}, got {name!r}"
    if len(os.fsencode(name)) > LONGEST_NAME:
        return f"job: expected at most {LONGEST_NAME} bytes, got {len(os.fsencode(name))}"
    return None


def _staged_name(folder: Path) -> tuple[str, str] | None:
    """The job and digest of a folder that is being prepared."""
    name, _, rest = folder.name.rpartition(".")
    name, _, digest = name.rpartition(".")
    is_one = name and rest != "old" and len(digest) == _DIGEST and folder.is_dir()
    return (name, digest) if is_one else None


def _as_record(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("schema_version") != SCHEMA_VERSION:
        return None
    return found


def _is_first(mine: Path, path: Path) -> bool:
    """Give a file its name if that is free."""
    try:
        os.link(mine, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(mine.read_text(encoding="utf-8"))
        except FileExistsError:
            return False
    return True
