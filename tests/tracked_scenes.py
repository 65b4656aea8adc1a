"""Videos tracked by hand, as writers of formats take them, with something of every kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from hand_results import hand_result, squares

from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.runs.export import tracked_video
from chromatrack.structures import Skeleton

NAN = np.nan
NO_PLACE = [NAN, NAN]
LEG = Skeleton(("hip", "knee", "foot"), ((0, 1), (1, 2)))


def tracked_everything(*, first: int = 7) -> TrackedVideo:
    """Three frames: objects 1 (named, notched) and 2 (comes late), a point, a box, a skeleton."""
    masks = squares({1: [(5, 5), (6, 5), (7, 6)], 2: [None, (12, 8), (13, 8)]})
    for mask in masks:
        mask[7, 8] = 0  # a hole, so that run lengths are more than a rectangle's
    result = hand_result(
        masks=masks,
        points={3: np.array([[1.25, 2.0], NO_PLACE, [3.0, 4.5]])},
        boxes={4: np.array([[0.0, 1, 10, 8], [1.5, 1, 10, 8], [NAN] * 4])},
        keypoints={
            5: np.array(
                [[[20.0, 30], [21, 35], NO_PLACE], [[20, 30], [22, 35], NO_PLACE], [NO_PLACE] * 3]
            )
        },
        first=first,
    )
    names = {("object", 1): "cow, brown", ("point", 3): "eye <l>", ("box", 4): "pen & ink"}
    tracked = tracked_video(replace(result, names=names, keypoints={}))
    return replace(tracked, keypoints=tracked_poses(result), skeleton=LEG)


def tracked_poses(result) -> Mapping[int, object]:
    """The keypoints of a result that is in memory alone."""
    return {
        number: replace(data, visible=np.isfinite(data.values).all(axis=-1))
        for number, data in result.keypoints.items()
    }


def tracked_masks(masks: Sequence[np.ndarray], *, first: int = 0) -> TrackedVideo:
    """A video of masks alone."""
    return tracked_video(hand_result(masks=masks, first=first))
