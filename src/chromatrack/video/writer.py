"""Frames out: H.264, FFV1 and ProRes files with exact times and the source's sound; PNG folders.

A file is written under a temporary name beside its target and renamed when it is complete, so a
target that exists is never left half overwritten.
"""

from __future__ import annotations

import re
import warnings
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from chromatrack.errors import InputError, OutputError
from chromatrack.video.audio import AudioTrack, open_audio
from chromatrack.video.decode import FALLBACK_FPS, time_zeros
from chromatrack.video.deinterlace import FieldMarker
from chromatrack.video.display import SQUARE, Display
from chromatrack.video.encoding import (
    ENCODERS,
    USUAL,
    WITH_ALPHA,
    Codec,
    Encoding,
    Preset,
    Quality,
    codec_for,
)
from chromatrack.video.image_writer import ImageSequenceWriter
from chromatrack.video.luma import Luma, set_luma, under_luma, yuv_format
from chromatrack.video.matroska import set_pixel_shape
from chromatrack.video.output_files import (
    MADE_BY,
    FrameWriter,
    as_output_error,
    check_frame,
    partial_file,
)
from chromatrack.video.pixel_format import CONVERSION, to_8_bit, to_16_bit
from chromatrack.video.timecode import usual_rate

TICKS_PER_SECOND = 5_760_000
"""Divides every usual time base (90 kHz, 24/30/60 times 1000 / 1001, 12800, 15360, 1 ms)."""

_MP4_OPTIONS = {"movflags": "+faststart", "movie_timescale": str(TICKS_PER_SECOND)}
"""Index in front; the end of the video not rounded to 1 ms, which would hide a short last frame."""

_AT_ONCE = {"flush_packets": "1", "cluster_time_limit": "1000"}
"""Of an mkv file: what is encoded is on disk within a second, so that a killed process loses no
more. An mp4 file says what it holds at its end only."""

_ROUNDED = 0.00101
"""Seconds that two rounded times, the first frame's and another's, may be off together."""

_LONGEST_GAP = 300 * TICKS_PER_SECOND
"""What fits between two frames of an mp4 or mov file, whose durations are 32-bit numbers."""


class VideoWriter(FrameWriter):
    """Writes one video file, frame by frame.

    Args:
        path: the target; parent folders are made. `.mp4` is H.264, `.mkv` FFV1 (lossless; that
            container rounds times to 1 ms), `.mov` ProRes; `codec` asks for another one.
        fps: frame rate for frames written without a time (24 if None).
        audio_from: a file whose first sound track goes along, copied where the container takes
            its kind, else as AAC (in mov, PCM if it is lossless). It ends with the last frame. A
            source without sound is fine.
        audio_start_seconds: time in `audio_from` of the first frame; None: its `pts_seconds`.
        crf, preset: of `Quality`.
        display: of the source: the shape of pixels, colours and field order that the file states.
        timecode: of the first frame, such as `01:00:00:00`; avi cannot say it.
        at_once: of an mkv file, write what is encoded out within a second.

    The first frame is at time 0 of the file and all others keep their distance from it. Where it is
    uint16 the file has 10 bits (FFV1: 16). H.264 and ProRes need even sizes:
    odd ones are padded at the right and bottom by repeating the edge; `padding` is (rows, columns)
    and the file's comment says so.

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
        crf: int = USUAL.crf,
        preset: Preset = USUAL.preset,
        display: Display = SQUARE,
        at_once: bool = False,
        timecode: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.padding = (0, 0)
        self._codec = codec_for(self.path, codec)
        self._has_alpha = self._codec in WITH_ALPHA
        if fps is not None and not fps > 0:
            raise InputError(f"expected fps > 0, got fps={fps}")
        self._at_once, self._timecode = at_once, timecode
        self._quality, self._step = Quality(crf, preset), 1 / (fps or FALLBACK_FPS)
        self._rate = None if fps is None else usual_rate(fps)
        self._audio_from, self._audio_start = audio_from, audio_start_seconds
        self._partial = partial_file(self.path)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._audio: AudioTrack | None = None
        self._reformatter = VideoReformatter()
        self._fields = FieldMarker(top_first=display.field_order == "top first")
        self._encoding = Encoding(self._codec, display, (0, 0), is_deep=False)
        self._size: tuple[int, int] | None = None
        self._origin = 0.0
        self._luma_bits = 8
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
        luma: Luma | None = None,
    ) -> None:
        """Append one (H, W, 3) uint8 or uint16 sRGB frame, shown at `pts_seconds`.

        With the codec prores4444, (H, W, 4): the fourth channel is how opaque it is.
        duration_seconds matters for the last frame only; None: as long as the one before it.
        luma: the Y' that is encoded, to the bit, with the colours of rgb; for all frames or none.
        Raises InputError for another shape, dtype or size than the first frame's.
        """
        if self._done:
            raise OutputError(f"{self.path}: is already closed")
        check_frame(rgb, self._size, self._count, channels=4 if self._has_alpha else 3)
        with as_output_error(self.path):
            if self._container is None:
                self._open(rgb, pts_seconds, luma)
            rgb = to_16_bit(rgb) if self._encoding.is_deep else to_8_bit(rgb)
            ticks = self._next_ticks(pts_seconds)
            length = duration_seconds
            stated = None if length is None else _ticks(self._unrounded(length))
            self._last = (ticks, stated)
            self._encode(self._picture(rgb, ticks, luma))
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
            with as_output_error(self.path):
                last, stated = self._last
                length = stated or self._usual or _ticks(self._step)
                self._durations[last] = length
                self._encode(None, end=last + length)
                if self._audio is not None:
                    self._audio.advance((last + length) / TICKS_PER_SECOND)
                self._container.close()
                self._state_shape()
                self._partial.replace(self.path)
        except BaseException:
            self.abort()
            raise
        self._release()

    def keep(self) -> None:
        """Finish an mkv file that cannot be written on: what is in it plays, and gets its name."""
        if self._done:
            return
        if self._container is not None:
            with suppress(FFmpegError, OSError):
                self._container.close()
        self._release()
        self._partial.replace(self.path)

    def _state_shape(self) -> None:
        shape = self._encoding.display.pixel_shape
        if shape != 1 and self.path.suffix.lower() == ".mkv":
            set_pixel_shape(self._partial, shape)

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

    def _open(self, rgb: np.ndarray, first_seconds: float | None, luma: Luma | None) -> None:
        self._size = height, width = rgb.shape[0], rgb.shape[1]
        self._encoding = replace(self._encoding, size=self._size, is_deep=rgb.dtype == np.uint16)
        if luma is not None:
            kind, self._luma_bits = yuv_format(self._codec, luma)
            self._encoding = replace(self._encoding, yuv=kind, yuv_full=luma.full_range)
        self._origin = first_seconds or 0.0
        encoder, options = ENCODERS[self._codec][0], self._encoding.options(self._quality)
        if self._codec in ("h264", "prores"):
            self.padding = (height % 2, width % 2)
        is_mp4 = self.path.suffix.lower() in (".mp4", ".m4v", ".mov")
        made = _MP4_OPTIONS if is_mp4 else _AT_ONCE if self._at_once else {}
        container = av.open(f"file:{self._partial}", "w", container_options=made)
        self._container = container
        padded = f": padded from {width}x{height}" if any(self.padding) else ""
        container.metadata["comment"] = f"{MADE_BY}{padded}"
        rate = Fraction(1 / self._step).limit_denominator(1001)
        stream = container.add_stream(encoder, rate=rate, options=options)
        assert isinstance(stream, VideoStream)
        self._stream = stream
        if self._timecode is not None:
            stream.metadata["timecode"] = self._timecode
        stream.height, stream.width = height + self.padding[0], width + self.padding[1]
        stream.pix_fmt = self._encoding.pixel_format
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS_PER_SECOND)
        self._encoding.describe(stream.codec_context)
        if self.path.suffix.lower() == ".avi" and self._encoding.display.pixel_shape != 1:
            shape = self._encoding.display.sample_aspect_ratio
            warnings.warn(
                f"{self.path.name}: an avi file cannot say that its pixels are {shape}, so it will "
                "be shown too narrow or too wide; choose .mkv or .mp4",
                stacklevel=4,
            )
        self._open_audio(container)

    def _open_audio(self, container: OutputContainer) -> None:
        if self._audio_from is None or not Path(self._audio_from).is_file():
            return
        path = fspath(self._audio_from)
        source = open_audio(path)
        if source is not None:
            start = self._origin if self._audio_start is None else self._audio_start
            zeros = [(url, zero + start) for url, zero in time_zeros(path)]
            suffix = self.path.suffix.lower()
            self._audio = AudioTrack(source, container, suffix=suffix, zeros=zeros)

    def _next_ticks(self, pts_seconds: float | None) -> int:
        """Time of the next frame; two frames never share one."""
        if self._last is None:
            return 0
        last, stated = self._last
        if pts_seconds is None:
            ticks = last + (stated or _ticks(self._step))
        else:
            ticks = max(_ticks(self._unrounded(pts_seconds - self._origin)), last + 1)
            ticks = self._without_gap(ticks, last)
        self._durations[last] = ticks - last
        self._usual = ticks - last
        return ticks

    def _unrounded(self, seconds: float) -> float | Fraction:
        """A time that a container rounded to a millisecond (mkv), as the film's rate has it.

        Editing programs take a file whose frames are 41 or 42 ms apart for one of another rate.
        """
        if self._rate is None or abs(1000 * seconds - round(1000 * seconds)) > 1e-6:
            return seconds
        due = round(seconds * self._rate) / self._rate
        return due if abs(due - seconds) <= _ROUNDED else seconds

    def _without_gap(self, ticks: int, last: int) -> int:
        """The time of a frame, brought nearer to the last one's where the file cannot hold it."""
        gap = ticks - last
        if gap <= _LONGEST_GAP or self.path.suffix.lower() == ".mkv":
            return ticks
        warnings.warn(
            f"{self.path.name}: frame {self._count} comes {gap / TICKS_PER_SECOND:.0f} s after the "
            f"one before it, and a {self.path.suffix} file holds no such gap; "
            f"{_LONGEST_GAP // TICKS_PER_SECOND} s of it are kept",
            stacklevel=4,
        )
        self._origin += (gap - _LONGEST_GAP) / TICKS_PER_SECOND
        return last + _LONGEST_GAP

    def _picture(self, rgb: np.ndarray, ticks: int, luma: Luma | None) -> VideoFrame:
        if luma is not None:
            rgb = under_luma(rgb, luma, self._encoding.matrix_code)
        rows, columns = self.padding
        if rows or columns:
            rgb = np.pad(rgb, ((0, rows), (0, columns), (0, 0)), mode="edge")
        kind = "gbrp16le" if self._encoding.is_deep else "rgb24"
        if self._has_alpha:
            kind = "rgba64le" if self._encoding.is_deep else "rgba"
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format=kind)
        picture = self._reformatter.reformat(
            picture,
            format=self._encoding.pixel_format,
            dst_colorspace=self._encoding.matrix,
            dst_color_range=self._encoding.range,
            interpolation=CONVERSION,
        )
        if luma is not None:
            set_luma(picture, np.pad(luma.at(self._luma_bits), ((0, rows), (0, columns)), "edge"))
        if self._codec.startswith("prores"):  # it says so in every picture
            assert self._stream is not None
            context = self._stream.codec_context
            picture.colorspace = context.colorspace
            picture.color_primaries = context.color_primaries
            picture.color_trc = context.color_trc
        picture.pts, picture.time_base = ticks, Fraction(1, TICKS_PER_SECOND)
        if self._encoding.is_interlaced:
            picture = self._fields.mark(picture)
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


def open_writer(
    path: str | PathLike[str],
    *,
    names: Sequence[str] = (),
    **options: Any,  # noqa: ANN401
) -> VideoWriter | ImageSequenceWriter:
    """A writer by file name: a folder (no suffix) or `*.png` / `%05d.png` pattern gives images.

    names: of images in a folder, without suffix. options: those of VideoWriter; images have no
    codec, times or sound, so they take none of them.
    Raises InputError for a suffix that is not written, OutputError.
    """
    target = Path(path)
    if picture_pattern(target) is None:
        return VideoWriter(target, **options)
    return ImageSequenceWriter(target, names=names)


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
    return tags.get("comment", "").startswith(MADE_BY)


def _ticks(seconds: float | Fraction) -> int:
    return round(seconds * TICKS_PER_SECOND)
