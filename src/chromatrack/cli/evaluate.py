"""`chromatrack evaluate ...`: one thin function per benchmark; each returns the text to print.

Here masks and colours; points, joints and boxes are in `evaluate_sparse`. Nothing heavy is
imported before a command runs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from chromatrack.cli.evaluate_sparse import (
    evaluate_badja,
    evaluate_boxes,
    evaluate_jhmdb,
    evaluate_penn,
    evaluate_tapvid,
)
from chromatrack.cli.options import (
    EVALUATED,
    ONE_BY_ONE,
    Evaluated,
    Names,
    Root,
    RunOptions,
    load_evaluated,
    run_benchmark,
    said,
)
from chromatrack.cli.track import Output
from chromatrack.errors import InputError

ColorMethod = Literal["model", "frame-by-frame", "flow", "flow-chained", "still", "grey"]

AGAINST = ("single-image", "raw-lab", "flow", "identity")
"""What the paper's claims are set against."""


def evaluate_davis(
    root: Root,
    /,
    *,
    run: OmitArgPrefixes[RunOptions] = ONE_BY_ONE,
    year: Literal[2016, 2017] = 2016,
    split: Annotated[str | None, arg(metavar="NAME")] = None,
    sequences: Names = None,
    save_masks: bool = True,
    predictions: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    attributes: Annotated[Path | None, arg(metavar="CSV")] = None,
    settings: OmitArgPrefixes[Evaluated] = EVALUATED,
) -> str:
    """Measure J and F on DAVIS, of any features under a named protocol, or of a baseline.

    Args:
        root: folder with JPEGImages, Annotations and ImageSets.
        year: 2016 merges all objects into one; 2017 keeps them apart.
        split: name of the list in ImageSets, without .txt.
        sequences: only these sequences of the list.
        save_masks: write the predicted masks too.
        predictions: score the masks in this folder, SEQUENCE/00000.png, instead of a model.
        attributes: also sum up by attribute; a table with the columns sequence and attributes.
    """
    from chromatrack.evaluation.datasets.davis import SavedMasks, davis_benchmark
    from chromatrack.evaluation.datasets.davis_attributes import read_attributes
    from chromatrack.evaluation.tables import attributes_table, davis_table

    if predictions is not None and settings != EVALUATED:
        raise InputError(
            "predictions: saved masks are scored instead of a model, got a model or its settings "
            "as well; leave one of them out"
        )
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


def evaluate_vip(
    root: Root,
    /,
    *,
    run: OmitArgPrefixes[RunOptions] = ONE_BY_ONE,
    split: Annotated[str, arg(metavar="NAME")] = "val",
    side: int | None = 560,
    compat: Literal["uvc"] | None = None,
    videos: Names = None,
    save_masks: bool = True,
    settings: OmitArgPrefixes[Evaluated] = EVALUATED,
) -> str:
    """Measure carried parts of people on VIP: mIoU over 20 classes.

    Args:
        root: VIP_Fine, the folder with Images, Annotations/Category_ids and lists.
        split: name of the list in lists, without _videos.txt.
        side: width and height that frames are brought to; None tracks them as they are.
        compat: uvc counts the given first frames too, as published numbers do.
        videos: only these videos of the list.
        save_masks: write the predicted masks too.
    """
    from chromatrack.evaluation.datasets.vip import read_vip
    from chromatrack.evaluation.tables import benchmark_table

    benchmark = read_vip(
        root, split=split, side=side, compat=compat, videos=videos, save_masks=save_masks
    )
    result = run_benchmark(benchmark, run, tracker=load_evaluated(settings), model=settings.model)
    return said(
        benchmark_table(result, columns=("mIoU", "mIoU-parts", "pixel-accuracy")), output=run.output
    )


def evaluate_color(
    root: Root,
    clips: Annotated[tuple[str, ...], Positional, arg(metavar="[CLIP ...]")] = (),
    /,
    *,
    run: OmitArgPrefixes[RunOptions] = ONE_BY_ONE,
    methods: Annotated[tuple[ColorMethod, ...] | None, arg(metavar="NAME ...")] = None,
    frames: Annotated[int | None, arg(metavar="N")] = None,
    short_side: int = 480,
    reference: Literal["first", "middle", "other-scene"] = "first",
    settings: OmitArgPrefixes[Evaluated] = EVALUATED,
) -> str:
    """Colour clips from one frame; measure PSNR, SSIM, CIEDE2000, bleeding, flicker, CDC.

    ROOT holds videos and folders of frames, or is a DAVIS folder (JPEGImages/480p/*), or one clip.
    The other frames are shown grey. The reference, usually the first frame, is not scored.

    Args:
        root: folder of clips; any colour footage the model was not trained on.
        clips: only these clips of it, by name.
        methods: model, frame-by-frame (the model without anything carried over time), flow,
            flow-chained (dense optical flow, the extra [flow]), still (the reference's colours
            where they are), grey; by default all that are installed.
        frames: at most so many frames of a clip.
        short_side: larger clips are compared at this size, pixels.
        reference: the clip's first frame, the one in its middle, or another scene's: the first
            frame of the next clip.
    """
    from chromatrack.evaluation.datasets.color import color_benchmark, color_table
    from chromatrack.evaluation.datasets.color_distance import distance_table

    benchmark = color_benchmark(
        root,
        clips=clips or None,
        methods=None if methods is None else [name.replace("-", " ") for name in methods],
        frames=frames,
        short_side=short_side,
        reference=reference.replace("-", " "),  # pyright: ignore[reportArgumentType]
    )
    needs_model = bool({"model", "frame by frame"} & set(benchmark.settings["methods"]))
    result = run_benchmark(
        benchmark,
        run,
        tracker=load_evaluated(settings) if needs_model else None,
        model=settings.model if needs_model else "none",
    )
    tables = [color_table(result)]
    if result["distances"]:
        tables.append(distance_table(result["distances"]))
    return "\n".join([said(*tables, output=run.output), *benchmark.settings["notes"]])


def evaluate_paper(
    root: Root,
    /,
    *,
    output: Output,
    clips: Annotated[tuple[Path, ...], arg(metavar="VIDEO ...")] = (),
    fps: float | None = None,
    badja: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    jhmdb: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    attributes: Annotated[Path | None, arg(metavar="CSV")] = None,
    against: Annotated[tuple[str, ...], arg(metavar="MODEL ...")] = AGAINST,
    year: Literal[2016, 2017] = 2016,
    split: Annotated[str | None, arg(metavar="NAME")] = None,
    sequences: Names = None,
    jobs: int = 1,
    resume: bool = True,
    settings: OmitArgPrefixes[Evaluated] = EVALUATED,
) -> str:
    """Measure the paper's four claims, and show them on one page, report.html, to read offline.

    Colours copied against flow, single-image colorization and none; masks and poses against flow
    and identity; by attribute; and whether failures to colour predict failures to track.

    Args:
        root: a DAVIS folder with JPEGImages, Annotations and ImageSets.
        output: folder for report.html and the results of every part.
        clips: more videos or folders of frames to colour, besides those of ROOT.
        fps: frames per second of folders of frames; None: 24.
        badja: folder of BADJA's annotations, of the animals in ROOT.
        jhmdb: folder of JHMDB, or of single clips of it.
        attributes: table of the sequences' attributes, with the columns sequence and attributes.
        against: what to compare with, as --model names them.
        year: 2016 merges all objects into one; 2017 keeps them apart.
        split: name of the list in ImageSets, without .txt.
        sequences: only these sequences of the list.
        jobs: how many clips to measure at a time, each in a process of its own.
        resume: take over what an earlier run left in the output folder.
    """
    from chromatrack.cli.progress import frame_bar
    from chromatrack.evaluation.baselines.colorizers import single_method
    from chromatrack.evaluation.baselines.single_image import SingleImageColorer
    from chromatrack.evaluation.paper.run import Methods, PaperPlan
    from chromatrack.evaluation.paper.run import evaluate_paper as measure

    names = dict.fromkeys((settings.model, *against))
    trackers = {
        name: load_evaluated(replace(settings, model=name), is_only_one=False) for name in names
    }
    colorers = {
        name: single_method(SingleImageColorer.from_pretrained(name))
        for name in against
        if name == "single-image"
    }
    plan = PaperPlan(root, year, split, sequences, clips, fps, badja, jhmdb, attributes)
    with frame_bar() as report:
        page = measure(
            plan,
            Methods(trackers, colorers),
            output=output,
            jobs=jobs,
            resume=resume,
            progress=report,
        )
    return str(page)


BENCHMARKS = {
    "davis": evaluate_davis,
    "vip": evaluate_vip,
    "tapvid": evaluate_tapvid,
    "jhmdb": evaluate_jhmdb,
    "penn": evaluate_penn,
    "badja": evaluate_badja,
    "boxes": evaluate_boxes,
    "color": evaluate_color,
    "paper": evaluate_paper,
}
"""The commands inside `evaluate`."""


def evaluate_app() -> tyro.extras.SubcommandApp:
    """The benchmarks by name."""
    app = tyro.extras.SubcommandApp()
    for name, command in BENCHMARKS.items():
        app.command(name=name)(command)
    return app
