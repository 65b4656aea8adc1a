"""All individuals and their joints in one table: what formats of pose estimation take.

Points alone become one individual, whose joints they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.structures import Skeleton

POINTS = "points"
"""What the one individual is called whose joints are the points."""

SOFTWARE = "chromatrack"
"""What files say that they come from."""


@dataclass(frozen=True)
class Poses:
    """The joints of I individuals of one skeleton over N frames.

    individuals: their names, no two alike. skeleton: its J joints. xy: (N, I, J, 2) float64 px from
    the centre of the top-left pixel, the best guess where a joint is not seen and NaN where nothing
    is known. visible: (N, I, J) bool. confidence: (N, I, J) float64 in [0, 1].
    """

    individuals: tuple[str, ...]
    skeleton: Skeleton
    xy: np.ndarray
    visible: np.ndarray
    confidence: np.ndarray

    @property
    def seen(self) -> np.ndarray:
        """(N, I, J, 2) px: `xy`, NaN where a joint is not seen."""
        return np.where(self.visible[..., None], self.xy, np.nan)


def poses_of(tracked: TrackedVideo) -> tuple[Poses, list[str]]:
    """The keypoints of a video, or its points as one individual, and notes for the user."""
    notes = []
    if tracked.keypoints:
        assert tracked.skeleton is not None
        ids, skeleton = tracked.ids("keypoints"), tracked.skeleton
        tracks = [tracked.keypoints[number] for number in ids]
        names = distinct((tracked.called("keypoints", number), number) for number in ids)
        xy = np.stack([track.values for track in tracks], axis=1)
        visible = np.stack([track.visible for track in tracks], axis=1)
        confidence = np.stack([track.confidence for track in tracks], axis=1)
        if tracked.points:
            notes.append("points have no place beside skeletons here: left out")
    else:
        ids = tracked.ids("point")
        tracks = [tracked.points[number] for number in ids]
        joints = distinct((tracked.called("point", number), number) for number in ids)
        skeleton, names = Skeleton(joints, ()), (POINTS,)
        xy = np.stack([track.values for track in tracks], axis=1)[:, None]
        visible = np.stack([track.visible for track in tracks], axis=1)[:, None]
        confidence = np.stack([track.confidence for track in tracks], axis=1)[:, None]
    visible = visible & np.isfinite(xy).all(axis=-1)
    confidence = np.where(np.isfinite(confidence), confidence, 0.0)
    return Poses(names, skeleton, xy, visible, confidence), notes


def distinct(named: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """Names of (name, id) pairs in their order; one that others have too gets the id after it."""
    pairs = list(named)
    names = [name for name, _ in pairs]
    found: list[str] = []
    for name, number in pairs:
        own = name if names.count(name) == 1 else f"{name}_{number}"
        while own in found or (own != name and own in names):
            own += "_"
        found.append(own)
    return tuple(found)
