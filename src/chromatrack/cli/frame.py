"""The command that shows one frame, to see where to put marks on it.

Nothing heavy is imported before it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from chromatrack.cli.track import Output, Video
from chromatrack.errors import InputError

if TYPE_CHECKING:
    from chromatrack.video.reader import Frame

Shown = Annotated[str, Positional, arg(metavar="FRAME|TIME")]


def frame(video: Video, moment: Shown = "0", /, *, output: Output, grid: bool = False) -> str:
    """Write one frame as a PNG, to paint a mask on it or to read off where things are.

    Args:
        video: video file, image, folder or glob of images.
        moment: its number from 0, or a time such as 2.5s.
        output: PNG file.
        grid: with labelled coordinates around it, as --box and --point of `track` take them; to
            look at only, as it is drawn over and often larger.
    """
    from chromatrack.video.reader import parse_moment, read_frame

    _check_output(video, output)
    at = parse_moment(moment)
    found = read_frame(video, index=at) if isinstance(at, int) else read_frame(video, seconds=at)
    _write(found, output, grid=grid)
    height, width = found.rgb.shape[:2]
    lines = [f"{_described(video, found)}, {width}x{height} px: {output}"]
    if grid:
        lines.append(f"a box on it: --box 1@{found.index}:X,Y,WIDTH,HEIGHT (X, Y: its top left)")
    return "\n".join(lines)


def _described(video: str, found: Frame) -> str:
    """Which frame it is: its number, its time or its picture, and of how many."""
    from chromatrack.video.images import image_files
    from chromatrack.video.reader import probe

    files = image_files(video)
    if files is not None:
        return f"frame {found.index} ({files[found.index].name}) of {len(files)}"
    count = probe(video).frame_count
    stated = f"of {count}" if count else "of a video that does not say how many it has"
    return f"frame {found.index} ({found.pts_seconds:.3f} s) {stated}"


def _write(found: Frame, output: Path, *, grid: bool) -> None:
    from chromatrack.atomic import replace_file
    from chromatrack.video.image_writer import signed_png
    from chromatrack.viz.grid import frame_grid

    replace_file(output, signed_png(frame_grid(found.rgb) if grid else found.rgb))


def _check_output(video: str, output: Path) -> None:
    """InputError unless it is a PNG that replaces nothing of others, nor joins the source's."""
    from chromatrack.atomic import UNSIGNED, OutputFile, check_output_files
    from chromatrack.runs.file_names import keep_runs
    from chromatrack.video.image_writer import is_our_picture
    from chromatrack.video.images import image_files

    if output.suffix.lower() != ".png" or output.is_dir():
        raise InputError(f"output: expected the name of a .png file, got {output}")
    keep_runs(output)
    check_output_files([OutputFile(output, "frame", is_our_picture, UNSIGNED)], reads=[video])
    files = image_files(video) or []
    if len(files) != 1 and output.resolve().parent in {file.resolve().parent for file in files}:
        raise InputError(
            f"{output}: lies among the pictures of {video} and would be taken for one of them; "
            "choose another folder"
        )
