"""One decoded picture -> `(H, W, 3)` uint8 sRGB: matrix, range, depth, alpha and rotation.

Decided once for every source: alpha is composited over black; 9 to 16 bits are rounded to 8; HDR
is tone-mapped (`hdr.py`); where a video does not name its matrix, BT.709 is taken from 720 lines or
1280 columns on and BT.601 below; interlaced and non-square pixels are left as stored.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from chromatrack.video.hdr import HLG, PQ, to_sdr
from chromatrack.video.orientation import UPRIGHT, Orientation

CONVERSION = (
    Interpolation.BILINEAR
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
"""Flags of every colour conversion: at most 2 levels off; FFmpeg's fast path is up to 5 off."""

_UNSPECIFIED_MATRIX = 2


@dataclass
class RgbConverter:
    """Turns decoded pictures of one stream into rgb arrays of one size.

    size: (height, width) upright; None takes that of the first picture, and pictures whose size
    changes within the stream are brought to it (`path` names it in the warning then).
    """

    size: tuple[int, int] | None = None
    path: str = ""
    _reformatter: VideoReformatter = field(default_factory=VideoReformatter)
    _stored: tuple[int, int] | None = None
    _turned: tuple[int, Orientation] | None = None

    def rgb(self, picture: VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8 sRGB, C-contiguous."""
        return to_8_bit(self.pixels(picture))

    def pixels(self, picture: VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8, or uint16 for a picture of more than 8 bits; C-contiguous.

        Its `to_8_bit` is what `rgb` gives.
        """
        orientation = self.orientation(picture)
        stored = (picture.height, picture.width)
        self.size = self.size or orientation.size(stored)
        self._tell_change(stored)
        height, width = orientation.size(self.size)
        converted = self._reformatter.reformat(
            picture,
            width=width,
            height=height,
            format=_rgb_format(picture),
            src_colorspace=matrix_of(picture),
            dst_color_range=ColorRange.JPEG,
            interpolation=CONVERSION,
        )
        pixels = opaque(converted.to_ndarray())
        if picture.color_trc in (PQ, HLG):
            pixels = to_sdr(
                to_16_bit(pixels),
                transfer=picture.color_trc,
                primaries=picture.color_primaries,
            )
        return orientation.upright(pixels) if orientation != UPRIGHT else pixels

    def orientation(self, picture: VideoFrame) -> Orientation:
        """That of a picture; read anew where its rotation is another than before.

        Not of every picture: what PyAV gives for its side data keeps the picture, 3 MB at 1080p,
        till Python's collector comes by.
        """
        rotation = picture.rotation
        if self._turned is None or self._turned[0] != rotation:
            self._turned = rotation, Orientation.of(picture)
        return self._turned[1]

    def _tell_change(self, stored: tuple[int, int]) -> None:
        self._stored = self._stored or stored
        if self._stored != stored:
            (h0, w0), (h, w) = self._stored, stored
            warnings.warn(
                f"{self.path}: its pictures change from {w0}x{h0} to {w}x{h} pixels; all are "
                "brought to the size of the first",
                stacklevel=2,
            )
            self._stored = stored


def _rgb_format(picture: VideoFrame) -> str:
    """The RGB format that loses nothing; deep ones planar (FFmpeg garbles rows of packed ones)."""
    parts = picture.format.components
    alpha = picture.format.has_palette or any(part.is_alpha for part in parts)
    deep = any(part.bits > 8 for part in parts)
    return {(0, 0): "rgb24", (0, 1): "gbrp16le", (1, 0): "rgba", (1, 1): "gbrap16le"}[alpha, deep]


def matrix_of(picture: VideoFrame) -> Colorspace | None:
    """The YCbCr matrix to assume, or None where the picture names its own or needs none."""
    if picture.format.is_rgb or picture.colorspace != _UNSPECIFIED_MATRIX:
        return None
    is_hd = picture.height >= 720 or picture.width >= 1280
    return Colorspace.ITU709 if is_hd else Colorspace.ITU601


def to_8_bit(pixels: np.ndarray) -> np.ndarray:
    """uint16 in [0, 65535] -> uint8 in [0, 255], rounded exactly; uint8 passes through."""
    if pixels.dtype == np.uint8:
        return pixels
    return ((pixels.astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8)


def to_16_bit(pixels: np.ndarray) -> np.ndarray:
    """uint8 in [0, 255] -> uint16 in [0, 65535], exactly; uint16 passes through."""
    return pixels if pixels.dtype == np.uint16 else pixels.astype(np.uint16) * 257


def opaque(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3 or 4) uint8 or uint16 -> (H, W, 3): alpha composited over black."""
    if pixels.shape[2] == 3:
        return pixels
    full = np.iinfo(pixels.dtype).max
    wide = np.uint16 if pixels.dtype == np.uint8 else np.uint32
    alpha = pixels[..., 3:].astype(wide)
    return ((pixels[..., :3] * alpha + full // 2) // full).astype(pixels.dtype)
