"""The formats that results are written to for other tools: their names, and what each carries.

One file of this room per format; this list names them. Nothing of a format is imported until it is
used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from chromatrack.errors import InputError
from chromatrack.structures import Kind


@dataclass(frozen=True)
class ExportOptions:
    """What the user may choose of a format.

    start_number: number of the first tracked frame in the output; None: as the format counts.
    """

    start_number: int | None = None


@dataclass(frozen=True)
class Format:
    """One exchange format.

    name: on the command line. tool: what reads it, in a few words. kinds: what it carries. writer:
    "module:function" of this room, called with a TrackedVideo, the path to write to and
    ExportOptions; it returns notes for the user. suffix: of the file, "" for a folder. extra: the
    optional dependencies it needs, as in pip install 'chromatrack[extra]'.
    """

    name: str
    tool: str
    kinds: tuple[Kind, ...]
    writer: str
    suffix: str
    extra: str | None = None

    @property
    def is_folder(self) -> bool:
        """Whether a folder is written, not a file."""
        return not self.suffix

    def load_writer(self) -> Callable[..., Sequence[str]]:
        """The function that writes it.

        Raises:
            InputError: its extra is not installed.
        """
        module, _, function = self.writer.partition(":")
        return getattr(importlib.import_module(f"chromatrack.formats.{module}"), function)


def need(module: str, extra: str, what: str) -> object:
    """Import a module of an extra, or say in one line how to install it.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{what} needs {module.partition('.')[0]}, which is not installed ({error}); "
            f"pip install 'chromatrack[{extra}]'"
        ) from error


FORMATS: tuple[Format, ...] = (
    Format(
        "tidy-csv",
        "pandas, R, spreadsheets: one long table, one row per thing and frame",
        ("object", "box", "point", "keypoints"),
        "tidy:write_csv",
        ".csv",
    ),
)
"""All of them, in the order of the docs."""


def format_named(name: str) -> Format:
    """The format of a name.

    Raises:
        InputError: there is none.
    """
    for one in FORMATS:
        if one.name == name:
            return one
    names = [one.name for one in FORMATS]
    near = get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise InputError(f"format: expected one of {', '.join(names)}, got {name!r:.40}{hint}")


def checked_output(path: Path, chosen: Format) -> Path:
    """Where a format goes: a file gets the format's suffix where it has none.

    Raises:
        InputError: a file of another suffix.
    """
    if chosen.is_folder or path.is_dir():
        return path
    if not path.suffix:
        return path.with_name(path.name + chosen.suffix)
    if path.suffix.lower() != chosen.suffix:
        raise InputError(
            f"{path}: expected the name of a {chosen.suffix} file for {chosen.name}, got "
            f"{path.suffix}; rename it"
        )
    return path
