"""What the joint and box benchmarks share: tracked frames in order, and one table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from chromatrack.errors import DamagedVideoError, InputError


class Indexed(Protocol):
    """A tracked frame that knows its number."""

    @property
    def index(self) -> int: ...  # 0-based frame number


AnyFrame = TypeVar("AnyFrame", bound=Indexed)


def in_order(tracked: Iterable[AnyFrame], *, name: str, start: int, end: int) -> Iterator[AnyFrame]:
    """The frames a tracker delivers; a stream that breaks off ends early, without an error.

    Args:
        tracked: frames `start` to `end` (exclusive), ascending; some may be missing.
        name: the clip, for the message.

    Raises:
        InputError: a frame outside that range, or one that is not after the one before.
    """
    frames, expected = iter(tracked), start
    while True:
        try:
            frame = next(frames, None)
        except DamagedVideoError:
            return
        if frame is None:
            return
        if not expected <= frame.index < end:
            raise InputError(
                f"{name}: expected frames {expected} to {end - 1} in order from the tracker; "
                f"got frame {frame.index}"
            )
        yield frame
        expected = frame.index + 1


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
