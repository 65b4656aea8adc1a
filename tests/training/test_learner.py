"""One step of the decoder: the loss, what is drawn, and that it comes to fit what it sees."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from chromatrack.errors import InputError, TrainingError
from chromatrack.model.mask_decoder import INPUTS
from chromatrack.training.masks.config import DecoderConfig, from_json, to_json
from chromatrack.training.masks.learner import DecoderRun, augmented, average, loss
from chromatrack.training.masks.samples import SamplePool, Samples

CPU = torch.device("cpu")
CONFIG = DecoderConfig(steps=40, batch=4, learning_rate=5e-3)


def ringed(count: int, *, seed: int = 0) -> Samples:
    """Labels too large by a ring, which a hint in another channel gives away."""
    rng = np.random.default_rng(seed)
    inputs, truth = torch.rand(count, INPUTS, 16, 24), torch.zeros(count, 1, 16, 24)
    for one, mask in zip(inputs, truth, strict=True):
        top, left = rng.integers(2, 6), rng.integers(2, 12)
        mask[0, top : top + 6, left : left + 8] = 1
        one[:2] = 0
        one[:2, top - 2 : top + 8, left - 2 : left + 10] = 0.9
        one[3] = mask[0] - 0.5
    return Samples(inputs.half(), truth.half())


def pool_of(samples: Samples, folder) -> SamplePool:
    pool = SamplePool(folder / "samples", most=len(samples))
    pool.add(0, samples)
    return pool


def test_the_loss_is_least_where_the_mask_is_right():
    truth = torch.zeros(2, 1, 16, 16)
    truth[:, :, 4:12, 4:12] = 1
    logits = 20 * truth - 10
    right = loss(logits, truth, truth)
    shifted = loss(logits.roll(2, -1), truth, truth)
    nothing = loss(torch.full_like(logits, -10), truth, truth)
    assert 0 <= float(right) < 0.01 < float(shifted) < float(nothing)


def test_loss_goes_down_and_masks_get_better_on_what_is_seen(tmp_path):
    torch.manual_seed(0)
    pool, run = pool_of(ringed(12), tmp_path), DecoderRun.begin(CONFIG, CPU)
    losses = [run.learn(pool, CONFIG) for _ in range(40)]
    assert run.step == 40 and run.is_sound
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_averaged_weights_go_the_same_way(tmp_path):
    run = DecoderRun.begin(CONFIG, CPU)
    before = run.averaged.last.weight.clone()
    pool = pool_of(ringed(4), tmp_path)
    for _ in range(3):
        run.learn(pool, CONFIG)
    assert not run.averaged.training and run.decoder.training
    assert not torch.equal(run.averaged.last.weight, before)
    average(run.averaged, run.decoder, share=1.0)
    state = run.decoder.state_dict()
    assert all(torch.equal(kept, state[n]) for n, kept in run.averaged.state_dict().items())


def test_a_step_that_goes_wrong_leaves_the_weights_alone(tmp_path):
    run, bad = DecoderRun.begin(CONFIG, CPU), ringed(4)
    bad.truth[:] = torch.nan
    before = run.decoder.last.weight.clone()
    with pytest.raises(TrainingError, match="not finite at step 0"):
        run.learn(pool_of(bad, tmp_path), CONFIG)
    assert run.is_sound and run.step == 0
    assert torch.equal(run.decoder.last.weight, before)


def test_inputs_and_truth_are_turned_over_together():
    samples = ringed(6)
    marked = Samples(samples.inputs.clone(), samples.inputs[:, 3:4].clone())
    seen = set()
    for seed in range(8):
        inputs, truth = augmented(marked, np.random.default_rng(seed))
        assert inputs.shape == (6, INPUTS, 12, 12) and truth.shape == (6, 1, 12, 12)
        assert inputs.dtype == truth.dtype == torch.float32
        assert torch.equal(inputs[:, 3:4], truth)
        seen |= {one.numpy().tobytes() for one in truth}
    assert len(seen) > 30  # 48 parts, hardly two alike


def test_what_a_checkpoint_holds_goes_on_alike(tmp_path):
    pool, run = pool_of(ringed(8), tmp_path), DecoderRun.begin(CONFIG, CPU)
    for _ in range(3):
        run.learn(pool, CONFIG)
    twin = DecoderRun.begin(replace(CONFIG, seed=7), CPU)
    twin.restore(copy.deepcopy(run.content(CONFIG)), tmp_path)
    assert [run.learn(pool, CONFIG) for _ in range(2)] == [
        twin.learn(pool, CONFIG) for _ in range(2)
    ]
    with pytest.raises(InputError, match="train-decoder"):
        twin.restore({"step": 1}, tmp_path)


def test_recipes_are_read_back_and_checked():
    assert from_json(to_json(CONFIG)) == CONFIG
    with pytest.raises(InputError, match="another text"):
        from_json('{"model": "small"}')
    for name, value in (("steps", 0), ("clips", 0), ("minutes", -1.0), ("size", (8, 8))):
        with pytest.raises(InputError, match=name):
            replace(CONFIG, **{name: value})


def test_clips_are_spread_over_the_steps():
    config = DecoderConfig(steps=600, clips=25, round_steps=60)
    counts = [config.clips_before(number) for number in range(11)]
    assert counts[0] == 0 and counts[1] >= 1 and counts[10] == 25
    assert all(2 <= b - a <= 3 for a, b in pairwise(counts))
    assert DecoderConfig(steps=600, clips=1).clips_before(1) == 1
