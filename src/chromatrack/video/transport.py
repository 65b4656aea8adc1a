"""Where one recording ends and the next begins in a joined MPEG transport stream.

Recordings that were put behind each other (`cat a.ts b.ts`) begin anew in the middle of the file:
their clock restarts, their pictures may change size. FFmpeg takes the seam for missing bytes.
Cameras and Blu-ray discs put 4 bytes of a clock before every packet (m2ts, mts).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

PACKET = 188
_SYNC = 0x47
_TICKS = 90_000
_CLOCK = 1 << 33
_BACK, _AHEAD = _TICKS, 10 * _TICKS
"""Ticks between neighbouring pictures beyond which a clock was set anew (10 s as in FFmpeg)."""
_SERVICES = 0x11
"""Identifier of the table of services, which some write in front of that of programs."""
_RESYNC = 1 << 20
"""Bytes within which packets are looked for again where they break off."""
_NEAR = 1 << 16
"""Packets within which the one before of the same kind is looked for."""


class Packing(NamedTuple):
    """How packets lie in a file: one every `stride` bytes, `lead` bytes of other things first."""

    stride: int
    lead: int


_PACKINGS = (Packing(PACKET, 0), Packing(PACKET + 4, 4))
HEAD = 2 * (PACKET + 4) + 5
"""Bytes at the start of a file that tell its packing."""


def packing_of(head: bytes) -> Packing | None:
    """The packing of a transport stream that begins so; None for any other file."""
    for packing in _PACKINGS:
        if head[packing.lead : HEAD : packing.stride][:3] == bytes([_SYNC] * 3):
            return packing
    return None


@dataclass(frozen=True)
class Recording:
    """Bytes `start` to `end` (exclusive) of the file."""

    start: int
    end: int


def recordings(path: str) -> tuple[Recording, ...]:
    """The recordings of a joined transport stream in order; empty for any other file."""
    try:
        stat = Path(path).stat()
        return _recordings(path, stat.st_size, stat.st_mtime_ns)
    except OSError:
        return ()


@lru_cache(maxsize=16)
def _recordings(path: str, size: int, _changed: int) -> tuple[Recording, ...]:
    with Path(path).open("rb") as file:
        packing = packing_of(file.read(HEAD))
    if packing is None:
        return ()
    data = np.memmap(path, dtype=np.uint8, mode="r")
    places = _packet_places(data, packing)
    begins = [packing.lead, *_seams(data, places, packing)]
    if len(begins) == 1:
        return ()
    ends = [_end_before(places, begin, packing) for begin in begins[1:]]
    starts = [begin - packing.lead for begin in begins]
    return tuple(map(Recording, starts, [*(end - packing.lead for end in ends), size]))


def _end_before(places: np.ndarray, begin: int, packing: Packing) -> int:
    """Where the recording ends that lies before the packet at `begin`, in whole packets."""
    number = int(np.searchsorted(places, begin))
    while places[number] - places[number - 1] != packing.stride and number > 1:
        number -= 1  # a packet that broke off, and has the next recording's bytes in it
    return int(places[number])


def _packet_places(data: np.ndarray, packing: Packing) -> np.ndarray:
    """(N,) int64 byte positions of all packets, also behind places where they break off."""
    found, place, stride = [], packing.lead, packing.stride
    while place + PACKET <= len(data):
        good = data[place : len(data) - PACKET + 1 : stride] == _SYNC
        count = len(good) if good.all() else int(good.argmin())
        found.append(place + stride * np.arange(count, dtype=np.int64))
        place += stride * count
        near = data[place : place + _RESYNC] == _SYNC
        span = max(0, len(near) - 2 * stride)
        near = near[:span] & near[stride:][:span] & near[2 * stride :][:span]
        if count == len(good) or not near.any():
            break
        place += int(near.argmax())
    return np.concatenate(found)


def _seams(data: np.ndarray, places: np.ndarray, packing: Packing) -> list[int]:
    """Positions of the packets with which a recording begins, but for the first.

    There the table of programs (PAT) comes between two pictures of the video, and its clock is set
    anew or every counter begins at 0.
    """
    second, control = data[places + 1], data[places + 3]
    pids = (second & 0x1F).astype(np.int32) << 8 | data[places + 2]
    tables = np.flatnonzero(pids == 0)
    units = np.flatnonzero((second & 0x40 != 0) & (control & 0x10 != 0) & (pids > 0x1F))
    units, ticks = _video_units(data, places, control, units)
    units, ticks = _of_one_video(units, ticks, pids)
    if len(units) < 2 or not len(tables):
        return []
    step = (np.diff(ticks) + _CLOCK // 2) % _CLOCK - _CLOCK // 2
    leaps = (step < -_BACK) | (step > _AHEAD)
    before = np.searchsorted(tables, units[1:]) - 1
    table = np.where(before >= 0, tables[before], -1)  # the last one before each picture
    fresh = (control[table] & 0x0F == 0) & (control[units[1:]] & 0x0F == 0)
    anew = (table > units[:-1]) & (leaps | fresh)
    seams = []
    for number in np.flatnonzero(anew).tolist():
        at, unit = int(table[number]), int(units[number + 1])
        goes_on = _goes_on(pids, control, unit)
        if goes_on and not leaps[number] and step[number] >= 0:
            continue  # neither counters nor the clock began anew
        is_ahead = step[number] > 0 or ticks[number + 1] > ticks[number]
        if goes_on and is_ahead and not fresh[number] and _goes_on(pids, control, at):
            continue  # one recording, in which nothing was shown for a while
        whole = places[at] - places[at - 1] == packing.stride
        if whole and pids[at - 1] == _SERVICES and at - 1 > units[number]:
            at -= 1
        seams.append(int(places[at]))
    return seams


def _goes_on(pids: np.ndarray, control: np.ndarray, packet: int) -> bool:
    """Whether a packet's counter follows that of the packet of its kind before it."""
    begin = max(0, packet - _NEAR)
    same = begin + np.flatnonzero(pids[begin:packet] == pids[packet])
    if not len(same):
        return False
    return bool(control[packet] & 0x0F == (int(control[same[-1]]) + 1) & 0x0F)


def _video_units(
    data: np.ndarray, places: np.ndarray, control: np.ndarray, units: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Packets in which a picture of video begins that states its time; decoding times in ticks."""
    field = np.where(control[units] & 0x20, 1 + data[places[units] + 4].astype(np.int64), 0)
    units, field = units[field < PACKET - 24], field[field < PACKET - 24]
    body = places[units] + 4 + field
    code = (data[body] == 0) & (data[body + 1] == 0) & (data[body + 2] == 1)
    timed = code & (data[body + 3] & 0xF0 == 0xE0) & (data[body + 7] & 0x80 != 0)
    units, body = units[timed], body[timed]
    at = body + np.where(data[body + 7] & 0x40, 14, 9)  # the decoding time, if there are both
    b = [data[at + n].astype(np.int64) for n in range(5)]
    ticks = (b[0] >> 1 & 7) << 30 | b[1] << 22 | b[2] >> 1 << 15 | b[3] << 7 | b[4] >> 1
    return units, ticks


def _of_one_video(
    units: np.ndarray, ticks: np.ndarray, pids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Those of the first video, and of others that only begin where it has ended."""
    kept = np.zeros(len(units), dtype=bool)
    of = pids[units]
    for pid in dict.fromkeys(of.tolist()):
        mine = of == pid
        if not kept.any() or np.flatnonzero(mine)[0] > np.flatnonzero(kept)[-1]:
            kept |= mine
    return units[kept], ticks[kept]
