"""Which of many requests for frames are answered, and what is done before it is asked for."""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request

from chromatrack.errors import ChromatrackError

Turn = tuple[str, int]
"""(name of a tab, number of its request): of each tab's only the newest is answered."""

_MOST_TABS = 16
_REST_SECONDS = 0.15  # that a frame is shown before it is worth a look


class Shown(NamedTuple):
    """A frame as it is shown: its number, a JPEG; is_small: of the small copy of the film."""

    number: int
    content: bytes
    is_small: bool = False


class OvertakenError(ChromatrackError):
    """A newer request came before this one had its turn."""


class Turns:
    """One request of a tab at a time; of those that wait only the newest is let through."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._tabs: OrderedDict[str, tuple[asyncio.Lock, list[int]]] = OrderedDict()

    @asynccontextmanager
    async def of(self, turn: Turn | None) -> AsyncIterator[None]:
        """Wait for a turn; None: there is nothing to wait for. Raises OvertakenError."""
        if turn is None:
            yield
            return
        tab, number = turn
        lock, newest = self._tabs.setdefault(tab, (asyncio.Lock(), [number]))
        self._tabs.move_to_end(tab)
        while len(self._tabs) > _MOST_TABS:
            self._tabs.popitem(last=False)
        newest[0] = max(newest[0], number)
        async with lock:
            if number < newest[0]:
                raise OvertakenError("overtaken by a newer request")
            yield


class Askers:
    """Tickets of requests for frames, given up once whoever asked has turned away."""

    def __init__(self, stop: Callable[[int], None]) -> None:
        """stop: tells the worker of a ticket that nobody waits for."""
        self._stop, self._tickets = stop, itertools.count()

    def ticket(self, gone: asyncio.Future[None] | None) -> int:
        """A ticket for a request; gone: done once nobody waits for the answer."""
        number = next(self._tickets)
        if gone is not None:
            gone.add_done_callback(lambda end: None if end.cancelled() else self._stop(number))
        return number


async def turned_away(request: Request) -> None:
    """Done once whoever asked has turned away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Glances:
    """Calls for a look at the frame that is shown, once it has been shown for a moment."""

    def __init__(self, look: Callable[[Path, int], Awaitable[None]]) -> None:
        """look: what to do about a frame of a video; its errors are let be."""
        self._look = look
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def shown(self, video: Path, index: int) -> None:
        """A frame was shown; the one before is not looked at any more."""
        self.left()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_REST_SECONDS, self._begin, video, index)

    def left(self) -> None:
        """Another frame is asked for: the one before is not worth a look that delays it."""
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self, video: Path, index: int) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._quietly(video, index))
        else:  # one look at a time: what is asked for in earnest must not wait for several
            self.shown(video, index)

    async def _quietly(self, video: Path, index: int) -> None:
        try:
            await self._look(video, index)
        except ChromatrackError:
            return  # told when something is asked of that frame
