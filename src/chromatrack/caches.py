"""Where this user's caches are: what may be removed at any time, and is then made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """This user's folder for caches: XDG_CACHE_HOME or ~/.cache, on Windows LOCALAPPDATA."""
    given = os.environ.get("XDG_CACHE_HOME") or (
        os.environ.get("LOCALAPPDATA") if os.name == "nt" else None
    )
    return (Path(given) if given else Path.home() / ".cache") / "chromatrack"
