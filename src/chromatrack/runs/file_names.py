"""The names of a run's files, and what of a run a path belongs to."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal, get_args

from chromatrack.atomic import starts_with
from chromatrack.errors import InputError

RESULT = "result.json"
"""Says what the other files are: put in place last."""

TABLES = {
    "point": "tracks.csv",
    "box": "boxes.csv",
    "keypoints": "keypoints.json",
    "thing": "things.csv",
}
"""File name of each kind that is written as one table; things are all kinds together."""

Output = Literal["masks", "tracks", "overlay"]
"""What a run writes beside result.json and the marks: masks/, its tables, overlay.mp4."""

OUTPUTS: tuple[Output, ...] = get_args(Output)

RESUME = ".resume"
"""Folder of what a run that ended early needs to go on; gone when it is complete."""

EXPORTS = "exports"
"""Folder of a run for its results in the formats of other tools (`track --export`)."""

RUN_NAMES = (RESULT, "overlay.mp4", "masks", "marks", EXPORTS, *TABLES.values(), RESUME)
"""Everything that a run may write into its folder."""


def is_run(folder: Path) -> bool:
    """Whether `chromatrack track` wrote a folder."""
    path = folder / RESULT
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return '"command": "track"' in file.read(2000)
    except OSError:
        return False


def chosen_outputs(only: Collection[str] | None, *, overlay: bool = True) -> tuple[Output, ...]:
    """What a run is to write: all, or `only` some of it, and not the overlay where that is False.

    Raises:
        InputError: nothing is left, there is no such thing, or both speak of the overlay.
    """
    chosen = OUTPUTS if only is None else only
    if unknown := [name for name in chosen if name not in OUTPUTS]:
        raise InputError(f"only: expected {', '.join(OUTPUTS)}, got {unknown[0]}")
    if not chosen:
        raise InputError(f"only: expected at least one of {', '.join(OUTPUTS)}, got none")
    if only is not None and "overlay" in only and not overlay:
        raise InputError("only overlay: expected an overlay, got --no-overlay too; leave one out")
    return tuple(name for name in OUTPUTS if name in chosen and (overlay or name != "overlay"))


def resume_files(folder: Path) -> list[Path]:
    """All that a run's folder holds to go on, the folder of it last."""
    return [*(folder / RESUME).glob("*"), folder / RESUME]


def keep_runs(target: Path) -> None:
    """InputError if a path is a run's folder or one of its files: those are not for others."""
    place = target.resolve()
    for folder in (place, *place.parents):
        inside = place.relative_to(folder).parts
        if (not inside or inside[0] in RUN_NAMES) and is_run(folder):
            raise InputError(
                f"{target}: belongs to the run in {folder}, which would be overwritten; choose "
                "another output"
            )


def is_reliability_file(path: Path) -> bool:
    """Whether `chromatrack colorize` wrote a file beside a coloured video."""
    return starts_with(path, '{\n "chromatrack_version"')
