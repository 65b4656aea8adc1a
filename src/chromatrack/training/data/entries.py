"""What the data is made of: videos, photos, and stretches of videos."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VideoEntry:
    """A usable video: a file, or `length` bytes from byte `start` of a tar shard on.

    bytes, modified_ns: of the video; when they change it is looked at anew. width, height: pixels,
    upright. seconds: as far as it can be read. frames: None if not counted. fps: on average.
    keyframes: seconds, growing, in the source's own time; empty where it states none; the first is
    the video's begin. problem: what is damaged, while the rest is used.
    """

    path: str
    start: int
    length: int | None
    bytes: int
    modified_ns: int
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
class PhotoEntry:
    """A still: a file, or `length` bytes from byte `start` of a tar shard on; not yet opened."""

    path: str
    start: int
    length: int | None
    bytes: int
    modified_ns: int


@dataclass(frozen=True)
class Stretch:
    """A part of a video, `[start_seconds, end_seconds)` in the source's own time.

    video: number in `Index.videos`.
    """

    video: int
    start_seconds: float
    end_seconds: float
