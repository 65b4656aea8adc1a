"""The benchmark of training: what it counts, against numbers worked by hand, and that it runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from synthetic import moving_clip, still, write_clip
from torch import nn

from chromatrack.ops.affinity import affinity, readout, similarity

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture
def ceilings(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import ceilings  # pyright: ignore[reportMissingImports]

    return ceilings


def test_a_convolution_counts_two_operations_a_multiply_add(ceilings):
    layer = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    images = torch.randn(2, 3, 10, 12)
    once = 2 * (2 * 8 * 10 * 12) * (3 * 3 * 3)
    found = ceilings.count_operations(lambda: layer(images).sum())
    assert found == ceilings.Operations(2 * once, 0), "forward and the weight's gradient"
    images.requires_grad_()
    assert ceilings.count_operations(lambda: layer(images).sum()).total == 3 * once


def test_the_pointer_counts_its_two_products(ceilings):
    B, C, N, M, L = 2, 5, 7, 11, 3
    target = torch.randn(B, C, N, requires_grad=True)
    reference = torch.randn(B, C, M, requires_grad=True)
    labels = torch.randn(B, L, M)

    def copy() -> torch.Tensor:
        return readout(affinity(similarity(target, reference), temperature=0.1), labels).sum()

    pairs = 2 * B * N * M
    expected = pairs * (3 * C + 2 * L)  # labels need no gradient
    assert ceilings.count_operations(copy) == ceilings.Operations(0, expected)


def test_the_heaviest_convolution_is_found_with_its_input(ceilings, tiny_encoder):
    lab = torch.randn(2, 3, 32, 32)
    found = ceilings.heaviest_convolution(tiny_encoder, lab, precision=torch.float32)
    assert found.name == "convolution 7x7, 3 to 8 channels, 2 of 32x32"
    assert found.rate() > 0


def test_it_measures_a_tiny_run(ceilings, tmp_path, monkeypatch, capsys):
    import train  # pyright: ignore[reportMissingImports]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = tmp_path / "data"
    write_clip(data / "photos", [still((48, 60), seed=n) for n in range(2)])
    write_clip(data / "film.mp4", moving_clip(frames=8, size=(48, 64), radius=8), fps=5.0)
    knobs = ["--steps", "2", "--warmup", "1", "--batch", "2", "--crop", "32", "--threads", "1"]
    file = tmp_path / "found.json"
    train.main([str(data), *knobs, "--device", "cpu", "--matrix", "64", "--json", str(file)])
    said = capsys.readouterr().out
    found = json.loads(file.read_text())
    assert f"torch {torch.__version__}, cpu, float32" in said.splitlines()[0]
    for title in ("frames a second", "waiting for data", "a step: backward", "share, whole step"):
        assert f"| {title} |" in said
    assert 0 <= found["waiting_share"] <= 1
    assert found["frames_per_second"] == pytest.approx(2 * found["examples_per_second"])
    cells, channels, labels = (32 // 8) ** 2, 64, 16
    pointer = 2 * 2 * cells * cells * (3 * channels + 2 * labels)
    assert found["operations_of_the_pointer"] == pointer
    for name in ("step_flops", "product_flops", "convolution_flops"):
        assert 0 < found[name] < float("inf")
    assert all(seconds > 0 for seconds in found["parts_seconds"].values())
