"""The loop of a batch: what is to be done, who does it, and what is tried again."""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chromatrack.batch.claims import Claims
from chromatrack.batch.job import Commands, Job, failure_of, is_same
from chromatrack.batch.store import Store
from chromatrack.batch.work import Ended, Workers
from chromatrack.errors import ChromatrackError, InputError, OutputError, WorkerError

LOOK_SECONDS = 0.5
"""How often the loop looks around while nothing ends."""

AGAIN_SECONDS = 2.0
"""How often it looks for jobs that another driver had."""

SUMMED_SECONDS = 30.0
"""How often the index and the report are written meanwhile."""

MOST_DEATHS = 20
"""So many workers dying one after the other, and no job ending, is no job's fault."""

Record = dict[str, Any]


@dataclass
class Progress:
    """How far a batch is; `records` has all jobs of the manifest of which anything is known.

    mine: jobs that this driver is to do. done, failed, left: how many of them. running: jobs that
    workers have, by name, and since when. elsewhere: jobs that other drivers have.
    """

    jobs: Sequence[Job]
    mine: Sequence[Job]
    records: dict[str, Record] = field(default_factory=dict)
    running: dict[str, float] = field(default_factory=dict)
    elsewhere: int = 0
    skipped: int = 0
    ended: int = 0
    failed: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> int:
        """Jobs that are still to be done here, those that run among them."""
        return len(self.mine) - self.skipped - self.ended


@dataclass(frozen=True)
class News:
    """Something to tell. record: of the job that ended, if one did; again: it will be tried so."""

    progress: Progress
    job: Job | None = None
    record: Record | None = None
    again: str | None = None


Tell = Callable[[News], None]


@dataclass(frozen=True)
class Rules:
    """retries: how often a job is tried again that failed by no fault of its files. retry_failed:
    also what failed before and would again.
    """

    retries: int = 2
    retry_failed: bool = False


def shard_of(jobs: Sequence[Job], shard: tuple[int, int]) -> list[Job]:
    """Every so many-th job: of shard (i, n), counted from 1, those numbered i, i + n, ..."""
    number, count = shard
    return list(jobs[number - 1 :: count])


class Drive:
    """A batch being done by one driver."""

    def __init__(
        self,
        progress: Progress,
        commands: Commands,
        store: Store,
        claims: Claims,
        *,
        rules: Rules,
        tell: Tell,
        write: Callable[[Progress], None],
    ) -> None:
        """Nothing is done yet.

        Args:
            progress: with the jobs; nothing known.
            tell: called as something happens, and now and then.
            write: puts index and report into the store; called now and then, and at the end.
        """
        self.progress, self._commands, self._store, self._claims = progress, commands, store, claims
        self._rules, self._tell, self._write = rules, tell, write
        self._tries: dict[str, int] = {}
        self._deaths = 0
        self._todo: deque[Job] = deque()
        self._others: deque[Job] = deque()

    def plan(self) -> None:
        """Find out what is done already."""
        mine, told = {job.name for job in self.progress.mine}, self._store.told()
        for job in self.progress.jobs:
            known = self._known(job) if job.name in told else None
            if known is not None:
                self.progress.records[job.name] = known
            if job.name in mine:
                if known is None:
                    self._todo.append(job)
                else:
                    self.progress.skipped += 1
                    self.progress.failed += known["state"] == "failed"
        self._tell(News(self.progress))

    def run(self, workers: Workers) -> None:
        """Do all that is to be done.

        Raises:
            OutputError: the store cannot be written, whatever the job. WorkerError: every worker
                dies. KeyboardInterrupt.
        """
        try:
            self._loop(workers)
        finally:
            workers.close()
            for name in self.progress.running:
                self._claims.give_up(name)
            self.progress.running.clear()
            self._write(self.progress)

    def _loop(self, workers: Workers) -> None:
        looked = written = time.monotonic()
        while self._todo or self._others or self.progress.running:
            while self._todo and workers.free():
                self._begin(self._todo.popleft(), workers)
            ends = workers.wait(LOOK_SECONDS) if self.progress.running else []
            if not self.progress.running:
                time.sleep(LOOK_SECONDS / 10)
            for ended in ends:
                self._end(ended)
            now = time.monotonic()
            if self._others and now - looked > AGAIN_SECONDS:
                self._todo.extend(self._others)
                self._others.clear()
                looked = now
            if now - written > SUMMED_SECONDS:
                self._claims.clear_dead()
                self._write(self.progress)
                written = time.monotonic()
            self.progress.elsewhere = len(self._others)
            self._tell(News(self.progress))

    def _begin(self, job: Job, workers: Workers) -> None:
        running = self.progress.running
        running[job.name] = time.monotonic()  # before it is claimed: Ctrl-C may come between
        if not self._claims.take(job.name):
            del running[job.name]
            self._others.append(job)
            return
        known = self._known(job)
        if known is not None and not (known["state"] == "failed" and job.name in self._tries):
            self._leave(job)  # another driver has done it
            self._settle(job, known)
            return
        tries = self._tries[job.name] = self._tries.get(job.name, 0) + 1
        workers.begin(job, tries)

    def _end(self, ended: Ended) -> None:
        job = ended.job
        self._deaths = 0 if ended.died is None else self._deaths + 1
        if self._deaths >= MOST_DEATHS:
            self._leave(job)
            raise WorkerError(
                f"jobs: {self._deaths} workers died one after the other, the last one with "
                f"{job.name}: {ended.died}; what is done is kept"
            )
        if ended.record is not None:
            self._store.forgive(job.name)
            self._leave(job)
            self._settle(job, ended.record)
            return
        tries, lasts = self._tries[job.name], isinstance(ended.error, InputError)
        message = ended.died or _said(ended.error)
        if not lasts and tries <= self._rules.retries:
            self._leave(job)
            self._todo.append(job)
            self._tell(News(self.progress, job, again=message))
            return
        if _is_of_the_store(ended.error):
            self._leave(job)
            raise ended.error  # type: ignore[misc]
        record = failure_of(job, self._commands, message, tries=tries, lasts=lasts)
        self._store.fail(job.name, record)
        self._leave(job)
        self._settle(job, record)

    def _leave(self, job: Job) -> None:
        self._claims.give_up(job.name)
        self.progress.running.pop(job.name, None)  # not before: Ctrl-C may come between

    def _settle(self, job: Job, record: Record) -> None:
        self.progress.records[job.name] = record
        self.progress.ended += 1
        self.progress.failed += record["state"] == "failed"
        self._tell(News(self.progress, job, record))

    def _known(self, job: Job) -> Record | None:
        """The record of a job that needs not be done: it is done, or it would fail again."""
        record = self._store.record(job.name)
        if is_same(job, record, self._commands):
            return record
        failure = self._store.failure(job.name)
        if failure is None or not is_same(job, failure, self._commands):
            return None
        is_old = not failure["lasts"] or self._rules.retry_failed
        return None if is_old and not self._failed_now(failure) else failure

    def _failed_now(self, failure: Record) -> bool:
        """Whether another driver came to this while this one was at work."""
        return failure.get("ended", 0.0) > self._since

    @property
    def _since(self) -> float:
        return time.time() - (time.monotonic() - self.progress.began)


def _said(error: BaseException | None) -> str:
    """An error in a line; what was not foreseen says its kind and where it arose."""
    if isinstance(error, ChromatrackError):
        return str(error)
    where = ""
    trace = None if error is None else error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        where, trace = f" (line {trace.tb_lineno} of {code.co_filename})", trace.tb_next
    cause = str(error.__cause__).strip().splitlines() if error and error.__cause__ else []
    told = [line.strip() for line in cause if line.strip().startswith("File ")]
    where = f" ({told[-1]})" if told else where
    return f"{type(error).__name__}: {error}{where}"


def _is_of_the_store(error: BaseException | None) -> bool:
    """Whether the next job would fail for it, too: no room, no right to write."""
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    return full or isinstance(error, OutputError)
