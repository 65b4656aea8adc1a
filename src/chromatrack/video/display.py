"""What a source says about how its pictures are to be shown, and outputs pass on."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from chromatrack.video.hdr import HLG, PQ
from chromatrack.video.orientation import Orientation

FieldOrder = Literal["progressive", "top first", "bottom first"]

UNSPECIFIED = 2
_BT709 = 1
_FIELD_ORDERS: dict[int, FieldOrder] = {
    2: "top first",
    3: "bottom first",
    4: "bottom first",  # coded top first, shown bottom first
    5: "top first",
}
"""AVFieldOrder of FFmpeg."""


@dataclass(frozen=True)
class Display:
    """How pictures are to be shown; the values of a source that says nothing are the defaults.

    sample_aspect_ratio: "16:11": width to height of a pixel, upright. color_primaries, color_trc,
    color_matrix: code points of ITU-T H.273 (2: not stated) of the pictures as they are handed out
    (HDR ones as BT.709). full_range: whether black is 0 and white 255 in the file. field_order:
    which field of an interlaced picture is shown first; "progressive" once deinterlaced. bits: of
    a colour channel as stored.
    """

    sample_aspect_ratio: str = "1:1"
    color_primaries: int = UNSPECIFIED
    color_trc: int = UNSPECIFIED
    color_matrix: int = UNSPECIFIED
    full_range: bool = False
    field_order: FieldOrder = "progressive"
    bits: int = 8

    @classmethod
    def of(cls, stream: VideoStream, picture: VideoFrame, *, deinterlaced: bool) -> Display:
        """Of a stream and its first picture."""
        ratio, orientation = stream.sample_aspect_ratio or Fraction(1), Orientation.of(picture)
        if not Fraction(1, 64) <= ratio <= 64:
            ratio = Fraction(1)  # nothing that a screen shows
        if orientation.turns % 2:
            ratio = 1 / ratio
        is_hdr = picture.color_trc in (PQ, HLG)
        return cls(
            f"{ratio.numerator}:{ratio.denominator}",
            _BT709 if is_hdr else picture.color_primaries,
            _BT709 if is_hdr else picture.color_trc,
            _BT709 if is_hdr else picture.colorspace,
            full_range=not picture.format.is_rgb and picture.color_range == 2,
            field_order=(
                "progressive"
                if deinterlaced or orientation != Orientation()
                else field_order(stream, picture)
            ),
            bits=max(part.bits for part in picture.format.components),
        )

    @property
    def pixel_shape(self) -> Fraction:
        """`sample_aspect_ratio` as a number."""
        width, height = self.sample_aspect_ratio.split(":")
        return Fraction(int(width), int(height))


SQUARE = Display()
"""Of square pixels of which nothing else is known."""


def field_order(stream: VideoStream, picture: VideoFrame) -> FieldOrder:
    """Which field is shown first; "progressive" where pictures are not interlaced."""
    stated = _FIELD_ORDERS.get(int(stream.codec_context.field_order or 0))
    return stated or ("top first" if picture.interlaced_frame else "progressive")
