"""`chromatrack evaluate ...`: one thin function per benchmark; each returns the text to print.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from chromatrack.options import DEFAULTS, Settings, load_evaluated

if TYPE_CHECKING:
    from rich.table import Table

    from chromatrack.measure.benchmark import Benchmark

Root = Annotated[Path, Positional, arg(metavar="ROOT")]
OutputIfAny = Annotated[Path | None, arg(aliases=["-o"], metavar="PATH")]
Names = Annotated[tuple[str, ...] | None, arg(metavar="NAME ...")]


@dataclass(frozen=True)
class Run:
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


ONE_BY_ONE = Run()


def evaluate_davis(
    root: Root,
    /,
    *,
    run: OmitArgPrefixes[Run] = ONE_BY_ONE,
    year: Literal[2016, 2017] = 2016,
    split: Annotated[str | None, arg(metavar="NAME")] = None,
    sequences: Names = None,
    save_masks: bool = True,
    predictions: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    attributes: Annotated[Path | None, arg(metavar="CSV")] = None,
    settings: OmitArgPrefixes[Settings] = DEFAULTS,
) -> str:
    """Measure J and F on DAVIS. Models identity, raw-lab and random are the baselines.

    Args:
        root: folder with JPEGImages, Annotations and ImageSets.
        year: 2016 merges all objects into one; 2017 keeps them apart.
        split: name of the list in ImageSets, without .txt.
        sequences: only these sequences of the list.
        save_masks: write the predicted masks too.
        predictions: score the masks in this folder, SEQUENCE/00000.png, instead of a model.
        attributes: also sum up by attribute; a table with the columns sequence and attributes.
    """
    from chromatrack.measure.attributes import read_attributes
    from chromatrack.measure.davis import SavedMasks, davis_benchmark
    from chromatrack.measure.report import attributes_table, davis_table

    benchmark = davis_benchmark(
        root,
        year=year,
        split=split,
        sequences=sequences,
        save_masks=save_masks and predictions is None,
        attributes=None if attributes is None else read_attributes(attributes),
    )
    if predictions is not None:
        saved = SavedMasks(predictions, year=year)
        result = run_benchmark(benchmark, replace(run, resume=False), tracker=saved)
    else:
        result = run_benchmark(
            benchmark, run, tracker=load_evaluated(settings), model=settings.model
        )
    tables = [davis_table(result)]
    if attributes is not None:
        tables.append(attributes_table(result))
    return said(*tables, output=run.output)


def run_benchmark(
    benchmark: Benchmark,
    run: Run,
    *,
    tracker: object,
    model: str | None = None,
    protocol: str | None = None,
) -> dict[str, Any]:
    """Measure as the options say, with a bar."""
    from chromatrack.measure.benchmark import evaluate
    from chromatrack.progress import frame_bar

    with frame_bar() as report:
        return evaluate(
            benchmark,
            tracker=tracker,
            output=run.output,
            jobs=run.jobs,
            resume=run.resume,
            model=model,
            protocol=protocol,
            progress=report,
        )


def said(*tables: Table, output: Path | None) -> str:
    """Tables, and where their result.json is, if anywhere."""
    from chromatrack.measure.report import table_text

    where = [] if output is None else [str(output / "result.json")]
    return "\n".join([*map(table_text, tables), *where])


def evaluate_app() -> tyro.extras.SubcommandApp:
    """The benchmarks by name."""
    app = tyro.extras.SubcommandApp()
    app.command(name="davis")(evaluate_davis)
    return app
