"""How benchmarks are run from the command line: the options they share, the run, what is said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from rich.table import Table

    from chromatrack.evaluation.runner import Benchmark

Root = Annotated[Path, Positional, arg(metavar="ROOT")]
OutputIfAny = Annotated[Path | None, arg(aliases=["-o"], metavar="PATH")]
Names = Annotated[tuple[str, ...] | None, arg(metavar="NAME ...")]


@dataclass(frozen=True)
class RunOptions:
    """How to run a benchmark.

    Args:
        output: folder for result.json, a report per clip, and predictions.
        jobs: how many clips to measure at a time, each in a process of its own.
        resume: take over the clips that an earlier run left in the output folder, where nothing
            they depend on has changed.
    """

    output: OutputIfAny = None
    jobs: int = 1
    resume: bool = True


ONE_BY_ONE = RunOptions()


def run_benchmark(
    benchmark: Benchmark,
    run: RunOptions,
    *,
    tracker: object,
    model: str | None = None,
) -> dict[str, Any]:
    """Measure as the options say, with a bar."""
    from chromatrack.cli.progress import frame_bar
    from chromatrack.evaluation.runner import evaluate

    with frame_bar() as report:
        return evaluate(
            benchmark,
            tracker=tracker,
            output=run.output,
            jobs=run.jobs,
            resume=run.resume,
            model=model,
            protocol=getattr(getattr(tracker, "config", None), "protocol", None),
            progress=report,
        )


def said(*tables: Table, output: Path | None) -> str:
    """Tables, and where their result.json is, if anywhere."""
    from chromatrack.evaluation.tables import table_text

    where = [] if output is None else [str(output / "result.json")]
    return "\n".join([*map(table_text, tables), *where])
