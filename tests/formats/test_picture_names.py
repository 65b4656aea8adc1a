"""What a picture's name says: the number of its frame, its name before an export, its video."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.formats.picture_names import (
    NamedPicture,
    PictureIndex,
    before_export,
    last_number,
    same_ending,
    stem,
    video_in_name,
)

HASH = "9f3c1e5b7d2a46c08e1f5a7b3c9d2e3f"


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("00012.png", 12),
        ("12.jpg", 12),
        ("00000100.jpg", 100),
        ("frame_000012.PNG", 12),
        ("frame12", 12),
        ("..\\frames\\img 7.jpeg", 7),
        ("clip3/cam1_00042.mp4", 42),
        ("a.b.0012.png", 12),
        ("sh010.0012.png", 12),
        ("12.0.png", 12),
        ("v1.2_frame_0003.png", 3),
        ("00012.jpg.png", 12),
        (f"toy_mp4-0000_jpg.rf.{HASH}.jpg", 0),
        (f"toy-17_png.rf.{HASH}", 17),
        (f"frame_0012_{HASH}.png", 12),
        ("take_h264-00010.jpg", 10),
        (f"toy_jpg.rf.{HASH}.jpg", None),
        (f"{HASH}.jpg", None),
        ("toy_mp4.jpg", None),
        ("clip3/first.jp2", None),
        ("1305031102.175304.png", None),
        ("frame_1.50.png", None),
        ("9" * 19 + ".png", None),
        ("", None),
    ],
)
def test_the_number_of_a_frame_in_a_name(name, number):
    assert last_number(name) == number


@given(hexes=st.text("0123456789abcdef", min_size=8, max_size=40))
def test_no_digit_of_a_roboflow_hash_is_a_frame(hexes):
    assert last_number(f"toy_mp4-0007_jpg.rf.{hexes}.jpg") == 7
    assert last_number(f"toy_jpg.rf.{hexes}.jpg") is None


@given(
    prefix=st.sampled_from(["", "frame", "frame_", "img-", "a/b/clip ", "x_mp4-"]),
    number=st.integers(0, 10**9),
    digits=st.integers(1, 10),
    suffix=st.sampled_from(["", ".png", ".JPG", ".json"]),
)
def test_any_counted_name_gives_its_number(prefix, number, digits, suffix):
    assert last_number(f"{prefix}{number:0{digits}d}{suffix}") == number


@given(st.text(string.printable, max_size=30))
def test_any_text_gives_a_number_that_stands_in_it_or_none(text):
    number = last_number(text)
    assert (
        number is None
        or str(number) in re.sub("[^0-9]+0*", " ", " " + text).split()
        or (number == 0 and "0" in text)
    )


@pytest.mark.parametrize(
    ("name", "before", "video"),
    [
        (f"toy_mp4-0000_jpg.rf.{HASH}.jpg", "toy_mp4-0000.jpg", "toy"),
        (f"a/my_clip_MOV-12_png.rf.{HASH}.png", "my_clip_MOV-12.png", "my_clip"),
        (f"cat_jpeg.rf.{HASH}.jpg", "cat.jpeg", ""),
        ("frame_0000.png", "frame_0000.png", ""),
    ],
)
def test_names_before_roboflow_and_their_video(name, before, video):
    assert before_export(name) == before
    assert video_in_name(name) == video


def test_a_number_behind_a_dot_is_no_suffix():
    assert stem("x/1305031102.175304.png") == stem("1305031102.175304") == "1305031102.175304"


@pytest.mark.parametrize(
    ("names", "is_counted"),
    [
        (("00012.png",), True),
        (("frame_12.png",), True),
        (("toy.jpg", f"toy_mp4-0003_jpg.rf.{HASH}.jpg"), True),
        (("dog_12.png",), False),
        (("object1.png",), False),
        ((), False),
    ],
)
def test_counted_names(names, is_counted):
    assert NamedPicture("", names).is_counted is is_counted


@pytest.mark.parametrize(
    ("pictures", "name", "found"),
    [
        (["00005.jpg", "00010.jpg"], "00010.png", [1]),
        (["00005.jpg", "00005.png"], "00005.png", [1]),
        (["a/1.jpg", "b/1.jpg"], "x/b/1.jpg", [1]),
        (["a/1.jpg", "b/1.jpg"], "1.jpg", [0, 1]),
        (["IMG_7.JPG"], "img_7.jpg", [0]),
        (["00012.jpg"], "00012.jpg.png", [0]),
        (["1305031102.175304.png", "1305031102.211214.png"], "1305031102.211214.jpg", [1]),
        (["toy 1.jpg"], f"toy-1_jpg.rf.{HASH}.jpg", [0]),
        ([f"toy_jpg.rf.{HASH}.jpg"], "toy.png", [0]),
        (["cat.left.png", "cat.right.png"], "cat.png", []),
        (["00005.jpg"], "5.png", []),
    ],
)
def test_pictures_are_found_by_name(pictures, name, found):
    assert PictureIndex(pictures).called(name) == found


def test_a_number_of_two_pictures_is_of_none():
    index = PictureIndex(["a_1.png", "a_2.png", "b_2.png"])
    assert index.numbered(1) == 0 and index.numbered(2) is None and index.numbered(3) is None


def test_paths_agree_from_the_end():
    assert same_ending("data/Clip/img1", "clip\\img1") == 2
    assert same_ending("a/b", "b/a") == same_ending("", "") == 0
