"""Where every tracked thing was, frame by frame: places, extents, areas, gaps. Pure numpy.

Masks are read one at a time, so memory grows by a few numbers per thing and frame only.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from chromatrack.formats.csv_tables import TrackData
from chromatrack.runs.progress import Report
from chromatrack.runs.reader import Result
from chromatrack.structures import Kind
from chromatrack.uses.plane_motion import is_known
from chromatrack.viz.overlays import mask_outline

KINDS: tuple[Kind, ...] = ("object", "box", "point", "keypoints")
MOST_PAIRS = 100_000
"""Gaps are measured between things of a kind that make so many pairs at most, 447 of them."""

LONE_FRAME_SECONDS = 1 / 24
"""How long the only frame of a result is taken to be shown."""


@dataclass(frozen=True)
class Trace:
    """One tracked thing over the N frames of a result.

    xy: (N, 2) float64 px: centre of a mask or box, the point, mean of the visible joints. extent:
    (N, 4) float64 left, top, right, bottom: the outermost pixels it covers. area: (N,) float64 px,
    NaN for points and keypoints. All are NaN while it is absent.
    """

    kind: Kind
    id: int
    xy: np.ndarray
    extent: np.ndarray
    area: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """(N,) bool: on which frames it is there."""
        return is_known(self.xy)


@dataclass(frozen=True)
class Traces:
    """All tracked things of a result.

    frames: (N,) int64 numbers. times, ends: (N,) float64 seconds when each frame appears and
    vanishes. cuts: (N,) bool, a cut lies just before. size: (height, width) px. gaps: {(i, j):
    (N,) float64 px between things i < j of one kind, 0 where they touch; inf where either is
    absent, or, for masks, where they are farther apart than was asked}.
    """

    frames: np.ndarray
    times: np.ndarray
    ends: np.ndarray
    cuts: np.ndarray
    size: tuple[int, int]
    things: tuple[Trace, ...]
    gaps: Mapping[tuple[int, int], np.ndarray] = field(default_factory=dict)


def read_traces(
    result: Result,
    *,
    only: Collection[tuple[Kind, int]] | None = None,
    reach: float | None = None,
    progress: Report | None = None,
) -> Traces:
    """Measure the things of a result; reads every mask once if an object is among them.

    Args:
        only: the things to measure, as (kind, id); None: all.
        reach: measure the gaps between things of one kind, between masks as far as this, px; left
            out, with a warning, for a kind of more than `MOST_PAIRS` pairs.
        progress: called as progress("measure", frames done, frames in all).

    Raises:
        InputError: a mask is missing or of another size.
    """
    names: list[tuple[Kind, int]] = [(kind, k) for kind in KINDS for k in result.ids(kind)]
    names = [name for name in names if only is None or name in only]
    things = [_blank(*name, len(result.frames)) for name in names]
    gaps: dict[tuple[int, int], np.ndarray] = {}
    masked = [thing for thing in things if thing.kind == "object"]
    paired = set() if reach is None else _paired_kinds(names)
    if masked:
        gaps = _measure_masks(result, masked, reach if "object" in paired else None, progress)
    for thing in things[len(masked) :]:
        _measure_track(result, thing)
    if reach is not None:
        gaps |= _track_gaps(result, things, paired - {"object"})
    ends = frame_ends(result.times)
    return Traces(result.indices, result.times, ends, result.cuts, result.size, tuple(things), gaps)


def frame_ends(times: np.ndarray) -> np.ndarray:
    """(N,) seconds when each frame vanishes: when the next appears; the last lasts as its elder."""
    step = times[-1] - times[-2] if len(times) > 1 else LONE_FRAME_SECONDS
    return np.append(times[1:], times[-1] + step)


def mask_centre(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(2,) xy centre of a mask's pixels, not moved by specks far from the rest.

    The mean of the pixels within 2.5 median distances of the median pixel: all of a disc, a bar
    or a ring, but not a speck that leaked to another corner.
    """
    x, y = columns.astype(np.float64), rows.astype(np.float64)
    distance = np.hypot(x - np.median(x), y - np.median(y))
    near = distance <= max(1.0, 2.5 * float(np.median(distance)))
    return np.array([x[near].mean(), y[near].mean()])


def outline_gap(first: np.ndarray, second: np.ndarray, *, reach: float) -> float:
    """Gap between two masks from their outlines, px: 0 where pixels are neighbours.

    Args:
        first, second: (n, 2) and (m, 2) xy of outline pixels.
        reach: the result is inf when the gap is larger.
    """
    first = first[_near_box(first, second, reach + 1)]
    second = second[_near_box(second, first, reach + 1)]
    if len(first) == 0 or len(second) == 0:
        return np.inf
    nearest = np.inf
    for start in range(0, len(first), 512):  # bounds the table of distances at 512 rows
        apart = first[start : start + 512, None] - second[None]
        nearest = min(nearest, float((apart**2).sum(axis=-1).min()))
    gap = max(0.0, np.sqrt(nearest) - 1)
    return gap if gap <= reach else np.inf


def box_gap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(...) px between extents (..., 4) left, top, right, bottom; 0 where they touch or overlap."""
    across = np.maximum(second[..., 0] - first[..., 2], first[..., 0] - second[..., 2]) - 1
    down = np.maximum(second[..., 1] - first[..., 3], first[..., 1] - second[..., 3]) - 1
    return np.hypot(np.maximum(0, across), np.maximum(0, down))


# -- parts ---------------------------------------------------------------------------------


def _blank(kind: Kind, number: int, count: int) -> Trace:
    """The trace of a thing that is never there."""
    xy, extent, area = (np.full((count, *size), np.nan) for size in ((2,), (4,), ()))
    return Trace(kind, number, xy, extent, area)


def _paired_kinds(names: Collection[tuple[Kind, int]]) -> set[Kind]:
    """Kinds whose things are few enough to be looked at in pairs; warns of the others."""
    paired: set[Kind] = set()
    for kind in KINDS:
        count = sum(own == kind for own, _ in names)
        pairs = count * (count - 1) // 2
        if pairs <= MOST_PAIRS:
            paired.add(kind)
            continue
        warnings.warn(
            f"{count} things of kind {kind} make {pairs} pairs, more than {MOST_PAIRS}: contacts "
            "and distances between them are left out; track fewer together to have them",
            stacklevel=3,
        )
    return paired


def _measure_masks(
    result: Result, traces: list[Trace], reach: float | None, progress: Report | None
) -> dict[tuple[int, int], np.ndarray]:
    """Fill the traces of objects; returns the gaps between them where `reach` is given."""
    pairs = combinations(range(len(traces)), 2) if reach is not None else ()
    gaps = {pair: np.full(len(result.frames), np.inf) for pair in pairs}
    for n, frame in enumerate(result.frames):
        mask = result.mask(frame.index)
        for trace in traces:
            if frame.present.get(trace.id, True):
                _measure_mask(trace, n, mask)
        limit = reach or 0.0
        close = [
            (i, j) for i, j in gaps if box_gap(traces[i].extent[n], traces[j].extent[n]) <= limit
        ]
        outlines = _outlines(mask, {traces[i].id for pair in close for i in pair}) if close else {}
        for i, j in close:
            a, b = outlines[traces[i].id], outlines[traces[j].id]
            gaps[i, j][n] = outline_gap(a, b, reach=limit)
        if progress is not None:
            progress("measure", n + 1, len(result.frames))
    return gaps


def _measure_mask(trace: Trace, n: int, mask: np.ndarray) -> None:
    """Fill row `n` of an object's trace, unless it has no pixel there."""
    rows, columns = np.nonzero(mask == trace.id)
    if rows.size == 0:
        return
    trace.area[n] = rows.size
    trace.xy[n] = mask_centre(rows, columns)
    trace.extent[n] = columns.min(), rows.min(), columns.max(), rows.max()


def _outlines(mask: np.ndarray, ids: set[int]) -> dict[int, np.ndarray]:
    """{id: (n, 2) float64 xy of its outline pixels}."""
    rows, columns = np.nonzero(mask_outline(mask))
    owner, xy = mask[rows, columns], np.stack([columns, rows], axis=-1).astype(np.float64)
    return {number: xy[owner == number] for number in ids}


def _near_box(points: np.ndarray, others: np.ndarray, reach: float) -> np.ndarray:
    """(n,) bool: points within `reach` of the box around the others."""
    if len(others) == 0:
        return np.zeros(len(points), dtype=bool)
    low, high = others.min(axis=0) - reach, others.max(axis=0) + reach
    return ((points >= low) & (points <= high)).all(axis=1)


def _measure_track(result: Result, trace: Trace) -> None:
    """Fill the trace of a point, box or skeleton."""
    if trace.kind == "box":
        rows, values, visible = _aligned(result, result.tracks("box")[trace.id])
        rows, values = rows[visible], values[visible]
        trace.extent[rows, :2] = values[:, :2]
        trace.extent[rows, 2:] = values[:, :2] + values[:, 2:] - 1
        trace.xy[rows] = (trace.extent[rows, :2] + trace.extent[rows, 2:]) / 2
        trace.area[rows] = values[:, 2] * values[:, 3]
        return
    joints = dense_points(result, trace.kind, trace.id)
    rows = np.flatnonzero(is_known(joints).any(axis=1))
    trace.xy[rows] = np.nanmean(joints[rows], axis=1)
    trace.extent[rows, :2] = np.nanmin(joints[rows], axis=1)
    trace.extent[rows, 2:] = np.nanmax(joints[rows], axis=1)


def dense_points(result: Result, kind: Kind, number: int) -> np.ndarray:
    """(N, J, 2) float64 xy per frame of a point (J = 1) or of joints; NaN where not visible."""
    rows, values, visible = _aligned(result, result.tracks(kind)[number])
    joints = values.shape[1] if values.ndim == 3 else 1
    dense = np.full((len(result.frames), joints, 2), np.nan)
    dense[rows] = np.where(visible[..., None], values, np.nan).reshape(len(rows), joints, 2)
    return dense


def _aligned(result: Result, track: TrackData) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A track's rows that lie in the result: row numbers there, values, visible."""
    rows = track.frames - result.frames[0].index
    inside = (rows >= 0) & (rows < len(result.frames))
    return rows[inside], track.values[inside], track.visible[inside]


def _track_gaps(
    result: Result, things: list[Trace], kinds: set[Kind]
) -> dict[tuple[int, int], np.ndarray]:
    """Gaps of pairs of boxes (edge to edge), points, and skeletons (nearest joints)."""
    gaps: dict[tuple[int, int], np.ndarray] = {}
    points = [thing for thing in things if thing.kind in kinds - {"box"}]
    dense = {(thing.kind, thing.id): dense_points(result, thing.kind, thing.id) for thing in points}
    numbered = [(n, thing) for n, thing in enumerate(things) if thing.kind in kinds]
    for (i, first), (j, second) in combinations(numbered, 2):
        if first.kind != second.kind:
            continue
        if first.kind == "box":
            gap = box_gap(first.extent, second.extent)
        else:
            a, b = dense[first.kind, first.id], dense[second.kind, second.id]
            apart = np.hypot(*np.moveaxis(a[:, :, None] - b[:, None], -1, 0))
            gap = np.where(np.isnan(apart), np.inf, apart).min(axis=(1, 2))
        gaps[i, j] = np.where(first.present & second.present, gap, np.inf)
    return gaps
