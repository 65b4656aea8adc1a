"""Label maps: exact positions, ids, soft masks, merging, and the way back to pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import chromatrack.ops.resample as resample_module
from chromatrack.errors import InputError
from chromatrack.ops.coords import FeatureSpec, cell_count, pixel_grid
from chromatrack.ops.resample import resize, to_cells, to_coarse, upsample, upsample_guided
from chromatrack.propagation.label_maps import (
    label_map_to_mask,
    masks_to_label_map,
    merge_given,
    object_ids,
    to_image,
)

SPECS = [
    FeatureSpec(4, 8, 0.0),
    FeatureSpec(4, 4, 0.0),
    FeatureSpec(4, 8, 3.5),
    FeatureSpec(4, 4, 1.5),
    FeatureSpec(4, 5, 2.0),
    FeatureSpec(4, 5, 0.0),
]
each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.stride}+{s.offset}")


def ramp(size: tuple[int, int]) -> torch.Tensor:
    """(1, 2, H, W): every pixel's own x and y."""
    return pixel_grid(size, stride=1, offset=0).permute(2, 0, 1)[None]


def disc_mask(size=(120, 168), *, centre=(80, 55), radius=40, value=1) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    return np.where(np.hypot(x - centre[0], y - centre[1]) < radius, value, 0).astype(np.int32)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@each_spec
@pytest.mark.parametrize("size", [(96, 120), (61, 83)])
def test_a_cell_averages_the_pixels_around_its_own_position(spec, size):
    cells = to_cells(ramp(size), spec)
    h, w = cell_count(size, stride=spec.stride)
    assert cells.shape == (1, 2, h, w)
    place = pixel_grid((h, w), stride=spec.stride, offset=spec.offset).permute(2, 0, 1)
    inner = (..., slice(1, -2), slice(1, -2))
    torch.testing.assert_close(cells[0][inner], place[inner], atol=1e-3, rtol=0)


@each_spec
@given(st.integers(1, 40), st.integers(1, 40))
def test_pixels_outside_the_image_do_not_count(spec, height, width):
    flat = torch.full((1, 1, height, width), 0.7)
    cells = to_cells(flat, spec)
    assert cells.shape[-2:] == cell_count((height, width), stride=spec.stride)
    torch.testing.assert_close(cells, torch.full_like(cells, 0.7))


def test_object_ids_are_sorted_and_leave_background_out():
    assert object_ids([np.array([[0, 7]]), np.array([[1000, 200]])]) == [7, 200, 1000]
    assert object_ids([np.zeros((2, 2), dtype=int)]) == []
    with pytest.raises(InputError, match="ids >= 0, got -3"):
        object_ids([np.array([[0, -3]])])


@each_spec
def test_masks_make_the_round_trip_with_their_ids(spec):
    mask = disc_mask((168, 240), centre=(70, 84), radius=60, value=7)
    mask[10:80, 150:230] = 1000
    mask[90:160, 150:235] = 200
    ids = object_ids([mask])
    label_map = masks_to_label_map(mask, ids=ids, size=mask.shape, spec=spec)
    assert label_map.shape == (4, *cell_count(mask.shape, stride=spec.stride))
    assert label_map.dtype == torch.float32 and float(label_map.min()) >= 0
    torch.testing.assert_close(label_map.sum(0), torch.ones(label_map.shape[1:]))
    dense = upsample(label_map, size=mask.shape, spec=spec)
    back = label_map_to_mask(dense, ids=ids)
    assert back.dtype == np.int32 and back.shape == mask.shape
    assert set(np.unique(back)) == {0, 7, 200, 1000}
    for i in ids:
        assert iou(back == i, mask == i) > 0.9


def test_masks_are_brought_to_the_encoders_size():
    mask = disc_mask((240, 336), centre=(160, 110), radius=80, value=3)
    spec = SPECS[0]
    label_map = masks_to_label_map(mask, ids=[3], size=(120, 168), spec=spec)
    assert label_map.shape == (2, 15, 21)
    torch.testing.assert_close(label_map.sum(0), torch.ones(15, 21))
    back = label_map_to_mask(upsample(label_map, size=(120, 168), spec=spec), ids=[3])
    assert iou(back == 3, disc_mask() == 1) > 0.9


def test_ids_that_are_not_tracked_are_background():
    mask = np.array([[5, 9]] * 2, dtype=np.int32).repeat(8, 0).repeat(16, 1)
    label_map = masks_to_label_map(mask, ids=[9], size=mask.shape, spec=SPECS[0])
    assert label_map.shape[0] == 2
    assert label_map[1, 0].tolist()[0] == 0 and label_map[1, 0].tolist()[-1] == 1


def random_map(labels: int, *, seed: int) -> torch.Tensor:
    return torch.rand(labels, 4, 5, generator=torch.Generator().manual_seed(seed)).softmax(0)


def test_painted_objects_replace_and_the_others_stay():
    predicted = random_map(3, seed=1)
    painted = torch.zeros(3, 4, 5)
    painted[1, :2] = 0.8
    painted[1, 0] = 1.0
    painted[0] = 1 - painted[1]
    merged = merge_given(painted, predicted, painted=torch.tensor([True, True, False]))
    assert torch.equal(merged[1], painted[1])  # exactly as painted, also where it is absent
    assert torch.equal(merged[2, 2:], predicted[2, 2:])  # untouched where nothing was painted
    assert float(merged[2, 0].abs().max()) == 0  # taken cells are taken
    torch.testing.assert_close(merged[2, 1], predicted[2, 1] * 0.2)
    torch.testing.assert_close(merged.sum(0), torch.ones(4, 5))
    assert float(merged.min()) >= 0


def test_nothing_painted_changes_no_object():
    predicted = random_map(3, seed=2)
    empty = torch.zeros(3, 4, 5)
    empty[0] = 1
    nothing = torch.tensor([True, False, False])
    torch.testing.assert_close(merge_given(empty, predicted, painted=nothing), predicted)


def test_an_object_said_to_be_absent_is_taken_out_and_the_others_stay():
    predicted = random_map(3, seed=3)
    absent = torch.zeros(3, 4, 5)
    absent[0] = 1
    merged = merge_given(absent, predicted, painted=torch.tensor([True, True, False]))
    assert not merged[1].any()
    assert torch.equal(merged[2], predicted[2])  # nothing was painted: no cell is taken
    torch.testing.assert_close(merged.sum(0), torch.ones(4, 5))


def test_what_holds_something_but_is_not_said_to_be_painted_is_left_out():
    given_map, predicted = random_map(3, seed=4), random_map(3, seed=5)
    painted = torch.tensor([False, True, False])
    merged = merge_given(given_map, predicted, painted=painted)
    assert torch.equal(merged[1], given_map[1])
    torch.testing.assert_close(merged[2], predicted[2] * (1 - given_map[1]))
    assert painted.tolist() == [False, True, False]  # the caller's own is not changed


def test_background_is_never_painted_over_objects():
    given_map, predicted = random_map(3, seed=6), random_map(3, seed=7)
    every = torch.tensor([True, True, True])
    rest = torch.tensor([False, True, True])
    a, b = (merge_given(given_map, predicted, painted=painted) for painted in (every, rest))
    assert torch.equal(a, b)


def test_resizing_keeps_what_fits_and_averages_the_rest():
    image = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0))
    assert resize(image, (24, 32)) is image
    small = resize(ramp((24, 32))[0], (12, 16))
    assert small.shape == (2, 12, 16)
    inner = small[:, 2:-2, 2:-2]
    expected = pixel_grid((12, 16), stride=2, offset=0.5).permute(2, 0, 1)[:, 2:-2, 2:-2]
    torch.testing.assert_close(inner, expected, atol=1e-4, rtol=0)


def test_the_largest_label_wins():
    label_map = torch.tensor([[[0.5, 0.3, 0.2]], [[0.3, 0.4, 0.3]], [[0.2, 0.3, 0.5]]])
    assert label_map_to_mask(label_map, ids=[12, 600]).tolist() == [[0, 12, 600]]


@each_spec
@pytest.mark.parametrize("size", [(96, 120), (61, 83)])
def test_upsampling_puts_each_cell_at_its_own_pixel(spec, size):
    cells = cell_count(size, stride=spec.stride)
    positions = pixel_grid(cells, stride=spec.stride, offset=spec.offset).permute(2, 0, 1)
    dense = upsample(positions, size=size, spec=spec)
    assert dense.shape == (2, *size)
    margin = spec.stride
    inner = (..., slice(margin, -margin), slice(margin, -margin))
    torch.testing.assert_close(dense[inner], ramp(size)[0][inner], atol=1e-3, rtol=0)


@each_spec
@given(st.integers(1, 40), st.integers(1, 40))
def test_upsampled_label_maps_fit_the_image_and_sum_to_one(spec, height, width):
    cells = cell_count((height, width), stride=spec.stride)
    soft = torch.rand(3, *cells).softmax(0)
    dense = upsample(soft, size=(height, width), spec=spec)
    assert dense.shape == (3, height, width) and dense.dtype == torch.float32
    torch.testing.assert_close(dense.sum(0), torch.ones(height, width))
    assert float(dense.min()) >= 0


@given(st.integers(1, 40), st.integers(1, 40), st.booleans(), st.integers(0, 99))
def test_guided_upsampling_stays_in_each_labels_range(height, width, background, seed):
    spec, generator = SPECS[0], torch.Generator().manual_seed(seed)
    cells = cell_count((height, width), stride=spec.stride)
    soft = torch.randn(3, *cells, generator=generator).softmax(0)
    image = torch.rand(3, height, width, generator=generator)
    dense = upsample_guided(soft, image, spec=spec, background=background)
    assert dense.shape == (3, height, width) and dense.dtype == torch.float32
    for number in range(int(background), 3):
        assert float(dense[number].min()) >= float(soft[number].min()) - 1e-5
        assert float(dense[number].max()) <= float(soft[number].max()) + 1e-5
    if background:
        torch.testing.assert_close(dense[0], (1 - dense[1:].sum(0)).clamp(min=0))


def test_guided_upsampling_of_a_big_shape():
    mask = disc_mask()
    image = torch.full((3, *mask.shape), 0.3)
    image[0][torch.from_numpy(mask > 0)] = 0.9
    label_map = masks_to_label_map(mask, ids=[1], size=mask.shape, spec=SPECS[0])
    plain = upsample(label_map, size=mask.shape, spec=SPECS[0])
    guided = upsample_guided(label_map, image, spec=SPECS[0], background=True)
    scores = [iou(label_map_to_mask(x, ids=[1]) > 0, mask > 0) for x in (plain, guided)]
    assert scores[1] > max(0.95, scores[0])  # its edges follow the image's


def disc_scene() -> tuple[torch.Tensor, np.ndarray]:
    """A red disc on green with a little noise: rgb `(3, 96, 128)` and its mask."""
    y, x = np.mgrid[:96, :128]
    mask = ((y - 44.3) ** 2 + (x - 61.7) ** 2 < 27.5**2).astype(np.int32)
    colors = np.array([[0.2, 0.6, 0.3], [0.8, 0.2, 0.2]], dtype=np.float32)
    noise = np.random.default_rng(0).normal(0, 0.02, (96, 128, 3)).astype(np.float32)
    return torch.from_numpy(colors[mask] + noise).permute(2, 0, 1).clamp(0, 1), mask


def test_guided_edges_follow_the_image_better_than_bilinear_ones():
    image, mask = disc_scene()
    spec = FeatureSpec(8, 8, 0.0)
    soft = masks_to_label_map(mask, ids=[1], size=mask.shape, spec=spec)
    plain = upsample(soft, size=mask.shape, spec=spec)
    guided = upsample_guided(soft, image, spec=spec, background=True)
    wrong = [int(((up[1] > up[0]).numpy() != mask).sum()) for up in (plain, guided)]
    assert wrong[1] < 0.6 * wrong[0]
    torch.testing.assert_close(guided.sum(0), torch.ones(mask.shape))


def test_guided_filter_inside_an_objects_extent_equals_the_whole_frame(monkeypatch):
    image = torch.rand(3, 90, 131, generator=torch.Generator().manual_seed(1))
    spec = FeatureSpec(8, 8, 3.5)
    label_map = torch.zeros(3, 12, 17)
    label_map[1, 2:5, 3:9], label_map[2, 9:, 12:] = 0.8, 0.6
    label_map[0] = 1 - label_map[1:].sum(0)
    cropped = upsample_guided(label_map, image, spec=spec, background=True)
    monkeypatch.setattr(
        resample_module, "_extent", lambda x, margin: (slice(0, len(x)), slice(0, x.shape[1]))
    )
    whole = upsample_guided(label_map, image, spec=spec, background=True)
    torch.testing.assert_close(cropped, whole, rtol=0, atol=1e-5)


def test_guided_filter_of_nothing_is_background():
    image = torch.rand(3, 37, 51)
    spec = FeatureSpec(8, 8, 0.0)
    empty = torch.zeros(3, 5, 7)
    empty[0] = 1
    dense = upsample_guided(empty, image, spec=spec, background=True)
    assert dense.shape == (3, 37, 51)
    assert torch.equal(dense[0], torch.ones(37, 51)) and not dense[1:].any()


def test_stretched_labels_fill_zero_to_one_and_plain_ones_are_interpolated():
    spec, soft = FeatureSpec(4, 8, 0.0), torch.rand(3, 4, 6) * 0.5
    soft[2] = 0
    image = torch.rand(3, 32, 48)
    plain = to_image(soft, image, spec=spec, how="bilinear")
    torch.testing.assert_close(plain, upsample(soft, size=(32, 48), spec=spec))
    stretched = to_image(soft, image, spec=spec, how="bilinear", stretch=True)
    assert [float(x) for x in stretched.amin((1, 2))] == [0, 0, 0]
    assert [float(x) for x in stretched.amax((1, 2))] == [1, 1, 0]
    guided = to_image(soft, image, spec=spec, how="guided")
    assert torch.equal(guided, upsample_guided(soft, image, spec=spec, background=True))


@each_spec
@pytest.mark.parametrize("size", [(32, 40), (33, 47), (61, 30)])
def test_labels_on_the_coarse_grid_are_the_means_of_the_dense_ones(spec, size):
    torch.manual_seed(0)
    label_map = torch.rand(3, *cell_count(size, stride=spec.stride))
    dense = upsample(label_map, size=size, spec=spec)
    expected = resample_module._coarse(dense)
    assert torch.allclose(to_coarse(label_map, size=size, spec=spec), expected, atol=1e-5)


@each_spec
@pytest.mark.parametrize("size", [(32, 40), (33, 47), (61, 30)])
def test_cells_of_the_coarse_grid_are_the_means_of_its_pixels(spec, size):
    torch.manual_seed(0)
    coarse = torch.rand(-(-size[0] // 4), -(-size[1] // 4))
    expected = to_cells(resample_module.from_coarse(coarse[None], size)[None], spec)[0, 0]
    found = resample_module.coarse_to_cells(coarse, size=size, spec=spec)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_decoded_masks_come_to_full_size_where_they_lie():
    masks = torch.zeros(1, 10, 12)
    masks[0, 3:6, 4:9] = 1
    dense = to_image(
        torch.zeros(2, 5, 6), torch.rand(3, 38, 46), spec=SPECS[0], how="guided", masks=masks
    )
    assert dense.shape == (2, 38, 46)
    assert torch.allclose(dense.sum(0), torch.ones(38, 46))
    expected = np.zeros((38, 46), dtype=np.int32)
    expected[12:24, 16:36] = 5
    wrong = np.argwhere(label_map_to_mask(dense, ids=(5,)) != expected).tolist()
    assert wrong == [[12, 16], [12, 35], [23, 16], [23, 35]]  # linear between steps: no corners
