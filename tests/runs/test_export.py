"""`chromatrack export`: results in other tools' formats, put in place whole or not at all."""

from __future__ import annotations

import csv
import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hand_results import hand_result, squares

from chromatrack.errors import InputError, OutputError
from chromatrack.formats import exchange, tidy
from chromatrack.formats.exchange import FORMATS, ExportOptions, format_named
from chromatrack.json_text import json_text
from chromatrack.runs.export import export_run, tracked_video
from chromatrack.runs.marks_json import plain_marks, write_run_masks
from chromatrack.structures import BoxMark, KeypointMark, LostMark, PointMark
from chromatrack.tracking.marks import Marks

NAN = np.nan


def everything():
    """Two objects (the second comes late and is covered in part), a point, a box, named things."""
    masks = squares({1: [(5, 5), (6, 5), (7, 6)], 2: [None, (12, 8), (13, 8)]})
    result = hand_result(
        masks=masks,
        points={3: np.array([[1.25, 2.0], [NAN, NAN], [3.0, 4.5]])},
        boxes={4: np.array([[0.0, 1, 10, 8], [1.5, 1, 10, 8], [NAN] * 4])},
        first=7,
    )
    return replace(result, names={("object", 1): "cow, brown", ("point", 3): "eye"})


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.name)
def test_every_format_has_a_writer_and_says_what_it_carries(one):
    assert one.kinds
    try:
        assert callable(one.load_writer())
    except InputError as error:  # its extra is not installed here
        assert one.extra is not None and f"chromatrack[{one.extra}]" in str(error)


def test_tidy_csv_has_a_row_per_thing_and_frame(tmp_path):
    done = export_run(everything(), "tidy-csv", tmp_path / "t")
    assert done.path == tmp_path / "t.csv" and not done.notes
    with done.path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 4
    first = [row for row in rows if row["frame"] == "7"]
    assert [(row["kind"], row["id"]) for row in first] == [
        *(("object", "1"), ("object", "2"), ("box", "4"), ("point", "3")),
    ]
    cow = first[0]
    assert cow["name"] == "cow, brown" and cow["area_px"] == "100" and cow["visible"] == "1"
    assert [float(cow[k]) for k in ("x_px", "y_px", "width_px", "height_px")] == [5, 5, 10, 10]
    assert first[1]["x_px"] == "" and first[1]["area_px"] == "0" and first[1]["visible"] == "0"
    eye = [row for row in rows if row["kind"] == "point"]
    assert [row["x_px"] for row in eye] == ["1.25", "", "3"] and eye[1]["visible"] == "0"
    assert float(rows[-1]["time_s"]) == pytest.approx(0.2)


BEFORE = (  # the columns of the first version, in their order
    "frame,time_s,kind,id,name,part,x_px,y_px,width_px,height_px,area_px,visible,confidence,"
    "reliability,category,color"
)


def test_the_centre_means_the_same_for_every_kind(tmp_path):
    """x_px, y_px is a corner of what has a size; the centre has columns of its own, at the end."""
    mask = np.zeros((24, 32), dtype=np.int32)
    mask[10, 4:14] = mask[11, 4:8] = 1  # heavier on its left and its first row
    result = hand_result(
        masks=[mask, 0 * mask],
        points={3: np.array([[1.25, 2.0], [NAN, NAN]])},
        boxes={4: np.array([[0.0, 1, 10, 8], [NAN] * 4])},
    )
    done = export_run(result, "tidy-csv", tmp_path / "t")
    text = done.path.read_text(encoding="utf-8")
    assert text.splitlines()[0] == f"{BEFORE},center_x_px,center_y_px,doubtful,marked"
    told = {}
    for row in csv.DictReader(text.splitlines()):
        if row["frame"] == "0":
            places = row["x_px"], row["y_px"], row["center_x_px"], row["center_y_px"]
            told[row["kind"]] = [float(one) for one in places]
        else:
            assert row["center_x_px"] == row["center_y_px"] == "", row
    x = (sum(range(4, 14)) + sum(range(4, 8))) / 14
    assert told["object"] == pytest.approx([4, 10, x, 10 + 4 / 14])
    assert told["box"] == [0, 1, 4.5, 4.5] and told["point"] == [1.25, 2, 1.25, 2]


def test_the_table_says_what_is_doubtful_and_what_was_marked(tmp_path):
    """Of each kind below its own limit; a joint's reliability is its own, its doubt the pose's."""
    mask = np.ones((24, 32), dtype=np.int32)
    result = hand_result(
        masks=[mask, mask, mask],
        points={3: np.ones((3, 2))},
        boxes={4: np.full((3, 4), 5.0)},
        keypoints={1: np.ones((3, 2, 2))},
        first=7,
    )
    pose = {("joint", 1, 0): 0.9, ("joint", 1, 1): 0.2}  # 0.55 in the mean, above 0.499
    said = [
        ({1: 1.0}, {("point", 3, 0): 1.0, ("box", 4, 0): 1.0, **pose}),
        ({1: 0.74}, {("point", 3, 0): 0.6, ("box", 4, 0): 0.69}),
        ({1: 0.88}, {("point", 3, 0): 0.59, ("box", 4, 0): 0.77, ("joint", 1, 0): 0.4}),
    ]
    frames = [
        replace(frame, reliability=objects, place_reliability=places)
        for frame, (objects, places) in zip(result.frames, said, strict=True)
    ]
    painted = Marks({7: mask}, [PointMark(3, 9, 1, 1)], [BoxMark(4, 99, *[None] * 4)])
    one = KeypointMark(1, 8, np.array([[3.0, 4.0], [NAN, NAN]]), np.array([False, False]))
    gone = replace(painted, lost=[LostMark(1, 9)], keypoints=[one])
    write_run_masks(tmp_path, gone.masks)
    (tmp_path / "result.json").write_text(json_text({"marks": plain_marks(gone)}))
    result = replace(result, frames=tuple(frames), folder=tmp_path)

    tracked = replace(tracked_video(replace(result, keypoints={})), keypoints=result.keypoints)
    tidy.write_csv(tracked, tmp_path / "t.csv", ExportOptions())
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    told = {}
    for row in rows:
        cells = row["reliability"], row["doubtful"], row["marked"]
        told.setdefault(row["kind"] + row["part"], []).append(cells)
    assert told["object"] == [("1", "0", "1"), ("0.74", "1", "0"), ("0.88", "0", "1")]
    assert told["point"] == [("1", "0", "0"), ("0.6", "0", "0"), ("0.59", "1", "1")]
    assert told["box"] == [("1", "0", "0"), ("0.69", "1", "0"), ("0.77", "0", "0")]
    assert told["joint0"] == [("0.9", "0", "0"), ("", "", "1"), ("0.4", "1", "0")]
    assert told["joint1"] == [("0.2", "0", "0"), ("", "", "0"), ("", "1", "0")]


def test_what_was_said_to_be_gone_has_no_place_and_no_doubt_around_it(tmp_path):
    """Said on frame 9; absent, as doubtful as it is, on 8 and 10; seen again on 11."""
    seen = np.array([True, False, False, False, True, True])
    point = np.where(seen[:, None], 2.0, 3.0) * np.ones((6, 2))
    result = hand_result(points={3: point}, boxes={4: np.ones((6, 4))}, first=7)
    track = replace(result.points[3], visible=seen)
    sure = [0.9, 0.1, 1.0, 0.1, 0.1, 0.1]
    frames = [
        replace(frame, place_reliability={("point", 3, 0): value, ("box", 4, 0): 0.1})
        for frame, value in zip(result.frames, sure, strict=True)
    ]
    marks = Marks(points=[PointMark(3, 7, 2, 2), PointMark(3, 9, None, None)])
    (tmp_path / "result.json").write_text(json_text({"marks": plain_marks(marks)}))
    result = replace(result, frames=tuple(frames), folder=tmp_path, points={3: track})
    done = export_run(result, "tidy-csv", tmp_path / "out" / "t")
    with done.path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "point"]
    assert [row["doubtful"] for row in rows] == ["0", "0", "0", "0", "1", "1"]
    assert [row["marked"] for row in rows] == ["1", "0", "1", "0", "0", "0"]
    assert [row["x_px"] for row in rows] == ["2", "3", "", "3", "2", "2"]
    assert rows[2]["center_y_px"] == ""


def test_marks_that_cannot_be_read_are_told(tmp_path):
    result = hand_result(points={3: np.ones((2, 2))})
    (tmp_path / "result.json").write_text('{"marks": {"points": [["a"]]}}')
    with pytest.warns(UserWarning, match="which rows were marked is not said"):
        done = export_run(replace(result, folder=tmp_path), "tidy-csv", tmp_path / "out" / "t")
    with done.path.open(encoding="utf-8", newline="") as file:
        assert {row["marked"] for row in csv.DictReader(file)} == {""}


def test_frames_are_counted_from_the_start_number(tmp_path):
    options = ExportOptions(start_number=1001)
    done = export_run(everything(), "tidy-csv", tmp_path / "t.csv", options=options)
    with done.path.open(encoding="utf-8", newline="") as file:
        assert sorted({row["frame"] for row in csv.DictReader(file)}) == ["1001", "1002", "1003"]


def test_tables_have_a_row_for_each_frame():
    result = everything()
    point = result.points[3]
    short = replace(point, **{k: v[1:] for k, v in vars(point).items()})
    tracked = tracked_video(replace(result, points={3: short}))
    assert tracked.frames.tolist() == [7, 8, 9]
    assert tracked.points[3].values.shape == (3, 2)
    assert np.isnan(tracked.points[3].values[:2]).all() and not tracked.points[3].visible[0]
    assert tracked.points[3].values[2].tolist() == [3.0, 4.5]
    assert tracked.fps == pytest.approx(10)


def test_what_is_there_stays_unless_told(tmp_path):
    target = tmp_path / "t.csv"
    target.write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="is there already; choose another output, or add --over"):
        export_run(everything(), "tidy-csv", target)
    assert target.read_text(encoding="utf-8") == "mine"
    export_run(everything(), "tidy-csv", target, overwrite=True)
    assert target.read_text(encoding="utf-8").startswith("frame,time_s,kind")


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    def broken(tracked, path, options):
        path.write_text("half", encoding="utf-8")
        raise InputError("no")

    monkeypatch.setattr(exchange.Format, "load_writer", lambda self: broken)
    with pytest.raises(InputError, match="no"):
        export_run(everything(), "tidy-csv", tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


FULL = os.strerror(errno.ENOSPC)


@pytest.mark.parametrize(
    "said",
    [
        OSError(errno.ENOSPC, FULL),  # Pillow
        OSError(errno.ENOSPC, f"Can't close file (write failed\n, message = '{FULL}')"),
        RuntimeError(f'Failed to write pixel data to image file "/x/0.exr". {FULL}.'),  # OpenEXR
    ],
)
def test_a_full_disk_is_said_in_one_line_with_the_output_s_name(said, tmp_path, monkeypatch):
    def full(tracked, path, options):
        path.write_text("half", encoding="utf-8")
        raise said

    monkeypatch.setattr(exchange.Format, "load_writer", lambda self: full)
    with pytest.raises(OutputError) as failed:
        export_run(everything(), "tidy-csv", tmp_path / "t.csv")
    assert str(failed.value).startswith(f"{tmp_path / 't.csv'}: cannot be written ({FULL}); make")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_fault_of_the_disk_stays_what_it_is(tmp_path, monkeypatch):
    def broken(tracked, path, options):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(exchange.Format, "load_writer", lambda self: broken)
    with pytest.raises(RuntimeError, match="unforeseen"):
        export_run(everything(), "tidy-csv", tmp_path / "t.csv")


def test_a_format_that_has_no_place_for_what_was_tracked_is_refused(tmp_path, monkeypatch):
    one = replace(format_named("tidy-csv"), kinds=("keypoints",))
    monkeypatch.setattr("chromatrack.runs.export.format_named", lambda name: one)
    with pytest.raises(InputError, match="carries keypoints, but hand has masks, boxes, points"):
        export_run(everything(), "tidy-csv", tmp_path / "t.csv")


def test_wrong_names_are_told(tmp_path):
    with pytest.raises(InputError, match="such as tidy-csv"):
        export_run(everything(), "tidycsv", tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"expected the name of a \.csv file"):
        export_run(everything(), "tidy-csv", tmp_path / "t.txt")
    with pytest.raises(InputError, match="is a folder"):
        export_run(everything(), "tidy-csv", Path(tmp_path), overwrite=True)
