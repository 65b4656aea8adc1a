"""Y' of a source as it is stored, and frames that keep it to the bit in the output's own YUV."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame

from chromatrack.errors import InputError
from chromatrack.structures import Source
from chromatrack.video.decode import PictureReader
from chromatrack.video.orientation import Orientation
from chromatrack.video.picture_order import Damage
from chromatrack.video.source import VideoSource

_PLANAR = re.compile(r"(yuv[aj]?4[0-4][0-4]p([0-9]+le)?|gray([0-9]+le)?|nv12)")
_WEIGHTS = {4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)}
_WEIGHTS |= {9: (0.2627, 0.0593)}
_BT709 = (0.2126, 0.0722)
"""Weights of red and blue in Y', by the code point of the matrix (H.273); else BT.709."""


@dataclass(frozen=True)
class Luma:
    """Y' of a frame: `(H, W)` uint8 or uint16, upright, of `bits`; full_range: black is 0."""

    values: np.ndarray
    bits: int
    full_range: bool

    def beside(self) -> Luma:
        """The same twice, side by side."""
        return Luma(np.hstack([self.values, self.values]), self.bits, self.full_range)

    def at(self, bits: int) -> np.ndarray:
        """The values with more bits: `(H, W)` uint8 or uint16, nothing lost."""
        kind = np.uint8 if bits == 8 else np.uint16
        return self.values.astype(kind) << (bits - self.bits)

    def share(self) -> np.ndarray:
        """The values as `(H, W)` float32, black 0 and white 1."""
        unit = 1 << (self.bits - 8)
        low, span = (0, (1 << self.bits) - 1) if self.full_range else (16 * unit, 219 * unit)
        return (self.values.astype(np.float32) - low) / span


def read_luma(source: Source, *, start: int = 0, end: int | None = None) -> Iterator[Luma]:
    """Y' of frames `start` to `end` of a video, the frames of `video.reader.read_frames`.

    Ends where the video is damaged. Raises InputError where pictures have no Y'.
    """
    given = VideoSource.of(source)
    reader = PictureReader.open(given.path, deinterlace=given.deinterlace)
    try:
        for index, picture in reader.pictures_from(start):
            yield luma_of(picture, given.path)
            if end is not None and index + 1 >= end:
                return
    except Damage:
        return
    finally:
        reader.close()


def luma_of(picture: VideoFrame, path: str) -> Luma:
    """Y' of a decoded picture. InputError where it has none that can be read."""
    name = picture.format.name
    if not _PLANAR.fullmatch(name):
        raise InputError(
            f"luma exact: expected a video that stores Y' in a plane of its own, got {name} in "
            f"{path}; leave --luma out"
        )
    bits = picture.format.components[0].bits
    plane = picture.planes[0]
    kind = np.dtype(np.uint8 if bits == 8 else "<u2")
    rows = np.frombuffer(bytes(plane), kind).reshape(plane.height, plane.line_size // kind.itemsize)
    values = rows[: picture.height, : picture.width, None].copy()
    is_full = picture.color_range == 2 or name.startswith(("gray", "yuvj"))
    return Luma(Orientation.of(picture).upright(values)[..., 0], bits, is_full)


def under_luma(rgb: np.ndarray, luma: Luma, matrix: int) -> np.ndarray:
    """The colours of a frame under another Y', paler where sRGB has none so strong.

    Args:
        rgb: `(H, W, 3)` uint8 or uint16. matrix: the output's code point.

    Returns:
        `(H, W, 3)` of the same dtype: what is left to encode are its Cb and Cr.
    """
    red, blue = _WEIGHTS.get(matrix, _BT709)
    most = np.float32(np.iinfo(rgb.dtype).max)
    colors = rgb / most
    colors = colors.astype(np.float32)
    own = colors @ np.array([red, 1 - red - blue, blue], np.float32)
    away = colors - own[..., None]
    wanted = np.clip(luma.share(), 0, 1)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(away > 0, (1 - wanted) / away, wanted / -away)
    room = np.where(away == 0, 1, room).min(-1, keepdims=True).clip(0, 1)
    return np.rint((wanted + room * away) * most).astype(rgb.dtype)


def yuv_format(codec: str, luma: Luma) -> tuple[str, int]:
    """The pixel format and its bits in which a codec keeps a Y' to the bit.

    Raises:
        InputError: there is none.
    """
    known = {
        "h264": {8: ("yuv420p", 8), 10: ("yuv420p10le", 10)},
        "prores": {bits: ("yuv422p10le", 10) for bits in (8, 9, 10)},
        "ffv1": {8: ("yuv444p", 8)}
        | {bits: (f"yuv444p{bits}le", bits) for bits in (9, 10, 12, 14, 16)},
    }
    found = known.get(codec, {}).get(luma.bits)
    if found is None or (codec == "prores" and luma.full_range):
        what = "of full range" if found else f"of {luma.bits} bits"
        raise InputError(
            f"luma exact: {codec} cannot keep a Y' {what} to the bit; choose .mkv (FFV1)"
        )
    return found


def set_luma(picture: VideoFrame, values: np.ndarray) -> None:
    """Replace the first plane of a planar picture by `(H, W)` values of its bits."""
    plane = picture.planes[0]
    kind = values.dtype
    rows = (
        np.frombuffer(bytes(plane), kind)
        .reshape(plane.height, plane.line_size // kind.itemsize)
        .copy()
    )
    rows[: values.shape[0], : values.shape[1]] = values
    plane.update(rows.tobytes())
