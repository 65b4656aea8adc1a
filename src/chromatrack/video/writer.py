"""Frames out: H.264, FFV1 and ProRes files with exact times and the source's sound; PNG folders.

A file is written under a temporary name beside its target and renamed when it is complete, so a
target that exists is never left half overwritten.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, Self

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from chromatrack.atomic import unwritable
from chromatrack.errors import DamagedVideoError, InputError, OutputError
from chromatrack.video.audio import AudioTrack, open_audio
from chromatrack.video.decode import FALLBACK_FPS
from chromatrack.video.images import IMAGE_ERRORS
from chromatrack.video.pixel_format import CONVERSION

Codec = Literal["h264", "ffv1", "prores"]

TICKS_PER_SECOND = 5_760_000
"""Divides every usual time base (90 kHz, 24/30/60 times 1000 / 1001, 12800, 15360, 1 ms)."""

_ENCODERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264": ("libx264", "yuv420p", {"preset": "veryfast"}),
    "ffv1": ("ffv1", "bgr0", {"level": "3", "slicecrc": "1"}),
    "prores": ("prores_ks", "yuv422p10le", {"profile": "3", "vendor": "apl0"}),
}
_SUFFIXES: dict[str, tuple[str, ...]] = {
    ".mp4": ("h264",),
    ".m4v": ("h264",),
    ".mkv": ("ffv1", "h264", "prores"),
    ".mov": ("prores", "h264"),
    ".avi": ("ffv1",),
}
"""Per file suffix: the codec it means by itself, then those it takes on request."""

_MP4_OPTIONS = {"movflags": "+faststart", "movie_timescale": str(TICKS_PER_SECOND)}
"""Index in front; the end of the video not rounded to 1 ms, which would hide a short last frame."""

_BT709 = 1

_MADE_BY = "chromatrack"
"""Written into every video and picture, so that only those are ever replaced."""


_KEEPS_FINISHED_FRAMES = (DamagedVideoError, KeyboardInterrupt, GeneratorExit)


class _Writer(ABC):
    """Context manager of both writers: what was finished stays valid, a failure leaves nothing.

    Leaving the block by Ctrl-C, a closed generator or damaged input finishes the output with the
    frames so far; any other exception removes it.
    """

    @abstractmethod
    def close(self) -> None:
        """Finish the output."""

    @abstractmethod
    def abort(self) -> None:
        """Give the output up."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        elif issubclass(kind, _KEEPS_FINISHED_FRAMES):
            with suppress(OutputError):  # nothing written yet: the first error is the one to tell
                self.close()
        else:
            self.abort()


class VideoWriter(_Writer):
    """Writes one video file, frame by frame.

    Args:
        path: the target; parent folders are made. `.mp4` is H.264, `.mkv` FFV1 (lossless; that
            container rounds times to 1 ms), `.mov` ProRes; `codec` asks for another one.
        fps: frame rate for frames written without a time (24 if None).
        audio_from: a file whose first sound track goes along, copied where the container takes
            its kind and else as AAC. It ends with the last frame. A source without sound is fine.
        audio_start_seconds: time in `audio_from` of the first frame; None: its `pts_seconds`.
        crf: H.264 quality, 0 (best) to 51.

    The first frame is at time 0 of the file and all others keep their distance from it. H.264 and
    ProRes need even sizes: odd ones are padded at the right and bottom by repeating the edge;
    `padding` is (rows, columns) and the file's comment says so.

    Raises InputError for codec / suffix / crf, OutputError where nothing can be written.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        codec: Codec | None = None,
        fps: float | None = None,
        audio_from: str | PathLike[str] | None = None,
        audio_start_seconds: float | None = None,
        crf: int = 18,
    ) -> None:
        self.path = Path(path)
        self.padding = (0, 0)
        self._codec = _codec_for(self.path, codec)
        if not 0 <= crf <= 51 or (fps is not None and not fps > 0):
            raise InputError(f"expected crf in 0..51 and fps > 0, got crf={crf}, fps={fps}")
        self._crf, self._step = crf, 1 / (fps or FALLBACK_FPS)
        self._audio_from, self._audio_start = audio_from, audio_start_seconds
        self._partial = _partial_file(self.path)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._audio: AudioTrack | None = None
        self._reformatter = VideoReformatter()
        self._size: tuple[int, int] | None = None
        self._origin = 0.0
        self._count = 0
        self._last: tuple[int, int | None] | None = None  # ticks and stated duration
        self._durations: dict[int, int] = {}
        self._first_dts: int | None = None
        self._usual = 0
        self._waiting: deque[av.Packet] = deque()
        self._done = False

    def write(
        self,
        rgb: np.ndarray,
        *,
        pts_seconds: float | None = None,
        duration_seconds: float | None = None,
    ) -> None:
        """Append one (H, W, 3) uint8 sRGB frame, shown at `pts_seconds` (in the source's time).

        duration_seconds matters for the last frame only; None: as long as the one before it.
        Raises InputError for another shape, dtype or size than the first frame's.
        """
        if self._done:
            raise OutputError(f"{self.path}: is already closed")
        _check_frame(rgb, self._size, self._count)
        with _as_output_error(self.path):
            if self._container is None:
                self._open(rgb.shape[:2], pts_seconds)
            ticks = self._next_ticks(pts_seconds)
            stated = None if duration_seconds is None else _ticks(duration_seconds)
            self._last = (ticks, stated)
            self._encode(self._picture(rgb, ticks))
            if self._audio is not None:
                self._audio.advance(ticks / TICKS_PER_SECOND)
        self._count += 1

    def close(self) -> None:
        """Finish the file and give it its name. Raises OutputError when no frame was written."""
        if self._done:
            return
        if self._container is None or self._last is None:
            self.abort()
            raise OutputError(f"{self.path}: no frames were written, so there is no file")
        try:
            with _as_output_error(self.path):
                last, stated = self._last
                length = stated or self._usual or _ticks(self._step)
                self._durations[last] = length
                self._encode(None, end=last + length)
                if self._audio is not None:
                    self._audio.advance((last + length) / TICKS_PER_SECOND)
                self._container.close()
                self._partial.replace(self.path)
        except BaseException:
            self.abort()
            raise
        self._release()

    def abort(self) -> None:
        """Give up: remove what was written and leave an older file of that name as it was."""
        if self._done:
            return
        if self._container is not None:
            with suppress(FFmpegError, OSError):
                self._container.close()
        self._release()
        self._partial.unlink(missing_ok=True)

    def _release(self) -> None:
        self._done = True
        if self._audio is not None:
            self._audio.close()

    def _open(self, size: tuple[int, ...], first_seconds: float | None) -> None:
        height, width = size
        self._size = (height, width)
        self._origin = first_seconds or 0.0
        encoder, pixel_format, options = _ENCODERS[self._codec]
        if self._codec == "h264":
            options = {**options, "crf": str(self._crf)}
        if self._codec != "ffv1":
            self.padding = (height % 2, width % 2)
        is_mp4 = self.path.suffix.lower() in (".mp4", ".m4v", ".mov")
        container = av.open(
            f"file:{self._partial}", "w", container_options=_MP4_OPTIONS if is_mp4 else {}
        )
        self._container = container
        padded = f": padded from {width}x{height}" if any(self.padding) else ""
        container.metadata["comment"] = f"{_MADE_BY}{padded}"
        rate = Fraction(1 / self._step).limit_denominator(1001)
        stream = container.add_stream(encoder, rate=rate, options=options)
        assert isinstance(stream, VideoStream)
        self._stream = stream
        stream.height, stream.width = height + self.padding[0], width + self.padding[1]
        stream.pix_fmt = pixel_format
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS_PER_SECOND)
        if self._codec != "ffv1":
            context = stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = ColorRange.MPEG
        self._open_audio(container)

    def _open_audio(self, container: OutputContainer) -> None:
        if self._audio_from is None or not Path(self._audio_from).is_file():
            return
        source = open_audio(fspath(self._audio_from))
        if source is not None:
            start = self._origin if self._audio_start is None else self._audio_start
            suffix = self.path.suffix.lower()
            self._audio = AudioTrack(source, container, suffix=suffix, start_seconds=start)

    def _next_ticks(self, pts_seconds: float | None) -> int:
        """Time of the next frame; two frames never share one."""
        if self._last is None:
            return 0
        last, stated = self._last
        if pts_seconds is None:
            ticks = last + (stated or _ticks(self._step))
        else:
            ticks = max(_ticks(pts_seconds - self._origin), last + 1)
        self._durations[last] = ticks - last
        self._usual = ticks - last
        return ticks

    def _picture(self, rgb: np.ndarray, ticks: int) -> VideoFrame:
        rows, columns = self.padding
        if rows or columns:
            rgb = np.pad(rgb, ((0, rows), (0, columns), (0, 0)), mode="edge")
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        lossless = self._codec == "ffv1"
        picture = self._reformatter.reformat(
            picture,
            format=_ENCODERS[self._codec][1],
            dst_colorspace=None if lossless else Colorspace.ITU709,
            dst_color_range=None if lossless else ColorRange.MPEG,
            interpolation=CONVERSION,
        )
        picture.pts, picture.time_base = ticks, Fraction(1, TICKS_PER_SECOND)
        return picture

    def _encode(self, picture: VideoFrame | None, *, end: int | None = None) -> None:
        """Encode, and write every packet whose duration is known by now; `end`: of the video."""
        assert self._stream is not None and self._container is not None
        self._waiting.extend(self._stream.encode(picture))
        while self._waiting and self._waiting[0].pts in self._durations:
            packet = self._waiting.popleft()
            assert packet.pts is not None and packet.dts is not None
            packet.duration = self._durations.pop(packet.pts)
            if self._first_dts is None:
                self._first_dts = packet.dts
            if end is not None and not self._waiting:
                # mp4 adds up durations in decoding order: the last packet makes the sum right.
                packet.duration = max(1, end - (packet.dts - self._first_dts))
            self._container.mux(packet)


class ImageSequenceWriter(_Writer):
    """Writes frames as PNG files `00000.png`, `00001.png`, ... into a folder (which is made).

    path: the folder, or a pattern in it: `out/f_%04d.png` or `out/*.png` (five digits). Every file
    is complete from the moment it has its name, so `abort` leaves those that are finished.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        pattern = Path(path)
        if pattern.suffix.lower() != ".png":
            pattern = pattern / "*.png"
        self.folder = pattern.parent
        self._name = pattern.name.replace("*", "%05d")
        if not re.fullmatch(r"[^%]*%0?\d*d[^%]*", self._name):
            raise InputError(f"{path}: expected one number field, as in out/%05d.png or out/*.png")
        self._count = 0
        self._size: tuple[int, int] | None = None
        _partial_file(self.folder / (self._name % 0)).unlink()

    def write(
        self,
        rgb: np.ndarray,
        *,
        pts_seconds: float | None = None,
        duration_seconds: float | None = None,
    ) -> None:
        """Write one (H, W, 3) uint8 sRGB frame; image files have no times, so those are unused."""
        _check_frame(rgb, self._size, self._count)
        self._size = (rgb.shape[0], rgb.shape[1])
        target = self.folder / (self._name % self._count)
        partial = target.with_name(f".{target.name}.{os.getpid()}.png")
        with _as_output_error(target):
            try:
                picture = Image.fromarray(np.ascontiguousarray(rgb))
                picture.save(partial, compress_level=3, pnginfo=_made_by())
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
        self._count += 1

    def close(self) -> None:
        """Raises OutputError when no frame was written."""
        if self._count == 0:
            raise OutputError(f"{self.folder}: no frames were written")

    def abort(self) -> None:
        """Stop; files that have their name are complete and stay."""


def picture_pattern(path: Path) -> Path | None:
    """Folder and numbered names of the pictures that `open_writer` writes; None for a video."""
    is_pattern = re.search(r"[*%].*\.png$", path.name, re.IGNORECASE) is not None
    if not path.is_dir() and path.suffix and not is_pattern:
        return None
    pattern = path if path.suffix.lower() == ".png" and not path.is_dir() else path / "*.png"
    return pattern.with_name(pattern.name.replace("*", "%05d"))


def is_our_video(path: Path) -> bool:
    """Whether `VideoWriter` wrote a file."""
    try:
        with av.open(fspath(path)) as container:
            tags = {name.lower(): value for name, value in container.metadata.items()}
    except (FFmpegError, OSError, ValueError):
        return False
    return tags.get("comment", "").startswith(_MADE_BY)


def is_our_picture(path: Path) -> bool:
    """Whether `ImageSequenceWriter` wrote a file."""
    try:
        with Image.open(path) as image:
            return image.info.get("Software") == _MADE_BY
    except IMAGE_ERRORS:
        return False


def _made_by() -> PngInfo:
    note = PngInfo()
    note.add_text("Software", _MADE_BY)
    return note


def open_writer(path: str | PathLike[str], **options: Any) -> VideoWriter | ImageSequenceWriter:  # noqa: ANN401
    """A writer by file name: a folder (no suffix) or `*.png` / `%05d.png` pattern gives images.

    options: those of VideoWriter; images have no codec, times or sound, so they take none of them.
    Raises InputError for a suffix that is not written, OutputError.
    """
    target = Path(path)
    pattern = picture_pattern(target)
    return VideoWriter(target, **options) if pattern is None else ImageSequenceWriter(pattern)


def _codec_for(path: Path, codec: str | None) -> str:
    taken = _SUFFIXES.get(path.suffix.lower())
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a video file")
    if taken is None:
        raise InputError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'}; "
            f"expected {', '.join(_SUFFIXES)}, or a folder or *.png for images"
        )
    if codec is not None and codec not in taken:
        raise InputError(f"{path}: a {path.suffix} file takes {', '.join(taken)}, not {codec!r}")
    return codec or taken[0]


def _ticks(seconds: float) -> int:
    return round(seconds * TICKS_PER_SECOND)


def _partial_file(path: Path) -> Path:
    """An empty temporary file beside `path`, with parents; OutputError when that cannot be."""
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
    except OSError as error:
        raise unwritable(path, error) from error
    return partial


def _check_frame(rgb: np.ndarray, size: tuple[int, int] | None, count: int) -> None:
    """InputError unless a frame is `(H, W, 3)` uint8, of `size` where the first one had it."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise InputError(f"expected rgb (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")
    if size is not None and size != rgb.shape[:2]:
        raise InputError(f"frame {count} is {rgb.shape[:2]} but the first one was {size}")


@contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    """Turn what FFmpeg and the system say about writing into one OutputError line."""
    try:
        yield
    except OutputError:
        raise
    except (FFmpegError, OSError) as error:
        raise OutputError(f"{path}: writing failed ({error.strerror})") from error
