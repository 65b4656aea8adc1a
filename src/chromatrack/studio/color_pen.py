"""Strokes of colour, and of the eraser, as pixels of a frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from chromatrack.formats.color_text import read_color

Stroke = Mapping[str, Any]
"""{"color": "#rrggbb", or None of the eraser, "radius", "points"}, in px of the frame."""

_THINNEST = 0.71
"""Radius, px, from which on a line has no gaps, wherever it lies between the pixels."""

_TOGETHER = 16
"""Over the radius, px: how many points of a line are looked at together."""


def strokes_drawn(
    strokes: Sequence[Stroke], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """(colours `(H, W, 3)` uint8, where there are any `(H, W)` bool); later strokes lie above.

    One of the eraser takes away what was painted under it.
    """
    names = _names(strokes, size)
    colors = [read_color(one["color"] or "#000000", "stroke") for one in strokes]
    return np.array([(0, 0, 0), *colors], np.uint8)[names], names > 0


def still_painted(strokes: Sequence[Stroke], size: tuple[int, int]) -> list[Stroke]:
    """The strokes that are needed: those of the eraser go with all that they took away.

    What is drawn stays the same to the pixel. Without an eraser among them all are needed.
    """
    if all(stroke["color"] is not None for stroke in strokes):
        return list(strokes)
    seen = set(np.unique(_names(strokes, size)).tolist())
    painted = [
        stroke
        for number, stroke in enumerate(strokes, start=1)
        if stroke["color"] is None or number in seen
    ]
    where, needed = np.zeros(size, bool), []
    for stroke in painted:
        is_eraser, hits = stroke["color"] is None, False
        for box, inside in _pieces(stroke, size):
            hits = hits or bool((where[box] & inside).any())
            where[box][inside] = not is_eraser
        if hits or not is_eraser:
            needed.append(stroke)
    return needed


def _names(strokes: Sequence[Stroke], size: tuple[int, int]) -> np.ndarray:
    """`(H, W)` int32: the number, from 1, of the stroke that is seen at each pixel; 0: none."""
    names = np.zeros(size, np.int32)
    for number, stroke in enumerate(strokes, start=1):
        for box, inside in _pieces(stroke, size):
            names[box][inside] = 0 if stroke["color"] is None else number
    return names


def _pieces(
    stroke: Stroke, size: tuple[int, int]
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """(rows and columns, which pixels of them) of a stroke, piece by piece.

    A pixel is of it where its middle is no farther than the radius from the line.
    """
    radius, points = max(_THINNEST, float(stroke["radius"])), np.array(stroke["points"], np.float32)
    ends = np.stack([points[:-1], points[1:]]) if len(points) > 1 else np.stack([points, points])
    count = max(1, round(_TOGETHER / radius))
    for first in range(0, ends.shape[1], count):
        lines = ends[:, first : first + count]  # (2, count, 2): from, to; x, y
        left, top = np.ceil(lines.min((0, 1)) - radius).clip(0).astype(int)
        right, bottom = np.floor(lines.max((0, 1)) + radius).clip(-1).astype(int) + 1
        box = (slice(top, min(size[0], bottom)), slice(left, min(size[1], right)))
        if box[0].start < box[0].stop and box[1].start < box[1].stop:
            yield box, _near(lines, box, radius)


def _near(lines: np.ndarray, box: tuple[slice, slice], radius: float) -> np.ndarray:
    """Which pixels of a box are no farther than that from one of `(2, count, 2)` lines."""
    ax, ay = lines[0].T[:, :, None, None]
    along, down = (lines[1] - lines[0]).T[:, :, None, None]
    y, x = (np.arange(one.start, one.stop, dtype=np.float32) for one in box)
    x, y = x - ax, y[:, None] - ay
    share = (x * along + y * down) / (along**2 + down**2).clip(1e-9)
    share = share.clip(0, 1)
    return ((x - share * along) ** 2 + (y - share * down) ** 2 <= radius**2).any(0)
