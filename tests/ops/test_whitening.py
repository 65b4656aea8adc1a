"""Whitened features: one scale of likeness for all pictures."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.ops.whitening import Whitening


def unit_features(seed: int, *, common: float, channels: int = 8) -> torch.Tensor:
    """Unit features that share a direction as strongly as `common` says."""
    drawn = torch.randn(channels, 20, 30, generator=torch.Generator().manual_seed(seed))
    drawn[0] += common
    return F.normalize(drawn, dim=0)


@given(seed=st.integers(0, 50), common=st.floats(0, 8))
def test_looks_have_unit_length(seed, common):
    looks = Whitening.of(unit_features(seed, common=common))(unit_features(seed + 1, common=1.0))
    torch.testing.assert_close(looks.norm(dim=0), torch.ones(20, 30))


@given(seed=st.integers(0, 50), common=st.floats(8, 30))
def test_what_all_cells_have_in_common_makes_them_alike_by_a_limit(seed, common):
    features = unit_features(seed, common=common)
    cells = features.flatten(1)
    assert float((cells.T @ cells).mean()) > 0.85
    looks = Whitening.of(features)(features).flatten(1)
    assert float((looks.T @ looks).mean()) < 0.75


def test_a_small_difference_is_seen_beside_a_large_one():
    features = torch.randn(8, 20, 30, generator=torch.Generator().manual_seed(0))
    features[:4] *= 10  # says nothing of left and right
    features[7, :, :15] -= 1
    features[7, :, 15:] += 1
    features = F.normalize(features, dim=0)
    left, right = slice(0, 15), slice(15, 30)

    def told_apart(maps: torch.Tensor) -> float:
        within, across = maps[:, :, left].flatten(1), maps[:, :, right].flatten(1)
        return float((within.T @ within).mean() - (within.T @ across).mean())

    assert told_apart(Whitening.of(features)(features)) > 5 * told_apart(features)


@given(seed=st.integers(0, 50))
def test_a_turn_of_all_features_changes_no_likeness(seed):
    features = unit_features(seed, common=2.0)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(seed))).Q
    turned = torch.einsum("ij,jhw->ihw", turn, features)
    cells = Whitening.of(features)(features).flatten(1)
    others = Whitening.of(turned)(turned).flatten(1)
    torch.testing.assert_close(others.T @ others, cells.T @ cells, atol=1e-3, rtol=0)


def test_a_flat_picture_has_finite_looks():
    features = torch.zeros(8, 5, 6)
    features[2] = 1
    looks = Whitening.of(features)(features)
    assert bool(looks.isfinite().all()) and float(looks.abs().max()) <= 1
