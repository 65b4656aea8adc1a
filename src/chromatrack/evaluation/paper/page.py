"""report.html of `chromatrack evaluate paper`: the paper's four claims, on one page, offline.

The page's words are in the template beside this file; what is here makes its numbers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment
from markupsafe import Markup

from chromatrack.atomic import replace_file
from chromatrack.evaluation.datasets.color_failures import FrameErrors
from chromatrack.evaluation.datasets.color_horizon import HorizonScore, clip_differences, mean_error
from chromatrack.evaluation.metrics.calibration import CorrelationInterval, ReliabilityBin
from chromatrack.evaluation.metrics.color import bootstrap_interval
from chromatrack.evaluation.paper import charts
from chromatrack.evaluation.paper.charts import horizons_of, methods_of, spelt
from chromatrack.evaluation.runner import Result
from chromatrack.propagation.reliability import RIGHT
from chromatrack.viz import html

PAGE = "report.html"
TITLE = "Tracking emerges by colouring"
JF = "J&F-Mean"
MASK_COLUMNS = [JF, "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay"]

Rows = list[list[object]]
"""Of a table, each with a name first."""


@dataclass(frozen=True)
class Correlated:
    """How `signal` goes along with J&F over `count` frames, or sequences (`over`)."""

    signal: str
    over: str
    count: int
    pearson: CorrelationInterval
    spearman: CorrelationInterval


@dataclass(frozen=True)
class Failing:
    """What is known about claim 4.

    correlations: what was set against J&F, over what, and how it goes along. diagram, auc: of the
    reliability that the tracker states, for objects and frames with J below `reliability.RIGHT`;
    empty and NaN where none is stated, or none failed. failed: of how many judged.
    """

    frames: FrameErrors
    correlations: Sequence[Correlated] = ()
    diagram: Sequence[ReliabilityBin] = ()
    auc: float = math.nan
    failed: int = 0
    judged: int = 0


@dataclass(frozen=True)
class PaperResults:
    """Everything the page shows; a part that was not measured is empty and left out.

    model: the one under test, first in every mapping. colours: scores over the time horizon.
    masks: {method: result of DAVIS}. poses: {benchmark: {method: its scores}}. attributes: {name:
    {method: J&F-Mean}}; counts: sequences that have each. pictures: {part: [(caption, PIL image)]}.
    settings: for the record.
    """

    model: str
    colors: Sequence[HorizonScore] = ()
    masks: Mapping[str, Result] = field(default_factory=dict)
    poses: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    attributes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    failing: Failing | None = None
    pictures: Mapping[str, Sequence[tuple[str, Any]]] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)


def write_paper(results: PaperResults, folder: Path) -> Path:
    """Write `folder`/report.html, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    path = folder / PAGE
    replace_file(path, paper_page(results))
    return path


def is_paper(path: Path) -> bool:
    """Whether a file is such a page."""
    try:
        with path.open("rb") as file:
            return f"<title>{TITLE}".encode() in file.read(4096)
    except OSError:
        return False


def paper_page(results: PaperResults) -> str:
    """The page, whole."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    text = Path(__file__).with_name("report.html").read_text("utf-8")
    for part in (html.panels, html.pairs, html.picture, html.svg, html.table, html.tiles):
        environment.globals[part.__name__] = _as_markup(part)
    body = environment.from_string(text).render(
        results=results,
        numbers=sys.modules[__name__],
        charts=charts,
        as_data=html.as_data,
        right=RIGHT,
    )
    return html.page(f"{TITLE}: {results.model}", body)


def _as_markup(part: Callable[..., str]) -> Callable[..., Markup]:
    return lambda *args, **options: Markup(part(*args, **options))


def first_numbers(results: PaperResults) -> dict[str, object]:
    """What one wants to know first: {name: number as text}."""
    shown: dict[str, object] = {}
    if results.model in results.masks:
        shown["J&F, masks"] = f"{results.masks[results.model]['scores'][JF]:.3f}"
    for name, methods in results.poses.items():
        if results.model in methods:
            score, value = next(iter(methods[results.model].items()))
            shown[f"{score}, {name}"] = f"{value:.3f}"
    if results.colors:
        seconds = 1.0 if 1.0 in horizons_of(results.colors) else horizons_of(results.colors)[0]
        error = mean_error(results.colors, method=results.model, seconds=seconds)
        shown[f"ab error after {seconds:g} s"] = f"{error:.2f}"
    if results.failing is not None and math.isfinite(results.failing.auc):
        shown["failures found by reliability (AUC)"] = f"{results.failing.auc:.2f}"
    return shown


# -- 1: colours ----------------------------------------------------------------------------


def reach(scores: Sequence[HorizonScore]) -> list[str]:
    """Titles of the horizons' columns."""
    counts = {s: len({x.clip for x in scores if x.seconds == s}) for s in horizons_of(scores)}
    return [f"{s:g} s ({n} clips)" for s, n in counts.items()]


def error_rows(scores: Sequence[HorizonScore]) -> Rows:
    """Every method's mean error at every horizon."""
    return [
        [m, *(f"{mean_error(scores, method=m, seconds=s):.2f}" for s in horizons_of(scores))]
        for m in methods_of(scores)
    ]


def difference_rows(scores: Sequence[HorizonScore], model: str) -> Rows:
    """The model's error minus every other method's, with its interval."""
    others = [m for m in methods_of(scores) if m != model]
    return [[m, *(_difference(scores, model, m, s) for s in horizons_of(scores))] for m in others]


def _difference(scores: Sequence[HorizonScore], model: str, other: str, seconds: float) -> str:
    apart = list(clip_differences(scores, method=model, other=other, seconds=seconds).values())
    low, high = bootstrap_interval(apart)
    return f"{np.mean(apart):+.2f} [{low:+.2f}, {high:+.2f}]"


def color_verdict(results: PaperResults) -> str:
    """In words: ahead of which comparison points at which horizons."""
    scores, ahead = results.colors, []
    for other in (m for m in methods_of(scores) if m != results.model):
        seconds = [
            s
            for s in horizons_of(scores)
            if mean_error(scores, method=results.model, seconds=s)
            < mean_error(scores, method=other, seconds=s)
        ]
        every = len(seconds) == len(horizons_of(scores))
        at = "at every horizon" if every else ", ".join(f"{s:g} s" for s in seconds) or "nowhere"
        ahead.append(f"{other}: {at}")
    return f"{results.model} is nearer to the true colours than " + "; ".join(ahead) + "."


# -- 2: masks and poses --------------------------------------------------------------------


def mask_scores(results: PaperResults) -> dict[str, float]:
    """J&F of every method."""
    return {name: float(result["scores"][JF]) for name, result in results.masks.items()}


def mask_rows(results: PaperResults) -> Rows:
    """The scores of every method."""
    return [
        [name, *(f"{result['scores'][column]:.3f}" for column in MASK_COLUMNS)]
        for name, result in results.masks.items()
    ]


def sequence_rows(results: PaperResults) -> Rows:
    """J&F of every sequence, by every method."""
    return [
        [name, *(f"{result['sequences'][name][JF]:.3f}" for result in results.masks.values())]
        for name in next(iter(results.masks.values()))["sequences"]
    ]


def pose_columns(methods: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The scores that any method has."""
    return list(dict.fromkeys(column for scores in methods.values() for column in scores))


def pose_rows(methods: Mapping[str, Mapping[str, float]]) -> Rows:
    """The scores of every method, NaN where it has none."""
    columns = pose_columns(methods)
    return [
        [m, *(f"{scores.get(c, math.nan):.3f}" for c in columns)] for m, scores in methods.items()
    ]


# -- 3: attributes -------------------------------------------------------------------------


def attributes(results: PaperResults) -> dict[str, Mapping[str, float]]:
    """{attribute: {method: J&F}}, those that most sequences have first."""
    order = sorted(results.attributes.items(), key=lambda item: -results.counts[item[0]])
    return dict(order)


def attribute_rows(results: PaperResults) -> Rows:
    """J&F of the sequences with an attribute, by every method."""
    return [
        [_coded(name), results.counts[name], *(f"{scores[m]:.3f}" for m in results.masks)]
        for name, scores in attributes(results).items()
    ]


def attribute_verdict(results: PaperResults) -> str:
    """In words: where the model leads most and least."""
    model, *others = results.masks
    gains = {
        name: scores[model] - max(scores[m] for m in others)
        for name, scores in attributes(results).items()
    }
    best, worst = max(gains, key=gains.__getitem__), min(gains, key=gains.__getitem__)
    return (
        f"The lead over the best of the others is largest for {_coded(best)} ({gains[best]:+.3f}) "
        f"and smallest for {_coded(worst)} ({gains[worst]:+.3f})."
    )


def _coded(attribute: str) -> str:
    """A code of DAVIS with what it stands for."""
    words = spelt(attribute)
    return attribute if words == attribute else f"{attribute}, {words}"


# -- 4: failures ---------------------------------------------------------------------------


def correlation_rows(failing: Failing) -> Rows:
    """What was set against J&F, and both correlations."""
    return [
        [c.signal, c.over, c.count, _interval(c.pearson), _interval(c.spearman)]
        for c in failing.correlations
    ]


def failure_verdict(found: Correlated) -> str:
    """In words: whether errors of colour go with failures of tracking, by Spearman's interval."""
    if found.spearman.high < 0:
        verdict = "yes: where it rises, J&F falls"
    elif found.spearman.low > 0:
        verdict = "no: where it rises, J&F rises too"
    else:
        verdict = "open: the interval includes no relation at all"
    return f"{found.signal}, over {found.count} {found.over}: {verdict}."


def _interval(found: CorrelationInterval) -> str:
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
