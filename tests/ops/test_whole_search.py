"""The compiled search of whole frames equals the plain definition, frame after frame."""

from __future__ import annotations

import pickle

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chromatrack.ops.affinity import full_affinity, tiled_affinity
from chromatrack.ops.whole_search import WholeSearch
from chromatrack.ops.window_search import WindowSearch

pytest.importorskip("numba", reason="no compiler for this Python: tensor operations search")


def film(count: int, size: tuple[int, int], *, channels: int, seed: int) -> torch.Tensor:
    """(count, C, h, w), unit length: smooth maps that drift, most of them in few directions."""
    generator = torch.Generator().manual_seed(seed)
    scale = 0.9 ** torch.arange(channels)
    first = torch.randn(channels, *size, generator=generator) * scale[:, None, None]
    steps = 0.2 * torch.randn(count, channels, *size, generator=generator) * scale[:, None, None]
    maps = first + steps.cumsum(0)
    mixed = torch.linalg.qr(torch.randn(channels, channels, generator=generator))[0]
    return F.normalize(torch.einsum("dc,nchw->ndhw", mixed, maps) + 0.02, dim=1)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 17), st.integers(1, 19), st.integers(1, 3), st.sampled_from([1, 3, 10]),
    st.sampled_from([57, 70, 109]), st.integers(0, 999),
)  # fmt: skip
@example(12, 107, 1, 10, 109, 0)
def test_it_equals_the_plain_definition_on_every_frame(h, w, references, k, channels, seed):
    maps = film(references + 3, (h, w), channels=channels, seed=seed)
    others, search = [*maps[:references]], WindowSearch()
    for number, target in enumerate(maps[references:]):
        if number == 2:
            others = [others[0], *maps[references : references * 2 - 1]]  # other references
        knobs = {"radius": [None] * len(others), "top_k": k, "temperature": 0.05}
        found = tiled_affinity(target, others, search=search, **knobs)
        plain = full_affinity(target, torch.stack(others), **knobs)
        assert found.index.shape == plain.index.shape
        assert search.whole._found is not None or k > len(others) * h * w
        torch.testing.assert_close(found.weight, plain.weight, atol=2e-5, rtol=0)
        cells = torch.cat([x.flatten(1) for x in others], 1).T
        own = target.flatten(1).T[:, None]
        same = [(cells[p.index] * own).sum(2) for p in (found, plain)]
        torch.testing.assert_close(*same, atol=1e-5, rtol=0)
        assert all(len(set(row)) == len(row) for row in found.index.tolist())


def test_windows_and_whole_frames_are_searched_together():
    maps = film(4, (9, 14), channels=64, seed=3)
    knobs = {"radius": [None, 2, None], "top_k": 10, "temperature": 0.05}
    found = tiled_affinity(maps[3], [*maps[:3]], search=WindowSearch(), **knobs)
    plain = full_affinity(maps[3], maps[:3], **knobs)
    torch.testing.assert_close(found.weight, plain.weight, atol=2e-5, rtol=0)
    assert float((found.index == plain.index).float().mean()) > 0.99


def test_a_written_search_begins_anew():
    maps, search = film(2, (4, 6), channels=60, seed=1), WholeSearch()
    search.top_k(maps[1], [maps[0]], 3)
    assert pickle.loads(pickle.dumps(search))._found is None


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 17), st.integers(1, 19), st.integers(1, 2), st.sampled_from([2, 3]))
@example(15, 20, 1, 3)
def test_in_turns_it_finds_nearly_as_much(h, w, references, every):
    maps = film(references + 1, (h, w), channels=60, seed=h * w)
    moved = [torch.roll(maps[-1], (step // 2, step), (1, 2)) for step in range(10)]
    others, k = [*maps[:references]], min(5, references * h * w)
    turns, exact = WholeSearch(every), WholeSearch()
    assert turns.can(moved[0], k, references)
    for number, target in enumerate(moved):
        (close, found), (best, _) = (s.top_k(target, others, k) for s in (turns, exact))
        cells = torch.cat([x.flatten(1) for x in others], 1).T
        own = (cells[found] * target.flatten(1).T[:, None]).sum(2)
        torch.testing.assert_close(close, own, atol=1e-5, rtol=0)
        assert all(len(set(row)) == k for row in found.tolist())
        assert bool((close <= best + 1e-5).all()) and bool((close[:, :-1] >= close[:, 1:]).all())
        if number == 0:
            torch.testing.assert_close(close, best, atol=1e-5, rtol=0)


def test_in_turns_smooth_frames_are_followed_as_they_move():
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(48.0), indexing="ij")
    waves = torch.rand(60, 2, generator=torch.Generator().manual_seed(0)) * 0.5
    wide = F.normalize(torch.sin(waves[:, :1, None] * rows + waves[:, 1:, None] * columns), dim=0)
    reference, turns, exact = wide[:, 8:28, 8:32].contiguous(), WholeSearch(3), WholeSearch()
    recall = 0.0
    for step in range(5):
        target = wide[:, 8 + step : 28 + step, 8 + 2 * step : 32 + 2 * step].contiguous()
        found, best = (s.top_k(target, [reference], 10)[1] for s in (turns, exact))
        recall = float((found[:, :, None] == best[:, None]).any(1).float().mean())
    assert recall > 0.8
    assert pickle.loads(pickle.dumps(turns)).every == 3
