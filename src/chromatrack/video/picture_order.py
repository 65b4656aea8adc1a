"""Pictures in display order: their times, and which of them can be trusted."""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
from av.video.frame import VideoFrame

_MAX_HELD = 32


class Damage(Exception):
    """Internal: no further picture can be trusted. Text: why; `index`: of the first bad picture."""

    index = 0


@dataclass
class Clock:
    """Times in seconds; pictures that state none follow the last known one by `step` each.

    Seconds count from `origin` ticks; `by_number`: all pictures are `step` apart. Two pictures
    never share a time: one that claims an earlier one's is put one tick behind it. The stream's
    time base is used throughout: pictures that come out of the decoder last state
    none of their own.
    """

    time_base: Fraction
    step: float
    origin: int = 0
    known: tuple[int, float] = (0, 0.0)
    by_number: bool = False
    _last: int | None = None  # ticks

    def read(self, picture: VideoFrame, index: int) -> float:
        """Seconds at which picture number `index` is shown."""
        if self.by_number:
            return index * self.step
        if picture.pts is not None:
            ticks = picture.pts if self._last is None else max(picture.pts, self._last + 1)
            self._last = ticks
            self.known = (index, float((ticks - self.origin) * self.time_base))
            return self.known[1]
        return self.known[1] + (index - self.known[0]) * self.step

    def duration(self, picture: VideoFrame) -> float | None:
        """Seconds for which a picture is shown, where it says so."""
        if self.by_number:
            return self.step
        return float(picture.duration * self.time_base) if picture.duration else None


@dataclass
class PacketTable:
    """Presentation times (stream ticks) of all pictures, sorted; those of key pictures."""

    pts: list[int]
    keys: list[int]
    decode_order: dict[int, int]

    @classmethod
    def of(cls, packets: Iterable[av.Packet]) -> PacketTable | None:
        """None unless every packet is one shown picture and the first is a key and shown first."""
        ticks: list[int] = []
        keys: dict[int, int] = {}
        for order, packet in enumerate(packets):
            if packet.pts is None or packet.is_corrupt or packet.is_discard:
                return None
            if packet.is_keyframe:
                keys[packet.pts] = order
            ticks.append(packet.pts)
        shown = sorted(ticks)
        if not ticks or shown[0] not in keys or keys[shown[0]] != 0:
            return None
        if any(a == b for a, b in pairwise(shown)):
            return None
        return cls(shown, sorted(keys), keys)


_remembered: OrderedDict[tuple[str, int, int], PacketTable | None] = OrderedDict()
_MOST_REMEMBERED = 4


def remembered_table(path: str, read: Callable[[], PacketTable | None]) -> PacketTable | None:
    """What `read` gives for a file; not read again while its size and time of writing stay."""
    name = _named(path)
    if name is None:
        return read()
    if name not in _remembered:
        remember_table(path, read())
    return _remembered.get(name)


def remember_table(path: str, table: PacketTable | None) -> None:
    """Take what was read of a file elsewhere, in another process say."""
    name = _named(path)
    if name is not None:
        _remembered[name] = table
    while len(_remembered) > _MOST_REMEMBERED:
        with suppress(KeyError):  # another thread was first
            _remembered.popitem(last=False)


def _named(path: str) -> tuple[str, int, int] | None:
    """What tells a file from others, and from itself once it is written anew; None: no file."""
    try:
        state = Path(path).stat()
    except OSError:  # an address
        return None
    return os.path.realpath(path), state.st_size, state.st_mtime_ns


@dataclass
class Held:
    """Pictures waiting until everything decoded before them is known to be good."""

    pending: dict[int, int | None] = field(default_factory=dict)
    queue: deque[tuple[int, VideoFrame]] = field(default_factory=deque)
    last_pts: int | None = None
    step: int = 0

    def release(self, decoded: Iterable[VideoFrame], key_order: int | None) -> Iterator[VideoFrame]:
        """Take in decoded pictures, yield those that are safe; Damage at a corrupt one."""
        for picture in decoded:
            order = picture.opaque if isinstance(picture.opaque, int) else 0
            self.pending.pop(order, None)
            if picture.is_corrupt:
                if key_order is None or order < key_order:
                    continue  # before the first key picture: as every player, leave it out
                while self.queue and self.queue[0][0] < order:
                    yield self.queue.popleft()[1]
                raise Damage("the picture cannot be decoded without errors")
            self.seen(picture)
            self.queue.append((order, picture))
            self._forget_silent(order, picture.pts)
            oldest = next(iter(self.pending), order + 1)
            while self.queue and (self.queue[0][0] < oldest or len(self.queue) > _MAX_HELD):
                yield self.queue.popleft()[1]

    def _forget_silent(self, order: int, pts: int | None) -> None:
        """Pictures come in display order: a packet overtaken by now shows nothing."""
        for waiting, due in list(self.pending.items()):
            if waiting < order - _MAX_HELD or (pts is not None and due is not None and due < pts):
                del self.pending[waiting]

    def seen(self, picture: VideoFrame) -> None:
        """Remember the rhythm of the presentation times."""
        if picture.pts is not None:
            if self.last_pts is not None and picture.pts > self.last_pts:
                self.step = picture.pts - self.last_pts
            self.last_pts = picture.pts

    def follows(self, picture: VideoFrame, bound: int | None) -> bool:
        """Whether this picture comes right after the last one, before the damage at `bound`."""
        if picture.pts is None or self.last_pts is None:
            return picture.pts is not None and (bound is None or picture.pts < bound)
        if bound is not None:
            return picture.pts < bound
        return picture.pts - self.last_pts <= 1.5 * self.step
