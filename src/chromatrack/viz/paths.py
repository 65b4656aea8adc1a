"""Where things went: the middle of each on every frame so far, as a line that stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from PIL import Image

from chromatrack.formats.thing_colors import color_of
from chromatrack.structures import Colors, Kind, TrackedBox, TrackedPoint
from chromatrack.viz.track_overlays import XY, paint_line

Thing = tuple[Kind, int]

_WIDTH = 2.0
"""Px at 480p and below, more for larger frames."""


def middles(
    mask: np.ndarray,
    ids: Iterable[int],
    points: Mapping[int, TrackedPoint],
    boxes: Mapping[int, TrackedBox],
) -> dict[Thing, XY]:
    """The middle of what is seen on a frame, xy px: the mean of a mask's pixels, a box's middle.

    Args:
        mask: `(H, W)` object ids, of which `ids` count.
    """
    found: dict[Thing, XY] = {}
    for number in ids:
        y, x = np.nonzero(mask == number)
        if len(x):
            found["object", number] = (float(x.mean()), float(y.mean()))
    for number, box in boxes.items():
        if box.visible:
            middle = box.x + (box.width - 1) / 2, box.y + (box.height - 1) / 2
            found["box", number] = middle
    for number, point in points.items():
        if point.visible:
            found["point", number] = (point.x, point.y)
    return {thing: xy for thing, xy in found.items() if np.isfinite(xy).all()}


class Paths:
    """Lines through the middles of things, in their colours; none across frames where one is gone.

    What was drawn stays in a layer of its own, so that a frame costs the same however long the
    lines are.
    """

    def __init__(self, size: tuple[int, int], colors: Colors | None = None) -> None:
        """Lines for frames of (height, width) `size`; colors: of some things."""
        height, width = size
        self._colors = colors or {}
        self._paint = Image.new("RGB", (width, height))
        self._share = Image.new("L", (width, height))
        self._last: dict[Thing, XY] = {}
        self._width = _WIDTH * max(1.0, min(size) / 480)

    def add(self, places: Mapping[Thing, XY]) -> None:
        """Take in the middles of the next frame, as `middles` gives them."""
        for thing, xy in places.items():
            before = self._last.get(thing)
            if before is None:
                continue
            color = color_of(*thing, self._colors)
            line = (before, xy)
            paint_line(self._paint, line, color, width=self._width + 2)
            paint_line(self._share, line, 255, width=self._width)
        self._last = dict(places)

    def draw(self, rgb: np.ndarray) -> np.ndarray:
        """The lines so far over a frame `(H, W, 3)` uint8."""
        image = Image.fromarray(rgb).copy()
        image.paste(self._paint, (0, 0), self._share)
        return np.array(image)
