from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from chromatrack.errors import InputError, LayoutError
from chromatrack.formats.boxes import BoxMark, TrackedBox
from chromatrack.measure.otb import evaluate_otb, read_otb, track_box

DATA = Path(__file__).resolve().parents[2] / "shared/data"
BEST = 20 / 21  # no overlap is above the last of the 21 thresholds


def write_sequence(folder: Path, rows, *, images: int | None = None, name="groundtruth_rect.txt"):
    (folder / "img").mkdir(parents=True, exist_ok=True)
    for index in range(len(rows) if images is None else images):
        Image.new("RGB", (64, 48)).save(folder / "img" / f"{index + 1:04d}.jpg")
    (folder / name).write_text("\n".join(rows) + "\n")
    return folder


def rows_of(frames: int = 5) -> list[str]:
    return [f"{11 + 2 * index},21,20,10" for index in range(frames)]


@dataclass(frozen=True)
class Found:
    index: int
    boxes: dict[int, TrackedBox]


class Scripted:
    """Moves the box by `speed` px a frame to the right; the truth moves by 2."""

    def __init__(self, *, speed=2.0, last=10**6, visible=True):
        self.speed, self.last, self.visible = speed, last, visible
        self.calls = []

    def track(self, video, *, boxes, start, end):
        self.calls.append((video, boxes, start, end))
        (mark,) = boxes
        for index in range(start, end):
            x = mark.x + self.speed * (index - start)
            box = TrackedBox(x, mark.y, mark.width, mark.height, self.visible, 0.5)
            yield Found(index, {mark.id: box} if index <= self.last else {})


@pytest.mark.parametrize("between", [",", "\t", " ", ", ", " , ", ";", "   "])
def test_rows_are_read_with_any_separator_and_counted_from_zero(tmp_path, between):
    rows = [row.replace(",", between) for row in rows_of()]
    sequence = read_otb(write_sequence(tmp_path / "Boy", rows))
    assert sequence.name == "Boy" and sequence.folder == tmp_path / "Boy/img"
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
        ("1,2,3", "line 2: expected the four numbers.*came '1,2,3'"),
        ("1,2,3,4,5", "line 2: expected the four numbers"),
        ("", "line 2: expected the four numbers.*came ''"),
        ("a,2,3,4", "line 2: expected the four numbers"),
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


def test_a_sequence_annotated_from_a_later_picture_on_starts_there(tmp_path):
    folder = write_sequence(tmp_path, rows_of(3), images=5, name="groundtruth_rect.2.txt")
    sequence = read_otb(folder, truth="groundtruth_rect.2.txt", start=2)
    tracker = Scripted()
    found, _ = track_box(sequence, tracker=tracker)
    video, marks, start, end = tracker.calls[0]
    assert video == folder / "img" and (start, end) == (2, 5)
    assert marks == [BoxMark(id=1, frame=2, x=10.0, y=20.0, width=20.0, height=10.0)]
    assert np.array_equal(found, sequence.boxes)


def test_following_the_object_scores_best_and_standing_still_as_worked_out(tmp_path):
    sequence = read_otb(write_sequence(tmp_path, rows_of(5)))
    result = evaluate_otb([sequence], tracker=Scripted())
    assert result["scores"] == pytest.approx({"success AUC": BEST, "precision@20": 1.0})
    still = evaluate_otb([sequence], tracker=Scripted(speed=0.0))["scores"]
    overlaps = np.array([(20 - d) / (20 + d) for d in (0, 2, 4, 6, 8)])  # 1, 9/11, 2/3, 7/13, 3/7
    thresholds = np.linspace(0, 1, 21)
    assert still["success AUC"] == pytest.approx(
        np.mean([(overlaps > limit).mean() for limit in thresholds])
    )
    assert still["precision@20"] == 1.0
    gone = evaluate_otb([sequence], tracker=Scripted(speed=13.0))["scores"]
    assert gone["precision@20"] == pytest.approx(2 / 5)  # off by 0, 11, 22, 33, 44 px


def test_a_missing_box_counts_and_a_hidden_ones_guess_too(tmp_path):
    sequence = read_otb(write_sequence(tmp_path, rows_of(5)))
    result = evaluate_otb([sequence], tracker=Scripted(last=1))
    assert result["scores"]["success AUC"] == pytest.approx(BEST * 2 / 5)
    assert result["scores"]["precision@20"] == pytest.approx(2 / 5)
    assert next(iter(result["sequences"].values()))["missing_frames"] == 3
    hidden = evaluate_otb([sequence], tracker=Scripted(visible=False))
    assert hidden["scores"]["success AUC"] == pytest.approx(BEST)


def test_frames_without_the_object_are_told_apart(tmp_path):
    rows = rows_of(5)
    rows[3] = "0,0,0,0"
    sequence = read_otb(write_sequence(tmp_path / "Boy", rows))
    report = evaluate_otb([sequence], tracker=Scripted())["sequences"]["Boy"]
    assert report["frames"] == 4 and report["absent_frames"] == 1
    assert report["present_while_absent"] == 1.0
    assert report["success AUC"] == pytest.approx(BEST)
    quiet = evaluate_otb([sequence], tracker=Scripted(visible=False))["sequences"]["Boy"]
    assert quiet["present_while_absent"] == 0.0
    always = read_otb(write_sequence(tmp_path / "Girl", rows_of()))
    report = evaluate_otb([always], tracker=Scripted())["sequences"]["Girl"]
    assert math.isnan(report["present_while_absent"])


def test_the_mean_is_over_sequences(tmp_path):
    one = read_otb(write_sequence(tmp_path / "one", rows_of(2)))
    two = read_otb(write_sequence(tmp_path / "two", rows_of(8)))
    result = evaluate_otb([one, two], tracker=Scripted(last=1))
    assert result["scores"]["precision@20"] == pytest.approx((1 + 2 / 8) / 2)
    with pytest.raises(LayoutError, match="at least one sequence"):
        evaluate_otb([], tracker=Scripted())


def test_a_tracker_out_of_order_is_refused(tmp_path):
    class Backwards:
        def track(self, video, *, boxes, start, end):
            yield Found(1, {})
            yield Found(0, {})

    sequence = read_otb(write_sequence(tmp_path / "Boy", rows_of()))
    with pytest.raises(InputError, match="Boy: expected frames 2 to 4 in order"):
        track_box(sequence, tracker=Backwards())


@pytest.mark.skipif(not (DATA / "boxes/otb").is_dir(), reason="needs ../shared/data/boxes/otb")
def test_reads_real_sequences():
    crossing = read_otb(DATA / "boxes/otb/Crossing")
    assert crossing.boxes.shape == (120, 4)
    assert crossing.boxes[0].tolist() == [204, 150, 17, 50]
    assert len(read_otb(DATA / "boxes/otb/DragonBaby").boxes) == 113
