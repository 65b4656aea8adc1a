"""The baselines: the kept mask, and raw Lab patches with the encoder's geometry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chromatrack.color import rgb_to_lab
from chromatrack.coords import cell_count
from chromatrack.errors import InputError
from chromatrack.formats.masks import write_mask
from chromatrack.measure.baselines import RAW_LAB_TEMPERATURE, IdentityTracker, RawLabEncoder
from chromatrack.measure.davis import evaluate_davis
from chromatrack.measure.metrics import jaccard
from chromatrack.propagate import PropagateConfig
from chromatrack.track import TrackConfig, Tracker

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
    tracked = list(IdentityTracker().track(frames, masks={1: box(0), 3: box(8)}))
    assert [frame.index for frame in tracked] == [0, 1, 2, 3]
    assert [frame.areas for frame in tracked] == [{}, {3: 256}, {3: 256}, {3: 256}]
    assert np.array_equal(tracked[2].mask, box(0)) and np.array_equal(tracked[3].mask, box(8))
    assert tracked[2].rgb[0, 0].tolist() == [100, 0, 99]
    [last] = IdentityTracker().track(frames, masks=box(4), start=3)
    assert last.index == 3 and np.array_equal(last.mask, box(4))


def test_identity_refuses_masks_of_another_size(frames):
    with pytest.raises(InputError, match=r"size \(32, 48\); got \(16, 48\)"):
        list(IdentityTracker().track(frames, masks=box(0)[::2]))
    with pytest.raises(InputError, match="at least one mask"):
        list(IdentityTracker().track(frames, masks={}))


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


def test_raw_lab_black_is_like_grey_and_colours_differ():
    flat = torch.zeros(4, 3, 8, 8)
    flat[1] = 0.5
    flat[2, 0] = 1.0
    flat[3, 2] = 1.0
    black, grey, red, blue = RawLabEncoder()(flat).flatten(1)
    assert black @ grey > 0.999
    assert red @ blue < 0.7 and red @ grey < 0.9


def test_raw_lab_tracks_a_moving_coloured_box(tmp_path):
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
