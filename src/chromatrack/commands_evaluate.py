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

    from chromatrack.measure.benchmark import Benchmark, Report

Root = Annotated[Path, Positional, arg(metavar="ROOT")]
OutputIfAny = Annotated[Path | None, arg(aliases=["-o"], metavar="PATH")]
ColourMethod = Literal["model", "flow", "flow-chained", "still", "grey"]
Names = Annotated[tuple[str, ...] | None, arg(metavar="NAME ...")]
Compat = Literal["crw"] | None


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


def evaluate_jhmdb(
    root: Root,
    /,
    *,
    output: OutputIfAny = None,
    split: Literal[1, 2, 3] = 1,
    compat: Compat = None,
    sequences: Names = None,
    settings: OmitArgPrefixes[Settings] = DEFAULTS,
) -> str:
    """Measure PCK@.1 to .5 of the 15 joints of JHMDB.

    Args:
        root: folder with joint_positions, splits and Rename_Images (or ReCompress_Videos); or
            clips, each in a folder with its joint_positions.mat and one video or its pictures.
        output: folder for result.json.
        split: whose test clips to measure, where there are splits.
        compat: crw scores as CRW does: frames brought to 320x320, dropped joints left out (add
            --size 320 to track at that size).
        sequences: only these clips.
    """
    from chromatrack.measure.jhmdb import jhmdb_benchmark

    found = jhmdb_benchmark(root, split=split, compat=compat, sequences=sequences)
    return said_of_poses(measured(found, output, settings), f"JHMDB{noted(compat)}", output)


def evaluate_penn(
    root: Root,
    /,
    *,
    output: OutputIfAny = None,
    compat: Compat = None,
    sequences: Names = None,
    settings: OmitArgPrefixes[Settings] = DEFAULTS,
) -> str:
    """Measure PCK of the 13 joints of Penn Action, on its test clips.

    Args:
        root: folder with frames/0001/000001.jpg and labels/0001.mat.
        output: folder for result.json.
        compat: crw: frames brought to 320x320, dropped joints left out, as CRW does on JHMDB.
        sequences: only these clips (0001), for the test or not.
    """
    from chromatrack.measure.penn import penn_benchmark

    found = penn_benchmark(root, compat=compat, sequences=sequences)
    return said_of_poses(measured(found, output, settings), f"Penn Action{noted(compat)}", output)


def evaluate_badja(
    root: Root,
    /,
    *,
    davis: Annotated[Path, arg(metavar="DAVIS")],
    output: OutputIfAny = None,
    sequences: Names = None,
    settings: OmitArgPrefixes[Settings] = DEFAULTS,
) -> str:
    """Measure PCK@0.2 of the joints of BADJA's animals, on their DAVIS sequences.

    Args:
        root: folder with bear.json, ... or with joint_annotations, which holds them.
        davis: folder with JPEGImages and Annotations of DAVIS; animals it lacks are left out.
        output: folder for result.json.
        sequences: only these animals.
    """
    from chromatrack.measure.badja import badja_benchmark
    from chromatrack.measure.kind_report import scores_table

    found = badja_benchmark(root, davis, sequences=sequences)
    lacking = ", ".join(found.settings["not_in_davis"])
    title = "BADJA" + (f", without {lacking} (not in DAVIS)" if lacking else "")
    return said(scores_table(measured(found, output, settings), title=title), output)


def evaluate_boxes(
    root: Root,
    /,
    *,
    output: OutputIfAny = None,
    sequences: Names = None,
    settings: OmitArgPrefixes[Settings] = DEFAULTS,
) -> str:
    """Measure one box per sequence: success AUC, precision at 20 px, overlap, found or absent.

    Args:
        root: a sequence, or a folder of some: OTB (groundtruth_rect.txt and img/0001.jpg), VOT
            (groundtruth.txt and color/00000001.jpg) or TLD (gt.txt and 00001.jpg beside it).
        output: folder for result.json.
        sequences: only these.
    """
    from chromatrack.measure.box_sequences import box_benchmark
    from chromatrack.measure.kind_report import scores_table

    result = measured(box_benchmark(root, sequences=sequences), output, settings)
    return said(scores_table(result, title="boxes"), output)


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


def measured(benchmark: Benchmark, output: Path | None, settings: Settings) -> Report:
    """The result of a benchmark with the model asked for, under a bar."""
    from chromatrack.measure.benchmark import evaluate
    from chromatrack.progress import frame_bar

    with frame_bar() as report:
        return evaluate(
            benchmark,
            tracker=load_evaluated(settings),
            output=output,
            model=settings.model,
            progress=report,
        )


def said_of_poses(result: Report, title: str, output: Path | None) -> str:
    """The tables of a pose benchmark: per joint, and per clip."""
    from chromatrack.measure.kind_report import joints_table, scores_table
    from chromatrack.measure.report import table_text

    return "\n".join(
        [table_text(joints_table(result)), said(scores_table(result, title=title), output)]
    )


def noted(compat: Compat) -> str:
    """What a table's title adds when it is not the honest score."""
    return f", compat {compat}" if compat else ""


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
    app.command(name="jhmdb")(evaluate_jhmdb)
    app.command(name="penn")(evaluate_penn)
    app.command(name="badja")(evaluate_badja)
    app.command(name="boxes")(evaluate_boxes)
    app.command(name="tapvid")(evaluate_tapvid)
    app.command(name="vip")(evaluate_vip)
    return app
