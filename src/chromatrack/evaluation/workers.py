"""Clips measured in several processes, each one clip at a time: memory holds `jobs` clips at most.

Processes are spawned, not forked: this one has torch loaded, whose threads a fork does not copy but
whose locks it does, so that a forked child may hang at its first convolution.
"""

from __future__ import annotations

import functools
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

from chromatrack.errors import ChromatrackError, InputError, StoppedError, WorkerError
from chromatrack.evaluation.cache import CANNOT_PICKLE
from chromatrack.runs.child_processes import (
    ENDED,
    begin_child,
    core_count,
    end_children,
    limit_threads,
    why_ended,
)

TICKS_SECONDS = 0.1
"""How often workers are asked for the frames they have done."""

Tick = Callable[[str], None]
"""Called with a clip's name when one more of its frames is done."""

CANNOT_UNPICKLE = (pickle.UnpicklingError, AttributeError, TypeError, ImportError, EOFError)


@dataclass(frozen=True)
class Work:
    """Clips, and what measures them: `measure(clip, tracker=, folder=, tick=)` gives a report."""

    measure: Callable[..., dict[str, Any]]
    clips: Sequence[Any]
    tracker: Any
    folder: Path | None

    def measured(self, clip: Any, tick: Tick) -> tuple[dict[str, Any], float]:  # noqa: ANN401
        """The report of one clip, and the seconds of wall time that measuring it took."""
        began = time.perf_counter()
        report = self.measure(
            clip, tracker=self.tracker, folder=self.folder, tick=lambda: tick(clip.name)
        )
        return report, time.perf_counter() - began


Measured = tuple[Any, dict[str, Any], float]
"""A clip, its report and the seconds it took."""


def measure_here(work: Work, *, tick: Tick) -> Generator[Measured, None, None]:
    """Measure clip after clip in this process."""
    for clip in work.clips:
        yield (clip, *work.measured(clip, tick))


def measure_in_processes(work: Work, *, tick: Tick, jobs: int) -> Generator[Measured, None, None]:
    """Measure `jobs` clips at a time, the longest first; they come as they are finished.

    Each process has cores / jobs threads. Close the generator to end them all at once.

    Raises:
        InputError: `measure` or `tracker` cannot be sent to another process.
        WorkerError: a process died.
        Exception: what `measure` raised there.
    """
    packed, begun = _pack(work), []
    context, others = get_context("spawn"), set(active_children())
    news = context.SimpleQueue()
    given = (packed, news, max(1, core_count() // jobs))
    pool = ProcessPoolExecutor(min(jobs, len(work.clips)), context, _begin, given)
    order = sorted(range(len(work.clips)), key=lambda i: work.clips[i].frame_count, reverse=True)
    waiting = {pool.submit(_measure, index): work.clips[index] for index in order}
    workers = set(active_children()) - others
    try:
        while waiting:
            finished, _ = wait(waiting, TICKS_SECONDS, FIRST_COMPLETED)
            while not news.empty():
                name, has_begun = news.get()
                if has_begun:
                    begun.append(name)
                else:
                    tick(name)
            for future in finished:
                clip, error = waiting.pop(future), future.exception()
                if error and not isinstance(error, ChromatrackError | BrokenProcessPool):
                    error.add_note(f"while measuring '{clip.name}'")
                report, seconds = future.result()
                begun.remove(clip.name)
                yield clip, report, seconds
        pool.shutdown()
    except BrokenProcessPool:
        pool.shutdown()
        raise WorkerError(_obituary([worker.exitcode for worker in workers], begun)) from None
    finally:
        end_children(workers)
        pool.shutdown(cancel_futures=True)


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM raises StoppedError in here, so that what was begun is cleared up.

    Outside the main thread, or where the program has its own handler, nothing is changed.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def handle(*_: object) -> None:
        raise StoppedError("stopped by SIGTERM")

    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _pack(work: Work) -> bytes:
    try:
        return pickle.dumps(work)
    except CANNOT_PICKLE as error:
        raise InputError(
            f"jobs: the tracker ({type(work.tracker).__name__}) cannot be sent to other processes "
            f"({error}); use jobs=1, or make it of functions and classes of a module"
        ) from error


def _obituary(exit_codes: Sequence[int | None], begun: Sequence[str]) -> str:
    """Why there are no more workers; those that were well are ended by SIGTERM."""
    doing = f"while measuring {' or '.join(map(repr, begun))}" if begun else "before its first clip"
    died = [code for code in exit_codes if code not in (None, 0, -signal.SIGTERM, ENDED)]
    if died and died[0] < 0:
        how, _, hint = why_ended(died[0]).partition("; ")
        return f"a worker process {how} {doing}{hint and '; ' + hint}"
    return f"a worker process failed {doing} (it has said why above)"


# -- in a worker ---------------------------------------------------------------------------------

_given: tuple[bytes, Any, int]
"""The pickled work, where to tell of clips and frames, and how many threads there may be."""


def _begin(packed: bytes, news: Any, threads: int) -> None:  # noqa: ANN401  (a queue)
    """Make a new process ready: it ends on SIGTERM, and when the process that started it does."""
    global _given
    _given = packed, news, threads
    begin_child(threads)


@functools.cache
def _work() -> Work:
    packed, _, threads = _given
    try:
        work = pickle.loads(packed)
    except CANNOT_UNPICKLE as error:
        why = f"jobs: the tracker cannot be rebuilt in another process ({error}); use jobs=1"
        raise InputError(why) from error
    limit_threads(threads)  # torch may be loaded only now
    return work


def _measure(index: int) -> tuple[dict[str, Any], float]:
    try:
        clip, news = _work().clips[index], _given[1]
        news.put((clip.name, True))
        return _work().measured(clip, lambda name: news.put((name, False)))
    except SystemExit:  # by SIGTERM, and temporary files are cleared up; the pool would go on
        os._exit(ENDED)
