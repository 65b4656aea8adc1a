"""The largest label of every pixel, compiled, is what tensor operations say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chromatrack.ops import compiled, winners

sides = st.integers(1, 24)


def maps(labels: int, height: int, width: int, seed: int) -> torch.Tensor:
    return torch.rand(labels, height, width, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(st.integers(1, 40), sides, sides, st.integers(0, 30), st.integers(0, 30), st.integers(0, 9))
def test_larger_sizes(labels, height, width, more, wider, seed):
    if not compiled.has_compiler():
        pytest.skip("no compiler for this Python")
    label_map, size = maps(labels, height, width, seed), (height + more, width + wider)
    found = winners.largest_channel(label_map, size)
    assert found.shape == size and found.dtype == np.int32
    plain = winners.resize(label_map, size)
    chosen = plain.gather(0, torch.from_numpy(found)[None].long())[0]
    assert bool((chosen >= plain.amax(0) - 1e-5).all())  # equal but for what rounding decides


@settings(deadline=None)
@given(st.integers(1, 70), sides, sides, sides, sides)
def test_by_tensors(labels, height, width, high, wide):
    label_map = maps(labels, height, width, 0)
    found = winners._by_tensors(label_map, (high, wide))
    assert np.array_equal(found, winners.resize(label_map, (high, wide)).max(0).indices.numpy())


def test_smaller_sizes_are_smoothed_first():
    label_map = torch.zeros(2, 12, 12)
    label_map[1, ::3, ::3] = 1  # single pixels, a ninth of the area
    label_map[0] = 0.3
    assert not winners.largest_channel(label_map, (4, 4)).any()


def test_the_first_of_equals_wins():
    assert not winners.largest_channel(torch.full((3, 4, 4), 0.5), (9, 7)).any()


@settings(deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 99),
    st.sampled_from([0.0, 0.5, 0.97]),
)
def test_masks_of_a_coarser_grid(masks, height, width, seed, empty):
    if not compiled.has_compiler():
        pytest.skip("no compiler for this Python")
    coarse = maps(2 * masks, -(-height // 4), -(-width // 4), seed)
    held = torch.where(coarse[masks:] < empty, 0, coarse[:masks])
    held = held / held.sum(0).clamp(min=1)
    found = winners.largest_of_coarse(held, (height, width))
    assert found.shape == (height, width) and found.dtype == np.int32
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winners, "can_compile", lambda *tensors: False)
        plain = winners.largest_of_coarse(held, (height, width))
    fine = winners.from_coarse(held, (height, width))
    both = torch.cat([(1 - fine.sum(0, keepdim=True)).clamp(min=0), fine])
    chosen = both.gather(0, torch.from_numpy(found)[None].long())[0]
    assert bool((chosen >= both.amax(0) - 1e-5).all())  # equal but for what rounding decides
    assert (found != plain).mean() < 0.05


def test_where_no_mask_is_there_is_background():
    assert not winners.largest_of_coarse(torch.zeros(3, 4, 5), (14, 19)).any()
    assert (winners.largest_of_coarse(torch.ones(1, 4, 5), (14, 19)) == 1).all()
