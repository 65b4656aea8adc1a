"""Outlines as they are marked: their corners, checked, and from JSON."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chromatrack.errors import InputError, shown
from chromatrack.formats.json_fields import JsonValue

FARTHEST = 1e9
"""Largest coordinate of a corner, px; beyond it a row and a column no longer have exact numbers."""


@dataclass(frozen=True)
class PolygonMark:
    """An outline of object `id` on `frame`.

    rings: (n, 2) float64 xy px arrays, n >= 3, closed by themselves; what lies inside an odd number
    of them belongs to the object, so a second ring cuts a hole.
    """

    id: int
    frame: int
    rings: tuple[np.ndarray, ...]


def checked_ring(ring: np.ndarray) -> np.ndarray:
    """The ring as (n, 2) float64, or InputError."""
    corners = np.asarray(ring, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        raise InputError(
            f"a polygon has at least 3 corners, (n, 2), got shape {corners.shape}; add corners"
        )
    if not (np.abs(corners) <= FARTHEST).all():
        raise InputError(
            f"a polygon's corners are finite px positions, got {shown(corners.tolist())}; "
            "correct them"
        )
    return corners


def read_ring(value: JsonValue) -> np.ndarray:
    """(n, 2) corners from JSON."""
    corners = [corner.xy() for corner in value.items()]
    try:
        return checked_ring(np.array(corners).reshape(len(corners), 2))
    except InputError as error:
        raise InputError(f"{value.place}: {error}") from error


def rectangle_ring(first: tuple[float, float], last: tuple[float, float]) -> np.ndarray:
    """(4, 2) corners of the rectangle between two opposite ones."""
    (x0, y0), (x1, y1) = first, last
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=np.float64)


def object_id(number: int, given: JsonValue) -> int:
    """The number, if it can be an object's id in a mask; else InputError."""
    if not 1 <= number <= np.iinfo(np.int32).max:
        raise InputError(
            f"{given.place}: expected an object id from 1 up, got {number}; correct it"
        )
    return number
