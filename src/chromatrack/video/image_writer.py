"""Frames out as PNG files in a folder."""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from os import PathLike
from pathlib import Path

import numpy as np
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from PIL import Image

from chromatrack.errors import InputError, OutputError
from chromatrack.video.output_files import (
    MADE_BY,
    FrameWriter,
    as_output_error,
    check_frame,
    partial_file,
)
from chromatrack.video.picture_files import opened_picture

_HEADER_BYTES = 33
"""Of a PNG: its signature and its first chunk, IHDR."""


class ImageSequenceWriter(FrameWriter):
    """Writes frames as PNG files `00000.png`, `00001.png`, ... into a folder (which is made).

    path: the folder, or a pattern in it: `out/f_%04d.png` or `out/*.png` (five digits). Every file
    is complete from the moment it has its name, so `abort` leaves those that are finished.
    names: of the files instead, without suffix, for a folder; more frames than names are numbered.
    `written` are the names of what is there now.
    """

    def __init__(self, path: str | PathLike[str], *, names: Sequence[str] = ()) -> None:
        pattern = Path(path)
        self._names = names if pattern.suffix.lower() != ".png" else ()
        self.written: set[str] = set()
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
        """Write one (H, W, 3) uint8 or uint16 sRGB frame; image files have no times."""
        check_frame(rgb, self._size, self._count)
        self._size = (rgb.shape[0], rgb.shape[1])
        target = self.folder / self._file_name()
        partial = target.with_name(f".{target.name}.{os.getpid()}.png")
        with as_output_error(target):
            try:
                partial.write_bytes(signed_png(rgb))
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
        self.written.add(target.name)
        self._count += 1

    def _file_name(self) -> str:
        if self._count < len(self._names):
            return f"{self._names[self._count]}.png"
        return self._name % self._count

    def close(self) -> None:
        """Raises OutputError when no frame was written."""
        if self._count == 0:
            raise OutputError(f"{self.folder}: no frames were written")

    def abort(self) -> None:
        """Stop; files that have their name are complete and stay."""


def is_our_picture(path: Path) -> bool:
    """Whether `ImageSequenceWriter` wrote a file."""
    try:
        with opened_picture(path) as image:
            return image.info.get("Software") == MADE_BY
    except InputError:
        return False


def signed_png(rgb: np.ndarray) -> bytes:
    """A PNG file of (H, W, 3) uint8 or uint16 sRGB, which says in a text chunk who wrote it."""
    png = png_bytes(rgb)
    data = b"tEXt" + b"Software\0" + MADE_BY.encode("latin-1")
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return png[:_HEADER_BYTES] + chunk + png[_HEADER_BYTES:]


def png_bytes(rgb: np.ndarray) -> bytes:
    """A PNG file of (H, W, 3) uint8 or uint16; Pillow writes no colours of 16 bits, FFmpeg does."""
    if rgb.dtype == np.uint8:
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(rgb)).save(file, "PNG", compress_level=3)
        return file.getvalue()
    encoder = CodecContext.create("png", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.height, encoder.width = rgb.shape[:2]
    encoder.pix_fmt, encoder.time_base = "rgb48be", Fraction(1, 25)
    picture = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb48be")
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])
