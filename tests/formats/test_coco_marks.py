"""COCO keypoints of other tools: their images, sizes, tracks and videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.formats.keypoints import read_keypoints
from chromatrack.formats.marked_source import MarkedSource

SIZE = (120, 160)
TOY = {"id": 1, "name": "toy", "keypoints": ["a", "b"], "skeleton": [[1, 2]]}
HASH = "9f3c1e5b7d2a46c08e1f5a7b3c9d2e3f"


def image(number: int, name: str = "frame_{:06d}.PNG", **fields: Any) -> dict[str, Any]:
    file_name = name.format(number)
    return {"id": number, "file_name": file_name, "height": 120, "width": 160, **fields}


def mark(number: int, image: int, x: float = 30, **fields: Any) -> dict[str, Any]:
    keypoints = [x, 55, 2, x + 20, 65, 1]
    given = {"id": number, "image_id": image, "category_id": 1, "keypoints": keypoints}
    return {**given, "num_keypoints": 2, **fields}


def saved(
    folder: Path, images: list, marks: list, categories: list | None = None, **fields
) -> Path:
    data = {"categories": categories or [TOY], "images": images, "annotations": marks, **fields}
    (folder / "k.json").write_text(json.dumps(data))
    return folder / "k.json"


def video(*pictures: str, name: str = "clip.mp4", **fields: Any) -> MarkedSource:
    return MarkedSource(name, SIZE, len(pictures) or 12, pictures or None, **fields)


def seen(path: Path, source: MarkedSource | None = None) -> list[tuple[int, int]]:
    return [(found.id, found.frame) for found in read_keypoints(path, source=source)[1]]


@pytest.mark.parametrize("source", [None, video()])
@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"attributes": {"track_id": 0}}, {"attributes": {"track_id": 0}}, [(0, 0), (0, 4)]),
        ({"track_id": 3}, {"track_id": 3, "attributes": {"track_id": 8}}, [(3, 0), (3, 4)]),
        ({"attributes": {"instance_id": 5}}, {}, [(5, 0), (2, 4)]),
        ({"attributes": {"occluded": False}}, {"attributes": []}, [(1, 0), (2, 4)]),
        ({"track_id": 6.0}, {"track_id": None}, [(6, 0), (2, 4)]),
        ({"track_id": "a7"}, {"track_id": "a7"}, [(1, 0), (1, 4)]),
        ({"track_id": "12"}, {"track_id": 12}, [(12, 0), (12, 4)]),
    ],
)
def test_a_tracks_keyframes_are_of_one_instance(tmp_path, source, first, second, expected):
    marks = [mark(1, 0, **first), mark(2, 4, **second)]
    assert seen(saved(tmp_path, [image(0), image(4)], marks), source) == expected


def test_an_id_that_is_a_tracks_too_gets_another(tmp_path):
    tracked: dict[str, Any] = {"attributes": {"track_id": 2}}
    marks = [mark(1, 0, **tracked), mark(7, 4, **tracked), mark(2, 4)]
    path, opened = saved(tmp_path, [image(0), image(4)], marks), video()
    assert seen(path, opened) == [(2, 0), (2, 4), (3, 4)]
    assert "annotations[2]: has no track, and its id is a track's; it is instance 3" in (
        opened.notes[0].text
    )


@pytest.mark.parametrize("source", [None, video()])
@pytest.mark.parametrize(
    "empty",
    [
        {"keypoints": [], "num_keypoints": 0},
        {"keypoints": []},
        {"keypoints": None},
        {"keypoints": [0] * 6},
        {"keypoints": [5, 5, 0, 6, 6, 0], "num_keypoints": 0},
        {"num_keypoints": 0},
    ],
)
def test_what_has_no_marked_joint_is_passed_over(tmp_path, source, empty):
    images = [image(0), {**image(4), "width": 999}]  # an image without marks need not fit
    path = saved(tmp_path, images, [mark(1, 0), mark(2, 4, **empty)])
    assert seen(path, source) == [(1, 0)]
    with pytest.raises(InputError, match="at least one marked joint"):
        read_keypoints(saved(tmp_path, images, [mark(2, 4, **empty)]), source=source)


def test_names_of_categories_travel_with_the_instances(tmp_path):
    dog = {**TOY, "id": 2, "name": "dog"}
    marks = [mark(1, 0), mark(2, 0, category_id=2)]
    opened = video()
    seen(saved(tmp_path, [image(0)], marks, [TOY, dog]), opened)
    assert opened.names == {("keypoints", 1): "toy", ("keypoints", 2): "dog"}
    opened, ours = video(), {**TOY, "name": "skeleton"}  # as we write it
    seen(saved(tmp_path, [image(0)], [mark(1, 0, name="Ada"), mark(2, 0)], [ours]), opened)
    assert opened.names == {("keypoints", 1): "Ada"}
    marks = [mark(1, 0, track_id=5), mark(2, 4, category_id=2, track_id=5)]
    with pytest.raises(InputError, match=r"annotations\[1\]: track 5 is of another category"):
        read_keypoints(saved(tmp_path, [image(0), image(4)], marks, [TOY, dog]))


EVERY_5TH = tuple(f"{n:05d}.jpg" for n in range(0, 75, 5))


@pytest.mark.parametrize(
    ("fields", "pictures", "frame"),
    [
        ({"file_name": f"toy_mp4-0003_jpg.rf.{HASH}.jpg"}, (), 3),
        ({"file_name": f"x_jpg.rf.{HASH}.jpg", "extra": {"name": "toy_mp4-0004.jpg"}}, (), 4),
        ({"file_name": f"00010_jpg.rf.{HASH}.jpg"}, EVERY_5TH, 2),
        ({"file_name": f"x_jpg.rf.{HASH}.jpg", "extra": {"name": "00010.jpg"}}, EVERY_5TH, 2),
        ({"file_name": "JPEGImages/0a/00015.jpg", "frame_id": 3}, EVERY_5TH, 3),
        ({"file_name": "img1/00015.jpg", "frame_id": 15}, EVERY_5TH, 3),
        ({"file_name": "00007.png", "frame_index": 7}, EVERY_5TH, 7),  # our own
        ({"file_name": "12.PNG"}, (), 12),
        ({"file_name": None}, (), 1),  # the id
        ({"file_name": None}, EVERY_5TH, 1),
    ],
)
def test_the_frame_an_image_is_of(tmp_path, fields, pictures, frame):
    path = saved(tmp_path, [image(1, **fields)], [mark(1, 1)])
    assert seen(path, video(*pictures)) == [(1, frame)]


@pytest.mark.parametrize(
    ("fields", "pictures", "pattern"),
    [
        ({"file_name": f"x_jpg.rf.{HASH}.jpg"}, (), "frame's number, .* got x_jpg"),
        ({"file_name": "00005.jpg", "frame_id": 2}, EVERY_5TH, "frame 1, or frame 2"),
        ({"file_name": "5.jpg"}, EVERY_5TH, "frame 1, or frame 5"),
        ({"file_name": "dog.jpg"}, EVERY_5TH, "none of the pictures"),
    ],
)
def test_an_image_that_may_be_two_frames_or_none_is_refused(tmp_path, fields, pictures, pattern):
    path = saved(tmp_path, [image(1, **fields)], [mark(1, 1)])
    with pytest.raises(InputError, match=rf"images\[0\]: .*{pattern}"):
        read_keypoints(path, source=video(*pictures))


@given(
    hashes=st.lists(st.text("0123456789abcdef", min_size=32, max_size=32), min_size=3, max_size=3)
)
def test_no_hash_moves_a_mark(tmp_path_factory, hashes):
    images = [image(n, f"toy_mp4-{n:04d}_jpg.rf.{text}.jpg") for n, text in enumerate(hashes)]
    path = saved(tmp_path_factory.mktemp("k"), images, [mark(9 + n, n) for n in range(3)])
    assert seen(path, video()) == seen(path) == [(9, 0), (10, 1), (11, 2)]


def test_two_images_of_one_frame_are_refused(tmp_path):
    images = [image(1, f"toy_mp4-0000_jpg.rf.{HASH}.jpg"), image(2, "toy_mp4-0000_jpg.rf.ab1.jpg")]
    with pytest.raises(InputError, match=r"images\[1\]: is frame 0, as images\[0\] is"):
        read_keypoints(saved(tmp_path, images, [mark(1, 1), mark(2, 2)]), source=video())


@pytest.mark.parametrize("factor", [0.5, 2, 3])
def test_joints_on_a_resized_image_are_scaled(tmp_path, factor):
    size: dict[str, Any] = {"height": round(120 * factor), "width": round(160 * factor)}
    keypoints = [30 * factor, 55 * factor, 2, 50 * factor, 65 * factor, 2]
    path = saved(tmp_path, [image(0, **size)], [mark(1, 0, keypoints=keypoints)])
    opened = video()
    (found,) = read_keypoints(path, source=opened)[1]
    np.testing.assert_allclose(found.joints, [[30, 55], [50, 65]])
    assert f"{size['width']}x{size['height']} pixels, scaled to the video's 160x120" in (
        opened.notes[0].text
    )
    for unsaid in ({"height": None}, {"width": 0}):
        path = saved(tmp_path, [{**image(0, **size), **unsaid}], [mark(1, 0)])
        np.testing.assert_array_equal(
            read_keypoints(path, source=video())[1][0].joints, [[30, 55], [50, 65]]
        )


def test_an_image_of_another_shape_is_refused(tmp_path):
    path = saved(tmp_path, [image(0, height=640, width=640)], [mark(1, 0)])
    with pytest.raises(InputError, match=r"160x120 .* 640x640,"):
        read_keypoints(path, source=video())


TWO = {
    "video_id": [image(0, video_id=1, frame_id=0), image(1, video_id=2, frame_id=0)],
    "text id": [image(0, video_id="clip"), image(1, video_id="other")],
    "folder": [image(0, "d/clip/{:06d}.png"), image(1, "d/other/{:06d}.png")],
    "name": [image(0, f"clip_mp4-0000_jpg.rf.{HASH}.jpg"), image(1, "other_mp4-0000.jpg")],
}
VIDEOS = [{"id": 1, "name": "clip"}, {"id": 2, "file_name": "other.mp4"}]


@pytest.mark.parametrize("kind", TWO)
def test_of_several_videos_the_one_whose_name_fits_is_read(tmp_path, kind):
    marks = [mark(1, 0, track_id=1), mark(2, 1, 90, track_id=2)]
    path = saved(tmp_path, TWO[kind], marks, videos=VIDEOS)
    other = 0 if kind in ("video_id", "name") else 1
    assert seen(path, video()) == [(1, 0)]
    assert seen(path, video(name="a/other.mkv")) == [(2, other)]
    assert seen(path, video(name="x.mp4", video_name="other")) == [(2, other)]
    for opened in (video(name="x.mp4"), video(video_name="third")):
        with pytest.raises(InputError, match=r"several videos \(clip, other|several videos \(d/"):
            read_keypoints(path, source=opened)


def test_a_videos_id_is_its_name_where_it_is_asked_for(tmp_path):
    path = saved(tmp_path, TWO["video_id"], [mark(1, 0), mark(2, 1)])
    assert seen(path, video(name="x.mp4", video_name="2")) == [(2, 0)]
    with pytest.raises(InputError, match=r"several videos \(1, 2\)"):
        read_keypoints(path, source=video(name="x.mp4"))


def test_one_video_of_any_name_is_ours(tmp_path):
    path = saved(tmp_path, [image(3, "some/{:06d}.png", video_id=9)], [mark(1, 3)])
    assert seen(path, video()) == [(1, 3)]


def test_our_pictures_may_be_of_several_videos(tmp_path):
    names = ["clip_mp4-0000.jpg", "other_mp4-0000.jpg"]
    path = saved(
        tmp_path, [image(n, name) for n, name in enumerate(names)], [mark(1, 0), mark(2, 1)]
    )
    assert seen(path, video(*names, name="folder")) == [(1, 0), (2, 1)]


def test_numbers_of_the_short_form_are_indices(tmp_path):
    data = {
        "skeleton": {"names": ["a"]},
        "marks": [{"id": 1, "frame": 5, "joints": {"a": [1, 2]}}],
    }
    (tmp_path / "k.json").write_text(json.dumps(data))
    assert seen(tmp_path / "k.json", video(*EVERY_5TH)) == [(1, 5)]
    assert seen(tmp_path / "k.json", video(*EVERY_5TH, numbers="names")) == [(1, 1)]


@pytest.mark.parametrize(
    ("names", "source", "expected"),
    [
        (("clip_0003.png", "other_0004.png"), video(), [(1, 3)]),
        (("clip_0003.png", "other_0003.png"), video(), [(1, 3)]),
        (("clip0003.png", "other0003.png"), video(), [(1, 3)]),
        (("a_0003.png", "b_0004.png"), video(), None),
        (("a_0003.png", "b_0004.png"), video(video_name="b"), [(2, 4)]),
        (("a_0003.png", "a_0004.png"), video(), [(1, 3), (2, 4)]),
        (("a_0003.png", "b_0004.png"), video("a_0003.png", "b_0004.png"), [(1, 0), (2, 1)]),
        (("frame_0003.png", "image_0004.png"), video(), [(1, 3), (2, 4)]),
        (("0003.png", "0004.png"), video(), [(1, 3), (2, 4)]),
        (("x_mp4-0003_jpg.rf.Ab9-xYz_1.jpg",), video(), [(1, 3)]),
    ],
)
def test_names_in_one_folder_tell_videos_apart(tmp_path, names, source, expected):
    images = [image(n, name) for n, name in enumerate(names, start=1)]
    path = saved(tmp_path, images, [mark(n, n) for n, _ in enumerate(names, start=1)])
    if expected is None:
        with pytest.raises(InputError, match=r"several videos \(a, b\).*--video-name"):
            seen(path, source)
    else:
        assert seen(path, source) == expected
