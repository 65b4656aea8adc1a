"""Who does which job, where several drivers share a store; what a dead one had is free again.

Claims save work and are not what correctness rests on: were a job done twice, both would put the
same output in place.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from chromatrack.batch.store import Store
from chromatrack.json_text import json_text

BEAT_SECONDS = 5.0
"""How often a driver says that it lives."""

SILENT_SECONDS = 30.0
"""A driver of another machine that was silent for so long, as watched from here, is dead."""


def new_driver() -> str:
    """A name for this driver, of no other on any machine."""
    host = "".join(c for c in socket.gethostname() if c.isalnum() or c == "-")[:40]
    return f"{host or 'host'}-{os.getpid()}-{token_hex(4)}"


class Claims:
    """The jobs that this driver has, and who has the others."""

    def __init__(self, store: Store, *, silent_seconds: float = SILENT_SECONDS) -> None:
        """Nothing is written before `living`."""
        self._store, self._silent = store, silent_seconds
        self._watched: dict[str, tuple[str, float]] = {}  # driver: what it said last, since when

    @contextmanager
    def living(self) -> Iterator[None]:
        """Say that this driver lives while the block runs; clear what dead ones left."""
        own = self._store.inside("drivers", self._store.driver)
        ended = threading.Event()

        def beat() -> None:
            count = 0
            while not ended.wait(BEAT_SECONDS):
                count += 1
                with suppress(OSError):
                    self._store.put(_who(count), *own)

        # its name is there before anything else of it, and goes last: what has no name is dead
        self._store.put(_who(0), *own)
        self._store.begin()
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            self.clear_dead()
            yield
        finally:
            ended.set()
            thread.join()
            self._store.close()
            with suppress(OSError):
                self._store.remove(*own)

    def take(self, name: str) -> bool:
        """Whether the job is this driver's now: nobody had it, or who had it is dead."""
        path = self._store.inside("claims", name)
        if self._store.create(self._store.driver, *path):
            return True
        owner = self._store.read_text(*path)
        if owner and not self._is_dead(owner):
            return False
        self._store.put(self._store.driver, *path)
        return self._store.read_text(*path) == self._store.driver

    def give_up(self, name: str) -> None:
        """Leave a job to others."""
        path = self._store.inside("claims", name)
        if self._store.read_text(*path) == self._store.driver:
            with suppress(OSError):
                self._store.remove(*path)

    def held(self) -> list[str]:
        """Jobs that somebody has."""
        return self._store.names(*self._store.inside("claims"))

    def is_alone(self) -> bool:
        """Whether no other driver is known to be at work on the store."""
        drivers = self._store.names(*self._store.inside("drivers"))
        return all(self._is_dead(n) for n in drivers if n[0] != "." and n != self._store.driver)

    def clear_dead(self) -> None:
        """Remove what dead drivers left: their claims, their work and their names."""
        names = {*self._store.names(*self._store.inside("drivers")), *self._store.works()}
        dead = {n for n in names if n[0] != "." and n[-5:] != ".gone" and self._is_dead(n)}
        self._store.clear(dead)
        if dead:
            for claim in (self._store.inside("claims", name) for name in self.held()):
                if self._store.read_text(*claim) in dead:
                    self._store.remove(*claim)
        for name in dead:
            self._store.remove(*self._store.inside("drivers", name))

    def _is_dead(self, driver: str) -> bool:
        if driver == self._store.driver:
            return False
        said = self._store.read_text(*self._store.inside("drivers", driver))
        if not said:
            return True
        try:
            who = json.loads(said)
            machine, process, since = who["machine"], int(who["process"]), who["since"]
        except (ValueError, KeyError, TypeError):
            return self._was_silent(driver, said)
        if machine is not None and machine == _machine():
            return _since(process) != since
        return self._was_silent(driver, said)

    def _was_silent(self, driver: str, said: str) -> bool:
        """Whether it has said nothing new for long, by our own clock alone."""
        now = time.monotonic()
        last, since = self._watched.get(driver, (None, now))
        if last != said:
            self._watched[driver] = said, now
            return False
        return now - since > self._silent


def _who(count: int) -> str:
    """What a driver says of itself, new at each count."""
    process = os.getpid()
    return json_text(
        {"machine": _machine(), "process": process, "since": _since(process), "beat": count}
    )


def _machine() -> str | None:
    """Where numbers of processes mean the same; None where that cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  (no path: pid:[4026531836])
    except OSError:
        return None
    return f"{socket.gethostname()} {boot} {space}"


def _since(process: int) -> str | None:
    """When a process began, in the system's ticks; None where there is none such."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]
