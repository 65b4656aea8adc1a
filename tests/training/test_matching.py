import pytest
import torch
import torch.nn.functional as F

from chromatrack.ops.coords import FeatureSpec
from chromatrack.training.matching import (
    correspondence_targets,
    draw_cells,
    match_loss,
    place_terms,
    walk_loss,
)
from chromatrack.training.objective import correspondence_loss

SPEC = FeatureSpec(16, 8, 0.0)


def features(*shape: int, seed: int = 0) -> torch.Tensor:
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return F.normalize(drawn, dim=-3)


def at_home(batch: int, h: int, w: int) -> torch.Tensor:
    """Correspondence of views that did not move."""
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return (torch.stack([x, y], -1).float() * SPEC.stride).expand(batch, h, w, 2).clone()


def test_all_cells_and_all_distractors_are_the_plain_loss():
    a, b = features(3, 16, 4, 5), features(3, 16, 4, 5, seed=1)
    moved = at_home(3, 4, 5) + 3.0
    moved[0, 0, 0] = float("nan")
    found = match_loss(
        a.flatten(2),
        b.flatten(2),
        correspondence_targets(moved, (4, 5), SPEC),
        others=b.flatten(2).movedim(1, 0).flatten(1),
        foreign=(torch.arange(3).repeat_interleave(20)[None] != torch.arange(3)[:, None]),
        temperature=0.1,
    )
    plain = correspondence_loss(a, b, moved, SPEC, temperature=0.1)
    torch.testing.assert_close(found, plain, atol=1e-4, rtol=1e-4)


def test_a_walk_through_the_same_picture_comes_home():
    cells = features(2, 32, 3, 3).flatten(2)
    places = correspondence_targets(at_home(2, 3, 3), (3, 3), SPEC)
    home = walk_loss(cells, [cells, cells], places, temperature=0.02)
    lost = walk_loss(cells, [cells, cells.roll(1, -1)], places, temperature=0.02)
    assert home < 0.05 < 1 < lost


def test_nothing_known_costs_nothing():
    found = place_terms(
        features(2, 3, 16, 4, 4).requires_grad_(),
        torch.full((2, 4, 4, 2), float("nan")),
        torch.arange(2),
        SPEC,
        temperature=0.07,
        queries=5,
        distractors=7,
        walk=True,
    )
    assert found["correspondence"] == 0 and found["walk"] == 0


@pytest.mark.parametrize(("wanted", "count"), [(0, 9), (4, 4), (9, 9), (20, 9)])
def test_drawn_cells_differ(wanted, count):
    drawn = draw_cells(9, wanted, torch.device("cpu"))
    assert len(drawn) == count == len(drawn.unique())
