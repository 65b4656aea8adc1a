"""What each part of training is worth: every row trained at one equal small budget, then tracked.

    python benchmarks/ablations.py DATA... --davis DEV --out FOLDER [--steps 300] [--seeds 0 1]

Each row is `chromatrack train`'s own trainer with one thing changed, from random weights, with the
same steps, batch and crop; then J&F of the first `--frames` frames of every DAVIS sequence, at full
size, in the usual protocol. Rows that only change how labels are propagated use the weights of
`default`. Finished rows are kept in FOLDER: the command can be stopped, and goes on where it was;
several can work on one FOLDER, with a seed each.
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

import torch

from chromatrack.atomic import replace_file
from chromatrack.evaluation.baselines.identity import RAW_LAB_TEMPERATURE, RawLabEncoder
from chromatrack.evaluation.datasets.davis import evaluate_davis, read_davis
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
    """

    name: str
    train: Mapping[str, Any] | None = None
    track: Mapping[str, Any] = field(default_factory=dict)
    stride: int | None = None
    paper: bool = False


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


def recipe(row: Row, options: argparse.Namespace, seed: int) -> TrainConfig:
    """The row's training recipe at the common budget."""
    budget = {"steps": options.steps, "batch": options.batch, "crop": options.crop, "seed": seed}
    base = default()
    if row.paper:  # three references and a target: as many frames as the others, in half the batch
        base = vondrick2018()  # its step schedule drops too early for so few steps: ours, here
        budget |= {"batch": options.batch // 2, "schedule": "cosine", "warmup": 0.05}
    quiet = {"held_out": options.held_out, "log_every": 20, "memory_gigabytes": 1.5}
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


def tracked(row: Row, encoder: Any, options: argparse.Namespace, temperature: float) -> float:
    """J&F-Mean on the first frames of the davis root."""
    propagate = PropagateConfig(**{"temperature": temperature, **row.track})
    config = TrackConfig(stride=row.stride, propagate=propagate)
    tracker = Tracker(encoder, device="cpu", config=config)
    result = evaluate_davis(options.short, tracker=tracker, year=2016, save_masks=False)
    return float(result["scores"]["J&F-Mean"])


def measure(row: Row, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Train and track one row with one seed; kept in the folder."""
    place = options.out / f"{slug(row.name)}-{seed}.json"
    if place.exists():
        return json.loads(place.read_text())
    trained = row if row.train is not None else ROWS[0]
    path, seconds = weights(trained, seed, options)
    found = {
        "J&F-Mean": tracked(row, load_encoder(path), options, 0.05),
        "seconds": seconds if row.train is not None else 0.0,
    }
    replace_file(place, json.dumps(found).encode())
    return found


def floors(options: argparse.Namespace) -> dict[str, float]:
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


def table(found: Mapping[str, list[float]], bottom: Mapping[str, float]) -> str:
    """Markdown: mean over seeds, each seed, and the difference to `default`."""
    reference = statistics.mean(found["default"])
    lines = ["| row | J&F-Mean | each seed | against default |", "|---|---:|---|---:|"]
    for name, values in found.items():
        mean = statistics.mean(values)
        seeds = ", ".join(f"{value:.3f}" for value in values)
        lines.append(f"| {name} | {mean:.3f} | {seeds} | {mean - reference:+.3f} |")
    lines += [
        f"| {name} | {value:.3f} | | {value - reference:+.3f} |" for name, value in bottom.items()
    ]
    return "\n".join(lines)


def chart(found: Mapping[str, list[float]], bottom: Mapping[str, float], path: Path) -> None:
    """Bars of all rows, seeds as dots."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = {**found, **{name: [value] for name, value in bottom.items()}}
    figure = Figure(figsize=(8, 0.32 * len(rows) + 1), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, (name, values) in enumerate(reversed(rows.items())):
        color = "C1" if name == "default" else "0.6" if name in bottom else "C0"
        axes.barh(place, statistics.mean(values), color=color, height=0.7)
        axes.plot(values, [place] * len(values), "k.", markersize=4)
    axes.set_yticks(range(len(rows)), [str(name) for name in reversed(rows)])
    axes.axvline(statistics.mean(found["default"]), color="C1", linewidth=0.8)
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
    parser.add_argument("--cache", type=Path, help="folder for the index of DATA")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--held-out", type=int, default=8)
    parser.add_argument("--rows", nargs="*", default=[], help="only rows whose name holds a word")
    parser.add_argument("--threads", type=int, help="processor threads")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        sequences = read_davis(options.davis, year=2016).sequences
        options.short = shortened(sequences, Path(folder), frames=options.frames)
        measure_all(options)


def measure_all(options: argparse.Namespace) -> None:
    """Every row asked for, then the table and the chart."""
    rows = [r for r in ROWS if not options.rows or any(word in r.name for word in options.rows)]
    if ROWS[0] not in rows:
        rows.insert(0, ROWS[0])
    found: dict[str, list[float]] = {}
    for seed in options.seeds:
        for row in rows:
            result = measure(row, seed, options)
            found.setdefault(row.name, []).append(result["J&F-Mean"])
            took = f"{result['seconds']:.0f} s"
            print(f"{row.name}, seed {seed}: {result['J&F-Mean']:.3f} ({took})", file=sys.stderr)
    bottom = floors(options)
    print(table(found, bottom))
    chart(found, bottom, options.out / "ablations.png")


if __name__ == "__main__":
    main()
