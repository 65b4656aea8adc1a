"""The script for the first day with a GPU runs, on the CPU in its place."""

from __future__ import annotations

from pathlib import Path

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


def test_it_measures_what_it_says(monkeypatch, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu  # pyright: ignore[reportMissingImports]

    gpu.measure("cpu", (64, 96), 1, 7)
    said = capsys.readouterr().out
    assert "| cpu, as placed |" in said and "0.000 %" in said
    for stage in ("encoder", "pointer", "mask decoder", "redetection", "reliability"):
        assert f"| {stage} |" in said
