"""What happened in a result: who came and went, hid, met, stood still, moved how fast and how far.

Tables as CSV: one row per event, or one per thing and frame. Times come from the frames' own times.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np

from chromatrack.atomic import OutputFile, check_output_files, replace_file, starts_with
from chromatrack.errors import InputError
from chromatrack.formats.color_text import hex_color
from chromatrack.runs.file_names import keep_runs
from chromatrack.runs.progress import Report
from chromatrack.runs.reader import Result
from chromatrack.structures import Kind
from chromatrack.uses.measures import IN_PIXELS, Scale, warn_of_made_up_times
from chromatrack.uses.plane_motion import is_known, shots
from chromatrack.uses.trajectories import Trace, Traces, read_traces

EventName: TypeAlias = Literal[
    "cut", "entry", "exit", "hidden", "contact", "dwell",
    "speed_mean", "speed_max", "path_length", "distance_min", "distance_mean",
]  # fmt: skip
Side: TypeAlias = Literal["left", "top", "right", "bottom"]

MOMENTS = ("cut", "entry", "exit", "speed_max", "distance_min")
"""Events that last no time; the others last until their last frame vanishes."""

SPEEDS = ("speed_mean", "speed_max", "dwell")
"""Events whose value is in px/s; the others measure px."""

SPEED_SECONDS = 0.2
"""Time over which a speed is measured."""

BORDER = 3.0
"""px from the frame's border within which a thing came or went through it."""

_EVENTS_BEGIN, _ROWS_BEGIN = "event,kind,id,", "kind,id,frame,"
"""How the tables begin; columns may come at their ends in later versions."""

_ORDER = {name: i for i, name in enumerate(get_args(EventName))}
_EPSILON = 1e-9


@dataclass(frozen=True)
class Event:
    """One row of events.csv; None where a column says nothing about this event.

    start_frame, end_frame: first and last frame. start_seconds: when the first one appears.
    end_seconds: when the last one vanishes, or for a moment (see `MOMENTS`) when it appears.
    value, unit: what was measured. x, y: where, px. side: border of the frame through which a
    thing came or went. present_at_start, present_at_end: whether the (first) thing is there on the
    result's first and last frame. name, other_name: what the things are called. category, color:
    what they are and are drawn in (#ff8000), where that was said.
    """

    event: EventName
    kind: str | None
    id: int | None
    other_kind: str | None
    other_id: int | None
    start_frame: int
    end_frame: int
    start_seconds: float
    end_seconds: float
    duration_seconds: float
    value: float | None
    unit: str | None
    x: float | None
    y: float | None
    side: Side | None
    present_at_start: bool | None = None
    present_at_end: bool | None = None
    name: str | None = None
    other_name: str | None = None
    category: str | None = None
    other_category: str | None = None
    color: str | None = None
    other_color: str | None = None


EVENT_COLUMNS = tuple(field.name for field in fields(Event))
FRAME_COLUMNS = (
    "kind", "id", "frame", "pts_seconds", "x", "y", "area", "speed", "unit", "name",
    "category", "color",
)  # fmt: skip
"""Of the table of things per frame; unit: of lengths in area and speed."""


@dataclass(frozen=True)
class EventRules:
    """When something counts as an event.

    near: gap in px up to which two things of one kind touch. still: px/s below which a thing
    dwells. dwell_seconds: shortest stay that counts. flicker_seconds: appearances, absences,
    contacts and pauses shorter than this are noise.

    Raises InputError for negative values.
    """

    near: float = 5.0
    still: float = 10.0
    dwell_seconds: float = 0.5
    flicker_seconds: float = 0.1

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (value >= 0 and np.isfinite(value)):
                raise InputError(f"{name}: expected a number from 0 up, got {value}")


DEFAULT_RULES = EventRules()


def find_events(
    result: Result,
    *,
    rules: EventRules = DEFAULT_RULES,
    scale: Scale = IN_PIXELS,
    output: str | PathLike[str] | None = None,
    per_frame: str | PathLike[str] | None = None,
    progress: Report | None = None,
) -> list[Event]:
    """All events of a result, in order of time, then kind of event, then id; reads its masks once.

    Warns where the result's source states no times, so that they were made up; see `at_rate`.

    Args:
        rules: when something counts, in px and seconds whatever the scale is.
        scale: what lengths and speeds are told in; places stay px.
        output, per_frame: tables to write, of the events and of all things on all frames; folders
            are made, earlier tables of the same kind overwritten. None: not written.

    Raises:
        InputError: a mask is missing or of another size; or a table is a file of a run, or there
            already and not of its kind, or both are one. OutputError: a table cannot be written.
    """
    _check_tables(output, per_frame, reads=[result.video_path])
    warn_of_made_up_times(result)
    traces = read_traces(result, reach=rules.near, progress=progress)
    found = [_event(traces, "cut", n, n) for n in np.flatnonzero(traces.cuts).tolist()]
    at_ends: dict[tuple[Kind, int], tuple[bool, bool]] = {}
    for thing in traces.things:
        there = spans(thing.present, traces, flicker_seconds=rules.flicker_seconds)
        at_ends[thing.kind, thing.id] = _at_ends(there, len(traces.frames))
        found += _thing_events(traces, thing, there, rules)
    for i, j in sorted(traces.gaps):
        found += _pair_events(traces, i, j, rules)
    found = [_told(event, at_ends, result, scale) for event in found]
    found.sort(key=_time_and_name)
    if output is not None:
        replace_file(Path(output), events_table(found))
    if per_frame is not None:
        rows = _frame_rows(traces, result, scale)
        replace_file(Path(per_frame), _table(FRAME_COLUMNS, rows))
    return found


def _check_tables(
    output: str | PathLike[str] | None,
    per_frame: str | PathLike[str] | None,
    *,
    reads: Iterable[object],
) -> None:
    """Raises InputError unless both tables are new or earlier ones of their kind."""
    given = (
        ("table of events", output, _EVENTS_BEGIN),
        ("table of things per frame", per_frame, _ROWS_BEGIN),
    )
    files = [
        OutputFile(Path(path), kind, _beginning(head))
        for kind, path, head in given
        if path is not None
    ]
    for file in files:
        keep_runs(file.path)
    check_output_files(files, reads=reads)


def _beginning(head: str) -> Callable[[Path], bool]:
    return lambda path: starts_with(path, head)


def events_table(events: Iterable[Event]) -> str:
    """Events as CSV text: one header line, one row per event.

    Times are rounded to the microsecond, other fractions to a thousandth; None is an empty cell.
    """
    return _table(EVENT_COLUMNS, (list(asdict(event).values()) for event in events))


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


def speed(xy: np.ndarray, traces: Traces) -> np.ndarray:
    """(N,) float64 px/s: length of the slope of the line through the places around each frame.

    The line is fitted to the known places within `SPEED_SECONDS` / 2 of the frame, in any case to
    its neighbours, and not across a cut; so it is not the jitter of a mask's edge. NaN where
    unknown.

    Args:
        xy: (N, 2) px, NaN where unknown.
    """
    rates = np.full(len(xy), np.nan)
    known = is_known(xy)
    for shot in shots(traces.cuts):
        when = traces.times[shot]
        first = np.searchsorted(when, when - SPEED_SECONDS / 2 - _EPSILON)
        last = np.searchsorted(when, when + SPEED_SECONDS / 2 + _EPSILON)
        for i in np.flatnonzero(known[shot]).tolist():
            a, b = shot.start + min(first[i], max(0, i - 1)), shot.start + max(last[i], i + 2)
            near = np.flatnonzero(known[a : min(b, shot.stop)]) + a
            if len(near) > 1:
                t = traces.times[near] - traces.times[near].mean()
                rates[shot.start + i] = np.hypot(*(t @ xy[near] / (t @ t)))
    return rates


# -- parts ---------------------------------------------------------------------------------


def _time_and_name(event: Event) -> tuple[float, int, str, int, int]:
    order = _ORDER[event.event]
    return event.start_seconds, order, event.kind or "", event.id or 0, event.other_id or 0


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV text under a header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(_cell(*pair) for pair in zip(columns, row, strict=True))
    return text.getvalue()


def _cell(column: str, value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return round(value, 6 if column.endswith("_seconds") else 3)
    return "" if value is None else value


def _frame_rows(traces: Traces, result: Result, scale: Scale) -> Iterator[Sequence[object]]:
    """One row per thing and frame on which it is there; things in order, frames ascending."""
    for thing in traces.things:
        speeds = speed(thing.xy, traces)
        for n in np.flatnonzero(thing.present).tolist():
            x, y = thing.xy[n].tolist()
            when = int(traces.frames[n]), float(traces.times[n])
            area, rate = thing.area[n] / scale.pixels**2, speeds[n] / scale.pixels
            measured = x, y, _known(area), _known(rate), scale.unit
            yield thing.kind, thing.id, *when, *measured, *_said(result, (thing.kind, thing.id))


def _said(result: Result, thing: tuple[str | None, int | None]) -> list[str | None]:
    """Name, category and colour of a thing."""
    texts = [said.get(thing) for said in (result.names, result.categories)]  # type: ignore[call-overload]
    color = result.colors.get(thing)  # type: ignore[call-overload]
    return [*texts, None if color is None else hex_color(color)]


def _at_ends(there: Sequence[tuple[int, int]], count: int) -> tuple[bool, bool]:
    """Whether a thing with these stretches is there on the first and the last of the frames."""
    return bool(there) and there[0][0] == 0, bool(there) and there[-1][1] == count - 1


def _told(
    event: Event,
    at_ends: Mapping[tuple[Kind, int], tuple[bool, bool]],
    result: Result,
    scale: Scale,
) -> Event:
    """An event with what is known of its things, its value in units of the scale."""
    thing, other = (event.kind, event.id), (event.other_kind, event.other_id)
    start, end = at_ends.get(thing, (None, None))  # type: ignore[arg-type]
    (name, category, color), (other_name, other_category, other_color) = (
        _said(result, one) for one in (thing, other)
    )
    unit, value = event.unit, event.value
    if unit is not None and value is not None:
        unit, value = unit.replace("px", scale.unit), value / scale.pixels
    return replace(
        event,
        value=value,
        unit=unit,
        present_at_start=start,
        present_at_end=end,
        name=name,
        other_name=other_name,
        category=category,
        other_category=other_category,
        color=color,
        other_color=other_color,
    )


def _thing_events(
    traces: Traces, thing: Trace, there: Sequence[tuple[int, int]], rules: EventRules
) -> Iterator[Event]:
    """Entries, exits, hidden spans, dwelling and motion of one thing on its stretches.

    What is there on the first frame did not come then, what is on the last one did not go.
    """
    rates = speed(thing.xy, traces)
    for first, last in there:
        if first > 0:
            side = _side(traces, thing, first, -1)
            yield _event(traces, "entry", first, first, thing, place=thing.xy[first], side=side)
        if last < len(traces.frames) - 1:
            side = _side(traces, thing, last, 1)
            yield _event(traces, "exit", last, last, thing, place=thing.xy[last], side=side)
        yield from _motion_events(traces, thing, first, last, rates)
        yield from _dwelling(traces, thing, first, last, rates, rules)
    for (_, before), (after, _) in pairwise(there):
        place, moved = thing.xy[before], float(np.hypot(*(thing.xy[after] - thing.xy[before])))
        yield _event(traces, "hidden", before + 1, after - 1, thing, place=place, value=moved)


def _motion_events(
    traces: Traces, thing: Trace, first: int, last: int, rates: np.ndarray
) -> Iterator[Event]:
    """Mean and largest speed and the length of the path over one span."""
    inside = np.arange(first, last + 1)
    inside = inside[np.isfinite(rates[inside])]
    joined = ~traces.cuts[inside[1:]]
    steps = np.diff(traces.times[inside])[joined]
    if steps.size == 0:
        return
    lengths = steps * ((rates[inside][1:] + rates[inside][:-1]) / 2)[joined]
    length, top = float(lengths.sum()), int(inside[np.argmax(rates[inside])])
    mean, peak = length / float(steps.sum()), float(rates[top])
    yield _event(traces, "speed_mean", first, last, thing, value=mean)
    yield _event(traces, "speed_max", top, top, thing, place=thing.xy[top], value=peak)
    yield _event(traces, "path_length", first, last, thing, value=length)


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
            yield _event(traces, "dwell", a, b, thing, place=place, value=mean)


def _pair_events(traces: Traces, i: int, j: int, rules: EventRules) -> Iterator[Event]:
    """Contacts of two things of a kind, and how far apart their centres were."""
    pair, gap = (traces.things[i], traces.things[j]), traces.gaps[i, j]
    middle = (pair[0].xy + pair[1].xy) / 2
    for a, b in spans(gap <= rules.near, traces, flicker_seconds=rules.flicker_seconds):
        nearest, place = float(gap[a : b + 1].min()), np.nanmean(middle[a : b + 1], axis=0)
        yield _event(traces, "contact", a, b, *pair, place=place, value=nearest)
    both = np.flatnonzero(pair[0].present & pair[1].present)
    if both.size == 0:
        return
    apart = np.hypot(*(pair[0].xy - pair[1].xy)[both].T)
    n = int(both[apart.argmin()])
    least, mean = float(apart.min()), float(apart.mean())
    yield _event(traces, "distance_min", n, n, *pair, place=middle[n], value=least)
    yield _event(traces, "distance_mean", int(both[0]), int(both[-1]), *pair, value=mean)


def _side(traces: Traces, thing: Trace, n: int, sign: int) -> Side | None:
    """The border through which a thing entered (sign -1) or left (+1) on frame n.

    Of the borders it is at, the one it moves from or to the most.
    """
    inner = n - sign
    height, width = traces.size
    gaps = thing.extent[n] * (1, 1, -1, -1) + (0, 0, width - 1, height - 1)
    moved = np.zeros(2)
    if 0 <= inner < len(traces.frames) and thing.present[inner]:
        moved = thing.xy[n] - thing.xy[inner]
    outward = np.concatenate([-moved, moved])
    near = np.flatnonzero(gaps <= BORDER)
    if near.size == 0:
        return None
    return get_args(Side)[min(near.tolist(), key=lambda k: (-outward[k], gaps[k]))]


def _event(
    traces: Traces,
    event: EventName,
    first: int,
    last: int,
    thing: Trace | None = None,
    other: Trace | None = None,
    *,
    place: np.ndarray | None = None,
    value: float | None = None,
    side: Side | None = None,
) -> Event:
    """An event over rows first..last of the traces."""
    start = float(traces.times[first])
    end = start if event in MOMENTS else float(traces.ends[last])
    x, y = (None, None) if place is None else map(_known, place)
    unit = None if value is None else "px/s" if event in SPEEDS else "px"
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
