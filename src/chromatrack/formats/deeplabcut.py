"""DeepLabCut's tables of joints, as CSV and as HDF5.

Source: the layout that DeepLabCut writes: header rows `scorer`, with several animals `individuals`,
`bodyparts` and `coords`; columns x, y, likelihood of every joint; the first column counts frames.
A joint that is not seen has no x and y, because the table has no other way to say so.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chromatrack.formats.exchange import ExportOptions, need
from chromatrack.formats.poses import SOFTWARE, Poses, poses_of
from chromatrack.formats.tracked_video import TrackedVideo

SCORER = SOFTWARE
COORDS = ("x", "y", "likelihood")
KEY = "df_with_missing"
"""What DeepLabCut calls the table in an HDF5 file."""


def write_csv(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write the table as CSV, px to a thousandth."""
    poses, notes = poses_of(tracked)
    columns = _columns(poses)
    levels = _levels(poses)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        for place, level in enumerate(levels):
            table.writerow([level, *(column[place] for column in columns)])
        numbers = options.numbers(tracked.frames).tolist()
        for number, row in zip(numbers, _values(poses), strict=True):
            table.writerow([number, *("" if math.isnan(v) else f"{v:.7g}" for v in row.tolist())])
    return notes


def write_h5(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write the table as HDF5, as pandas does.

    Raises:
        InputError: pandas or tables is not installed.
    """
    pandas = need("pandas", "pose", "deeplabcut-h5")
    need("tables", "pose", "deeplabcut-h5")
    poses, notes = poses_of(tracked)
    frame = pandas.DataFrame(
        _values(poses),
        columns=pandas.MultiIndex.from_tuples(_columns(poses), names=_levels(poses)),
        index=options.numbers(tracked.frames),
    )
    frame.to_hdf(path, key=KEY, format="table", mode="w")
    return notes


def _levels(poses: Poses) -> list[str]:
    """Names of the header rows."""
    many = ["individuals"] if len(poses.individuals) > 1 else []
    return ["scorer", *many, "bodyparts", "coords"]


def _columns(poses: Poses) -> list[tuple[str, ...]]:
    """The header of every column."""
    many = len(poses.individuals) > 1
    return [
        (SCORER, *([name] if many else []), joint, coord)
        for name in poses.individuals
        for joint in poses.skeleton.names
        for coord in COORDS
    ]


def _values(poses: Poses) -> np.ndarray:
    """(N, I * J * 3) x, y, likelihood of every joint."""
    table = np.concatenate([np.round(poses.seen, 3), poses.confidence[..., None]], axis=-1)
    return table.reshape(len(table), -1)
