"""From a file that FFmpeg reads to decoded pictures in display order, up to the first damage."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, dropwhile, islice
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from chromatrack.errors import BeyondEndError, VideoError
from chromatrack.video.deinterlace import NEIGHBORS, Deinterlacer
from chromatrack.video.demuxers import BARE, NOT_VIDEO, ONE_PACKET_PER_FRAME, RESUMES
from chromatrack.video.integrity import StructureWalk, check_file, ffv1_sums_match
from chromatrack.video.picture_order import Clock, Damage, Held, PacketTable, remembered_table
from chromatrack.video.transport import Recording, recordings

FALLBACK_FPS = 24.0
"""Frames per second assumed where the source states no times at all."""

_SKIP_RATHER_THAN_SEEK = 48


def open_input(url: str) -> InputContainer:
    """Open for reading; text in the file that is not UTF-8 does no harm (PyAV 18 must be told)."""
    lenient: dict[str, Any] = {}
    if int(av.__version__.split(".")[0]) < 19:
        lenient["metadata_errors"] = "ignore"
    return av.open(url, **lenient)


def file_url(path: str, part: Recording | None = None) -> str:
    """What FFmpeg opens for a file of any name, or for one recording in it."""
    if part is None:
        return f"file:{path}"
    return f"subfile,,start,{part.start},end,{part.end},,:file:{path}"


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
    deinterlace: bool = False
    first_pts: int = 0  # of the first shown picture, once `pictures_from` gave one
    parts: tuple[Recording, ...] = ()  # of a joined transport stream; else empty
    table: PacketTable | None = None  # once it was asked for, or given
    on_packet: Callable[[], None] | None = None  # called before each one; may raise
    side_by_side: bool = False  # frame threads were turned on; after an error nothing is sure
    _due: int | None = None  # ticks of the picture that it seeks; others only where it needs them

    @classmethod
    def open(cls, path: str, *, deinterlace: bool = False) -> PictureReader:
        """Open the first video stream of a file (or URL); VideoError says what is wrong."""
        url = "://" in path and not Path(path).exists()
        parts = () if url else recordings(path)
        reader = cls._open_part(path, parts[0] if parts else None, url=url)
        reader.deinterlace, reader.parts = deinterlace, parts
        return reader

    @classmethod
    def _open_part(cls, path: str, part: Recording | None, *, url: bool = False) -> PictureReader:
        if not url:
            check_file(path)
        name = path if url else file_url(path, part)
        try:
            container = open_input(name)
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
        bounds = None if part is None else (part.start, part.end)
        return cls(path, container, stream, None if url else StructureWalk(Path(path), bounds))

    def close(self) -> None:
        """Release the file."""
        if self.walk is not None:
            self.walk.close()
        self.container.close()

    def pictures_from(self, start: int) -> Iterator[tuple[int, VideoFrame]]:
        """(index, picture) in display order from picture `start` on; raises Damage."""
        begin = max(0, start - NEIGHBORS) if self.deinterlace else start
        self._due, first, pictures = None, 0, None
        if begin > _SKIP_RATHER_THAN_SEEK and (table := self.packet_table()) is not None:
            if start >= len(table.pts):
                raise beyond_end(self.path, len(table.pts), start)
            pictures = self._pictures_at(table, begin)
            self.first_pts, first = table.pts[0], begin
        if pictures is None:
            first, pictures = 0, self._from_first()
        if self.deinterlace:
            pictures = self._deinterlaced(islice(pictures, begin - first, None))
            first = begin
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
            raise VideoError(f"{self.path}: {self._why_empty()}")
        if index <= start:
            raise beyond_end(self.path, index, start)

    def _from_first(self) -> Iterator[VideoFrame]:
        """All pictures; the first one's time is kept."""
        for number, picture in enumerate(self.pictures()):
            if number == 0 and picture.pts is not None:
                self.first_pts = picture.pts
            yield picture

    def _deinterlaced(self, pictures: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        stated = self.stream.codec_context.field_order
        filtering = Deinterlacer(flagged_only=int(stated or 0) > 1)
        damage = None
        try:
            for picture in pictures:
                yield from filtering.put(picture)
        except Damage as found:
            damage = found
        yield from filtering.rest()
        if damage is not None:
            raise damage

    def _why_empty(self) -> str:
        """What to say of a stream without a picture."""
        self.rewind()
        packets = [p for p in self.container.demux(self.stream) if p.size]
        if packets and all(p.is_discard for p in packets):
            return "its edit list hides all of its pictures; make a copy without one"
        return "its video stream holds no frames"

    def pictures(self, *, from_pts: int | None = None) -> Iterator[VideoFrame]:
        """Pictures in display order from where the container stands; raises Damage.

        A picture is passed on only when every picture decoded before it is known to be good, so
        that none which was predicted from a damaged one gets out. With `from_pts` (after a seek)
        decoding begins at the first key picture; pictures shown before it are left out. What a
        joined transport stream holds behind its first recording follows without a gap.
        """
        shifts = self.shifts()
        for number, shift in enumerate(shifts):
            if number:
                self._enter(number)
            try:
                for picture in self._pictures(from_pts=from_pts):
                    if shift and picture.pts is not None:
                        picture.pts += shift
                    yield picture
            except Damage:
                if number + 1 == len(shifts) or self._has_more():
                    raise  # else only the last picture of a recording, which was broken off

    def shifts(self) -> list[int]:
        """Ticks to add to the times of each recording, so that they follow without a gap."""
        shifts, end = [0], None
        for part in self.parts:
            reader = self._open_part(self.path, part)
            try:
                first, last = _shown_span(reader.container.demux(reader.stream))
            finally:
                reader.close()
            if end is None:
                shifts, end = [], first
            shifts.append(end - first)
            rate, base = self.stream.guessed_rate, self.stream.time_base
            end += last - first + (round(1 / rate / base) if rate and base else 0)
        return shifts

    def _enter(self, number: int) -> None:
        """Go on with another recording of a joined transport stream."""
        fresh = self._open_part(self.path, self.parts[number])
        self.close()
        self.container, self.stream, self.walk = fresh.container, fresh.stream, fresh.walk

    def _has_more(self) -> bool:
        """Whether video follows where the container stands."""
        try:
            return any(packet.size for packet in self.container.demux(self.stream))
        except FFmpegError:
            return False

    def _pictures(self, *, from_pts: int | None) -> Iterator[VideoFrame]:
        """Pictures of the container that is open now."""
        held = Held()
        key_order: int | None = None
        reason, bound = "", None
        packets = self.container.demux(self.stream)
        order = -1
        while True:
            if self.on_packet is not None:
                self.on_packet()
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
            if self._due is not None and packet.pts is not None:
                skip = "NONREF" if packet.pts < self._due else "DEFAULT"
                self.stream.codec_context.skip_frame = skip
            held.pending[order] = packet.pts
            try:
                decoded = packet.decode()
            except FFmpegError as error:
                if key_order is None:
                    held.pending.pop(order)
                    continue  # begins in mid-sequence: nothing to decode from yet
                reason, bound = f"decoding failed: {error.strerror}", packet.pts
                if self.side_by_side:
                    raise Damage(reason) from error
                break
            yield from held.release(decoded, key_order)
        yield from held.release(self._tail(held, reason=reason, bound=bound), key_order)
        yield from (picture for _, picture in held.queue)
        if self.side_by_side and held.pending:
            reason = reason or "pictures are missing"
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
            (m for name, m in RESUMES.items() if name in self.container.format.name), None
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
        except FFmpegError as error:
            if self.side_by_side:
                raise Damage(f"decoding failed: {error.strerror}") from error
            pictures = []
        for picture in pictures:
            if reason and not held.follows(picture, bound):
                return
            yield picture

    def packet_table(self) -> PacketTable | None:
        """When every picture is shown, from the packets alone; None where they do not tell.

        Reads the file once without decoding it, and leaves it rewound. It is remembered for the
        last few files, as long as they stay as they are.
        """
        if self.table is None:
            self.table = remembered_table(self.path, self._read_table)
        return self.table

    def _read_table(self) -> PacketTable | None:
        formats = self.container.format.name
        codec = self.stream.codec_context.codec.canonical_name
        exact = any(name in formats for name in ("mp4", "matroska", "mpegts"))
        if self.parts or not exact or codec not in ONE_PACKET_PER_FRAME:
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
            self._due = target
            pictures = self.pictures(from_pts=key)
            try:
                first = next(pictures, None)
            except Damage:
                first = None
            if first is not None and first.pts is not None and first.pts <= target:
                return _from_pts(first, pictures, target)
        self._due = None
        self.rewind()
        return None

    @property
    def states_times(self) -> bool:
        """Whether the file says when its pictures are shown; a bare stream of a codec does not."""
        return not BARE & set(self.container.format.name.split(","))

    def clock(self, *, origin: int = 0, fps: float | None = None) -> Clock:
        """A fresh clock for pictures of this stream in display order, 0 at `origin` ticks.

        fps: frames per second where no times are stated; None: what FFmpeg makes of it.
        """
        rate = fps or self.stream.guessed_rate or self.stream.average_rate
        step = 1 / float(rate) if rate else 1 / FALLBACK_FPS
        base = self.stream.time_base or Fraction(1, 1_000_000)
        return Clock(base, step, origin, by_number=fps is not None)


def time_zeros(path: str) -> list[tuple[str, float]]:
    """(what FFmpeg opens, its time of the first shown frame) for each recording of a file.

    From the second recording on it is the time that its sound would have had then. A file without
    video counts from its own 0. VideoError where it cannot be opened.
    """
    try:
        reader = PictureReader.open(path)
    except VideoError:
        return [(file_url(path), 0.0)]
    try:
        next(reader.pictures_from(0), None)
        base, parts = reader.stream.time_base or Fraction(0), reader.parts or (None,)
        zeros = [float((reader.first_pts - shift) * base) for shift in reader.shifts()]
    except (VideoError, Damage):
        return [(file_url(path), 0.0)]
    finally:
        reader.close()
    return [(file_url(path, part), zero) for part, zero in zip(parts, zeros, strict=True)]


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
    if streams[0].codec_context.name in NOT_VIDEO:
        raise VideoError(f"{path}: is a text file, not a video")
    return streams[0]


def _shown_span(packets: Iterable[av.Packet]) -> tuple[int, int]:
    """First and last presentation time (ticks) from the first key picture on; (0, 0) if none."""
    first, last = None, 0
    for packet in packets:
        if packet.pts is None or (first is None and not packet.is_keyframe):
            continue
        first = packet.pts if first is None else first
        last = max(last, packet.pts)
    return (first, last) if first is not None else (0, 0)


def _from_pts(first: VideoFrame, rest: Iterator[VideoFrame], target: int) -> Iterator[VideoFrame]:
    """The pictures from time `target` (ticks) on; Damage when there is none at that time."""
    rest = dropwhile(lambda p: p.pts is not None and p.pts < target, chain([first], rest))
    for number, picture in enumerate(rest):
        if number == 0 and picture.pts != target:
            raise Damage("the picture cannot be decoded")
        yield picture
