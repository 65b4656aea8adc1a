"""What an encoder is built from, and the presets; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from chromatrack.errors import InputError, shown

EncoderKind = Literal["resnet", "vondrick2018"]

MOST_CHANNELS = 8192
MOST_BLOCKS = 64
MOST_LAYERS = 6


@dataclass(frozen=True)
class EncoderConfig:
    """Everything needed to build an encoder; stored in the weights file's header.

    widths: channels of the residual layers; the stem has widths[0].
    blocks: residual blocks per layer.
    embedding: channels of the feature map.
    detail: channels of the shallow branch that shows the head colours and edges; 0: none.
    track_stride: pixels per cell to track at, 8 as trained or 4: finer, better and slower.
    raw_share: share of the similarity that raw Lab patches have beside what was learned, [0, 1).
    colours: classes of a head that predicts each cell's colour from the picture itself; such a
        network reads L alone. 0: none.
    """

    kind: EncoderKind = "resnet"
    widths: tuple[int, ...] = (32, 64, 128)
    blocks: tuple[int, ...] = (2, 2, 2)
    embedding: int = 64
    detail: int = 0
    track_stride: int = 8
    raw_share: float = 0.0
    colors: int = 0

    def __post_init__(self) -> None:
        """Check every field; raises InputError, which names the one that is wrong."""
        kinds, layers = get_args(EncoderKind), f"2 to {MOST_LAYERS} numbers"
        _expect(self.kind in kinds, "kind", " or ".join(kinds), self.kind)
        lengths = {len(x) if isinstance(x, tuple) else 0 for x in (self.widths, self.blocks)}
        fits = len(lengths) == 1 and 2 <= max(lengths) <= MOST_LAYERS
        _expect(fits, "widths and blocks", f"{layers} each", [self.widths, self.blocks])
        for width in self.widths:
            _expect_whole("widths", width, 1, MOST_CHANNELS)
        for count in self.blocks:
            _expect_whole("blocks", count, 1, MOST_BLOCKS)
        _expect_whole("embedding", self.embedding, 1, MOST_CHANNELS)
        _expect_whole("detail", self.detail, 0, MOST_CHANNELS)
        _expect_whole("colors", self.colors, 0, MOST_CHANNELS)
        _expect_whole("track_stride", self.track_stride, 4, 8)
        _expect(self.track_stride in (4, 8), "track_stride", "8 or 4", self.track_stride)
        is_number = isinstance(self.raw_share, int | float) and self.raw_share is not True
        is_share = is_number and 0 <= self.raw_share < 1
        _expect(is_share, "raw_share", "a share from 0 to below 1", self.raw_share)


def _expect(holds: bool, name: str, expected: str, got: object) -> None:
    if not holds:
        raise InputError(f"{name}: expected {expected}, got {shown(got)}")


def _expect_whole(name: str, value: object, least: int, most: int) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    _expect(is_whole, name, f"a whole number from {least} to {most}", value)


PRESETS: dict[str, EncoderConfig] = {
    "small": EncoderConfig(raw_share=0.5),
    "base": EncoderConfig(widths=(64, 128, 256), embedding=128, detail=64, track_stride=4),
    "vondrick2018": EncoderConfig(kind="vondrick2018", widths=(64, 128, 256)),
}
