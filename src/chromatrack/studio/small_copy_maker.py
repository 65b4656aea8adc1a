"""The process that makes small copies: one film at a time, with what nothing else needs.

It works picture by picture, so that it heeds between two of them what it is told: to stand still,
to go on elsewhere in the film, to let it be.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Container, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from av.error import FFmpegError

from chromatrack.atomic import replace_file, unwritable
from chromatrack.errors import OutputError, VideoError
from chromatrack.studio import small_copy
from chromatrack.studio.small_copy import (
    CHUNK,
    ChunkWriter,
    chunk_path,
    chunks_there,
    is_film,
    stretches,
)
from chromatrack.studio.workers import Channel
from chromatrack.video.picture_order import PacketTable
from chromatrack.video.random_access import FrameReader, FrameTimes

MOST_BYTES = 4 << 30
"""Of all small copies together; the film that was looked at longest ago goes first."""

SPARE_BYTES = 2 << 30
"""Of the disk that are left free."""

_IN_USE_SECONDS = 600  # since a film was opened or worked on: another studio may look at it
_NICE = 19
_CHUNK_BYTES = 2 << 20  # about
_MOST_FAILED = 4  # chunks that cannot be made, till a film is let be


@dataclass(frozen=True, eq=False)
class Film:
    """What a small copy is made of. folder: for its files. size: (height, width) of its frames."""

    video: str
    folder: Path
    table: PacketTable
    size: tuple[int, int]
    token: int

    @property
    def frames(self) -> int:
        """How many it has."""
        return len(self.table.pts)

    @property
    def chunks(self) -> int:
        """How many files it becomes."""
        return -(-self.frames // CHUNK)


def main(channel: Channel) -> None:
    """Make what the server asks for, at the lowest priority."""
    with suppress(AttributeError, OSError):  # Windows has no such thing
        os.nice(_NICE)
    maker = Maker(channel)
    channel.serve({"make": maker.make, "turn": maker.turn, "leave": maker.leave}, maker.step)


class Maker:
    """The film whose small copy is made, and how far that is."""

    def __init__(self, channel: Channel) -> None:
        """Nothing is to be made."""
        self._channel = channel
        self._film: Film | None = None
        self._working: Film | None = None
        self._at, self._is_held = 0, False
        self._work: Iterator[bool] = iter(())
        self._failed: set[int] = set()
        self._is_given_up = False

    # -- what it is told -----------------------------------------------------------------------

    def make(self, film: Film) -> None:
        """Go on with the small copy of a film from now on."""
        self._film, self._failed, self._is_given_up = film, set(), False

    def turn(self, at: int, is_held: bool) -> None:
        """at: the frame that is looked at. is_held: whether to stand still."""
        self._at, self._is_held = at, is_held

    def leave(self) -> None:
        """Let the film be."""
        self._film = None

    # -- what it does --------------------------------------------------------------------------

    def step(self) -> bool:
        """Do a bit; False where there is nothing to do till it is told something."""
        if self._film is None:
            self._working, self._work = None, iter(())
        if self._film is None or self._is_held or self._is_given_up:
            return False
        if self._working is not self._film:
            self._working, self._work = self._film, self._chunks(self._film)
        try:
            if next(self._work, False):
                return True
        except KeyboardInterrupt:
            if self._channel.is_stopped:
                raise
            self._working = None
            return True
        self._working = None  # what is taken away meanwhile is seen when it is told something
        return False

    def _heed(self) -> None:
        """Between two pictures: KeyboardInterrupt where this film is to be let be."""
        self._channel.serve_waiting()
        while self._is_held and self._film is self._working:
            self._channel.serve_next()
        if self._film is not self._working:
            raise KeyboardInterrupt

    def _chunks(self, film: Film) -> Generator[bool, None, None]:
        """Make what is missing, chunk by chunk; what is yielded means nothing."""
        by, reader = small_copy.encoder(), None
        try:
            if by is None or not prepared(film.folder):
                raise OutputError(f"{film.folder}: nothing can be made there")
            while (number := self._next(film)) is not None:
                self._tell(film, is_made=True)
                if reader is None:
                    known = FrameTimes([], 0.0, film.table)
                    reader = FrameReader(film.video, known=known, is_thrifty=True)
                    reader.watch(self._heed)
                try:
                    content = yield from self._chunk(film, reader, number, by)
                except (VideoError, FFmpegError):
                    self._failed.add(number)
                    continue
                make_room(film.folder, len(content))
                replace_file(chunk_path(film.folder, number), content)
        except (OutputError, VideoError):  # a full disk, or a film that is gone
            self._is_given_up = True  # quietly: nothing else suffers by it
        finally:
            if reader is not None:
                reader.close()
        self._tell(film, is_made=False)

    def _next(self, film: Film) -> int | None:
        """The chunk to make now, None: there is none. Raises OutputError: there is no room."""
        if len(self._failed) >= _MOST_FAILED:
            return None
        there = chunks_there(film.folder) | self._failed
        number = next_chunk(self._at, film.chunks, there)
        if number is not None:
            make_room(film.folder, _CHUNK_BYTES)
        return number

    def _chunk(
        self, film: Film, reader: FrameReader, number: int, by: str
    ) -> Generator[bool, None, bytes]:
        """The content of a chunk. Raises VideoError, FFmpegError."""
        writer = ChunkWriter(small_copy.small_size(film.size), by=by)
        last = min(film.frames, (number + 1) * CHUNK) - 1
        for index, picture in reader.pictures_from(number * CHUNK):
            writer.add(picture)
            if index == last:
                return writer.content()
            yield True
        raise VideoError(f"{film.video}: ends before frame {last}")

    def _tell(self, film: Film, *, is_made: bool) -> None:
        there = stretches(chunks_there(film.folder), film.frames)
        news = {"type": "small copy", "token": film.token, "there": there, "making": is_made}
        self._channel.tell(news)


def next_chunk(at: int, chunks: int, there: Container[int]) -> int | None:
    """Which to make next: that of frame `at`, those behind it, then the others; None: all are."""
    first = min(at // CHUNK, max(0, chunks - 1))
    order = (*range(first, chunks), *range(first))
    return next((number for number in order if number not in there), None)


# -- room ------------------------------------------------------------------------------------


def prepared(folder: Path) -> bool:
    """Have a folder for a film, without what was left half-written; False where it cannot be."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
        os.utime(folder)
        old = time.time() - _IN_USE_SECONDS
        for left in folder.glob(".*.tmp"):
            if left.stat().st_mtime < old:
                left.unlink()
    except OSError:
        return False
    return True


def make_room(folder: Path, needed: int) -> None:
    """Have room for so many bytes of a film; other films go for them, the oldest first.

    Raises:
        OutputError: there is none: the disk has too little left, or the others are in use.
    """
    try:
        if shutil.disk_usage(folder).free < SPARE_BYTES + needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        films = {path: _bytes_of(path) for path in folder.parent.iterdir() if is_film(path)}
        used = sum(films.values()) + needed
        for path in sorted(films, key=lambda path: path.stat().st_mtime):
            if used <= MOST_BYTES:
                return
            if path != folder and path.stat().st_mtime < time.time() - _IN_USE_SECONDS:
                shutil.rmtree(path)
                used -= films[path]
        if used > MOST_BYTES:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
    except OSError as error:
        raise unwritable(folder, error) from error


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
