"""Which frames of a film are worth colouring as references, written as grey pictures."""

from __future__ import annotations

import heapq
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from chromatrack.atomic import UNSIGNED, OutputFile, check_output_files, keep_apart, replace_file
from chromatrack.errors import InputError
from chromatrack.formats.shots import Shot
from chromatrack.runs.color_look import paler
from chromatrack.runs.file_names import keep_runs
from chromatrack.runs.frame_samples import READ_SIZE, FrameSamples
from chromatrack.runs.progress import Report
from chromatrack.runs.shot_references import is_grey
from chromatrack.structures import Source
from chromatrack.tracking.frame_likeness import Choice, FrameLooks, choose, small_light
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.image_writer import is_our_picture, signed_png
from chromatrack.video.images import is_image
from chromatrack.video.random_access import FrameReader
from chromatrack.video.reader import probe, read_frame, read_frames

MOST_CANDIDATES = 400
"""Frames that are compared with each other: memory and time of the choice are bounded by it."""

FEW = 40
"""Frames that are sought one by one rather than by reading all of the film."""


@dataclass(frozen=True)
class Suggestion:
    """A frame worth colouring: where it was written, of which shot it is, what it covers."""

    frame: int
    shot: int
    path: Path
    alone: float
    added: float
    is_colored: bool


def suggest_references(
    tracker: Tracker,
    video: Source,
    shots: Sequence[Shot],
    *,
    count: int,
    output: Path,
    samples: FrameSamples | None = None,
    progress: Report | None = None,
) -> list[Suggestion]:
    """Choose the frames whose colouring would cover most of a film, and write them in grey.

    Frames of every shot are compared by the features that colours are copied by. Each is written at
    the film's size as `frame_00012.png`; one that is there and has colours stays as it is. samples:
    pictures of the film that were kept when it was read before; without, it is read here.

    Raises:
        InputError: a count below 1, or files that would be overwritten. VideoError.
    """
    if count < 1:
        raise InputError(f"suggest: expected how many frames, at least 1, got {count}")
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file; expected the name of a folder for pictures")
    keep_runs(output)
    frames, looks, weights = [], [], []
    for frame, shot, weight, look in _looked_at(tracker, video, shots, samples, progress):
        frames.append((frame, shot))
        looks.append(look)
        weights.append(weight)
    chosen = choose(looks, weights, count)
    if len(chosen) < count:
        warnings.warn(
            f"suggest: {len(chosen)} frame{'s' if len(chosen) > 1 else ''} cover all that was "
            f"compared, so the other {count - len(chosen)} are left out",
            stacklevel=2,
        )
    return [_written(video, output, frames[one.index], one) for one in chosen]


def candidates(shots: Sequence[Shot]) -> list[tuple[int, int, float]]:
    """(frame, shot, how many frames it stands for): spread over the shots by their lengths.

    Every shot has at least one, unless there are more shots than `MOST_CANDIDATES`: then the
    longest have.
    """
    spans = {n: shot.whole or (shot.first, shot.end) for n, shot in enumerate(shots, start=1)}
    longest = heapq.nlargest(MOST_CANDIDATES, spans, key=lambda n: spans[n][1] - spans[n][0])
    frames = sum(spans[n][1] - spans[n][0] for n in longest)
    free, found = MOST_CANDIDATES - len(longest), []
    for number in sorted(longest):
        first, end = spans[number]
        length = end - first
        pieces = min(length, 1 + int(free * length / frames))
        for piece in range(pieces):
            frame = first + int((2 * piece + 1) * length / (2 * pieces))
            found.append((frame, number, length / pieces))
    return found


def _looked_at(
    tracker: Tracker,
    video: Source,
    shots: Sequence[Shot],
    samples: FrameSamples | None,
    progress: Report | None,
) -> list[tuple[int, int, float, Tensor]]:
    """Frame, shot, how many frames it stands for and look of every candidate.

    A picture that was kept stands in for the candidate next to it in its shot; frames that none is
    near are read.
    """
    info, looks = probe(video), FrameLooks(tracker.embedder)
    size, kept = (info.height, info.width), {} if samples is None else samples.light
    wanted: dict[int, tuple[int, float]] = {}
    for frame, number, weight in candidates(shots):
        first, end = shots[number - 1].whole or (shots[number - 1].first, shots[number - 1].end)
        near = None if samples is None else samples.nearest(frame, first, end)
        at = frame if near is None else near
        wanted[at] = number, weight + wanted.get(at, (number, 0.0))[1]
    found: dict[int, Tensor] = {}

    def tell() -> None:
        if progress is not None:
            progress("look", len(found), len(wanted))

    for frame in wanted:
        if frame in kept:
            found[frame] = looks.of_light(kept[frame])
            tell()
    for frame, rgb in _read(video, [one for one in wanted if one not in kept]):
        found[frame] = looks.of_light(small_light(rgb, size))
        tell()
    return [(frame, *wanted[frame], found[frame]) for frame in wanted]


def _read(video: Source, frames: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Some frames, small: in one go where they are many, else one by one."""
    if len(frames) > FEW:
        numbers = set(frames)
        for frame in read_frames(video, size=READ_SIZE, end=max(numbers) + 1):
            if frame.index in numbers:
                yield frame.index, frame.rgb
    elif frames:
        reader = FrameReader(video)
        try:
            for frame in frames:
                yield frame, reader.read(frame, size=READ_SIZE)
        finally:
            reader.close()


def _written(video: Source, output: Path, which: tuple[int, int], choice: Choice) -> Suggestion:
    frame, shot = which
    path = output / f"frame_{frame:05d}.png"
    is_colored = any(not is_grey(_opened(path)) for path in _of_frame(path))
    if not is_colored:
        keep_apart(video, path)
        check_output_files([OutputFile(path, "picture", is_our_picture, UNSIGNED)], reads=[video])
        replace_file(path, signed_png(_grey(read_frame(video, index=frame).rgb)))
    return Suggestion(frame, shot, path, choice.alone, choice.added, is_colored)


def _of_frame(path: Path) -> Iterator[Path]:
    """Pictures of the frame that are there, in any format."""
    if path.parent.is_dir():
        yield from (one for one in path.parent.glob(f"{path.stem}.*") if is_image(one))


def _opened(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def _grey(rgb: np.ndarray) -> np.ndarray:
    """The same luminance without colours."""
    if is_grey(rgb):  # up to the rounding of its codec
        return np.repeat(rgb[..., 1:2], 3, axis=2)
    return paler(rgb, 0.0)
