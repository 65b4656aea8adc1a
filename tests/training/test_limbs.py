"""Limbs: they hang on their body for as long as one looks, and are whose their body is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import still

from chromatrack.ops.resample import planes
from chromatrack.training.masks import pasted_clips
from chromatrack.training.masks.limbs import Limb, some_limbs
from chromatrack.training.masks.pasted_clips import Actor, compose, pasted_clip
from chromatrack.training.masks.regions import random_shape
from chromatrack.training.masks.sprites import Motion, Sprite

SIZE = (96, 128)
GREY = torch.full((4, 3, *SIZE), 128, dtype=torch.uint8)
RED, BLUE = ((torch.tensor(c)[:, None, None].expand(3, 40, 60)) for c in ([1.0, 0, 0], [0, 0, 1.0]))


def body(seed: int, **changes) -> Sprite:
    rng = np.random.default_rng(seed)
    shape = random_shape((40, 60), rng)
    plain = {"gain": np.ones(3), "drift": 1.0, "bend": 0.0, **changes}
    return Sprite.cut(RED, shape, replace(Motion.drawn(SIZE, rng), **plain))


def middling(seed: int, **changes) -> Sprite:
    """A body that stays about in the middle of the frame."""
    middle = {"start": np.array([48.0, 64.0]), "speed": np.zeros(2), "pull": np.zeros(2)}
    return body(seed, **{**middle, "size": 40.0, "growth": 1.05, **changes})


def limbs(of: Sprite, seed: int) -> tuple[Limb, ...]:
    return some_limbs(of, BLUE, lambda: BLUE, np.random.default_rng(seed))


def end(limb: Limb, t: int) -> np.ndarray:
    """Where on frame t the limb's sprite begins: (y, x) in pixels."""
    motion = limb.motion(t)
    along = np.array([math.sin(motion.angle), math.cos(motion.angle)])
    return motion.middle(t) - along * motion.size / 2


@pytest.mark.parametrize("seed", range(5))
def test_a_joint_keeps_its_place_in_the_bodys_own_frame(seed):
    steady = body(seed, squeeze=0.0)
    for limb in limbs(steady, seed):
        for t in range(14):
            away = np.linalg.norm(end(limb, t) - steady.motion.middle(t))
            grown = steady.motion.size * steady.motion.growth**t
            assert away == pytest.approx(np.linalg.norm(limb.joint) * grown, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_a_joint_is_where_the_body_is_drawn(seed):
    """Also when the body is squeezed and turned."""
    whole = middling(seed, turn=0.1, squeeze=0.03)
    for limb in limbs(whole, seed):
        for t in (0, 3, 7):
            y, x = np.round(end(limb, t)).astype(int)
            opaque = whole.draw(t, SIZE)[1][0]
            assert float(opaque[y - 1 : y + 2, x - 1 : x + 2].max()) > 0.5


def test_limbs_swing_and_grow_with_their_body():
    still_one = middling(0, turn=0.0, angle=0.0, growth=1.1)
    limb = replace(limbs(still_one, 0)[0], angle=1.0, swing=0.5, frequency=math.pi / 2, phase=0.0)
    angles = [limb.motion(t).angle for t in range(4)]
    assert angles == pytest.approx([1.0, 1.5, 1.0, 0.5])
    assert limb.motion(3).size == pytest.approx(limb.motion(0).size * 1.1**3)


@pytest.mark.parametrize("behind", [False, True])
def test_limbs_are_of_their_bodys_id(behind):
    """The body is red and its limbs are blue, so that pixels say which is in front."""
    whole = middling(1)
    actor = Actor(whole, 2, limbs(whole, 1), behind=behind)
    frames, truth = compose(GREY, [actor])
    blue, red = ((frames[:, c] == 1) & (frames.sum(1) == 1) for c in (2, 0))
    assert int(blue[0].sum()) > 50 and int(red[0].sum()) > 50
    assert bool((truth[blue | red] == 2).all())
    inside = torch.stack([whole.draw(t, SIZE)[1][0] == 1 for t in range(len(GREY))])
    assert bool((blue & inside).any()) != behind


def test_limbs_of_look_alikes_are_background_and_swing_on_their_own():
    rng = np.random.default_rng(0)
    whole = middling(1)
    actor = Actor(whole, 1, limbs(whole, 1))
    other = actor.look_alike(SIZE, rng)
    assert other.id == 0 and len(other.limbs) == len(actor.limbs)
    for one, same in zip(actor.limbs, other.limbs, strict=True):
        assert torch.equal(one.sprite.color, same.sprite.color) and one.phase != same.phase
        assert same.body is other.sprite.motion
    frames, truth = compose(GREY, [other])
    assert bool((frames[:, 2] > frames[:, 0] + 0.3).any()) and not bool(truth.any())


def test_some_limbs_are_thin():
    """In pixels of the first frame, where they are thickest."""
    thick = []
    for seed in range(30):
        for limb in limbs(body(seed), seed):
            shape = limb.sprite.shape[0]
            longest = float(shape.sum(0).max()) / shape.shape[1]
            thick.append(longest * limb.motion(0).size)
    assert 0.1 < np.mean(np.array(thick) < 8) < 0.95
    assert max(thick) > 16


def test_clips_are_the_same_for_the_same_seed(monkeypatch):
    def clip(seed: int):
        pictures = iter(range(100))
        return pasted_clip(
            GREY, lambda: planes(still((60, 80), seed=next(pictures))), np.random.default_rng(seed)
        )

    monkeypatch.setattr(pasted_clips, "_LIMBED", 1.0)
    one, same, other = clip(3), clip(3), clip(4)
    assert one is not None and same is not None and other is not None
    assert np.array_equal(one.frames, same.frames) and np.array_equal(one.truth, same.truth)
    assert not np.array_equal(one.frames, other.frames)


def test_about_six_of_ten_objects_have_limbs(monkeypatch):
    monkeypatch.setattr(pasted_clips, "_GROWN", 0.0)  # which takes time
    rng = np.random.default_rng(0)
    photo = planes(still((60, 80), seed=1))
    some = [a for _ in range(60) for a in pasted_clips._actors(SIZE, lambda: photo, rng) if a.id]
    assert 0.4 < np.mean([bool(actor.limbs) for actor in some]) < 0.8
