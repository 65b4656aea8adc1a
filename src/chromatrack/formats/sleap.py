"""SLEAP's projects (`.slp`) and analysis files (`.h5`), through sleap-io.

A joint that is not seen keeps its best guess in a project, marked as not visible; an analysis file
has no place for it. Frames without anything known are left out of a project.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.formats.exchange import ExportOptions, need
from chromatrack.formats.poses import SOFTWARE, Poses, poses_of
from chromatrack.formats.tracked_video import TrackedVideo


def write_project(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write predicted instances, with a track for each individual.

    Raises:
        InputError: sleap-io is not installed.
    """
    sleap = need("sleap_io", "pose", "sleap")
    poses, notes = poses_of(tracked)
    labels = _labels(sleap, tracked, poses, options)
    sleap.save_slp(labels, str(path), embed=False, verbose=False)
    return notes


def write_analysis(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write an analysis file, in the order of axes that SLEAP writes; frames are counted from 0.

    Raises:
        InputError: sleap-io is not installed.
    """
    sleap = need("sleap_io", "pose", "sleap-analysis")
    poses, notes = poses_of(tracked)
    labels = _labels(sleap, tracked, poses, options)
    sleap.save_analysis_h5(labels, str(path), all_frames=True)
    return notes


def _labels(sleap: Any, tracked: TrackedVideo, poses: Poses, options: ExportOptions) -> Any:  # noqa: ANN401
    nodes = [sleap.Node(name) for name in poses.skeleton.names]
    edges = [sleap.Edge(nodes[a], nodes[b]) for a, b in poses.skeleton.edges]
    skeleton = sleap.Skeleton(nodes, edges, name=SOFTWARE)
    tracks = [sleap.Track(name) for name in poses.individuals]
    video = sleap.Video(filename=tracked.video, open_backend=False)
    video.backend_metadata["shape"] = (len(tracked.frames), *tracked.size, 3)
    frames = []
    for row, number in enumerate(options.numbers(tracked.frames).tolist()):
        instances = [
            _instance(sleap, skeleton, track, poses, row, i)
            for i, track in enumerate(tracks)
            if np.isfinite(poses.xy[row, i]).any()
        ]
        if instances:
            frames.append(sleap.LabeledFrame(video=video, frame_idx=number, instances=instances))
    labels = sleap.Labels(frames, videos=[video], skeletons=[skeleton], tracks=tracks)
    labels.provenance["source_software"] = SOFTWARE
    return labels


def _instance(sleap: Any, skeleton: Any, track: Any, poses: Poses, row: int, i: int) -> Any:  # noqa: ANN401
    xy, said = poses.xy[row, i], poses.confidence[row, i]
    known = np.isfinite(xy).all(axis=-1)
    instance = sleap.PredictedInstance.from_numpy(
        xy, skeleton, point_scores=said, score=float(said[known].mean()), track=track
    )
    instance.points["visible"] = poses.visible[row, i]
    return instance
