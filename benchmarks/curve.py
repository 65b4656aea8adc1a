"""How a training run got on: colours copied on held-out clips, and masks tracked, over its steps.

    python benchmarks/curve.py RUN CHECKPOINT... --davis DAVIS --out FOLDER [--data DATA...]

RUN is a folder of `chromatrack train`; its log and the looks it took at held-out clips are read.
Each CHECKPOINT of it (the last ones, or copies made while it ran) and the network before its first
step track the first `--frames` frames of every DAVIS sequence under `--protocol` (default: paper).
With `--data`, what the run was trained on, they colour the clips it held out too, and those looks
are drawn.
The paper's own numbers are drawn beside them. What is measured is kept in FOLDER: a stopped command
goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch
from matplotlib.axes import Axes

from chromatrack.atomic import replace_file
from chromatrack.evaluation.datasets.davis import evaluate_davis, read_davis
from chromatrack.evaluation.protocols import protocol
from chromatrack.model.encoder import Encoder, build_encoder
from chromatrack.model.weights import load_checkpoint
from chromatrack.tracking.tracker import Tracker
from chromatrack.training import checkpoint
from chromatrack.training.config import TrainConfig, from_json, network
from chromatrack.training.data.index import build_index
from chromatrack.training.monitor.holdout import held_pairs, set_aside
from chromatrack.training.monitor.log import Validation, read_log, read_validations
from chromatrack.training.monitor.validate import Validator, shortened

PAPER = {"J-Mean": 0.346, "F-Mean": 0.327}
"""Vondrick et al. 2018, table 2: DAVIS 2017 val, 400,000 steps of 32 clips."""

Scores = dict[str, float]


def tracked(encoder: Encoder, options: argparse.Namespace) -> Scores:
    """J, F and their mean on the first frames of every sequence."""
    tracker = Tracker(encoder, device="cpu", config=protocol(options.protocol))
    result = evaluate_davis(options.short, tracker=tracker, year=2016, save_masks=False)
    return {name: float(result["scores"][name]) for name in ("J&F-Mean", "J-Mean", "F-Mean")}


def untrained(config: TrainConfig) -> Encoder:
    """The run's network as it was before its first step."""
    torch.manual_seed(config.seed)
    return build_encoder(network(config)).eval()


def measure(path: Path | None, options: argparse.Namespace) -> tuple[int, Scores]:
    """Steps behind a checkpoint (None: before the first one) and its scores; kept in the folder."""
    step = 0 if path is None else int(checkpoint.read_checkpoint(path).content["step"])
    place = options.out / f"step-{step:08d}-{options.protocol}-{options.frames}.json"
    looked = options.out / f"step-{step:08d}-colors.json"
    encoder = untrained(options.config) if path is None else load_checkpoint(path)
    if not place.exists():
        replace_file(place, json.dumps(tracked(encoder, options)))
    scores = json.loads(place.read_text())
    if options.watch is not None:
        if not looked.exists():
            replace_file(looked, json.dumps(options.watch(encoder, step, 0.0, options.out)))
        scores |= json.loads(looked.read_text())
    return step, scores


def watcher(options: argparse.Namespace) -> Validator | None:
    """What looks at the clips that the run held out, if its data is there."""
    if not options.data:
        return None
    _, held = set_aside(build_index(options.data, cache=None), options.config)
    if held is None:
        return None
    return Validator(held_pairs(held, options.config), objective=options.config.objective)


def looks(found: dict[int, Scores], options: argparse.Namespace) -> list[Validation]:
    """Colour errors over steps: measured now, or as the run noted them."""
    if options.watch is None:
        return read_validations(options.run / "validation.jsonl")
    return [Validation(step, 0.0, scores) for step, scores in sorted(found.items())]


def table(found: dict[int, Scores], looks: list[Validation]) -> str:
    """Markdown: a row for every step at which something was measured."""
    colors = {look.step: look.values for look in looks}
    lines = [
        "| steps | colour error | held still | J | F | J&F |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for step in sorted({*found, *colors}):
        values = {**colors.get(step, {}), **found.get(step, {})}
        names = ("color_error", "color_error_still", "J-Mean", "F-Mean", "J&F-Mean")
        cells = [f"{values[name]:.3f}" if name in values else "" for name in names]
        lines.append(f"| {step} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw_colors(axes: Axes, looks: list[Validation]) -> None:
    """Error of copied colours over steps, beside colours held still."""
    steps = [look.step for look in looks]
    axes.plot(steps, [look.values["color_error"] for look in looks], "o-", label="copied")
    still = [look.values["color_error_still"] for look in looks]
    axes.plot(steps, still, "k--", label="held still")
    axes.set_ylabel("colour error, held-out clips")


def draw_scores(axes: Axes, found: dict[int, Scores]) -> None:
    """J and F over steps, beside the paper's."""
    for number, name in enumerate(PAPER):
        steps = sorted(found)
        axes.plot(steps, [found[s][name] for s in steps], "o-", color=f"C{number}", label=name)
        told = f"{name} of the paper (DAVIS 2017 val)"
        axes.axhline(PAPER[name], color=f"C{number}", linestyle=":", label=told)
    axes.set_ylim(0)
    axes.set_ylabel("DAVIS, first frames")


def chart(found: dict[int, Scores], options: argparse.Namespace) -> None:
    """Loss, colours and masks side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    reports = read_log(options.run / "log.jsonl")
    left.plot([r.step for r in reports], [r.loss for r in reports])
    left.set_ylabel("loss")
    draw_colors(middle, looks(found, options))
    draw_scores(right, found)
    for axes in (left, middle, right):
        axes.set_xlabel("steps")
        axes.spines[["top", "right"]].set_visible(False)
    for axes in (middle, right):
        axes.legend(fontsize=7)
    figure.savefig(options.out / "curve.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("checkpoints", nargs="*", type=Path)
    parser.add_argument("--davis", type=Path, required=True)
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="to colour held-out clips")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=12, help="of every sequence")
    parser.add_argument("--protocol", default="paper")
    parser.add_argument("--threads", type=int, help="processor threads")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.threads:
        torch.set_num_threads(options.threads)
    options.config = from_json((options.run / "config.json").read_text())
    options.watch = watcher(options)
    found: dict[int, Scores] = {}
    with tempfile.TemporaryDirectory() as folder:
        sequences = read_davis(options.davis, year=2016).sequences
        options.short = shortened(sequences, Path(folder), frames=options.frames)
        for path in [None, *options.checkpoints]:
            step, scores = measure(path, options)
            found[step] = scores
            print(f"step {step}: J&F {scores['J&F-Mean']:.3f}", file=sys.stderr)
    print(table(found, looks(found, options)))
    chart(found, options)


if __name__ == "__main__":
    main()
