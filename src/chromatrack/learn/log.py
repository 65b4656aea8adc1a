"""A training run's log: one JSON line per report, and the curves drawn from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class StepReport:
    """What one logged step did; `progress` is the share of the budget used, [0, 1]."""

    step: int
    progress: float
    loss: float
    copy: float
    correspondence: float
    learning_rate: float
    seconds: float
    pairs_seen: int


def append_log(path: Path, report: StepReport) -> None:
    """Add a line to a run's log."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(report)) + "\n")


def read_log(path: Path) -> list[StepReport]:
    """The reports of a run so far (a half-written last line is left out)."""
    names = {f.name for f in fields(StepReport)}
    reports = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            reports.append(StepReport(**{k: v for k, v in row.items() if k in names}))
    return reports


def plot_losses(reports: Sequence[StepReport], path: Path) -> None:
    """Draw the loss curves (raw, and smoothed) to a PNG, atomically."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2)
    steps = [r.step for r in reports]
    for ax, name in zip(axes, ("copy", "correspondence"), strict=True):
        values = [getattr(r, name) for r in reports]
        smooth, smoothed = values[0], []
        for value in values:
            smooth += 0.05 * (value - smooth)
            smoothed.append(smooth)
        ax.plot(steps, values, color="0.8", linewidth=0.6)
        ax.plot(steps, smoothed, color="C0")
        ax.set(title=f"{name} loss", xlabel="step")
        ax.grid(alpha=0.3)
    temporary = path.with_name(f".{path.stem}.part.png")
    figure.savefig(temporary, dpi=110)
    temporary.replace(path)
