"""Files that are there whole or not at all, and never over what is read or others wrote."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import escape, glob
from os import PathLike, fspath
from pathlib import Path
from typing import Self

from chromatrack.errors import InputError, OutputError


def unwritable(path: Path, error: OSError) -> OutputError:
    """The one line for a file or folder that cannot be written, and why."""
    return OutputError(
        f"{path}: cannot be written ({error.strerror or error}); make room there, or choose a "
        "folder with write access"
    )


def replace_file(
    path: Path, content: bytes | str | Iterable[str] | Iterable[bytes | memoryview]
) -> None:
    """Write a file under a temporary name, then rename: a reader never sees half of it.

    Args:
        path: what was there is replaced; missing folders are made.
        content: text is written as UTF-8, its line ends as they are; parts one after another.

    Raises:
        OutputError: it cannot be written; what was there before is whole.
    """
    temporary = _temporary_name(path)
    with _output_error(path, temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes | str):
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        else:
            with temporary.open("wb") as file:
                for part in content:
                    file.write(part.encode() if isinstance(part, str) else part)
        temporary.replace(path)


class WholeFile:
    """A text file written bit by bit under a temporary name, renamed when closed.

    So a reader never sees half a row, and a run of any length needs no memory. Leaving the `with`
    block closes it however the block ends: an interrupted run keeps what was written.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        """Open it; missing folders are made. Raises OutputError if it cannot be."""
        self._target = Path(path)
        self._temporary = _temporary_name(self._target)
        with _output_error(self._target):
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._temporary.open("w", encoding="utf-8", newline="")

    @property
    def closed(self) -> bool:
        """Whether the file is finished."""
        return self._file.closed

    def text(self, text: str) -> None:
        """Add text to the end. Raises OutputError if it cannot be written."""
        with _output_error(self._target):
            self._file.write(text)

    def close(self) -> None:
        """Finish the file under its own name; nothing happens the second time."""
        if self.closed:
            return
        with _output_error(self._target, self._temporary):
            self._file.close()
            self._temporary.replace(self._target)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


@contextlib.contextmanager
def _output_error(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """OutputError for OSError; then the temporary file, if one is named, is gone."""
    try:
        yield
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise unwritable(path, error) from error


def keep_apart(given: object, target: Path) -> None:
    """InputError if writing to a file or folder would overwrite what was given to read.

    Links of both kinds are seen through. Only a path can be overwritten: anything else `given` was
    read already.
    """
    for path in _files_of(given):
        is_within = not target.is_file() and target.resolve() in path.resolve().parents
        if is_within or same_place(path, target):
            raise _overwritten(given, target)


def same_place(first: str | PathLike[str], second: str | PathLike[str]) -> bool:
    """Whether two names are of one file or folder, through symbolic and hard links."""
    try:
        return os.path.samefile(first, second)  # noqa: PTH121  (names may be text)
    except OSError:
        return Path(first).resolve() == Path(second).resolve()


UNSIGNED = " (early versions of chromatrack did not sign what they wrote: remove theirs, too)"
"""The hint for kinds of files that early versions wrote without saying so in them."""


@dataclass(frozen=True)
class OutputFile:
    """A file that a command writes.

    kind: what it is, for messages ("table of events"). is_ours: whether a file that is there is
    one that this command wrote, so that it may be replaced. hint: more on that, for the message.
    """

    path: Path
    kind: str
    is_ours: Callable[[Path], bool]
    hint: str = ""


def check_output_files(outputs: Sequence[OutputFile], *, reads: Iterable[object] = ()) -> None:
    """Refuse to write over what is read, over what others wrote, and twice into one file.

    Args:
        outputs: each may be new, empty, or there and ours.
        reads: what the command reads: files, folders, glob patterns; all else is passed over.

    Raises:
        InputError: says which file, and why.
    """
    given = list(reads)
    for number, output in enumerate(outputs):
        path = output.path
        if path.is_dir():
            raise InputError(f"{path}: is a folder; expected the name of a file, a {output.kind}")
        for one in given:
            if any(same_place(file, path) for file in _files_of(one)):
                raise _overwritten(one, path)
        if any(same_place(other.path, path) for other in outputs[:number]):
            raise InputError(
                f"{path}: expected two outputs, got one name for both; name them apart"
            )
        _check_replaceable(output)
        _clear_leftovers(path)


def _clear_leftovers(path: Path) -> None:
    """Remove what processes that were killed left half-written of a file."""
    begun = path.parent.glob(f".{escape(path.stem)}.*.partial{escape(path.suffix)}")  # of a video
    for left in (*path.parent.glob(f".{escape(path.name)}.*.tmp"), *begun):
        number = left.name.removesuffix(path.suffix).split(".")[-2]
        if number.isdecimal() and not _is_alive(int(number)):
            left.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # asking would be a signal there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another's
        return True
    return True


def _check_replaceable(output: OutputFile) -> None:
    path = output.path
    if not path.exists():
        return
    if not path.is_file():
        raise InputError(f"{path}: is no ordinary file; choose another output")
    if path.stat().st_size and not output.is_ours(path):
        raise InputError(
            f"{path}: is there already and is no {output.kind} that chromatrack wrote; choose "
            f"another output, or remove it first{output.hint}"
        )


def check_output_folder(
    folder: Path,
    names: Iterable[str],
    *,
    kind: str,
    is_ours: bool,
    reads: Iterable[object] = (),
) -> None:
    """Refuse a folder for results that is read, or that holds things of others under our names.

    Args:
        folder: new, empty, an earlier output of the same kind, or with things of other names.
        names: files and folders that the command writes into it.
        kind: what is written, for messages ("results of `chromatrack track`").
        is_ours: whether it is an earlier output of the same kind.
        reads: as in `check_output_files`.

    Raises:
        InputError: says what is in the way.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected the name of a folder for {kind}")
    if not folder.exists():
        return  # so nothing that is read is in it
    names = list(names)
    for one in reads:
        if (read := _folder_of(one)) is not None and same_place(read, folder):
            raise InputError(
                f"{folder}: is what is read; {kind} would mix with it: choose another folder"
            )
        for name in names:
            keep_apart(one, folder / name)
    taken = [] if is_ours else [name for name in names if os.path.lexists(folder / name)]
    if taken:
        raise InputError(
            f"{folder}: holds {taken[0]} already, and not from {kind}; choose another folder, or "
            "remove it first"
        )


def starts_with(path: Path, *heads: str) -> bool:
    """Whether a file's text begins in one of these ways; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(max(len(head.encode()) for head in heads))
    except OSError:
        return False
    return any(content.startswith(head.encode()) for head in heads)


def _overwritten(given: object, target: Path) -> InputError:
    name = fspath(given) if isinstance(given, str | PathLike) else given
    return InputError(
        f"{name}: would be overwritten by the results in {target}; choose another output"
    )


def _files_of(given: object) -> list[Path]:
    """What a path means: itself, or the files that a pattern matches (and the pattern)."""
    if not isinstance(given, str | PathLike):
        return []
    path = Path(os.fsdecode(given))
    matches = [] if path.exists() or not _is_pattern(path) else glob(str(path))  # noqa: PTH207
    return [path, *map(Path, matches)]


def _folder_of(given: object) -> Path | None:
    """The folder whose files are read, if a folder or a pattern in one was given."""
    if not isinstance(given, str | PathLike):
        return None
    path = Path(os.fsdecode(given))
    if path.is_dir():
        return path
    return path.parent if not path.exists() and _is_pattern(path) else None


def _is_pattern(path: Path) -> bool:
    return any(sign in str(path) for sign in "*?[")
