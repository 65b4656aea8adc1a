"""result.json, frame by frame: a run of any length is written with as little memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from chromatrack.atomic import replace_file, unwritable
from chromatrack.json_text import json_text
from chromatrack.tracking.inference import TrackedFrame
from chromatrack.tracking.reliability import places_row


class KeptLines:
    """Lines of text in a file without a name, which is gone when it is closed."""

    def __init__(self, folder: Path) -> None:
        """In a folder that is there. Raises OutputError if it cannot be written."""
        self._folder, self._count = folder, 0
        try:
            self._file = tempfile.TemporaryFile(  # noqa: SIM115  (as long as this is used)
                "w+", encoding="utf-8", newline="\n", dir=folder
            )
        except OSError as error:
            raise unwritable(folder, error) from error

    def append(self, line: str) -> None:
        """Add a line, without its end. Raises OutputError if it cannot be written."""
        try:
            self._file.seek(0, 2)
            self._file.write(line + "\n")
        except OSError as error:
            raise unwritable(self._folder, error) from error
        self._count += 1

    def close(self) -> None:
        """Give the file's space back; how many lines there were is known still."""
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        self._file.seek(0)
        for line in self._file:
            yield line[:-1]


def frame_row(frame: TrackedFrame) -> str:
    """A frame's entry in result.json."""
    return json_text(
        {
            "index": frame.index,
            "pts_seconds": frame.pts_seconds,
            "areas": frame.areas,
            "entropy": {number: round(value, 5) for number, value in frame.entropy.items()},
            "confidence": {number: round(value, 5) for number, value in frame.confidence.items()},
            "reliability": {number: round(value, 5) for number, value in frame.reliability.items()},
            "place_reliability": places_row(frame.place_reliability),
            "present": frame.present,
            "cut": frame.cut,
        }
    )


def write_result(folder: Path, head: Mapping[str, Any], rows: Iterable[str]) -> None:
    """Write result.json: the head, then one line per frame; whole or not at all."""
    top = "".join(f'  "{key}": {_indented(value)},\n' for key, value in head.items())
    frames = (f"{',' if number else ''}\n    {row}" for number, row in enumerate(rows))
    start, stop = ["{\n", top, '  "frames": ['], ["\n  ]\n}\n"]
    replace_file(folder / "result.json", chain(start, frames, stop))


def _indented(value: object, indent: str = "  ") -> str:
    """JSON with one line per entry of a mapping, and lists on one line each."""
    if not isinstance(value, dict):
        return json_text(value)
    inner = f"{indent}  "
    lines = (f"{inner}{json_text(str(k))}: {_indented(v, inner)}" for k, v in value.items())
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
