"""What happened in a result: who came and went, hid, met, stood still, moved how fast and how far.

Tidy tables: one row per event, or one per thing and frame. Times come from the frames' own times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from os import PathLike
from typing import get_args

import numpy as np

from chromatrack.errors import InputError
from chromatrack.runs.progress import Report
from chromatrack.runs.reader import Result
from chromatrack.uses.event_tables import Event, EventName, FrameRow, Side, write_table
from chromatrack.uses.plane_motion import is_known, shots
from chromatrack.uses.trajectories import Trace, Traces, read_traces

_ORDER = {name: i for i, name in enumerate(get_args(EventName))}
_EPSILON = 1e-9


@dataclass(frozen=True)
class EventRules:
    """When something counts as an event.

    near: gap in px up to which two things of one kind touch. still: px/s below which a thing
    dwells. dwell_seconds: shortest stay that counts. flicker_seconds: appearances, absences,
    contacts and pauses shorter than this are noise. speed_seconds: time over which a speed is
    measured. border: px from the frame's border within which a thing came or went through it.

    Raises InputError for negative values.
    """

    near: float = 5.0
    still: float = 10.0
    dwell_seconds: float = 0.5
    flicker_seconds: float = 0.1
    speed_seconds: float = 0.2
    border: float = 3.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (value >= 0 and np.isfinite(value)):
                raise InputError(f"{name}: expected a number from 0 up, got {value}")


DEFAULT_RULES = EventRules()


def find_events(
    result: Result, *, rules: EventRules = DEFAULT_RULES, progress: Report | None = None
) -> list[Event]:
    """All events of a result, in order of time; reads its masks once.

    Raises:
        InputError: a mask is missing or of another size.
    """
    return traced_events(read_traces(result, reach=rules.near, progress=progress), rules=rules)


def events_to_files(
    result: Result,
    *,
    output: str | PathLike[str] | None = None,
    per_frame: str | PathLike[str] | None = None,
    rules: EventRules = DEFAULT_RULES,
    progress: Report | None = None,
) -> list[Event]:
    """Find the events of a result and write events.csv and frames.csv, each only if it is named.

    Args:
        output, per_frame: targets; folders are made, files of those names overwritten.

    Returns:
        The events, as `find_events`.

    Raises:
        InputError: as `find_events`. OutputError: a file cannot be written.
    """
    traces = read_traces(result, reach=rules.near, progress=progress)
    events = traced_events(traces, rules=rules)
    if output is not None:
        write_table(output, Event, events)
    if per_frame is not None:
        rows = frame_rows(traces, speed_seconds=rules.speed_seconds)
        write_table(per_frame, FrameRow, rows)
    return events


def traced_events(traces: Traces, *, rules: EventRules = DEFAULT_RULES) -> list[Event]:
    """All events of measured things, in order of time, then kind of event, then id."""
    found = [_row(traces, "cut", n, n, moment=True) for n in np.flatnonzero(traces.cuts).tolist()]
    for thing in traces.things:
        found += _thing_events(traces, thing, rules)
    for i, j in sorted(traces.gaps):
        found += _pair_events(traces, i, j, rules)
    key = _ORDER.__getitem__
    return sorted(
        found,
        key=lambda e: (e.start_seconds, key(e.event), e.kind or "", e.id or 0, e.other_id or 0),
    )


def frame_rows(
    traces: Traces, *, speed_seconds: float = DEFAULT_RULES.speed_seconds
) -> Iterator[FrameRow]:
    """One row per thing and frame on which it is there; things in order, frames ascending."""
    for thing in traces.things:
        speeds = speed(thing.xy, traces, seconds=speed_seconds)
        for n in np.flatnonzero(thing.present).tolist():
            x, y = thing.xy[n].tolist()
            when = int(traces.frames[n]), float(traces.times[n])
            area, rate = _known(thing.area[n]), _known(speeds[n])
            yield FrameRow(thing.kind, thing.id, *when, x, y, area, rate)


def spans(flags: np.ndarray, traces: Traces, *, flicker_seconds: float) -> list[tuple[int, int]]:
    """Stretches (first, last) of (N,) bool flags, without flicker.

    First, gaps shown for less than `flicker_seconds` between two stretches are closed; then
    stretches shown for less than that are dropped.
    """
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    runs = edges.reshape(-1, 2) - (0, 1)
    closed: list[tuple[int, int]] = []
    for first, last in runs.tolist():
        if closed and _shown(traces, closed[-1][1] + 1, first - 1) < flicker_seconds - _EPSILON:
            closed[-1] = closed[-1][0], last
        else:
            closed.append((first, last))
    return [run for run in closed if _shown(traces, *run) >= flicker_seconds - _EPSILON]


def speed(xy: np.ndarray, traces: Traces, *, seconds: float) -> np.ndarray:
    """(N,) float64 px/s: length of the slope of the line through the places around each frame.

    The line is fitted to the known places within `seconds` / 2 of the frame, in any case to its
    neighbours, and not across a cut; so it is not the jitter of a mask's edge. NaN where unknown.

    Args:
        xy: (N, 2) px, NaN where unknown.
    """
    rates = np.full(len(xy), np.nan)
    known = is_known(xy)
    for shot in shots(traces.cuts):
        when = traces.times[shot]
        first = np.searchsorted(when, when - seconds / 2 - _EPSILON)
        last = np.searchsorted(when, when + seconds / 2 + _EPSILON)
        for i in np.flatnonzero(known[shot]).tolist():
            a, b = shot.start + min(first[i], max(0, i - 1)), shot.start + max(last[i], i + 2)
            near = np.flatnonzero(known[a : min(b, shot.stop)]) + a
            if len(near) > 1:
                t = traces.times[near] - traces.times[near].mean()
                rates[shot.start + i] = np.hypot(*(t @ xy[near] / (t @ t)))
    return rates


# -- parts ---------------------------------------------------------------------------------


def _thing_events(traces: Traces, thing: Trace, rules: EventRules) -> Iterator[Event]:
    """Entries, exits, hidden spans, dwelling and motion of one thing."""
    there = spans(thing.present, traces, flicker_seconds=rules.flicker_seconds)
    rates = speed(thing.xy, traces, seconds=rules.speed_seconds)
    for first, last in there:
        entered, left = _side(traces, thing, first, rules, -1), _side(traces, thing, last, rules, 1)
        yield _row(traces, "entry", first, first, thing, at=first, side=entered, moment=True)
        yield _row(traces, "exit", last, last, thing, at=last, side=left, moment=True)
        yield from _motion_events(traces, thing, first, last, rates)
        yield from _dwelling(traces, thing, first, last, rates, rules)
    for (_, before), (after, _) in pairwise(there):
        moved = float(np.hypot(*(thing.xy[after] - thing.xy[before])))
        yield _row(
            traces, "hidden", before + 1, after - 1, thing, at=before, value=moved, unit="px"
        )


def _motion_events(
    traces: Traces, thing: Trace, first: int, last: int, rates: np.ndarray
) -> Iterator[Event]:
    """Mean and largest speed and the length of the path over one span."""
    inside = np.arange(first, last + 1)
    inside = inside[np.isfinite(rates[inside])]
    if len(inside) < 2:
        return
    joined = ~traces.cuts[inside[1:]]
    steps = np.diff(traces.times[inside])[joined]
    lengths = steps * ((rates[inside][1:] + rates[inside][:-1]) / 2)[joined]
    if steps.size == 0:
        return
    length, top = float(lengths.sum()), int(inside[np.argmax(rates[inside])])
    mean = length / float(steps.sum())
    yield _row(traces, "speed_mean", first, last, thing, value=mean, unit="px/s")
    peak = float(rates[top])
    yield _row(traces, "speed_max", top, top, thing, at=top, value=peak, unit="px/s", moment=True)
    yield _row(traces, "path_length", first, last, thing, value=length, unit="px")


def _dwelling(
    traces: Traces, thing: Trace, first: int, last: int, rates: np.ndarray, rules: EventRules
) -> Iterator[Event]:
    """Stays of at least `dwell_seconds` within one span; value: the mean speed."""
    slow = np.zeros(len(rates), dtype=bool)
    slow[first : last + 1] = rates[first : last + 1] < rules.still
    for a, b in spans(slow, traces, flicker_seconds=rules.flicker_seconds):
        if _shown(traces, a, b) >= rules.dwell_seconds - _EPSILON:
            mean = float(np.nanmean(rates[a : b + 1]))
            place = np.nanmean(thing.xy[a : b + 1], axis=0)
            yield _row(traces, "dwell", a, b, thing, place=place, value=mean, unit="px/s")


def _pair_events(traces: Traces, i: int, j: int, rules: EventRules) -> Iterator[Event]:
    """Contacts of two things of a kind, and how far apart their centres were."""
    first, second, gap = traces.things[i], traces.things[j], traces.gaps[i, j]
    middle = (first.xy + second.xy) / 2
    for a, b in spans(gap <= rules.near, traces, flicker_seconds=rules.flicker_seconds):
        nearest, place = float(gap[a : b + 1].min()), np.nanmean(middle[a : b + 1], axis=0)
        yield _row(traces, "contact", a, b, first, second, place=place, value=nearest, unit="px")
    both = np.flatnonzero(first.present & second.present)
    if both.size == 0:
        return
    apart = np.hypot(*(first.xy - second.xy)[both].T)
    n = int(both[apart.argmin()])
    least, mean = float(apart.min()), float(apart.mean())
    yield _row(
        traces, "distance_min", n, n, first, second,
        place=middle[n], value=least, unit="px", moment=True,
    )  # fmt: skip
    ends = int(both[0]), int(both[-1])
    yield _row(traces, "distance_mean", *ends, first, second, value=mean, unit="px")


def _side(traces: Traces, thing: Trace, n: int, rules: EventRules, sign: int) -> Side | None:
    """The border through which a thing entered (sign -1) or left (+1) on frame n.

    Of the borders it is at, the one it moves from or to the most. A thing that is there when the
    result begins or ends did not come or go.
    """
    inner = n + 1 if sign < 0 else n - 1
    outer = n - 1 if sign < 0 else n + 1
    if not 0 <= outer < len(traces.frames):
        return None
    height, width = traces.size
    gaps = thing.extent[n] * (1, 1, -1, -1) + (0, 0, width - 1, height - 1)
    moved = np.zeros(2)
    if 0 <= inner < len(traces.frames) and thing.present[inner]:
        moved = thing.xy[n] - thing.xy[inner]
    outward = np.array([-moved[0], -moved[1], moved[0], moved[1]])
    near = np.flatnonzero(gaps <= rules.border)
    if near.size == 0:
        return None
    return get_args(Side)[min(near.tolist(), key=lambda k: (-outward[k], gaps[k]))]


def _row(
    traces: Traces,
    event: EventName,
    first: int,
    last: int,
    thing: Trace | None = None,
    other: Trace | None = None,
    *,
    at: int | None = None,
    place: np.ndarray | None = None,
    moment: bool = False,
    value: float | None = None,
    unit: str | None = None,
    side: Side | None = None,
) -> Event:
    """An event over rows first..last of the traces, at a frame's place (`at`) or at `place`."""
    if at is not None and thing is not None:
        place = thing.xy[at]
    x, y = (None, None) if place is None else map(_known, place)
    start, end = float(traces.times[first]), float(traces.times[last])
    end = end if moment else float(traces.ends[last])
    return Event(
        event, *_name(thing), *_name(other),
        int(traces.frames[first]), int(traces.frames[last]), start, end, end - start,
        value, unit, x, y, side,
    )  # fmt: skip


def _name(thing: Trace | None) -> tuple[str | None, int | None]:
    return (None, None) if thing is None else (thing.kind, thing.id)


def _shown(traces: Traces, first: int, last: int) -> float:
    """Seconds for which frames first..last are shown."""
    return float(traces.ends[last] - traces.times[first])


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
