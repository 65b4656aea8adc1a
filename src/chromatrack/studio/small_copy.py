"""A small copy of a film, by which each of its frames is found at once: its files.

A folder for each film, named by the film's digest, with a file for each run of `CHUNK` frames. A
file is there whole or not at all, and says by a check sum whether it is as it was written; one that
is not, or is no such file, is taken away and made again.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
from av.codec.codec import Codec, UnknownCodecError
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from chromatrack.caches import cache_folder
from chromatrack.video.orientation import UPRIGHT
from chromatrack.video.picture_order import PacketTable
from chromatrack.video.pixel_format import RgbConverter, matrix_of

CHUNK = 250
"""Frames of a file."""

WIDTHS = (640, 480, 320, 160)
"""A small copy has the first of these widths with which its frames are small enough."""

_MOST_PIXELS = 640 * 640
_WORTH = 80  # million pixels to decode till a frame is there: 0.2 s on two slow cores
_FOLDER = "small-copies"
_MAGIC = b"chromatrack small copy 1\n"
_HEAD = struct.Struct("<II")  # check sum of all behind it, length of the JSON
_KEY_EVERY = 8
_MPEG_RANGE = 1
_KEPT = 8  # chunks of 1 or 2 MB
_PLAIN = ("yuv420p", "yuv422p", "yuv444p", "nv12")
_ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "libx264": (
        "h264",
        {"preset": "ultrafast", "tune": "zerolatency", "crf": "26", "bf": "0", "threads": "1"}
        | {"keyint_min": f"{_KEY_EVERY}", "sc_threshold": "0"},
    ),
    "mpeg4": ("mpeg4", {"bf": "0", "b": "2000000"}),
}
"""The first that is there is taken: what its pictures are decoded by, its options."""


def is_worth_it(table: PacketTable, size: tuple[int, int]) -> bool:
    """Whether frames of a film of a (height, width) are so far from key pictures that it lags."""
    begins = [bisect_left(table.pts, key) for key in table.keys]
    apart = np.diff([*begins, len(table.pts)])
    far = np.percentile(np.concatenate([np.arange(frames) for frames in apart]), 95)
    return bool(far * size[0] * size[1] > _WORTH * 1e6)


def small_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the small copy of frames of a size, both even."""
    height, width = size
    fits = (w for w in WIDTHS if min(w, width) ** 2 * height <= _MOST_PIXELS * width)
    shown = min(width, next(fits, WIDTHS[-1]))
    return max(2, round(height * shown / width / 2) * 2), max(2, shown // 2 * 2)


@cache
def encoder() -> str | None:
    """The encoder that small copies are made with; None: there is none."""
    for name in _ENCODERS:
        with suppress(UnknownCodecError):
            return Codec(name, "w").name
    return None


def film_folder(digest: str) -> Path | None:
    """Where the small copy of a film of a digest is, in the user's cache; None: it is no digest."""
    folder = cache_folder() / _FOLDER / digest
    return folder if is_film(folder) else None


def is_film(folder: Path) -> bool:
    """Whether a folder is called as one of a film is."""
    return re.fullmatch("[0-9a-f]{64}", folder.name) is not None and folder.parent.name == _FOLDER


# -- files -----------------------------------------------------------------------------------


def chunk_path(folder: Path, number: int) -> Path:
    """Where the frames from `number * CHUNK` on are."""
    return folder / f"{number:05d}.chunk"


def chunks_there(folder: Path) -> set[int]:
    """Numbers of the chunks that a folder has."""
    return {int(path.stem) for path in folder.glob("?????.chunk") if path.stem.isdecimal()}


def stretches(chunks: Collection[int], frames: int) -> list[list[int]]:
    """Frames of chunks as [start, end), joined where one follows another."""
    found: list[list[int]] = []
    for number in sorted(chunks):
        start, end = number * CHUNK, min(frames, (number + 1) * CHUNK)
        if start >= frames:
            break
        if found and found[-1][1] == start:
            found[-1][1] = end
        else:
            found.append([start, end])
    return found


@dataclass(frozen=True)
class _Said:
    """What a file says of itself: the bytes of each packet, the numbers of key pictures.

    matrix: of its colours, a code point of H.273.
    """

    codec: str
    matrix: int
    lengths: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)


class ChunkWriter:
    """Pictures that come one after another, each as one packet."""

    def __init__(self, size: tuple[int, int], *, by: str) -> None:
        """size: (height, width) that they are brought to. by: an encoder."""
        codec, options = _ENCODERS[by]
        self._size, self._by, self._options = size, by, options
        self._encoder: VideoCodecContext | None = None
        self._reformatter, self._rgb = VideoReformatter(), RgbConverter(size)
        self._said, self._packets = _Said(codec, 0), list[bytes]()

    def add(self, picture: VideoFrame) -> None:
        """The next one, as it was decoded. Raises FFmpegError where it cannot be encoded."""
        small, matrix = self._small(picture)
        if self._encoder is None:
            self._encoder = self._opened()
            self._said = _Said(self._said.codec, matrix)
        small.pts, small.time_base = len(self._said.lengths), Fraction(1, 25)
        self._take(self._encoder.encode(small))

    def content(self) -> bytes:
        """The file of all that came; raises FFmpegError."""
        if self._encoder is not None:
            self._take(self._encoder.encode(None))
        head = json.dumps(asdict(self._said), allow_nan=False).encode()
        rest = head + b"".join(self._packets)
        return _MAGIC + _HEAD.pack(zlib.crc32(rest), len(head)) + rest

    def _opened(self) -> VideoCodecContext:
        context = CodecContext.create(self._by, "w")
        assert isinstance(context, VideoCodecContext)
        context.height, context.width = self._size
        context.pix_fmt, context.time_base = "yuv420p", Fraction(1, 25)
        context.gop_size, context.thread_count = _KEY_EVERY, 1
        context.options = self._options
        return context

    def _take(self, packets: list[Packet]) -> None:
        for packet in packets:
            if packet.is_keyframe:
                self._said.keys.append(len(self._said.lengths))
            self._packets.append(bytes(packet))
            self._said.lengths.append(packet.size)

    def _small(self, picture: VideoFrame) -> tuple[VideoFrame, int]:
        """A picture of the size, and the matrix of its colours."""
        height, width = self._size
        is_plain = picture.format.name in _PLAIN and self._rgb.orientation(picture) == UPRIGHT
        if is_plain and picture.color_range != ColorRange.JPEG:
            how = {"interpolation": Interpolation.AREA}
            made = self._reformatter.reformat(picture, width, height, "yuv420p", **how)
            return made, int(matrix_of(picture) or picture.colorspace)
        made = VideoFrame.from_ndarray(self._rgb.rgb(picture), format="rgb24")
        how = {"dst_colorspace": Colorspace.ITU709, "dst_color_range": ColorRange.MPEG}
        return made.reformat(format="yuv420p", **how), int(Colorspace.ITU709)


@dataclass(frozen=True)
class Chunk:
    """A file that was read."""

    said: _Said
    begins: list[int]
    body: bytes

    @classmethod
    def of(cls, content: bytes) -> Chunk:
        """Raises ValueError, TypeError or KeyError where it is not as it was written."""
        head, begin = len(_MAGIC), len(_MAGIC) + _HEAD.size
        if content[:head] != _MAGIC or len(content) < begin:
            raise ValueError("no chunk")
        check, length = _HEAD.unpack(content[head:begin])
        if zlib.crc32(content[begin:]) != check:
            raise ValueError("damaged")
        said = _Said(**json.loads(content[begin : begin + length]))
        begins = np.concatenate([[0], np.cumsum(said.lengths)]).tolist()
        return cls(said, begins, content[begin + length :])

    def read(self, number: int) -> np.ndarray:
        """`(h, w, 3)` uint8 of a picture. Raises FFmpegError, IndexError or ValueError."""
        first = self.said.keys[bisect_right(self.said.keys, number) - 1]
        decoder = CodecContext.create(self.said.codec, "r")
        assert isinstance(decoder, VideoCodecContext)
        decoder.thread_count, found = 1, list[VideoFrame]()
        for at in range(first, number + 1):
            packet = Packet(self.body[self.begins[at] : self.begins[at + 1]])
            found += decoder.decode(packet)
        found += decoder.decode(None)
        picture = found[number - first]
        picture.colorspace, picture.color_range = self.said.matrix, _MPEG_RANGE
        return RgbConverter().rgb(picture)


class SmallCopy:
    """The small copy of one film, to be looked at; what is damaged in it is taken away."""

    def __init__(self, folder: Path) -> None:
        """folder: of the film, there or not."""
        self.folder = folder
        self._read: OrderedDict[int, Chunk] = OrderedDict()

    def read(self, index: int) -> np.ndarray | None:
        """`(h, w, 3)` uint8 of exactly this frame; None where it is not there."""
        number, inside = divmod(index, CHUNK)
        path = chunk_path(self.folder, number)
        try:
            chunk = self._read.get(number) or Chunk.of(path.read_bytes())
            rgb = chunk.read(inside)
        except OSError:
            return None
        except (ValueError, TypeError, KeyError, IndexError, struct.error, FFmpegError):
            self._read.pop(number, None)
            with suppress(OSError):
                path.unlink()
            return None
        self._read[number] = chunk
        self._read.move_to_end(number)
        while len(self._read) > _KEPT:
            self._read.popitem(last=False)
        return rgb
