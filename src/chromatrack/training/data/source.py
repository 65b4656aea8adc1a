"""A video file, or a video inside a tar shard, opened in place."""

from __future__ import annotations

from av.error import FFmpegError
from av.video.stream import VideoStream

from chromatrack.errors import VideoError
from chromatrack.video.decode import PictureReader, open_input

LEAST_SIDE = 16
"""Pixels; pictures whose shorter side is less hold nothing to copy."""


def source_name(path: str, start: int, length: int | None) -> str:
    """How a file, or a byte range of a shard, is called in messages."""
    return path if length is None else f"{path} (file at byte {start})"


def open_video(path: str, start: int = 0, length: int | None = None) -> PictureReader:
    """Open a video file, or the video in `length` bytes at `start` of a tar shard, in place.

    Raises:
        VideoError: cannot be opened, or holds no video stream.
    """
    if length is None:
        return PictureReader.open(path)
    name = source_name(path, start, length)
    try:  # FFmpeg's subfile: nothing is unpacked or read as a whole, and seeking works
        container = open_input(f"subfile,,start,{start},end,{start + length},,:file:{path}")
    except (FFmpegError, OSError) as error:
        raise VideoError(f"{name}: cannot be opened as a video ({error.strerror})") from error
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.codec_context is None:
        container.close()
        raise VideoError(f"{name}: has no video stream that can be decoded")
    stream.thread_type = "SLICE"
    stream.codec_context.copy_opaque = True
    return PictureReader(name, container, stream, None)
