"""A tracker of poses that does what it is told, for the tests of pose benchmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chromatrack.structures import TrackedKeypoints


@dataclass(frozen=True)
class Found:
    index: int
    keypoints: dict[int, TrackedKeypoints]


class Scripted:
    """Moves all joints by `speed` px a frame; drops joints named in `drop` after the first.

    After frame `last` it finds nothing; after frame `ends` it gives no frames at all.
    """

    def __init__(self, *, speed=3.0, drop=(), last=10**6, ends=10**6):
        self.speed, self.drop, self.last, self.ends = speed, list(drop), last, ends
        self.calls = []

    def track(self, video, *, keypoints, end):
        self.calls.append((video, keypoints, end))
        (mark,) = keypoints
        for index in range(min(end, self.ends + 1)):
            joints = mark.joints + np.array([self.speed * index, 0])
            if index:
                joints[self.drop] = np.nan
            there = np.isfinite(joints[:, 0])
            pose = TrackedKeypoints(joints, there, there.astype(float))
            yield Found(index, {mark.id: pose} if index <= self.last else {})
