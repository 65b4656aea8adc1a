"""The tidy table of `tidy.py` as Parquet: the same columns, typed, null where nothing is known."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from chromatrack.formats.exchange import ExportOptions, need
from chromatrack.formats.tidy import COLUMNS, Row, tidy_rows
from chromatrack.formats.tracked_video import TrackedVideo

_ROWS = 100_000
"""Of a group, which is what is in memory at a time."""


def write(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write the table, group by group of rows.

    Raises:
        InputError: pyarrow is not installed.
    """
    arrow = need("pyarrow", "tables", "tidy-parquet")
    parquet = need("pyarrow.parquet", "tables", "tidy-parquet")
    types = {int: arrow.int64(), float: arrow.float64(), str: arrow.string(), bool: arrow.bool_()}
    schema = arrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    rows = tidy_rows(tracked, options)
    with parquet.ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, _ROWS)):
            writer.write_batch(arrow.record_batch(_columns(group), schema=schema))
    return []


def _columns(rows: list[Row]) -> dict[str, list[object]]:
    return {name: list(cells) for name, cells in zip(COLUMNS, zip(*rows, strict=True), strict=True)}
