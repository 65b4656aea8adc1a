"""Still images and folders of them as a source of frames."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Sequence
from glob import glob
from os import PathLike, fspath
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps

from chromatrack.errors import VideoError
from chromatrack.video.integrity import check_file
from chromatrack.video.picture_files import full_pages, opened_picture, upright_size
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


def image_files(source: str | PathLike[str]) -> list[Path] | None:
    """The images of a folder, glob or single image file in natural order; None for a video."""
    text = fspath(source)
    path = Path(text)
    if path.is_dir():
        files = [p for p in path.iterdir() if is_image(p)]
        if not files:
            raise VideoError(f"{text}: the folder holds no images (png, jpg, tif, webp, ...)")
    elif path.exists() or "://" in text:
        if not is_image(path):
            return None
        check_file(text)
        files = [path]
    elif re.search(r"[*?\[]", text):
        files = [p for p in map(Path, glob(text)) if p.is_file()]  # noqa: PTH207
        if not files:
            raise VideoError(f"{text}: no file matches this pattern")
        if strange := [p for p in files if not is_image(p)]:
            raise VideoError(f"{strange[0]}: matches {text} but is no image")
    else:
        return None
    return sorted(files, key=_natural)


def frame_files(folder: Path, suffixes: Collection[str]) -> tuple[Path, ...]:
    """The pictures of a folder in plain order of their names, as data sets number them."""
    files = (path for path in sorted(folder.iterdir()) if not path.name.startswith("."))
    return tuple(path for path in files if path.suffix.lower() in suffixes)


def is_image(path: Path) -> bool:
    """Whether a file's name is that of a picture, and not hidden."""
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
            with opened_picture(path, error=VideoError) as image:
                size = upright_size(image)
                count = len(full_pages(image))
        except VideoError:
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


def load_image(path: Path, *, size: tuple[int, int] | None = None) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of an image file, EXIF rotation applied, at `size` if given.

    Raises VideoError for one that cannot be read, and for floating-point images (their range is
    not stated).
    """
    with opened_picture(path, error=VideoError) as image:
        return pixels_of(image, path, size=size)


def pixels_of(
    opened: Image.Image, path: Path, *, size: tuple[int, int] | None = None
) -> np.ndarray:
    """As `load_image`, of the picture that an open file is at; raises PICTURE_ERRORS too."""
    opened.load()
    pages = getattr(opened, "n_frames", 1)
    pixels = _rgb(ImageOps.exif_transpose(opened), path, of=path if pages > 1 else path.parent)
    if size is None or size == pixels.shape[:2]:
        return np.array(pixels)
    resized = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.array(resized)


def _rgb(image: Image.Image, path: Path, *, of: Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of an open image; of: the stack or folder that it belongs to."""
    if image.mode == "F":
        raise VideoError(f"{path}: is a floating-point image; convert it to 8 or 16 bits first")
    if image.mode.startswith("I"):
        grey = _grey_levels(image)
        _hint_at_depth(of, grey)
        return np.repeat(to_8_bit(grey)[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return opaque(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def load_deep_image(path: Path) -> np.ndarray | None:
    """(H, W, 3) uint16 of an image file of 16 bits (grey, or a PNG in colour); None for others."""
    with opened_picture(path, error=VideoError) as opened:
        orientation = opened.getexif().get(0x0112, 1)
        if opened.mode.startswith("I"):
            grey = _grey_levels(ImageOps.exif_transpose(opened))
            return np.repeat(grey[..., None], 3, axis=2)
        is_plain = opened.mode == "RGB" and orientation == 1 and "transparency" not in opened.info
    with path.open("rb") as file:
        head = file.read(25)
    if not is_plain or head[1:4] != b"PNG" or head[24] != 16:
        return None
    with av.open(str(path), format="png_pipe") as container:  # Pillow keeps only 8 bits of those
        picture = next(container.decode(video=0))
    return picture.to_ndarray(format="rgb48le") if picture.format.name == "rgb48be" else None


def _grey_levels(image: Image.Image) -> np.ndarray:
    """(H, W) uint16."""
    return np.asarray(image).astype(np.int64).clip(0, 65535).astype(np.uint16)


def _hint_at_depth(of: Path, grey: np.ndarray) -> None:
    """Warn of a picture that is black because its values fill only a part of 16 bits."""
    most = int(grey.max(initial=0))
    bits = next((n for n in (8, 10, 12, 14) if most < 1 << n), 16)
    if most > 0 and bits < 16:
        warnings.warn(
            f"{of}: holds pictures of 16 bits whose values end below {1 << bits}, as "
            f"cameras of {bits} bits write them; they are read as they are, nearly black; multiply "
            f"them by {1 << 16 - bits} to see them",
            stacklevel=2,
        )


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image file after EXIF rotation, from its header; VideoError."""
    with opened_picture(path, error=VideoError) as image:
        return upright_size(image)
