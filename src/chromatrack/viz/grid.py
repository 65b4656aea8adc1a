"""A frame with labelled coordinates, from which people read where things are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from chromatrack.viz.overlays import INK, PAPER, check_rgb, load_font

LONG_SIDE = 1200  # smaller frames are shown larger, by a whole number, to about this many px
MOST_LINES = 20  # along the long side
TICKS = 5  # from line to line, on the frame's border
LIGHT, DARK = (255, 255, 255, 110), (0, 0, 0, 110)


def frame_grid(rgb: np.ndarray) -> np.ndarray:
    """A frame under lines at round coordinates, their numbers in a margin around it.

    Args:
        rgb: (H, W, 3) uint8.

    Returns:
        (H', W', 3) uint8, at least as large. The coordinates are pixels of `rgb`, (0, 0) the centre
        of its top-left one, at whatever size it is shown.

    Raises:
        InputError: no frame.
    """
    check_rgb(rgb)
    grid = _Grid.fitting(*rgb.shape[:2])
    size = (grid.width * grid.zoom, grid.height * grid.zoom)
    shown = Image.fromarray(rgb).resize(size, Image.Resampling.NEAREST)
    page = Image.new("RGBA", (size[0] + 2 * grid.margin, size[1] + 2 * grid.margin), PAPER)
    page.paste(shown, (grid.margin, grid.margin))
    over = Image.new("RGBA", page.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(over)
    for place in range(0, grid.width, grid.step):
        grid.draw_column(pen, place)
    for place in range(0, grid.height, grid.step):
        grid.draw_row(pen, place)
    return np.array(Image.alpha_composite(page, over).convert("RGB"))


def line_step(length: int, *, lines: int = MOST_LINES) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... px that makes at most so many lines of `length`."""
    magnitudes = (10**power for power in range(len(str(length)) + 1))
    steps = (digit * magnitude for magnitude in magnitudes for digit in (1, 2, 5))
    return next(step for step in steps if length / step <= lines)


@dataclass(frozen=True)
class _Grid:
    """Where lines and numbers go. height, width, step: px of the frame; else px of the picture."""

    height: int
    width: int
    step: int
    zoom: int
    letter: int
    margin: int

    @classmethod
    def fitting(cls, height: int, width: int) -> _Grid:
        longest = max(height, width)
        zoom = max(1, round(LONG_SIDE / longest))
        letter = max(13, longest * zoom // 90)
        margin = math.ceil(load_font(letter).getlength(str(longest))) + letter
        return cls(height, width, line_step(longest), zoom, letter, margin)

    def at(self, place: float) -> int:
        """Pixel of the picture that shows the centre of a row or column of the frame."""
        return self.margin + math.floor((place + 1 / 2) * self.zoom)

    def draw_column(self, pen: ImageDraw.ImageDraw, place: int) -> None:
        x, low, high = self.at(place), self.margin, self.margin + self.height * self.zoom - 1
        pen.line((x, low, x, high), fill=LIGHT)
        pen.line((x + 1, low, x + 1, high), fill=DARK)
        font, gap = load_font(self.letter), self.letter // 3
        pen.text((x, low - gap), str(place), font=font, fill=INK, anchor="mb")
        pen.text((x, high + gap), str(place), font=font, fill=INK, anchor="mt")
        for x in self._ticks(place, self.width):
            pen.line((x, low - gap, x, low - 1), fill=INK)
            pen.line((x, high + 1, x, high + gap), fill=INK)

    def draw_row(self, pen: ImageDraw.ImageDraw, place: int) -> None:
        y, low, high = self.at(place), self.margin, self.margin + self.width * self.zoom - 1
        pen.line((low, y, high, y), fill=LIGHT)
        pen.line((low, y + 1, high, y + 1), fill=DARK)
        font, gap = load_font(self.letter), self.letter // 2
        pen.text((low - gap, y), str(place), font=font, fill=INK, anchor="rm")
        pen.text((high + gap, y), str(place), font=font, fill=INK, anchor="lm")
        for y in self._ticks(place, self.height):
            pen.line((low - gap // 2, y, low - 1, y), fill=INK)
            pen.line((high + 1, y, high + gap // 2, y), fill=INK)

    def _ticks(self, place: int, length: int) -> list[int]:
        parts = TICKS if self.step % TICKS == 0 else self.step
        places = (place + part * self.step // parts for part in range(1, parts))
        return [self.at(place) for place in places if place < length]
