"""The arrays of TAP-Vid, in an npz file: tracks of points, without the video's pictures.

points: (N, T, 2) float32 x, y as shares of width and height from the frame's top-left corner; (0,
0) where nothing is known. occluded: (N, T) bool, true there and wherever a point is not seen.
Besides: confidence (N, T) float32, names (N,), ids (N,), frames (T,), size (height, width).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.frame_places import shares
from chromatrack.formats.poses import distinct
from chromatrack.formats.tracked_video import TrackedVideo


def write(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write the arrays."""
    ids = tracked.ids("point")
    tracks = [tracked.points[number] for number in ids]
    xy = np.stack([track.values for track in tracks])
    known = np.asarray(np.isfinite(xy).all(axis=-1))
    np.savez_compressed(
        path,
        points=np.where(known[..., None], shares(xy, tracked.size), 0).astype(np.float32),
        occluded=~(np.stack([track.visible for track in tracks]) & known),
        confidence=np.stack([track.confidence for track in tracks]).astype(np.float32),
        names=np.array(distinct((tracked.called("point", number), number) for number in ids)),
        ids=np.array(ids, dtype=np.int64),
        frames=options.numbers(tracked.frames),
        size=np.array(tracked.size, dtype=np.int64),
    )
    return []
