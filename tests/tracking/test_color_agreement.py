"""Cells that look alike agree on one colour; others, and those of another light, keep theirs."""

from __future__ import annotations

import torch

from chromatrack.ops.compiled import unit_cells
from chromatrack.tracking.color_agreement import agreed_colors

SIZE = (24, 32)


def two_surfaces() -> tuple[torch.Tensor, torch.Tensor]:
    """Features `(8, h, w)` of a left and a right surface, a little noisy; which is which."""
    noise = torch.Generator().manual_seed(0)
    right = torch.zeros(SIZE)
    right[:, 16:] = 1
    features = 0.1 * torch.randn(8, *SIZE, generator=noise)
    features[0] += 1 - right
    features[1] += right
    return unit_cells(features), right


def test_chance_colors_of_a_surface_become_their_mean():
    features, right = two_surfaces()
    noise = torch.Generator().manual_seed(1)
    mean = torch.stack([30 * right - 15, 20 - 20 * right])
    copied = mean + 15 * torch.randn(2, *SIZE, generator=noise)
    found = agreed_colors(features, torch.full((1, *SIZE), 50.0), copied)
    assert float((copied - mean).abs().mean()) > 10
    assert float((found - mean).abs().mean()) < 2.5


def test_a_color_that_all_have_stays():
    features, _ = two_surfaces()
    copied = torch.tensor([12.0, -7.0]).reshape(2, 1, 1).expand(2, *SIZE)
    found = agreed_colors(features, torch.full((1, *SIZE), 50.0), copied)
    torch.testing.assert_close(found, copied.clone(), atol=1e-3, rtol=0)


def test_dark_and_light_of_alike_texture_stay_apart():
    features, right = two_surfaces()
    features = features[:, :, :16].repeat(1, 1, 2)
    copied = torch.stack([40 * right - 20, torch.zeros(SIZE)])
    found = agreed_colors(features, 20 + 60 * right[None], copied)
    assert float((found - copied).abs().max()) < 1


def test_also_one_cell():
    one = torch.ones(1, 1, 1)
    assert torch.equal(agreed_colors(one, one, torch.ones(2, 1, 1)), torch.ones(2, 1, 1))
