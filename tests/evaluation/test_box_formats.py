from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from otb_files import rows_of, write_sequence
from PIL import Image
from synthetic import moving_clip, write_clip

from chromatrack.errors import LayoutError
from chromatrack.evaluation.datasets.box_formats import (
    find_sequences,
    otb_box,
    read_otb,
    read_tld,
    read_vot,
    tld_box,
    vot_box,
)

DATA = Path(__file__).resolve().parents[3] / "shared/data"


@pytest.mark.parametrize("between", [",", "\t", " ", ", ", " , ", ";", "   "])
def test_rows_are_read_with_any_separator_and_counted_from_zero(tmp_path, between):
    rows = [row.replace(",", between) for row in rows_of()]
    sequence = read_otb(write_sequence(tmp_path / "Boy", rows))
    assert sequence.name == "Boy" and sequence.video == tmp_path / "Boy/img"
    assert sequence.boxes[0].tolist() == [10, 20, 20, 10]
    assert sequence.boxes[4].tolist() == [18, 20, 20, 10]


def test_windows_files_are_read(tmp_path):
    folder = write_sequence(tmp_path, rows_of())
    text = "\r\n".join(rows_of()) + "\r\n\r\n"
    (folder / "groundtruth_rect.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_otb(folder).boxes.shape == (5, 4)


@pytest.mark.parametrize("row", ["NaN,NaN,NaN,NaN", "0,0,0,0", "5,5,0,9", "5 5 9 0", "nan 1 2 3"])
def test_an_absent_object_is_a_row_of_nan(tmp_path, row):
    rows = rows_of()
    rows[2] = row
    boxes = read_otb(write_sequence(tmp_path, rows)).boxes
    assert np.isnan(boxes).all(axis=1).tolist() == [False, False, True, False, False]


@given(
    st.lists(
        st.tuples(*[st.floats(-1e4, 1e4)] * 2, *[st.floats(0.125, 1e4)] * 2),
        min_size=1,
        max_size=6,
    )
)
def test_written_boxes_read_back(tmp_path_factory, boxes):
    folder = write_sequence(
        tmp_path_factory.mktemp("seq"), [",".join(map(repr, box)) for box in boxes]
    )
    expected = np.array(boxes) - (1, 1, 0, 0)
    assert np.array_equal(read_otb(folder).boxes, expected)


@given(line=st.text(max_size=20))
def test_any_line_is_a_box_or_refused_in_one_line(tmp_path_factory, line):
    folder = tmp_path_factory.mktemp("any")
    write_sequence(folder, rows_of(1), images=1)
    text = f"1,2,3,4\n{line}\n1,2,3,4\n"
    (folder / "groundtruth_rect.txt").write_text(text, encoding="utf-8")
    with pytest.raises(LayoutError) as caught:  # there is one picture only
        read_otb(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "1,2,3",
            "line 2: expected a finite box of positive size as x, y, width, height; got '1,2,3'",
        ),
        ("1,2,3,4,5", "line 2: expected a finite box of positive size as x, y, width, height; "),
        ("", "line 2: expected a finite box of positive size as x, y, width, height; .*got ''"),
        ("a,2,3,4", "line 2: expected a finite box of positive size as x, y, width, height; "),
        ("1,2,-3,4", "line 2: expected a finite box of positive size"),
        ("inf,2,3,4", "line 2: expected a finite box"),
    ],
)
def test_a_row_that_is_no_box_is_quoted(tmp_path, row, message):
    rows = rows_of()
    rows[1] = row
    with pytest.raises(LayoutError, match=message):
        read_otb(write_sequence(tmp_path, rows))


def test_layouts_that_do_not_fit_say_why(tmp_path):
    with pytest.raises(LayoutError, match="no img folder"):
        read_otb(tmp_path)
    folder = write_sequence(tmp_path / "Boy", rows_of(3), images=5)
    with pytest.raises(LayoutError, match=r"3 rows and .* 5 pictures; name the picture"):
        read_otb(folder)
    with pytest.raises(LayoutError, match="3 rows"):
        read_otb(folder, start=3)
    with pytest.raises(LayoutError, match=r"cannot read.*rect\.2\.txt"):
        read_otb(folder, truth="groundtruth_rect.2.txt")
    (folder / "groundtruth_rect.txt").write_text("\n")
    with pytest.raises(LayoutError, match="is empty"):
        read_otb(folder)
    (folder / "groundtruth_rect.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LayoutError, match="is no text"):
        read_otb(folder)
    with pytest.raises(LayoutError, match="absent on the first frame"):
        read_otb(write_sequence(tmp_path / "Girl", ["0,0,0,0", "1,1,2,2"]))


def write_pictures(folder: Path, count: int, pattern: str, *, first: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(first, first + count):
        Image.new("RGB", (64, 48)).save(folder / pattern.format(index))
    return folder


def test_a_sequence_annotated_from_a_later_picture_on_starts_there(tmp_path):
    folder = write_sequence(tmp_path, rows_of(3), images=5, name="groundtruth_rect.2.txt")
    sequence = read_otb(folder, truth="groundtruth_rect.2.txt", start=2)
    assert sequence.video == folder / "img" and sequence.start == 2
    assert sequence.first == (10, 20, 20, 10) and sequence.frame_count == 3


@pytest.mark.parametrize(
    ("name", "pictures", "first", "start"),
    [
        ("David", 305, 1, 299),  # from 0300.jpg on
        ("BlurCar3", 8, 1, 2),
        ("BlurCar4", 8, 15, 3),  # the folder itself may begin later: 0018.jpg counts
        ("Diving", 8, 1, 0),  # not annotated to the end
        ("David", 6, 300, 0),
    ],
)
def test_sequences_known_to_be_annotated_in_part_start_where_they_do(
    tmp_path, name, pictures, first, start
):
    folder = tmp_path / name
    write_pictures(folder / "img", pictures, "{:04d}.jpg", first=first)
    rows = rows_of(5 if (name, pictures) != ("David", 305) else 6)
    (folder / "groundtruth_rect.txt").write_text("\n".join(rows))
    if (name, pictures) == ("David", 6):
        with pytest.raises(LayoutError, match="of the first row"):
            (folder / "groundtruth_rect.txt").write_text("\n".join(rows_of(7)))
            read_otb(folder)
        (folder / "groundtruth_rect.txt").write_text("\n".join(rows_of(6)))
    assert read_otb(folder).start == start


@pytest.mark.parametrize(
    ("box_of", "numbers", "expected"),
    [
        (otb_box, (1, 1, 4, 2), (0, 0, 4, 2)),
        (vot_box, (1, 1, 4, 2), (1, 1, 4, 2)),
        (tld_box, (1, 1, 4, 2), (0, 0, 4, 2)),  # columns 1 to 4, rows 1 and 2
        (tld_box, (3, 3, 3, 3), (2, 2, 1, 1)),
        (vot_box, (10, 0, 20, 5, 12, 9, 2, 4), (2, 0, 18, 9)),
        (vot_box, (0, 0, 6, 0, 3, 8), (0, 0, 6, 8)),
    ],
)
def test_each_format_counts_pixels_in_its_own_way(box_of, numbers, expected):
    assert box_of(numbers) == expected


points = st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))


@given(st.lists(points, min_size=3, max_size=8))
def test_the_box_of_a_polygon_holds_its_corners_and_touches_them(corners):
    x, y, width, height = vot_box([number for corner in corners for number in corner])
    xs, ys = np.array(corners).T
    if math.isnan(x):
        assert np.ptp(xs) == 0 or np.ptp(ys) == 0
        return
    assert (x, y) == (xs.min(), ys.min())
    assert (width, height) == (xs.max() - xs.min(), ys.max() - ys.min())


@given(st.tuples(*[st.floats(-1e4, 1e4)] * 2, *[st.floats(1, 1e3)] * 2), st.integers(0, 2**32 - 1))
def test_a_box_as_a_polygon_is_that_box_in_any_order_of_corners(box, seed):
    x, y, width, height = box
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
    np.random.default_rng(seed).shuffle(corners)
    assert vot_box(corners.ravel().tolist()) == pytest.approx(vot_box(box), abs=1e-6)


number = st.floats(-1e4, 1e4) | st.just(math.nan)


@given(st.tuples(number, number, number, number))
def test_any_nan_in_a_row_of_tld_says_absent_and_else_the_corners_are_inside(corners):
    left, top, right, bottom = corners
    if right < left or bottom < top:
        with pytest.raises(ValueError, match="second corner"):
            tld_box(corners)
        return
    x, y, width, height = tld_box(corners)
    if any(map(math.isnan, corners)):
        assert all(map(math.isnan, (x, y, width, height)))
    else:
        assert (x + width, y + height) == pytest.approx((right, bottom))
        assert width >= 1 and height >= 1


@pytest.mark.parametrize("numbers", [(1,), (1, 2, 3), (1, 2, 3, 4, 5), (1, 2, 3, 4, 5, 6, 7), ()])
def test_other_numbers_of_numbers_are_refused(numbers):
    for box_of in (otb_box, vot_box, tld_box):
        with pytest.raises(ValueError):
            box_of(numbers)


def write_vot(folder: Path, rows, *, images: int | None = None, place: str = "color") -> Path:
    count = len(rows) if images is None else images
    write_pictures(folder / place, count, "{:08d}.jpg")
    (folder / "groundtruth.txt").write_text("\n".join(rows) + "\n")
    return folder


def write_tld(folder: Path, rows, *, images: int | None = None, init: str | None = None) -> Path:
    write_pictures(folder, len(rows) if images is None else images, "{:05d}.jpg")
    (folder / "gt.txt").write_text("\n".join(rows) + "\n")
    if init is not None:
        (folder / "init.txt").write_text(init)
    return folder


@pytest.mark.parametrize("place", ["color", "."])
def test_vot_is_read_with_boxes_and_polygons_and_pictures_in_either_place(tmp_path, place):
    rows = ["10,20,20,10", "10,20,30,20,30,30,10,30", "nan,nan,nan,nan"]
    folder = write_vot(tmp_path / "ants1", rows, place=place)
    sequence = read_vot(folder)
    assert (sequence.name, sequence.layout, sequence.start) == ("ants1", "vot", 0)
    assert sequence.video == folder / place
    assert (
        sequence.boxes[:2].tolist() == [[10, 20, 20, 10]] * 2 and np.isnan(sequence.boxes[2]).all()
    )


def test_vot_that_is_not_as_published_says_why(tmp_path):
    folder = write_vot(tmp_path / "ants1", ["1,2,3,4"] * 2, images=3)
    with pytest.raises(LayoutError, match=r"2 rows and .*color' 3 pictures; expected VOT's color"):
        read_vot(folder)
    for row in ("m0,0,5,5,3,2", "1", "1,2,3", "1,2,3,4,5,6,7", "1,2,-3,4", "1,2,inf,4", ""):
        write_vot(folder, ["1,2,3,4", row, "1,2,3,4"])
        with pytest.raises(LayoutError, match=r"line 2: expected .* or a polygon; got") as caught:
            read_vot(folder)
        assert "\n" not in str(caught.value)
    with pytest.raises(LayoutError, match="absent on the first frame"):
        read_vot(write_vot(tmp_path / "late", ["nan,nan,nan,nan", "1,2,3,4"]))


def test_tld_is_read_with_absences_and_the_box_that_is_given(tmp_path):
    rows = ["142,125,232,164", "NaN,NaN,NaN,NaN", "138.5,124.5,228.5,163.5"]
    sequence = read_tld(write_tld(tmp_path / "06_car", rows, images=4))
    assert (sequence.name, sequence.layout) == ("06_car", "tld")
    assert sequence.boxes[0].tolist() == [141, 124, 91, 40]
    assert np.isnan(sequence.boxes).all(axis=1).tolist() == [False, True, False]
    assert sequence.first == (141, 124, 91, 40) and sequence.frame_count == 3
    given = read_tld(write_tld(tmp_path / "given", rows[1:], init="11,11,20,20"))
    assert given.first == (10, 10, 10, 10) and np.isnan(given.boxes[0]).all()
    with pytest.raises(LayoutError, match="is on no frame"):
        read_tld(write_tld(tmp_path / "never", rows[1:2] * 2, init="11,11,20,20"))


def test_tld_may_have_one_video_instead_of_pictures(tmp_path):
    folder = write_tld(tmp_path / "06_car", ["1,1,9,9"] * 3, images=0)
    with pytest.raises(LayoutError, match=r"3 rows and .* 0 pictures and 0 videos; expected 00001"):
        read_tld(folder)
    video = write_clip(folder / "car.mp4", moving_clip(frames=3, size=(48, 64)))
    assert read_tld(folder).video == video
    write_pictures(folder, 2, "{:05d}.jpg")
    with pytest.raises(LayoutError, match="2 pictures and 1 videos"):
        read_tld(folder)


@settings(max_examples=40)
@given(line=st.text(max_size=20), layout=st.sampled_from(["vot", "tld"]))
def test_any_line_of_the_others_is_a_box_or_refused_in_one_line(tmp_path_factory, line, layout):
    folder = tmp_path_factory.mktemp("any")
    name, read = {"vot": ("groundtruth.txt", read_vot), "tld": ("gt.txt", read_tld)}[layout]
    (folder / name).write_text(f"1,2,3,4\n{line}\n1,2,3,4\n", encoding="utf-8")
    with pytest.raises(LayoutError) as caught:  # there are no pictures
        read(folder)
    assert "\n" not in str(caught.value)


def test_sequences_are_found_each_in_its_own_layout(tmp_path):
    write_sequence(tmp_path / "otb/Boy", rows_of(2))
    write_sequence(tmp_path / "otb/Jogging", rows_of(2), name="groundtruth_rect.1.txt")
    write_sequence(tmp_path / "otb/Jogging", rows_of(2), name="groundtruth_rect.2.txt")
    write_vot(tmp_path / "vot/ants1", ["1,2,3,4"] * 2)
    write_tld(tmp_path / "tld/Boy", ["1,2,3,4"] * 2)
    found = find_sequences(tmp_path)
    assert list(found) == ["otb-Boy", "Jogging-1", "Jogging-2", "tld-Boy", "ants1"]
    layouts = {name: read().layout for name, read in found.items()}
    assert layouts == {
        "otb-Boy": "otb", "Jogging-1": "otb", "Jogging-2": "otb", "tld-Boy": "tld", "ants1": "vot"
    }  # fmt: skip
    assert found["tld-Boy"]().name == "tld-Boy"
    assert list(find_sequences(tmp_path / "tld/Boy")) == ["Boy"]


def test_a_list_names_the_sequences_and_their_order(tmp_path):
    for name in ("ants1", "book", "crabs1"):
        write_vot(tmp_path / name, ["1,2,3,4"] * 2)
    (tmp_path / "list.txt").write_text("crabs1\nants1\n")
    assert list(find_sequences(tmp_path)) == ["crabs1", "ants1"]
    (tmp_path / "list.txt").write_text("crabs1\nzebra\n")
    with pytest.raises(LayoutError, match=r"list.txt' names zebra; no '.*zebra/groundtruth.txt'"):
        find_sequences(tmp_path)


def test_other_folders_are_told_what_is_expected(tmp_path):
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(LayoutError, match=r"holds no sequence; expected .*OTB.*VOT.*TLD"):
            find_sequences(root)


@pytest.mark.skipif(not (DATA / "boxes/otb").is_dir(), reason="needs ../shared/data/boxes/otb")
def test_reads_real_sequences():
    found = find_sequences(DATA / "boxes/otb")
    assert list(found) == ["Crossing", "DragonBaby"]
    crossing = found["Crossing"]()
    assert crossing.boxes.shape == (120, 4)
    assert crossing.boxes[0].tolist() == [204, 150, 17, 50]
    assert len(found["DragonBaby"]().boxes) == 113
