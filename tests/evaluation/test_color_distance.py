"""Colour error by the frames since the reference: bands, means, and who is ahead of whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import moving_clip, rgb_of, write_clip

from chromatrack.evaluation.baselines.colorizers import GREY, STILL, ab_of
from chromatrack.evaluation.datasets.color import color_benchmark
from chromatrack.evaluation.datasets.color_distance import (
    BANDS,
    band_of,
    combine_distances,
    distance_table,
    means_by_band,
)
from chromatrack.evaluation.metrics.color import ab_error
from chromatrack.evaluation.runner import evaluate
from chromatrack.evaluation.tables import table_text


@given(st.integers(1, 500))
def test_every_distance_is_in_the_band_that_names_it(distance):
    first, _, last = band_of(distance).rstrip("+").partition("-")
    assert int(first) in BANDS and int(first) <= distance
    assert distance <= int(last) if last else distance >= BANDS[-1]


def test_a_band_has_the_mean_of_all_its_frames():
    found = means_by_band([(6, 5.0), (1, 1.0), (5, 3.0), (15, 9.0)])
    assert found == {"1-5": 2, "6-15": 7} and list(found) == ["1-5", "6-15"]


def test_methods_are_compared_on_the_same_clips():
    long = {"ours": {"1-5": 1.0, "6-15": 2.0}, "flow": {"1-5": 2.0, "6-15": 6.0}}
    short = {"ours": {"1-5": 3.0}, "flow": {"1-5": 2.0}}
    rows = {(row["method"], row["frames"]): row for row in combine_distances([long, short])}
    assert list(rows) == [("ours", "1-5"), ("ours", "6-15"), ("flow", "1-5"), ("flow", "6-15")]
    near, far = rows["flow", "1-5"], rows["flow", "6-15"]
    assert (near["clips"], near["error"], near["ahead"], near["ahead_in"]) == (2, 2, 0, 1)
    assert near["ahead_interval"] == (-1, 1)
    assert (far["clips"], far["ahead"], far["interval"], far["ahead_interval"]) == (
        1,
        4,
        None,
        None,
    )
    assert "ahead" not in rows["ours", "1-5"]
    shown = table_text(distance_table(list(rows.values())))
    for text in ("6-15", "2 clips", "+4.00", "[-1.00, 1.00]"):
        assert text in shown


@pytest.mark.parametrize(("reference", "at"), [("first", 0), ("middle", 6)])
def test_the_benchmark_counts_frames_from_its_reference(tmp_path, reference, at):
    frames = rgb_of(moving_clip(frames=13, size=(32, 48), radius=9))
    write_clip(tmp_path / "clips/discs", frames)
    benchmark = color_benchmark(tmp_path / "clips", methods=["still", "grey"], reference=reference)
    result = evaluate(benchmark, tracker=None)
    rows = {(row["method"], row["frames"]): row["error"] for row in result["distances"]}
    for band, first, last in (("1-5", 1, 5), ("6-15", 6, 15)):
        there = [i for i in range(13) if first <= abs(i - at) <= last]
        grey = [ab_error(0 * ab_of(frames[i]).numpy(), ab_of(frames[i]).numpy()) for i in there]
        assert rows[GREY, band] == pytest.approx(sum(grey) / len(grey), abs=0.05)
    assert rows[STILL, "1-5"] < rows[GREY, "1-5"]


def test_a_picture_of_another_scene_has_no_distance(tmp_path):
    frames = rgb_of(moving_clip(frames=3, size=(32, 48), radius=9))
    for name in ("a", "b"):
        write_clip(tmp_path / "clips" / name, frames)
    benchmark = color_benchmark(tmp_path / "clips", methods=["still"], reference="other scene")
    assert evaluate(benchmark, tracker=None)["distances"] == []
