"""What a job's outputs say of themselves: frames, how far they can be trusted, where to look."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chromatrack.runs.file_names import RESULT
from chromatrack.runs.video_staging import BESIDE

WORST = ("first", "last", "reliability")


def summary_of(folder: Path, outputs: Mapping[str, str]) -> dict[str, Any]:
    """Frames, first_frame, reliability, look_at (how many ranges) and worst (of them) of a job.

    reliability: of the thing that is trusted least, the mean over its frames, [0, 1]; of a coloured
    video, the mean over its frames. Of several commands the lowest counts. None: nothing is said.

    Args:
        folder: of the job. outputs: {command: what it wrote there}.
    """
    found = [
        _of_result(json.loads(path.read_text(encoding="utf-8")))
        for name in outputs.values()
        for path in (folder / name / RESULT, folder / f"{name}{BESIDE}")
        if path.is_file()
    ]
    told = [part["reliability"] for part in found if part["reliability"] is not None]
    ranges = [part["worst"] for part in found if part["worst"] is not None]
    return {
        "frames": max((part["frames"] for part in found), default=0),
        "first_frame": min((part["first_frame"] for part in found), default=0),
        "reliability": round(min(told), 5) if told else None,
        "look_at": sum(part["look_at"] for part in found),
        "worst": min(ranges, key=lambda row: row["reliability"], default=None),
    }


def _of_result(data: Mapping[str, Any]) -> dict[str, Any]:
    rows: list[Mapping[str, Any]] = data["frames"]
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        for kind, told in _told(row):
            for number, value in told.items():
                if value is not None:
                    values.setdefault((kind, number), []).append(value)
    means = [sum(each) / len(each) for each in values.values()]
    look_at: list[Mapping[str, Any]] = data.get("look_at", [])
    return {
        "frames": len(rows),
        "first_frame": rows[0]["index"] if rows else 0,
        "reliability": min(means, default=None),
        "look_at": len(look_at),
        "worst": {key: look_at[0].get(key) for key in WORST} if look_at else None,
    }


def _told(row: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """(kind, {id: reliability}) of a frame; a coloured one has one number."""
    own = row.get("reliability")
    if not isinstance(own, Mapping):
        return [("color", {"": own})]
    places = row.get("place_reliability", {})
    return [("object", own), *((k, v) for k, v in places.items() if k != "joint")]
