"""Work on the next items in a thread of its own, while what came before is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

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
