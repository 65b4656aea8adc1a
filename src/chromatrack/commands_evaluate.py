"""`chromatrack evaluate ...`: one thin function per benchmark; each returns the text to print.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from chromatrack.options import DEFAULTS, Settings, load_evaluated

if TYPE_CHECKING:
    from rich.table import Table

Root = Annotated[Path, Positional, arg(metavar="ROOT")]
OutputIfAny = Annotated[Path | None, arg(aliases=["-o"], metavar="PATH")]
ColourMethod = Literal["model", "flow", "flow-chained", "still", "grey"]
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
    settings: OmitArgPrefixes[Settings] = DEFAULTS,
) -> str:
    """Measure J and F on DAVIS. Models identity, raw-lab and random are the baselines.

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


def evaluate_colour(
    root: Root,
    clips: Annotated[tuple[str, ...], Positional, arg(metavar="[CLIP ...]")] = (),
    /,
    *,
    output: OutputIfAny = None,
    methods: Annotated[tuple[ColourMethod, ...] | None, arg(metavar="NAME ...")] = None,
    frames: Annotated[int | None, arg(metavar="N")] = None,
    short_side: int = 480,
    settings: OmitArgPrefixes[Settings] = DEFAULTS,
) -> str:
    """Colour clips from their first frame; measure PSNR, SSIM, CIEDE2000, CDC, colourfulness.

    ROOT holds videos and folders of frames, or is a DAVIS folder (JPEGImages/480p/*), or one clip.
    Later frames are shown grey. The first frame is the reference and is not scored.

    Args:
        root: folder of clips; any colour footage the model was not trained on.
        clips: only these clips of it, by name.
        output: folder for result.json and a contact sheet per clip.
        methods: model, flow, flow-chained (dense optical flow, the extra [flow]), still (the first
            frame's colours where they are), grey; by default all that are installed.
        frames: at most so many frames of a clip.
        short_side: larger clips are compared at this size, pixels.
    """
    from chromatrack.measure.benchmark import evaluate
    from chromatrack.measure.colour import colour_benchmark, colour_table
    from chromatrack.progress import frame_bar

    benchmark = colour_benchmark(
        root,
        clips=clips or None,
        methods=None if methods is None else [name.replace("-", " ") for name in methods],
        frames=frames,
        short_side=short_side,
    )
    needs_model = "model" in benchmark.settings["methods"]
    with frame_bar() as report:
        result = evaluate(
            benchmark,
            tracker=load_evaluated(settings) if needs_model else None,
            output=output,
            model=settings.model if needs_model else "none",
            progress=report,
        )
    return "\n".join([said(colour_table(result), output), *benchmark.settings["notes"]])


def said(table: Table, output: Path | None) -> str:
    """A table, and where its result.json is, if anywhere."""
    from chromatrack.measure.report import table_text

    where = [] if output is None else [str(output / "result.json")]
    return "\n".join([table_text(table), *where])


def evaluate_app() -> tyro.extras.SubcommandApp:
    """The benchmarks by name."""
    app = tyro.extras.SubcommandApp()
    app.command(name="davis")(evaluate_davis)
    app.command(name="colour")(evaluate_colour)
    return app
