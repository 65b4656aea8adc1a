"""COCO keypoints: one image per frame, one annotation per individual and frame, with `track_id`.

What a run's `keypoints.json` is, with the picture's size and a score for each joint; points alone
are one individual. A joint that is hidden has v = 1 and the best guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chromatrack.formats.csv_tables import Looks
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.keypoints import KeypointWriter
from chromatrack.formats.poses import POINTS, poses_of
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.formats.written_things import picture_file
from chromatrack.structures import TrackedKeypoints


def write(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write the file, frame by frame."""
    poses, notes = poses_of(tracked)
    numbers = options.numbers(tracked.frames).tolist()
    ids = tracked.ids("keypoints") or [1]
    looks = Looks({1: POINTS}, {}, {})
    if tracked.keypoints:  # track_id tells them apart: a name is there only where one was given
        looks = Looks.of("keypoints", tracked.names, {}, tracked.categories)
    with KeypointWriter(path, poses.skeleton, looks, ids=ids, size=tracked.size) as writer:
        for row, (number, frame) in enumerate(zip(numbers, tracked.each_frame(), strict=True)):
            instances = {
                key: TrackedKeypoints(
                    poses.xy[row, i], poses.visible[row, i], poses.confidence[row, i]
                )
                for i, key in enumerate(ids)
            }
            picture = picture_file(tracked, frame, options)
            writer.write(number, float(tracked.times[row]), instances, picture=picture)
    return notes
