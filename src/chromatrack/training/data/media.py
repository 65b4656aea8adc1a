"""What the data is made of: videos, photos and stretches of videos, as files or in tar shards."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from av.error import FFmpegError
from av.video.stream import VideoStream

from chromatrack.errors import VideoError
from chromatrack.video.decode import FALLBACK_FPS, PictureReader, open_input
from chromatrack.video.orientation import Orientation
from chromatrack.video.picture_order import Damage

LEAST_SIDE = 16
"""Pixels; pictures whose shorter side is less hold nothing to copy."""

_SMALL = 64 << 20  # bytes; of a larger file its own index is believed, where it has one
_READ_WHOLE = 512 << 20  # bytes; a larger file is not read through only to time it
_WALK_WHOLE = 64 << 20  # bytes; a larger file's structure is not checked to its end


@dataclass(frozen=True)
class MediaFile:
    """A file, or `length` bytes from byte `start` of a tar shard on.

    name: as in the digest, free of this machine's folders. bytes, modified_ns: when they change it
    is looked at anew.
    """

    name: str
    path: str
    start: int
    length: int | None
    bytes: int
    modified_ns: int

    @property
    def label(self) -> str:
        """How messages call it."""
        return self.path if self.length is None else f"{self.path}::{self.name.split('::')[-1]}"

    def open_video(self) -> PictureReader:
        """Open it as a video, in place.

        Raises:
            VideoError: cannot be opened, or holds no video stream.
        """
        if self.length is None:
            return PictureReader.open(self.path)
        end = self.start + self.length
        try:  # FFmpeg's subfile: nothing is unpacked or read as a whole, and seeking works
            container = open_input(f"subfile,,start,{self.start},end,{end},,:file:{self.path}")
        except (FFmpegError, OSError) as error:
            raise VideoError(
                f"{self.label}: cannot be opened as a video ({error.strerror})"
            ) from error
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream) or stream.codec_context is None:
            container.close()
            raise VideoError(f"{self.label}: has no video stream that can be decoded")
        stream.thread_type = "SLICE"
        stream.codec_context.copy_opaque = True
        return PictureReader(self.label, container, stream, None)


@dataclass(frozen=True)
class VideoEntry(MediaFile):
    """A usable video.

    width, height: pixels, upright. seconds: as far as it can be read. frames: None if not counted.
    fps: on average. keyframes: seconds, growing, in the source's own time; empty where it states
    none; the first is the video's begin. problem: what is damaged, while the rest is used.
    """

    width: int
    height: int
    seconds: float
    frames: int | None
    fps: float
    keyframes: tuple[float, ...]
    problem: str | None

    @property
    def begin(self) -> float:
        """Time of the first frame, seconds."""
        return self.keyframes[0] if self.keyframes else 0.0


@dataclass(frozen=True)
class Stretch:
    """A part of a video, `[start_seconds, end_seconds)` in the source's own time.

    video: number in `Index.videos`.
    """

    video: int
    start_seconds: float
    end_seconds: float


# -- one look at a video: its size and when its frames and key pictures are shown -------------


@dataclass(frozen=True)
class _Packets:
    """Times (stream ticks) of all packets, growing, and of those that hold key pictures."""

    ticks: list[int]
    keys: list[int]
    count: int  # also those that state no time


def look_at(file: MediaFile) -> VideoEntry:
    """Decode a video's first frame and list its times; a large one is not read through for that.

    Raises:
        VideoError: not a video, damaged from the first frame on, a single frame, or too small.
    """
    reader = file.open_video()
    try:
        height, width = _upright_size(reader, file.label)
        is_cut = _is_cut(reader, file.bytes)
        packets = _indexed(reader, file.bytes) if file.bytes > _SMALL else None
        if packets is None and file.bytes <= _READ_WHOLE:
            packets = _demuxed(file)
        seconds, fps, keyframes = _times(reader, packets, is_cut=is_cut)
    except OSError as error:
        raise VideoError(f"{file.label}: cannot be read ({error.strerror})") from error
    finally:
        reader.close()
    count = packets.count if packets else None
    if count == 1 or not seconds > 0:
        raise VideoError(f"{file.label}: holds a single frame; two are needed to learn from")
    return VideoEntry(
        **vars(file),
        width=width,
        height=height,
        seconds=seconds,
        frames=count,
        fps=fps,
        keyframes=keyframes,
        problem=f"cut short; the {seconds:.1f} s before that are used" if is_cut else None,
    )


def _upright_size(reader: PictureReader, name: str) -> tuple[int, int]:
    try:
        picture = next(reader.pictures(), None)
    except Damage as damage:
        raise VideoError(f"{name}: damaged from the first frame on ({damage})") from damage
    if picture is None:
        raise VideoError(f"{name}: its video stream holds no frames")
    size = Orientation.of(picture).size((picture.height, picture.width))
    if min(size) < LEAST_SIDE:
        raise VideoError(
            f"{name}: expected at least {LEAST_SIDE} pixels a side, got {size[1]}x{size[0]}"
        )
    return size


def _is_cut(reader: PictureReader, size: int) -> bool:
    """Whether the file's own structure says that bytes are missing."""
    is_quick = size <= _WALK_WHOLE or "mp4" in reader.container.format.name
    return reader.walk is not None and is_quick and reader.walk.is_broken_before(math.inf)


def _indexed(reader: PictureReader, size: int) -> _Packets | None:
    """The packets by the file's index, as far as their bytes are there; None if it is partial."""
    entries = reader.stream.index_entries
    if "mp4" not in reader.container.format.name or len(entries) != reader.stream.frames:
        return None
    there = [(e.timestamp, e.is_keyframe) for e in entries if e.pos + e.size <= size]
    if not there:
        return None
    # the index counts in order of decoding: shift it so that the first picture is on time
    shift = (reader.stream.start_time or 0) - there[0][0]
    return _collect((tick + shift, is_key) for tick, is_key in there)


def _demuxed(file: MediaFile) -> _Packets:
    """The packets by reading the file through, without decoding, as far as that goes."""
    reader = file.open_video()
    found: list[tuple[int | None, bool]] = []
    try:
        for packet in reader.container.demux(reader.stream):
            if packet.size and not packet.is_corrupt:
                tick = packet.pts if packet.pts is not None else packet.dts
                found.append((tick, packet.is_keyframe))
    except FFmpegError:
        pass  # what was read until here is what can be used
    finally:
        reader.close()
    return _collect(found)


def _collect(found: Iterable[tuple[int | None, bool]]) -> _Packets:
    every = list(found)
    ticks = sorted(tick for tick, _ in every if tick is not None)
    keys = sorted(tick for tick, is_key in every if tick is not None and is_key)
    return _Packets(ticks, keys, len(every))


def _times(
    reader: PictureReader, packets: _Packets | None, *, is_cut: bool
) -> tuple[float, float, tuple[float, ...]]:
    """(seconds, frames per second, times of key pictures) from the packets or what is declared."""
    stream, container = reader.stream, reader.container
    base = float(stream.time_base or 0) or 1e-6
    rate = float(stream.guessed_rate or stream.average_rate or 0) or FALLBACK_FPS
    if packets is None:
        known = stream.duration * base if stream.duration else (container.duration or 0) / 1e6
        first = (stream.start_time or 0) * base
        keys = [e.timestamp * base for e in stream.index_entries if e.is_keyframe]
        return max(0.0, known), rate, (first, *(k for k in keys if k > first))
    if len(packets.ticks) < 2:
        return packets.count / rate, rate, ()
    first, last = packets.ticks[0], packets.ticks[-1]
    steps = sorted(b - a for a, b in pairwise(packets.ticks))
    span = last - first + steps[len(steps) // 2]
    if not is_cut and stream.duration:
        span = max(span, stream.duration)  # an index in order of decoding ends a little early
    seconds = span * base
    later = [key for key in packets.keys if key > first]
    keyframes = tuple(round(tick * base, 6) for tick in (first, *later))
    return seconds, len(packets.ticks) / seconds if seconds > 0 else rate, keyframes
