"""Which frame a name or number means, which sizes fit, and which of several videos is meant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.picture_names import NamedPicture, Numbers

FROM_1 = [f"{n:05d}.jpg" for n in range(1, 7)]
FROM_100 = [f"{n:08d}.jpg" for n in range(100, 105)]
EVERY_5TH = [f"{n:05d}.jpg" for n in range(0, 75, 5)]
UNPADDED = [f"{n}.png" for n in range(1, 13)]
TIMES = ["1305031102.175304.png", "1305031102.211214.png", "1305031102.243211.png"]
FRAMES = [f"frame_{n:04d}.png" for n in range(1, 11)]


def source(pictures=None, *, numbers: Numbers = "auto", count=20, size=(120, 160), **kwargs):
    given = None if pictures is None else tuple(pictures)
    count = count if given is None else len(given)
    return MarkedSource(kwargs.pop("video", "clip"), size, count, given, numbers, **kwargs)


def frames(source, *names, stated=None):
    return source.frames([NamedPicture("marks", (name,), stated) for name in names])


@pytest.mark.parametrize(
    ("pictures", "names", "expected"),
    [
        (FROM_1, ["00001.png"], [0]),
        (FROM_1, ["00001.png", "00006.png"], [0, 5]),
        (FROM_100, ["00000100.jpg"], [0]),
        (FROM_100, ["00000.png", "3.png"], [0, 3]),  # no such pictures: the index
        (FROM_100, ["101.png"], [1]),  # no such index: the number
        (FROM_100, [r"..\frames\00000103.jpg"], [3]),
        (EVERY_5TH, ["00000.png", "00005.png", "00010.png"], [0, 1, 2]),
        (EVERY_5TH, ["0.png"], [0]),  # both readings are one frame
        (EVERY_5TH, ["20.png", "70.png"], [4, 14]),
        (UNPADDED, ["1.png", "10.png"], [0, 9]),
        (TIMES, ["1305031102.211214.png"], [1]),
        (FRAMES, ["00001.png", "00010.png"], [0, 9]),  # there is no index 10
        (FRAMES, ["00000.png"], [0]),
        (["a.jpg", "b.jpg"], ["b.json"], [1]),
        (["a.jpg", "b.jpg"], ["00001.png"], [1]),
        (None, ["00012.png", "frame_000013.png"], [12, 13]),
        (None, ["toy_mp4-0007_jpg.rf.9f3c1e5b7d2a46c0.jpg"], [7]),
    ],
)
def test_names_mean_their_picture_and_numbers_the_index(pictures, names, expected):
    assert frames(source(pictures), *names) == expected


@pytest.mark.parametrize(
    ("pictures", "names", "readings"),
    [
        (FROM_1, ["1.png"], "00001.jpg, frame 0, or frame 1, 00002.jpg"),
        (EVERY_5TH, ["5.png"], "00005.jpg, frame 1, or frame 5, 00025.jpg"),
        (FRAMES, ["00003.png"], "frame_0003.png, frame 2, or frame 3, frame_0004.png"),
        (FROM_1, ["dog_3.png"], "00003.jpg, frame 2, or frame 3, 00004.jpg"),
        (EVERY_5TH, ["00005.png", "00007.png"], "00007.png is none .* though 00005.png is one"),
        (FROM_1, ["00000.png", "00001.png"], "00000.png is none .* 00001.png is one, frame 0"),
    ],
)
def test_two_readings_are_refused_and_named(pictures, names, readings):
    with pytest.raises(InputError, match=readings) as caught:
        frames(source(pictures), *names)
    assert "--numbers names or --numbers index" in str(caught.value)
    index = frames(source(pictures, numbers="index"), *names)
    assert index == [int("".join(filter(str.isdigit, name))) for name in names]


def test_numbers_names_takes_the_pictures_number():
    assert frames(source(EVERY_5TH, numbers="names"), "5.png", "00010.png") == [1, 2]
    assert source(EVERY_5TH, numbers="names").frame(5, "row") == 1
    assert source(EVERY_5TH).frame(5, "row") == source(EVERY_5TH, numbers="index").frame(5, "") == 5
    with pytest.raises(InputError, match="row: expected the number of one of the pictures"):
        source(EVERY_5TH, numbers="names").frame(7, "row")
    with pytest.raises(InputError, match=r"from 0 to 4, got 102; 00000102.jpg is frame 2"):
        source(FROM_100).frame(102, "row")


@pytest.mark.parametrize(
    ("pictures", "name", "pattern"),
    [
        (FROM_100, "00007.png", "none of the pictures 00000100.jpg, ... 00000104.jpg"),
        (FROM_100, "dog_3.png", "none of the pictures"),
        (["a.jpg"], "photo.jpg", "none of the pictures a.jpg"),
        (TIMES, "1305031102.2.png", "none of the pictures"),
        (None, "first.png", "frame's number"),
        (None, "1305031102.175304.png", "frame's number"),
        (["x/1.jpg", "y/1.jpg"], "1.jpg", "both called 1.jpg"),
    ],
)
def test_names_of_no_frame_are_refused(pictures, name, pattern):
    with pytest.raises(InputError, match=pattern):
        frames(source(pictures), name)


def test_what_a_file_states_beside_the_name():
    assert frames(source(EVERY_5TH), "00005.jpg", stated=1) == [1]
    assert frames(source(FROM_1), "00001.jpg", stated=1) == [0]  # the name's own number
    assert frames(source(), "frame_9.png", stated=2) == [2]
    with pytest.raises(InputError, match=r"00005.jpg, frame 1, or frame 2"):
        frames(source(EVERY_5TH), "00005.jpg", stated=2)


def test_a_name_where_an_index_was_possible_is_told():
    told = source(FROM_1)
    frames(told, "00001.png")
    assert [note.text for note in told.notes if note.warned] == [
        "marks: 00001.png is taken for the picture of that name, frame 0, not for frame 1 "
        "(--numbers index)"
    ]
    told = source(FRAMES)
    frames(told, "00001.png", "00010.png")
    assert "00001.png is taken for the picture of that number, frame 0" in told.notes[0].text
    quiet = source(FROM_100)
    frames(quiet, "00000100.png")
    assert not quiet.notes


@pytest.mark.parametrize(
    ("name", "is_told"),
    [("2011_000003.jpg", True), ("frame_3.jpg", False), ("clip_00003.jpg", False), ("3", False)],
)
def test_a_number_that_may_count_something_else_is_told(name, is_told):
    opened = source(video="d/clip.mp4")
    assert frames(opened, name) == [3]
    assert [note.text for note in opened.notes] == [
        f"marks: {name} is taken for frame 3, by its last number"
    ] * is_told


@given(data=st.data())
def test_every_reading_is_one_that_the_names_allow(data):
    first, step = data.draw(st.integers(0, 200)), data.draw(st.integers(1, 7))
    digits, count = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 30))
    numbers = [first + step * i for i in range(count)]
    opened = source([f"{n:0{digits}d}.jpg" for n in numbers])
    wanted = data.draw(st.lists(st.integers(0, 260), min_size=1, max_size=4, unique=True))
    width = data.draw(st.integers(1, 8))
    by_name = [numbers.index(n) if n in numbers else None for n in wanted]
    by_index = [n if n < count else None for n in wanted]
    exact = [f"{n:0{digits}d}" == f"{n:0{width}d}" and n in numbers for n in wanted]
    try:
        found = frames(opened, *[f"{n:0{width}d}.png" for n in wanted])
    except InputError:
        assert not all(exact)
        one = None not in by_name and (None in by_index or by_name == by_index)
        assert not one and (None in by_index or any(exact) or None not in by_name)
    else:
        assert found in (by_name, by_index)
        if all(exact):
            assert found == by_name
        elif None not in by_name and None not in by_index:
            assert by_name == by_index


@given(start=st.integers(0, 500), step=st.integers(1, 9), count=st.integers(1, 40))
def test_each_picture_is_found_by_its_own_name(start, step, count):
    pictures = [f"{start + step * i:05d}.jpg" for i in range(count)]
    named = [name.replace(".jpg", ".png") for name in pictures]
    assert frames(source(pictures), *named) == list(range(count))


@pytest.mark.parametrize(
    ("name", "start", "frame"),
    [("00001.png", 0, 0), ("00003.png", 0, 2), ("first.png", 0, 0), ("first.png", 4, 4),
     ("3.png", 1, 1)],
)  # fmt: skip
def test_a_lone_mask_is_of_the_picture_it_names_or_of_the_start(name, start, frame):
    assert source(FROM_1, start=start).frame_of_single(f"some/{name}", name) == frame
    assert source(FROM_1, start=start, numbers="index").frame_of_single(name, name) == start


def test_a_lone_mask_of_a_picture_before_the_start_is_refused():
    with pytest.raises(InputError, match=r"frame 2 \(00003.jpg\), but tracking starts at frame 4"):
        source(FROM_1, start=4).frame_of_single("00003.png", "'00003.png'")
    assert source(FROM_1, numbers="names").frame_of_single("3.png", "3.png") == 2


# -- sizes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "scale"),
    [
        ((120, 160), (1, 1)),
        ((240, 320), (0.5, 0.5)),
        ((60, 80), (2, 2)),
        ((121, 160), (1, 120 / 121)),
        ((480, 641), (160 / 641, 0.25)),
        ((1080, 1440), (160 / 1440, 120 / 1080)),
    ],
)
def test_coordinates_of_one_shape_are_scaled(size, scale):
    opened = source()
    assert opened.scale(size, "marks") == pytest.approx(scale)
    assert len(opened.notes) == (size != (120, 160))
    assert all(f"{size[1]}x{size[0]}" in note.text and note.warned for note in opened.notes)


@pytest.mark.parametrize(
    "size", [(160, 120), (122, 160), (90, 160), (1, 1), (2, 2), (0, 0), (240, 330), (720, 1280)]
)
def test_pictures_of_another_shape_are_refused_and_both_sizes_named(size):
    with pytest.raises(InputError, match=rf"160x120 pixels, got {size[1]}x{size[0]},"):
        source().scale(size, "marks")


@given(height=st.integers(40, 2000), width=st.integers(40, 2000), factor=st.floats(0.5, 8))
def test_any_resized_copy_of_a_frame_fits(height, width, factor):
    size = round(height * factor), round(width * factor)
    assume(min(size) >= 40)
    x, y = source(size=size).scale((height, width), "marks")
    assert x * width == pytest.approx(size[1]) and y * height == pytest.approx(size[0])


def test_masks_are_scaled_by_the_nearest_pixel():
    mask = np.kron(np.array([[1, 0], [2, 7]], np.int32), np.ones((30, 40), np.int32))
    doubled = source().fit_mask(mask, "m.png")
    np.testing.assert_array_equal(doubled, np.kron(mask, np.ones((2, 2), int)))
    np.testing.assert_array_equal(source(size=(60, 80)).fit_mask(doubled, "m.png"), mask)
    doubled[::2, ::2] = np.where(np.arange(4800).reshape(60, 80) == 77, 9, doubled[::2, ::2])
    with pytest.raises(InputError, match=r"m.png: object 9 is too small"):
        source(size=(60, 80)).fit_mask(doubled, "m.png")


# -- videos ----------------------------------------------------------------------------------

VIDEOS = {1: {"clip"}, 2: {"other.mp4"}}


@pytest.mark.parametrize(
    ("video", "pictures", "name", "videos", "chosen"),
    [
        ("some/clip.mp4", None, None, VIDEOS, 1),
        ("some/Other.mkv", None, None, VIDEOS, 2),
        ("some/x.mp4", None, "other", VIDEOS, 2),
        ("frames", ["/d/other/1.png"], None, VIDEOS, 2),
        ("v", ["/d/B/img1/1.png"], None, {1: {"A/img1"}, 2: {"B/img1"}}, 2),
        ("clip.mp4", None, None, {1: {"images/clip/left"}, 2: {"images/other/left"}}, 1),
        ("x.mp4", None, None, {7: {"whatever"}}, 7),
        ("x.mp4", None, "val/clip", {1: {"train/clip"}, 2: {"val/clip"}}, 2),
    ],
)
def test_the_video_whose_name_fits_is_taken(video, pictures, name, videos, chosen):
    opened = source(pictures, video=video, video_name=name)
    assert opened.video_among(videos, "marks.json") == chosen
    assert [note.warned for note in opened.notes] == [True] * (len(videos) > 1)


@pytest.mark.parametrize(
    ("video", "name", "videos"),
    [
        ("x.mp4", None, VIDEOS),
        ("clip.mp4", "else", VIDEOS),
        ("x.mp4", "else", {7: {"whatever"}}),
        ("clip.mp4", None, {1: {"train/clip"}, 2: {"val/clip"}}),
    ],
)
def test_which_video_is_asked_where_none_fits(video, name, videos):
    with pytest.raises(InputError, match=r"several videos \(.*\), got .*--video-name"):
        source(video=video, video_name=name).video_among(videos, "marks.json")
