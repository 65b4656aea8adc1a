"""The colorization objective on cases that can be computed by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.ops.affinity import affinity, readout, similarity
from chromatrack.ops.coords import FeatureSpec, pixel_grid
from chromatrack.training.config import Objective
from chromatrack.training.data.sampler import Batch
from chromatrack.training.objective import (
    classify,
    correspondence_loss,
    correspondence_targets,
    distill_loss,
    near_window,
    regress,
    terms,
    total,
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


def values_of(pairs: int, size: tuple[int, int]) -> torch.Tensor:
    return torch.rand(pairs, 3, *size, generator=generator(5)) * 2 - 1


def copy_loss(target, reference, target_values, reference_values, hidden, *, temperature):
    """Colours copied along the pointer and compared, as `terms` does it."""
    scores = similarity(target.flatten(2), reference.flatten(2))
    pointer = affinity(scores, temperature=temperature)
    return regress(readout(pointer, reference_values.flatten(2)), target_values.flatten(2), hidden)


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


def test_cross_entropy_of_copied_colors_by_hand():
    copied = torch.tensor([[[0.5, 1.0], [0.25, 0.0], [0.25, 0.0]]])  # 3 classes, 2 cells
    truth = torch.tensor([[0, 0]])
    yes = torch.tensor([True])
    assert float(classify(copied, truth, yes)) == pytest.approx(math.log(2) / 2)
    assert float(classify(copied, truth, ~yes)) == 0
    wrong = classify(copied, torch.tensor([[0, 1]]), yes)
    assert float(wrong) == pytest.approx((math.log(2) + math.log(1e6)) / 2, rel=1e-4)  # bounded


def test_examples_without_a_hidden_color_do_not_count_in_classification():
    copied = torch.tensor([[[0.5], [0.5]], [[0.1], [0.9]]])
    counted = torch.tensor([True, False])
    loss = classify(copied, torch.tensor([[0], [0]]), counted)
    assert float(loss) == pytest.approx(math.log(2))


def test_near_frames_look_near_and_far_ones_everywhere():
    allowed = near_window((3, 4), near=torch.tensor([True, False]), radius=1, references=2)
    assert allowed.shape == (2, 12, 24) and bool(allowed[1].all())
    corner = allowed[0, 0].reshape(2, 3, 4)
    assert torch.equal(corner[0], corner[1])
    assert corner[0].nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def batch_of(size: int, views: int = 2, side: int = 32) -> Batch:
    lab = torch.rand(size, views, 3, side, side, generator=generator(3)) * 2 - 1
    cells = side // 8
    return Batch(
        lab=lab,
        seen=lab,
        hidden=torch.tensor([[False, True, True]] * size),
        correspondence=standing_still(size, (cells, cells)),
        gap_seconds=torch.tensor([0.1] * size),
        source=torch.arange(size),
    )


REGRESS = Objective(compare="regress", copy=10.0)
ALL = replace(REGRESS, correspondence=1.0, window=1, window_seconds=0.5)


@pytest.mark.parametrize("views", [2, 4])
def test_a_recipe_has_the_terms_it_weighs_and_their_sum(views):
    batch = batch_of(3, views)
    features = F.normalize(torch.randn(3, views, 8, 4, 4, generator=generator(1)), dim=2)
    features.requires_grad_()
    found = terms(features, batch, ALL, SPEC)
    assert list(found) == ["copy", "correspondence"]
    assert list(terms(features, batch, REGRESS, SPEC)) == ["copy"]
    expected = sum(getattr(ALL, name) * value.item() for name, value in found.items())
    assert float(total(found, ALL)) == pytest.approx(expected, rel=1e-5)
    total(found, ALL).backward()
    assert features.grad is not None and bool(torch.isfinite(features.grad).all())
    assert float(features.grad.abs().flatten(2).sum(2).min()) > 0  # every view learns


def test_the_window_keeps_near_targets_from_looking_far():
    """The reference's colours lie three cells away: only a far target can see them."""
    batch = batch_of(1)
    lab = torch.zeros(1, 2, 3, 32, 32)
    lab[0, 0, 1, :, 20:] = 1.0  # the reference's last column of cells is red
    lab[0, 1, 1, :, :4] = 1.0  # the target's first
    features = torch.zeros(1, 2, 4, 4, 4)
    features[0, :, 0] = 1
    features[0, 0, :, :, 3] = features[0, 1, :, :, 0] = torch.tensor([0, 1.0, 0, 0])[:, None]
    near = Batch(**{**vars(batch), "lab": lab})
    far = Batch(**{**vars(near), "gap_seconds": torch.tensor([2.0])})
    objective = replace(REGRESS, window=1)
    lost = float(terms(features, near, objective, SPEC)["copy"])
    found = float(terms(features, far, objective, SPEC)["copy"])
    assert found < 0.3 * lost


def test_classification_copies_classes():
    batch = batch_of(2)
    codebook = torch.tensor([[-0.5, -0.5], [0.5, 0.5], [0.5, -0.5]])
    same = Batch(**{**vars(batch), "lab": batch.lab[:, :1].repeat(1, 2, 1, 1, 1)})
    right = one_hot_features(2, (4, 4))[:, None].repeat(1, 2, 1, 1, 1)
    objective = Objective(temperature=0.02)
    assert float(terms(right, same, objective, SPEC, codebook)["copy"]) < 1e-4
    blind = torch.ones_like(right) / 4
    assert float(terms(blind, same, objective, SPEC, codebook)["copy"]) > 0.3


def test_distill_loss_is_one_minus_the_mean_cosine():
    features = torch.zeros(1, 2, 1, 2)
    features[0, 0] = 1
    taught = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    assert float(distill_loss(features, features)) == 0
    assert float(distill_loss(features, taught)) == 0.5
    assert float(distill_loss(features, -features)) == 2
