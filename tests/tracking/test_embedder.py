"""The decoder that a tracker is told to use."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chromatrack.errors import WeightsError
from chromatrack.model import weights
from chromatrack.model.mask_decoder import MaskDecoder, save_decoder
from chromatrack.model.weights import decoder_path, load_encoder
from chromatrack.ops.coords import cell_count
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.embedder import FrameEmbedder


def test_a_decoder_file_is_used(tiny_encoder, tmp_path):
    torch.manual_seed(0)
    decoder = MaskDecoder()
    torch.nn.init.constant_(decoder.last.bias, -100)  # it says that nothing is anywhere
    save_decoder(tmp_path / "own.safetensors", decoder)
    config = TrackConfig(size=64, decoder=str(tmp_path / "own.safetensors"))
    embedder = FrameEmbedder(tiny_encoder, device="cpu", config=config)
    assert embedder.decode is not None
    h, w = cell_count((64, 64), stride=embedder.spec.stride)
    label = torch.ones(h, w)
    image = torch.from_numpy(np.random.default_rng(0).random((3, 64, 64), dtype=np.float32))
    mask = embedder.decode(image, label, 0 * label, label.expand(3, -1, -1), embedder.spec)
    assert mask.shape == (16, 16) and float(mask.max()) < 0.01


def test_a_decoder_that_is_none_is_refused_in_one_line(tiny_encoder, tmp_path):
    (tmp_path / "other.safetensors").write_bytes(b"nothing of the kind")
    for name in ("missing", "other"):
        config = TrackConfig(decoder=str(tmp_path / f"{name}.safetensors"))
        with pytest.raises(WeightsError, match=name) as told:
            FrameEmbedder(tiny_encoder, device="cpu", config=config)
        assert "\n" not in str(told.value)


def test_a_decoder_is_the_models_own_or_anothers_or_none(tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "DECODERS", tmp_path)
    save_decoder(tmp_path / "small.safetensors", MaskDecoder())
    assert decoder_path("auto", "small") == decoder_path("small", "other")
    assert decoder_path("auto", "other") is None and decoder_path("none", "small") is None
    shipped = load_encoder("small")

    def decodes(encoder, decoder: str) -> bool:
        return FrameEmbedder(encoder, config=TrackConfig(decoder=decoder)).decode is not None

    assert decodes(shipped, "auto") and not decodes(shipped, "none")
    assert decodes(tiny_encoder, "small") and not decodes(tiny_encoder, "auto")
    own = FrameEmbedder(shipped)
    assert own.undecoded().decode is None and own.decode is not None
