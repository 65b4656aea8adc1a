"""The charts of the paper's four claims, as matplotlib figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from chromatrack.evaluation.baselines.colorizers import CHAINED, FLOW, GREY, STILL
from chromatrack.evaluation.datasets.color_failures import FrameErrors, by_sequence
from chromatrack.evaluation.datasets.color_horizon import HorizonScore
from chromatrack.evaluation.datasets.davis_attributes import DAVIS_ATTRIBUTES
from chromatrack.propagation.reliability import RIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chromatrack.evaluation.metrics.calibration import ReliabilityBin

LINES = {
    GREY: (":", "#9a9a9a"),
    STILL: ("--", "#6a6a6a"),
    FLOW: ("-", "#c8843c"),
    CHAINED: ("-.", "#a35d1f"),
}
"""Line style and colour of the comparison points."""

INKS = ("#1f5fa8", "#2f8f5b", "#8a3f9e", "#b8324a")
"""Colours of models, in order."""

OTHERS = ("#c8843c", "#8a8a86", "#b9b7ae", "#d5d3ca")
"""Colours of what models are compared with, in order."""

MOST = 0.75
"""Share of the clips that go as far as the first panel of `horizon_chart`."""


def methods_of(scores: Sequence[HorizonScore]) -> list[str]:
    """Models first, then the comparison points."""
    named = dict.fromkeys(score.method for score in scores)
    return [m for m in named if m not in LINES] + [m for m in reversed(LINES) if m in named]


def horizons_of(scores: Sequence[HorizonScore]) -> list[float]:
    """The horizons that some clip reached, seconds."""
    return sorted({score.seconds for score in scores})


def clip_sets(scores: Sequence[HorizonScore]) -> list[set[str]]:
    """The clips that reach the furthest horizon within most clips' reach, and the very last one."""
    reach = [{s.clip for s in scores if s.seconds == seconds} for seconds in horizons_of(scores)]
    most = [clips for clips in reach if len(clips) >= MOST * len(reach[0])][-1]
    return [most] if most == reach[-1] else [most, reach[-1]]


def horizon_chart(scores: Sequence[HorizonScore]) -> Figure:
    """Error over seconds since the reference: most clips, then those that go furthest.

    Every line of a panel is of the same clips from its start to its end.
    """
    sets = clip_sets(scores)
    figure = _figure(5.2 * len(sets), 4.0)
    axes = figure.subplots(1, len(sets), squeeze=False)[0]
    for axis, clips in zip(axes, sets, strict=True):
        _draw_horizons(axis, [s for s in scores if s.clip in clips], len(clips))
    axes[0].set_ylabel("mean absolute ab error (Lab units)")
    axes[0].legend(frameon=False, fontsize=9)
    return figure


def _draw_horizons(axis: Axes, scores: Sequence[HorizonScore], clips: int) -> None:
    """A line per method over the horizons that all these clips reach."""
    counts = {h: len({s.clip for s in scores if s.seconds == h}) for h in horizons_of(scores)}
    shared = [h for h, count in counts.items() if count == clips]
    models = [m for m in methods_of(scores) if m not in LINES]
    for method in methods_of(scores):
        style, color = LINES.get(method, ("-", ""))
        color = color or INKS[models.index(method) % len(INKS)]
        rows = [[s.error for s in scores if (s.method, s.seconds) == (method, h)] for h in shared]
        means, width = [np.mean(row) for row in rows], 2.4 if method in models else 1.5
        axis.plot(shared, means, style, color=color, marker="o", ms=3.5, lw=width, label=method)
    axis.set_xlabel("seconds since the coloured frame")
    axis.set(ylim=(0, None), xlim=(0, max(shared) * 1.04))
    axis.set_title(f"{clips} clip" + ("s" if clips > 1 else ""), fontsize=10)
    _plain(axis, grid="y")


def score_bars(scores: Mapping[str, float], *, label: str) -> Figure:
    """One bar for each method, the first (the model under test) in strong colour."""
    figure, axis = _axes(6.4, 0.36 * len(scores) + 0.8)
    names, values = list(scores), list(scores.values())
    colors = [INKS[0], *[OTHERS[1]] * (len(names) - 1)]
    bars = axis.barh(range(len(names)), values, color=colors, height=0.66)
    axis.bar_label(bars, fmt="%.3f", padding=3, fontsize=9)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), xlabel=label)
    _plain(axis, grid="x")
    return figure


def attribute_chart(
    table: Mapping[str, Mapping[str, float]], *, methods: Sequence[str], counts: Mapping[str, int]
) -> Figure:
    """A row for each attribute, a dot for each method's J&F on the sequences that have it.

    Args:
        table: {attribute: {method: J&F}}. methods: in order, the model under test first. counts:
            sequences that have the attribute.
    """
    figure, axis = _axes(7.6, 0.32 * len(table) + 1.2)
    for row, scores in enumerate(table.values()):
        there = [scores[m] for m in methods if m in scores]
        axis.plot([min(there), max(there)], [row, row], color="#e0dfd8", lw=3, zorder=1)
    for number, method in enumerate(methods):
        rows = [r for r, scores in enumerate(table.values()) if method in scores]
        values = [scores[method] for scores in table.values() if method in scores]
        color = INKS[0] if number == 0 else (*INKS[1:], *OTHERS)[(number - 1) % 7]
        axis.scatter(values, rows, s=58 if number == 0 else 34, color=color, label=method, zorder=2)
    labels = [f"{spelt(name)} ({counts[name]})" for name in table]
    axis.set_yticks(range(len(table)), labels)
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), xlabel="J&F-Mean of the sequences that have the attribute")
    axis.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=5)
    _plain(axis, grid="x")
    return figure


def failure_chart(frames: FrameErrors, *, region: bool) -> Figure:
    """J&F over colour error: every frame as a dot, every sequence's mean as a named ring."""
    from matplotlib import colormaps

    figure, axis = _axes(7.6, 4.8)
    sequences = by_sequence(frames)
    names = sequences.sequences.tolist()
    for number, name in enumerate(names):
        chosen, at = frames.sequences == name, sequences.sequences == name
        x, mean = (f.region if region else f.color for f in (frames, sequences))
        color = colormaps["turbo"]((number + 0.5) / len(names))
        axis.scatter(x[chosen], frames.scores[chosen], s=9, color=color, alpha=0.45, lw=0)
        axis.scatter(mean[at], sequences.scores[at], s=70, facecolors="none", edgecolors=color)
        place = (float(mean[at][0]), float(sequences.scores[at][0]))
        axis.annotate(name, place, xytext=(6, 3), textcoords="offset points", fontsize=8)
    where = "tracked region" if region else "whole frame"
    axis.set(ylim=(-0.02, 1.02), ylabel="J&F of the frame")
    axis.set_xlabel(f"colour error of the {where}: mean |ab - true ab|, Lab units")
    _plain(axis, grid="both")
    return figure


def reliability_chart(bins: Sequence[ReliabilityBin]) -> Figure:
    """How often frames were right (J of RIGHT or more) against the reliability stated for them."""
    figure, axis = _axes(4.8, 4.2)
    axis.plot([0, 1], [0, 1], color="#9a9a9a", lw=1, ls="--")
    axis.plot(
        [b.reliability for b in bins], [b.accuracy for b in bins], color=INKS[0], marker="o", ms=4
    )
    for one in bins:
        at = (one.reliability, one.accuracy)
        axis.annotate(f"{one.count}", at, xytext=(5, -9), textcoords="offset points", fontsize=8)
    axis.set(xlim=(0, 1.02), ylim=(0, 1.05), xlabel="reliability stated")
    axis.set_ylabel(f"share with J of {RIGHT} or more")
    _plain(axis, grid="both")
    return figure


def spelt(attribute: str) -> str:
    """What a code of DAVIS stands for; another name as it is."""
    return DAVIS_ATTRIBUTES.get(attribute, attribute)


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = _figure(width, height)
    return figure, figure.subplots()


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axis: Axes, *, grid: str) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_axisbelow(True)
    axis.grid(axis=grid, color="#e4e4e0", lw=0.8)  # pyright: ignore[reportArgumentType]
