"""From a file that FFmpeg reads to decoded pictures in display order, up to the first damage."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, dropwhile, pairwise
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from chromatrack.errors import BeyondEndError, VideoError
from chromatrack.video.integrity import StructureWalk, check_file, ffv1_sums_match

FALLBACK_FPS = 24.0
"""Frames per second assumed where the source states no times at all."""

_NOT_VIDEO = frozenset(["ansi", "bintext", "xbin", "idf"])  # FFmpeg "plays" text files with these
_ONE_PACKET_PER_FRAME = frozenset(["h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "ffv1"])
_RESUMES: dict[str, Callable[[int], float]] = {
    "matroska": lambda size: size + 32,
    "flv": lambda size: size + 20,
    "mpegts": lambda size: 1.05 * size + 188,
    "gif": lambda size: size,
}
"""Demuxers that silently resume behind a hole; file bytes that a packet of a size takes up."""
_SKIP_RATHER_THAN_SEEK = 48
_MAX_HELD = 32


def open_input(url: str) -> InputContainer:
    """Open for reading; text in the file that is not UTF-8 does no harm (PyAV 18 must be told)."""
    lenient: dict[str, Any] = {}
    if int(av.__version__.split(".")[0]) < 19:
        lenient["metadata_errors"] = "ignore"
    return av.open(url, **lenient)


@dataclass
class PictureReader:
    """One open video stream.

    Decodes with one thread per frame: with frame threads a decoder error cannot be tied to the
    packet that caused it, and the exact frame number of the damage would be lost.
    """

    path: str
    container: InputContainer
    stream: VideoStream
    walk: StructureWalk | None
    packets_before: int = 0
    has_sums: bool | None = None  # FFV1: whether its first frame carries check sums

    @classmethod
    def open(cls, path: str) -> PictureReader:
        """Open the first video stream of a file (or URL); VideoError says what is wrong."""
        url = "://" in path
        if not url:
            check_file(path)
        try:
            container = open_input(path if url else f"file:{path}")
        except (FFmpegError, OSError) as error:
            raise VideoError(
                f"{path}: cannot be opened as a video ({error.strerror}); "
                "the file is no video, or its header is missing or damaged"
            ) from error
        try:
            stream = _first_video_stream(container, path)
        except VideoError:
            container.close()
            raise
        stream.thread_type = "SLICE"
        stream.codec_context.copy_opaque = True
        return cls(path, container, stream, None if url else StructureWalk(Path(path)))

    def close(self) -> None:
        """Release the file."""
        if self.walk is not None:
            self.walk.close()
        self.container.close()

    def pictures_from(self, start: int) -> Iterator[tuple[int, VideoFrame]]:
        """(index, picture) in display order from picture `start` on; raises Damage."""
        first = 0
        pictures = None
        if start > _SKIP_RATHER_THAN_SEEK and (table := self.packet_table()) is not None:
            if start >= len(table.pts):
                raise beyond_end(self.path, len(table.pts), start)
            pictures = self._pictures_at(table, start)
            first = start
        if pictures is None:
            first, pictures = 0, self.pictures()
        index = first
        try:
            for picture in pictures:
                if index >= start:
                    yield index, picture
                index += 1
        except Damage as damage:
            damage.index = index
            raise
        if index == 0:
            raise VideoError(f"{self.path}: its video stream holds no frames")
        if index <= start:
            raise beyond_end(self.path, index, start)

    def pictures(self, *, from_pts: int | None = None) -> Iterator[VideoFrame]:
        """Pictures in display order from where the container stands; raises Damage.

        A picture is passed on only when every picture decoded before it is known to be good, so
        that none which was predicted from a damaged one gets out. With `from_pts` (after a seek)
        decoding begins at the first key picture; pictures shown before it are left out.
        """
        held = Held()
        key_order: int | None = None
        reason, bound = "", None
        packets = self.container.demux(self.stream)
        order = -1
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                reason = self._why_cut(order + 1)
                break
            except FFmpegError as error:
                reason = f"reading on failed: {error.strerror}"
                break
            if packet.size == 0:
                continue
            if self._is_lost(packet) and key_order is not None:
                reason, bound = "bytes are missing or overwritten", packet.pts
                break
            if key_order is None and packet.is_keyframe:
                key_order = order + 1
                from_pts = packet.pts if from_pts is not None else None
            if from_pts is not None and (
                key_order is None or (packet.pts is not None and packet.pts < from_pts)
            ):
                continue
            order += 1
            packet.opaque = order
            held.pending[order] = packet.pts
            try:
                decoded = packet.decode()
            except FFmpegError as error:
                if key_order is None:
                    held.pending.pop(order)
                    continue  # begins in mid-sequence: nothing to decode from yet
                reason, bound = f"decoding failed: {error.strerror}", packet.pts
                break
            yield from held.release(decoded, key_order)
        yield from held.release(self._tail(held, reason=reason, bound=bound), key_order)
        yield from (picture for _, picture in held.queue)
        if reason:
            raise Damage(reason)

    def _is_lost(self, packet: av.Packet) -> bool:
        """Whether the demuxer, the file's structure or the packet's check sums speak of damage."""
        if packet.is_corrupt:
            return True
        if self.stream.codec_context.name == "ffv1":
            matches = ffv1_sums_match(bytes(packet))
            self.has_sums = matches if self.has_sums is None else self.has_sums
            if self.has_sums and not matches:
                return True
        margin = next(
            (m for name, m in _RESUMES.items() if name in self.container.format.name), None
        )
        if self.walk is None or margin is None or packet.pos is None or packet.pos < 0:
            return False
        return self.walk.is_broken_before(packet.pos + margin(packet.size))

    def _why_cut(self, packets_read: int) -> str:
        """Why the end of the packets is not the end of the video, or "" when it is."""
        if self.walk is None or not self.walk.is_broken_before(math.inf):
            return ""
        if 0 < self.stream.frames <= self.packets_before + packets_read:
            return ""
        return "the file is cut short"

    def _tail(self, held: Held, *, reason: str, bound: int | None) -> Iterator[VideoFrame]:
        """What the decoder still holds; after damage only what has no hole before it."""
        try:
            pictures = self.stream.codec_context.decode(None)
        except FFmpegError:
            pictures = []
        for picture in pictures:
            if reason and not held.follows(picture, bound):
                return
            yield picture

    def packet_table(self) -> PacketTable | None:
        """When every picture is shown, from the packets alone; None where they do not tell.

        Reads the file once without decoding it, and leaves it rewound.
        """
        formats = self.container.format.name
        if self.stream.codec_context.codec.canonical_name not in _ONE_PACKET_PER_FRAME or not any(
            name in formats for name in ("mp4", "matroska", "mpegts")
        ):
            return None
        try:
            table = PacketTable.of(p for p in self.container.demux(self.stream) if p.size)
        except FFmpegError:
            table = None
        self.rewind()
        return table

    def rewind(self) -> None:
        """Back to the beginning, by opening the file anew (seeking to 0 is not exact)."""
        fresh = PictureReader.open(self.path)
        self.close()
        self.container, self.stream, self.walk = fresh.container, fresh.stream, fresh.walk
        self.packets_before = 0

    def _pictures_at(self, table: PacketTable, start: int) -> Iterator[VideoFrame] | None:
        """Pictures from number `start` on by seeking, or None when no seek arrives before it."""
        target = table.pts[start]
        last_key = bisect_right(table.keys, target) - 1
        for key in [table.keys[i] for i in range(last_key, max(-1, last_key - 3), -1)]:
            self.container.seek(key, stream=self.stream)
            self.packets_before = table.decode_order[key]
            pictures = self.pictures(from_pts=key)
            try:
                first = next(pictures, None)
            except Damage:
                first = None
            if first is not None and first.pts is not None and first.pts <= target:
                return _from_pts(first, pictures, target)
        self.rewind()
        return None

    def clock(self) -> Clock:
        """A fresh clock for pictures of this stream in display order."""
        rate = self.stream.guessed_rate or self.stream.average_rate
        step = 1 / float(rate) if rate else 1 / FALLBACK_FPS
        return Clock(self.stream.time_base or Fraction(1, 1_000_000), step)


def beyond_end(path: str, count: int, index: int) -> BeyondEndError:
    """The error for a frame number that a source does not have."""
    span = f"0 to {count - 1}" if count else "none"
    text = f"{path}: has {count} frames (numbers {span}), but frame {index} was asked for"
    return BeyondEndError(text, frame_count=count)


def _first_video_stream(container: InputContainer, path: str) -> VideoStream:
    """The first moving video stream; cover pictures of music files do not count."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise VideoError(f"{path}: has no video stream")
    if streams[0].codec_context is None:
        raise VideoError(f"{path}: FFmpeg has no decoder for its video stream")
    if streams[0].codec_context.name in _NOT_VIDEO:
        raise VideoError(f"{path}: is a text file, not a video")
    return streams[0]


def _from_pts(first: VideoFrame, rest: Iterator[VideoFrame], target: int) -> Iterator[VideoFrame]:
    """The pictures from time `target` (ticks) on; Damage when there is none at that time."""
    rest = dropwhile(lambda p: p.pts is not None and p.pts < target, chain([first], rest))
    for number, picture in enumerate(rest):
        if number == 0 and picture.pts != target:
            raise Damage("the picture cannot be decoded")
        yield picture


# -- pictures in display order -----------------------------------------------------------------


class Damage(Exception):
    """Internal: no further picture can be trusted. Text: why; `index`: of the first bad picture."""

    index = 0


@dataclass
class Clock:
    """Times in seconds; pictures that state none follow the last known one by `step` each.

    The stream's time base is used throughout: pictures that come out of the decoder last state
    none of their own.
    """

    time_base: Fraction
    step: float
    known: tuple[int, float] = (0, 0.0)

    def read(self, picture: VideoFrame, index: int) -> float:
        """Seconds at which picture number `index` is shown."""
        if picture.pts is not None:
            self.known = (index, float(picture.pts * self.time_base))
            return self.known[1]
        return self.known[1] + (index - self.known[0]) * self.step

    def duration(self, picture: VideoFrame) -> float | None:
        """Seconds for which a picture is shown, where it says so."""
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
