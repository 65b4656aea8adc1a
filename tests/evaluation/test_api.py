"""Scoring from Python: the documentation's lines as they stand, and what they cannot do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch.nn.functional as F
from synthetic import moving_clip, write_clip, write_masks

import chromatrack
from chromatrack.errors import InputError, LayoutError
from chromatrack.evaluation.protocols import protocol

DOCS = Path(__file__).parents[2] / "docs/measuring.md"
FEATURES = """
import torch
import torch.nn.functional as F

class MyNetwork(torch.nn.Module):
    def forward(self, image):
        blocks = F.pixel_unshuffle(F.avg_pool2d(image, 2), 4)
        return blocks - 0.5
"""


@pytest.fixture(scope="module")
def davis(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("measuring")
    root, film = folder / "DAVIS", moving_clip(frames=6, size=(72, 104), radius=16)
    write_clip(root / "JPEGImages/480p/disc", film)
    write_masks(root / "Annotations/480p/disc", film)
    (root / "ImageSets/480p").mkdir(parents=True)
    (root / "ImageSets/480p/val.txt").write_text("disc\n")
    (folder / "my_features.py").write_text(FEATURES)
    return root


def code_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)


def test_the_documented_five_lines(davis, monkeypatch, capsys):
    monkeypatch.chdir(davis.parent)
    monkeypatch.syspath_prepend(str(davis.parent))
    five, knobs = code_blocks()
    assert len([line for line in five.splitlines() if line.strip()]) <= 5
    names: dict = {}
    exec(five, names)
    score = float(capsys.readouterr().out)
    assert score == names["result"]["scores"]["J&F-Mean"] > 0.5
    assert names["result"]["config"]["protocol"] == "crw"
    assert names["result"]["model"] == "MyNetwork"
    exec(knobs, names)


def test_protocols_change_the_score_and_are_recorded(davis, tmp_path):
    def feature(image):
        return F.pixel_unshuffle(F.avg_pool2d(image, 2), 4) - 0.5

    scores = {}
    for name in ("crw", "dino", "mast", "ours"):
        asked = protocol(name, size=72) if name != "mast" else protocol(name, size=72, radius=3)
        result = chromatrack.evaluate(
            "davis", davis, model=feature, protocol=asked, output=tmp_path / name, device="cpu"
        )
        written = json.loads((tmp_path / name / "result.json").read_text())
        assert written["config"]["protocol"].startswith(f"{name} with size=72")
        assert written["config"]["propagate"]["top_k"] == asked.propagate.top_k
        assert written["model"] == "feature"
        assert len(list((tmp_path / name / "masks/disc").iterdir())) == 6
        scores[name] = result["scores"]["J&F-Mean"]
    assert min(scores["crw"], scores["dino"], scores["ours"]) > 0.5
    assert len({round(score, 6) for score in scores.values()}) > 2


def test_named_models_and_options_of_the_benchmark(davis):
    result = chromatrack.evaluate("davis", davis, model="identity", sequences=["disc"], year=2017)
    assert result["model"] == "identity" and result["year"] == 2017
    floor = chromatrack.evaluate("davis", davis, model="raw-lab", device="cpu")
    assert floor["config"]["propagate"]["temperature"] == 0.03
    seen = []
    chromatrack.evaluate("davis", davis, model="identity", progress=lambda *x: seen.append(x))
    assert seen[-1] == ("disc", 6, 6)


def test_what_cannot_be_scored(davis, tmp_path):
    with pytest.raises(InputError, match=r"expected one of davis, .* got 'davids'"):
        chromatrack.evaluate("davids", davis)
    with pytest.raises(InputError, match="protocol: expected one of"):
        chromatrack.evaluate("davis", davis, protocol="crv")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="expected a function of an image"):
        chromatrack.evaluate("davis", davis, model=lambda image: np.zeros(3))
    with pytest.raises(LayoutError):
        chromatrack.evaluate("davis", tmp_path, model="identity")


def test_options_that_a_benchmark_does_not_have_are_named(tmp_path):
    with pytest.raises(InputError, match=r"^foo: davis has the options .*year"):
        chromatrack.evaluate("davis", tmp_path, foo=1)
