"""Kinds of files that tools' own samples have, written anew: VIA's JSON, CVAT's nested tracks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.formats.file_marks import GivenFile
from chromatrack.formats.mark_files import read_mark_file, reader_of
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.structures import BoxMark, PointMark


def source(count: int = 40) -> MarkedSource:
    return MarkedSource("clip", (60, 80), frame_count=count, numbers="index")


def picture(name: str, regions: Any, **said: object) -> dict[str, Any]:
    return {"filename": name, "size": 1234, "regions": regions, "file_attributes": said}


def region(shape: dict[str, object], **about: object) -> dict[str, object]:
    return {"shape_attributes": shape, "region_attributes": about}


RECT = {"name": "rect", "x": 10, "y": 12, "width": 20, "height": 8}
RING = {"name": "polygon", "all_points_x": [1, 21, 21, 1], "all_points_y": [2, 2, 12, 12]}
SPOT = {"name": "point", "cx": 5, "cy": 7}


@pytest.mark.parametrize("how", ["annotations", "project", "keyed"])
def test_via_s_json_is_read_as_its_table_is(tmp_path: Path, how: str) -> None:
    regions: Any = [
        region(RECT, name="Rex", type="dog"),
        region(RING, type="cow", color="#ff8000"),
        region(SPOT),
        region({"name": "ellipse", "cx": 1, "cy": 1, "rx": 2, "ry": 2}),
    ]
    if how == "keyed":
        regions = {str(n): one for n, one in enumerate(regions)}
    content: dict[str, Any] = {"p3.jpg1234": picture("p3.jpg", regions, frame_id="7")}
    if how == "project":
        content = {"_via_settings": {}, "_via_img_metadata": content, "_via_attributes": {}}
    (tmp_path / "v.json").write_text(json.dumps(content))
    marked = source()
    marks = read_mark_file(tmp_path / "v.json", marked)
    assert reader_of(GivenFile(tmp_path / "v.json")).name == "VIA JSON"
    assert marks.boxes == [BoxMark(1, 7, 10, 12, 20, 8)]
    assert marks.points == [PointMark(1, 7, 4.5, 6.5)]
    assert list(marks.masks) == [7] and int((marks.masks[7] == 1).sum()) == 200
    assert marked.names["box", 1] == "Rex" and marked.categories["box", 1] == "dog"
    assert marked.categories["object", 1] == "cow" and marked.colors["object", 1] == (255, 128, 0)
    assert any("passed over 1 region of the type ellipse" in n.text for n in marked.notes)


def test_the_header_of_via_1_begins_with_a_sign(tmp_path: Path) -> None:
    shape = json.dumps(RECT).replace('"', '""')
    (tmp_path / "v.csv").write_text(
        "#filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
        f'region_attributes\nclip_4.jpg,1,"{{}}",1,0,"{shape}","{{}}"\n'
    )
    assert read_mark_file(tmp_path / "v.csv", source()).boxes == [BoxMark(1, 4, 10, 12, 20, 8)]


def test_what_is_wrong_in_via_s_json_is_told_by_its_key(tmp_path: Path) -> None:
    def read(regions: object) -> None:
        content = {"a1": picture("clip_4.jpg", regions), "a2": picture("clip_5.jpg", [])}
        (tmp_path / "v.json").write_text(json.dumps(content))
        read_mark_file(tmp_path / "v.json", source())

    with pytest.raises(InputError, match=r"a1\.regions\[0\]\.shape_attributes: expected a width"):
        read([region({**RECT, "width": 0})])
    with pytest.raises(InputError, match=r"a1\.regions\[0\]\.shape_attributes\.x: expected a fin"):
        read([region({**RECT, "x": "left"})])
    with pytest.raises(InputError, match="is VIA JSON, but nothing in it is marked"):
        read([])
    (tmp_path / "v.json").write_text(
        json.dumps({f"a{n}": picture(f"clip_{n}.jpg", [region(RECT)] * 2) for n in (4, 5)})
    )
    with pytest.raises(InputError, match="cannot be told; give each thing one track in region_att"):
        read_mark_file(tmp_path / "v.json", source())


KEYS = st.sampled_from(["shape_attributes", "region_attributes", "name", "x", "all_points_x"])
ANY = st.recursive(
    st.none() | st.integers() | st.sampled_from(["rect", "polygon", "point", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner),
)


@given(ANY)
def test_no_json_of_that_kind_breaks_the_reader(tmp_path_factory: Any, inside: object) -> None:
    path = tmp_path_factory.mktemp("v") / "v.json"
    path.write_text(json.dumps({"a": {"filename": "clip_1.jpg", "regions": inside}}))
    try:
        read_mark_file(path, source())
    except InputError as error:
        assert "\n" not in str(error)


def joint(label: str, *rows: tuple[int, int, int, str]) -> str:
    shapes = "".join(
        f'<points frame="{frame}" outside="{outside}" occluded="0" keyframe="{key}" '
        f'points="{place}" z_order="0"></points>'
        for frame, outside, key, place in rows
    )
    return f'<track id="0" label="{label}" source="manual">{shapes}</track>'


def test_joints_of_cvat_may_have_tracks_of_their_own(tmp_path: Path) -> None:
    labels = "".join(
        f"<label><name>{name}</name><type>points</type><parent>bug</parent></label>"
        for name in ("head", "tail")
    )
    whole = "".join(
        f'<skeleton frame="{frame}" outside="0" occluded="0" keyframe="{key}" points="1,1;2,2">'
        "</skeleton>"
        for frame, key in ((4, 1), (6, 0))
    )
    head = joint("head", (4, 0, 1, "10.5,11.5"), (5, 0, 0, "12,13"), (6, 0, 0, "13,14"))
    tail = joint("tail", (4, 0, 1, "20.5,21.5"), (6, 1, 1, "21,22"), (9, 0, 1, "22.5,23.5"))
    (tmp_path / "a.xml").write_text(
        "<annotations><version>1.1</version><meta><task><labels><label><name>bug</name>"
        f"<type>skeleton</type></label>{labels}</labels><original_size><width>80</width>"
        "<height>60</height></original_size></task></meta>"
        f'<track id="3" label="bug">{whole}{head}{tail}</track></annotations>'
    )
    marked = source()
    marks = read_mark_file(tmp_path / "a.xml", marked)
    assert marks.skeleton is not None and marks.skeleton.names == ("head", "tail")
    first, gone, last = sorted(marks.keypoints, key=lambda mark: mark.frame)
    assert (first.id, first.frame, first.joints.tolist()) == (3, 4, [[10, 11], [20, 21]])
    assert gone.frame == 6 and gone.lost.tolist() == [False, True]
    assert not np.isfinite(gone.joints).any()
    assert last.frame == 9 and last.joints[1].tolist() == [22, 23]
    assert marked.names["keypoints", 3] == marked.categories["keypoints", 3] == "bug"
