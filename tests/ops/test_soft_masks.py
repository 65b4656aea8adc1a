"""Soft edges: nearer to the truth than hard ones, and only near edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from chromatrack.ops.soft_masks import soft_masks

SIZE = (96, 128)


def disc(*, blur: float) -> torch.Tensor:
    """(H, W) share of each pixel in a disc, its edge as sharp as pixels are, or blurred."""
    finer = 8
    y, x = np.mgrid[0 : SIZE[0] * finer, 0 : SIZE[1] * finer] / finer
    inside = torch.from_numpy((np.hypot(x - 64, y - 48) < 30).astype(np.float32))
    share = F.avg_pool2d(inside[None, None], finer)[0, 0]
    if blur:
        kernel = torch.exp(-(torch.arange(-6.0, 7) ** 2) / (2 * blur**2))
        kernel /= kernel.sum()
        share = F.conv2d(share[None, None], kernel[None, None, None], padding="same")
        share = F.conv2d(share, kernel[None, None, :, None], padding="same")[0, 0]
    return share


def picture(share: torch.Tensor, *, noise: float) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    front, back = torch.tensor([0.7, 0.3, 0.2]), torch.tensor([0.2, 0.5, 0.7])
    image = share * front[:, None, None] + (1 - share) * back[:, None, None]
    return (image + noise * torch.randn(image.shape, generator=random)).clamp(0, 1)


@pytest.mark.parametrize("blur", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("shift", [0, 1])
def test_edges_are_nearer_to_the_truth(blur, shift):
    share = disc(blur=blur)
    hard = torch.roll(share > 0.5, shift, dims=1)
    soft = soft_masks(hard[None], picture(share, noise=0.02))[0]
    before = float((hard.float() - share).abs().sum())
    assert float((soft - share).abs().sum()) < 0.7 * before


def test_only_edges_are_soft_and_colours_that_tell_nothing_move_none():
    hard = disc(blur=0) > 0.5
    plain = torch.full((3, *SIZE), 0.5) + 0.1 * torch.randn(3, *SIZE)
    soft = soft_masks(hard[None], plain.clamp(0, 1))[0]
    wide = F.max_pool2d(hard[None].float(), 5, 1, 2)[0] > 0
    narrow = F.max_pool2d((~hard)[None].float(), 5, 1, 2)[0] == 0
    assert (soft[~wide] == 0).all() and (soft[narrow] == 1).all()
    assert float((soft - hard.float()).abs().mean()) < 0.02


def test_neighbours_share_their_pixels():
    masks = torch.zeros(3, *SIZE, dtype=torch.bool)
    masks[0, :, :40] = masks[1, :, 40:80] = True
    colors = torch.tensor([[0.8, 0.2, 0.2], [0.2, 0.8, 0.2], [0.2, 0.2, 0.8]])
    parts = [colors[:, n, None, None].expand(3, 96, w) for n, w in enumerate((40, 40, 48))]
    image = torch.cat(parts, dim=2)
    soft = soft_masks(masks, image)
    assert soft.shape == masks.shape and soft.dtype == torch.float32
    assert float(soft.sum(0).max()) <= 1 + 1e-6 and float(soft.min()) >= 0
    assert (soft[2] == 0).all()  # an empty mask stays empty
    assert float(soft[:2, :, :70].sum(0).min()) > 0.99
