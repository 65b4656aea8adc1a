"""Colour strokes on frames: a PNG with alpha for one frame, or JSON points with colours.

`S.png@12` is painted on frame 12 at the film's size and clear where nothing is painted. A JSON file
is `{"points": [{"frame": 12, "x": 40, "y": 25.5, "color": "#c08040"}]}`; a `radius` in px may stand
beside each.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.errors import InputError
from chromatrack.video.picture_files import read_rgb

_COLOR = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
_RADIUS = 0.012
"""Of a point without one, as a share of the film's height."""


@dataclass(frozen=True)
class Strokes:
    """What is painted on one frame: rgb `(H, W, 3)` uint8, alpha `(H, W)` float32 in [0, 1]."""

    frame: int
    rgb: np.ndarray
    alpha: np.ndarray


def read_strokes(names: Sequence[str], *, size: tuple[int, int]) -> list[Strokes]:
    """Strokes of files, one for each frame that has any; a later file lies over an earlier one.

    Args:
        names: `S.png@FRAME` or `S.json`.
        size: (height, width) of the film.

    Raises:
        InputError: says what is wrong in which file.
    """
    found: dict[int, Strokes] = {}
    for name in names:
        read = _read_json(name, size) if name.lower().endswith(".json") else [_read_png(name, size)]
        for one in read:
            found[one.frame] = _over(found[one.frame], one) if one.frame in found else one
    return [found[frame] for frame in sorted(found)]


def _over(below: Strokes, above: Strokes) -> Strokes:
    rgb = np.where(above.alpha[..., None] > 0, above.rgb, below.rgb)
    return Strokes(below.frame, rgb, np.maximum(below.alpha, above.alpha))


def _read_png(name: str, size: tuple[int, int]) -> Strokes:
    path, at, number = name.rpartition("@")
    if not at or not number.isdecimal():
        raise InputError(f"strokes {name}: expected PICTURE@FRAME or a .json file of points")
    rgba = np.array(read_rgb(path, mode="RGBA", name=f"strokes {name}"))
    if rgba.shape[:2] != size:
        raise InputError(
            f"strokes {name}: expected the film's {size[1]}x{size[0]} px, got "
            f"{rgba.shape[1]}x{rgba.shape[0]}; paint on a frame of `chromatrack frame`"
        )
    alpha = rgba[..., 3].astype(np.float32) / 255
    if not alpha.any() or alpha.min() > 0.99:
        what = "nothing painted" if not alpha.any() else "a picture that is painted all over"
        raise InputError(
            f"strokes {name}: expected strokes on a clear ground (PNG with alpha), got {what}"
        )
    return Strokes(int(number), rgba[..., :3], alpha)


def _read_json(name: str, size: tuple[int, int]) -> list[Strokes]:
    try:
        content = json.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"strokes {name}: cannot be read ({error})") from error
    points = content.get("points") if isinstance(content, dict) else content
    if not isinstance(points, list) or not points:
        raise InputError(f"strokes {name}: expected a list of points, got none")
    found: dict[int, Strokes] = {}
    for number, point in enumerate(points, start=1):
        one = _dot(point, f"strokes {name}, point {number}", size)
        found[one.frame] = _over(found[one.frame], one) if one.frame in found else one
    return list(found.values())


def _dot(point: Any, place: str, size: tuple[int, int]) -> Strokes:  # noqa: ANN401
    if not isinstance(point, Mapping):
        raise InputError(f"{place}: expected frame, x, y and color, got {point!r:.40}")
    color = _COLOR.fullmatch(str(point.get("color", "")))
    if color is None:
        raise InputError(f"{place}: expected color as '#rrggbb', got {point.get('color')!r:.40}")
    frame = point.get("frame")
    if not isinstance(frame, int) or isinstance(frame, bool) or frame < 0:
        raise InputError(f"{place}: expected frame as a number from 0, got {frame!r:.40}")
    height, width = size
    numbers = [point.get("x"), point.get("y"), point.get("radius", max(2.0, _RADIUS * height))]
    for name, value, most in zip(("x", "y", "radius"), numbers, (width, height, 1e6), strict=True):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not 0 <= value < most:
            raise InputError(f"{place}: expected {name} in the frame, got {value!r:.40}")
    x, y, radius = (float(value) for value in numbers)
    rows, columns = np.mgrid[:height, :width]
    inside = np.hypot(columns - x, rows - y) <= max(radius, 0.5)
    inside[round(min(y, height - 1)), round(min(x, width - 1))] = True
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[inside] = [int(part, 16) for part in color.groups()]
    return Strokes(frame, rgb, inside.astype(np.float32))
