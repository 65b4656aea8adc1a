"""What the data is made of: videos, photos and stretches of videos, as files or in tar shards."""

from __future__ import annotations

from dataclasses import dataclass

from av.error import FFmpegError
from av.video.stream import VideoStream

from chromatrack.errors import VideoError
from chromatrack.video.decode import PictureReader, open_input

LEAST_SIDE = 16
"""Pixels; pictures whose shorter side is less hold nothing to copy."""


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
