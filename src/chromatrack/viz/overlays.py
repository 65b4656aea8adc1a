"""Pictures for people: masks and reliability over frames, contact sheets.

Functions on (H, W, 3) uint8 RGB frames, which they leave as they are; InputError for another shape
or type.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from chromatrack.atomic import replace_file
from chromatrack.errors import InputError
from chromatrack.formats.masks import check_mask
from chromatrack.formats.thing_colors import bright_color, brightest, object_colors
from chromatrack.structures import Color

PAPER = (246, 246, 243)
INK = (38, 40, 44)

_RIM = 0.6  # weight of the ink beside an edge that is drawn boldly

Font: TypeAlias = ImageFont.ImageFont | ImageFont.FreeTypeFont


def overlay_masks(
    rgb: np.ndarray,
    mask: np.ndarray,
    *,
    alpha: float = 0.45,
    outline: bool = True,
    colors: Mapping[int, Color] | None = None,
    dashed: Collection[int] = (),
    bold: bool = False,
) -> np.ndarray:
    """Tint every object of `mask` in its colour, with a crisp outline just inside its edge.

    Args:
        mask: (H, W) integer object ids, 0 = background, which keeps its colour.
        alpha: weight of the tint, 0 (none) to 1 (flat colour).
        outline: draw the edge in the brightest version of the colour; its width is 1 px per
            360 px of the frame's short side, at least 1 px.
        colors: of some ids; the others have those of the DAVIS palette.
        dashed: ids whose edge is drawn in dashes.
        bold: the edge is twice as wide, with a dark rim beside it, so that it is seen alone.
    """
    check_rgb(rgb)
    ids = check_mask(mask)
    if ids.shape != rgb.shape[:2]:
        raise InputError(
            f"mask and frame must have one size, got mask {ids.shape} and frame {rgb.shape[:2]}"
        )
    if not 0.0 <= alpha <= 1.0:
        raise InputError(f"alpha is a weight from 0 to 1, got {alpha}")
    result = rgb.copy()
    around = _surroundings(ids)
    if around is None:
        return result
    part, ids = result[around], ids[around]  # a view: what is drawn on it is drawn on the frame
    for number in _shown(ids):
        own = ids == number
        place = _surroundings(own)
        assert place is not None
        tinted = _tinted(number, alpha, colors)
        for channel in range(3):
            levels = part[*place, channel]
            np.copyto(levels, np.take(tinted[:, channel], levels), where=own[place])
    if outline:
        side = min(rgb.shape[:2])
        width = max(1, round(side / 180)) if bold else max(1, round(side / 360))
        edge = mask_outline(ids, width=width)
        length = max(4, round(side / 60))
        for number in dashed:
            edge &= ~_gaps(ids == number, around, length)
        if bold:
            rim = _beside(edge, width=max(1, round(side / 360)))
            part[rim] = np.rint(part[rim] * (1 - _RIM) + np.array(INK) * _RIM)
        part[edge] = brightest(object_colors(ids[edge], colors))
    return result


def _beside(edge: np.ndarray, *, width: int) -> np.ndarray:
    """(h, w) bool: pixels that are not of an edge and at most `width` px from it, on both sides."""
    size = 2 * width + 1
    drawn = Image.fromarray(edge.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(size))
    return (np.asarray(drawn) > 0) & ~edge


def _gaps(own: np.ndarray, around: tuple[slice, slice], length: int) -> np.ndarray:
    """(h, w) bool: pixels of an object in the gaps of its dashed edge, which are as long as dashes.

    Along x where the edge runs more across than down, else along y; the same wherever `around`,
    the part of the frame that this is, begins.
    """
    if not own.any():
        return own
    soft = Image.fromarray(own.astype(np.uint8) * 255).filter(ImageFilter.BoxBlur(length / 2))
    down, across = np.gradient(np.asarray(soft, dtype=np.float32))
    rows, columns = (
        np.arange(side.start, side.stop)[:size] // length % 2
        for side, size in zip(around, own.shape, strict=True)
    )
    is_gap = np.where(np.abs(down) >= np.abs(across), columns[None, :], rows[:, None]) == 1
    return own & is_gap


def _surroundings(ids: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns that hold objects, and one more on each side; None: there are none."""
    slices = []
    for axis in (1, 0):
        held = np.flatnonzero(ids.any(axis))
        if not len(held):
            return None
        slices.append(slice(max(0, int(held[0]) - 1), int(held[-1]) + 2))
    return slices[0], slices[1]


def _shown(ids: np.ndarray) -> list[int]:
    """Ids of objects."""
    if int(ids.max()) > 65535:  # counted, they would take too much room
        return [number for number in np.unique(ids).tolist() if number]
    return [number for number in np.flatnonzero(np.bincount(ids.ravel())).tolist() if number]


def _tinted(number: int, alpha: float, colors: Mapping[int, Color] | None) -> np.ndarray:
    """What an object's colour makes of every level of every channel: `(256, 3)` uint8."""
    tint = object_colors(np.array([number]), colors).astype(np.float32)
    levels = np.arange(256, dtype=np.uint8)[:, None]
    return np.rint(levels * (1.0 - alpha) + tint * alpha).astype(np.uint8)


def mask_outline(mask: np.ndarray, *, width: int = 1) -> np.ndarray:
    """(H, W) bool: pixels of an object at most `width` px (city-block) from another id.

    The frame's own border is no edge.
    """
    edge = _touches_other(mask)
    same_down = mask[1:] == mask[:-1]
    same_across = mask[:, 1:] == mask[:, :-1]
    for _ in range(width - 1):
        grown = edge.copy()
        grown[1:] |= edge[:-1] & same_down
        grown[:-1] |= edge[1:] & same_down
        grown[:, 1:] |= edge[:, :-1] & same_across
        grown[:, :-1] |= edge[:, 1:] & same_across
        edge = grown
    return edge & (mask > 0)


@dataclass(frozen=True)
class Bar:
    """How far to trust one thing.

    name: stands before the bar. number: the id whose colour it has, if not `color`. value: [0, 1],
    its length. low: below it the bar has a red frame; a tick marks it.
    """

    name: str
    number: int
    value: float
    low: float
    color: Color | None = None


Panel = Literal["bottom-left", "bottom-right", "top-left", "top-right", "outside"]
"""Where bars of reliability stand: in a corner of the picture, or in a strip to its right."""


def overlay_reliability(
    rgb: np.ndarray, bars: Sequence[Bar], *, panel: Panel = "bottom-left"
) -> np.ndarray:
    """Draw bars one below the other; where too many, those of lowest values.

    Args:
        panel: where; "outside" makes the picture wider by a strip, by as much for any bars.

    Raises InputError for a value outside 0..1.
    """
    check_rgb(rgb)
    for bar in bars:
        if not 0 <= bar.value <= 1:
            raise InputError(f"reliability of {bar.name}: expected 0 to 1, got {bar.value}")
    height, width = rgb.shape[:2]
    step = max(3, height // 50, min(height // 24, height // max(1, len(bars))))
    worst = sorted(range(len(bars)), key=lambda row: bars[row].value)[: height // step]
    shown = [bars[row] for row in sorted(worst)]
    letters = max((len(bar.name) for bar in shown), default=1)
    name_width, length = (2 + letters // 3) * step, max(8, width // 6)
    edge = 0
    if panel == "outside":
        strip = np.zeros((height, 2 * ((width // 6 + height // 4) // 2 + 2), 3), np.uint8)
        rgb, edge = np.concatenate([rgb, strip], axis=1), width
    elif panel.endswith("right"):
        edge = width - (name_width + length + 3)
    image = Image.fromarray(rgb).convert("RGBA")
    plate = Image.new("RGBA", image.size, (0, 0, 0, 0))
    pen, font = ImageDraw.Draw(plate), load_font(max(8, step - 4))
    first = height - len(shown) * step if panel.startswith("bottom") else 1
    for row, bar in enumerate(shown):
        box = (edge, first + row * step, edge + name_width + length, first + (row + 1) * step - 3)
        _draw_bar(pen, bar, box, length=length, font=font if step >= 9 else None)
    return np.array(Image.alpha_composite(image, plate).convert("RGB"))


def _draw_bar(
    pen: ImageDraw.ImageDraw,
    bar: Bar,
    box: tuple[int, int, int, int],
    *,
    length: int,
    font: Font | None,
) -> None:
    """A bar of `length` px at the right of a box (left, top, right, bottom), its name at the left.

    font: None: too small for a name.
    """
    edge, top, right, bottom = box
    left = right - length
    color = bar.color or bright_color(bar.number)
    pen.rectangle((edge, top - 1, right + 2, bottom + 1), fill=(0, 0, 0, 150))
    pen.rectangle((left, top, left + round(bar.value * length), bottom), fill=(*color, 255))
    tick = left + round(bar.low * length)
    pen.line((tick, top, tick, bottom), fill=(255, 255, 255, 160))
    if bar.value < bar.low:
        pen.rectangle((left, top, right, bottom), outline=(255, 40, 40, 255))
    if font is not None:
        place = edge + 2, (top + bottom) / 2
        pen.text(place, bar.name, font=font, fill="white", anchor="lm")


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray]],
    *,
    row_titles: Sequence[str] = (),
    column_titles: Sequence[str] = (),
    title: str = "",
    cell_height: int = 160,
    gap: int = 6,
) -> np.ndarray:
    """Lay frames out as one labelled picture on a light ground, to judge a result at a glance.

    Args:
        rows: rows of frames, of any sizes; short rows leave their end empty.
        row_titles: one per row, at its left, or none.
        column_titles: one per column, above it, or none.
        title: a line above all, or none.
        cell_height: height in px to which every frame is scaled, aspect kept.
        gap: px between frames.

    Raises:
        InputError: no frames, or a wrong number of titles.
    """
    columns = max((len(row) for row in rows), default=0)
    if columns == 0:
        raise InputError("a contact sheet needs at least one frame, got none")
    for name, titles, count in (
        ("row_titles", row_titles, len(rows)),
        ("column_titles", column_titles, columns),
    ):
        if titles and len(titles) != count:
            raise InputError(f"{name}: expected {count} titles or none, got {len(titles)}")
    if cell_height < 1 or gap < 0:
        raise InputError(f"cell_height must be positive and gap not negative: {cell_height}, {gap}")
    cells = [[_scaled(frame, height=cell_height) for frame in row] for row in rows]
    font, title_font = load_font(max(12, cell_height // 10)), load_font(max(15, cell_height // 7))
    widths = [max(row[c].width for row in cells if c < len(row)) for c in range(columns)]
    pad = 3 * gap
    left = pad + (max(_text_width(t, font) for t in row_titles) + pad if row_titles else 0)
    title_height = round(_text_height(title_font) * 1.6) if title else 0
    head = pad + title_height + (round(_text_height(font) * 1.5) if column_titles else 0)
    width = left + sum(widths) + gap * (columns - 1) + pad
    if title:
        width = max(width, _text_width(title, title_font) + 2 * pad)
    height = head + len(cells) * (cell_height + gap) - gap + pad
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    if title:
        pen.text((pad, pad), title, font=title_font, fill=INK)
    lefts = [left + sum(widths[:c]) + gap * c for c in range(columns)]
    for x, w, text in zip(lefts, widths, column_titles, strict=False):
        pen.text((x + w // 2, head - gap), text, font=font, fill=INK, anchor="mb")
    for r, row in enumerate(cells):
        top = head + r * (cell_height + gap)
        if row_titles:
            pen.text((pad, top + cell_height // 2), row_titles[r], font=font, fill=INK, anchor="lm")
        for x, cell in zip(lefts, row, strict=False):
            sheet.paste(cell, (x, top))
    return np.array(sheet)


def write_sheet(
    path: Path,
    rows: Mapping[str, Sequence[np.ndarray]],
    *,
    columns: Sequence[str],
    title: str,
    cell_height: int = 160,
) -> None:
    """Write a `contact_sheet` of rows by their titles as a PNG, and its folder where missing.

    Raises:
        InputError: no pictures. OutputError: it cannot be written.
    """
    sheet = contact_sheet(
        list(rows.values()),
        row_titles=list(rows),
        column_titles=columns,
        title=title,
        cell_height=cell_height,
    )
    image = BytesIO()
    Image.fromarray(sheet).save(image, format="png")
    replace_file(path, image.getvalue())


def check_rgb(rgb: np.ndarray) -> None:
    """InputError unless it is an (H, W, 3) uint8 frame."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
        raise InputError(f"a frame is (H, W, 3) uint8 RGB, got {rgb.dtype} of shape {rgb.shape}")


@functools.cache
def load_font(size: int) -> Font:
    """Pillow's built-in font at `size` px; needs no font file on the machine."""
    return ImageFont.load_default(size=size)


# -- parts -----------------------------------------------------------------------------------


def _scaled(frame: np.ndarray, *, height: int) -> Image.Image:
    check_rgb(frame)
    width = max(1, round(frame.shape[1] * height / frame.shape[0]))
    return Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS)


def _touches_other(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels with a 4-neighbour of another id."""
    touches = np.zeros(mask.shape, dtype=bool)
    down = mask[1:] != mask[:-1]
    across = mask[:, 1:] != mask[:, :-1]
    touches[1:] |= down
    touches[:-1] |= down
    touches[:, 1:] |= across
    touches[:, :-1] |= across
    return touches


def _text_width(text: str, font: Font) -> int:
    return int(np.ceil(font.getlength(text)))


def _text_height(font: Font) -> int:
    return int(np.ceil(font.getbbox("Ag")[3]))
