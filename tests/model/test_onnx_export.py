"""Exported networks: the same features as torch's at any size, here and through evaluation."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
import torch
from conftest import TINY, TINY_CLIPS, _tiny

from chromatrack.cli import main as cli
from chromatrack.errors import InputError, OutputError, WeightsError
from chromatrack.evaluation.features.registry import load_extractor
from chromatrack.model import onnx_export
from chromatrack.model.config import EncoderConfig
from chromatrack.model.encoder import Encoder
from chromatrack.model.onnx_export import export_onnx
from chromatrack.model.weights import load_encoder, save_encoder
from chromatrack.ops.color import rgb_to_lab

SIZES = [(64, 64), (65, 91), (240, 426), (17, 33), (8, 9), (5, 3)]
WITH_RAW = EncoderConfig(widths=(8, 16, 16), blocks=(1, 1, 1), embedding=16, raw_share=0.5)


@pytest.fixture(scope="module")
def onnx():
    pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
    pytest.importorskip("onnxscript", reason="needs the extra `onnx`")
    return pytest.importorskip("onnx", reason="needs the extra `onnx`")


@pytest.fixture(scope="module")
def exported(onnx):
    """A network as it is exported: most of an export's time, where a test is not about that."""
    return onnx_export._traced(_tiny(TINY), 20)


def differences(a: Encoder, b: Encoder) -> list[float]:
    found = []
    for height, width in SIZES:
        image = torch.rand(1, 3, height, width)
        with torch.inference_mode():
            expected, got = a(image), b(image)
        assert got.shape == expected.shape
        found.append(float((got - expected).abs().max()))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("stride", [8, pytest.param(4, marks=pytest.mark.slow)])
def test_a_weights_file_comes_back_as_the_same_features(onnx, tmp_path, stride):
    weights, out = tmp_path / "w.safetensors", tmp_path / "net.onnx"
    save_encoder(weights, _tiny(WITH_RAW))
    done = export_onnx(weights, out, stride=stride)
    assert done.difference is not None and done.difference < 1e-4
    own = load_encoder(weights).at_stride(stride)  # type: ignore[attr-defined]
    back = load_extractor(out)
    assert back.spec == own.spec
    assert (back.spec.channels, back.spec.stride, back.spec.offset) == (61, stride, 0)
    assert max(differences(own, back)) < 1e-4
    assert load_extractor(out, offset=3.5).spec.offset == 3.5


@pytest.mark.slow
def test_the_file_says_what_it_is_and_nothing_of_where_it_was_made(onnx, tmp_path):
    weights, out = tmp_path / "mine.safetensors", tmp_path / "net.onnx"
    save_encoder(weights, _tiny(TINY))
    export_onnx(weights, out, opset=20)
    proto = onnx.load(out)
    said = {entry.key: entry.value for entry in proto.metadata_props}
    assert said["chromatrack.model"] == "mine.safetensors" and "chromatrack.license" not in said
    assert (said["chromatrack.stride"], said["chromatrack.channels"]) == ("8", "16")
    assert json.loads(said["chromatrack.config"])["embedding"] == 16
    assert [entry.version for entry in proto.opset_import if not entry.domain] == [20]
    sizes = proto.graph.input[0].type.tensor_type.shape.dim
    assert [size.dim_param or size.dim_value for size in sizes] == [1, 3, "height", "width"]
    for place in (str(tmp_path), "site-packages", "encoder.py"):
        assert place.encode() not in out.read_bytes()


def test_lab_is_made_by_tensors_while_a_network_is_traced(onnx):
    class Lab(torch.nn.Module):
        def forward(self, rgb):
            return rgb_to_lab(rgb)

    image = torch.rand(1, 3, 5, 7)
    traced = torch.export.export(Lab(), (torch.rand(1, 3, 5, 7),)).module()
    torch.testing.assert_close(traced(image), rgb_to_lab(image), atol=2e-2, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["small", "single-image"])
def test_shipped_models_are_exported(onnx, tmp_path, model):
    out = tmp_path / "net.onnx"
    export_onnx(model, out)
    said = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
    assert said["chromatrack.model"] == model and said["chromatrack.license"] == "Apache-2.0"
    assert max(differences(load_encoder(model), load_extractor(out))) < 1e-4


def test_what_differs_from_torch_is_not_written(exported, tmp_path, monkeypatch):
    weights, out = tmp_path / "w.safetensors", tmp_path / "net.onnx"
    save_encoder(weights, _tiny(TINY))
    monkeypatch.setattr(onnx_export, "_traced", lambda _, opset: deepcopy(exported))
    with pytest.raises(OutputError, match="differ from torch's"):
        export_onnx(weights, out)
    assert not out.exists()


@pytest.mark.slow
def test_files_of_others_stay_and_earlier_ones_go(onnx, tmp_path):
    weights, out = tmp_path / "w.safetensors", tmp_path / "net.onnx"
    save_encoder(weights, _tiny(TINY))
    out.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"net\.onnx"):
        export_onnx(weights, out)
    assert out.read_bytes() == b"mine"
    out.unlink()
    export_onnx(weights, out)
    export_onnx(weights, out)


def test_networks_that_cannot_be_exported(onnx, tmp_path):
    save_encoder(tmp_path / "clips.safetensors", _tiny(TINY_CLIPS))
    with pytest.raises(InputError, match="takes clips of 4 frames"):
        export_onnx(tmp_path / "clips.safetensors", tmp_path / "net.onnx")
    with pytest.raises(WeightsError, match="nothing is there"):
        export_onnx("none", tmp_path / "net.onnx")
    with pytest.raises(InputError, match=r"ends in \.onnx"):
        export_onnx("small", tmp_path / "net.pt")
    assert not (tmp_path / "net.onnx").exists()


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named_in_one_line(tmp_path, monkeypatch, capsys, package):
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None if name == package else name)
    assert cli.main(["export-model", "small", "-o", str(tmp_path / "net.onnx")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"chromatrack: export-model: needs {package}; install it with pip install "
        "'chromatrack[onnx]'"
    ]


def test_without_onnxruntime_it_is_written_and_said_not_to_be_checked(
    onnx, exported, tmp_path, monkeypatch
):
    monkeypatch.setattr(onnx_export, "_traced", lambda _, opset: deepcopy(exported))
    save_encoder(tmp_path / "w.safetensors", _tiny(TINY))
    monkeypatch.setattr(
        onnx_export, "find_spec", lambda name: None if name == "onnxruntime" else name
    )
    with pytest.warns(UserWarning, match="was not run, as onnxruntime is missing"):
        assert export_onnx(tmp_path / "w.safetensors", tmp_path / "n.onnx").difference is None
    onnx.checker.check_model(onnx.load(tmp_path / "n.onnx"))
