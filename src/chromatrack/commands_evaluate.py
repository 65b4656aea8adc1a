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


def evaluate_tapvid(
    root: Root,
    /,
    *,
    queries: Literal["first", "strided"] = "first",
    output: OutputIfAny = None,
    frame_size: Literal["256", "own"] = "256",
    together: bool = True,
    videos: Names = None,
    settings: OmitArgPrefixes[Settings] = DEFAULTS,
) -> str:
    """Measure tracked points on TAP-Vid: AJ, delta_avg and OA.

    Args:
        root: tapvid_davis.pkl, tapvid_rgb_stacking.pkl, or the folder of one of them or of
            Kinetics' parts, 0000_of_0010.pkl to 0009_of_0010.pkl.
        queries: ask for a point where it is first seen, or on every 5th frame, both ways.
        output: folder for result.json.
        frame_size: show frames of 256x256 pixels, as published, or the video's own.
        together: follow points asked for on one frame in one run; no: each alone, many times
            slower.
        videos: only these videos.
    """
    from chromatrack.measure.benchmark import evaluate
    from chromatrack.measure.report import benchmark_table
    from chromatrack.measure.tapvid import read_tapvid
    from chromatrack.progress import frame_bar

    benchmark = read_tapvid(
        root, queries=queries, frame_size=frame_size, together=together, videos=videos
    )
    with frame_bar() as report:
        result = evaluate(
            benchmark,
            tracker=load_evaluated(settings),
            output=output,
            model=settings.model,
            progress=report,
        )
    return said(benchmark_table(result, ("AJ", "delta_avg", "OA")), output)


def evaluate_vip(
    root: Root,
    /,
    *,
    output: OutputIfAny = None,
    split: Annotated[str, arg(metavar="NAME")] = "val",
    side: int | None = 560,
    compat: Literal["uvc"] | None = None,
    videos: Names = None,
    save_masks: bool = True,
    settings: OmitArgPrefixes[Settings] = DEFAULTS,
) -> str:
    """Measure carried parts of people on VIP: mIoU over 20 classes.

    Args:
        root: VIP_Fine, the folder with Images, Annotations/Category_ids and lists.
        output: folder for result.json and the predicted masks.
        split: name of the list in lists, without _videos.txt.
        side: width and height that frames are brought to; None tracks them as they are.
        compat: uvc counts the given first frames too, as published numbers do.
        videos: only these videos of the list.
        save_masks: write the predicted masks too.
    """
    from chromatrack.measure.benchmark import evaluate
    from chromatrack.measure.report import benchmark_table
    from chromatrack.measure.vip import read_vip
    from chromatrack.progress import frame_bar

    benchmark = read_vip(
        root, split=split, side=side, compat=compat, videos=videos, save_masks=save_masks
    )
    with frame_bar() as report:
        result = evaluate(
            benchmark,
            tracker=load_evaluated(settings),
            output=output,
            model=settings.model,
            progress=report,
        )
    return said(benchmark_table(result, ("mIoU", "mIoU-parts", "pixel-accuracy")), output)


def said(table: Table, output: Path | None) -> str:
    """A table, and where its result.json is, if anywhere."""
    from chromatrack.measure.report import table_text

    where = [] if output is None else [str(output / "result.json")]
    return "\n".join([table_text(table), *where])


def evaluate_app() -> tyro.extras.SubcommandApp:
    """The benchmarks by name."""
    app = tyro.extras.SubcommandApp()
    app.command(name="davis")(evaluate_davis)
    app.command(name="tapvid")(evaluate_tapvid)
    app.command(name="vip")(evaluate_vip)
    return app
