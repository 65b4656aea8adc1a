"""Colours as files and users write them."""

from __future__ import annotations

from PIL import ImageColor

from chromatrack.errors import InputError, shown
from chromatrack.structures import Color

_LONGEST = 64


def read_color(value: object, place: str) -> Color:
    """A colour: `#ff8000`, `rgb(255, 128, 0)`, `orange`, [255, 128, 0].

    Args:
        place: where it stands, as errors begin.

    Raises:
        InputError: it is none.
    """
    if (color := _color(value)) is None:
        raise InputError(
            f"{place}: expected a colour such as #ff8000, orange or rgb(255, 128, 0), got "
            f"{shown(value)}; correct it"
        )
    return color


def hex_color(color: Color) -> str:
    """`#ff8000`."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def _color(value: object) -> Color | None:
    levels: list[object] = []
    if isinstance(value, list | tuple) and len(value) in (3, 4):
        levels = list(value[:3])
    elif isinstance(value, str) and len(value) <= _LONGEST:
        try:
            levels = list(ImageColor.getrgb(value.strip())[:3])
        except ValueError:
            return None
    known = [int(level) for level in levels if _is_level(level)]  # type: ignore[call-overload]
    return (known[0], known[1], known[2]) if len(known) == 3 else None


def _is_level(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= 255 and int(value) == value  # type: ignore[operator]
