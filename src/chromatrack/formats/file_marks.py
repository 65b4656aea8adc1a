"""What readers of marks are given and give: a file to look into, and marks of all kinds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.json_fields import JsonValue
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.outlines import PolygonMark
from chromatrack.formats.polygons import rasterize
from chromatrack.formats.text_encoding import text_encoding
from chromatrack.structures import BoxMark, KeypointMark, LostMark, PointMark, Skeleton

MOST_BYTES = 1 << 30
"""Of a text file of marks."""

MOST_PAINTED = 1 << 30
"""Pixels of all masks that one file may paint: they are kept in memory, 4 bytes each."""

_HEAD = 1 << 16


@dataclass(frozen=True)
class FileMarks:
    """Everything that a file of marks says; names are in the source it was read for.

    masks: {frame: (H, W) int32 ids}. points, boxes, keypoints: without a place where declared lost.
    lost: objects declared lost. skeleton: of the keypoints.
    """

    masks: Mapping[int, np.ndarray] = field(default_factory=dict)
    points: Sequence[PointMark] = ()
    boxes: Sequence[BoxMark] = ()
    keypoints: Sequence[KeypointMark] = ()
    lost: Sequence[LostMark] = ()
    skeleton: Skeleton | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is marked."""
        return not (self.masks or self.points or self.boxes or self.keypoints or self.lost)


class GivenFile:
    """A file or folder that somebody gave, looked into no further than is asked for."""

    def __init__(self, path: Path) -> None:
        """Nothing is read yet.

        Raises:
            InputError: it does not exist.
        """
        if not path.exists():
            raise InputError(f"no file or folder '{path}'; check the path")
        self.path = path
        self.is_folder = path.is_dir()

    @cached_property
    def start(self) -> bytes:
        """The first 64 KiB; nothing of a folder."""
        if self.is_folder:
            return b""
        try:
            with self.path.open("rb") as file:
                return file.read(_HEAD)
        except OSError as error:
            raise InputError(f"'{self.path}': cannot be read ({error}); check it") from error

    @cached_property
    def head(self) -> str:
        """The same as text, without a byte order mark; "" where it is none."""
        encoding = text_encoding(self.start)
        if b"\0" in self.start and encoding != "utf-16":
            return ""
        return self.start.decode(encoding, errors="replace").removeprefix("\ufeff")

    @cached_property
    def lines(self) -> list[str]:
        """The first lines with something on them, whole ones unless there is only one."""
        lines = self.head.splitlines()
        whole = lines[:-1] if len(self.start) == _HEAD and len(lines) > 1 else lines
        return [line for line in whole if line.strip()]

    @cached_property
    def json(self) -> Any:  # noqa: ANN401  (whatever JSON can hold)
        """Its content, where it looks like JSON; None where it does not.

        Raises:
            InputError: it looks like JSON, but cannot be read.
        """
        if not self.head.lstrip().startswith(("{", "[")):
            return None
        try:
            return json.loads(self.text())
        except InputError:  # it is a ValueError, too
            raise
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"'{self.path}': looks like JSON, but cannot be read ({error}); save it again"
            ) from error

    @property
    def value(self) -> JsonValue:
        """Its JSON, with errors that say where it is wrong."""
        return JsonValue(self.json, str(self.path))

    def has(self, *keys: str) -> bool:
        """Whether it is a JSON object with all of these."""
        return isinstance(self.json, dict) and all(key in self.json for key in keys)

    def text(self) -> str:
        """All of it.

        Raises:
            InputError: no UTF-8 text, or too much of it.
        """
        try:
            if (size := self.path.stat().st_size) > MOST_BYTES:
                raise InputError(
                    f"'{self.path}': expected at most {MOST_BYTES >> 20} MiB of marks, got "
                    f"{size >> 20}; keep the frames that you marked"
                )
            return self.path.read_text(encoding=text_encoding(self.start))
        except (OSError, UnicodeError) as error:
            raise InputError(
                f"'{self.path}': expected UTF-8 text, but it cannot be read ({error}); save it "
                "again"
            ) from error


def labels_in(given: GivenFile) -> list[Path]:
    """The tables of labels in a folder of DeepLabCut, each once: as HDF5 only without a CSV."""
    found = {
        path.stem: path
        for suffix in ("h5", "csv")
        for path in sorted(given.path.glob(f"CollectedData_*.{suffix}"))
    }
    return list(found.values()) if given.is_folder else []


@dataclass(frozen=True)
class MaskPiece:
    """A painted region of object `id` on `frame`: (h, w) bool pixels, their top left at corner.

    corner: (left, top) px; may leave the frame.
    """

    id: int
    frame: int
    corner: tuple[int, int]
    inside: np.ndarray


def painted(
    pieces: Iterable[MaskPiece | PolygonMark], source: MarkedSource, place: str
) -> dict[int, np.ndarray]:
    """{frame: (H, W) int32 ids} of outlines and painted regions, later ones on top.

    Args:
        place: of the file, as errors begin.

    Raises:
        InputError: more pixels than can be kept.
    """
    masks: dict[int, np.ndarray] = {}
    for piece in pieces:
        if piece.frame not in masks:
            if (len(masks) + 1) * source.size[0] * source.size[1] > MOST_PAINTED:
                raise InputError(
                    f"{place}: expected masks of at most {len(masks)} frames of this size, as they "
                    "are kept in memory, got more; keep the frames that you corrected"
                )
            masks[piece.frame] = np.zeros(source.size, dtype=np.int32)
        mask = masks[piece.frame]
        if isinstance(piece, PolygonMark):
            mask[rasterize(piece.rings, source.size)] = piece.id
        else:
            _paste(mask, piece)
    return dict(sorted(masks.items()))


def _paste(mask: np.ndarray, piece: MaskPiece) -> None:
    (left, top), (height, width) = piece.corner, piece.inside.shape
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(mask.shape[1], left + width), min(mask.shape[0], top + height)
    if x0 < x1 and y0 < y1:
        mask[y0:y1, x0:x1][piece.inside[y0 - top : y1 - top, x0 - left : x1 - left]] = piece.id
