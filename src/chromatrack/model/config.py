"""What an encoder is built from, and the presets; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EncoderKind = Literal["resnet", "vondrick2018"]


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


PRESETS: dict[str, EncoderConfig] = {
    "small": EncoderConfig(raw_share=0.5),
    "base": EncoderConfig(widths=(64, 128, 256), embedding=128, detail=64, track_stride=4),
    "vondrick2018": EncoderConfig(kind="vondrick2018", widths=(64, 128, 256)),
}
