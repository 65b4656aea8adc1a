"""The network in bytes says what it says in floats, but for rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from chromatrack.model import int8_encoder as of_bytes
from chromatrack.model.encoder import normalize_lab
from chromatrack.model.int8_encoder import Int8Encoder, int8_encoder, pooled
from chromatrack.model.weights import load_encoder
from chromatrack.ops.compiled import has_compiler
from chromatrack.tracking.colorize import embed_grey
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.embedder import FrameEmbedder

needs_bytes = pytest.mark.skipif(
    not (has_compiler() and of_bytes.is_faster()), reason="products of bytes are no faster here"
)


def picture(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """Blocks of colours, with noise: `(H, W, 3)` uint8."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(40, 216, (height // 12 + 1, width // 12 + 1, 3))
    large = np.kron(blocks, np.ones((12, 12, 1), int))[:height, :width]
    return np.clip(large + rng.integers(-20, 20, large.shape), 0, 255).astype(np.uint8)


def embedder(**options) -> FrameEmbedder:
    config = TrackConfig(size=96, **{"int8": False, **options})
    return FrameEmbedder(load_encoder("small"), device="cpu", config=config)


@needs_bytes
@pytest.mark.parametrize("size", [(96, 128), (97, 131)])
def test_features_of_bytes_point_where_those_of_floats_do(size):
    first, later = picture(*size), picture(*size, seed=1)
    exact, rounded = embedder(), embedder(int8=True)
    plain, fast = exact.for_clip(exact.lab(first)), rounded.for_clip(rounded.lab(first))
    assert isinstance(fast, Int8Encoder) and fast.spec == plain.spec
    frames = torch.stack([exact.image(rgb) for rgb in (first, later)])
    with torch.inference_mode():
        found, expected = fast(frames), plain(frames)
    assert found.shape == expected.shape
    assert float(F.cosine_similarity(found, expected, dim=1).min()) > 0.98
    assert not torch.equal(found, expected)


@needs_bytes
def test_what_colours_are_copied_by_may_be_bytes_too():
    rgb = picture(96, 128)
    exact, rounded = embedder(), embedder(int8=True)
    lab = exact.lab(rgb)
    plain, fast = (one.for_clip(lab, grey=True) for one in (exact, rounded))
    assert isinstance(fast, Int8Encoder)
    with torch.inference_mode():
        found, expected = embed_grey(fast, lab), embed_grey(plain, lab)
        assert torch.equal(found, embed_grey(fast, lab * torch.tensor([1.0, 0, 0])[:, None, None]))
    assert float(F.cosine_similarity(found, expected, dim=0).min()) > 0.98


@needs_bytes
@pytest.mark.parametrize("darker", [0, 1])
def test_clips_that_begin_or_end_in_the_dark(darker):
    frames = [picture(96, 96), picture(96, 96, seed=1)]
    frames[darker] = frames[darker] // 8
    exact, rounded = embedder(), embedder(int8=True)
    image = exact.image(frames[1])[None]
    with torch.inference_mode():
        expected = exact.for_clip(exact.lab(frames[0]))(image)
        found = rounded.for_clip(rounded.lab(frames[0]))(image)
    assert float(F.cosine_similarity(found, expected, dim=1).mean()) > 0.97
    assert torch.equal(found, expected) == (darker == 0)  # too bright for the bytes: in floats


def test_what_cannot_be_bytes_stays_as_it_is(monkeypatch):
    own = embedder()
    lab = own.lab(picture(64, 64))
    finer = own.encoder.at_stride(4)  # type: ignore[operator]
    assert int8_encoder(finer, normalize_lab(lab)[None]) is finer
    monkeypatch.setattr(of_bytes, "is_faster", lambda: False)
    assert int8_encoder(own.encoder, normalize_lab(lab)[None]) is own.encoder


@pytest.mark.parametrize("int8", [False, True])
def test_colours_are_found_in_bytes_if_asked(int8):
    asked = embedder(int8=int8)
    lab = asked.lab(picture(64, 64))
    assert isinstance(asked.for_clip(lab, grey=True), Int8Encoder) == (
        int8 and of_bytes.is_faster()
    )


@pytest.mark.skipif(not has_compiler(), reason="no compiler for this Python")
@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_bytes_are_pooled_as_floats_are(channels, height, width, seed):
    shape = 1, channels, height, width
    x = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed))
    expected = F.max_pool2d(x.float(), 3, 2, 1)
    bytes_ = x.to(torch.uint8).contiguous(memory_format=torch.channels_last)
    assert torch.equal(pooled(bytes_).float(), expected)
