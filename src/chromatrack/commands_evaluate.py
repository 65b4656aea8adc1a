"""`chromatrack evaluate ...`: one thin function per benchmark; each returns the text to print.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from chromatrack.options import EVALUATED, Evaluated, load_evaluated

if TYPE_CHECKING:
    from rich.table import Table

Root = Annotated[Path, Positional, arg(metavar="ROOT")]
OutputIfAny = Annotated[Path | None, arg(aliases=["-o"], metavar="PATH")]
Names = Annotated[tuple[str, ...] | None, arg(metavar="NAME ...")]


def evaluate_davis(
    root: Root,
    /,
    *,
    output: OutputIfAny = None,
    year: Literal[2016, 2017] = 2016,
    split: Annotated[str | None, arg(metavar="NAME")] = None,
    sequences: Names = None,
    save_masks: bool = True,
    settings: OmitArgPrefixes[Evaluated] = EVALUATED,
) -> str:
    """Measure J and F on DAVIS, of any features under a named protocol.

    Args:
        root: folder with JPEGImages, Annotations and ImageSets.
        output: folder for result.json and the predicted masks.
        year: 2016 merges all objects into one; 2017 keeps them apart.
        split: name of the list in ImageSets, without .txt.
        sequences: only these sequences of the list.
        save_masks: write the predicted masks too.
    """
    from chromatrack.measure import davis
    from chromatrack.measure.report import davis_table
    from chromatrack.progress import frame_bar

    with frame_bar() as report:
        result = davis.evaluate_davis(
            root,
            tracker=load_evaluated(settings),
            year=year,
            split=split,
            output=output,
            sequences=sequences,
            save_masks=save_masks,
            model=settings.model,
            progress=report,
        )
    return said(davis_table(result), output)


def said(table: Table, output: Path | None) -> str:
    """A table, and where its result.json is, if anywhere."""
    from chromatrack.measure.report import table_text

    where = [] if output is None else [str(output / "result.json")]
    return "\n".join([table_text(table), *where])


def evaluate_app() -> tyro.extras.SubcommandApp:
    """The benchmarks by name."""
    app = tyro.extras.SubcommandApp()
    app.command(name="davis")(evaluate_davis)
    return app
