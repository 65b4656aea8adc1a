"""The files that a job reads: found, compared with those of an earlier run, and digested."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from chromatrack.json_text import json_text
from chromatrack.runs.digests import file_sha256

Row = Mapping[str, Any]
"""Of a file: path, size (bytes), mtime_ns, and sha256 where it was read; None where it is not."""


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

    def files(self) -> Iterator[tuple[str, str, Path]]:
        """(what for, name, file) of every file; the name has the `@FRAME`, not the folder."""
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
        own = {str(path) for path in self._paths()}
        folders = [Path(path) for path, _ in map(split_frame, self._texts()) if Path(path).is_dir()]
        for gone in (Path(path) for path in before if not os.path.lexists(path)):
            if any(folder in gone.parents for folder in folders):
                return False
        there = [path for path in before if os.path.lexists(path)]
        return own <= set(before) and all(_is_as(Path(path), before[path]) for path in there)

    def read(self, more: Iterable[Path], known: Sequence[Row]) -> Read:
        """Digest the files and `more`; those that are as in `known` rows are not read again."""
        before = {row["path"]: row for row in known}
        rows: dict[Path, dict[str, Any]] = {}
        for path in [*self._paths(), *more]:
            if path not in rows:
                rows[path] = _digested(path, before.get(str(path)))
        contents = [[role, name, rows[path]["sha256"]] for role, name, path in self.files()]
        contents += [["model", "", rows[path]["sha256"]] for path in more]
        return Read(list(rows.values()), contents)

    def missing(self) -> list[str]:
        """What is named but not there."""
        return [
            text for _, text in self.named if not any(True for _ in _files_in(split_frame(text)[0]))
        ]

    def _texts(self) -> list[str]:
        return [text for _, text in self.named]

    def _paths(self) -> list[Path]:
        return list(dict.fromkeys(path for *_, path in self.files()))


def split_frame(text: str) -> tuple[str, str]:
    """Path and `@FRAME` of `M.png@12`; a path that is there is one as it is."""
    path, at, frame = text.rpartition("@")
    if not at or os.path.lexists(text):
        return text, ""
    return path, at + frame


def _files_in(text: str) -> Iterator[tuple[str, Path]]:
    """(name, file) of all that a path means; a file that is not there yields nothing."""
    path = Path(text)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        yield from ((file.relative_to(path).as_posix(), file) for file in files)
    elif path.exists():
        yield path.name, path
    elif any(sign in text for sign in "*?["):
        yield from ((Path(name).name, Path(name)) for name in sorted(glob(text)))  # noqa: PTH207


def _row(path: Path) -> dict[str, Any]:
    try:
        stat = path.stat()
    except OSError:
        return {"path": str(path), "size": None, "mtime_ns": None}
    return {"path": str(path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _is_as(path: Path, row: Row) -> bool:
    now = _row(path)
    return all(row.get(key) == now[key] for key in ("size", "mtime_ns"))


def _digested(path: Path, known: Row | None) -> dict[str, Any]:
    row = _row(path)
    if known is not None and known.get("sha256") and _is_as(path, known):
        return row | {"sha256": known["sha256"]}
    try:
        return row | {"sha256": file_sha256(path)}
    except OSError:
        return row | {"sha256": None}
