"""What is exported is read back as marks: masks to the pixel, places, frames, ids and names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hand_results import hand_result
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tracked_scenes import tracked_everything

from chromatrack.formats.exchange import ExportOptions, format_named
from chromatrack.formats.file_marks import FileMarks
from chromatrack.formats.mark_files import read_mark_file
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.runs.export import tracked_video
from chromatrack.structures import BoxMark, PointMark

USUAL = ExportOptions()
WITH_MASKS = ("davis", "youtube-vos", "mose", "coco", "youtube-vis", "cvat", "labelme")
WITH_BOXES = ("coco", "cvat", "labelme", "mot", "label-studio", "via")
NAMELESS = ("davis", "mot")
"""Formats without a place for names."""


def source(count: int = 10, size=(60, 80)) -> MarkedSource:
    return MarkedSource("hand.mp4", size, count)


def written(tracked, name: str, folder: Path) -> Path:
    chosen = format_named(name)
    path = folder / f"{name}{chosen.suffix}"
    if chosen.is_folder:
        path.mkdir()
    chosen.load_writer()(tracked, path, USUAL)
    return path


def places(marks, frames) -> dict[tuple[int, int], tuple[float, ...]]:
    """{(id, frame): place} of boxes or points that are shown."""
    found = {}
    for mark in marks:
        assert mark.frame in frames
        if mark.x is not None:
            box = (mark.width, mark.height) if isinstance(mark, BoxMark) else ()
            found[mark.id, mark.frame] = (mark.x, mark.y, *box)
    return found


@pytest.mark.parametrize("name", WITH_MASKS)
def test_masks_come_back_with_ids_and_names(tmp_path, name):
    tracked, video = tracked_everything(), source()
    marks = read_mark_file(written(tracked, name, tmp_path), video)
    assert list(marks.masks) == [7, 8, 9]
    for frame, mask in marks.masks.items():
        assert np.array_equal(mask, tracked.mask(frame)), frame
    named = {key: called for key, called in video.names.items() if key[0] == "object"}
    assert named == ({} if name in NAMELESS else {("object", 1): "cow, brown"})
    assert not marks.lost


@pytest.mark.parametrize("name", WITH_BOXES)
def test_boxes_come_back_with_ids_and_names(tmp_path, name):
    tracked, video = replace(tracked_everything(), objects={}), source()
    marks = read_mark_file(written(tracked, name, tmp_path), video)
    assert places(marks.boxes, range(10)) == {
        (4, 7): pytest.approx((0, 1, 10, 8)),
        (4, 8): pytest.approx((1.5, 1, 10, 8)),
    }
    gone = [(mark.id, mark.frame) for mark in marks.boxes if mark.x is None]
    assert gone == ([(4, 9)] if name in ("cvat", "label-studio") else [])
    assert video.names.get(("box", 4)) == (None if name in NAMELESS else "pen & ink")


@pytest.mark.parametrize("name", ["cvat", "labelme"])
def test_points_and_joints_come_back(tmp_path, name):
    tracked, video = tracked_everything(), source()
    tracked = replace(tracked, names={**tracked.names, ("keypoints", 5): "fly"})
    marks = read_mark_file(written(tracked, name, tmp_path), video)
    assert places(marks.points, range(10)) == {(3, 7): (1.25, 2), (3, 9): (3, 4.5)}
    lost = [PointMark(3, 8, None, None)]
    assert [mark for mark in marks.points if mark.x is None] == (lost if name == "cvat" else [])
    assert video.names["point", 3] == "eye <l>" and video.names["keypoints", 5] == "fly"
    assert marks.skeleton is not None and marks.skeleton.names[:2] == ("hip", "knee")
    shown = {m.frame: m.joints[:2].tolist() for m in marks.keypoints if np.isfinite(m.joints).any()}
    assert shown == {7: [[20, 30], [21, 35]], 8: [[20, 30], [22, 35]]}
    assert {m.id for m in marks.keypoints} == {5}
    if name == "cvat":
        assert marks.skeleton.edges == ((0, 1), (1, 2))
        assert {m.frame: m.lost.tolist() for m in marks.keypoints}[9] == [True, True, False]


@pytest.mark.parametrize("name", [*WITH_MASKS])
@settings(max_examples=12)
@given(
    masks=arrays.arrays(
        np.int32,
        st.tuples(st.integers(1, 3), st.integers(3, 9), st.integers(3, 9)),
        elements=st.sampled_from([0, 0, 1, 2, 9]),
    ),
    first=st.integers(0, 3),
)
def test_any_masks_come_back_exactly(tmp_path_factory, name, masks, first):
    masks[0, 0, 0] = 2  # so that there is an object
    tracked = tracked_video(hand_result(masks=list(masks), first=first))
    path = written(tracked, name, tmp_path_factory.mktemp("m"))
    found = read_mark_file(path, source(first + len(masks), masks.shape[1:])).masks
    for number, mask in enumerate(masks, start=first):
        assert np.array_equal(found.get(number, np.zeros_like(mask)), mask)


numbers = st.floats(-20, 100, width=32).map(lambda value: round(value, 3))
sides = st.floats(0.5, 50, width=32).map(lambda value: round(value, 3))


@pytest.mark.parametrize("name", WITH_BOXES)
@settings(max_examples=12)
@given(
    rows=st.lists(st.tuples(numbers, numbers, sides, sides), min_size=1, max_size=3),
    first=st.integers(0, 3),
)
def test_any_box_comes_back_to_a_thousandth(tmp_path_factory, name, rows, first):
    tracked = tracked_video(hand_result(boxes={6: np.array(rows)}, first=first))
    path = written(tracked, name, tmp_path_factory.mktemp("b"))
    found = places(read_mark_file(path, source(first + len(rows))).boxes, range(10))
    assert found == {
        (6, frame): pytest.approx(row, abs=2e-3) for frame, row in enumerate(rows, start=first)
    }


@pytest.mark.parametrize("name", ["cvat", "labelme"])
@settings(max_examples=12)
@given(place=st.tuples(numbers, numbers))
def test_any_point_comes_back_to_a_thousandth(tmp_path_factory, name, place):
    tracked = tracked_video(hand_result(points={6: np.array([place])}))
    path = written(tracked, name, tmp_path_factory.mktemp("p"))
    found = places(read_mark_file(path, source(1)).points, range(10))
    assert found == {(6, 0): pytest.approx(place, abs=2e-3)}


@pytest.mark.parametrize("name", ["coco", "cvat", "labelme", "davis", "label-studio"])
def test_a_copy_of_twice_the_size_is_brought_to_the_videos(tmp_path, name):
    tracked = tracked_everything()
    big = replace(
        tracked,
        size=(120, 160),
        mask=lambda frame: np.kron(tracked.mask(frame), np.ones((2, 2), np.int32)),
        boxes={4: replace(tracked.boxes[4], values=tracked.boxes[4].values * 2)},
    )
    if name == "label-studio":
        big = replace(big, objects={})
    marks: FileMarks = read_mark_file(written(big, name, tmp_path), source())
    for frame, mask in marks.masks.items():
        assert np.array_equal(mask, tracked.mask(frame))
    if name != "davis":
        assert places(marks.boxes, range(10))[4, 8] == pytest.approx((1.5, 1, 10, 8))


@pytest.mark.parametrize("name", ["coco", "davis", "labelme", "youtube-vos"])
def test_names_of_pictures_are_found_in_a_folder_of_pictures(tmp_path, name):
    tracked = tracked_everything()
    pictures = tuple(f"hand/{number:05d}.jpg" for number in range(5, 12))
    video = MarkedSource("hand", (60, 80), 7, pictures)
    path = written(tracked, name, tmp_path)
    if name == "coco":  # which states our own numbers beside the names
        path.write_text(path.read_text(encoding="utf-8").replace('"frame_index"', '"f"'))
    assert list(read_mark_file(path, video).masks) == [2, 3, 4]
