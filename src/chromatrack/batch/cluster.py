"""Workers on the machines of a Ray cluster: actors, each with a model loaded, a job at a time."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Sequence
from typing import Any

from chromatrack.batch.job import Job
from chromatrack.batch.work import Bench, Ended, Work
from chromatrack.errors import InputError, WorkerError
from chromatrack.runs.child_processes import limit_threads

REACHED_SECONDS = 10.0
"""How long to wait for an answer at a cluster's address."""

_MOST_CHARACTERS = 300  # of what Ray has to say of a death

LOOK_SECONDS = 10.0
"""How often it is asked whether machines came or went."""


class RayWorkers:
    """As many workers as the cluster has room for, which may change meanwhile."""

    def __init__(self, work: Work, address: str) -> None:
        """Join the cluster.

        Raises:
            InputError: Ray is not installed, or there is no cluster at the address.
        """
        try:
            import ray  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise InputError(
                "ray: expected the package, got none; install it with pip install 'chromatrack["
                "cluster]'"
            ) from None
        self._ray, self._work = ray, work
        self._is_own = not ray.is_initialized()
        if self._is_own:
            _check_reached(address)
            try:
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise _no_cluster(address, error) from error
        self._kind: Any = ray.remote(num_cpus=work.threads, max_restarts=0)(_Worker)
        self._idle: list[Any] = []
        self._running: dict[Any, tuple[Any, Job]] = {}
        self._room, self._looked = 0, 0.0

    def free(self) -> int:
        """Workers without a job, and room for more."""
        now = time.monotonic()
        if now - self._looked > LOOK_SECONDS or self._room == 0:
            self._looked = now
            self._room = int(self._ray.cluster_resources().get("CPU", 0) // self._work.threads)
        return max(0, self._room - len(self._running))

    def begin(self, job: Job, tries: int) -> None:
        """Give a job to a worker that has none; where it goes is Ray's to say."""
        worker = self._idle.pop() if self._idle else self._kind.remote(self._work)
        self._running[worker.run.remote(job, tries)] = worker, job

    def wait(self, seconds: float) -> Sequence[Ended]:
        """Jobs that ended since; comes back at the first, or after so many seconds."""
        done, _ = self._ray.wait([*self._running], num_returns=1, timeout=seconds)
        return [self._ended(future) for future in done]

    def close(self) -> None:
        """End all workers, and leave the cluster if it was joined here."""
        for worker in (*self._idle, *(worker for worker, _ in self._running.values())):
            self._ray.kill(worker)
        self._running.clear()
        if self._is_own:
            self._ray.shutdown()

    def _ended(self, future: Any) -> Ended:  # noqa: ANN401  (Ray's have no types here)
        worker, job = self._running.pop(future)
        errors = self._ray.exceptions
        try:
            record = self._ray.get(future)
        except errors.RayTaskError as failed:
            self._idle.append(worker)
            return Ended(job, error=failed.cause)
        except errors.RayActorError as died:
            self._looked = 0.0
            return Ended(job, died=f"its worker died ({_shortened(died)})")
        except errors.RayError as trouble:
            self._ray.kill(worker)
            return Ended(job, error=WorkerError(_shortened(trouble)))
        self._idle.append(worker)
        return Ended(job, record=record)


def _check_reached(address: str) -> None:
    """InputError where nobody answers at HOST:PORT; Ray itself would wait for minutes and exit."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: BaseException) -> InputError:
    return InputError(
        f"ray {address}: there is no cluster to join ({_shortened(error)}); start one with `ray "
        "start --head`, or leave --ray out"
    )


def _shortened(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} ..."


# -- in a worker -----------------------------------------------------------------------------


class _Worker:
    """On some machine: a bench."""

    def __init__(self, work: Work) -> None:
        limit_threads(work.threads)
        self._bench = Bench(work)

    def run(self, job: Job, tries: int) -> dict[str, Any]:
        """Its record; see `run_job`."""
        return self._bench.run(job, tries)
