"""Every way in which a picture can be damaged ends in a picture or one line, through every door."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin
from PIL.ImageFile import ImageFile
from video_clips import pictures

from chromatrack.errors import ChromatrackError, InputError, LayoutError, VideoError
from chromatrack.formats.masks import read_mask
from chromatrack.tracking.marks import read_reference
from chromatrack.uses.layers import parse_painted, parse_texture
from chromatrack.video.images import image_size, load_image
from chromatrack.video.picture_files import (
    MOST_PIXELS,
    is_opaque,
    opened_picture,
    read_rgb,
    upright_size,
)
from chromatrack.video.reader import probe, read_frames

FORMATS = ["png", "jpg", "ppm", "gif", "jp2", "avif", "webp", "tif", "tga", "bmp"]


def encoded(suffix: str) -> bytes:
    """A small picture in a format, with EXIF where it has that."""
    image = Image.fromarray(pictures(1, size=(24, 32))[0])
    name = {"jpg": "JPEG", "jp2": "JPEG2000", "tif": "TIFF"}.get(suffix, suffix.upper())
    exif = Image.Exif()
    exif[0x0112] = 6
    more = {"exif": exif.tobytes()} if suffix in {"jpg", "png", "webp", "avif"} else {}
    file = io.BytesIO()
    image.save(file, format=name, **more)
    return file.getvalue()


def test_what_is_transparent_in_part_is_not_opaque(tmp_path):
    picture = Image.fromarray(pictures(1, size=(24, 32))[0])
    path = tmp_path / "p.png"
    for mode in ("RGB", "L", "RGBA", "LA", "P"):
        picture.convert(mode).save(path)
        assert is_opaque(path)
    for mode in ("RGBA", "LA"):
        soft = picture.convert(mode)
        soft.putpixel((3, 4), (9, 9, 9, 254)[-len(mode) :])
        soft.save(path)
        assert not is_opaque(path)
    flat = picture.convert("P")
    flat.save(path, transparency=flat.getpixel((3, 4)))
    assert not is_opaque(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"p\.png"):
        is_opaque(path)


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with some of them changed, cut off, doubled, or another file's."""
    data = bytearray(content)
    way = rng.integers(5)
    head = int(min(len(data), rng.choice([64, 256, 100_000])))
    if way == 0:
        for at in rng.integers(0, head, size=rng.integers(1, 9)):
            data[at] = rng.integers(256)
    elif way == 1:
        del data[rng.integers(len(data)) :]
    elif way == 2:
        at = int(rng.integers(head))
        data[at : at + 4] = rng.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"])
    elif way == 3:
        at, length = int(rng.integers(head)), int(rng.integers(1, 40))
        del data[at : at + length]
    else:
        at, length = int(rng.integers(head)), int(rng.integers(1, 40))
        data[at:at] = data[at : at + length]
    return bytes(data)


def ways_in(path: Path) -> dict[str, Callable[[], object]]:
    """Everything in the library that opens a picture a user names."""
    return {
        "reference": lambda: read_reference(str(path)),
        "texture": lambda: parse_texture(f"{path}@0:1,1"),
        "painted": lambda: parse_painted(f"{path}@0"),
        "mask": lambda: read_mask(path),
        "frame": lambda: load_image(path),
        "size": lambda: image_size(path),
        "video": lambda: list(read_frames(path)),
        "probe": lambda: probe(path),
    }


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.filterwarnings("ignore")
def test_damaged_pictures_end_in_a_picture_or_one_line(suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(FORMATS.index(suffix))
    whole = encoded(suffix)
    refused = 0
    for number in range(24):
        path = tmp_path / f"{number}.{suffix}"
        path.write_bytes(damaged(whole, rng))
        for open_it in ways_in(path).values():
            try:
                open_it()
            except ChromatrackError as error:
                refused += 1
                assert path.name in str(error) and "\n" not in str(error)
    assert refused


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes) -> bytes:
    """A grey PNG that claims a size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rest = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + rest


BROKEN = {
    "chunk": encoded("png").replace(b"IDAT", b"ID\0T"),
    "cut": encoded("png")[:-40],
    "empty": b"",
    "words": b"no picture at all",
    "bomb": png(60_000, 60_000, b""),
    "large": png(16_384, 8_193, b""),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nquit\n",
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("error", [InputError, VideoError, LayoutError])
def test_the_line_is_of_the_class_that_was_asked_for(
    kind: str, error: type[ChromatrackError], tmp_path: Path
) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(BROKEN[kind])
    with warnings.catch_warnings(), pytest.raises(error, match=r"^the sky: .*\w") as raised:
        warnings.simplefilter("error")
        read_rgb(path, name="the sky", error=error)
    assert type(raised.value) is error


def test_too_large_pictures_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(InputError, match=r"at most 134 megapixels, got 16384x8193; scale it down"):
        read_rgb(io.BytesIO(BROKEN["large"]))


def test_a_picture_of_the_largest_size_is_opened_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with opened_picture(io.BytesIO(png(16_384, 8_192, b""))) as image:
            assert image.size == (16_384, 8_192)
    assert MOST_PIXELS == 16_384 * 8_192


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "avif"])
def test_a_size_is_read_without_decoding_pixels(suffix: str, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / f"p.{suffix}"
    path.write_bytes(encoded(suffix))
    decoded_size, decoded = load_image(path).shape[:2], []
    for kind in (
        Image.Image,
        ImageFile,
        PngImagePlugin.PngImageFile,
        TiffImagePlugin.TiffImageFile,
    ):
        monkeypatch.setattr(kind, "load", lambda image: decoded.append(image))
    assert image_size(path) == decoded_size
    assert not decoded


def test_the_size_of_a_png_without_whole_pixels_is_known() -> None:
    with opened_picture(io.BytesIO(png(300, 200, b"")[:60])) as image:
        assert upright_size(image) == (200, 300)


TURNED = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
"""EXIF that says: turned by a quarter."""

XMP = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="8"/>'


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize(
    "kind_and_data",
    [(b"eXIf", TURNED), (b"iTXt", XMP), (b"tEXt", b"Comment\0none"), (b"tIME", b"")],
)
def test_exif_behind_the_pixels_of_a_png_turns_it_too(
    kind_and_data: tuple[bytes, bytes], late: bool, tmp_path: Path
) -> None:
    kind, data = kind_and_data
    whole = png(4, 6, b"\0\1\2\3\4" * 6)
    at = whole.index(b"IEND" if late else b"IDAT") - 4
    path = tmp_path / "p.png"
    path.write_bytes(whole[:at] + chunk(kind, data or bytes(7)) + whole[at:])
    assert image_size(path) == load_image(path).shape[:2]
    assert image_size(path) == ((4, 6) if kind in {b"eXIf", b"iTXt"} else (6, 4))


def test_missing_files_and_folders_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.png: no such file; check the path"):
        read_rgb(tmp_path / "none.png")
    with pytest.raises(InputError, match="cannot be read"):
        read_rgb(tmp_path)


def test_errors_of_the_block_that_are_ours_come_through() -> None:
    with (
        pytest.raises(LayoutError, match=r"^mine$"),
        opened_picture(io.BytesIO(encoded("png"))),
    ):
        raise LayoutError("mine")


@pytest.mark.parametrize("suffix", FORMATS)
def test_whole_pictures_are_read(suffix: str) -> None:
    image = read_rgb(io.BytesIO(encoded(suffix)))
    assert sorted(image.size) == [24, 32] and image.mode == "RGB"
