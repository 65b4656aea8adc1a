"""Work on the next items in a thread of its own, while what came before is used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

DEPTH = 2
"""Items that are ready at most, besides the one that is worked on."""
_LOOK_UP = 0.1  # seconds after which a thread that waits looks whether it is still wanted


class _End:
    """What comes after the last item: what the iterator raised, or nothing."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterable[T], *, depth: int = DEPTH) -> Iterator[T]:
    """The same items in the same order, made by another thread up to `depth` ahead.

    What the iterator raises is raised here, after the items before it. Where no more are taken (the
    generator is closed or let go) the thread ends with the item that it is at.
    """
    ready: queue.Queue[T | _End] = queue.Queue(depth)
    is_over = threading.Event()
    worker = threading.Thread(
        target=_work, args=(items, ready, is_over), name="chromatrack-ahead", daemon=True
    )
    worker.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        is_over.set()
        worker.join()


def _work(items: Iterable[T], ready: queue.Queue[T | _End], is_over: threading.Event) -> None:
    end, source = _End(), iter(items)
    try:
        for item in source:
            if not _hand_over(item, ready, is_over):
                break
    except BaseException as error:  # noqa: BLE001  (raised again where the items are used)
        end = _End(error)
    finally:
        if close := getattr(source, "close", None):
            close()
    _hand_over(end, ready, is_over)


def _hand_over(item: T | _End, ready: queue.Queue[T | _End], is_over: threading.Event) -> bool:
    """Whether it was taken up by the queue before nobody wanted it any more."""
    while not is_over.is_set():
        try:
            ready.put(item, timeout=_LOOK_UP)
        except queue.Full:
            continue
        return True
    return False
