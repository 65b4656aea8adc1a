"""Marks and tracked results as plain types: what all rooms speak of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Literal

from chromatrack.errors import InputError, shown

if TYPE_CHECKING:
    import numpy as np

Source = str | PathLike[str]


Kind = Literal["object", "point", "box", "keypoints"]
"""What a tracked thing is: an object has a mask, keypoints are one skeleton of joints."""


Names = Mapping[tuple[Kind, int], str]
"""What things are called, by kind and id, where they have a name."""


Color = tuple[int, int, int]
"""Red, green and blue, sRGB, 0 to 255."""


Colors = Mapping[tuple[Kind, int], Color]
"""The colours that users gave things, by kind and id, where they gave one."""


Categories = Mapping[tuple[Kind, int], str]
"""What things are (cow, car), by kind and id, where that was said: others' labels and classes."""


@dataclass(frozen=True)
class PointMark:
    """Where the user says point `id` is on `frame`, px; x = y = None: declared lost there."""

    id: int
    frame: int
    x: float | None
    y: float | None


@dataclass(frozen=True)
class TrackedPoint:
    """Where the tracker says a point is, px: the best guess also where it is not visible.

    NaN where nothing is known of it: before its first mark, in a run that goes forward only.

    confidence: in [0, 1].
    """

    x: float
    y: float
    visible: bool
    confidence: float


@dataclass(frozen=True)
class BoxMark:
    """Where the user says box `id` is on `frame`, px; all four None: declared lost there."""

    id: int
    frame: int
    x: float | None
    y: float | None
    width: float | None
    height: float | None


@dataclass(frozen=True)
class TrackedBox:
    """Where the tracker says a box is, px: the best guess also where it is not visible.

    confidence: in [0, 1].
    """

    x: float
    y: float
    width: float
    height: float
    visible: bool
    confidence: float


@dataclass(frozen=True)
class Skeleton:
    """Joint names in order, and edges as pairs of 0-based joint numbers.

    Raises InputError for no joints, a name that is empty or there twice, or an edge that does not
    join two different joints.
    """

    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        """Check names and edges."""
        if not self.names:
            raise InputError("a skeleton has at least one joint, got none; name the joints")
        for name in self.names:
            if not isinstance(name, str) or not name or self.names.count(name) > 1:
                raise InputError(
                    f"joint names are different texts, got {shown(self.names)}; rename {name!r}"
                )
        for a, b in self.edges:
            if not (0 <= a < len(self.names) and 0 <= b < len(self.names)) or a == b:
                raise InputError(
                    f"an edge joins two of the joints 0 to {len(self.names) - 1}, got ({a}, {b}); "
                    "correct the skeleton"
                )


@dataclass(frozen=True)
class KeypointMark:
    """Where the user says the joints of instance `id` are on `frame`.

    joints: (J, 2) float64 xy px, NaN where a joint is not marked on this frame. lost: (J,) bool,
    joints declared lost on it.
    """

    id: int
    frame: int
    joints: np.ndarray
    lost: np.ndarray


@dataclass(frozen=True)
class TrackedKeypoints:
    """Where the tracker says the joints of one instance are.

    joints: (J, 2) float64 xy px, the best guess also where not visible; NaN for joints that were
    never marked, of which nothing is known. visible: (J,) bool. confidence: (J,) float64 in [0, 1].
    """

    joints: np.ndarray
    visible: np.ndarray
    confidence: np.ndarray


COCO_PERSON = Skeleton(
    names=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear",
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
        "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    edges=(
        (0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6),
        (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12),
        (11, 12), (11, 13), (13, 15), (12, 14), (14, 16),
    ),
)  # fmt: skip
"""The 17 joints of a COCO person, in COCO's order."""


@dataclass(frozen=True)
class LostMark:
    """The user says that region `id` is absent on `frame`."""

    id: int
    frame: int


LabelName = tuple[str, int, int]
"""("object", id, 0), ("box", id, 0), ("point", id, 0) or ("joint", instance, number)."""


RadiusShape = Literal["square", "disc"]
