"""`chromatrack export` and `import`: results to, and marks from, the formats of other tools."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import DisallowNone, Positional, UseAppendAction, arg

from chromatrack.cli.typed_marks import Many
from chromatrack.formats.format_lists import listed_formats, listed_readers
from chromatrack.formats.picture_names import Numbers

if TYPE_CHECKING:
    from chromatrack.runs.export import Exported

Exports = Annotated[Many, UseAppendAction, arg(metavar="FORMAT ...")]
"""An option that takes names of formats, several with blanks or commas between; may be repeated."""


def export(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    /,
    *,
    to: Annotated[str, arg(metavar="FORMAT", help="the format, one of those above.")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="PATH")],
    start_number: Annotated[int | None, DisallowNone] = None,
    premultiplied: bool = False,
    video: Annotated[Path | None, arg(metavar="VIDEO")] = None,
    overwrite: bool = False,
) -> str:
    """Write the results of a run in a format that another tool reads.

    Args:
        run: folder that `chromatrack track` wrote.
        to: the format.
        output: file or folder to write; a file gets the format's suffix where it has none.
        start_number: number of the first tracked frame in the output, such as 1001; else as the
            format counts.
        premultiplied: of cutout-prores, multiply colours by their opacity. Else they are straight.
        video: where the video is now, if it was moved; mattes and cut-outs need it.
        overwrite: replace files of the same names.
    """
    from chromatrack.cli.progress import frame_bar
    from chromatrack.formats.exchange import ExportOptions
    from chromatrack.runs.export import export_run
    from chromatrack.runs.reader import read_result

    with frame_bar() as report:
        options = ExportOptions(start_number, premultiplied, progress=report)
        done = export_run(
            read_result(run), to, output, options=options, video=video, overwrite=overwrite
        )
    tell_notes([done])
    return f"{to}: {done.path}"


def import_marks(
    file: Annotated[Path, Positional, arg(metavar="FILE|FOLDER")],
    /,
    *,
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER")] = None,
    video: Annotated[Path | None, arg(metavar="VIDEO")] = None,
    numbers: Numbers = "auto",
    video_name: Annotated[str | None, arg(metavar="NAME")] = None,
) -> str:
    """Read marks of another tool, say what was understood, and keep them as our own files.

    Args:
        file: marks in a format that is known, told by its content.
        output: folder for points.csv, boxes.csv, masks/, keypoints.json (each if there is such a
            thing) and marks.json, which `track --marks` reads; else nothing is written.
        video: what they are for; it says what pictures' names mean and which size counts.
        numbers: what a number in a picture's name means: as for `track`.
        video_name: which of the videos in a file of several it is, where no name fits.
    """
    from chromatrack.runs.imported import import_file, write_imported

    found = import_file(file, video, numbers=numbers, video_name=video_name)
    if output is None:
        return f"{found.text}\nnothing was written; -o FOLDER keeps it"
    write_imported(found, output, reads=file)
    return f"{found.text}\nmarks: {output}"


def _after_first_line(told: str | None, more: str) -> str:
    """A docstring with more lines behind its first one, as `--help` shows them."""
    first, _, rest = (told or "").partition("\n")
    lines = (f"    {line}".rstrip() for line in more.split("\n"))
    return "\n".join([first, "", *lines, rest])


export.__doc__ = _after_first_line(
    export.__doc__,
    f"m: masks, b: boxes, p: points, k: skeletons\n\n{listed_formats()}",
)
import_marks.__doc__ = _after_first_line(import_marks.__doc__, listed_readers())


def tell_notes(exported: Iterable[Exported]) -> None:
    """Warn of what the user should know of exports."""
    for done in exported:
        for note in done.notes:
            warnings.warn(note, stacklevel=2)
