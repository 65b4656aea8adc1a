"""Copied colours on disk: one small picture of them for each frame, and a table of all.

`studio/colors/00012.png` has ab + 128 of frame 12 in its first two channels and how sure they are
in the third, 0 to 255, at the working size (in projects of earlier versions one for the frame);
`studio/colors/frames.jsonl` a line for each frame that was coloured; a frame's last one counts.
A frame is whole on disk before its line is; what is killed in between lacks a line. A picture that
is replaced goes to `studio/colors/earlier/KEY`, KEY that of its references, and comes back when
they are asked for again.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chromatrack.atomic import unwritable
from chromatrack.errors import InputError
from chromatrack.formats.masks import frame_file
from chromatrack.json_text import json_text
from chromatrack.propagation.reliability import frames_to_look_at
from chromatrack.studio.store import FOLDER
from chromatrack.tracking.color_reliability import LOOK_BELOW

MOST_EARLIER = 6
"""How many references ago colours are kept of."""

_ZERO = 128
_TABLE = "frames.jsonl"
_EARLIER = "earlier"


@dataclass(frozen=True)
class ColoredRow:
    """A frame that was coloured: by which references (their key), and how sure its colours are."""

    index: int
    pts_seconds: float
    reliability: float
    key: str


def colors_folder(folder: Path) -> Path:
    """Where a project has its colours."""
    return folder / FOLDER / "colors"


def still_path(folder: Path, digest: str) -> Path:
    """Where a project has a coloured still, or a frame's copied colours.

    Raises InputError for what is no digest.
    """
    if len(digest) != 32 or set(digest) - set("0123456789abcdef"):
        raise InputError(f"still: expected a digest of 32 hex digits, got {digest!r:.40}")
    return folder / FOLDER / "stills" / f"{digest}.png"


class ColorWriter:
    """Takes in coloured frames, one at a time."""

    def __init__(self, folder: Path) -> None:
        """folder: of the project. Raises OutputError."""
        self._home = colors_folder(folder)
        self._rows = Colors(folder).rows
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            self._table = (self._home / _TABLE).open("ab", buffering=0)
            if self._table.tell() and not _ends_whole(self._home / _TABLE):
                self._table.write(b"\n")  # after half a line, which a full disk left
        except OSError as error:
            raise unwritable(self._home, error) from error

    def put(self, row: ColoredRow, ab: np.ndarray, confidence: np.ndarray) -> None:
        """Put a frame in place.

        Args:
            ab: `(2, h, w)` float. confidence: `(h, w)` float in [0, 1], how well each was copied.

        Raises:
            OutputError: it cannot be written; what was in its place still is.
        """
        levels = np.clip(np.rint(ab) + _ZERO, 0, 255).astype(np.uint8)
        sure = np.rint(255 * np.clip(confidence, 0, 1)).astype(np.uint8)
        path = self._home / frame_file(row.index)
        aside = path.with_suffix(".part")
        try:
            Image.fromarray(np.dstack([levels[0], levels[1], sure])).save(
                aside, format="PNG", compress_level=1
            )
            self._take(row, aside)
        except OSError as error:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            raise unwritable(path, error) from error

    def _take(self, row: ColoredRow, picture: Path) -> None:
        """Have a frame's picture and line; what was there by other references is kept."""
        path = self._home / frame_file(row.index)
        old = self._rows.get(row.index)
        if old is not None and old.key != row.key and _is_key(old.key):
            with suppress(OSError):  # it can be coloured again
                kept = self._home / _EARLIER / old.key / path.name
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.unlink(missing_ok=True)
                os.link(path, kept)
        picture.replace(path)
        line = f"{json_text(asdict(row))}\n".encode()
        if self._table.write(line) != len(line):
            raise OSError(errno.ENOSPC, "No space left on device")
        self._rows[row.index] = row

    def bring_back(self, key: str) -> int:
        """Have the pictures again that references had made; how many are. Raises OutputError."""
        kept, count = self._home / _EARLIER / key, 0
        try:
            for row in _rows(self._home / _TABLE):
                path = kept / frame_file(row.index)
                now = self._rows.get(row.index)
                if row.key == key and now is not None and now.key != key and path.is_file():
                    self._take(row, path)
                    count += 1
            shutil.rmtree(kept, ignore_errors=True)
        except OSError as error:
            raise unwritable(kept, error) from error
        return count

    def close(self) -> None:
        """No more frames come; pictures of references long ago go."""
        self._table.close()
        with suppress(OSError):
            kept = list((self._home / _EARLIER).iterdir())
            kept.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
            for path in kept[MOST_EARLIER:]:
                shutil.rmtree(path, ignore_errors=True)


def has_earlier(folder: Path, key: str) -> bool:
    """Whether pictures are kept of the time when a project's references had that key."""
    return _is_key(key) and (colors_folder(folder) / _EARLIER / key).is_dir()


def _is_key(key: str) -> bool:
    return key.isalnum() and key.isascii()


def _rows(table: Path) -> list[ColoredRow]:
    """All lines of a table that are whole, later ones of a frame and key in place of earlier."""
    rows: dict[tuple[int, str], ColoredRow] = {}
    for raw in table.read_bytes().splitlines(keepends=True):
        if (row := _row(raw)) is not None:
            rows[row.index, row.key] = row
    return list(rows.values())


def _row(raw: bytes) -> ColoredRow | None:
    try:
        row = ColoredRow(**json.loads(raw))
        return replace(row, index=int(row.index), key=str(row.key))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _ends_whole(path: Path) -> bool:
    """Whether the last line of a table has its end."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def read_colors(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(ab `(2, h, w)` float32, certainty `(h, w)` float32 in [0, 1]) of a frame's picture.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            levels = np.moveaxis(np.asarray(image.convert("RGB")), 2, 0)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"{path.name}: the colours of this frame are damaged; colour it"
        ) from error
    ab = np.ascontiguousarray(levels[:2]).astype(np.float32)
    sure = np.ascontiguousarray(levels[2]).astype(np.float32)
    return ab - _ZERO, sure / 255


class Colors:
    """The coloured frames of a project, as far as they are on disk."""

    def __init__(self, folder: Path) -> None:
        """Read the table of a project."""
        self._home = colors_folder(folder)
        self._read = 0
        self.rows: dict[int, ColoredRow] = {}
        self.refresh()

    def refresh(self) -> None:
        """Take in what was written since."""
        try:
            with (self._home / _TABLE).open("rb") as file:
                file.seek(self._read)
                content = file.read()
        except OSError:
            return
        for raw in content.splitlines(keepends=True):
            if not raw.endswith(b"\n"):
                break
            self._read += len(raw)
            if (row := _row(raw)) is not None:
                self.rows[row.index] = row

    def picture(self, index: int) -> Path | None:
        """The file of a frame's colours; None where it has none."""
        return self._home / frame_file(index) if index in self.rows else None

    def key(self, key: str) -> str:
        """What tells these colours from others. key: of the references now."""
        return f"{key}-{self._read:x}"

    def told(self, key: str, *, wanted: tuple[int, int]) -> dict[str, Any] | None:
        """As the client is told. key: of the references now; wanted: frames to colour [a, b)."""
        if not self.rows:
            return None
        start, end = min(self.rows), max(self.rows) + 1
        values = [self.rows[i].reliability if i in self.rows else None for i in range(start, end)]
        known = [(i, {0: row.reliability}) for i, row in sorted(self.rows.items())]
        stale = _ranges(
            [i for i in range(*wanted) if i not in self.rows or self.rows[i].key != key]
        )
        look_at = [
            {"first": r.first, "last": r.last, "reliability": round(r.reliability, 3)}
            for r in frames_to_look_at(known, below=LOOK_BELOW)
        ]
        return {
            "key": self.key(key),
            "start": start,
            "end": end,
            "complete": not stale,
            "stale": bool(stale),
            "staleRanges": stale,
            "reliability": [None if v is None else round(v, 4) for v in values],
            "doubtfulBelow": LOOK_BELOW,
            "lookAt": look_at,
        }


def _ranges(frames: list[int]) -> list[list[int]]:
    found: list[list[int]] = []
    for frame in frames:
        if found and frame == found[-1][1]:
            found[-1][1] = frame + 1
        else:
            found.append([frame, frame + 1])
    return found
