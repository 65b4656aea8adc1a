"""`chromatrack evaluate ...` of points, joints and boxes; each returns the text to print.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import OmitArgPrefixes, arg

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

if TYPE_CHECKING:
    from chromatrack.evaluation.runner import Benchmark, Result

Compat = Literal["crw"] | None


def evaluate_tapvid(
    root: Root,
    /,
    *,
    queries: Literal["first", "strided"] = "first",
    run: OmitArgPrefixes[RunOptions] = ONE_BY_ONE,
    frame_size: Literal["256", "own"] = "256",
    together: bool = True,
    videos: Names = None,
    settings: OmitArgPrefixes[Evaluated] = EVALUATED,
) -> str:
    """Measure tracked points on TAP-Vid: AJ, delta_avg and OA.

    Args:
        root: tapvid_davis.pkl, tapvid_rgb_stacking.pkl, or the folder of one of them or of
            Kinetics' parts, 0000_of_0010.pkl to 0009_of_0010.pkl.
        queries: ask for a point where it is first seen, or on every 5th frame, both ways.
        frame_size: show frames of 256x256 pixels, as published, or the video's own.
        together: follow points asked for on one frame in one run; no: each alone, many times
            slower.
        videos: only these videos.
    """
    from chromatrack.evaluation.datasets.tapvid import read_tapvid
    from chromatrack.evaluation.tables import benchmark_table

    benchmark = read_tapvid(
        root, queries=queries, frame_size=frame_size, together=together, videos=videos
    )
    result = measured(benchmark, run, settings)
    return said(benchmark_table(result, columns=("AJ", "delta_avg", "OA")), output=run.output)


def evaluate_jhmdb(
    root: Root,
    /,
    *,
    run: OmitArgPrefixes[RunOptions] = ONE_BY_ONE,
    split: Literal[1, 2, 3] = 1,
    compat: Compat = None,
    sequences: Names = None,
    settings: OmitArgPrefixes[Evaluated] = EVALUATED,
) -> str:
    """Measure PCK@.1 to .5 of the 15 joints of JHMDB.

    Args:
        root: folder with joint_positions, splits and Rename_Images (or ReCompress_Videos); or
            clips, each in a folder with its joint_positions.mat and one video or its pictures.
        split: whose test clips to measure, where there are splits.
        compat: crw scores as CRW does: frames brought to 320x320, dropped joints left out (add
            --size 320 to track at that size).
        sequences: only these clips.
    """
    from chromatrack.evaluation.datasets.jhmdb import jhmdb_benchmark

    found = jhmdb_benchmark(root, split=split, compat=compat, sequences=sequences)
    return said_of_poses(measured(found, run, settings), f"JHMDB{noted(compat)}", run)


def evaluate_penn(
    root: Root,
    /,
    *,
    run: OmitArgPrefixes[RunOptions] = ONE_BY_ONE,
    compat: Compat = None,
    sequences: Names = None,
    settings: OmitArgPrefixes[Evaluated] = EVALUATED,
) -> str:
    """Measure PCK of the 13 joints of Penn Action, on its test clips.

    Args:
        root: folder with frames/0001/000001.jpg and labels/0001.mat.
        compat: crw: frames brought to 320x320, dropped joints left out, as CRW does on JHMDB.
        sequences: only these clips (0001), for the test or not.
    """
    from chromatrack.evaluation.datasets.penn import penn_benchmark

    found = penn_benchmark(root, compat=compat, sequences=sequences)
    return said_of_poses(measured(found, run, settings), f"Penn Action{noted(compat)}", run)


def evaluate_badja(
    root: Root,
    /,
    *,
    davis: Annotated[Path, arg(metavar="DAVIS")],
    run: OmitArgPrefixes[RunOptions] = ONE_BY_ONE,
    sequences: Names = None,
    settings: OmitArgPrefixes[Evaluated] = EVALUATED,
) -> str:
    """Measure PCK@0.2 of the joints of BADJA's animals, on their DAVIS sequences.

    Args:
        root: folder with bear.json, ... or with joint_annotations, which holds them.
        davis: folder with JPEGImages and Annotations of DAVIS; animals it lacks are left out.
        sequences: only these animals.
    """
    from chromatrack.evaluation.datasets.badja import badja_benchmark
    from chromatrack.evaluation.tables import benchmark_table

    found = badja_benchmark(root, davis, sequences=sequences)
    lacking = ", ".join(found.settings["not_in_davis"])
    title = "BADJA" + (f", without {lacking} (not in DAVIS)" if lacking else "")
    return said(benchmark_table(measured(found, run, settings), title=title), output=run.output)


def evaluate_boxes(
    root: Root,
    /,
    *,
    run: OmitArgPrefixes[RunOptions] = ONE_BY_ONE,
    sequences: Names = None,
    settings: OmitArgPrefixes[Evaluated] = EVALUATED,
) -> str:
    """Measure one box per sequence: success AUC, precision at 20 px, overlap, found or absent.

    Args:
        root: a sequence, or a folder of some: OTB (groundtruth_rect.txt and img/0001.jpg), VOT
            (groundtruth.txt and color/00000001.jpg) or TLD (gt.txt and 00001.jpg beside it).
        sequences: only these.
    """
    from chromatrack.evaluation.datasets.boxes import box_benchmark
    from chromatrack.evaluation.tables import benchmark_table

    result = measured(box_benchmark(root, sequences=sequences), run, settings)
    return said(benchmark_table(result, title="boxes"), output=run.output)


def measured(benchmark: Benchmark, run: RunOptions, settings: Evaluated) -> Result:
    """The result of a benchmark with the model asked for."""
    return run_benchmark(benchmark, run, tracker=load_evaluated(settings), model=settings.model)


def said_of_poses(result: Result, title: str, run: RunOptions) -> str:
    """The tables of a pose benchmark: per joint, and per clip."""
    from chromatrack.evaluation.tables import benchmark_table, joints_table

    return said(joints_table(result), benchmark_table(result, title=title), output=run.output)


def noted(compat: Compat) -> str:
    """What a table's title adds when it is not the honest score."""
    return f", compat {compat}" if compat else ""
