"""Where projects are: beside their video, or in the studio's own folder; and the recent ones."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chromatrack.atomic import replace_file
from chromatrack.errors import InputError, OutputError
from chromatrack.json_text import json_text
from chromatrack.runs.file_names import RESULT, is_run
from chromatrack.studio.covers import cover
from chromatrack.studio.store import FOLDER, STUDIO, is_project

_MOST_RECENT = 12
_RECENT = "recent.json"


class Library:
    """The studio's own folder: uploads, the demo, and the list of recent projects."""

    def __init__(self, home: Path) -> None:
        """home: made when it is first needed."""
        self.home = home

    def project_folder(self, video: Path) -> Path:
        """Where the project of a video goes: beside it if that can be, else in the own folder."""
        name = f"{video.stem[:80] or 'video'}-chromatrack"
        beside = video.resolve().parent
        home = beside if os.access(beside, os.W_OK) else self.home
        for folder in _numbered(home / name):
            if not folder.exists() or is_project(folder) or not any(folder.iterdir()):
                return folder
        raise AssertionError("numbers do not end")

    def new_folder(self, name: str) -> Path:
        """A new folder of the studio's own, called after a name as `slug` has it.

        Raises:
            OutputError: it cannot be made.
        """
        for folder in _numbered(self.home / f"{slug(name)}-chromatrack"):
            try:
                folder.mkdir(parents=True)
                return folder
            except FileExistsError:
                if not self.home.is_dir():
                    raise OutputError(f"{self.home}: is no folder; choose another --home") from None
            except OSError as error:
                raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
        raise AssertionError("numbers do not end")

    def recent(self) -> list[dict[str, Any]]:
        """Projects that were opened last and are still there.

        Of each its path, name, key (short, made of the path), and when it was opened (seconds).
        """
        try:
            listed = json.loads((self.home / _RECENT).read_text(encoding="utf-8"))
            return [
                {
                    "path": str(one["path"]),
                    "name": str(one["name"]),
                    "when": float(one["when"]),
                    "key": _key(str(one["path"])),
                }
                for one in listed
                if is_project(Path(str(one["path"])))
            ]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return []

    def cover(self, key: str) -> bytes | None:
        """A small picture of the recent project of this key, a JPEG; None where there is none."""
        found = next((one["path"] for one in self.recent() if one["key"] == key), None)
        return None if found is None else cover(Path(found) / FOLDER)

    def note(self, folder: Path, name: str) -> None:
        """Put a project at the top of the recent ones; what cannot be written is let be."""
        path = str(folder.resolve())
        others = [one for one in self.recent() if one["path"] != path]
        for one in others:
            del one["key"]
        listed = [{"path": path, "name": name, "when": round(time.time())}, *others]
        try:
            replace_file(self.home / _RECENT, json_text(listed[:_MOST_RECENT], indent=1))
        except OutputError:
            return


def _key(path: str) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def _numbered(folder: Path) -> Iterator[Path]:
    yield folder
    number = 2
    while True:
        yield folder.with_name(f"{folder.name}-{number}")
        number += 1


def slug(name: str) -> str:
    """A name as part of a file's name on any system: letters, digits, "_" and single "-".

    At most 48 of them; never empty, and it begins with neither a dot nor a dash.
    """
    text = unicodedata.normalize("NFKC", name)
    kept = "".join(c if c == "_" or unicodedata.category(c)[0] in "LMN" else "-" for c in text)
    safe = re.sub("-+", "-", kept)[:48].strip("-_")
    try:
        os.fsencode(safe)
    except UnicodeEncodeError:
        return "video"
    return safe or "video"


def kind_of(path: Path) -> tuple[str, Path]:
    """What lies at a path, "project", "run" or "video", and its place: that of a folder's file too.

    Raises:
        InputError: nothing is there, or it cannot be looked at.
    """
    try:
        path = path.expanduser()
        if path.name in (STUDIO, RESULT):
            path = path.parent
        if is_project(path):
            return "project", path
        if is_run(path):
            return "run", path
        if path.is_file() or path.is_dir():
            return "video", path
        found = "what is no file" if path.exists() else "nothing"
    except (OSError, RuntimeError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{str(path)[:80]}: cannot be opened ({said}); check the path") from error
    # Reading a pipe or a device may never end.
    raise InputError(f"{path}: expected a video or a project, found {found}; check the path")
