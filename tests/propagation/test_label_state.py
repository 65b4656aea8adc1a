"""All labels in one label map: who has which channel, and what is read of a frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from patch_encoders import (
    SIZE,
    SMOOTH_SPEC,
    blank_frame,
    given_on,
    image_of,
    present,
    run_marks,
    smooth_patches,
    square,
    wave_frame,
)

from chromatrack.propagation.label_state import LabelState
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.propagate import Input, PropagateConfig
from chromatrack.structures import BoxMark, KeypointMark, LabelName, LostMark, PointMark
from chromatrack.tracking.marks import Marks

numbers = st.lists(st.integers(1, 999), unique=True, max_size=5).map(lambda ids: tuple(sorted(ids)))
names: st.SearchStrategy[tuple[LabelName, ...]] = numbers.map(
    lambda ids: tuple(("point", i, 0) for i in ids)
)


@given(numbers, numbers, names)
def test_channels_are_background_regions_boxes_points_without_gaps(regions, boxes, points):
    layout = Layout(regions, boxes, points)
    channels = [0, *layout.region_channels, *layout.box_channels]
    channels += range(layout.first_point, len(layout))
    assert channels == list(range(len(layout)))
    assert len(layout) == 1 + len(regions) + len(boxes) + len(points)
    assert layout.free == len(boxes) + len(points)
    assert len(layout) - layout.free == layout.region_channels.stop


def film(count: int, step: tuple[float, float] = (2.0, 1.0)) -> list[torch.Tensor]:
    return [image_of(wave_frame((step[0] * i, step[1] * i), seed=2)) for i in range(count)]


MIXED = Marks(
    masks={0: square(24, value=7)},
    points=[PointMark(3, 0, 40.5, 50.25)],
    boxes=[BoxMark(5, 0, 70.0, 20.0, 32.0, 40.0)],
    keypoints=[
        KeypointMark(
            1, 0, np.array([[30.0, 40.0], [90.0, 60.0], [np.nan, np.nan]]), np.zeros(3, dtype=bool)
        )
    ],
)


def test_all_kinds_are_carried_together():
    for index, (step, readings) in enumerate(run_marks(film(6), MIXED)):
        label_map = step.label_map
        assert label_map is not None and label_map.shape == (6, 24, 32)  # the third joint has none
        torch.testing.assert_close(label_map[:2].sum(0), torch.ones(24, 32))
        truth = given_on(
            Marks(masks={0: square(24 + 2 * index, top=32 + index)}), 0, torch.zeros(3, *SIZE)
        )
        a, b = label_map[1] > 0.5, truth.label_map[1] > 0.5
        assert float((a & b).sum() / (a | b).sum()) > 0.75
        assert readings.seen is not None
        xy = readings.seen.xy.numpy() * SMOOTH_SPEC.stride + SMOOTH_SPEC.offset
        moved = np.array([2.0, 1.0]) * index
        np.testing.assert_allclose(xy[0], moved + np.array([40.5, 50.25]), atol=0.1)
        np.testing.assert_allclose(xy[1:3], moved + np.array([[30, 40], [90, 60]]), atol=0.1)
        assert readings.seen.visible.tolist() == [True, True, True]  # of what was ever marked
        np.testing.assert_allclose(readings.boxes[2][:2], moved + np.array([70, 20]), atol=6)
        assert set(readings.confidence) == {1, 2}
        assert all(present(label_map, readings).values()) and not readings.cut


def test_other_kinds_do_not_change_a_region():
    alone = Marks(masks=MIXED.masks)
    for (a, _), (b, _) in zip(run_marks(film(4), MIXED), run_marks(film(4), alone), strict=True):
        assert a.label_map is not None and b.label_map is not None
        torch.testing.assert_close(a.label_map[:2], b.label_map[:2], atol=1e-4, rtol=0)


def test_on_a_marked_frame_everything_is_as_the_user_said():
    images = film(4)
    marks = Marks(
        masks={0: square(24, value=7), 3: square(80, value=7)},
        points=[PointMark(3, 0, 40.5, 50.25), PointMark(3, 3, 20.0, 20.0)],
        boxes=[BoxMark(5, 0, 70.0, 20.0, 32.0, 40.0), BoxMark(5, 3, 10.5, 12.0, 50.0, 24.25)],
    )
    step, readings = list(run_marks(images, marks))[3]
    given_map = given_on(marks, 3, images[3]).label_map
    assert step.label_map is not None
    torch.testing.assert_close(step.label_map[1], given_map[1])
    assert readings.boxes == {2: (10.5, 12, 50, 24.25)}
    assert readings.seen is not None
    np.testing.assert_allclose(readings.seen.xy[0] * 4 + 1.5, [20, 20], atol=1e-4)
    assert readings.confidence == {1: 1, 2: 1}


@pytest.mark.parametrize("redetect", [False, True])
def test_what_is_declared_lost_is_not_there(redetect):
    marks = Marks(
        masks={0: square(24, value=7)},
        points=[PointMark(3, 0, 40.5, 50.25), PointMark(3, 2, None, None)],
        boxes=[BoxMark(5, 0, 70.0, 20.0, 32.0, 40.0), BoxMark(5, 2, None, None, None, None)],
        lost=[LostMark(7, 2)],
    )
    step, readings = list(run_marks(film(3), marks, redetect=redetect))[2]
    assert step.label_map is not None and not step.label_map[1:3].any()
    assert present(step.label_map, readings) == {1: False, 2: False}
    assert readings.confidence == {1: 0, 2: 0}
    assert readings.seen is not None and not readings.seen.visible[0]


def test_without_recall_confidence_is_how_strong_a_label_is():
    for step, readings in run_marks(film(4), MIXED, redetect=False):
        assert step.label_map is not None
        for channel in (1, 2):
            expected = float(step.label_map[channel].max())
            assert readings.confidence[channel] == pytest.approx(expected)


def test_an_object_that_comes_later_is_absent_before():
    marks = Marks(masks={0: square(24, value=7), 2: square(80, value=9)})
    found = [present(step.label_map, r) for step, r in run_marks(film(4), marks)]
    assert found == [{1: True, 2: False}] * 2 + [{1: True, 2: True}] * 2


def test_a_box_holds_the_object_in_it_and_not_the_corners():
    frame = wave_frame(seed=3) * [0.3, 0.9, 0.6]
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    disc = np.hypot(x - 60, y - 50) < 18
    frame[disc] = (wave_frame(seed=4) * [0.4, 0.7, 0.7] + [0.6, 0.0, 0.0])[disc]
    image = image_of(frame.astype(np.float32))
    marks = Marks(boxes=[BoxMark(1, 0, 38.0, 28.0, 45.0, 45.0)])
    labels = LabelState(marks.layout(), SMOOTH_SPEC, PropagateConfig())
    features = smooth_patches(image[None])[0]
    given_frame = given_on(marks, 0, image)
    found = labels.prepare(given_frame, features, image)
    assert float(found.label_map[1, 12, 14]) > 0.9  # its middle
    assert float(found.label_map[1, 8, 10]) < 0.3  # a corner of the box
    assert float(given_frame.label_map[1, 8, 10]) == 1  # what was given is not changed
    assert found.boxes == given_frame.boxes and torch.equal(found.painted, given_frame.painted)


def test_points_are_not_copied_across_a_cut():
    other = image_of((wave_frame(seed=12) * [1.0, 0.9, 0.2]).astype(np.float32))
    images = [*film(3), other, other]
    found = [r for _, r in run_marks(images, Marks(points=[PointMark(3, 0, 40.5, 50.25)]))]
    assert [readings.cut for readings in found] == [False, False, False, True, False]
    for readings in found[3:]:
        assert readings.seen is not None and not readings.seen.visible[0]


def test_what_is_remembered_leaves_out_what_is_not_seen():
    marks = Marks(masks={0: square(24, value=7)}, lost=[LostMark(7, 1)])
    layout, images = marks.layout(), film(2)
    labels = LabelState(layout, SMOOTH_SPEC, PropagateConfig())
    known = []
    copied = None
    for index in (0, 1):
        frame = Input(index, images[index], given_on(marks, index, images[0]), blank_frame(index))
        settled = labels.settle(frame, smooth_patches(images[index][None])[0], copied)
        copied = settled.label_map
        assert settled.known is not None
        known.append(settled.known.tolist())
    assert known == [[True, True], [True, False]]
