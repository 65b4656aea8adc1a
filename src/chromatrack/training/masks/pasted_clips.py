"""Pasted clips: sprites over a real clip, with the exact truth of which pixel shows which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from chromatrack.training.masks.limbs import Limb, some_limbs
from chromatrack.training.masks.regions import blurred, grown_region, random_shape
from chromatrack.training.masks.sprites import Motion, Sprite

LEAST_SHOWN = 120
"""Pixels of an object on the first frame from which it is followed."""

_LEAST_CUT = 400  # pixels of a cut-out
_MOST_OBJECTS = 3
_GROWN = 0.6  # share of objects that are regions of their picture; the others are random shapes
_LIMBED = 0.6  # share of objects that have limbs
_BODY = 0.7  # how much smaller than others those are, limbs apart
_PART = 0.2  # share of objects without limbs of which a part is followed, with no edge around it
_LOOK_ALIKE = 0.3  # chance of an object that another of the same cut-out is about
_OCCLUDER = 0.35  # chance of a clip that something else passes


@dataclass(frozen=True)
class PastedClip:
    """Frames and what is on them.

    frames: `(T, H, W, 3)` uint8. truth: `(T, H, W)` uint8 object ids, 0 = background, to which
    look-alikes and occluders belong. ids: of the objects to follow from the first frame on.
    """

    frames: np.ndarray
    truth: np.ndarray
    ids: tuple[int, ...]

    @property
    def first_mask(self) -> np.ndarray:
        """`(H, W)` int32: the objects to follow on the first frame."""
        return np.where(np.isin(self.truth[0], self.ids), self.truth[0], 0).astype(np.int32)


@dataclass(frozen=True)
class Actor:
    """A sprite, its limbs, in front of it or behind, and whose they are: an object's id, or 0.

    own: what of the sprite alone is the object's, moving with it; None: all.
    """

    sprite: Sprite
    id: int
    limbs: tuple[Limb, ...] = ()
    behind: bool = False
    own: Sprite | None = None

    @property
    def parts(self) -> tuple[Sprite | Limb, ...]:
        """What it is made of, the later ones in front."""
        return (*self.limbs, self.sprite) if self.behind else (self.sprite, *self.limbs)

    def look_alike(self, size: tuple[int, int], rng: np.random.Generator) -> Actor:
        """Another of the same cut-outs that is nobody's, and moves on its own."""
        motion = Motion.drawn(size, rng).like(self.sprite.motion, rng)
        limbs = tuple(limb.on(motion, rng) for limb in self.limbs)
        return Actor(replace(self.sprite, motion=motion), 0, limbs, self.behind)


def pasted_clip(
    ground: Tensor, picture: Callable[[], Tensor], rng: np.random.Generator
) -> PastedClip | None:
    """Paste one to three objects, and what confuses with them, over a clip.

    Args:
        ground: `(T, 3, H, W)` uint8.
        picture: gives another picture each time, `(3, H, W)` uint8, to cut out of.

    Returns:
        None where by chance no object can be seen on the first frame.
    """
    size = (ground.shape[2], ground.shape[3])
    actors = _actors(size, picture, rng)
    rng.shuffle(actors)  # pyright: ignore[reportArgumentType]
    frames, truth = compose(ground, actors)
    ids = [actor.id for actor in actors if actor.id]
    shown = [i for i in sorted(ids) if int((truth[0] == i).sum()) >= LEAST_SHOWN]
    if not shown:
        return None
    frames = _photographed(frames, rng)
    rgb = (frames.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous()
    return PastedClip(rgb.numpy(), truth.numpy(), tuple(shown))


def compose(ground: Tensor, actors: list[Actor]) -> tuple[Tensor, Tensor]:
    """Draw actors over a clip, the later ones in front.

    Returns:
        `(T, 3, H, W)` float32 in [0, 1], and `(T, H, W)` uint8 ids: whose a pixel is at least by
        half, 0 where it is nobody's or that of an actor of id 0.
    """
    frames = ground.float() / 255
    truth = torch.zeros(len(ground), *ground.shape[2:], dtype=torch.uint8)
    for t, frame in enumerate(frames):
        for actor in actors:
            for part in actor.parts:
                color, opaque = part.draw(t, (ground.shape[2], ground.shape[3]))
                frame.copy_(torch.lerp(frame, color, opaque))
                truth[t][opaque[0] >= 0.5] = 0 if actor.own else actor.id
            if actor.own:
                _, opaque = actor.own.draw(t, (ground.shape[2], ground.shape[3]))
                truth[t][opaque[0] >= 0.5] = actor.id
    return frames, truth


def _actors(
    size: tuple[int, int], picture: Callable[[], Tensor], rng: np.random.Generator
) -> list[Actor]:
    def photo() -> Tensor:
        return picture().float() / 255

    actors: list[Actor] = []
    for number in range(1, 1 + int(rng.integers(1, _MOST_OBJECTS + 1))):
        own = photo()
        sprite = _object(size, own, rng, grown=rng.random() < _GROWN)
        if sprite is None:
            continue
        actor = Actor(sprite, number)
        if rng.random() < _LIMBED:
            actor = _limbed(actor, own, photo, rng)
        elif rng.random() < _PART:
            actor = replace(actor, own=_part(sprite, rng))
        actors.append(actor)
        if rng.random() < _LOOK_ALIKE:
            actors.append(actor.look_alike(size, rng))
    if rng.random() < _OCCLUDER:
        sprite = _object(size, photo(), rng, grown=False)
        actors += [] if sprite is None else [Actor(sprite, 0)]
    return actors


def _part(sprite: Sprite, rng: np.random.Generator) -> Sprite | None:
    """A part of a sprite, moving as it does; None where it is too small."""
    h, w = sprite.shape.shape[1:]
    part = sprite.shape * random_shape((h, w), rng)
    return replace(sprite, shape=part) if int(part.sum()) >= _LEAST_CUT else None


def _limbed(
    actor: Actor, own: Tensor, other: Callable[[], Tensor], rng: np.random.Generator
) -> Actor:
    """An actor with limbs of its own picture or of others, its body smaller for them."""
    motion = actor.sprite.motion
    body = replace(actor.sprite, motion=replace(motion, size=_BODY * motion.size))
    limbs = some_limbs(body, own, other, rng)
    return Actor(body, actor.id, limbs, behind=rng.random() < 0.5)


def _object(
    size: tuple[int, int], picture: Tensor, rng: np.random.Generator, *, grown: bool
) -> Sprite | None:
    """Something cut out of a picture; None where it is too small."""
    shape = (picture.shape[1], picture.shape[2])
    mask = grown_region(picture, rng) if grown else random_shape(shape, rng)
    if int(mask.sum()) < _LEAST_CUT:
        return None
    return Sprite.cut(picture, mask, Motion.drawn(size, rng))


def _photographed(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Frames `(T, 3, H, W)` as a camera may see them: light that changes, blur, noise."""
    light = 1 + rng.normal() * 0.01
    blur, noise = float(rng.choice([0, 0, 0.6, 1.0])), float(rng.choice([0, 0.01, 0.02]))
    frames = frames * (light ** torch.arange(len(frames))).view(-1, 1, 1, 1)
    if blur:
        frames = torch.stack([blurred(frame, blur) for frame in frames])
    if noise:
        frames = frames + noise * torch.from_numpy(rng.standard_normal(frames.shape, np.float32))
    return frames
