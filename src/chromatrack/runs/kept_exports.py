"""A run's results in the formats of other tools, kept in its folder: `exports/coco.json`.

`exports/exports.json` lists the files by format, so that the next run in the folder removes what
this one wrote, and nothing else, and a correction writes the same formats again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from chromatrack.atomic import check_output_folder, replace_file
from chromatrack.errors import InputError
from chromatrack.formats.exchange import Format, format_named
from chromatrack.json_text import json_text
from chromatrack.runs.export import Exported, export_run, kinds_listed
from chromatrack.runs.file_names import EXPORTS, Output, is_run
from chromatrack.runs.reader import Result
from chromatrack.structures import Kind

_LIST = "exports.json"


def formats_named(texts: Iterable[str]) -> tuple[str, ...]:
    """The formats of `--export`: names, several with commas between them; each once, in order.

    Raises:
        InputError: there is no such format.
    """
    parts = (part.strip() for text in texts for part in text.replace(",", " ").split())
    return tuple(dict.fromkeys(format_named(part).name for part in parts if part))


def check_exports(
    names: Collection[str], folder: Path, kinds: Collection[Kind], outputs: Collection[Output]
) -> None:
    """Refuse exports that could not be written when the run is done.

    Args:
        folder: of the run. kinds: of what is marked. outputs: what the run writes.

    Raises:
        InputError: a format carries nothing of that, its extra is missing, the masks or tables that
            it is made of are left out, or the folder has exports of others.
    """
    if not names:
        return
    check_output_folder(
        folder, [EXPORTS], kind="results of `chromatrack track`", is_ours=is_run(folder)
    )
    for need, is_needed in (
        ("masks", "object" in kinds),
        ("tracks", bool(set(kinds) - {"object"})),
    ):
        if is_needed and need not in outputs:
            raise InputError(
                f"export: is made of the run's {need}, which are left out (--only); write {need} "
                "too, or leave --export out"
            )
    for name in names:
        chosen = format_named(name)
        if not set(kinds) & set(chosen.kinds):
            raise InputError(
                f"export {name}: carries {kinds_listed(chosen.kinds)}, but marked are "
                f"{kinds_listed(kinds)} alone; choose another format"
            )
        chosen.load_writer()


def write_exports(result: Result, names: Sequence[str]) -> list[Exported]:
    """Write a run in some formats into its folder, in place of earlier ones of these.

    Raises:
        InputError, OutputError: as `export_run`.
    """
    folder = result.folder / EXPORTS
    done = []
    for name in names:
        folder.mkdir(exist_ok=True)
        target = _path(folder, format_named(name))
        done.append(export_run(result, name, target, overwrite=True))
    if done:
        listed = {
            name: [file.relative_to(folder).as_posix() for file in one.files]
            for name, one in zip(names, done, strict=True)
        }
        replace_file(folder / _LIST, json_text(_listed(folder) | listed, indent=1) + "\n")
    return done


def kept_formats(folder: Path) -> tuple[str, ...]:
    """The formats that a run's folder has exports in."""
    return tuple(_listed(folder / EXPORTS))


def old_exports(folder: Path) -> list[Path]:
    """Everything that runs exported into a folder: files, then the folders of them, inner first."""
    home = folder / EXPORTS
    files = [home / name for names in _listed(home).values() for name in names]
    inside = {parent for file in files for parent in file.parents if home in parent.parents}
    folders = sorted(inside, key=lambda path: len(path.parts), reverse=True)
    return [*files, home / _LIST, *folders, home] if files else []


def _path(folder: Path, chosen: Format) -> Path:
    return folder / f"{chosen.name}{chosen.suffix}"


def _listed(home: Path) -> dict[str, list[str]]:
    """{format: files}, relative; nothing where there is no list, or one that is not ours."""
    try:
        content = json.loads((home / _LIST).read_text(encoding="utf-8"))
        return {
            format_named(name).name: [file for file in files if not _leaves(file)]
            for name, files in content.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):  # InputError is a ValueError
        return {}


def _leaves(file: str) -> bool:
    return Path(file).is_absolute() or ".." in Path(file).parts
