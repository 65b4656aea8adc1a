"""Reliability of copied colours, told without knowing them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from synthetic import moving_clip, still, write_clip

from chromatrack.evaluation.baselines.identity import RawLabEncoder
from chromatrack.ops.affinity import full_affinity
from chromatrack.propagation.config import PropagateConfig
from chromatrack.propagation.memory_bank import MemoryBank
from chromatrack.propagation.propagate import Input, Propagated
from chromatrack.runs.colorized import colorize_to_file
from chromatrack.tracking.color_reliability import (
    ColorSignals,
    chance_right,
    color_signals,
    estimate_color,
)
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.reader import Frame

SIZE = (6, 8)


def step_of(features: torch.Tensor, references: dict[int, torch.Tensor]) -> tuple:
    """A frame coloured from references, and the bank that holds them."""
    bank = MemoryBank(PropagateConfig(recent=0))
    for index, there in references.items():
        bank.mark(index, there, torch.zeros(2, *SIZE))
    pointer = full_affinity(
        features,
        torch.stack(list(references.values())),
        radius=[None] * len(references),
        top_k=1,
        temperature=0.05,
    )
    blank = Frame(np.zeros((48, 64, 3), np.uint8), 9, 0.0)
    frame = Input(9, torch.zeros(3, 48, 64), None, blank)
    label_map = torch.zeros(2, *SIZE)
    entropy = pointer.entropy()
    return Propagated(frame, label_map, entropy, features, pointer, tuple(references)), bank


def unit(seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return F.normalize(torch.randn(48, *SIZE), dim=0)


def test_signals_of_a_frame_that_moved_and_of_another_light():
    features, light = unit(0), torch.arange(48.0).reshape(1, *SIZE)
    step, bank = step_of(features.roll(1, dims=2), {0: features})
    found = color_signals(step, bank, {0: light}, light.roll(1, dims=2))
    assert found == ColorSignals(pytest.approx(0, abs=1e-5), 1.0, pytest.approx(0, abs=1e-6))
    darker = color_signals(step, bank, {0: light}, light.roll(1, dims=2) - 6)
    assert darker.light_error == pytest.approx(6) and darker.agreement == 1


def test_a_frame_of_something_else_does_not_come_back():
    features, light = unit(0), torch.arange(48.0).reshape(1, *SIZE)
    step, bank = step_of(unit(1), {0: features})
    assert color_signals(step, bank, {0: light}, light).agreement < 0.8  # 25 of 48 cells are near


def test_pictures_whose_light_is_not_known_say_nothing():
    features, light = unit(0), torch.arange(48.0).reshape(1, *SIZE)
    step, bank = step_of(features, {0: features, 4: unit(1)})
    both = color_signals(step, bank, {0: light, 4: light + 50}, light)
    assert both == color_signals(step, bank, {0: light}, light)
    none = color_signals(step, bank, {}, light)
    assert none.light_error == 0 and none.agreement == 0


def test_estimates_are_chances():
    good, bad = ColorSignals(1, 0.9, 0.3), ColorSignals(12, 0.2, 0.8)
    assert 0 <= estimate_color(bad) < 0.3 < 0.8 < estimate_color(good) <= 1
    assert 0 <= estimate_color(ColorSignals(1e6, 0, 1)) < 0.01


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    config = TrackConfig(size=96, adapt=0)
    return Tracker(RawLabEncoder(), device="cpu", config=config, model="raw-lab")


def test_colorize_writes_it_beside_videos_and_folders(tracker, tmp_path):
    clip = moving_clip(frames=4)
    images = [frame.rgb for frame in clip[:2]] + [still(seed=5), still(seed=6)]
    video = write_clip(tmp_path / "clip", images)
    told = []
    for name, place in (("out.mp4", "out.mp4.reliability.json"), ("out", "out.reliability.json")):
        reference = [(clip[0].rgb, 0)]
        done = colorize_to_file(tracker, video, references=reference, output=tmp_path / name)
        worst = done.look_at[0]
        assert str(worst).startswith(f"the colours of frames {worst.first}-3: reliability 0.")
        told.append(json.loads((tmp_path / place).read_text()))
    assert told[0] == told[1]
    rows = [row["reliability"] for row in told[0]["frames"]]
    assert [row["index"] for row in told[0]["frames"]] == [0, 1, 2, 3]
    assert all(0 <= value <= 1 for value in rows)
    assert min(rows[:2]) > 2 * max(rows[2:])  # from frame 2 on the scene is another one
    assert told[0]["look_at"][0]["last"] == 3
    assert told[0]["look_at"][0]["reliability"] == min(rows)


def test_the_chance_of_a_pixel_rises_with_what_stands_behind_it_and_is_a_chance():
    behind = torch.linspace(0, 1, 11).reshape(1, 1, 11)
    chance = chance_right(behind)
    assert chance.shape == behind.shape and bool((chance.diff() > 0).all())
    assert 0 < float(chance.min()) < 0.3 and 0.98 < float(chance.max()) < 1
