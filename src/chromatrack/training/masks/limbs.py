"""Limbs: thin parts of a sprite that hang on it by a joint, go where it goes, and swing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from chromatrack.ops.coords import image_size
from chromatrack.ops.resample import resize
from chromatrack.training.masks.sprites import Motion, Sprite

_LENGTH = 160  # pixels of a limb's cut-out
_LENGTHS = (0.35, 1.1)  # of a limb, in sizes of its body
_THICK = (0.07, 0.3)  # share of its length that a limb is thick at its joint
_ROOM = 1.45  # how much higher than thick the cut-out is, for what swells and bends
_MOST_LIMBS = 5
_OWN = 0.5  # chance that an object's limbs are cut out of its own picture
_OTHER = 0.25  # chance of each limb that it, and those after it, come from another picture


@dataclass(frozen=True)
class Limb:
    """A cut-out that swings around a joint of a body; angles in radians.

    sprite: lies along its columns, the first at the joint; of its motion only the bend counts.
    body: how the body moves. joint: (y, x) from the body's middle, in sizes of the body. length: in
    sizes of the body. angle: at rest, from the body's. swing: by how much it goes to either side,
    with frequency a frame and phase.
    """

    sprite: Sprite
    body: Motion
    joint: np.ndarray
    length: float
    angle: float
    swing: float
    frequency: float
    phase: float

    @classmethod
    def drawn(cls, body: Sprite, picture: Tensor, rng: np.random.Generator) -> Limb:
        """A random one of a body, cut out of a picture `(3, H, W)` float in [0, 1]."""
        joint = _place_on(body, rng)
        return cls(
            sprite=_cut(picture, rng),
            body=body.motion,
            joint=joint,
            length=rng.uniform(*_LENGTHS),
            angle=math.atan2(*joint) + rng.normal() * 0.5,  # mostly outwards
            swing=rng.choice([0.1, 0.3, 0.7]),
            frequency=rng.uniform(0.2, 0.9),
            phase=rng.uniform(0, 2 * math.pi),
        )

    def on(self, body: Motion, rng: np.random.Generator) -> Limb:
        """The same limb of another body, in another phase."""
        return replace(self, body=body, phase=rng.uniform(0, 2 * math.pi))

    def draw(self, t: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """As of `Sprite`."""
        return replace(self.sprite, motion=self.motion(t)).draw(t, size)

    def motion(self, t: int) -> Motion:
        """Where the limb is on frame t: a motion that stays there, in the body's light."""
        body, still = self.body, np.zeros(2)
        swung = self.angle + self.swing * math.sin(self.phase + self.frequency * t)
        angle = body.angle + body.turn * t + swung
        length = self.length * body.size * body.growth**t
        along = np.array([math.sin(angle), math.cos(angle)])
        return replace(
            self.sprite.motion,
            **{"start": body.place(self.joint, t) + along * length / 2, "size": length},
            **{"speed": still, "pull": still, "growth": 1.0, "squeeze": 0.0},
            **{"angle": angle, "turn": 0.0, "gain": body.gain, "drift": body.drift},
        )


def some_limbs(
    body: Sprite, own: Tensor, other: Callable[[], Tensor], rng: np.random.Generator
) -> tuple[Limb, ...]:
    """One to five limbs for a body.

    Args:
        own: the picture that the body is cut out of, `(3, H, W)` float in [0, 1].
        other: gives another such picture each time.
    """
    picture = own if rng.random() < _OWN else other()
    limbs = []
    for _ in range(int(rng.integers(1, _MOST_LIMBS + 1))):
        picture = other() if rng.random() < _OTHER else picture
        limbs.append(Limb.drawn(body, picture, rng))
    return tuple(limbs)


def _place_on(body: Sprite, rng: np.random.Generator) -> np.ndarray:
    """Some pixel of a body, as (y, x) from its middle, in sizes of the body."""
    inside = (body.shape[0] > 0.5).nonzero().double().numpy()
    h, w = image_size(body.shape)
    return (inside[rng.integers(len(inside))] + 0.5 - np.array([h, w]) / 2) / max(h, w)


def _cut(picture: Tensor, rng: np.random.Generator) -> Sprite:
    """Some part of a picture in the shape of a limb."""
    shape = _tapered(_LENGTH * rng.uniform(*_THICK), rng)
    bend = rng.choice([0, 0.03])
    motion = replace(Motion.drawn(image_size(shape), rng), bend=bend)
    return Sprite(_part(picture, image_size(shape), rng), shape, motion)


def _tapered(thickness: float, rng: np.random.Generator) -> Tensor:
    """A strip, round where it begins, that tapers, swells and bends: `(1, h, _LENGTH)` float."""
    along = torch.linspace(0, 1, _LENGTH)
    radius = 1 - float(rng.uniform(0, 0.5)) * along
    radius = radius * (1 + 0.15 * torch.sin(along * rng.uniform(3, 9) + rng.uniform(0, 6)))
    bend = 0.3 * float(rng.choice([-1, 0, 1])) * torch.sin(along * math.pi)
    begin = (1 - 2 * along * _LENGTH / thickness).clamp(min=0)
    radius = torch.minimum(radius, (1 - begin.square()).sqrt())
    rows = torch.linspace(-_ROOM, _ROOM, math.ceil(_ROOM * thickness))
    return ((rows[:, None] - bend).abs() < radius)[None].float()


def _part(picture: Tensor, size: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """A random part of a picture, which is enlarged where it is too small: `(3, *size)`."""
    h, w = image_size(picture)
    enlarged = max(1.0, size[0] / h, size[1] / w)
    if enlarged > 1:
        picture = resize(picture, (math.ceil(h * enlarged), math.ceil(w * enlarged)))
    y, x = (int(rng.integers(n - m + 1)) for n, m in zip(image_size(picture), size, strict=True))
    return picture[:, y : y + size[0], x : x + size[1]]
