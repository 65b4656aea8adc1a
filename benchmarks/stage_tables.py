"""What the benchmark of stages found, as numbers side by side and as tables (Markdown)."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

NONE = ""

BY_PRODUCTS = ("encoder", "pointer", "recall", "reliability", "mask decoder")
"""How the names of stages begin that compute convolutions or matrix products above all."""


@dataclass(frozen=True)
class Spread:
    """Of milliseconds. per_second: how many follow each other in a second, by their mean."""

    p50: float
    p95: float
    per_second: float

    @classmethod
    def of(cls, ms: Sequence[float]) -> Spread:
        """Of at least one number."""
        p50, p95 = np.percentile(ms, [50, 95])
        return cls(float(p50), float(p95), 1000 / statistics.fmean(ms))


@dataclass(frozen=True)
class Ratio:
    """After over before, pair by pair: the median, the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, before: Sequence[float], after: Sequence[float]) -> Ratio:
        """Of numbers that were measured next to each other."""
        each = [b / a for a, b in zip(before, after, strict=True)]
        return cls(statistics.median(each), min(each), max(each))

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.least:.3f}, {self.most:.3f}]"


def floor_ms(operations: float, *, rate: float) -> float:
    """The least time for operations at a rate of so many a second, milliseconds."""
    return 1000 * operations / rate


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; all columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(map(table_line, lines))


def table_line(cells: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


# -- stages ----------------------------------------------------------------------------------


def stage_rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The stages with what follows from their times, those of every frame's way first.

    share: of the sum of the medians on the way. floor_ms: of the operations that are needed, at the
    best rate of a matrix product; over_floor: median over that. Left out for stages that are no
    `BY_PRODUCTS`: their operations say nothing of their time.
    """
    rate = max(found["gemm"])
    total = sum(Spread.of(s["ms"]).p50 for s in found["stages"] if s["in_path"])
    rows = []
    for stage in sorted(found["stages"], key=lambda stage: not stage["in_path"]):
        spread = Spread.of(stage["ms"])
        row = {key: stage[key] for key in ("name", "in_path", "operations", "needed", "peak_mib")}
        row |= {"p50_ms": spread.p50, "p95_ms": spread.p95, "per_second": spread.per_second}
        if stage["in_path"]:
            row["share"] = spread.p50 / total
        counted = stage["operations"] if stage["needed"] is None else stage["needed"]
        if counted and stage["name"].startswith(BY_PRODUCTS):
            row["floor_ms"] = floor_ms(counted, rate=rate)
            row["over_floor"] = spread.p50 / row["floor_ms"]
        rows.append(row)
    return rows


def full_row(full: Mapping[str, Any], *, rate: float) -> dict[str, Any]:
    """The plain full matrix as a row; its floor is of all that it computes."""
    row = stage_rows(
        {
            "gemm": [rate],
            "stages": [
                {**full, "name": "pointer, plain full matrix", "in_path": False, "needed": None}
            ],
        }
    )[0]
    return row


def stage_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `stage_rows` and `full_row`."""
    head = ["stage", "p50 ms", "p95 ms", "per second", "share", "peak MiB"]
    head += ["GFLOP", "needed", "floor ms", "time / floor"]
    return table(head, [_stage_cells(row) for row in rows])


def stage_line(row: Mapping[str, Any]) -> str:
    """One more line for `stage_table`."""
    return table_line(_stage_cells(row))


def _stage_cells(row: Mapping[str, Any]) -> list[str]:
    name = row["name"] if row["in_path"] else f"({row['name']})"
    return [
        name,
        f"{row['p50_ms']:.1f}",
        f"{row['p95_ms']:.1f}",
        f"{row['per_second']:.1f}",
        _text(row.get("share"), "{:.1%}"),
        _text(row["peak_mib"], "{:.0f}"),
        _text(row["operations"] / 1e9 or None, "{:.2f}"),
        _text(None if row["needed"] is None else row["needed"] / 1e9, "{:.2f}"),
        _text(row.get("floor_ms"), "{:.2f}"),
        _text(row.get("over_floor"), "{:.1f}"),
    ]


def _text(value: float | None, form: str) -> str:
    return NONE if value is None else form.format(value)


def notes(rows: Sequence[Mapping[str, Any]], *, frame_ms: float | None) -> list[str]:
    """What the rows say together: sum of the stages, full matrix against the pointer."""
    by_name = {row["name"]: row for row in rows}
    total = sum(row["p50_ms"] for row in rows if row["in_path"])
    lines = [f"sum of the stages on the way: {total:.1f} ms"]
    if frame_ms is not None:
        lines[0] += f"; a frame end to end: {frame_ms:.1f} ms"
    full = by_name.get("pointer, plain full matrix")
    for name in ("pointer", "pointer, every cell"):
        if full is not None and name in by_name:
            times = full["p50_ms"] / by_name[name]["p50_ms"]
            lines.append(f"plain full matrix: {times:.1f} times the time of `{name}`")
    return lines


# -- end to end ------------------------------------------------------------------------------


def end_to_end_row(found: Mapping[str, Any]) -> dict[str, float]:
    """frames/s from the start of the call to its end; latency from one frame to the next."""
    spread = Spread.of(found["latency_ms"])
    return {
        "frames": found["frames"],
        "frames_per_second": found["frames"] / found["seconds"],
        "p50_ms": spread.p50,
        "p95_ms": spread.p95,
        "peak_mib": found["peak_mib"],
    }


def end_to_end_table(rows: Sequence[Mapping[str, float]]) -> str:
    """The rows of `end_to_end_row`."""
    head = ["end to end, frames", "frames/s", "p50 ms", "p95 ms", "peak MiB"]
    return table(head, [[f"{row['frames']:.0f}", *_end_to_end_cells(row)] for row in rows])


def _end_to_end_cells(row: Mapping[str, float]) -> list[str]:
    return [
        f"{row['frames_per_second']:.2f}",
        f"{row['p50_ms']:.1f}",
        f"{row['p95_ms']:.1f}",
        f"{row['peak_mib']:.0f}",
    ]


# -- two commits -----------------------------------------------------------------------------

PAIRED = ("frames_per_second", "p50_ms", "p95_ms", "peak_mib")


def pair_rows(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What both commits took, medians over the runs, and the ratios of each pair of runs.

    differing: files that are not the same to the byte in the last runs, or are of one alone.
    """
    sides = [[end_to_end_row(run) for run in runs] for runs in (before, after)]
    columns = [{key: [row[key] for row in rows] for key in PAIRED} for rows in sides]
    names = set(before[-1]["results"]) | set(after[-1]["results"])
    return {
        "frames": sides[1][0]["frames"],
        "before": {key: statistics.median(values) for key, values in columns[0].items()},
        "after": {key: statistics.median(values) for key, values in columns[1].items()},
        "ratio": {key: Ratio.of(columns[0][key], columns[1][key]).__dict__ for key in PAIRED},
        "differing": sorted(
            name
            for name in names
            if before[-1]["results"].get(name) != after[-1]["results"].get(name)
        ),
        "files": len(names),
    }


def pair_table(found: Mapping[str, Any], *, name: str) -> str:
    """Both commits and their ratio, as `pair_rows` has them."""
    ratios = [str(Ratio(**found["ratio"][key])) for key in PAIRED]
    return table(
        [f"{found['frames']:.0f} frames", "frames/s", "p50 ms", "p95 ms", "peak MiB"],
        [
            [name, *_end_to_end_cells(found["before"])],
            ["this tree", *_end_to_end_cells(found["after"])],
            ["ratio [least, most]", *ratios],
        ],
    )


def sameness(found: Mapping[str, Any]) -> str:
    """Whether two commits wrote the same masks and tables."""
    differing = found["differing"]
    if not differing:
        return f"masks and tables: all {found['files']} files the same to the byte"
    first = ", ".join([*differing[:3], *(["..."] if len(differing) > 3 else [])])
    return f"masks and tables: {len(differing)} of {found['files']} files differ ({first})"
