"""Colours are the same to the bit whether each step of the way has a thread of its own or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic import moving_clip, write_clip

from chromatrack.evaluation.baselines.colorizers import grey_of
from chromatrack.tracking import colorize as colorize_module
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import Tracker

COUNT = 8


@pytest.mark.parametrize("recent", [0, 1])
def test_threads_change_nothing(recent, tmp_path, monkeypatch):
    frames = [frame.rgb for frame in moving_clip(frames=COUNT, objects=2, radius=16)]
    clip = write_clip(tmp_path / "clip", [grey_of(rgb) for rgb in frames])
    usual = TrackConfig(size=96)
    config = replace(usual, color=replace(usual.color, recent=recent))
    found = {}
    for is_ahead in (False, True):
        monkeypatch.setattr(colorize_module, "is_ahead_worth_it", lambda device, on=is_ahead: on)
        tracker = Tracker.from_pretrained("small", config=config, device="cpu")
        references = [(frames[2], 2), (frames[6], 6)]
        found[is_ahead] = list(tracker.colorize(clip, references=references))
    assert len(found[True]) == len(found[False]) == COUNT
    for one, other in zip(found[True], found[False], strict=True):
        assert one.index == other.index and one.signals == other.signals
        for name in ("rgb", "ab", "confidence"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), (one.index, name)
