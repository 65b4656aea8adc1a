"""The colours that objects get where nobody chose any: calm, and told apart by most eyes.

Source: the seven colours of Okabe and Ito (2008), which people with any kind of colour blindness
tell apart; later objects get them lighter, then darker.
"""

from __future__ import annotations

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


def object_color(number: int) -> tuple[int, int, int]:
    """(red, green, blue) of the `number`-th object, 1 for the first; after 35 they come again."""
    turn, which = divmod(max(1, number) - 1, len(_SEVEN))
    towards, share = _ROUNDS[turn % len(_ROUNDS)]
    red, green, blue = (round(part + (towards - part) * share) for part in _SEVEN[which])
    return red, green, blue


def object_hex(number: int) -> str:
    """`object_color` as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*object_color(number))
