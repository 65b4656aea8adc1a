"""DAVIS 2016 and 2017, semi-supervised: run a tracker on the published layout, score its masks.

The layout is in `davis_files`. As in the official evaluation: the objects of the first annotation
are scored, those that appear later are not; the first and the last frame do not count; 2016 merges
all objects into one; in 2017 the void label 255 is background; a data set's score is the mean over
all objects of all sequences. A frame without a prediction counts as empty.

Masks that another tool wrote, FOLDER/bear/00000.png, are scored by `SavedMasks(FOLDER)` in the
tracker's place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Protocol

import numpy as np

from chromatrack.errors import InputError, LayoutError
from chromatrack.evaluation.datasets.davis_attributes import attribute_table, check_attributes
from chromatrack.evaluation.datasets.davis_files import (
    IMAGE_SUFFIXES,
    DavisSequence,
    DavisSplit,
    Year,
    read_annotation,
    read_davis,
)
from chromatrack.evaluation.metrics.masks import (
    SCORE_COLUMNS,
    SequenceScores,
    dataset_scores,
    frame_scores,
    sequence_scores,
)
from chromatrack.evaluation.runner import (
    Benchmark,
    ClipReport,
    Progress,
    Result,
    evaluate,
    every_frame,
)
from chromatrack.formats.masks import write_mask
from chromatrack.video.images import frame_files

__all__ = [
    "IMAGE_SUFFIXES",
    "DavisSequence",
    "DavisSplit",
    "MaskTracker",
    "SavedMasks",
    "Year",
    "davis_benchmark",
    "evaluate_davis",
    "read_annotation",
    "read_davis",
]


class LabelledFrame(Protocol):
    """What is read of a tracked frame."""

    @property
    def index(self) -> int: ...  # 0-based frame number

    @property
    def mask(self) -> np.ndarray: ...  # (H, W) integer object ids, 0 = background


class MaskTracker(Protocol):
    """Anything that tracks masks through the frames of a folder, in order."""

    def track(self, video: Path, *, masks: dict[int, np.ndarray]) -> Iterable[LabelledFrame]:
        """`masks`: frame index -> (H, W) int32 object ids."""
        ...


@dataclass(frozen=True)
class SavedMask:
    """A mask read from a file: what is asked of a `LabelledFrame`."""

    index: int
    mask: np.ndarray


class SavedMasks:
    """Masks that were written before, in the tracker's place: folder/SEQUENCE/00000.png.

    Files are named as the annotations; palette, grey or RGB, read as annotations of that year are.
    """

    def __init__(self, folder: str | PathLike[str], *, year: Year = 2016) -> None:
        self.folder = Path(folder)
        self.year: Year = year
        self.model = f"masks in {self.folder}"

    def track(self, video: Path, *, masks: dict[int, np.ndarray]) -> Iterator[SavedMask]:
        """Read the masks of a sequence's frames; those that are not there are left out.

        Raises:
            LayoutError: no folder of the sequence's name, or no mask of any frame in it.
            InputError: a mask of another size than the first annotation's, or with a higher id than
                its objects' (as in the official evaluation).
        """
        folder, first = self.folder / video.name, masks[0]
        paths = [folder / f"{image.stem}.png" for image in frame_files(video, IMAGE_SUFFIXES)]
        if not any(path.is_file() for path in paths):
            raise LayoutError(
                f"'{self.folder}' has no masks of the sequence '{video.name}'; expected "
                f"{video.name}/{paths[0].name} and so on, named as the annotations"
            )
        highest = int(first.max())
        for index, path in enumerate(paths):
            if not path.is_file():
                continue
            mask = read_annotation(path, year=self.year)
            if mask.shape != first.shape:
                raise InputError(
                    f"'{path}': expected a mask of {first.shape[1]}x{first.shape[0]}, got "
                    f"{mask.shape[1]}x{mask.shape[0]}; resize it to the annotation"
                )
            if (found := int(mask.max())) > highest:
                raise InputError(
                    f"'{path}': expected object ids up to {highest}, as in the first annotation, "
                    f"got {found}; write the ids as palette indices or grey values"
                )
            yield SavedMask(index, mask)


def davis_benchmark(
    root: str | PathLike[str],
    *,
    year: Year = 2016,
    split: str | None = None,
    sequences: Iterable[str] | None = None,
    save_masks: bool = True,
    attributes: Mapping[str, Sequence[str]] | None = None,
) -> Benchmark:
    """DAVIS, found in a folder.

    Args:
        root, year, split, sequences: as in `read_davis`.
        save_masks: write the predicted masks to masks/<sequence>/00000.png in the output folder
            (a missing frame as an empty mask).
        attributes: of every sequence, as `attributes.read_attributes` gives them; the result then
            has "attributes", the table of `attributes.attribute_table`.

    Returns:
        A benchmark whose tracker has `.track(folder, masks={0: ids})`. Reports are {column:
        fraction, "frames", "missing_frames", "seconds" (the tracker's alone), "objects": {id:
        {column: fraction}}, "per_frame": {id: {"J": [...], "F": [...], "reliability": [...]}}},
        the last of all frames, reliability where the tracker states it; "scores" has
        `metrics.SCORE_COLUMNS`.

    Raises:
        LayoutError, InputError: see `read_davis`; or a sequence has no row of attributes.
    """
    found = read_davis(root, year=year, split=split, sequences=sequences)
    if attributes is not None:
        check_attributes(attributes, [sequence.name for sequence in found.sequences])
    return Benchmark(
        name="davis",
        clips=found.sequences,
        measure=partial(_measure, year=year, save_masks=save_masks),
        combine=partial(_combine, year=year, split=found.name, attributes=attributes),
        settings={"year": year, "split": found.name},
        reads=(Path(root),),
    )


def evaluate_davis(
    root: str | PathLike[str],
    *,
    tracker: MaskTracker,
    year: Year = 2016,
    split: str | None = None,
    output: str | PathLike[str] | None = None,
    sequences: Iterable[str] | None = None,
    save_masks: bool = True,
    jobs: int = 1,
    model: str | None = None,
    progress: Progress | None = None,
) -> Result:
    """Track every sequence from its first annotation and score the result.

    `davis_benchmark` and `benchmark.evaluate` in one call: see there for arguments and errors.

    Returns:
        As `benchmark.evaluate`, with "year", "split" and, if asked for, "attributes".
    """
    benchmark = davis_benchmark(
        root, year=year, split=split, sequences=sequences, save_masks=save_masks
    )
    return evaluate(
        benchmark, tracker=tracker, output=output, jobs=jobs, model=model, progress=progress
    )


def _measure(
    sequence: DavisSequence,
    *,
    tracker: MaskTracker,
    folder: Path | None,
    tick: Callable[[], None],
    year: Year,
    save_masks: bool,
) -> ClipReport:
    first, frames = read_annotation(sequence.annotations[0], year=year), len(sequence.images)
    object_ids = _object_ids(first, sequence.annotations[0])
    tracked = tracker.track(sequence.folder, masks={0: first})
    predictions = every_frame(tracked, name=sequence.name, end=frames)
    rows, stated, missing, seconds = [], [], 0, 0.0
    for path in sequence.annotations:
        began = time.perf_counter()
        frame = next(predictions)
        seconds += time.perf_counter() - began
        truth = read_annotation(path, year=year)
        mask = None if frame is None else frame.mask
        missing += mask is None
        rows.append(frame_scores(mask, truth, object_ids=object_ids))
        stated.append(getattr(frame, "reliability", None))
        if folder and save_masks:
            shown = np.zeros_like(truth) if mask is None else mask
            write_mask(folder / "masks" / sequence.name / f"{path.stem}.png", shown)
        tick()
    found = sequence_scores(rows, object_ids=object_ids)
    return {
        **found.scores,
        "frames": frames,
        "missing_frames": missing,
        "seconds": seconds,
        "objects": {str(number): scores for number, scores in found.objects.items()},
        "per_frame": per_frame(rows, stated, object_ids=object_ids),
    }


def per_frame(
    rows: Sequence[np.ndarray],
    stated: Sequence[Mapping[int, float] | None],
    *,
    object_ids: Sequence[int],
) -> ClipReport:
    """{id: {"J": [...], "F": [...]}} of all frames, the given one too; and, if the tracker states
    it, "reliability", 0 on frames for which there is none."""
    values = np.stack(rows)
    found: ClipReport = {}
    for number, (j, f) in zip(object_ids, values.transpose(1, 2, 0), strict=True):
        found[str(number)] = {"J": j.tolist(), "F": f.tolist()}
        if any(number in row for row in stated if row):
            found[str(number)]["reliability"] = [(row or {}).get(number, 0.0) for row in stated]
    return found


def _combine(
    reports: Mapping[str, ClipReport],
    *,
    year: Year,
    split: str,
    attributes: Mapping[str, Sequence[str]] | None,
) -> Result:
    sequences = {
        name: SequenceScores(
            scores={column: report[column] for column in SCORE_COLUMNS},
            objects={int(number): scores for number, scores in report["objects"].items()},
        )
        for name, report in reports.items()
    }
    result: Result = {"year": year, "split": split, "scores": dataset_scores(sequences)}
    if attributes is not None:
        result["attributes"] = attribute_table({"sequences": reports}, attributes)
    return result


def _object_ids(first: np.ndarray, path: Path) -> list[int]:
    ids = np.unique(first)
    if not ids.any():
        raise LayoutError(f"'{path}' marks no object; nothing can be tracked")
    return ids[ids != 0].tolist()
