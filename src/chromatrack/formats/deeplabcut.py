"""DeepLabCut's tables of joints, as CSV and as HDF5.

Source: the layout that DeepLabCut writes: header rows `scorer`, with several animals `individuals`,
`bodyparts` and `coords`; columns x, y, likelihood of every joint; the first column counts frames.
A joint that is not seen has no x and y, because the table has no other way to say so.

Labels that people made (`CollectedData_*`) have the same layout without likelihood; the first
column, or the first three, name the picture of a row.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.exchange import ExportOptions, need
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.picture_names import NamedPicture, folder_of
from chromatrack.formats.poses import SOFTWARE, Poses, poses_of
from chromatrack.formats.text_encoding import file_encoding
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.structures import KeypointMark, Skeleton

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
        for _, number, row in zip(tracked.each_frame(), numbers, _values(poses), strict=True):
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


# -- reading labels --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Labels:
    """A table of labels: the header of each column, and per row the picture's name and the cells.

    columns: (individual or "", joint, "x" or "y" or another). rows: (place, name, values), NaN
    where a cell is empty.
    """

    columns: list[tuple[str, str, str]]
    rows: list[tuple[str, str, list[float]]]


def read_labels(
    path: str | PathLike[str], source: MarkedSource
) -> tuple[Skeleton, list[KeypointMark]]:
    """Read the labels that people made: `CollectedData_NAME.csv` or `.h5`.

    The skeleton has all joints of the file, in its order, and no edges, which are in DeepLabCut's
    config.yaml. An individual is numbered by its order, from 1. What is not labelled is not marked.

    Args:
        source: the video they are for: says what a picture's name means, and which video of several
            it is; it keeps what individuals are called.

    Raises:
        InputError: no such file, not such a table, a picture that is none of the video's, or no
            labels; for HDF5, pandas or tables is not installed.
    """
    file = Path(path)
    labels = _read_h5(file) if file.suffix.lower() in (".h5", ".hdf5") else _read_csv(file)
    joints = tuple(dict.fromkeys(joint for _, joint, _ in labels.columns))
    animals = list(dict.fromkeys(animal for animal, _, _ in labels.columns))
    marks: list[KeypointMark] = []
    rows = _of_this_video(labels, source, str(path))
    given = [NamedPicture(place, (name,)) for place, name, _ in rows]
    for (place, _, values), frame in zip(rows, source.frames(given), strict=True):
        places = np.full((len(animals), len(joints), 2), np.nan)
        for (animal, joint, coord), value in zip(labels.columns, values, strict=True):
            if coord in ("x", "y"):
                if math.isinf(value):
                    raise InputError(
                        f"{place}: {joint}: expected px or an empty cell, got {value}; correct it"
                    )
                axis = ("x", "y").index(coord)
                places[animals.index(animal), joints.index(joint), axis] = value
        places[~np.isfinite(places).all(axis=-1)] = np.nan
        for number, xy in enumerate(places, start=1):
            if np.isfinite(xy).any():
                marks.append(KeypointMark(number, frame, xy, np.zeros(len(joints), dtype=bool)))
    if not marks:
        raise InputError(f"'{path}': expected at least one labelled joint, got none; label some")
    for number, animal in enumerate(animals, start=1):
        source.call("keypoints", number, animal)
    return Skeleton(joints, ()), marks


def _of_this_video(
    labels: _Labels, source: MarkedSource, place: str
) -> list[tuple[str, str, list[float]]]:
    """Rows of the video at hand, where pictures lie in the folders of several."""
    folders = {folder_of(name) for _, name, _ in labels.rows}
    if len(folders) < 2:
        return labels.rows
    chosen = source.video_among({folder: {folder} for folder in sorted(folders)}, place)
    return [row for row in labels.rows if folder_of(row[1]) == chosen]


def _read_csv(path: Path) -> _Labels:
    try:
        with path.open(encoding=file_encoding(path), newline="") as file:
            table = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except FileNotFoundError as error:
        raise InputError(f"no file '{path}'; check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"'{path}': expected UTF-8 text, but it cannot be read ({error}); save it again"
        ) from error
    except (OSError, csv.Error) as error:
        raise _no_table(path, str(error)) from error
    names = [row[0].strip().lower() for row in table[:4]]
    top = names.index("coords") + 1 if "coords" in names else len(names)
    heads = dict(zip(names[:top], table, strict=False))
    if not {"scorer", "bodyparts", "coords"} <= heads.keys():
        raise _no_table(path, f"its first column begins with {', '.join(heads) or 'nothing'}")
    first = next((n for n, cell in enumerate(heads["coords"]) if cell.strip() == "x"), 0)
    width = len(heads["coords"])
    animals = heads.get("individuals", [""] * width)
    if not first or not len(animals) == len(heads["bodyparts"]) == width:
        raise _no_table(path, "its header rows do not fit each other")
    columns = list(
        zip(
            *(list(map(str.strip, row[first:])) for row in (animals, heads["bodyparts"])),
            [cell.strip() for cell in heads["coords"][first:]],
            strict=True,
        )
    )
    rows = []
    for line, row in enumerate(table[top:], start=top + 1):
        place = f"'{path}', line {line}"
        if len(row) != width:
            raise InputError(f"{place}: expected {width} cells as in the header, got {len(row)}")
        rows.append((place, "/".join(row[:first]), [_number(cell, place) for cell in row[first:]]))
    return _Labels(columns, rows)


def _number(cell: str, place: str) -> float:
    if not cell.strip():
        return math.nan
    try:
        return float(cell)
    except ValueError as error:
        raise InputError(
            f"{place}: expected px or an empty cell, got {cell!r:.40}; correct it"
        ) from error


def _read_h5(path: Path) -> _Labels:
    if not path.is_file():
        raise InputError(f"no file '{path}'; check the path")
    pandas = need("pandas", "pose", "labels of DeepLabCut in HDF5")
    need("tables", "pose", "labels of DeepLabCut in HDF5")
    try:
        table = pandas.read_hdf(path)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:  # HDF5's are the last
        raise _no_table(path, str(error).strip().rpartition("\n")[2]) from error
    columns_of: Any = getattr(table, "columns", None)
    names = [] if columns_of is None else [str(name).lower() for name in columns_of.names]
    if not {"bodyparts", "coords"} <= set(names):
        raise _no_table(path, f"its columns are of {', '.join(names)}")
    columns = []
    for column in table.columns:
        said = dict(zip(names, map(str, column), strict=True))
        columns.append((said.get("individuals", ""), said["bodyparts"], said["coords"]))
    try:
        cells = table.to_numpy(dtype=np.float64).tolist()
    except (ValueError, TypeError) as error:
        raise _no_table(path, f"a cell is no number: {error}") from error
    rows = []
    for index, values in zip(table.index, cells, strict=True):
        name = "/".join(map(str, index)) if isinstance(index, tuple) else str(index)
        rows.append((f"'{path}', {name}", name, values))
    return _Labels(columns, rows)


def _no_table(path: Path, found: str) -> InputError:
    return InputError(
        f"'{path}': expected labels of DeepLabCut, with the rows scorer, bodyparts and coords on "
        f"top ({found:.120}); give a CollectedData file"
    )
