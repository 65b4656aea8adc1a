"""The colours of things: which one a thing has that was given none, and how they are kept.

By its number an object has its DAVIS colour, a box or point the brightest version of that, and a
skeleton one that is far from both.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from chromatrack.formats.color_text import hex_color, read_color
from chromatrack.formats.json_fields import names_from_plain, plain_names
from chromatrack.formats.masks import DAVIS_PALETTE
from chromatrack.structures import Color, Colors, Kind

# -- without a colour of one's own ---------------------------------------------------------------


def default_color(kind: Kind, number: int) -> Color:
    """The colour of a thing that was given none."""
    if kind == "object":
        return _plain(object_colors(np.array([number]))[0])
    return skeleton_color(number) if kind == "keypoints" else bright_color(number)


def color_of(kind: Kind, number: int, colors: Colors) -> Color:
    """The colour of a thing: as the user gave it, else the default one."""
    given = colors.get((kind, number))
    return default_color(kind, number) if given is None else given


def object_colors(ids: np.ndarray, given: Mapping[int, Color] | None = None) -> np.ndarray:
    """(..., 3) uint8 RGB of integer object ids: the DAVIS palette; ids above 255 wrap to 1..255.

    given: colours of some ids that are used instead.
    """
    colors = DAVIS_PALETTE[np.where(ids > 255, (ids - 1) % 255 + 1, ids)]
    for number, color in (given or {}).items():
        colors[ids == number] = color
    return colors


def brightest(colors: np.ndarray) -> np.ndarray:
    """(N, 3) uint8 colours scaled so that the largest channel is 255."""
    largest = np.maximum(colors.max(axis=-1, keepdims=True), 1).astype(np.float32)
    return np.rint(colors * (255.0 / largest)).astype(np.uint8)


@functools.lru_cache(maxsize=4096)
def bright_color(number: int) -> Color:
    """An id's DAVIS colour, scaled so that its largest channel is 255; id 0 is white."""
    if number == 0:
        return 255, 255, 255
    return _plain(brightest(object_colors(np.array([number])))[0])


@functools.lru_cache(maxsize=4096)
def skeleton_color(number: int) -> Color:
    """The colour of skeletons: as far as can be from that of masks, boxes and points of the id."""
    other = 255 - np.array([bright_color(number)], dtype=np.uint8)
    if int(other.max()) < 64:  # against white nothing bright is left
        return 255, 140, 0
    return _plain(brightest(other)[0])


def colors_of(colors: Colors, kind: Kind) -> dict[int, Color]:
    """The given colours of the things of one kind, by id."""
    return {number: color for (k, number), color in colors.items() if k == kind}


# -- as plain values ------------------------------------------------------------------------------


def plain_colors(colors: Colors) -> dict[str, dict[str, str]]:
    """Colours of things for JSON: {"object": {"1": "#ff8000"}}; ids ascending."""
    return plain_names({thing: hex_color(color) for thing, color in colors.items()})


def colors_from_plain(data: Mapping[str, Any]) -> dict[tuple[Kind, int], Color]:
    """The colours that `plain_colors` made plain.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: they are not as it makes them.
    """
    found = names_from_plain(data)
    return {thing: read_color(text, "colors") for thing, text in found.items()}


# -- parts ---------------------------------------------------------------------------------------


def _plain(color: np.ndarray) -> Color:
    red, green, blue = color.tolist()
    return red, green, blue
