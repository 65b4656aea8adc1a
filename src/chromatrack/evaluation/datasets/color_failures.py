"""Where colours fail: the colour error of every frame of labelled sequences, which needs no label.

Vondrick et al. 2018 report that failures to colour go with failures to track. Here the first frame
keeps its colours, every later one is shown grey and coloured by the model, and its ab error is
taken over the whole frame and over the region that the tracker holds for the objects; both
are then set beside J&F of the same frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.colorizers import ab_of, copied
from chromatrack.evaluation.datasets.color_clips import compared_size, greys
from chromatrack.evaluation.metrics.color import ab_error_map
from chromatrack.evaluation.runner import Benchmark, ClipReport, Result
from chromatrack.formats.masks import read_mask
from chromatrack.video.reader import Frame, read_frames

if TYPE_CHECKING:
    from chromatrack.tracking.tracker import Tracker


@dataclass(frozen=True)
class FailureClip:
    """A folder of frames, and a folder with a mask for each of them, in order of their names.

    frames: how many there are. every: only every that many frames one is coloured.
    """

    name: str
    folder: Path
    masks: Path
    frames: int
    every: int = 1

    @property
    def frame_count(self) -> int:
        """Frames to work on: the first one, that keeps its colours, and those that are coloured."""
        return 1 + len(self.colored)

    @property
    def colored(self) -> range:
        """Numbers of the frames to colour."""
        return range(self.every, self.frames, self.every)


@dataclass(frozen=True)
class FrameErrors:
    """Frames of sequences on which both were measured, N in all; rows in no order that matters.

    sequences: (N,) names. frames: (N,) frame numbers. colour, region: (N,) mean ab error of the
    frame and of the tracked region, Lab units; NaN where nothing was tracked. scores: (N,) J&F.
    """

    sequences: np.ndarray
    frames: np.ndarray
    color: np.ndarray
    region: np.ndarray
    scores: np.ndarray


def failure_benchmark(
    clips: tuple[FailureClip, ...], *, short_side: int = 480, every: int = 1
) -> Benchmark:
    """Colour every sequence from its first frame; one report of errors per frame for each.

    Args:
        clips: sequences with their tracked masks. short_side: of larger frames, pixels. every:
            frames from one that is coloured to the next; colours come straight from the first.

    Raises:
        InputError: no clips, `every` below 1, or a sequence without a frame to colour.
    """
    if not clips:
        raise InputError("failures: expected at least one tracked sequence, got none")
    if every < 1:
        raise InputError(f"every: expected 1 or more, got {every}")
    clips = tuple(replace(clip, every=every) for clip in clips)
    short = next((clip for clip in clips if not clip.colored), None)
    if short is not None:
        raise InputError(
            f"failures: expected sequences of more than {every} frames, got {short.name} with "
            f"{short.frames}"
        )
    measure = partial(measure_failures, short_side=short_side)
    settings = {"short_side": short_side, "every": every}
    return Benchmark("failures", clips, measure, mean_errors, settings)


def measure_failures(
    clip: FailureClip,
    *,
    tracker: Tracker,
    folder: Path | None,
    tick: Callable[[], None],
    short_side: int,
) -> ClipReport:
    """Errors of one sequence: {"frames": [1, ...], "colour": [...], "region": [...]}.

    A region's error is None on frames where the tracker holds nothing.
    """
    reference = next(_frames(clip, short_side)).rgb
    masks = sorted(clip.masks.glob("*.png"))
    colored, truths = (
        copied(tracker, reference, greys(_later(clip, short_side))),
        _later(clip, short_side),
    )
    tick()
    rows: list[tuple[int, float, float | None]] = []
    for (index, rgb), truth in zip(colored, truths, strict=False):
        apart = ab_error_map(ab_of(rgb).numpy(), ab_of(truth.rgb).numpy())
        inside = _region(masks, index, apart.shape)
        region = float(apart[inside].mean()) if inside.any() else None
        rows.append((index, float(apart.mean()), region))
        tick()
    frames, color, region = (list(column) for column in zip(*rows, strict=True))
    return {"frames": frames, "color": color, "region": region}


def _frames(clip: FailureClip, short_side: int) -> Iterator[Frame]:
    size = compared_size(clip.folder, short_side)
    return read_frames(clip.folder, end=clip.frames, size=size)


def _later(clip: FailureClip, short_side: int) -> Iterator[Frame]:
    return (frame for frame in _frames(clip, short_side) if frame.index in clip.colored)


def _region(paths: Sequence[Path], index: int, size: tuple[int, ...]) -> np.ndarray:
    """Where the tracker holds an object, `(H, W)` bool; nowhere where it left no mask."""
    if index >= len(paths):
        return np.zeros(size, dtype=bool)
    inside = read_mask(paths[index]) != 0
    if inside.shape == size:
        return inside
    rows, columns = (
        np.arange(small) * large // small for small, large in zip(size, inside.shape, strict=True)
    )
    return inside[np.ix_(rows, columns)]


def mean_errors(reports: Mapping[str, ClipReport]) -> Result:
    """Mean over sequences of the mean errors over frames."""
    return {
        "scores": {
            "ab error": float(np.mean([np.mean(r["color"]) for r in reports.values()])),
            "ab error of the region": _mean([x for r in reports.values() for x in r["region"]]),
        }
    }


def _mean(values: list[float | None]) -> float:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else math.nan


def moments(errors: Mapping[str, ClipReport], scores: Mapping[str, ClipReport]) -> FrameErrors:
    """Errors and J&F of the same frames.

    Args:
        errors: reports of `failure_benchmark` by sequence.
        scores: those of `davis_benchmark`, with "per_frame": {id: {"J": [...], "F": [...]}} over
            all frames; the first and the last one are not scored, several objects are averaged.

    Raises:
        InputError: no frame of any sequence was measured both ways.
    """
    rows: list[tuple[str, int, float, float, float]] = []
    for name, report in errors.items():
        if name not in scores:
            continue
        objects = scores[name]["per_frame"].values()
        both = np.mean([(np.array(o["J"]) + np.array(o["F"])) / 2 for o in objects], axis=0)
        for frame, color, region in zip(
            report["frames"], report["color"], report["region"], strict=True
        ):
            if 0 < frame < len(both) - 1:
                there = math.nan if region is None else region
                rows.append((name, frame, color, there, float(both[frame])))
    if not rows:
        raise InputError("failures: expected frames measured both ways, got none")
    return FrameErrors(*(np.array(column) for column in zip(*rows, strict=True)))


def by_sequence(found: FrameErrors) -> FrameErrors:
    """The mean over each sequence's frames; `frames` are their numbers of frames."""
    names = np.unique(found.sequences)
    rows = [found.sequences == name for name in names]

    def means(values: np.ndarray) -> np.ndarray:
        chosen = [values[row][~np.isnan(values[row])] for row in rows]
        return np.array([part.mean() if part.size else np.nan for part in chosen])

    counts = np.array([int(row.sum()) for row in rows])
    return FrameErrors(names, counts, means(found.color), means(found.region), means(found.scores))
