"""`chromatrack plot`: charts of a run, as pictures or as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from chromatrack.errors import InputError

Charts = Literal["trajectories", "presence", "speed", "area", "reliability", "contacts"]


def plot(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    /,
    *,
    output: Annotated[Path, arg(aliases=["-o"], metavar="PATH")],
    only: tuple[Charts, ...] | None = None,
    svg: bool = False,
    video: Annotated[Path | None, arg(metavar="VIDEO")] = None,
    frame: int | None = None,
    near: float | None = None,
    scale: Annotated[float | None, arg(metavar="PX")] = None,
    unit: str | None = None,
    fps: float | None = None,
) -> str:
    """Draw what was tracked: paths over a frame, presence, speed, area, reliability, contacts.

    Args:
        run: folder that `chromatrack track` wrote.
        output: folder for a picture of each chart and a page; or a file: .html, a page to be read
            offline, .png or .svg, one picture of all charts.
        only: these charts. None: all that have something to show.
        svg: pictures of a folder as SVG, not PNG.
        video: where the video is now, if it was moved.
        frame: number of the frame under the paths. None: the first that was tracked.
        near: largest gap between two things that touch, px or units of --scale. None: 5 px.
        scale: so many px are one unit: lengths and speeds are given and told in it.
        unit: its name, such as cm.
        fps: frames per second of pictures, which state no times.
    """
    from chromatrack.cli.progress import frame_bar
    from chromatrack.runs.reader import read_result
    from chromatrack.uses.measures import IN_PIXELS, Scale, at_rate
    from chromatrack.uses.plot_files import plot_result

    result, measure = read_result(run), IN_PIXELS
    if scale is not None:
        measure = Scale(scale, "unit" if unit is None else unit)
    elif unit is not None:
        raise InputError(f"unit {unit}: goes with --scale, got without; say how many px it has")
    if near is not None and not near >= 0:
        raise InputError(f"near: expected a number from 0 up, got {near:g}")
    if fps is not None:
        result = at_rate(result, fps)
    with frame_bar() as report:
        files = plot_result(
            result,
            output,
            only=only,
            svg=svg,
            video=video,
            frame=frame,
            near=None if near is None else near * measure.pixels,
            scale=measure,
            progress=report,
        )
    return "\n".join(map(str, files))
