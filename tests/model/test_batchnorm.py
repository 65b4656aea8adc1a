"""Normalisation statistics measured for colour and for grey input, and their way to the tracker."""

from __future__ import annotations

import pytest
import torch
from synthetic import moving_clip

from chromatrack.errors import InputError
from chromatrack.model.batchnorm import adapt, measure_statistics
from chromatrack.model.config import EncoderConfig
from chromatrack.model.encoder import build_encoder
from chromatrack.model.weights import load_encoder, save_encoder
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import Tracker

TINY = EncoderConfig(widths=(8, 16, 16), blocks=(1, 1, 1), embedding=16)


def images(count=3):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, 3, 48, 48, generator=generator) for _ in range(count)]


def test_statistics_are_the_mean_over_batches_and_leave_the_encoder_alone():
    encoder = build_encoder(TINY).eval()
    before = {name: x.clone() for name, x in encoder.state_dict().items()}
    shown = images()
    found = measure_statistics(encoder, shown, grey=False)
    assert not encoder.training
    assert all(torch.equal(before[name], x) for name, x in encoder.state_dict().items())
    with torch.no_grad():
        first = torch.stack([encoder.stem(lab).mean((0, 2, 3)) for lab in shown]).mean(0)
    torch.testing.assert_close(found["bn.running_mean"], first)
    assert set(found) == {n for n in before if "running_" in n or "num_batches" in n}


def test_grey_statistics_are_those_of_l_alone():
    encoder, shown = build_encoder(TINY).eval(), images()
    grey = measure_statistics(encoder, shown, grey=True)
    hidden = [lab * torch.tensor([1.0, 0, 0]).reshape(3, 1, 1) for lab in shown]
    for name, value in measure_statistics(encoder, hidden, grey=False).items():
        torch.testing.assert_close(grey[name], value)
    color = measure_statistics(encoder, shown, grey=False)
    assert not torch.allclose(grey["bn.running_var"], color["bn.running_var"])


def test_a_weights_file_keeps_both_and_the_tracker_colors_with_the_grey_one(tmp_path):
    encoder = build_encoder(TINY).eval()
    for weight in encoder.parameters():
        weight.data = weight.data.half().float()  # as a weights file holds them
    path = tmp_path / "model.safetensors"
    save_encoder(path, encoder, grey_statistics=measure_statistics(encoder, images(), grey=True))
    x = torch.rand(1, 3, 40, 56)
    with torch.no_grad():
        torch.testing.assert_close(load_encoder(path)(x), encoder(x))
        assert not torch.allclose(load_encoder(path, grey=True)(x), encoder(x), atol=1e-3)
        tracker = Tracker.from_pretrained(path)
        torch.testing.assert_close(tracker.encoder(x), encoder(x), atol=1e-5, rtol=0)
        expected = load_encoder(path, grey=True)(x)
        torch.testing.assert_close(tracker.embedder.grey_encoder(x), expected, atol=1e-5, rtol=0)


def test_a_file_without_grey_statistics_uses_the_ones_it_has(tmp_path):
    path = tmp_path / "model.safetensors"
    save_encoder(path, build_encoder(TINY))
    x = torch.rand(1, 3, 40, 56)
    with torch.no_grad():
        assert torch.equal(load_encoder(path)(x), load_encoder(path, grey=True)(x))


def test_adapting_leans_towards_the_image_and_changes_nothing_at_share_0():
    encoder, image = build_encoder(TINY).eval(), images(1)[0][0]
    own = measure_statistics(encoder, [image[None]], grey=False)
    for share in (0.0, 0.25, 1.0):
        adapted = adapt(encoder, image, share=share)
        mean = adapted.state_dict()["bn.running_mean"]
        torch.testing.assert_close(mean, share * own["bn.running_mean"])  # the encoder's own is 0
    assert not encoder.state_dict()["bn.running_mean"].any()


def test_the_tracker_adapts_to_the_clip_only_if_asked():
    frames = moving_clip(frames=3)
    for share in (0.0, 0.9):
        tracker = Tracker(build_encoder(TINY), config=TrackConfig(adapt=share))
        before = {n: x.clone() for n, x in tracker.encoder.state_dict().items()}
        lab = tracker.embedder.lab(frames[0].rgb)
        used = tracker.embedder.for_clip(lab)
        x = torch.rand(1, 3, 40, 56)
        with torch.no_grad():
            same = torch.allclose(used(x), tracker.encoder(x), atol=1e-5)
        assert same == (share == 0)
        assert all(torch.equal(before[n], x) for n, x in tracker.encoder.state_dict().items())
    with pytest.raises(InputError, match="share from 0 to 1"):
        TrackConfig(adapt=1.5)
