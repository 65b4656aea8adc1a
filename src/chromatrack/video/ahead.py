"""Threads of their own for what comes before and after: the next items made, the last finished."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Self, TypeVar

T = TypeVar("T")

DEPTH = 2
"""Items that are ready at most, besides the one that is worked on."""


class _End:
    """What comes after the last item."""


def ahead(items: Iterable[T], *, depth: int = DEPTH) -> Iterator[T]:
    """The same items in the same order, made by another thread up to `depth` ahead.

    What the iterator raises is raised here, after the items before it. Where no more are taken (the
    generator is closed or let go) the thread ends with the item that it is at.
    """
    source, end = iter(items), _End()
    pool = ThreadPoolExecutor(1, thread_name_prefix="chromatrack-ahead")
    try:
        ready = deque(pool.submit(next, source, end) for _ in range(depth + 1))
        while not isinstance(item := ready.popleft().result(), _End):
            ready.append(pool.submit(next, source, end))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
        if close := getattr(source, "close", None):
            close()


class Behind(Generic[T]):
    """Finishes items in order in a thread of its own, while the next ones are made.

    work: done there. done: called here, in order, with each item that it is done for. Where the
    work raises, that is raised here by the next call, and nothing is done for the items after it.
    """

    def __init__(
        self,
        work: Callable[[T], None],
        done: Callable[[T], None],
        *,
        depth: int = DEPTH,
        is_threaded: bool = True,
    ) -> None:
        """depth: items that wait at most. is_threaded: False does the work here and at once."""
        self._work, self._done, self._depth = work, done, depth if is_threaded else 0
        self._pool = ThreadPoolExecutor(1, "chromatrack-behind") if is_threaded else None
        self._waiting: deque[tuple[T, Future[None] | None]] = deque()
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.settle()  # however it ends, what was given is finished
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)

    def give(self, item: T) -> None:
        """Have an item finished, once those before it are."""
        if self._pool is None:
            self._work(item)
            self._waiting.append((item, None))
        else:
            self._waiting.append((item, self._pool.submit(self._unless_failed, item)))
        self.settle(self._depth)

    def settle(self, most: int = 0) -> None:
        """Wait until at most that many items are unfinished."""
        while len(self._waiting) > most:
            item, future = self._waiting.popleft()
            if future is not None:
                try:
                    future.result()
                except BaseException:
                    self._waiting.clear()
                    raise
            self._done(item)

    def _unless_failed(self, item: T) -> None:
        if self._failed:
            return
        try:
            self._work(item)
        except BaseException:
            self._failed = True
            raise
