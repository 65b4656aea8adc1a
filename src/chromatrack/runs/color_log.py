"""How far every coloured frame can be trusted, noted on disk: a reel's length takes no memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Self

from chromatrack import __version__
from chromatrack.atomic import replace_file, unwritable
from chromatrack.json_text import json_text
from chromatrack.propagation.reliability import ReviewRange, frames_to_look_at
from chromatrack.runs.video_staging import BESIDE
from chromatrack.tracking.color_reliability import LOOK_BELOW


@dataclass
class ColorLog:
    """A context manager: rows of frames, in a file without a name that goes with the block.

    count: of them.
    """

    count: int = 0
    _file: IO[str] = field(default_factory=lambda: tempfile.TemporaryFile("w+", encoding="utf-8"))  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, index: int, pts_seconds: float, reliability: float) -> None:
        """Note a frame. Raises OutputError where temporary files have no room."""
        try:
            self._file.write(f"{index} {float(pts_seconds)!r} {float(reliability)!r}\n")
        except OSError as error:
            raise unwritable(Path(tempfile.gettempdir()), error) from error
        self.count += 1

    def rows(self) -> Iterator[tuple[int, float, float]]:
        """Number, pts_seconds and reliability of every frame so far, in order."""
        self._file.seek(0)
        try:
            for line in self._file:
                index, pts, reliability = line.split()
                yield int(index), float(pts), float(reliability)
        finally:
            self._file.seek(0, os.SEEK_END)

    def to_look_at(self) -> list[ReviewRange]:
        """Frames whose colours may be wrong, the worst first."""
        frames = ((index, {0: value}) for index, _, value in self.rows())
        return [replace(r, kind="color") for r in frames_to_look_at(frames, below=LOOK_BELOW)]

    def write(self, target: Path, *, model: str) -> Path:
        """Write TARGET.reliability.json. Raises OutputError."""
        path = target.with_name(f"{target.name}{BESIDE}")
        replace_file(path, self._text(model))
        return path

    def _text(self, model: str) -> Iterator[str]:
        head = {
            "chromatrack_version": __version__,
            "command": "colorize",
            "model": model,
            "look_at": [
                {"first": r.first, "last": r.last, "reliability": round(r.reliability, 5)}
                for r in self.to_look_at()
            ],
        }
        yield json_text(head, indent=1).removesuffix("\n}") + ',\n "frames": ['
        comma = ""
        for index, pts, value in self.rows():
            row = {"index": index, "pts_seconds": pts, "reliability": round(value, 5)}
            yield f"{comma}\n  {json_text(row)}"
            comma = ","
        yield "\n ]\n}\n" if comma else "]\n}\n"
