from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from track_tables import write_box_tracks

from chromatrack.errors import InputError
from chromatrack.formats.csv_tables import BOX, TableWriter, read_boxes, read_tracks
from chromatrack.structures import BoxMark, TrackedBox

CORNERS, SIDES = st.floats(-1e4, 1e4), st.floats(0.01, 1e4)
BOXES = st.builds(
    TrackedBox,
    x=CORNERS,
    y=CORNERS,
    width=SIDES,
    height=SIDES,
    visible=st.booleans(),
    confidence=st.floats(0, 1),
)
FRAMES = st.lists(st.dictionaries(st.integers(0, 99), BOXES, max_size=3), max_size=5)


def marks_of(tmp_path, rows: str) -> list[BoxMark]:
    path = tmp_path / "boxes.csv"
    path.write_text("id,frame,x,y,width,height\n" + rows)
    return read_boxes(path)


def test_marks_are_read_and_empty_cells_are_lost(tmp_path):
    assert marks_of(tmp_path, "3,0,1,2,30.5,40\n3,9,,,,\n") == [
        BoxMark(3, 0, 1.0, 2.0, 30.5, 40.0),
        BoxMark(3, 9, None, None, None, None),
    ]


@pytest.mark.parametrize(
    ("rows", "pattern"),
    [
        ("", "at least one row"),
        ("1,0,1,2,0,4\n", "line 2: expected width above 0 px, got '0'"),
        ("1,0,1,2,3,-4\n", "expected height above 0 px, got '-4'"),
        ("1,0,1,2,3,\n", "expected all of x,y,width,height"),
        ("1,0,1,2,NaN,4\n", "expected width .*'NaN'"),
        ("1,0,1,2,3,4\n1,0,,,,\n", "line 3: id 1 on frame 0 .* in line 2"),
        ("-1,0,1,2,3,4\n", "expected id .*'-1'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, rows, pattern):
    with pytest.raises(InputError, match=pattern) as caught:
        marks_of(tmp_path, rows)
    assert "boxes.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_points_are_no_boxes(tmp_path):
    (tmp_path / "p.csv").write_text("id,frame,x,y\n1,2,3,4\n")
    with pytest.raises(InputError, match="width, height missing"):
        read_boxes(tmp_path / "p.csv")


@settings(max_examples=60, deadline=None)
@given(frames=FRAMES)
def test_written_boxes_come_back(tmp_path_factory, frames):
    path = tmp_path_factory.mktemp("boxes") / "boxes.csv"
    write_box_tracks(path, [(i, i / 25, boxes) for i, boxes in enumerate(frames)])
    back = read_tracks(path, BOX)
    assert list(back) == sorted({number for boxes in frames for number in boxes})
    for number, track in back.items():
        given = [(i, boxes[number]) for i, boxes in enumerate(frames) if number in boxes]
        assert track.frames.tolist() == [i for i, _ in given]
        sides = [(b.x, b.y, b.width, b.height) for _, b in given]
        np.testing.assert_allclose(track.values, sides, atol=6e-4)
        assert track.visible.tolist() == [b.visible for _, b in given]
        np.testing.assert_allclose(track.confidence, [b.confidence for _, b in given], atol=6e-5)
        np.testing.assert_allclose(track.pts_seconds, [i / 25 for i, _ in given], atol=6e-7)


def test_written_boxes_read_as_marks_lost_where_hidden(tmp_path):
    with TableWriter(tmp_path / "b.csv", BOX) as writer:
        writer.write(
            0, 0.0, {5: TrackedBox(1, 2, 3, 4, True, 1), 2: TrackedBox(1, 2, 3, 4, False, 0)}
        )
    assert read_boxes(tmp_path / "b.csv") == [
        BoxMark(2, 0, None, None, None, None),
        BoxMark(5, 0, 1.0, 2.0, 3.0, 4.0),
    ]
