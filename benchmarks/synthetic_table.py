"""The table that `synthetic.py` prints: one clip's scores, their means per scene, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from chromatrack.evaluation.synthetic.scenes import SCENES


@dataclass
class Row:
    """Scores of one clip; None where it was not measured or does not apply."""

    scene: str
    seed: int
    frames: int
    hidden: int
    j: float | None = None
    box_auc: float | None = None
    point_median: float | None = None
    points_near: float | None = None
    visibility: float | None = None
    pck: float | None = None
    refound: list[bool] = field(default_factory=list)
    wrong: list[bool] = field(default_factory=list)
    present_hidden: list[float] = field(default_factory=list)


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of what is there."""
    there = [v for v in values if v is not None and not math.isnan(v)]
    return float(np.mean(there)) if there else None


def table(rows: Sequence[Row]) -> str:
    """The scores of every scene as markdown."""
    head = (
        "scene", "clips", "J", "box AUC", "point median px", "points <= 4 px", "visibility",
        "PCK@0.2", "re-found", "look-alike taken", "present while hidden",
    )  # fmt: skip
    lines = [head, ("---",) + ("---:",) * (len(head) - 1)]
    for name in SCENES:
        chosen = [row for row in rows if row.scene == name]
        if chosen:
            lines.append((name, str(len(chosen)), *summary(chosen)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summary(rows: Sequence[Row]) -> list[str]:
    """One table line of clips of one scene, all but its name and count."""
    medians = [row.point_median for row in rows if row.point_median is not None]
    number, percent = "{:.3f}".format, "{:.0%}".format
    cells: list[tuple[float | None, Callable[[float], str]]] = [
        (mean(row.j for row in rows), number),
        (mean(row.box_auc for row in rows), number),
        (float(np.median(medians)) if medians else None, "{:.2f}".format),
        (mean(row.points_near for row in rows), number),
        (mean(row.visibility for row in rows), number),
        (mean(row.pck for row in rows), number),
        (mean(float(v) for row in rows for v in row.refound), percent),
        (mean(float(v) for row in rows for v in row.wrong), percent),
        (mean(v for row in rows for v in row.present_hidden), percent),
    ]
    return ["" if value is None else form(value) for value, form in cells]


def to_json(rows: Sequence[Row]) -> str:
    """All rows; NaN becomes null, and an infinite error (most points missed) the word "inf"."""

    def plain(value: object) -> object:
        if isinstance(value, list):
            return [plain(item) for item in value]
        if not isinstance(value, float) or math.isfinite(value):
            return value
        return None if math.isnan(value) else "inf"

    records = [{key: plain(value) for key, value in asdict(row).items()} for row in rows]
    return json.dumps(records, indent=1)
