"""Pieces, holes and regions, on small masks where the answer can be seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from synthetic import still

from chromatrack.ops.resample import planes
from chromatrack.training.masks.regions import (
    blurred,
    filled,
    grown_region,
    largest_piece,
    pieces,
    random_shape,
)


def mask(*rows: str) -> torch.Tensor:
    return torch.tensor([[sign == "#" for sign in row] for row in rows])


def test_pieces_hang_together_by_sides_and_bend_as_they_like():
    spiral = mask("#####", "#...#", "#.#.#", "#.###", "#....")
    number = pieces(spiral)
    assert number.unique().tolist() == [0, 1]  # the spiral, and the way between its arms
    assert len(number[spiral].unique()) == 1
    assert len(pieces(mask("#.", ".#")).unique()) == 4  # corners do not count


def test_pieces_are_those_of_a_flood_fill():
    skimage = pytest.importorskip("skimage.measure")
    labels = np.random.default_rng(0).integers(0, 3, (40, 50))
    theirs = skimage.label(labels, background=-1, connectivity=1)
    ours = pieces(torch.from_numpy(labels)).numpy()
    pairs = set(zip(ours.flat, theirs.flat, strict=True))
    assert len(pairs) == len(np.unique(ours)) == len(np.unique(theirs))


def test_the_largest_piece_is_alone():
    found = largest_piece(mask("##..", "##.#", "...#"))
    assert torch.equal(found, mask("##..", "##..", "...."))
    assert not largest_piece(mask("..", "..")).any()


def test_holes_are_filled_and_bays_are_not():
    assert torch.equal(filled(mask("###", "#.#", "###")), mask("###", "###", "###"))
    bay = mask("###", "#.#", "#.#")
    assert torch.equal(filled(bay), bay)


def test_blur_keeps_the_mean_of_a_flat_picture_and_spreads_a_dot():
    assert torch.allclose(blurred(torch.full((2, 20, 20), 0.3), 1.5), torch.tensor(0.3))
    dot = torch.zeros(1, 21, 21)
    dot[0, 10, 10] = 1
    found = blurred(dot, 1.0)
    assert float(found.sum()) == pytest.approx(1, abs=1e-4)
    assert float(found[0, 10, 10]) == pytest.approx(1 / (2 * np.pi), rel=0.02)


@pytest.mark.parametrize("seed", range(6))
def test_regions_hang_together_and_are_of_a_fair_size(seed):
    rng = np.random.default_rng(seed)
    photo = planes(still((72, 96), seed=seed)).float() / 255
    for region in (grown_region(photo, rng), random_shape((72, 96), rng)):
        assert region.shape == (72, 96) and region.dtype == torch.bool
        assert float(largest_piece(region).sum()) > 0.8 * float(region.sum())  # necks may break
        assert 0.02 < float(region.float().mean()) < 0.75


def test_a_region_follows_what_is_there():
    """Of two halves of different colour, a region that starts in one does not take the other."""
    photo = torch.zeros(3, 64, 96)
    photo[0, :, :48], photo[2, :, 48:] = 0.9, 0.9
    photo += 0.02 * torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(0))
    shares = []
    for seed in range(8):
        region = grown_region(photo, np.random.default_rng(seed)).float()
        left, right = float(region[:, :46].sum()), float(region[:, 50:].sum())
        shares.append(min(left, right) / max(left, right))
    assert sorted(shares)[5] < 0.1
