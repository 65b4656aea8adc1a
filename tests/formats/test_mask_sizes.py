"""Masks far larger than their video: refused by their header, and read in memory of their size."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from chromatrack.errors import InputError
from chromatrack.formats.marked_source import MOST_MASK_PIXELS, MarkedSource
from chromatrack.formats.masks import read_mask, read_mask_folder
from chromatrack.tracking.marks import read_marks

LARGE = (6_000, 8_000)
OTHER = (6_000, 6_000)


def source(size: tuple[int, int] = (24, 32)) -> MarkedSource:
    return MarkedSource("clip.mp4", size, 12)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(height: int, width: int) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", b"no pixels") + _chunk(b"IEND", b"")


def gif(height: int, width: int) -> bytes:
    size = struct.pack("<HH", width, height)
    return b"GIF89a" + size + b"\x80\0\0\0\0\0\xff\xff\xff," + b"\0\0\0\0" + size + b"\0\2\2\4\1\0;"


def bmp(height: int, width: int) -> bytes:
    fields = (40, width, height, 1, 8, 0, 0, 0, 0, 2, 2)
    return b"BM" + struct.pack("<IHHI", 62, 0, 0, 62) + struct.pack("<IiiHHIIiiII", *fields)


def pgm(height: int, width: int) -> bytes:
    return f"P5 {width} {height} 255\n".encode()


MAKERS = {"png": png, "gif": gif, "bmp": bmp, "ppm": pgm}


def alone(path: Path, opened: MarkedSource) -> object:
    return read_marks(path, start=0, source=opened)


def of_a_frame(path: Path, opened: MarkedSource) -> object:
    return read_marks({3: path}, start=0, source=opened)


def in_a_folder(path: Path, opened: MarkedSource) -> object:
    folder = path.parent / "masks"
    folder.mkdir()
    path.rename(folder / "00003.png")
    return read_mask_folder(folder, source=opened)


def after_a_good_one(path: Path, opened: MarkedSource) -> object:
    folder = path.parent / "masks"
    folder.mkdir()
    Image.fromarray(np.ones(opened.size, np.uint8)).save(folder / "00001.png")
    path.rename(folder / "00003.png")
    return read_mask_folder(folder, source=opened)


@pytest.mark.parametrize("suffix", MAKERS)
@pytest.mark.parametrize("read", [alone, of_a_frame, in_a_folder, after_a_good_one])
@pytest.mark.parametrize(
    ("size", "said"),
    [(LARGE, "at most 34 megapixels of that shape, got 8000x6000"), (OTHER, "another shape")],
)
def test_a_size_is_refused_before_pixels_are_read(
    tmp_path: Path,
    suffix: str,
    read: Callable[[Path, MarkedSource], object],
    size: tuple[int, int],
    said: str,
) -> None:
    """There are none in these files."""
    path = tmp_path / f"mask.{suffix}"
    path.write_bytes(MAKERS[suffix](*size))
    with pytest.raises(InputError, match=f"expected the video's 32x24 pixels.*{said}"):
        read(path, source())


def test_a_mask_as_large_as_its_video_is_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(png(*LARGE))
    assert LARGE[0] * LARGE[1] > MOST_MASK_PIXELS
    with pytest.raises(InputError, match="cannot be read as an image"):
        alone(path, source(LARGE))


def test_a_picture_of_a_stack_is_refused_before_its_pixels_are_read(tmp_path: Path) -> None:
    path = tmp_path / "masks.tif"
    pages = [Image.new("L", size) for size in ((32, 24), (32, 24), (64, 24))]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match="another shape"):
        alone(path, source())


def _flat(image: Image.Image) -> None:
    ImageDraw.Draw(image).rectangle((10, 10, 900, 700), fill=255)


def _ids(image: Image.Image) -> None:
    for number in range(1, 9):
        ImageDraw.Draw(image).rectangle((100 * number, 10, 100 * number + 60, 700), fill=number)


def _smooth(image: Image.Image) -> None:
    small = Image.new(image.mode, (image.width // 3, image.height // 3))
    ImageDraw.Draw(small).ellipse((10, 10, 500, 400), fill=255 if image.mode == "L" else "red")
    image.paste(small.resize(image.size, Image.Resampling.BICUBIC))


@pytest.mark.filterwarnings("ignore:.*smooth edges")
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("draw", [_flat, _ids, _smooth])
def test_memory_is_that_of_a_few_copies(tmp_path: Path, mode: str, draw) -> None:
    """Without the decoder's own pixels, which are not counted here."""
    path, (height, width) = tmp_path / "mask.png", (750, 1_000)
    image = Image.new("L" if draw is _ids or mode == "P" else "RGB", (width, height))
    draw(image)
    image.convert(mode).save(path)
    tracemalloc.start()
    try:
        ids = read_mask(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ids.shape == (height, width) and ids.any()
    assert most < 24 * height * width
