from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from track_tables import write_tracks

from chromatrack.errors import InputError, OutputError
from chromatrack.formats.csv_tables import POINT, TableWriter, read_points, read_tracks
from chromatrack.structures import PointMark, TrackedPoint

POSITIONS = st.floats(-1e5, 1e5)
POINTS = st.builds(
    TrackedPoint, x=POSITIONS, y=POSITIONS, visible=st.booleans(), confidence=st.floats(0, 1)
)
FRAMES = st.dictionaries(
    st.integers(0, 10**6), st.dictionaries(st.integers(0, 2**62), POINTS, max_size=4), max_size=5
)


def marks_of(tmp_path, text: str | bytes) -> list[PointMark]:
    path = tmp_path / "marks.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_points(path)


def test_marks_are_read_in_file_order(tmp_path):
    text = "id,frame,x,y\n7,0,10.5,20\n\n7,12,,\n0,3,-1e1,.5\n"
    assert marks_of(tmp_path, text) == [
        PointMark(7, 0, 10.5, 20.0),
        PointMark(7, 12, None, None),
        PointMark(0, 3, -10.0, 0.5),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "y,x,note,frame,id\n4,3,hello,2,1\n",
        "\ufeffid,frame,x,y\r\n1,2,3,4\r\n",
        "id;frame;x;y\n1;2;3,0;4,0\n",
        "id\tframe\tx\ty\n1\t2\t3\t4",
        ' ID , Frame ,"X",Y\n 1 , 2 ,"3", 4 \n,,,\n',
    ],
)
def test_spreadsheet_habits_are_fine(tmp_path, text):
    assert marks_of(tmp_path, text) == [PointMark(1, 2, 3.0, 4.0)]


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("", "expected a header line"),
        ("id,frame,x\n1,2,3\n", "line 1: .*y missing"),
        ("1,2,3,4\n", "id, frame, x, y missing"),
        ("id,frame,x,y\n", "at least one row"),
        ("id,frame,x,y,x\n1,2,3,4,5\n", "x is there twice"),
        ("id,frame,x,y\n1,2,3\n", "line 2: expected 4 cells .* got 3"),
        ("id,frame,x,y\n1,2,3,4\n1,3,nan,4\n", "line 3: expected x .*'nan'"),
        ("id,frame,x,y\n1,2,3,inf\n", "expected y .*'inf'"),
        ("id,frame,x,y\n1,2,3,1e999\n", "expected y .*'1e999'"),
        ("id,frame,x,y\n1,2,1_0,4\n", "expected x .*'1_0'"),
        ("id,frame,x,y\n1,2,left,4\n", "expected x .*'left'"),
        ("id,frame,x,y\n1,-2,3,4\n", "expected frame .*'-2'"),
        ("id,frame,x,y\n1.5,2,3,4\n", "expected id .*'1.5'"),
        ("id,frame,x,y\n,2,3,4\n", "expected id .*''"),
        ("id,frame,x,y\n9999999999999999999,2,3,4\n", "expected id"),
        ("id,frame,x,y\n1,2,3,4\n\n1,2,5,6\n", "line 4: id 1 on frame 2 .* in line 2"),
        ("id,frame,x,y\n1,2,3,\n", "line 2: expected all of x,y.* x='3', y=''"),
        ("id,frame,x,y,visible\n1,2,3,4,maybe\n", "expected visible .*'maybe'"),
        (b"\xff\xfei\x00d\x00", "frame, x, y missing"),  # UTF-16, as spreadsheets save it
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, text, pattern):
    with pytest.raises(InputError, match=pattern) as caught:
        marks_of(tmp_path, text)
    assert "marks.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(InputError, match=path.name):
            read_points(path)


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet='0123456789,;."\n\r-eid framexy\x00\t', max_size=60))
def test_any_text_reads_or_is_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "m.csv"
    path.write_text("id,frame,x,y\n" + text, encoding="utf-8", newline="")
    try:
        marks = read_points(path)
    except InputError as error:
        assert "m.csv" in str(error)
    else:
        assert marks and all(mark.id >= 0 and mark.frame >= 0 for mark in marks)


@settings(max_examples=60, deadline=None)
@given(frames=FRAMES)
def test_written_tracks_come_back(tmp_path_factory, frames):
    path = tmp_path_factory.mktemp("tracks") / "tracks.csv"
    write_tracks(path, [(index, index / 30, points) for index, points in frames.items()])
    back = read_tracks(path)
    assert list(back) == sorted({number for points in frames.values() for number in points})
    for number, track in back.items():
        shown = sorted(index for index, points in frames.items() if number in points)
        given = [frames[index][number] for index in shown]
        assert track.frames.tolist() == shown and track.frames.dtype == np.int64
        np.testing.assert_allclose(track.pts_seconds, np.array(shown) / 30, atol=6e-7)
        np.testing.assert_allclose(track.values, [(p.x, p.y) for p in given], atol=6e-4)
        assert track.visible.tolist() == [p.visible for p in given]
        np.testing.assert_allclose(track.confidence, [p.confidence for p in given], atol=6e-5)


def test_tracks_read_as_marks_that_are_lost_where_not_visible(tmp_path):
    points = {1: TrackedPoint(3.0, 4.0, True, 0.9), 2: TrackedPoint(5.0, 6.0, False, 0.1)}
    write_tracks(tmp_path / "tracks.csv", [(8, 0.25, points)])
    assert (tmp_path / "tracks.csv").read_text() == (
        "id,frame,pts_seconds,x,y,visible,confidence,name,category,color\n"
        "1,8,0.250000,3.000,4.000,1,0.9000,,,\n2,8,0.250000,5.000,6.000,0,0.1000,,,\n"
    )
    assert read_points(tmp_path / "tracks.csv") == [
        PointMark(1, 8, 3.0, 4.0),
        PointMark(2, 8, None, None),
    ]


def test_an_unknown_place_is_empty_and_hidden(tmp_path):
    write_tracks(tmp_path / "t.csv", [(0, 0.0, {1: TrackedPoint(math.nan, 2.0, True, 0.0)})])
    track = read_tracks(tmp_path / "t.csv")[1]
    assert np.isnan(track.values).all() and not track.visible.any()


def test_rows_in_any_order_are_sorted_and_doubles_refused(tmp_path):
    head, rows = "id,frame,pts_seconds,x,y,visible,confidence\n", ["1,5,0.5,1,1,1,1\n"]
    (tmp_path / "t.csv").write_text(head + rows[0] + "1,2,,2,2,0,0.5\n")
    track = read_tracks(tmp_path / "t.csv")[1]
    assert track.frames.tolist() == [2, 5] and track.values.tolist() == [[2, 2], [1, 1]]
    assert np.isnan(track.pts_seconds[0]) and track.pts_seconds[1] == 0.5
    (tmp_path / "t.csv").write_text(head + 2 * rows[0])
    with pytest.raises(InputError, match="id 1 on frame 5 is there already"):
        read_tracks(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("id,frame,x,y\n1,2,3,4\n")
    with pytest.raises(InputError, match="pts_seconds, visible, confidence missing"):
        read_tracks(tmp_path / "t.csv")


def test_nothing_tracked_is_no_track(tmp_path):
    write_tracks(tmp_path / "t.csv", [])
    assert read_tracks(tmp_path / "t.csv") == {}


def test_an_interrupted_run_keeps_what_was_written(tmp_path):
    path = tmp_path / "new" / "tracks.csv"
    point = {4: TrackedPoint(1.0, 2.0, True, 1.0)}
    with pytest.raises(KeyboardInterrupt), TableWriter(path, POINT) as writer:
        writer.write(0, 0.0, point)
        assert not path.exists()
        raise KeyboardInterrupt
    assert read_tracks(path)[4].frames.tolist() == [0]
    writer.close()
    assert [file.name for file in path.parent.iterdir()] == ["tracks.csv"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written"):
        TableWriter(tmp_path / "file" / "t.csv", POINT)
    (tmp_path / "taken.csv").mkdir()
    with pytest.raises(OutputError, match=r"taken\.csv"):
        write_tracks(tmp_path / "taken.csv", [])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "taken.csv"]
