"""The colorization objective on cases that can be computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.coords import pixel_grid
from chromatrack.encoder import FeatureSpec
from chromatrack.learn.objective import (
    copy_loss,
    correspondence_loss,
    correspondence_targets,
    draw_hidden,
    jitter,
)

SPEC = FeatureSpec(4, 8, 0.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_hot_features(pairs: int, size: tuple[int, int]) -> torch.Tensor:
    """(B, N, h, w): every cell its own direction."""
    n = size[0] * size[1]
    return torch.eye(n).reshape(1, n, *size).repeat(pairs, 1, 1, 1)


def standing_still(pairs: int, size: tuple[int, int]) -> torch.Tensor:
    return pixel_grid(size, stride=8, offset=0)[None].repeat(pairs, 1, 1, 1)


def test_hidden_channels_are_never_all_and_half_keep_lightness_alone():
    hidden = draw_hidden(4000, generator())
    assert hidden.shape == (4000, 3) and hidden.dtype == torch.bool
    assert not bool(hidden.all(1).any()) and bool(hidden.any(1).all())
    only_lightness = (hidden == torch.tensor([False, True, True])).all(1)
    assert abs(float(only_lightness.float().mean()) - 0.5) < 0.05
    two = hidden.sum(1) == 2
    assert bool(hidden[two & ~only_lightness][:, 0].all())  # two hidden: one of them is L
    assert torch.equal(hidden, draw_hidden(4000, generator()))


def test_jitter_changes_every_view_on_its_own():
    lab = torch.rand(6, 3, 8, 9).repeat(1, 1, 1, 1)
    assert torch.equal(jitter(lab, strength=0.0, generator=generator()), lab)
    changed = jitter(lab, strength=0.5, generator=generator())
    assert changed.shape == lab.shape and changed.dtype == lab.dtype
    assert torch.equal(changed, jitter(lab, strength=0.5, generator=generator()))
    means = (changed - lab).mean((2, 3))
    assert len(set(means[:, 0].tolist())) == 6 and float(means.abs().max()) < 1


def values_of(pairs: int, size: tuple[int, int]) -> torch.Tensor:
    return torch.rand(pairs, 3, *size, generator=generator(5)) * 2 - 1


def test_perfect_features_copy_identical_views_without_loss():
    features, values = one_hot_features(2, (4, 5)), values_of(2, (4, 5))
    hidden = torch.tensor([[False, True, True], [True, False, True]])
    loss = copy_loss(features, features, values, values, hidden, temperature=0.02)
    assert loss.shape == () and float(loss) < 1e-6


def test_copy_loss_of_blind_features_by_hand():
    """All cells alike: every target copies the mean of the reference."""
    features = torch.ones(1, 4, 1, 2) / 2
    reference = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2).repeat(1, 3, 1, 1)
    hidden = torch.tensor([[False, True, False]])
    loss = copy_loss(features, features, reference, reference, hidden, temperature=0.07)
    assert float(loss) == pytest.approx(0.5 - 0.05)  # smooth L1, beta 0.1: |0.5| - beta / 2


def test_only_hidden_channels_count():
    features, values = one_hot_features(1, (3, 3)), values_of(1, (3, 3))
    wrong = values.clone()
    wrong[:, 0] += 5
    hidden = torch.tensor([[False, True, True]])
    assert float(copy_loss(features, features, wrong, values, hidden, temperature=0.02)) < 1e-6
    assert float(copy_loss(features, features, wrong, values, ~hidden, temperature=0.02)) > 4
    nothing = torch.zeros(1, 3, dtype=torch.bool)
    assert float(copy_loss(features, features, wrong, values, nothing, temperature=0.02)) == 0


def test_gradients_flow_to_both_views():
    maps = F.normalize(torch.randn(2, 2, 8, 4, 4), dim=2).requires_grad_()
    values = values_of(2, (4, 4))
    hidden = torch.ones(2, 3, dtype=torch.bool)
    loss = copy_loss(maps[0], maps[1], values, values.flip(3), hidden, temperature=0.1)
    known = standing_still(2, (4, 4))
    (loss + correspondence_loss(maps[0], maps[1], known, SPEC, temperature=0.1)).backward()
    assert maps.grad is not None and bool(torch.isfinite(maps.grad).all())
    assert float(maps.grad[0].abs().sum()) > 0 and float(maps.grad[1].abs().sum()) > 0


@given(st.floats(0, 31.9), st.floats(0, 23.9))
def test_known_motion_is_a_distribution_centred_on_the_place(x, y):
    place = torch.tensor([x, y]).reshape(1, 1, 1, 2)
    index, weight = correspondence_targets(place, (4, 5), SPEC)
    assert index.shape == weight.shape == (1, 1, 4) and index.dtype == torch.int64
    assert int(index.min()) >= 0 and int(index.max()) < 20 and float(weight.min()) >= 0
    assert float(weight.sum()) == pytest.approx(1, abs=1e-5)
    cells = torch.stack([index % 5, index // 5], -1).float()
    centre = (cells * weight[..., None]).sum(2)[0, 0] * 8
    torch.testing.assert_close(centre, torch.tensor([x, y]), atol=1e-3, rtol=0)


def test_unknown_motion_weighs_nothing_and_places_outside_count_as_the_border():
    place = torch.tensor([[float("nan"), 3.0], [16.0, float("nan")], [99.0, -9.0]])
    index, weight = correspondence_targets(place.reshape(1, 1, 3, 2), (2, 3), SPEC)
    assert weight.sum(2).tolist() == [[0, 0, 1]]
    assert index[0, 2][weight[0, 2] > 0].tolist() == [2]


def test_the_offset_counts():
    place = torch.tensor([11.5, 3.5]).reshape(1, 1, 1, 2)
    index, weight = correspondence_targets(place, (2, 3), FeatureSpec(4, 8, 3.5))
    assert index[0, 0][weight[0, 0] > 0].tolist() == [1]


def test_correspondence_loss_of_four_cells_by_hand():
    features = one_hot_features(1, (2, 2))
    known = standing_still(1, (2, 2))
    loss = correspondence_loss(features, features, known, SPEC, temperature=0.5)
    assert float(loss) == pytest.approx(math.log(math.exp(2) + 3) - 2, abs=1e-6)
    known[0, 0, 0] = torch.tensor([4.0, 0])  # between cells 0 and 1: similarity 1 with one of them
    moved = correspondence_loss(features, features, known, SPEC, temperature=0.5)
    assert float(moved) == pytest.approx(float(loss) + 0.25 * 0.5 * 2, abs=1e-6)


def test_cells_of_other_pairs_are_negatives_and_unknown_cells_do_not_count():
    features = torch.zeros(2, 8, 2, 2)
    features.reshape(2, 8, 4)[0, range(4), range(4)] = 1
    features.reshape(2, 8, 4)[1, range(4, 8), range(4)] = 1
    known = standing_still(2, (2, 2))
    both = correspondence_loss(features, features, known, SPEC, temperature=1.0)
    assert float(both) == pytest.approx(math.log(math.e + 7) - 1, abs=1e-6)
    known[1] = float("nan")
    known[0, 0] = float("nan")
    some = correspondence_loss(features, features, known, SPEC, temperature=1.0)
    assert float(some) == pytest.approx(float(both), abs=1e-6)
    known[:] = float("nan")
    assert float(correspondence_loss(features, features, known, SPEC, temperature=1.0)) == 0


def test_correspondence_loss_falls_as_features_become_right():
    right = one_hot_features(1, (4, 4))
    noise = torch.randn(right.shape, generator=generator(1))
    known = standing_still(1, (4, 4))
    losses = []
    for strength in (2.0, 0.5, 0.1, 0.0):
        found = F.normalize(right + strength * noise, dim=1)
        losses.append(float(correspondence_loss(found, right, known, SPEC, temperature=0.07)))
    assert losses == sorted(losses, reverse=True) and losses[-1] < 1e-4
