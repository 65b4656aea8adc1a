"""The one door through which pictures that users name are opened.

Pillow says in a dozen kinds of exception that a file is damaged; here they become one line.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from os import SEEK_CUR, PathLike, fspath
from typing import BinaryIO

from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngImageFile

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


def is_opaque(file: str | PathLike[str]) -> bool:
    """Whether no pixel of a picture file is transparent, not even in part; as `opened_picture`."""
    with opened_picture(file) as image:
        if not image.has_transparency_data:
            return True
        return image.convert("RGBA").getchannel("A").getextrema()[0] == 255


REDUCED = 0b101
"""Bits of TIFF's NewSubfileType: a smaller copy of another page, or its transparency."""


def full_pages(image: Image.Image) -> tuple[int, ...]:
    """Numbers of an open file's pictures, without smaller copies and stand-ins for animations."""
    count = getattr(image, "n_frames", 1)
    if count == 1 or image.format == "MPO":
        return (0,)
    if image.format != "TIFF":
        return tuple(range(int(getattr(image, "default_image", False)), count))
    numbers = []
    for number in range(count):
        image.seek(number)
        if not getattr(image, "tag_v2", {}).get(254, 0) & REDUCED:
            numbers.append(number)
    image.seek(0)
    return tuple(numbers) or (0,)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) of an open picture after EXIF rotation, without decoding its pixels.

    Pillow decodes a PNG to look for EXIF behind the pixels; here that is done only where there is
    something that may be it.
    """
    width, height = image.size
    late = isinstance(image, PngImageFile) and "exif" not in image.info and _tells_late(image)
    exif = image.getexif() if late else Image.Image.getexif(image)
    return (width, height) if exif.get(0x0112, 1) >= 5 else (height, width)


def _tells_late(image: PngImageFile) -> bool:
    """Whether EXIF or text stands behind the pixels of an open PNG."""
    file = image.fp
    if file is None:
        return False
    at, behind = file.tell(), False
    try:
        file.seek(8)  # behind the signature
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if behind and kind in {b"eXIf", b"iTXt", b"zTXt", b"tEXt"}:
                return True
            behind = behind or kind == b"IDAT"
            file.seek(length + 4, SEEK_CUR)  # content and checksum
        return False
    finally:
        file.seek(at)


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
