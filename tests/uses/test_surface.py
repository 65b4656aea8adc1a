"""Surfaces: maps fitted to points come out exact, wrong points do not bend them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import still

from chromatrack.ops.coords import pixel_grid
from chromatrack.structures import TrackedPoint
from chromatrack.uses.surface import (
    SmoothMap,
    Surface,
    choose_points,
    enlarge,
    fit_affine,
    nearest,
    robust_affine,
    sample_picture,
    smooth_step,
    soften,
)

SIZE = (48, 64)


def grid(spacing: float = 8.0) -> np.ndarray:
    return pixel_grid((6, 8), stride=spacing, offset=3.0).reshape(-1, 2).double().numpy()


def turned(points: np.ndarray, *, angle: float, scale: float, shift: tuple[float, float]):
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    return (points - 30) @ np.array([[c, s], [-s, c]]) + 30 + np.array(shift)


def surface(points: np.ndarray, region: np.ndarray | None = None) -> Surface:
    region = np.ones(SIZE, dtype=bool) if region is None else region
    return Surface(0, region, points, 8.0)


def tracked(points: np.ndarray, hidden: frozenset[int] = frozenset()) -> dict[int, TrackedPoint]:
    return {
        5 + i: TrackedPoint(float(x), float(y), i not in hidden, 0.1 if i in hidden else 0.95)
        for i, (x, y) in enumerate(points)
    }


@settings(max_examples=25)
@given(
    angle=st.floats(-0.6, 0.6),
    scale=st.floats(0.7, 1.4),
    dx=st.floats(-20, 20),
    dy=st.floats(-20, 20),
)
def test_a_turned_and_scaled_surface_is_looked_up_exactly(angle, scale, dx, dy):
    then = grid()
    now = turned(then, angle=angle, scale=scale, shift=(dx, dy))
    view = surface(then).seen(tracked(now), 5, None)
    assert view is not None
    places = view.places.flatten(1).T.double().numpy()
    inside = ((places > 3) & (places < (59, 43))).all(1)
    pixels = pixel_grid(SIZE, stride=1, offset=0).reshape(-1, 2).numpy()
    back = turned(places[inside], angle=angle, scale=scale, shift=(dx, dy))
    assert np.abs(back - pixels[inside]).max(initial=0) < 0.25


def test_points_that_went_astray_do_not_bend_the_map():
    then = grid()
    now = then + np.array([4.0, -2.0])
    now[[10, 21, 30]] += [(15, 3), (-9, 12), (0, -14)]
    view = surface(then).seen(tracked(now), 5, None)
    assert view is not None
    pixels = pixel_grid(SIZE, stride=1, offset=0).permute(2, 0, 1)
    away = (view.places - pixels - torch.tensor([-4.0, 2.0])[:, None, None]).norm(dim=0)
    assert float(away.max()) < 0.1


def test_points_that_agree_with_their_neighbours_are_trusted_and_others_are_not():
    then = torch.from_numpy(grid()).float()
    shift = torch.full_like(then, 3.0)
    shift[17] = torch.tensor([12.0, -5.0])
    agreement = SmoothMap(then, shift, torch.ones(len(then)), 8.0).agreement()
    assert float(agreement[17]) < 0.01
    assert float(agreement[torch.arange(len(then)) != 17].min()) > 0.9


def test_a_surface_that_doubled_in_size_is_still_in_agreement():
    then = torch.from_numpy(grid()).float()
    assert float(SmoothMap(then, then * 1.2, torch.ones(len(then)), 8.0).agreement().min()) > 0.9


def test_two_motions_side_by_side_stay_apart():
    then = torch.from_numpy(grid()).float()
    left = then[:, 0] < 30
    shift = torch.where(left[:, None], torch.tensor([6.0, 0.0]), torch.tensor([-6.0, 0.0]))
    where = torch.tensor([[8.0, 20.0], [54.0, 20.0]])
    moved = SmoothMap(then, shift, torch.ones(len(then)), 8.0)(where) - where
    assert torch.allclose(moved, torch.tensor([[6.0, 0.0], [-6.0, 0.0]]), atol=0.3)


def test_a_place_whose_points_are_hidden_is_not_seen():
    then = grid()
    hidden = frozenset(i for i, (x, _) in enumerate(then) if x < 30)
    view = surface(then).seen(tracked(then + 1.0, hidden), 5, None)
    assert view is not None
    assert float(view.seen[:, :12].max()) < 0.05
    assert float(view.seen[:, 52:].min()) > 0.95


def test_what_was_covered_on_the_keyframe_is_not_seen():
    # The right half moves 16 px to the right over what is still: a gap opens behind it.
    then = pixel_grid((12, 16), stride=4, offset=2.0).reshape(-1, 2).double().numpy()
    now = then + np.where(then[:, :1] > 30, 1, 0) * (16.0, 0.0)
    points = Surface(0, np.ones(SIZE, dtype=bool), then, 4.0)
    view = points.seen(tracked(now), 5, None)
    assert view is not None
    assert float(view.seen[10:40, 8:22].min()) > 0.9
    assert float(view.seen[10:40, 36:40].max()) < 0.5


def test_too_few_visible_points_or_no_mask_show_nothing():
    then = grid()
    only_two = frozenset(range(2, len(then)))
    assert surface(then).seen(tracked(then, only_two), 5, None) is None
    region = np.zeros(SIZE, dtype=bool)
    region[10:30, 10:30] = True
    assert surface(then, region).seen(tracked(then), 5, np.zeros(SIZE, dtype=bool)) is None


def test_a_mask_limits_the_view_to_its_part():
    then, mask = grid(), np.zeros(SIZE, dtype=bool)
    mask[10:30, 20:40] = True
    view = surface(then, mask).seen(tracked(then), 5, mask)
    assert view is not None
    assert view.part == (slice(8, 32), slice(18, 42))
    assert float(view.seen[0].max()) == 0 and float(view.seen[12, 12]) == 1


def test_on_its_keyframe_every_pixel_shows_itself():
    view = surface(grid()).here()
    assert view.places[:, 7, 11].tolist() == [11, 7] and float(view.seen.min()) == 1


def test_marks_have_the_points_places_on_the_keyframe():
    points = np.array([[3.0, 4.0], [9.5, 2.0]])
    marks = surface(points).marks(7)
    assert [(m.id, m.frame, m.x, m.y) for m in marks] == [(7, 0, 3.0, 4.0), (8, 0, 9.5, 2.0)]


@given(st.integers(20, 120), st.integers(1, 40), st.integers(1, 60))
def test_chosen_points_lie_in_the_region(most, height, width):
    region = np.zeros(SIZE, dtype=bool)
    region[:height, :width] = True
    points, spacing = choose_points(region, still(SIZE), most=most)
    assert spacing >= 6 and len(points) >= 1
    assert region[points[:, 1].astype(int), points[:, 0].astype(int)].all()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 2)])
def test_points_are_chosen_in_pictures_of_one_row_or_column(size):
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    points, _ = choose_points(np.ones(size, dtype=bool), rgb, most=9)
    assert len(points) >= 1
    assert (points >= 0).all() and (points <= [size[1] - 1, size[0] - 1]).all()


def test_chosen_points_prefer_corners():
    rgb = np.full((*SIZE, 3), 90, dtype=np.uint8)
    rgb[13:, 21:] = 200
    region = np.zeros(SIZE, dtype=bool)
    region[6:22, 12:28] = True
    points, _ = choose_points(region, rgb, most=1)
    assert len(points) == 1 and np.abs(points[0] - (20.5, 12.5)).max() < 4


@given(st.lists(st.floats(-2, 2), min_size=6, max_size=6))
def test_an_affine_motion_is_fitted_exactly(numbers):
    source = torch.from_numpy(grid())[None]
    slope = torch.tensor(numbers[:4], dtype=torch.float64).reshape(2, 2)
    shift = source @ slope + torch.tensor(numbers[4:], dtype=torch.float64)
    at = torch.tensor([[20.0, 10.0]], dtype=torch.float64)
    weights = torch.ones(source.shape[:2], dtype=torch.float64)
    found = fit_affine(at, source, shift, weights, ridge=0.0)
    assert torch.allclose(found(source), shift, atol=1e-6)
    assert torch.allclose(found.slope[0], slope, atol=1e-6)


def test_without_any_weight_a_fit_is_zero():
    source = torch.from_numpy(grid())[None]
    found = fit_affine(source[0, :1], source, source, torch.zeros(source.shape[:2]), ridge=1.0)
    assert not found.value.any() and not found.slope.any()


def test_a_robust_fit_leaves_out_a_fifth_of_wrong_points():
    source = torch.from_numpy(grid())[None]
    shift = torch.full_like(source, 2.0)
    shift[:, ::5] += 25.0
    weights = torch.ones(source.shape[:2], dtype=torch.float64)
    at = source.mean(1)
    plain = fit_affine(at, source, shift, weights, ridge=1.0)
    robust = robust_affine(at, source, shift, weights, ridge=1.0, rounds=10)
    assert float((plain.value - 2).norm()) > 4
    assert float((robust.value - 2).norm()) < 0.1


def test_the_nearest_points_weigh_most():
    points = torch.tensor([[0.0, 0.0], [10.0, 0.0], [3.0, 0.0]])
    number, weight = nearest(torch.tensor([[1.0, 0.0]]), points, width=2.0)
    assert number.tolist() == [[0, 2, 1]]
    assert weight[0].tolist() == pytest.approx([math.exp(-x / 8) for x in (1, 4, 81)])


def test_a_picture_is_sampled_at_pixel_centres_and_goes_on_outside():
    picture = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0))
    places = pixel_grid((5, 7), stride=1, offset=0).permute(2, 0, 1)
    assert torch.allclose(sample_picture(picture, places), picture, atol=1e-5)
    beyond = sample_picture(picture, places + 20)
    assert torch.allclose(beyond, picture[:, -1:, -1:].expand_as(beyond), atol=1e-5)


def test_maps_are_enlarged_to_every_pixel():
    coarse = torch.arange(12.0).reshape(1, 3, 4)
    fine = enlarge(coarse, step=4, size=(7, 11))
    assert fine.shape == (1, 7, 11)
    assert torch.allclose(fine[0, ::4, ::4], coarse[0, :2, :3])
    assert float(fine[0, 0, 2]) == 0.5


def test_steps_and_masks_are_softened():
    assert smooth_step(torch.tensor([0.0, 0.2, 0.3, 0.4, 1.0]), 0.2, 0.4).tolist() == pytest.approx(
        [0, 0, 0.5, 1, 1]
    )
    mask = np.zeros((5, 5), dtype=bool)
    mask[:, 3:] = True
    assert soften(mask)[2].tolist() == pytest.approx([0, 0, 1 / 3, 2 / 3, 1])
