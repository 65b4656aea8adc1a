"""What a network sees, as one picture: colours copied, where cells point, the embedding as colour.

Source: the figures of Vondrick et al. 2018. Pure functions on RGB arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.ops.color import lab_to_rgb, rgb_to_lab
from chromatrack.ops.coords import rescale_points
from chromatrack.ops.resample import interleaved, planes
from chromatrack.training.monitor.probes import PairView, Pointers, colorless
from chromatrack.viz.overlays import PAPER, contact_sheet

WORST_ERROR = 40.0
"""Distance in the ab plane that is drawn white."""

CELL_COLORS = np.array(
    [(255, 90, 70), (70, 190, 255), (255, 214, 10), (110, 230, 110), (235, 130, 255)], np.uint8
)

_BOX = (360, 640)  # (height, width) in px at which frames are drawn; the sheet shows half of it
_NAME = 18  # characters of a clip's name that fit beside its row


def grey_frame(rgb: np.ndarray) -> np.ndarray:
    """A frame's lightness as the network sees it: `(H, W, 3)` uint8 -> same."""
    return interleaved(lab_to_rgb(colorless(rgb_to_lab(planes(rgb).float() / 255))))


def watch_picture(views: Sequence[PairView], *, title: str) -> np.ndarray:
    """One picture of all held-out pairs: a row each for its colours, and one for its pointer.

    Returns:
        `(H, W, 3)` uint8.

    Raises:
        InputError: no pairs.
    """
    if not views:
        raise InputError("watch_picture: expected at least one held-out pair, got none")
    names = [short_name(view.name) for view in views]
    colors = contact_sheet(
        [_color_row(view) for view in views],
        row_titles=names,
        column_titles=(
            "reference",
            "target, as seen",
            "colours predicted" if views[0].is_predicted else "colours copied",
            "truth",
            f"ab error (white: {WORST_ERROR:.0f} or more)",
        ),
        title=title,
        cell_height=_BOX[0] // 2,
    )
    pointers = contact_sheet(
        [_pointer_row(view) for view in views],
        row_titles=names,
        column_titles=(
            "cells of the target",
            "point to (ring: mean)",
            "pointer, as heat",
            "embedding: reference",
            "embedding: target",
        ),
        cell_height=_BOX[0] // 2,
    )
    return _stack([colors, pointers])


def short_name(name: str) -> str:
    """A name that fits beside a row; the end, which tells clips of one source apart, stays."""
    if len(name) <= _NAME:
        return name
    return f"{name[: _NAME - 8]}..{name[-6:]}"


def _color_row(view: PairView) -> list[np.ndarray]:
    error = heat_colors(view.error / WORST_ERROR)
    frames = (view.reference, grey_frame(view.target), view.copied, view.target, error)
    return [_boxed(_enlarged(frame)) for frame in frames]


def _pointer_row(view: PairView) -> list[np.ndarray]:
    heat = lay_heat(grey_frame(view.reference), view.heat)
    pictures = [
        _mark_cells(grey_frame(view.target), view.pointers),
        _draw_arrows(view.reference, view.pointers),
        *(_enlarged(frame) for frame in (heat, *view.embedding)),
    ]
    return [_boxed(picture) for picture in pictures]


def heat_colors(values: np.ndarray) -> np.ndarray:
    """`(H, W)` floats, 0 black over violet and orange to 1 and more white -> `(H, W, 3)` uint8."""
    stops = [(0, 0, 0), (80, 20, 110), (220, 60, 60), (255, 170, 40), (255, 255, 255)]
    at = np.linspace(0, 1, len(stops))
    planes_ = [np.interp(values, at, [stop[c] for stop in stops]) for c in range(3)]
    return np.rint(np.stack(planes_, axis=-1)).astype(np.uint8)


def lay_heat(grey: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay the pointer of each cell in its colour over a darkened `(H, W, 3)` uint8 frame.

    heat: `(P, H, W)` float in [0, 1].
    """
    result = grey.astype(np.float32) * 0.45
    for number, one in enumerate(heat):
        alpha = np.sqrt(one)[..., None] * 0.9  # the root: tails of 1 % are seen
        result = result * (1 - alpha) + CELL_COLORS[number % len(CELL_COLORS)] * alpha
    return np.rint(result).astype(np.uint8)


def _enlarged(rgb: np.ndarray) -> Image.Image:
    """A frame as large as the box allows."""
    scale = min(_BOX[0] / rgb.shape[0], _BOX[1] / rgb.shape[1])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    return Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC)


def _boxed(image: Image.Image) -> np.ndarray:
    """A picture in the middle of the box, so that wide and tall clips make even columns."""
    box = Image.new("RGB", (_BOX[1], _BOX[0]), PAPER)
    box.paste(image, ((box.width - image.width) // 2, (box.height - image.height) // 2))
    return np.array(box)


def _canvas_xy(xy: Tensor, rgb: np.ndarray, image: Image.Image) -> list[tuple[float, float]]:
    """Pixel positions of the frame as positions on its enlarged picture."""
    from_size, to_size = (rgb.shape[0], rgb.shape[1]), (image.height, image.width)
    moved = rescale_points(xy.cpu(), from_size=from_size, to_size=to_size)
    return [(float(x), float(y)) for x, y in moved]


def _color(number: int) -> tuple[int, int, int]:
    r, g, b = CELL_COLORS[number % len(CELL_COLORS)].tolist()
    return r, g, b


def _disc(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], radius: float, color: tuple[int, int, int]
) -> None:
    x, y = at
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color, outline=(0, 0, 0))


def _mark_cells(rgb: np.ndarray, pointers: Pointers) -> Image.Image:
    """Numbered dots on the cells asked."""
    image = _enlarged(rgb)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=26)
    for number, at in enumerate(_canvas_xy(pointers.asked, rgb, image)):
        _disc(pen, at, 17, _color(number))
        pen.text(at, str(number + 1), font=font, fill=(0, 0, 0), anchor="mm")
    return image


def _draw_arrows(rgb: np.ndarray, pointers: Pointers) -> Image.Image:
    """Arrows over a darkened reference, from each cell's own place to where it points."""
    image = _enlarged(np.rint(rgb * 0.6).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    ends = (pointers.asked, pointers.best, pointers.expected)
    for number, (start, best, mean) in enumerate(
        zip(*(_canvas_xy(xy, rgb, image) for xy in ends), strict=True)
    ):
        color = _color(number)
        x, y = mean
        pen.ellipse((x - 15, y - 15, x + 15, y + 15), outline=color, width=4)
        _arrow(pen, start, best, color)
    return image


def _arrow(
    pen: ImageDraw.ImageDraw,
    start: tuple[float, float],
    end: tuple[float, float],
    color: tuple[int, int, int],
) -> None:
    """A dot where it starts, a line, and a head; where both are one place, a dot alone."""
    across, down = end[0] - start[0], end[1] - start[1]
    length = math.hypot(across, down)
    if length > 24:
        x, y = across / length, down / length
        neck = (end[0] - 22 * x, end[1] - 22 * y)
        pen.line((start, neck), fill=(0, 0, 0), width=10)
        pen.line((start, neck), fill=color, width=6)
        sides = [(neck[0] - 11 * y, neck[1] + 11 * x), (neck[0] + 11 * y, neck[1] - 11 * x)]
        pen.polygon([end, *sides], fill=color, outline=(0, 0, 0))
    _disc(pen, start, 8 if length > 24 else 11, color)


def _stack(sheets: Sequence[np.ndarray]) -> np.ndarray:
    """Sheets under each other on one ground, left-aligned."""
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [
        np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0)), mode="constant")
        for sheet in sheets
    ]
    for sheet, part in zip(sheets, padded, strict=True):
        part[:, sheet.shape[1] :] = PAPER
    return np.concatenate(padded)
