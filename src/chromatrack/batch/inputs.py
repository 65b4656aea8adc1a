"""The files that a job reads: found, compared with those of an earlier run, and digested."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from chromatrack.batch.remote import fetch_all, files_at, is_remote, stamp_of
from chromatrack.errors import InputError
from chromatrack.json_text import json_text
from chromatrack.runs.digests import file_sha256

Row = Mapping[str, Any]
"""Of a file: path, size in bytes (None: it is not there), mtime_ns (elsewhere: mark), and sha256
where it was read."""


def digest_of(value: object) -> str:
    """SHA-256 of a value as JSON, 64 hex digits."""
    return hashlib.sha256(json_text(value).encode()).hexdigest()


@dataclass(frozen=True)
class Read:
    """Files that were read. rows: to know them again. contents: what of them results depend on."""

    rows: list[dict[str, Any]]
    contents: list[list[Any]]


@dataclass(frozen=True)
class Inputs:
    """What a job names: (what for, path), a file, folder or pattern, maybe `@FRAME` behind."""

    named: tuple[tuple[str, str], ...]

    def files(self) -> Iterator[tuple[str, str, str]]:
        """(what for, name, path) of every file; the name has the `@FRAME`, not the folder."""
        for role, text in self.named:
            path, at = split_frame(text)
            for name, file in _files_in(path):
                yield role, name + at, file

    def seen(self) -> list[dict[str, Any]]:
        """A row per file, unread."""
        return [_row(path) for path in self._paths()]

    def are_as(self, rows: Sequence[Row]) -> bool:
        """Whether the files are those of the rows, as size and time tell; nothing is read.

        Rows may be of more files, such as weights: those must be the same as well. What is gone
        altogether, such as a video that was moved away once it was tracked, is no change; a picture
        taken out of a folder is one.
        """
        before = {row["path"]: row for row in rows}
        own = set(self._paths())
        folders = [Path(path) for path, _ in map(split_frame, self._texts()) if Path(path).is_dir()]
        now = {path: _row(path) for path in before}
        for gone in (Path(path) for path, row in now.items() if row["size"] is None):
            if any(folder in gone.parents for folder in folders):
                return False
        there = [path for path, row in now.items() if row["size"] is not None]
        return own <= set(before) and all(_is_as(now[path], before[path]) for path in there)

    def read(self, more: Iterable[Path], known: Sequence[Row], here: Mapping[str, str]) -> Read:
        """Digest the files and `more`; those that are as in `known` rows are not read again.

        Args:
            here: {URL: copy of it here}, of all files that are elsewhere.
        """
        before = {row["path"]: row for row in known}
        rows: dict[str, dict[str, Any]] = {}
        models = [str(path) for path in more]
        for path in [*self._paths(), *models]:
            if path not in rows:
                rows[path] = _digested(path, before.get(path), here.get(path, path))
        contents = [[role, name, rows[path]["sha256"]] for role, name, path in self.files()]
        contents += [["model", "", rows[path]["sha256"]] for path in models]
        return Read(list(rows.values()), contents)

    def copied(self, folder: Path) -> dict[str, str]:
        """Copy all that is elsewhere into a folder here: {what is named: where that is now}.

        Raises:
            InputError: something is not there.
        """
        found = {}
        for number, (_, text) in enumerate(self.named):
            path, at = split_frame(text)
            if is_remote(path) and text not in found:
                found[text] = f"{fetch_all(path, folder / str(number))}{at}"
        return found

    def missing(self) -> list[str]:
        """What is named but not there."""
        return [
            text for _, text in self.named if not any(True for _ in _files_in(split_frame(text)[0]))
        ]

    def _texts(self) -> list[str]:
        return [text for _, text in self.named]

    def _paths(self) -> list[str]:
        return list(dict.fromkeys(path for *_, path in self.files()))


def split_frame(text: str) -> tuple[str, str]:
    """Path and `@FRAME` of `M.png@12`; a path that is there is one as it is."""
    path, at, frame = text.rpartition("@")
    if not at or os.path.lexists(text):
        return text, ""
    return path, at + frame


def copied_files(copies: Mapping[str, str]) -> dict[str, str]:
    """{URL of a file: copy of it here}, of files and all files in folders that were copied."""
    found = {}
    for text, copy in copies.items():
        (url, _), (here, _) = split_frame(text), split_frame(copy)
        for name, file in files_at(url):
            found[file] = here if file == url else str(Path(here) / name)
    return found


def _files_in(text: str) -> Iterator[tuple[str, str]]:
    """(name, path) of all that a path means; a file that is not there yields nothing."""
    path = Path(text)
    if is_remote(text):
        yield from files_at(text)
    elif path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        yield from ((file.relative_to(path).as_posix(), str(file)) for file in files)
    elif path.exists():
        yield path.name, text
    elif any(sign in text for sign in "*?["):
        yield from ((Path(name).name, name) for name in sorted(glob(text)))  # noqa: PTH207


def _row(path: str) -> dict[str, Any]:
    try:
        if is_remote(path):
            size, mark = stamp_of(path)
            return {"path": path, "size": size, "mark": mark}
        stat = Path(path).stat()
    except (OSError, InputError):
        return {"path": path, "size": None, "mtime_ns": None}
    return {"path": path, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _is_as(now: Row, before: Row) -> bool:
    return all(before.get(key) == now.get(key) for key in ("size", "mtime_ns", "mark"))


def _digested(path: str, known: Row | None, here: str) -> dict[str, Any]:
    row = _row(path)
    if known is not None and known.get("sha256") and _is_as(row, known):
        return row | {"sha256": known["sha256"]}
    try:
        return row | {"sha256": file_sha256(Path(here))}
    except OSError:
        return row | {"sha256": None}
