"""LabelMe's files: instances, shapes with an area, and the pictures they are drawn on."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from chromatrack.errors import InputError
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.polygons import paint_polygons, read_polygons

SIZE = (120, 160)


def box(x: float, y: float, side: float = 20) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def shape(label: object = "cow", points: object = None, **fields: object) -> dict[str, Any]:
    return {"label": label, "points": points or box(20, 40), "group_id": None, **fields}


def saved(folder: Path, *shapes: dict, name: str = "p.json", size=SIZE, **fields: object) -> Path:
    height, width = size
    data = {"shapes": shapes, "imagePath": "frame_0000.png", "imageHeight": height}
    (folder / name).write_text(json.dumps({**data, "imageWidth": width, **fields}))
    return folder / name


def video(*pictures: str, count: int | None = 12, name: str = "clip.mp4") -> MarkedSource:
    return MarkedSource(name, SIZE, len(pictures) or count, pictures or None)


def areas(path: Path, source: MarkedSource) -> dict[int, dict[int, int]]:
    """{frame: {id: px}}."""
    painted = paint_polygons(read_polygons(path, source=source), SIZE)
    return {
        frame: {int(i): int((mask == i).sum()) for i in np.unique(mask) if i}
        for frame, mask in painted.items()
    }


@pytest.mark.parametrize(
    ("shapes", "expected", "names"),
    [
        (  # one instance of two parts, another of one
            [shape(group_id=1), shape(points=box(44, 40), group_id=1),
             shape(points=box(110, 40), group_id=2)],
            {1: 800, 2: 400}, {1: "cow", 2: "cow"},
        ),
        ([shape(), shape(points=box(44, 40))], {1: 400, 2: 400}, {1: "cow", 2: "cow"}),
        (  # without a group each is one, beside those with
            [shape(), shape("dog", box(90, 40)), shape(points=box(44, 40)),
             shape(points=box(110, 80), group_id=1)],
            {1: 400, 2: 400, 3: 400, 4: 400}, {1: "cow", 2: "dog", 3: "cow", 4: "cow"},
        ),
        ([shape("7"), shape("7", box(44, 40))], {7: 800}, {}),  # an id, twice
        ([shape("cow-1"), shape("cow-2", box(44, 40)), shape("cow-1", box(66, 40), group_id=1)],
         {1: 400, 2: 400, 3: 400}, {1: "cow-1", 2: "cow-2", 3: "cow-1"}),
        ([shape(group_id=1), shape("dog", box(44, 40), group_id=1)], {1: 400, 2: 400},
         {1: "cow", 2: "dog"}),
        ([shape("7"), shape("cow", box(44, 40))], {1: 400, 7: 400}, {1: "cow"}),
        ([shape(7, group_id=1), shape(7, box(44, 40), group_id=2)], {1: 400, 2: 400},
         {1: "7", 2: "7"}),
        ([shape("7", group_id=3)], {7: 400}, {}),
    ],
)  # fmt: skip
def test_label_and_group_are_the_instance(tmp_path, shapes, expected, names):
    opened = video()
    assert areas(saved(tmp_path, *shapes), opened) == {0: expected}
    assert opened.names == {("object", number): name for number, name in names.items()}


def test_shapes_without_a_group_are_objects_of_their_own_and_told(tmp_path):
    opened = video()
    path = saved(tmp_path, shape(), shape(points=box(44, 40)), shape("dog", box(90, 40)))
    assert areas(path, opened) == {0: {1: 400, 2: 400, 3: 400}}
    assert [note.text for note in opened.notes if note.warned] == [
        "2 shapes labelled cow without a group are objects 1, 2; give them one group_id if they "
        "are parts of one"
    ]


def test_one_shape_of_a_label_on_each_picture_is_one_object(tmp_path):
    saved(tmp_path, shape(), name="a.json")
    saved(tmp_path, shape("dog"), shape(points=box(44, 40)), name="b.json", imagePath="4.png")
    opened = video()
    assert areas(tmp_path, opened) == {0: {1: 400}, 4: {1: 400, 2: 400}}
    assert opened.notes == []


def test_several_without_a_group_on_two_pictures_cannot_be_told_apart(tmp_path):
    first, second = shape(), shape(points=box(44, 40))
    for n, shapes in enumerate([(first, second), (first,), (second, first)]):
        saved(tmp_path, *shapes, name=f"{n}.json", imagePath=f"{n}.png")
    with pytest.raises(InputError, match=r"0.json': 2 shapes labelled cow .* in .*1.json': which"):
        read_polygons(tmp_path, source=video())


@pytest.mark.parametrize("label", ["__ignore__", "_background_", " __ignore__ "])
def test_what_labelme_leaves_out_is_no_object(tmp_path, label):
    opened = video()
    path = saved(tmp_path, shape(label), shape(points=box(44, 40)))
    assert areas(path, opened) == {0: {1: 400}}
    assert [note.text for note in opened.notes] == [
        f"'{path}': passed over 1 shape labelled {label.strip()}"
    ]
    with pytest.raises(InputError, match="at least one polygon"):
        read_polygons(saved(tmp_path, shape(label)), source=video())


def test_rectangles_and_circles_have_an_area(tmp_path):
    for points in ([[20, 40], [60, 80]], [[60, 40], [20, 80]], box(20, 40, 40)):
        path = saved(tmp_path, shape(points=points, shape_type="rectangle"))
        assert areas(path, video()) == {0: {1: 1600}}
    path = saved(tmp_path, shape(points=[[80, 60], [80, 90]], shape_type="circle"))
    assert areas(path, video())[0][1] == pytest.approx(np.pi * 30**2, rel=0.01)
    for kind in ("circle", "rectangle"):
        path = saved(tmp_path, shape(points=box(1, 1)[:3], shape_type=kind))
        with pytest.raises(InputError, match=rf"points: expected the two points of a {kind}"):
            read_polygons(path)


@pytest.mark.parametrize("kind", ["point", "line", "linestrip", "points", "ellipse"])
def test_shapes_without_area_are_passed_over_and_told(tmp_path, kind):
    opened = video()
    path = saved(tmp_path, shape(), shape(points=[[1, 1], [5, 5]], shape_type=kind))
    assert areas(path, opened) == {0: {1: 400}}
    assert f"of the type {kind}" in opened.notes[0].text and opened.notes[0].warned
    with pytest.warns(UserWarning, match=f"of the type {kind}"):
        assert len(read_polygons(path)) == 1


@given(st.integers(0, 2**30 - 1), st.integers(0, 100), st.integers(0, 80))
def test_a_mask_is_read_to_the_pixel(tmp_path_factory, bits, left, top):
    inside = np.array([bool(bits >> n & 1) for n in range(30)]).reshape(5, 6)
    inside[2, 3] = True
    data = io.BytesIO()
    Image.fromarray(inside).save(data, "PNG")
    text = base64.b64encode(data.getvalue()).decode()
    points = [[left, top], [left + 5, top + 4]]
    path = saved(tmp_path_factory.mktemp("m"), shape(points=points, shape_type="mask", mask=text))
    painted = paint_polygons(read_polygons(path, source=video()), SIZE)[0]
    np.testing.assert_array_equal(painted[top : top + 5, left : left + 6], inside)
    assert painted.sum() == inside.sum()


@pytest.mark.parametrize("mask", ["no base 64!", "", 3, base64.b64encode(b"no png").decode()])
def test_a_mask_that_is_none_is_said(tmp_path, mask):
    path = saved(tmp_path, shape(points=[[0, 0], [5, 5]], shape_type="mask", mask=mask))
    with pytest.raises(InputError, match=r"shapes\[0\].mask: expected a picture in base64"):
        read_polygons(path)


def test_the_picture_is_that_of_image_path_else_of_the_file(tmp_path):
    hundred = [f"00000{n}.jpg" for n in range(100, 105)]
    for path, frame in [("00000100.jpg", 0), (r"..\x\00000103.jpg", 3), (None, 2), ("gone.jpg", 2)]:
        file = saved(tmp_path, shape(), name="00000102.json", imagePath=path)
        assert list(areas(file, video(*hundred))) == [frame]
    with pytest.raises(InputError, match="none of the pictures"):
        read_polygons(saved(tmp_path, shape(), imagePath="gone.jpg"), source=video(*hundred))


def test_a_file_that_tells_no_frame_is_of_the_first(tmp_path):
    opened = video()
    opened.start = 3
    assert list(areas(saved(tmp_path, shape(), imagePath="shot.png"), opened)) == [3]
    assert "taken for frame 3" in opened.notes[0].text
    saved(tmp_path, shape(), imagePath="other.png", name="q.json")
    with pytest.raises(InputError, match="frame's number"):
        read_polygons(tmp_path, source=video())


def test_a_folder_is_read_in_one_way(tmp_path):
    for n in (0, 5, 10):
        saved(tmp_path, shape(), name=f"{n:05d}.json", imagePath=f"{n:05d}.jpg")
    every_5th = [f"{n:05d}.jpg" for n in range(0, 75, 5)]
    assert list(areas(tmp_path, video(*every_5th))) == [0, 1, 2]
    assert list(areas(tmp_path, video())) == [0, 5, 10]


@pytest.mark.parametrize("factor", [0.5, 2, 4])
def test_outlines_on_a_resized_picture_are_scaled(tmp_path, factor):
    opened, size = video(), (round(120 * factor), round(160 * factor))
    points = (np.array(box(20, 40, 40)) * factor).tolist()
    assert areas(saved(tmp_path, shape(points=points), size=size), opened) == {0: {1: 1600}}
    assert f"{size[1]}x{size[0]}" in opened.notes[0].text
    assert read_polygons(tmp_path / "p.json")[0].rings[0].tolist() == points  # no video, no scale


def test_the_size_is_that_of_the_picture_in_the_file_where_none_is_stated(tmp_path):
    data = io.BytesIO()
    Image.new("RGB", (320, 240)).save(data, "JPEG")
    opened, text = video(), base64.b64encode(data.getvalue()).decode()
    points = (np.array(box(20, 40, 40)) * 2).tolist()
    path = saved(tmp_path, shape(points=points), size=(None, None), imageData=text)
    assert areas(path, opened) == {0: {1: 1600}} and "320x240" in opened.notes[0].text
    broken = saved(tmp_path, shape(), size=(None, None), imageData="abc")
    assert areas(broken, video()) == {0: {1: 400}}


def test_a_picture_of_another_shape_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"p.json': expected the video's 160x120 .* 120x160,"):
        read_polygons(saved(tmp_path, shape(), size=(160, 120)), source=video())
    unsaid = saved(tmp_path, shape(), size=(None, None))
    assert areas(unsaid, video()) == {0: {1: 400}}


def test_pictures_in_folders_of_several_videos(tmp_path):
    saved(tmp_path, shape(), name="a.json", imagePath="../clip/frame_0001.png")
    saved(tmp_path, shape("dog"), name="b.json", imagePath="../other/frame_0002.png")
    opened = video()
    assert areas(tmp_path, opened) == {1: {1: 400}} and opened.names == {("object", 1): "cow"}
    with pytest.raises(InputError, match="--video-name"):
        read_polygons(tmp_path, source=video(name="x.mp4"))


@pytest.mark.parametrize(
    ("x", "y", "told"),
    [
        (100, 50, False),
        (138, 98, False),
        (141, 50, False),
        (150, 50, True),
        (20, 110, True),
        (-1, 50, False),
        (-9, 50, True),
        (20, -6, True),
    ],
)
def test_what_reaches_out_of_the_frame_is_told(tmp_path, x, y, told):
    opened = video()
    read_polygons(saved(tmp_path, shape(points=box(x, y)), size=(None, None)), source=opened)
    assert any("is cut off there" in note.text and note.warned for note in opened.notes) == told
