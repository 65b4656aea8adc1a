"""Charts of a result: paths over a frame, presence, speed, areas, reliability, who met whom.

Each chart is a function that draws on a matplotlib figure (or a part of one) what `measure` found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from chromatrack.formats.color_text import hex_color
from chromatrack.runs.progress import Report
from chromatrack.runs.reader import Result
from chromatrack.structures import Colors, Kind
from chromatrack.uses.events import DEFAULT_RULES, spans, speed
from chromatrack.uses.measures import IN_PIXELS, Scale
from chromatrack.uses.plane_motion import shots
from chromatrack.uses.trajectories import KINDS, Trace, Traces, dense_points, read_traces
from chromatrack.viz.track_overlays import short_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

INKS = (
    *("#1f5fa8", "#d1495b", "#2f8f5b", "#e08a1e", "#7a4fb5"),
    *("#18919c", "#a3541f", "#c4549c", "#6b7a1f", "#5b6470"),
)
"""Colours of things, in order; then the same again, dashed."""

STYLES = ("-", "--", ":", "-.")
MOST_NAMED = 24
"""Things of which more are not named in a legend, but shaded from the first to the last."""

PAPER, SOFT, GRID = "#ffffff", "#8a8d93", "#e6e5e0"
_DIM = 0.42  # share of white in the frame under the paths
_GREY = "#2b2d31"

ChartName = Literal["trajectories", "presence", "speed", "area", "reliability", "contacts"]


@dataclass(frozen=True)
class Measured:
    """What charts show of a result with N frames; lists have an entry for each thing of `traces`.

    labels: what things are called. paths: (N, J, 2) px of a skeleton's joints, else of the centre,
    (N, 1, 2). speeds: (N,) px/s. reliability: (N,) in [0, 1]. All are NaN where unknown. near: gap,
    px, up to which two things of one kind touch. contacts: {kind: (its things' numbers, (n, n)
    seconds for which each two touched)}, of kinds with several things. rgb: (H, W, 3) uint8 frame
    to draw paths on, or None. colors: of things that the user gave one.
    """

    traces: Traces
    labels: Sequence[str]
    paths: Sequence[np.ndarray]
    speeds: Sequence[np.ndarray]
    reliability: Sequence[np.ndarray]
    near: float
    contacts: Mapping[Kind, tuple[list[int], np.ndarray]]
    scale: Scale
    rgb: np.ndarray | None = None
    colors: Colors = field(default_factory=dict)


def measure(
    result: Result,
    *,
    rgb: np.ndarray | None = None,
    near: float | None = None,
    scale: Scale = IN_PIXELS,
    progress: Report | None = None,
) -> Measured:
    """Measure all things of a result; reads every mask once.

    Args:
        rgb: (H, W, 3) uint8 frame to draw paths on.
        near: gap up to which two things touch, px; None: as `EventRules`.
        scale: what lengths are told in.

    Raises:
        InputError: a mask is missing or of another size.
    """
    reach = DEFAULT_RULES.near if near is None else near
    traces = read_traces(result, reach=reach, progress=progress)
    return Measured(
        traces=traces,
        labels=[_label(result, thing) for thing in traces.things],
        paths=[_path(result, thing) for thing in traces.things],
        speeds=[speed(thing.xy, traces) for thing in traces.things],
        reliability=[_reliability(result, thing) for thing in traces.things],
        near=reach,
        contacts=_contacts(traces, reach),
        scale=scale,
        rgb=rgb,
        colors=result.colors,
    )


def chart_names(measured: Measured) -> list[ChartName]:
    """The charts that have something to show."""
    has: dict[ChartName, bool] = {
        "trajectories": any(thing.present.any() for thing in measured.traces.things),
        "presence": bool(measured.traces.things),
        "speed": _any_known(measured.speeds),
        "area": _any_known([thing.area for thing in measured.traces.things]),
        "reliability": _any_known(measured.reliability),
        "contacts": bool(measured.contacts),
    }
    return [name for name in CHARTS if has[name]]


# -- charts --------------------------------------------------------------------------------


def draw_trajectories(figure: FigureBase, measured: Measured) -> None:
    """Every thing's path over the frame: a ring where it begins, a dot where it ends."""
    from matplotlib.patheffects import Normal, Stroke

    axis = figure.subplots()
    height, width = measured.traces.size
    if measured.rgb is not None:
        paper = np.rint(measured.rgb * (1 - _DIM) + 255 * _DIM).astype(np.uint8)
        axis.imshow(paper, interpolation="lanczos")
    halo = [Stroke(linewidth=4.2, foreground="white", alpha=0.85), Normal()]
    for n, path in enumerate(measured.paths):
        color, style = _look(measured, n)
        thin = path.shape[1] > 1
        for joint in range(path.shape[1]):
            x, y = _broken(path[:, joint], measured.traces.cuts).T
            known = np.flatnonzero(np.isfinite(path[:, joint]).all(axis=1))
            if not len(known):
                continue
            line = {"color": color, "ls": style, "lw": 1.3 if thin else 2.0, "zorder": 3}
            axis.plot(x, y, path_effects=halo, solid_capstyle="round", **line)
            (x0, y0), (x1, y1) = path[known[0], joint], path[known[-1], joint]
            size = 26 if thin else 46
            axis.scatter(x0, y0, s=size, facecolors="white", edgecolors=color, lw=1.8, zorder=4)
            axis.scatter(x1, y1, s=size, color=color, edgecolors="white", lw=1.2, zorder=5)
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")
    axis.spines[:].set_color(SOFT)
    axis.tick_params(colors=SOFT, labelsize=8)
    _legend(figure, measured, range(len(measured.labels)))


def draw_presence(figure: FigureBase, measured: Measured) -> None:
    """When each thing is there: a bar for each stretch, without flicker."""
    axis = figure.subplots()
    traces = measured.traces
    for n, thing in enumerate(traces.things):
        color, _ = _look(measured, n)
        there = spans(thing.present, traces, flicker_seconds=0)
        bars = [(traces.times[a], traces.ends[b] - traces.times[a]) for a, b in there]
        axis.broken_barh(bars, (n - 0.36, 0.72), color=color, lw=0)
    axis.set_ylim(len(traces.things) - 0.5, -0.5)
    if len(traces.things) <= MOST_NAMED:
        axis.set_yticks(range(len(traces.things)), measured.labels)
    else:
        axis.set_ylabel("things, in order")
    _time_axis(axis, measured, grid="x")


def draw_speed(figure: FigureBase, measured: Measured) -> None:
    """Speeds over time."""
    rates = [rate / measured.scale.pixels for rate in measured.speeds]
    _over_time(figure, measured, rates, f"speed ({measured.scale.unit}/s)")


def draw_area(figure: FigureBase, measured: Measured) -> None:
    """Areas of masks and boxes over time."""
    areas = [thing.area / measured.scale.pixels**2 for thing in measured.traces.things]
    _over_time(figure, measured, areas, f"area ({measured.scale.unit}²)")


def draw_reliability(figure: FigureBase, measured: Measured) -> None:
    """Over time, the chance that each thing is where it is said to be."""
    axis = _over_time(figure, measured, measured.reliability, "reliability")
    axis.set_ylim(-0.02, 1.03)


def draw_contacts(figure: FigureBase, measured: Measured) -> None:
    """Seconds for which each two things of a kind touched."""
    axes = figure.subplots(1, len(measured.contacts), squeeze=False)[0]
    for axis, (kind, (numbers, seconds)) in zip(axes, measured.contacts.items(), strict=True):
        _matrix(axis, [measured.labels[n] for n in numbers], seconds)
        within = f"within {measured.near / measured.scale.pixels:.4g} {measured.scale.unit}"
        axis.set_title(f"{_PLURALS[kind]}: seconds {within}", fontsize=10, loc="left")


Chart: TypeAlias = "Callable[[FigureBase, Measured], None]"
CHARTS: dict[ChartName, Chart] = {
    "trajectories": draw_trajectories,
    "presence": draw_presence,
    "speed": draw_speed,
    "area": draw_area,
    "reliability": draw_reliability,
    "contacts": draw_contacts,
}
"""Every chart, in the order of a page."""


def chart_size(name: ChartName, measured: Measured) -> tuple[float, float]:
    """Width and height of a chart, inches."""
    width = 9.0
    if name == "trajectories":
        height, across = measured.traces.size
        return width, min(9.0, max(2.4, 6.6 * height / across)) + 0.5
    if name == "presence":
        return width, 0.9 + 0.27 * min(len(measured.labels), MOST_NAMED)
    if name == "contacts":
        most = max(len(numbers) for numbers, _ in measured.contacts.values())
        return width, min(8.0, 1.6 + 0.42 * most)
    return width, 3.2


# -- parts ---------------------------------------------------------------------------------

_PLURALS: Mapping[Kind, str] = {
    "object": "objects",
    "box": "boxes",
    "point": "points",
    "keypoints": "skeletons",
}


def _label(result: Result, thing: Trace) -> str:
    """Such as `object 1 (cow)`; its signs are no formulas."""
    kind = "skeleton" if thing.kind == "keypoints" else thing.kind
    name = result.names.get((thing.kind, thing.id))
    return (f"{kind} {thing.id}" + (f" ({short_text(name)})" if name else "")).replace("$", r"\$")


def _path(result: Result, thing: Trace) -> np.ndarray:
    if thing.kind == "keypoints":
        return dense_points(result, thing.kind, thing.id)
    return thing.xy[:, None]


def _reliability(result: Result, thing: Trace) -> np.ndarray:
    """Of an object's mask, a box or a point; of a skeleton, the mean of its joints."""
    rows = []
    for frame in result.frames:
        if thing.kind == "object":
            said = [frame.reliability.get(thing.id, math.nan)]
        else:
            part = "joint" if thing.kind == "keypoints" else thing.kind
            places = frame.place_reliability
            said = [
                v for (kind, number, _), v in places.items() if (kind, number) == (part, thing.id)
            ]
        rows.append(float(np.mean(said)) if said else math.nan)
    return np.array(rows)


def _contacts(traces: Traces, near: float) -> dict[Kind, tuple[list[int], np.ndarray]]:
    found: dict[Kind, tuple[list[int], np.ndarray]] = {}
    shown = traces.ends - traces.times
    for kind in KINDS:
        if all(traces.things[i].kind != kind for i, _ in traces.gaps):
            continue
        numbers = [n for n, thing in enumerate(traces.things) if thing.kind == kind]
        seconds = np.full((len(numbers), len(numbers)), np.nan)
        for (i, j), gap in traces.gaps.items():
            if traces.things[i].kind == kind:
                a, b = numbers.index(i), numbers.index(j)
                seconds[a, b] = seconds[b, a] = float(shown[gap <= near].sum())
        found[kind] = numbers, seconds
    return found


def _any_known(series: Sequence[np.ndarray]) -> bool:
    return any(np.isfinite(values).any() for values in series)


def _look(measured: Measured, n: int) -> tuple[str, str]:
    """Colour and line of a thing."""
    count = len(measured.labels)
    if count > MOST_NAMED:
        from matplotlib import colormaps
        from matplotlib.colors import to_hex

        return to_hex(colormaps["turbo"]((n + 0.5) / count)), "-"
    thing = measured.traces.things[n]
    if color := measured.colors.get((thing.kind, thing.id)):
        return hex_color(color), "-"
    return INKS[n % len(INKS)], STYLES[n // len(INKS) % len(STYLES)]


def _broken(values: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """(M, ...) values over time with a row of NaN at each cut, so that no line crosses it."""
    gap = np.full((1, *values.shape[1:]), np.nan)
    return np.concatenate([part for shot in shots(cuts) for part in (values[shot], gap)])


def _over_time(
    figure: FigureBase, measured: Measured, series: Sequence[np.ndarray], label: str
) -> Axes:
    """A line for each thing of which something is known, broken where it is not there."""
    axis = figure.subplots()
    traces = measured.traces
    times = _broken(traces.times, traces.cuts)
    shown = [n for n, values in enumerate(series) if np.isfinite(values).any()]
    for n in shown:
        color, style = _look(measured, n)
        values = _broken(np.where(traces.things[n].present, series[n], np.nan), traces.cuts)
        axis.plot(times, values, color=color, ls=style, lw=1.7)
        known = np.isfinite(values)
        alone = known & ~np.roll(known, 1) & ~np.roll(known, -1)
        axis.plot(times[alone], values[alone], ".", color=color, ms=5)
    axis.set_ylabel(label)
    axis.set_ylim(0, None)
    _time_axis(axis, measured, grid="y")
    _legend(figure, measured, shown)
    return axis


def _time_axis(axis: Axes, measured: Measured, *, grid: Literal["x", "y"]) -> None:
    traces = measured.traces
    for number, when in enumerate(traces.times[traces.cuts].tolist()):
        axis.axvline(when, color=_GREY, lw=0.9, ls=(0, (4, 3)), label="cut" if not number else None)
    axis.set_xlim(traces.times[0], traces.ends[-1])
    axis.set_xlabel("time (s)" + (", dashed: cuts" if traces.cuts.any() else ""))
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(SOFT)
    axis.set_axisbelow(True)
    axis.grid(axis=grid, color=GRID, lw=0.9)


def _legend(figure: FigureBase, measured: Measured, shown: Sequence[int]) -> None:
    if len(measured.labels) > MOST_NAMED:
        return
    from matplotlib.lines import Line2D

    looks = [_look(measured, n) for n in shown]
    lines = [Line2D([], [], color=color, ls=style, lw=2.2) for color, style in looks]
    names = [measured.labels[n] for n in shown]
    figure.legend(lines, names, loc="outside right upper", frameon=False, fontsize=9)


def _matrix(axis: Axes, labels: Sequence[str], seconds: np.ndarray) -> None:
    """A square of cells, the darker the longer; the diagonal is empty."""
    from matplotlib.patches import Rectangle

    top = float(np.nanmax(seconds)) if np.isfinite(seconds).any() else 0.0
    axis.imshow(np.nan_to_num(seconds), cmap="Blues", vmin=0, vmax=(top or 1.0) * 1.25)
    count = len(labels)
    if count <= MOST_NAMED:
        axis.set_xticks(range(count), labels, rotation=40, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(count), labels)
        for a, b in np.argwhere(np.isfinite(seconds)).tolist():
            value = seconds[a, b]
            dark = bool(value > 0.65 * top > 0)
            color = "white" if dark else _GREY if value else SOFT
            text = f"{value:.2g}" if value else "0"
            axis.text(b, a, text, ha="center", va="center", color=color, fontsize=9)
    for n in range(count):
        axis.add_patch(Rectangle((n - 0.5, n - 0.5), 1, 1, facecolor=GRID, lw=0))
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
