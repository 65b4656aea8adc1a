"""Where one shot of a film becomes the next: cuts, dissolves and fades, from small grey pictures.

`shot_boundary.CutDetector` decides while tracking, from what came before. Here the frames after a
place are looked at too, so that a flash is told from a cut, and what takes many frames is found.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.shot_boundary import correlation

TransitionKind = Literal["cut", "dissolve", "fade"]

SMALL = (48, 64)
"""Height and width of the pictures that are compared."""

_BLOCK = 8
_REACH = 8  # px of the small picture that a block may have moved by
_STEP = 2
_OTHER = 0.75  # what no motion explains, in units of the pictures' own detail, at a cut:
_TIMES = 2.5  # and so many times what is usual around it,
_UNLIKE = 0.3  # or correlation of pictures without much detail, which motion explains too well,
_SOFT_OTHER = 0.4  # and of what is not explained so much
_SOFT_TIMES = 4.0  # and so many times what is usual,
_AROUND = 6  # in so many frames on either side
_LEAST = 0.03  # mean difference, of 1, below which nothing is a cut
_AGAIN = 0.6  # so little is unexplained between frames of one shot ...
_FLASH = 5  # ... that are up to so many frames apart: what lies between is no shot
_FLAT = 0.012  # spread of a small picture, of 1, that shows nothing
_HALVES = (4, 8, 14, 24, 40)  # half lengths of windows in which dissolves are looked for
_NEAR = 5  # frames from a fade within which nothing else is taken for a dissolve
_FADE = 3  # frames that a fade has at least
_MIX_SPREAD = 0.05  # difference of what a dissolve mixes, at least, of 1,
_MIX_REST = ((0.30, 0.9), (0.45, 0.8))  # how much of it the middle may differ from the mixture,
# and its spread as a share of that of the two at most: a mixture of two pictures has less
_MIX_ALIKE = 0.75  # correlation of the two, at most


class Transition(NamedTuple):
    """Frames first .. end - 1 are of no shot wholly; the next shot begins at `at`.

    Of a cut, first == end == at. A fade at the film's end has `at` behind its last frame, one at
    its beginning has 0.
    """

    kind: TransitionKind
    first: int
    end: int
    at: int


@dataclass
class TransitionFinder:
    """Takes small grey pictures one by one; keeps 81 of them and five numbers for each frame."""

    _recent: deque[Tensor] = field(default_factory=lambda: deque(maxlen=2 * _HALVES[-1] + 1))
    _rest: array[float] = field(default_factory=lambda: array("f"))
    _times: array[float] = field(default_factory=lambda: array("f"))
    _spread: array[float] = field(default_factory=lambda: array("f"))
    _alike: array[float] = field(default_factory=lambda: array("f"))
    _again: list[tuple[int, int]] = field(default_factory=list)
    _mixed: list[tuple[float, int, int]] = field(default_factory=list)

    def add(self, picture: Tensor) -> None:
        """The next frame, `SMALL` float in [0, 1]."""
        number = len(self._rest)
        before = self._recent[-1] if self._recent else picture
        rest, detail = unexplained(picture, before)
        self._recent.append(picture)
        self._rest.append(rest)
        self._times.append(rest / (detail + 0.01))
        self._spread.append(float(picture.std()))
        self._alike.append(correlation(picture, before))
        if any(value > _SOFT_OTHER for value in self._times[-_FLASH:]):
            self._look_back(number, picture)
        if number >= _HALVES[-1]:
            self._look_for_mixture(number - _HALVES[-1])

    def found(self) -> list[Transition]:
        """Every transition, in order; no frame can be added after it."""
        count = len(self._rest)
        for center in range(max(count - _HALVES[-1], 0), count):
            self._look_for_mixture(center)
        fades = self._fades()
        cuts = [cut for cut in self._cuts() if not _within(cut, fades, 1)]
        mixed = [one for one in self._dissolves() if not _overlaps(one, fades, margin=_NEAR)]
        cuts = [cut for cut in cuts if not _within(cut, mixed, 0)]
        whole = [Transition("cut", cut, cut, cut) for cut in cuts]
        return sorted([*whole, *fades, *mixed], key=lambda one: (one.at, one.first))

    def _look_back(self, number: int, picture: Tensor) -> None:
        """Note that the frame shows what was there before something came up."""
        for back in range(2, min(_FLASH + 1, len(self._recent) - 1) + 1):
            rest, detail = unexplained(picture, self._recent[-1 - back])
            if rest / (detail + 0.01) < _AGAIN:
                self._again.append((number - back, number))

    def _cuts(self) -> list[int]:
        count = len(self._rest)
        taken = bytearray(count)
        for first, last in self._again:
            taken[first + 1 : last + 1] = b"\1" * (last - first)
        return [at for at in range(1, count) if not taken[at] and self._is_cut(at)]

    def _is_cut(self, at: int) -> bool:
        if self._rest[at] <= _LEAST:
            return False
        near = [*self._times[max(1, at - _AROUND) : at], *self._times[at + 1 : at + 1 + _AROUND]]
        usual = sorted(near)[len(near) // 2] if near else 0.0
        rest = self._times[at]
        if rest > _OTHER:
            return rest > _TIMES * usual
        return self._alike[at] < _UNLIKE and rest > _SOFT_OTHER and rest > _SOFT_TIMES * usual

    def _fades(self) -> list[Transition]:
        found, count, at = [], len(self._spread), 0
        while at < count:
            if self._spread[at] >= _FLAT:
                at += 1
                continue
            end = at
            while end < count and self._spread[end] < _FLAT:
                end += 1
            first, last = self._grows(at, -1), self._grows(end - 1, 1)
            first = at if at - first < _FADE else first
            last = end if last - end + 1 < _FADE else last + 1
            if (first < at or last > end) and end - at < count:
                middle = 0 if at == 0 else count if end == count else (at + end) // 2
                found.append(Transition("fade", first, last, middle))
            at = end
        return found

    def _grows(self, at: int, step: int) -> int:
        """The last frame, going from `at`, up to which a picture steadily comes out of nothing."""
        reached, count = at, len(self._spread)
        while 0 <= reached + step < count:
            new = reached + step
            pair = max(reached, new)
            steady = self._alike[pair] > 0.7 or self._spread[reached] < 2 * _FLAT
            if not (self._spread[new] > 1.01 * self._spread[reached] and steady):
                break
            reached = new
        return reached

    def _look_for_mixture(self, center: int) -> None:
        offset = len(self._rest) - len(self._recent)
        for half in _HALVES:
            first, last = center - half, center + half
            if first < offset or last >= len(self._rest):
                continue
            if max(self._times[first + 1 : last + 1]) > 2 * _OTHER:
                continue
            pictures = [self._recent[i - offset] for i in range(first, last + 1)]
            mixture = _mixture(torch.stack(pictures))
            if mixture is not None:
                rest, begin, end = mixture
                self._mixed.append((rest / half**0.5, first + begin, first + end))

    def _dissolves(self) -> list[Transition]:
        """Of all windows that hold a mixture, the longest that fit well and do not overlap."""
        found: list[Transition] = []
        for _, first, end in sorted(self._mixed):
            middle = (first + end) // 2
            one = Transition("dissolve", first, end, middle)
            if not _overlaps(one, found):
                found.append(one)
        return found


def unexplained(picture: Tensor, before: Tensor) -> tuple[float, float]:
    """How much of a picture no motion of the one before explains, and how much detail both have.

    Both as mean absolute differences of blocks of 8 x 8: to the best place in `before` up to 8 px
    away, and to the block's own mean.
    """
    padded = F.pad(before[None, None], (_REACH,) * 4, mode="replicate")[0, 0]
    moved = padded.unfold(0, SMALL[0], _STEP).unfold(1, SMALL[1], _STEP).reshape(-1, *SMALL)
    best = F.avg_pool2d((moved - picture).abs_()[:, None], _BLOCK).amin(0)
    both = torch.stack([picture, before])[:, None]
    means = F.interpolate(F.avg_pool2d(both, _BLOCK), scale_factor=_BLOCK)
    return float(best.mean()), float((both - means).abs().mean())


def _mixture(pictures: Tensor) -> tuple[float, int, int] | None:
    """Whether pictures `(2 k + 1, h, w)` go from the first to the last by mixing the two.

    Returns what of the middle ones is no mixture (a share of the difference), and the frames
    (first, end) that are mixed, extrapolated from where a quarter and three quarters are reached.
    """
    count, last = len(pictures), len(pictures) - 1
    a, b = pictures[0], pictures[-1]
    way = b - a
    size = float(way.square().sum())
    if size < _MIX_SPREAD**2 * way.numel() or correlation(a, b) > _MIX_ALIKE:
        return None
    share = ((pictures - a) * way).sum((1, 2)) / size
    low, high = float(share[last // 4]), float(share[last - last // 4])
    middle = float(share[last // 2])
    if not (0.25 < middle < 0.75 and low < middle - 0.1 and high > middle + 0.1):
        return None
    between = (share > 0.2) & (share < 0.8)
    other = pictures - a - share[:, None, None] * way
    rests = other.square().sum((1, 2)).div(size).sqrt()[between]
    spreads = pictures.std((1, 2))
    dip = float(spreads[last // 2] / spreads[[0, -1]].mean())
    rest = float(rests.mean())
    if len(rests) < 3 or not any(rest < most and dip < spread for most, spread in _MIX_REST):
        return None
    quarter, three = _crossing(share, 0.25), _crossing(share, 0.75)
    length = 2 * (three - quarter)
    if length < 5 or length > count + 4:
        return None
    begin = round((quarter + three - length) / 2) + 1
    return rest, begin, round((quarter + three + length) / 2)


def _crossing(share: Tensor, level: float) -> float:
    """Where a rising line first reaches a level, between frames."""
    above = int((share >= level).nonzero()[0])
    if above == 0:
        return 0.0
    low, high = float(share[above - 1]), float(share[above])
    return above - 1 + (level - low) / (high - low)


def _within(at: int, others: list[Transition], margin: int) -> bool:
    return any(one.first - margin <= at <= one.end + margin for one in others)


def _overlaps(one: Transition, others: list[Transition], *, margin: int = 0) -> bool:
    return any(
        one.first < other.end + margin and other.first < one.end + margin for other in others
    )
