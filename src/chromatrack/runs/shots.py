"""The shots of a film: found in its pictures, or taken from a list, and written as one."""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from os import fspath
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.atomic import (
    OutputFile,
    check_output_files,
    replace_file,
    starts_with,
)
from chromatrack.errors import DamagedVideoError, InputError
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.shot_table import is_shot_table, read_shot_table, shot_table
from chromatrack.formats.shots import Edge, Shot, read_shots, write_edl, write_fcpxml
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.ops.shot_transitions import SMALL, Transition, TransitionFinder
from chromatrack.runs.file_names import keep_runs
from chromatrack.runs.frame_samples import READ_SIZE, FrameSamples
from chromatrack.runs.progress import Report
from chromatrack.structures import Source
from chromatrack.video.reader import probe, read_frames

SUFFIXES = (".csv", ".edl", ".fcpxml")
"""Of lists of shots that are written; `.xml` and `.otio` are read too."""

_READ_SIZE = (96, 128)
"""What frames are brought to while they are read: twice as large as what is compared."""


@dataclass(frozen=True)
class ShotList:
    """Shots that follow each other from a film's first frame to its last.

    times: seconds at which each frame is shown, and at the end when the last one no longer is.
    """

    shots: tuple[Shot, ...]
    times: Sequence[float]

    @property
    def frames(self) -> int:
        """How many there are."""
        return self.shots[-1].end


def find_shots(
    video: Source,
    *,
    span: tuple[int, int | None] = (0, None),
    samples: FrameSamples | None = None,
    progress: Report | None = None,
) -> ShotList:
    """Look at every frame of a film, once, and say where its shots begin.

    span: first frame to look at and the one after the last; shots and times count from 0 all the
    same, and the frames before belong to the first shot. samples: takes pictures meanwhile.

    Raises:
        VideoError: it cannot be read. A damaged film ends, with a warning, before the damage.
    """
    finder, times, length = TransitionFinder(), array("d"), 1 / (probe(video).average_fps or 24.0)
    first, end = span
    total = end or probe(video).frame_count
    times.extend([0.0] * first)
    size = _READ_SIZE if samples is None else READ_SIZE
    try:
        for frame in read_frames(video, start=first, end=end, size=size):
            if samples is not None:
                samples.add(frame)
            finder.add(small_picture(frame.rgb))
            if len(times) > first:
                length = frame.pts_seconds - times[-1]
            times.append(frame.pts_seconds)
            if progress is not None:
                progress("shots", len(times), total)
    except DamagedVideoError as error:
        if len(times) == first:
            raise
        warnings.warn(str(error), stacklevel=2)
    moved = [Transition(t.kind, *(at + first for at in t[1:])) for t in finder.found()]
    shots = shots_between([t for t in moved if t.at > first or not first], len(times))
    times.append(times[-1] + length)
    return ShotList(tuple(shots), times)


def shots_within(
    shots: Sequence[Shot], video: Source, span: tuple[int, int | None]
) -> tuple[Shot, ...]:
    """The parts of shots that lie in `span`; without shots, all of it is one."""
    first, end = span
    if not shots:
        count = end or probe(video).frame_count
        count = count or sum(1 for _ in read_frames(video, size=(8, 8)))
        return (Shot(first, count),)
    found = []
    for shot in shots:
        begin, after = max(first, shot.first), shot.end if end is None else min(end, shot.end)
        whole = shot.whole or (shot.first, shot.end)
        inside = max(begin, whole[0]), min(after, whole[1])
        if begin < after:
            found.append(Shot(begin, after, whole=inside if inside[0] < inside[1] else None))
    return tuple(found)


def small_picture(rgb: np.ndarray) -> Tensor:
    """`(H, W, 3)` uint8 -> grey `SMALL` in [0, 1], as `TransitionFinder` compares them."""
    grey = rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    return F.adaptive_avg_pool2d(torch.from_numpy(grey)[None, None], SMALL)[0, 0]


def shots_between(transitions: Sequence[Transition], count: int) -> list[Shot]:
    """The shots of `count` frames that transitions part."""
    starts: list[tuple[int, Edge, int, int]] = []  # at, how, first and end of the transition
    begins: tuple[Edge, int] = ("film", 0)
    ends: tuple[Edge, int] = ("film", count)
    for one in transitions:
        if one.at <= 0:
            begins = (one.kind, one.end)
        elif one.at >= count:
            ends = (one.kind, one.first)
        else:
            starts.append((one.at, one.kind, one.first, one.end))
    edges = [(0, begins[0], 0, begins[1]), *starts, (count, ends[0], ends[1], count)]
    found = []
    for (at, how, _, whole_from), (end, ending, whole_to, _) in pairwise(edges):
        whole = (whole_from, whole_to) if at <= whole_from < whole_to <= end else (at, end)
        plain = whole == (at, end)
        found.append(Shot(at, end, "", how, ending, None if plain else whole))
    return found


def read_shot_list(path: str | Path, *, fps: float, frames: int | None = None) -> list[Shot]:
    """Shots of a list, without gaps: frames that are of none are a shot of their own.

    Args:
        path: `.csv` (`formats.shot_table`), or an edit, as `formats.shots.read_shots` takes it.
        fps: of the film; edits count by it.
        frames: of the film, where they are known: the last shot ends with it.

    Raises:
        InputError: no such list, shots that overlap, or that begin behind the film's end.
    """
    is_table = Path(path).suffix.lower() == ".csv"
    listed = read_shot_table(path) if is_table else read_shots(path, fps)
    for one, after in pairwise(listed):
        if after.first < one.end:
            raise InputError(
                f"'{path}': expected shots that do not overlap, got frame {after.first} in two; "
                f"end the shot that begins at {one.first} before it"
            )
    if frames is not None and listed[-1].first >= frames:
        raise InputError(
            f"'{path}': expected shots of {frames} frames, got one that begins at frame "
            f"{listed[-1].first}; give the list of this film"
        )
    return _without_gaps(listed, frames)


def listed_shots(
    path: Path,
    video: Source,
    *,
    samples: FrameSamples | None = None,
    progress: Report | None = None,
) -> ShotList:
    """A list read for a film, whose frames are counted and timed by reading it once.

    samples: takes pictures meanwhile.

    Raises:
        InputError: as `read_shot_list`. VideoError: the film cannot be read.
    """
    info, times = probe(video), array("d")
    fps = info.average_fps or 24.0
    read_shot_list(path, fps=fps)  # what is wrong with it is said before the film is read
    length = 1 / fps
    for frame in read_frames(video, size=(8, 8) if samples is None else READ_SIZE):
        if samples is not None:
            samples.add(frame)
        if times:
            length = frame.pts_seconds - times[-1]
        times.append(frame.pts_seconds)
        if progress is not None:
            progress("frames", len(times), info.frame_count)
    found = read_shot_list(path, fps=fps, frames=len(times))
    times.append(times[-1] + length)
    return ShotList(tuple(found), times)


def _without_gaps(listed: Sequence[Shot], frames: int | None) -> list[Shot]:
    found, at = [], 0
    for shot in listed:
        if shot.first > at:
            found.append(Shot(at, shot.first))
        found.append(shot)
        at = shot.end
    if frames is not None and at < frames:
        found.append(Shot(at, frames))
    elif frames is not None and at > frames:
        last = found[-1]
        whole = None if last.whole is None else (last.whole[0], min(last.whole[1], frames))
        kept = whole if whole is not None and whole[0] < whole[1] else None
        found[-1] = replace(last, end=frames, whole=kept)
    return found


def check_shot_output(output: Path, *, reads: Sequence[object]) -> None:
    """InputError unless shots can be written there."""
    suffix = output.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"output: expected a list of shots as {', '.join(SUFFIXES)}, got '{output}'"
        )
    keep_runs(output)
    ours = is_shot_table if suffix == ".csv" else _is_our_edit
    check_output_files([OutputFile(output, "list of shots", ours)], reads=reads)


def write_shot_list(listed: ShotList, video: Source, output: Path) -> list[str]:
    """Write shots as the suffix says; returns what the user should know of it.

    Raises:
        InputError: another suffix. OutputError: it cannot be written.
    """
    suffix = output.suffix.lower()
    if suffix == ".csv":
        replace_file(output, shot_table(listed.shots, listed.times))
        return []
    info, count = probe(video), listed.frames
    cuts = np.zeros(count, dtype=bool)
    cuts[[shot.first for shot in listed.shots if shot.first]] = True
    film = TrackedVideo(
        fspath(video),
        (info.height, info.width),
        np.arange(count),
        np.asarray(listed.times[:count], dtype=np.float64),
        info.average_fps or 24.0,
        cuts=cuts,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f".{output.name}.part{suffix}")
    write = write_edl if suffix == ".edl" else write_fcpxml
    try:
        notes = list(write(film, part, ExportOptions()))
        replace_file(output, part.read_bytes())
    finally:
        part.unlink(missing_ok=True)
    if any(shot.begins in ("dissolve", "fade") for shot in listed.shots):
        notes.append(f"{suffix}: dissolves and fades are written as cuts in their middle")
    return notes


def _is_our_edit(path: Path) -> bool:
    return starts_with(path, "TITLE: ", '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>')
