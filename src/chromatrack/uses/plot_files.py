"""Charts of a result as files: a folder of pictures and a page, one page, or one picture of all."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from chromatrack.atomic import OutputFile, check_output_files, replace_file
from chromatrack.errors import InputError
from chromatrack.runs.file_names import keep_runs
from chromatrack.runs.progress import Report
from chromatrack.runs.reader import Result
from chromatrack.structures import Source
from chromatrack.uses.measures import IN_PIXELS, Scale, warn_of_made_up_times
from chromatrack.uses.plots import (
    CHARTS,
    PAPER,
    ChartName,
    Measured,
    chart_names,
    chart_size,
    measure,
)
from chromatrack.video.reader import read_frame
from chromatrack.viz import html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".html", ".png", ".svg")
PAGE = "plots.html"
"""Of a folder, beside a picture of each chart."""

MADE_BY = "chromatrack plot"
_DPI = 150
_TITLES: dict[ChartName, str] = {
    "trajectories": "Where things went",
    "presence": "When they were there",
    "speed": "How fast",
    "area": "How large",
    "reliability": "How far to trust it",
    "contacts": "Who met whom",
}


def plot_result(
    result: Result,
    output: Source,
    *,
    only: Sequence[ChartName] | None = None,
    svg: bool = False,
    video: Source | None = None,
    frame: int | None = None,
    near: float | None = None,
    scale: Scale = IN_PIXELS,
    progress: Report | None = None,
) -> list[Path]:
    """Draw the charts of a result and write them.

    Args:
        output: a folder for a picture of each chart and a page (`plots.html`); or a file: `.html`,
            a page to be read offline, `.png` or `.svg`, one picture of all charts.
        only: these charts; None: all that have something to show.
        svg: pictures of a folder as SVG, not PNG.
        video: where the video is now, if it was moved; without it paths are drawn on white.
        frame: number of the frame under the paths; None: the first that was tracked.
        near: gap up to which two things touch, px. scale: what lengths are told in.

    Returns:
        The files, in order.

    Raises:
        InputError: no such chart or suffix, nothing to show, a frame that was not tracked, or a
            file is in the way that this did not write. OutputError: one cannot be written.
    """
    target = Path(output)
    _check_charts(only)
    is_folder = target.is_dir() or not target.suffix
    if not is_folder and target.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{target}: expected a folder, or a file of {', '.join(SUFFIXES)}, got "
            f"{target.suffix}; rename it"
        )
    keep_runs(target if is_folder else target.resolve())
    measured = measure(
        result,
        rgb=_frame(result, video, frame),
        near=near,
        scale=scale,
        progress=progress,
    )
    names: list[ChartName] = chart_names(measured)
    names = [name for name in names if only is None or name in only]
    if not names:
        raise InputError(f"{result.folder}: nothing that was tracked shows in {_listed(only)}")
    if only and (missing := [name for name in only if name not in names]):
        warnings.warn(f"nothing to show in {_listed(missing)}: left out", stacklevel=2)
    warn_of_made_up_times(result)
    kind = ".svg" if svg else ".png"
    files = [target]
    if is_folder:
        files = [*(target / f"{name}{kind}" for name in names), target / PAGE]
    check_output_files([OutputFile(path, "plot", _is_ours) for path in files])
    for path, name in zip(files, names, strict=False) if is_folder else ():
        replace_file(path, _picture(measured, [name], kind))
    if files[-1].suffix.lower() == ".html":
        replace_file(files[-1], _page(result, measured, names))
    elif not is_folder:
        replace_file(target, _picture(measured, names, target.suffix.lower()))
    return files


def _check_charts(only: Sequence[str] | None) -> None:
    if unknown := [name for name in only or () if name not in CHARTS]:
        raise InputError(f"only: expected {', '.join(CHARTS)}, got {unknown[0]!r:.40}")


def _listed(names: Sequence[str] | None) -> str:
    return ", ".join(names or CHARTS)


def _frame(result: Result, video: Source | None, frame: int | None) -> np.ndarray | None:
    """The picture under the paths; None, with a warning, where the video is not there."""
    number = int(result.indices[0]) if frame is None else frame
    if number not in result.indices:
        first, last = result.indices[0], result.indices[-1]
        raise InputError(f"frame: expected one of those tracked, {first} to {last}, got {number}")
    try:
        source = result.find_video(video)
    except InputError as error:
        warnings.warn(f"{error} with --video; paths are drawn on white", stacklevel=3)
        return None
    rgb = read_frame(source, index=number).rgb
    if rgb.shape[:2] != result.size:
        raise InputError(
            f"video: expected {result.size[1]}x{result.size[0]} pixels as tracked, got "
            f"{rgb.shape[1]}x{rgb.shape[0]}; give the video of this run"
        )
    return rgb


def _figure(measured: Measured, names: Sequence[ChartName]) -> Figure:
    """One figure of these charts, one below the other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sizes = [chart_size(name, measured) for name in names]
    heights = [height for _, height in sizes]
    figure = Figure(figsize=(sizes[0][0], sum(heights)), layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    if len(names) == 1:
        CHARTS[names[0]](figure, measured)
        return figure
    parts = figure.subfigures(len(names), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, name in zip(parts, names, strict=True):
        part.suptitle(_TITLES[name], x=0.01, ha="left", fontsize=12, fontweight="bold")
        CHARTS[name](part, measured)
    return figure


def _picture(measured: Measured, names: Sequence[ChartName], suffix: str) -> bytes:
    """A PNG or SVG file of these charts, which says who made it."""
    import matplotlib

    file = io.BytesIO()
    figure = _figure(measured, names)
    if suffix == ".png":
        figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": MADE_BY})
    else:
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "chromatrack"}):
            figure.savefig(file, format="svg", metadata={"Creator": MADE_BY, "Date": None})
    return file.getvalue()


def _page(result: Result, measured: Measured, names: Sequence[ChartName]) -> str:
    """A page of tiles, charts and a table of all things."""
    traces, scale = measured.traces, measured.scale
    name_of_video = Path(result.video_path).name
    head = html.heading(name_of_video, f"{MADE_BY}: {result.folder}")
    tiles = html.tiles(
        {
            "things": len(traces.things),
            "frames": len(traces.frames),
            "seconds": float(traces.ends[-1] - traces.times[0]),
            "cuts": int(traces.cuts.sum()),
        }
    )
    body = [head, tiles]
    for name in names:
        if name == "trajectories":  # a photograph in it: as a picture, not as drawing
            png = Image.open(io.BytesIO(_picture(measured, [name], ".png")))
            title = _TITLES[name]
            body.append(html.section(title, _wide(html.as_data(png), alt=title)))
        else:
            drawn = html.svg(_figure(measured, [name]), salt=name)
            body.append(html.section(_TITLES[name], drawn))
    units = f"Speeds in {scale.unit}/s, areas in {scale.unit}²."
    numbers = html.table(_HEAD, _rows(measured)) + html.paragraph(units)
    body.append(html.section("In numbers", numbers))
    return html.page(f"{MADE_BY}: {name_of_video}", "\n".join(body))


def _wide(data: str, *, alt: str) -> str:
    return f'<figure><img alt="{html.text(alt)}" src="{data}" style="width:100%"></figure>'


_HEAD = (
    *("thing", "seen, share", "mean speed", "top speed", "mean area"),
    *("mean reliability", "lowest"),
)


def _rows(measured: Measured) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = []
    traces, scale = measured.traces, measured.scale
    shown = traces.ends - traces.times
    for n, thing in enumerate(traces.things):
        seen = float(shown[thing.present].sum() / shown.sum())
        rate, area = measured.speeds[n] / scale.pixels, thing.area / scale.pixels**2
        sure = measured.reliability[n]
        measures = [_over(np.nanmean, rate), _over(np.nanmax, rate), _over(np.nanmean, area)]
        trust = [_over(np.nanmean, sure), _over(np.nanmin, sure)]
        rows.append([measured.labels[n].replace(r"\$", "$"), seen, *measures, *trust])
    return rows


def _over(function: Callable[[np.ndarray], float], values: np.ndarray) -> float:
    return float(function(values)) if np.isfinite(values).any() else np.nan


def _is_ours(path: Path) -> bool:
    """Whether an earlier plot is there."""
    if path.suffix.lower() == ".png":
        try:
            with Image.open(path) as image:
                return image.info.get("Software") == MADE_BY
        except OSError:
            return False
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            head = file.read(3000)
    except OSError:
        return False
    pattern = rf"<title>{MADE_BY}: " if path.suffix.lower() == ".html" else MADE_BY
    return re.search(pattern, head) is not None
