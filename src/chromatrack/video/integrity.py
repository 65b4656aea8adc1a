"""Is a container file whole? Its own bookkeeping, followed in step with the reader.

FFmpeg skips over missing or overwritten bytes without saying so. Containers state the size of
their parts, so a file that was cut short or overwritten contradicts itself. Only such a
contradiction counts: a part we do not know, or padding at the end, is never called damage.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from chromatrack.errors import VideoError
from chromatrack.video.transport import HEAD, PACKET, Packing, packing_of

_BOX_TYPES = frozenset(
    b"ftyp styp moov moof mdat free skip wide uuid sidx mfra meta pdin emsg prft pnot".split()
)
_EBML_HEADER, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_SEGMENT_PARTS = frozenset(
    [0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367]
)
_MIRRORED_BYTES = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def check_file(path: str) -> None:
    """VideoError unless `path` is a file that can be read and holds something."""
    try:
        with Path(path).open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise VideoError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if empty:
        raise VideoError(f"{path}: the file is empty (0 bytes)")


class _Contradiction(Exception):
    """The bookkeeping stops making sense at byte `position`; `inf`: only its end is missing."""

    def __init__(self, position: float) -> None:
        super().__init__(position)
        self.position = position


class StructureWalk:
    """Follows the structure of mp4/mov, mkv/webm, avi, mpegts, flv and gif; knows no other format.

    Lazy: only as much of the file is looked at as the positions asked about need (element headers
    only, never the payload).
    """

    def __init__(self, path: Path, part: tuple[int, int] | None = None) -> None:
        """`part`: follow bytes (start, end) of a transport stream alone; positions count in it."""
        self._steps = _walk(path) if part is None else _walk_part(path, part)
        self._good_until: float = 0
        self._broken_at: float | None = None

    def is_broken_before(self, position: float) -> bool:
        """Whether the file contradicts itself at or before byte `position` (`inf`: anywhere)."""
        while self._broken_at is None and self._good_until <= position:
            try:
                self._good_until = next(self._steps)
            except StopIteration:
                self._good_until = math.inf
                break
            except _Contradiction as found:
                self._broken_at = found.position
        return self._broken_at is not None and self._broken_at <= position

    def close(self) -> None:
        """Release the file."""
        self._steps.close()  # type: ignore[attr-defined]


def _walk(path: Path) -> Iterator[int]:
    """Yield growing byte positions up to which the file is sound; raise at a contradiction."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD)
        if head[4:8] in _BOX_TYPES:
            yield from _walk_boxes(file, size)
        elif head[:4] == _EBML_HEADER.to_bytes(4, "big"):
            yield from _walk_ebml(file, size)
        elif head[:4] == b"RIFF":
            if 8 + int.from_bytes(head[4:8], "little") > size + 1:  # + 1: an omitted pad byte
                raise _Contradiction(math.inf)
        elif packing := packing_of(head):
            yield from _walk_transport(file, size, packing)
        elif head[:3] == b"FLV":
            yield from _walk_flash(file, size)
        elif head[:3] == b"GIF":
            yield from _walk_gif(file, size)


def _walk_part(path: Path, part: tuple[int, int]) -> Iterator[int]:
    start, end = part
    with path.open("rb") as file:
        file.seek(start)
        packing = packing_of(file.read(HEAD)) or Packing(PACKET, 0)
        yield from _walk_transport(file, end - start, packing, start=start)


def _walk_boxes(file: BinaryIO, size: int) -> Iterator[int]:
    """Top-level boxes of an mp4 / mov file."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8 or (kind not in _BOX_TYPES and position + length > size):
            return  # 0: this box runs to the end of the file; else: padding behind the last box
        if position + length > size:
            raise _Contradiction(math.inf)
        position += length
        yield position


def _walk_ebml(file: BinaryIO, size: int) -> Iterator[int]:
    """Segment parts of a mkv / webm file and, in clusters, the blocks."""
    position = segment_end = cluster_end = 0
    short = False
    while position < size:
        file.seek(position)
        head = file.read(12)
        element, id_length = _ebml_number(head, keep_marker=True)
        length, size_length = _ebml_number(head[id_length:], keep_marker=False)
        if position >= segment_end and element not in (_EBML_HEADER, _SEGMENT):
            break  # bytes behind the segment are not ours
        if id_length == 0 or id_length > 4 or size_length == 0:
            raise _Contradiction(position)
        body = position + id_length + size_length
        unknown = length == (1 << 7 * size_length) - 1
        if element == _SEGMENT:
            segment_end = size if unknown else body + length
            short = segment_end > size
            position = body
        elif element == _CLUSTER:
            cluster_end = segment_end if unknown else body + length
            position = body
        else:
            inside = position < cluster_end and element not in _SEGMENT_PARTS
            end = cluster_end if inside else max(segment_end, body + length * (not segment_end))
            if unknown or body + length > end:
                raise _Contradiction(position)
            position = body + length
        if position > size or (element == _CLUSTER and cluster_end > segment_end):
            raise _Contradiction(position if position <= size else math.inf)
        yield position
    if short:
        raise _Contradiction(math.inf)


def _walk_transport(
    file: BinaryIO, size: int, packing: Packing, *, start: int = 0
) -> Iterator[int]:
    """Every packet of an mpegts file begins with a sync byte."""
    position, stride = 0, packing.stride
    file.seek(start)
    while chunk := file.read(min(stride * 1024, size - position)):
        marks = chunk[packing.lead :: stride]
        if marks.strip(b"G"):
            bad = next(i for i, mark in enumerate(marks) if mark != ord("G"))
            raise _Contradiction(position + bad * stride)
        position += len(chunk)
        yield position
    if size % stride:
        raise _Contradiction(math.inf)


def _walk_flash(file: BinaryIO, size: int) -> Iterator[int]:
    """Tags of an flv file."""
    position = 13
    while position + 11 <= size:
        file.seek(position)
        head = file.read(11)
        if head[0] & 0x1F not in (8, 9, 18):
            raise _Contradiction(position)
        position += 11 + int.from_bytes(head[1:4], "big") + 4
        if position - 4 > size:
            raise _Contradiction(math.inf)
        yield position


def _walk_gif(file: BinaryIO, size: int) -> Iterator[int]:
    """Blocks of a GIF; its closing byte may be absent."""
    file.seek(10)
    position = 13 + _gif_palette_bytes(file.read(1))
    while position < size:
        file.seek(position)
        head = file.read(10)
        if head[0] == 0x3B:
            return
        if head[0] == 0x21:
            body = position + 2
        elif head[0] == 0x2C:
            body = position + 11 + _gif_palette_bytes(head[9:10])
        else:
            raise _Contradiction(position)
        length = 1
        while length:
            file.seek(body)
            length = int.from_bytes(file.read(1), "big")
            body += 1 + length
            if body > size:
                raise _Contradiction(position)  # its picture is incomplete
        position = body
        yield position


def _gif_palette_bytes(flags: bytes) -> int:
    """Size of the colour table that a descriptor's flags announce."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def ffv1_sums_match(packet: bytes) -> bool:
    """Whether an FFV1 frame of version 3 on ends with check sums of its slices, and they match.

    A slice's last 8 bytes are its size (3 bytes), a status and a CRC-32 (polynomial 0x04C11DB7,
    most significant bit first, start 0) that makes the CRC of the whole slice 0. FFmpeg only logs
    a mismatch. zlib computes the mirrored CRC, hence the mirrored bytes.
    """
    end = len(packet)
    while end >= 8:
        begin = end - 8 - int.from_bytes(packet[end - 8 : end - 5], "big")
        if begin < 0:
            return False
        mirrored = packet[begin:end].translate(_MIRRORED_BYTES)
        if zlib.crc32(mirrored, 0xFFFFFFFF) != 0xFFFFFFFF:
            return False
        end = begin
    return end == 0 and bool(packet)


def _ebml_number(data: bytes, *, keep_marker: bool) -> tuple[int, int]:
    """(value, bytes used) of an EBML variable-length number; (0, 0) when it is none."""
    if not data or data[0] == 0:
        return 0, 0
    used = 9 - data[0].bit_length()
    if used > len(data):
        return 0, 0
    value = int.from_bytes(data[:used], "big")
    return (value if keep_marker else value & ((1 << 7 * used) - 1)), used
