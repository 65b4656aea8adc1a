"""Marks and colours of a project made into a manifest of `chromatrack batch`, for other videos.

exports/batch/ holds the manifest and the files that it names; paths of videos are whole.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chromatrack.atomic import replace_file
from chromatrack.errors import InputError
from chromatrack.formats.masks import write_mask
from chromatrack.json_text import json_text
from chromatrack.runs.export import EXPORTS
from chromatrack.runs.staging import Staging
from chromatrack.studio.document import Document, saturation_of
from chromatrack.studio.marks import marks_of

_SHOWN = 12  # lines of the manifest that the client gets to see


def write_batch(
    folder: Path,
    document: Document,
    videos: Sequence[str],
    references: Mapping[int, np.ndarray],
    *,
    kind: str,
) -> dict[str, Any]:
    """Write a manifest that does to other videos what a project does to its own.

    Args:
        folder: of the project. videos: paths of the others. references: {frame: coloured picture
            `(H, W, 3)` uint8}. kind: "csv" or "jsonl".

    Returns:
        {"path", "text": its first lines, "command": to be run, "notes": what it leaves out}.

    Raises:
        InputError: a video is not there or named twice; or nothing is marked. OutputError.
    """
    places = [_checked(video) for video in videos]
    if len(set(places)) < len(places):
        raise InputError("videos: expected each of them once; take out what comes twice")
    home = folder / EXPORTS / "batch"
    with Staging(home) as stage:
        stage.path.mkdir(parents=True)
        cells, notes = _track_cells(document, folder, stage.path)
        named = [f"color-{frame:05d}.png" for frame in references]
        for name, rgb in zip(named, references.values(), strict=True):
            Image.fromarray(rgb).save(stage.path / name, compress_level=1)
        rows: list[dict[str, Any]] = []
        saturation = saturation_of(document)
        if named and saturation > 1:
            notes.append("saturation above 100 % is left out")
        jobs = _jobs(places)
        for place, job in zip(places, jobs, strict=True):
            if cells:
                rows.append({"job": job, "video": str(place), "command": "track"} | cells)
            if named:
                own = f"{job}-colour" if cells else job
                row = {"job": own, "video": str(place), "command": "colorize", "marks": named}
                rows.append(row | ({"strength": saturation} if saturation < 1 else {}))
        if not rows:
            raise InputError("batch: expected a mark or a colour, got none; mark something first")
        text = _csv(rows) if kind == "csv" else "".join(f"{json_text(row)}\n" for row in rows)
        replace_file(stage.path / f"jobs.{kind}", text)
        stage.put_in_place()
    path = home / f"jobs.{kind}"
    words = ["chromatrack", "batch", str(path), "-o", str(home / "store")]
    lines = text.splitlines()[:_SHOWN]
    return {
        "path": str(path),
        "text": "\n".join(lines),
        "command": shlex.join(words),
        "notes": notes,
    }


def _checked(video: str) -> Path:
    if "\0" in video:
        raise InputError("videos: expected paths, got one with a zero byte")
    try:
        place = Path(video).expanduser().resolve()
        if place.exists():
            return place
    except (OSError, RuntimeError) as error:
        raise InputError(f"{video[:80]}: cannot be looked at ({error}); check the path") from error
    raise InputError(f"{video[:80]}: expected a video, found nothing; check the path")


def _jobs(places: Sequence[Path]) -> list[str]:
    """A name for each, none twice."""
    names: list[str] = []
    for place in places:
        kept = "".join(c if c.isalnum() or c in "-_." else "-" for c in place.stem)[:60]
        name = base = kept.strip("-.") or "video"
        number = 2
        while name.lower() in (taken.lower() for taken in names):
            name, number = f"{base}-{number}", number + 1
        names.append(name)
    return names


def _track_cells(document: Document, folder: Path, home: Path) -> tuple[dict[str, Any], list[str]]:
    """(cells of a row that tracks the marks of a project, what they leave out)."""
    marks = marks_of(document, folder)
    cells: dict[str, Any] = {}
    masks = []
    for frame, ids in marks.masks.items():
        write_mask(home / f"marks-{frame:05d}.png", ids)
        masks.append(f"marks-{frame:05d}.png@{frame}")
    points = [
        f"{one.id}@{one.frame}:{one.x:g},{one.y:g}" for one in marks.points if one.x is not None
    ]
    boxes = [
        f"{one.id}@{one.frame}:{one.x:g},{one.y:g},{one.width:g},{one.height:g}"
        for one in marks.boxes
        if one.x is not None
    ]
    lost = [f"{one.id}@{one.frame}" for one in marks.lost]
    lost += [f"point:{one.id}@{one.frame}" for one in marks.points if one.x is None]
    lost += [f"box:{one.id}@{one.frame}" for one in marks.boxes if one.x is None]
    columns = (("masks", masks), ("point", points), ("box", boxes), ("lost", lost))
    for column, values in columns:
        if values:
            cells[column] = values
    notes = []
    if marks.keypoints:
        notes.append("skeletons are left out; give them by a file in the column keypoints")
    if cells:
        cells["quality"] = document["settings"]["quality"]
    return cells, notes


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        cells = [row.get(name, "") for name in names]
        writer.writerow([";".join(c) if isinstance(c, list) else c for c in cells])
    return out.getvalue()
