"""Which cores do what, and how memory is given back: what a process is told before it tracks."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch

_most: int | None = None
_is_ours = False


def use_cores(most: int) -> None:
    """Keep to so many cores in this process: others have the rest."""
    global _most
    _most = most
    torch.set_num_threads(min(torch.get_num_threads(), most))


def usable_cores() -> int:
    """Cores that this process may run on, and is to."""
    return _cores() if _most is None else min(_most, _cores())


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def leave_cores() -> None:
    """Have torch use half of the cores, so that two threads of ours do not fight over them.

    Two that each work on half are as fast as one that splits every operation, and several times as
    fast where other processes want the cores too: a split operation waits for its last part. What
    the user asked for (OMP_NUM_THREADS) stays.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, min(torch.get_num_threads(), usable_cores() // 2)))


def prepare_process() -> None:
    """What commands do before they load a model: `leave_cores`, and memory given back."""
    global _is_ours
    _is_ours = True
    leave_cores()
    give_back_memory()
    give_back_code()


def after_frame(number: int) -> None:
    """What a run does after its frame of that number, from 0, if the process is a command's.

    Code goes that only beginning needed, and now and then the memory that lies free between.
    """
    if _is_ours and number == 0:
        give_back_code()
    if _is_ours and number % _EVERY == 0:
        give_back_free()


_EVERY = 8
"""Frames after which free memory goes: pages are made anew at 2 to 3 microseconds each."""


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # their numbers in glibc's malloc.h
_OWN_FROM = 4 << 20
"""Bytes from which a tensor has pages of its own."""
_FREE_AT_END = 32 << 20
"""Bytes at the end of a heap that wait there for the next frame."""


def give_back_memory() -> None:
    """Have large tensors return to the system when they go, and small ones not, on Linux.

    glibc learns from the first large ones that go to keep their places for others, up to 32 MiB
    each; ours are of many sizes, so that the places fit few of them and 100 to 200 MiB more are
    held. The pages of smaller ones would be made anew too often, at 2 to 3 microseconds each: so
    the end of a heap is not given back for every picture. What the user asked for
    (MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_) stays.
    """
    set_option = getattr(_c_library(), "mallopt", None)  # other C libraries have none
    if set_option is None:
        return
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        set_option(_MMAP_THRESHOLD, _OWN_FROM)
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        set_option(_TRIM_THRESHOLD, _FREE_AT_END)


def give_back_free() -> None:
    """Have pages that lie free between others return to the system, with glibc on Linux.

    Windows, pictures and maps come and go in other sizes from frame to frame, so that a heap has
    ever more places that fit none of them.
    """
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))


_DONT_NEED = 4  # MADV_DONTNEED of madvise(2)


def give_back_code() -> None:
    """Have libraries' code that importing went through leave memory, on Linux.

    What is used again is mapped again where it is used: of 90 MiB after torch's import, two thirds
    are not. Code is let go, and what libraries only read; nothing that was written to.
    """
    advise = getattr(_c_library(), "madvise", None)
    if advise is None:
        return
    with suppress(OSError):
        for start, end in _unwritten(Path("/proc/self/smaps").read_text()):
            advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _DONT_NEED)


def _unwritten(maps: str) -> Iterator[tuple[int, int]]:
    """First and last address of what is mapped of files, cannot be written to and never was.

    maps: as /proc/PID/smaps says it. Addresses that the loader filled in are written ones.
    """
    place, is_read_only = "", False
    for line in maps.splitlines():
        name, *values = line.split(maxsplit=5)
        if not name.endswith(":"):
            access, _, _, file, *path = values
            place, is_read_only = name, access in ("r-xp", "r--p") and file != "0" and bool(path)
        elif name == "Anonymous:" and is_read_only and values[0] == "0":
            start, end = place.split("-")
            yield int(start, 16), int(end, 16)


def _c_library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform.startswith("linux") else None


def is_ahead_worth_it(device: torch.device) -> bool:
    """Whether a second thread finds idle cores, or has a device to wait for."""
    return device.type != "cpu" or 2 * torch.get_num_threads() <= usable_cores()
