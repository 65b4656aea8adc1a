"""Benchmark results as tables: for the terminal (rich) and for documents (markdown)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

SEQUENCE_COLUMNS = ("J&F-Mean", "J-Mean", "F-Mean", "J-Recall", "F-Recall", "J-Decay", "F-Decay")
"""The columns shown, out of `metrics.SCORE_COLUMNS`."""

ATTRIBUTE_COLUMNS = (
    "attribute", "sequences", "J&F-Mean", "J-Mean", "F-Mean", "J&F without", "difference"
)  # fmt: skip


def davis_table(result: Mapping[str, Any]) -> Table:
    """Terminal table of a result of `davis.davis_benchmark`: a row per sequence, then all objects.

    Scores are fractions with three decimals; the caption names model, frames and speed.
    """
    from rich.table import Table

    title = f"DAVIS {result['settings']['year']} {result['settings']['split']}"
    caption = f"{result['model']}, {result['frames']} frames"
    if result["frames_per_second"] > 0:
        caption += f", {result['frames_per_second']:.1f} frames/s"
    if result["resumed"]:
        caption += f"; {len(result['resumed'])} sequences from an earlier run"
    table = Table(title=title, caption=caption, show_footer=True)
    *rows, total = _rows(result)
    table.add_column("sequence", footer=total[0])
    for name, footer in zip(SEQUENCE_COLUMNS, total[1:], strict=True):
        table.add_column(name, footer=footer, justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def benchmark_table(result: Mapping[str, Any], columns: Sequence[str]) -> Table:
    """Terminal table of a result of `benchmark.evaluate`: a row per clip, then the scores of all.

    columns: of the scores; a clip's that is missing or None is left empty, as is one of all.
    """
    from rich.table import Table

    chosen = [str(v) for v in result["settings"].values() if v is not None and v is not True]
    speed = f"{result['frames']} frames, {result['frames_per_second']:.1f} frames/s"
    table = Table(
        title=" ".join([result["benchmark"], *chosen]),
        caption=f"{result['model']}, {speed}",
        show_footer=True,
    )
    table.add_column("clip", footer=f"all ({len(result['sequences'])})")
    total = _cells(result["scores"], columns)
    for name, footer in zip(columns, total, strict=True):
        table.add_column(name, footer=footer, justify="right")
    for name, report in result["sequences"].items():
        table.add_row(name, *_cells(report, columns))
    return table


def _cells(scores: Mapping[str, float | None], columns: Sequence[str]) -> list[str]:
    found = [scores.get(column) for column in columns]
    return ["" if score is None else f"{score:.3f}" for score in found]


def davis_markdown(result: Mapping[str, Any]) -> str:
    """The table of `davis_table` in markdown, ending in a newline; the last row is the total."""
    header = ("sequence", *SEQUENCE_COLUMNS)
    lines = [header, ("---", *["---:"] * len(SEQUENCE_COLUMNS)), *_rows(result)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def attributes_table(result: Mapping[str, Any]) -> Table:
    """Terminal table of a result's "attributes": a row for each, the worst difference first."""
    from rich.table import Table

    table = Table(title="by attribute")
    for name in ATTRIBUTE_COLUMNS:
        table.add_column(name, justify="left" if name == "attribute" else "right")
    for row in _attribute_rows(result):
        table.add_row(*row)
    return table


def attributes_markdown(result: Mapping[str, Any]) -> str:
    """The table of `attributes_table` in markdown, ending in a newline."""
    lines = [ATTRIBUTE_COLUMNS, ("---", *["---:"] * 6), *_attribute_rows(result)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def table_text(table: Table) -> str:
    """A rich table as text: as narrow as the terminal, 120 columns where stdout is none."""
    import sys

    from rich import box
    from rich.console import Console

    table.box, table.padding = box.SIMPLE, 0
    console = Console(width=None if sys.stdout.isatty() else 120)
    with console.capture() as shown:
        console.print(table)
    return shown.get().rstrip("\n")


def comparison_markdown(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown table of several results, {name shown: result}: a row of total scores each."""
    header = ("method", *SEQUENCE_COLUMNS)
    rows = [(name, *_numbers(result["scores"])) for name, result in results.items()]
    lines = [header, ("---", *["---:"] * len(SEQUENCE_COLUMNS)), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _rows(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Text cells: one row per sequence in the result's order, then the mean over all objects."""
    for name, scores in result["sequences"].items():
        yield (name, *_numbers(scores))
    objects = sum(len(scores["objects"]) for scores in result["sequences"].values())
    yield (f"all ({objects} objects)", *_numbers(result["scores"]))


def _attribute_rows(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Text cells; an attribute that all sequences have cannot be compared, and comes last."""

    def difference(row: Mapping[str, Any]) -> float:
        return math.inf if row["difference"] is None else row["difference"]["J&F-Mean"]

    for name, row in sorted(result["attributes"].items(), key=lambda item: difference(item[1])):
        inside, outside = row["with"], row["without"]
        scores = [f"{inside[column]:.3f}" for column in ("J&F-Mean", "J-Mean", "F-Mean")]
        without = "" if outside is None else f"{outside['J&F-Mean']:.3f}"
        change = "" if outside is None else f"{difference(row):+.3f}"
        yield (name, str(inside["sequences"]), *scores, without, change)


def _numbers(scores: Mapping[str, float]) -> Iterator[str]:
    return (f"{scores[name]:.3f}" for name in SEQUENCE_COLUMNS)
