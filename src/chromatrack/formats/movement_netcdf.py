"""Data sets of the Python package movement, as netCDF: poses, or boxes.

Source: movement's description of its data sets: `position` (time, space, keypoints, individuals)
and `confidence`; of boxes (time, space, individuals) their centres, with `shape` width and height.
`time` is in seconds, from the video's own times. What is not seen is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.formats.exchange import ExportOptions, need
from chromatrack.formats.poses import SOFTWARE, distinct, poses_of
from chromatrack.formats.tracked_video import TrackedVideo


def write_poses(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write keypoints, or points as one individual.

    Raises:
        InputError: xarray or h5netcdf is not installed.
    """
    poses, notes = poses_of(tracked)
    axes = ("time", "space", "keypoints", "individuals")
    variables = {
        "position": (axes, poses.seen.transpose(0, 3, 2, 1)),
        "confidence": (("time", *axes[2:]), poses.confidence.transpose(0, 2, 1)),
    }
    names = {"keypoints": list(poses.skeleton.names), "individuals": list(poses.individuals)}
    _write(tracked, path, options, "poses", variables, names)
    return notes


def write_boxes(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write boxes, and the boxes around masks.

    Raises:
        InputError: xarray or h5netcdf is not installed.
    """
    places, said, named = [], [], []
    around = tracked.boxes_of_masks() if tracked.objects else {}
    for number, box in around.items():
        track = tracked.objects[number]
        places.append(np.where(track.present[:, None], box, np.nan))
        said.append(track.confidence)
        named.append((tracked.called("object", number), number))
    for number in tracked.ids("box"):
        data = tracked.boxes[number]
        places.append(np.where(data.visible[:, None], data.values, np.nan))
        said.append(data.confidence)
        named.append((tracked.called("box", number), number))
    corner, shape = np.split(np.stack(places, axis=-1), 2, axis=1)  # (N, 2, I) each
    axes = ("time", "space", "individuals")
    variables = {
        "position": (axes, corner + (shape - 1) / 2),
        "shape": (axes, shape),
        "confidence": (("time", "individuals"), np.stack(said, axis=-1)),
    }
    _write(tracked, path, options, "bboxes", variables, {"individuals": list(distinct(named))})
    return []


def _write(
    tracked: TrackedVideo,
    path: Path,
    options: ExportOptions,
    kind: str,
    variables: Mapping[str, Any],
    names: Mapping[str, list[str]],
) -> None:
    xarray = need("xarray", "pose", "movement")
    need("h5netcdf", "pose", "movement")
    data = xarray.Dataset(
        variables,
        coords={"time": tracked.times, "space": ["x", "y"], **names},
        attrs={
            "source_software": SOFTWARE,
            "ds_type": kind,
            "fps": tracked.fps,
            "time_unit": "seconds",
            "source_file": tracked.video,
            "first_frame": int(options.numbers(tracked.frames)[0]),
        },
    )
    data.to_netcdf(path, engine="h5netcdf")
