"""Results that were replaced, kept so that they come back with the marks that they were made by.

Each folder in `studio/earlier` is one step from what a run was at some time to what it was at
another: the files that differ, and in `step.json` the names of those that are not there then. A
step applies to the run whose result.json has the digest that it names, so that steps that fit are
found from what is there, whatever was interrupted before. Steps are links to files: only what
differs takes room.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chromatrack.atomic import replace_file
from chromatrack.errors import ChromatrackError
from chromatrack.json_text import json_text
from chromatrack.runs.digests import file_sha256
from chromatrack.runs.file_names import EXPORTS, RESULT, RUN_NAMES
from chromatrack.runs.staging import Staging
from chromatrack.studio.document import Document
from chromatrack.studio.marks import Said, said_by_document
from chromatrack.studio.results import SavedRun
from chromatrack.studio.store import FOLDER

MOST_STEPS = 12
"""How many are kept."""

MOST_BYTES = 2 << 30
"""How much room they may take; the newest is kept in any case."""

_STEP = "step.json"


@dataclass(frozen=True)
class MadeBy:
    """What a run was made by: digest of its marks, quality, frames [start, end)."""

    said: str
    quality: str
    start: int
    end: int | None

    def fits(self, said: str, settings: Mapping[str, Any]) -> bool:
        """Whether marks and settings ask for that, or for a part of its frames."""
        start, end = settings["range"] or (0, None)
        is_long = self.end is None or (end is not None and self.end >= end)
        return (
            self.said == said
            and self.quality == settings["quality"]
            and self.start <= start
            and is_long
        )


def said_digest(said: Said) -> str:
    """What tells marks from others."""
    lines = sorted(
        json_text([*label, frame, value])
        for label, frames in said.items()
        for frame, value in frames.items()
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def made_by(run: SavedRun) -> MadeBy:
    """What a run was made by."""
    return MadeBy(said_digest(run.said), run.quality, run.start, run.end)


@contextmanager
def keeping(folder: Path, old: MadeBy) -> Iterator[None]:
    """Keep what the block replaces of the run in a project's folder, which was made by `old`.

    Nothing is kept where files cannot be linked, and it is never a reason to fail.
    """
    aside = _home(folder) / f"new-{os.getpid()}"
    with suppress(OSError, ChromatrackError):
        _clear(folder)
        _link(folder, aside, _files(folder))
    try:
        yield
    finally:
        with suppress(OSError, ChromatrackError):
            _keep(folder, aside, old)
        shutil.rmtree(aside, ignore_errors=True)


def bring_back(folder: Path, document: Document, run: SavedRun) -> bool:
    """Have the results again that what is marked now was tracked to, if they were kept.

    Args:
        folder: of the project. run: the one that is there.

    Returns:
        Whether the run is another one now.
    """
    steps, now, is_other = _way(folder, document), made_by(run), False
    with suppress(OSError, ChromatrackError):  # it can be tracked again
        for step in steps:
            _apply(folder, step, now)
            now, is_other = step.made_by, True
    return is_other


# -- steps -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Step:
    """One that is whole. holds: digest of the result.json in it.

    files, missing: names relative to the run's folder, of what is in it and of what is not there.
    """

    path: Path
    replaces: str
    holds: str
    files: tuple[str, ...]
    missing: tuple[str, ...]
    made_by: MadeBy


def _home(folder: Path) -> Path:
    return folder / FOLDER / "earlier"


def _files(folder: Path) -> list[str]:
    """Names of all files of a run, relative; exports are not of it."""
    found = []
    for name in RUN_NAMES:
        if (folder / name).is_dir() and name != EXPORTS:
            found += [f"{name}/{inside}" for inside in _names(folder / name)]
        elif (folder / name).is_file():
            found.append(name)
    return found


def _names(folder: Path) -> list[str]:
    """Names of all files in a folder, relative to it."""
    return [
        Path(place, name).relative_to(folder).as_posix()
        for place, _, names in os.walk(folder)
        for name in names
    ]


def _link(source: Path, target: Path, names: Collection[str]) -> None:
    """Have files in another folder too; nothing of it stays if one cannot be. Raises OSError."""
    try:
        for name in names:
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(source / name, path)
    except OSError:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _keep(folder: Path, aside: Path, old: MadeBy) -> None:
    """Make a step of links to a whole run as it was: what is still so goes out of it."""
    if not (aside / RESULT).is_file() or (aside / RESULT).samefile(folder / RESULT):
        return
    before = _names(aside)
    for name in before:
        with suppress(FileNotFoundError):
            if (aside / name).samefile(folder / name):
                (aside / name).unlink()
    _finish(folder, aside, sorted({*_files(folder)} - {*before}), old)


def _finish(folder: Path, aside: Path, missing: Collection[str], old: MadeBy) -> None:
    """Have a step say what it is of."""
    replaces, holds = file_sha256(folder / RESULT), file_sha256(aside / RESULT)
    _tell(aside, replaces, holds, missing, old)
    _settle(folder, aside, f"{holds[:16]}-{replaces[:16]}")
    _trim(folder)


def _tell(aside: Path, replaces: str, holds: str, missing: Collection[str], old: MadeBy) -> None:
    files = {name: (aside / name).stat().st_size for name in _names(aside)}
    told = {"replaces": replaces, "holds": holds, "files": files, "missing": list(missing)}
    replace_file(aside / _STEP, json_text(told | {"made_by": asdict(old)}))


def _settle(folder: Path, aside: Path, name: str) -> None:
    """Give a step that is whole its name, by which it counts."""
    shutil.rmtree(_home(folder) / name, ignore_errors=True)
    aside.replace(_home(folder) / name)


def _read(path: Path) -> _Step | None:
    """A step; None where that is none, or not whole."""
    try:
        told: Mapping[str, Any] = json.loads((path / _STEP).read_text(encoding="utf-8"))
        files, missing = tuple(told["files"]), tuple(told["missing"])
        is_whole = all((path / name).stat().st_size == told["files"][name] for name in files)
        if not is_whole or not all(_is_ours(name) for name in (*files, *missing)):
            return None
        old = MadeBy(**told["made_by"])
        return _Step(path, str(told["replaces"]), str(told["holds"]), files, missing, old)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _is_ours(name: str) -> bool:
    """Whether a name is that of a file that a run may have."""
    first, *inside = name.split("/")
    return first in RUN_NAMES and first != EXPORTS and not {"", ".", ".."} & {*inside}


def _steps(folder: Path) -> list[_Step]:
    with suppress(FileNotFoundError):
        found = (_read(path) for path in sorted(_home(folder).iterdir()))
        return [step for step in found if step is not None]
    return []


def _way(folder: Path, document: Document) -> list[_Step]:
    """The shortest row of steps from the run as it is to the one that is asked for; or none."""
    steps, settings = _steps(folder), document["settings"]
    said = said_digest(said_by_document(document)) if steps else ""
    if not any(step.made_by.fits(said, settings) for step in steps):
        return []
    ways: list[tuple[str, list[_Step]]] = [(file_sha256(folder / RESULT), [])]
    seen = {ways[0][0]}
    for at, way in ways:  # grows as it is gone through
        if way and way[-1].made_by.fits(said, settings):
            return way
        for step in steps:
            if step.replaces == at and step.holds not in seen:
                seen.add(step.holds)
                ways.append((step.holds, [*way, step]))
    return []


def _apply(folder: Path, step: _Step, now: MadeBy) -> None:
    """Put a step's files in place and keep the step back to what the run is `now`.

    Raises:
        OSError, OutputError: it cannot be; the run is as it was.
    """
    names = step.files
    is_there = {name for name in (*names, *step.missing) if (folder / name).is_file()}
    with Staging(folder) as stage:
        _link(step.path, stage.path, names)
        aside = _home(folder) / f"new-{os.getpid()}"
        shutil.rmtree(aside, ignore_errors=True)
        _link(folder, aside, sorted(is_there))
        missing = sorted({*names} - is_there)
        _tell(aside, step.holds, step.replaces, missing, now)
        _settle(folder, aside, f"{step.replaces[:16]}-{step.holds[:16]}")
        gone = [folder / name for name in step.missing]
        empty = [folder / Path(name).parent for name in step.missing if "/" in name]
        stage.put_in_place(last=stage.path / RESULT, removed=[*gone, *dict.fromkeys(empty)])
    shutil.rmtree(step.path, ignore_errors=True)


# -- room ------------------------------------------------------------------------------------


def _clear(folder: Path) -> None:
    """Take away what processes that died have begun."""
    for path in _home(folder).glob("new-*"):
        shutil.rmtree(path, ignore_errors=True)


def _trim(folder: Path) -> None:
    """Let the oldest steps go that are too many, or take too much room."""
    steps = [path for path in _home(folder).iterdir() if (path / _STEP).is_file()]
    steps.sort(key=lambda path: (path / _STEP).stat().st_mtime_ns, reverse=True)
    room = 0
    for n, path in enumerate(steps):
        files = [(path / name).stat() for name in _names(path)]
        room += sum(one.st_size for one in files if one.st_nlink == 1)
        if n and (n >= MOST_STEPS or room > MOST_BYTES):
            shutil.rmtree(path, ignore_errors=True)
