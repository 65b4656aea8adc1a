"""Points with trails, boxes and skeletons drawn on RGB frames, anti-aliased.

Functions on (H, W, 3) uint8 frames, as in `overlays.py`. Every shape is a few round strokes in one
colour. They are drawn several times too large on a small grey patch around them, which is scaled
down to become the shape's opacity, pixel by pixel.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from chromatrack.errors import InputError
from chromatrack.formats.thing_colors import bright_color, skeleton_color
from chromatrack.structures import Color, Skeleton, TrackedBox, TrackedKeypoints, TrackedPoint
from chromatrack.viz.overlays import check_rgb, load_font

FINER = 4
"""Patch pixels per frame pixel along each axis; opacity comes in 16 steps and positions in 1/4."""

RIM = (16, 17, 20)
"""Dark colour around dots and lines, so that they stand out on any ground."""

FADE_STEPS = 5
"""In which a trail fades from its dot to nothing."""

LONGEST_LABEL = 24
"""Letters of a name that are drawn; longer ones are cut."""

QUERY = " ?"
"""Stands behind the name of what is doubtful on a frame."""

FAR = 1e4
"""Px beyond which positions are pulled in: they are far outside any frame anyhow."""

XY: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Stroke:
    """A line through xy px positions, with round or open ends.

    width: px. opacity: 0..1, replaces that of earlier strokes of the same shape.
    """

    positions: tuple[XY, ...]
    width: float
    opacity: float = 1.0
    round_ends: bool = True


class Trails:
    """The latest positions of every point, to draw behind it.

    A frame where a point is not visible ends its trail: no line crosses what it was hidden by.
    """

    def __init__(self, length: int) -> None:
        """Keep `length` positions per point, at least 1. Raises InputError otherwise."""
        if length < 1:
            raise InputError(f"a trail keeps at least 1 position, got length {length}")
        self._length = length
        self._positions: dict[int, deque[XY]] = {}

    @property
    def positions(self) -> dict[int, list[XY]]:
        """{point id: its xy px, oldest first}, for `overlay_points`."""
        return {number: list(recent) for number, recent in self._positions.items()}

    def add(self, points: Mapping[int, TrackedPoint]) -> None:
        """Take in the points of the next frame; points that are not among them lose their trail."""
        shown = {number: p for number, p in points.items() if p.visible and _known(p.x, p.y)}
        self._positions = {
            number: self._positions.get(number, deque(maxlen=self._length)) for number in shown
        }
        for number, point in shown.items():
            self._positions[number].append((point.x, point.y))

    def clear(self) -> None:
        """Forget all, as at a scene cut."""
        self._positions.clear()


def overlay_points(
    rgb: np.ndarray,
    points: Mapping[int, TrackedPoint],
    *,
    trails: Mapping[int, Sequence[XY]] | None = None,
    colors: Mapping[int, Color] | None = None,
) -> np.ndarray:
    """Draw every point as a dot in its id's colour, hollow and pale where it is hidden.

    Args:
        points: {id: point}; positions that are not finite are passed over.
        trails: {id: xy px, oldest first}, drawn as lines that fade with age; see `Trails`.
        colors: of some ids; the others have their `bright_color`.
    """
    image = _image(rgb)
    unit, colors = _unit(rgb), colors or {}
    for number, positions in (trails or {}).items():
        known = [xy for xy in positions if _known(*xy)]
        color = colors.get(number) or bright_color(number)
        _paint(image, _trail(known, width=1.6 * unit), color, rim=0.0)
    for number, point in sorted(points.items(), key=lambda item: item[1].visible):
        if _known(point.x, point.y):
            color = colors.get(number) or bright_color(number)
            _paint_dot(image, (point.x, point.y), color, unit=unit, visible=point.visible)
    return np.array(image)


def overlay_boxes(
    rgb: np.ndarray,
    boxes: Mapping[int, TrackedBox],
    *,
    names: Mapping[int, str] | None = None,
    colors: Mapping[int, Color] | None = None,
    taken: list[Plate] | None = None,
    doubtful: Collection[int] = (),
) -> np.ndarray:
    """Draw every box as a thin rectangle with its id or name, dashed and pale where it is hidden.

    names: what boxes are called, by id; stands for the id where no other is called so. colors: of
    some ids; the others have their `bright_color`. taken: as in `overlay_labels`. doubtful: ids
    that are dashed, with a `?` at their names.

    The line runs along the outermost pixels that the box covers. Boxes that are not finite are
    passed over.
    """
    image = _image(rgb)
    unit, taken = _unit(rgb), [] if taken is None else taken
    for number, box in sorted(boxes.items(), key=lambda item: item[1].visible):
        color = (colors or {}).get(number) or bright_color(number)
        if not _known(box.x, box.y, box.width, box.height):
            continue
        right, bottom = box.x + max(box.width, 1.0) - 1, box.y + max(box.height, 1.0) - 1
        x0, y0, x1, y1 = map(_near, (box.x, box.y, right, bottom))
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        # Side by side, so that each patch is a strip and not the whole box.
        for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
            whole = box.visible and number not in doubtful
            dashes = [(start, end)] if whole else _dashes(start, end, length=6 * unit)
            opacity = 1.0 if box.visible else 0.7
            strokes = [Stroke(dash, 1.6 * unit, opacity) for dash in dashes]
            _paint(image, strokes, color, rim=0.45)
        if box.x < image.width and box.y < image.height and right > -1 and bottom > -1:
            label = label_text(number, names or {}) + (QUERY if number in doubtful else "")
            _paint_label(image, (box.x, box.y), label, color, unit=unit, taken=taken)
    return np.array(image)


def overlay_skeleton(
    rgb: np.ndarray,
    keypoints: Mapping[int, TrackedKeypoints],
    skeleton: Skeleton,
    *,
    joint_names: bool = False,
    colors: Mapping[int, Color] | None = None,
    doubtful: Collection[int] = (),
) -> np.ndarray:
    """Draw every skeleton's edges and joints in its colour.

    Hidden joints are hollow and edges to them pale; joints without a position are left out.
    InputError for another number of joints than the skeleton's.

    joint_names: write the name beside each joint that is seen. colors: of some ids; the others
    have their `skeleton_color`. doubtful: ids whose edges are dashed.
    """
    image = _image(rgb)
    unit = _unit(rgb)
    for number, instance in keypoints.items():
        if instance.joints.shape != (len(skeleton.names), 2):
            raise InputError(
                f"keypoints {number}: expected ({len(skeleton.names)}, 2) joints as in the "
                f"skeleton, got {instance.joints.shape}"
            )
        color = (colors or {}).get(number) or skeleton_color(number)
        joints = [(float(x), float(y)) for x, y in instance.joints]
        for a, b in skeleton.edges:
            if _known(*joints[a], *joints[b]):
                clear = bool(instance.visible[a] and instance.visible[b])
                ends = joints[a], joints[b]
                dashes = _dashes(*ends, length=6 * unit) if number in doubtful else [ends]
                lines = [Stroke(dash, 2.0 * unit, 0.95 if clear else 0.35) for dash in dashes]
                _paint(image, lines, color, rim=0.45)
        for joint, visible in zip(joints, instance.visible, strict=True):
            if _known(*joint):
                _paint_dot(image, joint, color, unit=0.8 * unit, visible=bool(visible))
        if joint_names:
            for joint, name, visible in zip(joints, skeleton.names, instance.visible, strict=True):
                if _known(*joint) and visible:
                    _paint_text(image, joint, short_text(name), unit=unit)
    return np.array(image)


@dataclass(frozen=True)
class Label:
    """The name of a thing: xy px of the corner it stands above, and its colour."""

    text: str
    corner: XY
    color: Color


Plate = tuple[int, int, int, int]
"""Left, top, right, bottom px of what a label covers."""


def overlay_labels(
    rgb: np.ndarray, labels: Sequence[Label], *, taken: list[Plate] | None = None
) -> np.ndarray:
    """Write names on plates of their things' colours, each beside the others.

    Corners that are not finite are left out. taken: where labels are already; these are added.
    """
    image = _image(rgb)
    unit, taken = _unit(rgb), [] if taken is None else taken
    for label in labels:
        if _known(*label.corner):
            _paint_label(image, label.corner, label.text, label.color, unit=unit, taken=taken)
    return np.array(image)


def label_text(number: int, names: Mapping[int, str]) -> str:
    """What a label says of a thing: its name, with its id before it where others are called so too.

    names: of all things of its kind, by id.
    """
    name = names.get(number)
    if not name:
        return str(number)
    short = short_text(name)
    is_alone = sum(short_text(one) == short for one in names.values()) == 1
    return short if is_alone or short.split()[-1:] == [str(number)] else f"{number} {short}"


def short_text(text: str) -> str:
    """A name in one short line."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_LABEL else f"{line[: LONGEST_LABEL - 1]}…"


def paint_line(
    image: Image.Image, positions: Sequence[XY], color: Color | int, *, width: float
) -> None:
    """Draw a line `width` px wide into a picture, or into a grey one (`color`: a level)."""
    _paint(image, [Stroke(tuple(positions), width, 1.0)], color, rim=0.0)


# -- parts -----------------------------------------------------------------------------------


def _image(rgb: np.ndarray) -> Image.Image:
    """A picture of its own to draw on."""
    check_rgb(rgb)
    return Image.fromarray(rgb).copy()


def _unit(rgb: np.ndarray) -> float:
    """Px that lines and dots are measured in: 1 at 480p and below, more for larger frames."""
    return max(1.0, min(rgb.shape[:2]) / 480)


def _known(*values: float) -> bool:
    return all(map(math.isfinite, values))


def _near(value: float) -> float:
    return min(max(value, -FAR), FAR)


def _trail(positions: Sequence[XY], *, width: float) -> list[Stroke]:
    """Strokes through the positions, oldest first, that fade with age in a few steps."""
    segments = len(positions) - 1
    steps = min(FADE_STEPS, segments)
    borders = [round(i * segments / steps) for i in range(steps + 1)] if steps > 0 else []
    return [
        Stroke(tuple(positions[a : b + 1]), width, 0.85 * (i + 1) / steps, round_ends=False)
        for i, (a, b) in enumerate(pairwise(borders))
    ]


def _dashes(start: XY, end: XY, *, length: float) -> list[tuple[XY, XY]]:
    """Every other piece of a line, of about `length` px; the line's two ends are in a dash."""
    pieces = 2 * max(0, round((math.dist(start, end) / length - 1) / 2)) + 1

    def at(piece: int) -> XY:
        share = piece / pieces
        return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])

    return [(at(piece), at(piece + 1)) for piece in range(0, pieces, 2)]


def _paint(
    image: Image.Image, strokes: Sequence[Stroke], color: Color | int, *, rim: float
) -> None:
    """Lay a shape over the image in one colour, later strokes in place of earlier ones.

    rim: opacity of a dark line of half a stroke's width on either side; 0 for none.
    """
    if not strokes:
        return
    positions = np.array([xy for stroke in strokes for xy in stroke.positions])
    positions = np.minimum(np.maximum(positions, -FAR), FAR)
    box = _reach(image, positions, margin=max(stroke.width for stroke in strokes) + 1)
    if box is None:
        return
    left, top, right, bottom = box
    fine = iter(_fine(positions, left, top))
    paths = [list(islice(fine, len(stroke.positions))) for stroke in strokes]
    patch = Image.new("L", (FINER * (right - left), FINER * (bottom - top)))
    pen = ImageDraw.Draw(patch)
    layers = [(RIM, 2.0, rim), (color, 1.0, 1.0)] if rim else [(color, 1.0, 1.0)]
    for paint, wider, opacity in layers:
        pen.rectangle([0, 0, *patch.size], fill=0)
        for stroke, path in zip(strokes, paths, strict=True):
            grey = round(255 * opacity * stroke.opacity)
            _draw(pen, path, wider * stroke.width, grey, round_ends=stroke.round_ends)
        image.paste(paint, box, patch.reduce(FINER))


def _reach(
    image: Image.Image, positions: np.ndarray, *, margin: float
) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom (exclusive) of the pixels within `margin` px of positions."""
    (x0, y0), (x1, y1) = positions.min(axis=0).tolist(), positions.max(axis=0).tolist()
    left, right = max(math.floor(x0 - margin), 0), math.ceil(x1 + margin) + 1
    top, bottom = max(math.floor(y0 - margin), 0), math.ceil(y1 + margin) + 1
    right, bottom = min(right, image.width), min(bottom, image.height)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _fine(positions: np.ndarray, left: int, top: int) -> list[XY]:
    """(n, 2) positions on a patch whose first pixel is (left, top) of the frame.

    The centre of that pixel lies between the patch's pixels 0 and FINER - 1.
    """
    x, y = ((positions - (left, top)) * FINER + (FINER - 1) / 2).T.tolist()
    return list(zip(x, y, strict=True))


def _draw(
    pen: ImageDraw.ImageDraw, path: list[XY], width: float, grey: int, *, round_ends: bool = True
) -> None:
    """One stroke on a patch, through positions in the patch's pixels; `width` in the frame's."""
    if len(path) > 1:
        pen.line(path, fill=grey, width=round(FINER * width))
    if round_ends:
        # An ellipse covers both pixels that it is given as its borders.
        radius = (FINER * width - 1) / 2
        for x, y in (path[0], path[-1]):
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=grey)


def _paint_dot(image: Image.Image, xy: XY, color: Color, *, unit: float, visible: bool) -> None:
    """A dot with a dark rim; a ring if hidden."""
    x, y = (round(_near(value) * FINER) for value in xy)
    rim, dot = _dot_patches(x % FINER, y % FINER, unit, visible)
    half = rim.width // 2
    corner = (x // FINER - half, y // FINER - half)
    image.paste(RIM, (*corner, corner[0] + rim.width, corner[1] + rim.width), rim)
    image.paste(color, (*corner, corner[0] + dot.width, corner[1] + dot.width), dot)


@functools.lru_cache(maxsize=256)
def _dot_patches(x: int, y: int, unit: float, visible: bool) -> tuple[Image.Image, Image.Image]:
    """Opacity of a dot's rim and of the dot, (2 n + 1) px square, about its middle pixel.

    x, y: how far right and below of the middle pixel's centre the dot is, in 1 / FINER px.
    """
    half = math.ceil(5 * unit) + 1
    path = _fine(np.array([[half + x / FINER, half + y / FINER]]), 0, 0)
    sizes = [(7.5, 0.0, 0.6), (5.5, 0.0, 1.0)] if visible else [(8.5, 3.0, 0.45), (7.0, 4.5, 0.8)]
    patches = []
    for outer, inner, opacity in sizes:
        side = FINER * (2 * half + 1)
        patch = Image.new("L", (side, side))
        pen = ImageDraw.Draw(patch)
        for width, grey in ((outer * unit, round(255 * opacity)), (inner * unit, 0)):
            if width:
                _draw(pen, path, width, grey)
        patches.append(patch.reduce(FINER))
    return patches[0], patches[1]


def _paint_text(image: Image.Image, xy: XY, text: str, *, unit: float) -> None:
    """A word to the right of a place, with a dark rim."""
    place = _near(xy[0]) + 5 * unit, _near(xy[1])
    font, rim = load_font(round(10 * unit)), max(1, round(unit))
    pen = ImageDraw.Draw(image)
    pen.text(place, text, font=font, fill="white", anchor="lm", stroke_width=rim, stroke_fill=RIM)


def _paint_label(
    image: Image.Image, corner: XY, text: str, color: Color, *, unit: float, taken: list[Plate]
) -> None:
    """A text on a plate of a colour, above the corner if there is room, else inside the box.

    Where other plates are in its way it stands above or below them, as near as may be.
    """
    font = load_font(round(11 * unit))
    pad = max(1, round(2 * unit))
    left, top, right, bottom = font.getbbox(text)
    width, height = math.ceil(right - left) + 2 * pad, math.ceil(bottom - top) + 2 * pad
    x = max(min(round(_near(corner[0])), image.width - width), 0)
    y = round(_near(corner[1]))
    y = min(max(y - height if y >= height else y, 0), image.height - height)
    y = _free(y, (x, x + width), height, image.height, taken)
    taken.append((x, y, x + width, y + height))
    pen = ImageDraw.Draw(image)
    pen.rectangle([x, y, x + width - 1, y + height - 1], fill=color)
    light = 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2]
    ink = RIM if light > 110 else (255, 255, 255)
    pen.text((x + pad - left, y + pad - top), text, font=font, fill=ink)


def _free(y: int, columns: tuple[int, int], height: int, room: int, taken: Sequence[Plate]) -> int:
    """The top nearest to `y` at which a plate covers no other; `y` itself where there is none."""
    ways = [y]
    for left, top, right, bottom in taken:
        if left < columns[1] and columns[0] < right:
            ways += [top - height, bottom]
    for at in sorted(ways, key=lambda at: abs(at - y)):
        over = (
            left < columns[1] and columns[0] < right and top < at + height and at < bottom
            for left, top, right, bottom in taken
        )
        if 0 <= at <= room - height and not any(over):
            return at
    return y
