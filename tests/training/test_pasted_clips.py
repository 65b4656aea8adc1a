"""Pasted clips: where a sprite is opaque its id is there; what only confuses is background."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import still

from chromatrack.ops.resample import planes
from chromatrack.training.masks import pasted_clips
from chromatrack.training.masks.pasted_clips import Actor, compose, pasted_clip
from chromatrack.training.masks.sprites import Motion, Sprite

SIZE = (64, 96)
GREY = torch.full((4, 3, *SIZE), 128, dtype=torch.uint8)


def motion(**changes) -> Motion:
    """One that does nothing: 32 pixels in the middle of the frame, for as long as one looks."""
    still_one = replace(
        Motion.drawn(SIZE, np.random.default_rng(0)),
        **{"start": np.array([31.5, 47.5]), "speed": np.zeros(2), "pull": np.zeros(2)},
        **{"size": 32.0, "growth": 1.0, "squeeze": 0.0, "angle": 0.0, "turn": 0.0, "bend": 0.0},
        **{"gain": np.ones(3), "drift": 1.0},
    )
    return replace(still_one, **changes)


def square(color: tuple[float, float, float], **changes) -> Sprite:
    picture = torch.tensor(color)[:, None, None].expand(3, 32, 32)
    return Sprite.cut(picture, torch.ones(32, 32, dtype=torch.bool), motion(**changes))


def test_a_sprite_is_drawn_where_its_motion_says():
    color, opaque = square((1, 0, 0)).draw(0, SIZE)
    inside = torch.zeros(SIZE, dtype=torch.bool)
    inside[17:47, 33:63] = True  # but for its edge, 32 x 32 around the middle
    assert bool((opaque[0][inside] == 1).all())
    assert torch.allclose(color[:, inside], torch.tensor([1.0, 0, 0])[:, None])
    far = torch.ones(SIZE, dtype=torch.bool)
    far[15:49, 31:65] = False
    assert bool((opaque[0][far] == 0).all())
    _, later = square((1, 0, 0), speed=np.array([0.0, 5.0])).draw(2, SIZE)
    assert torch.allclose(later[..., 20:], opaque[..., 10:-10], atol=1e-5)


def test_growth_turns_and_light_are_as_said():
    area = [float(square((1, 1, 1), growth=1.2).draw(t, SIZE)[1].sum()) for t in (0, 2)]
    assert area[1] / area[0] == pytest.approx(1.2**4, rel=0.02)
    bar = torch.zeros(32, 32, dtype=torch.bool)
    bar[12:20] = True
    sprite = Sprite.cut(torch.ones(3, 32, 32), bar, motion(turn=np.pi / 2))
    lying, standing = sprite.draw(0, SIZE)[1][0], sprite.draw(1, SIZE)[1][0]
    assert torch.equal(lying[16:48, 32:64] > 0.5, (standing[16:48, 32:64] > 0.5).T)
    color, _ = square((0.5, 0.5, 0.5), gain=np.array([1.0, 0.5, 2.0])).draw(0, SIZE)
    assert color[:, 32, 48].tolist() == pytest.approx([0.5, 0.25, 1.0])


@pytest.mark.parametrize("seed", range(4))
def test_truth_is_what_is_drawn_opaque_and_in_front(seed):
    """One colour a sprite, so that pixels say whose they are."""
    rng = np.random.default_rng(seed)
    colors = [(1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0)]
    ids = [2, 0, 1]
    actors = []
    for color, number in zip(colors, ids, strict=True):
        drawn = replace(Motion.drawn(SIZE, rng), gain=np.ones(3), drift=1.0)
        picture = torch.tensor(color)[:, None, None].expand(3, 40, 40)
        shape = pasted_clips.random_shape((40, 40), rng)
        actors.append(Actor(Sprite.cut(picture, shape, drawn), number))
    frames, truth = compose(GREY, actors)
    assert truth.dtype == torch.uint8 and truth.shape == (4, *SIZE)
    for color, number in zip(colors, ids, strict=True):
        pure = (frames - torch.tensor(color)[:, None, None]).abs().amax(1) < 1e-6
        assert bool((truth[pure] == number).all())
    untouched = ((frames - 128 / 255).abs() < 1e-6).all(1)
    assert bool((truth[untouched] == 0).all()) and bool(untouched.any())


def test_look_alikes_and_occluders_are_background(monkeypatch):
    """With both in every clip, ids are those of objects alone, and more is pasted than they are."""
    monkeypatch.setattr(pasted_clips, "_LOOK_ALIKE", 1.0)
    monkeypatch.setattr(pasted_clips, "_OCCLUDER", 1.0)
    monkeypatch.setattr(pasted_clips, "_photographed", lambda frames, rng: frames)
    hidden = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        clip = pasted_clip(GREY, lambda s=seed: planes(still((60, 80), seed=s)), rng)
        if clip is None:
            continue
        assert set(np.unique(clip.truth)) <= {0, 1, 2, 3} and 0 not in clip.ids
        pasted = (clip.frames != 128).any(-1)
        assert pasted[clip.truth > 0].mean() > 0.99
        hidden += int((pasted & (clip.truth == 0)).sum())
    assert hidden > 5000


def test_what_is_hidden_by_an_actor_of_no_id_is_background():
    front = square((0, 0, 1), start=np.array([31.5, 55.5]))
    _, truth = compose(GREY, [Actor(square((1, 0, 0)), 1), Actor(front, 0)])
    assert bool((truth[0, 20:44, 34:38] == 1).all()) and bool((truth[0, 20:44, 42:60] == 0).all())
    _, truth = compose(GREY, [Actor(front, 0), Actor(square((1, 0, 0)), 1)])
    assert bool((truth[0, 20:44, 34:60] == 1).all())


def test_clips_follow_what_is_shown_on_their_first_frame():
    rng = np.random.default_rng(1)
    clips = [pasted_clip(GREY, lambda: planes(still((60, 80), seed=4)), rng) for _ in range(6)]
    some = [clip for clip in clips if clip is not None]
    assert len(some) >= 3
    for clip in some:
        assert clip.frames.shape == (4, *SIZE, 3) and clip.frames.dtype == np.uint8
        shown = {i: int((clip.first_mask == i).sum()) for i in clip.ids}
        assert set(np.unique(clip.first_mask)) == {0, *clip.ids}
        assert min(shown.values()) >= pasted_clips.LEAST_SHOWN
