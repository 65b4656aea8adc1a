"""Marks typed on the command line: what they mean, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import moving_clip, rgb_of, write_clip

from chromatrack.cli.typed_marks import (
    TypedMarks,
    typed_box,
    typed_point,
    typed_polygon,
    with_lost,
    with_names,
    with_typed,
)
from chromatrack.errors import InputError
from chromatrack.structures import BoxMark, KeypointMark, LostMark, PointMark, Skeleton
from chromatrack.tracking.marks import Marks

SIZE = (48, 64)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> str:
    truth = moving_clip(frames=6, size=SIZE, objects=1, radius=9)
    return str(write_clip(tmp_path_factory.mktemp("typed") / "clip.mp4", rgb_of(truth)))


def number(text: str) -> int:
    """Stands for a video of which only numbers are asked."""
    if not text.isdecimal():
        raise InputError(f"expected a frame number, got {text!r}")
    return int(text)


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("1@0:180,150,102,68", BoxMark(1, 0, 180, 150, 102, 68)),
        ("12@7:-5,0.5,1e1,2.25", BoxMark(12, 7, -5, 0.5, 10, 2.25)),
        ("0@3: 1, 2, 3, 4", BoxMark(0, 3, 1, 2, 3, 4)),
    ],
)
def test_boxes_are_typed(text, mark):
    assert typed_box(text, number) == mark


@given(st.integers(0, 999), st.integers(0, 9999), st.floats(-9e9, 9e9), st.floats(-9e9, 9e9))
def test_points_are_typed(i, frame, x, y):
    assert typed_point(f"{i}@{frame}:{x!r},{y!r}", number) == PointMark(i, frame, x, y)


def test_polygons_are_typed():
    mark = typed_polygon("3@4:10,10,90,12,50,80", number)
    assert (mark.id, mark.frame) == (3, 4)
    np.testing.assert_array_equal(mark.rings[0], [[10, 10], [90, 12], [50, 80]])


READERS = {"box": typed_box, "point": typed_point, "polygon": typed_polygon}
WRONG = [
    ("box", text)
    for text in (
        *("", "1", "1@0", "1@0:", "1:1,2,3,4", "@0:1,2,3,4", "1@:1,2,3,4", "-1@0:1,2,3,4"),
        *("1@0:1,2,3", "1@0:1,2,3,4,5", "1@0:1,2,0,4", "1@0:1,2,3,-4", "1@0:1,2,nan,4"),
        *(
            "1@0:1,2,inf,4",
            "1@0:1_000,2,3,4",
            "1@0:1,2,1e999,4",
            "1@0:a,b,c,d",
            "1@0:1;2;3;4",
            "cow@0:1,2,3,4",
        ),
        *("1@x:1,2,3,4", "1@-1:1,2,3,4", "1@0:1,2,3,4,", "1²@0:1,2,3,4", f"{'9' * 30}@0:1,2,3,4"),
    )
]
WRONG += [("point", text) for text in ("1@0:1", "1@0:1,2,3", "1@0:1,nan", "1@0:", "1,2")]
WRONG += [("polygon", t) for t in ("1@0:1,2,3,4", "1@0:1,2,3,4,5,6,7", "0@0:1,2,3,4,5,6")]


@pytest.mark.parametrize(("kind", "text"), WRONG)
def test_what_is_no_mark_is_named(kind, text):
    with pytest.raises(InputError, match="expected") as caught:
        READERS[kind](text, number)
    assert str(caught.value).startswith(f"{kind} {text!r}: ")


@given(st.text(max_size=30))
def test_no_text_breaks_anything(text):
    for read in READERS.values():
        try:
            read(text, number)
        except InputError:
            continue


def test_a_frame_may_be_a_time(clip):
    marks = with_typed(Marks(), TypedMarks(point=(("1@0.1s:5,6",),)), clip, known=None)
    (point,) = marks.points
    assert (point.frame, point.x, point.y) == (2, 5, 6)


def test_kinds_go_together_with_what_files_hold(clip):
    typed = TypedMarks(
        box=(("1@0:1,2,3,4", "2@0:5,6,7,8"), ("1@5:9,9,9,9",)),
        point=(("1@2:3,4",),),
        polygon=(("4@1:0,0,20,0,20,20,0,20",),),
        name=(("1=cow", "4=a gate"),),
    )
    painted = np.full(SIZE, 7, np.int32)
    marks = with_typed(Marks({1: painted}, [PointMark(9, 0, 1, 1)]), typed, clip, known=None)
    assert [box.id for box in marks.boxes] == [1, 2, 1] and marks.boxes[2].frame == 5
    assert [point.id for point in marks.points] == [9, 1]
    assert (marks.masks[1] == 4).sum() == 400 and (marks.masks[1] == 7).sum() == 48 * 64 - 400
    assert marks.names == {("box", 1): "cow", ("point", 1): "cow", ("object", 4): "a gate"}


# -- absent, and named -----------------------------------------------------------------------

JOINTS = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
POSE = KeypointMark(5, 0, JOINTS, np.zeros(3, bool))
MARKED = Marks(
    {0: np.array([[0, 3]], np.int32)},
    [PointMark(1, 0, 5, 5)],
    [BoxMark(2, 0, 1, 2, 3, 4)],
    [POSE],
    skeleton=Skeleton(("hip", "knee", "toe"), ()),
)


def test_each_kind_can_be_lost():
    texts = ["3@4", "point:1@5", "box:2@6", "keypoints:5@7", "keypoints:5/knee@8", "object:3@9"]
    marks = with_lost(MARKED, texts, number)
    assert marks.lost == [LostMark(3, 4), LostMark(3, 9)]
    assert list(marks.points)[-1] == PointMark(1, 5, None, None)
    assert list(marks.boxes)[-1] == BoxMark(2, 6, None, None, None, None)
    lost = {pose.frame: pose.lost.tolist() for pose in marks.keypoints if pose.frame}
    assert lost == {7: [True] * 3, 8: [False, True, False]}


def test_a_joint_can_be_lost_on_the_frame_of_others():
    pose = KeypointMark(5, 2, np.array([[1, 2], [np.nan] * 2, [3, 4]]), np.zeros(3, bool))
    marked = Marks(keypoints=[POSE, pose], skeleton=MARKED.skeleton)
    after = with_lost(marked, ["keypoints:5/knee@2"], number).keypoints[1]
    np.testing.assert_array_equal(after.joints, pose.joints)
    assert after.lost.tolist() == [False, True, False]


def test_things_of_a_run_can_be_lost_and_named():
    texts = ["3@4", "point:1@5", "keypoints:5/toe@6"]
    marks = with_lost(Marks(), texts, number, known=MARKED)
    assert marks.lost == [LostMark(3, 4)] and marks.points == [PointMark(1, 5, None, None)]
    assert marks.keypoints[0].lost.tolist() == [False, False, True]
    assert with_names(marks, ["2=cup"], known=MARKED).names == {("box", 2): "cup"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2@4", "there is no object 2, but box 2; write box:2"),
        ("1@4", "there is no object 1, but point 1; write point:1"),
        ("box:3@4", "there is no box 3, but object 3; write object:3"),
        ("8@4", r"one of \[3\], got 8"),
        ("keypoints:5/nose@4", "hip, knee, toe"),
        ("keypoints:5/hip@0", "not marked on that frame"),
        ("3", "expected ID@FRAME"),
        ("@4", "expected ID@FRAME"),
        ("cup:3@4", "expected ID@FRAME"),
        ("box:2/hip@4", "expected ID@FRAME"),
        ("3@four", "frame number"),
    ],
)
def test_what_cannot_be_lost_is_said(text, expected):
    with pytest.raises(InputError, match=expected):
        with_lost(MARKED, [text], number)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["3"], "expected ID=NAME"),
        (["3="], "expected ID=NAME"),
        (["3= "], "expected ID=NAME"),
        (["=cow"], "expected ID=NAME"),
        (["cow=3"], "expected ID=NAME"),
        (["8=cow"], "none of 8"),
        (["box:3=cow"], "write object:3"),
        (["3=cow", "3=horse"], "one name"),
    ],
)
def test_names_that_name_nothing_are_refused(texts, expected):
    with pytest.raises(InputError, match=expected):
        with_names(MARKED, texts)


def test_a_name_may_hold_any_sign():
    names = with_names(MARKED, ["object:3=x = y", "keypoints:5=Zoë"]).names
    assert names == {("object", 3): "x = y", ("keypoints", 5): "Zoë"}


def test_box_as_mask_needs_a_box(clip):
    with pytest.raises(InputError, match="add --box"):
        with_typed(Marks(), TypedMarks(box_as_mask=True), clip, known=None)


def test_read_errors_name_the_mark(tmp_path):
    missing = str(Path(tmp_path / "none.mp4"))
    with pytest.raises(InputError, match=r"point .1@1s:2,3.: .*none.mp4"):
        with_typed(Marks(), TypedMarks(point=(("1@1s:2,3",),)), missing, known=None)
