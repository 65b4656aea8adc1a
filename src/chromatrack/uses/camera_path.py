"""What the camera holds on to, and how every frame must move for that: the path of a lock.

Motions are those of `plane_motion.py`; each takes a frame's pixels to where they were on the
reference frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from chromatrack.errors import InputError
from chromatrack.runs.progress import Report
from chromatrack.runs.reader import Result
from chromatrack.structures import Kind, Source
from chromatrack.uses.background_motion import BackgroundView, background_motions, background_view
from chromatrack.uses.plane_motion import (
    ROBUST_ROUNDS,
    Motion,
    apply_motion,
    bridge_gaps,
    fit_motion,
    is_known,
    matrix_motion,
    motion_matrix,
    smooth_motions,
)
from chromatrack.uses.trajectories import KINDS, Trace, dense_points, frame_ends, read_traces
from chromatrack.video.reader import read_frames

BACKGROUND_POINTS = 4
"""Tracked points off all objects from which on they, and not the pictures, tell the background."""

BORDER = 1.5
"""px: an object whose mask comes this near to the frame's border may be cut by it."""


@dataclass(frozen=True)
class Lock:
    """What the camera holds on to: things of one kind, or the background (no ids)."""

    kind: Kind | Literal["background"]
    ids: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {', '.join(map(str, self.ids))}".strip()


@dataclass(frozen=True)
class LockPath:
    """Motions of N frames to the reference frame, (N, 4) about `pivot` (2,); NaN: not seen."""

    motions: np.ndarray
    pivot: np.ndarray
    reference: int


def parse_lock(text: str | int) -> Lock:
    """A lock from `3` or `object:3`, `point:1,2`, `box:1`, `keypoints:1` or `background`.

    Raises:
        InputError: none of these.
    """
    words = str(text).strip()
    if words == "background":
        return Lock("background")
    name, _, numbers = words.rpartition(":")
    for kind in KINDS:
        if kind == (name or "object") and re.fullmatch(r"[0-9]+(,[0-9]+)*", numbers):
            return Lock(kind, tuple(dict.fromkeys(int(n) for n in numbers.split(","))))
    raise InputError(
        f"lock: expected an object id (3), point:1,2, box:1, keypoints:1 or background, "
        f"got {words!r}"
    )


def choose_lock(result: Result, lock: Lock | str | int | None) -> Lock:
    """The lock asked for (see `parse_lock`), or, for None, the only thing there is.

    An id without a kind is an object's; where no object has it, that of the one kind that does.

    Raises:
        InputError: not a lock, None and the result holds not exactly one thing, or an id without a
            kind that no object but several other kinds have.
    """
    if isinstance(lock, Lock):
        return lock
    if lock is not None:
        named = parse_lock(lock)
        return named if ":" in str(lock) else _of_its_kind(result, named)
    every = [Lock(kind, (k,)) for kind in KINDS for k in result.ids(kind)]
    if len(every) != 1:
        raise InputError(
            f"{result.folder}: say which thing to lock on; there are {_things(result)}"
        )
    return every[0]


def _of_its_kind(result: Result, lock: Lock) -> Lock:
    """A lock on ids that were given without a kind, on things of the kind that has them."""
    if lock.kind == "background":
        return lock
    fitting = [Lock(kind, lock.ids) for kind in KINDS if set(lock.ids) <= set(result.ids(kind))]
    if len(fitting) < 2 or lock in fitting:
        return fitting[0] if len(fitting) == 1 else lock
    ids = ",".join(map(str, lock.ids))
    either = " or ".join(f"{other.kind}:{ids}" for other in fitting)
    raise InputError(f"{result.folder}: lock {ids}: expected one thing, say {either}")


def lock_path(
    video: Source,
    result: Result,
    *,
    lock: Lock,
    motion: Motion | None = None,
    progress: Report | None = None,
) -> LockPath:
    """How each frame must move for the locked thing to be where it was on its reference frame.

    Raises:
        InputError: the result has no such thing, it is never seen, or has too few points for a
            similarity; another lock or motion is to be chosen.
    """
    if lock.kind == "background":
        return _background_path(video, result, motion or "similarity", progress)
    for number in lock.ids:
        if number not in result.ids(lock.kind):
            raise InputError(
                f"{result.folder}: no {lock.kind} {number} was tracked; there are {_things(result)}"
            )
    anchors = _anchors(result, lock, corners=motion == "similarity", progress=progress)
    wanted = motion or ("similarity" if anchors.shape[1] > 1 else "shift")
    if wanted == "similarity" and anchors.shape[1] < 2:
        raise InputError(
            f"lock on {lock}: rotation and scale need two or more points, a box or joints; "
            "choose motion shift"
        )
    seen = is_known(anchors)
    if not seen.any():
        raise InputError(f"lock on {lock}: it is present on no frame; lock on something else")
    return anchored_path(anchors, motion=wanted)


def anchored_path(anchors: np.ndarray, *, motion: Motion) -> LockPath:
    """Motions that hold points where they were on the first frame that shows the most of them.

    A point that appears later is held where the others put it on its first frame, so that points
    may come and go.

    Args:
        anchors: (N, P, 2) float64 xy px; NaN where a point is not seen. At least one is.
        motion: a similarity where two or more points are seen; frames with one are left open.
    """
    seen = is_known(anchors)
    reference = int(seen.sum(axis=1).argmax())
    pivot = anchors[reference][seen[reference]].mean(axis=0)
    aims = np.where(seen[reference][:, None], anchors[reference], np.nan)
    motions = np.full((len(anchors), 4), np.nan)
    least = 2 if motion == "similarity" and anchors.shape[1] > 1 else 1
    for n in [*range(reference, len(anchors)), *reversed(range(reference))]:
        known = seen[n] & is_known(aims)
        if known.sum() < least:
            continue
        motions[n] = fit_motion(
            anchors[n][known], aims[known], pivot=pivot, motion=motion, rounds=ROBUST_ROUNDS
        )
        new = seen[n] & ~known
        matrix = motion_matrix(motions[n], pivot=pivot)
        aims[new] = apply_motion(matrix, anchors[n][new])
    return LockPath(motions, pivot, reference)


def steady_matrices(
    path: LockPath, result: Result, *, smooth_seconds: float | None = None
) -> np.ndarray:
    """(N, 3, 3) matrices that take each frame's pixels to their place in the steadied video.

    Without smoothing that is the place on the reference frame; with it, the place that a smoothed
    path of the locked thing gives it.
    """
    motions = bridge_gaps(path.motions, result.times, cuts=result.cuts)
    held = motion_matrix(motions, pivot=path.pivot)
    if smooth_seconds is None:
        return held
    camera = matrix_motion(np.linalg.inv(held), pivot=path.pivot)
    camera[:, 2] = np.unwrap(camera[:, 2])
    ends = frame_ends(result.times)
    smoothed = smooth_motions(camera, result.times, ends, seconds=smooth_seconds, cuts=result.cuts)
    return motion_matrix(smoothed, pivot=path.pivot) @ held


# -- parts ---------------------------------------------------------------------------------


def _things(result: Result) -> str:
    """The locks a result offers, as `parse_lock` takes them."""
    names = [f"{kind}:{k}" for kind in KINDS for k in result.ids(kind)]
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join([*names[:12], "background"]) + more


def _anchors(result: Result, lock: Lock, *, corners: bool, progress: Report | None) -> np.ndarray:
    """(N, P, 2) xy px of what is locked on; NaN where it is not seen whole."""
    names: list[tuple[Kind, int]] = [
        (kind, k) for kind in KINDS if kind == lock.kind for k in lock.ids
    ]
    if lock.kind in ("point", "keypoints"):
        return np.concatenate([dense_points(result, *name) for name in names], axis=1)
    traces = read_traces(result, only=names, progress=progress)
    return np.concatenate([_centre_anchor(t, result, corners=corners) for t in traces.things], 1)


def _centre_anchor(trace: Trace, result: Result, *, corners: bool) -> np.ndarray:
    """(N, 1, 2) centres, or the (N, 4, 2) corners of a box; NaN where cut by the border.

    A thing that is at the border for most of its time is taken as it is.
    """
    height, width = result.size
    inner = trace.extent * (1, 1, -1, -1) + (0, 0, width - 1, height - 1)
    whole = trace.present & (inner >= BORDER).all(axis=1)
    if 2 * whole.sum() < trace.present.sum():
        whole = trace.present
    points = trace.xy[:, None]
    if corners and trace.kind == "box":
        points = trace.extent[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    return np.where(whole[:, None, None], points, np.nan)


def _background_path(
    video: Source, result: Result, motion: Motion, progress: Report | None
) -> LockPath:
    """The path of the background, from tracked points that lie on it or from the pictures."""
    points = _points_off_objects(result)
    if points.shape[1] >= BACKGROUND_POINTS:
        return anchored_path(points, motion=motion)
    height, width = result.size
    pivot = np.array([width - 1, height - 1]) / 2
    views = _views(video, result, progress)
    matrices = list(background_motions(views, size=result.size, motion=motion))
    if len(matrices) != len(result.frames):
        raise InputError(
            f"{video}: has only {len(matrices)} of the {len(result.frames)} frames that were "
            f"tracked; give the video of {result.folder}"
        )
    return LockPath(matrix_motion(np.stack(matrices), pivot=pivot), pivot, 0)


def _views(video: Source, result: Result, progress: Report | None) -> Iterator[BackgroundView]:
    """Every tracked frame, shrunk, with the tracked things marked."""
    first, count = result.frames[0].index, len(result.frames)
    for n, frame in enumerate(read_frames(video, start=first, end=first + count)):
        yield background_view(frame.rgb, _foreground(result, n), cut=result.frames[n].cut)
        if progress is not None:
            progress("look", n + 1, count)


def _foreground(result: Result, n: int) -> np.ndarray:
    """(H, W) bool: pixels of objects and boxes on row `n` of the result."""
    index = result.frames[n].index
    taken = result.mask(index) > 0 if result.objects else np.zeros(result.size, dtype=bool)
    for track in result.tracks("box").values():
        for x, y, width, height in track.values[(track.frames == index) & track.visible]:
            left, top = max(0, int(np.floor(x))), max(0, int(np.floor(y)))
            right, bottom = int(np.ceil(x + width)), int(np.ceil(y + height))
            taken[top : max(0, bottom), left : max(0, right)] = True
    return taken


def _points_off_objects(result: Result) -> np.ndarray:
    """(N, P, 2) xy px of the tracked points that never lie on an object or in a box."""
    count = len(result.frames)
    if len(result.tracks("point")) < BACKGROUND_POINTS:
        return np.empty((count, 0, 2))
    points = np.concatenate([dense_points(result, "point", k) for k in result.ids("point")], 1)
    off = np.ones(points.shape[1], dtype=bool)
    limit = np.array([result.size[1] - 1, result.size[0] - 1])
    for n in range(count) if result.objects or result.tracks("box") else ():
        seen = np.flatnonzero(is_known(points[n]))
        x, y = np.clip(np.rint(points[n, seen]), 0, limit).astype(int).T
        off[seen[_foreground(result, n)[y, x]]] = False
    return points[:, off]
