"""Clips to colour, for all benchmarks of colour: found in a folder, their frames counted.

    ROOT/clip.mp4            any video,
    ROOT/clip/00000.jpg      a folder of frames (also ROOT/clip/img/, as OTB has them),
    ROOT/JPEGImages/480p/*/  or a DAVIS root (davischallenge.org; CC BY-NC 4.0): fetch it yourself

Any colour footage will do, as long as the model was not trained on it; ROOT can also be one clip.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from chromatrack.errors import InputError, LayoutError, VideoError
from chromatrack.evaluation.baselines.colorizers import Picture, check_names, grey_of, usual_names
from chromatrack.evaluation.runner import chosen
from chromatrack.ops.coords import fit_size
from chromatrack.video.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES, image_files
from chromatrack.video.reader import Frame, probe, read_frames
from chromatrack.viz.overlays import write_sheet

TRUTH = "truth"
"""Name of the row that has the true frames."""

FRAME_FOLDERS = ("img", "frames", "images")
"""Folders inside a clip's own that hold its frames, in data sets that have such."""


@dataclass(frozen=True)
class ColorClip:
    """A clip: its first `frame_count` frames, compared at `size` (height, width)."""

    name: str
    video: Path
    size: tuple[int, int]
    frame_count: int

    def frames(self) -> Iterator[Frame]:
        """Its frames, one at a time."""
        return read_frames(self.video, end=self.frame_count, size=self.size)


@dataclass(frozen=True)
class Colored:
    """One method's picture, and the true one, of one frame: both `(H, W, 3)` uint8."""

    method: str
    index: int
    rgb: np.ndarray
    truth: np.ndarray


def compared_size(video: Path, short_side: int) -> tuple[int, int]:
    """(height, width) of a clip with at most `short_side` pixels; a smaller one keeps its own."""
    info = probe(video)
    return fit_size((info.height, info.width), short_side=short_side)


def greys(frames: Iterable[Frame], *, but: int | None = 0) -> Iterator[Picture]:
    """The luminance of all frames but the one given in colour: all that a method sees of them."""
    for frame in frames:
        if frame.index != but:
            yield frame.index, grey_of(frame.rgb)


def method_names(methods: Sequence[str] | None) -> tuple[str, ...]:
    """Methods by name; None is all, without the flow if OpenCV is missing.

    Raises:
        InputError: an unknown method, one given twice, or flow without OpenCV.
    """
    names = usual_names() if methods is None else tuple(methods)
    check_names(names)
    return names


def save_sheet(
    path: Path, pictures: Sequence[Colored], *, title: str, columns: Mapping[str, int]
) -> None:
    """A sheet of one clip: a row per method, the truth first, and a frame's index per column."""
    shown = {(TRUTH, p.index): p.truth for p in pictures}
    shown |= {(p.method, p.index): p.rgb for p in pictures}
    methods = dict.fromkeys(method for method, _ in shown)
    rows = {method: [shown[method, index] for index in columns.values()] for method in methods}
    write_sheet(path, rows, columns=list(columns), title=title)


def read_clips(
    root: str | PathLike[str],
    *,
    clips: Iterable[str] | None = None,
    frames: int | None = None,
    short_side: int = 480,
) -> tuple[ColorClip, ...]:
    """Find the clips of a folder, by name, and count their frames.

    Args:
        root: see the module. clips: only these names. frames: at most so many of each, 2 or more.
        short_side: pixels; larger clips are compared at this size, smaller ones at their own.

    Raises:
        LayoutError: no clip. InputError: a name that is not there, fewer than 2 frames.
        VideoError: a clip that cannot be read.
    """
    if frames is not None and frames < 2:
        raise InputError(f"frames: expected 2 or more, the first is the reference; got {frames}")
    found = _find(Path(root))
    videos = chosen(found, clips, what=f"clips of '{root}'")
    return tuple(_open(name, video, frames, short_side) for name, video in videos.items())


def _find(root: Path) -> dict[str, Path]:
    """Videos and folders of frames by name, in order."""
    if not root.exists():
        raise LayoutError(f"'{root}' is not there; expected a folder of videos or of frames")
    if root.is_file() or _frames_in(root):
        return {root.stem if root.is_file() else root.resolve().name: root}
    inside = root
    if (root / "JPEGImages").is_dir():
        sizes = sorted(p for p in (root / "JPEGImages").iterdir() if p.is_dir())
        inside = next((p for p in sizes if p.name == "480p"), sizes[0] if sizes else root)
    found: dict[str, Path] = {}
    for path in sorted(inside.iterdir()):
        video = path if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() else None
        if path.is_dir():
            folders = [path, *(path / name for name in FRAME_FOLDERS)]
            video = next((p for p in folders if _frames_in(p)), None)
        if video is not None and not path.name.startswith("."):
            found[path.name if path.is_dir() or path.stem in found else path.stem] = video
    if not found:
        raise LayoutError(
            f"'{inside}' holds no clip; expected videos, folders of frames, or a DAVIS root"
        )
    return found


def _frames_in(folder: Path) -> bool:
    """Whether a folder holds images itself."""
    return folder.is_dir() and any(
        p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".") for p in folder.iterdir()
    )


def _open(name: str, video: Path, frames: int | None, short_side: int) -> ColorClip:
    size, files = compared_size(video, short_side), image_files(video)
    if files is None:
        count = sum(1 for _ in read_frames(video, end=frames, size=(16, 16)))
    else:
        count = len(files) if frames is None else min(frames, len(files))
    if count < 2:
        raise VideoError(f"{video}: expected 2 frames or more, the first to copy from; got 1")
    return ColorClip(name, video, size, count)
