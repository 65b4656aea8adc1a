"""Protocols by name: their literal numbers, single knobs changed, and our own as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from patch_encoders import SIZE, SmoothEncoder
from synthetic import moving_clip, write_clip

from chromatrack.cli.options import DEFAULTS, ColorSettings, Evaluated, Settings, track_config
from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.identity import RAW_LAB_TEMPERATURE
from chromatrack.evaluation.protocols import PROTOCOLS, protocol
from chromatrack.tracking.config import TrackConfig, quality_config
from chromatrack.tracking.tracker import Tracker

FILM = moving_clip(frames=7, size=SIZE, objects=2, radius=14)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mkv", FILM)


def masks_under(config: TrackConfig, clip) -> list[np.ndarray]:
    tracker = Tracker(SmoothEncoder(), device="cpu", config=config)
    return [frame.mask for frame in tracker.track(clip, masks=FILM[0].mask)]


def iou(mask: np.ndarray, truth: np.ndarray, number: int) -> float:
    found, there = mask == number, truth == number
    return float((found & there).sum() / (found | there).sum())


def test_numbers_of_the_published_scripts():
    crw, dino, mast, paper = (protocol(name) for name in ("crw", "dino", "mast", "paper"))
    assert (crw.propagate.recent, crw.propagate.top_k, crw.propagate.temperature) == (20, 10, 0.05)
    assert (crw.propagate.radius_shape, crw.propagate.restrict_first) == ("disc", False)
    assert crw.propagate.fill and not crw.stretch
    assert (dino.propagate.recent, dino.propagate.top_k, dino.propagate.temperature) == (7, 5, 0.1)
    assert (dino.propagate.radius, dino.propagate.restrict_first) == (12, True)
    assert (dino.long_multiple, dino.stretch) == (64, True)
    assert (mast.propagate.pinned, mast.propagate.recent, mast.propagate.spacing) == ((5,), 3, 2)
    assert mast.propagate.harden and mast.propagate.top_k is None
    assert (mast.propagate.moved_after, mast.propagate.moved_dilation) == (15, 4)
    assert (paper.propagate.first, paper.propagate.recent, paper.propagate.top_k) == (
        False,
        3,
        None,
    )
    assert (paper.propagate.temperature, paper.propagate.similarity) == (0.5, "dot")
    assert (paper.size, paper.square) == (256, True)
    assert all(config.propagate.first for config in (crw, dino, mast))
    assert all(config.propagate.spacing == 1 for config in (crw, dino, paper))
    assert dino.propagate.radius_shape == mast.propagate.radius_shape == "square"
    assert mast.propagate.restrict_first and dino.propagate.recent_radius == 12
    for config in (crw, dino, mast, paper):
        assert (config.adapt, config.redetect, config.upsample) == (0, False, "bilinear")
        assert config.propagate.faint == 0
    for config in (crw, dino, paper, protocol("ours")):
        assert config.propagate.moved_after is None


def test_our_own_is_what_track_does():
    assert protocol("ours") == TrackConfig() == track_config(DEFAULTS) == Evaluated().config()


AREAS = [
    [(617, 617)],
]
"""Of both objects on every frame, as they were before there were protocols."""


@pytest.mark.parametrize("name", [n for n in PROTOCOLS if n not in ("ours", "paper")])
def test_every_protocol_follows_what_moves(name, clip):
    knobs = {"similarity": "cosine", "temperature": 0.05} if name == "mast" else {}
    found = masks_under(protocol(name, size=SIZE[0], long_multiple=1, **knobs), clip)
    assert len(found) == len(FILM)
    assert iou(found[2], FILM[2].mask, 1) > 0.6 and iou(found[-1], FILM[-1].mask, 2) > 0.6


def test_the_papers_protocol_needs_no_window(clip):
    knobs = {"similarity": "cosine", "temperature": 0.02, "size": 96}
    found = masks_under(protocol("paper", **knobs), clip)
    assert iou(found[2], FILM[2].mask, 1) > 0.4 and iou(found[-1], FILM[-1].mask, 2) > 0.4


def test_single_knobs_are_changed_and_named():
    config = protocol("crw", top_k=5, size=240, recent=20)
    assert config.propagate.top_k == 5 and config.size == 240 and config.propagate.recent == 20
    assert config.protocol == "crw with top_k=5, size=240"
    assert protocol("crw").protocol == "crw"
    assert protocol("crw", top_k=None).color.top_k == 10  # colours are always copied from a few
    with pytest.raises(InputError, match="ours, paper, crw, dino, mast, got 'crv'"):
        protocol("crv")
    with pytest.raises(InputError, match="got topk"):
        protocol("crw", topk=5)
    with pytest.raises(InputError, match="temperature"):
        protocol("crw", temperature=0)


def test_the_commands_knobs_override_the_protocols():
    asked = Evaluated(protocol="dino", top_k="all", redetect=True, pinned=(3,), radius_shape="disc")
    config = asked.config()
    assert config.propagate.top_k is None and config.redetect and config.propagate.pinned == (3,)
    assert config.propagate.recent == 7 and config.propagate.radius_shape == "disc"
    assert Evaluated(protocol="dino", top_k=10).config().propagate.top_k == 10
    changed = Evaluated(size=240, top_k=5, temperature=0.1).config()
    as_before = track_config(Settings(size=240, top_k=5, temperature=0.1))
    assert changed.propagate == as_before.propagate and changed.color == as_before.color


def test_raw_patches_have_a_temperature_of_their_own_under_our_protocol_alone():
    assert Evaluated(model="raw-lab").config().propagate.temperature == RAW_LAB_TEMPERATURE
    assert Evaluated(model="raw-lab", temperature=0.1).config().propagate.temperature == 0.1
    assert Evaluated(model="raw-lab", protocol="crw").config().propagate.temperature == 0.05


def test_fast_quality_looks_at_fewer_lines_unless_told_otherwise():
    fast = track_config(Settings(quality="fast"))
    assert (fast.size, fast.propagate.recent, fast.int8, fast.narrow) == (320, 3, True, True)
    usual = track_config(Settings())
    same = replace(fast, size=480, narrow=False)
    same = replace(same, propagate=usual.propagate, color=usual.color)
    assert same == usual
    assert track_config(Settings(quality="fast", size=400)).size == 400
    assert Evaluated(quality="fast").config().size == 320
    colors = track_config(ColorSettings(quality="fast"))
    assert (colors.size, colors.int8) == (320, True)
    assert replace(colors, size=480) == track_config(ColorSettings())


def test_best_quality_rounds_no_features():
    assert usual_with(int8=False, mirror=True) == track_config(Settings(quality="best"))
    colors = track_config(ColorSettings(quality="best"))
    assert colors == replace(track_config(ColorSettings()), int8=False)
    assert not any(PROTOCOLS[name]().int8 for name in PROTOCOLS if name != "ours")


def usual_with(**changed: Any) -> TrackConfig:
    return replace(track_config(Settings()), **changed)


@pytest.mark.parametrize("quality", ["fast", "normal", "best"])
def test_a_quality_is_the_same_with_and_without_options(quality):
    with_options = track_config(Settings(quality=quality))
    found = quality_config(quality)
    assert replace(found, color=with_options.color) == with_options


def test_best_quality_mirrors_unless_told_otherwise():
    for make, config in ((Settings, track_config), (Evaluated, Evaluated.config)):
        assert not config(make()).mirror
        assert config(make(quality="best")).mirror
        assert not config(make(quality="best", mirror=False)).mirror
        assert config(make(mirror=True)) == config(make(mirror=True, quality="normal"))
