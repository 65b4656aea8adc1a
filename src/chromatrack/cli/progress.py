"""One rich bar on stderr for long work; nothing where that is no terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chromatrack.runs.progress import Report

if TYPE_CHECKING:
    from rich.progress import Progress, Task
    from rich.text import Text

    from chromatrack.training.monitor.log import StepReport

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def frame_bar() -> Iterator[Report]:
    """A bar with frames per second and time left; starts anew where the count of frames does.

    >>> with frame_bar() as report:
    ...     report("track", 1, 60)
    """
    bar = _bar(rate="frames")
    task, last = bar.add_task("start", total=None), 0

    def report(name: str, done: int, total: int | None) -> None:
        nonlocal last
        if done < last:
            bar.reset(task)
        bar.update(task, description=name, completed=done, total=total)
        last = done

    with bar:
        yield report


@contextmanager
def train_bar() -> Iterator[tuple[Callable[[StepReport], None], Report]]:
    """A bar for training: share of the budget used, time left, step, speed and loss.

    Yields what shows a step, and what shows how far the work after the last step is.
    """
    bar = _bar(rate=None)
    task = bar.add_task("train", total=1.0, note="")
    first: StepReport | None = None

    def report(step: StepReport) -> None:
        nonlocal first
        first = first or step
        note = f"step {step.step}  loss {step.loss:.4f}"
        if step.seconds > first.seconds:
            speed = (step.examples_seen - first.examples_seen) / (step.seconds - first.seconds)
            note += f"  {speed:.1f} examples/s"
        bar.update(task, completed=step.progress, note=note)

    def after(name: str, done: int, total: int | None) -> None:
        bar.update(task, description=name, completed=done, total=total, note="")

    with bar:
        yield report, after


def _bar(*, rate: str | None) -> Progress:
    """An idle bar; with `rate` it counts units of that name, else it shows percent and a note."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.1f} {rate}/s")

    middle = [TaskProgressColumn(), TextColumn("{task.fields[note]}")]
    if rate is not None:
        middle = [MofNCompleteColumn(), Speed()]
    columns = [TextColumn("{task.description}"), BarColumn(), *middle, TimeRemainingColumn()]
    quiet = not sys.stderr.isatty()
    return Progress(*columns, console=Console(stderr=True), disable=quiet)
