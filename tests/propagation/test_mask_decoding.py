"""Decoding in propagation: where the decoder is asked, what it is shown, what becomes of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given as given_of
from hypothesis import strategies as st
from patch_encoders import SIZE, given_on, image_of, smooth_patches, square, wave_frame
from patch_encoders import SMOOTH_SPEC as SPEC
from torch import Tensor

from chromatrack.ops.coords import FeatureSpec
from chromatrack.ops.resample import COARSE, CoarseImage, to_coarse
from chromatrack.propagation import mask_decoding
from chromatrack.propagation.bidirectional import read_step
from chromatrack.propagation.config import PropagateConfig
from chromatrack.propagation.label_state import LabelState
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.mask_decoding import MOST_DECODED, MaskDecoding, scales
from chromatrack.propagation.mask_evidence import Discriminant
from chromatrack.propagation.propagate import FrameMarks, Input, Propagated
from chromatrack.propagation.relabeling import Relabeling
from chromatrack.structures import BoxMark
from chromatrack.tracking.marks import Marks
from chromatrack.video.reader import Frame

GRID = (SIZE[0] // COARSE, SIZE[1] // COARSE)
IMAGE = image_of(wave_frame(seed=2))
FEATURES = smooth_patches(IMAGE[None])[0]


class Recorder:
    """Says the same everywhere, and keeps what it was shown."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.shown: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def __call__(
        self,
        image: Tensor,
        label: Tensor,
        others: Tensor,
        evidence: Tensor,
        spec: FeatureSpec,
        *,
        coarse: CoarseImage | None = None,
    ) -> Tensor:
        del spec
        if coarse is not None:  # as if it were made of this part of the image alone
            alone = CoarseImage.of(image)
            assert torch.equal(coarse.rgb, alone.rgb) and torch.equal(coarse.spread, alone.spread)
        self.shown.append((image, label, others, evidence))
        return torch.full([-(-side // COARSE) for side in image.shape[-2:]], self.value)


def two_squares() -> Marks:
    return Marks(masks={0: square(8, value=3) + square(72, value=9)})


def frame_with(given: FrameMarks | None, index: int = 0) -> Input:
    rgb = np.zeros((*SIZE, 3), dtype=np.uint8)
    return Input(index, IMAGE, given, Frame(rgb, index, index / 24))


def marked(decode: Recorder | None) -> tuple[MaskDecoding, Tensor]:
    """Decoding that has seen two squares painted, and their label map."""
    marks = two_squares()
    given = given_on(marks, 0, IMAGE)
    decoding = MaskDecoding(marks.layout(), SPEC, decode)
    decoding.read(frame_with(given), FEATURES, given.label_map, given)
    return decoding, given.label_map


def read(decoding: MaskDecoding, label_map: Tensor) -> tuple[Tensor, Tensor]:
    told, masks = decoding.read(frame_with(None, 1), FEATURES, label_map, None)
    assert masks is not None
    return told, masks


def test_without_a_decoder_labels_stay_as_they_are():
    decoding, label_map = marked(None)
    told, masks = decoding.read(frame_with(None, 1), FEATURES, label_map, None)
    assert told is label_map and masks is None


def test_of_too_many_regions_none_is_decoded():
    layout = Layout(tuple(range(1, MOST_DECODED + 2)))
    assert not MaskDecoding(layout, SPEC, Recorder(1)).is_on
    assert MaskDecoding(Layout(layout.regions[1:]), SPEC, Recorder(1)).is_on


def test_what_is_painted_is_taken_as_it_is_and_not_decoded():
    decode = Recorder(0.0)
    marks = two_squares()
    given = given_on(marks, 0, IMAGE)
    decoding = MaskDecoding(marks.layout(), SPEC, decode)
    told, masks = decoding.read(frame_with(given), FEATURES, given.label_map, given)
    assert not decode.shown and masks is not None
    assert torch.equal(told, given.label_map)
    expected = to_coarse(given.label_map[1:3], size=SIZE, spec=SPEC)
    assert torch.allclose(masks, expected / expected.sum(0).clamp(min=1))


def test_each_object_is_decoded_in_its_surroundings_and_shown_the_other():
    decode = Recorder(0.5)
    decoding, label_map = marked(decode)
    _, masks = read(decoding, label_map)
    assert len(decode.shown) == 2 and masks.shape == (2, *GRID)
    image, label, others, evidence = decode.shown[0]
    assert image.shape[2] < SIZE[1] and label.shape == others.shape == evidence.shape[1:]
    assert bool((label > 0.9).any()) and bool((others > 0).any())
    assert not bool(((label > 0.5) & (others > 0.5)).any())


def test_a_mask_lies_near_its_label_only():
    decoding, label_map = marked(Recorder(1.0))
    label_map = label_map.clone()
    label_map[2] = 0
    _, masks = read(decoding, label_map)
    held = to_coarse(label_map[1:2], size=SIZE, spec=SPEC)[0] > 0.02
    rows, columns = held.any(1).nonzero()[:, 0], held.any(0).nonzero()[:, 0]
    near = 12
    assert bool((masks[0][held] == 1).all())
    assert not bool(masks[0][:, int(columns.max()) + near + 1 :].any())
    assert not bool(masks[0][int(rows.max()) + near + 1 :].any())
    assert not bool(masks[1].any())


def test_masks_of_all_objects_share_every_place():
    decoding, label_map = marked(Recorder(1.0))
    _, masks = read(decoding, label_map)
    assert float(masks.sum(0).max()) <= 1 + 1e-6


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_what_a_mask_adds_is_remembered_in_part_and_what_it_takes_away_is_not(share):
    for value, expected in ((0.0, 0.0), (1.0, share)):
        decoding, label_map = marked(Recorder(value))
        decoding.feedback = share
        told, masks = read(decoding, label_map)
        change = told[1:] - label_map[1:]
        assert float(change.min()) >= 0
        room = 1 - label_map[1:]
        assert float((change / room.clamp(min=1e-6)).max()) == pytest.approx(expected, abs=1e-4)
        assert bool((masks > 0).any()) == bool(value)


def test_the_evidence_tells_the_object_from_the_rest():
    image = torch.full((3, *SIZE), 0.3)
    image[0, 32:72, 8:48] = 0.9
    features = smooth_patches(image[None])[0]
    label = torch.zeros(features.shape[1:])
    label[8:18, 2:12] = 1
    ridge, margin, own = Discriminant.of(features, label).read(features)
    inside, outside = label > 0, torch.zeros_like(label, dtype=torch.bool)
    outside[:, 16:] = True
    for seen in (ridge, margin, own):
        assert float(seen[inside].mean()) > float(seen[outside].mean()) + 0.1


def test_state_goes_with_its_labels_when_others_leave():
    decoding, _ = marked(Recorder(1.0))
    second = decoding.known[2]
    twin = decoding.fork()
    twin.relabel(Relabeling(twin.layout, Layout((9,))))
    assert twin.known == {1: second} and set(decoding.known) == {1, 2}


def label_across(pixels: float, spec: FeatureSpec) -> Tensor:
    return torch.tensor([[(pixels / spec.stride) ** 2]])


@given_of(st.floats(4, 3000), st.sampled_from([4, 8]))
def test_the_larger_an_object_the_smaller_it_is_seen(across, stride):
    spec = FeatureSpec(4, stride, 0.0)
    looks = scales(label_across(across, spec), spec)
    larger = scales(label_across(2 * across, spec), spec)
    assert len(looks) == (1 if across < 45 else 2) and looks[-1] <= larger[-1]
    assert spec.halved(looks[-1]).stride >= 1
    assert stride == 4 or across > 1400 or across / 2 ** looks[0] < 2 * 45 * 8


def test_all_but_small_objects_are_seen_at_half_size_too():
    marks, decode = Marks(masks={0: square(8, side=60)}), Recorder(1.0)
    given = given_on(marks, 0, IMAGE)
    decoding = MaskDecoding(marks.layout(), SPEC, decode)
    decoding.read(frame_with(given), FEATURES, given.label_map, given)
    _, masks = read(decoding, given.label_map)
    whole, half = (image for image, *_ in decode.shown)
    assert [-(-side // 2) for side in whole.shape[1:]] == list(half.shape[1:])
    assert torch.allclose(half[:, 0, 0], whole[:, :2, :2].mean((1, 2)))
    assert float(masks.max()) == 1  # both say so


def test_what_is_in_a_box_is_decoded_too_and_its_box_is_that_of_the_mask():
    marks, decode = Marks(boxes=[BoxMark(1, 0, 40, 40, 32, 32)]), Recorder(1.0)
    state = LabelState(marks.layout(), SPEC, PropagateConfig(), decode=decode)
    given = given_on(marks, 0, IMAGE)
    label_map = state.settle(frame_with(given), FEATURES, None).label_map
    assert not decode.shown
    later = state.settle(frame_with(None, 1), FEATURES, label_map)
    assert decode.shown and not bool(decode.shown[0][2].any())  # boxes do not share: no others
    assert later.readings is not None and later.readings.masks is not None
    assert len(later.readings.masks) == 1  # how sure it is counts; no one is shown it
    step = Propagated(frame_with(None, 1), later.label_map, None, readings=later.readings)
    shown = read_step(step, marks.layout()).masks
    assert shown is not None and len(shown) == 0
    box = later.readings.boxes[1]
    assert box[2] > 40 and box[3] > 40  # it says that all about the label is the object


@pytest.mark.parametrize("few", [4, 0])
def test_finer_looks_go_less_far_where_there_are_many_objects(monkeypatch, few):
    monkeypatch.setattr(mask_decoding, "_FEW", few)
    monkeypatch.setattr(mask_decoding, "_HALVED_FROM", 8.0)
    monkeypatch.setattr(mask_decoding, "_ONE_LOOK_TO", 0)  # two looks at these squares
    decode = Recorder(1.0)
    decoding, label_map = marked(decode)
    _, masks = read(decoding, label_map)
    fine, coarse = (seen[0].shape[-2:] for seen in decode.shown[:2])
    assert scales(label_map[1], SPEC) == range(2)
    assert (fine[1] < 2 * coarse[1]) == (few == 0)
    held = to_coarse(label_map[1:2], size=SIZE, spec=SPEC)[0] > 0.5
    assert float(masks[0][held].min()) >= 0.5  # both say that all is theirs


@pytest.mark.parametrize(("few", "large", "looks"), [(4, 9, 2), (0, 9, 1), (0, 2, 2)])
def test_one_look_is_enough_at_all_but_large_objects_where_there_are_many(
    monkeypatch, few, large, looks
):
    monkeypatch.setattr(mask_decoding, "_FEW", few)
    monkeypatch.setattr(mask_decoding, "_HALVED_FROM", 8.0)
    monkeypatch.setattr(mask_decoding, "_ONE_LOOK_TO", large)
    decode = Recorder(1.0)
    decoding, label_map = marked(decode)
    _, masks = read(decoding, label_map)
    assert len(decode.shown) == 2 * looks
    held = to_coarse(label_map[1:2], size=SIZE, spec=SPEC)[0] > 0.02
    assert float(masks[0][held].min()) >= 0.5 - 1e-6  # all is seen; the other has the rest


@given_of(st.integers(0, 6), st.integers(0, 6), st.integers(3, 12), st.integers(3, 12))
def test_a_part_of_many_is_read_as_the_whole_picture_is(top, left, rows, columns):
    image = CoarseImage.of(IMAGE)
    steps = slice(top, top + rows), slice(left, left + columns)
    part = image.part(steps, of_many=True)
    nested = image.part((slice(1, 20), slice(1, 20)), of_many=True)
    again = nested.part([slice(s.start, s.stop) for s in steps], of_many=True)
    assert torch.equal(part.lab, image.lab[:, *steps])
    moved = slice(top + 1, top + 1 + rows), slice(left + 1, left + 1 + columns)
    assert torch.equal(again.lab, image.lab[:, *moved])
    label = torch.zeros(image.spread.shape)
    label[0, top + rows // 2, left + columns // 2] = 1  # the filter's windows reach 4 steps
    wide = slice(0, top + rows + 8), slice(0, left + columns + 8)
    found = image.part(wide, of_many=True).filtered(label[:, *wide])
    torch.testing.assert_close(found, image.filtered(label)[:, *wide], atol=1e-5, rtol=0)


@given_of(st.data())
def test_windows_hold_what_is_asked_for_and_come_in_few_sizes(data):
    side, multiple = data.draw(st.integers(1, 200)), data.draw(st.sampled_from([4, 8, 16]))
    first = data.draw(st.integers(0, side - 1))
    bounds = slice(first, side)
    start = data.draw(st.integers(-20, side - 1))
    stop = data.draw(st.integers(max(start, first) + 1, side + 20))
    window = mask_decoding._window(start, stop, bounds, multiple=multiple)
    assert first <= window.start <= max(start, first)
    assert min(stop, side) <= window.stop <= side
    length = window.stop - window.start
    assert window == bounds or length % multiple == 0
    assert length < stop - start + multiple


def test_a_narrow_look_is_that_of_many_objects():
    marks = Marks(masks={0: square(8, side=60)})
    given, looks = given_on(marks, 0, IMAGE), []
    for narrow in (False, True):
        decode = Recorder(0.5)
        decoding = MaskDecoding(marks.layout(), SPEC, decode, narrow=narrow)
        decoding.read(frame_with(given), FEATURES, given.label_map, given)
        read(decoding, given.label_map)
        looks.append(len(decode.shown))
    assert looks == [2, 1]
