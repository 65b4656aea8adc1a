"""The one door through which pictures that users name are opened.

Pillow says in a dozen kinds of exception that a file is damaged; here they become one line.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from typing import BinaryIO

from PIL import Image, ImageOps

from chromatrack.errors import ChromatrackError, InputError

FORMATS = (
    *("PNG", "JPEG", "JPEG2000", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "PPM", "TGA", "GIF"),
    *("ICO", "PCX", "PSD", "QOI", "SGI", "DDS", "SUN", "XBM", "XPM", "IM"),
)
"""What is read. Formats that are drawn by running another program (EPS, WMF) are not."""

MOST_PIXELS = 2**27
"""Larger pictures are refused: 134 megapixels, a frame of 16K."""

PICTURE_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, AttributeError),
    *(ArithmeticError, AssertionError, NotImplementedError, RuntimeError, MemoryError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)
"""All that Pillow was seen to raise for files that are damaged, or no pictures."""


def readable_formats() -> list[str]:
    """Those of `FORMATS` that this Pillow reads."""
    Image.init()
    return [kind for kind in FORMATS if kind in Image.OPEN]


@contextmanager
def opened_picture(
    file: str | PathLike[str] | BinaryIO,
    *,
    name: str | None = None,
    error: type[ChromatrackError] = InputError,
) -> Iterator[Image.Image]:
    """A picture file, open in Pillow: decode it inside the `with` block, where failures are caught.

    Args:
        file: its path, or its bytes as a file.
        name: what it is called in messages; by default its path.
        error: the class of the one line that says it cannot be read.

    Raises:
        ChromatrackError: of class `error`: no such file, no picture, a damaged one, or one of
            more than `MOST_PIXELS`. Those of the block itself come through.
    """
    if name is None:
        name = fspath(file) if isinstance(file, str | PathLike) else "picture"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(file, formats=readable_formats())
        with opened as image:
            if image.width * image.height > MOST_PIXELS:
                raise error(
                    f"{name}: expected a picture of at most {MOST_PIXELS / 1e6:.0f} megapixels, "
                    f"got {image.width}x{image.height}; scale it down first"
                )
            yield image
    except ChromatrackError:
        raise
    except PICTURE_ERRORS as found:
        raise error(f"{name}: {_reason(found)}") from found


def read_rgb(
    file: str | PathLike[str] | BinaryIO,
    *,
    mode: str = "RGB",
    name: str | None = None,
    error: type[ChromatrackError] = InputError,
) -> Image.Image:
    """A picture file decoded, upright by its EXIF, in a Pillow mode; else as `opened_picture`."""
    with opened_picture(file, name=name, error=error) as image:
        return ImageOps.exif_transpose(image).convert(mode)


def _reason(found: BaseException) -> str:
    """What is wrong with a picture, in one line, and what to do."""
    if isinstance(found, FileNotFoundError):
        return "no such file; check the path"
    if isinstance(found, OSError) and found.strerror:
        return f"cannot be read ({found.strerror})"
    if isinstance(found, Image.UnidentifiedImageError):
        return "cannot be read as an image; expected a picture (png, jpg, tif, webp, ...)"
    if isinstance(found, MemoryError | Image.DecompressionBombError):
        return (
            f"expected a picture of at most {MOST_PIXELS / 1e6:.0f} megapixels that fits in "
            "memory; scale it down first"
        )
    text = " ".join(str(found).split()) or type(found).__name__
    return f"cannot be read as an image ({text[:200]}); it is damaged, save it again"
