"""What the server does about the small copy of the open film: has it made, and looks into it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from chromatrack.errors import WorkerError
from chromatrack.studio import small_copy_maker
from chromatrack.studio.events import Hub, News
from chromatrack.studio.jobs import Jobs
from chromatrack.studio.opening import OpenVideo
from chromatrack.studio.small_copy import CHUNK, film_folder, is_worth_it
from chromatrack.studio.small_copy_maker import Film
from chromatrack.studio.store import Project
from chromatrack.studio.workers import Worker
from chromatrack.video.picture_order import PacketTable

_REST_SECONDS = 0.5  # after a frame was asked for, till its making goes on


class Host(Protocol):
    """What it needs of the studio."""

    hub: Hub
    jobs: Jobs
    decoder: Worker

    @property
    def project(self) -> Project | None: ...
    @property
    def video(self) -> OpenVideo | None: ...
    async def ask(self, worker: Worker, request: str, /, **given: Any) -> Any: ...  # noqa: ANN401


class SmallCopyDesk:
    """The small copy of the film that is open, if it is worth one."""

    def __init__(self, studio: Host, *, is_on: bool) -> None:
        """is_on: False where none is to be made."""
        self._studio, self._is_on = studio, is_on
        self._seen: OpenVideo | None = None
        self._table: PacketTable | None = None
        self._film: Film | None = None
        self._there: list[list[int]] = []
        self._is_made = False
        self._tokens = 0
        self._at, self._asked, self._until = 0, 0, 0.0
        self._told: tuple[Film | None, int, bool] = (None, 0, False)
        self._telling: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._maker = Worker(
            "small copy",
            small_copy_maker.main,
            on_news=lambda told: self._call(self._on_news, told),
            on_death=lambda _: self._call(self._on_death),
        )

    def _call(self, function: Any, *given: Any) -> None:  # noqa: ANN401
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *given)

    def close(self) -> None:
        """End its process."""
        self._is_on = False
        self._maker.close()

    def state(self) -> dict[str, Any] | None:
        """Frames that are there as [start, end), and whether more come; None: it has no copy."""
        return None if self._film is None else {"there": self._there, "making": self._is_made}

    # -- having it made ------------------------------------------------------------------------

    def look(self) -> None:
        """Something has changed: another film is open, or a job begins or ends."""
        if not self._is_on:
            return
        self._loop = asyncio.get_running_loop()
        video, project = self._studio.video, self._studio.project
        table = None if video is None else video.table
        if video is not self._seen or (self._film is None and table is not self._table):
            self._seen, self._table = video, table
            self._film, self._there, self._is_made = None, [], False
            if video is not None and project is not None and video.path is not None:
                self._film = self._film_of(video, project.document["video"]["digest"])
        self._tell()

    def _film_of(self, video: OpenVideo, digest: str) -> Film | None:
        folder, table = film_folder(digest), video.table
        if folder is None or table is None or not is_worth_it(table, video.size):
            return None
        self._tokens += 1
        return Film(str(video.path), folder, table, video.size, self._tokens)

    @contextmanager
    def asked(self, index: int, *, is_exact: bool) -> Iterator[None]:
        """While a frame is asked for: that is where one is; an exact one is not to be delayed."""
        self._at = index // CHUNK * CHUNK
        self._asked += is_exact
        self._tell()
        try:
            yield
        finally:
            self._asked -= is_exact
            if is_exact and self._film is not None:
                loop = asyncio.get_running_loop()
                self._until = loop.time() + _REST_SECONDS
                loop.call_later(_REST_SECONDS + 0.01, self._tell)

    def _is_held(self) -> bool:
        assert self._loop is not None
        is_busy = self._studio.jobs.job is not None
        return is_busy or self._asked > 0 or self._loop.time() < self._until

    def _tell(self) -> None:
        """Have the maker know how things are now; only the newest of what changes meanwhile."""
        if not self._is_on or self._loop is None or self._film is self._told[0] is None:
            return
        if self._telling is None or self._telling.done():
            self._telling = asyncio.ensure_future(self._told_all())

    def _now(self) -> tuple[Film | None, int, bool]:
        """What the maker is to know: where nothing is left to be made, what it was told before."""
        film, at, is_held = self._told
        is_known = film is self._film and at >= 0 and not is_held
        is_done = is_known and self._there and not self._is_made
        return self._told if is_done else (self._film, self._at, self._is_held())

    async def _told_all(self) -> None:
        try:
            while (now := self._now()) != self._told:
                film, at, is_held = now
                if film is None:
                    await self._studio.ask(self._maker, "leave")
                else:
                    await self._studio.ask(self._maker, "turn", at=at, is_held=is_held)
                    if film is not self._told[0]:
                        await self._studio.ask(self._maker, "make", film=film)
                self._told = now
        except WorkerError:
            self._on_death()

    def _on_news(self, told: News) -> None:
        film = self._film
        if film is None or told["token"] != film.token:
            return
        now = told["there"], told["making"]
        if now != (self._there, self._is_made):
            self._there, self._is_made = now
            self._studio.hub.tell({"type": "smallCopy", **(self.state() or {})})

    def _on_death(self) -> None:
        """What is there stays of use; no more is made till another film is opened."""
        self._told = (self._film, *self._told[1:])
        if self._film is not None:
            self._on_news({"token": self._film.token, "there": self._there, "making": False})

    # -- looking into it -----------------------------------------------------------------------

    async def picture(self, index: int, width: int | None) -> tuple[bytes, bool] | None:
        """(JPEG of exactly this frame, whether it is a small one); None where it is not there."""
        film = self._film
        if film is None or not any(start <= index < end for start, end in self._there):
            return None
        given = {"index": index, "width": width, "folder": str(film.folder)}
        try:
            found = await self._studio.ask(self._studio.decoder, "small", **given)
        except WorkerError:  # it starts anew
            return None
        if found is None:  # it was damaged or taken away: to be made again
            self._told = (self._told[0], -1, self._told[2])
            self._tell()
        return found
