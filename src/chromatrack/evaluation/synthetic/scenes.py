"""Where things go in the synthetic clips of `clips`: one function per scene.

Lengths are in frame heights and times in frames; `PX` is one pixel of a frame 480 pixels high.
Paths are written in the camera's view and carried along as it pans.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from chromatrack.errors import InputError
from chromatrack.evaluation.synthetic.appearance import (
    COATS,
    GROUNDS,
    WOODS,
    Creature,
    creature,
    ground_texture,
    plank_texture,
    skin,
)
from chromatrack.evaluation.synthetic.materials import Color, Material
from chromatrack.evaluation.synthetic.render import Camera, Pose, Sprite, Warp

PX = 1 / 480
BEFORE, AFTER = 24, 30
"""Frames before an object is hidden, and after."""

HIDDEN = {"occlusion": (5, 60), "exit": (5, 40), "crossing": (6, 12), "cut": (10, 20)}
"""Scenes with an event: the fewest and most frames it lasts (drawn by the seed)."""

SCENES = ("translation", "rotation", "scale", "deformation", *HIDDEN)
PLAIN_LENGTH = 50
SWEEP = 12
"""Frames in which a bar covers or uncovers the object."""

Path = Callable[[float], Pose]


def _as_is(u: np.ndarray, v: np.ndarray, index: float) -> tuple[np.ndarray, np.ndarray]:
    return u, v


@dataclass(frozen=True, eq=False)
class Body(Sprite):
    """A creature that moves; `unwarp` is the exact inverse of `warp`."""

    creature: Creature = field(kw_only=True)
    unwarp: Warp = _as_is


@dataclass(frozen=True, eq=False)
class Shot:
    """One take: ground, camera per frame, sprites from back to front, ids of followed bodies."""

    ground: Material
    camera: Callable[[float], Camera]
    sprites: tuple[Sprite, ...]
    followed: tuple[int, ...] = (1,)


@dataclass(frozen=True, eq=False)
class Film:
    """The main shot, and another one shown on the frames `away`, if any."""

    main: Shot
    rivals: Mapping[int, int] = field(default_factory=dict)
    insert: Shot | None = None
    away: range = range(0)

    @property
    def tracked(self) -> tuple[int, ...]:
        """Ids of the objects to track."""
        return self.main.followed


def hidden_frames(name: str, *, seed: int) -> int:
    """How many frames the event of a scene lasts, 0 for scenes without one.

    What is covered or leaves is wholly hidden for as long, or up to four frames longer, as its
    outline does not fill its reach; two that cross overlap for about as long.
    """
    if name not in SCENES:
        raise InputError(f"scene: expected one of {', '.join(SCENES)}; got {name!r}")
    if name not in HIDDEN:
        return 0
    least, most = HIDDEN[name]
    return int(np.random.default_rng([seed, SCENES.index(name), 1]).integers(least, most + 1))


def clip_length(name: str, *, seed: int) -> int:
    """Frames of a clip: 50, or 24 before its event, the event, and 30 after."""
    hidden = hidden_frames(name, seed=seed)
    return BEFORE + hidden + AFTER if name in HIDDEN else PLAIN_LENGTH


@dataclass(frozen=True)
class Studio:
    """What every scene is made with: randomness, sizes, one coat for all look-alikes."""

    rng: np.random.Generator
    height: int
    frames: int
    hidden: int
    coat: tuple[Color, ...]

    def body(self, object_id: int, path: Path, *, coat: tuple[Color, ...] | None = None) -> Body:
        """A creature on `path`, in the clip's coat, with its own texture and proportions."""
        build = creature(self.rng)
        density = 1.7 * path(0).scale * self.height
        texture = skin(coat or self.coat, self.rng, density=density)
        return Body(
            object_id, texture, build.outline, path, shade=_light, reach=(1.45, 1.25),
            creature=build,
        )  # fmt: skip

    def radius(self, least: float, most: float) -> float:
        """Half of a size across that is drawn from `least`..`most` px at 480 pixels height."""
        return float(self.rng.uniform(least, most)) / 2 * PX

    def side(self) -> int:
        """-1 or 1."""
        return int(self.rng.choice([-1, 1]))


def build_film(name: str, *, seed: int, frames: int, size: tuple[int, int]) -> Film:
    """The film of scene `name`; everything in it is drawn from `seed`."""
    rng = np.random.default_rng([seed, SCENES.index(name), 2])
    coat = COATS[int(rng.integers(len(COATS)))]
    studio = Studio(rng, size[0], frames, hidden_frames(name, seed=seed), coat)
    return _BUILDERS[name](studio)


def _shot(studio: Studio, sprites: list[Sprite], followed: tuple[int, ...] = (1,)) -> Shot:
    """Sprites over a ground, filmed by a camera that pans slowly and carries their paths along."""
    rng = studio.rng
    speed, heading = rng.uniform(0.4, 1.0) * PX, rng.uniform(0, 2 * np.pi)
    step = speed * np.cos(heading), 0.5 * speed * np.sin(heading)

    def camera(index: float) -> Camera:
        middle = index - studio.frames / 2
        sway = 0.6 * PX * np.sin(0.35 * index)
        return Camera(float(step[0] * middle), float(step[1] * middle + sway))

    ground = ground_texture(GROUNDS[int(rng.integers(len(GROUNDS)))], rng, height=studio.height)
    carried = [replace(sprite, path=_carried(sprite.path, camera)) for sprite in sprites]
    return Shot(ground, camera, tuple(carried), followed)


def _carried(path: Path, camera: Callable[[float], Camera]) -> Path:
    def world(index: float) -> Pose:
        pose, view = path(index), camera(index)
        return replace(pose, x=pose.x + view.x, y=pose.y + view.y)

    return world


def _light(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Sun from the upper left, however the body is turned."""
    return np.clip(1.0 - 0.14 * u - 0.22 * v, 0.6, 1.25)


def _drift(studio: Studio, speed: tuple[float, float], radius: float) -> Path:
    """A straight way through the frame's middle, with a slight bob, at `speed` px per frame."""
    rng = studio.rng
    heading = rng.uniform(-0.45, 0.45)
    step = rng.uniform(*speed) * PX * studio.side()
    phase, tilt = rng.uniform(0, 6), rng.uniform(-0.3, 0.3)
    at = rng.uniform(-0.15, 0.15), rng.uniform(-0.06, 0.06)

    def path(index: float) -> Pose:
        way = step * (index - studio.frames / 2)
        bob = 4 * PX * np.sin(0.3 * index + phase)
        y = at[1] + way * np.sin(heading) + bob
        return Pose(at[0] + float(way * np.cos(heading)), float(y), radius, float(tilt))

    return path


def _translation(studio: Studio) -> Film:
    path = _drift(studio, (3.0, 7.0), studio.radius(60, 140))
    return Film(_shot(studio, [studio.body(1, path)]))


def _rotation(studio: Studio) -> Film:
    path = _drift(studio, (1.0, 2.5), studio.radius(70, 140))
    turn = float(studio.rng.uniform(0.85, 1.0)) * np.pi / 2 * studio.side()

    def turning(index: float) -> Pose:
        pose = path(index)
        return replace(pose, angle=pose.angle + turn * index / max(1, studio.frames - 1))

    return Film(_shot(studio, [studio.body(1, turning)]))


def _scale(studio: Studio) -> Film:
    """It shrinks to 0.6 of its size in a third of the clip, then grows to 1.6."""
    path = _drift(studio, (1.0, 2.5), studio.radius(80, 100))
    last = max(1, studio.frames - 1)

    def growing(index: float) -> Pose:
        logs = np.log([1.0, 0.6, 1.6])
        factor = np.exp(np.interp(index / last, [0, 1 / 3, 1], logs))
        pose = path(index)
        return replace(pose, scale=pose.scale * float(factor))

    return Film(_shot(studio, [studio.body(1, growing)]))


def _deformation(studio: Studio) -> Film:
    """Waves run through the body along and across, each undone exactly by the other order."""
    rng = studio.rng
    path = _drift(studio, (1.5, 3.0), studio.radius(80, 140))
    deep, side = rng.uniform(0.12, 0.20), rng.uniform(0.06, 0.11)
    rate, phase = 2 * np.pi / rng.uniform(22, 32), rng.uniform(0, 6)

    def down(p: np.ndarray, index: float) -> np.ndarray:
        return deep * np.sin(2.6 * p - rate * index + phase)

    def across(v: np.ndarray, index: float) -> np.ndarray:
        return side * np.sin(3.0 * v + 0.7 * rate * index)

    def warp(p: np.ndarray, q: np.ndarray, index: float) -> tuple[np.ndarray, np.ndarray]:
        v = q - down(p, index)
        return p - across(v, index), v

    def unwarp(u: np.ndarray, v: np.ndarray, index: float) -> tuple[np.ndarray, np.ndarray]:
        p = u + across(v, index)
        return p, v + down(p, index)

    body = replace(studio.body(1, path), warp=warp, unwarp=unwarp)
    return Film(_shot(studio, [body]))


def _occlusion(studio: Studio) -> Film:
    """A bar moves over the object and along with it; a look-alike stays in the other half."""
    rng, hidden, half = studio.rng, studio.hidden, studio.side()
    radius = studio.radius(60, 120)
    way = min(rng.uniform(0.15, 1.0) * 0.58, 8 * PX * hidden) * studio.side()
    step = np.sign(way) * np.clip(abs(way) / hidden, 0.6 * PX, 3 * PX)
    turn = rng.uniform(-0.45, 0.45) if rng.random() < 0.5 else 0.0
    middle, phase, tilt = rng.uniform(-0.18, 0.18), rng.uniform(0, 6), rng.uniform(-0.2, 0.2)
    times = [0.0, BEFORE - 1, BEFORE + hidden, BEFORE + hidden + AFTER]
    places = np.cumsum([0.0, step * BEFORE, way, step * AFTER])
    places += middle - (places[0] + places[-1]) / 2

    def path(index: float) -> Pose:
        x = float(np.interp(index, times, places))
        y = half * 0.24 + 5 * PX * np.sin(0.2 * index + phase)
        angle = tilt + turn * float(np.interp(index, times[1:3], [0, 1]))
        return Pose(x, float(y), radius, angle)

    other = _resting(studio, radius, half)
    bar = _bar(studio, path, radius, half)
    bodies: list[Sprite] = [studio.body(1, path), studio.body(2, other)]
    return Film(_shot(studio, [*bodies, bar]), {1: 2})


def _resting(studio: Studio, radius: float, half: int) -> Path:
    """The look-alike's way: slow, in the half of the frame where the object is not."""
    rng = studio.rng
    start, step = rng.uniform(-0.55, 0.55), rng.uniform(0.2, 0.8) * PX * studio.side()
    size, tilt, phase = radius * rng.uniform(0.9, 1.1), rng.uniform(-0.2, 0.2), rng.uniform(0, 6)

    def path(index: float) -> Pose:
        y = -half * 0.26 + 4 * PX * np.sin(0.15 * index + phase)
        x = float(start + step * (index - studio.frames / 2))
        return Pose(x, float(y), float(size), float(tilt))

    return path


def _bar(studio: Studio, path: Path, radius: float, half: int) -> Sprite:
    """A wall of boards, half the frame high, that hides all of the object for `hidden` frames."""
    rng, side = studio.rng, studio.side()
    slack, reach = 3 * PX, 1.16 * radius
    wide, away = reach + slack, 2 * reach + slack
    last = BEFORE + studio.hidden - 1
    times = [BEFORE - 3 * SWEEP, BEFORE - SWEEP, BEFORE, last, last + SWEEP, last + 3 * SWEEP]
    places = [3 * away, away, slack, -slack, -away, -3 * away]

    def follow(index: float) -> Pose:
        offset = side * float(np.interp(index, times, places))
        return Pose(path(index).x + offset, half * 0.46, float(wide))

    tall = 0.44 / wide
    texture = plank_texture(
        WOODS[int(rng.integers(len(WOODS)))], rng, density=wide * studio.height, tall=tall
    )

    def outline(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.maximum(np.abs(u) - 1, np.abs(v) - tall)

    return Sprite(0, texture, outline, follow, reach=(1.1, tall + 0.1))


def _exit(studio: Studio) -> Film:
    """It leaves at one side and comes back there, often at another height."""
    rng, hidden, side = studio.rng, studio.hidden, studio.side()
    radius = studio.radius(60, 95)
    gone, speed = 0.889 + 1.12 * radius, rng.uniform(5.5, 8.0) * PX
    heights = rng.uniform(-0.22, 0.22, 2)
    tilt, phase = rng.uniform(-0.2, 0.2), rng.uniform(0, 6)
    times = [BEFORE, BEFORE + hidden / 2, BEFORE + hidden - 1]
    beyond = min(0.3, speed * hidden / 4)

    def path(index: float) -> Pose:
        before, after = min(0.0, index - times[0]), max(0.0, index - times[2])
        out = float(np.interp(index, times, [0, beyond, 0]))
        x = side * (gone + speed * (before - after) + out)
        y = float(np.interp(index, times[::2], heights)) + 4 * PX * np.sin(0.25 * index + phase)
        return Pose(float(x), float(y), radius, float(tilt))

    return Film(_shot(studio, [studio.body(1, path)]))


def _crossing(studio: Studio) -> Film:
    """Two of a kind walk towards each other; one passes in front."""
    rng, side = studio.rng, studio.side()
    radius, middle = studio.radius(65, 120), BEFORE + studio.hidden / 2
    level = rng.uniform(-0.15, 0.15)

    def walk(direction: int, size: float) -> Path:
        step = direction * rng.uniform(2.8, 4.2) * PX
        height, phase = level + rng.uniform(-0.015, 0.015), rng.uniform(0, 6)

        def path(index: float) -> Pose:
            y = float(height + 3 * PX * np.sin(0.3 * index + phase))
            return Pose(float(step * (index - middle)), y, size)

        return path

    near, far = (1, 2) if rng.random() < 0.5 else (2, 1)
    behind = studio.body(far, walk(side, radius))
    front = studio.body(near, walk(-side, radius * float(rng.uniform(1.0, 1.1))))
    return Film(_shot(studio, [behind, front], (1, 2)), {1: 2, 2: 1})


def _cut(studio: Studio) -> Film:
    """Another scene with another creature is cut in; back in the first, the object has moved."""
    rng, back = studio.rng, BEFORE + studio.hidden
    path = _drift(studio, (1.0, 3.0), studio.radius(60, 130))
    jump = rng.uniform(10, 30, 2) * PX * [studio.side(), studio.side()]

    def moved(index: float) -> Pose:
        pose = path(index)
        return pose if index < back else replace(pose, x=pose.x + jump[0], y=pose.y + jump[1])

    main = _shot(studio, [studio.body(1, moved)])
    coats = [coat for coat in COATS if coat != studio.coat]
    stranger = _drift(studio, (1.0, 3.0), studio.radius(60, 130))
    other = studio.body(0, stranger, coat=coats[int(rng.integers(len(coats)))])
    return Film(main, {}, _shot(studio, [other]), range(BEFORE, back))


_MAKERS = (_translation, _rotation, _scale, _deformation, _occlusion, _exit, _crossing, _cut)
_BUILDERS: dict[str, Callable[[Studio], Film]] = dict(zip(SCENES, _MAKERS, strict=True))
