"""What each part of training is worth: every row trained at one equal small budget, then tracked.

    python benchmarks/ablations.py DATA... --davis DEV --out FOLDER [--steps 300] [--seeds 0 1]
    python benchmarks/ablations.py DATA... --davis DEV --out FOLDER --ladder --teacher WEIGHTS

Each row is `chromatrack train`'s own trainer with one thing changed, from random weights, with the
same steps, batch and crop; then J&F of the first `--frames` frames of every DAVIS sequence (or of
`--sequences`), at `--size` lines, in the usual protocol. Rows that only change how labels are
propagated use the weights of `default`. `--ladder`: the rows that ask what is worth training for
days; those that are taught need `--teacher`. Differences to `default` are paired, of the mean over
seeds, with a 95 % interval (bootstrap over sequences). Finished rows are kept in FOLDER: the
command can be stopped, and goes on where it was; several can work on one FOLDER, with a seed each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chromatrack.atomic import replace_file
from chromatrack.evaluation.baselines.identity import RAW_LAB_TEMPERATURE, RawLabEncoder
from chromatrack.evaluation.datasets.davis import evaluate_davis, read_davis
from chromatrack.evaluation.metrics.color import bootstrap_interval
from chromatrack.model.weights import load_encoder
from chromatrack.propagation.config import PropagateConfig
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import Tracker
from chromatrack.training.config import TrainConfig, change, default, vondrick2018
from chromatrack.training.monitor.validate import shortened
from chromatrack.training.train import train

MODEL = "model.safetensors"


@dataclass(frozen=True)
class Row:
    """One line of the table. train: knobs of the recipe; None: weights of `default` are used.

    track: knobs of propagation; stride: of the features; paper: start from the paper's recipe.
    side: of the views, times that of the others; equal_pixels: with fewer steps, so that as many
    pixels are seen. taught: needs a teacher.
    """

    name: str
    train: Mapping[str, Any] | None = None
    track: Mapping[str, Any] = field(default_factory=dict)
    stride: int | None = None
    paper: bool = False
    side: float = 1.0
    equal_pixels: bool = False
    taught: bool = False


ROWS = [
    Row("default", {}),
    Row("grey input (L alone) instead of Lab with channel dropout", {"hide": "color"}),
    Row("regression instead of 16 classes", {"compare": "regress", "copy": 10.0}),
    Row("photos alone", {"photo_share": 1.0}),
    Row("videos alone", {"photo_share": 0.0}),
    Row("+ known motion on stills", {"correspondence": 0.3, "stills_show_all": 0.5}),
    Row("window of 6 cells for frames under 0.5 s apart", {"window": 6}),
    Row("temperature 0.2 in training", {"temperature": 0.2}),
    Row("the paper's recipe, this network", {"model": "small"}, paper=True),
    Row("memory: first frame alone", track={"recent": 0}),
    Row("memory: last frame alone", track={"first": False, "recent": 1}),
    Row("+ thin-plate bends of stills", {"thin_plate": 0.03}),
    Row("temperature 0.03 in training", {"temperature": 0.03}),
    Row("no change of light", {"jitter": 0.0}),
    Row("stride 4 in tracking", stride=4),
]

FAR = {"gap_seconds": (0.5, 2.0)}
STRONG = {"still_motion": 2.0, "video_motion": 0.8, "jitter": 0.8}
TAUGHT = {"distill": 1.0, "copy": 0.0, "hide": "none"}

LADDER = [
    Row("default", {}),
    Row("distilled, no colours copied", TAUGHT, taught=True),
    Row("64 classes", {"classes": 64}),
    Row("256 classes", {"classes": 256}),
    Row("frames 0.5 to 2 s apart instead of 0.1 to 0.7", FAR),
    Row("more motion and light between views", STRONG),
    Row("+ known motion on stills", {"correspondence": 0.3, "stills_show_all": 0.5}),
    Row("crops 1.5 times as wide, equal pixels", {}, side=1.5, equal_pixels=True),
    Row("crops 1.5 times as wide, equal frames", {}, side=1.5),
]
"""Rows that ask what is worth training for days."""


def recipe(row: Row, options: argparse.Namespace, seed: int) -> TrainConfig:
    """The row's training recipe at the common budget."""
    steps = options.steps / row.side**2 if row.equal_pixels else options.steps
    crop = round(options.crop * row.side / 8) * 8
    budget = {"steps": round(steps), "batch": options.batch, "crop": crop, "seed": seed}
    base = default()
    if row.paper:  # three references and a target: as many frames as the others, in half the batch
        base = vondrick2018()  # its step schedule drops too early for so few steps: ours, here
        budget |= {"batch": options.batch // 2, "schedule": "cosine", "warmup": 0.05}
    quiet = {"held_out": options.held_out, "log_every": 20, "memory_gigabytes": 1.5}
    quiet |= {"cache": options.decoded, "teacher": options.teacher if row.taught else None}
    return change(base, **budget, **quiet, **(row.train or {}))


def slug(name: str) -> str:
    """A folder's name."""
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")


def weights(row: Row, seed: int, options: argparse.Namespace) -> tuple[Path, float]:
    """Train a row, or find it trained; its weights, and the seconds it took."""
    folder = options.out / f"{slug(row.name)}-{seed}"
    if not (folder / MODEL).exists() or not (folder / "done").exists():
        began = time.monotonic()
        resume = bool(list(folder.glob("checkpoint-*.pt")))
        config = recipe(row, options, seed)
        run = train(options.data, output=folder, config=config, resume=resume, cache=options.cache)
        for report in run:
            print(f"  step {report.step} loss {report.loss:.4f}", end="\r", file=sys.stderr)
        (folder / "done").write_text(f"{time.monotonic() - began:.1f}")
    return folder / MODEL, float((folder / "done").read_text())


Scores = dict[str, float]
"""J&F-Mean by sequence."""


def tracked(row: Row, encoder: Any, options: argparse.Namespace, temperature: float) -> Scores:
    """J&F-Mean of every sequence on the first frames of the davis root."""
    propagate = PropagateConfig(**{"temperature": temperature, **row.track})
    config = TrackConfig(size=options.size, stride=row.stride, propagate=propagate)
    tracker = Tracker(encoder, device="cpu", config=config)
    result = evaluate_davis(options.short, tracker=tracker, year=2016, save_masks=False)
    return {name: clip["J&F-Mean"] for name, clip in result["sequences"].items()}


def measure(row: Row, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train and track one row with one seed; kept in the folder."""
    place = options.out / f"{slug(row.name)}-{seed}.json"
    if place.exists():
        return json.loads(place.read_text())
    trained = row if row.train is not None else ROWS[0]
    path, seconds = weights(trained, seed, options)
    found = {
        "sequences": tracked(row, load_encoder(path), options, 0.05),
        "seconds": seconds if row.train is not None else 0.0,
    }
    replace_file(place, json.dumps(found).encode())
    return found


def floors(options: argparse.Namespace) -> dict[str, Scores]:
    """Raw Lab patches and an untrained network, through the same propagation."""
    place = options.out / "floors.json"
    if not place.exists():
        from chromatrack.model.encoder import build_encoder

        torch.manual_seed(0)
        raw = tracked(Row("raw"), RawLabEncoder(), options, RAW_LAB_TEMPERATURE)
        untrained = tracked(Row("untrained"), build_encoder("small"), options, 0.03)
        found = {"raw Lab patches": raw, "untrained network": untrained}
        replace_file(place, json.dumps(found).encode())
    return json.loads(place.read_text())


def mean(scores: Scores) -> float:
    """Over the sequences of one run."""
    return statistics.mean(scores.values())


def difference(runs: list[Scores], base: list[Scores]) -> str:
    """Mean paired difference of two rows, each the mean over its seeds, and its interval."""
    means = [{n: np.mean([run[n] for run in seeds]) for n in seeds[0]} for seeds in (runs, base)]
    apart = [float(means[0][name] - means[1][name]) for name in means[1]]
    low, high = bootstrap_interval(apart)
    return f"{np.mean(apart):+.3f} [{low:+.3f}, {high:+.3f}]"


def table(found: Mapping[str, list[Scores]]) -> str:
    """Markdown: mean over seeds, each seed, and the difference to `default`."""
    lines = ["| row | J&F-Mean | each seed | against default, 95 % |", "|---|---:|---|---|"]
    for name, runs in found.items():
        values = [mean(run) for run in runs]
        seeds = ", ".join(f"{value:.3f}" for value in values) if len(values) > 1 else ""
        apart = "" if name == "default" else difference(runs, found["default"])
        lines.append(f"| {name} | {statistics.mean(values):.3f} | {seeds} | {apart} |")
    return "\n".join(lines)


def chart(scored: Mapping[str, list[Scores]], bottom: Mapping[str, Scores], path: Path) -> None:
    """Bars of all rows, seeds as dots."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = {name: [mean(run) for run in runs] for name, runs in scored.items()}
    figure = Figure(figsize=(8, 0.32 * len(rows) + 1), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, (name, values) in enumerate(reversed(rows.items())):
        color = "C1" if name == "default" else "0.6" if name in bottom else "C0"
        axes.barh(place, statistics.mean(values), color=color, height=0.7)
        axes.plot(values, [place] * len(values), "k.", markersize=4)
    axes.set_yticks(range(len(rows)), [str(name) for name in reversed(rows)])
    axes.axvline(statistics.mean(rows["default"]), color="C1", linewidth=0.8)
    axes.set_xlabel("J&F-Mean")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--davis", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--frames", type=int, default=25, help="of every sequence")
    parser.add_argument("--sequences", nargs="+", help="only these of it")
    parser.add_argument("--size", type=int, default=480, help="lines they are tracked at")
    parser.add_argument("--ladder", action="store_true", help="what is worth training for days")
    parser.add_argument("--teacher", help="weights that rows are taught by")
    parser.add_argument("--cache", type=Path, help="folder for the index of DATA")
    parser.add_argument("--decoded", default="memory", help="disk: keep frames in the cache too")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--held-out", type=int, default=8)
    parser.add_argument("--rows", nargs="*", default=[], help="only rows whose name holds a word")
    parser.add_argument("--threads", type=int, help="processor threads")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        sequences = read_davis(options.davis, sequences=options.sequences).sequences
        options.short = shortened(sequences, Path(folder), frames=options.frames)
        measure_all(options)


def chosen(options: argparse.Namespace) -> list[Row]:
    """The rows asked for, `default` first."""
    rows = [
        row for row in (LADDER if options.ladder else ROWS) if not row.taught or options.teacher
    ]
    words = options.rows
    return rows[:1] + [r for r in rows[1:] if not words or any(word in r.name for word in words)]


def measure_all(options: argparse.Namespace) -> None:
    """Every row asked for, then the table and the chart."""
    found: dict[str, list[Scores]] = {}
    for seed in options.seeds:
        for row in chosen(options):
            result = measure(row, seed, options)
            found.setdefault(row.name, []).append(result["sequences"])
            took = f"{result['seconds']:.0f} s"
            print(
                f"{row.name}, seed {seed}: {mean(result['sequences']):.3f} ({took})",
                file=sys.stderr,
            )
    bottom = floors(options)
    found |= {name: [scores] for name, scores in bottom.items()}
    print(table(found))
    chart(found, bottom, options.out / "ablations.png")


if __name__ == "__main__":
    main()
