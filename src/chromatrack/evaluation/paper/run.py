"""The paper's four claims, measured: `chromatrack evaluate paper ROOT`.

Every part is a benchmark of its own, run into a folder of its own below the output (`masks-small`,
`colors`, ...), so a run that was stopped goes on where it was. `paper_report` makes the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.atomic import check_output_folder
from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.colorizers import Method
from chromatrack.evaluation.datasets.badja import badja_benchmark
from chromatrack.evaluation.datasets.color_failures import (
    FailureClip,
    FrameErrors,
    by_sequence,
    failure_benchmark,
    moments,
)
from chromatrack.evaluation.datasets.color_horizon import (
    HorizonScore,
    horizon_benchmark,
    open_clip,
    read_scores,
)
from chromatrack.evaluation.datasets.davis import DavisSplit, Year, davis_benchmark, read_davis
from chromatrack.evaluation.datasets.davis_attributes import read_attributes
from chromatrack.evaluation.datasets.jhmdb import jhmdb_benchmark
from chromatrack.evaluation.metrics.calibration import (
    CorrelationInterval,
    auc,
    bootstrap_correlation,
    reliability_bins,
)
from chromatrack.evaluation.paper.page import (
    JF,
    PAGE,
    Correlated,
    Failing,
    PaperResults,
    is_paper,
    write_paper,
)
from chromatrack.evaluation.paper.pictures import color_sheets, mask_sheets, pose_sheets
from chromatrack.evaluation.runner import Benchmark, ClipReport, Progress, Result, evaluate
from chromatrack.propagation.reliability import RIGHT

COLOR_EVERY = 2
"""Claim 4 colours one frame in so many: neighbours are much alike."""


@dataclass(frozen=True)
class PaperPlan:
    """What is measured on what.

    root, year, split, sequences: the DAVIS folder and what of it. clips: more videos or folders of
    frames to colour, besides the DAVIS sequences. fps: frames per second of folders of frames.
    badja: folder of BADJA, whose frames are in `root`. jhmdb: folder of JHMDB. attributes: CSV of
    the sequences' attributes. Whatever is None is left out.
    """

    root: Path
    year: Year = 2016
    split: str | None = None
    sequences: tuple[str, ...] | None = None
    clips: tuple[Path, ...] = ()
    fps: float | None = None
    badja: Path | None = None
    jhmdb: Path | None = None
    attributes: Path | None = None


@dataclass(frozen=True)
class Methods:
    """What is measured: `trackers` by name, the model under test first.

    colourers: more ways to colour than the model and the usual ones (flow, still, grey).
    """

    trackers: Mapping[str, Any]
    colorers: Mapping[str, Method] = field(default_factory=dict)

    @property
    def model(self) -> str:
        return next(iter(self.trackers))


def evaluate_paper(
    plan: PaperPlan,
    methods: Methods,
    *,
    output: Path,
    jobs: int = 1,
    resume: bool = True,
    settings: Mapping[str, object] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Measure the four claims and write `output`/report.html.

    Args:
        plan: data. methods: models and what they are compared with.
        output: folder for the page and for the results of every part. jobs, resume: as in
            `benchmark.evaluate`. settings: shown at the page's end.

    Returns:
        The page.

    Raises:
        LayoutError, InputError: data that is not as its layout says, before anything is run.
        OutputError: the folder cannot be written.
    """
    if not methods.trackers:
        raise InputError("paper: expected at least one model to measure, got none")
    _check_page(plan, output)
    split = read_davis(plan.root, year=plan.year, split=plan.split, sequences=plan.sequences)
    benchmarks = _tracking_benchmarks(plan)
    clips = [*(sequence.folder for sequence in split.sequences), *plan.clips]
    horizons = horizon_benchmark(
        [open_clip(path, fps=plan.fps) for path in clips], others=methods.colorers
    )
    model, tracker = methods.model, methods.trackers[methods.model]

    def run(benchmark: Benchmark, folder: str, name: str = model) -> Result:
        return evaluate(
            benchmark,
            tracker=methods.trackers[name],
            output=output / folder,
            jobs=jobs,
            resume=resume,
            model=name,
            progress=progress,
        )

    found = {
        part: {name: run(benchmark, f"{part}-{name}", name) for name in methods.trackers}
        for part, benchmark in benchmarks.items()
    }
    masks = found.pop("masks")
    colors = read_scores(run(horizons, "colors")["sequences"])
    failures = failure_benchmark(
        _failure_clips(split, output / f"masks-{model}"), every=COLOR_EVERY
    )
    errors = run(failures, "failures")
    results = PaperResults(
        model=model,
        colors=_named(colors, model),
        masks=masks,
        poses={part: {n: r["scores"] for n, r in by.items()} for part, by in found.items()},
        attributes=_attributes(masks),
        counts=_counts(masks[model]),
        failing=failing(errors["sequences"], masks[model]["sequences"]),
        pictures={
            "colors": color_sheets(output / "colors"),
            "masks": mask_sheets(split, masks, output, year=plan.year),
            "poses": pose_sheets(
                benchmarks["BADJA"].clips if "BADJA" in benchmarks else (), tracker
            ),
        },
        settings=dict(settings or {}) | _run_facts(masks, colors, found),
    )
    return write_paper(results, output)


def _check_page(plan: PaperPlan, output: Path) -> None:
    """InputError where the page would replace a file that is no such page, or join what is read."""
    page = output / PAGE
    check_output_folder(
        output,
        [PAGE],
        kind="results of `chromatrack evaluate paper`",
        is_ours=not page.exists() or is_paper(page),
        reads=[plan.root, *plan.clips, *(p for p in (plan.badja, plan.jhmdb) if p is not None)],
    )


def _tracking_benchmarks(plan: PaperPlan) -> dict[str, Benchmark]:
    """The parts of claims 2 and 3, by name; what has no data is left out."""
    attributes = None if plan.attributes is None else read_attributes(plan.attributes)
    parts = {
        "masks": davis_benchmark(
            plan.root,
            year=plan.year,
            split=plan.split,
            sequences=plan.sequences,
            attributes=attributes,
        )
    }
    if plan.badja is not None:
        parts["BADJA"] = badja_benchmark(plan.badja, plan.root)
    if plan.jhmdb is not None:
        parts["JHMDB"] = jhmdb_benchmark(plan.jhmdb)
    return parts


def _failure_clips(split: DavisSplit, folder: Path) -> tuple[FailureClip, ...]:
    return tuple(
        FailureClip(s.name, s.folder, folder / "masks" / s.name, len(s.images))
        for s in split.sequences
    )


def _named(scores: Sequence[HorizonScore], model: str) -> list[HorizonScore]:
    """The scores of the model by its own name."""
    return [replace(s, method=model) if s.method == "model" else s for s in scores]


def _attributes(masks: Mapping[str, Result]) -> dict[str, dict[str, float]]:
    """{attribute: {method: J&F-Mean of the sequences that have it}}."""
    tables = {name: result.get("attributes", {}) for name, result in masks.items()}
    names = next(iter(tables.values()))
    return {a: {m: table[a]["with"][JF] for m, table in tables.items()} for a in names}


def _counts(result: Result) -> dict[str, int]:
    return {a: row["with"]["sequences"] for a, row in result.get("attributes", {}).items()}


# -- claim 4 -------------------------------------------------------------------------------


def failing(errors: Mapping[str, ClipReport], scores: Mapping[str, ClipReport]) -> Failing:
    """How colour errors and the stated reliability go along with J&F.

    Args:
        errors: reports of `failures.failure_benchmark` by sequence. scores: of `davis_benchmark`.
    """
    frames = moments(errors, scores)
    sequences = by_sequence(frames)
    rows = [
        correlated(signal, found, over=over, values=getattr(found, name))
        for signal, name in SIGNALS.items()
        for over, found in (("frames", frames), ("sequences", sequences))
    ]
    stated, right = stated_reliability(scores)
    has_estimates = stated.size > 0
    return Failing(
        frames,
        [row for row in rows if row is not None],
        diagram=reliability_bins(stated, right) if has_estimates else (),
        auc=auc(1 - stated, ~right) if has_estimates else float("nan"),
        failed=int((~right).sum()),
        judged=len(right),
    )


SIGNALS = {"ab error, tracked region": "region", "ab error, whole frame": "color"}
"""What is set against J&F: words for it, and its field of `FrameErrors`."""


def correlated(
    signal: str, found: FrameErrors, *, over: str, values: np.ndarray
) -> Correlated | None:
    """Both correlations with J&F, bootstrapped over sequences; None for fewer than 3 values."""
    there = ~np.isnan(values)
    if there.sum() < 3:
        return None

    def interval(kind: Any) -> CorrelationInterval:  # noqa: ANN401  ("pearson" or "spearman")
        return bootstrap_correlation(
            values[there], found.scores[there], groups=found.sequences[there], kind=kind
        )

    return Correlated(signal, over, int(there.sum()), interval("pearson"), interval("spearman"))


def stated_reliability(scores: Mapping[str, ClipReport]) -> tuple[np.ndarray, np.ndarray]:
    """What the tracker stated of every object on every scored frame, and whether J was >= RIGHT.

    Returns:
        (N,) float in [0, 1] and (N,) bool; empty where nothing was stated.
    """
    stated: list[float] = []
    right: list[bool] = []
    for report in scores.values():
        for rows in report["per_frame"].values():
            if "reliability" in rows:
                stated += rows["reliability"][1:-1]
                right += [j >= RIGHT for j in rows["J"][1:-1]]
    return np.array(stated, dtype=np.float64), np.array(right, dtype=bool)


def _run_facts(
    masks: Mapping[str, Result],
    colors: Sequence[HorizonScore],
    others: Mapping[str, Mapping[str, Result]],
) -> dict[str, object]:
    """For the record: how much was measured."""
    first = next(iter(masks.values()))
    facts: dict[str, object] = {
        "masks": f"DAVIS {first['year']} {first['split']}: {len(first['sequences'])} sequences, "
        f"{first['frames']} frames",
        "colors": f"{len({s.clip for s in colors})} clips",
    }
    for part, results in others.items():
        one = next(iter(results.values()))
        facts[part] = f"{len(one['sequences'])} clips, {one['frames']} frames"
    for name, result in masks.items():
        if result["frames_per_second"] > 0:  # none is known of what an earlier run measured
            facts[f"speed of {name}, masks"] = (
                f"{result['frames_per_second']:.2f} frames/s a process"
            )
        if result["model_sha256"]:
            facts[f"weights of {name}, SHA-256"] = result["model_sha256"]
        if result["protocol"]:
            facts[f"protocol of {name}"] = result["protocol"]
    return facts | {"Chromatrack": first["chromatrack_version"]}
