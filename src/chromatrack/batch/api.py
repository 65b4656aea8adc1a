"""A batch from its manifest to its store, as the command line asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from chromatrack.batch.claims import Claims, new_driver
from chromatrack.batch.drive import Drive, Progress, Rules, Tell, shard_of
from chromatrack.batch.index import index_rows, write_index
from chromatrack.batch.job import Commands, Job, is_same
from chromatrack.batch.processes import ProcessWorkers
from chromatrack.batch.report import Report
from chromatrack.batch.store import Store
from chromatrack.batch.stores import open_store
from chromatrack.batch.work import Work, Workers

__all__ = ["Batch", "Rules", "run_batch"]


@dataclass(frozen=True)
class Batch:
    """What to do, and how.

    jobs: of the whole manifest. shard: (i, n), which of them are this driver's. commands: gives
    what they are made of. keep, preload: see `Work`. processes: workers of this machine. threads:
    of each. cluster: address of a Ray cluster, "auto" for the one at hand, None: none.
    """

    jobs: Sequence[Job]
    commands: Callable[[], Commands]
    keep: Callable[[int], AbstractContextManager[None]]
    processes: int = 1
    threads: int = 1
    shard: tuple[int, int] = (1, 1)
    cluster: str | None = None
    preload: tuple[str, ...] = ()
    rules: Rules = field(default_factory=Rules)


def run_batch(batch: Batch, path: str, *, tell: Tell) -> Progress:
    """Do all jobs of a shard that are not done yet, each in a worker.

    Args:
        path: of the store, new or of an earlier batch, or its URL.
        tell: called as something happens, and now and then.

    Raises:
        InputError: the store is none. OutputError: it cannot be written. KeyboardInterrupt: what
            was done by then is in the store, and its index and report say so.
    """
    store = open_store(path, new_driver())
    claims, report, commands = Claims(store), Report(store), batch.commands()
    progress = Progress(batch.jobs, shard_of(batch.jobs, batch.shard))

    def write(progress: Progress) -> None:
        look_again(progress, store, commands)
        running = [*progress.running, *claims.held()]
        rows = index_rows(progress.jobs, progress.records, running=running)
        write_index(store, rows)
        report.write(rows, progress.records, skipped=progress.skipped)

    with claims.living():
        drive = Drive(progress, commands, store, claims, rules=batch.rules, tell=tell, write=write)
        drive.plan()
        drive.run(_workers(batch, store) if progress.left else _Nobody())
        if claims.is_alone():  # else another driver may have a manifest of its own
            store.forget_left({j.name for j in progress.jobs if j.name not in progress.records})
    return progress


def look_again(progress: Progress, store: Store, commands: Commands) -> None:
    """Take in what other drivers have done of the manifest meanwhile."""
    told = store.told()
    for job in progress.jobs:
        if job.name not in told or job.name in progress.records or job.name in progress.running:
            continue
        for record in (store.record(job.name), store.failure(job.name)):
            if is_same(job, record, commands):
                assert record is not None
                progress.records[job.name] = record
                break


def _workers(batch: Batch, store: Store) -> Workers:
    work = Work(store, batch.commands, batch.keep, batch.threads, batch.preload)
    if batch.cluster is not None:
        from chromatrack.batch.cluster import RayWorkers

        return RayWorkers(work, batch.cluster)
    return ProcessWorkers(work, batch.processes)


class _Nobody:
    """Workers for no job."""

    def free(self) -> int:
        return 0

    def begin(self, job: Job, tries: int) -> None:
        raise AssertionError(job, tries)

    def wait(self, seconds: float) -> list:
        raise AssertionError(seconds)

    def close(self) -> None:
        pass
