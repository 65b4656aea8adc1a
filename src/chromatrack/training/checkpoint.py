"""Checkpoints: everything a run needs to go on, written so that a crash at any moment costs little.

A file is written under another name, flushed to disk and renamed; the last two are kept, and the
best one as far as the run was watched. What cannot be read is passed over for the one before.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from chromatrack.errors import InputError, OutputError
from chromatrack.model.weights import Checkpoint, read_checkpoint
from chromatrack.training.data.index import Index

KEPT = 2
BEST = "best.pt"


def path_of(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step is."""
    return folder / f"checkpoint-{step:08d}.pt"


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first, `best.pt` not among them."""
    return sorted(folder.glob("checkpoint-????????.pt"))


def check_begin(folder: Path, *, resume: bool, is_ours: bool = True) -> bool:
    """Refuse to begin where there is a run, and to go on where there is none.

    is_ours: whether a run that is there is of this kind, so that it can be gone on with.

    Returns:
        Whether there are checkpoints.

    Raises:
        InputError: says which.
    """
    there = bool(checkpoints(folder))
    if there and not (resume and is_ours):
        kind = "resume it (--resume) or " if is_ours else ""
        raise InputError(f"{folder}: holds a run already; {kind}choose another folder")
    if resume and not there:
        raise InputError(f"{folder}: expected a checkpoint to resume from, found none")
    return there


def data_notes(index: Index) -> dict[str, str]:
    """What is said of the data in a run's weights and checkpoints."""
    return {
        "digest": index.digest,
        "videos": str(len(index.videos)),
        "photos": str(len(index.photos)),
    }


def warn_of_other_data(found: Checkpoint, index: Index) -> None:
    """Warn where a checkpoint is of a run on other data."""
    if found.content.get("digest") != index.digest:
        warnings.warn(
            f"{found.path.parent}: the data is not what it was when the run was saved; it goes on, "
            "but not bit for bit as it would have",
            stacklevel=3,
        )


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file of tensors and plain values atomically, and flush it to disk.

    Raises:
        OutputError: no room, or no right to write; what was there before is untouched.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            torch.save(dict(content), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch.save turns a failed write into RuntimeError
        temporary.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) else _cause(error)
        raise OutputError(
            f"{path}: cannot be written ({reason}); the checkpoints before it are whole: make "
            "room, then go on with --resume"
        ) from error


def _cause(error: BaseException) -> str:
    while error.__context__ is not None:
        error = error.__context__
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
    return str(error).splitlines()[0]


def save(folder: Path, content: Mapping[str, Any], *, best: bool = False) -> None:
    """Write the checkpoint of `content["step"]`, then drop all but the last two.

    best: write it as `best.pt` too.
    """
    write(path_of(folder, content["step"]), content)
    if best:
        write(folder / BEST, content)
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink(missing_ok=True)


def latest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that can be read; a damaged one costs a warning. None: there is none.

    Raises:
        InputError: there are checkpoints, and none can be read.
    """
    there = checkpoints(folder)
    for path in reversed(there):
        try:
            return read_checkpoint(path)
        except InputError as error:
            warnings.warn(f"{error}; the one before it is tried", stacklevel=2)
    if there:
        raise InputError(f"{folder}: none of its {len(there)} checkpoints can be read")
    return None
