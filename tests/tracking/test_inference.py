"""Tracking files: both directions, every kind at the source's size, frames as they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from patch_encoders import SIZE, SmoothEncoder, wave_frame
from synthetic import write_clip

import chromatrack.propagation.bidirectional as passes_module
import chromatrack.tracking.inference as follow_module
from chromatrack.propagation.propagate import PropagateConfig
from chromatrack.propagation.reliability import ABSENT
from chromatrack.structures import BoxMark, KeypointMark, LostMark, PointMark
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import TrackedFrame, Tracker
from chromatrack.video.ahead import DEPTH

COUNT, SIDE = 8, 36
STEP = (3.0, 1.5)
GROUND = wave_frame(seed=3) * [0.3, 0.9, 0.6]


def place(index: int) -> tuple[int, int]:
    """Left and top pixel of the object."""
    return 20 + 3 * index, 10 + 2 * index


def with_object(index: int, *, there: bool = True) -> np.ndarray:
    """(H, W, 3) uint8: a textured square, at home on frame `index`, on a textured ground."""
    frame = GROUND.copy()
    if there:
        x, y = place(index)
        skin = wave_frame(size=(SIDE, SIDE), seed=4) * [0.4, 0.7, 0.7] + [0.6, 0.0, 0.0]
        frame[y : y + SIDE, x : x + SIDE] = skin
    return (frame * 255).round().clip(0, 255).astype(np.uint8)


def mask_at(index: int, value: int = 7) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=np.int32)
    x, y = place(index)
    mask[y : y + SIDE, x : x + SIDE] = value
    return mask


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def tracker_at(size: int = SIZE[0]) -> Tracker:
    propagate = PropagateConfig(radius=6, recent_radius=4)
    return Tracker(
        SmoothEncoder(), device="cpu", config=TrackConfig(size=size, propagate=propagate)
    )


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    return tracker_at()


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    frames = [with_object(index) for index in range(COUNT)]
    return write_clip(tmp_path_factory.mktemp("follow") / "object", frames)


@pytest.fixture(scope="module")
def waving(tmp_path_factory) -> Path:
    """A texture that moves as a whole, by STEP px a frame."""
    frames = [wave_frame((STEP[0] * i, STEP[1] * i)) * 255 for i in range(COUNT)]
    folder = tmp_path_factory.mktemp("follow") / "waves"
    return write_clip(folder, [frame.round().astype(np.uint8) for frame in frames])


def scores(found: list[TrackedFrame]) -> list[float]:
    return [iou(frame.mask == 7, mask_at(frame.index) == 7) for frame in found]


def test_an_object_marked_in_the_middle_goes_both_ways(tracker, clip):
    found = list(tracker.track(clip, masks={4: mask_at(4)}))
    assert [frame.index for frame in found] == list(range(COUNT))
    assert min(scores(found)) > 0.75
    assert np.array_equal(found[4].mask[mask_at(4) > 0], mask_at(4)[mask_at(4) > 0])
    assert all(frame.present == {7: True} for frame in found)


@pytest.mark.parametrize(
    ("direction", "there"),
    [("forward", range(4, COUNT)), ("backward", range(5)), ("both", range(COUNT))],
)
def test_labels_go_the_way_that_is_asked_for(tracker, clip, direction, there):
    marks = {"points": [PointMark(2, 4, 50.0, 30.0)], "boxes": [BoxMark(3, 4, 32, 18, SIDE, SIDE)]}
    found = list(tracker.track(clip, masks={4: mask_at(4)}, direction=direction, **marks))
    assert [frame.index for frame in found] == list(range(COUNT))
    for frame in found:
        known = frame.index in there
        assert frame.present == {7: known} and bool(frame.mask.any()) == known
        visible = [frame.points[2].visible] if 2 in frame.points else [False]
        visible += [frame.boxes[3].visible] if 3 in frame.boxes else [False]
        assert visible == [known, known]


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_a_marked_first_frame_is_read_in_every_direction(tracker, waving, direction):
    point = PointMark(2, 0, 50.25, 30.0)
    first, *_ = tracker.track(waving, points=[point], direction=direction)
    assert first.points[2].x == pytest.approx(50.25, abs=1e-3)
    assert first.points[2].visible and first.points[2].confidence == 1


def test_between_keyframes_the_two_ways_agree_with_the_object(tracker, clip):
    masks = {0: mask_at(0), 7: mask_at(7)}
    found = list(tracker.track(clip, masks=masks))
    one_way = list(tracker.track(clip, masks=masks, direction="forward"))
    assert min(scores(found)) > 0.75
    assert np.mean(scores(found)) >= np.mean(scores(one_way)) - 0.02
    for index, mask in masks.items():
        assert np.array_equal(found[index].mask[mask > 0], mask[mask > 0])


@pytest.mark.parametrize("size", [96, 72, 192])  # as it is, smaller, enlarged
def test_points_keep_to_the_sources_pixels_whatever_the_working_size(waving, size):
    marks = [PointMark(5, 3, 60.25, 40.5), PointMark(900, 3, 44.0, 55.75)]
    truth = {mark.id: np.array([mark.x, mark.y]) for mark in marks}
    for frame in tracker_at(size).track(waving, points=marks):
        moved = np.array(STEP) * (frame.index - 3)
        assert set(frame.points) == {5, 900}
        for number, point in frame.points.items():
            assert point.visible and 0 < point.confidence <= 1
            np.testing.assert_allclose([point.x, point.y], truth[number] + moved, atol=0.15)
        assert not frame.mask.any() and frame.areas == {}


def test_joints_are_put_together_as_poses(tracker, waving):
    joints = np.array([[60.0, 40.0], [np.nan, np.nan], [44.5, 55.0]])
    poses = [
        KeypointMark(8, 2, joints, np.zeros(3, dtype=bool)),
        KeypointMark(8, 5, np.full((3, 2), np.nan), np.array([False, False, True])),
    ]
    found = list(tracker.track(waving, keypoints=poses))
    for frame in found:
        pose = frame.keypoints[8]
        assert pose.joints.shape == (3, 2) and pose.joints.dtype == np.float64
        assert pose.visible.dtype == bool and pose.confidence.shape == (3,)
        truth = joints + np.array(STEP) * (frame.index - 2)
        np.testing.assert_allclose(pose.joints[0], truth[0], atol=0.15)
        assert pose.visible[0] and not pose.visible[1]
    assert found[4].keypoints[8].visible[2] and not found[5].keypoints[8].visible[2]


def test_boxes_are_as_drawn_on_their_frame_and_follow_both_ways(tracker, clip):
    x, y = place(3)
    found = list(tracker.track(clip, boxes=[BoxMark(6, 3, x, y, SIDE, SIDE)]))
    drawn = found[3].boxes[6]
    np.testing.assert_allclose([drawn.x, drawn.y, drawn.width, drawn.height], [x, y, SIDE, SIDE])
    assert drawn.visible and drawn.confidence == 1
    for frame in found:
        box, (left, top) = frame.boxes[6], place(frame.index)
        np.testing.assert_allclose([box.x, box.y], [left, top], atol=5)
        np.testing.assert_allclose([box.width, box.height], [SIDE, SIDE], atol=7)
        assert box.visible


def test_a_lost_mark_ends_an_object(tracker, tmp_path):
    frames = [with_object(index, there=index < 4) for index in range(COUNT)]
    clip = write_clip(tmp_path / "gone", frames)
    found = list(tracker.track(clip, masks={0: mask_at(0)}, lost=[LostMark(7, 4)]))
    assert [frame.present[7] for frame in found] == [True] * 4 + [False] * 4
    assert min(scores(found[:4])) > 0.75
    for frame in found[4:]:
        assert frame.areas == {7: 0} and not frame.mask.any() and frame.confidence == {7: 0}


def test_an_object_that_is_not_there_at_first_is_absent_before_a_lost_mark(tracker, tmp_path):
    frames = [with_object(index, there=index >= 4) for index in range(COUNT)]
    clip = write_clip(tmp_path / "late", frames)
    found = list(tracker.track(clip, masks={6: mask_at(6)}, lost=[LostMark(7, 3)]))
    assert [frame.present[7] for frame in found] == [False] * 4 + [True] * 4


def test_a_part_of_the_video_keeps_its_frame_numbers(tracker, clip):
    found = list(tracker.track(clip, masks={4: mask_at(4)}, start=2, end=7))
    assert [frame.index for frame in found] == [2, 3, 4, 5, 6]
    assert min(scores(found)) > 0.75


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_a_cut_is_reported_once_on_the_frame_after_it(tracker, tmp_path, direction):
    other = (wave_frame(seed=12) * [1.0, 0.9, 0.2] * 255).astype(np.uint8)
    clip = write_clip(tmp_path / "cut", [*(with_object(i) for i in range(4)), *[other] * 3])
    masks = {0: mask_at(0), 6: mask_at(0, value=3)}
    found = list(tracker.track(clip, masks=masks, direction=direction))
    assert [frame.cut for frame in found] == [False] * 4 + [True, False, False]
    if direction == "forward":
        assert [frame.present[7] for frame in found] == [True] * 4 + [False] * 3
    if direction == "backward":
        assert [frame.present[3] for frame in found[3:]] == [False] + [True] * 3


def test_on_its_keyframe_a_mask_is_exactly_as_painted(tracker, clip):
    part = mask_at(4)
    part[:, 60:] = 0  # a part of the object only: its colours go on beyond what was painted
    found = list(tracker.track(clip, masks={0: mask_at(0), 4: part}))
    assert np.array_equal(found[4].mask, part)
    assert np.array_equal(found[0].mask, mask_at(0))


def test_an_object_of_which_no_pixel_is_left_is_not_called_sure(tracker, clip, monkeypatch):
    """As where the decoder of masks cuts all away that was copied to a frame."""
    whole = follow_module.tracked_frame

    def emptied(frame, reading, mask, *more, **named):
        return whole(frame, reading, 0 * mask, *more, **named)

    monkeypatch.setattr(follow_module, "tracked_frame", emptied)
    found = list(tracker.track(clip, masks={0: mask_at(0)}))
    assert found[0].present == {7: True} and found[0].reliability == {7: 1.0}
    for frame in found[1:]:
        assert frame.present == {7: False} and frame.confidence == {7: 0.0}
        assert frame.reliability == {7: ABSENT}


def test_hundreds_of_regions_are_followed_together(tracker, clip):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    many = (1 + (y // 6) * 20 + x // 6.5).astype(np.int32)
    many[many > 300] = 0
    first, second = tracker.track(clip, masks={0: many}, end=2)
    assert np.array_equal(first.mask[many > 0], many[many > 0])
    assert len(second.areas) == 300 == len(second.present) and sum(second.areas.values()) > 0
    assert set(np.unique(second.mask)) <= set(range(301))


@pytest.mark.parametrize("size", [(16, 16), (3, 5)])
def test_the_smallest_frames_are_followed_too(tiny_encoder, tmp_path, size):
    tracker = Tracker(tiny_encoder, device="cpu")
    frames = [(wave_frame((i, 0), size=size) * 255).astype(np.uint8) for i in range(3)]
    clip = write_clip(tmp_path / "tiny", frames)
    found = list(
        tracker.track(
            clip,
            masks=np.ones(size, dtype=np.int32),
            points=[PointMark(1, 0, 0.0, 0.0)],
            boxes=[BoxMark(1, 0, 0.0, 0.0, size[1], size[0])],
        )
    )
    assert [frame.mask.shape for frame in found] == [size] * 3
    assert all(len(frame.points) == len(frame.boxes) == 1 for frame in found)


def test_a_video_of_one_frame(tracker, tmp_path):
    clip = write_clip(tmp_path / "one", [with_object(0)])
    (only,) = tracker.track(clip, masks=mask_at(0), points=[PointMark(1, 0, 30.0, 20.0)])
    assert only.areas[7] == SIDE * SIDE and only.points[1].visible


def test_readings_do_not_depend_on_how_the_video_is_cut_into_chunks(tracker, clip, monkeypatch):
    masks = {2: mask_at(2), 7: mask_at(7)}
    whole = [frame.mask for frame in tracker.track(clip, masks=masks)]
    monkeypatch.setattr(passes_module, "_CHUNK_BYTES", 1)  # two frames at a time
    assert np.array_equal(whole, [frame.mask for frame in tracker.track(clip, masks=masks)])


@pytest.mark.parametrize("is_ahead", [False, True])
def test_with_marks_on_the_first_frame_alone_frames_come_as_they_are_read(
    tracker, clip, monkeypatch, is_ahead
):
    """Or a few are read while one is tracked."""
    monkeypatch.setattr(follow_module, "is_ahead_worth_it", lambda device: is_ahead)
    read = []
    real = follow_module.read_frames

    def counted(*args, **knobs):
        for frame in real(*args, **knobs):
            read.append(frame.index)
            yield frame

    monkeypatch.setattr(follow_module, "read_frames", counted)
    found = tracker.track(clip, masks=mask_at(0))
    for index in range(3):
        assert next(found).index == index
        assert read == list(range(len(read)))
        assert index < len(read) <= index + 1 + (DEPTH + 1 if is_ahead else 0)


def test_frames_embedded_ahead_are_tracked_to_the_bit(tracker, clip, monkeypatch):
    marks = {"masks": {0: mask_at(0), 3: mask_at(3)}, "points": [PointMark(1, 1, 20.0, 20.0)]}
    runs = []
    for is_ahead in (False, True):
        monkeypatch.setattr(follow_module, "is_ahead_worth_it", lambda device, on=is_ahead: on)
        runs.append(list(tracker.track(clip, **marks)))
    for alone, together in zip(*runs, strict=True):
        assert (alone.mask == together.mask).all() and alone.points == together.points
        assert alone.reliability == together.reliability
        assert alone.place_reliability == together.place_reliability


def test_leaving_early_gives_the_spool_back(tracker, clip, monkeypatch):
    closed = []

    class Watched(passes_module.ReadingCache):
        def close(self) -> None:
            closed.append(True)
            super().close()

    monkeypatch.setattr(follow_module, "ReadingCache", Watched)
    found = tracker.track(clip, masks={5: mask_at(5)})
    next(found)
    assert not closed
    found.close()
    assert closed == [True]
