"""Which cores do what: torch's own threads, and the thread that works on the next frames."""

from __future__ import annotations

import os

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


def is_ahead_worth_it(device: torch.device) -> bool:
    """Whether a second thread finds idle cores, or has a device to wait for."""
    return device.type != "cpu" or 2 * torch.get_num_threads() <= usable_cores()
