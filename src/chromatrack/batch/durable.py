"""Files forced to disk, so that they are there after a power loss."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_AT_A_TIME = 16

_NO_SUCH_THING = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF})
"""What file systems say that cannot force anything to disk."""


def force_folder(folder: Path) -> None:
    """Force all files in a folder, and then the folders' own entries, to disk.

    Several files at a time: a disk takes their waits together (250 masks in a tenth of the time).

    Raises:
        OSError: the disk is full or broken. A file system without such a thing raises nothing.
    """
    inside = list(os.walk(folder, topdown=False))
    files = [Path(home, name) for home, _, names in inside for name in names]
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        list(threads.map(force, files))
    for home, _, _ in inside:
        force_entries(Path(home))


def force(path: Path) -> None:
    """Force a file's content to disk. Raises OSError as `force_folder`."""
    handle = os.open(path, os.O_RDWR)  # Windows forces only what may be written
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SUCH_THING:
            raise
    finally:
        os.close(handle)


def force_entries(folder: Path) -> None:
    """Force the names in a folder to disk, where folders can be opened. Raises OSError."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SUCH_THING:
            raise
    finally:
        os.close(handle)
