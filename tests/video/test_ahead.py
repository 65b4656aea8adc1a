"""Items made ahead in another thread: the same ones, the same errors, and an end."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.video.ahead import Behind, ahead


def threads_of_ours() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("chromatrack-ahead")]


@given(st.lists(st.integers()), st.integers(1, 4))
def test_the_items_come_in_order(items, depth):
    assert list(ahead(items, depth=depth)) == items
    assert not threads_of_ours()


def test_they_are_made_in_another_thread_while_one_is_used():
    made, second = [], threading.Event()

    def items() -> Iterator[int]:
        for number in range(2):
            made.append(threading.current_thread())
            if number:
                second.set()
            yield number

    found = ahead(items())
    assert next(found) == 0
    assert second.wait(10)  # it is made though nobody has asked for it
    assert list(found) == [1]
    assert threading.current_thread() not in made


def test_no_more_are_made_than_were_asked_for_and_the_depth():
    made, ready = [], threading.Semaphore(0)

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            ready.release()
            yield number

    found = ahead(items(), depth=2)
    next(found)
    for _ in range(4):  # one taken, two that wait, one that is worked on
        assert ready.acquire(timeout=10)
    assert not ready.acquire(timeout=0.3)
    found.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert made == [0, 1, 2, 3]


def test_an_error_comes_after_the_items_before_it():
    def items() -> Iterator[int]:
        yield 1
        raise OSError("no more")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(OSError, match="no more"):
        next(found)
    assert not threads_of_ours()


def test_who_takes_no_more_ends_the_thread_and_closes_the_source():
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    found = ahead(items())
    assert next(found) == 0
    found.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert closed.is_set() and not threads_of_ours()


def test_a_program_that_ends_in_the_midst_ends_in_order():
    """With the generator still held, and the thread at work."""
    program = (
        "import time, torch\n"
        "from chromatrack.video.ahead import ahead\n"
        "def items():\n"
        "    for number in range(1000):\n"
        "        time.sleep(0.05)\n"
        "        yield torch.ones(200, 200) @ torch.ones(200, 200)\n"
        "found = ahead(items())\n"
        "print(float(next(found)[0, 0]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"200.0\n", b"")


@given(st.lists(st.integers()), st.integers(0, 3), st.booleans())
def test_what_is_finished_behind_is_told_in_order(items, depth, is_threaded):
    finished, told = [], []
    with Behind(finished.append, told.append, depth=depth, is_threaded=is_threaded) as behind:
        for count, item in enumerate(items, start=1):
            behind.give(item)
            assert len(told) >= count - depth
            assert told == items[: len(told)] and len(finished) >= len(told)
        behind.settle()
    assert finished == told == items


@pytest.mark.parametrize("is_threaded", [True, False])
def test_nothing_is_done_or_told_after_what_fails(is_threaded):
    finished, told = [], []

    def work(item: int) -> None:
        if item == 2:
            raise ValueError("full")
        finished.append(item)

    with Behind(work, told.append, is_threaded=is_threaded) as behind:
        with pytest.raises(ValueError, match="full"):
            for item in range(9):
                behind.give(item)
        behind.settle()  # what is left is let go
    assert finished == told == [0, 1]


def test_it_works_in_another_thread_and_waits_where_too_much_is_left():
    where, may_go, given_all = [], threading.Event(), []

    def work(item: int) -> None:
        assert may_go.wait(10)
        where.append(threading.current_thread())

    def let_go() -> None:
        given_all.append(len(where))
        may_go.set()

    with Behind(work, lambda item: None, depth=2) as behind:
        behind.give(0)
        behind.give(1)
        let_go()
        behind.settle()
    assert given_all == [0]
    assert len(set(where)) == 1 and where[0] is not threading.current_thread()
