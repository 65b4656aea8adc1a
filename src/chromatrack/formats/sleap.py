"""SLEAP's projects (`.slp`) and analysis files (`.h5`), through sleap-io.

A joint that is not seen keeps its best guess in a project, marked as not visible; an analysis file
has no place for it. Frames without anything known are left out of a project.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.exchange import ExportOptions, need
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.picture_names import NamedPicture, folder_of
from chromatrack.formats.poses import SOFTWARE, Poses, poses_of
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.structures import KeypointMark, Skeleton


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
    numbers = options.numbers(tracked.frames).tolist()
    for row, (number, _) in enumerate(zip(numbers, tracked.each_frame(), strict=True)):
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


def read_labels(
    path: str | PathLike[str], source: MarkedSource
) -> tuple[Skeleton, list[KeypointMark]]:
    """Read what people labelled in a SLEAP project (`.slp`); predictions are passed over.

    An instance has the number of its track, from 1 in the order of the file; without tracks, that
    of its order on the frame. Joints that are labelled as hidden are marked all the same.

    Args:
        source: the video they are for: says which video of several it is, and what pictures' names
            mean; it keeps what individuals are called.

    Raises:
        InputError: no such file, no project, no labels of people, two different skeletons, a frame
            that is none of the video's, or sleap-io is not installed.
    """
    if not Path(path).is_file():
        raise InputError(f"no file '{path}'; check the path")
    sleap = need("sleap_io", "pose", "a SLEAP project")
    try:
        labels = sleap.load_slp(str(path), open_videos=False)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            f"'{path}': expected a SLEAP project, but it cannot be read ({error}); save it again"
        ) from error
    place = f"'{path}'"
    videos = [video for video in labels.videos if any(f.video is video for f in labels)]
    names = {n: {_video_name(video)} for n, video in enumerate(videos)}
    chosen = videos[source.video_among(names, place)] if videos else None
    frames = [frame for frame in labels if frame.video is chosen and frame.user_instances]
    if not frames:
        raise InputError(f"{place}: expected instances that people labelled, got none; label some")
    skeletons = {_skeleton(i.skeleton) for frame in frames for i in frame.user_instances}
    if len(skeletons) > 1:
        raise InputError(f"{place}: expected one skeleton, got {len(skeletons)}; split the project")
    scale = np.array(_scale(chosen, place, source))
    marks = []
    for frame, number in zip(frames, _numbers(frames, chosen, place, source), strict=True):
        for key, instance in _numbered(frame, labels.tracks, place, source):
            xy = np.asarray(instance.numpy(invisible_as_nan=False), dtype=np.float64)[:, :2] * scale
            xy[~np.isfinite(xy).all(axis=1)] = np.nan
            if np.isfinite(xy).any():
                marks.append(KeypointMark(key, number, xy, np.zeros(len(xy), dtype=bool)))
    return skeletons.pop(), marks


def _skeleton(given: Any) -> Skeleton:  # noqa: ANN401
    return Skeleton(tuple(given.node_names), tuple(tuple(edge) for edge in given.edge_inds))


def _video_name(video: Any) -> str:  # noqa: ANN401
    name = video.filename
    return folder_of(str(name[0])) if isinstance(name, list) else str(name)


def _scale(video: Any, place: str, source: MarkedSource) -> tuple[float, float]:  # noqa: ANN401
    shape = video.backend_metadata.get("shape")
    if shape is None or len(shape) < 3 or not (shape[1] and shape[2]):
        return 1.0, 1.0
    return source.scale((int(shape[1]), int(shape[2])), place)


def _numbers(frames: Sequence[Any], video: Any, place: str, source: MarkedSource) -> list[int]:  # noqa: ANN401
    """The frames of the video at hand."""
    indices = [int(frame.frame_idx) for frame in frames]
    if not isinstance(video.filename, list):
        return [source.frame(index, place) for index in indices]
    names = [(str(video.filename[index]),) for index in indices]
    return source.frames([NamedPicture(place, name) for name in names])


def _numbered(
    frame: Any,  # noqa: ANN401
    tracks: Sequence[Any],
    place: str,
    source: MarkedSource,
) -> Iterator[tuple[int, Any]]:
    """(id, instance) of what people labelled on a frame."""
    untracked = 0
    for instance in frame.user_instances:
        if instance.track is not None:
            number = list(tracks).index(instance.track) + 1
            source.call("keypoints", number, str(instance.track.name))
        else:
            untracked += 1
            number = len(tracks) + untracked
        yield number, instance
    if untracked > 1:
        source.say(
            f"{place}: instances without tracks are told apart by their order on a frame; give "
            "them tracks in SLEAP"
        )
