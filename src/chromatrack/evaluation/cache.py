"""What a measurement depends on, as digests: they tell whether an earlier one still holds.

Two values with one digest are the same for a measurement; the other way round is not promised (what
cannot be described gets a digest of its own, and is measured again). Not seen: what a function
reads from elsewhere, such as global variables, or files that it opens by a name of its own.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path, PurePath
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any
from urllib.parse import quote

import numpy as np

import chromatrack

DIGITS = 16
"""Hex digits of a digest."""

Feed = Callable[[bytes], object]

Seen = dict[int, tuple[int, object]]
"""What was fed, by its `id`: its number, and itself, so that it stays and no other gets that id."""


def digest(value: object) -> str:
    """Digest of a value by what is in it; a path by names, sizes and times of its files.

    Arrays and tensors count by their numbers, objects by their class and attributes, functions and
    classes by their code and that of their file.
    """
    sink = hashlib.sha256()
    _add(value, feed=sink.update, seen={})
    return sink.hexdigest()[:DIGITS]


def code_digest() -> str:
    """Digest of this package's own code: any change may change a measurement."""
    root = Path(chromatrack.__file__).parent
    sink = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        sink.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return sink.hexdigest()[:DIGITS]


def _add(value: object, *, feed: Feed, seen: Seen) -> None:
    """Feed a value's type and content; what was fed before goes in by its number."""
    kind = type(value)
    feed(f"<{kind.__module__}.{kind.__qualname__}>".encode())
    if value is None or isinstance(value, bool | int | float | complex | str | range | Enum):
        feed(repr(value).encode())
    elif isinstance(value, bytes | bytearray):
        feed(hashlib.sha256(value).digest())
    elif isinstance(value, PurePath):
        _add_files(Path(value), feed=feed)
    elif isinstance(value, np.ndarray | np.generic) or _is_tensor(value):
        _add_numbers(value, feed=feed, seen=seen)
    elif isinstance(value, ModuleType):  # by name: what is in it is not looked through
        feed(f"{value.__name__} {getattr(value, '__version__', '')}".encode())
    elif id(value) in seen:
        feed(f"again {seen[id(value)][0]}".encode())
    else:
        seen[id(value)] = (len(seen), value)
        _add_parts(value, feed=feed, seen=seen)
    feed(b";")


def _add_parts(value: object, *, feed: Feed, seen: Seen) -> None:
    """What is made of other values."""
    add = functools.partial(_add, feed=feed, seen=seen)
    if isinstance(value, Mapping):
        add([part for pair in value.items() for part in pair])
    elif isinstance(value, list | tuple):
        for part in value:
            add(part)
    elif isinstance(value, set | frozenset):
        feed("".join(sorted(digest(part) for part in value)).encode())
    elif isinstance(value, functools.partial):
        add([value.func, list(value.args), value.keywords])
    elif isinstance(value, MethodType):
        add([value.__func__, value.__self__])
    elif isinstance(value, type | FunctionType | BuiltinFunctionType):
        _add_code(value, feed=feed, seen=seen)
    elif isinstance(reduce := getattr(type(value), "__reduce__", None), FunctionType):
        add([type(value), reduce(value)])  # its own word on what it is made of, as for pickling
    elif hasattr(value, "__dict__"):
        add([type(value), vars(value)])
    else:
        feed(repr(value).encode())


def _add_code(value: type | FunctionType | BuiltinFunctionType, *, feed: Feed, seen: Seen) -> None:
    feed(f"{value.__module__}.{value.__qualname__} {_source_digest(value)}".encode())
    if isinstance(value, FunctionType):  # lambdas of one line share a name: so also their code
        code = value.__code__
        feed(f"{code.co_firstlineno} {code.co_names} {code.co_varnames}".encode() + code.co_code)
        constants = [part for part in code.co_consts if not inspect.iscode(part)]
        cells = [_cell_content(cell) for cell in value.__closure__ or ()]
        parts = [constants, value.__defaults__, value.__kwdefaults__, cells]
        _add(parts, feed=feed, seen=seen)


def _cell_content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not set yet
        return None


def _source_digest(value: object) -> str:
    """Of the file that a class or function is in; "" for one that is built in."""
    try:
        path = inspect.getsourcefile(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        return ""
    if path is None or not Path(path).is_file():
        return ""
    return _file_digest(path, Path(path).stat().st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _file_digest(path: str, _: int) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:DIGITS]


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _add_numbers(value: object, *, feed: Feed, seen: Seen) -> None:
    """A NumPy array or number, or a torch tensor."""
    if _is_tensor(value):
        import torch

        assert isinstance(value, torch.Tensor)
        feed(f"{tuple(value.shape)} {value.dtype} {value.device}".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        feed(hashlib.sha256(flat.view(torch.uint8).numpy().tobytes()).digest())
        return
    array = np.asarray(value)
    feed(f"{array.shape} {array.dtype}".encode())
    if array.dtype.hasobject:
        _add(array.tolist(), feed=feed, seen=seen)
    else:
        feed(hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest())


def _add_files(path: Path, *, feed: Feed) -> None:
    """A path by the files there, wherever it is; by its name alone where there is nothing."""
    for name, size, time in _files(path):
        feed(f"{name} {size} {time}\n".encode("utf-8", "surrogateescape"))


def _files(path: Path) -> Iterable[tuple[str, int, int]]:
    """(name, bytes, time of change in ns) of a file, or of every file in a folder."""
    if not path.exists():
        return [(str(path), -1, 0)]
    if path.is_file():
        found = [path]
    else:
        found = [Path(top, name) for top, _, names in os.walk(path) for name in names]
    base = path.parent
    rows = ((file, file.stat()) for file in found if file.is_file())
    return sorted(
        (str(file.relative_to(base)), info.st_size, info.st_mtime_ns) for file, info in rows
    )


LONGEST_NAME = 150
"""Characters of a file's name, as file systems allow some 255 bytes."""


@dataclass(frozen=True)
class CachedReport:
    """A clip's report. made_with: digests of all that it depends on, the clip among them."""

    name: str
    made_with: dict[str, str]
    frames: int
    seconds: float
    report: dict[str, Any]


def clip_path(folder: Path, name: str) -> Path:
    """Where a clip's report is: another file for every name, whatever characters it has."""
    safe = quote(name, safe=" ()+,=@", errors="surrogateescape")
    if len(safe) > LONGEST_NAME:
        mark = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        safe = f"{safe[:LONGEST_NAME]}~{mark}"
    return folder / "clips" / f"{safe}.json"


def read_kept(path: Path, *, name: str) -> CachedReport | None:
    """What was kept of the clip `name`; None where there is nothing, or something else."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.keys() != {
        field.name for field in fields(CachedReport)
    }:
        return None
    kept = CachedReport(**content)
    is_whole = isinstance(kept.made_with, dict) and isinstance(kept.report, dict)
    return kept if is_whole and kept.name == name else None
