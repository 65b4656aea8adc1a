"""How label maps are copied from frame to frame, as numbers; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral, Real
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from chromatrack.errors import InputError
from chromatrack.structures import RadiusShape


def _check_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name}: expected a whole number >= {least}, got {value}")


def check_fields(config: Any) -> None:  # noqa: ANN401  (any dataclass)
    """InputError naming the first field whose value is of another type than it is declared with."""
    for name, hint in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if not _fits(value, hint):
            raise InputError(f"{name}: expected {_named(hint)}, got {value!r:.60}")


def _fits(value: Any, hint: Any) -> bool:  # noqa: ANN401
    if get_origin(hint) is Literal:
        return any(value is x or (value == x and type(value) is type(x)) for x in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(part, int) for part in value)
    if get_args(hint):
        return any(_fits(value, kind) for kind in get_args(hint))
    if hint in (int, float):
        kind = Integral if hint is int else Real
        return isinstance(value, kind) and not isinstance(value, bool) and not abs(value) >= 1e18  # pyright: ignore[reportOperatorIssue]
    return isinstance(value, hint)


def _named(hint: Any) -> str:  # noqa: ANN401
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    if get_args(hint) and get_origin(hint) is not tuple:
        return " or ".join(_named(kind) for kind in get_args(hint))
    words = {int: "a whole number", float: "a number", bool: "True or False", NoneType: "None"}
    return words.get(hint, "whole numbers" if get_origin(hint) is tuple else hint.__name__)


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
        if isinstance(self.pinned, list):  # as JSON has it
            object.__setattr__(self, "pinned", tuple(self.pinned))
        check_fields(self)
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
