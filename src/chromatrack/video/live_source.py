"""Cameras, network streams and stdin as pictures that come when they come, without an end."""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import av
import numpy as np
from av.container import InputContainer
from av.error import EOFError as StreamEnd
from av.error import ExitError, FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from chromatrack.errors import ChromatrackError, InputError, VideoError
from chromatrack.video.pixel_format import RgbConverter

RawFormat = Literal["rgb24", "bgr24", "gray", "rgba", "bgra", "yuv420p", "nv12", "yuyv422"]
"""Pixel formats of raw video on stdin, as FFmpeg calls them."""

_BITS: dict[RawFormat, int] = {
    "rgb24": 24,
    "bgr24": 24,
    "gray": 8,
    "rgba": 32,
    "bgra": 32,
    "yuv420p": 12,
    "nv12": 12,
    "yuyv422": 16,
}
_CHANNELS = {"rgb24": 3, "bgr24": 3, "rgba": 4, "bgra": 4, "yuyv422": 2}

_CAMERAS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
"""FFmpeg's device for cameras, by system."""

LONGEST_STEP = 10.0
"""Seconds; a stream whose time leaps by more has begun anew."""

_HINTS = {
    "device": "is it plugged in, and used by no other program?",
    "url": "is the address right, and is it sending?",
    "stdin": "pipe a video in, or say --input-size WIDTHxHEIGHT for raw pictures",
}


class BrokenStreamError(ChromatrackError):
    """A live source broke off after `picture_count` pictures."""

    def __init__(self, message: str, *, picture_count: int) -> None:
        super().__init__(message)
        self.picture_count = picture_count


@dataclass(frozen=True)
class LivePicture:
    """A picture as it came.

    number: among all that the source gave, from 0. rgb: `(H, W, 3)` uint8. seconds: since picture
    0, by the stream's own times where it states them, else by arrival; always rising. arrived: when
    it was there, seconds since 1970 (UTC).
    """

    number: int
    rgb: np.ndarray
    seconds: float
    arrived: float


@dataclass(frozen=True)
class InputSettings:
    """What a live source does not say by itself.

    size: (height, width) of raw pictures on stdin; of a camera, the one to ask it for. fps: of raw
    pictures (None: as they arrive); of a camera, the rate to ask it for. pixel_format: of raw
    pictures. timeout: seconds without a picture after which a source has failed.

    Raises InputError for what is not possible.
    """

    size: tuple[int, int] | None = None
    fps: float | None = None
    pixel_format: RawFormat = "rgb24"
    timeout: float = 10.0

    def __post_init__(self) -> None:
        """Check all."""
        if self.fps is not None and not 0.001 <= self.fps <= 100_000:
            raise InputError(f"input-fps: expected 0.001 to 100000 frames/s, got {self.fps:g}")
        if not 0 < self.timeout < 1e6:
            raise InputError(f"timeout: expected seconds above 0, got {self.timeout:g}")
        if self.size is None:
            return
        height, width = self.size
        if not (1 <= height <= 2**15 and 1 <= width <= 2**15):
            raise InputError(f"input-size: expected 1x1 to 32768x32768, got {width}x{height}")
        odd = {"yuv420p": height % 2 or width % 2, "nv12": height % 2 or width % 2}
        if odd.get(self.pixel_format, self.pixel_format == "yuyv422" and width % 2):
            raise InputError(
                f"input-size: expected even sides for {self.pixel_format}, got {width}x{height}"
            )

    @property
    def picture_bytes(self) -> int:
        """Of a raw picture."""
        assert self.size is not None
        return self.size[0] * self.size[1] * _BITS[self.pixel_format] // 8


AS_IT_COMES = InputSettings()


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) from `640x480`. Raises InputError."""
    found = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", text.strip())
    if not found:
        raise InputError(f"input-size: expected WIDTHxHEIGHT such as 640x480, got {text!r}")
    return int(found[2]), int(found[1])


@dataclass(frozen=True)
class LiveSource:
    """A source of live pictures, not opened yet; `LiveSource.of` reads its name.

    name: as shown, without passwords. kind: what it is. url, device: what FFmpeg opens, and with
    which of its input devices.
    """

    name: str
    kind: Literal["device", "url", "stdin"]
    url: str
    device: str | None = None
    settings: InputSettings = AS_IT_COMES

    @classmethod
    def of(cls, text: str, settings: InputSettings = AS_IT_COMES) -> LiveSource:
        """`camera:0`, `device:FORMAT:NAME` (an input device of FFmpeg), an address, or `-`.

        Raises:
            InputError: none of these, or a setting that it has no use for.
        """
        if text == "-":
            if settings.size is None and settings.fps is not None:
                raise InputError("input-fps: goes with --input-size on stdin, got without")
            return cls("stdin", "stdin", "-", None, settings)
        head, _, rest = text.partition(":")
        if text.startswith("/dev/video"):
            head, rest = "camera", text
        if head == "camera" and rest:
            return cls._camera(text, rest, settings)
        if head == "device":
            device, colon, name = rest.partition(":")
            if not (device and colon):
                raise InputError(
                    f"{text}: expected device:FORMAT:NAME, such as device:x11grab::0 or "
                    "device:lavfi:testsrc=size=640x480"
                )
            return cls(text, "device", name, device, settings)
        if "://" not in text or head == "file":
            raise InputError(
                f"{text}: expected camera:0, an address such as rtsp://..., device:FORMAT:NAME, or "
                "- for stdin; a recording is for `chromatrack track`"
            )
        if settings.size or settings.fps:
            raise InputError(
                f"{without_password(text)}: says its size and times itself; leave --input-size and "
                "--input-fps out"
            )
        return cls(without_password(text), "url", text, None, settings)

    @classmethod
    def _camera(cls, text: str, name: str, settings: InputSettings) -> LiveSource:
        device = _CAMERAS.get(sys.platform)
        if device is None:
            raise InputError(f"{text}: no cameras are known on this system; try device:FORMAT:NAME")
        if device == "v4l2" and name.isdecimal():
            name = f"/dev/video{name}"
        elif device == "avfoundation":
            name = f"{name}:none"
        elif device == "dshow":
            name = f"video={name}"
        return cls(text, "device", name, device, settings)

    def pictures(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> Generator[LivePicture, None, None]:
        """Open the source and give its pictures as they come.

        Raises:
            VideoError: it cannot be opened, or holds no video.
            BrokenStreamError: it broke off; behind the last good picture.
        """
        times = StreamTimes(self.settings.fps if self.kind == "stdin" else None, clock=clock)
        converter = RgbConverter(None, self.name)
        raw = self.kind == "stdin" and self.settings.size is not None
        decoded = self._raw() if raw else self._decoded(times)
        for number, picture in enumerate(decoded):
            rgb = converter.rgb(picture)
            yield LivePicture(number, rgb, times.of(picture, number), now())

    # -- through FFmpeg ------------------------------------------------------------------------

    def _decoded(self, times: StreamTimes) -> Iterator[VideoFrame]:
        with self._open() as container:
            stream = self._video_stream(container)
            stream.thread_type = "SLICE"
            times.describe(stream)
            count = 0
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets)
                except (StopIteration, StreamEnd):
                    break
                except FFmpegError as error:
                    raise self._broken(self._why(error), count) from error
                try:
                    pictures = packet.decode()
                except FFmpegError:  # joined in mid-stream, or a packet was lost on the way
                    continue
                for picture in pictures:
                    if not picture.is_corrupt:
                        count += 1
                        yield picture
            if self.kind == "device" and self.device != "lavfi":
                raise self._broken("it stopped sending", count)
            if count == 0:
                raise VideoError(f"{self.name}: ended without a picture; {_HINTS[self.kind]}")

    def _open(self) -> InputContainer:
        wanted = self._options()
        file: Any = self.url
        if self.kind == "stdin":
            file = _stdin()
        elif self.device is not None and self.device not in _formats():
            raise InputError(
                f"{self.name}: FFmpeg has no input device {self.device!r} here; `chromatrack "
                "doctor` says which FFmpeg it is"
            )
        try:
            container = av.open(
                file,
                format=self.device,
                options=wanted,
                timeout=self.settings.timeout,
                metadata_errors="ignore",
            )
        except (FFmpegError, OSError, ValueError) as error:
            raise VideoError(
                f"{self.name}: cannot be opened ({self._why(error)}); {_HINTS[self.kind]}"
            ) from error
        assert isinstance(container, InputContainer)
        return container

    def _options(self) -> dict[str, str]:
        options = {}
        if self.kind == "device" and self.settings.size:
            options["video_size"] = "{1}x{0}".format(*self.settings.size)
        if self.kind == "device" and self.settings.fps:
            options["framerate"] = f"{self.settings.fps:g}"
        if self.url.startswith("rtsp"):
            options["rtsp_flags"] = "prefer_tcp"
        return options

    def _video_stream(self, container: InputContainer) -> VideoStream:
        streams = container.streams.video
        if not streams:
            kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
            raise VideoError(
                f"{self.name}: has no video, only {', '.join(kinds)}; choose another stream"
            )
        if streams[0].codec_context is None:
            raise VideoError(f"{self.name}: FFmpeg has no decoder for its video")
        return streams[0]

    def _why(self, error: Exception) -> str:
        if isinstance(error, ExitError | TimeoutError):
            return f"no answer in {self.settings.timeout:g} s"
        return getattr(error, "strerror", None) or str(error)

    def _broken(self, why: str, count: int) -> ChromatrackError:
        if count == 0:
            return VideoError(f"{self.name}: gave no picture ({why}); {_HINTS[self.kind]}")
        text = f"{self.name}: broke off ({why}) after {count} frames"
        return BrokenStreamError(text, picture_count=count)

    # -- raw pictures --------------------------------------------------------------------------

    def _raw(self) -> Iterator[VideoFrame]:
        size, kind = self.settings.size, self.settings.pixel_format
        assert size is not None
        wanted, count = self.settings.picture_bytes, 0
        what = f"{size[1]}x{size[0]} {kind}, {wanted} bytes each"
        with _stdin() as file:
            check_whole(file.fileno(), wanted, what)
            while True:
                content = read_whole(file, wanted)
                if len(content) == wanted:
                    count += 1
                    yield _raw_picture(content, size, kind)
                    continue
                if content:
                    text = (
                        f"stdin: ends in mid frame: {len(content)} of {wanted} bytes after {count} "
                        f"frames of {what}; are --input-size and --input-format "
                        "right?"
                    )
                    raise (
                        BrokenStreamError(text, picture_count=count)
                        if count
                        else (VideoError(text))
                    )
                if count == 0:
                    raise VideoError(f"stdin: is empty, expected frames of {what}")
                return


class StreamTimes:
    """When pictures are shown, in seconds since the first, always rising.

    fps: says so for pictures without times; else the stream's own times hold, and when a picture
    arrived where there are none. A stream that begins anew (its time goes back, or leaps by more
    than LONGEST_STEP) goes on where it was, a usual frame later.
    """

    def __init__(self, fps: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fps, self._clock = fps, clock
        self._base: float | None = None
        self._usual: float | None = None
        self._shift = self._last = self._began = self._arrived = 0.0

    def describe(self, stream: VideoStream) -> None:
        """Take the time base and rate of a stream."""
        self._base = float(stream.time_base) if stream.time_base else None
        rate = stream.guessed_rate or stream.average_rate
        self._usual = 1 / float(rate) if rate else None

    def of(self, picture: VideoFrame, number: int) -> float:
        """Seconds of picture `number`; pictures come in order."""
        arrived = self._clock()
        waited, self._arrived = arrived - self._arrived, arrived
        if self._fps is not None:
            return number / self._fps
        stated = picture.pts is not None and self._base is not None
        own = float(picture.pts * self._base) if stated else arrived  # type: ignore[operator]
        if number == 0:
            self._shift = own
            return 0.0
        seconds = own - self._shift
        if not self._last < seconds <= self._last + max(waited, 0) + LONGEST_STEP:
            seconds = self._last + (self._usual or max(waited, 1e-3))
            self._shift = own - seconds
        self._last = seconds
        return seconds


def _formats() -> set[str]:
    """All names of FFmpeg's formats, input devices among them."""
    return {name for names in av.formats_available for name in names.split(",")}


def without_password(url: str) -> str:
    """An address as it may be shown: what stands before an @ in it is left out."""
    return re.sub(r"://[^/@]*@", "://", url)


def check_whole(descriptor: int, wanted: int, what: str) -> None:
    """VideoError if stdin is a file whose size is no whole number of pictures."""
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_size % wanted:
        raise VideoError(
            f"stdin: holds {found.st_size} bytes, which is no whole number of frames of {what}; "
            "is --input-size right, and --input-format?"
        )


def read_whole(file: Any, count: int) -> bytearray:  # noqa: ANN401  (an unbuffered file)
    """`count` bytes, or fewer where the file ends."""
    content = bytearray(count)
    view, filled = memoryview(content), 0
    while filled < count:
        got = file.readinto(view[filled:])
        if not got:
            break
        filled += got
    view.release()
    del content[filled:]
    return content


def _raw_picture(content: bytearray, size: tuple[int, int], kind: RawFormat) -> VideoFrame:
    height, width = size
    pixels = np.frombuffer(content, dtype=np.uint8)
    if kind in _CHANNELS:
        pixels = pixels.reshape(height, width, _CHANNELS[kind])
    elif kind == "gray":
        pixels = pixels.reshape(height, width)
    else:
        pixels = pixels.reshape(height * 3 // 2, width)
    return VideoFrame.from_ndarray(pixels, format=kind)


def _stdin() -> Any:  # noqa: ANN401  (an unbuffered file)
    """stdin without a buffer, whose lock would hold up the interpreter's end."""
    try:
        if os.isatty(0):
            raise VideoError("stdin: expected a video piped in, got a terminal")
        return os.fdopen(os.dup(0), "rb", buffering=0)
    except OSError as error:
        raise VideoError(f"stdin: cannot be read ({error.strerror})") from error
