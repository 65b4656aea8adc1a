"""`chromatrack doctor`: it names what is here, and tells traps and breakage apart."""

from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace

import av
import pytest
import torch

from chromatrack.cli import doctor
from chromatrack.cli import main as cli
from chromatrack.model import weights
from chromatrack.model.weights import save_encoder


@pytest.fixture
def models(tmp_path, monkeypatch, tiny_encoder):
    """An installation that ships one tiny model."""
    monkeypatch.setattr(weights, "MODELS", tmp_path)
    save_encoder(tmp_path / "small.safetensors", tiny_encoder)
    return tmp_path


def test_a_sound_installation(models, capsys):
    found = doctor.diagnose()
    rows = dict(found.rows)
    assert found.problems == []
    assert torch.__version__ in rows["torch"] and av.__version__ in rows["av"]
    assert "libx264" in rows["encoders"] and "MISSING" not in rows["encoders"]
    assert "hevc" in rows["decoders"] and "loads" in rows["model small"]
    assert cli.main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown and text in shown for name, text in found.rows)


def test_models_that_are_missing_or_damaged_are_problems(models, capsys):
    path = models / "small.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    [problem] = doctor.diagnose().problems
    assert "model small" in problem and "reinstall" in problem
    path.unlink()
    assert cli.main(["doctor"]) == 1
    assert "problem: no trained model" in capsys.readouterr().out


def test_missing_codecs(models, monkeypatch):
    real = av.Codec

    def codec(name: str, mode: str):
        if name in ("libx264", "prores_ks", "av1"):
            raise ValueError(name)
        return real(name, mode)

    monkeypatch.setattr(av, "Codec", codec)
    found = doctor.diagnose()
    assert "libx264 MISSING" in dict(found.rows)["encoders"]
    assert [text.split(" (")[0] for text in found.problems] == ["FFmpeg has no encoder libx264"]
    assert any("prores_ks" in text for text in found.warnings)
    assert any("cannot read av1" in text for text in found.warnings)


def test_torch_builds(models, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch, "__version__", "2.5.1+cu130")
    found = doctor.diagnose()
    assert any("constraints.txt" in text and "CUDA 13.0" in text for text in found.warnings)
    assert any("older than 2.6" in text for text in found.problems)


def test_packages_that_do_not_import(models, monkeypatch):
    real = importlib.import_module

    def broken(name: str):
        if name == "av":
            raise ImportError("libavcodec.so: cannot open\nshared object file")
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return real(name)

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    monkeypatch.setattr(doctor, "find_spec", lambda name: SimpleNamespace())
    found = doctor.diagnose()
    [problem] = found.problems
    assert problem.startswith("av does not import (libavcodec.so: cannot open shared object file)")
    assert any("torchvision::nms" in text for text in found.warnings)
    assert not any(name.startswith("model") for name, _ in found.rows)


def test_bfloat16_units(tmp_path):
    cpu = tmp_path / "cpuinfo"
    cpu.write_text("flags\t: fpu avx2 avx512f\n")
    assert doctor.bfloat16_units(cpu) is False
    cpu.write_text("flags\t: fpu avx2 avx512_bf16 amx_tile\n")
    assert doctor.bfloat16_units(cpu) is True
    assert doctor.bfloat16_units(tmp_path / "none") is None


def test_python_dash_m(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["chromatrack", "--version"])
    from chromatrack import __main__

    assert __main__.main() == 0
