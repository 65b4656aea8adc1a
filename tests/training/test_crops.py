"""Views of a picture: what they show, how they move, and that their motion is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import still

from chromatrack.errors import InputError
from chromatrack.model.encoder import normalize_lab
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import FeatureSpec, inside_image, pixel_grid
from chromatrack.training.data.crops import (
    CONTROL,
    CropView,
    as_tensors,
    bend,
    cut_rgb,
    cut_views,
    perturb,
    random_view,
    view_correspondence,
    view_to_image,
)

SPEC = FeatureSpec(64, 8, 0.0)
seeds = st.integers(0, 10**6)
sizes = st.tuples(st.integers(30, 250), st.integers(30, 250))


def straight(crop: int, *, left: float = 0, top: float = 0) -> CropView:
    return CropView(np.array([[1.0, 0, left], [0, 1, top], [0, 0, 1]]), crop)


def coordinate_image(size: tuple[int, int]) -> torch.Tensor:
    """Red is x and green is y of every pixel, exactly; at most 256 pixels a side."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.uint8)
    return torch.from_numpy(np.stack([x, y, x * 0]))


def sample(picture: torch.Tensor, xy: torch.Tensor) -> torch.Tensor:
    """Values `(n, channels)` of a `(channels, S, S)` picture at `(n, 2)` pixel positions."""
    grid = xy.float() * (2 / (picture.shape[-1] - 1)) - 1
    return F.grid_sample(picture[None], grid[None, None], align_corners=True)[0, :, 0].T


def positions(
    view: CropView, *, stride: int = 1, cells: tuple[int, int] | None = None
) -> torch.Tensor:
    matrix, bends = as_tensors([view], torch.float64)
    cells = cells or (view.crop, view.crop)
    return view_to_image(matrix, bends, crop=view.crop, cells=cells, stride=stride)[0]


@settings(max_examples=60, deadline=None)
@given(
    size=sizes,
    crop=st.integers(24, 72),
    seed=seeds,
    amount=st.sampled_from([0.0, 0.03, 0.06]),
    stride=st.sampled_from([4, 8]),
    offset=st.sampled_from([0.0, 1.0, 3.0]),  # a bent view can be read at whole pixels only
)
def test_correspondence_is_what_cutting_both_views_shows(size, crop, seed, amount, stride, offset):
    rng, spec = np.random.default_rng(seed), FeatureSpec(64, stride, offset)
    base = random_view(size, crop, rng)
    reference, target = (perturb(base, rng, amount=1.0) for _ in range(2))
    target = bend(target, rng, amount=amount)
    known = view_correspondence(reference, target, size, spec).reshape(-1, 2)
    inside = torch.isfinite(known).all(-1)
    assert torch.equal(inside, torch.isfinite(known).any(-1))
    assert ((known[inside] >= 0) & (known[inside] <= crop - 1)).all()
    here = pixel_grid((-(-crop // stride),) * 2, stride=stride, offset=offset).reshape(-1, 2)
    inside &= (here <= crop - 1).all(-1)  # the last cell may lie beyond the last pixel
    cuts = cut_rgb([coordinate_image(size)] * 2, [reference, target])[:, :2] * 255
    pointed, seen = sample(cuts[0], known[inside]), sample(cuts[1], here[inside])
    # next to the image's border one of the four view pixels around a place is a mirrored one
    margin = float(np.abs(reference.matrix[:2, :2]).sum(1).max()) + 1
    far = torch.tensor([size[1], size[0]]) - 1 - margin
    whole = ((seen > margin) & (seen < far)).all(-1)
    if whole.any():
        assert float((pointed - seen)[whole].abs().max()) < 0.01


def test_cells_between_pixels_correspond_too():
    rng, spec = np.random.default_rng(5), FeatureSpec(64, 4, 1.5)
    reference, target = random_view((60, 90), 32, rng), random_view((60, 90), 32, rng)
    known = view_correspondence(reference, target, (60, 90), spec)
    here = pixel_grid((8, 8), stride=4, offset=1.5)
    inside = torch.isfinite(known).all(-1)
    assert int(inside.sum()) > 10
    cuts = cut_rgb([coordinate_image((60, 90))] * 2, [reference, target])[:, :2] * 255
    pointed, seen = sample(cuts[0], known[inside]), sample(cuts[1], here[inside])
    torch.testing.assert_close(pointed, seen, atol=0.01, rtol=0)


def test_most_cells_of_two_views_correspond():
    rng, shares = np.random.default_rng(0), []
    for _ in range(40):
        base = random_view((70, 120), 48, rng)
        reference, target = (perturb(base, rng, amount=1.0) for _ in range(2))
        target = bend(target, rng, amount=0.03)
        known = view_correspondence(reference, target, (70, 120), SPEC)
        shares.append(float(torch.isfinite(known).all(-1).float().mean()))
        inside = known[torch.isfinite(known).all(-1)]
        assert float(inside.min()) >= 0 and float(inside.max()) <= 47
    assert np.mean(shares) > 0.6 and min(shares) < 1


def test_content_outside_the_reference_view_is_unknown():
    known = view_correspondence(straight(48, left=24), straight(48), (70, 90), SPEC)
    assert torch.isfinite(known).all(-1).all(0).tolist() == [False] * 3 + [True] * 3
    assert known[0, 3].tolist() == [0, 0]


def test_content_outside_the_picture_is_unknown_though_both_views_mirror_it():
    view = straight(48, left=60)
    known = view_correspondence(view, view, (70, 90), SPEC)
    assert torch.isfinite(known).all(-1).all(0).tolist() == [True] * 4 + [False] * 2


@given(size=sizes, seed=seeds)
@settings(max_examples=20, deadline=None)
def test_a_view_of_itself_stands_still(size, seed):
    view = random_view(size, 48, np.random.default_rng(seed))
    known = view_correspondence(view, view, size, SPEC)
    grid = pixel_grid((6, 6), stride=8, offset=0)
    inside = torch.isfinite(known)
    assert inside[1:-1, 1:-1].all()  # rounding may put the outermost pixels outside
    torch.testing.assert_close(known[inside], grid[inside], atol=1e-3, rtol=0)


def test_a_reference_that_bends_is_refused():
    view = straight(48)
    bent = bend(view, np.random.default_rng(0), amount=0.03)
    with pytest.raises(InputError, match="without a bend"):
        view_correspondence(bent, view, (70, 90), SPEC)


@given(size=sizes, crop=st.integers(16, 300), seed=seeds)
@settings(deadline=None)
def test_random_views_are_square_and_inside_portrait_or_landscape(size, crop, seed):
    view = random_view(size, crop, np.random.default_rng(seed))
    last = crop - 1
    corners = view.matrix @ np.array([[0, last, 0, last], [0, 0, last, last], [1, 1, 1, 1]])
    assert corners[0].min() >= -1e-6 and corners[0].max() <= size[1] - 1 + 1e-6
    assert corners[1].min() >= -1e-6 and corners[1].max() <= size[0] - 1 + 1e-6
    assert abs(abs(view.matrix[0, 0]) - view.matrix[1, 1]) < 1e-9
    assert 0.55 <= view.matrix[1, 1] * crop / min(size) <= 1 + 1e-9


def test_half_of_the_views_are_mirrored():
    rng = np.random.default_rng(0)
    flipped = sum(random_view((60, 90), 48, rng).matrix[0, 0] < 0 for _ in range(200))
    assert 70 < flipped < 130


@given(seed=seeds, amount=st.floats(0, 2))
@settings(deadline=None)
def test_perturbing_never_mirrors(seed, amount):
    rng = np.random.default_rng(seed)
    view = random_view((60, 90), 48, rng)
    moved = perturb(view, rng, amount=amount)
    before, after = (np.linalg.det(v.matrix[:2, :2]) for v in (view, moved))
    assert before * after > 0


def test_perturbing_by_nothing_changes_nothing():
    rng = np.random.default_rng(0)
    view = random_view((60, 90), 48, rng)
    np.testing.assert_allclose(perturb(view, rng, amount=0).matrix, view.matrix)
    assert not np.allclose(perturb(view, rng, amount=1).matrix, view.matrix)


@given(seed=seeds, size=sizes)
@settings(max_examples=20, deadline=None)
def test_a_thin_plate_without_displacement_is_affine(seed, size):
    rng = np.random.default_rng(seed)
    reference = random_view(size, 40, rng)
    view = perturb(reference, rng, amount=1)
    flat = bend(view, rng, amount=0)
    assert flat.bend is not None
    image = coordinate_image(size)
    assert torch.equal(cut_rgb([image], [flat]), cut_rgb([image], [view]))
    known = [view_correspondence(reference, v, size, SPEC) for v in (view, flat)]
    torch.testing.assert_close(*known, rtol=0, atol=0, equal_nan=True)


def test_a_thin_plate_passes_through_its_control_points():
    rng = np.random.default_rng(1)
    view = bend(random_view((60, 90), 25, rng), rng, amount=0.1)
    assert view.bend is not None
    control = pixel_grid((CONTROL, CONTROL), stride=8, offset=0).reshape(-1, 2).double().numpy()
    moved = np.c_[control + view.bend, np.ones(len(control))] @ view.matrix.T
    found = positions(view, stride=8, cells=(CONTROL, CONTROL)).reshape(-1, 2)
    np.testing.assert_allclose(found.numpy(), moved[:, :2], atol=1e-9)


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_control_points_moved_by_an_affine_map_give_that_map(seed):
    rng = np.random.default_rng(seed)
    linear, shift = rng.normal(size=(2, 2)) * 0.1, rng.normal(size=2)
    control = pixel_grid((CONTROL, CONTROL), stride=8, offset=0).reshape(-1, 2).double().numpy()
    view = CropView(np.eye(3), 25, bend=control @ linear.T + shift)
    pixels = pixel_grid((25, 25), stride=1, offset=0).double().numpy()
    np.testing.assert_allclose(
        positions(view).numpy(), pixels + pixels @ linear.T + shift, atol=1e-9
    )


def test_bends_are_smooth_and_do_not_fold():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        view = bend(straight(64), rng, amount=0.03)
        right, down = positions(view).diff(dim=1)[:-1], positions(view).diff(dim=0)[:, :-1]
        area = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]
        assert float(area.min()) > 0.2
        assert float((positions(view) - positions(straight(64))).abs().max()) > 0.5


def test_a_straight_view_is_the_picture_itself():
    image = torch.from_numpy(still((40, 50))).permute(2, 0, 1)
    seen = cut_rgb([image], [straight(24, left=5, top=3)])[0]
    torch.testing.assert_close(seen, image[:, 3:27, 5:29] / 255, atol=1e-5, rtol=0)


def test_a_mirrored_view_is_the_mirrored_picture():
    image = torch.from_numpy(still((40, 40))).permute(2, 0, 1)
    mirrored = CropView(np.array([[-1.0, 0, 39], [0, 1, 0], [0, 0, 1]]), 40)
    seen = cut_rgb([image], [mirrored])[0]
    torch.testing.assert_close(seen, image.flip(-1) / 255, atol=1e-5, rtol=0)


def test_beyond_the_border_the_picture_is_mirrored():
    image = coordinate_image((40, 40))
    seen = cut_rgb([image], [straight(24, left=-4)])[0, 0] * 255
    assert seen[0, :6].round().tolist() == [4, 3, 2, 1, 0, 1]


@given(data=st.lists(st.tuples(sizes, seeds), min_size=2, max_size=5))
@settings(max_examples=15, deadline=None)
def test_views_cut_together_have_the_bits_of_views_cut_alone(data):
    images, views = [], []
    for size, seed in [*data, data[0]]:
        rng = np.random.default_rng(seed)
        view = perturb(random_view(size, 40, rng), rng, amount=1)
        views.append(bend(view, rng, amount=0.03) if seed % 2 else view)
        images.append(torch.from_numpy(rng.integers(0, 256, (3, *size), dtype=np.uint8)))
    for cut in (cut_rgb, cut_views):
        alone = [cut([i], [v]) for i, v in zip(images, views, strict=True)]
        assert torch.equal(cut(images, views), torch.cat(alone))


def test_cut_views_are_normalised_lab():
    image, view = torch.from_numpy(still((40, 50))).permute(2, 0, 1), straight(24)
    lab = cut_views([image], [view])
    assert lab.shape == (1, 3, 24, 24) and lab.dtype == torch.float32
    assert torch.equal(lab, normalize_lab(rgb_to_lab(cut_rgb([image], [view]))))


@pytest.mark.parametrize("size", [(1, 1), (1, 20), (20, 1)])
def test_a_picture_one_pixel_wide_is_no_division_by_zero(size):
    image = torch.full((3, *size), 100, dtype=torch.uint8)
    view = random_view(size, 16, np.random.default_rng(0))
    torch.testing.assert_close(cut_rgb([image], [view]), torch.full((1, 3, 16, 16), 100 / 255))


def test_positions_of_a_random_view_are_inside_its_image():
    rng = np.random.default_rng(0)
    for size in ((60, 200), (200, 60)):
        assert bool(inside_image(positions(random_view(size, 48, rng)), size).all())
