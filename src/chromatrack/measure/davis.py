"""DAVIS 2016 and 2017, semi-supervised: read the published layout, run a tracker, score it.

    ROOT/JPEGImages/480p/bear/00000.jpg     ROOT/Annotations/480p/bear/00000.png
    ROOT/ImageSets/480p/val.txt             (DAVIS 2016: a line per frame, image and annotation)
    ROOT/ImageSets/2016/val.txt, .../2017/val.txt   (DAVIS 2017 package: a sequence name per line)

Another resolution folder (`Full-Resolution`, `1080p`) stands in when there is no `480p`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from chromatrack.errors import DamagedVideoError, InputError, LayoutError
from chromatrack.formats.masks import read_mask, write_mask
from chromatrack.measure.benchmark import config_of, make_folder, write_json
from chromatrack.measure.metrics import (
    SequenceScores,
    dataset_scores,
    frame_scores,
    sequence_scores,
)

Year = Literal[2016, 2017]
Progress = Callable[[str, int, int], None]
"""Called after every frame with (sequence name, frames done, frames in total)."""

VOID = 255
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


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
class DavisSequence:
    """One sequence: `images` and `annotations` are its frames in order, one each."""

    name: str
    folder: Path
    images: tuple[Path, ...]
    annotations: tuple[Path, ...]


@dataclass(frozen=True)
class DavisSplit:
    """The sequences of one list of a DAVIS folder."""

    name: str
    sequences: tuple[DavisSequence, ...]


@dataclass(frozen=True)
class _ScoredFrame:
    scores: np.ndarray
    missing: bool
    seconds: float


def read_davis(
    root: str | PathLike[str],
    *,
    year: Year = 2016,
    split: str | None = None,
    sequences: Iterable[str] | None = None,
) -> DavisSplit:
    """Find the sequences of a DAVIS folder and check that every frame is annotated.

    Args:
        root: the folder that holds JPEGImages, Annotations and ImageSets.
        year: which lists to use; ImageSets/<year> when there, else ImageSets/<resolution>, else
            ImageSets itself.
        split: the list's name without .txt; by default `val`, else the only list there.
        sequences: only these names, which must be in the list; by default all of it.

    Raises:
        LayoutError: a folder, list, sequence or frame is not where the layout has it.
        InputError: an unknown year or sequence name.
    """
    base = Path(root)
    if year not in (2016, 2017):
        raise InputError(f"year must be 2016 or 2017; got {year!r}")
    for name in ("JPEGImages", "Annotations", "ImageSets"):
        if not (base / name).is_dir():
            raise LayoutError(
                f"'{base}' holds no {name} folder; expected the published DAVIS layout with "
                "JPEGImages, Annotations and ImageSets"
            )
    resolution = _resolution(base)
    path = _split_file(base, year=year, resolution=resolution, split=split)
    names = _read_list(path)
    chosen = list(names if sequences is None else dict.fromkeys(sequences))
    unknown = [name for name in chosen if name not in names]
    if unknown or not chosen:
        raise InputError(
            f"sequences to evaluate must be names in '{path}' ({', '.join(names)}); got "
            f"{', '.join(unknown) or 'none'}"
        )
    found = tuple(_read_sequence(base, resolution=resolution, name=name) for name in chosen)
    return DavisSplit(name=path.stem, sequences=found)


def read_annotation(path: str | PathLike[str], *, year: Year) -> np.ndarray:
    """Read one annotation: (H, W) int32 object ids, 0 = background.

    2016: every object is merged into id 1; whatever is not 0 (also 255) is the object.
    2017: ids as stored; 255 (void) is background, as in the official evaluation.
    """
    mask = read_mask(path)
    if year == 2016:
        return (mask != 0).astype(np.int32)
    return np.where(mask == VOID, 0, mask)


def evaluate_davis(
    root: str | PathLike[str],
    *,
    tracker: MaskTracker,
    year: Year = 2016,
    split: str | None = None,
    output: str | PathLike[str] | None = None,
    sequences: Iterable[str] | None = None,
    save_masks: bool = True,
    model: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Track every sequence from its first annotation and score the result.

    Only objects of the first frame are scored. A frame that the tracker does not deliver, also
    because its stream breaks off, counts as empty.

    Args:
        root, year, split, sequences: as in `read_davis`.
        tracker: has `.track(folder, masks={0: ids})`, and perhaps a dataclass `.config` to report.
        output: folder for result.json and masks/<sequence>/00000.png; None writes nothing.
        save_masks: write the predicted masks too (a missing frame as an empty mask).
        model: name for the result; by default `tracker.model`, else the class of `tracker`.
        progress: called after every frame.

    Returns:
        {"benchmark", "year", "split", "model", "config", "scores": {column: fraction},
        "sequences": {name: {column: fraction, "frames", "missing_frames", "objects": {id:
        {column: fraction}}}}, "frames", "seconds" (the tracker's alone), "frames_per_second"}.

    Raises:
        LayoutError, InputError: see `read_davis`; or the tracker's masks have another size.
        OutputError: `output` cannot be written.
    """
    found = read_davis(root, year=year, split=split, sequences=sequences)
    folder = None if output is None else make_folder(Path(output))
    total = sum(len(sequence.images) for sequence in found.sequences)
    scores: dict[str, SequenceScores] = {}
    reports: dict[str, dict[str, Any]] = {}
    done, seconds = 0, 0.0
    for sequence in found.sequences:
        masks = folder / "masks" / sequence.name if folder and save_masks else None
        object_ids = _first_objects(sequence, year=year)
        rows, missing = [], 0
        for scored in _score_frames(
            sequence, tracker=tracker, year=year, object_ids=object_ids, masks=masks
        ):
            rows.append(scored.scores)
            missing += scored.missing
            seconds += scored.seconds
            done += 1
            if progress is not None:
                progress(sequence.name, done, total)
        scores[sequence.name] = sequence_scores(rows, object_ids=object_ids)
        reports[sequence.name] = {
            **scores[sequence.name].scores,
            "frames": len(rows),
            "missing_frames": missing,
            "objects": {str(key): value for key, value in scores[sequence.name].objects.items()},
        }
    result = {
        "benchmark": "davis",
        "year": year,
        "split": found.name,
        "model": model or getattr(tracker, "model", type(tracker).__name__),
        "config": config_of(tracker),
        "scores": dataset_scores(scores),
        "sequences": reports,
        "frames": total,
        "seconds": seconds,
        "frames_per_second": total / seconds if seconds > 0 else 0.0,
    }
    if folder is not None:
        write_json(folder / "result.json", result)
    return result


def _resolution(base: Path) -> str:
    """`480p` when there, else the only resolution folder that has images and annotations."""
    there = sorted(
        folder.name
        for folder in (base / "JPEGImages").iterdir()
        if folder.is_dir() and (base / "Annotations" / folder.name).is_dir()
    )
    if "480p" in there:
        return "480p"
    if len(there) == 1:
        return there[0]
    raise LayoutError(
        f"'{base}' needs JPEGImages/480p and Annotations/480p, or one other resolution in both; "
        f"found {', '.join(there) or 'none'}"
    )


def _split_file(base: Path, *, year: Year, resolution: str, split: str | None) -> Path:
    sets = base / "ImageSets"
    folders = (sets / str(year), sets / resolution, sets)
    lists = next((found for folder in folders if (found := sorted(folder.glob("*.txt")))), [])
    by_name = {path.stem: path for path in lists}
    if not by_name:
        raise LayoutError(
            f"'{sets}' holds no list for {year}; expected {year}/val.txt or {resolution}/val.txt"
        )
    wanted = split or ("val" if "val" in by_name or len(by_name) > 1 else next(iter(by_name)))
    if wanted not in by_name:
        raise LayoutError(
            f"'{lists[0].parent}' holds no {wanted}.txt; choose a split from {', '.join(by_name)}"
        )
    return by_name[wanted]


def _read_list(path: Path) -> list[str]:
    """Sequence names in order, from lines with a name each or the pair lines of DAVIS 2016."""
    lines = path.read_text("utf-8-sig").splitlines()
    parts = [line.split()[0].strip("/").split("/") for line in lines if line.strip()]
    names = [part[-2] if len(part) > 1 else part[0] for part in parts]
    if not names:
        raise LayoutError(f"'{path}' is empty; expected a sequence name per line")
    return list(dict.fromkeys(names))


def _read_sequence(base: Path, *, resolution: str, name: str) -> DavisSequence:
    folder, truth = (base / kind / resolution / name for kind in ("JPEGImages", "Annotations"))
    for path in (folder, truth):
        if not path.is_dir():
            raise LayoutError(f"'{path}' is missing; the list names the sequence '{name}'")
    images, annotations = _frame_files(folder), _frame_files(truth)
    if len(images) < 3:
        raise LayoutError(
            f"'{folder}' holds {len(images)} frames; at least 3 are needed, as the first and last "
            "are not scored"
        )
    if alone := {path.stem for path in images} ^ {path.stem for path in annotations}:
        raise LayoutError(
            f"'{folder}' and '{truth}' must hold the same frames; {min(alone)} is in only one"
        )
    return DavisSequence(name=name, folder=folder, images=images, annotations=annotations)


def _frame_files(folder: Path) -> tuple[Path, ...]:
    files = (path for path in sorted(folder.iterdir()) if not path.name.startswith("."))
    return tuple(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)


def _first_objects(sequence: DavisSequence, *, year: Year) -> list[int]:
    ids = np.unique(read_annotation(sequence.annotations[0], year=year))
    if not ids.any():
        raise LayoutError(f"'{sequence.annotations[0]}' marks no object; nothing can be tracked")
    return ids[ids != 0].tolist()


def _score_frames(
    sequence: DavisSequence,
    *,
    tracker: MaskTracker,
    year: Year,
    object_ids: list[int],
    masks: Path | None,
) -> Iterator[_ScoredFrame]:
    """Track, score and (with a folder `masks`) save one sequence, frame by frame."""
    predictions = _predictions(sequence, tracker=tracker, year=year)
    for path, (mask, seconds) in zip(sequence.annotations, predictions, strict=True):
        truth = read_annotation(path, year=year)
        scores = frame_scores(mask, truth, object_ids=object_ids)
        if masks is not None:
            write_mask(masks / f"{path.stem}.png", np.zeros_like(truth) if mask is None else mask)
        yield _ScoredFrame(scores=scores, missing=mask is None, seconds=seconds)


def _predictions(
    sequence: DavisSequence, *, tracker: MaskTracker, year: Year
) -> Iterator[tuple[np.ndarray | None, float]]:
    """One (mask or None, tracker seconds) per frame of the sequence, in order."""
    frames, expected = len(sequence.images), 0
    first = read_annotation(sequence.annotations[0], year=year)
    tracked = iter(tracker.track(sequence.folder, masks={0: first}))
    while True:
        began = time.perf_counter()
        frame = _next_frame(tracked)
        spent = time.perf_counter() - began
        if frame is None:
            break
        if not expected <= frame.index < frames:
            raise InputError(
                f"{sequence.name}: expected frames {expected} to {frames - 1} in order from the "
                f"tracker; got frame {frame.index}"
            )
        yield from [(None, 0.0)] * (frame.index - expected)
        yield frame.mask, spent
        expected = frame.index + 1
    yield from [(None, 0.0)] * (frames - expected)


def _next_frame(tracked: Iterator[LabelledFrame]) -> LabelledFrame | None:
    """The next frame, or None at the end, which a damaged stream reaches early."""
    try:
        return next(tracked, None)
    except DamagedVideoError:
        return None
