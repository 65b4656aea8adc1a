"""Workers that are processes of this machine; each dies alone, and another takes its place."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from os import _exit as end_at_once
from types import FrameType
from typing import Any

from chromatrack.batch.job import Job
from chromatrack.batch.work import Bench, Ended, Work
from chromatrack.errors import WorkerError
from chromatrack.runs.child_processes import ENDED, begin_child, end_children, why_ended

_BEGINNINGS, _PAUSE_SECONDS = 8, 0.2
"""How often a process is begun anew that dies before it has anything to do."""


@dataclass
class _Slot:
    """One worker: a pool of its own, which breaks without the others.

    others: the processes that there were before its own.
    """

    pool: ProcessPoolExecutor
    process: BaseProcess | None = None
    job: Job | None = None
    others: set[BaseProcess] = field(default_factory=set)

    def know(self) -> None:
        """Find its process, begun just now."""
        if self.process is None:
            self.process = next(iter(set(active_children()) - self.others), None)


class ProcessWorkers:
    """So many processes, begun as they are needed."""

    def __init__(self, work: Work, jobs: int) -> None:
        """No process is begun yet."""
        self._work = work
        self._context = _context(work.preload)
        self._slots = [_Slot(self._pool()) for _ in range(jobs)]
        self._running: dict[Future[dict[str, Any]], _Slot] = {}

    def free(self) -> int:
        """Workers without a job."""
        return sum(slot.job is None for slot in self._slots)

    def begin(self, job: Job, tries: int) -> None:
        """Give a job to a worker that has none."""
        slot = next(slot for slot in self._slots if slot.job is None)
        for attempt in range(_BEGINNINGS):
            try:
                self._submit(slot, job, tries)
            except (BrokenProcessPool, EOFError, OSError) as error:
                # it died while it had nothing to do, or what forks it did: that is no job's fault
                if attempt == _BEGINNINGS - 1:
                    raise WorkerError(f"jobs: no process can be begun ({error})") from error
                self._renew(slot)
                time.sleep(_PAUSE_SECONDS * attempt)  # what was killed may take a moment to be gone
            else:
                return

    def wait(self, seconds: float) -> Sequence[Ended]:
        """Jobs that ended since; comes back at the first, or after so many seconds."""
        done, _ = wait(self._running, seconds, FIRST_COMPLETED)
        return [self._ended(future) for future in done]

    def close(self) -> None:
        """End all processes: those that have nothing to do end by themselves."""
        busy = [slot for slot in self._slots if slot.job is not None]
        for slot in busy:  # Ctrl-C may have come before it was known
            slot.know()
        for slot in self._slots:
            if slot.job is None:
                slot.pool.shutdown()
        end_children(slot.process for slot in busy if slot.process is not None)
        for slot in busy:
            slot.pool.shutdown(cancel_futures=True)

    def _ended(self, future: Future[dict[str, Any]]) -> Ended:
        slot = self._running.pop(future)
        job, slot.job = slot.job, None
        assert job is not None
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            died = self._renew(slot)
            return Ended(job, died=f"its worker {died}")
        return Ended(job, error=error) if error else Ended(job, record=future.result())

    def _submit(self, slot: _Slot, job: Job, tries: int) -> None:
        if slot.process is None:
            slot.others = set(active_children())
        slot.job = job
        future = slot.pool.submit(_run, job, tries)
        self._running[future] = slot
        slot.know()

    def _renew(self, slot: _Slot) -> str:
        """Put a new pool in place of a broken one; why that broke."""
        slot.pool.shutdown(wait=False)
        code = None
        if slot.process is not None:
            slot.process.join(1)
            code = slot.process.exitcode
        slot.pool, slot.process = self._pool(), None
        return why_ended(code)

    def _pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, self._context, _begin, (self._work,))


def _context(preload: Sequence[str]) -> BaseContext:
    """Children of a process that has imported modules and done nothing with them, where possible.

    That is safe to fork, unlike this one with torch at work, and a new worker is there at once.
    """
    if sys.platform == "win32":
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([*preload])
    return context


# -- in a worker -----------------------------------------------------------------------------

_bench: Bench


def _begin(work: Work) -> None:
    global _bench
    begin_child(work.threads)
    _bench = Bench(work)
    in_order = signal.getsignal(signal.SIGTERM)
    assert callable(in_order)

    def end(number: int, frame: FrameType | None) -> None:
        if _bench.may_end_at_once:
            end_at_once(ENDED)
        in_order(number, frame)

    signal.signal(signal.SIGTERM, end)


def _run(job: Job, tries: int) -> dict[str, Any]:
    try:
        return _bench.run(job, tries)
    except SystemExit:  # by SIGTERM, and what was begun is cleared away; the pool would go on
        end_at_once(ENDED)


def check_in_processes(
    check: Callable[[Any], list[Any]], parts: Sequence[Any], jobs: int, preload: Sequence[str]
) -> list[Any]:
    """What `check` finds in all parts, in their order, some processes at a time."""
    with ProcessPoolExecutor(min(jobs, len(parts)), _context(preload), begin_child, (1,)) as pool:
        return [found for part in pool.map(check, parts) for found in part]
