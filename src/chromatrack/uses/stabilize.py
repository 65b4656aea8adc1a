"""Hold the camera on a tracked thing, or on the background: a video in, a steadied video out.

Two passes over the video at most: one to see how the background moved (not needed for a lock on
a tracked thing), one to write.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from os import fspath
from pathlib import Path
from typing import get_args

import numpy as np

from chromatrack.errors import InputError
from chromatrack.runs.progress import Report
from chromatrack.runs.reader import Result
from chromatrack.runs.video_staging import check_video_output
from chromatrack.structures import Source
from chromatrack.uses.camera_path import Lock, choose_lock, lock_path, steady_matrices
from chromatrack.uses.plane_motion import Motion, apply_motion
from chromatrack.uses.video_output import video_output
from chromatrack.uses.warp import Fill, Framing, Warp, crop_framing
from chromatrack.video.encoding import USUAL, Quality
from chromatrack.video.pixel_format import to_8_bit
from chromatrack.video.reader import probe, read_frame, read_frames


@dataclass(frozen=True)
class StabilizeSummary:
    """What a stabilisation did.

    seconds: wall-clock. size: (height, width) of the output. crop: left, top, width, height px of
    the source frame that were kept, None where all of it was. reference_frame: the frame that
    stays as it is (unless smoothed). bridged_frames: those on which the thing was not seen, so that
    its motion was filled in. largest_shift: px by which a frame's middle was moved at most.
    """

    output: Path
    lock: Lock
    frames: int
    seconds: float
    size: tuple[int, int]
    crop: tuple[int, int, int, int] | None
    reference_frame: int
    bridged_frames: int
    largest_shift: float


def stabilize_video(
    video: Source,
    result: Result,
    *,
    output: Source,
    lock: Lock | str | int | None = None,
    smooth_seconds: float | None = None,
    fill: Fill = "black",
    zoom: bool = False,
    motion: Motion | None = None,
    quality: Quality = USUAL,
    progress: Report | None = None,
) -> StabilizeSummary:
    """Write the tracked frames of a video with the camera held on one thing.

    Objects and boxes hold their centre where it was on their first frame; points and joints hold
    all of them, as well as one motion can; for the background see `camera_path.py`. Where a thing
    is absent, or cut by the frame's border, its motion is filled in. Timing, sound and depth stay
    the source's.

    Args:
        video: the video of which `result` is the tracks.
        result: from `read_result`.
        output: video file, or folder for images, as `open_writer` takes it; not the video.
        lock: what to hold; None: the only thing in the result.
        smooth_seconds: follow the thing's path smoothed by a Gaussian of this standard deviation,
            instead of holding it on its spot.
        fill: what shows where the moved frame ends: "black", its "edge" pixels, a "blur" of those,
            or nothing, because the largest centred part that is always filled is kept: "crop".
        zoom: scale that part back to the video's size.
        motion: "shift", or "similarity" for rotation and scale too; None: similarity for the
            background, two or more points, and joints, else shift.
        quality: of a video file.
        progress: called as progress("look" or "stabilize", frames done, frames in all).

    Raises:
        InputError: nothing to lock on, another video than was tracked, or no part fit to crop.
        DamagedVideoError, KeyboardInterrupt: the frames until then are written and play.
        OutputError: `output` cannot be written.
    """
    began = time.perf_counter()
    if fill not in get_args(Fill) or (motion is not None and motion not in get_args(Motion)):
        raise InputError(
            f"expected fill {', '.join(get_args(Fill))} and motion shift or similarity, got "
            f"{fill!r} and {motion!r}"
        )
    if zoom and fill != "crop":
        raise InputError("zoom scales a cropped video back to its size; it goes with fill='crop'")
    if smooth_seconds is not None and not 0 < smooth_seconds < np.inf:
        raise InputError(f"smooth_seconds: expected seconds > 0, got {smooth_seconds}")
    video = result.as_tracked(video)
    check_video_output(output, reads=[video], like=video)
    _check_video(video, result)
    held = choose_lock(result, lock)
    path = lock_path(video, result, lock=held, motion=motion, progress=progress)
    moves = steady_matrices(path, result, smooth_seconds=smooth_seconds)
    framing = (
        crop_framing(moves, size=result.size, zoom=zoom) if fill == "crop" else Framing(result.size)
    )
    _write_moved(video, result, output, moves, Warp(framing, fill=fill), quality, progress)
    middle = np.array([result.size[1] - 1, result.size[0] - 1]) / 2
    shift = np.stack([apply_motion(matrix, middle) for matrix in moves]) - middle
    return StabilizeSummary(
        output=Path(output),
        lock=held,
        frames=len(result.frames),
        seconds=time.perf_counter() - began,
        size=framing.output_size,
        crop=framing.crop,
        reference_frame=int(result.indices[path.reference]),
        bridged_frames=int(np.isnan(path.motions).any(axis=1).sum()),
        largest_shift=float(np.hypot(*shift.T).max()),
    )


# -- parts ---------------------------------------------------------------------------------


def _check_video(video: Source, result: Result) -> None:
    """Raises InputError unless `video` is the one that was tracked."""
    info, first = probe(video), result.frames[0]
    if (info.height, info.width) != result.size:
        raise InputError(
            f"{fspath(video)}: is {info.width}x{info.height}, but what was tracked is "
            f"{result.size[1]}x{result.size[0]}; give the video of {result.folder}"
        )
    seconds = read_frame(video, index=first.index).pts_seconds
    # Runs of earlier versions have the file's own times.
    if min(abs(seconds + began - first.pts_seconds) for began in (0, info.start_seconds)) > 1e-3:
        raise InputError(
            f"{fspath(video)}: frame {first.index} is at {seconds:.3f} s, but when it was tracked "
            f"at {first.pts_seconds:.3f} s; give the video of {result.folder}"
        )


def _write_moved(
    video: Source,
    result: Result,
    output: Source,
    moves: np.ndarray,
    warp: Warp,
    quality: Quality,
    progress: Report | None,
) -> None:
    """Second pass: every tracked frame, moved."""
    first, count, done = result.frames[0].index, len(moves), 0
    with video_output(
        output,
        video=video,
        name="stabilize",
        total=count,
        first=first,
        quality=quality,
        progress=progress,
    ) as put:
        for frame in read_frames(video, start=first, end=first + count, deep=True):
            moved = warp(frame.rgb if frame.deep is None else frame.deep, moves[done])
            deep = None if frame.deep is None else moved
            put(replace(frame, rgb=to_8_bit(moved), deep=deep))
            done += 1
        if done < count:
            raise InputError(
                f"{fspath(video)}: has only {done} of the {count} frames that were tracked; give "
                f"the video of {result.folder}"
            )
