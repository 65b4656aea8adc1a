"""The pointer over all cells: equal to the full matrix, and to the sparse form with every cell."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.ops.affinity import affinity, readout, similarity, tiled_affinity, window_mask
from chromatrack.ops.dense_affinity import dense_affinity


def maps_of(count: int, size: tuple[int, int], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 6, *size, generator=generator), dim=1)


radii = st.lists(st.sampled_from([None, 1, 2, 5, 40]), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 15), st.integers(1, 15), radii, st.sampled_from(["square", "disc"]),
    st.sampled_from([1, 4, 12]), st.integers(0, 99),
)  # fmt: skip
@example(13, 7, [2, None, 3], "square", 12, 1)
@example(9, 9, [9, 10], "disc", 4, 2)  # discs that just miss, or hold, the corners
def test_equals_the_full_matrix(h, w, radius, shape, tile, seed):
    maps = maps_of(len(radius) + 1, (h, w), seed)
    labels = torch.rand(len(radius), 3, h, w, generator=torch.Generator().manual_seed(seed))
    pointer = dense_affinity(
        maps[0], maps[1:], radius=radius, temperature=0.3, radius_shape=shape, tile=tile
    )
    scores, masks = [], []
    for reference, r in zip(maps[1:], radius, strict=True):
        scores.append(similarity(maps[0].flatten(1), reference.flatten(1)))
        whole = torch.ones(h * w, h * w, dtype=torch.bool)
        masks.append(whole if r is None else window_mask((h, w), radius=r, radius_shape=shape))
    full = affinity(torch.cat(scores, 1), temperature=0.3, mask=torch.cat(masks, 1))
    expected = readout(full, labels.transpose(0, 1).flatten(1)).reshape(3, h, w)
    torch.testing.assert_close(pointer.readout(labels), expected, atol=1e-5, rtol=1e-4)
    nats = -torch.special.xlogy(full, full).sum(1)
    share = nats / (full > 0).sum(1).clamp(min=2).log()
    torch.testing.assert_close(pointer.entropy().flatten(), share, atol=1e-4, rtol=1e-3)
    rows = pointer.readout(torch.ones(len(radius), 1, h, w))
    torch.testing.assert_close(rows, torch.ones(1, h, w))


def test_equals_the_sparse_form_that_takes_every_cell():
    maps = maps_of(3, (14, 11), 5)
    labels = torch.rand(2, 4, 14, 11)
    knobs = {"radius": [3, None], "temperature": 0.1}
    dense = dense_affinity(maps[0], maps[1:], **knobs)
    sparse = tiled_affinity(maps[0], maps[1:], top_k=10_000, **knobs)
    torch.testing.assert_close(dense.readout(labels), sparse.readout(labels), atol=1e-5, rtol=1e-4)
    assert dense.size == sparse.size == (14, 11)


def test_tiles_without_an_active_cell_are_skipped():
    maps, active = maps_of(2, (8, 8), 3), torch.zeros(8, 8, dtype=torch.bool)
    active[1, 1] = True
    pointer = dense_affinity(maps[0], maps[1:], radius=[2], temperature=1, active=active, tile=4)
    copied = pointer.readout(torch.ones(1, 1, 8, 8))[0]
    assert float(copied[:4, :4].min()) == pytest.approx(1)
    assert float(copied[4:].abs().sum() + copied[:, 4:].abs().sum()) == 0


def test_shapes_that_do_not_fit():
    maps = maps_of(2, (4, 4), 0)
    with pytest.raises(InputError, match="one radius"):
        dense_affinity(maps[0], maps[1:], radius=[1, 2], temperature=1)
    with pytest.raises(InputError, match="same C, h, w"):
        dense_affinity(maps[0], maps[0], radius=[1], temperature=1)
