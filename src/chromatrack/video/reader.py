"""Frames in, frames out: the one door between files and `(H, W, 3)` arrays.

Everything streams: memory does not grow with the length of a video. Times are the source's own
presentation times, counted from its first shown frame as players do, so a variable frame rate
survives. The writers of `writer.py` are offered here too.
"""

from __future__ import annotations

import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import fspath

import numpy as np
from av.video.frame import VideoFrame

from chromatrack.errors import DamagedVideoError, InputError, VideoError
from chromatrack.structures import Source
from chromatrack.video.decode import FALLBACK_FPS, PictureReader, beyond_end
from chromatrack.video.display import SQUARE, Display, FieldOrder, field_order
from chromatrack.video.hdr import NAMES
from chromatrack.video.orientation import Orientation
from chromatrack.video.pages import Pictures
from chromatrack.video.picture_files import opened_picture
from chromatrack.video.picture_order import Damage
from chromatrack.video.pixel_format import RgbConverter, to_8_bit
from chromatrack.video.source import VideoSource as VideoSource
from chromatrack.video.writer import ImageSequenceWriter as ImageSequenceWriter
from chromatrack.video.writer import VideoWriter as VideoWriter
from chromatrack.video.writer import open_writer as open_writer

Moment = int | str
"""A frame number counted from 0 (`12`, `"12"`), or a time in seconds (`"2.5s"`)."""


@dataclass(frozen=True)
class Frame:
    """One frame of a video or image sequence.

    rgb: (H, W, 3) uint8 sRGB, upright. index: 0-based in the whole source. pts_seconds: when it
    is shown, counted from the source's first shown frame. duration_seconds: how long, or None where
    not stated. deep: (H, W, 3) uint16, where it was asked for and the source has more than 8 bits.
    """

    rgb: np.ndarray
    index: int
    pts_seconds: float
    duration_seconds: float | None = None
    deep: np.ndarray | None = None


@dataclass(frozen=True)
class VideoInfo:
    """What a source says about itself; None where it does not say.

    height, width: pixels after rotation. frame_count: as declared (exact for images).
    rotation: counter-clockwise degrees (0, 90, 180, 270) that were applied, after mirroring about
    the vertical axis where `mirrored`. start_seconds: the file's own time of its first shown frame,
    which is 0 for us. display: how frames are to be shown. fps: the rate that was asked for, where
    the source states no times. states_times: False where times are frame numbers by a rate.
    deinterlaced: whether its fields are made whole pictures.
    """

    path: str
    height: int
    width: int
    frame_count: int | None
    duration_seconds: float | None
    average_fps: float | None
    codec: str
    pixel_format: str
    rotation: int
    has_audio: bool
    mirrored: bool = False
    start_seconds: float = 0.0
    display: Display = SQUARE
    fps: float | None = None
    states_times: bool = True
    deinterlaced: bool = False


def probe(source: Source) -> VideoInfo:
    """Describe a video, image, folder or glob of images; decodes one frame.

    Warns, once for each source, of what is not shown as it is stored: HDR, and interlaced pictures.
    Raises VideoError when the source cannot be opened or holds no frame.
    """
    given = VideoSource.of(source)
    if _probed is not None and given in _probed:
        return _probed[given]
    info = _probe(given)
    if _probed is not None:
        _probed[given] = info
    return info


def _probe(given: VideoSource) -> VideoInfo:
    pictures = Pictures.of(given)
    if pictures is not None:
        return _probe_images(given, pictures)
    with _closed_after(_open(given)) as reader:
        _, picture = next(reader.pictures_from(0))
        info = _probe_stream(reader, picture, given)
        _tell_kind(info, field_order(reader.stream, picture), picture.color_trc)
        return info


_probed: dict[VideoSource, VideoInfo] | None = None


@contextmanager
def probed_once() -> Iterator[None]:
    """Within the block no source is opened a second time to describe it: none may change there."""
    global _probed
    before, _probed = _probed, {}
    try:
        yield
    finally:
        _probed = before


def read_frames(
    source: Source,
    *,
    start: int = 0,
    end: int | None = None,
    size: tuple[int, int] | None = None,
    deep: bool = False,
) -> Iterator[Frame]:
    """Frames `start` to `end` (exclusive; None: all) of a source, one at a time.

    Args:
        source: any file FFmpeg reads, an image, a folder of images or a glob (in natural order:
            `f2` before `f10`; 24 frames per second are assumed for images), one image file of
            several pictures (a TIFF stack; an animated PNG, WebP or AVIF, at its own times), or a
            `VideoSource`.
        start, end: frame numbers in the whole source. Seeks where numbers stay exact. An `end`
            behind the last frame is the last frame.
        size: (height, width) to bring every frame to (after rotation); None keeps the source's.
        deep: give `Frame.deep` too, where the source has more than 8 bits (not with `size` for
            images).

    Raises:
        InputError: a range or size that makes no sense (at once).
        VideoError: the source cannot be opened (at once) or has no frame `start`.
        DamagedVideoError: behind the last frame before the damage; `frame_index` is the next.
    """
    if start < 0 or (end is not None and end <= start):
        raise InputError(f"expected 0 <= start < end, got start={start}, end={end}")
    if size is not None and min(size) < 1:
        raise InputError(f"expected size as a positive (height, width), got {size}")
    given = VideoSource.of(source)
    pictures = Pictures.of(given)
    if pictures is not None:
        if start >= len(pictures):
            raise beyond_end(given.path, len(pictures), start)
        return _read_images(pictures, start, end, size, deep=deep)
    return _read_stream(_open(given), start, end, size, fps=given.fps, deep=deep)


def read_frame(source: Source, *, index: int | None = None, seconds: float | None = None) -> Frame:
    """One frame, by its number or by a time: the frame on screen at `seconds`.

    Times are those of `Frame.pts_seconds`.
    Equal to the same frame of `read_frames`, but seeks where it can.

    Raises InputError unless exactly one of the two is given and it is not negative; VideoError
    behind the end, saying how many frames there are; DamagedVideoError.
    """
    if (index is None) == (seconds is None):
        raise InputError("give exactly one of index= and seconds=")
    if seconds is not None:
        if not seconds >= 0:
            raise InputError(f"{fspath(source)}: expected seconds >= 0, got {seconds}")
        index = _index_at(source, seconds)
    assert index is not None
    if index < 0:
        try:
            count = sum(1 for _ in read_frames(source))
        except DamagedVideoError as error:
            count = error.frame_index
        raise InputError(
            f"{fspath(source)}: has {count} frames; frame numbers start at 0, but frame {index} "
            "was asked for"
        )
    return next(read_frames(source, start=index, end=index + 1))


def frame_range(
    video: Source, *, start: Moment = 0, end: Moment | None = None
) -> tuple[int, int | None]:
    """Frame numbers (first, one after the last or None) of two moments in a video.

    A start time means the frame on screen then; an end time leaves out every frame shown at that
    time or later. Times count as `Frame.pts_seconds` does.

    Raises:
        InputError: not a moment, or the range is empty.
        VideoError: a time behind the end of the video.
    """
    seconds = parse_moment(start)
    first = seconds if isinstance(seconds, int) else read_frame(video, seconds=seconds).index
    if end is None:
        return first, None
    last = parse_moment(end)
    if not isinstance(last, int):
        frame = read_frame(video, seconds=last)
        last = frame.index + (frame.pts_seconds < last)
    if last <= first:
        raise InputError(
            f"expected start before end, got {start} (frame {first}) and {end} (frame {last})"
        )
    return first, last


def parse_moment(moment: Moment) -> int | float:
    """A frame number (int) or seconds (float) from `12`, `"12"` or `"2.5s"`.

    Raises:
        InputError: neither of the two.
    """
    text = str(moment).strip()
    if re.fullmatch(r"[0-9]{1,12}", text):
        return int(text)
    if re.fullmatch(r"([0-9]{1,12}(\.[0-9]*)?|\.[0-9]+) ?s", text):
        return float(text[:-1])
    raise InputError(
        f"expected a frame number (12) or a time in seconds (2.5s), from 0 up, got {text!r}"
    )


# -- video files ---------------------------------------------------------------------------


def _open(source: VideoSource) -> PictureReader:
    """InputError for a rate that contradicts a video's own times."""
    reader = PictureReader.open(source.path, deinterlace=source.deinterlace)
    if source.fps is not None and reader.states_times:
        reader.close()
        raise InputError(
            f"{source.path}: states when its frames are shown, so leave fps {source.fps:g} out"
        )
    return reader


def _read_stream(
    reader: PictureReader,
    start: int,
    end: int | None,
    size: tuple[int, int] | None,
    *,
    fps: float | None,
    deep: bool,
) -> Iterator[Frame]:
    converter = RgbConverter(size, reader.path)
    with _closed_after(reader):
        clock = None
        for index, picture in reader.pictures_from(start):
            clock = clock or reader.clock(origin=reader.first_pts, fps=fps)
            seconds = clock.read(picture, index)
            pixels = converter.pixels(picture)
            whole = pixels if deep and pixels.dtype == np.uint16 else None
            yield Frame(to_8_bit(pixels), index, seconds, clock.duration(picture), whole)
            if end is not None and index + 1 >= end:
                return


@contextmanager
def _closed_after(reader: PictureReader) -> Iterator[PictureReader]:
    """Closes the reader; DamagedVideoError where its pictures end in damage."""
    try:
        yield reader
    except Damage as damage:
        index = damage.index
        good = {
            0: "no frame can be read, so nothing was written; check the file, or get it again",
            1: "the frame before it is good",
        }.get(index, f"the {index} frames before it are good")
        text = f"{reader.path}: damaged at frame {index} ({damage}); {good}"
        raise DamagedVideoError(text, frame_index=index) from damage
    finally:
        reader.close()


def _probe_stream(reader: PictureReader, picture: VideoFrame, source: VideoSource) -> VideoInfo:
    stream, container = reader.stream, reader.container
    orientation = Orientation.of(picture)
    height, width = orientation.size((picture.height, picture.width))
    duration, base = None, stream.time_base
    if stream.duration is not None and base is not None:
        duration = float(stream.duration * base)
    elif container.duration is not None:
        duration = container.duration / 1e6
    rate = source.fps or (float(stream.average_rate) if stream.average_rate else None)
    return VideoInfo(
        path=reader.path,
        height=height,
        width=width,
        frame_count=None if reader.parts else stream.frames or None,
        duration_seconds=None if reader.parts else duration,
        average_fps=rate,
        codec=stream.codec_context.codec.canonical_name,
        pixel_format=picture.format.name,
        rotation=90 * orientation.turns,
        has_audio=bool(container.streams.audio),
        mirrored=orientation.mirrored,
        start_seconds=float(reader.first_pts * base) if base else 0.0,
        display=Display.of(stream, picture, deinterlaced=source.deinterlace),
        fps=source.fps,
        states_times=reader.states_times,
        deinterlaced=source.deinterlace,
    )


def _tell_kind(info: VideoInfo, order: FieldOrder, transfer: int) -> None:
    """Warn of what is not shown as it is stored."""
    if transfer in NAMES:
        warnings.warn(
            f"{info.path}: is HDR ({NAMES[transfer]}); it is tone-mapped, and what is made of it "
            "is SDR",
            stacklevel=3,
        )
    if order != "progressive" and not info.deinterlaced:
        warnings.warn(
            f"{info.path}: is interlaced ({order}), so what moves is combed; --deinterlace makes "
            "whole pictures of it",
            stacklevel=3,
        )


def _index_at(source: Source, seconds: float) -> int:
    """Number of the frame on screen at a time; VideoError behind the end."""
    given = VideoSource.of(source)
    times, last_step = _times(given, seconds)
    if seconds >= times[-1] + last_step:
        raise VideoError(
            f"{given.path}: ends at {times[-1] + last_step:.3f} s after {len(times)} frames, "
            f"but {seconds} s was asked for"
        )
    return max(0, bisect_right(times, seconds) - 1)


def _times(source: VideoSource, seconds: float) -> tuple[list[float], float]:
    """Times of the frames up to past `seconds` and the duration of the last of them."""
    pictures = Pictures.of(source)
    if pictures is not None:
        if source.fps is None and not pictures.states_times:
            _warn_of_assumed_rate(source.path)
        return pictures.times[:-1], pictures.durations[-1]
    with _closed_after(_open(source)) as reader:
        table = reader.packet_table()
        clock = reader.clock(fps=source.fps)
        step, base = clock.step, reader.stream.time_base
        if table is not None and base is not None:
            return [float((ticks - table.pts[0]) * base) for ticks in table.pts], step
        times: list[float] = []
        for index, picture in reader.pictures_from(0):
            clock.origin = reader.first_pts
            times.append(clock.read(picture, index))
            step = clock.duration(picture) or step
            if times[-1] > seconds:
                break
    return times, step


def _warn_of_assumed_rate(path: str) -> None:
    warnings.warn(
        f"{path}: states no times, so {FALLBACK_FPS:g} frames per second are assumed; --fps says "
        "how many there are",
        stacklevel=3,
    )


# -- images --------------------------------------------------------------------------------


def _read_images(
    pictures: Pictures,
    start: int,
    end: int | None,
    size: tuple[int, int] | None,
    *,
    deep: bool,
) -> Iterator[Frame]:
    for index, rgb, seconds, duration in pictures.read(start, end, size):
        whole = pictures.deep(index) if deep and size is None else None
        yield Frame(rgb, index, seconds, duration, whole)


def _probe_images(source: VideoSource, pictures: Pictures) -> VideoInfo:
    height, width = pictures.size
    with opened_picture(pictures.files[0], error=VideoError) as image:
        codec, mode = (image.format or "image").lower(), image.mode
    durations = pictures.durations
    fps = 1 / durations[0] if len(set(durations)) == 1 else len(durations) / sum(durations)
    return VideoInfo(
        path=source.path,
        height=height,
        width=width,
        frame_count=len(pictures),
        duration_seconds=pictures.times[-1],
        average_fps=fps,
        codec=codec,
        pixel_format=mode,
        rotation=0,
        has_audio=False,
        fps=source.fps,
        states_times=pictures.states_times,
    )
