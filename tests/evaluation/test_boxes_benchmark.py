from __future__ import annotations

import json
import math
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from otb_files import rows_of, write_sequence
from PIL import Image

from chromatrack.errors import InputError
from chromatrack.evaluation.datasets.box_formats import read_otb
from chromatrack.evaluation.datasets.boxes import box_benchmark, box_scores, measure_box, track_box
from chromatrack.evaluation.metrics.tracks import detection_scores
from chromatrack.evaluation.runner import evaluate
from chromatrack.structures import BoxMark, TrackedBox

DATA = Path(__file__).resolve().parents[3] / "shared/data"
BEST = 20 / 21  # no overlap is above the last of the 21 thresholds


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


def scored(root: Path, tracker, **options) -> dict:
    return evaluate(box_benchmark(root, **options), tracker=tracker)


def test_the_box_enters_where_the_rows_begin(tmp_path):
    folder = write_sequence(tmp_path, rows_of(3), images=5, name="groundtruth_rect.2.txt")
    sequence = read_otb(folder, truth="groundtruth_rect.2.txt", start=2)
    tracker = Scripted()
    found, visible = track_box(sequence, tracker=tracker)
    video, marks, start, end = tracker.calls[0]
    assert video == folder / "img" and (start, end) == (2, 5)
    assert marks == [BoxMark(id=1, frame=2, x=10.0, y=20.0, width=20.0, height=10.0)]
    assert np.array_equal(found, sequence.boxes) and visible.all()


def test_following_the_object_scores_best_and_standing_still_as_worked_out(tmp_path):
    root = write_sequence(tmp_path, rows_of(5))
    perfect = {"success AUC": BEST, "precision@20": 1.0, "mean overlap": 1.0}
    found = {"found precision": 1.0, "found recall": 1.0, "found F": 1.0}
    assert scored(root, Scripted())["scores"] == pytest.approx(perfect | found)
    still = scored(root, Scripted(speed=0.0))["scores"]
    overlaps = np.array([(20 - d) / (20 + d) for d in (0, 2, 4, 6, 8)])  # 1, 9/11, 2/3, 7/13, 3/7
    thresholds = np.linspace(0, 1, 21)
    assert still["success AUC"] == pytest.approx(
        np.mean([(overlaps > limit).mean() for limit in thresholds])
    )
    assert still["precision@20"] == 1.0
    assert still["mean overlap"] == pytest.approx(overlaps.mean())
    assert still["found precision"] == still["found recall"] == 4 / 5  # 3/7 is not above a half
    gone = scored(root, Scripted(speed=13.0))["scores"]
    assert gone["precision@20"] == pytest.approx(2 / 5)  # off by 0, 11, 22, 33, 44 px


def test_a_missing_box_counts_and_a_hidden_ones_guess_too(tmp_path):
    root = write_sequence(tmp_path, rows_of(5))
    result = scored(root, Scripted(last=1))
    assert result["scores"]["success AUC"] == pytest.approx(BEST * 2 / 5)
    assert result["scores"]["precision@20"] == pytest.approx(2 / 5)
    assert next(iter(result["sequences"].values()))["missing_frames"] == 3
    assert result["scores"]["mean overlap"] == pytest.approx(2 / 5)
    assert result["scores"]["found precision"] == 1.0
    assert result["scores"]["found recall"] == pytest.approx(2 / 5)
    assert result["scores"]["found F"] == pytest.approx(4 / 7)
    hidden = scored(root, Scripted(visible=False))
    assert hidden["scores"]["success AUC"] == pytest.approx(BEST)
    assert hidden["scores"]["found F"] == 0.0, "what is not reported is not found"


def test_frames_without_the_object_are_told_apart(tmp_path):
    rows = rows_of(5)
    rows[3] = "0,0,0,0"
    root = write_sequence(tmp_path / "Boy", rows)
    report = scored(root, Scripted())["sequences"]["Boy"]
    assert report["frames"] == 4 and report["absent_frames"] == 1
    assert report["present_while_absent"] == 1.0
    assert report["success AUC"] == pytest.approx(BEST)
    assert report["found precision"] == 4 / 5 and report["found recall"] == 1.0
    assert report["found F"] == pytest.approx(8 / 9)
    quiet = scored(root, Scripted(visible=False))["sequences"]["Boy"]
    assert quiet["present_while_absent"] == 0.0
    always = write_sequence(tmp_path / "Girl", rows_of())
    report = scored(always, Scripted())["sequences"]["Girl"]
    assert report["present_while_absent"] is None


def test_the_mean_is_over_sequences(tmp_path):
    write_sequence(tmp_path / "one", rows_of(2))
    write_sequence(tmp_path / "two", rows_of(8))
    result = scored(tmp_path, Scripted(last=1))
    assert result["scores"]["precision@20"] == pytest.approx((1 + 2 / 8) / 2)
    assert result["frames"] == 10 and json.loads(json.dumps(result)) == result
    some = scored(tmp_path, Scripted(last=1), sequences=["two"])
    assert some["scores"]["precision@20"] == pytest.approx(2 / 8)
    with pytest.raises(InputError, match="must be among one, two; got three"):
        box_benchmark(tmp_path, sequences=["three"])


def test_a_tracker_out_of_order_is_refused(tmp_path):
    class Backwards:
        def track(self, video, *, boxes, start, end):
            yield Found(1, {})
            yield Found(0, {})

    root = write_sequence(tmp_path / "Boy", rows_of())
    with pytest.raises(InputError, match="Boy: expected frames 2 to 4 in order"):
        scored(root, Backwards())


def test_the_three_layouts_of_one_track_score_alike(tmp_path):
    write_sequence(tmp_path / "otb", rows_of(4))
    boxes = [(10 + 2 * index, 20, 20, 10) for index in range(4)]
    for name, pattern, rows, file in (
        ("vot", "{:08d}.jpg", [f"{x},{y},{w},{h}" for x, y, w, h in boxes], "groundtruth.txt"),
        (
            "tld",
            "{:05d}.jpg",
            [f"{x + 1},{y + 1},{x + w},{y + h}" for x, y, w, h in boxes],
            "gt.txt",
        ),
    ):
        (tmp_path / name).mkdir()
        for index in range(4):
            Image.new("RGB", (64, 48)).save(tmp_path / name / pattern.format(index + 1))
        (tmp_path / name / file).write_text("\n".join(rows))
    tracker = Scripted(speed=1.0)
    otb, tld, vot = scored(tmp_path, tracker)["sequences"].values()
    assert (otb.pop("layout"), tld.pop("layout"), vot.pop("layout")) == ("otb", "tld", "vot")
    assert otb == tld == vot
    assert len({(mark.x, mark.y, mark.width) for _, (mark,), *_ in tracker.calls}) == 1


def test_every_frame_ticks_and_clips_can_be_sent_to_other_processes(tmp_path):
    clip = box_benchmark(write_sequence(tmp_path / "Boy", rows_of())).clips[0]
    sent, ticks = pickle.loads(pickle.dumps(clip)), []
    measure_box(sent, tracker=Scripted(last=1), tick=lambda: ticks.append(1))
    assert len(ticks) == sent.frame_count == 5


def test_found_or_absent_as_worked_out():
    ious = np.array([1.0, 0.6, 0.5, math.nan, 0.0, 0.9])
    present = np.array([1, 1, 1, 1, 0, 1], dtype=bool)
    reported = np.array([1, 1, 1, 0, 1, 0], dtype=bool)
    # 2 of 4 reports are right (0.5 is not above a half), of 5 frames with the object
    precision, recall, both = detection_scores(ious, present, reported)
    assert (precision, recall, both) == (0.5, 0.4, pytest.approx(4 / 9))
    assert detection_scores(ious, present, reported & False) == (0.0, 0.0, 0.0)
    with pytest.raises(InputError, match="object that is present, got none"):
        detection_scores(ious, present & False, reported)
    with pytest.raises(InputError, match="expected one shape"):
        detection_scores(ious[:2], present, reported)


def test_one_frame_and_wrong_shapes():
    box = np.array([[0.0, 0, 4, 4]])
    assert box_scores(box, np.array([True]), box)["found F"] == 1.0
    nothing = box_scores(box * np.nan, np.array([False]), box)
    assert nothing["success AUC"] == nothing["mean overlap"] == nothing["precision@20"] == 0.0
    with pytest.raises(InputError, match="one shape"):
        box_scores(box, np.array([True]), np.repeat(box, 2, axis=0))


@pytest.mark.skipif(not (DATA / "boxes/otb").is_dir(), reason="needs ../shared/data/boxes/otb")
def test_real_sequences_score_as_they_did_before_they_were_a_benchmark():
    class Drifting:
        def track(self, video, *, boxes, start, end):
            (mark,) = boxes
            for step in range(end - start):
                box = TrackedBox(mark.x + step, mark.y - step / 2, mark.width, mark.height, True, 1)
                if step % 11 != 10:
                    yield Found(start + step, {} if step % 7 == 3 else {1: box})

    result = scored(DATA / "boxes/otb", Drifting())["sequences"]
    for name, success, precision, missing in (
        ("Crossing", 0.02261904761904762, 7 / 120, 25),
        ("DragonBaby", 0.14538558786346398, 12 / 113, 24),
    ):
        assert result[name]["success AUC"] == pytest.approx(success)
        assert result[name]["precision@20"] == pytest.approx(precision)
        assert result[name]["missing_frames"] == missing
