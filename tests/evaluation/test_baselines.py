"""The baselines by name: what is kept, and raw Lab patches with the encoder's geometry."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chromatrack.cli.options import Evaluated, load_evaluated
from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.identity import (
    RAW_LAB_TEMPERATURE,
    IdentityTracker,
    RawLabEncoder,
    baseline,
    held_from,
)
from chromatrack.evaluation.datasets.davis import evaluate_davis
from chromatrack.evaluation.metrics.masks import jaccard
from chromatrack.evaluation.runner import config_of
from chromatrack.formats.masks import write_mask
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import cell_count
from chromatrack.ops.resample import planes
from chromatrack.propagation.propagate import PropagateConfig
from chromatrack.structures import (
    BoxMark,
    KeypointMark,
    LostMark,
    PointMark,
    TrackedBox,
    TrackedPoint,
)
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import Tracker

SIZE = (32, 48)


def box(left: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.int32)
    mask[8:24, left : left + 16] = 3
    return mask


@pytest.fixture
def frames(tmp_path):
    folder = tmp_path / "JPEGImages/480p/box"
    folder.mkdir(parents=True)
    for index in range(4):
        Image.new("RGB", SIZE[::-1], (50 * index, 0, 99)).save(folder / f"{index:05d}.png")
    return folder


def test_identity_keeps_the_last_given_mask(frames):
    given = {1: box(0), 3: box(8)}
    tracked = list(IdentityTracker().track(frames, masks=given, direction="forward"))
    assert [frame.index for frame in tracked] == [0, 1, 2, 3]
    assert [frame.areas for frame in tracked] == [{3: 0}, {3: 256}, {3: 256}, {3: 256}]
    assert np.array_equal(tracked[2].mask, box(0)) and np.array_equal(tracked[3].mask, box(8))
    assert tracked[2].rgb[0, 0].tolist() == [100, 0, 99]
    both = list(IdentityTracker().track(frames, masks=given))
    assert np.array_equal(both[0].mask, box(0)) and np.array_equal(both[2].mask, box(0))
    back = list(IdentityTracker().track(frames, masks=given, direction="backward"))
    assert [np.argmax(frame.mask[8]) for frame in back] == [0, 0, 8, 8]
    [last] = IdentityTracker().track(frames, masks=box(4), start=3)
    assert last.index == 3 and np.array_equal(last.mask, box(4))


def test_identity_keeps_every_object_from_its_own_frame(frames):
    other = np.zeros(SIZE, np.int32)
    other[0:16, 0:16] = 9
    _, one, two, lost = IdentityTracker().track(
        frames, masks={1: box(0), 2: other}, lost=[LostMark(3, 3)], direction="forward"
    )
    assert one.areas == {3: 256, 9: 0} and one.present == {3: True, 9: False}
    assert two.areas == {3: 128, 9: 256}, "what was given later is in front"
    assert lost.areas == {3: 0, 9: 256} and lost.confidence == {3: 0, 9: 1}


def test_identity_keeps_points_boxes_and_joints(frames):
    first, late = KeypointMark(5, 0, np.array([[1.0, 2], [3, 4]]), np.zeros(2, bool)), np.nan
    part = KeypointMark(5, 2, np.array([[late, late], [7, 8]]), np.zeros(2, bool))
    gone = KeypointMark(5, 3, np.full((2, 2), np.nan), np.array([True, False]))
    found = list(
        IdentityTracker().track(
            frames,
            points=[PointMark(1, 2, 10.5, 20), PointMark(1, 3, None, None)],
            boxes=[BoxMark(2, 1, 4, 5, 6, 7.5), BoxMark(2, 3, None, None, None, None)],
            keypoints=[first, part, gone],
        )
    )
    for frame in found[:3]:
        assert frame.points == {1: TrackedPoint(10.5, 20, True, 1.0)}
        assert frame.boxes == {2: TrackedBox(4, 5, 6, 7.5, True, 1.0)}
        assert not frame.mask.any() and frame.areas == {}
    assert [frame.keypoints[5].joints.tolist() for frame in found[1:3]] == [
        [[1, 2], [3, 4]],
        [[1, 2], [7, 8]],
    ]
    assert not found[3].points[1].visible and found[3].boxes == {}
    assert found[3].keypoints[5].visible.tolist() == [False, True]
    late_point = [PointMark(1, 2, 1, 1)]
    early = list(IdentityTracker().track(frames, points=late_point, direction="forward"))
    assert [bool(frame.points) for frame in early] == [False, False, True, True]


@given(
    told=st.dictionaries(st.integers(0, 9), st.booleans(), min_size=1, max_size=5),
    index=st.integers(0, 9),
)
def test_a_label_is_held_from_a_neighbour_that_shows_it(told, index):
    ahead, behind = (held_from(told, index, way) for way in ("forward", "backward"))
    assert held_from(told, index, "both") == (ahead if ahead is not None else behind)
    between = {
        ahead: [f for f in told if ahead is not None and ahead < f <= index],
        behind: [f for f in told if behind is not None and index <= f < behind],
    }
    for since, others in between.items():
        assert since is None or (told[since] and not others)
    last = max((f for f in told if f <= index), default=None)
    assert ahead == (last if last is not None and told[last] else None)


def test_identity_holds_colors_still(frames):
    red = np.zeros((*SIZE, 3), np.uint8)
    red[:, :24], red[:, 24:] = (200, 40, 40), (40, 40, 200)
    colored = list(IdentityTracker().colorize(frames, references=[(red, 1), (red[:, ::-1], 3)]))
    assert [frame.index for frame in colored] == [0, 1, 2, 3]
    for frame, left in zip(colored[1:], (0, 0, 2), strict=True):
        assert int(np.argmax(frame.rgb[5, 5])) == left
        assert np.array_equal(frame.rgb[5, 5], frame.rgb[30, 20])
    lightness = [rgb_to_lab(planes(x).float() / 255)[0] for x in (colored[2].rgb, still_of(100))]
    assert torch.allclose(*lightness, atol=1.0)


def still_of(red: int) -> np.ndarray:
    return np.broadcast_to(np.array([red, 0, 99], np.uint8), (*SIZE, 3)).copy()


def test_identity_refuses_what_the_tracker_refuses(frames):
    with pytest.raises(InputError, match="expected the video's 48x32 pixels, got 48x16"):
        IdentityTracker().track(frames, masks=box(0)[::2])
    with pytest.raises(InputError, match="at least one object"):
        IdentityTracker().track(frames, masks={})


def test_baselines_by_name(monkeypatch):
    assert isinstance(baseline("identity"), IdentityTracker)
    assert baseline("small") is None and baseline("a/flow.safetensors") is None
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    for name, extra in (("flow", r"chromatrack\[flow\]"), ("raft", "pip install torchvision")):
        with pytest.raises(InputError, match=extra):
            baseline(name, device="cpu")
        with pytest.raises(InputError, match=extra):
            load_evaluated(Evaluated(model=name, device="cpu"))


def test_flow_baselines_say_what_they_are():
    pytest.importorskip("cv2", reason="OpenCV is not installed (the extra `flow`)")
    modes = {name: baseline(name) for name in ("flow", "flow-straight")}
    assert {name: config_of(tracker) for name, tracker in modes.items()} == {
        "flow": {"flow": "DIS medium", "mode": "chained"},
        "flow-straight": {"flow": "DIS medium", "mode": "straight"},
    }


def test_identity_runs_through_the_evaluation(frames, tmp_path):
    for index in range(4):
        write_mask(tmp_path / f"Annotations/480p/box/{index:05d}.png", box(4 * index))
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets/val.txt").write_text("box")
    scores = evaluate_davis(tmp_path, tracker=IdentityTracker(), year=2017)["scores"]
    assert scores["J-Mean"] == pytest.approx((12 / 20 + 8 / 24) / 2)


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 50), width=st.integers(1, 50), seed=st.integers(0, 99))
def test_raw_lab_maps_have_the_declared_shape_and_unit_cells(height, width, seed):
    encoder = RawLabEncoder()
    rgb = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(seed))
    features = encoder(rgb)
    h, w = cell_count((height, width), stride=encoder.spec.stride)
    assert features.shape == (2, encoder.spec.channels, h, w)
    assert features.dtype == torch.float32
    assert torch.allclose(features.norm(dim=1), torch.ones(2, h, w), atol=1e-5)


def test_raw_lab_cells_are_patches_centred_at_the_declared_offset():
    encoder = RawLabEncoder()
    rgb = torch.rand(1, 3, 64, 72, generator=torch.Generator().manual_seed(0))
    lab = rgb_to_lab(rgb)[0]
    row, column = 3, 4
    x, y = (encoder.spec.stride * cell + encoder.spec.offset for cell in (column, row))
    top, left = round(y - 9.5), round(x - 9.5)  # 20 pixels, centred
    patch = lab[:, top : top + 20, left : left + 20].reshape(3, 5, 4, 5, 4).mean((2, 4)).flatten()
    expected = patch / patch.norm()
    assert torch.allclose(encoder(rgb)[0, :, row, column], expected, atol=1e-5)


def test_raw_lab_black_is_like_grey_and_colors_differ():
    flat = torch.zeros(4, 3, 8, 8)
    flat[1] = 0.5
    flat[2, 0] = 1.0
    flat[3, 2] = 1.0
    black, grey, red, blue = RawLabEncoder()(flat).flatten(1)
    assert black @ grey > 0.999
    assert red @ blue < 0.7 and red @ grey < 0.9


def test_raw_lab_tracks_a_moving_colored_box(tmp_path):
    """A red box on a blue-green ramp moves 4 pixels a frame; its colour alone is enough."""
    size = (64, 96)
    truths = []
    for index in range(5):
        rgb = np.zeros((*size, 3), np.uint8)
        rgb[..., 1], rgb[..., 2] = 60, np.linspace(60, 200, size[1])
        rgb[16:48, 16 + 4 * index : 48 + 4 * index] = (220, 40, 40)
        Image.fromarray(rgb).save(tmp_path / f"{index:05d}.png")
        truths.append((rgb[..., 0] == 220).astype(np.int32))
    config = TrackConfig(propagate=PropagateConfig(temperature=RAW_LAB_TEMPERATURE))
    tracker = Tracker(RawLabEncoder(), device="cpu", config=config, model="raw Lab")
    raw = list(tracker.track(tmp_path, masks=truths[0]))[-1].mask
    kept = list(IdentityTracker().track(tmp_path, masks=truths[0]))[-1].mask
    assert jaccard(raw, truths[-1]) > 0.8 > jaccard(kept, truths[-1])
