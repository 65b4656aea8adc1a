"""Files that are there whole or not at all, and never over what was given to read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
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


def replace_file(path: Path, content: bytes | str) -> None:
    """Write a file under a temporary name, then rename: a reader never sees half of it.

    Args:
        path: what was there is replaced; missing folders are made.
        content: text is written as UTF-8, its line ends as they are.

    Raises:
        OutputError: it cannot be written; what was there before is whole.
    """
    temporary = _temporary_name(path)
    with _output_error(path, temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
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

    Only a path can be: anything else `given` was read already.
    """
    if not isinstance(given, str | PathLike):
        return
    path, place = Path(given).resolve(), target.resolve()
    if path == place or (place in path.parents and not place.is_file()):
        raise InputError(
            f"{fspath(given)}: would be overwritten by the results in {target}; "
            "choose another output"
        )
