"""Everything that changes a result, besides the model; no torch until a device is chosen."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

from chromatrack.errors import InputError
from chromatrack.propagation.config import PropagateConfig, Upsample, check_fields

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda", "mps"]


Quality = Literal["fast", "normal", "best"]
"""How much time to spend on better results."""

QUALITIES: dict[Quality, dict[str, int | bool]] = {
    "fast": {
        "size": 320,
        "recent": 3,
        "radius": 13,
        "recent_radius": 6,
        "narrow": True,
    },
    "normal": {},
    "best": {"mirror": True, "int8": False},
}
"""The fields of `TrackConfig` and `PropagateConfig` that each sets, as far as the user does not."""

COLOR_QUALITIES: dict[Quality, dict[str, int | bool]] = {
    "fast": {"size": 320},
    "normal": {},
    "best": {"int8": False},
}
"""The same to colour with: there the mirrored frame is of no use, and no recent frames are."""


ENLARGE = 2.0
"""How much a video smaller than the working size is enlarged at most: finer cells find more."""


@dataclass(frozen=True)
class ColoringConfig:
    """What becomes of copied colours.

    Args:
        carry: let colours follow surfaces from frame to frame, checked against the references; off,
            every frame is coloured by itself.
        confidence_floor: confidence, 0 to 1, below which colours fade into what surrounds them (of
            three times this where all references are of other scenes); 0: nowhere.
        faded: take a faded film's own colours as weak references.
    """

    carry: bool = True
    confidence_floor: float = 0.15
    faded: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 <= self.confidence_floor <= 1:
            raise InputError(
                f"confidence_floor: expected a share from 0 to 1, got {self.confidence_floor}"
            )


@dataclass(frozen=True)
class TrackConfig:
    """Everything that changes a result, besides the model.

    Those from `square` to `protocol` are for the protocols of others (`evaluation.protocols`).

    Args:
        size: short side in pixels at which frames are embedded (480); smaller ones are enlarged, up
            to twice.
        stride: pixels per cell; None keeps the model's own (small: 8).
        adapt: how far the model's normalisation leans towards the clip's first frame, 0 to 1.
        mirror: average features with those of the mirrored frame: better, twice the encoder's time;
            to track with, not to colour with.
        redetect: report objects absent when they are gone, and look for them in the whole frame.
        propagate: how labels are copied.
        color: the same for colours, by default from the references only and over the whole frame,
            because errors passed on from frame to frame smear.
        coloring: what becomes of the colours that were copied.
        square: embed frames as squares of side `size`.
        long_multiple: cut the longer side down to a multiple of this many pixels.
        upsample: how masks come to full size: along the image's edges, or by plain interpolation.
        stretch: stretch every label to [0, 1] over the frame before the largest wins.
        protocol: its name, for the record alone.
        decoder: what makes masks of copied labels: auto, the decoder that comes with the model;
            small, that of `small`, for networks trained from it; a weights file of `chromatrack
            train-decoder`; or none: `upsample` does. With networks of ours alone.
        int8: embed in 8-bit integers where the CPU is several times faster so (x86 with VNNI);
            elsewhere in floats, to which the bytes are near. With networks like `small` alone.
        narrow: decode each mask from what is near the object, in one look unless it is large; as
            is always done where there are many.
    """

    size: int = 480
    stride: Literal[4, 8] | None = None
    adapt: float = 0.7
    mirror: bool = False
    redetect: bool = True
    propagate: PropagateConfig = field(default_factory=PropagateConfig)
    color: PropagateConfig = field(
        default_factory=lambda: PropagateConfig(recent=0, restrict_first=False)
    )
    coloring: ColoringConfig = field(default_factory=ColoringConfig)
    square: bool = False
    long_multiple: int = 1
    upsample: Upsample = "guided"
    stretch: bool = False
    protocol: str = "ours"
    decoder: str = "auto"
    int8: bool = True
    narrow: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        if self.size < 16:
            raise InputError(f"size: expected a short side of 16 pixels or more, got {self.size}")
        if not 0 <= self.adapt <= 1:
            raise InputError(f"adapt: expected a share from 0 to 1, got {self.adapt}")
        if self.long_multiple < 1:
            raise InputError(f"long_multiple: expected 1 pixel or more, got {self.long_multiple}")
        if self.color.top_k is None:
            raise InputError("colour: expected a number of cells as top_k, got None (all cells)")

    def working_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) at which a frame of (height, width) pixels is embedded."""
        if self.square:
            return self.size, self.size
        from chromatrack.ops.coords import fit_size

        height, width = fit_size(size, short_side=self.size, enlarge=ENLARGE)
        longer = max(height, width) // self.long_multiple * self.long_multiple
        if self.long_multiple == 1 or longer < min(height, width):
            return height, width
        return (longer, width) if height > width else (height, longer)


def quality_config(quality: Quality) -> TrackConfig:
    """The settings that a quality stands for."""
    given, own = QUALITIES[quality], {one.name for one in fields(TrackConfig)}
    copied = {name: value for name, value in given.items() if name not in own}
    rest = {name: value for name, value in given.items() if name in own}
    return TrackConfig(propagate=PropagateConfig(**copied), **rest)  # pyright: ignore[reportArgumentType]


def choose_device(device: Device = "auto") -> torch.device:
    """The device to run on; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        InputError: the device asked for is not there.
    """
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available()}
    there["mps"] = torch.backends.mps.is_available()
    if device == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    if not there.get(device, False):
        usable = ", ".join(name for name, here in there.items() if here)
        raise InputError(f"device: {device!r} is not available here; choose auto or {usable}")
    return torch.device(device)
