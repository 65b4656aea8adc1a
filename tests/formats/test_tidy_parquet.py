"""The tidy table as Parquet, read back by pyarrow and pandas."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
from tracked_videos import a_square, three_points, two_mice

from chromatrack.formats import tidy, tidy_parquet
from chromatrack.formats.exchange import ExportOptions


def test_the_table_is_that_of_the_csv_file(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(tidy_parquet, "_ROWS", 5)  # several groups
    mice = two_mice()
    things = replace(mice, points=three_points(7).points, objects=a_square(7).objects)
    things = replace(things, mask=a_square(7).mask)
    options = ExportOptions(start_number=1001)
    tidy_parquet.write(things, tmp_path / "t.parquet", options)
    tidy.write_csv(things, tmp_path / "t.csv", options)
    read = parquet.read_table(tmp_path / "t.parquet")
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert read.column_names == list(tidy.COLUMNS) == list(rows[0])
    assert [str(kind) for kind in read.schema.types[:3]] == ["int64", "double", "string"]
    for typed, row in zip(read.to_pylist(), rows, strict=True):
        for name, cell in row.items():
            value = typed[name]
            if value is None or name in ("kind", "name", "part"):
                assert (value or "") == cell
            else:
                assert float(cell) == pytest.approx(float(value), rel=1e-5)


def test_a_joint_s_centre_is_its_place(tmp_path):
    tidy.write_csv(two_mice(), tmp_path / "t.csv", ExportOptions())
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    places = [(row["x_px"], row["y_px"]) for row in rows]
    assert places == [(row["center_x_px"], row["center_y_px"]) for row in rows]
    assert ("", "") in places and len(set(places)) > 4


def test_nothing_known_is_null_for_pandas(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    tidy_parquet.write(two_mice(), tmp_path / "t.parquet", ExportOptions())
    table = pandas.read_parquet(tmp_path / "t.parquet")
    tail = table[(table["part"] == "tail, base") & (table["id"] == 2)]
    assert tail["x_px"].isna().all() and table["area_px"].isna().all()
