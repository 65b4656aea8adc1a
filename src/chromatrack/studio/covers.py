"""A small picture of each project, by which it is known again in the list of recent ones."""

from __future__ import annotations

import io
import time
from contextlib import suppress
from pathlib import Path

from PIL import Image

from chromatrack.atomic import replace_file
from chromatrack.errors import OutputError
from chromatrack.studio.store import Project

_COVER = "cover.jpg"
_SIZE = (160, 120)  # at most
_SECONDS = 5.0  # a person who scrubs sees many frames
_MOST_BYTES = 1 << 18
_JPEG = b"\xff\xd8"


class Covers:
    """Keeps a frame that was looked at lately of the open project."""

    def __init__(self) -> None:
        """None was kept yet."""
        self._kept: tuple[Path | None, float] = (None, 0.0)

    def keep(self, project: Project, frame: bytes) -> None:
        """Keep a frame, a JPEG of any size, unless one was kept a moment ago.

        It is for comfort alone: what cannot be written is let be.
        """
        folder, now = project.home, time.monotonic()
        if self._kept[0] == folder and now - self._kept[1] < _SECONDS:
            return
        self._kept = (folder, now)
        with suppress(OutputError, OSError):
            replace_file(folder / _COVER, _small(frame))


def _small(frame: bytes) -> bytes:
    """A JPEG made small, in its own shape."""
    with Image.open(io.BytesIO(frame), formats=["JPEG"]) as picture:
        picture.draft("RGB", _SIZE)
        picture.thumbnail(_SIZE)
        out = io.BytesIO()
        picture.convert("RGB").save(out, "JPEG", quality=80)
    return out.getvalue()


def cover(home: Path) -> bytes | None:
    """The small picture in the studio's part of a project, a JPEG; None where there is none."""
    try:
        with (home / _COVER).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError:
        return None
    return content if content.startswith(_JPEG) and len(content) <= _MOST_BYTES else None
