"""The newest item of a source: what is dropped is counted, and errors and the end come last."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from chromatrack.video.newest import Newest, StalledError


class Scripted:
    """Gives numbers when told to, from the reading thread."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self._allowed = threading.Semaphore(0)
        self.given = 0

    def items(self, count: int, error: Exception | None = None) -> Iterator[int]:
        try:
            for number in range(count):
                self._allowed.acquire()
                self.given += 1
                yield number
            if error is not None:
                raise error
        finally:
            self.closed.set()

    def give(self, count: int) -> None:
        for _ in range(count):
            self._allowed.release()


def held(newest: Newest[int], number: int) -> None:
    """Wait until an item is the one that is held."""
    with newest._changed:
        assert newest._changed.wait_for(lambda: newest._held == [number], 20)


def test_the_newest_is_taken_and_the_rest_counted():
    script = Scripted()
    with Newest(script.items(6)) as newest:
        script.give(1)
        assert newest.take(timeout=20) == 0
        script.give(4)
        held(newest, 4)
        assert newest.take(timeout=20) == 4
        script.give(1)
        assert newest.take(timeout=20) == 5
        assert newest.take(timeout=20) is None
        assert (newest.taken, newest.dropped) == (3, 3)
    assert script.closed.wait(20)


def test_with_every_the_source_waits():
    with Newest(iter(range(50)), every=True) as newest:
        assert [newest.take(timeout=20) for _ in range(51)] == [*range(50), None]
        assert newest.dropped == 0


def test_an_error_comes_behind_the_last_item():
    script = Scripted()
    with Newest(script.items(1, ValueError("gone"))) as newest:
        script.give(1)
        assert script.closed.wait(20)
        assert newest.take(timeout=20) == 0
        with pytest.raises(ValueError, match="gone"):
            newest.take(timeout=20)


def test_a_source_that_stalls_is_told_of():
    script, asked = Scripted(), []
    with Newest(script.items(1)) as newest:
        with pytest.raises(StalledError, match=r"0\.01 s"):
            newest.take(timeout=0.01, idle=lambda: asked.append(1))
        assert asked
        script.give(1)
        assert newest.take(timeout=20) == 0


def test_an_interruption_ends_the_waiting():
    def stop() -> None:
        raise KeyboardInterrupt

    script = Scripted()
    with pytest.raises(KeyboardInterrupt), Newest(script.items(1)) as newest:
        newest.take(timeout=20, idle=stop)
    script.give(1)
    assert script.closed.wait(20)


def test_leaving_ends_a_source_without_an_end():
    def forever() -> Iterator[int]:
        number = 0
        try:
            while True:
                number += 1
                yield number
        finally:
            closed.set()

    closed = threading.Event()
    with Newest(forever(), every=True) as newest:
        assert newest.take(timeout=20) == 1
    assert closed.wait(20)
