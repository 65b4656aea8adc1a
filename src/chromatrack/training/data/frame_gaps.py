"""Which frames of a clip make an example: chosen by time, inside one scene. Pure numpy."""

from __future__ import annotations

import numpy as np

_TARGETS = 10  # targets tried before references at other distances than asked for are taken
_ROUNDING = 1e-3  # seconds: times of presentation are rounded to about this
_LOOSE = (0.5, 1.5)  # of the least and largest gap: near enough where frames are sparse
_REGULAR = 1 / 3  # of the gap: how far off a regular one may be; 25 fps have no 1/6 s


def pick_frames(
    pts_seconds: np.ndarray,
    scene: np.ndarray,
    *,
    views: int,
    gap_seconds: tuple[float, float],
    rng: np.random.Generator,
) -> list[int] | None:
    """Some references and a target of one scene, each reference before or after the target.

    The distance in *time* of each reference is drawn; the frame nearest to it is taken. Where
    no frames are so far apart (few of them a second, or a very short scene), the nearest do.

    Args:
        pts_seconds: `(T,)`, increasing. scene: `(T,)`, constant within a scene.
        gap_seconds: least and largest time between the target and a reference.

    Returns:
        Frame indices, the target last; references differ while the scene has frames enough. None
        if all targets tried stand alone in their scene.
    """
    fallback = None
    for _ in range(_TARGETS):
        target = int(rng.integers(len(pts_seconds)))
        gaps = rng.uniform(*gap_seconds, size=views - 1)
        sides = rng.choice([-1, 1], size=views - 1)
        others = np.flatnonzero((scene == scene[target]) & (np.arange(len(scene)) != target))
        if len(others) == 0:
            continue
        apart = pts_seconds[others] - pts_seconds[target]
        chosen, near = _pick_references(apart, gaps, sides, gap_seconds)
        found = [*(int(frame) for frame in others[chosen]), target]
        if near:
            return found
        fallback = fallback or found
    return fallback


def _pick_references(
    apart: np.ndarray, gaps: np.ndarray, sides: np.ndarray, allowed: tuple[float, float]
) -> tuple[list[int], bool]:
    """Indices into `apart` (signed seconds from the target), and whether all are as asked."""
    far = np.abs(apart)
    strict = (far >= allowed[0] - _ROUNDING) & (far <= allowed[1] + _ROUNDING)
    loose = (far >= _LOOSE[0] * allowed[0]) & (far <= _LOOSE[1] * allowed[1])
    free = np.ones(len(apart), dtype=bool)
    chosen, near = [], True
    for gap, side in zip(gaps, sides, strict=True):
        as_asked = [strict & (apart * side > 0) & free, strict & free, loose & free]
        usable = next((tier for tier in as_asked if tier.any()), None)
        if usable is None:
            near, usable = False, free if free.any() else ~free
        best = int(np.argmin(np.where(usable, np.abs(far - gap), np.inf)))
        free[best] = False
        chosen.append(best)
    return chosen, near


def pick_regular(
    pts_seconds: np.ndarray,
    scene: np.ndarray,
    *,
    views: int,
    gap_seconds: tuple[float, float],
    rng: np.random.Generator,
) -> list[int] | None:
    """Frames of one scene in order of time, each one gap after the one before.

    One gap is drawn; every step between two frames is within a third of it. Arguments as in
    `pick_frames`.

    Returns:
        Frame indices, increasing; None if the clip has no such frames.
    """
    gap = rng.uniform(*gap_seconds)
    miss = np.abs(pts_seconds[None] - pts_seconds[:, None] - gap)
    following = miss.argmin(1)
    steps = miss.min(1) <= _REGULAR * gap
    steps &= (scene[following] == scene) & (following > np.arange(len(scene)))
    frames = [np.arange(len(scene))]
    whole = np.ones(len(scene), dtype=bool)
    for _ in range(views - 1):
        whole &= steps[frames[-1]]
        frames.append(following[frames[-1]])
    starts = np.flatnonzero(whole)
    if len(starts) == 0:
        return None
    start = int(starts[rng.integers(len(starts))])
    return [int(frame[start]) for frame in frames]
