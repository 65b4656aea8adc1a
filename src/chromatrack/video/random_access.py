"""Frames of one source in any order, quickly: for people who scrub, and models that look around.

Gives what `reader.read_frames` gives. What it keeps is the place of every frame in the file, found
once, and the decoder where it stands, so that the next frames cost a decoding each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame

from chromatrack.errors import DamagedVideoError, VideoError
from chromatrack.structures import Source
from chromatrack.video.decode import PictureReader, beyond_end
from chromatrack.video.key_pictures import KeyPictures, nearest_key
from chromatrack.video.pages import Pictures
from chromatrack.video.picture_order import Damage, PacketTable
from chromatrack.video.pixel_format import RgbConverter, to_8_bit
from chromatrack.video.reader import Frame, probe, read_frames
from chromatrack.video.source import VideoSource

_STEP_ON = 48  # frames that are rather decoded than jumped over
_NEAR = 3  # frames that are decoded as quickly as a key picture is found
_SIDE_BY_SIDE = frozenset(["h264", "hevc"])  # codecs of which several pictures are decoded at once
_THREADS = 4
_FROM_FIRST = 48  # as `PictureReader.pictures_from` has it


class FrameTimes:
    """When every frame of a source is shown.

    times: seconds. last_seconds: how long the last one is shown. table: of the packets, to be
    given to `FrameReader`, where the file tells by them.
    """

    def __init__(
        self, times: list[float], last_seconds: float, table: PacketTable | None = None
    ) -> None:
        self.times, self.last_seconds, self.table = times, last_seconds, table

    @classmethod
    def of(cls, source: Source) -> FrameTimes:
        """Read from a source; decodes all of it only where its packets do not tell.

        Raises:
            VideoError: it cannot be opened, or holds no frame.
        """
        given = VideoSource.of(source)
        pictures = Pictures.of(given)
        if pictures is not None:
            return cls(pictures.times[:-1], pictures.durations[-1])
        reader = PictureReader.open(given.path, deinterlace=given.deinterlace)
        try:
            table, step = reader.packet_table(), reader.clock(fps=given.fps).step
            base = reader.stream.time_base or Fraction(1, 1_000_000)
        finally:
            reader.close()
        if table is not None:
            zero, (step_up, per) = table.pts[0], base.as_integer_ratio()
            times = [(ticks - zero) * step_up / per for ticks in table.pts]
            if given.fps is not None:
                times = [index / given.fps for index in range(len(times))]
            return cls(times, step, table)
        times = []
        try:
            for frame in read_frames(given):
                times.append(frame.pts_seconds)
                step = frame.duration_seconds or step
        except DamagedVideoError:
            if not times:
                raise
        return cls(times, step)


class FrameReader:
    """One open source, whose frames are asked for by number in any order."""

    def __init__(
        self, source: Source, *, known: FrameTimes | None = None, is_thrifty: bool = False
    ) -> None:
        """Open it.

        known: what `FrameTimes.of` the same source gave. is_thrifty: for small copies made aside:
        by one thread, and pictures that no other is predicted from keep the edges of their blocks.

        Raises VideoError.
        """
        self._is_thrifty = is_thrifty
        self.source = VideoSource.of(source)
        self.info = probe(self.source)
        self._pictures = Pictures.of(self.source)
        self._converters: dict[tuple[int, int] | None, RgbConverter] = {}
        self._reader: PictureReader | None = None
        self._keys: KeyPictures | None = None
        self._next, self._coming = 0, iter(())
        self._steps: Iterator[tuple[int, VideoFrame]] = self._coming
        self._is_whole = True  # as far as is known
        if self._pictures is None:
            self._reader = PictureReader.open(self.source.path, deinterlace=self.source.deinterlace)
            self._side_by_side(self._reader)
            self.know(known)

    def _side_by_side(self, reader: PictureReader) -> None:
        """Let several threads decode a picture each, until damage asks for its exact place."""
        codec = reader.stream.codec_context
        if self._is_thrifty:
            codec.thread_count, codec.options = 1, {"skip_loop_filter": "noref"}
            return
        reader.side_by_side = self._is_whole and codec.codec.canonical_name in _SIDE_BY_SIDE
        if reader.side_by_side:
            codec.thread_type, codec.thread_count = "FRAME", _THREADS

    def know(self, known: FrameTimes | None) -> None:
        """Take the places of frames, found elsewhere."""
        if self._reader is not None and known is not None:
            self._reader.table = known.table

    def watch(self, on_packet: Callable[[], None] | None) -> None:
        """Call something before each packet is decoded; what it raises breaks the reading off."""
        if self._reader is not None:
            self._reader.on_packet = on_packet

    @property
    def is_indexed(self) -> bool:
        """Whether a far frame is reached without reading the whole file first."""
        return self._reader is None or self._reader.table is not None

    def read(self, index: int, *, size: tuple[int, int] | None = None) -> np.ndarray:
        """`(H, W, 3)` uint8 sRGB of a frame, brought to a (height, width) if one is given.

        Raises:
            BeyondEndError: there is no such frame. VideoError, DamagedVideoError: it is unreadable.
        """
        return next(self.read_from(index, size=size))[1]

    def read_from(
        self, index: int, *, size: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """(number, pixels) of the frames from one on, as long as they are taken."""
        if self._pictures is not None:
            if index >= len(self._pictures):
                raise beyond_end(self.source.path, len(self._pictures), index)
            for number, rgb, _, _ in self._pictures.read(index, None, size):
                yield number, rgb
            return
        converter = self._converters.setdefault(size, RgbConverter(size, self.source.path))
        for number, picture in self.pictures_from(index):
            yield number, to_8_bit(converter.pixels(picture))

    def pictures_from(self, index: int) -> Iterator[tuple[int, VideoFrame]]:
        """(number, picture as it is decoded) of the frames of a video from one on, as they are."""
        while (picture := self._picture(index)) is not None:
            yield index, picture
            index += 1

    def read_near(
        self, index: int, *, size: tuple[int, int] | None = None
    ) -> tuple[int, np.ndarray, bool]:
        """(number, pixels, whether that number is sure) of a picture near a frame, at once.

        That is the key picture next to it, which costs one decoding however far it is; the frame
        itself where that is as quick.

        Raises:
            As `read`.
        """
        reader = self._reader
        is_next = 0 <= index - self._next <= _NEAR and self._steps is not self._coming
        near = None if reader is None or is_next else self._near_picture(reader, index)
        if near is None:
            return index, self.read(index, size=size), True
        number, picture, is_sure = near
        converter = self._converters.setdefault(size, RgbConverter(size, self.source.path))
        return number, to_8_bit(converter.pixels(picture)), is_sure

    def _near_picture(
        self, reader: PictureReader, index: int
    ) -> tuple[int, VideoFrame, bool] | None:
        table, start = reader.table, 0
        if table is not None:
            if index >= len(table.pts):
                raise beyond_end(self.source.path, len(table.pts), index)
            due = nearest_key(table, index)
        else:
            base = reader.stream.time_base
            start = reader.stream.start_time or 0
            if not base or not self.info.average_fps:
                return None
            due = start + round(index / self.info.average_fps / base)
        if self._keys is None:
            self._keys = KeyPictures(self.source.path)
        picture = self._keys.at(due)
        if picture is None or picture.pts is None:
            return None
        if table is not None:
            number = bisect_left(table.pts, picture.pts)
            is_sure = number < len(table.pts) and table.pts[number] == picture.pts
            return (number, picture, True) if is_sure else None
        seconds = (picture.pts - start) * (reader.stream.time_base or 0)
        return max(0, round(float(seconds) * (self.info.average_fps or 0))), picture, False

    def frame(self, index: int, seconds: float) -> Frame:
        """A frame at the source's size, with a time that is known."""
        return Frame(self.read(index), index, seconds)

    def _picture(self, index: int, *, again: bool = False) -> VideoFrame | None:
        """The picture of a number; None behind the last one that was asked for in a row."""
        in_a_row = again or (index == self._next and self._steps is not self._coming)
        if not self._next <= index <= self._next + _STEP_ON or self._steps is self._coming:
            self._begin(index)
        try:
            for number, picture in self._steps:
                self._next = number + 1
                if number == index:
                    return picture
        except Damage as damage:
            self._steps = self._coming
            if self._reader is not None and self._reader.side_by_side:
                self._is_whole = False
                self._reader.rewind()
                self._side_by_side(self._reader)
                return self._picture(index, again=in_a_row)
            text = f"{self.source.path}: damaged at frame {damage.index} ({damage})"
            raise DamagedVideoError(text, frame_index=damage.index) from damage
        except (VideoError, KeyboardInterrupt):
            self._steps = self._coming
            raise
        count, self._steps = self._next, self._coming
        if in_a_row:
            return None
        raise beyond_end(self.source.path, count, index)

    def _begin(self, index: int) -> None:
        assert self._reader is not None
        if index <= _FROM_FIRST or self._reader.table is None:
            self._reader.rewind()  # which decodes all again
            self._side_by_side(self._reader)
        self._next = 0 if index <= _FROM_FIRST else index
        self._steps = self._reader.pictures_from(0 if index <= _FROM_FIRST else index)

    def close(self) -> None:
        """Release the file."""
        if self._reader is not None:
            self._reader.close()
        if self._keys is not None:
            self._keys.close()
