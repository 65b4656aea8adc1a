"""Marks out of CVAT's XML, worked out by hand: keyframes, outside, tracks, images, traps."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from chromatrack.errors import InputError
from chromatrack.formats import file_marks, safe_xml
from chromatrack.formats.mark_files import read_mark_file
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.structures import BoxMark, LostMark, PointMark

SIZE = (20, 30)
SVG = (
    '&lt;line x1="1" y1="1" x2="9" y2="9" data-type="edge" data-node-from="7" data-node-to="8"&gt;'
    '&lt;/line&gt;&lt;circle data-node-id="7" data-label-name="hip"&gt;&lt;/circle&gt;'
    "&lt;circle data-label-name='knee' data-node-id='8'&gt;&lt;/circle&gt;"
)
META = f"""<meta><task><labels>
<label><name>leg</name><type>skeleton</type><svg>{SVG}</svg></label>
<label><name>hip</name><type>points</type><parent>leg</parent></label>
<label><name>knee</name><type>points</type><parent>leg</parent></label>
</labels><original_size><width>30</width><height>20</height></original_size></task></meta>"""


def source(count: int | None = 9, size=SIZE, **more) -> MarkedSource:
    return MarkedSource("clip.mp4", size, count, **more)


def read(tmp_path: Path, body: str, video: MarkedSource | None = None, *, meta: str = META):
    path = tmp_path / "c.xml"
    text = f'<?xml version="1.0"?>\n<annotations><version>1.1</version>{meta}{body}</annotations>'
    path.write_text(text, encoding="utf-8")
    return read_mark_file(path, video or source())


def box(frame: int, *, keyframe: int = 1, outside: int = 0, left: float = 1, more: str = "") -> str:
    place = f'xtl="{left}" ytl="2" xbr="{left + 10}" ybr="8"'
    flags = f'outside="{outside}" occluded="0" keyframe="{keyframe}"'
    return f'<box frame="{frame}" {flags} {place} {more}/>'


def track(body: str, *, number: int = 3, label: str = "cow") -> str:
    return f'<track id="{number}" label="{label}" source="manual">{body}</track>'


def test_keyframes_alone_are_marks_and_outside_is_lost(tmp_path):
    body = box(0) + box(1, keyframe=0) + box(2, left=5, keyframe=1) + box(4, outside=1)
    video = source()
    marks = read(tmp_path, track(body), video)
    assert marks.boxes == [
        BoxMark(3, 0, 1, 2, 10, 6),
        BoxMark(3, 2, 5, 2, 10, 6),
        BoxMark(3, 4, None, None, None, None),
    ]
    assert video.names == {("box", 3): "cow"} and video.notes == []


def test_outside_behind_the_end_and_things_never_seen_say_nothing(tmp_path):
    marks = read(tmp_path, track(box(0) + box(9, outside=1)) + track(box(3, outside=1), number=4))
    assert [(mark.id, mark.frame) for mark in marks.boxes] == [(3, 0)]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, [0, 2, 3, 5]),
        ({"end": 6}, [0, 2, 3, 5]),
        ({"end": 5}, [0, 2, 3]),  # a loss between what is shown is one
        ({"count": None, "end": 5}, [0, 2, 3]),
        ({"pictures": tuple(f"{n:05d}.png" for n in range(1, 6)), "count": 5}, [0, 2, 3]),
    ],
)
def test_outside_behind_what_is_tracked_only_ends_its_track(tmp_path, given, kept):
    video = source(**given)
    body = box(0) + box(2, outside=1) + box(3) + box(5, outside=1)
    marks = read(tmp_path, track(body), video)
    assert [mark.frame for mark in marks.boxes] == kept and video.notes == []


def test_outside_behind_what_is_tracked_where_numbers_are_names(tmp_path):
    pictures = tuple(f"{n:05d}.png" for n in (10, 20, 30))
    for last, given, kept in ((31, {}, [0, 1]), (30, {}, [0, 1, 2]), (30, {"end": 2}, [0, 1])):
        video = source(3, pictures=pictures, numbers="names", **given)
        marks = read(tmp_path, track(box(10) + box(20) + box(last, outside=1)), video)
        assert [mark.frame for mark in marks.boxes] == kept


def test_masks_begin_with_what_is_outside_and_go_along_rows(tmp_path):
    said = 'frame="1" outside="0" occluded="0" keyframe="1" left="4" top="3" width="3" height="2"'
    gone = said.replace('frame="1" outside="0"', 'frame="2" outside="1"')
    marks = read(tmp_path, track(f'<mask {said} rle="1, 3, 2"/><mask {gone} rle="1, 3, 2"/>'))
    expected = np.zeros(SIZE, np.int32)
    expected[3, 5:7] = expected[4, 4] = 3
    assert np.array_equal(marks.masks[1], expected)
    assert marks.lost == [LostMark(3, 2)]


def test_outlines_are_half_a_pixel_from_the_corner_and_the_front_is_on_top(tmp_path):
    square = 'points="2.0,1.0;6.0,1.0;6.0,4.0;2.0,4.0"'
    front = f'<polygon frame="0" keyframe="1" {square} z_order="1"/>'
    behind = f'<polygon frame="0" keyframe="1" {square.replace("6.0,", "9.0,")} z_order="0"/>'
    mask = read(tmp_path, track(front, number=1) + track(behind, number=2)).masks[0]
    expected = np.zeros(SIZE, np.int32)
    expected[1:4, 2:9] = 2
    expected[1:4, 2:6] = 1
    assert np.array_equal(mask, expected)


def test_points_and_several_in_one_shape(tmp_path):
    video = source()
    one = '<points frame="0" keyframe="1" outside="0" points="4.50,6.00"/>'
    two = '<points frame="0" keyframe="1" outside="0" points="1.5,2.5;3.5,4.5"/>'
    marks = read(tmp_path, track(one) + track(two, number=5, label="ear"), video)
    assert marks.points == [PointMark(3, 0, 4, 5.5), PointMark(5, 0, 1, 2), PointMark(6, 0, 3, 4)]
    assert "a thing for each point" in video.notes[0].text


def skeleton(frame: int, hip: str, knee: str, *, keyframe: int = 1) -> str:
    parts = (
        f'<points label="{name}" keyframe="1" {said}/>'
        for name, said in (("knee", knee), ("hip", hip))
    )
    return f'<skeleton frame="{frame}" keyframe="{keyframe}">{"".join(parts)}</skeleton>'


def test_skeletons_have_their_joints_edges_and_losses(tmp_path):
    here, gone = 'outside="0" points="3.5,4.5"', 'outside="1" points="0,0"'
    body = skeleton(0, here, gone) + skeleton(1, gone, 'outside="0" occluded="1" points="1,1"')
    video = source()
    marks = read(
        tmp_path, track(body, label="leg") + track(skeleton(0, here, gone), number=4), video
    )
    assert marks.skeleton.names == ("hip", "knee") and marks.skeleton.edges == ((0, 1),)
    first, second, other = marks.keypoints
    assert np.array_equal(first.joints, [[3, 4], [np.nan] * 2], equal_nan=True)
    assert first.lost.tolist() == [False, True] and second.lost.tolist() == [True, False]
    assert second.joints[1].tolist() == [0.5, 0.5]
    assert other.lost.tolist() == [False, False]  # that joint is nowhere in this track
    assert video.names == {("keypoints", 3): "leg", ("keypoints", 4): "cow"}


def test_object_track_0_moves_all_ids_by_one(tmp_path):
    square = '<polygon frame="0" keyframe="1" points="2,1;6,1;6,4;2,4"/>'
    video = source()
    marks = read(tmp_path, track(square, number=0) + track(box(0), number=1, label="pen"), video)
    assert set(np.unique(marks.masks[0])) == {0, 1} and marks.boxes[0].id == 2
    assert video.names == {("object", 1): "cow", ("box", 2): "pen"}
    assert "each is one more here" in video.notes[0].text


def test_a_turned_box_is_the_upright_one_around_it(tmp_path):
    video = source()
    [mark] = read(tmp_path, track(box(0, more='rotation="90"')), video).boxes
    assert (mark.x, mark.y, mark.width, mark.height) == pytest.approx((3, 0, 6, 10))
    assert "is turned" in video.notes[0].text


def test_what_is_not_read_is_told(tmp_path):
    video = source()
    line = '<polyline frame="0" keyframe="1" points="1,1;2,2"/>'
    read(tmp_path, track(box(0)) + track(line * 2, number=9), video)
    assert "passed over 2 shapes of the type polyline" in video.notes[0].text


IMAGE = '<image id="{0}" name="{1}" width="30" height="20">{2}</image>'
SHAPE = '<box label="{0}" xtl="1" ytl="2" xbr="11" ybr="8" {1}/>'


def test_shapes_on_images_are_told_apart_by_label_and_group(tmp_path):
    video = source()
    first = SHAPE.format("cow", "") + SHAPE.format("hen", 'group_id="1"')
    later = SHAPE.format("cow", "") + SHAPE.format("hen", 'group_id="2"')
    body = IMAGE.format(0, "frame_000002", first) + IMAGE.format(5, "frame_000007", later)
    marks = read(tmp_path, body, video)
    assert [(m.id, m.frame) for m in marks.boxes] == [(1, 2), (2, 2), (1, 7), (3, 7)]
    assert video.names == {("box", 1): "cow", ("box", 2): "hen", ("box", 3): "hen"}
    with pytest.raises(InputError, match="2 shapes labelled cow without a group, and more in"):
        both = SHAPE.format("cow", "") * 2
        read(tmp_path, IMAGE.format(0, "0", both) + IMAGE.format(1, "1", both))


def test_a_track_among_the_attributes_of_shapes_on_images_counts(tmp_path):
    shape = '<box label="cow" xtl="1" ytl="2" xbr="11" ybr="8">{}</box>'
    body = IMAGE.format(0, "a", shape.format('<attribute name="track_id">7</attribute>'))
    assert read(tmp_path, body).boxes == [BoxMark(7, 0, 1, 2, 10, 6)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            track(box(0).replace('"1" ytl', '"x" ytl')),
            "expected xtl to be a finite number, got 'x'",
        ),
        (track(box(0).replace('"1" ytl', '"nan" ytl')), "expected xtl to be a finite number"),
        (track(box(0).replace('frame="0"', 'frame="-1"')), "frame to be an integer from 0 up"),
        (track(box(0, left=40).replace('xbr="50"', 'xbr="3"')), "expected xbr right of xtl"),
        (track(box(0)).replace('id="3"', 'id="x"'), "expected tracks with an id"),
        (track('<points frame="0" points="1;2"/>'), "expected points as x0,y0;x1,y1"),
        (track('<polygon frame="0" points="1,1;2,2"/>'), "at least 3 corners"),
        (
            track('<mask frame="0" left="0" top="0" width="3" height="2" rle="1, 3"/>'),
            "run lengths of 3 x 2 pixels in all",
        ),
        (
            track('<mask frame="0" left="0" top="0" width="99999" height="99999" rle="1"/>'),
            "run lengths of 99999 x 99999",
        ),
        (
            track(
                skeleton(0, 'points="1,1"', 'points="1,1"').replace('"hip"', '"ear"'), label="leg"
            ),
            "expected one of the joints hip, knee, got 'ear'",
        ),
        (
            track(box(0).replace('keyframe="1"', 'keyframe="NaN"')),
            "keyframe to be 0 or 1",
        ),
        (track(box(0).replace('outside="0"', 'outside="yes"')), "outside to be 0 or 1, got 'yes'"),
        (track(""), "nothing in it is marked"),
        (track(box(0)).replace("<box", "<box <"), "expected XML, but it cannot be read"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path, body, said):
    with pytest.raises(InputError, match=said.replace("(", r"\(")) as caught:
        read(tmp_path, body)
    assert "c.xml" in str(caught.value) and "\n" not in str(caught.value)


def test_flags_may_be_words_and_what_is_there_twice_is_told(tmp_path):
    video = source()
    words = box(3).replace('outside="0"', 'outside="True"')
    marks = read(tmp_path, track(box(0) + box(0, left=5) + words), video)
    assert marks.boxes == [BoxMark(3, 0, 5, 2, 10, 6), BoxMark(3, 3, None, None, None, None)]
    assert [note.text for note in video.notes] == [
        f"'{tmp_path / 'c.xml'}': track 3, frame 0, box: is there twice; the last one counts"
    ]


def test_another_shape_of_picture_is_refused(tmp_path):
    with pytest.raises(InputError, match="got 30x20, another shape"):
        read(tmp_path, track(box(0)), source(size=(20, 50)))


@pytest.mark.parametrize(
    "declared",
    [
        '<!DOCTYPE annotations [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>',
        '<!DOCTYPE annotations SYSTEM "file:///etc/passwd">',
        f'<!--{"x" * 70000}--><!DOCTYPE annotations [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_document_types_are_refused(tmp_path, declared):
    path = tmp_path / "c.xml"
    body = track(box(0), label="&a;")
    path.write_text(f"{declared}<annotations>{body}</annotations>")
    with pytest.raises(InputError, match=r"without a document type|a format that is known"):
        read_mark_file(path, source())
    with pytest.raises(InputError, match="without a document type"):
        list(safe_xml.xml_elements(path, {"track"}))


def test_depth_size_and_number_of_elements_are_limited(tmp_path, monkeypatch):
    path = tmp_path / "c.xml"
    path.write_text("<annotations>" + "<a>" * 40 + "</a>" * 40 + "</annotations>")
    with pytest.raises(InputError, match="at most 32 elements inside one another"):
        list(safe_xml.xml_elements(path, {"track"}))
    path.write_text(f"<annotations>{track(box(0) * 20)}</annotations>")
    monkeypatch.setattr(safe_xml, "MOST_ELEMENT", 10)
    with pytest.raises(InputError, match="at most 10 elements in one"):
        list(safe_xml.xml_elements(path, {"track"}))
    monkeypatch.setattr(safe_xml, "MOST_XML_BYTES", 10)
    with pytest.raises(InputError, match="of XML, got"):
        list(safe_xml.xml_elements(path, {"track"}))


@pytest.mark.parametrize("encoding", ["nonsense", "utf-7", "gb18030"])
def test_encodings_that_cannot_be_read_are_told(tmp_path, encoding):
    path = tmp_path / "c.xml"
    path.write_text(f"<?xml version='1.0' encoding='{encoding}'?><annotations></annotations>")
    with pytest.raises(InputError, match=r"expected XML, but it cannot be read|nothing in it"):
        read_mark_file(path, source())


def test_masks_of_too_many_frames_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(file_marks, "MOST_PAINTED", 2 * SIZE[0] * SIZE[1])
    square = '<polygon frame="{}" keyframe="1" points="2,1;6,1;6,4;2,4"/>'
    read(tmp_path, track("".join(square.format(n) for n in range(2))))
    with pytest.raises(InputError, match="masks of at most 2 frames"):
        read(tmp_path, track("".join(square.format(n) for n in range(3))))


def test_a_zip_is_told_to_be_unpacked(tmp_path):
    (tmp_path / "c.zip").write_bytes(b"PK\3\4rest")
    with warnings.catch_warnings(), pytest.raises(InputError, match="unpack it first"):
        read_mark_file(tmp_path / "c.zip", source())
