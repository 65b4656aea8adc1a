"""Results of benchmarks as tables."""

from __future__ import annotations

from chromatrack.evaluation.tables import benchmark_table, joints_table, table_text


def test_tables_show_every_clip_the_total_and_every_joint():
    result = {
        "benchmark": "jhmdb",
        "settings": {"split": 1, "compat": None, "together": True},
        "model": "small",
        "resumed": [],
        "frames": 12,
        "frames_per_second": 3.0,
        "scores": {"PCK@0.1": 0.25, "PCK@0.2": None},
        "sequences": {"catch": {"PCK@0.1": 0.5, "PCK@0.2": None, "frames": 3}},
        "joints": {"neck": {"PCK@0.1": 1.0, "PCK@0.2": None}},
    }
    lines = table_text(benchmark_table(result, title="JHMDB")).splitlines()
    assert any(line.split() == ["catch", "0.500"] for line in lines)
    assert any(line.split() == ["all", "(1)", "0.250"] for line in lines)
    assert "small, 12 frames, 3.0 frames/s" in " ".join(lines)
    shown = table_text(benchmark_table(result, columns=["PCK@0.1"], total="whole"))
    assert "jhmdb 1" in shown and "whole" in shown and "PCK@0.2" not in shown
    again = table_text(benchmark_table({**result, "resumed": ["catch"], "frames_per_second": 0.0}))
    assert "12 frames; 1 sequences from an earlier run" in again
    assert ["neck", "1.000"] in [
        line.split() for line in table_text(joints_table(result)).splitlines()
    ]
