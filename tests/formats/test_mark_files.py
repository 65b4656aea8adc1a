"""Which format a file of marks is in, and what is read of formats that others write."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tracked_scenes import tracked_everything

from chromatrack.errors import InputError
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.file_marks import FileMarks, GivenFile
from chromatrack.formats.label_studio import write_label_studio
from chromatrack.formats.mark_files import READERS, read_mark_file, reader_of
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.masks import write_mask
from chromatrack.formats.own_marks import write_own_marks
from chromatrack.structures import (
    BoxMark,
    KeypointMark,
    LostMark,
    PointMark,
    Skeleton,
)

SIZE = (20, 30)


def source(count: int | None = 9, **more) -> MarkedSource:
    return MarkedSource("clip.mp4", SIZE, count, **more)


def text(tmp_path: Path, content: object, name: str = "m") -> Path:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("id,frame,x,y\n1,0,2,3\n", "a table of points"),
        ("\ufeffid;frame;x;y;name\n1;0;2,5;3;a\n", "a table of points"),
        ("id,frame,pts_seconds,x,y,width,height,visible,confidence,name\n", "a table of boxes"),
        ("1,2,3,4,5,6,1,-1,-1,-1\n", "a MOT table"),
        ("1,1,912,484,97,109,0,7,1\n2,1,912,484,97,109,0,7,1", "a MOT table"),
        ({"objects": []}, "our outlines"),
        ({"marks": []}, "our keypoints"),
        ({"shapes": []}, "LabelMe JSON"),
        ({"images": [], "annotations": []}, "COCO JSON"),
        ({"videos": [], "annotations": []}, "COCO JSON"),
        ([{"data": {"video": "a"}, "annotations": []}], "Label Studio JSON"),
        ("<?xml version='1.0'?><annotations></annotations>", "CVAT XML"),
        ('"filename","region_shape_attributes"\n', "a VIA table"),
    ],
)
def test_a_format_is_told_by_content(tmp_path, content, name):
    assert reader_of(GivenFile(text(tmp_path, content))).name == name


@pytest.mark.parametrize("content", ["hello", "a,b\n1,2\n", [], [1], {"a": 1}, "1,2,3\n", "null"])
def test_what_is_none_is_told(tmp_path, content):
    with pytest.raises(InputError, match="expected marks in a format that is known"):
        read_mark_file(text(tmp_path, content), source())


def test_bad_files_are_told(tmp_path):
    with pytest.raises(InputError, match="no file or folder"):
        read_mark_file(tmp_path / "none", source())
    with pytest.raises(InputError, match="looks like JSON, but cannot be read"):
        read_mark_file(text(tmp_path, "{"), source())
    with pytest.raises(InputError, match="looks like JSON"):
        read_mark_file(text(tmp_path, "[" * 100000), source())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="a format that is known"):
        read_mark_file(tmp_path / "empty", source())


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("b") / "m"
    path.write_bytes(content)
    try:
        read_mark_file(path, source())
    except InputError as error:
        assert "\n" not in str(error)


@given(st.sampled_from(["1,1,{},2,3,4,1,-1,-1,-1", "{},1,2,2,3,4,1,1,1"]), st.text(max_size=6))
def test_any_cell_of_a_mot_table_is_read_or_refused(tmp_path_factory, row, cell):
    path = tmp_path_factory.mktemp("t") / "m"
    path.write_text(f"1,1,1,1,1,1\n{row.format(cell)}\n", encoding="utf-8", errors="replace")
    with contextlib.suppress(InputError):
        read_mark_file(path, source(None))


def test_every_reader_is_there():
    assert len({reader.name for reader in READERS}) == len(READERS)


# -- MOT ---------------------------------------------------------------------------------------


def test_mot_truth_has_rows_that_do_not_count_and_classes(tmp_path):
    rows = "1,5,11,6,10,8,1,3,0.9\n1,6,11,6,10,8,0,8,1\n3,5,12.5,6,10,8,1,3,1\n"
    video = source()
    assert read_mark_file(text(tmp_path, rows), video).boxes == [
        BoxMark(5, 0, 10, 5, 10, 8),
        BoxMark(5, 2, 11.5, 5, 10, 8),
    ]
    assert video.names == {("box", 5): "car"}
    assert "passed over 1 rows that are marked not to count" in video.notes[0].text


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1,-1,1,1,1,1,1,-1,-1,-1", "detections without tracks"),
        ("0,1,1,1,1,1,1,-1,-1,-1", "expected a frame from 1"),
        ("1,1,1,1,0,1,1,-1,-1,-1", "width and height above 0 px"),
        ("1,1,1,1,1,1,1,-1,-1,-1\n1,1,1,1,1,1,1,-1,-1,-1", "is there already"),
    ],
)
def test_mot_rows_that_are_no_marks_are_told(tmp_path, row, said):
    with pytest.raises(InputError, match=said):
        read_mark_file(text(tmp_path, row + "\n"), source())


# -- Label Studio ------------------------------------------------------------------------------


def region(sequence, *, number: str = "ab", label: str = "cow") -> dict:
    value = {"framesCount": 9, "duration": 1, "sequence": sequence, "labels": [label]}
    return {"id": number, "type": "videorectangle", "value": value}


def key(frame: int, enabled: bool = True) -> dict:
    place = {"x": 10, "y": 20, "width": 50, "height": 40, "rotation": 0}
    return {"frame": frame, "enabled": enabled, "time": 0, **place}


def test_label_studio_keyframes_are_marks_and_a_lifespan_ends_in_a_loss(tmp_path):
    video = source()
    result = [region([key(1), key(4, False)]), region([key(9, False)], number="cd", label="box")]
    task = {"id": 1, "data": {"video": "x/clip.mp4"}, "annotations": [{"result": result}]}
    assert read_mark_file(text(tmp_path, [task]), video).boxes == [
        BoxMark(1, 0, 3, 4, 15, 8),
        BoxMark(1, 3, 3, 4, 15, 8),
        BoxMark(1, 4, None, None, None, None),
        BoxMark(2, 8, 3, 4, 15, 8),
    ]
    assert video.names == {("box", 1): "cow"} and not video.notes


def test_a_lifespan_that_ends_with_what_is_tracked_is_no_loss(tmp_path):
    result = [region([key(1), key(4, False)])]
    task = {"id": 1, "data": {"video": "x/clip.mp4"}, "annotations": [{"result": result}]}
    for end, kept in ((4, [0, 3]), (5, [0, 3, 4])):
        video = replace(source(), end=end)
        boxes = read_mark_file(text(tmp_path, [task]), video).boxes
        assert [mark.frame for mark in boxes] == kept


def test_label_studio_task_of_this_video(tmp_path):
    tasks = [
        {"data": {"video": name}, "annotations": [{"result": [region([key(1 + n)])]}] * (n + 1)}
        for n, name in enumerate(("/data/other.mp4", "/data/clip.mp4"))
    ]
    video = source()
    assert [b.frame for b in read_mark_file(text(tmp_path, tasks), video).boxes] == [1]
    assert any("has 2 annotations; the first is read" in note.text for note in video.notes)


def test_label_studio_annotations_count_before_predictions(tmp_path):
    path = tmp_path / "l.json"
    write_label_studio(tracked_everything(), path, ExportOptions())
    [task] = json.loads(path.read_text())
    task["annotations"] = [{"was_cancelled": True, "result": []}, {"result": [region([key(2)])]}]
    assert [m.frame for m in read_mark_file(text(tmp_path, [task]), source(None)).boxes] == [1]


@pytest.mark.parametrize(
    ("bad", "said"), [({"frame": 0}, "a frame from 1 up"), ({"width": 0}, "above 0 percent")]
)
def test_label_studio_mistakes_are_told(tmp_path, bad, said):
    task = {"data": {"video": "a"}, "annotations": [{"result": [region([key(1) | bad])]}]}
    with pytest.raises(InputError, match=said):
        read_mark_file(text(tmp_path, [task]), source())


def test_names_that_no_file_can_hold_are_mended(tmp_path):
    video = source()
    result = [region([key(1)], label="a\ud800b"), region([key(1)], number="c", label=" \n")]
    task = {"data": {"video": "a"}, "annotations": [{"result": result}]}
    read_mark_file(text(tmp_path, [task]), video)
    assert video.names == {("box", 1): "a?b"}


# -- VIA ---------------------------------------------------------------------------------------

HEAD = (
    "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
    "region_attributes\n"
)


def row(name: str, shape: dict, about: dict, file: dict | None = None) -> str:
    cells = [name, "0", json.dumps(file or {}), "1", "0", json.dumps(shape), json.dumps(about)]
    return ",".join('"' + cell.replace('"', '""') + '"' for cell in cells) + "\n"


RECT = {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}


def test_via_shapes_frames_and_tracks(tmp_path):
    corners = {"all_points_x": [2, 6, 6, 2], "all_points_y": [1, 1, 4, 4]}
    rows = (
        row("a_001.jpg", RECT, {"track": "7", "name": "cow"})
        + row("a_002.jpg", {"name": "polygon", **corners}, {"label": "hen"})
        + row("a_003.jpg", {"name": "point", "cx": 4.5, "cy": 6}, {"id": 5})
        + row("b.jpg", RECT, {"track": "7"}, {"frame": 6})
        + row("b.jpg", {"name": "circle"}, {}, {"frame": 6})
        + "c.jpg,0,{},0,0,{},{}\n"
    )
    video = source()
    marks = read_mark_file(text(tmp_path, HEAD + rows), video)
    assert marks.boxes == [BoxMark(7, 1, 1, 2, 3, 4), BoxMark(7, 6, 1, 2, 3, 4)]
    assert marks.points == [PointMark(5, 3, 4, 5.5)]
    expected = np.zeros(SIZE, np.int32)
    expected[1:4, 2:6] = 1
    assert np.array_equal(marks.masks[2], expected)
    assert video.names == {("box", 7): "cow", ("object", 1): "hen"}
    assert any("1 region of the type circle" in note.text for note in video.notes)


def test_via_cells_that_are_no_json_are_told(tmp_path):
    with pytest.raises(InputError, match="line 2: expected JSON in region_attributes"):
        read_mark_file(
            text(tmp_path, HEAD + row("a1", RECT, {}).replace('"{}"\n', '"{"\n')), source()
        )


@pytest.mark.parametrize("frame", [-3, 2.5, 1e30, float("nan"), "-1"])
def test_via_frames_that_cannot_be_are_told_and_not_passed_over(tmp_path, frame):
    rows = row("a_001.jpg", RECT, {"track": "7"}, {"frame": frame})
    with pytest.raises(InputError, match="line 2: expected the frame among file_attributes"):
        read_mark_file(text(tmp_path, HEAD + rows), source())


def test_via_frames_that_are_words_leave_the_name_to_tell(tmp_path):
    rows = row("a_001.jpg", RECT, {"track": "7"}, {"frame": "left camera"})
    assert read_mark_file(text(tmp_path, HEAD + rows), source()).boxes[0].frame == 1


# -- LabelMe and COCO, everything in them ------------------------------------------------------


def test_labelme_rectangles_are_boxes_and_points_are_points(tmp_path):
    shapes = [
        {"label": "cow", "shape_type": "rectangle", "points": [[11, 9], [1, 2]]},
        {"label": "eye", "shape_type": "point", "points": [[4, 5]]},
        {"label": "hip", "shape_type": "point", "points": [[6, 7]], "group_id": 1},
        {"label": "knee", "shape_type": "point", "points": [[8, 9]], "group_id": 1},
        {"label": "hen", "points": [[2, 1], [6, 1], [6, 4], [2, 4]]},
        {"label": "way", "shape_type": "line", "points": [[2, 1], [6, 1]]},
    ]
    video = source()
    marks = read_mark_file(text(tmp_path, {"shapes": shapes, "imagePath": "00002.jpg"}), video)
    assert marks.boxes == [BoxMark(1, 2, 1, 2, 10, 7)]
    assert marks.points == [PointMark(1, 2, 4, 5)]
    [pose] = marks.keypoints
    assert (pose.id, pose.frame, pose.joints.tolist()) == (1, 2, [[6, 7], [8, 9]])
    assert marks.skeleton == Skeleton(("hip", "knee"), ())
    assert (marks.masks[2] == 1).sum() == 12
    assert video.names == {("box", 1): "cow", ("point", 1): "eye", ("object", 1): "hen"}
    assert [n.text for n in video.notes if n.warned] == [
        f"'{tmp_path / 'm'}': passed over 1 shape of the type line, which has no area"
    ]


def test_labelme_rectangles_without_an_area_are_told(tmp_path):
    shapes = [{"label": "cow", "shape_type": "rectangle", "points": [[1, 2], [1, 9]]}]
    with pytest.raises(InputError, match="two corners of a rectangle with an area"):
        read_mark_file(text(tmp_path, {"shapes": shapes, "imagePath": "0.jpg"}), source())


def test_coco_boxes_keypoints_and_outlines_of_one_file(tmp_path):
    joints = {"keypoints": ["hip", "knee"], "skeleton": [[1, 2]]}
    data = {
        "images": [{"id": 1, "file_name": "a_0003.jpg", "height": 40, "width": 60}],
        "categories": [{"id": 1, "name": "cow"}, {"id": 2, "name": "fly", **joints}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 4, 20, 10], "segmentation": []},
            {"id": 2, "image_id": 1, "category_id": 2, "keypoints": [2, 4, 2, 6, 8, 1]},
            {  # a skeleton that is not seen is no box
                **{"id": 4, "image_id": 1, "category_id": 2, "bbox": [2, 4, 20, 10]},
                "keypoints": [],
            },
            {
                **{"id": 3, "image_id": 1, "category_id": 1, "bbox": [4, 2, 8, 6]},
                "segmentation": [[4, 2, 12, 2, 12, 8, 4, 8]],
            },
        ],
    }
    video = source()
    marks = read_mark_file(text(tmp_path, data), video)
    assert marks.boxes == [BoxMark(1, 3, 1, 2, 10, 5)]
    assert marks.keypoints[0].joints.tolist() == [[1, 2], [3, 4]]
    assert set(np.unique(marks.masks[3])) == {0, 3} and (marks.masks[3] == 3).sum() == 12
    assert video.names == {("box", 1): "cow", ("keypoints", 2): "fly", ("object", 3): "cow"}
    data["annotations"][0]["bbox"] = [1, 2, 0, 4]
    with pytest.raises(InputError, match=r"annotations\[0\].bbox: expected a width"):
        read_mark_file(text(tmp_path, data), source())


# -- masks -------------------------------------------------------------------------------------


def test_the_folder_of_this_video_is_read(tmp_path):
    for name, number in (("clip", 1), ("other", 2)):
        mask = np.full(SIZE, number, np.int32)
        write_mask(tmp_path / "Annotations" / "480p" / name / "00003.png", mask)
    marks = read_mark_file(tmp_path, source())
    assert list(marks.masks) == [3] and (marks.masks[3] == 1).all()
    with pytest.raises(InputError, match="holds marks of several videos"):
        read_mark_file(tmp_path, MarkedSource("third.mp4", SIZE, 9))


def test_mask_pictures_alone_and_in_folders(tmp_path):
    write_mask(tmp_path / "f" / "00004.png", np.full(SIZE, 7, np.int32))
    assert list(read_mark_file(tmp_path / "f", source()).masks) == [4]
    assert list(read_mark_file(tmp_path / "f" / "00004.png", source(start=2)).masks) == [2]
    Image.new("L", (30, 20), 5).save(tmp_path / "m.bmp")
    assert (read_mark_file(tmp_path / "m.bmp", source()).masks[0] == 5).all()


# -- our own -----------------------------------------------------------------------------------

marks_of = st.floats(-1e4, 1e4, allow_nan=False)
names_of = st.text("abc,;\"' \u00e9\u732b", min_size=1, max_size=5).filter(
    lambda text: text.strip()
)


@given(
    place=st.tuples(marks_of, marks_of),
    size=st.tuples(st.floats(0.001, 1e3), st.floats(0.001, 1e3)),
    name=names_of,
)
def test_our_own_folder_gives_back_the_very_marks(tmp_path_factory, place, size, name):
    joints = np.array([place, [np.nan] * 2, [np.nan] * 2])
    given_marks = FileMarks(
        masks={2: np.eye(20, 30, dtype=np.int32) * 3},
        points=[PointMark(0, 1, *place), PointMark(0, 4, None, None)],
        boxes=[BoxMark(9, 3, *place, *size), BoxMark(9, 8, None, None, None, None)],
        keypoints=[KeypointMark(5, 0, joints, np.array([False, True, False]))],
        lost=[LostMark(3, 6)],
        skeleton=Skeleton(("a", "b", "c"), ((0, 2),)),
    )
    kinds = (("object", 3), ("point", 0), ("box", 9), ("keypoints", 5))
    names = dict.fromkeys(kinds, name.strip())
    folder = tmp_path_factory.mktemp("own")
    write_own_marks(folder, given_marks, names, SIZE)
    pictures = tuple(f"{n}.png" for n in range(100, 109))
    video = MarkedSource("p", SIZE, 9, pictures, numbers="names")  # counts for others, not for us
    found = read_mark_file(folder, video)
    assert video.names == names
    assert (found.points, found.boxes, found.lost) == (
        given_marks.points,
        given_marks.boxes,
        given_marks.lost,
    )
    assert found.skeleton == given_marks.skeleton
    assert np.array_equal(found.keypoints[0].joints, joints, equal_nan=True)
    assert found.keypoints[0].lost.tolist() == [False, True, False]
    assert list(found.masks) == [2] and np.array_equal(found.masks[2], given_marks.masks[2])


def test_our_own_folder_for_another_size_is_refused(tmp_path):
    write_own_marks(tmp_path, FileMarks(points=[PointMark(1, 0, 2, 3)]), {}, (10, 10))
    with pytest.raises(InputError, match="holds marks on 10x10 pixels, got a video of 30x20"):
        read_mark_file(tmp_path, source())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_as_spreadsheets_save_them(tmp_path, encoding, end, separator):
    rows = [["id", "frame", "x", "y", "name"], ["1", "0", "2", "3", '"Kühe, Kälber 🐄"']]
    text = end.join(separator.join(row) for row in rows) + end
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    (tmp_path / "p.csv").write_bytes((mark + text).encode(encoding))
    source = MarkedSource("v", SIZE, numbers="index")
    found = read_mark_file(tmp_path / "p.csv", source)
    assert list(found.points) == [PointMark(1, 0, 2.0, 3.0)]
    assert source.names == {("point", 1): "Kühe, Kälber 🐄"}


def test_json_in_utf_16_reads(tmp_path):
    text = (
        '{"objects": [{"id": 1, "frame": 0, "name": "Kuh", "polygon": [[1, 1], [9, 1], [9, 9]]}]}'
    )
    (tmp_path / "o.json").write_text(text, encoding="utf-16")
    source = MarkedSource("v", SIZE, numbers="index")
    assert list(read_mark_file(tmp_path / "o.json", source).masks) == [0]
    assert source.names == {("object", 1): "Kuh"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "expected marks, got an empty file"),
        ("a.json", b" \n", "expected marks, got an empty file"),
        ("a.csv", b"id,frame,x\n1,0,2\n", "got 'id,frame,x': y missing"),
        ("a.csv", b"id;frame;y\n1;0;2\n", "x missing"),
        (
            "a.csv",
            b"1,1,5,6,3,4,1,-1,-1,-1\n1,2,nan,6,3,4,1,-1,-1,-1\n",
            "line 2: expected frame,id",
        ),
        ("a.csv", "id,frame,x,y\n1,0,2,3".encode("utf-16")[:-1], "cannot be read"),
        ("a.json", '{"marks": "\xe4"}'.encode("latin-1"), r"^'[^']*a.json': expected UTF-8 text"),
        ("a.json", b"[" * 100_000, "looks like JSON, but cannot be read"),
        ("a.xml", b"<annotations>" + b"<a>" * 1000, "at most 32 elements inside one another"),
    ],
)
def test_odd_files_are_told_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as told:
        read_mark_file(tmp_path / name, MarkedSource("v", SIZE, numbers="index"))
    assert "\n" not in str(told.value)


def test_a_broken_hdf5_file_is_told_in_one_line(tmp_path):
    pytest.importorskip("tables")
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 50)
    with pytest.raises(InputError, match="expected labels of DeepLabCut") as told:
        read_mark_file(tmp_path / "a.h5", MarkedSource("v", SIZE, numbers="index"))
    assert "\n" not in str(told.value)


def picture(path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)).save(path)


def test_a_folder_of_labelme_with_its_pictures_is_no_folder_of_masks(tmp_path):
    shape = {"label": "cow", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
    for number in (0, 2):
        picture(tmp_path / f"{number:05d}.png")
        content = {"shapes": [shape], "imagePath": f"{number:05d}.png", "imageData": None}
        (tmp_path / f"{number:05d}.json").write_text(json.dumps(content))
    picture(tmp_path / "00001.png")
    given = source()
    assert sorted(read_mark_file(tmp_path, given).masks) == [0, 2]
    assert given.names == {("object", 1): "cow"}


def test_a_folder_of_deeplabcut_with_its_pictures_is_read(tmp_path):
    picture(tmp_path / "img02.png")
    table = (
        "scorer,,,{0},{0}\nbodyparts,,,nose,nose\ncoords,,,x,y\nlabeled-data,clip,img02.png,4,5\n"
    )
    (tmp_path / "CollectedData_me.csv").write_text(table.format("me"))
    (tmp_path / "CollectedData_me.h5").write_bytes(b"\x89HDF")
    (pose,) = read_mark_file(tmp_path, source()).keypoints
    assert (pose.frame, pose.joints.tolist()) == (2, [[4, 5]])
    (tmp_path / "CollectedData_you.csv").write_text(table.format("you"))
    with pytest.raises(InputError, match=r"got CollectedData_me.csv, CollectedData_you.csv; give"):
        read_mark_file(tmp_path, source())
