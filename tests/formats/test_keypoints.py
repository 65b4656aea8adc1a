from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from track_tables import write_keypoints

from chromatrack.errors import InputError, OutputError
from chromatrack.formats.keypoints import (
    KeypointWriter,
    read_keypoint_tracks,
    read_keypoints,
    read_skeleton,
)
from chromatrack.structures import COCO_PERSON, Skeleton, TrackedKeypoints

LEG = Skeleton(("hip", "knee", "foot"), ((0, 1), (1, 2)))
SHORT = {"names": ["hip", "knee", "foot"], "edges": [["hip", "knee"], ["knee", "foot"]]}


def saved(tmp_path, data: object):
    path = tmp_path / "k.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def short(*marks: dict, skeleton: object = SHORT) -> dict:
    return {"skeleton": skeleton, "marks": list(marks)}


def coco(*annotations: dict, images: list | None = None, **category: object) -> dict:
    leg = {"id": 1, "keypoints": ["hip", "knee", "foot"], "skeleton": [[1, 2], [2, 3]]}
    return {
        "categories": [leg | category],
        "images": [{"id": 4, "file_name": "x/frame2_0012.jpg2"}] if images is None else images,
        "annotations": [{"id": 9, "image_id": 4, "category_id": 1} | a for a in annotations],
    }


@st.composite
def tracked(draw) -> TrackedKeypoints:
    known = np.array(draw(st.lists(st.booleans(), min_size=3, max_size=3)))
    xy = np.array(draw(st.lists(st.floats(-1e4, 1e4), min_size=6, max_size=6))).reshape(3, 2)
    visible = np.array(draw(st.lists(st.booleans(), min_size=3, max_size=3)))
    confidence = np.array(draw(st.lists(st.floats(0, 1), min_size=3, max_size=3)))
    return TrackedKeypoints(np.where(known[:, None], xy, np.nan), visible & known, confidence)


def test_the_short_form_tells_lost_from_not_marked(tmp_path):
    mark = {"id": 3, "frame": 5, "joints": {"knee": None, "hip": [1.5, 2]}}
    skeleton, (read,) = read_keypoints(saved(tmp_path, short(mark)))
    assert skeleton == LEG
    assert (read.id, read.frame) == (3, 5)
    np.testing.assert_array_equal(read.joints, [[1.5, 2], [np.nan, np.nan], [np.nan, np.nan]])
    assert read.lost.tolist() == [False, True, False]


def test_coco_marks_keep_hidden_joints_and_leave_out_v_0(tmp_path):
    data = coco({"keypoints": [1, 2, 2, 3, 4, 1, 0, 0, 0]}, {"id": 10, "keypoints": [0] * 9})
    skeleton, (mark,) = read_keypoints(saved(tmp_path, data))
    assert skeleton == LEG
    np.testing.assert_array_equal(mark.joints, [[1, 2], [3, 4], [np.nan, np.nan]])
    assert not mark.lost.any()


@pytest.mark.parametrize(
    ("image", "frame"),
    [
        ({"frame_index": 7, "frame_id": 8, "file_name": "9.png"}, 7),
        ({"frame_id": 8, "file_name": "9.png"}, 8),
        ({"file_name": "clip3/cam1_00042.mp4"}, 42),
        ({"file_name": "clip3/first.jp2"}, 4),
        ({}, 4),
    ],
)
def test_the_frame_comes_from_the_best_place(tmp_path, image, frame):
    data = coco({"keypoints": [1, 2, 2] * 3}, images=[{"id": 4} | image])
    assert read_keypoints(saved(tmp_path, data))[1][0].frame == frame


@pytest.mark.parametrize(
    ("fields", "number"),
    [({"track_id": 0, "instance_id": 2}, 0), ({"instance_id": 2}, 2), ({"track_id": None}, 9)],
)
def test_the_instance_comes_from_the_best_place(tmp_path, fields, number):
    data = coco({"keypoints": [1, 2, 2] * 3} | fields)
    assert read_keypoints(saved(tmp_path, data))[1][0].id == number


def test_annotations_and_categories_without_keypoints_are_passed_over(tmp_path):
    data = coco({"bbox": [1, 2, 3, 4], "category_id": 2}, {"keypoints": [1, 2, 2] * 3})
    data["categories"].insert(0, {"id": 2, "name": "car"})
    assert len(read_keypoints(saved(tmp_path, data))[1]) == 1


MARK = {"id": 1, "frame": 0, "joints": {"hip": [1, 2]}}


@pytest.mark.parametrize(
    ("data", "pattern"),
    [
        ("{", "expected keypoints as JSON"),
        ("[]", "got a list"),
        ("[" * 10**5, "cannot be read"),
        ({"names": ["a"]}, 'expected "skeleton", got only'),
        ({"skeleton": SHORT}, 'expected "marks"'),
        (short(), "at least one marked joint"),
        (
            short(MARK | {"joints": {"nose": [1, 2]}}),
            r"marks\[0\].joints: .*unknown joint \"nose\"",
        ),
        (short(MARK | {"joints": {}}), "at least one joint"),
        (short(MARK | {"joints": [1, 2]}), "expected an object"),
        (short(MARK | {"joints": {"hip": [1, 2, 3]}}), r"hip: expected \[x, y\]"),
        (short(MARK | {"joints": {"hip": [1, "2"]}}), 'finite number, got "2"'),
        (short(MARK | {"joints": {"hip": [1, float("nan")]}}), "finite number, got NaN"),
        (short(MARK | {"joints": {"hip": [10**400, 1]}}), "finite number"),
        (short(MARK | {"id": -1}), r"marks\[0\].id: expected an integer"),
        (short(MARK | {"frame": True}), "frame: expected an integer"),
        (short(MARK, MARK), r"marks\[1\]: id 1 on frame 0 .* in marks\[0\]"),
        (short({"id": 1, "frame": 0}), 'expected "joints"'),
        (short(MARK, skeleton={"names": ["a", "a"]}), "rename 'a'"),
        (short(MARK, skeleton={"names": []}), "at least one joint"),
        (short(MARK, skeleton={"names": ["a", 3]}), "rename 3"),
        (short(MARK, skeleton=SHORT | {"edges": [["hip", "toe"]]}), 'unknown joint "toe"'),
        (short(MARK, skeleton=SHORT | {"edges": [["hip"]]}), "edges of two joints"),
        (short(MARK, skeleton=SHORT | {"edges": [["hip", "hip"]]}), "an edge joins two"),
        (coco(), "at least one marked joint"),
        (coco({"keypoints": [1, 2, 2]}), r"annotations\[0\].keypoints: expected 9 numbers, got 3"),
        (coco({"keypoints": [1, float("inf"), 2] * 3}), "finite number"),
        (coco({"keypoints": [1, 2, 3] * 3}), "expected 0, 1 or 2"),
        (coco({"keypoints": [1, 2, 2] * 3, "image_id": 5}), "image 5 is not among"),
        (coco({"keypoints": [1, 2, 2] * 3, "category_id": 5}), "category 5 has no keypoints"),
        (coco({"keypoints": [1, 2, 2] * 3, "track_id": [1]}), "track_id: expected an integer"),
        (coco(*[{"keypoints": [1, 2, 2] * 3}] * 2), "id 9 on frame 12 is there already"),
        (coco({"keypoints": [1, 2, 2] * 3}, skeleton=[[1, 4]]), "unknown joint"),
        (coco({"keypoints": [1, 2, 2] * 3}, skeleton=[[0, 1]]), "unknown joint"),
        ({"annotations": [], "images": [], "categories": [{"id": 1}]}, "a category with keypoints"),
        ({"annotations": [], "images": []}, 'expected "categories"'),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, data, pattern):
    with pytest.raises(InputError, match=pattern) as caught:
        read_keypoints(saved(tmp_path, data))
    assert "k.json" in str(caught.value) and "\n" not in str(caught.value)


def test_two_skeletons_in_one_file_are_refused(tmp_path):
    data = coco({"keypoints": [1, 2, 2] * 3}, {"category_id": 2, "keypoints": [1, 2, 2]})
    data["categories"].append({"id": 2, "keypoints": ["tip"]})
    with pytest.raises(InputError, match="one skeleton for all"):
        read_keypoints(saved(tmp_path, data))


@pytest.mark.parametrize("data", [SHORT, short(), coco()])
def test_a_skeleton_is_found_in_every_form(tmp_path, data):
    assert read_skeleton(saved(tmp_path, data)) == LEG


def test_coco_person_is_cocos():
    names, edges = COCO_PERSON.names, COCO_PERSON.edges
    assert len(names) == 17 and names[0] == "nose" and names[16] == "right_ankle"
    assert len(edges) == len(set(edges)) == 19
    mirrored = {frozenset(_mirror(names[end]) for end in edge) for edge in edges}
    assert mirrored == {frozenset(names[end] for end in edge) for edge in edges}


def _mirror(name: str) -> str:
    sides = {"left": "right", "right": "left"}
    side, _, part = name.partition("_")
    return f"{sides[side]}_{part}" if side in sides else name


@settings(max_examples=50, deadline=None)
@given(frames=st.lists(st.dictionaries(st.integers(0, 50), tracked(), max_size=3), max_size=4))
def test_written_keypoints_come_back(tmp_path_factory, frames):
    path = tmp_path_factory.mktemp("k") / "keypoints.json"
    write_keypoints(path, LEG, [(10 + i, i / 30, given) for i, given in enumerate(frames)])
    skeleton, back = read_keypoint_tracks(path)
    assert skeleton == LEG
    assert list(back) == sorted({number for given in frames for number in given})
    for number, track in back.items():
        given = [(i, f[number]) for i, f in enumerate(frames) if number in f]
        assert track.frames.tolist() == [10 + i for i, _ in given]
        np.testing.assert_allclose(track.pts_seconds, [i / 30 for i, _ in given], atol=6e-7)
        np.testing.assert_allclose(track.values, [k.joints for _, k in given], atol=6e-4)
        np.testing.assert_array_equal(track.visible, [k.visible for _, k in given])
        np.testing.assert_allclose(track.confidence, [k.confidence for _, k in given], atol=6e-5)


def test_what_is_written_is_coco(tmp_path):
    path = tmp_path / "new" / "k.json"
    joints = np.array([[1.0, 2.0], [3.0004, 4.0], [np.nan, np.nan]])
    instance = TrackedKeypoints(joints, np.array([True, False, False]), np.array([0.9, 0.6, 0.0]))
    write_keypoints(path, LEG, [(3, 0.1, {6: instance}), (4, 0.2, {})])
    data = json.loads(path.read_text())
    assert data["categories"][0]["skeleton"] == [[1, 2], [2, 3]]
    assert [image["frame_index"] for image in data["images"]] == [3, 4]
    assert data["images"][1]["pts_seconds"] == 0.2
    assert data["annotations"] == [
        {
            "id": 1,
            "image_id": 3,
            "category_id": 1,
            "track_id": 6,
            "keypoints": [1.0, 2.0, 2, 3.0, 4.0, 1, 0.0, 0.0, 0],
            "num_keypoints": 2,
            "score": 0.75,
            "keypoint_scores": [0.9, 0.6, 0.0],
        }
    ]
    (mark,) = read_keypoints(path)[1]
    np.testing.assert_array_equal(mark.joints[:2], [[1, 2], [3, 4]])


def test_scores_of_other_programs_are_confidence(tmp_path):
    data = coco({"keypoints": [1, 2, 2, 3, 4, 1, 0, 0, 0], "score": 0.25})
    assert read_keypoint_tracks(saved(tmp_path, data))[1][9].confidence.tolist() == [
        [0.25, 0.25, 0.0]
    ]
    del data["annotations"][0]["score"]
    track = read_keypoint_tracks(saved(tmp_path, data))[1][9]
    assert track.confidence.tolist() == [[1.0, 1.0, 0.0]] and np.isnan(track.pts_seconds).all()
    assert track.visible.tolist() == [[True, False, False]]


def test_an_interrupted_run_leaves_whole_json(tmp_path):
    path = tmp_path / "k.json"
    instance = TrackedKeypoints(np.zeros((3, 2)), np.ones(3, bool), np.ones(3))
    with pytest.raises(InputError, match=r"expected \(3, 2\)"), KeypointWriter(path, LEG) as writer:
        writer.write(0, 0.0, {1: instance})
        writer.write(1, 0.1, {1: TrackedKeypoints(np.zeros((2, 2)), np.ones(2), np.ones(2))})
    writer.close()
    assert list(read_keypoint_tracks(path)[1]) == [1]
    assert [file.name for file in tmp_path.iterdir()] == ["k.json"]
    (tmp_path / "taken.json").mkdir()
    with pytest.raises(OutputError, match=r"taken\.json"):
        write_keypoints(tmp_path / "taken.json", LEG, [])


def test_a_skeleton_is_taken_for_files_without_one(tmp_path):
    skeleton = Skeleton(("hip", "knee"), ((0, 1),))
    short, coco = tmp_path / "short.json", tmp_path / "coco.json"
    short.write_text(json.dumps({"marks": [{"id": 1, "frame": 0, "joints": {"knee": [3, 4]}}]}))
    annotation = {"id": 1, "image_id": 7, "category_id": 1, "keypoints": [0, 0, 0, 3, 4, 2]}
    data = {"images": [{"id": 7, "frame_index": 0}], "annotations": [annotation]}
    coco.write_text(json.dumps({**data, "categories": [{"id": 1, "name": "dog"}]}))
    for path in (short, coco):
        found, [mark] = read_keypoints(path, skeleton=skeleton)
        assert found == skeleton and (mark.id, mark.frame) == (1, 0)
        np.testing.assert_array_equal(mark.joints, [[np.nan, np.nan], [3, 4]])
        with pytest.raises(InputError, match=r"skeleton|category with keypoints"):
            read_keypoints(path)
    own = [{"id": 1, "name": "dog", "keypoints": ["nose", "tail"]}]
    coco.write_text(json.dumps({**data, "categories": own}))
    assert read_keypoints(coco, skeleton=skeleton)[0].names == ("nose", "tail")
