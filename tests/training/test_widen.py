"""A wider network that starts with what a narrower one knows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import TINY, randomize

from chromatrack.errors import InputError
from chromatrack.model.encoder import build_encoder
from chromatrack.training.widen import can_grow, grow

WIDE = replace(TINY, widths=(16, 32, 32), embedding=40, detail=12)


@pytest.fixture
def wide(tiny_encoder):
    return grow(tiny_encoder, build_encoder(WIDE), seed=0).eval()


def test_the_first_channels_stay_what_they_were(tiny_encoder, wide):
    lab = torch.rand(2, 3, 40, 56) * 2 - 1
    with torch.no_grad():
        before, after = tiny_encoder.project(lab), wide.project(lab)
    assert after.shape == (2, 40, 5, 7)
    difference = (after[:, :16] - before).norm() / before.norm()
    assert float(difference) < 0.15


def test_without_noise_they_stay_exactly(tiny_encoder, monkeypatch):
    monkeypatch.setattr("chromatrack.training.widen.NOISE", 0.0)
    wide = grow(tiny_encoder, build_encoder(WIDE), seed=0).eval()
    lab = torch.rand(1, 3, 40, 56) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(
            wide.project(lab)[:, :16], tiny_encoder.project(lab), atol=1e-4, rtol=1e-4
        )


def test_the_new_channels_show_colors(wide):
    """Two pictures that differ in colour alone differ in the rows that the detail branch fills."""
    grey = torch.zeros(1, 3, 32, 32)
    red = grey.clone()
    red[:, 1] = 1.0
    with torch.no_grad():
        change = (wide.project(red) - wide.project(grey))[:, 16:28]
    assert float(change.norm(dim=1).mean()) > 1.0


def test_doubled_channels_part_and_a_seed_repeats(tiny_encoder, wide):
    weight = wide.stem.weight
    assert not torch.equal(weight[:8], weight[8:])
    again = grow(tiny_encoder, build_encoder(WIDE), seed=0).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in wide.state_dict().items())


@pytest.mark.parametrize(
    "config",
    [
        replace(TINY, widths=(4, 16, 16)),
        replace(TINY, blocks=(2, 1, 1)),
        replace(TINY, widths=(16, 32, 48)),
        replace(TINY, embedding=8),
        replace(TINY, kind="vondrick2018"),
    ],
)
def test_a_network_that_does_not_hold_the_other_is_refused(tiny_encoder, config):
    assert not can_grow(TINY, config)
    with pytest.raises(InputError, match="expected weights of the same network, or of a narrower"):
        grow(tiny_encoder, build_encoder(config), seed=0)


def test_growing_leaves_the_narrow_network_alone(tiny_encoder):
    before = {n: x.clone() for n, x in tiny_encoder.state_dict().items()}
    wide = grow(tiny_encoder, build_encoder(WIDE), seed=0)
    randomize(wide)
    assert all(torch.equal(x, before[n]) for n, x in tiny_encoder.state_dict().items())
