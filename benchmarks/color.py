"""Copied colours on clips never trained on, beside the paper's comparison points: chart and table.

    python benchmarks/color.py DATA... --out FOLDER [--models small] [--clips N] [--fps 24]

DATA are videos, folders of frames, or folders of those. The first frame of each keeps its colours;
later ones are shown grey and coloured from it: by the models (default settings), by dense optical
flow (OpenCV DIS: `pip install chromatrack[flow]`; straight from the first frame, and chained), by
the first frame's ab held still, and not at all. Errors are measured 0.2 to 4 seconds later, as far
as a clip goes (the frame nearest to that time), and differences from `still` and both flows get a
95 % bootstrap interval over clips: below 0, the model is better.

Prints Markdown; FOLDER gets colour.json (every score), colour.png (error over seconds, as Vondrick
et al. 2018 draw it) and, with --pictures, a sheet of coloured frames of every clip.

Only clips that no model here was trained on say anything: for the shipped models that is DAVIS, not
`train/video`. DAVIS frames are 24 a second and the gathered ones end after 2.1 s, so 3 and 4 s need
other held-out clips, such as OTB's (30 a second: `FOLDER@30` sets one folder's own rate).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chromatrack.atomic import replace_file
from chromatrack.cli.options import Settings, load_tracker
from chromatrack.errors import VideoError
from chromatrack.evaluation.baselines.colorizers import (
    GREY,
    STILL,
    Method,
    flow_methods,
    held_still,
    left_grey,
    tracker_method,
)
from chromatrack.evaluation.datasets.color_clips import Colored, save_sheet
from chromatrack.evaluation.datasets.color_horizon import (
    HORIZONS,
    HorizonScore,
    clip_differences,
    color_clip,
    open_clip,
    score_picture,
)
from chromatrack.evaluation.metrics.color import bootstrap_interval
from chromatrack.evaluation.paper.charts import LINES, horizon_chart, horizons_of, methods_of
from chromatrack.video.images import IMAGE_SUFFIXES

if TYPE_CHECKING:
    pass

VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v")

# -- clips ---------------------------------------------------------------------------------


def clips_of(data: Iterable[str], *, fps: float) -> list[tuple[Path, float]]:
    """Clips in each of DATA, with the rate that a folder of frames has."""
    found = []
    for text in data:
        name, at, rate = text.rpartition("@")
        own = bool(at) and not Path(text).exists()
        path = Path(name if own else text)
        found += [(clip, float(rate) if own else fps) for clip in clips_in(path)]
    return found


def clips_in(path: Path) -> list[Path]:
    """A clip, or those in a folder, in order of their names."""
    if not path.exists():
        raise VideoError(f"{path}: no such file or folder")
    if path.is_file() or has_frames(path):
        return [path]
    inside = sorted(path.iterdir())
    return [p for p in inside if p.suffix.lower() in VIDEO_SUFFIXES or (p.is_dir() and clips_in(p))]


def has_frames(folder: Path) -> bool:
    """Whether a folder holds images itself."""
    return any(p.suffix.lower() in IMAGE_SUFFIXES for p in folder.iterdir())


# -- tables --------------------------------------------------------------------------------


def chosen(scores: Iterable[HorizonScore], method: str, seconds: float) -> list[HorizonScore]:
    """One method's scores at one horizon, a clip each."""
    return [s for s in scores if s.method == method and s.seconds == seconds]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table of text cells, the first row its head, with a line below."""
    ruled = [rows[0], ["---"] + ["---:"] * (len(rows[0]) - 1), *rows[1:]]
    return "".join(f"| {' | '.join(row)} |\n" for row in ruled) + "\n"


def head(scores: Sequence[HorizonScore], title: str) -> list[str]:
    """Head of a table: the title, then horizons with their number of clips."""
    counts = {s: len({x.clip for x in scores if x.seconds == s}) for s in horizons_of(scores)}
    clips = {s: f"{n} clip" + ("s" if n > 1 else "") for s, n in counts.items()}
    return [title, *(f"{s:g} s ({clips[s]})" for s in counts)]


def mean_table(scores: Sequence[HorizonScore]) -> str:
    """Means over clips of the ab error, the share of pixels within 10 units, and the PSNR."""
    measures = {
        "ab error, Lab units (less is better)": lambda s: f"{np.mean([x.error for x in s]):.2f}",
        "share of pixels within 10 units": lambda s: f"{np.mean([x.within[10.0] for x in s]):.3f}",
        "PSNR, dB": lambda s: f"{np.mean([x.psnr for x in s]):.2f}",
    }
    text = ""
    for title, measure in measures.items():
        rows = [head(scores, title)]
        for method in methods_of(scores):
            there = [chosen(scores, method, seconds) for seconds in horizons_of(scores)]
            rows.append([method, *(measure(s) if s else "" for s in there)])
        text += markdown(rows)
    return text


def difference_table(scores: Sequence[HorizonScore]) -> str:
    """Models minus comparison points: mean over clips, and its interval."""
    rows = [head(scores, "difference of ab errors [95 %]")]
    methods = methods_of(scores)
    for model in (m for m in methods if m not in LINES):
        for other in (m for m in methods if m in LINES and m != GREY):
            cells = [difference(scores, model, other, s) for s in horizons_of(scores)]
            rows.append([f"{model} - {other}", *cells])
    return markdown(rows) if len(rows) > 1 else ""


def difference(scores: Sequence[HorizonScore], model: str, other: str, seconds: float) -> str:
    """One cell: the mean and, of several clips, its interval."""
    apart = clip_differences(scores, method=model, other=other, seconds=seconds)
    values = list(apart.values())
    if not values:
        return ""
    low, high = bootstrap_interval(values)
    interval = f" [{low:+.2f}, {high:+.2f}]" if len(values) > 1 else ""
    return f"{np.mean(values):+.2f}{interval}"


# -- pictures ------------------------------------------------------------------------------


def draw_chart(scores: Sequence[HorizonScore], path: Path) -> None:
    """Error over seconds since the reference, as a PNG."""
    from io import BytesIO

    image = BytesIO()
    horizon_chart(scores).savefig(image, format="png", dpi=160)
    replace_file(path, image.getvalue())


# -- the run -------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> list[HorizonScore]:
    """Scores of all clips, one after the other."""
    methods = {GREY: Method(left_grey), STILL: Method(held_still)}
    methods |= {} if options.no_flow else flow_methods()
    for model in options.models:
        methods[model] = tracker_method(load_tracker(Settings(model=model, device=options.device)))
    scores: list[HorizonScore] = []
    for path, fps in clips_of(options.data, fps=options.fps)[: options.clips]:
        started = time.perf_counter()
        clip = open_clip(path, seconds=options.seconds, fps=fps, short_side=options.size)
        if clip.name in {score.clip for score in scores}:
            clip = replace(clip, name=f"{path.resolve().parent.name}-{clip.name}")
        pictures: list[Colored] = []
        for colored in color_clip(clip, methods=methods):
            scores += score_picture(clip, colored)
            pictures += [colored] if options.pictures else []
        if pictures:
            columns = {f"{s:g} s": index for s, index in clip.targets.items()}
            sheet = options.out / f"{clip.name}.png"
            save_sheet(sheet, pictures, title=clip.name, columns=columns)
        spent = time.perf_counter() - started
        print(f"{clip.name}: {len(clip.targets)} horizons, {spent:.1f} s", file=sys.stderr)
    return scores


def to_json(scores: Sequence[HorizonScore], options: argparse.Namespace) -> str:
    """Every score and the run's options; the PSNR of equal pictures, infinity, is null."""
    rows = [asdict(score) for score in scores]
    for row in rows:
        row["psnr"] = row["psnr"] if math.isfinite(row["psnr"]) else None
    told = {"models": options.models, "size": options.size, "data": options.data}
    return json.dumps(told | {"scores": rows}, indent=1, allow_nan=False) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+", help="videos, folders of frames (@FPS), or of those")
    parser.add_argument("--out", type=Path, required=True, help="folder for colour.json and .png")
    parser.add_argument("--models", default="small", help="names or weights files, with commas")
    parser.add_argument("--clips", type=int, help="measure the first N clips only")
    parser.add_argument("--fps", type=float, default=24.0, help="of folders of frames")
    parser.add_argument("--size", type=int, default=480, help="short side of larger clips, pixels")
    parser.add_argument("--seconds", type=float, nargs="+", default=HORIZONS)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--no-flow", action="store_true", help="leave optical flow out")
    parser.add_argument("--pictures", action="store_true", help="save coloured frames, too")
    options = parser.parse_args()
    options.models = options.models.split(",")
    options.out.mkdir(parents=True, exist_ok=True)
    scores = measure(options)
    replace_file(options.out / "color.json", to_json(scores, options).encode())
    draw_chart(scores, options.out / "color.png")
    print(mean_table(scores) + difference_table(scores), end="")


if __name__ == "__main__":
    main()
