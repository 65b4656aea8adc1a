"""Tracking and colouring on a device, kept honest without one: see `pretended_device`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pretended_device import DEVICE, PretendedDevice
from synthetic import moving_clip, write_clip

from chromatrack.structures import BoxMark, KeypointMark, PointMark, Skeleton
from chromatrack.tracking import embedder, inference
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import Tracker

FRAMES = 6

UP = {
    "tracking.embedder:FrameEmbedder.__init__",  # weights
    "tracking.embedder:FrameEmbedder._decoder",
    "tracking.embedder:FrameEmbedder.image",  # each frame's pixels
    "tracking.inference:TrackerRun.input",  # marks
    "propagation.box_foreground:object_in_box",  # of a marked box, cut out on the CPU
    "propagation.bidirectional:_whole",  # the other way's labels, kept in the CPU's memory
    "ops.whitening:Whitening.of.<locals>.<genexpr>",  # decomposed on the CPU, once a clip
    "ops.kept:kept.<locals>.made",  # constants, once
    "propagation.box_labels:BoxTracks.kept_near",  # where a box is expected, by its numbers
    # which skeleton each joint is of, once
    "propagation.joint_company:Company._grown.<locals>.<genexpr>",
    "tracking.colorize:paint",  # each frame as it is, to be coloured
    # which channels, where not all: a few numbers
    "propagation.point_labels:PointTracks.follow",
    "propagation.bidirectional:read_step",
    "propagation.rivals:contest_by_looks",
    "propagation.rivals:Ways.contest",
    "propagation.point_reliability:_signals",
}
"""The doors in: what may move more than one number to the device."""

DOWN = {
    "propagation.box_foreground:_by_color",
    "propagation.bidirectional:_half",
    "ops.whitening:Whitening.of",
    "ops.winners:largest_channel",  # each frame's mask
    "tracking.readout:read_points",
    "tracking.colorize:colorize_frames",  # each frame's colours, and how sure they are
    "ops.resample:interleaved",  # each frame, coloured
}
"""The doors out."""

WAITS = 24
"""Single numbers that Python may ask for on a frame with two objects, points, box and skeleton."""


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=FRAMES, size=(96, 160), objects=2, radius=18, velocity=(2, 1))


@pytest.fixture(scope="module")
def clip(film, tmp_path_factory) -> str:
    return str(write_clip(tmp_path_factory.mktemp("device") / "frames", film))


def marks_of(film) -> dict[str, Any]:
    one, other = film[0].centres[1], film[0].centres[2]
    return {
        "masks": {0: film[0].mask, 4: film[4].mask},
        "points": [PointMark(1, 0, *one), PointMark(2, 2, 40.0, 50.0)],
        "boxes": [BoxMark(3, 0, one[0] - 18, one[1] - 18, 36.0, 36.0)],
        "keypoints": [KeypointMark(1, 0, np.array([one, other]), np.zeros(2, dtype=bool))],
        "skeleton": Skeleton(("a", "b"), ((0, 1),)),
    }


@pytest.fixture
def on_device(monkeypatch) -> Callable[[], PretendedDevice]:
    """Make `device="auto"` the pretended one; its modes are known to one thread alone."""

    def begin() -> PretendedDevice:
        monkeypatch.setattr(embedder, "choose_device", lambda device: DEVICE)
        monkeypatch.setattr(inference, "is_ahead_worth_it", lambda device: False)
        monkeypatch.setattr("chromatrack.tracking.colorize.is_ahead_worth_it", lambda device: False)
        return PretendedDevice()

    return begin


def tracker() -> Tracker:
    return Tracker.from_pretrained("small", config=TrackConfig(size=96, int8=False))


def test_everything_is_tracked_on_the_device_as_on_the_cpu(film, clip, on_device):
    expected = list(tracker().track(clip, **marks_of(film)))
    with on_device() as device:
        found = list(tracker().track(clip, **marks_of(film)))
    assert not set(device.up) - UP, "moved to the device elsewhere"
    assert not set(device.down) - DOWN, "moved from the device elsewhere"
    assert sum(device.asked.values()) <= WAITS * FRAMES, device.asked
    for one, other in zip(found, expected, strict=True):
        assert np.count_nonzero(one.mask != other.mask) <= 6  # of 15,360 pixels
        for number, point in other.points.items():
            there = one.points[number]
            assert (there.x, there.y) == pytest.approx((point.x, point.y), abs=0.02)
            assert there.visible == point.visible
        for number, box in other.boxes.items():
            there = one.boxes[number]
            size = there.x, there.y, there.width, there.height
            assert size == pytest.approx((box.x, box.y, box.width, box.height), abs=0.5)
        for number, pose in other.keypoints.items():
            assert one.keypoints[number].joints == pytest.approx(pose.joints, abs=0.02)
        assert one.reliability == pytest.approx(other.reliability, abs=0.02)


def test_colours_are_copied_on_the_device_as_on_the_cpu(film, clip, on_device, monkeypatch):
    reference = film[0].rgb, 0
    monkeypatch.setattr("chromatrack.tracking.colorize.SEARCHED", 1)  # a device seeks all cells
    expected = list(tracker().colorize(clip, references=[reference]))
    with on_device() as device:
        found = list(tracker().colorize(clip, references=[reference]))
    assert not set(device.up) - UP and not set(device.down) - DOWN, (device.up, device.down)
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one.rgb.astype(int) - other.rgb).max() <= 2


def test_what_a_device_refuses_is_refused():
    with PretendedDevice() as device:
        there, here = torch.zeros(3).to(DEVICE), torch.ones(3)
        assert there.device == DEVICE and not device.down
        with pytest.raises(RuntimeError, match="expected all tensors on one device"):
            there + here
        with pytest.raises(Exception, match="numpy"):
            there.numpy()
        assert (there + torch.tensor(2.0)).cpu().tolist() == [2, 2, 2]  # a single number is fine
        there[[0, 2]] = 5.0
        there[1] = there.new_tensor(7.0)
        assert there.cpu().numpy().tolist() == [5, 7, 5]
        assert float(there[1]) == 7
        assert sum(device.down.values()) == 2 and sum(device.asked.values()) == 1
