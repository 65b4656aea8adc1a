"""The pointer: the tiled form equals the plain definition, and both do what they say."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.ops.affinity import (
    SparseAffinity,
    active_tiles,
    affinity,
    full_affinity,
    readout,
    similarity,
    tiled_affinity,
    window_mask,
)


def feature_maps(count: int, size: tuple[int, int], *, channels: int = 8, seed: int = 0):
    """(count, C, h, w) unit-length random feature maps."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, channels, *size, generator=generator), dim=1)


def dense(pointer: SparseAffinity, references: int) -> torch.Tensor:
    """(N, R * N) matrix of a sparse pointer."""
    h, w = pointer.size
    full = torch.zeros(h * w, references * h * w)
    return full.scatter_add(1, pointer.index, pointer.weight)


def both(target, references, **knobs):
    plain = full_affinity(target, references, **{k: v for k, v in knobs.items() if k != "tile"})
    return plain, tiled_affinity(target, references, **knobs)


radii = st.lists(st.sampled_from([None, 0, 1, 2, 5, 40]), min_size=1, max_size=4)


@settings(max_examples=80)
@given(
    st.integers(1, 17), st.integers(1, 17), radii, st.sampled_from([1, 2, 5, 10, 5000]),
    st.sampled_from(["square", "disc"]), st.sampled_from([1, 3, 8, 12, 24]), st.integers(0, 999),
)  # fmt: skip
@example(5, 9, [12], 10, "square", 12, 0)  # window larger than the frame
@example(13, 7, [2, None, 3, 0], 10, "square", 12, 1)  # mixed windows, ragged last tile
@example(16, 16, [16, 17], 5000, "disc", 8, 2)  # discs that just miss, or hold, the corners
@example(1, 1, [0], 10, "square", 12, 3)
def test_tiled_equals_full(h, w, radius, top_k, shape, tile, seed):
    if shape == "disc":
        radius = [max(1, r) if r is not None else None for r in radius]  # disc 0 holds no cell
    R = len(radius)
    maps = feature_maps(R + 1, (h, w), seed=seed)
    plain, tiled = both(
        maps[0], maps[1:], radius=radius, top_k=top_k, temperature=0.07, radius_shape=shape,
        tile=tile,
    )  # fmt: skip
    a, b = dense(plain, R), dense(tiled, R)
    torch.testing.assert_close(b, a, atol=1e-5, rtol=0)
    torch.testing.assert_close(b.sum(1), torch.ones(h * w))
    labels = torch.rand(R, 3, h, w, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(tiled.readout(labels), plain.readout(labels), atol=1e-5, rtol=0)
    assert tiled.weight.shape[1] <= min(top_k, R * h * w)
    k = tiled.weight.shape[1]
    ordered = plain.weight.sort(1, descending=True).values
    torch.testing.assert_close(
        tiled.weight.sort(1, descending=True).values, ordered[:, :k], atol=1e-5, rtol=0
    )
    assert float(ordered[:, k:].sum()) == 0
    for number, r in enumerate(radius):
        if r is not None:
            outside = ~window_mask((h, w), radius=r, radius_shape=shape)
            part = b[:, number * h * w : (number + 1) * h * w]
            assert float(part[outside].abs().sum()) == 0
    entropy = tiled.entropy()
    assert entropy.shape == (h, w)
    assert float(entropy.min()) >= -1e-6 and float(entropy.max()) <= 1 + 1e-6


@pytest.mark.parametrize("shape", ["square", "disc"])
def test_tiled_equals_full_at_the_default_setting(shape):
    maps = feature_maps(4, (30, 41), channels=16)
    plain, tiled = both(
        maps[0], maps[1:], radius=[12, 12, 3], top_k=10, temperature=0.07, radius_shape=shape
    )
    torch.testing.assert_close(dense(tiled, 3), dense(plain, 3), atol=1e-5, rtol=0)
    assert tiled.index.shape == tiled.weight.shape == (30 * 41, 10)
    assert tiled.index.dtype == torch.int64 and tiled.weight.dtype == torch.float32


def test_autocast_changes_nothing():
    maps = feature_maps(3, (14, 15))
    labels = torch.rand(2, 4, 14, 15)
    knobs = {"radius": [3, None], "top_k": 5, "temperature": 0.07}
    outside = tiled_affinity(maps[0], maps[1:], **knobs)
    with torch.autocast("cpu", torch.bfloat16):
        assert (maps[0].flatten(1).T @ maps[1].flatten(1)).dtype == torch.bfloat16
        inside = tiled_affinity(maps[0], maps[1:], **knobs)
        copied = inside.readout(labels)
    assert inside.weight.dtype == copied.dtype == torch.float32
    assert torch.equal(inside.weight, outside.weight) and torch.equal(inside.index, outside.index)
    assert torch.equal(copied, outside.readout(labels))


@pytest.mark.parametrize("top_k", [1, 7, None])
def test_the_training_form_equals_the_tracking_form(top_k):
    h, w, R = 9, 11, 2
    maps = feature_maps(R + 1, (h, w))
    labels = torch.rand(R, 3, h, w)
    keys = maps[1:].transpose(0, 1).flatten(1)
    mask = window_mask((h, w), radius=4).repeat(1, R)
    pointer = affinity(
        similarity(maps[0].flatten(1), keys), temperature=0.07, top_k=top_k, mask=mask
    )
    copied = readout(pointer, labels.transpose(0, 1).flatten(1)).reshape(3, h, w)
    sparse = tiled_affinity(
        maps[0], maps[1:], radius=[4, 4], top_k=top_k or R * h * w, temperature=0.07
    )
    torch.testing.assert_close(sparse.readout(labels), copied, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (2, -3), (-4, 4)])
@pytest.mark.parametrize("tile", [5, 12])
def test_a_shifted_map_is_pointed_at_exactly(dy, dx, tile):
    h, w = 20, 23
    reference = feature_maps(1, (h, w), channels=16)
    target = reference[0].roll((dy, dx), dims=(1, 2))
    found = tiled_affinity(target, reference, radius=[4], top_k=1, temperature=0.07, tile=tile)
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    inside = (y - dy >= 0) & (y - dy < h) & (x - dx >= 0) & (x - dx < w)
    expected = (y - dy) * w + (x - dx)
    assert torch.equal(found.index.reshape(h, w)[inside], expected[inside])
    assert torch.equal(found.weight, torch.ones(h * w, 1))


def test_label_maps_that_sum_to_one_keep_doing_so():
    maps = feature_maps(3, (10, 12))
    labels = torch.rand(2, 4, 10, 12).softmax(1)
    pointer = tiled_affinity(maps[0], maps[1:], radius=[2, 2], top_k=6, temperature=0.07)
    copied = pointer.readout(labels)
    assert copied.shape == (4, 10, 12) and copied.dtype == torch.float32
    torch.testing.assert_close(copied.sum(0), torch.ones(10, 12))


def test_skipped_tiles_are_zero_and_the_others_as_ever():
    maps = feature_maps(3, (20, 26))
    active = torch.zeros(20, 26, dtype=torch.bool)
    active[3, 14] = True
    knobs = {"radius": [3, 5], "top_k": 6, "temperature": 0.07, "tile": 12}
    some = dense(tiled_affinity(maps[0], maps[1:], active=active, **knobs), 2)
    every = dense(tiled_affinity(maps[0], maps[1:], **knobs), 2)
    in_tile = torch.zeros(20, 26, dtype=torch.bool)
    in_tile[:12, 12:24] = True
    torch.testing.assert_close(some[in_tile.flatten()], every[in_tile.flatten()])
    assert float(some[~in_tile.flatten()].abs().sum()) == 0


def test_active_tiles_are_numbered_row_by_row():
    active = torch.zeros(20, 26, dtype=torch.bool)
    assert active_tiles(None, (20, 26), tile=12, device=active.device).tolist() == list(range(6))
    assert active_tiles(active, (20, 26), tile=12, device=active.device).tolist() == []
    active[0, 25] = active[19, 0] = True
    assert active_tiles(active, (20, 26), tile=12, device=active.device).tolist() == [2, 3]


def test_entropy_is_zero_for_one_cell_and_one_for_all():
    same = torch.ones(4, 6, 7) / 2
    spread = tiled_affinity(same, same[None], radius=[None], top_k=5, temperature=0.07)
    torch.testing.assert_close(spread.entropy(), torch.ones(6, 7))
    single = tiled_affinity(same, same[None], radius=[2], top_k=1, temperature=0.07)
    assert torch.equal(single.entropy(), torch.zeros(6, 7))


def test_similarity_is_the_dot_product():
    target, reference = torch.randn(2, 3, 5), torch.randn(2, 3, 4)
    scores = similarity(target, reference)
    assert scores.shape == (2, 5, 4)
    torch.testing.assert_close(scores[1, 2, 3], (target[1, :, 2] * reference[1, :, 3]).sum())


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([None, 1, 3, 50]))
def test_affinity_rows_sum_to_one_over_exactly_top_k_cells(rows, columns, top_k):
    pointer = affinity(torch.randn(2, rows, columns), temperature=0.5, top_k=top_k)
    assert pointer.shape == (2, rows, columns) and float(pointer.min()) >= 0
    torch.testing.assert_close(pointer.sum(-1), torch.ones(2, rows))
    assert torch.equal((pointer > 0).sum(-1), torch.full((2, rows), min(top_k or 99, columns)))


def test_affinity_divides_by_the_temperature_once():
    scores = torch.tensor([[0.2, 0.4]])
    pointer = affinity(scores, temperature=0.1)
    torch.testing.assert_close(pointer, torch.tensor([[2.0, 4.0]]).softmax(1))


@pytest.mark.parametrize("top_k", [None, 2])
def test_forbidden_pairs_weigh_exactly_zero(top_k):
    mask = torch.tensor([[True, False, True], [False, False, True]])
    pointer = affinity(torch.full((2, 3), 0.9), temperature=0.05, top_k=top_k, mask=mask)
    torch.testing.assert_close(pointer, torch.tensor([[0.5, 0, 0.5], [0, 0, 1.0]]))
    assert float(pointer[~mask].abs().sum()) == 0


def test_affinity_lets_gradients_through():
    scores = torch.randn(3, 6, requires_grad=True)
    readout(affinity(scores, temperature=0.1, top_k=3), torch.randn(2, 6)).square().sum().backward()
    assert scores.grad is not None and float(scores.grad.abs().sum()) > 0


@pytest.mark.parametrize("shape", ["square", "disc"])
@pytest.mark.parametrize("radius", [0, 1, 2, 9])
def test_window_mask_cell_by_cell(shape, radius):
    h, w = 4, 5
    mask = window_mask((h, w), radius=radius, radius_shape=shape)
    assert mask.shape == (h * w, h * w) and mask.dtype == torch.bool
    for i in range(h * w):
        for j in range(h * w):
            dy, dx = i // w - j // w, i % w - j % w
            square = max(abs(dy), abs(dx)) <= radius
            assert bool(mask[i, j]) == (square if shape == "square" else dy**2 + dx**2 < radius**2)


@pytest.mark.parametrize("point", [full_affinity, tiled_affinity])
def test_shapes_that_do_not_fit_are_refused(point):
    maps = feature_maps(3, (4, 5))
    knobs = {"top_k": 3, "temperature": 0.07}
    with pytest.raises(InputError, match=r"same C, h, w; got \(8, 4, 5\) and \(2, 8, 5, 5\)"):
        point(maps[0], feature_maps(2, (5, 5)), radius=[1, 1], **knobs)
    with pytest.raises(InputError, match="expected target"):
        point(maps, maps, radius=[1, 1, 1], **knobs)
    with pytest.raises(InputError, match=r"each of the 2 references, got \[1\]"):
        point(maps[0], maps[1:], radius=[1], **knobs)
    with pytest.raises(InputError, match=r"radius >= 0 .* got \[1, -2\]"):
        point(maps[0], maps[1:], radius=[1, -2], **knobs)
