"""What all outputs of frames share: finished or given up, checked frames, one line on failure."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import numpy as np
from av.error import FFmpegError

from chromatrack.atomic import unwritable
from chromatrack.errors import DamagedVideoError, InputError, OutputError

MADE_BY = "chromatrack"
"""Written into every video and picture, so that only those are ever replaced."""

_KEEPS_FINISHED_FRAMES = (DamagedVideoError, KeyboardInterrupt, GeneratorExit)


class FrameWriter(ABC):
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


def partial_file(path: Path) -> Path:
    """An empty temporary file beside `path`, with parents; OutputError when that cannot be."""
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
    except OSError as error:
        raise unwritable(path, error) from error
    return partial


def check_frame(
    rgb: np.ndarray, size: tuple[int, int] | None, count: int, *, channels: int = 3
) -> None:
    """InputError unless a frame is `(H, W, channels)` uint8 or uint16, of the first `size`."""
    deep_or_not = rgb.dtype in (np.uint8, np.uint16)
    if rgb.ndim != 3 or rgb.shape[2] != channels or not deep_or_not or 0 in rgb.shape:
        kind = "rgb" if channels == 3 else "rgba"
        raise InputError(
            f"expected {kind} (H, W, {channels}) uint8 or uint16, got {rgb.shape} {rgb.dtype}"
        )
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
