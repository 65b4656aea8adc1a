"""JHMDB, 15 joints of a person: read the published annotations, track the joints, score them.

The whole data set (Jhuang et al. 2013, jhmdb.is.tue.mpg.de; fetch it yourself: `joint_positions`,
`splits`, and `Rename_Images` or `JHMDB_video`). Split 1 has 268 test clips in 21 classes:

    ROOT/joint_positions/CLASS/CLIP/joint_positions.mat   `pos_img`, 2 x 15 x frames: x and y
    ROOT/Rename_Images/CLASS/CLIP/00001.png               its frames, or else
    ROOT/ReCompress_Videos/CLASS/CLIP.avi
    ROOT/splits/CLASS_test_split1.txt                     lines "CLIP.avi 1" (training) or 2 (test)

or single clips, each in a folder of its own at or below ROOT:

    CLIP/joint_positions.mat    CLIP/*.avi, or pictures

MATLAB counts pixels from 1, so 1 is taken off, as CRW does: a place is then in pixels from the
centre of the top-left one. Errors are pixels of the clip. How joints are scored: `poses`. Needs
SciPy: `pip install 'chromatrack[measure]'`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np

from chromatrack.errors import LayoutError
from chromatrack.evaluation.datasets.mat_files import read_mat
from chromatrack.evaluation.datasets.name_lists import checked_name, text_lines
from chromatrack.evaluation.datasets.poses import (
    PoseClip,
    combine_poses,
    inside_frame,
    measure_pose,
)
from chromatrack.evaluation.metrics.keypoints import Compat
from chromatrack.evaluation.runner import Benchmark, chosen, named
from chromatrack.video.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from chromatrack.video.reader import probe

JHMDB_JOINTS = (
    "neck", "belly", "face", "right shoulder", "left shoulder", "right hip", "left hip",
    "right elbow", "left elbow", "right knee", "left knee", "right wrist", "left wrist",
    "right ankle", "left ankle",
)  # fmt: skip
"""Names of the joints, in the order of the file."""

Split = Literal[1, 2, 3]

ANNOTATION = "joint_positions.mat"
TEST = "2"
"""What marks a test clip in a split's list."""


def jhmdb_benchmark(
    root: str | PathLike[str],
    *,
    split: Split = 1,
    compat: Compat = None,
    sequences: Iterable[str] | None = None,
) -> Benchmark:
    """Find the test clips of a split, or single clips where ROOT holds no splits.

    Args:
        root: a folder in one of the two layouts. split: which of the three published.
        compat: see `poses`. sequences: only these clips; by default all.

    Raises:
        LayoutError: a folder, list, clip or frame is not where the layout has it.
        InputError: an unknown clip, or SciPy is not installed.
    """
    base = Path(root)
    whole = (base / "splits").is_dir()
    found = _split_clips(base, split) if whole else _single_clips(base)
    paths = chosen(found, sequences)
    return Benchmark(
        name="jhmdb",
        clips=tuple(
            replace(read_jhmdb(folder, video=video), name=name)
            for name, (folder, video) in paths.items()
        ),
        measure=functools.partial(measure_pose, compat=compat),
        combine=functools.partial(combine_poses, names=JHMDB_JOINTS),
        settings={"split": split if whole else None, "compat": compat},
        reads=(base,),
    )


def read_jhmdb(
    folder: str | PathLike[str], *, video: str | PathLike[str] | None = None
) -> PoseClip:
    """Read one clip's joints, and find its frames.

    Args:
        folder: the clip's folder, with joint_positions.mat.
        video: its frames (a video or a folder of pictures); by default what lies in `folder`.

    Raises:
        LayoutError: no annotation or frames there, or not as published.
        InputError: SciPy is not installed. VideoError: the frames cannot be read.
    """
    base = Path(folder)
    joints = _read_positions(base / ANNOTATION)
    source = _find_video(base) if video is None else Path(video)
    info = probe(source)
    if info.frame_count is not None and info.frame_count < len(joints):
        raise LayoutError(
            f"'{source}' has {info.frame_count} frames; '{base}' has joints for {len(joints)}"
        )
    inside = inside_frame(joints[0], width=info.width, height=info.height)
    if not inside.any():
        raise LayoutError(
            f"'{base}': no joint of the first frame lies in {info.width}x{info.height}"
        )
    visible = np.ones(joints.shape[:2], dtype=bool)
    return PoseClip(name=base.name, video=source, joints=joints, visible=visible, inside=inside)


def _split_clips(base: Path, split: Split) -> dict[str, tuple[Path, Path]]:
    """{clip: (its folder of joint_positions, its frames)} of a split's test lists, by class."""
    lists = sorted((base / "splits").glob(f"*_test_split{split}.txt"))
    if not lists:
        raise LayoutError(
            f"'{base / 'splits'}' holds no list of split {split}; expected CLASS_test_split{split}"
            ".txt with lines CLIP.avi 1 or 2"
        )
    found: dict[str, tuple[Path, Path]] = {}
    for path in lists:
        action = path.name.removesuffix(f"_test_split{split}.txt")
        for clip in _test_clips(path):
            if clip in found:
                raise LayoutError(f"'{path}': the clip '{clip}' is listed twice")
            folder = base / "joint_positions" / action / clip
            found[clip] = folder, _published_frames(base, action, clip)
    if not found:
        raise LayoutError(f"'{base / 'splits'}': no list of split {split} names a test clip (2)")
    return found


def _test_clips(path: Path) -> list[str]:
    """Names, without .avi, of the clips that a list has for the test."""
    names = []
    for number, line in enumerate(text_lines(path), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2 or fields[1] not in ("1", TEST):
            raise LayoutError(f"'{path}', line {number}: expected CLIP.avi 1 or 2; got {line!r}")
        if fields[1] == TEST:
            names.append(checked_name(fields[0].removesuffix(".avi"), path))
    return names


def _published_frames(base: Path, action: str, clip: str) -> Path:
    images = base / "Rename_Images" / action / clip
    video = base / "ReCompress_Videos" / action / f"{clip}.avi"
    for path in (images, video):
        if path.exists():
            return path
    raise LayoutError(f"no frames of the clip '{clip}'; expected '{images}' or '{video}'")


def _single_clips(base: Path) -> dict[str, tuple[Path, None]]:
    """{clip: (its folder, None)} of every folder at or below `base` that holds an annotation."""
    folders = sorted(path.parent for path in base.rglob(ANNOTATION))
    if not folders:
        raise LayoutError(
            f"'{base}' is no JHMDB folder; expected joint_positions, splits and Rename_Images (or "
            f"ReCompress_Videos), or folders that hold {ANNOTATION} and the clip"
        )
    if (base / "joint_positions").is_dir():
        raise LayoutError(f"'{base}' holds joint_positions, but no splits folder; fetch it, too")
    return {name: (folder, None) for name, folder in named(folders, base).items()}


def _read_positions(path: Path) -> np.ndarray:
    """(T, 15, 2) float64 xy from `pos_img`, counted from 0."""
    content = read_mat(path, ["pos_img"], expected="a folder of JHMDB's joint_positions")
    places = content.get("pos_img")
    shape = None if places is None else places.shape
    expected = (2, len(JHMDB_JOINTS))
    if places is None or places.ndim != 3 or places.shape[:2] != expected or places.shape[2] < 2:
        raise LayoutError(f"'{path}': expected pos_img of 2 x 15 x frames (2 or more), got {shape}")
    if places.dtype.kind not in "fiu" or not np.isfinite(places).all():
        raise LayoutError(f"'{path}': expected finite numbers in pos_img, got others")
    return np.ascontiguousarray(places.transpose(2, 1, 0), dtype=np.float64) - 1


def _find_video(folder: Path) -> Path:
    """The one video in a folder, or the folder itself when it holds pictures."""
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    if len(videos) == 1:
        return videos[0]
    if not videos and any(path.suffix.lower() in IMAGE_SUFFIXES for path in files):
        return folder
    raise LayoutError(
        f"'{folder}' holds {len(videos)} videos and is to hold one, or pictures; name the frames"
    )
