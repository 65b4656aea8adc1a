"""Marks of a pixel, videos of a pixel: tracked, or said to be absent, and never a traceback."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import TINY, _tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chromatrack.ops.coords import FeatureSpec
from chromatrack.propagation.exemplars import take_view
from chromatrack.propagation.label_maps import masks_to_label_map
from chromatrack.propagation.layout import Layout
from chromatrack.structures import BoxMark
from chromatrack.tracking import close_up
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker

pytestmark = pytest.mark.filterwarnings("ignore:.*too little to be followed")

SIZES = [(1, 1), (1, 2), (2, 2), (3, 7), (1, 40), (40, 1), (16, 16), (17, 33), (24, 40), (3, 300)]


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    return Tracker(_tiny(TINY), device="cpu", config=TrackConfig(size=16))


@pytest.fixture(scope="module", autouse=True)
def small_windows():
    """Close-ups of 9 cells a side in place of 40: what is looked at here does not ask for more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(close_up, "_WINDOW", 72)
        yield


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """(height, width) -> a folder of three noisy frames of that size."""
    root, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for size in SIZES:
        folder = root / f"{size[0]}x{size[1]}"
        folder.mkdir()
        for index in range(3):
            noise = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / f"{index}.png")
    return {size: root / f"{size[0]}x{size[1]}" for size in SIZES}


@st.composite
def painted(draw, size) -> np.ndarray:
    """A mask of a few pixels or patches, of any ids."""
    mask = np.zeros(size, dtype=np.int32)
    for _ in range(draw(st.integers(1, 6))):
        y, x = (draw(st.integers(0, side - 1)) for side in size)
        h, w = draw(st.integers(1, 9)), draw(st.integers(1, 9))
        mask[y : y + h, x : x + w] = draw(st.sampled_from([1, 2, 3, 7, 255, 4000]))
    return mask


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_mask_is_tracked_in_any_direction(tracker, clips, data):
    size = data.draw(st.sampled_from(SIZES))
    frames = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True))
    masks = {frame: data.draw(painted(size)) for frame in frames}
    direction = data.draw(st.sampled_from(["both", "forward", "backward"]))
    found = list(tracker.track(clips[size], masks=masks, direction=direction))
    given_ids = {0, *(int(i) for mask in masks.values() for i in np.unique(mask))}
    assert [frame.index for frame in found] == [0, 1, 2]
    for frame in found:
        assert set(np.unique(frame.mask).tolist()) <= given_ids
        if frame.index in masks:
            shown = masks[frame.index] > 0
            assert np.array_equal(frame.mask[shown], masks[frame.index][shown])
    if len(frames) == 1:
        assert np.array_equal(found[frames[0]].mask, masks[frames[0]])


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (3, 300)], ids=str)
def test_a_thing_in_parts_far_from_each_other_is_shown_in_its_window(tracker, clips, size):
    """Its middle lies between them, where nothing of it is."""
    mask = np.zeros(size, dtype=np.int32)
    mask[0, 0] = mask[-1, -1] = 2
    mask[0, :5] = mask[:5, 0] = 2
    for frame, direction in ((0, "forward"), (2, "both")):
        found = list(tracker.track(clips[size], masks={frame: mask}, direction=direction))
        assert np.array_equal(found[frame].mask, mask) and len(found) == 3


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_box_that_meets_the_frame_is_tracked(tracker, clips, data):
    size = data.draw(st.sampled_from(SIZES))
    boxes = []
    for number in range(1, data.draw(st.integers(2, 4))):
        place = [data.draw(st.integers(0, side - 1)) for side in size[::-1]]
        sides = [data.draw(st.sampled_from([0.01, 0.3, 1, 2, 5, 60])) for _ in size]
        boxes.append(BoxMark(number, data.draw(st.integers(0, 2)), *place, *sides))
    found = list(tracker.track(clips[size], boxes=boxes))
    assert len(found) == 3
    for box in boxes:
        drawn = found[box.frame].boxes[box.id]
        assert np.allclose((drawn.x, drawn.width), (box.x, box.width), atol=1e-3)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_sessions_take_any_mask_and_any_correction(tracker, data):
    size = data.draw(st.sampled_from(SIZES))
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(3)]
    first = data.draw(painted(size))
    session = tracker.start(frames[0], masks=first)
    assert np.array_equal(session.result.mask, first)
    session.step(frames[1])
    again = np.where(np.isin(corrected := data.draw(painted(size)), first), corrected, 0)
    if again.any():
        result = session.correct(masks=again)
        assert np.array_equal(result.mask[again > 0], again[again > 0])
    assert session.step(frames[2]).mask.shape == size


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_smallest_videos_are_coloured(tracker, clips, size):
    reference = f"{clips[size] / '0.png'}@0"
    assert len(list(tracker.colorize(clips[size], references=[reference]))) == 3


@pytest.mark.parametrize("size", [(23, 24), (24, 23), (23, 31), (8, 8)])
@pytest.mark.parametrize("offset", [0.0, 3.5])
def test_every_pixel_has_a_share_of_a_cell(size, offset):
    spec = FeatureSpec(channels=1, stride=8, offset=offset)
    for y in range(size[0]):
        for x in range(size[1]):
            mask = np.zeros(size, dtype=np.int64)
            mask[y, x] = 5
            label_map = masks_to_label_map(mask, ids=[3, 5], size=size, spec=spec)
            assert float(label_map[2].max()) > 0 and float(label_map[1].max()) == 0
            assert torch.allclose(label_map.sum(0), torch.ones(label_map.shape[1:]))
            box = Marks(boxes=[BoxMark(1, 0, x, y, 1, 1)]).on_frame(
                0, Layout(boxes=(1,)), spec, frame_size=size, image_size=size
            )
            assert box is not None and bool(box.shown[1])


def test_a_view_of_the_faintest_thing_has_its_cell():
    features = torch.nn.functional.normalize(torch.randn(4, 9, 9), dim=0)
    labels = torch.zeros(9, 9)
    labels[4, 4] = 1e-4
    view = take_view(features, features, labels)
    assert len(view.own) == 1 and view.labels.shape == (7, 7)


def test_a_frame_of_one_cell_is_no_reason_to_adapt(tracker):
    rgb = np.zeros((1, 1, 3), dtype=np.uint8)
    assert tracker.start(rgb, masks=np.ones((1, 1), dtype=np.int32)).result.areas == {1: 1}
