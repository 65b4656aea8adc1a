"""Opening image files: what can go wrong, how large they may be, which pictures they hold."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from chromatrack.errors import VideoError
from chromatrack.video.picture_files import MOST_PIXELS, PICTURE_ERRORS, readable_formats

IMAGE_ERRORS = PICTURE_ERRORS
"""What Pillow raises for a file that is no image, or a damaged one."""


REDUCED = 0b101
"""Bits of TIFF's NewSubfileType: a smaller copy of another page, or its transparency."""


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """An image file, its header read; IMAGE_ERRORS, and VideoError for one that is too large."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(path, formats=readable_formats())
    with image:
        check_pixels(image, path)
        yield image


def check_pixels(image: Image.Image, path: Path) -> None:
    """VideoError unless an open image is small enough to be worked on."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise VideoError(
            f"{path}: expected a picture of at most {MOST_PIXELS / 1e6:.0f} megapixels, got "
            f"{width}x{height}; scale it down first"
        )


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
