"""`chromatrack export`: a run's results in the format of another tool."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from chromatrack.formats.exchange import FORMATS

_NAMES = "|".join(one.name for one in FORMATS)


def export(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    /,
    *,
    to: Annotated[str, arg(metavar="FORMAT", help=f"the format: {_NAMES.replace('|', ', ')}.")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="PATH")],
    start_number: int | None = None,
    overwrite: bool = False,
) -> str:
    """Write the results of a run in a format that another tool reads.

    Args:
        run: folder that `chromatrack track` wrote.
        to: the format.
        output: file or folder to write; a file gets the format's suffix where it has none.
        start_number: number of the first tracked frame in the output, such as 1001. None: as the
            format counts.
        overwrite: replace files of the same names.
    """
    from chromatrack.formats.exchange import ExportOptions
    from chromatrack.runs.export import export_run
    from chromatrack.runs.reader import read_result

    options = ExportOptions(start_number=start_number)
    done = export_run(read_result(run), to, output, options=options, overwrite=overwrite)
    for note in done.notes:
        warnings.warn(note, stacklevel=1)
    return f"{to}: {done.path}"
