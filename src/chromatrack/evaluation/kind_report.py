"""What the joint and box benchmarks share: clips by name, tracked frames in order, and tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from chromatrack.errors import DamagedVideoError, InputError

if TYPE_CHECKING:
    from rich.table import Table

Tick = Callable[[], None]
"""Called after every frame."""


class Indexed(Protocol):
    """A tracked frame that knows its number."""

    @property
    def index(self) -> int: ...  # 0-based frame number


AnyFrame = TypeVar("AnyFrame", bound=Indexed)
Found = TypeVar("Found")


def named(folders: Sequence[Path], base: Path) -> dict[str, Path]:
    """Folders at or below `base` by their own names; by their paths where two have one name."""
    counts = Counter(folder.name for folder in folders)
    return {
        folder.name
        if counts[folder.name] == 1
        else "-".join(folder.relative_to(base).parts): folder
        for folder in folders
    }


def chosen(found: Mapping[str, Found], names: Iterable[str] | None) -> dict[str, Found]:
    """The clips of these names, in their order; all that were found when None.

    Raises:
        InputError: a name that was not found, or no name.
    """
    if names is None:
        return dict(found)
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in found]
    if unknown or not wanted:
        some = ", ".join([*found][:12]) + (", ..." if len(found) > 12 else "")
        raise InputError(
            f"sequences to evaluate must be among {some}; got {', '.join(unknown) or 'none'}"
        )
    return {name: found[name] for name in wanted}


def in_order(
    tracked: Iterable[AnyFrame], *, name: str, start: int, end: int, tick: Tick | None = None
) -> Iterator[AnyFrame]:
    """The frames a tracker delivers; a stream that breaks off ends early, without an error.

    Args:
        tracked: frames `start` to `end` (exclusive), ascending; some may be missing.
        name: the clip, for the message.
        tick: called for every frame of the range, for those not delivered at the end.

    Raises:
        InputError: a frame outside that range, or one that is not after the one before.
    """
    frames, expected, left = iter(tracked), start, end - start
    while True:
        try:
            frame = next(frames, None)
        except DamagedVideoError:
            frame = None
        if frame is None:
            break
        if not expected <= frame.index < end:
            raise InputError(
                f"{name}: expected frames {expected} to {end - 1} in order from the tracker; "
                f"got frame {frame.index}"
            )
        yield frame
        expected, left = frame.index + 1, left - 1
        if tick is not None:
            tick()
    if tick is not None:
        for _ in range(left):
            tick()


def scores_table(result: Mapping[str, Any], *, title: str) -> Table:
    """Terminal table of a result of `benchmark.evaluate`: a row per clip, then the total.

    The columns are those of `scores`, fractions with three decimals, empty where there is none; the
    caption names model, frames and speed.
    """
    from rich.table import Table

    caption = (
        f"{result['model']}, {result['frames']} frames, {result['frames_per_second']:.1f} frames/s"
    )
    width = max(len(title), len(caption)) + 2  # else both are broken to the columns' width
    table = Table(title=title, caption=caption, show_footer=True, min_width=width)
    columns, clips = list(result["scores"]), result["sequences"]
    total = _texts(result["scores"], columns)
    table.add_column("sequence", footer=f"all ({len(clips)})")
    for column, footer in zip(columns, total, strict=True):
        table.add_column(column, footer=footer, justify="right")
    for name, report in clips.items():
        table.add_row(name, *_texts(report, columns))
    return table


def joints_table(result: Mapping[str, Any]) -> Table:
    """Terminal table of the "joints" of a result: a row per joint, all clips together."""
    from rich.table import Table

    columns = list(result["scores"])
    table = Table(title="per joint, all sequences")
    table.add_column("joint")
    for column in columns:
        table.add_column(column, justify="right")
    for name, rates in result["joints"].items():
        table.add_row(name, *_texts(rates, columns))
    return table


def _texts(scores: Mapping[str, float | None], columns: Sequence[str]) -> list[str]:
    return ["" if scores[name] is None else f"{scores[name]:.3f}" for name in columns]


def kinds_markdown(results: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown table, {row name: {column: fraction}}, ending in a newline.

    The columns are those of all rows, in order of first appearance; a score that a row lacks, or
    that is not a number, is left empty.

    Raises:
        InputError: no row.
    """
    if not results:
        raise InputError("a table needs at least one row of scores; got none")
    columns = list(dict.fromkeys(column for row in results.values() for column in row))
    lines: list[Sequence[str]] = [("model", *columns), ("---", *["---:"] * len(columns))]
    lines += [(name, *_cells(row, columns)) for name, row in results.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(row: Mapping[str, float], columns: Sequence[str]) -> Iterator[str]:
    for column in columns:
        score = row.get(column, math.nan)
        yield "" if math.isnan(score) else f"{score:.3f}"
