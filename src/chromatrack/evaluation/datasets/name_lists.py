"""Text files that list the clips of a data set, a name or path on each line."""

from __future__ import annotations

from pathlib import Path

from chromatrack.errors import LayoutError

LONGEST = 255
"""Bytes of a file's name; no file system takes more."""


def text_lines(path: Path) -> list[str]:
    """The lines of a list.

    Raises:
        LayoutError: it cannot be read, or is no text.
    """
    try:
        return path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise LayoutError(f"cannot read '{path}': {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LayoutError(f"'{path}' is no text; expected a name per line") from error


def checked_name(name: str, path: Path) -> str:
    """`name`, if a folder may be called so.

    Raises:
        LayoutError: it is none, or leads out of its folder. path: of the list, to say.
    """
    if name in ("", ".", "..") or {"/", "\\", "\0"} & set(name) or len(name.encode()) > LONGEST:
        raise LayoutError(f"'{path}': expected names of folders, one per line, got {name!r:.60}")
    return name
