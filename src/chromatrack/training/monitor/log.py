"""A training run's log: a JSON line per report, the same as a table, and curves drawn from it."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chromatrack.atomic import replace_file, unwritable
from chromatrack.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TERM = "loss_"
"""Prefix of the objective's terms in a row of the log."""

SMOOTHING = 0.05
"""Weight of the newest value in a smoothed curve."""

MOST_POINTS = 800
"""Points drawn of a curve at most; a longer one is thinned out."""


@dataclass(frozen=True)
class StepReport:
    """What one logged step did.

    progress: share of the budget used, [0, 1]. loss: weighted sum of the terms. terms: each term
    of the objective by its name. seconds: wall time of the run so far, over all its processes.
    examples_seen, frames_seen: since the run began. waiting: share of wall time since the last
    report spent waiting for data, [0, 1]. skipped: steps so far that were left out (no finite
    gradient at reduced precision).
    """

    step: int
    progress: float
    loss: float
    terms: Mapping[str, float]
    learning_rate: float
    seconds: float
    examples_seen: int
    frames_seen: int
    waiting: float
    skipped: int = 0


@dataclass(frozen=True)
class Validation:
    """What was measured on held-out material after a step: numbers by name."""

    step: int
    seconds: float
    values: Mapping[str, float]


_PLAIN = tuple(field.name for field in fields(StepReport) if field.name != "terms")
_NEEDED = set(_PLAIN) - {"skipped"}


def append_log(path: Path, report: StepReport) -> None:
    """Add a report to log.jsonl.

    Raises:
        OutputError: the file cannot be written.
    """
    row: dict[str, Any] = {name: getattr(report, name) for name in _PLAIN}
    _append(path, row | {TERM + name: value for name, value in report.terms.items()})


def read_log(path: Path) -> list[StepReport]:
    """The reports of a run so far, in order; none if there is no log.

    A half-written last line is left out, and so are rows of another kind and unknown columns.
    """
    reports = []
    for row in _rows(path):
        if set(row) >= _NEEDED:
            terms = {k.removeprefix(TERM): v for k, v in row.items() if k.startswith(TERM)}
            reports.append(StepReport(terms=terms, **{k: row[k] for k in _PLAIN if k in row}))
    return reports


def append_validation(path: Path, validation: Validation) -> None:
    """Add a row to validation.jsonl.

    Raises:
        OutputError: the file cannot be written.
    """
    row = {"step": validation.step, "seconds": validation.seconds}
    _append(path, row | {"values": {k: _finite(v) for k, v in validation.values.items()}})


def read_validations(path: Path) -> list[Validation]:
    """The validations of a run so far, in order; a half-written last line is left out."""
    found = []
    for row in _rows(path):
        values = row.get("values")
        if isinstance(values, dict) and {"step", "seconds"} <= set(row):
            numbers = {k: math.nan if v is None else v for k, v in values.items()}
            found.append(Validation(row["step"], row["seconds"], numbers))
    return found


def truncate_log(path: Path, step: int) -> None:
    """Drop the rows after `step` (and a half-written one), so that a resumed run doubles none.

    Works on log.jsonl and validation.jsonl alike; a file that is not there stays away.

    Raises:
        OutputError: the file cannot be written.
    """
    if not path.exists():
        return
    kept = [line for line, row in _lines(path) if row.get("step", step + 1) <= step]
    replace_file(path, "".join(line + "\n" for line in kept))


def write_csv(log: Path, table: Path) -> None:
    """Write log.jsonl as a table for spreadsheets, atomically: a column for every name in it.

    Raises:
        OutputError: the table cannot be written.
    """
    rows = list(_rows(log))
    columns = list(dict.fromkeys(name for row in rows for name in row)) or list(_PLAIN)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_file(table, text.getvalue())


def _append(path: Path, row: Mapping[str, Any]) -> None:
    text = json.dumps({k: _finite(v) for k, v in row.items()}, allow_nan=False)
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise unwritable(path, error) from error


def _finite(value: Any) -> Any:  # noqa: ANN401  (whatever a row holds)
    """JSON has no NaN and no infinity: they become null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every whole line that holds a JSON object, and the object."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict):
            yield line, row


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a log; a null is a number that was not finite."""
    for _, row in _lines(path):
        yield {k: math.nan if v is None else v for k, v in row.items()}


Scalars = Callable[[int, Mapping[str, float]], None]
"""Takes a step and its numbers by name."""


@contextmanager
def tensorboard(folder: Path, *, start: int = 0) -> Iterator[Scalars]:
    """A TensorBoard log in `folder`; rows from step `start` on that are there already are hidden.

    Raises:
        InputError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # takes seconds: only when asked for
    except ImportError as error:
        raise InputError(
            "tensorboard: expected the package tensorboard, found none; "
            "pip install 'chromatrack[tensorboard]', or train without it (log.csv has the same)"
        ) from error
    writer = SummaryWriter(folder, purge_step=start)

    def add(step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    try:
        yield add
    finally:
        writer.close()


def scalars_of(report: StepReport) -> dict[str, float]:
    """What of a report is worth a curve, by TensorBoard's `group/name`."""
    terms = {f"loss/{name}": value for name, value in report.terms.items()}
    speed = {"schedule/learning_rate": report.learning_rate, "data/waiting": report.waiting}
    return {"loss/total": report.loss, **terms, **speed}


@dataclass(frozen=True)
class Curve:
    """One panel: lines by name, each `(steps, values)`; `noisy` ones are drawn smoothed as well."""

    title: str
    lines: Mapping[str, tuple[Sequence[int], Sequence[float]]]
    noisy: bool = False


def curves(reports: Sequence[StepReport], validations: Sequence[Validation] = ()) -> list[Curve]:
    """The panels of a run: loss, each of its terms, learning rate, and all that was validated.

    Validated numbers that belong together share a panel: `color_error` and `color_error_still`,
    and all means of the tracking score.
    """
    panels: list[Curve] = []
    steps = [r.step for r in reports]
    if reports:
        panels.append(Curve("loss", {"loss": (steps, [r.loss for r in reports])}, noisy=True))
    names = list(dict.fromkeys(name for r in reports for name in r.terms))
    for name in names if len(names) > 1 else ():
        known = [(r.step, r.terms[name]) for r in reports if name in r.terms]
        panels.append(Curve(f"loss: {name}", {name: _columns(known)}, noisy=True))
    if reports:
        rates = (steps, [r.learning_rate for r in reports])
        panels.append(Curve("learning rate", {"learning rate": rates}))
    together: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    for name in dict.fromkeys(name for v in validations for name in v.values):
        known = [(v.step, v.values[name]) for v in validations if name in v.values]
        home = next((title for title in together if name.startswith(f"{title}_")), name)
        home = "tracking" if name.endswith("-Mean") else home
        together.setdefault(home, {})[name] = _columns(known)
    panels += [Curve(f"held out: {title}", lines) for title, lines in together.items()]
    return panels


def _columns(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [step for step, _ in points], [value for _, value in points]


def smoothed(values: Sequence[float]) -> list[float]:
    """Exponential moving average, without the pull of its first value; NaN stays out of it."""
    total, weight, result = 0.0, 0.0, []
    for value in values:
        if math.isfinite(value):
            total += SMOOTHING * (value - total)
            weight += SMOOTHING * (1 - weight)
        result.append(total / weight if weight > 0 else math.nan)
    return result


def draw_curve(axes: Axes, curve: Curve) -> None:
    """Draw a panel into matplotlib axes."""
    for number, (name, (steps, values)) in enumerate(curve.lines.items()):
        every = slice(None, None, max(1, math.ceil(len(steps) / MOST_POINTS)))
        if curve.noisy and len(steps) > 3:
            axes.plot(steps[every], values[every], color="0.8", linewidth=0.6)
            values = smoothed(values)
        marker = "o" if len(steps) <= 30 else None
        at, shown, color = steps[every], values[every], f"C{number}"
        axes.plot(at, shown, color=color, marker=marker, markersize=3, label=name)
    if len(curve.lines) > 1:
        for text in axes.legend(frameon=False).get_texts():
            text.set_parse_math(False)
    axes.set_title(curve.title, parse_math=False)  # names are names, also with a dollar in them
    axes.set_xlabel("step")
    axes.locator_params(axis="x", nbins=5, integer=True)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def plot_losses(
    reports: Sequence[StepReport], path: Path, *, validations: Sequence[Validation] = ()
) -> None:
    """Draw all curves of a run to a PNG, atomically.

    Raises:
        InputError: there are no reports. OutputError: the picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not reports:
        raise InputError("plot_losses: expected at least one report, got none")
    panels = curves(reports, validations)
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.2 * columns, 3.0 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, panel in zip(grid, panels, strict=False):
        draw_curve(axes, panel)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110, format="png")
    replace_file(path, picture.getvalue())
