"""Which cores do what, and how memory is given back: what a process is told before it tracks."""

from __future__ import annotations

import ctypes
import os
import sys

import torch

_most: int | None = None


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
    """What commands do before they load a model: `leave_cores` and `give_back_memory`."""
    leave_cores()
    give_back_memory()


_MMAP_THRESHOLD = -3  # its number in glibc's malloc.h
_OWN_FROM = 4 << 20
"""Bytes from which a tensor has pages of its own."""


def give_back_memory() -> None:
    """Have large tensors return to the system when they go, on Linux.

    glibc learns from the first large ones that go to keep their places for others, up to 32 MiB
    each; ours are of many sizes, so that the places fit few of them and 100 to 200 MiB more are
    held. The pages of smaller ones would be made anew too often. What the user asked for
    (MALLOC_MMAP_THRESHOLD_) stays.
    """
    if not sys.platform.startswith("linux") or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, _OWN_FROM)


def is_ahead_worth_it(device: torch.device) -> bool:
    """Whether a second thread finds idle cores, or has a device to wait for."""
    return device.type != "cpu" or 2 * torch.get_num_threads() <= usable_cores()
