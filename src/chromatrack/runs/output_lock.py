"""One process at a time on an output: a lock that a dead process does not hold."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from chromatrack.atomic import unwritable
from chromatrack.errors import OutputError
from chromatrack.json_text import json_text

try:
    import fcntl
except ImportError:  # Windows: no two processes are told apart there
    fcntl = None

_NAME_BYTES = 200  # of a name that gets more added to it
_GRACE_SECONDS = 0.25  # a process that looks for dead ones' locks has each for a moment


def hidden(target: Path, what: str) -> Path:
    """Where what is hidden of an output lies: beside it.

    Inside where beside it nothing can be written or renamed: a mount point, another's folder.
    """
    place = target.resolve()
    if place.is_dir() and (os.path.ismount(place) or not os.access(place.parent, os.W_OK)):
        return place / f".chromatrack-{what}"
    name = place.name
    if len(os.fsencode(name)) > _NAME_BYTES:
        name = f"{name[:30]}-{sha256(os.fsencode(name)).hexdigest()[:16]}"
    return place.with_name(f".{name}.chromatrack-{what}")


@contextmanager
def output_lock(target: Path, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Have an output for this process alone while the block runs.

    Args:
        target: file or folder, there or not.
        wait_seconds: how long to wait for another process that has it.

    Raises:
        OutputError: another process has it (says which, and since when); or no lock can be made.
    """
    path = hidden(target, "lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + max(wait_seconds, _GRACE_SECONDS)
        handle = _locked(path, target, until=until)
    except OutputError:
        raise
    except FileExistsError:  # a file where a folder would be
        raise unwritable(target, NotADirectoryError(20, "Not a directory")) from None
    except OSError as error:
        raise unwritable(target, error) from error
    try:
        _clear_dead(path)
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(handle)


def _locked(path: Path, target: Path, *, until: float) -> int:
    """An open file that is locked and still has its name."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _try_lock(handle):
                if time.monotonic() >= until:
                    raise OutputError(_held(path, target))
                time.sleep(0.05)
            elif _is_still(handle, path):
                os.truncate(handle, 0)
                os.write(handle, json_text(_who()).encode())
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _clear_dead(own: Path) -> None:
    """Remove the locks beside one's own that processes left when they were killed."""
    if fcntl is None:
        return
    with suppress(OSError), os.scandir(own.parent) as entries:
        names = [e.name for e in entries if e.name.endswith(".chromatrack-lock")]
        for name in names:
            if name != own.name:
                with suppress(OSError):  # held, or gone meanwhile
                    _clear_if_dead(own.with_name(name))


def _clear_if_dead(path: Path) -> None:
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an error if it is held
            if _is_still(handle, path):
                path.unlink()
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _is_still(handle: int, path: Path) -> bool:
    """Whether the file was not removed by the one who had it before."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(handle), path.stat())
    return False


def _who() -> dict[str, str | int]:
    now = datetime.now().astimezone()
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]]).strip()
    return {"pid": os.getpid(), "since": now.strftime("%Y-%m-%d %H:%M:%S"), "command": command}


def _held(path: Path, target: Path) -> str:
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
        whom = f"process {who['pid']} (since {who['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        whom = "another process"
    return (
        f"{target}: is being written by {whom}; wait until it has ended, or choose another output"
    )
