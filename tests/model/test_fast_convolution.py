"""Convolutions by transform: same output, where they can be, and only where they are faster."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from chromatrack.model import fast_convolution
from chromatrack.model.fast_convolution import FastConvolution, make_convolutions_fast

nnpack = pytest.mark.skipif(
    fast_convolution._nnpack is None or not torch.backends.nnpack.is_available(),
    reason="this torch, or this machine, has no NNPACK",
)


@nnpack
@pytest.mark.parametrize("size", [(60, 107), (7, 9), (1, 1), (33, 8)])
def test_the_same_comes_out(monkeypatch, size):
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 72, 3, 1, 1)).eval()
    x = torch.randn(2, 64, *size, generator=generator)
    with torch.inference_mode():
        expected = network(x)
        make_convolutions_fast(network)
        assert type(network[0]) is FastConvolution
        monkeypatch.setattr(fast_convolution, "is_faster", lambda: True)
        for given in (x, x.to(memory_format=torch.channels_last)):
            torch.testing.assert_close(network(given), expected, atol=1e-4, rtol=1e-4)


@nnpack
@pytest.mark.parametrize("rows", [1, 29, 30, 31, 60, 67])
def test_strips_of_rows_are_the_whole_to_the_bit(monkeypatch, rows):
    monkeypatch.setattr(fast_convolution, "is_faster", lambda: True)
    network = nn.Sequential(nn.Conv2d(64, 64, 3, 1, 1)).eval()
    make_convolutions_fast(network)
    x = torch.randn(1, 64, rows, 23, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        in_strips = network(x)
        monkeypatch.setattr(fast_convolution, "_STRIP", rows)
        assert torch.equal(in_strips, network(x))


def test_others_stay_as_they_are():
    network = nn.Sequential(
        nn.Conv2d(32, 64, 3, 1, 1),
        nn.Conv2d(64, 64, 3, 2, 1),
        nn.Conv2d(64, 64, 3, 1, 2, dilation=2),
        nn.Conv2d(64, 64, 1),
        nn.Conv2d(64, 64, 3, 1, 1, groups=2),
    )
    make_convolutions_fast(network)
    assert not any(isinstance(module, FastConvolution) for module in network)


@pytest.mark.parametrize(
    ("threads", "capability", "faster"),
    [(1, "AVX2", True), (2, "AVX2", False), (1, "AVX512", False)],
)
def test_where_it_was_measured_to_be_faster(monkeypatch, threads, capability, faster):
    monkeypatch.setattr(fast_convolution, "_nnpack", lambda *args: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.nnpack, "is_available", lambda: True)
    assert fast_convolution.is_faster() is faster


def test_elsewhere_it_is_the_usual_convolution(monkeypatch):
    def unexpected(*args):
        raise AssertionError("asked")

    network = nn.Sequential(nn.Conv2d(64, 8, 3, 1, 1)).double()
    x = torch.rand(1, 64, 5, 6, dtype=torch.float64)
    expected = network(x)
    make_convolutions_fast(network)
    monkeypatch.setattr(fast_convolution, "_nnpack", unexpected)
    monkeypatch.setattr(fast_convolution, "is_faster", lambda: True)
    assert torch.equal(network(x), expected)
