"""Frames out as PNG files, and what every writer of frames has in common."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from av.error import FFmpegError
from PIL import Image

from chromatrack.atomic import unwritable
from chromatrack.errors import DamagedVideoError, InputError, OutputError

_KEEPS_FINISHED_FRAMES = (DamagedVideoError, KeyboardInterrupt, GeneratorExit)


class Writer(ABC):
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        elif issubclass(kind, _KEEPS_FINISHED_FRAMES):
            with suppress(OutputError):  # nothing written yet: the first error is the one to tell
                self.close()
        else:
            self.abort()


class ImageSequenceWriter(Writer):
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
        partial_file(self.folder / (self._name % 0)).unlink()

    def write(
        self,
        rgb: np.ndarray,
        *,
        pts_seconds: float | None = None,
        duration_seconds: float | None = None,
    ) -> None:
        """Write one (H, W, 3) uint8 sRGB frame; image files have no times, so those are unused."""
        check_frame(rgb, self._size, self._count)
        self._size = (rgb.shape[0], rgb.shape[1])
        target = self.folder / (self._name % self._count)
        partial = target.with_name(f".{target.name}.{os.getpid()}.png")
        with as_output_error(target):
            try:
                Image.fromarray(np.ascontiguousarray(rgb)).save(partial, compress_level=3)
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


def partial_file(path: Path) -> Path:
    """An empty temporary file beside `path`, with parents; OutputError when that cannot be."""
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
    except OSError as error:
        raise unwritable(path, error) from error
    return partial


def check_frame(rgb: np.ndarray, size: tuple[int, int] | None, count: int) -> None:
    """InputError unless a frame is `(H, W, 3)` uint8, of `size` where the first one had it."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise InputError(f"expected rgb (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")
    if size is not None and size != rgb.shape[:2]:
        raise InputError(f"frame {count} is {rgb.shape[:2]} but the first one was {size}")


@contextmanager
def as_output_error(path: Path) -> Iterator[None]:
    """Turn what FFmpeg and the system say about writing into one OutputError line."""
    try:
        yield
    except OutputError:
        raise
    except (FFmpegError, OSError) as error:
        raise OutputError(f"{path}: writing failed ({error.strerror})") from error
