"""NWB files of Neurodata Without Borders, with the extension ndx-pose.

The processing module `behavior` holds the skeleton and for each individual a `PoseEstimation` with
a series for each joint, at the video's own times. That of a lone individual is called
`PoseEstimation`, as readers expect; those of several have its name after it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from chromatrack.formats.exchange import ExportOptions, need
from chromatrack.formats.poses import SOFTWARE, poses_of
from chromatrack.formats.tracked_video import TrackedVideo

MODULE, ESTIMATION = "behavior", "PoseEstimation"

_ORIGIN = "(0, 0) is the centre of the top-left pixel, x goes right and y goes down."
_CONFIDENCE = "How sure the tracker is of the place, in [0, 1]; not calibrated."
_UNKNOWN_START = datetime(1970, 1, 1, tzinfo=UTC)
_NOTE = (
    "NWB asks when the session began, which a video does not say: 1970-01-01 stands there; set "
    "session_start_time"
)


def write(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write the file.

    Raises:
        InputError: pynwb or ndx-pose is not installed.
    """
    pynwb = need("pynwb", "pose", "nwb")
    pose = need("ndx_pose", "pose", "nwb")
    poses, notes = poses_of(tracked)
    file = pynwb.NWBFile(
        session_description=f"joints tracked in {tracked.video_name}",
        identifier=tracked.video_name,
        session_start_time=_UNKNOWN_START,
        source_script_file_name=SOFTWARE,
        source_script=SOFTWARE,
    )
    video = pynwb.image.ImageSeries(
        name="video",
        description="the video that was tracked",
        external_file=[tracked.video],
        format="external",
        starting_frame=[0],
        dimension=[tracked.size[1], tracked.size[0]],
        timestamps=tracked.times,
        unit="n.a.",
    )
    file.add_acquisition(video)
    module = file.create_processing_module(MODULE, "places of joints over time")
    edges = np.array(poses.skeleton.edges, dtype=np.uint8).reshape(-1, 2)
    skeleton = pose.Skeleton(name="skeleton", nodes=list(poses.skeleton.names), edges=edges)
    module.add(pose.Skeletons(skeletons=[skeleton]))
    lone = len(poses.individuals) == 1
    joints = [_plain(joint) for joint in poses.skeleton.names]
    for i, name in enumerate(poses.individuals):
        series = [
            pose.PoseEstimationSeries(
                name=joint,
                description=f"{poses.skeleton.names[j]} of {name}; not seen where NaN",
                data=poses.seen[:, i, j],
                reference_frame=_ORIGIN,
                timestamps=tracked.times,
                confidence=poses.confidence[:, i, j],
                confidence_definition=_CONFIDENCE,
            )
            for j, joint in enumerate(joints)
        ]
        estimation = pose.PoseEstimation(
            name=ESTIMATION if lone else f"{ESTIMATION}_{_plain(name)}",
            description=f"joints of {name}",
            pose_estimation_series=series,
            source_software=SOFTWARE,
            scorer=SOFTWARE,
            skeleton=skeleton,
            source_video=video,
        )
        module.add(estimation)
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(file)
    return [*notes, _NOTE]


def _plain(name: str) -> str:
    """A name without the two signs that objects of an NWB file cannot have."""
    return re.sub(r"[/:]", "_", name)
