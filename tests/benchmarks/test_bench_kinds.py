"""The benchmark of all kinds of marks: its table."""

from __future__ import annotations

import math
from pathlib import Path

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


def test_the_table_has_all_columns_and_leaves_empty_what_is_missing(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from kinds import markdown  # pyright: ignore[reportMissingImports]

    rows = {"small": {"J": 0.5, "AUC": 1 / 3}, "identity": {"J": math.nan, "PCK": 1.0}}
    assert markdown(rows).splitlines() == [
        "| model | J | AUC | PCK |",
        "| --- | ---: | ---: | ---: |",
        "| small | 0.500 | 0.333 |  |",
        "| identity |  |  | 1.000 |",
    ]
