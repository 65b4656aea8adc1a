"""Reports of single clips as an earlier run left them: clips/NAME.json in the output folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

LONGEST_NAME = 150
"""Characters of a file's name, as file systems allow some 255 bytes."""


@dataclass(frozen=True)
class Kept:
    """A clip's report. made_with: digests of all that it depends on, the clip among them."""

    name: str
    made_with: dict[str, str]
    frames: int
    seconds: float
    report: dict[str, Any]


def clip_path(folder: Path, name: str) -> Path:
    """Where a clip's report is: another file for every name, whatever characters it has."""
    safe = quote(name, safe=" ()+,=@", errors="surrogateescape")
    if len(safe) > LONGEST_NAME:
        mark = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        safe = f"{safe[:LONGEST_NAME]}~{mark}"
    return folder / "clips" / f"{safe}.json"


def read_kept(path: Path, *, name: str) -> Kept | None:
    """What was kept of the clip `name`; None where there is nothing, or something else."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.keys() != {field.name for field in fields(Kept)}:
        return None
    kept = Kept(**content)
    is_whole = isinstance(kept.made_with, dict) and isinstance(kept.report, dict)
    return kept if is_whole and kept.name == name else None
