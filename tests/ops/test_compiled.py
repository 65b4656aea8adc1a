"""Compiled loops say what the tensor operations say that stand in for them elsewhere."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from chromatrack.ops import color, compiled, shot_boundary, sparse_readout, subpixel
from chromatrack.ops.affinity import SparseAffinity
from chromatrack.ops.kept import kept_of
from chromatrack.ops.resample import _guide_statistics
from chromatrack.ops.window_search import Rows
from chromatrack.propagation import point_labels, point_reliability, propagate
from chromatrack.propagation.memory_bank import Reference
from chromatrack.propagation.propagate import read_trusted

sides = st.integers(1, 40)


def picture(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def in_both_ways(work):
    """What it gives compiled, and by tensor operations."""
    if not compiled.has_compiler():
        pytest.skip("no compiler for this Python")
    with pytest.MonkeyPatch.context() as patch:
        fast = work()
        for module in (compiled, color, shot_boundary, subpixel, point_labels, point_reliability):
            patch.setattr(module, "can_compile", lambda *tensors: False)
        return fast, work()


@settings(deadline=None)
@given(st.integers(1, 5), sides, sides, st.integers(0, 6))
def test_means_of_windows(channels, height, width, radius):
    x = picture(channels, height, width)
    fast, plain = in_both_ways(lambda: compiled.box_mean(x, radius))
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=0)


@settings(deadline=None)
@given(st.integers(1, 4), sides, sides, st.integers(1, 7))
def test_coarse_pictures(channels, height, width, side):
    image = picture(channels, height, width)
    fast, plain = in_both_ways(lambda: compiled.coarse_image(image, side))
    assert fast[0].shape == (channels, -(-height // side), -(-width // side))
    torch.testing.assert_close(fast[0], plain[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(fast[1], plain[1], atol=2e-3, rtol=0)  # a root of about 0


@settings(deadline=None, max_examples=40)
@given(sides, sides, st.integers(0, 99))
def test_labels_fitted_to_colors(height, width, seed):
    guide, label = picture(4, height, width, seed=seed).split([3, 1])
    told = label[0], guide, *_guide_statistics(guide)
    fast, plain = in_both_ways(lambda: compiled.fit_colors(*told, 2))
    assert fast.shape == (4, height, width)
    laid = [(x[:3] * guide).sum(0) + x[3] for x in (fast, plain)]
    torch.testing.assert_close(*laid, atol=1e-3, rtol=1e-3)


@given(st.integers(1, 3), sides, sides, st.integers(0, 9))
def test_largest_values_of_windows(channels, height, width, radius):
    x = picture(channels, height, width)
    expected = F.max_pool2d(x[None], 2 * radius + 1, 1, radius)[0]
    for found in in_both_ways(lambda: compiled.window_max(x, radius)):
        assert torch.equal(found, expected)


@settings(deadline=None)
@given(st.integers(1, 5), sides, sides)
def test_strongest_label_is_the_first_of_equals(labels, height, width):
    label_map = picture(labels, height, width).mul(4).round()
    compiled_one, plain = in_both_ways(lambda: compiled.strongest(label_map))
    assert compiled_one.dtype == torch.int32
    assert torch.equal(compiled_one, plain)
    assert torch.equal(plain.long(), torch.from_numpy(label_map.numpy().argmax(0)))


@settings(deadline=None)
@given(st.integers(1, 9), sides, sides, st.booleans())
def test_cells_of_unit_length(channels, height, width, batch):
    x = picture(*(2,) * batch, channels, height, width) - 0.5
    x[..., 0, 0] = 0
    fast, plain = in_both_ways(lambda: compiled.unit_cells(x))
    assert fast.shape == x.shape
    torch.testing.assert_close(fast, plain, atol=1e-6, rtol=0)


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 130), st.integers(1, 130), st.booleans())
def test_thumbnails(channels, height, width, interleaved):
    image = picture(channels, height, width)
    if interleaved:
        image = picture(height, width, channels).permute(2, 0, 1)
    fast, plain = in_both_ways(lambda: compiled.thumbnail(image, (48, 64)))
    torch.testing.assert_close(fast, plain, atol=1e-6, rtol=0)


@settings(deadline=None)
@given(sides, sides, st.booleans(), st.floats(0.01, 1))
def test_lab(height, width, batch, brightest):
    rgb = picture(*(2,) * batch, 3, height, width) * brightest
    fast, plain = in_both_ways(lambda: color.rgb_to_lab(rgb))
    assert fast.shape == rgb.shape
    torch.testing.assert_close(fast, plain, atol=1e-3, rtol=0)


def test_lab_of_every_grey_and_of_the_corners():
    grey = (torch.arange(256) / 255).expand(3, 1, 256)
    corners = torch.tensor([[[float(c >> bit & 1) for c in range(8)]] for bit in range(3)])
    for rgb in (grey, corners):
        fast, plain = in_both_ways(lambda rgb=rgb: color.rgb_to_lab(rgb))
        torch.testing.assert_close(fast, plain, atol=1e-3, rtol=0)


@settings(deadline=None)
@given(sides, sides)
def test_colors_counted(height, width):
    image = picture(3, height, width)
    fast, plain = in_both_ways(lambda: shot_boundary.color_histogram(image))
    torch.testing.assert_close(fast, plain, atol=1e-6, rtol=0)


@settings(deadline=None)
@given(st.sampled_from([1, 3, 4, 5, 9]), sides, sides, st.floats(-2, 1.5), st.booleans())
def test_values_between_places(channels, height, width, beyond, row):
    maps = picture(channels, height, width)
    xy = picture(7, *(3,) * (not row), 2, seed=1) * torch.tensor([width, height]) + beyond
    fast, plain = in_both_ways(lambda: subpixel.sample(maps, xy))
    assert fast.shape == (*xy.shape[:-1], channels)
    torch.testing.assert_close(fast, plain, atol=1e-4, rtol=0)


@settings(deadline=None, max_examples=25)
@given(st.sampled_from([3, 9]), st.integers(0, 9), st.booleans())
def test_slides(channels, seed, flat):
    maps = picture(channels, 40, 50, seed=seed) * (not flat)
    xy = picture(5, 2, seed=seed + 1) * torch.tensor([50, 40])
    offsets = subpixel.square_offsets(2)
    templates = subpixel.patches(maps, xy + 0.4, offsets)
    smooth = torch.nn.functional.avg_pool2d(maps[None], 5, 1, 2)[0]
    for steps in (1, 2):
        fast, plain = in_both_ways(
            lambda n=steps: subpixel.slide(smooth, templates, xy, offsets=offsets, steps=n)
        )
        torch.testing.assert_close(fast, plain, atol=5e-3, rtol=0)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(0, 9))
def test_cells_that_fit_best(reach, seed):
    onto = compiled.unit_cells(picture(7, 12, 15, seed=seed) - 0.5)
    xy = picture(6, 2, seed=seed + 1) * torch.tensor([15, 12])
    near = xy + 3 * picture(6, 2, seed=seed + 2)
    fast, plain = in_both_ways(lambda: point_reliability.landed(onto, xy, onto, near, reach=reach))
    assert torch.equal(fast, plain)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(0, 9), st.booleans())
def test_labels_copied_where_they_are_not_0(references, seed, trusted):
    random = torch.Generator().manual_seed(seed)
    maps = [torch.rand(30, 4, 5, generator=random) for _ in range(references)]
    maps = [x * (x > 0.8) for x in maps]
    trust = [torch.rand(30, generator=random) * (not trusted) + trusted for _ in maps]
    index = torch.randint(references * 20, (20, 3), generator=random)
    weight = torch.rand(20, 3, generator=random).softmax(1)
    pointer = SparseAffinity(index, weight, (4, 5))
    held = [Reference(0, x, x, None, t) for x, t in zip(maps, trust, strict=True)]
    fast = read_trusted(pointer, held)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(propagate, "can_read_sparse", lambda maps: False)
        plain = read_trusted(pointer, held)
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-5)


def test_places_that_are_no_numbers_are_read_without_harm():
    xy = torch.tensor([[float("nan"), 1.0], [float("inf"), -float("inf")], [1.0, 1.0]])
    for channels in (3, 9):
        found = subpixel.sample(picture(channels, 4, 5), xy)
        assert torch.allclose(found[2], picture(channels, 4, 5)[:, 1, 1])


def test_another_map_is_not_taken_for_the_last_one():
    first, second = picture(9, 4, 5), picture(9, 4, 5, seed=1)
    xy = torch.tensor([[1.0, 2.0]])
    for maps in (first, second, first.clone()):
        assert torch.allclose(subpixel.sample(maps, xy)[0], maps[:, 2, 1])


def test_a_map_is_laid_out_for_the_search():
    features = torch.randn(30, 5, 13, generator=torch.Generator().manual_seed(0))
    rows = Rows.of(features, 8)
    leading, rest = torch.from_numpy(rows.leading), torch.from_numpy(rows.rest)
    assert leading.shape == (5, 24, 32) and rest.shape == (5, 32, 32)
    assert torch.equal(leading[:, :, 8:21], features[:24].transpose(0, 1))
    assert torch.equal(rest[:, 8:21, :6], features[24:].permute(1, 2, 0))
    held = float(leading.abs().sum() + rest.abs().sum())
    assert held == pytest.approx(float(features.abs().sum()), rel=1e-5)
    expected = features[24:].norm(dim=0)
    torch.testing.assert_close(torch.from_numpy(rows.length)[:, 8:21], expected)


def test_what_asks_for_gradients_is_left_to_tensor_operations():
    x = picture(3, 8, 9).requires_grad_()
    compiled.box_mean(x, 1).sum().backward()
    color.rgb_to_lab(x).sum().backward()
    assert x.grad is not None and bool(x.grad.isfinite().all())


def test_a_folder_that_cannot_be_written_only_costs_time(monkeypatch):
    def refused(self):
        raise RuntimeError("cannot cache function: no locator available")

    numba = pytest.importorskip("numba")
    monkeypatch.setattr(numba.core.dispatcher.Dispatcher, "enable_caching", refused)

    def doubled(x, out):
        for i in range(len(x)):
            out[i] = 2 * x[i]

    x, out = picture(4).numpy(), picture(4).numpy()
    compiled.compiled(doubled)(x, out)
    assert out.tolist() == (2 * x).tolist()


@settings(deadline=None)
@given(st.integers(1, 60), sides, st.booleans())
def test_mean_of_the_largest(rows, columns, alike):
    scores = picture(rows, columns) * 2 - 1
    if alike:
        scores = scores.round()
    fast, plain = in_both_ways(lambda: compiled.mean_of_largest(scores))
    assert fast.shape == (columns,)
    torch.testing.assert_close(fast, plain, atol=1e-6, rtol=0)
    expected = scores.sort(0, descending=True).values[: compiled.NEAREST].mean(0)
    torch.testing.assert_close(fast, expected, atol=1e-6, rtol=0)


@settings(deadline=None)
@given(st.integers(1, 4), sides, sides, st.integers(0, 99), st.booleans())
def test_places_of_bumps(points, height, width, seed, faint):
    random = torch.Generator().manual_seed(seed)
    xy = torch.rand(points, 2, generator=random) * torch.tensor([width, height])
    maps = point_labels.bumps(xy, (height, width)) + 1e-3 * torch.rand(
        points, height, width, generator=random
    )
    maps = torch.where(maps < 0.05, 0, maps) if faint else maps
    fast, plain = in_both_ways(lambda: point_labels.centres(maps))
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def test_points_that_are_nowhere_have_no_bump():
    fast, plain = in_both_ways(lambda: point_labels.centres(torch.zeros(2, 5, 7)))
    assert torch.equal(fast[1], plain[1]) and torch.equal(fast[0], plain[0])


def test_what_a_label_map_holds_is_laid_out_once(monkeypatch):
    laid_out = []
    monkeypatch.setattr(
        sparse_readout,
        "_laid_out",
        kept_of(lambda maps: laid_out.append(0) or sparse_readout._lay_out(maps)),
    )
    maps = [picture(30, 4, 5, seed=seed) for seed in (1, 2)]
    index, weight = torch.randint(40, (20, 3)), torch.rand(20, 3)
    scales = [torch.rand(30), torch.ones(30)]
    first = sparse_readout.read_sparse(index, weight, maps, scales)
    again = sparse_readout.read_sparse(index, weight, maps, scales)
    assert len(laid_out) == 2 and torch.equal(first[0], again[0])
    other = [maps[0], maps[1].clone()]
    assert torch.equal(sparse_readout.read_sparse(index, weight, other, scales)[0], first[0])
    assert len(laid_out) == 3
