"""The shape of pixels in a finished mkv file, which FFmpeg's muxer cannot be told from Python.

Works on files as that muxer writes them: behind the index of parts (SeekHead) lies an empty
element (Void), so what lies between it and the pictures can grow without moving the pictures.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

_SEEK_HEAD, _SEEK, _SEEK_POSITION = 0x114D9B74, 0x4DBB, 0x53AC
_SEGMENT, _CLUSTER, _VOID, _CRC = 0x18538067, 0x1F43B675, 0xEC, 0xBF
_TRACKS, _TRACK, _VIDEO = 0x1654AE6B, 0xAE, 0xE0
_WIDTH, _HEIGHT, _SHOWN_WIDTH, _SHOWN_HEIGHT, _SHOWN_UNIT = 0xB0, 0xBA, 0x54B0, 0x54BA, 0x54B2


@dataclass(frozen=True)
class _Element:
    kind: int
    start: int
    body: int
    end: int


def set_pixel_shape(path: Path, shape: Fraction) -> bool:
    """Enter the size at which the video is shown; False where the file is laid out otherwise."""
    with path.open("r+b") as file:
        head = file.read(1 << 16)
        changed = _changed(head, shape)
        if changed is None:
            return False
        file.seek(0)
        file.write(changed)
    return True


def _changed(head: bytes, shape: Fraction) -> bytes | None:
    """The beginning of a file with the shape in it, as long as it was."""
    segment = next((e for e in _elements(head, 0, len(head)) if e.kind == _SEGMENT), None)
    if segment is None:
        return None
    parts = {e.kind: e for e in reversed(_elements(head, segment.body, len(head)))}
    if not {_SEEK_HEAD, _VOID, _TRACKS} <= set(parts):
        return None
    index, void, tracks = parts[_SEEK_HEAD], parts[_VOID], parts[_TRACKS]
    if not index.end == void.start < tracks.start or tracks.end > len(head):
        return None
    grown = _rewritten(head, tracks, lambda e: _shown_size(head, e, shape))
    more = len(grown) - (tracks.end - tracks.start)
    room = void.end - void.start - more
    if room < 9:
        return None
    moved = range(void.end - segment.body, tracks.end - segment.body)
    seeks = _rewritten(head, index, lambda e: _moved(head, e, moved, more))
    if len(seeks) != index.end - index.start:
        return None
    empty = b"\xec\x01" + (room - 9).to_bytes(7, "big") + bytes(room - 9)
    between = head[void.end : tracks.start]
    return b"".join((head[: index.start], seeks, empty, between, grown, head[tracks.end :]))


def _rewritten(data: bytes, element: _Element, change: Callable[[_Element], bytes | None]) -> bytes:
    """An element with what `change` says in place of its parts (None: looked into, or kept)."""
    parts = _elements(data, element.body, element.end)
    has_sum = bool(parts) and parts[0].kind == _CRC
    body = b""
    for part in parts[has_sum:]:
        new = change(part)
        if new is None:
            inner = part.kind in (_TRACK, _VIDEO, _SEEK)
            new = _rewritten(data, part, change) if inner else data[part.start : part.end]
        body += new
    if element.kind == _VIDEO:
        new = change(_Element(_SHOWN_WIDTH, element.start, element.body, element.end))
        body += new or b""
    if has_sum:
        body = b"\xbf\x84" + zlib.crc32(body).to_bytes(4, "little") + body
    return _coded(element.kind, body)


def _shown_size(data: bytes, element: _Element, shape: Fraction) -> bytes | None:
    """No old size on the way; the new one at the end of the video's description."""
    if element.kind in (_SHOWN_UNIT, _SHOWN_HEIGHT):
        return b""
    if element.kind != _SHOWN_WIDTH:
        return None
    size = {
        e.kind: int.from_bytes(data[e.body : e.end], "big")
        for e in _elements(data, element.body, element.end)
    }
    shown = size[_WIDTH] * shape / size[_HEIGHT]  # in whole numbers without rounding
    scale = max(1, -(-size[_HEIGHT] // shown.denominator))
    width, height = shown.numerator * scale, shown.denominator * scale
    return _coded(_SHOWN_WIDTH, _number(width)) + _coded(_SHOWN_HEIGHT, _number(height))


def _moved(data: bytes, element: _Element, moved: range, more: int) -> bytes | None:
    """An entry of the index, if it speaks of a place that moved."""
    if element.kind != _SEEK_POSITION:
        return None
    place = int.from_bytes(data[element.body : element.end], "big")
    place -= more if place in moved and place < moved.stop else 0
    return _coded(_SEEK_POSITION, place.to_bytes(element.end - element.body, "big"))


def _elements(data: bytes, start: int, end: int) -> list[_Element]:
    """The elements of one level, up to the first whose end is not known or the pictures begin."""
    found = []
    while start < end - 1:
        first = data[start]
        used = 9 - first.bit_length() if first else 9
        at = start + used
        if used > 4 or at >= end or not data[at]:
            break
        size_bytes = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + size_bytes], "big") & ((1 << 7 * size_bytes) - 1)
        kind, body = int.from_bytes(data[start:at], "big"), at + size_bytes
        if kind == _CLUSTER:
            break
        found.append(_Element(kind, start, body, body + size))
        start = body + size
    return found


def _coded(kind: int, body: bytes) -> bytes:
    size = next(n for n in range(1, 9) if len(body) < (1 << 7 * n) - 1)
    length = (len(body) | 1 << 7 * size).to_bytes(size, "big")
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big") + length + body


def _number(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
