"""Where points, boxes and joints are on frames just tracked, before they are on disk as tables."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from chromatrack.tracking.inference import TrackedFrame

_MOST = 64  # frames: what is told of a frame is told soon after it was tracked


class LivePlaces:
    """The newest frames of a run that goes on, as the client is told of them.

    What is told is for each kind, by id: a point's [x, y, visible], a box's [x, y, width, height,
    visible], a skeleton's [[x, y, visible] or None for each joint]; None where no number is known.
    """

    def __init__(self) -> None:
        self._frames: OrderedDict[int, dict[str, Any]] = OrderedDict()

    def add(self, frame: TrackedFrame) -> None:
        """Take in a frame; may be called in another thread than `of`."""
        self._frames[frame.index] = told_places(frame)
        self._frames.move_to_end(frame.index)
        if len(self._frames) > _MOST:
            self._frames.popitem(last=False)

    @property
    def newest(self) -> int | None:
        """Number of the frame that was taken in last."""
        return next(reversed(self._frames), None)

    def of(self, index: int | None) -> dict[str, Any] | None:
        """What was found on a frame; None where that is not known or there is nothing."""
        return None if index is None else self._frames.get(index) or None


def told_places(frame: TrackedFrame) -> dict[str, Any]:
    """What the client is told of a frame; kinds of which there is nothing are left out."""
    found = {
        "points": {n: [*_numbers(p.x, p.y), p.visible] for n, p in frame.points.items()},
        "boxes": {
            n: [*_numbers(b.x, b.y, b.width, b.height), b.visible] for n, b in frame.boxes.items()
        },
        "keypoints": {
            n: [
                [*xy.tolist(), bool(seen)] if np.isfinite(xy).all() else None
                for xy, seen in zip(np.round(pose.joints, 2), pose.visible, strict=True)
            ]
            for n, pose in frame.keypoints.items()
        },
    }
    return {kind: things for kind, things in found.items() if things}


def _numbers(*values: float) -> list[float | None]:
    return [round(float(value), 2) if np.isfinite(value) else None for value in values]
