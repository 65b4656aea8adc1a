"""Processes that work for this one: made ready, told how many threads they have, and ended.

A child ends on SIGTERM in order, and when the process that started it is gone, however that ended.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess

PATIENCE_SECONDS = 5
"""How long a child that was asked to end may take before it is killed."""

ENDED = 128 + signal.SIGTERM
"""Exit code of a child that was asked to end."""


def core_count() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def end_children(children: Iterable[BaseProcess]) -> None:
    """End what still runs: asked first, so that no half-written file remains."""
    children = list(children)
    for child in children:
        child.terminate()
    for child in children:
        child.join(PATIENCE_SECONDS)
        child.kill()


def why_ended(exit_code: int | None) -> str:
    """What ended a child, in words: `was ended by SIGKILL`, with the likely reason."""
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = "; most likely for lack of memory: use fewer jobs" if name == "SIGKILL" else ""
        return f"was ended by {name}{hint}"
    return f"ended with code {exit_code}" if exit_code else "failed"


# -- in a child ------------------------------------------------------------------------------


def begin_child(threads: int) -> None:
    """Make a new process ready: it ends on SIGTERM, and when the process that started it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends its children
    signal.signal(signal.SIGTERM, _exit)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    limit_threads(threads)


def limit_threads(threads: int) -> None:
    """Of torch, loaded or not, and of NumPy's libraries; fewer stay as they are."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, str(threads))
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(min(torch.get_num_threads(), threads))


def _exit(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.alarm(PATIENCE_SECONDS)
    sys.exit(ENDED)


def _end_with_parent() -> None:
    parent, main = parent_process(), threading.main_thread().ident
    assert parent is not None and main is not None
    parent.join()
    signal.pthread_kill(main, signal.SIGTERM)
