"""The newest of what a source gives: a thread reads on, and what nobody took in time is dropped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Generic, Self, TypeVar

from chromatrack.errors import ChromatrackError

T = TypeVar("T")

SLICE_SECONDS = 0.2
"""Waiting is done in such slices, between which Ctrl-C is looked for."""

FAREWELL_SECONDS = 1.0
"""How long the reading thread gets to close its source; one that hangs is left behind."""


class StalledError(ChromatrackError):
    """Nothing came for as long as was to be waited."""


class Newest(Generic[T]):
    """Hands out the newest item of a source that does not wait, such as a camera.

    One item is held at most, whatever the source's speed. dropped: items that were replaced by a
    newer one before they were taken. taken: items handed out.

    Leaving the `with` block ends the reading.
    """

    def __init__(self, items: Iterable[T], *, every: bool = False) -> None:
        """Nothing is read before the block is entered.

        Args:
            items: the source; it is opened, read and closed in the thread.
            every: drop nothing: the source waits until an item was taken.
        """
        self.dropped = self.taken = 0
        self._items, self._every = items, every
        self._changed = threading.Condition()
        self._held: list[T] = []
        self._error: BaseException | None = None
        self._ended = self._stopped = False
        self._thread = threading.Thread(target=self._read, name="chromatrack-live", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(FAREWELL_SECONDS)

    def take(self, *, timeout: float, idle: Callable[[], None] = lambda: None) -> T | None:
        """The newest item, waited for; None at the source's end.

        Args:
            timeout: seconds to wait for it.
            idle: called again and again while nothing is there; may raise.

        Raises:
            StalledError: nothing came. And what reading the source raised, after its last item.
        """
        with self._changed:
            left = timeout
            while not self._held and not self._ended:
                idle()
                if left <= 0:
                    raise StalledError(f"no frame came for {timeout:g} s")
                self._changed.wait(min(SLICE_SECONDS, left))
                left -= SLICE_SECONDS
            if self._held:
                self.taken += 1
                item = self._held.pop()
                self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            return None

    # -- in the thread -----------------------------------------------------------------------

    def _read(self) -> None:
        items: Iterator[T] = iter(self._items)
        error: BaseException | None = None
        try:
            for item in items:
                if not self._put(item):
                    break
        except BaseException as caught:  # noqa: BLE001  (raised again where items are taken)
            error = caught
        with suppress(Exception):
            if close := getattr(items, "close", None):
                close()
        with self._changed:
            self._error, self._ended = error, True
            self._changed.notify_all()

    def _put(self, item: T) -> bool:
        """Hold an item for whoever takes it; False once nobody does any more."""
        with self._changed:
            while self._every and self._held and not self._stopped:
                self._changed.wait()
            if self._stopped:
                return False
            self.dropped += len(self._held)
            self._held[:] = [item]
            self._changed.notify_all()
            return True
