"""Colours over time: what is known stays, what references confirm wins, what is unsure calms."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from patch_encoders import SmoothEncoder, smooth_patches, wave_frame
from synthetic import write_clip

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.colorizers import ab_of, grey_of
from chromatrack.ops.affinity import SparseAffinity
from chromatrack.ops.coords import FeatureSpec
from chromatrack.propagation.config import PropagateConfig
from chromatrack.tracking.color_carry import (
    KEPT,
    MOST,
    CarriedColors,
    Estimate,
    calmed,
    copied_estimate,
    settle,
)
from chromatrack.tracking.color_motion import FrameMotion
from chromatrack.tracking.colorize import fit_light
from chromatrack.tracking.config import ColoringConfig, TrackConfig
from chromatrack.tracking.tracker import Tracker

SPEC = FeatureSpec(4, 8, 3.5)
SIZE = (64, 96)


def flat(a: float, weight: float, confidence: float = 1.0) -> Estimate:
    one = torch.ones(1, *SIZE)
    return Estimate(torch.cat([a * one, 0 * one]), weight * one, confidence * one)


def test_new_colors_join_by_their_weight():
    found = settle(flat(10, 1), flat(12, 1))
    assert 10 < float(found.ab[0].min()) < 12 and float(found.ab[0].max()) < 12
    assert float(found.weight.max()) < 1 + KEPT + 1e-5
    assert float(settle(flat(10, 9), flat(10, 9)).weight.max()) == MOST
    nothing = settle(flat(10, 1, 0.5), flat(0, 0))
    torch.testing.assert_close(nothing.ab, flat(10, 1).ab)
    torch.testing.assert_close(nothing.confidence, flat(10, 1, 0.5).confidence)


def test_what_contradicts_well_known_colors_hardly_counts_and_makes_them_less_sure():
    wrong, right = flat(60, 0.3), flat(0, MOST)
    found = settle(wrong, right)
    assert float(found.ab.max()) < 1
    assert float(found.confidence.max()) < 1
    agreeing = settle(flat(2, 0.3), right)
    assert float(agreeing.ab[0].mean()) / 2 > 10 * float(found.ab[0].mean()) / 60 / 3


def test_what_is_carried_onto_uncovered_background_gives_way_to_perfect_copies_alone():
    ball, grass = flat(60, MOST), flat(-20, 1.1)
    uncovered = replace(ball, fit=torch.full_like(ball.weight, 0.4))
    assert float(settle(grass, ball).ab[0].min()) > 30, "fitting colours stay"
    assert float(settle(grass, replace(ball, fit=torch.ones_like(ball.weight))).ab[0].min()) > 30
    assert float(settle(grass, uncovered).ab[0].max()) < -10
    unsure = replace(grass, confidence=0.5 * grass.confidence)
    assert float(settle(unsure, uncovered).ab[0].min()) > 25, "doubtful copies change little"


def test_an_error_that_nothing_confirms_is_given_up():
    state = flat(60, MOST)  # wrong, and well known
    steps = 0
    while float(state.ab[0].mean()) > 20:
        state = settle(flat(0, 1.1), state)
        steps += 1
        assert steps < 60
    assert steps > 3


def patches_of(light: torch.Tensor) -> torch.Tensor:
    return smooth_patches((light / 100)[None].expand(-1, 3, -1, -1))[0]


def test_colors_follow_a_surface_that_moves():
    spec = FeatureSpec(4, 8, 0.0)
    carried, motion = CarriedColors(spec), FrameMotion(spec, 0.05)
    at = []
    for step in range(4):
        rgb = torch.from_numpy(np.asarray(wave_frame((2.0 * step, 0.0), size=SIZE))).float()
        image = rgb if rgb.shape[0] == 3 else rgb.permute(2, 0, 1)
        light = 100 * image.mean(0, keepdim=True)
        x = torch.arange(SIZE[1])[None, None, :].expand(1, *SIZE) - 2 * step
        truth = torch.cat([torch.where(x < 48, 30.0, -30.0), torch.zeros(1, *SIZE)])
        copied = Estimate.given(truth) if step == 0 else flat(0, 0.01, 0.1)
        found = carried.step(light, copied, motion.step(patches_of(light), light))
        at.append(float((found.ab - truth)[:, 8:-8, 16:-16].abs().mean()))
    assert at[0] == 0 and max(at) < 4  # of 15, half of them being wrong by 30 where nothing moves


def test_copies_are_sure_where_their_cells_agree_and_their_luminance_is_right():
    h, w = 8, 12
    maps = torch.zeros(1, 3, h, w)
    maps[0, 0] = 50
    maps[0, 1, :, ::2], maps[0, 1, :, 1::2] = 40, -40
    cells = torch.arange(h * w)
    one = SparseAffinity(cells[:, None], torch.ones(h * w, 1), (h, w))
    two = SparseAffinity(torch.stack([cells, cells ^ 1], 1), torch.full((h * w, 2), 0.5), (h, w))
    ab, light = torch.zeros(2, *SIZE), torch.full((1, *SIZE), 50.0)

    def confidence(pointer, light=light, laid=None, apart=(None,)):
        found = copied_estimate(pointer, ab, light, maps, laid, apart=apart, spec=SPEC)
        assert float(found.confidence.min()) >= 0 and float(found.confidence.max()) <= 1
        return float(found.confidence.mean()), float(found.weight.mean())

    assert confidence(one)[0] == pytest.approx(1)
    assert confidence(two)[0] == pytest.approx(math.exp(-40 / 12), rel=0.05)
    assert confidence(one, light + 20)[0] == pytest.approx(math.exp(-1), rel=0.05)
    laid = ab, torch.ones_like(light)
    near, far = (confidence(one, laid=laid, apart=(gap,))[1] for gap in (1.0, 50.0))
    assert near > 2 * far, "a reference near in time has more to say"


def test_unsure_colors_fade_into_what_surrounds_them_and_sure_ones_stay():
    ab = torch.zeros(2, 96, 96)
    ab[0] = 20
    ab[:, 40:48, 40:48] = torch.tensor([-60.0, 70.0])[:, None, None]
    sure = torch.ones(1, 96, 96)
    sure[:, 40:48, 40:48] = 0.03
    estimate = Estimate(ab, sure, sure)
    found = calmed(estimate, floor=0.3)
    assert torch.equal(found[:, :40], ab[:, :40])
    speck = found[:, 40:48, 40:48].mean((1, 2))
    assert abs(float(speck[0]) - 20) < 12 and abs(float(speck[1])) < 12
    assert calmed(estimate, floor=0) is ab
    unknown = Estimate(ab, 0 * sure, 0 * sure)
    assert torch.isfinite(calmed(unknown, floor=1)).all()


def test_pictures_of_other_scenes_get_the_films_luminance():
    generator = torch.Generator().manual_seed(0)
    picture = torch.cat([torch.rand(1, 20, 30, generator=generator) * 20, torch.ones(2, 20, 30)])
    film = 40 + torch.rand(3, 20, 30, generator=generator) * 30
    found = fit_light(picture, film)
    assert float(found[0].mean() - film[0].mean()) == pytest.approx(0, abs=0.1)
    assert float(found[0].std() / film[0].std()) == pytest.approx(1, rel=0.02)
    assert torch.equal(found[1:], picture[1:])
    even = fit_light(torch.ones(3, 4, 4), film)
    assert torch.isfinite(even).all()


class GreyPatches(SmoothEncoder):
    """`smooth_patches` of the luminance."""

    def embed(self, lab: torch.Tensor) -> torch.Tensor:
        return smooth_patches(0.5 + 0.5 * lab[:, :1].expand(-1, 3, -1, -1))


def moving(count: int) -> list[np.ndarray]:
    return [
        (wave_frame((2.0 * i, 1.0 * i), size=SIZE) * 255).round().astype(np.uint8)
        for i in range(count)
    ]


def test_a_reference_shows_its_own_colors_and_the_seam_before_it_is_no_jump(tmp_path):
    frames = moving(7)
    clip = write_clip(tmp_path / "grey", [grey_of(rgb) for rgb in frames])
    jumps = {}
    for carry in (True, False):
        config = TrackConfig(
            size=64,
            color=PropagateConfig(recent=0, radius=3),
            coloring=ColoringConfig(carry=carry),
        )
        tracker = Tracker(GreyPatches(), device="cpu", config=config)
        found = list(tracker.colorize(clip, references=[(frames[0], 0), (frames[6], 6)]))
        for index in (0, 6):
            apart = ab_of(found[index].rgb) - ab_of(frames[index])
            assert float(apart.abs().mean()) < 0.6
        for frame in found:
            assert frame.ab is not None and frame.confidence is not None
            assert frame.ab.shape == (2, *SIZE) and frame.confidence.shape == SIZE
            assert frame.confidence.min() >= 0 and frame.confidence.max() <= 1
        jumps[carry] = float(np.abs(found[6].ab - found[5].ab).mean())
    own = float((ab_of(frames[6]) - ab_of(frames[5])).abs().mean())
    assert jumps[True] < 1.5 * own + 1


def test_the_floor_is_a_share():
    with pytest.raises(InputError, match="confidence_floor: expected a share"):
        ColoringConfig(confidence_floor=1.5)
