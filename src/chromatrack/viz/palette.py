"""The colours that objects get where nobody chose any: calm, and told apart by most eyes.

Source: the seven colours of Okabe and Ito (2008), which people with any kind of colour blindness
tell apart; later objects get them lighter, then darker.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from chromatrack.structures import Color

_SEVEN = (
    (0xE6, 0x9F, 0x00),  # orange
    (0x56, 0xB4, 0xE9),  # sky blue
    (0xCC, 0x79, 0xA7),  # reddish purple
    (0x00, 0x9E, 0x73),  # bluish green
    (0xF0, 0xE4, 0x42),  # yellow
    (0x00, 0x72, 0xB2),  # blue
    (0xD5, 0x5E, 0x00),  # vermilion
)
_ROUNDS = ((255, 0.0), (255, 0.45), (0, 0.35), (255, 0.7), (0, 0.55))
"""How the seven are mixed, round by round: with white (255) or black (0), and how much of it."""


CLOSE = 40.0
"""Units of CIE Lab: a colour that is nearer than this to what it lies on is hard to see there."""


def object_color(number: int) -> Color:
    """(red, green, blue) of the `number`-th object, 1 for the first; after 35 they come again."""
    turn, which = divmod(max(1, number) - 1, len(_SEVEN))
    towards, share = _ROUNDS[turn % len(_ROUNDS)]
    red, green, blue = (round(part + (towards - part) * share) for part in _SEVEN[which])
    return red, green, blue


def object_hex(number: int) -> str:
    """`object_color` as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*object_color(number))


def color_on(ground: Color, own: Color, used: Collection[Color]) -> Color:
    """A colour that is seen on what it lies on: `own` or, where that is close to it, another.

    Of those that nothing has (`used`), the farthest of the seven; where none of them is far enough,
    the farthest of the next round.
    """
    lab = _lab(ground)

    def away(color: Color) -> float:
        return math.dist(_lab(color), lab)

    for first in range(1, len(_SEVEN) * len(_ROUNDS), len(_SEVEN)):
        if away(own) >= CLOSE:
            return own
        colors = map(object_color, range(first, first + len(_SEVEN)))
        own = max([own, *(color for color in colors if color not in used)], key=away)
    return own


def _lab(color: Color) -> tuple[float, float, float]:
    """CIE Lab of an sRGB colour, white D65."""
    r, g, b = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (level / 255 for level in color)
    )
    rows = ((0.4339, 0.3762, 0.1899), (0.2126, 0.7152, 0.0722), (0.0178, 0.1095, 0.8728))
    x, y, z = (
        share ** (1 / 3) if share > 0.008856 else 7.787 * share + 16 / 116
        for share in (low * r + middle * g + high * b for low, middle, high in rows)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)
