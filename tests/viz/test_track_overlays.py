from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.structures import Skeleton, TrackedBox, TrackedKeypoints, TrackedPoint
from chromatrack.viz.overlays import object_colors
from chromatrack.viz.track_overlays import (
    Label,
    Trails,
    bright_color,
    label_text,
    overlay_boxes,
    overlay_labels,
    overlay_points,
    overlay_skeleton,
    short_text,
    skeleton_color,
)

LEG = Skeleton(("hip", "knee", "foot"), ((0, 1), (1, 2)))
ANYWHERE = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-50, 50)


def grey(height: int = 40, width: int = 50) -> np.ndarray:
    return np.full((height, width, 3), 128, dtype=np.uint8)


def point(x: float, y: float, visible: bool = True) -> TrackedPoint:
    return TrackedPoint(x, y, visible, 1.0)


def box(x: float, y: float, width: float, height: float, visible: bool = True) -> TrackedBox:
    return TrackedBox(x, y, width, height, visible, 1.0)


def leg(*joints: tuple[float, float], visible: tuple[bool, ...] = (True,) * 3) -> TrackedKeypoints:
    return TrackedKeypoints(np.array(joints, dtype=float), np.array(visible), np.ones(3))


def change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(H, W) how much a pixel changed, summed over channels."""
    return np.abs(after.astype(int) - before).sum(axis=-1)


def test_a_dot_has_its_ids_color_and_lies_where_the_point_is():
    for x, y in [(20.0, 15.0), (20.25, 15.75), (20.5, 14.5)]:
        rgb = grey()
        result = overlay_points(rgb, {2: point(x, y)})
        assert (rgb == 128).all()
        assert tuple(result[round(y), round(x)]) == bright_color(2) == (0, 255, 0)
        weight = change(rgb, result)
        rows, columns = np.indices(weight.shape)
        assert abs((weight * columns).sum() / weight.sum() - x) < 0.08
        assert abs((weight * rows).sum() / weight.sum() - y) < 0.08
        assert (weight > 0).sum() < 100


def test_dots_are_anti_aliased():
    green = overlay_points(grey(), {2: point(20.3, 15.6)})[..., 1]
    assert len(np.unique(green)) > 8


def test_a_hidden_point_is_hollow():
    result = overlay_points(grey(), {2: point(20, 15, visible=False)})
    assert tuple(result[15, 20]) == (128, 128, 128)
    ring = result[15, 23]
    assert ring[1] > ring[0] and ring[1] > ring[2]


def test_a_visible_point_lies_over_a_hidden_one():
    points = {1: point(20, 15), 2: point(20, 15, visible=False)}
    assert tuple(overlay_points(grey(), points)[15, 20]) == bright_color(1)


def test_a_trail_fades_with_age():
    trail = {2: [(float(x), 20.0) for x in range(5, 46, 4)]}
    green = overlay_points(grey(), {}, trails=trail)[20, :, 1].astype(int)
    samples = [green[x] for x in (8, 17, 25, 33, 42)]
    assert samples == sorted(samples) and samples[0] > 128 and samples[-1] > 220
    assert len(set(samples)) == 5
    assert (change(grey(), overlay_points(grey(), {}, trails={2: [(5.0, 5.0)]})) == 0).all()


def test_larger_frames_get_larger_dots():
    drawn = [
        (change(grey(side, side), overlay_points(grey(side, side), {1: point(50, 50)})) > 0).sum()
        for side in (100, 480, 960)
    ]
    assert drawn[0] == drawn[1] and 3 < drawn[2] / drawn[1] < 5


def test_trails_keep_the_latest_and_end_where_hidden():
    trails = Trails(3)
    for x in range(5):
        trails.add({1: point(x, 0), 2: point(x, 1, visible=x != 3), 3: point(math.nan, 0)})
    assert trails.positions == {1: [(2, 0), (3, 0), (4, 0)], 2: [(4, 1)]}
    trails.add({2: point(5, 1)})
    assert trails.positions == {2: [(4, 1), (5, 1)]}
    trails.clear()
    assert trails.positions == {}
    with pytest.raises(InputError, match="got length 0"):
        Trails(0)


def test_a_box_runs_along_its_outermost_pixels():
    result = overlay_boxes(grey(), {2: box(10, 20, 15, 12)})
    for y, x in [(31, 17), (25, 10), (25, 24), (31, 12)]:
        assert tuple(result[y, x]) == (0, 255, 0), (y, x)
    inside, outside = result[23:29, 13:22], result[25:30, 28:]
    assert (inside == 128).all() and (outside == 128).all()


def test_a_hidden_box_is_dashed_and_pale():
    clear = overlay_boxes(grey(60, 90), {2: box(10, 20, 70, 30)})[49, 20:70, 1]
    hidden = overlay_boxes(grey(60, 90), {2: box(10, 20, 70, 30, visible=False)})[49, 20:70, 1]
    assert (clear == 255).all()
    assert (hidden <= 128).sum() > 12 and (hidden > 180).sum() > 12 and hidden.max() < 255
    assert (np.diff((hidden > 150).astype(int)) != 0).sum() >= 6


def test_a_doubtful_box_and_skeleton_are_dashed_and_not_pale():
    boxes = {1: box(4, 20, 120, 70)}
    whole = overlay_boxes(grey(100, 140), boxes)
    dashed = overlay_boxes(grey(100, 140), boxes, doubtful=[1])
    np.testing.assert_array_equal(whole, overlay_boxes(grey(100, 140), boxes, doubtful=[2]))
    side = np.s_[40:80, 4]
    assert (dashed[side] == whole[side]).all(axis=-1).any() and (dashed[side] == 128).all(-1).any()
    assert (whole[:20] != dashed[:20]).any(), "its label has a ?"
    poses = {1: leg((5, 5), (60, 60), (130, 60))}
    whole = overlay_skeleton(grey(100, 140), poses, LEG)
    dashed = overlay_skeleton(grey(100, 140), poses, LEG, doubtful=[1])
    between = np.s_[60, 66:124]
    assert (dashed[between] == whole[between]).all(axis=-1).any()
    assert (dashed[between] == 128).all(axis=-1).any()


def test_a_box_is_labelled_with_its_id():
    one = overlay_boxes(grey(80, 80), {1: box(20, 30, 30, 30)})
    other = overlay_boxes(grey(80, 80), {257: box(20, 30, 30, 30)})
    label = one[15:29, 18:60]
    assert (change(grey(80, 80), one)[15:29, 18:60] > 0).sum() > 30
    assert tuple(label[8, 3]) == bright_color(1)
    assert (other[15:29, 18:60] != label).any()
    beyond = overlay_boxes(grey(80, 80), {1: box(90, 30, 30, 30)})
    assert (beyond == 128).all()


def test_a_skeleton_joins_its_joints():
    rgb = grey(60, 60)
    joints = ((10, 10), (40, 10), (40, 50))
    result = overlay_skeleton(rgb, {2: leg(*joints)}, LEG)
    for x, y in [*joints, (25, 10), (40, 30)]:
        assert result[y, x, 1] < 20 and result[y, x, 0] > 245 and result[y, x, 2] > 245
    assert (result[20:, :30] == 128).all()


def test_edges_to_hidden_joints_are_pale_and_to_unknown_ones_left_out():
    joints = ((10, 10), (40, 10), (40, 50))
    hidden = leg(*joints, visible=(True, True, False))
    result = overlay_skeleton(grey(60, 60), {2: hidden}, LEG)
    assert result[10, 25, 0] > 245 and 140 < result[30, 40, 0] < 200
    assert tuple(result[50, 40]) != skeleton_color(2)
    unknown = leg(*joints[:2], (math.nan, math.nan))
    assert (overlay_skeleton(grey(60, 60), {2: unknown}, LEG)[16:] == 128).all()


@settings(max_examples=60, deadline=None)
@given(x=ANYWHERE, y=ANYWHERE, side=ANYWHERE, visible=st.booleans())
def test_positions_anywhere_are_drawn_or_passed_over(x, y, side, visible):
    rgb = grey(20, 30)
    joints = leg((x, y), (side, y), (5, 5), visible=(visible, True, True))
    for result in (
        overlay_points(rgb, {1: point(x, y, visible)}),
        overlay_boxes(rgb, {1: box(x, y, abs(side), abs(side), visible)}),
        overlay_skeleton(rgb, {1: joints}, LEG),
    ):
        assert result.shape == rgb.shape and result.dtype == np.uint8
    trail = overlay_points(rgb, {}, trails={1: [(x, y), (5, 5)]})
    assert trail.shape == rgb.shape
    assert (rgb == 128).all()


def test_colors_are_the_masks_outlines():
    assert [bright_color(number) for number in (0, 1, 3, 4)] == [
        (255, 255, 255),
        (255, 0, 0),
        (255, 255, 0),
        (0, 0, 255),
    ]
    assert max(bright_color(10**9)) == 255


def test_what_is_no_frame_or_no_skeleton_is_refused():
    with pytest.raises(InputError, match="float64"):
        overlay_points(np.zeros((4, 4, 3)), {})
    with pytest.raises(InputError, match=r"\(4, 4\)"):
        overlay_boxes(np.zeros((4, 4), np.uint8), {})
    two = TrackedKeypoints(np.zeros((2, 2)), np.ones(2, bool), np.ones(2))
    with pytest.raises(InputError, match=r"keypoints 7: expected \(3, 2\)"):
        overlay_skeleton(grey(), {7: two}, LEG)


@pytest.mark.parametrize("number", [*range(1, 256), 256, 300, 4000])
def test_a_skeleton_is_not_lost_on_the_mask_of_its_id(number):
    """Neither on the outline's colour nor on the tint's."""
    skeleton = np.array(skeleton_color(number), dtype=int)
    for other in (bright_color(number), object_colors(np.array([number]))[0]):
        assert np.abs(skeleton - np.array(other, dtype=int)).max() > 100
    assert skeleton.max() == 255


def test_joints_are_named_where_they_are_seen():
    joints = leg((10, 10), (10, 30), (10, 50), visible=(True, False, True))
    plain = overlay_skeleton(grey(60, 90), {2: joints}, LEG)
    named = overlay_skeleton(grey(60, 90), {2: joints}, LEG, joint_names=True)
    apart = change(plain, named) > 0
    assert apart[4:17, 16:60].any() and apart[44:57, 16:60].any()
    assert not apart[20:40].any() and not apart[:, 60:].any()


def test_names_stand_above_their_corner_on_the_things_color():
    rgb = grey(60, 90)
    result = overlay_labels(rgb, [Label("1 cow", (20.0, 40.0), (255, 0, 0))])
    plate = (result == (255, 0, 0)).all(axis=-1)
    rows, columns = plate.nonzero()
    assert rows.max() == 39 and columns.min() == 20 and 10 < rows.min() < 30
    assert (rgb == 128).all()


@pytest.mark.parametrize(
    "corner", [(-50.0, -50.0), (0.0, 0.0), (1e9, 1e9), (89.0, 59.0), (math.nan, 3.0)]
)
@pytest.mark.parametrize(
    "text", ["1 cow", "1 a very long name that no frame holds", "", "牛 корова"]
)
def test_names_of_any_length_anywhere(corner, text):
    result = overlay_labels(grey(60, 90), [Label(text, corner, (255, 0, 0))])
    assert result.shape == (60, 90, 3)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("cow", "cow"), (" two\nlines\t", "two lines"), ("x" * 30, "x" * 23 + "…")],
)
def test_long_names_are_cut(text, shown):
    assert short_text(text) == shown


def test_a_box_has_its_name_behind_its_id():
    boxes = {2: box(10, 30, 40, 20)}
    plain, named = (
        overlay_boxes(grey(60, 90), boxes),
        overlay_boxes(grey(60, 90), boxes, names={2: "cow", 3: "dog"}),
    )
    widths = [(x == bright_color(2)).all(axis=-1)[20].sum() for x in (plain, named)]
    assert widths[1] > widths[0] + 10


@pytest.mark.parametrize(
    ("number", "names", "text"),
    [
        (3, {}, "3"),
        (3, {3: ""}, "3"),
        (3, {3: "cow"}, "cow"),
        (3, {1: "dog", 3: "cow"}, "cow"),
        (3, {1: "cow", 3: "cow"}, "3 cow"),
        (3, {1: " cow ", 3: "cow"}, "3 cow"),
        (3, {1: "object 3", 3: "object 3"}, "object 3"),
        (3, {1: "object 13", 3: "object 13"}, "3 object 13"),
        (3, {3: " 3 "}, "3"),
    ],
)
def test_a_label_says_what_tells_a_thing_from_others(number, names, text):
    assert label_text(number, names) == text


def test_labels_do_not_cover_each_other():
    rgb = np.full((120, 200, 3), 128, np.uint8)
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    corners = [(60.0, 40.0), (62.0, 38.0), (50.0, 43.0)]
    labels = [Label("muzzle", at, color) for at, color in zip(corners, colors, strict=True)]
    alone = [(overlay_labels(rgb, [one]) == one.color).all(-1).sum() for one in labels]
    taken = [(40, 0, 120, 12)]
    shown = overlay_labels(rgb, labels, taken=taken)
    assert [(shown == one.color).all(-1).sum() for one in labels] == alone
    assert len(taken) == 4 and not (shown[:12, 40:120] != 128).any()


def test_labels_that_find_no_room_are_written_all_the_same():
    rgb = np.full((14, 60, 3), 128, np.uint8)
    labels = [Label("a", (20.0, 5.0), (255, 0, 0)), Label("b", (20.0, 5.0), (0, 255, 0))]
    assert (overlay_labels(rgb, labels) == (0, 255, 0)).all(-1).any()
