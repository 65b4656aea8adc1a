"""Film carried over to video at another rate: 3:2 pulldown, by its rhythm of five pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from chromatrack.errors import InputError
from chromatrack.structures import Source
from chromatrack.video.luma import read_luma
from chromatrack.video.source import VideoSource

Pulldown = Literal["combed", "repeated"]
"""Two of five pictures are woven of two frames; or every fifth shows the one before it again."""

LOOKED_AT = 60
"""Pictures that are looked at."""

_COMBED = 1.3  # rows of different fields differ so much more than rows of one, where they move
_RATHER = 1.6  # soft pictures comb less: so many times what whole ones of the film have will do
_MOVES = 1.5  # mean change of levels, of 255, below which a picture says nothing
_STILL = 0.25  # change, of what is usual, below which a picture is shown again
_LEAST = 20  # moving pictures that it takes
_FITS = 0.9  # share of them that must keep the rhythm


def find_pulldown(source: Source, *, start: int = 0) -> Pulldown | None:
    """Look at 60 pictures from `start` on for the rhythm of 3:2 pulldown; None: there is none.

    Pictures are taken as stored. Where too little moves there, or they have no plane of Y', none is
    found.
    """
    try:
        planes = [
            one.values.astype(np.float32) / (1 << (one.bits - 8))
            for one in read_luma(VideoSource.of(source).path, start=start, end=start + LOOKED_AT)
        ]
    except InputError:
        return None
    return pulldown_of(planes)


def pulldown_of(pictures: Sequence[np.ndarray]) -> Pulldown | None:
    """The rhythm of pictures `(H, W)` float32 levels to 255; of at least 20 that move."""
    if len(pictures) < _LEAST or pictures[0].shape[0] < 16:
        return None
    combs = np.array([_comb(picture) for picture in pictures])
    changes = np.array(
        [np.inf, *(np.abs(a - b).mean() for a, b in zip(pictures[1:], pictures, strict=False))]
    )
    usual = float(np.median(changes[1:]))
    if usual < _MOVES:
        return None
    place = np.arange(len(pictures)) % 5
    clean = float(np.median(combs))  # three of five are whole
    if _keeps_rhythm(combs > min(_COMBED, _RATHER * clean), place, length=2):
        return "combed"
    if _keeps_rhythm(changes < _STILL * usual, place, length=1):
        return "repeated"
    return None


def _comb(picture: np.ndarray) -> float:
    """How much rows differ from those next to them (the other field's), to those two away."""
    near = np.abs(np.diff(picture, axis=0)).mean()
    far = np.abs(picture[2:] - picture[:-2]).mean()
    return float(near / (far + 0.5))


def _keeps_rhythm(hits: np.ndarray, place: np.ndarray, *, length: int) -> bool:
    """Whether pictures are hits at `length` places in a row of every five, and nowhere else."""
    for first in range(5):
        wanted = np.isin(place, [(first + i) % 5 for i in range(length)])
        if (hits == wanted).mean() >= _FITS and (hits & wanted).sum() >= 3 * length:
            return True
    return False
