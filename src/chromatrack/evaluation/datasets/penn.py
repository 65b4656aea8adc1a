"""Penn Action, 13 joints of a person: read the published annotations, track the joints, score them.

The data set (Zhang, Zhu and Derpanis 2013, dreamdragon.github.io/PennAction; fetch it yourself; it
states no licence, and is used for research). 2326 clips, of which `train` marks 1068 as test:

    ROOT/frames/0001/000001.jpg
    ROOT/labels/0001.mat    x, y: frames x 13; visibility: frames x 13, 0 or 1; train: 1 or -1;
                            bbox: frames x 4, x1 y1 x2 y2; nframes; dimensions (not read)

Places are taken as MATLAB's, counted from 1, so 1 is taken off. Joints that are not visible are not
scored. How joints are scored is said in `poses`: PCK@.1 to .5 with the size of JHMDB, 0.6 times the
diagonal of the box around the frame's visible joints, the mean over joints of each joint's rate.
`PCK@0.2 box` is what pose estimation reports on this set: within 0.2 of the longer side of `bbox`,
all joints at once (as the public evaluation of LSTM Pose Machines, Luo et al. 2018); here without
the first frame, which is given. Where `bbox` lacks the last row, as in clips 1154 and 1865, the one
before stands in, as there. Needs SciPy: `pip install 'chromatrack[measure]'`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

import numpy as np

from chromatrack.errors import LayoutError, VideoError
from chromatrack.evaluation.datasets.mat_files import read_mat
from chromatrack.evaluation.datasets.poses import (
    PoseClip,
    combine_poses,
    inside_frame,
    measure_pose,
)
from chromatrack.evaluation.metrics.keypoints import Compat
from chromatrack.evaluation.runner import Benchmark, chosen
from chromatrack.video.images import image_files, image_size

PENN_JOINTS = (
    "head", "left shoulder", "right shoulder", "left elbow", "right elbow", "left wrist",
    "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle", "right ankle",
)  # fmt: skip
"""Names of the joints, in the order of the file."""

TRAINING = 1
"""What `train` says of a clip for training; -1 is a clip for the test."""


def penn_benchmark(
    root: str | PathLike[str],
    *,
    compat: Compat = None,
    sequences: Iterable[str] | None = None,
) -> Benchmark:
    """Find the test clips.

    Args:
        root: the folder that holds frames and labels. compat: see `poses`.
        sequences: only these clips (`0002`), for the test or not; by default all for the test.

    Raises:
        LayoutError: a folder, clip or frame is not where the layout has it.
        InputError: an unknown clip, or SciPy is not installed.
    """
    base = Path(root)
    labels = sorted((base / "labels").glob("*.mat"))
    if not labels or not (base / "frames").is_dir():
        raise LayoutError(
            f"'{base}' is no Penn Action folder; expected labels/0001.mat and "
            "frames/0001/000001.jpg"
        )
    paths = chosen({path.stem: path for path in labels}, sequences).values()
    files = {path: _read_labels(path) for path in paths}
    if sequences is None:
        files = {path: content for path, content in files.items() if _is_test(path, content)}
        if not files:
            raise LayoutError(f"'{base / 'labels'}': no clip is for the test (train = -1)")
    return Benchmark(
        name="penn",
        clips=tuple(_clip(path, content) for path, content in files.items()),
        measure=functools.partial(measure_pose, compat=compat),
        combine=functools.partial(combine_poses, names=PENN_JOINTS),
        settings={"compat": compat},
        reads=(base,),
    )


def _read_labels(path: Path) -> dict[str, np.ndarray]:
    names = ["x", "y", "visibility", "train", "bbox", "nframes"]
    content = read_mat(path, names, expected="Penn Action's labels/0001.mat")
    if absent := [name for name in names if name not in content]:
        raise LayoutError(f"'{path}': expected {', '.join(names)}; lacks {', '.join(absent)}")
    for name, values in content.items():
        if values.dtype.kind not in "biuf" or values.ndim != 2:
            raise LayoutError(
                f"'{path}': expected a table of numbers as {name}, got {values!r:.60}"
            )
    return content


def _is_test(path: Path, content: Mapping[str, np.ndarray]) -> bool:
    return _scalar(path, content, "train") != TRAINING


def _clip(path: Path, content: Mapping[str, np.ndarray]) -> PoseClip:
    frames = int(_scalar(path, content, "nframes"))
    shape = (frames, len(PENN_JOINTS))
    for name in ("x", "y", "visibility"):
        if frames < 2 or content[name].shape != shape:
            raise LayoutError(
                f"'{path}': expected {name} of frames x 13 with 2 frames or more (nframes: "
                f"{frames}), got {content[name].shape}"
            )
    joints = np.stack([content["x"], content["y"]], axis=-1).astype(np.float64) - 1
    visible = content["visibility"] != 0
    if not np.isfinite(joints[visible]).all():
        raise LayoutError(f"'{path}': expected finite places of visible joints, got others")
    folder = path.parent.parent / "frames" / path.stem
    height, width = _frame_size(folder, frames)
    return PoseClip(
        name=path.stem,
        video=folder,
        joints=joints,
        visible=visible,
        inside=inside_frame(joints[0], width=width, height=height),
        box_sides=_box_sides(path, content["bbox"].astype(np.float64), frames),
    )


def _frame_size(folder: Path, frames: int) -> tuple[int, int]:
    """(height, width) of the pictures, of which there are at least as many as labelled frames."""
    pictures = (image_files(folder) or []) if folder.is_dir() else []
    if len(pictures) < frames:
        raise LayoutError(f"'{folder}' holds {len(pictures)} pictures; its labels {frames} frames")
    try:
        return image_size(pictures[0])
    except VideoError as error:
        raise LayoutError(f"cannot read '{pictures[0]}' as a picture: {error}") from error


def _box_sides(path: Path, boxes: np.ndarray, frames: int) -> np.ndarray:
    """(T,) pixels, the longer side of every frame's box; NaN where it is not a box."""
    if boxes.shape[1] != 4 or not 1 <= len(boxes) <= frames:
        raise LayoutError(f"'{path}': expected bbox of {frames} x 4, got {boxes.shape}")
    filled = np.concatenate([boxes, np.repeat(boxes[-1:], frames - len(boxes), axis=0)])
    sides = (filled[:, 2:] - filled[:, :2]).max(axis=1)
    return np.where(sides > 0, sides, np.nan)


def _scalar(path: Path, content: Mapping[str, np.ndarray], name: str) -> float:
    values = content[name]
    if values.size != 1 or not np.isfinite(values).all():
        raise LayoutError(f"'{path}': expected one number as {name}, got {values!r:.60}")
    return float(values.item())
