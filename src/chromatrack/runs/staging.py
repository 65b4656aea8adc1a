"""Outputs prepared in a hidden folder and put in place together, whatever happens meanwhile.

What was there before is whole until the new one is complete. Putting in place is moving files, told
first in a journal: a process that dies in the midst of it leaves the journal, and `settle` finishes
what it had begun.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from chromatrack.atomic import unwritable
from chromatrack.errors import ChromatrackError, InputError, OutputError
from chromatrack.json_text import json_text
from chromatrack.runs.output_lock import hidden, output_lock

_SETTLE_SECONDS = 60.0  # how long another process may take to put its files in place


class Staging:
    """A context manager: an output being prepared, by one process at a time.

    `path` is where to write what is to be `target`, a file or a folder; what goes beside the target
    is written beside `path`. Leaving the block removes what was not put in place, unless `keep` is
    set: then it is left as if the process had died. `adopt`, if set, is called with what processes
    that died had prepared of this output, the newest first, before it is cleared; it may take of it
    what it wants, and what it raises leaves all as it was.
    """

    def __init__(self, target: str | os.PathLike[str]) -> None:
        """Nothing is made yet.

        Raises:
            InputError: the target has no name.
        """
        self.target = Path(target)
        self._place = self.target.resolve()
        if not self._place.name:
            raise InputError(f"{target}: expected the name of an output in a folder")
        self._work = hidden(self._place, str(os.getpid()))
        self.path = self._work / self._place.name
        self.keep = False
        self.adopt: Callable[[list[Path]], None] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Lock the output, clear what dead processes left, and make the hidden folder.

        Raises:
            OutputError: another process has the output, or it cannot be written.
        """
        with ExitStack() as stack:
            stack.enter_context(output_lock(self.target))
            _replay(self._place)
            self._begin()
            self._stack = stack.pop_all()
        return self

    def _begin(self) -> None:
        left = leftovers(self._place)
        try:
            if self._place.exists() and not os.access(self._place, os.W_OK):
                raise PermissionError(13, "Permission denied")
            if self._work in left:  # of a process that had our number
                left.remove(self._work)
                left.append(self._work.with_name(f"{self._work.name}0"))
                self._work.replace(left[-1])
            self._work.mkdir()
        except OSError as error:
            raise unwritable(self.target, error) from error
        if self.adopt is not None:
            try:
                newest = sorted(left, key=lambda path: path.stat().st_mtime, reverse=True)
                self.adopt([path / self._place.name for path in newest])
            except BaseException:
                shutil.rmtree(self._work, ignore_errors=True)
                raise
        for path in left:
            shutil.rmtree(path, ignore_errors=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, *_: object
    ) -> None:
        try:
            if hidden(self._place, "journal").exists():
                _replay(self._place)
            if not self.keep:
                shutil.rmtree(self._work, ignore_errors=True)
        finally:
            self._stack.close()
        if isinstance(error, ChromatrackError) and error.args:
            said = str(error.args[0]).replace(str(self.path), str(self.target))
            said = said.replace(str(self._work), str(self._place.parent))
            error.args = (said, *error.args[1:])

    def put_in_place(self, *, last: Path | None = None, removed: Iterable[Path] = ()) -> None:
        """Move everything that was written to its place; of what was there, the rest stays.

        Args:
            last: of the files that were written, the one that says what the others are: the old one
                goes first and the new one comes last, so that it is never there with others' files.
            removed: files to remove, and folders if they are then empty.

        Raises:
            OutputError: a file cannot be moved.
        """
        home = self._place.parent
        moves = _moves(self._work, home)
        end = None if last is None else last.relative_to(self._work).as_posix()
        gone = [os.path.relpath(Path(path).resolve(), home) for path in removed]
        told = {
            "work": self._work.name,
            "moves": sorted(moves, key=lambda name: (name == end, name)),
            "removed": [name for name in gone if name not in moves],
            "last": end,
        }
        journal = self._work / f"{self._place.name}.chromatrack-journal"
        try:
            journal.write_text(json_text(told), encoding="utf-8")
            journal.replace(hidden(self._place, "journal"))
        except OSError as error:
            raise unwritable(self.target, error) from error
        _replay(self._place)


def leftovers(target: Path) -> list[Path]:
    """Hidden folders that processes left beside an output; its lock must be held."""
    pattern = hidden(target, "")
    try:
        found = sorted(pattern.parent.iterdir())
    except OSError:
        return []
    return [
        path
        for path in found
        if path.name.startswith(pattern.name) and path.name[len(pattern.name) :].isdecimal()
    ]


def settle(target: Path) -> None:
    """Finish what a process that died had begun to put in place; waits for one that lives.

    Raises:
        OutputError: it cannot be finished.
    """
    if hidden(target, "journal").exists():
        with output_lock(target, wait_seconds=_SETTLE_SECONDS):
            _replay(target)


def _moves(work: Path, home: Path, inside: Path = Path()) -> list[str]:
    """What to move, relative to both: files, and folders whose name is free."""
    found: list[str] = []
    for path in sorted((work / inside).iterdir()):
        name = inside / path.name
        if path.is_dir() and (home / name).is_dir():
            found += _moves(work, home, name)
        else:
            found.append(name.as_posix())
    return found


def _replay(target: Path) -> None:
    """Do what the journal of an output says, if there is one; its lock must be held."""
    journal = hidden(target, "journal")
    try:
        told = json.loads(journal.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise OutputError(f"{journal}: cannot be read ({error}); remove it") from error
    place, work = target.resolve(), journal.parent / told["work"]
    try:
        _move_all(work, place.parent, told["moves"], last=told["last"])
        for path in (place.parent / name for name in told["removed"]):
            if not path.is_dir():
                path.unlink(missing_ok=True)
                continue
            with suppress(OSError):  # not empty
                path.rmdir()
        journal.unlink()
    except OSError as error:
        raise unwritable(target, error) from error
    shutil.rmtree(work, ignore_errors=True)


def _move_all(work: Path, home: Path, moves: Sequence[str], *, last: str | None) -> None:
    if last is not None and (work / last).exists():
        (home / last).unlink(missing_ok=True)
    for name in moves:
        if os.path.lexists(work / name):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).replace(home / name)
