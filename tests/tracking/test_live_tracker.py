"""Live tracking over changes of the working size."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from synthetic import moving_clip

from chromatrack.errors import InputError
from chromatrack.structures import BoxMark, KeypointMark, LostMark, PointMark
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.live_tracker import LiveTracker, marks_of, warm_up
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.pace import Level
from chromatrack.tracking.session import start_session
from chromatrack.tracking.tracker import Tracker

FINE, COARSE = Level(192, 4), Level(112, 2)
START = (80.0, 48.0)


@pytest.fixture(scope="module")
def trained() -> Tracker:
    return Tracker.from_pretrained("small", device="cpu", config=TrackConfig(size=192))


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=13, size=(96, 160), velocity=(3, 1))


def everything(film) -> Marks:
    joints = np.array([[76.0, 44.0], [np.nan, np.nan], [86.0, 52.0]])
    return Marks(
        {0: film[0].mask},
        [PointMark(5, 0, *START)],
        [BoxMark(2, 0, 62, 30, 36, 36)],
        [KeypointMark(3, 0, joints, np.zeros(3, dtype=bool))],
    )


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_everything_is_carried_over_a_change_in_both_directions(trained, film):
    live = LiveTracker(trained.embedder, film[0].rgb, everything(film))
    sizes = []
    for frame in film[1:]:
        if frame.index in (4, 9):
            live.change(COARSE if frame.index == 4 else FINE)
        found = live.step(frame.rgb, pts_seconds=frame.index / 10)
        sizes.append(live.size)
        moved = np.subtract(frame.centres[1], film[0].centres[1])
        coarse = live.size < 150
        assert overlap(found.mask == 1, frame.mask == 1) > (0.8 if coarse else 0.85)
        assert np.hypot(*(np.array(START) + moved - (found.points[5].x, found.points[5].y))) < 3
        box = found.boxes[2]
        assert box.visible and abs(box.x - 62 - moved[0]) < 6 and abs(box.y - 30 - moved[1]) < 6
        joints = found.keypoints[3].joints
        assert np.isnan(joints[1]).all()
        assert np.hypot(*(joints[0] - (76, 44) - moved)) < 4
    assert sizes == [192] * 3 + [112] * 5 + [192] * 4


def test_what_was_carried_is_no_mark_of_the_user(trained, film):
    """The marked frame stays what is copied from; the last one is as a recent one, and doubted."""
    live = LiveTracker(trained.embedder, film[0].rgb, everything(film))
    for frame in film[1:5]:
        live.step(frame.rgb, pts_seconds=frame.index / 10)
    before = live.result
    live.change(COARSE)
    bank = live._session._now.propagator.bank
    assert [mark.index for mark in bank.marked] == [0]
    assert [held.index for held in bank.rolling][-1] == 1
    assert bool(bank.references(2)[1].trust[1:].all())
    redetector = live._session._now.labels.redetector
    assert list(redetector.marked) == [0]
    found = live.step(film[5].rgb, pts_seconds=0.5)
    assert 0.3 < found.reliability[1] < 1 and before.index == 4


def test_what_is_hidden_at_a_change_is_found_when_it_comes_back(trained, film):
    ground = moving_clip(frames=1, size=(96, 160), objects=0)[0].rgb
    live = LiveTracker(trained.embedder, film[0].rgb, Marks({0: film[0].mask}))
    for step in range(1, 5):
        found = live.step(ground, pts_seconds=step / 10)
    assert not found.present[1]
    live.change(COARSE)
    found = live.step(ground, pts_seconds=0.6)
    assert not found.present[1]
    for step in range(7, 13):
        found = live.step(film[2].rgb, pts_seconds=step / 10)
    assert found.present[1] and overlap(found.mask == 1, film[2].mask == 1) > 0.75


def test_without_a_change_it_is_a_session(trained, film):
    live = LiveTracker(trained.embedder, film[0].rgb, everything(film))
    session = start_session(trained.embedder, film[0].rgb)
    session.add_marks(everything(film))
    for frame in film[1:4]:
        mine = live.step(frame.rgb, pts_seconds=frame.index / 10)
        other = session.step(frame.rgb, pts_seconds=frame.index / 10)
        assert np.array_equal(mine.mask, other.mask) and mine.points == other.points
    live.change(FINE)
    assert live.size == 192


def test_a_change_right_at_the_marked_frame(trained, film):
    live = LiveTracker(trained.embedder, film[0].rgb, everything(film))
    live.change(COARSE)
    found = live.step(film[1].rgb, pts_seconds=0.1)
    assert overlap(found.mask == 1, film[1].mask == 1) > 0.75


def tensor_bytes(held: object) -> int:
    """By type alone: to ask a proxy of something gone what it is raises."""
    if not issubclass(type(held), torch.Tensor):
        return 0
    assert isinstance(held, torch.Tensor)
    return held.numel() * held.element_size()


@pytest.mark.slow
def test_memory_does_not_grow_with_frames_or_changes(tiny_encoder, film):
    tracker = Tracker(tiny_encoder, device="cpu", config=TrackConfig(size=96))
    live = LiveTracker(tracker.embedder, film[0].rgb, everything(film))
    bytes_held = []
    for number in range(1, 31):
        live.step(film[number % 12].rgb, pts_seconds=float(number))
        if number % 5 == 0:
            live.change(Level(96, 4) if number % 10 else Level(64, 2))
        if number % 10 == 0:
            live.step(film[0].rgb, pts_seconds=number + 0.5)
            gc.collect()
            bytes_held.append(sum(map(tensor_bytes, gc.get_objects())))
    assert bytes_held[2] <= 1.1 * bytes_held[1]


def test_marks_elsewhere_or_none_are_refused(trained, film):
    rgb, mask = film[0].rgb, film[0].mask
    for marks, told in [
        (Marks(), "at least one"),
        (Marks({3: mask}), "mask on frame 3: expected frame 0"),
        (Marks(points=[PointMark(1, 0, 900.0, 3.0)]), "point 1"),
        (Marks({0: mask}, lost=[LostMark(1, 2)]), "frame 2"),
        (Marks({0: mask}, [PointMark(1, 0, None, None)]), "lost"),
    ]:
        with pytest.raises(InputError, match=told):
            LiveTracker(trained.embedder, rgb, marks)


def test_marks_of_a_frame_say_what_is_seen_and_what_is_not(trained, film):
    live = LiveTracker(trained.embedder, film[0].rgb, everything(film))
    found = live.step(film[1].rgb, pts_seconds=0.1)
    marks = marks_of(found, index=1)
    assert marks.labels().keys() == everything(film).labels().keys()
    assert np.array_equal(marks.masks[1], found.mask)
    assert not marks.lost and not marks.keypoints[0].lost.any()


def test_warming_up_changes_no_result(tiny_encoder, film):
    tracker = Tracker(tiny_encoder, device="cpu", config=TrackConfig(size=96))
    results = []
    for warm in (False, True):
        if warm:
            warm_up(tracker.embedder)
        live = LiveTracker(tracker.embedder, film[0].rgb, everything(film))
        results.append(live.step(film[1].rgb, pts_seconds=0.1).mask)
    assert np.array_equal(*results)
