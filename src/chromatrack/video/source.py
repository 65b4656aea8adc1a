"""A source and how it is to be read, accepted wherever a path to a video is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from os import fspath

from chromatrack.errors import InputError
from chromatrack.structures import Source


@dataclass(frozen=True)
class VideoSource:
    """The path of a video, image, folder or glob of images, and how it is to be read.

    fps: frames per second of a source that states no times (pictures, bare streams); None: 24.
    deinterlace: make whole pictures of the two fields of every frame (FFmpeg's bwdif); frames keep
    their numbers and times.

    Raises InputError for an fps that is none.
    """

    path: str
    fps: float | None = None
    deinterlace: bool = False

    def __post_init__(self) -> None:
        """Check fps."""
        if self.fps is not None and not (math.isfinite(self.fps) and 0.001 <= self.fps <= 100_000):
            raise InputError(f"fps: expected frames per second, 0.001 to 100000, got {self.fps}")

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.path

    @classmethod
    def of(cls, source: Source) -> VideoSource:
        """The source itself, or a plain path read in the usual way."""
        return source if isinstance(source, VideoSource) else cls(fspath(source))
