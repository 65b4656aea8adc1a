"""A store on a file system that fsspec knows: as a local one, but for how a job is put in place.

There are no renames of folders there. A job's files are written first and its record last, and when
it is done again the old record goes first: what has a record is whole.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from chromatrack.batch.remote import as_output_error, fetch_all, file_system
from chromatrack.batch.store import JOB_FILE, JOBS, MARK, Store
from chromatrack.errors import InputError, OutputError


@dataclass(frozen=True)
class CloudStore(Store):
    """A store at a URL."""

    def __getstate__(self) -> dict[str, Any]:
        """Without connections: each process makes its own."""
        return {"path": self.path, "driver": self.driver}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As it was sent."""
        for name, value in state.items():
            object.__setattr__(self, name, value)

    @cached_property
    def _place(self) -> tuple[Any, str]:
        fs, root = file_system(self.path)
        return fs, root.rstrip("/")

    def _at(self, *names: str) -> str:
        return "/".join([self._place[1], *names])

    # -- small files -----------------------------------------------------------------------

    def make(self) -> None:
        """See `Store.make`."""
        if self.read_text(*self.inside(MARK)):
            return
        if self.names():
            raise InputError(
                f"{self.path}: holds something already, and not from `chromatrack batch`; choose "
                "another folder, or remove it first"
            )
        self.mark()

    def begin(self) -> None:
        """Nothing is prepared there."""

    def read_text(self, *names: str) -> str:
        """See `Store.read_text`."""
        try:
            return self._place[0].cat_file(self._at(*names)).decode()
        except (OSError, UnicodeDecodeError):
            return ""

    def put(self, content: bytes | str, *names: str) -> None:
        """See `Store.put`: objects are there whole or not at all."""
        content = content.encode() if isinstance(content, str) else content
        fs, path = self._place[0], self._at(*names)
        with as_output_error(path):
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            fs.pipe_file(path, content)

    def create(self, text: str, *names: str) -> bool:
        """See `Store.create`."""
        fs, path = self._place[0], self._at(*names)
        try:
            with as_output_error(path):
                fs.makedirs(path.rpartition("/")[0], exist_ok=True)
                fs.pipe_file(path, text.encode(), mode="create")
        except OutputError as error:
            if isinstance(error.__cause__, FileExistsError):
                return False
            raise
        return True

    def remove(self, *names: str) -> None:
        """See `Store.remove`."""
        with suppress(FileNotFoundError):
            self._place[0].rm_file(self._at(*names))

    def names(self, *names: str) -> list[str]:
        """See `Store.names`."""
        try:
            found = self._place[0].ls(self._at(*names), detail=False)
        except FileNotFoundError:
            return []
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    # -- outputs ---------------------------------------------------------------------------

    @contextmanager
    def staged(self, name: str, digest: str) -> Iterator[Path]:
        """A folder here to prepare a job's output in; nothing is left in it for others."""
        with tempfile.TemporaryDirectory(prefix="chromatrack-") as home:
            folder = Path(home) / name
            folder.mkdir()
            yield folder

    def forget_left(self, wanted: Collection[str]) -> None:
        """Nothing is left there."""

    def publish(self, name: str, folder: Path, needed: Sequence[str]) -> None:
        """See `Store.publish`."""
        self.check_staged(folder, needed)
        fs, target = self._place[0], self._at(JOBS, name)
        self.remove(JOBS, name, JOB_FILE)
        with as_output_error(target):
            with suppress(FileNotFoundError):
                fs.rm(target, recursive=True)
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                inside = path.relative_to(folder).as_posix()
                if inside != JOB_FILE:
                    fs.makedirs(f"{target}/{inside}".rpartition("/")[0], exist_ok=True)
                    fs.put_file(str(path), f"{target}/{inside}")
        self.put((folder / JOB_FILE).read_bytes(), JOBS, name, JOB_FILE)

    def output(self, name: str, inside: str) -> Path | None:
        """A copy here of a file of a job; None where there is none."""
        home = Path(tempfile.gettempdir()) / f"chromatrack-{self.driver}"
        try:
            return fetch_all(f"{self.path.rstrip('/')}/{JOBS}/{name}/{inside}", home / name)
        except InputError:
            return None

    def clear(self, drivers: Iterable[str]) -> None:
        """Nothing was prepared there."""

    def works(self) -> list[str]:
        """Nobody prepares anything there."""
        return []

    def close(self) -> None:
        """Remove the copies that were made here."""
        home = Path(tempfile.gettempdir()) / f"chromatrack-{self.driver}"
        shutil.rmtree(home, ignore_errors=True)
