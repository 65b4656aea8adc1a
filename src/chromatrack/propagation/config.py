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

    From `pinned` on for the protocols of others (`evaluation.protocols`).

    Args:
        first: keep copying from the marked frames: the first one, and others if any.
        recent: how many of the last frames to copy from (4, and 0 for colours).
        spacing: frames from one of them to the next.
        top_k: how many of the most similar cells to copy from; None, to the command `all`:
            all in the windows.
        radius: how far a cell may have moved since a marked frame, in cells (None: 160 pixels).
        recent_radius: how far since a recent frame, in cells (None: 64 pixels).
        radius_shape: shape of these neighbourhoods.
        restrict_first: search marked frames within the radius only (yes, and no for colours).
        temperature: divides the similarity in the softmax over cells.
        pinned: frames that stay in memory with their labels, counted from the first one; they are
            searched within `radius`.
        fill: copies of the first marked frame stand in for recent ones that are still to come.
        restrict_recent: search recent frames within the radius only.
        similarity: cosine, or dot: features as long as the network makes them.
        faint: object shares below this are background.
        harden: remember the largest label of every cell alone.
        moved_after: on frames more than this many frames away, move the windows to where a coarse
            search finds each cell; usually nowhere.
        moved_dilation: at most this many cells from one to the next in that search; it looks at
            every second one on the nearest such frames, at fewer the farther a frame is away.
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
