"""CVAT for video 1.1: every shape by hand, and boxes and points by programs of others."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from tracked_scenes import tracked_everything

from chromatrack.formats.cvat_xml import write_cvat
from chromatrack.formats.exchange import ExportOptions

USUAL = ExportOptions()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("cvat") / "c.xml"
    assert write_cvat(tracked_everything(), path, USUAL) == []
    return ET.parse(path).getroot()


def track(root, number: int):
    return root.find(f"track[@id='{number}']")


def flags(shapes):
    return [(int(s.get("frame")), s.get("outside"), s.get("keyframe")) for s in shapes]


def test_masks_are_runs_along_the_rows_of_a_crop_that_begin_outside(root):
    tracked = tracked_everything()
    for number in (1, 2):
        seen = track(root, number)
        for shape in seen.findall("mask[@outside='0']"):
            runs = [int(text) for text in shape.get("rle").split(",")]
            left, top, width, height = (
                int(shape.get(key)) for key in ("left", "top", "width", "height")
            )
            inside = np.zeros((60, 80), dtype=bool)
            position, is_inside = 0, False
            for run in runs:
                for pixel in range(position, position + run):
                    row, column = divmod(pixel, width)
                    inside[top + row, left + column] = is_inside
                position, is_inside = position + run, not is_inside
            assert position == width * height
            assert np.array_equal(inside, tracked.mask(int(shape.get("frame"))) == number)


def test_a_track_ends_with_outside_behind_the_last_frame_it_is_seen_on(root):
    every = {number: track(root, number) for number in (1, 2, 3, 4, 5)}
    assert flags(every[1]) == [(7, "0", "1"), (8, "0", "1"), (9, "0", "1"), (10, "1", "1")]
    assert flags(every[2]) == [(8, "0", "1"), (9, "0", "1"), (10, "1", "1")]
    assert flags(every[3]) == [(7, "0", "1"), (8, "1", "1"), (9, "0", "1"), (10, "1", "1")]
    assert flags(every[4]) == [(7, "0", "1"), (8, "0", "1"), (9, "1", "1")]
    assert [int(shape.get("frame")) for shape in every[5]] == [7, 8, 9]


def test_places_are_counted_from_the_corner_of_the_first_pixel(root):
    box = track(root, 4).find("box")
    assert [float(box.get(key)) for key in ("xtl", "ytl", "xbr", "ybr")] == [0, 1, 10, 9]
    assert track(root, 3).find("points").get("points") == "1.750,2.500"


def test_joints_of_which_nothing_is_known_are_outside(root):
    first, _, gone = track(root, 5).findall("skeleton")
    said = {p.get("label"): (p.get("outside"), p.get("points")) for p in first}
    assert said["hip"] == ("0", "20.500,30.500") and said["foot"][0] == "1"
    assert {p.get("outside") for p in gone} == {"1"}


def test_hidden_joints_are_occluded(tmp_path):
    tracked = tracked_everything()
    pose = tracked.keypoints[5]
    visible = pose.visible.copy()
    visible[0, 1] = False
    write_cvat(
        replace(tracked, keypoints={5: replace(pose, visible=visible)}), tmp_path / "c", USUAL
    )
    first = track(ET.parse(tmp_path / "c").getroot(), 5)[0]
    assert [(p.get("outside"), p.get("occluded")) for p in first][:2] == [("0", "0"), ("0", "1")]


def test_labels_are_names_and_say_what_they_are_of(root):
    labels = root.findall("meta/task/labels/label")
    found = {e.findtext("name"): (e.findtext("type"), e.findtext("parent")) for e in labels}
    assert found == {
        "cow, brown": ("mask", None),
        "object": ("mask", None),
        "pen & ink": ("rectangle", None),
        "eye <l>": ("points", None),
        "skeleton": ("skeleton", None),
        **dict.fromkeys(("hip", "knee", "foot"), ("points", "skeleton")),
    }
    svg = ET.fromstring(f"<svg>{labels[4].findtext('svg')}</svg>")
    assert [e.get("data-label-name") for e in svg.findall("circle")] == ["hip", "knee", "foot"]
    ends = [(e.get("data-node-from"), e.get("data-node-to")) for e in svg.findall("line")]
    assert ends == [("1", "2"), ("2", "3")]
    size = root.find("meta/task/original_size")
    assert (size.findtext("width"), size.findtext("height")) == ("80", "60")


def test_one_name_for_things_of_two_kinds(tmp_path):
    tracked = tracked_everything()
    names = {("object", 1): "cow", ("box", 4): "cow", ("keypoints", 5): "cow\x07"}
    write_cvat(replace(tracked, names=names), tmp_path / "c.xml", USUAL)
    root = ET.parse(tmp_path / "c.xml").getroot()
    labels = root.findall("meta/task/labels/label")
    types = {e.findtext("name"): e.findtext("type") for e in labels}
    assert types["cow"] == "any" and track(root, 5).get("label") in types


def test_boxes_read_with_a_converter_of_others(tmp_path):
    converter = pytest.importorskip("dagshub_annotation_converter.converters.cvat")
    tracked = replace(tracked_everything(), objects={}, points={}, keypoints={}, skeleton=None)
    write_cvat(tracked, tmp_path / "c.xml", USUAL)
    [found] = converter.load_cvat_from_xml_file(tmp_path / "c.xml").tracks
    boxes = {a.frame_number: (a.left, a.top, a.width, a.height) for a in found.annotations}
    assert boxes == {7: (0, 1, 10, 8), 8: (1.5, 1, 10, 8)}
    assert found.object_id == "4" and found.annotations[0].categories == {"pen & ink": 1.0}


def test_boxes_and_points_read_with_datumaro(tmp_path):
    datumaro = pytest.importorskip("datumaro")  # which knows no masks and skeletons in videos
    tracked = replace(tracked_everything(), objects={}, keypoints={}, skeleton=None)
    write_cvat(tracked, tmp_path / "c.xml", USUAL)
    found = {}
    for item in datumaro.Dataset.import_from(str(tmp_path / "c.xml"), "cvat"):
        for one in item.annotations:
            if not one.attributes["outside"]:
                found[item.attributes["frame"], one.attributes["track_id"]] = list(one.points)
    assert found == {
        **{(7, 4): [0, 1, 10, 9], (8, 4): [1.5, 1, 11.5, 9]},
        **{(7, 3): [1.75, 2.5], (9, 3): [3.5, 5]},
    }


def test_what_is_seen_nowhere_has_an_empty_track(tmp_path):
    tracked = tracked_everything()
    box = replace(tracked.boxes[4], visible=np.zeros(3, dtype=bool))
    write_cvat(replace(tracked, boxes={4: box}), tmp_path / "c.xml", USUAL)
    text = (tmp_path / "c.xml").read_text(encoding="utf-8")
    assert not re.search("<box ", text)
