"""News for every open tab."""

from __future__ import annotations

import asyncio
from typing import Any

_MOST_WAITING = 500  # of a tab that does not read; then it is told to fetch the state anew

News = dict[str, Any]


class Hub:
    """Hands news to all who listen; to be used in the event loop alone."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self._queues: set[asyncio.Queue[News]] = set()

    def listen(self) -> asyncio.Queue[News]:
        """A queue that gets all news from now on."""
        queue: asyncio.Queue[News] = asyncio.Queue()
        self._queues.add(queue)
        return queue

    def leave(self, queue: asyncio.Queue[News]) -> None:
        """No more news for a queue."""
        self._queues.discard(queue)

    def tell(self, news: News) -> None:
        """Hand news to all."""
        for queue in self._queues:
            if queue.qsize() >= _MOST_WAITING and news["type"] == "progress":
                continue
            queue.put_nowait(news)
