"""Boxes: exact where nothing changes, following place and size, deaf to stray cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from patch_encoders import image_of, present, run_marks, wave_frame

from chromatrack.ops.coords import Box, FeatureSpec, box_edges, cell_count
from chromatrack.propagation.box_labels import (
    BoxTrack,
    BoxTracks,
    box_to_label,
    centred,
    extent,
    foreground,
    in_shape,
)
from chromatrack.structures import BoxMark
from chromatrack.tracking.marks import Marks

SPECS = [FeatureSpec(4, 8, 3.5), FeatureSpec(4, 4, 1.5), FeatureSpec(4, 8, 0.0)]
each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.stride}+{s.offset}")
CELL = FeatureSpec(4, 8, 3.5)
FRAME = (160, 240)


def label_of(box: Box, spec: FeatureSpec = CELL) -> torch.Tensor:
    return box_to_label(box, size=cell_count(FRAME, stride=spec.stride), spec=spec)


def box_iou(a: Box, b: Box) -> float:
    p, q = box_edges(a), box_edges(b)
    width = min(p[2], q[2]) - max(p[0], q[0])
    height = min(p[3], q[3]) - max(p[1], q[1])
    common = max(0.0, width) * max(0.0, height)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


inner = st.tuples(st.floats(10, 120), st.floats(10, 70), st.floats(9, 90), st.floats(9, 70))


@each_spec
@given(inner)
def test_the_label_of_a_box_holds_its_area(spec, box):
    label = label_of(box, spec)
    assert label.dtype == torch.float32 and float(label.min()) >= 0 and float(label.max()) <= 1
    np.testing.assert_allclose(float(label.sum()) * spec.stride**2, box[2] * box[3], rtol=1e-4)


def test_cells_are_covered_by_the_share_of_their_pixels():
    label = label_of((8, 16, 12, 8))
    assert label[2, 1:3].tolist() == [1, 0.5]
    assert float(label.sum()) == 1.5


def test_of_a_box_across_the_frames_edge_only_the_inside_counts():
    assert float(label_of((-20, -8, 28, 16)).sum()) == 1
    assert torch.equal(label_of((0, 0, 240, 160)), torch.ones(20, 30))


@each_spec
@given(inner)
def test_the_extent_of_a_box_lies_around_its_middle(spec, box):
    left, top, right, bottom = extent(label_of(box, spec), spec=spec)
    edges = box_edges(box)
    near = pytest.approx
    assert (left + right) / 2 == near((edges[0] + edges[2]) / 2, abs=spec.stride / 2)
    assert (top + bottom) / 2 == near((edges[1] + edges[3]) / 2, abs=spec.stride / 2)
    assert edges[0] - spec.stride <= left < right <= edges[2] + spec.stride


@each_spec
@given(inner)
def test_a_box_is_read_back_exactly_where_nothing_changes(spec, box):
    label = label_of(box, spec)
    track = BoxTrack.start(box, label, spec=spec)
    for _ in range(5):
        np.testing.assert_allclose(track.read(label, spec=spec), box, atol=1e-3)


def test_a_box_that_is_not_its_region_keeps_lying_over_it_the_same_way():
    # the object fills only a part of what the user drew: a lop-sided frame around it stays so
    region = label_of((60, 48, 40, 32))
    drawn = (50.0, 40.0, 70.0, 44.0)
    track = BoxTrack.start(drawn, region, spec=CELL)
    moved = label_of((84, 64, 40, 32))
    np.testing.assert_allclose(track.read(moved, spec=CELL), (74, 56, 70, 44), atol=1e-2)


@given(inner, st.integers(-3, 6), st.integers(-2, 5))
def test_a_box_follows_its_region_at_once(box, right, down):
    assume(box[0] + 8 * right > 8 and box[1] + 8 * down > 8)
    assume(box[0] + box[2] + 8 * right < 232 and box[1] + box[3] + 8 * down < 152)
    track = BoxTrack.start(box, label_of(box), spec=CELL)
    moved = (box[0] + 8 * right, box[1] + 8 * down, box[2], box[3])
    np.testing.assert_allclose(track.read(label_of(moved), spec=CELL), moved, atol=1e-2)


@pytest.mark.parametrize("scale", [0.6, 0.8, 1.3, 1.6])
def test_a_box_grows_and_shrinks_with_its_region(scale):
    box = (80.0, 48.0, 72.0, 56.0)
    track = BoxTrack.start(box, label_of(box), spec=CELL)
    middle = (80 + 36, 48 + 28)
    size = (72 * scale, 56 * scale)
    target = (middle[0] - size[0] / 2, middle[1] - size[1] / 2, *size)
    found = [track.read(label_of(target), spec=CELL) for _ in range(12)]
    scores = [box_iou(one, target) for one in found]
    assert scores[0] < min(scores[3:])
    assert min(scores[3:]) > 0.88  # weak cells at a shrunken region's edge do not count
    np.testing.assert_allclose(found[-1], target, atol=CELL.stride / 2)


def test_width_and_height_change_apart():
    box = (80.0, 48.0, 64.0, 48.0)
    track = BoxTrack.start(box, label_of(box), spec=CELL)
    wide = (64.0, 48.0, 96.0, 48.0)
    *_, found = (track.read(label_of(wide), spec=CELL) for _ in range(12))
    np.testing.assert_allclose(found, wide, atol=1)


@pytest.mark.parametrize("stray", [(1, 1), (18, 28), (1, 28), (18, 1)])
def test_stray_cells_far_away_hardly_move_a_box(stray):
    box = (96.0, 56.0, 56.0, 48.0)
    label = label_of(box)
    track = BoxTrack.start(box, label, spec=CELL)
    label[stray] = 0.03 * float(label.sum())  # 3 % of the mass
    *_, found = (track.read(label, spec=CELL) for _ in range(6))
    assert box_iou(found, box) > 0.85
    np.testing.assert_allclose(found, box, atol=CELL.stride / 2)


def test_tracks_are_empty_until_a_box_is_drawn_and_keep_the_last_one():
    tracks = BoxTracks(CELL)
    box, nothing = (40.0, 40.0, 50.0, 40.0), torch.zeros(20, 30)
    assert tracks.read(3, label_of(box)) is None
    tracks.draw(3, box, label_of(box))
    assert tracks.read(3, nothing) == box
    assert tracks.read(4, label_of(box)) is None
    found = tracks.read(3, label_of((48.0, 40.0, 50.0, 40.0)))
    assert found is not None
    np.testing.assert_allclose(found, (48, 40, 50, 40), atol=1e-2)
    assert tracks.read(3, nothing) == found


def scene_features(box: Box) -> torch.Tensor:
    """Two kinds of cells: the ground's, and a disc's in the middle of a box, `(4, 20, 30)`."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    left, top, right, bottom = box_edges(box)
    cx, cy = ((left + right) / 2 - 3.5) / 8, ((top + bottom) / 2 - 3.5) / 8
    disc = ((x - cx) / (right - left)) ** 2 + ((y - cy) / (bottom - top)) ** 2 < 0.42**2 / 64
    base = torch.where(disc, 0.0, 1.0)
    features = torch.stack([base, 1 - base, torch.zeros(20, 30), torch.zeros(20, 30)])
    noise = 0.1 * torch.randn(4, 20, 30, generator=generator)
    return torch.nn.functional.normalize(features + noise, dim=0)


def test_the_object_in_a_box_is_what_its_surroundings_do_not_hold():
    box = (64.0, 40.0, 96.0, 80.0)
    features, covered = scene_features(box), label_of(box)
    found = foreground(features, covered)
    disc = features[1] > 0.5
    assert disc.any() and not disc.all()
    assert float(found[disc].mean()) > 0.9
    assert float(found[~disc].mean()) < 0.05
    assert not found[covered == 0].any()
    assert float(found.min()) >= 0 and float(found.max()) <= 1


def test_where_nothing_stands_out_the_whole_box_is_the_object():
    flat = torch.nn.functional.normalize(torch.ones(4, 20, 30), dim=0)
    covered = label_of((64.0, 40.0, 96.0, 80.0))
    assert torch.equal(foreground(flat, covered), covered)


@pytest.mark.parametrize("box", [(0.0, 0.0, 240.0, 160.0), (100.0, 60.0, 2.0, 2.0)])
def test_a_box_without_surroundings_or_without_a_core_is_taken_whole(box):
    covered = label_of(box)
    assert torch.equal(foreground(scene_features((64, 40, 96, 80)), covered), covered)


def test_the_middle_of_a_box_counts_most():
    weight = centred(label_of((64.0, 40.0, 96.0, 80.0)))
    assert float(weight[9, 13]) == 1
    assert float(weight[9, 8]) < 0.5 and float(weight[5, 13]) < 0.5
    assert not weight[0].any()


def over(ground: np.ndarray, skin: np.ndarray, left: int, top: int) -> torch.Tensor:
    """A textured square on another texture."""
    frame = ground.copy()
    frame[top : top + 40, left : left + 40] = skin[:40, :40]
    return image_of(frame)


def film(places: list[tuple[int, int]]) -> list[torch.Tensor]:
    ground = wave_frame(seed=3) * [0.3, 0.9, 0.6]
    skin = wave_frame(seed=4) * [0.4, 0.7, 0.7] + [0.6, 0.0, 0.0]
    return [over(ground.astype(np.float32), skin.astype(np.float32), x, y) for x, y in places]


def test_a_box_follows_an_object_through_frames():
    places = [(16 + 5 * i, 20 + 2 * i) for i in range(9)]
    marks = Marks(boxes=[BoxMark(5, 0, 16.0, 20.0, 40.0, 40.0)])
    scores = []
    for (step, readings), (x, y) in zip(run_marks(film(places), marks), places, strict=True):
        scores.append(box_iou(readings.boxes[1], (x, y, 40, 40)))
        assert present(step.label_map, readings)[1] and readings.confidence[1] > 0.5
    assert min(scores) > 0.7 and np.mean(scores) > 0.8


def test_in_a_still_clip_a_box_hardly_moves():
    marks = Marks(boxes=[BoxMark(5, 0, 30.5, 24.0, 44.0, 36.5)])
    found = [readings.boxes[1] for _, readings in run_marks(film([(32, 22)] * 5), marks)]
    assert found[0] == (30.5, 24.0, 44.0, 36.5)
    for box in found:
        assert box_iou(box, found[0]) > 0.93


def test_a_second_box_is_taken_as_drawn_and_followed_from_there():
    places = [(16 + 5 * i, 30) for i in range(7)]
    marks = Marks(
        boxes=[BoxMark(5, 0, 16.0, 30.0, 40.0, 40.0), BoxMark(5, 4, 34.0, 28.0, 44.0, 44.0)]
    )
    found = [readings.boxes[1] for _, readings in run_marks(film(places), marks)]
    assert found[4] == (34, 28, 44, 44)
    assert box_iou(found[6], (44, 28, 44, 44)) > 0.8


def test_boxes_may_overlap_without_taking_each_others_cells():
    places = [(40 + 2 * i, 28) for i in range(5)]
    one = BoxMark(1, 0, 40.0, 28.0, 40.0, 40.0)
    two = BoxMark(2, 0, 40.0, 28.0, 40.0, 40.0)
    images = film(places)
    both = [r.boxes for _, r in run_marks(images, Marks(boxes=[one, two]))]
    alone = [r.boxes for _, r in run_marks(images, Marks(boxes=[one]))]
    for pair, single in zip(both, alone, strict=True):
        np.testing.assert_allclose(pair[1], single[1], atol=1e-3)
        np.testing.assert_allclose(pair[2], single[1], atol=1e-3)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(20, 40, (20, 40)), (60, 40, (32, 40)), (10, 80, (10, 32)), (25, 40, (25, 40))],
)
def test_a_box_keeps_its_shape_roughly(width, height, expected):
    assert in_shape(width, height, (0.0, 0.0, 10.0, 20.0)) == pytest.approx(expected)
