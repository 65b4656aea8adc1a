"""One decoded picture -> `(H, W, 3)` uint8 sRGB: matrix, range, depth, alpha and rotation.

Decided once for every source: alpha is composited over black; 9 to 16 bits are rounded to 8 (a
wide range is not tone-mapped); where a video does not name its matrix, BT.709 is taken from 720
lines or 1280 columns on and BT.601 below; interlaced and non-square pixels are left as stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

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

    size: (height, width) after rotation; None takes that of the first picture, and pictures whose
    size changes within the stream are brought to it.
    """

    size: tuple[int, int] | None = None
    _reformatter: VideoReformatter = field(default_factory=VideoReformatter)

    def rgb(self, picture: VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8 sRGB, C-contiguous."""
        turns = quarter_turns(picture)
        stored = (picture.height, picture.width)
        self.size = self.size or turned(stored, turns)
        height, width = turned(self.size, turns)
        converted = self._reformatter.reformat(
            picture,
            width=width,
            height=height,
            format=_rgb_format(picture),
            src_colorspace=_matrix(picture),
            dst_color_range=ColorRange.JPEG,
            interpolation=CONVERSION,
        )
        pixels = opaque(to_8_bit(converted.to_ndarray()))
        return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def quarter_turns(picture: VideoFrame) -> int:
    """Counter-clockwise quarter turns (0 to 3) that bring a picture upright."""
    return round(picture.rotation / 90) % 4


def turned(size: tuple[int, int], turns: int) -> tuple[int, int]:
    """(height, width) after quarter turns."""
    return (size[1], size[0]) if turns % 2 else size


def _rgb_format(picture: VideoFrame) -> str:
    """The RGB format that loses nothing; deep ones planar (FFmpeg garbles rows of packed ones)."""
    parts = picture.format.components
    alpha = picture.format.has_palette or any(part.is_alpha for part in parts)
    deep = any(part.bits > 8 for part in parts)
    return {(0, 0): "rgb24", (0, 1): "gbrp16le", (1, 0): "rgba", (1, 1): "gbrap16le"}[alpha, deep]


def _matrix(picture: VideoFrame) -> Colorspace | None:
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


def opaque(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3 or 4) uint8 -> (H, W, 3) uint8: alpha composited over black."""
    if pixels.shape[2] == 3:
        return pixels
    alpha = pixels[..., 3:].astype(np.uint16)
    return ((pixels[..., :3] * alpha + 127) // 255).astype(np.uint8)
