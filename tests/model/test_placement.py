"""How networks run on each kind of device."""

from __future__ import annotations

import pytest
import torch

from chromatrack.model.placement import PLACEMENTS, Placement, placed, placement
from chromatrack.model.weights import load_encoder


def test_on_the_cpu_nothing_changes():
    encoder = load_encoder("small")
    image = torch.rand(1, 3, 96, 128)
    with torch.inference_mode():
        before = encoder(image)
        there = placed(encoder, torch.device("cpu"))
        assert there.precision is None
        assert there(image) == pytest.approx(before, abs=2e-5)


def test_lower_precision_is_of_products_alone(monkeypatch):
    """On the CPU, as there is nothing else here; half precision of a GPU has finer steps."""
    monkeypatch.setitem(PLACEMENTS, "cpu", Placement(torch.bfloat16, True))
    encoder = load_encoder("small")
    image = torch.rand(1, 3, 96, 128)
    with torch.inference_mode():
        exact = encoder(image)
        there = placed(encoder, torch.device("cpu"))
        rough = there(image)
    assert there is not encoder and encoder.precision is None
    assert rough.dtype == torch.float32
    likeness = (exact * rough).sum(1)
    assert 0.99 < float(likeness.min()) < 1 - 1e-6  # another precision, and nearly the same
    assert rough.norm(dim=1) == pytest.approx(torch.ones(1, 12, 16), abs=1e-4)


def test_unknown_devices_run_as_they_come():
    assert placement(torch.device("xpu")).precision == torch.float32
