"""How label maps are copied from frame to frame, as numbers; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from chromatrack.errors import InputError
from chromatrack.structures import RadiusShape


def _check_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name}: expected a whole number >= {least}, got {value}")


REACH = 160
"""Pixels that a thing may have moved since a marked frame, where no radius is given."""


RECENT_REACH = 64
"""The same since a recent frame."""


TOP_K = 10
"""Cells to copy from, where nobody says."""


USUAL_STRIDE = 8
"""Pixels per cell where nobody says."""


@dataclass(frozen=True)
class PropagateConfig:
    """How labels are copied.

    first: keep the marked frames (the first labelled one, and others) in memory. recent: how many
    of the last frames, `spacing` frames apart. radius: window in cells around a cell's place on
    marked frames (the whole frame if `restrict_first` is False); recent_radius: on recent ones;
    None: as many cells as `REACH` and `RECENT_REACH` pixels are. temperature divides the cosine
    similarity. top_k: how many of the most similar cells to copy from; None: all in the windows.

    For the protocols of others (`evaluation.protocols`): pinned: how many frames after the first
    one lie those that stay in memory, with their labels, in windows of `radius`. fill: until
    `recent` frames have been, copies of the first marked one stand in for them. restrict_recent:
    False searches recent frames everywhere. similarity: `dot` leaves features as long as the
    network makes them. faint: object shares below this are background. harden: what is remembered
    of a frame is the largest label of every cell alone. moved_after: on frames more than this many
    frames away windows are moved to where a coarse search finds the cell (None: nowhere); it looks
    at every second cell there, one in three from twice as far on and so on, up to one in
    `moved_dilation`.
    """

    first: bool = True
    recent: int = 4
    spacing: int = 1
    top_k: int | None = TOP_K
    radius: int | None = None
    recent_radius: int | None = None
    radius_shape: RadiusShape = "square"
    restrict_first: bool = True
    temperature: float = 0.05
    pinned: tuple[int, ...] = ()
    fill: bool = False
    restrict_recent: bool = True
    similarity: Literal["cosine", "dot"] = "cosine"
    faint: float = 0.01
    harden: bool = False
    moved_after: int | None = None
    moved_dilation: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "pinned", tuple(self.pinned))  # JSON has lists
        least_of = {"recent": 0, "spacing": 1, "top_k": 1, "moved_after": 1, "moved_dilation": 1}
        for name, least in least_of.items():
            if getattr(self, name) is not None:
                _check_least(name, getattr(self, name), least)
        for distance in self.pinned:
            _check_least("pinned", distance, 1)
        if not 0 <= self.faint < 1:
            raise InputError(f"faint: expected a share from 0 to below 1, got {self.faint}")
        for name in ("radius", "recent_radius"):
            if getattr(self, name) is not None:
                _check_least(name, getattr(self, name), 1 if self.radius_shape == "disc" else 0)
        if not self.temperature > 0:
            raise InputError(f"temperature: expected more than 0, got {self.temperature}")
        if not self.first and self.recent == 0:
            raise InputError("memory: expected first=True or recent >= 1, got neither")

    def at_stride(self, stride: int) -> PropagateConfig:
        """With the windows that were left open filled in for cells of `stride` pixels."""
        radius = REACH // stride if self.radius is None else self.radius
        recent = RECENT_REACH // stride if self.recent_radius is None else self.recent_radius
        return replace(self, radius=radius, recent_radius=recent)


Upsample = Literal["guided", "bilinear"]
"""How label maps come to full size: edges follow the image's, or plain interpolation."""
