"""Processes of their own that answer requests: decoding and the model.

What one of them dies of takes nothing with it: requests it had are refused, it is told, and the
next request starts it anew. One that loses the server ends itself.
"""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from chromatrack.errors import ChromatrackError, WorkerError

_LOG = logging.getLogger(__name__)

Handler = Callable[..., Any]

_OUR_FAULTS = (
    *(MemoryError, RuntimeError, OSError, ValueError, ArithmeticError),
    *(LookupError, TypeError, AttributeError, AssertionError),
)
"""What a request may fail by without the worker's end: it is logged and told."""


class Channel:
    """A worker's end: takes requests, gives answers and tells news.

    A long request calls `serve_waiting` between its steps, so that short ones need not wait. It has
    a `ticket`, by which it can be stopped, also before it came.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._handlers: Mapping[str, Handler] = {}
        self.is_stopped = False
        self._stopped: set[int] = set()
        self._later: deque[Any] = deque()
        self._short: Collection[str] = ()
        self._is_ending = False
        self._ticket = -1

    def tell(self, news: Mapping[str, Any]) -> None:
        """Send something that nobody asked for."""
        self._connection.send(("news", None, dict(news)))

    def serve(
        self,
        handlers: Mapping[str, Handler],
        idle: Callable[[], bool],
        *,
        short: Collection[str] = (),
    ) -> None:
        """Answer requests until the server is gone.

        idle: called while nothing waits; does a bit of work, and says whether there is more.
        short: requests that `check` answers in the midst of others; they have no ticket.
        """
        self._handlers, self._short = handlers, short
        more = True
        while True:
            more = True if self._is_asked() else more
            if more and not self._is_asked():
                more = idle()
                continue
            self._take()
            more = True

    def serve_waiting(self) -> None:
        """Answer what waits now. Raises KeyboardInterrupt once a stop was asked for."""
        try:
            while self._is_asked():
                self._take()
        except (EOFError, OSError):
            self.is_stopped = self._is_ending = True
        if self.is_stopped:
            raise KeyboardInterrupt

    def serve_next(self) -> None:
        """Wait for one request and answer it. Raises as `serve_waiting`."""
        try:
            self._take()
        except (EOFError, OSError):
            self.is_stopped = self._is_ending = True
        if self.is_stopped:
            raise KeyboardInterrupt

    def check(self) -> None:
        """For a request that is short itself: raises KeyboardInterrupt once it is given up.

        Other requests wait, but for those that are shorter still.
        """
        self.answer_short()
        if self.is_stopped:
            raise KeyboardInterrupt

    def answer_short(self) -> None:
        """Answer those of the requests that wait that are answered in the midst of others."""
        try:
            while self._connection.poll(0):
                number, name, given = self._connection.recv()
                if name == "stop":
                    self._stop(given.get("ticket"))
                elif name in self._short:
                    self._answer(number, name, given)
                else:
                    self._later.append((number, name, given))
        except (EOFError, OSError):
            self.is_stopped = self._is_ending = True

    def _is_asked(self) -> bool:
        return bool(self._later) or self._connection.poll(0)

    def _take(self) -> None:
        number, name, given = self._later.popleft() if self._later else self._connection.recv()
        if name == "stop":
            self._stop(given.get("ticket"))
            return
        ticket = given.pop("ticket", None)
        if ticket is not None:
            self._ticket = ticket
            self.is_stopped = self._is_ending or ticket in self._stopped
        self._answer(number, name, given)

    def _answer(self, number: int, name: str, given: dict[str, Any]) -> None:
        try:
            answer = ("answer", number, self._handlers[name](**given))
        except ChromatrackError as error:
            answer = ("refused", number, error)
        except KeyboardInterrupt as interrupt:
            answer = ("stopped", number, str(interrupt))
        except _OUR_FAULTS as error:
            _LOG.exception("a request failed: %s", name)
            answer = ("refused", number, WorkerError(f"{type(error).__name__}: {error}"))
        self._connection.send(answer)

    def _stop(self, ticket: int | None) -> None:
        """Of one long request, or of all that come."""
        if ticket is None:
            self._is_ending = True
        else:
            self._stopped.add(ticket)
        self.is_stopped = self._is_ending or self._ticket in self._stopped


def run_worker(connection: Connection, main: Callable[[Channel], None]) -> None:
    """What a worker's process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the server's terminal; it will tell
    warnings.simplefilter("ignore")
    with suppress(EOFError, OSError, KeyboardInterrupt):
        main(Channel(connection))
    os._exit(0)


class StoppedJob(ChromatrackError):
    """What a request was answered with that was stopped before its end."""


class Worker:
    """The server's end of a worker.

    main: what its process runs, a function of a module. on_news: called in a thread of its own
    with what the worker tells. on_death: called there with a line when it died.
    """

    def __init__(
        self,
        name: str,
        main: Callable[[Channel], None],
        *,
        on_news: Callable[[dict[str, Any]], None],
        on_death: Callable[[str], None],
    ) -> None:
        self.name = name
        self._main, self._on_news, self._on_death = main, on_news, on_death
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[Any]] = {}
        self._connection: Connection | None = None
        self._process: BaseProcess | None = None
        self._is_closing = False

    @property
    def pid(self) -> int | None:
        """Of its process, None before it began."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Begin its process, if it has none."""
        with self._lock:
            self._start()

    def _start(self) -> Connection:
        if self._connection is not None:
            return self._connection
        if self._is_closing:
            raise WorkerError("the studio is closing")
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(
            target=run_worker, args=(there, self._main), name=self.name, daemon=True
        )
        process.start()
        self._process = process
        there.close()
        self._connection = here
        threading.Thread(
            target=self._listen, args=(here, process), name=self.name, daemon=True
        ).start()
        return here

    def ask(self, request: str, /, **given: Any) -> Future[Any]:  # noqa: ANN401
        """Send a request; its answer, or what was raised there, comes in the future."""
        future: Future[Any] = Future()
        with self._lock:
            number = next(self._numbers)
            try:
                connection = self._start()
                self._waiting[number] = future
                connection.send((number, request, given))
            except OSError:  # it is dying: the listener tells
                self._waiting.pop(number, None)
                future.set_exception(self._death())
            except WorkerError as error:
                future.set_exception(error)
        return future

    def stop(self, ticket: int) -> None:
        """Ask for the end of the request that has a ticket, whether it has come there or not."""
        with self._lock, suppress(OSError, WorkerError):
            self._start().send((-1, "stop", {"ticket": ticket}))

    def _death(self) -> WorkerError:
        return WorkerError(f"the {self.name} ended unexpectedly; it starts anew, try again")

    def _listen(self, here: Connection, process: BaseProcess) -> None:
        while True:
            try:
                kind, number, value = here.recv()
            except (EOFError, OSError):
                break
            if kind == "news":
                self._on_news(value)
                continue
            with self._lock:
                future = self._waiting.pop(number, None)
            if future is None or not future.set_running_or_notify_cancel():
                continue
            if kind == "answer":
                future.set_result(value)
            elif kind == "stopped":
                future.set_exception(StoppedJob(value or "stopped"))
            else:
                future.set_exception(value)
        process.join(5)
        with self._lock:
            if self._connection is here:
                self._connection = None
            waiting, self._waiting = self._waiting, {}
            is_closing = self._is_closing
        here.close()
        for future in waiting.values():
            if future.set_running_or_notify_cancel():
                future.set_exception(self._death())
        if not is_closing:
            code = process.exitcode
            self._on_death(f"the {self.name} ended unexpectedly (exit code {code})")

    def close(self) -> None:
        """End its process; what is done so far of a job is put in place first."""
        with self._lock:
            self._is_closing = True
            connection, process = self._connection, self._process
            if connection is not None:
                with suppress(OSError):
                    connection.send((-1, "stop", {}))
        if process is None or connection is None:
            return
        for future in list(self._waiting.values()):
            with suppress(Exception):
                future.result(timeout=20)
        process.terminate()
        process.join(5)
        if process.is_alive():
            process.kill()
