"""Benchmark results as tables for the terminal (rich)."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

SEQUENCE_COLUMNS = ("J&F-Mean", "J-Mean", "F-Mean", "J-Recall", "F-Recall", "J-Decay", "F-Decay")
"""The columns shown of DAVIS, out of `metrics.masks.SCORE_COLUMNS`."""

ATTRIBUTE_COLUMNS = (
    "attribute", "sequences", "J&F-Mean", "J-Mean", "F-Mean", "J&F without", "difference"
)  # fmt: skip


def benchmark_table(
    result: Mapping[str, Any],
    *,
    title: str | None = None,
    columns: Sequence[str] | None = None,
    total: str | None = None,
) -> Table:
    """A row per clip of a result of `runner.evaluate`, then the scores of all.

    Scores are fractions with three decimals, empty where there is none; the caption names model,
    frames, speed and what was taken from an earlier run.

    Args:
        title: by default the benchmark and its settings. columns: of the scores, by default all.
        total: name of the last row, by default with the number of clips.
    """
    chosen = [str(v) for v in result["settings"].values() if v is not None and v is not True]
    caption = f"{result['model']}, {result['frames']} frames"
    if result["frames_per_second"] > 0:
        caption += f", {result['frames_per_second']:.1f} frames/s"
    if result["resumed"]:
        caption += f"; {len(result['resumed'])} sequences from an earlier run"
    columns = columns or list(result["scores"])
    clips = result["sequences"]
    return _table(
        title or " ".join([result["benchmark"], *chosen]),
        ["sequence", *columns],
        ([name, *_cells(report, columns)] for name, report in clips.items()),
        total=[total or f"all ({len(clips)})", *_cells(result["scores"], columns)],
        caption=caption,
    )


def davis_table(result: Mapping[str, Any]) -> Table:
    """The table of a result of `davis.davis_benchmark`, whose total is over objects."""
    objects = sum(len(report["objects"]) for report in result["sequences"].values())
    return benchmark_table(
        result,
        title=f"DAVIS {result['settings']['year']} {result['settings']['split']}",
        columns=SEQUENCE_COLUMNS,
        total=f"all ({objects} objects)",
    )


def joints_table(result: Mapping[str, Any]) -> Table:
    """A row for each of the "joints" of a result, all clips together."""
    columns = list(result["scores"])
    rows = ([name, *_cells(rates, columns)] for name, rates in result["joints"].items())
    return _table("per joint, all sequences", ["joint", *columns], rows)


def attributes_table(result: Mapping[str, Any]) -> Table:
    """A row for each of a result's "attributes", the worst difference first."""
    return _table("by attribute", ATTRIBUTE_COLUMNS, _attribute_rows(result["attributes"]))


def table_text(table: Table) -> str:
    """A rich table as text: as narrow as the terminal, 120 columns where stdout is none."""
    from rich import box
    from rich.console import Console

    table.box, table.padding = box.SIMPLE, 0
    console = Console(width=None if sys.stdout.isatty() else 120)
    with console.capture() as shown:
        console.print(table)
    return shown.get().rstrip("\n")


def _table(
    title: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    total: Sequence[str] = (),
    caption: str = "",
) -> Table:
    """Names to the left, numbers to the right; title and caption are not broken."""
    from rich.table import Table

    width = max(len(title), len(caption)) + 2
    table = Table(title=title, caption=caption, show_footer=bool(total), min_width=width)
    for number, name in enumerate(head):
        footer = total[number] if total else ""
        table.add_column(name, footer=footer, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _cells(scores: Mapping[str, float | None], columns: Sequence[str]) -> list[str]:
    found = [scores.get(column) for column in columns]
    return ["" if score is None else f"{score:.3f}" for score in found]


def _attribute_rows(attributes: Mapping[str, Any]) -> Iterator[list[str]]:
    """An attribute that all sequences have cannot be compared, and comes last."""

    def difference(row: Mapping[str, Any]) -> float:
        return math.inf if row["difference"] is None else row["difference"]["J&F-Mean"]

    for name, row in sorted(attributes.items(), key=lambda item: difference(item[1])):
        inside, outside = row["with"], row["without"]
        without = "" if outside is None else f"{outside['J&F-Mean']:.3f}"
        change = "" if outside is None else f"{difference(row):+.3f}"
        scores = _cells(inside, ATTRIBUTE_COLUMNS[2:5])
        yield [name, str(inside["sequences"]), *scores, without, change]
