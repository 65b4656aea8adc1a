"""Still images and folders of them as a source of frames."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from glob import glob
from os import PathLike, fspath
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from chromatrack.errors import VideoError
from chromatrack.video.integrity import check_file
from chromatrack.video.pixel_format import opaque, to_8_bit

IMAGE_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("png", "jpg", "jpeg", "jpe", "bmp", "tif", "tiff", "webp", "ppm", "pgm", "pnm", "tga"),
        *("jp2", "avif"),
    )
)
"""File names that are read as still images (a GIF or an animated PNG `.apng` is a video)."""

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "mts", "m2ts", "vob"),
        *("wmv", "flv", "f4v", "gif", "apng", "ogv", "3gp", "3g2", "y4m", "mxf", "asf", "divx"),
        *("ivf", "dv", "h264", "h265", "264", "265", "hevc", "mjpeg", "nut", "rm", "rmvb"),
    )
)
"""Names found in folders and shards that are tried as videos."""

IMAGE_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, TypeError, AttributeError, LookupError),
    *(ArithmeticError, struct.error, zlib.error, Image.DecompressionBombError),
)
"""What Pillow raises for a file that is no image, or a damaged one."""


REDUCED = 0b101
"""Bits of TIFF's NewSubfileType: a smaller copy of another page, or its transparency."""


MOST_PIXELS = 1 << 27
"""Of one picture, 134 megapixels (16K video); every one takes some 15 bytes while it is tracked."""


def image_files(source: str | PathLike[str]) -> list[Path] | None:
    """The images of a folder, glob or single image file in natural order; None for a video."""
    text = fspath(source)
    path = Path(text)
    if path.is_dir():
        files = [p for p in path.iterdir() if _is_image(p)]
        if not files:
            raise VideoError(f"{text}: the folder holds no images (png, jpg, tif, webp, ...)")
    elif path.exists() or "://" in text:
        if not _is_image(path):
            return None
        check_file(text)
        files = [path]
    elif re.search(r"[*?\[]", text):
        files = [p for p in map(Path, glob(text)) if p.is_file()]  # noqa: PTH207
        if not files:
            raise VideoError(f"{text}: no file matches this pattern")
        if strange := [p for p in files if not _is_image(p)]:
            raise VideoError(f"{strange[0]}: matches {text} but is no image")
    else:
        return None
    return sorted(files, key=_natural)


def frame_files(folder: Path, suffixes: Collection[str]) -> tuple[Path, ...]:
    """The pictures of a folder in plain order of their names, as data sets number them."""
    files = (path for path in sorted(folder.iterdir()) if not path.name.startswith("."))
    return tuple(path for path in files if path.suffix.lower() in suffixes)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key under which numbers inside names count as numbers."""
    parts = re.findall(r"[0-9]+|[^0-9]+", str(path))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def check_same_size(files: Sequence[Path]) -> None:
    """VideoError naming the first image whose size differs, or that is not alone in its file.

    Unreadable ones are left for later.
    """
    first = None
    for path in files:
        try:
            with open_image(path) as image:
                size = upright_size(image)
                count = len(full_pages(image))
        except IMAGE_ERRORS:
            continue
        if count > 1:
            raise VideoError(
                f"{path}: holds {count} pictures, but files of one sequence hold one each; give it "
                "alone, or split it"
            )
        first = first or (path, size)
        if size != first[1]:
            (h0, w0), (h, w) = first[1], size
            raise VideoError(
                f"{path}: is {w}x{h} but {first[0].name} is {w0}x{h0}; "
                "images of one sequence need one size"
            )


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """An image file, its header read; IMAGE_ERRORS, and VideoError for one that is too large."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(path)
    with image:
        check_pixels(image, path)
        yield image


def check_pixels(image: Image.Image, path: Path) -> None:
    """VideoError unless an open image is small enough to be worked on."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise VideoError(
            f"{path}: is {width}x{height}, {width * height / 1e6:.0f} megapixels; expected "
            f"{MOST_PIXELS // 10**6} at most, scale it down"
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


def load_image(path: Path, *, size: tuple[int, int] | None = None) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of an image file, EXIF rotation applied, at `size` if given.

    Raises VideoError for floating-point images (their range is not stated) and those of more than
    MOST_PIXELS, and IMAGE_ERRORS.
    """
    with open_image(path) as image:
        return pixels_of(image, path, size=size)


def pixels_of(
    opened: Image.Image, path: Path, *, size: tuple[int, int] | None = None
) -> np.ndarray:
    """As `load_image`, of the picture that an open file is at."""
    opened.load()
    image = ImageOps.exif_transpose(opened)
    if image.mode == "F":
        raise VideoError(f"{path}: is a floating-point image; convert it to 8 or 16 bits first")
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64).clip(0, 65535).astype(np.uint16)
        pixels = np.repeat(to_8_bit(grey)[..., None], 3, axis=2)
    elif image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        pixels = opaque(np.asarray(image.convert("RGBA")))
    else:
        pixels = np.asarray(image.convert("RGB"))
    if size is None or size == pixels.shape[:2]:
        return np.array(pixels)
    resized = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.array(resized)


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image file after EXIF rotation, from its header; IMAGE_ERRORS."""
    with open_image(path) as image:
        return upright_size(image)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) of an open image after EXIF rotation."""
    width, height = image.size
    turned = image.getexif().get(0x0112, 1) >= 5
    return (width, height) if turned else (height, width)
