"""Encoders: geometry, unit length, finer strides, folding, weights files and their errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY, TINY_CLIPS, randomize
from safetensors.torch import load_file, save_file
from torch import nn

from chromatrack.errors import InputError, WeightsError
from chromatrack.model import encoder as encoder_module
from chromatrack.model.batchnorm import fold_batch_norm
from chromatrack.model.config import PRESETS
from chromatrack.model.encoder import (
    Encoder,
    MirroredEncoder,
    PlainEncoder,
    ResNetEncoder,
    Vondrick2018Encoder,
    build_encoder,
    embed_frames,
    normalize_lab,
)
from chromatrack.model.weights import (
    HEADER_KEY,
    load_encoder,
    model_path,
    read_header,
    save_encoder,
    shipped_models,
)
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import FeatureSpec, cell_count

ODD_SIZES = [(64, 96), (33, 47), (8, 9), (1, 70)]


def images(count: int, size: tuple[int, int] = (64, 96), *, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", ODD_SIZES)
@pytest.mark.parametrize("stride", [8, 4])
@torch.no_grad()
def test_spec_describes_the_output(tiny_encoder, size, stride):
    encoder = tiny_encoder.at_stride(stride)
    assert encoder.spec == FeatureSpec(16, stride, 0.0, clip_length=1)
    features = encoder(images(2, size))
    assert features.shape == (2, 16, -(-size[0] // stride), -(-size[1] // stride))
    assert cell_count(size, stride=encoder.spec.stride) == features.shape[-2:]
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.norm(dim=1), torch.ones(features[:, 0].shape))


@pytest.mark.parametrize("size", ODD_SIZES)
@torch.no_grad()
def test_spec_describes_the_papers_network(tiny_clip_encoder, size):
    assert tiny_clip_encoder.spec == FeatureSpec(8, 8, 0.0, clip_length=4)
    features = tiny_clip_encoder(images(8, size))
    assert features.shape == (8, 8, *cell_count(size, stride=tiny_clip_encoder.spec.stride))
    torch.testing.assert_close(features.norm(dim=1), torch.ones(features[:, 0].shape))


@pytest.mark.parametrize(("name", "millions"), [("small", 0.7), ("base", 2.9)])
def test_the_sizes_that_are_promised(name, millions):
    with torch.device("meta"):
        encoder = build_encoder(name)
    count = sum(p.numel() for p in encoder.parameters())
    assert abs(count / 1e6 - millions) < 0.1


def test_the_papers_network_is_as_published():
    with torch.device("meta"):
        encoder = build_encoder("vondrick2018")
    assert encoder.spec == FeatureSpec(64, 8, 0.0, clip_length=4)
    spatial = [m for m in encoder.modules() if isinstance(m, nn.Conv3d) and m.kernel_size[1] == 3]
    assert [m.dilation for m in spatial] == [(1, d, d) for d in (1, 2, 4, 8, 16)]
    assert spatial[0].in_channels == 256 + 2


def test_every_preset_is_known_and_others_are_refused():
    assert set(PRESETS) == {"small", "base", "vondrick2018"}
    with pytest.raises(InputError, match=r"expected one of small, base, .*got 'huge'"):
        build_encoder("huge")


def test_an_encoder_without_embed_says_so():
    with pytest.raises(InputError, match=r"neither embed\(\) nor project\(\)"):
        Encoder()(images(1))


def test_normalized_lab_is_about_one():
    lab = normalize_lab(torch.tensor([[0.0, 50.0, 100.0], [0, -50, 50], [0, 0, 50]])[..., None])
    assert lab[..., 0].tolist() == [[-1, 0, 1], [0, -1, 1], [0, 0, 1]]


@torch.no_grad()
def test_forward_is_embed_of_normalized_lab(tiny_encoder):
    rgb = images(1)
    torch.testing.assert_close(
        tiny_encoder(rgb), tiny_encoder.embed(normalize_lab(rgb_to_lab(rgb)))
    )


@torch.no_grad()
def test_frames_whose_lab_is_at_hand_are_embedded_the_same(tiny_encoder):
    rgb = images(1)
    lab = rgb_to_lab(rgb)
    assert torch.equal(embed_frames(tiny_encoder, rgb, lab), tiny_encoder(rgb))
    for other in (MirroredEncoder(tiny_encoder), PlainEncoder(tiny_encoder), lambda x: 2 * x):
        assert torch.equal(embed_frames(other, rgb, lab), other(rgb))


def test_shifting_the_image_by_a_stride_shifts_the_features_by_a_cell(tiny_encoder):
    big = images(1, (136, 168))
    here = tiny_encoder(big[..., :128, :160])
    moved = tiny_encoder(big[..., 8:136, 8:168])
    torch.testing.assert_close(moved[..., 6:9, 6:13], here[..., 7:10, 7:14], atol=1e-5, rtol=0)
    assert float((moved[..., 6:9, 6:13] - here[..., 6:9, 6:13]).abs().max()) > 1e-2


@pytest.mark.parametrize("stride", [8, 4])
@torch.no_grad()
def test_the_offset_is_right_by_symmetry(tiny_encoder, stride):
    """Mirror the image and every kernel: features mirror iff cell i sits at pixel stride * i."""
    rgb = images(1, (8 * 5 + 1, 8 * 9 + 1))
    encoder = tiny_encoder.at_stride(stride)
    straight = encoder(rgb)
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.copy_(module.weight.flip(-1, -2))
    mirrored = encoder(rgb.flip(-1, -2))
    torch.testing.assert_close(mirrored.flip(-1, -2), straight, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(64, 96), (33, 47), (61, 52)])
@torch.no_grad()
def test_stride_4_holds_the_cells_of_stride_8(tiny_encoder, size):
    rgb = images(1, size)
    coarse, fine = tiny_encoder(rgb), tiny_encoder.at_stride(4)(rgb)
    torch.testing.assert_close(fine[..., ::2, ::2], coarse, atol=1e-5, rtol=0)
    assert tiny_encoder.spec.stride == 8  # a copy: the original stays


def test_strides_that_do_not_exist_are_refused(tiny_encoder):
    for stride in (2, 16):
        with pytest.raises(InputError, match=f"expected 8 or 4, got {stride}"):
            tiny_encoder.at_stride(stride)
    with pytest.raises(InputError, match="load it again"):
        tiny_encoder.at_stride(4).at_stride(8)


@pytest.mark.parametrize("stride", [8, 4])
@torch.no_grad()
def test_folded_batch_norms_give_the_same_features(tiny_encoder, stride):
    encoder = tiny_encoder.at_stride(stride)
    folded = fold_batch_norm(encoder)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in encoder.modules())  # a copy
    torch.testing.assert_close(folded(images(2)), encoder(images(2)), atol=1e-5, rtol=0)
    assert folded.spec == encoder.spec


@pytest.mark.parametrize("size", [(120, 214), (33, 47), (7, 5), (1, 1)])
@pytest.mark.parametrize("strip", [1, 20_000, 1 << 22])
@torch.no_grad()
def test_the_stem_in_strips_is_the_stem_in_one(monkeypatch, size, strip):
    monkeypatch.setattr(encoder_module, "_STRIP", strip)
    stem = nn.Conv2d(3, 8, 7, 2, 3)
    lab = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) - 0.5
    whole = torch.nn.functional.max_pool2d(stem(lab).relu(), 3, 2, 1)
    found = encoder_module._stem_in_strips(stem, lab)
    torch.testing.assert_close(found, whole, atol=1e-6, rtol=0)


@torch.no_grad()
def test_folding_the_papers_network(tiny_clip_encoder):
    folded = fold_batch_norm(tiny_clip_encoder)
    expected = tiny_clip_encoder(images(4))
    torch.testing.assert_close(folded(images(4)), expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_papers_network_sees_only_lightness(tiny_clip_encoder):
    lab = normalize_lab(rgb_to_lab(images(4)))
    other = lab.clone()
    other[:, 1:] = torch.randn(other[:, 1:].shape)
    assert torch.equal(tiny_clip_encoder.embed(lab), tiny_clip_encoder.embed(other))
    other[:, 0] += 0.3 * torch.randn(other[:, 0].shape)
    assert float((tiny_clip_encoder.embed(lab) - tiny_clip_encoder.embed(other)).abs().max()) > 1e-3


@torch.no_grad()
def test_the_papers_network_mixes_frames_within_a_clip_only(tiny_clip_encoder):
    two_clips = images(8)
    changed = two_clips.clone()
    changed[0] = images(1, seed=1)[0]
    before, after = tiny_clip_encoder(two_clips), tiny_clip_encoder(changed)
    assert float((before[1] - after[1]).abs().max()) > 1e-4
    torch.testing.assert_close(before[4:], after[4:], atol=1e-6, rtol=0)


@pytest.mark.parametrize("count", [1, 5])
def test_the_papers_network_wants_whole_clips(tiny_clip_encoder, count):
    with pytest.raises(InputError, match=rf"multiple of 4 frames \(whole clips\), got {count}"):
        tiny_clip_encoder(images(count))


@pytest.mark.parametrize("config", [TINY, TINY_CLIPS], ids=["resnet", "vondrick2018"])
@torch.no_grad()
def test_saved_weights_load_as_they_were(tmp_path, config):
    encoder = build_encoder(config)
    randomize(encoder)
    path = tmp_path / "run.safetensors"
    save_encoder(path, encoder, notes={"steps": "12"})
    assert [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]
    header = read_header(path)
    assert (
        header["steps"] == "12" and json.loads(header[HEADER_KEY])["embedding"] == config.embedding
    )
    loaded = load_encoder(path)
    assert loaded.config == config and not loaded.training
    assert type(loaded) is (ResNetEncoder if config is TINY else Vondrick2018Encoder)
    stored = load_file(path)
    assert {x.dtype for x in stored.values() if x.ndim > 1} == {torch.float16}
    assert {x.dtype for x in stored.values() if x.ndim == 1} == {torch.float32}
    assert {x.dtype for x in loaded.state_dict().values() if x.ndim} == {torch.float32}
    torch.testing.assert_close(loaded(images(4)), encoder.eval()(images(4)), atol=0.01, rtol=0)
    save_encoder(path, loaded)
    again = load_encoder(path).state_dict()
    assert all(torch.equal(x, again[name]) for name, x in loaded.state_dict().items())


@torch.no_grad()
def test_weights_that_say_colours_load_as_those_that_say_colors(tmp_path):
    encoder = build_encoder(replace(TINY, colors=4))
    randomize(encoder)
    new, old = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    save_encoder(new, encoder)
    header = {k: v.replace('"colors"', '"colours"') for k, v in read_header(new).items()}
    tensors = {name.replace("colors.", "colours."): v for name, v in load_file(new).items()}
    save_file(tensors, old, metadata=header)
    loaded, expected = load_encoder(old), load_encoder(new)
    assert loaded.config == expected.config
    for name, value in expected.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name


@torch.no_grad()
def test_half_precision_weights_load_as_float32(tmp_path, tiny_encoder):
    path = tmp_path / "half.safetensors"
    save_encoder(path, tiny_encoder)
    state = {k: v.half() if v.is_floating_point() else v for k, v in load_file(path).items()}
    save_file(state, path, metadata=read_header(path))
    loaded = load_encoder(str(path))
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(loaded(images(1)), tiny_encoder(images(1)), atol=0.02, rtol=0)


def rewrite(path: Path, encoder: Encoder, change) -> Path:
    """Save an encoder, let `change(state, header)` spoil it, and write it again."""
    save_encoder(path, encoder)
    state, header = load_file(path), read_header(path)
    change(state, header)
    save_file(state, path, metadata=header)
    return path


def _drop(state, header):
    del state["head.bias"]


def _add(state, header):
    state["extra.weight"] = torch.zeros(1)


def _reshape(state, header):
    state["head.bias"] = torch.zeros(5)


def _config_of_base(state, header):
    header[HEADER_KEY] = json.dumps({"embedding": 7})


def _unknown_key(state, header):
    header[HEADER_KEY] = json.dumps({"depth": 50})


def _unknown_kind(state, header):
    header[HEADER_KEY] = json.dumps({"kind": "transformer"})


def _no_json(state, header):
    header[HEADER_KEY] = "small"


def _not_ours(state, header):
    header.clear()
    header["format"] = "pt"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop, "missing: head.bias"),
        (_add, "unknown: extra.weight"),
        (_reshape, r"shape: head.bias \(5,\) instead of \(16,\)"),
        (_config_of_base, "shape: "),
        (_unknown_key, r"expected a configuration with .*got .*depth"),
        (_unknown_kind, r"expected a configuration .*got .*transformer"),
        (_no_json, r"expected a configuration .*got small"),
        (_not_ours, r"expected Chromatrack weights .*got a file with \['format'\]"),
    ],
)
def test_weights_that_do_not_fit_say_what_differs(tmp_path, tiny_encoder, change, message):
    path = rewrite(tmp_path / "spoiled.safetensors", tiny_encoder, change)
    with pytest.raises(WeightsError, match=message) as caught:
        load_encoder(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_no_weights_file(tmp_path):
    path = tmp_path / "notes.safetensors"
    path.write_text("not weights at all")
    with pytest.raises(WeightsError, match="expected a safetensors weights file"):
        load_encoder(path)


def test_a_model_that_is_not_there_names_the_ones_that_are():
    with pytest.raises(WeightsError, match=r"'gigantic': expected a shipped model .*nothing is"):
        load_encoder("gigantic")


def test_the_model_that_was_only_a_name_says_what_to_give_instead():
    with pytest.raises(WeightsError, match=r"--model small --stride 4, or --quality best"):
        load_encoder("base")


def test_shipped_names_and_paths_are_found(tmp_path, monkeypatch, tiny_encoder):
    monkeypatch.setattr("chromatrack.model.weights.MODELS", tmp_path)
    save_encoder(tmp_path / "mine.safetensors", tiny_encoder)
    assert shipped_models() == ["mine"]
    assert model_path("mine") == model_path(tmp_path / "mine.safetensors")
    with pytest.raises(WeightsError, match=r"\(mine\)"):
        model_path("yours")
