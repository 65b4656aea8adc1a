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


def mean_cosine(features: torch.Tensor) -> float:
    cells = features.flatten(1)
    return float((cells.T @ cells).mean())


@given(seed=st.integers(0, 50), common=st.floats(0, 8))
def test_what_all_cells_have_in_common_makes_them_no_more_alike(seed, common):
    features = unit_features(seed, common=common)
    looks = Whitening.of(features)(features)
    torch.testing.assert_close(looks.norm(dim=0), torch.ones(20, 30))
    assert abs(mean_cosine(looks)) < 0.02


def test_a_difference_that_was_small_is_seen():
    features = unit_features(0, common=8.0)
    features[:, :, 15:] = F.normalize(features[:, :, 15:] + 0.3 * torch.eye(8)[3][:, None, None], 0)
    left, right = slice(0, 15), slice(15, 30)

    def apart(maps: torch.Tensor) -> float:
        middle = [F.normalize(maps[:, :, part].flatten(1).mean(1), dim=0) for part in (left, right)]
        return 1 - float(middle[0] @ middle[1])

    looks = Whitening.of(features)(features)
    assert apart(looks) > 10 * apart(features)


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
