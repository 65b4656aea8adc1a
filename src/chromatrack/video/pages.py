"""Still pictures as frames: files of one picture each, or one file of several.

A TIFF may be a stack; PNG, WebP and AVIF may be animated, with a duration for every picture. Copies
for thumbnails are no frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from os import fspath
from pathlib import Path

import numpy as np

from chromatrack.errors import DamagedVideoError, InputError, VideoError
from chromatrack.structures import Source
from chromatrack.video.decode import FALLBACK_FPS
from chromatrack.video.images import (
    check_same_size,
    image_files,
    image_size,
    load_deep_image,
    pixels_of,
)
from chromatrack.video.picture_files import full_pages, opened_picture, upright_size
from chromatrack.video.source import VideoSource


@dataclass(frozen=True)
class Pictures:
    """The pictures of a source, in order.

    path: as the user named it. files: one file each, or one. pages: of that one, the numbers of its
    pictures inside the file; empty where every file is one picture. fps: of pictures that state no
    times, as the user said; None: 24.
    """

    path: str
    files: tuple[Path, ...]
    pages: tuple[int, ...] = ()
    fps: float | None = None

    @classmethod
    def of(cls, source: Source) -> Pictures | None:
        """The pictures of an image file, folder or glob; None for a video.

        Raises:
            VideoError: no pictures, of different sizes, or several in one file of many.
            InputError: frames per second for pictures that state their times.
        """
        files, fps = image_files(source), VideoSource.of(source).fps
        if files is None:
            return None
        if len(files) > 1:
            check_same_size(files)
            return cls(fspath(source), tuple(files), fps=fps)
        pages = _pages(files[0])
        found = cls(fspath(source), tuple(files), pages if len(pages) > 1 else (), fps)
        if fps is not None and found.states_times:
            raise InputError(
                f"{fspath(source)}: states when its pictures are shown, so leave fps {fps:g} out"
            )
        return found

    def __len__(self) -> int:
        return len(self.pages) or len(self.files)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width); raises VideoError."""
        return image_size(self.files[0])

    @property
    def durations(self) -> list[float]:
        """How long each picture is shown, s."""
        stated = _durations(self.files[0], self._stamp) if self.pages else None
        return list(stated or [1 / (self.fps or FALLBACK_FPS)] * len(self))

    @property
    def states_times(self) -> bool:
        """Whether the file says when its pictures are shown, as animations do."""
        return bool(self.pages) and _durations(self.files[0], self._stamp) is not None

    def deep(self, index: int) -> np.ndarray | None:
        """`(H, W, 3)` uint16 of one picture that has a file of its own and 16 bits, else None."""
        return None if self.pages else load_deep_image(self.files[index])

    @property
    def times(self) -> list[float]:
        """When each picture is shown, s, and when the last one ends: one more than pictures."""
        durations = self.durations
        if len(set(durations)) == 1:
            rate = self.fps or 1 / durations[0]
            return [index / rate for index in range(len(self) + 1)]
        return [0.0, *accumulate(durations)]

    @property
    def _stamp(self) -> tuple[int, int]:
        state = self.files[0].stat()
        return state.st_mtime_ns, state.st_size

    def read(
        self, start: int, end: int | None, size: tuple[int, int] | None
    ) -> Iterator[tuple[int, np.ndarray, float, float]]:
        """Pictures `start` to `end`: number, `(H, W, 3)` uint8, time and duration in s.

        Raises:
            VideoError: the only picture cannot be read. DamagedVideoError: one of several cannot.
        """
        after = min(len(self), len(self) if end is None else end)
        loaded = (
            _page_pixels(self.files[0], self.pages[start:after], size)
            if self.pages
            else (_file_pixels(file, size) for file in self.files[start:after])
        )
        times, durations = self.times, self.durations
        for index in range(start, after):
            try:
                rgb = next(loaded)
            except _UnreadableError as error:
                if len(self) == 1:
                    raise VideoError(str(error)) from error
                name = self.files[0] if self.pages else self.files[index]
                text = f"{name}: damaged image at frame {index} ({error.__cause__})"
                raise DamagedVideoError(text, frame_index=index) from error
            yield index, rgb, times[index], durations[index]


class _UnreadableError(VideoError):
    """The file of a picture cannot be opened or decoded; its cause is what Pillow said."""


def _file_pixels(path: Path, size: tuple[int, int] | None) -> np.ndarray:
    with opened_picture(path, error=_UnreadableError) as image:
        return pixels_of(image, path, size=size)


def _page_pixels(
    path: Path, pages: tuple[int, ...], size: tuple[int, int] | None
) -> Iterator[np.ndarray]:
    with opened_picture(path, error=_UnreadableError) as image:
        for page in pages:
            image.seek(page)
            yield pixels_of(image, path, size=size)


def _pages(path: Path) -> tuple[int, ...]:
    """Numbers of the pictures inside a file, smaller copies left out.

    Raises VideoError for pictures of different sizes, no picture, or where their list is damaged.
    """
    with opened_picture(path, error=VideoError) as image:
        numbers, sizes = full_pages(image), []
        for number in numbers if image.format == "TIFF" else ():
            image.seek(number)
            sizes.append(upright_size(image))
    for number, (height, width) in enumerate(sizes):
        if (height, width) != sizes[0]:
            raise VideoError(
                f"{path}: its picture {number} is {width}x{height} but the first is "
                f"{sizes[0][1]}x{sizes[0][0]}; images of one sequence need one size"
            )
    return numbers


@lru_cache(maxsize=8)
def _durations(path: Path, stamp: tuple[int, int]) -> tuple[float, ...] | None:
    """How long each picture of an animation is shown, s; None where the file does not say.

    stamp: the file's time and size, so that another one of the same name is read anew.
    """
    stated = []
    try:
        with opened_picture(path, error=VideoError) as image:
            if image.format == "TIFF":
                return None
            for number in full_pages(image):
                image.seek(number)
                image.load()  # WebP and AVIF tell with the picture
                stated.append(float(image.info.get("duration", 0)) / 1000)
    except VideoError:
        pass  # said when that picture is read
    if not any(stated):
        return None
    count = len(_pages(path))
    stated += [stated[-1]] * (count - len(stated))
    return tuple(seconds if seconds > 0 else 1 / FALLBACK_FPS for seconds in stated)
