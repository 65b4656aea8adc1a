"""Small things: followed in windows of their own, or said to be too small."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from synthetic import moving_clip, write_clip

from chromatrack.formats.masks import write_mask
from chromatrack.propagation.close_up import CloseUp
from chromatrack.runs.correct import correct
from chromatrack.runs.writer import track_to_folder
from chromatrack.structures import BoxMark, LostMark
from chromatrack.tracking import close_up
from chromatrack.tracking.close_up import followed, small_things, warn_of_small
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker

FRAMES = 8
TRUE = close_up._WINDOW


@pytest.fixture(autouse=True)
def half_windows(monkeypatch):
    """A quarter of the work; where a test is of the true size it says so."""
    monkeypatch.setattr(close_up, "_WINDOW", TRUE // 2)


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    return Tracker.from_pretrained("small", device="cpu", config=TrackConfig(size=120))


@pytest.fixture(scope="module")
def film():
    """A ball 6 pixels wide, a tenth of a cell at the working size."""
    return moving_clip(frames=FRAMES, size=(240, 320), radius=3.0, velocity=(5, 2), seed=3)


@pytest.fixture(scope="module")
def clip(film, tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("film") / "ball.mkv", film)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


@pytest.mark.parametrize(
    ("marked", "direction", "side"),
    [
        ([0], "both", TRUE),
        ([FRAMES - 1], "both", TRUE // 2),
        ([0, 4], "both", TRUE // 2),
        ([3], "forward", TRUE // 2),
        ([5], "backward", TRUE // 2),
    ],
    ids=str,
)
def test_a_ball_smaller_than_a_cell_is_followed(
    tracker, film, clip, marked, direction, side, monkeypatch
):
    monkeypatch.setattr(close_up, "_WINDOW", side)
    masks = {index: film[index].mask for index in marked}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(tracker.track(clip, masks=masks, direction=direction))
    assert len(found) == FRAMES
    expected = {
        "both": range(FRAMES),
        "forward": range(marked[0], FRAMES),
        "backward": range(marked[0] + 1),
    }
    for frame, truth in zip(found, film, strict=True):
        if frame.index in expected[direction]:
            assert overlap(frame.mask == 1, truth.mask == 1) > 0.4, frame.index
            assert frame.present[1] and 0 < frame.confidence[1] <= 1
            assert frame.areas[1] == (frame.mask == 1).sum()


def test_it_is_followed_beside_a_large_thing_which_stays_as_it_is(tracker, film, clip):
    both = film[0].mask.copy()
    both[150:220, 20:120] = 7
    alone = np.where(both == 7, 7, 0)
    found = list(tracker.track(clip, masks=both))
    large = list(tracker.track(clip, masks=alone))
    for frame, other, truth in zip(found, large, film, strict=True):
        assert overlap(frame.mask == 1, truth.mask == 1) > 0.4
        assert overlap(frame.mask == 7, other.mask == 7) > 0.98


def test_what_is_declared_lost_is_not_followed_until_it_is_marked_again(tracker, film, clip):
    masks = {0: film[0].mask, 6: film[6].mask}
    found = list(tracker.track(clip, masks=masks, lost=[LostMark(1, 3)], direction="forward"))
    present = [frame.present[1] for frame in found]
    assert present == [True, True, True, False, False, False, True, True]


def test_a_thing_that_goes_is_absent(tracker, film, tmp_path):
    ground = moving_clip(frames=1, size=(240, 320), objects=0, seed=3)[0].rgb
    frames = [frame.rgb.copy() for frame in film[:4]] + [ground] * 6
    for frame, truth in zip(frames[:4], film, strict=False):
        frame[truth.mask > 0] = (250, 30, 220)
    found = list(tracker.track(write_clip(tmp_path / "c.mkv", frames), masks=film[0].mask))
    assert all(frame.present[1] for frame in found[:4])
    assert not any(frame.present[1] for frame in found[7:])


def test_at_the_edge_of_the_frame_the_window_stays_inside(tracker, tmp_path):
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 120, (60, 80, 3), dtype=np.uint8)
    frames, masks = [], []
    for index in range(6):
        frame, mask = ground.copy(), np.zeros((60, 80), dtype=np.int32)
        frame[0:3, 4 * index : 4 * index + 3], mask[0:3, 4 * index : 4 * index + 3] = 250, 9
        frames.append(frame)
        masks.append(mask)
    found = list(tracker.track(write_clip(tmp_path / "c.mkv", frames), masks=masks[0]))
    assert all(overlap(f.mask == 9, m == 9) > 0.3 for f, m in zip(found, masks, strict=True))


def test_correcting_is_tracking_with_all_marks(tracker, film, clip, tmp_path):
    def track(marks, name):
        track_to_folder(tracker, clip, marks, output=tmp_path / name, outputs=("masks", "tracks"))

    track(Marks.of(masks=film[0].mask), "a")
    correct(tracker, tmp_path / "a", Marks.of(masks={4: film[4].mask}))
    both = Marks.of(masks={0: film[0].mask, 4: film[4].mask})
    track(both, "b")
    for index in range(FRAMES):
        name = f"masks/{index:05d}.png"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), index


def test_which_things_are_small():
    mask = np.zeros((1080, 1920), dtype=np.int32)
    mask[10:16, 10:16], mask[100:130, 100:130], mask[500, 500] = 1, 2, 3
    again = np.where(mask == 1, 0, mask)
    again[700:760, 700:760] = 3
    sizes = {"frame_size": (1080, 1920), "working_size": (480, 853), "stride": 8}
    small = small_things(Marks(masks={0: mask}), **sizes)
    assert [(thing.number, thing.pixels) for thing in small] == [(3, 1), (1, 36)]
    assert [thing.number for thing in followed(small)] == [1]
    small = small_things(Marks(masks={0: mask, 5: again}), **sizes)
    assert [thing.number for thing in small] == [1]
    large = small_things(Marks(masks={0: mask}), **(sizes | {"working_size": (2160, 3840)}))
    assert [thing.number for thing in large] == [3]
    boxes = [BoxMark(1, 0, 5, 5, 6, 6), BoxMark(2, 0, 5, 5, 60, 60), BoxMark(1, 4, *[None] * 4)]
    small = small_things(Marks(boxes=boxes), **sizes)
    assert [(thing.kind, thing.number, thing.pixels) for thing in small] == [("box", 1, 36)]


@pytest.mark.parametrize(("marked", "direction"), [([0], "both"), ([2, 6], "both")], ids=str)
def test_a_box_smaller_than_a_cell_is_followed(tracker, film, clip, marked, direction):
    boxes = []
    for index in marked:
        rows, columns = np.nonzero(film[index].mask)
        low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
        sides = [float(b - a) for a, b in zip(low, high, strict=True)]
        boxes.append(BoxMark(4, index, float(low[0]), float(low[1]), *sides))
    found = list(tracker.track(clip, boxes=boxes, direction=direction))
    for frame, truth in zip(found, film, strict=True):
        box = frame.boxes[4]
        rows, columns = np.nonzero(truth.mask)
        middle = box.x + (box.width - 1) / 2, box.y + (box.height - 1) / 2
        assert np.hypot(middle[0] - columns.mean(), middle[1] - rows.mean()) < 2
        assert box.visible and 3 < box.width < 12 and 3 < box.height < 12


def test_one_warning_for_all_that_is_too_small(tracker, clip, tmp_path):
    mask = np.zeros((240, 320), dtype=np.int32)
    mask[100:140, 100:140], mask[5, 5], mask[9, 300] = 1, 2, 3
    write_mask(tmp_path / "m.png", mask)
    with pytest.warns(UserWarning) as told:
        found = list(tracker.track(clip, masks=tmp_path / "m.png"))
    (warning,) = told
    assert "object 3 covers 1 pixel of frame 0" in str(warning.message)
    assert "(and 1 more such)" in str(warning.message)
    assert np.array_equal(found[0].mask, mask)
    assert not any(frame.present[2] or frame.present[3] for frame in found[1:])
    with pytest.warns(UserWarning, match=r"object \d+ .*larger --size"):
        many = Marks(masks={0: np.kron(np.arange(16).reshape(4, 4), np.ones((5, 5), int))})
        warn_of_small(small_things(many, frame_size=(20, 20), working_size=(20, 20), stride=8))


def test_a_close_up_is_pasted_where_it_lies_and_nowhere_else():
    ids = np.array([[1, 1, 2], [0, 0, 2]], dtype=np.int32)
    mask = np.array([[True, False]])
    pasted = CloseUp((1, 1), mask).paste(ids, 2)
    assert pasted.tolist() == [[1, 1, 0], [0, 2, 0]] and ids[0, 2] == 2
