"""The names of a run's files, and what of a run a path belongs to."""

from __future__ import annotations

from pathlib import Path

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

RESUME = ".resume"
"""Folder of what a run that ended early needs to go on; gone when it is complete."""

RUN_NAMES = (RESULT, "overlay.mp4", "masks", "marks", *TABLES.values(), RESUME)
"""Everything that a run may write into its folder."""


def is_run(folder: Path) -> bool:
    """Whether `chromatrack track` wrote a folder."""
    path = folder / RESULT
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return '"command": "track"' in file.read(2000)
    except OSError:
        return False


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
