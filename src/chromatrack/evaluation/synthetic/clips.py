"""Synthetic clips whose masks, points, joints and boxes are known exactly, to measure tracking.

Each scene is one difficulty on its own: an object that moves, turns, grows or bends, is hidden,
leaves the frame, crosses its double, or is cut away. Everything is rendered by `render.compose` and
deterministic in (name, seed, frames, size); where things go is in `scenes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from chromatrack.errors import InputError
from chromatrack.evaluation.synthetic.materials import sample_texture
from chromatrack.evaluation.synthetic.render import Camera, Sprite, compose, finish
from chromatrack.evaluation.synthetic.scenes import (
    SCENES,
    Body,
    Film,
    Shot,
    build_film,
    clip_length,
)

LEAST_VISIBLE = 0.1
"""An object is present on a frame when at least this share of its full area is visible."""

OBJECT_POINTS, GROUND_POINTS = 24, 8
SENSOR_NOISE = 0.010

Box = tuple[float, float, float, float]
Point = tuple[float, float]


@dataclass(frozen=True)
class TruthFrame:
    """One rendered frame and everything that is true of it.

    index: from 0. rgb: (H, W, 3) uint8. mask: (H, W) int32, ids of the objects that are visible,
    0 = ground or something that hides. tracked: ids to track; the mask may hold others.
    rivals: tracked id -> id of its look-alike, where the scene has one.
    points: id -> exact (x, y) pixel position of one place on the material, also where hidden or out
    of the frame; ids 1..24 on objects, 25..32 on the ground. points_visible: in the frame and
    nothing in front. joints (J, 2) float64 px and joints_visible (J,) bool: `JOINT_NAMES` of object
    1, the same.
    boxes: id -> (x, y, width, height) px of the visible extent; no entry where nothing is visible.
    full_boxes: the extent as if nothing hid the object, also beyond the frame's edge.
    visible_share: id -> visible share of the full area, 0..1. present: id -> share >= 0.1.
    While another scene is cut in, nothing of the first is visible; its positions go on unseen.
    """

    index: int
    rgb: np.ndarray
    mask: np.ndarray
    tracked: tuple[int, ...]
    rivals: Mapping[int, int]
    points: dict[int, Point]
    points_visible: dict[int, bool]
    joints: np.ndarray
    joints_visible: np.ndarray
    boxes: dict[int, Box]
    full_boxes: dict[int, Box]
    visible_share: dict[int, float]
    present: dict[int, bool]


@dataclass(frozen=True)
class _Marked:
    """Material places that are followed: on bodies, (u, v); on the ground, world (x, y)."""

    ids: range
    places: np.ndarray
    body: Body | None


def scene(
    name: str, *, seed: int = 0, frames: int | None = None, size: tuple[int, int] = (480, 854)
) -> Iterator[TruthFrame]:
    """Render one clip with its truth, frame by frame.

    Args:
        name: one of `SCENES`. seed: another clip of the same kind, >= 0.
        frames: how many frames; None: `clip_length(name, seed=seed)`. What happens when does not
            depend on it, but the motion of the four scenes without events is spread over it.
        size: (height, width) in pixels, at least 48 each; objects scale with the height.

    Yields:
        TruthFrame for frames 0, 1, ...

    Raises:
        InputError: an unknown scene, a negative seed, no frames or a size that is too small.
    """
    if name not in SCENES:
        raise InputError(f"scene: expected one of {', '.join(SCENES)}; got {name!r}")
    if seed < 0 or min(size) < 48 or (frames is not None and frames < 1):
        raise InputError(
            "scene: expected seed >= 0, frames >= 1 and a size of 48 px or more; "
            f"got seed {seed}, frames {frames}, size {size}"
        )
    count = clip_length(name, seed=seed) if frames is None else frames
    return _render(build_film(name, seed=seed, frames=count, size=size), seed, count, size)


def _render(film: Film, seed: int, count: int, size: tuple[int, int]) -> Iterator[TruthFrame]:
    rng = np.random.default_rng([seed, 977])
    marked = _mark_points(film.main, size, rng)
    for index in range(count):
        away = index in film.away
        shot = film.insert if away and film.insert is not None else film.main
        rgb, mask = _picture(shot, index, size)
        yield _truth(film, marked, finish(rgb, noise=SENSOR_NOISE, rng=rng), mask, index, away)


def _picture(shot: Shot, index: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    py, px = np.mgrid[: size[0], : size[1]].astype(np.float32)
    camera = shot.camera(index)
    rgb = sample_texture(shot.ground, *camera.to_world(px, py, size=size))
    mask = np.zeros(size, dtype=np.int32)
    for sprite in shot.sprites:
        compose(rgb, mask, sprite, camera=camera, progress=index)
    return rgb, mask


def _truth(
    film: Film,
    marked: list[_Marked],
    rgb: np.ndarray,
    mask: np.ndarray,
    index: int,
    away: bool,
) -> TruthFrame:
    size, shot = mask.shape, film.main
    bodies = [sprite for sprite in shot.sprites if isinstance(sprite, Body)]
    first = next(body for body in bodies if body.object_id == 1)
    points: dict[int, Point] = {}
    seen: dict[int, bool] = {}
    for group in marked:
        places, visible = _follow(shot, group.places, group.body, index, size)
        points |= {i: (float(x), float(y)) for i, (x, y) in zip(group.ids, places, strict=True)}
        seen |= {i: bool(v) and not away for i, v in zip(group.ids, visible, strict=True)}
    joints, joints_visible = _follow(shot, first.creature.joints, first, index, size)
    full = {body.object_id: silhouette(body, shot.camera(index), index, size) for body in bodies}
    shares = {
        i: min(1.0, int(np.count_nonzero(mask == i)) / max(area, 1))
        for i, (area, _) in full.items()
    }
    return TruthFrame(
        index, rgb, mask, film.tracked, film.rivals, points, seen, joints,
        joints_visible & (not away),
        {i: extent(mask == i) for i in full if (mask == i).any()},
        {i: box for i, (_, box) in full.items()},
        shares,
        {i: share >= LEAST_VISIBLE for i, share in shares.items()},
    )  # fmt: skip


def extent(mask: np.ndarray, *, left: int = 0, top: int = 0) -> Box:
    """(x, y, width, height) of the pixel rectangle that holds all of a (H, W) bool mask, not empty.

    left, top: pixel position of the mask's first column and row.
    """
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    width, height = columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    return float(left + columns[0]), float(top + rows[0]), float(width), float(height)


def silhouette(body: Body, camera: Camera, index: int, size: tuple[int, int]) -> tuple[int, Box]:
    """(area in pixels, extent) of a body as if nothing hid it, also beyond the frame's edge."""
    pose = body.path(index)
    x, y = camera.to_pixel(pose.x, pose.y, size=size)
    half = int(np.hypot(*body.reach) * pose.scale * camera.zoom * size[0]) + 2
    left, top = round(x) - half, round(y) - half
    py, px = np.mgrid[top : top + 2 * half + 1, left : left + 2 * half + 1].astype(np.float32)
    inside = implicit_at(body, px, py, camera, index, size) <= 0
    return int(np.count_nonzero(inside)), extent(inside, left=left, top=top)


def implicit_at(
    sprite: Sprite,
    px: np.ndarray,
    py: np.ndarray,
    camera: Camera,
    index: int,
    size: tuple[int, int],
) -> np.ndarray:
    """The sprite's outline function at pixel positions: negative where it covers them."""
    wx, wy = camera.to_world(px, py, size=size)
    pose = sprite.path(index)
    a = (wx - pose.x) / (pose.scale * pose.stretch[0])
    b = (wy - pose.y) / (pose.scale * pose.stretch[1])
    cos, sin = np.cos(pose.angle), np.sin(pose.angle)
    return sprite.outline(*sprite.warp(cos * a + sin * b, cos * b - sin * a, index))


def material_to_pixel(
    body: Body, places: np.ndarray, camera: Camera, index: int, size: tuple[int, int]
) -> np.ndarray:
    """(P, 2) pixel positions of (P, 2) material places: the exact inverse of what is drawn."""
    pose = body.path(index)
    p, q = body.unwarp(places[:, 0], places[:, 1], index)
    cos, sin = np.cos(pose.angle), np.sin(pose.angle)
    x = pose.x + (cos * p - sin * q) * pose.scale * pose.stretch[0]
    y = pose.y + (sin * p + cos * q) * pose.scale * pose.stretch[1]
    return np.array([camera.to_pixel(*at, size=size) for at in zip(x, y, strict=True)])


def _follow(
    shot: Shot, places: np.ndarray, body: Body | None, index: int, size: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """(P, 2) pixel positions and (P,) visibility of places on a body, or on the ground (None)."""
    frame, camera = (size[0], size[1]), shot.camera(index)
    if body is None:
        at = np.array([camera.to_pixel(x, y, size=frame) for x, y in places])
        front = shot.sprites
    else:
        at = material_to_pixel(body, places, camera, index, frame)
        front = shot.sprites[shot.sprites.index(body) + 1 :]
    nearest = np.rint(at)
    inside = (nearest >= 0) & (nearest < (frame[1], frame[0]))
    visible = np.asarray(inside.all(axis=1))
    for sprite in front:
        visible = visible & (implicit_at(sprite, at[:, 0], at[:, 1], camera, index, frame) > 0)
    return at, visible


def _mark_points(shot: Shot, size: tuple[int, int], rng: np.random.Generator) -> list[_Marked]:
    """Points of the clip: spread over the interior of the followed bodies, and over the ground."""
    bodies = [s for s in shot.sprites if isinstance(s, Body) and s.object_id in shot.followed]
    each, groups = OBJECT_POINTS // len(bodies), []
    for number, body in enumerate(sorted(bodies, key=lambda b: b.object_id)):
        tries = rng.uniform((-1.2, -0.9), (1.2, 0.9), (4000, 2))
        inner = tries[body.outline(tries[:, 0], tries[:, 1]) < -0.07]
        ids = range(1 + number * each, 1 + (number + 1) * each)
        groups.append(_Marked(ids, _spread(inner, each), body))
    margin = size[0] // 24
    pixels = rng.uniform((margin, margin), (size[1] - margin, size[0] - margin), (300, 2))
    camera = shot.camera(0)
    world = np.stack(camera.to_world(pixels[:, 0], pixels[:, 1], size=size), axis=1)
    free = _follow(shot, world, None, 0, size)[1]
    ids = range(1 + OBJECT_POINTS, 1 + OBJECT_POINTS + GROUND_POINTS)
    return [*groups, _Marked(ids, _spread(world[free], GROUND_POINTS), None)]


def _spread(candidates: np.ndarray, count: int) -> np.ndarray:
    """(count, 2) of (N, 2) candidates, each the farthest from those already taken."""
    taken = [candidates[0]]
    nearest = np.full(len(candidates), np.inf)
    while len(taken) < count:
        nearest = np.minimum(nearest, np.hypot(*(candidates - taken[-1]).T))
        taken.append(candidates[int(nearest.argmax())])
    return np.array(taken)
