"""Cutting a thing out of a rectangle: colours modelled, labels smoothed."""

from __future__ import annotations

import pytest
import torch

from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.cutout import ColorMixture, Neighbours, cut_out, cut_out_small


def scene(*, radius: float = 15, ground: float = 0.3, noise: float = 0.05):
    """A disc of two colours on a mottled ground, the square around it, and the disc."""
    maker = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(56.0), indexing="ij")
    disc = (y - 24) ** 2 + (x - 28) ** 2 < radius**2
    image = torch.stack([torch.full(disc.shape, ground), 0.5 + 0.1 * (x / 9).sin(), y / 96])
    left = torch.tensor([0.9, 0.2, 0.1])[:, None, None]
    right = torch.tensor([0.9, 0.8, 0.2])[:, None, None]
    image = torch.where(disc, torch.where(x < 28, left, right), image)
    image = (image + noise * torch.randn(image.shape, generator=maker)).clamp(0, 1)
    inside = ((y - 24).abs() <= radius) & ((x - 28).abs() <= radius)
    return image, inside, disc


def iou(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a & b).sum()) / float((a | b).sum())


def test_a_thing_of_other_colours_is_found():
    image, inside, disc = scene()
    share = cut_out(image, inside)
    assert share.shape == disc.shape and float(share[~inside].abs().max()) == 0
    assert iou(share > 0.5, disc) > 0.93


def test_a_loose_rectangle_does_no_harm():
    image, inside, disc = scene(radius=12)
    grown = torch.nn.functional.max_pool2d(inside[None].float(), 7, 1, 3)[0] > 0
    assert iou(cut_out(image, grown) > 0.5, disc) > 0.93


@pytest.mark.parametrize("kind", ["all", "nearly all", "one pixel"])
def test_where_there_is_nothing_to_compare_the_rectangle_is_it(kind):
    image, inside, _ = scene()
    inside = torch.ones_like(inside) if kind != "one pixel" else torch.zeros_like(inside)
    if kind != "all":
        inside[3, 4] = kind == "one pixel"
    assert torch.equal(cut_out(image, inside), inside.float())


def test_a_plain_picture_gives_finite_labels():
    inside = torch.zeros(20, 30, dtype=torch.bool)
    inside[5:15, 8:22] = True
    assert torch.isfinite(cut_out(torch.full((3, 20, 30), 0.4), inside)).all()


def test_a_mixture_knows_its_colours():
    maker = torch.Generator().manual_seed(1)
    near = torch.randn(300, 3, generator=maker) + torch.tensor([50.0, 30.0, 0.0])
    far = torch.randn(100, 3, generator=maker) + torch.tensor([20.0, -30.0, 9.0])
    mixture = ColorMixture.fitted(torch.cat([near, far]), count=2)
    middles = sorted(mixture.mean.tolist())
    torch.testing.assert_close(torch.tensor(middles[1]), near.mean(0), atol=0.2, rtol=0)
    torch.testing.assert_close(torch.tensor(middles[0]), far.mean(0), atol=0.2, rtol=0)
    torch.testing.assert_close(
        mixture.weight.sort().values, torch.tensor([0.25, 0.75]), atol=1e-3, rtol=0
    )
    seen = mixture.log_density(torch.tensor([[50.0, 30, 0], [20, -30, 9], [35, 0, 4]]))
    assert float(seen[0]) > float(seen[1]) > float(seen[2]) + 20


def test_smooth_labels_solve_their_system():
    """Against the same system written out as a matrix."""
    image, _, _ = scene()
    lab = rgb_to_lab(image[:, 10:18, 14:24])
    inside = torch.zeros(8, 10, dtype=torch.bool)
    inside[1:7, 2:9] = True
    graph = Neighbours.of(lab, inside)
    prior = torch.rand(8, 10, generator=torch.Generator().manual_seed(2))
    trust = (2 * prior - 1).abs() + 0.02
    columns = []
    for pixel in range(80):
        unit = torch.zeros(80)
        unit[pixel] = 1
        columns.append(graph._system(unit.reshape(8, 10), trust).flatten())
    held = inside.flatten().nonzero()[:, 0]
    matrix = torch.stack(columns, dim=1)[held][:, held]
    torch.testing.assert_close(matrix, matrix.T)
    expected = torch.linalg.solve(matrix, (trust * prior).flatten()[held])
    found = graph.smooth(prior)
    torch.testing.assert_close(found.flatten()[held], expected, atol=1e-3, rtol=0)
    assert float(found[~inside].abs().max()) == 0


@pytest.mark.parametrize("column", range(0, 90, 7))
def test_a_rectangle_that_is_too_thin_to_be_seen_made_smaller_is_cut_out_whole(column):
    inside = torch.zeros(300, 90, dtype=torch.bool)
    inside[10:290, column] = True
    share = cut_out_small(torch.rand(3, 300, 90), inside, long_side=40)
    assert float(share[150, max(0, column - 3) : column + 4].max()) > 0
