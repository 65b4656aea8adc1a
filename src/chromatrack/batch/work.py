"""What a worker is given, what it does with a job, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from chromatrack.batch.job import Commands, Job, run_job
from chromatrack.batch.remote import is_remote
from chromatrack.batch.store import Store


@dataclass(frozen=True)
class Work:
    """The same for all jobs of a batch; sent to every worker once.

    commands: gives what jobs are made of. keep: a context, given the threads, in which what is
    loaded for one job, such as a model, is kept for the next. threads: of each worker. preload:
    modules that all workers need, loaded before they are begun where that can be.
    """

    store: Store
    commands: Callable[[], Commands]
    keep: Callable[[int], AbstractContextManager[None]]
    threads: int = 1
    preload: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ended:
    """A job that a worker has no more: its record, or what it raised, or what ended the worker."""

    job: Job
    record: dict[str, Any] | None = None
    error: BaseException | None = None
    died: str | None = None


class Workers(Protocol):
    """Processes here or elsewhere, each with one job at a time."""

    def free(self) -> int:
        """How many more jobs can be begun now."""
        ...

    def begin(self, job: Job, tries: int) -> None:
        """Give a job to a worker that has none."""
        ...

    def wait(self, seconds: float) -> Sequence[Ended]:
        """Jobs that ended since; comes back at the first, or after so many seconds."""
        ...

    def close(self) -> None:
        """End all workers; what they were doing is cleared away."""
        ...


class Bench:
    """In a worker: where jobs are done, with what is kept between them.

    may_end_at_once: nothing but the store would be left by a worker that ends on the spot, and the
    next one goes on with that.
    """

    def __init__(self, work: Work) -> None:
        """Load nothing yet: the first job does."""
        self._work, self._kept = work, ExitStack()
        self.may_end_at_once = False
        self._commands: Commands | None = None

    def run(self, job: Job, tries: int) -> dict[str, Any]:
        """Do a job; see `run_job`."""
        if self._commands is None:
            self._kept.enter_context(self._work.keep(self._work.threads))
            self._commands = self._work.commands()
        elsewhere = (text for _, text in job.inputs(self._commands).named)
        self.may_end_at_once = not any(map(is_remote, (self._work.store.path, *elsewhere)))
        return run_job(job, self._commands, self._work.store, tries=tries)
