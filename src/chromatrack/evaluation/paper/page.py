"""report.html of `chromatrack evaluate paper`: the paper's four claims, on one page, offline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chromatrack.atomic import replace_file
from chromatrack.evaluation.datasets.color_failures import by_sequence
from chromatrack.evaluation.datasets.color_horizon import HorizonScore, clip_differences, mean_error
from chromatrack.evaluation.datasets.davis_attributes import DAVIS_ATTRIBUTES
from chromatrack.evaluation.metrics.calibration import CorrelationInterval
from chromatrack.evaluation.metrics.color import bootstrap_interval
from chromatrack.evaluation.paper.charts import (
    attribute_chart,
    failure_chart,
    horizon_chart,
    horizons_of,
    methods_of,
    reliability_chart,
    score_bars,
)
from chromatrack.evaluation.paper.pictures import JF
from chromatrack.evaluation.paper.results import Correlated, PaperResults
from chromatrack.viz.html import (
    as_data,
    heading,
    page,
    pairs,
    panels,
    paragraph,
    picture,
    section,
    svg,
    table,
    tiles,
)


def paper_page(results: PaperResults) -> str:
    """The page, whole."""
    parts = [
        heading(
            "Tracking emerges by colouring",
            f"The four claims of Vondrick et al. (ECCV 2018), measured with the model "
            f"{results.model}",
        ),
        paragraph(
            "A network was shown videos without any labels and had one task: colour a grey frame "
            "by copying colours from a frame in colour. To copy the right colour it must point at "
            "the right place, and whatever can be painted on the first frame can be copied along "
            "the same pointer: masks, joints, points. Four things should then hold. Each is "
            "measured below, against what one would do without the network."
        ),
        tiles(_tiles(results)),
        section("1. It colours better than simpler ways", _colors(results)),
        section("2. The pointer tracks masks and poses", _tracking(results)),
        section("3. Where it does well and where not", _attributes(results)),
        section("4. Where it fails to colour, it fails to track", _failures(results)),
        section("How this was measured", pairs(results.settings)),
    ]
    return page(f"Tracking emerges by colouring: {results.model}", "\n".join(parts))


def write_paper(results: PaperResults, folder: Path) -> Path:
    """Write `folder`/report.html, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    path = folder / "report.html"
    replace_file(path, paper_page(results))
    return path


def _tiles(results: PaperResults) -> dict[str, object]:
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


# -- 1 -------------------------------------------------------------------------------------


def _colors(results: PaperResults) -> str:
    if not results.colors:
        return ""
    scores = results.colors
    parts = [
        paragraph(
            "The first frame of a clip is in colour; later frames are shown in grey and coloured. "
            "How far is the colour from the true one, some seconds later? 'Still' leaves the "
            "first frame's colours where they were, flow carries them along dense optical flow "
            "(straight from the first frame, or chained from frame to frame), grey adds none."
        ),
        paragraph(_color_verdict(results)),
        svg(horizon_chart(scores), salt="horizon"),
        table(["mean ab error, Lab units", *_reach(scores)], _error_rows(scores)),
        paragraph(
            f"Difference of {results.model} to each, below zero where it is nearer to the truth, "
            "with the interval in which the mean over other such clips would lie (95 %, bootstrap "
            "over clips):"
        ),
        table(["difference", *_reach(scores)], _difference_rows(scores, results.model)),
        *_pictures(results, "colors"),
    ]
    return "\n".join(parts)


def _reach(scores: Sequence[HorizonScore]) -> list[str]:
    counts = {s: len({x.clip for x in scores if x.seconds == s}) for s in horizons_of(scores)}
    return [f"{s:g} s ({n} clips)" for s, n in counts.items()]


def _error_rows(scores: Sequence[HorizonScore]) -> list[list[object]]:
    rows: list[list[object]] = []
    for method in methods_of(scores):
        means = [mean_error(scores, method=method, seconds=s) for s in horizons_of(scores)]
        rows.append([method, *(f"{mean:.2f}" for mean in means)])
    return rows


def _difference_rows(scores: Sequence[HorizonScore], model: str) -> list[list[object]]:
    others = [m for m in methods_of(scores) if m != model]
    return [[m, *(_difference(scores, model, m, s) for s in horizons_of(scores))] for m in others]


def _difference(scores: Sequence[HorizonScore], model: str, other: str, seconds: float) -> str:
    apart = list(clip_differences(scores, method=model, other=other, seconds=seconds).values())
    low, high = bootstrap_interval(apart)
    return f"{np.mean(apart):+.2f} [{low:+.2f}, {high:+.2f}]"


def _color_verdict(results: PaperResults) -> str:
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


# -- 2 -------------------------------------------------------------------------------------


def _tracking(results: PaperResults) -> str:
    if not results.masks and not results.poses:
        return ""
    parts = [
        paragraph(
            "Masks are given on the first frame alone and copied along the pointer. J is the "
            "overlap of regions, F the accuracy of outlines, both from 0 to 1 (DAVIS's "
            "definitions; first and last frame not scored). Identity leaves the first mask where "
            "it was; flow carries it along optical flow."
        )
    ]
    if results.masks:
        scores = {name: float(r["scores"][JF]) for name, r in results.masks.items()}
        names = (JF, "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
        rows = [
            [name, *(f"{r['scores'][c]:.3f}" for c in names)] for name, r in results.masks.items()
        ]
        parts += [svg(score_bars(scores, label=JF), salt="masks"), table(["", *names], rows)]
        parts += [*_pictures(results, "masks"), _sequence_table(results)]
        parts += [paragraph(PUBLISHED)]
    for name, methods in results.poses.items():
        columns = list(dict.fromkeys(c for scores in methods.values() for c in scores))
        rows = [
            [m, *(f"{scores.get(c, math.nan):.3f}" for c in columns)]
            for m, scores in methods.items()
        ]
        parts += [
            paragraph(f"Poses, {name}: share of joints near enough to the true place."),
            table(["", *columns], rows),
        ]
    return "\n".join([*parts, *_pictures(results, "poses")])


PUBLISHED = (
    "For orientation, not for comparison, as these are other sequences: on DAVIS 2017 val the "
    "paper reports J 34.6, F 32.7 (percent) for itself, 26.7, 25.2 for FlowNet2 and 22.1, 23.6 for "
    "identity; on JHMDB PCK@.1 45.2 for itself."
)


def _sequence_table(results: PaperResults) -> str:
    names = list(next(iter(results.masks.values()))["sequences"])
    rows = [
        [name, *(f"{r['sequences'][name][JF]:.3f}" for r in results.masks.values())]
        for name in names
    ]
    shown = table(["sequence, J&F", *results.masks], rows)
    return f"<details><summary>Every sequence</summary>{shown}</details>"


# -- 3 -------------------------------------------------------------------------------------


def _attributes(results: PaperResults) -> str:
    if not results.attributes:
        return ""
    methods = list(results.masks)
    order = sorted(results.attributes, key=lambda name: -results.counts[name])
    shown = {name: results.attributes[name] for name in order}
    rows = [
        [_spelt(name), results.counts[name], *(f"{scores[m]:.3f}" for m in methods)]
        for name, scores in shown.items()
    ]
    chart = attribute_chart(shown, methods=methods, counts=results.counts)
    gains = {n: s[methods[0]] - max(s[m] for m in methods[1:]) for n, s in shown.items()}
    best, worst = max(gains, key=gains.__getitem__), min(gains, key=gains.__getitem__)
    return "\n".join(
        [
            paragraph(
                "The same J&F over the sequences that share a difficulty, as the data set's "
                "authors labelled them; in brackets how many there are. Few sequences carry most "
                "labels, so single rows say little by themselves. The lead over the best of the "
                f"others is largest for {_spelt(best)} ({gains[best]:+.3f}) and smallest for "
                f"{_spelt(worst)} ({gains[worst]:+.3f})."
            ),
            svg(chart, salt="attributes"),
            table(["attribute", "sequences", *methods], rows),
        ]
    )


def _spelt(attribute: str) -> str:
    """A code of DAVIS with what it stands for."""
    words = DAVIS_ATTRIBUTES.get(attribute)
    return f"{attribute}, {words}" if words else attribute


# -- 4 -------------------------------------------------------------------------------------


def _failures(results: PaperResults) -> str:
    failing = results.failing
    if failing is None:
        return ""
    sequences = by_sequence(failing.frames)
    rows = [
        [c.signal, c.over, c.count, _interval(c.pearson), _interval(c.spearman)]
        for c in failing.correlations
    ]
    charts = [
        svg(failure_chart(failing.frames, sequences, region=r), salt=f"fail{r}")
        for r in (True, False)
    ]
    parts = [
        paragraph(
            "No label is needed to know how wrong a copied colour is: the video's own colours are "
            "the truth. If the error of colours rises where the tracker loses its object, it "
            "warns of lost objects without any label. Each dot is a frame, each ring the mean of a "
            "sequence; the lower right is where both fail."
        ),
        *[paragraph(_told_apart(one)) for one in failing.correlations],
        *charts,
        table(["set against J&F", "over", "n", "Pearson [95 %]", "Spearman [95 %]"], rows),
        paragraph(
            "Negative: the larger the error, the lower J&F. Intervals are from drawing whole "
            "sequences anew (bootstrap); one that includes 0 leaves it open whether there is a "
            "relation at all."
        ),
    ]
    if failing.diagram:
        auc = f", found with an area under the curve of {failing.auc:.3f}"
        parts += [
            paragraph(
                "The tracker turns such signals into a reliability for every object on every "
                "frame. Dots on the dashed line would mean that it is right as often as it says; "
                f"the numbers are frames. {failing.failed} of {failing.judged} had J below 0.5"
                f"{auc if math.isfinite(failing.auc) else ''}."
            ),
            panels([svg(reliability_chart(failing.diagram), salt="reliability")]),
        ]
    return "\n".join(parts)


def _told_apart(found: Correlated) -> str:
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


def _pictures(results: PaperResults, part: str) -> list[str]:
    return [
        picture(as_data(image), caption=caption, alt=caption)
        for caption, image in results.pictures.get(part, ())
    ]
