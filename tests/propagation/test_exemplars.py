"""Views of an object: cut out, put back, compared; few of them, and different ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.propagation.exemplars import (
    VIEWS,
    Exemplar,
    PlacedExemplar,
    coarse_factor,
    coarser,
    fit,
    keep_view,
    likeness,
    likeness_to_rest,
    middle,
    put_back,
    surroundings,
    take_view,
)


def cells(*rows: Sequence[float]) -> torch.Tensor:
    return F.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)


def test_likeness_is_the_mean_of_the_most_similar_cells():
    gallery = cells([1, 0], [1, 0], [0, 1], [-1, 0])
    found = likeness(cells([1, 0], [0, 1]), gallery)
    np.testing.assert_allclose(found, [2 / 3, 1 / 3], atol=1e-6)
    assert likeness(cells([1, 0]), gallery[:1]).tolist() == [1]
    assert likeness(cells([1, 0], [0, 1]), gallery[:0]).tolist() == [-1, -1]


def test_likeness_of_many_cells_is_that_of_each():
    many = random_features(0, (40, 60)).flatten(1).T
    gallery = random_features(1).flatten(1).T
    found = likeness(many, gallery)
    assert found.shape == (2400,)
    expected = (gallery @ many.T).topk(3, dim=0).values.mean(0)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def random_features(seed: int, size: tuple[int, int] = (14, 18)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(8, *size, generator=generator), dim=0)


def block(rows: slice, columns: slice, size: tuple[int, int] = (14, 18)) -> torch.Tensor:
    label = torch.zeros(size)
    label[rows, columns] = 1
    return label


def test_a_view_holds_an_object_and_what_is_around_it():
    features, label = random_features(0), block(slice(4, 7), slice(6, 10))
    view = take_view(features, features, label)
    assert view.features.shape == (8, 9, 10) and view.labels.shape == (9, 10)  # 3 more all round
    assert torch.equal(view.features, features[:, 1:10, 3:13])
    assert view.own.shape == (12, 8) and view.around.shape == (9 * 10 - 12, 8)
    assert float(view.labels.sum()) == 12


def test_a_faint_object_still_has_cells_of_its_own():
    view = take_view(*[random_features(0)] * 2, 0.2 * block(slice(4, 7), slice(6, 10)))
    assert len(view.own) == 12


def test_views_of_large_objects_are_thinned_out():
    size = (60, 60)
    view = take_view(*[random_features(0, size)] * 2, block(slice(5, 55), slice(5, 55), size))
    assert 0 < len(view.own) <= 256 and 0 < len(view.around) <= 256


@given(st.integers(-4, 8), st.integers(-4, 10))
def test_a_view_is_put_back_where_it_fits(top, left):
    features, label = random_features(1), block(slice(4, 8), slice(5, 9))
    view = take_view(features, features, label)
    canvas, labels = torch.zeros(8, 14, 18), torch.zeros(14, 18)
    put_back(PlacedExemplar(view, (top, left), 1), canvas, labels)
    expected = torch.zeros(40, 40)
    expected[10 + top : 20 + top, 10 + left : 20 + left] = view.labels
    assert torch.equal(labels, expected[10:24, 10:28])
    inside = labels > 0
    assert bool((canvas[:, inside].norm(dim=0) > 0.99).all())


def test_a_view_outside_the_frame_leaves_it_as_it_is():
    view = take_view(*[random_features(1)] * 2, block(slice(4, 8), slice(5, 9)))
    canvas, labels = torch.zeros(8, 14, 18), torch.zeros(14, 18)
    for corner in ((-20, 0), (0, -20), (14, 3), (3, 18)):
        put_back(PlacedExemplar(view, corner, 1), canvas, labels)
    assert not canvas.any() and not labels.any()


@given(st.integers(-3, 4), st.integers(-4, 6))
def test_where_a_view_fits_best_is_where_its_object_went(down, right):
    features, label = random_features(2), block(slice(4, 8), slice(6, 10))
    view = take_view(features, features, label)
    moved = torch.roll(features, (down, right), (1, 2))
    place = middle(label) + torch.tensor([right + 1.0, down - 1.0])  # a little off
    score, corner = fit(view, moved, place)
    assert corner == (1 + down, 3 + right)
    assert score == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
@given(st.integers(-9, 12), st.integers(-9, 20), st.integers(0, 2**31 - 1))
def test_a_large_view_fits_where_a_search_of_all_places_finds_it(down, right, seed):
    features = F.avg_pool2d(random_features(seed, (64, 84))[None], 5, 1)[0]  # 60 x 80, smooth
    label = torch.zeros(60, 80)
    label[14:40, 20:48] = 1
    view = take_view(features, features, label)
    assert view.labels.numel() > 400
    moved = torch.roll(features, (down, right), (1, 2))
    place = middle(label) + torch.tensor([right + 2.0, down - 1.0])
    score, corner = fit(view, moved, place)
    a, b = view.labels.shape
    kernel = view.features * view.labels / view.labels.sum()
    every = F.conv2d(moved[None], kernel[None], padding=(a - 1, b - 1))[0, 0]
    best = divmod(int(every.argmax()), every.shape[1])
    assert corner == (best[0] - a + 1, best[1] - b + 1) == (11 + down, 17 + right)
    assert score == pytest.approx(float(every.max()), rel=1e-4)


@given(st.integers(-30, 90), st.integers(-30, 110))
def test_a_view_is_fitted_wherever_it_is_looked_for(y, x):
    features = random_features(7)
    view = take_view(features, features, block(slice(4, 7), slice(6, 10)))
    score, (top, left) = fit(view, features, torch.tensor([float(x), float(y)]))
    a, b = view.labels.shape
    assert -1 <= score <= 1.0001
    assert 1 - a <= top < 14 and 1 - b <= left < 18


def test_the_middle_is_the_weighted_mean_x_first():
    assert middle(block(slice(4, 7), slice(6, 11))).tolist() == [8, 5]
    uneven = torch.zeros(4, 5)
    uneven[1, 0], uneven[1, 4] = 3, 1
    assert middle(uneven).tolist() == [1, 1]


def own_view(index: int, *rows: Sequence[float]) -> Exemplar:
    own = cells(*rows)
    features = torch.full((own.shape[1], 1, 1), float(index))
    return Exemplar(features, torch.ones(1, 1), own, own[:0])


def number(view: Exemplar) -> int:
    """The index that `view_of` was given."""
    return int(view.features[0, 0, 0])


def axis(number: int, *, tilt: float = 0.0) -> list[float]:
    row = [0.0] * 10
    row[number], row[9] = 1, tilt
    return row


def test_a_view_that_shows_nothing_new_is_not_kept():
    views = [own_view(0, axis(0))]
    keep_view(views, own_view(5, axis(0, tilt=0.2)))
    assert [number(view) for view in views] == [0]
    keep_view(views, own_view(10, axis(1)))
    assert [number(view) for view in views] == [0, 10]


@given(st.lists(st.integers(0, 8), max_size=20))
def test_views_are_few_different_and_the_marked_one_stays(looks):
    views = [own_view(0, axis(0))]
    for index, look in enumerate(looks, start=1):
        keep_view(views, own_view(index, axis(look)))
    kept = [int(view.own.argmax()) for view in views]
    assert number(views[0]) == 0
    assert len(kept) == min(VIEWS, len({0, *looks}))
    assert len(set(kept)) == len(kept)


def test_of_too_many_views_the_one_most_like_the_others_goes():
    views = [own_view(0, axis(0)), own_view(1, axis(1)), own_view(2, axis(2))]
    near = [0.0] * 10
    near[2], near[3] = 0.7, 0.8  # looks partly like the view of frame 2
    keep_view(views, own_view(3, near))
    assert len(views) == VIEWS
    keep_view(views, own_view(4, axis(5)))
    assert len(views) == VIEWS
    assert [number(view) for view in views if number(view) in (0, 1, 4)] == [0, 1, 4]


def test_what_is_searched_coarsely_has_unit_length_and_covers_the_frame():
    assert coarse_factor((24, 32)) == 1 and coarse_factor((60, 108)) == 2
    assert coarse_factor((120, 214)) == 4
    features = random_features(4, (61, 109))
    assert coarser(features, 1) is features
    small = coarser(features, 2)
    assert small.shape == (8, 31, 55)
    torch.testing.assert_close(small.norm(dim=0), torch.ones(31, 55))


def test_surroundings_without_an_object_leave_out_its_cells_and_a_margin():
    label_map = torch.stack([torch.ones(14, 18), block(slice(4, 7), slice(6, 10))])
    around = surroundings(random_features(5), label_map)
    assert int(around.holds(1).sum()) == 12
    assert not bool(around.holds(5).any())  # of an object that was not there yet
    wide = surroundings(random_features(5), label_map, margin=2)
    assert int(wide.holds(1).sum()) == 7 * 8


@pytest.mark.parametrize("held", [0, 5, 14 * 18 - 2, 14 * 18])
@pytest.mark.parametrize("beside", [0, 2, 9])
def test_what_is_not_the_object_is_compared_where_it_lies(held, beside):
    looks, label = random_features(5), torch.zeros(14 * 18)
    label[:held] = 1
    frame = surroundings(looks, torch.stack([1 - label, label]).view(2, 14, 18))
    cells, around = looks.flatten(1).T[3:40], looks.flatten(1).T[100 : 100 + beside]
    gallery = torch.cat([around, frame.cells[label == 0]])
    found = likeness_to_rest(cells, [around], [frame], 1)
    torch.testing.assert_close(found, likeness(cells, gallery))
    assert bool((likeness_to_rest(cells, [], [], 1) == -1).all())
