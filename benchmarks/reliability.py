"""Does reliability tell bad frames? The signals and their combination against labelled sequences.

    python benchmarks/reliability.py collect ROOT --rows FILE.json [--model small] [--size 480]
        [--decoder none] [--no-redetect] [--year 2016] [--sequences NAME ...]
    python benchmarks/reliability.py colours ROOT --rows FILE.json [--model small] [--size 480]
        [--every 7] [--sequences NAME ...]
    python benchmarks/reliability.py report FILE.json ... --out FOLDER

ROOT is a folder in the DAVIS layout. `collect` tracks every sequence from its first mask and keeps,
of every later frame and object, J, F and the signals of `chromatrack.propagation.reliability`.
`report` fits the combination's weights to all frames of all FILES and judges it on sequences held
out of the fit, one after the other; the weights are those that stand in `reliability.py`: of masks
that were decoded or, with FILES of `--decoder none`, that were copied alone. A frame is bad if J is
below 0.75. Absent objects are not in the fit; what is known of them is printed.
`colors` colours every seventh frame from the first and judges and fits
`chromatrack.tracking.color_reliability` likewise.

Prints Markdown; FOLDER gets reliability.json (every number, and the points of the charts),
reliability.png (the diagram) and failures.png (colour error over J&F).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chromatrack.atomic import replace_file
from chromatrack.cli.options import Evaluated, Settings, load_evaluated, load_tracker
from chromatrack.evaluation.datasets.davis import Year, read_annotation, read_davis
from chromatrack.evaluation.metrics.calibration import (
    auc,
    bootstrap_correlation,
    expected_calibration_error,
    fit_logistic,
    held_out,
    reliability_bins,
)
from chromatrack.evaluation.metrics.color import ab_error
from chromatrack.evaluation.metrics.masks import boundary_f, jaccard
from chromatrack.propagation.reliability import ABSENT, RIGHT, Signals, estimate, inputs
from chromatrack.tracking import color_reliability
from chromatrack.tracking.color_reliability import ColorSignals, color_inputs
from chromatrack.video.reader import read_frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAD = RIGHT
"""J below which a frame counts as bad."""

CAUGHT = 0.8
"""Share of the bad frames that the threshold for flags catches."""

RIDGE = 10.0
"""Of the fit, on inputs of unit variance: there are only a dozen sequences."""

SINGLE = {
    "color_error": -1,
    "back": 1,
    "entropy": -1,
    "sharpness": 1,
    "certainty": 1,
    "rim": -1,
}
"""Signals, and whether more of it is good (1) or bad (-1)."""

COLOR_SIGNALS = {"light_error": -1, "agreement": 1, "entropy": -1}
"""The same of copied colours."""

Row = dict[str, Any]


# -- collect -------------------------------------------------------------------------------


def collect(
    root: Path, *, settings: Evaluated, year: Year, sequences: Sequence[str] | None
) -> list[Row]:
    """J, F and signals of every frame after the first."""
    tracker: Any = load_evaluated(settings)
    rows = []
    for sequence in read_davis(root, year=year, sequences=sequences).sequences:
        truths = [read_annotation(path, year=year) for path in sequence.annotations]
        for frame in tracker.track(sequence.folder, masks={0: truths[0]}):
            for number, signals in frame.signals.items():
                if signals is None:
                    continue
                held, true = frame.mask == number, truths[frame.index] == number
                rows.append(
                    {
                        "sequence": sequence.name,
                        "frame": frame.index,
                        "object": number,
                        "J": jaccard(held, true),
                        "F": boundary_f(held, true),
                        "confidence": frame.confidence[number],
                        **asdict(signals),
                    }
                )
        print(sequence.name, len(rows), file=sys.stderr)
    return rows


def collect_colors(
    root: Path, *, settings: Settings, every: int, sequences: Sequence[str] | None
) -> list[Row]:
    """ab error and signals of every so many frames, coloured from the first frame."""
    tracker = load_tracker(settings)
    rows = []
    for sequence in read_davis(root, sequences=sequences).sequences:
        with tempfile.TemporaryDirectory() as name:
            some = Path(name)
            for number, path in enumerate(sequence.images[::every]):
                shutil.copy(path, some / f"{number:05d}{path.suffix}")
            truths = read_frames(some)
            first = next(truths).rgb
            colored = tracker.colorize(some, references=[(first, 0)], start=1)
            for frame, truth in zip(colored, truths, strict=True):
                found, true = (
                    tracker.embedder.lab(rgb)[1:].numpy() for rgb in (frame.rgb, truth.rgb)
                )
                told = {"sequence": sequence.name, "frame": every * frame.index}
                signals = frame.signals
                assert signals is not None, "only a given frame has none"
                rows.append(told | {"error": ab_error(found, true)} | asdict(signals))
        print(sequence.name, len(rows), file=sys.stderr)
    return rows


def report_colors(rows: Sequence[Row]) -> str:
    """AUC of each signal and of the combination, held out, for frames coloured wrong."""
    right = np.array([row["error"] <= color_reliability.RIGHT for row in rows])
    names = [row["sequence"] for row in rows]
    signals = [ColorSignals(**{n: row[n] for n in COLOR_SIGNALS}) for row in rows]
    x = np.array([color_inputs(one) for one in signals])
    middle, spread = x.mean(axis=0), x.std(axis=0)
    scaled = (x - middle) / spread
    chance = held_out(scaled, right, groups=names, ridge=RIDGE)
    weights = fit_logistic(scaled, right, ridge=RIDGE)
    slopes = weights[1:] / spread
    error = np.array([row["error"] for row in rows])
    most = color_reliability.RIGHT
    lines = [f"{len(rows)} frames, {int((~right).sum())} with an ab error above {most}"]
    for name, sign in COLOR_SIGNALS.items():
        values = np.array([row[name] for row in rows])
        rank = bootstrap_correlation(values, error, groups=names, kind="spearman")
        lines.append(
            f"{name}: AUC {auc(-sign * values, ~right):.3f}, Spearman with the ab error "
            f"{rank.value:.2f} ({rank.low:.2f} to {rank.high:.2f})"
        )
    lines.append(f"combined, held out: AUC {auc(1 - chance, ~right):.3f}")
    lines.append(f"calibration error {expected_calibration_error(chance, right):.3f}")
    all_weights = [weights[0] - slopes @ middle, *slopes]
    lines.append("weights: " + ", ".join(f"{w:.3f}" for w in all_weights))
    lines.append(f"flags below {np.quantile(chance[~right], CAUGHT):.3f}")
    return "\n".join(lines)


# -- report --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """Frames of one file on which the object was held to be there."""

    name: str
    rows: list[Row]
    absent: list[Row]

    @property
    def right(self) -> np.ndarray:
        return np.array([row["J"] >= BAD for row in self.rows])

    @property
    def sequences(self) -> list[str]:
        return [row["sequence"] for row in self.rows]

    def column(self, name: str) -> np.ndarray:
        return np.array([row[name] for row in self.rows], dtype=float)

    @property
    def inputs(self) -> np.ndarray:
        names = Signals.__dataclass_fields__
        return np.array([inputs(Signals(**{n: row[n] for n in names})) for row in self.rows])


def read_run(path: Path) -> Run:
    """A file of `collect`."""
    rows = json.loads(path.read_text("utf-8"))
    present = [row for row in rows if row["present"]]
    return Run(path.stem, present, [row for row in rows if not row["present"]])


def fitted(runs: Sequence[Run], *, more: Sequence[str] = ()) -> tuple[np.ndarray, list[np.ndarray]]:
    """Weights fitted to all runs, and every run's probabilities with its sequences held out.

    more: columns fitted beside the usual inputs.
    """
    x = np.concatenate(
        [np.column_stack([run.inputs, *(run.column(name) for name in more)]) for run in runs]
    )
    right = np.concatenate([run.right for run in runs])
    groups = [name for run in runs for name in run.sequences]
    middle, spread = x.mean(axis=0), x.std(axis=0)
    scaled = (x - middle) / spread
    weights = fit_logistic(scaled, right, ridge=RIDGE)
    slopes = weights[1:] / spread
    chances = held_out(scaled, right, groups=groups, ridge=RIDGE)
    ends = np.cumsum([len(run.rows) for run in runs])[:-1]
    return np.array([weights[0] - slopes @ middle, *slopes]), np.split(chances, ends)


def alone(run: Run, name: str) -> float:
    """AUC for bad frames of one signal, without a fit."""
    return auc(-SINGLE[name] * run.column(name), ~run.right)


def within(run: Run, scores: np.ndarray) -> tuple[float, int]:
    """Mean AUC inside sequences that have good and bad frames, and how many those are."""
    found = []
    for name in dict.fromkeys(run.sequences):
        rows = np.array([s == name for s in run.sequences])
        found.append(auc(-scores[rows], ~run.right[rows]))
    there = [value for value in found if np.isfinite(value)]
    return (float(np.mean(there)) if there else float("nan")), len(there)


def with_absent(run: Run, chances: np.ndarray) -> float:
    """AUC over all frames, those on which the object is reported absent among them."""
    scores = np.concatenate([chances, np.full(len(run.absent), ABSENT)])
    right = np.concatenate([run.right, [row["J"] >= BAD for row in run.absent]])
    return auc(-scores, right < 0.5)


def correlations(run: Run) -> list[dict[str, Any]]:
    """Colour error with J&F: per frame and per sequence, Pearson and Spearman."""
    error = run.column("color_error")
    scores = (run.column("J") + run.column("F")) / 2
    names = np.array(run.sequences)
    unique = list(dict.fromkeys(run.sequences))
    means = [np.array([v[names == n].mean() for n in unique]) for v in (error, scores)]
    found = []
    for over, x, y, groups in (("frames", error, scores, names), ("sequences", *means, unique)):
        for kind in ("pearson", "spearman"):
            value = bootstrap_correlation(x, y, groups=groups, kind=kind)
            found.append({"over": over, "kind": kind, "count": len(x), **asdict(value)})
    return found


def flag_threshold(runs: Sequence[Run], chances: Sequence[np.ndarray]) -> float:
    """Reliability below which CAUGHT of the bad frames lie."""
    bad = np.concatenate([c[~run.right] for run, c in zip(runs, chances, strict=True)])
    return float(np.quantile(bad, CAUGHT))


def report(runs: Sequence[Run]) -> dict[str, Any]:
    """Every number."""
    weights, chances = fitted(runs)
    _, with_entropy = fitted(runs, more=["entropy"])
    threshold = flag_threshold(runs, chances)
    tables = {}
    for run, chance, other in zip(runs, chances, with_entropy, strict=True):
        bad, flagged = ~run.right, chance < threshold
        inside, count = within(run, chance)
        shipped = [estimate(Signals(**{n: row[n] for n in asdict(Signals())})) for row in run.rows]
        tables[run.name] = {
            "frames": len(bad),
            "bad": int(bad.sum()),
            "absent": len(run.absent),
            "absent_bad": sum(row["J"] < BAD for row in run.absent),
            "auc": {name: alone(run, name) for name in SINGLE},
            "auc_confidence": auc(-run.column("confidence"), bad),
            "auc_held_out": auc(1 - chance, bad),
            "auc_with_entropy": auc(1 - other, bad),
            "auc_shipped": auc(1 - np.array(shipped), bad),
            "auc_all_frames": with_absent(run, chance),
            "auc_within": inside,
            "within_sequences": count,
            "calibration_error": expected_calibration_error(chance, run.right),
            "bins": [asdict(b) for b in reliability_bins(chance, run.right)],
            "flagged": int(flagged.sum()),
            "flagged_bad": int((flagged & bad).sum()),
            "correlations": correlations(run),
            "points": {
                "sequence": run.sequences,
                "color_error": run.column("color_error").round(4).tolist(),
                "J&F": ((run.column("J") + run.column("F")) / 2).round(4).tolist(),
                "reliability": chance.round(4).tolist(),
            },
        }
    names = ("1", "back", "certainty", "log rim")
    return {
        "weights": dict(zip(names, weights.tolist(), strict=True)),
        "threshold": threshold,
        "runs": tables,
    }


# -- what is printed and drawn -------------------------------------------------------------


def markdown(found: dict[str, Any]) -> str:
    """The tables."""
    heads = [f"AUC for J < {BAD}", *found["runs"]]
    runs = list(found["runs"].values())
    rows = [heads, ["---", *["---:"] * len(runs)]]
    rows.append(["frames (bad)", *(f"{r['frames']} ({r['bad']})" for r in runs)])
    for name in SINGLE:
        rows.append([name.replace("_", " "), *(f"{r['auc'][name]:.3f}" for r in runs)])
    rows.append(["confidence", *(f"{r['auc_confidence']:.3f}" for r in runs)])
    rows.append(["**combined, held out**", *(f"**{r['auc_held_out']:.3f}**" for r in runs)])
    rows.append(["with absent frames", *(f"{r['auc_all_frames']:.3f}" for r in runs)])
    rows.append(["combined with entropy too", *(f"{r['auc_with_entropy']:.3f}" for r in runs)])
    rows.append(
        ["inside sequences", *(f"{r['auc_within']:.3f} ({r['within_sequences']})" for r in runs)]
    )
    rows.append(["as shipped", *(f"{r['auc_shipped']:.3f}" for r in runs)])
    rows.append(["calibration error", *(f"{r['calibration_error']:.3f}" for r in runs)])
    rows.append(["flagged, of them bad", *(f"{r['flagged']}, {r['flagged_bad']}" for r in runs)])
    rows.append(["absent, of them bad", *(f"{r['absent']}, {r['absent_bad']}" for r in runs)])
    lines = [" | ".join(["", *row, ""]).strip() for row in rows]
    lines += ["", "| colour error and J&F | over | N | correlation | 95 % over sequences |"]
    lines += ["|---|---|---:|---:|---:|"]
    for name, run in found["runs"].items():
        for c in run["correlations"]:
            interval = f"{c['low']:.2f} to {c['high']:.2f}"
            what = f"| {name}, {c['kind'].title()} | {c['over']} | {c['count']} |"
            lines.append(f"{what} {c['value']:.2f} | {interval} |")
    weights = ", ".join(f"{value:.3f}" for value in found["weights"].values())
    return "\n".join([*lines, "", f"weights: {weights}; flags below {found['threshold']:.3f}"])


def draw_diagram(found: dict[str, Any], path: Path) -> None:
    """Share of right frames over reliability, a line per run; dots as large as bins are full."""
    from matplotlib.figure import Figure

    figure = Figure((5.2, 4.6), layout="constrained")
    axes: Axes = figure.subplots()
    axes.plot([0, 1], [0, 1], ":", color="#9a9a9a", linewidth=1)
    for name, run in found["runs"].items():
        bins = run["bins"]
        x, y = [b["reliability"] for b in bins], [b["accuracy"] for b in bins]
        label = f"{name}: AUC {run['auc_held_out']:.2f}, error {run['calibration_error']:.3f}"
        (line,) = axes.plot(x, y, "-", linewidth=1, label=label)
        sizes = [10 + 2 * b["count"] ** 0.5 for b in bins]
        axes.scatter(x, y, sizes, color=line.get_color())
    axes.set(xlabel="reliability", ylabel=f"share of frames with J of {BAD} or more")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


def draw_scatter(found: dict[str, Any], path: Path) -> None:
    """J&F over colour error: a dot per frame, a colour per sequence; the first run's."""
    from matplotlib.figure import Figure

    run = next(iter(found["runs"].values()))
    points = {name: np.array(values) for name, values in run["points"].items()}
    figure = Figure((6.4, 4.4), layout="constrained")
    axes: Axes = figure.subplots()
    for number, name in enumerate(dict.fromkeys(points["sequence"].tolist())):
        rows = points["sequence"] == name
        axes.scatter(
            points["color_error"][rows],
            points["J&F"][rows],
            9,
            marker="os^"[number // 10],
            label=name,
        )
    axes.set(xlabel="colour error of the region (mean absolute ab, Lab units)", ylabel="J&F")
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=150)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    tracked = commands.add_parser("collect")
    tracked.add_argument("root", type=Path)
    tracked.add_argument("--rows", type=Path, required=True)
    tracked.add_argument("--model", default="small")
    tracked.add_argument("--size", type=int, default=480)
    tracked.add_argument("--decoder", default="auto")
    tracked.add_argument("--no-redetect", action="store_true")
    tracked.add_argument("--sequences", nargs="+")
    tracked.add_argument("--year", type=int, choices=(2016, 2017), default=2016)
    colors = commands.add_parser("colors")
    colors.add_argument("root", type=Path)
    colors.add_argument("--rows", type=Path, required=True)
    colors.add_argument("--model", default="small")
    colors.add_argument("--size", type=int, default=480)
    colors.add_argument("--every", type=int, default=7)
    colors.add_argument("--sequences", nargs="+")
    told = commands.add_parser("report")
    told.add_argument("files", type=Path, nargs="+")
    told.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(argv)
    if asked.command == "collect":
        settings = Evaluated(
            model=asked.model,
            size=asked.size,
            redetect=not asked.no_redetect,
            decoder=asked.decoder,
        )
        rows = collect(asked.root, settings=settings, year=asked.year, sequences=asked.sequences)
        replace_file(asked.rows, json.dumps(rows).encode())
        return 0
    if asked.command == "colors":
        settings = Settings(model=asked.model, size=asked.size)
        rows = collect_colors(
            asked.root, settings=settings, every=asked.every, sequences=asked.sequences
        )
        replace_file(asked.rows, json.dumps(rows).encode())
        print(report_colors(rows))
        return 0
    found = report([read_run(path) for path in asked.files])
    asked.out.mkdir(parents=True, exist_ok=True)
    replace_file(asked.out / "reliability.json", json.dumps(found, indent=1).encode())
    draw_diagram(found, asked.out / "reliability.png")
    draw_scatter(found, asked.out / "failures.png")
    print(markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
