"""The mask decoder: what it sees, what it says untrained, and what its files must hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chromatrack.errors import WeightsError
from chromatrack.model.mask_decoder import (
    INPUTS,
    MaskDecoder,
    _filtered_logits,
    decoder_inputs,
    load_decoder,
    save_decoder,
)
from chromatrack.model.narrow_decoder import NarrowDecoder
from chromatrack.ops.coords import FeatureSpec, cell_count
from chromatrack.ops.resample import COARSE, CoarseImage, to_coarse

SPEC = FeatureSpec(64, 8, 0.0)
sides = st.integers(9, 90)


def seen(size: tuple[int, int], *, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Image, label, others, evidence of random content."""
    generator = torch.Generator().manual_seed(seed)
    cells = cell_count(size, stride=8)
    label, others = torch.rand(2, *cells, generator=generator) / 2
    evidence = torch.randn(3, *cells, generator=generator)
    return torch.rand(3, *size, generator=generator), label, others, evidence


@given(sides, sides)
def test_pictures_of_any_size_are_decoded_on_a_grid_of_four_pixels(height, width):
    inputs = decoder_inputs(*seen((height, width)), SPEC)
    grid = -(-height // COARSE), -(-width // COARSE)
    assert inputs.shape == (INPUTS, *grid) and bool(inputs.isfinite().all())
    assert MaskDecoder().eval()(inputs[None]).shape == (1, 1, *grid)


def test_untrained_it_says_what_the_guided_filter_says():
    image, label, others, evidence = seen((64, 80))
    said = MaskDecoder().eval().decode(image, label, others, evidence, SPEC)
    low = to_coarse(label[None], size=(64, 80), spec=SPEC)
    filtered = CoarseImage.of(image).filtered(low)[0]
    assert torch.allclose(said, filtered.clamp(0.02, 0.98), atol=1e-5)


def test_folded_it_says_the_same():
    generator = torch.Generator().manual_seed(0)
    decoder = MaskDecoder().eval()
    for module in decoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
    with torch.no_grad():
        decoder.last.weight.normal_(generator=generator)
        inputs = torch.rand(1, INPUTS, 23, 31, generator=generator)
        expected = decoder(inputs)
        torch.testing.assert_close(decoder.folded()(inputs), expected, atol=1e-4, rtol=1e-4)
        assert torch.equal(decoder(inputs), expected)  # it is a copy that was folded


def random_decoder() -> MaskDecoder:
    torch.manual_seed(0)
    decoder = MaskDecoder().eval()
    for module in decoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    torch.nn.init.normal_(decoder.last.weight)
    return decoder


@settings(max_examples=20)
@given(st.integers(1, 70), st.integers(1, 70))
def test_as_one_loop_it_says_the_same(height, width):
    folded = random_decoder().folded()
    assert folded.narrow is not None
    inputs = torch.rand(INPUTS, height, width, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = folded(inputs[None]) - _filtered_logits(inputs[None])
        for _ in range(2):  # memory is used again
            assert torch.allclose(folded.narrow(inputs), expected[0, 0], atol=1e-4, rtol=1e-4)


def test_one_loop_decodes_where_few_threads_do_only(monkeypatch: pytest.MonkeyPatch):
    decoder, args = random_decoder(), seen((64, 80))
    folded = decoder.folded()
    assert folded.narrow is not None
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    one = folded.decode(*args, SPEC)
    asked = []
    monkeypatch.setattr(NarrowDecoder, "__call__", lambda *x: asked.append(x))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert torch.allclose(folded.decode(*args, SPEC), one, atol=1e-5) and not asked


def test_weights_come_back_from_their_file(tmp_path: Path):
    torch.manual_seed(0)
    decoder = MaskDecoder().eval()
    torch.nn.init.normal_(decoder.last.weight)
    save_decoder(tmp_path / "decoder.safetensors", decoder, notes={"steps": "1"})
    back = load_decoder(tmp_path / "decoder.safetensors")
    args = seen((64, 80))
    assert not back.training
    assert torch.allclose(decoder.decode(*args, SPEC), back.decode(*args, SPEC), atol=0.02)


def test_files_that_hold_no_decoder_are_refused(tmp_path: Path):
    with pytest.raises(WeightsError, match="No such file"):
        load_decoder(tmp_path / "none.safetensors")
    from chromatrack.model.weights import model_path

    with pytest.raises(WeightsError, match="mask decoder"):
        load_decoder(model_path("small"))
    bad = MaskDecoder()
    torch.nn.init.constant_(bad.last.bias, float("nan"))
    save_decoder(tmp_path / "nan.safetensors", bad)
    with pytest.raises(WeightsError, match="finite"):
        load_decoder(tmp_path / "nan.safetensors")
