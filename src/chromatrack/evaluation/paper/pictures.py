"""The frames of the paper's report: colours copied, masks and joints tracked, beside the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chromatrack.evaluation.datasets.badja import BadjaClip, PointTracker, track_joints
from chromatrack.evaluation.datasets.davis import DavisSequence, DavisSplit, Year, read_annotation
from chromatrack.evaluation.paper.page import JF
from chromatrack.evaluation.runner import Result
from chromatrack.formats.masks import read_mask
from chromatrack.structures import TrackedPoint
from chromatrack.video.picture_files import opened_picture, read_rgb
from chromatrack.video.reader import read_frame
from chromatrack.viz.overlays import contact_sheet, overlay_masks
from chromatrack.viz.track_overlays import overlay_points

COLUMNS = 5
"""Frames of a sequence in a picture."""

SHEETS = 3
"""Sequences, or clips, that are shown."""

Pictures = list[tuple[str, Any]]
"""(caption, PIL image) each."""


def color_sheets(folder: Path) -> Pictures:
    """The sheets that `horizon_benchmark` left in its folder, those of the longest clips first."""
    paths = sorted((folder / "horizons").glob("*.png"), key=lambda p: (-_width(p), p.name))
    pictures: Pictures = []
    for path in paths[:SHEETS]:
        pictures.append((f"Colours copied to later frames: {path.stem}", read_rgb(path)))
    return pictures


def _width(path: Path) -> int:
    with opened_picture(path) as image:
        return image.width


def chosen_sequences(result: Result) -> list[str]:
    """The sequences with the best, the median and the worst J&F, by name."""
    order = sorted(result["sequences"], key=lambda name: -result["sequences"][name][JF])
    picked = [order[0], order[len(order) // 2], order[-1]]
    return list(dict.fromkeys(picked))


def mask_sheets(
    split: DavisSplit, masks: Mapping[str, Result], output: Path, *, year: Year
) -> Pictures:
    """Best, median and worst sequence of the first method: the truth above, every method below.

    Args:
        masks: results by method, whose masks lie in output/masks-METHOD/masks/SEQUENCE.
    """
    first = next(iter(masks.values()))
    wanted = dict(zip(chosen_sequences(first), ("best", "median", "worst"), strict=False))
    pictures: Pictures = []
    for sequence in (s for s in split.sequences if s.name in wanted):
        score = first["sequences"][sequence.name][JF]
        caption = f"{sequence.name}, the {wanted[sequence.name]}: J&F {score:.3f}"
        pictures.append((caption, Image.fromarray(_mask_sheet(sequence, masks, output, year))))
    return pictures


def _mask_sheet(
    sequence: DavisSequence, masks: Mapping[str, Result], output: Path, year: Year
) -> np.ndarray:
    at = np.linspace(0, len(sequence.images) - 1, COLUMNS).round().astype(int).tolist()
    frames = [np.asarray(read_rgb(sequence.images[index])) for index in at]
    truth = [read_annotation(sequence.annotations[index], year=year) for index in at]
    rows = [[overlay_masks(f, m) for f, m in zip(frames, truth, strict=True)]]
    for name in masks:
        folder = output / f"masks-{name}" / "masks" / sequence.name
        found = [read_mask(folder / f"{sequence.annotations[index].stem}.png") for index in at]
        rows.append([overlay_masks(f, m) for f, m in zip(frames, found, strict=True)])
    return contact_sheet(
        rows,
        row_titles=["truth", *masks],
        column_titles=[f"frame {index}" for index in at],
        cell_height=120,
    )


def pose_sheets(clips: Sequence[BadjaClip], tracker: PointTracker) -> Pictures:
    """Joints of animals: the truth above, those tracked from the first frame below.

    Joints have the same numbers and colours in both rows; only those annotated are shown above.
    """
    pictures: Pictures = []
    for clip in clips[:SHEETS]:
        found = track_joints(clip, tracker=tracker)
        at = np.linspace(0, len(clip.frames) - 1, COLUMNS).round().astype(int).tolist()
        numbers = [clip.frames[row] for row in at]
        frames = [read_frame(clip.folder, index=number).rgb for number in numbers]
        rows = [
            [
                overlay_points(f, _joints(clip, places[row]))
                for f, row in zip(frames, at, strict=True)
            ]
            for places in (clip.joints, found)
        ]
        sheet = contact_sheet(
            rows,
            row_titles=["truth", "tracked"],
            column_titles=[f"frame {number}" for number in numbers],
            cell_height=120,
        )
        pictures.append((f"Joints of {clip.name}", Image.fromarray(sheet)))
    return pictures


def _joints(clip: BadjaClip, places: np.ndarray) -> dict[int, TrackedPoint]:
    """The joints of one frame that are somewhere; those hidden at the start were not tracked."""
    return {
        joint: TrackedPoint(float(x), float(y), visible=True, confidence=1.0)
        for joint, (x, y), given in zip(clip.joint_ids, places, clip.visible[0], strict=True)
        if given and not np.isnan(x)
    }
