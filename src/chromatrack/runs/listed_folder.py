"""Folders of which a list beside them says what was written, so that nothing old is left in them.

`.davis.files.json` beside the folder `davis` says which files the last export wrote, and how long
they are. The next one removes those of them that it does not write. What is not on the list, or is
not as long as it says, is the user's: it stays, and is never written over.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath

from chromatrack.atomic import replace_file, same_place, unwritable
from chromatrack.errors import InputError
from chromatrack.json_text import json_text
from chromatrack.runs.staging import Staging


def listed_files(folder: Path) -> list[Path]:
    """What the last export wrote into a folder and is there; without a list, all files."""
    listed = _listed(folder)
    if listed is None:
        return sorted(file for file in folder.rglob("*") if file.is_file())
    return sorted(folder / name for name in listed if (folder / name).is_file())


def check_listed(folder: Path, earlier: Collection[Path] = ()) -> None:
    """Refuse at once to write over a file of the last export that was changed since.

    earlier: files that may be replaced, changed or not.

    Raises:
        InputError: says which.
    """
    place = folder.resolve()
    ours = _ours(place, earlier)
    for name in _listed(place) or {}:
        if name not in ours and (place / name).is_file():
            raise _in_the_way(folder / name)


def put_listed(stage: Staging, earlier: Collection[Path] = ()) -> None:
    """Put a folder in place, with a list of its files; what only the last export wrote goes.

    Args:
        stage: the folder is complete in it.
        earlier: files that may be replaced beside those on the list.

    Raises:
        InputError: a file of the user's is in the way. OutputError: it cannot be put in place.
    """
    place = stage.target.resolve()
    ours = _ours(place, earlier)
    written = [file for file in stage.path.rglob("*") if file.is_file()]
    sizes = {file.relative_to(stage.path).as_posix(): file.stat().st_size for file in written}
    was_called = {name.casefold(): name for name in ours}
    old = set(ours)
    for name in sizes:
        target = place / name
        if not (target.exists() or target.is_symlink()):
            continue
        before = was_called.get(name.casefold(), "")  # where capitals do not matter: the same file
        if name not in ours and not (before and same_place(place / before, target)):
            raise _in_the_way(stage.target / name)
        old -= {name, before} if name not in ours else {name}
    listed = json_text({"files": sizes}) + "\n"
    replace_file(stage.path.with_name(list_of(place).name), listed)
    stage.put_in_place(removed=[*(place / name for name in old), *_folders(old, place)])


@contextmanager
def listed_folder(folder: Path, earlier: Collection[Path] = ()) -> Iterator[Path]:
    """A folder to write into, put in place when the block ends well, as `put_listed` does.

    Raises:
        InputError: a file of the user's is in the way. OutputError: it cannot be written.
    """
    with Staging(folder) as stage:
        check_listed(folder, earlier)
        try:
            stage.path.mkdir(parents=True)
            yield stage.path
        except OSError as error:
            raise unwritable(folder, error) from error
        put_listed(stage, earlier)


def _folders(names: Iterable[str], place: Path) -> list[Path]:
    """Folders that files of these names lie in, inner ones first."""
    found = {parent for name in names for parent in PurePath(name).parents if parent.parts}
    return [place / one for one in sorted(found, key=lambda one: len(one.parts), reverse=True)]


def _ours(place: Path, earlier: Iterable[Path]) -> set[str]:
    """Names of the files in a folder that may be replaced; no links."""
    listed = (_listed(place) or {}).items()
    names = [name for name, size in listed if _is_so_long(place / name, size)]
    others = (path.resolve() for path in earlier if path.is_file() and not path.is_symlink())
    names += [path.relative_to(place).as_posix() for path in others if place in path.parents]
    return set(names)


def _is_so_long(file: Path, size: int) -> bool:
    return file.is_file() and not file.is_symlink() and file.stat().st_size == size


def list_of(folder: Path) -> Path:
    """Where the list of a folder's files is."""
    return folder.with_name(f".{folder.name}.files.json")


def _listed(folder: Path) -> Mapping[str, int] | None:
    """{file: bytes}, as the list says; None where there is none, or one that is not ours."""
    place = folder.resolve()
    try:
        files = json.loads(list_of(place).read_text(encoding="utf-8"))["files"]
        return {name: int(size) for name, size in files.items() if _is_inside(place, name)}
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return None


def _is_inside(place: Path, name: str) -> bool:
    """Whether a name stays in a folder, with links seen through."""
    home = (place / name).parent.resolve()
    return PurePath(name).name not in ("", "..") and (home == place or place in home.parents)


def _in_the_way(file: Path) -> InputError:
    return InputError(
        f"{file}: is there already, and not as an export wrote it; move it elsewhere or remove it, "
        "then export again (early versions kept no list of what they wrote: remove theirs, too)"
    )
