"""Clips measured in several processes, each one clip at a time: memory holds `jobs` clips at most.

Processes are spawned, not forked: this one has torch loaded, whose threads a fork does not copy but
whose locks it does, so that a forked child may hang at its first convolution.

A worker ends when its pipe closes, so none outlives this process, however it ends.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from chromatrack.errors import ChromatrackError, InputError, StoppedError, WorkerError

TICKS_SECONDS = 0.1
"""A worker tells of its frames at most this often."""

PATIENCE_SECONDS = 5.0
"""How long a worker that was asked to end may take before it is killed."""

Tick = Callable[[str, int], None]
"""Called with a clip's name and how many more of its frames are done."""

CANNOT_PICKLE = (pickle.PicklingError, AttributeError, TypeError)
CANNOT_UNPICKLE = (pickle.UnpicklingError, AttributeError, TypeError, ImportError, EOFError)
PIPE_CLOSED = (EOFError, BrokenPipeError, ConnectionResetError)


@dataclass(frozen=True)
class Measured:
    """One clip's report; `seconds` of wall time that measuring it took."""

    name: str
    report: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class _Ready:
    """A worker has what it needs, and waits for a clip."""


@dataclass(frozen=True)
class _Ticks:
    count: int


@dataclass(frozen=True)
class _Job:
    """What a worker is given once."""

    measure: Callable[..., dict[str, Any]]
    tracker: Any
    folder: Path | None


def measure_here(
    measure: Callable[..., dict[str, Any]],
    clips: Sequence[Any],
    *,
    tracker: Any,  # noqa: ANN401
    folder: Path | None,
    tick: Tick,
) -> Generator[Measured, None, None]:
    """Measure clip after clip in this process."""
    for clip in clips:
        yield _measure_one(measure, clip, tracker=tracker, folder=folder, tick=tick)


def measure_in_processes(
    measure: Callable[..., dict[str, Any]],
    clips: Sequence[Any],
    *,
    tracker: Any,  # noqa: ANN401
    folder: Path | None,
    tick: Tick,
    jobs: int,
) -> Generator[Measured, None, None]:
    """Measure `jobs` clips at a time, the longest first; reports come as clips are finished.

    Each process has cores / jobs threads. Close the generator to end them all at once.

    Raises:
        InputError: `measure` or `tracker` cannot be sent to another process.
        WorkerError: a process died.
        ChromatrackError: what `measure` raised there.
    """
    packed = _pack(_Job(measure, tracker, folder))
    waiting = sorted(clips, key=lambda clip: clip.frame_count)
    crew = _start(min(jobs, len(clips)), packed, threads=max(1, core_count() // jobs))
    held: dict[Connection, Any] = {}
    try:
        while crew:
            for pipe in wait(list(crew)):
                assert isinstance(pipe, Connection)
                said = _receive(pipe, crew[pipe], held.get(pipe))
                match said:
                    case _Ticks(count):
                        tick(held[pipe].name, count)
                        continue
                    case Measured():
                        yield said
                    case ChromatrackError():
                        raise said
                held[pipe] = waiting.pop() if waiting else None
                pipe.send(held[pipe])
                if held[pipe] is None:
                    crew.pop(pipe).join()
    finally:
        _end(crew.values())


def core_count() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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


def _pack(job: _Job) -> bytes:
    try:
        return pickle.dumps(job)
    except CANNOT_PICKLE as error:
        raise InputError(
            f"jobs: the tracker ({type(job.tracker).__name__}) cannot be sent to other processes "
            f"({error}); use jobs=1, or make it of functions and classes of a module"
        ) from error


def _start(count: int, packed: bytes, *, threads: int) -> dict[Connection, BaseProcess]:
    """Workers by this process's end of their pipes."""
    context, crew = get_context("spawn"), {}
    for _ in range(count):
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, packed, threads), daemon=True)
        process.start()
        theirs.close()  # the worker's is the only one now: it closes when the worker ends
        crew[ours] = process
    return crew


def _end(processes: Iterable[BaseProcess]) -> None:
    """End what still runs: asked first, so that no half-written file remains."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(PATIENCE_SECONDS)
        process.kill()
        process.join()


def _receive(pipe: Connection, process: BaseProcess, clip: Any | None) -> object:  # noqa: ANN401
    try:
        return pipe.recv()
    except PIPE_CLOSED:
        process.join()
        raise WorkerError(_obituary(process.exitcode or 0, clip)) from None


def _obituary(exit_code: int, clip: Any | None) -> str:  # noqa: ANN401
    doing = "before its first clip" if clip is None else f"while measuring '{clip.name}'"
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = "; most likely for lack of memory: use fewer jobs" if name == "SIGKILL" else ""
        return f"a worker process was ended by {name} {doing}{hint}"
    return f"a worker process failed {doing} (exit code {exit_code}; it has said why above)"


def _measure_one(
    measure: Callable[..., dict[str, Any]],
    clip: Any,  # noqa: ANN401
    *,
    tracker: Any,  # noqa: ANN401
    folder: Path | None,
    tick: Tick,
) -> Measured:
    began = time.perf_counter()
    report = measure(clip, tracker=tracker, folder=folder, tick=lambda: tick(clip.name, 1))
    return Measured(clip.name, report, time.perf_counter() - began)


# -- in a worker ---------------------------------------------------------------------------------


def _work(pipe: Connection, packed: bytes, threads: int) -> None:
    """Measure clips as they come, until None comes or the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends the workers
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    _limit_threads(threads)
    try:
        job = pickle.loads(packed)
    except CANNOT_UNPICKLE as error:
        why = f"jobs: the tracker cannot be rebuilt in another process ({error}); use jobs=1"
        _send(pipe, InputError(why))
        return
    _limit_threads(threads)
    _send(pipe, _Ready())
    while (clip := _next_clip(pipe)) is not None:
        ticker = _Ticker(pipe)
        try:
            said = _measure_one(
                job.measure, clip, tracker=job.tracker, folder=job.folder, tick=ticker.tick
            )
        except ChromatrackError as error:
            said = error
        ticker.flush()
        _send(pipe, said)


class _Ticker:
    """Gathers ticks, and sends their number now and then."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.count, self.sent = 0, time.monotonic()

    def tick(self, _: str, count: int) -> None:
        self.count += count
        if time.monotonic() - self.sent >= TICKS_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self.count:
            _send(self.pipe, _Ticks(self.count))
        self.count, self.sent = 0, time.monotonic()


def _send(pipe: Connection, message: object) -> None:
    try:
        pipe.send(message)
    except PIPE_CLOSED:
        sys.exit(1)  # the parent is gone: nobody to measure for


def _next_clip(pipe: Connection) -> Any | None:  # noqa: ANN401
    try:
        return pipe.recv()
    except PIPE_CLOSED:
        return None


def _limit_threads(threads: int) -> None:
    """Of torch, loaded or not, and of NumPy's libraries; fewer stay as they are."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, str(threads))
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(min(torch.get_num_threads(), threads))
