"""Scores by attribute: of sequences with occlusion, fast motion, ..., and of those without.

    sequence,set,frames,attributes
    bear,train,82,DEF
    bmx-trees,val,80,LR SV SC FM

Of the columns only `sequence` and `attributes` are needed; attributes are separated by spaces. The
authors of DAVIS 2016 publish 16 attributes of its sequences (Perazzi et al. 2016).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.csv_tables import table_rows

COLUMNS = ("sequence", "attributes")
MEANS = ("J&F-Mean", "J-Mean", "F-Mean")
"""The scores that are shown by attribute."""

DAVIS_ATTRIBUTES = {
    "AC": "appearance change", "BC": "background clutter", "CS": "camera shake",
    "DB": "dynamic background", "DEF": "deformation", "EA": "edge ambiguity", "FM": "fast motion",
    "HO": "heterogeneous object", "IO": "interacting objects", "LR": "low resolution",
    "MB": "motion blur", "OCC": "occlusion", "OV": "out of view", "ROT": "rotation",
    "SC": "shape complexity", "SV": "scale variation",
}  # fmt: skip
"""What the codes of DAVIS 2016 stand for (Perazzi et al. 2016)."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def read_attributes(path: str | PathLike[str]) -> dict[str, tuple[str, ...]]:
    """Read the attributes of every sequence, in the file's order; () for one without any.

    Raises:
        InputError: no such file, no text, no such columns, or a row that is not as these say.
    """
    found: dict[str, tuple[str, ...]] = {}
    for row in table_rows(path, COLUMNS):
        name, text = (row.cells[column] for column in COLUMNS)
        if not name:
            raise InputError(f"{row.place}: expected the name of a sequence, got an empty cell")
        if name in found:
            raise InputError(f"{row.place}: the sequence '{name}' is there twice")
        wrong = [word for word in text.split() if not NAME.fullmatch(word)]
        if wrong:
            raise InputError(
                f"{row.place}: expected names of attributes, separated by spaces, got "
                f"{wrong[0]!r:.40}"
            )
        found[name] = tuple(dict.fromkeys(text.split()))
    if not found:
        raise InputError(f"'{path}': expected a row for every sequence, got none")
    return found


def check_attributes(attributes: Mapping[str, Sequence[str]], sequences: Iterable[str]) -> None:
    """Check that every sequence has its row.

    Raises:
        InputError: one has none.
    """
    missing = [name for name in sequences if name not in attributes]
    if missing:
        raise InputError(
            f"attributes: expected a row for every measured sequence; none for {', '.join(missing)}"
        )


def attribute_table(
    result: Mapping[str, Any], attributes: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Mean scores over the sequences with each attribute, and over those without.

    A sequence counts once, however many objects it has.

    Args:
        result: of DAVIS: "sequences" has the scores of each.
        attributes: of each of these sequences, at least.

    Returns:
        {attribute: {"with": {"sequences": count, "J&F-Mean", "J-Mean", "F-Mean"}, "without": the
        same, or None if all have it, "difference": {"J&F-Mean", ...} with minus without, or
        None}}, by name; only attributes that a measured sequence has.

    Raises:
        InputError: a sequence of the result has no attributes' row.
    """
    reports = result["sequences"]
    check_attributes(attributes, reports)
    names = sorted({attribute for name in reports for attribute in attributes[name]})
    return {name: _split(name, reports, attributes) for name in names}


def _split(
    attribute: str,
    reports: Mapping[str, Mapping[str, float]],
    attributes: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    has = [report for name, report in reports.items() if attribute in attributes[name]]
    lacks = [report for name, report in reports.items() if attribute not in attributes[name]]
    inside, outside = _means(has), _means(lacks) if lacks else None
    difference = outside and {column: inside[column] - outside[column] for column in MEANS}
    return {"with": inside, "without": outside, "difference": difference}


def _means(reports: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    means = {column: float(np.mean([report[column] for report in reports])) for column in MEANS}
    return {"sequences": len(reports), **means}
