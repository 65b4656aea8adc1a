"""Boxes: exact where nothing changes, following place and size, deaf to stray cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from patch_encoders import image_of, present, run_marks, wave_frame

from chromatrack.ops.coords import Box, FeatureSpec, box_edges, cell_count
from chromatrack.propagation.box_labels import (
    BoxTrack,
    BoxTracks,
    box_to_label,
    in_shape,
    outline,
)
from chromatrack.structures import BoxMark
from chromatrack.tracking.marks import Marks

SPECS = [FeatureSpec(4, 8, 3.5), FeatureSpec(4, 4, 1.5), FeatureSpec(4, 8, 0.0)]
each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.stride}+{s.offset}")
CELL = FeatureSpec(4, 8, 3.5)
FRAME = (160, 240)
FLAT = torch.full((3, *FRAME), 0.5)


def label_of(box: Box, spec: FeatureSpec = CELL) -> torch.Tensor:
    return box_to_label(box, size=cell_count(FRAME, stride=spec.stride), spec=spec)


def edges_of(label: torch.Tensor, spec: FeatureSpec = CELL) -> Box:
    return outline(label, FLAT, spec=spec)


def followed(track: BoxTrack, label: torch.Tensor, times: int = 12) -> Box:
    *_, found = (track.read(edges_of(label)) for _ in range(times))
    return found


def box_iou(a: Box, b: Box) -> float:
    p, q = box_edges(a), box_edges(b)
    width = min(p[2], q[2]) - max(p[0], q[0])
    height = min(p[3], q[3]) - max(p[1], q[1])
    common = max(0.0, width) * max(0.0, height)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


central = st.tuples(st.floats(72, 88), st.floats(56, 72), st.floats(24, 60), st.floats(24, 32))
wide = st.tuples(st.floats(10, 120), st.floats(10, 70), st.floats(24, 90), st.floats(24, 70))
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
@given(wide)  # smaller ones are rounded by what surrounds them
def test_the_outline_of_a_box_is_its_edges_but_for_a_cell(spec, box):
    found = edges_of(label_of(box, spec), spec)
    np.testing.assert_allclose(found, box_edges(box), atol=8)


def test_an_outline_follows_the_edges_of_the_image():
    image = FLAT.clone()
    image[:, 53:101, 71:133] = torch.tensor([0.9, 0.2, 0.1])[:, None, None]
    label = label_of((71.0, 53.0, 62.0, 48.0))
    found = outline(label, image, spec=CELL)
    np.testing.assert_allclose(found, (70.5, 52.5, 132.5, 100.5), atol=2)


def test_a_faint_label_has_the_outline_of_a_strong_one():
    label = label_of((72.0, 48.0, 64.0, 48.0))
    assert edges_of(label * 0.3) == edges_of(label)


@each_spec
@given(inner)
def test_a_box_is_read_back_exactly_where_nothing_changes(spec, box):
    found = edges_of(label_of(box, spec), spec)
    track = BoxTrack.start(box, found)
    for _ in range(5):
        np.testing.assert_allclose(track.read(found), box, atol=1e-3)
    assert track.moved == pytest.approx((0, 0), abs=1e-3)


def test_a_box_that_is_not_its_region_keeps_lying_over_it_the_same_way():
    # the object fills only a part of what the user drew: a lop-sided frame around it stays so
    drawn = (50.0, 40.0, 70.0, 44.0)
    track = BoxTrack.start(drawn, edges_of(label_of((60, 48, 40, 32))))
    moved = edges_of(label_of((84, 64, 40, 32)))
    np.testing.assert_allclose(track.read(moved), (74, 56, 70, 44), atol=1e-2)
    assert track.moved == pytest.approx((24, 16))


@given(central, st.integers(-3, 6), st.integers(-2, 2))
def test_a_box_follows_its_region_at_once(box, right, down):
    track = BoxTrack.start(box, edges_of(label_of(box)))
    moved = (box[0] + 8 * right, box[1] + 8 * down, box[2], box[3])
    np.testing.assert_allclose(track.read(edges_of(label_of(moved))), moved, atol=1e-2)


@pytest.mark.parametrize("scale", [0.6, 0.8, 1.3, 1.6])
def test_a_box_grows_and_shrinks_with_its_region(scale):
    box = (80.0, 48.0, 72.0, 56.0)
    track = BoxTrack.start(box, edges_of(label_of(box)))
    size = (72 * scale, 56 * scale)
    target = (116 - size[0] / 2, 76 - size[1] / 2, *size)
    first = track.read(edges_of(label_of(target)))
    found = followed(track, label_of(target))
    assert box_iou(first, target) < box_iou(found, target)
    np.testing.assert_allclose(found, target, atol=CELL.stride / 2)


def test_width_and_height_change_apart():
    box = (80.0, 48.0, 64.0, 48.0)
    track = BoxTrack.start(box, edges_of(label_of(box)))
    found = followed(track, label_of((64.0, 48.0, 96.0, 48.0)))
    np.testing.assert_allclose(found, (64, 48, 96, 48), atol=3)


@pytest.mark.parametrize("stray", [(1, 1), (18, 28), (1, 28), (18, 1)])
def test_stray_cells_far_away_hardly_move_a_box(stray):
    box = (96.0, 56.0, 56.0, 48.0)
    label = label_of(box)
    track = BoxTrack.start(box, edges_of(label))
    label[stray] = 1.0
    np.testing.assert_allclose(followed(track, label), box, atol=1)
    tracks = drawn(box)
    kept = tracks.kept_near(1, label)
    assert float(kept[stray]) < 0.01
    found = tracks.read(1, kept, FLAT)
    assert found is not None
    np.testing.assert_allclose(found, box, atol=1)


def drawn(box: Box) -> BoxTracks:
    tracks = BoxTracks(CELL)
    tracks.draw(1, box, label_of(box), FLAT)
    return tracks


BODY: Box = (80.0, 48.0, 48.0, 64.0)


def test_a_look_alike_beside_a_box_is_left_out():
    passer = label_of((152.0, 48.0, 40.0, 64.0))
    kept = drawn(BODY).kept_near(1, label_of(BODY) + passer)
    assert not kept[:, 20:].any() and float(kept[:, 19].max()) < 0.2
    np.testing.assert_allclose(kept[6:14, 10:16], 1, atol=0.01)


def test_what_moves_at_once_is_followed():
    jump = label_of((176.0, 48.0, 48.0, 64.0))
    kept = drawn(BODY).kept_near(1, jump)
    np.testing.assert_allclose(kept, jump, atol=0.01)


def test_a_box_is_expected_where_its_motion_leads():
    tracks = drawn(BODY)
    tracks.read(1, label_of((112.0, 48.0, 48.0, 64.0)), FLAT)
    near = tracks.tracks[1].near((20, 30), spec=CELL)
    assert near[10, 18:24].tolist() == [1] * 6  # 144 to 192 px
    assert float(near[10, 10]) == float(near[10, 14 + 16 - 1]) == 0  # where it was, and beyond
    assert 0 < float(near[10, 14]) < float(near[10, 16])


def test_doubtful_cells_are_settled_so_that_the_area_is_kept():
    tracks, worn = drawn(BODY), label_of(BODY)
    worn[6:14, [10, 15]] = 0.35  # its sides wear off
    kept = tracks.kept_near(1, worn)
    assert float(worn.sum()) < float(kept.sum()) <= 48.5
    assert float(kept[8, 10]) == pytest.approx(0.594, abs=0.01)  # by 1 in log odds, not more
    spread = label_of(BODY)
    spread[6:14, [9, 16]] = 0.45
    kept = drawn(BODY).kept_near(1, spread)
    assert float(kept[8, 9]) == pytest.approx(0.231, abs=0.01)
    assert float(kept[8, 12]) > 0.99  # what is sure stays


def test_a_label_that_grows_surely_changes_the_area_over_some_frames():
    tracks, large = drawn(BODY), label_of((72.0, 40.0, 64.0, 80.0))
    areas = []
    for _ in range(40):
        kept = tracks.kept_near(1, large)
        areas.append(tracks.tracks[1].area)
        tracks.read(1, kept, FLAT)
    assert areas == sorted(areas) and 50 < areas[0] < 70
    assert areas[-1] == pytest.approx(80, rel=0.03)


def test_labels_of_boxes_never_drawn_and_empty_ones_stay_as_they_are():
    label = label_of(BODY)
    assert torch.equal(BoxTracks(CELL).kept_near(1, label), label)
    assert not drawn(BODY).kept_near(1, torch.zeros(20, 30)).any()


def test_tracks_are_empty_until_a_box_is_drawn_and_keep_the_last_one():
    tracks = BoxTracks(CELL)
    box, nothing = (40.0, 40.0, 50.0, 40.0), torch.zeros(20, 30)
    assert tracks.read(3, label_of(box), FLAT) is None
    tracks.draw(3, box, label_of(box), FLAT)
    assert tracks.read(3, nothing, FLAT) == box
    assert tracks.read(4, label_of(box), FLAT) is None
    found = tracks.read(3, label_of((48.0, 40.0, 50.0, 40.0)), FLAT)
    assert found is not None
    np.testing.assert_allclose(found, (48, 40, 50, 40), atol=1e-2)
    assert tracks.read(3, nothing, FLAT) == found


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
        assert box_iou(box, found[0]) > 0.9


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
