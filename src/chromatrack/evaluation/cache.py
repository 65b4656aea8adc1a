"""Digests of what a measurement depends on: they tell whether an earlier one still holds.

A value's digest is that of its pickle, in which paths stand for their files and tensors for their
numbers, and of the source files of its functions and classes. Two values with one digest are the
same for a measurement; the other way round is not promised: what cannot be pickled gets a new
digest every time, and is measured again. Not seen: what a function reads from elsewhere, such as
global variables, or files that it opens by a name of its own.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import secrets
import sys
from pathlib import Path, PurePath
from types import FunctionType
from typing import Any
from urllib.parse import quote

import chromatrack
from chromatrack.json_text import untagged

DIGITS = 16
"""Hex digits of a digest."""

LONGEST_NAME = 150
"""Characters of a file's name, as file systems allow some 255 bytes."""


CANNOT_PICKLE = (
    pickle.PicklingError, AttributeError, TypeError, ValueError, RuntimeError, OSError
)  # fmt: skip
"""How objects refuse to be pickled."""


def digest(value: object) -> str:
    """Digest of a value by what is in it; a path by names, sizes and times of its files."""
    content = io.BytesIO()
    pickler = _Pickler(content)
    try:
        pickler.dump(value)
    except CANNOT_PICKLE:
        return secrets.token_hex(DIGITS // 2)
    sources = sorted(pickler.sources.items())
    return _hash(content.getvalue() + repr(sources).encode())


def code_digest() -> str:
    """Digest of this package's own code: any change may change a measurement."""
    root = Path(chromatrack.__file__).parent
    files = ((path.relative_to(root), path.read_bytes()) for path in sorted(root.rglob("*.py")))
    return _hash(b"".join(name.as_posix().encode() + content for name, content in files))


class _Pickler(pickle.Pickler):
    """Pickles a value as `digest` describes it; `sources` are digests of files by module."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.sources: dict[str, str] = {}

    def persistent_id(self, obj: Any) -> object:  # noqa: ANN401
        """What stands for an object in the pickle; None: its own content."""
        if isinstance(obj, PurePath):
            return _files(Path(obj))
        if isinstance(obj, set | frozenset):  # in no order
            return [type(obj).__name__, *sorted(map(digest, obj))]
        if isinstance(obj, type | FunctionType) and obj.__module__ not in self.sources:
            self.sources[obj.__module__] = _source_digest(obj.__module__)
        torch = sys.modules.get("torch")
        is_tensor = torch is not None and isinstance(obj, torch.Tensor)
        return _numbers(obj) if is_tensor else None  # a tensor's own pickle has addresses


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def _numbers(tensor: Any) -> tuple[str, str]:  # noqa: ANN401  (torch is not loaded for this)
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return f"{tuple(tensor.shape)} {tensor.dtype} {tensor.device}", _hash(flat.numpy().tobytes())


def _source_digest(module: str) -> str:
    """Of a module's file; "" where it has none."""
    path = getattr(sys.modules.get(module), "__file__", None) or ""
    return _hash(Path(path).read_bytes()) if path.endswith(".py") and Path(path).is_file() else ""


def _files(path: Path) -> list[tuple[str, int, int]]:
    """(name, bytes, time of change in ns) of a file, or of every file in a folder.

    Names are as seen from the folder above; where there is nothing, the path itself counts.
    """
    if not path.exists():
        return [(str(path), -1, 0)]
    inside = [Path(top, name) for top, _, names in os.walk(path) for name in names]
    rows = ((file, file.stat()) for file in (inside or [path]) if file.is_file())
    return sorted(
        (str(file.relative_to(path.parent)), info.st_size, info.st_mtime_ns) for file, info in rows
    )


# -- the report of one clip ----------------------------------------------------------------


def clip_path(folder: Path, name: str) -> Path:
    """Where a clip's report is: another file for every name, whatever characters it has."""
    safe = quote(name, safe=" ()+,=@", errors="surrogateescape")
    if len(safe) > LONGEST_NAME:
        mark = _hash(name.encode("utf-8", "surrogateescape"))
        safe = f"{safe[:LONGEST_NAME]}~{mark}"
    return folder / "clips" / f"{safe}.json"


def read_kept(path: Path, *, name: str) -> dict[str, Any] | None:
    """The file of the clip `name` that an earlier run left: "made_with" and "report", at least.

    None where there is nothing, or something else.
    """
    content = _content(path)
    if content is None or content.get("name") != name:
        return None
    is_whole = all(isinstance(content.get(part), dict) for part in ("made_with", "report"))
    return content if is_whole else None


def kept_name(path: Path) -> str | None:
    """The name of the clip that a report is of; None where it is no report."""
    name = (_content(path) or {}).get("name")
    return name if isinstance(name, str) and read_kept(path, name=name) is not None else None


def _content(path: Path) -> dict[str, Any] | None:
    try:
        content = untagged(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
