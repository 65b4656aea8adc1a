"""The compiled search of windows equals the plain definition, whatever it prepared before."""

from __future__ import annotations

import pickle

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chromatrack.ops import window_search
from chromatrack.ops.affinity import SparseAffinity, full_affinity, tiled_affinity
from chromatrack.ops.window_search import WindowSearch

pytest.importorskip("numba", reason="no compiler for this Python: tensor operations search")


def feature_maps(count: int, size: tuple[int, int], *, channels: int = 40, seed: int = 0):
    """(count, C, h, w), unit length; few directions hold most, and neighbours are alike."""
    generator = torch.Generator().manual_seed(seed)
    scale = 0.9 ** torch.arange(channels)
    x = torch.randn(count, channels, *size, generator=generator) * scale[:, None, None]
    mixed = torch.linalg.qr(torch.randn(channels, channels, generator=generator))[0]
    x = torch.einsum("dc,nchw->ndhw", mixed, x)
    return F.normalize(x + F.avg_pool2d(x, 3, 1, 1), dim=1)


def dense(pointer: SparseAffinity, references: int) -> torch.Tensor:
    h, w = pointer.size
    full = torch.zeros(h * w, references * h * w)
    return full.scatter_add(1, pointer.index, pointer.weight)


def assert_same(found: SparseAffinity, plain: SparseAffinity, references: int) -> None:
    """The same cells with the same weights; of cells alike to rounding, either may be the last."""
    k = max(found.weight.shape[1], plain.weight.shape[1])  # one fills up with zeros
    ranked = [
        F.pad(p.weight, (0, k - p.weight.shape[1])).sort(1, descending=True).values
        for p in (found, plain)
    ]
    torch.testing.assert_close(*ranked, atol=1e-4, rtol=0)
    one, other = dense(found, references), dense(plain, references)
    differ = (one - other).abs() > 1e-4
    last = ranked[1][:, -1:].expand_as(one)
    assert not differ.any() or float((torch.maximum(one, other) - last)[differ].abs().max()) < 1e-4


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 19), st.integers(1, 27), st.lists(st.sampled_from([0, 1, 3, 8, 9, 20, 33]),
    min_size=1, max_size=4), st.sampled_from([1, 2, 10, 64]), st.sampled_from(["square", "disc"]),
    st.sampled_from([5, 32, 33, 70]), st.booleans(), st.integers(0, 999),
)  # fmt: skip
@example(12, 107, [20, 8, 8], 10, "square", 109, True, 0)
@example(40, 9, [33, 3], 10, "disc", 36, True, 1)
def test_it_equals_the_plain_definition(h, w, radius, top_k, shape, channels, led, seed):
    if shape == "disc":
        radius = [max(1, r) for r in radius]  # disc 0 holds no cell
    maps = feature_maps(len(radius) + 1, (h, w), channels=channels, seed=seed)
    search = WindowSearch()
    if led:
        search.lead_by(maps[1])
    knobs = {"radius": radius, "top_k": top_k, "temperature": 0.07, "radius_shape": shape}
    plain = full_affinity(maps[0], maps[1:], **knobs)
    found = tiled_affinity(maps[0], list(maps[1:]), search=search, **knobs)
    assert_same(found, plain, len(radius))


@pytest.fixture
def searched(monkeypatch):
    """Counts searches of windows, to tell that they were asked."""
    calls = []
    real = WindowSearch.top_k

    def counted(*args):
        calls.append(1)
        return real(*args)

    monkeypatch.setattr(WindowSearch, "top_k", counted)
    return calls


def test_it_is_asked_where_it_can_and_elsewhere_tensor_operations_are(searched):
    maps = feature_maps(3, (20, 21))
    search = WindowSearch()
    knobs = {"temperature": 0.07, "search": search}
    tiled_affinity(maps[0], maps[1:], radius=[5, 8], top_k=10, **knobs)
    assert len(searched) == 1
    tiled_affinity(maps[0], maps[1:], radius=[5, 8], top_k=65, **knobs)  # more than it keeps
    tiled_affinity(maps[0], maps[1:], radius=[1, 0], top_k=11, **knobs)  # more than there are
    tiled_affinity(maps[0], maps[1:], radius=[None, None], top_k=10, **knobs)  # no windows
    tiled_affinity(maps[0], maps[1:], radius=[5, 8], top_k=10, temperature=0.07)
    assert len(searched) == 1
    mixed = tiled_affinity(maps[0], maps[1:], radius=[None, 4], top_k=10, **knobs)
    assert len(searched) == 2
    plain = full_affinity(maps[0], maps[1:], radius=[None, 4], top_k=10, temperature=0.07)
    torch.testing.assert_close(dense(mixed, 2), dense(plain, 2), atol=1e-4, rtol=0)


def test_cells_that_are_not_active_are_left_out_by_blocks_of_eight():
    maps = feature_maps(2, (6, 20))
    active = torch.zeros(6, 20, dtype=torch.bool)
    active[2, 9] = True
    knobs = {"radius": [8], "top_k": 5, "temperature": 0.07, "search": WindowSearch()}
    every = dense(tiled_affinity(maps[0], maps[1:], **knobs), 1)
    some = dense(tiled_affinity(maps[0], maps[1:], active=active, **knobs), 1)
    inside = torch.zeros(6, 20, dtype=torch.bool)
    inside[2, 8:16] = True
    assert torch.equal(some[inside.flatten()], every[inside.flatten()])
    assert float(some[~inside.flatten()].abs().sum()) == 0


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    maps = feature_maps(4, (23, 37))
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        search = WindowSearch()
        search.lead_by(maps[1])
        knobs = {"radius": [20, 8, 8], "top_k": 10, "temperature": 0.07, "search": search}
        found.append(tiled_affinity(maps[0], maps[1:], **knobs))
    assert torch.equal(found[0].index, found[1].index)
    assert torch.equal(found[0].weight, found[1].weight)


def test_a_frame_is_prepared_once_and_let_go(monkeypatch):
    prepared = []
    real = window_search.Rows.of

    def counted(features, pad):
        prepared.append(pad)
        return real(features, pad)

    monkeypatch.setattr(window_search.Rows, "of", counted)
    maps = list(feature_maps(6, (9, 10)))
    search = WindowSearch()
    search.lead_by(maps[0])
    knobs = {"radius": [8, 5], "top_k": 10, "temperature": 0.07, "search": search}
    for index in range(2, 6):
        tiled_affinity(maps[index], [maps[0], maps[index - 1]], **knobs)
    assert len(prepared) == 6
    assert len(search._kept) == 3


def test_what_leads_changes_no_result_and_may_change():
    maps = feature_maps(3, (15, 16), channels=50)
    knobs = {"radius": [8, 8], "top_k": 10, "temperature": 0.07}
    search, found = WindowSearch(), []
    for leader in (None, maps[1], maps[2]):
        if leader is not None:
            search.lead_by(leader)
        found.append(dense(tiled_affinity(maps[0], list(maps[1:]), search=search, **knobs), 2))
    torch.testing.assert_close(found[1], found[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[2], found[0], atol=1e-4, rtol=0)


def test_written_down_it_is_a_new_one():
    maps = feature_maps(2, (9, 10))
    search = WindowSearch()
    search.lead_by(maps[0])
    again = pickle.loads(pickle.dumps(search))
    assert again._turn is None and not again._kept


def test_without_the_compiler_tensor_operations_search(monkeypatch, searched):
    monkeypatch.setattr(window_search, "has_compiler", lambda: False)
    maps = feature_maps(3, (12, 13))
    knobs = {"radius": [5, 8], "top_k": 10, "temperature": 0.07}
    found = tiled_affinity(maps[0], maps[1:], search=WindowSearch(), **knobs)
    plain = full_affinity(maps[0], maps[1:], **knobs)
    torch.testing.assert_close(dense(found, 2), dense(plain, 2), atol=1e-5, rtol=0)
    assert not searched
