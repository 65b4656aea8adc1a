"""Frames in, frames out: the one door between files and `(H, W, 3)` arrays.

Everything streams: memory does not grow with the length of a video. Times are the source's own
presentation times, so a variable frame rate survives. The writers of `writer.py` are offered here
too.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import fspath

import numpy as np
from av.video.frame import VideoFrame

from chromatrack.errors import DamagedVideoError, InputError, VideoError
from chromatrack.structures import Source
from chromatrack.video.decode import Damage, PictureReader, beyond_end
from chromatrack.video.images import IMAGE_ERRORS, open_image
from chromatrack.video.pages import Pictures
from chromatrack.video.pixel_format import RgbConverter, quarter_turns, turned
from chromatrack.video.writer import ImageSequenceWriter as ImageSequenceWriter
from chromatrack.video.writer import VideoWriter as VideoWriter
from chromatrack.video.writer import open_writer as open_writer

Moment = int | str
"""A frame number counted from 0 (`12`, `"12"`), or a time in seconds (`"2.5s"`)."""


@dataclass(frozen=True)
class Frame:
    """One frame of a video or image sequence.

    rgb: (H, W, 3) uint8 sRGB, upright. index: 0-based in the whole source. pts_seconds: when it
    is shown, in the source's own time. duration_seconds: how long, or None where not stated.
    """

    rgb: np.ndarray
    index: int
    pts_seconds: float
    duration_seconds: float | None = None


@dataclass(frozen=True)
class VideoInfo:
    """What a source says about itself; None where it does not say.

    height, width: pixels after rotation. frame_count: as declared (exact for images).
    rotation: counter-clockwise degrees (0, 90, 180, 270) that were applied. times_stated: False
    where the source says nothing of times, as pictures do, so that those of frames are made up.
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
    times_stated: bool = True


def probe(source: Source) -> VideoInfo:
    """Describe a video, image, folder or glob of images; decodes one frame.

    Raises VideoError when the source cannot be opened or holds no frame.
    """
    pictures = Pictures.of(source)
    if pictures is not None:
        return _probe_images(pictures)
    with _closed_after(PictureReader.open(fspath(source))) as reader:
        picture = next(reader.pictures(), None)
        if picture is None:
            raise VideoError(f"{reader.path}: its video stream holds no frames")
        return _probe_stream(reader, picture)


def read_frames(
    source: Source,
    *,
    start: int = 0,
    end: int | None = None,
    size: tuple[int, int] | None = None,
) -> Iterator[Frame]:
    """Frames `start` to `end` (exclusive; None: all) of a source, one at a time.

    Args:
        source: any file FFmpeg reads, an image, a folder of images or a glob (in natural order:
            `f2` before `f10`; 24 frames per second are assumed for images), or one image file of
            several pictures (a TIFF stack; an animated PNG, WebP or AVIF, at its own times).
        start, end: frame numbers in the whole source. Seeks where numbers stay exact. An `end`
            behind the last frame is the last frame.
        size: (height, width) to bring every frame to (after rotation); None keeps the source's.

    Raises:
        InputError: a range or size that makes no sense (at once).
        VideoError: the source cannot be opened (at once) or has no frame `start`.
        DamagedVideoError: behind the last frame before the damage; `frame_index` is the next.
    """
    if start < 0 or (end is not None and end <= start):
        raise InputError(f"expected 0 <= start < end, got start={start}, end={end}")
    if size is not None and min(size) < 1:
        raise InputError(f"expected size as a positive (height, width), got {size}")
    pictures = Pictures.of(source)
    if pictures is not None:
        if start >= len(pictures):
            raise beyond_end(fspath(source), len(pictures), start)
        return _read_images(pictures, start, end, size)
    return _read_stream(PictureReader.open(fspath(source)), start, end, size)


def read_frame(source: Source, *, index: int | None = None, seconds: float | None = None) -> Frame:
    """One frame, by its number or by a time: the frame on screen at `seconds`.

    Times are those of `Frame.pts_seconds`; a time before the first frame gives the first.
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


def _read_stream(
    reader: PictureReader, start: int, end: int | None, size: tuple[int, int] | None
) -> Iterator[Frame]:
    converter = RgbConverter(size)
    clock = reader.clock()
    with _closed_after(reader):
        for index, picture in reader.pictures_from(start):
            seconds = clock.read(picture, index)
            yield Frame(converter.rgb(picture), index, seconds, clock.duration(picture))
            if end is not None and index + 1 >= end:
                return


@contextmanager
def _closed_after(reader: PictureReader) -> Iterator[PictureReader]:
    """Closes the reader; DamagedVideoError where its pictures end in damage."""
    try:
        yield reader
    except Damage as damage:
        index = damage.index
        good = f"the {index} frames before it are good" if index else "no frame before it"
        text = f"{reader.path}: damaged at frame {index} ({damage}); {good}"
        raise DamagedVideoError(text, frame_index=index) from damage
    finally:
        reader.close()


def _probe_stream(reader: PictureReader, picture: VideoFrame) -> VideoInfo:
    stream, container = reader.stream, reader.container
    turns = quarter_turns(picture)
    height, width = turned((picture.height, picture.width), turns)
    duration = None
    if stream.duration is not None and stream.time_base is not None:
        duration = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        duration = container.duration / 1e6
    return VideoInfo(
        path=reader.path,
        height=height,
        width=width,
        frame_count=stream.frames or None,
        duration_seconds=duration,
        average_fps=float(stream.average_rate) if stream.average_rate else None,
        codec=stream.codec_context.codec.canonical_name,
        pixel_format=picture.format.name,
        rotation=90 * turns,
        has_audio=bool(container.streams.audio),
    )


def _index_at(source: Source, seconds: float) -> int:
    """Number of the frame on screen at a time; VideoError behind the end."""
    times, last_step = _times(source, seconds)
    if seconds >= times[-1] + last_step:
        raise VideoError(
            f"{fspath(source)}: ends at {times[-1] + last_step:.3f} s after {len(times)} frames, "
            f"but {seconds} s was asked for"
        )
    return max(0, bisect_right(times, seconds) - 1)


def _times(source: Source, seconds: float) -> tuple[list[float], float]:
    """Times of the frames up to past `seconds` and the duration of the last of them."""
    pictures = Pictures.of(source)
    if pictures is not None:
        return pictures.times[:-1], pictures.durations[-1]
    with _closed_after(PictureReader.open(fspath(source))) as reader:
        table = reader.packet_table()
        clock = reader.clock()
        step, base = clock.step, reader.stream.time_base
        if table is not None and base is not None:
            return [float(ticks * base) for ticks in table.pts], step
        times: list[float] = []
        for index, picture in reader.pictures_from(0):
            times.append(clock.read(picture, index))
            step = clock.duration(picture) or step
            if times[-1] > seconds:
                break
    return times, step


# -- images --------------------------------------------------------------------------------


def _read_images(
    pictures: Pictures, start: int, end: int | None, size: tuple[int, int] | None
) -> Iterator[Frame]:
    for index, rgb, seconds, duration in pictures.read(start, end, size):
        yield Frame(rgb, index, seconds, duration)


def _probe_images(pictures: Pictures) -> VideoInfo:
    try:
        height, width = pictures.size
        with open_image(pictures.files[0]) as image:
            codec, mode = (image.format or "image").lower(), image.mode
    except IMAGE_ERRORS as error:
        if isinstance(error, VideoError):
            raise
        text = f"{pictures.files[0]}: cannot be read as an image ({error})"
        raise VideoError(text) from error
    durations = pictures.durations
    fps = 1 / durations[0] if len(set(durations)) == 1 else len(durations) / sum(durations)
    return VideoInfo(
        path=pictures.path,
        height=height,
        width=width,
        frame_count=len(pictures),
        duration_seconds=pictures.times[-1],
        average_fps=fps,
        codec=codec,
        pixel_format=mode,
        rotation=0,
        has_audio=False,
        times_stated=False,
    )
