"""Tracked videos made by hand, as writers of formats take them; every place is known exactly."""

from __future__ import annotations

import numpy as np

from chromatrack.formats.csv_tables import TrackData
from chromatrack.formats.tracked_video import ObjectTrack, TrackedVideo
from chromatrack.structures import Skeleton

NAN = np.nan
SIZE = (60, 80)
MOUSE = Skeleton(("snout", "left ear", "tail, base"), ((0, 1), (0, 2)))


def track(values, visible=None, confidence=None, *, first: int = 0, times=None) -> TrackData:
    """A track with a row for each frame; visible where finite, confidence 1 there, if not given."""
    values = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(values).all(axis=-1)
    shown = finite if visible is None else np.asarray(visible, dtype=bool)
    said = finite.astype(float) if confidence is None else np.asarray(confidence, dtype=float)
    frames = np.arange(first, first + len(values))
    return TrackData(frames, frames / 25 if times is None else times, values, shown, said)


def tracked_video(first: int = 0, count: int = 4, **things) -> TrackedVideo:
    """`count` frames of 80 x 60 px at 25 a second, from `first` on, with the things given."""
    frames = np.arange(first, first + count)
    return TrackedVideo(
        **{"video": "clips/mouse.mp4", "size": SIZE, "frames": frames, "times": frames / 25}
        | {"fps": 25.0, **things}
    )


def two_mice(first: int = 7) -> TrackedVideo:
    """Two skeletons of three joints on four frames.

    Mouse 2's left ear is a guess on the second frame, its tail is never known; it is gone on the
    last frame. Mouse 5 has no name.
    """
    rng = np.random.default_rng(1)
    one, other = rng.uniform(1, 58, (2, 4, 3, 2)).round(3)
    one[:, 2] = one[3] = NAN
    visible = np.isfinite(one).all(axis=-1)
    visible[1, 1] = False
    said = np.where(np.isfinite(one).all(axis=-1), rng.uniform(0.2, 1, (4, 3)).round(4), 0)
    return tracked_video(
        first,
        keypoints={
            2: track(one, visible, said, first=first),
            5: track(other, first=first),
        },
        skeleton=MOUSE,
        names={("keypoints", 2): "Mouse A"},
    )


def three_points(first: int = 0) -> TrackedVideo:
    """Three points on four frames, two of one name; the last one is a guess on frame 2."""
    places = np.array([[[1.25, 2], [3, 4], [5, 6], [7.5, 8]]] * 3) + np.arange(3)[:, None, None]
    places[1, 3] = NAN
    return tracked_video(
        first,
        points={
            3: track(places[0], first=first),
            4: track(places[1], first=first),
            9: track(places[2], [1, 1, 0, 1], [1, 0.9, 0.3, 0.8], first=first),
        },
        names={("point", 3): "eye", ("point", 9): "eye"},
    )


def a_square(first: int = 0, *, side: int = 10, left: int = 5, top: int = 20) -> TrackedVideo:
    """One object, a square that moves 2 px to the right a frame and is absent on the last one."""
    masks = [np.zeros(SIZE, dtype=np.int32) for _ in range(4)]
    for n, mask in enumerate(masks[:3]):
        mask[top : top + side, left + 2 * n : left + 2 * n + side] = 1
    present = np.array([True, True, True, False])
    return tracked_video(
        first,
        objects={1: ObjectTrack(present, np.full(4, 0.5), np.full(4, NAN))},
        names={("object", 1): "box of tea"},
        mask=lambda frame: masks[frame - first],
    )
