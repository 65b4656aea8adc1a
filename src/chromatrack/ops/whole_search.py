"""The pointer's search over whole frames on the CPU: exact, most of each product left out.

As in `ops.window_search`, features are turned so that the first directions say most. A matrix
product over these few, and the lengths of what is left, bound every similarity; only where the
bound passes the k-th best is the rest computed. Where the same references are searched frame after
frame, what was found on the frame before says where that bar lies.

In turns, a search is exact for some of the cells only, other ones every frame; what lies between
them takes over what its neighbours have found, and what it found itself before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import ref

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.compiled import can_compile, compiled
from chromatrack.ops.tiles import OUTSIDE

_LEADING = 24
"""Channels of the matrix product."""

_TOGETHER = 32
"""The rest of the channels is filled up to a multiple of this: vectors without a remainder."""

_PART = 32
"""Reference cells that are passed over together."""

_CHUNK = 32
"""Target cells whose products lie in the cache together."""

_SLACK = np.float32(1e-4)
"""What rounding may take from a bound."""


@dataclass(frozen=True)
class _Cells:
    """rows: `(N', C')` float32 turned features, N' and C' filled up with zeros. length: `(N',)` of
    what follows the first channels, -1 where there is no cell; last: of what follows the next."""

    rows: Tensor
    length: Tensor
    last: Tensor

    @classmethod
    def of(cls, features: Tensor, turn: Tensor) -> _Cells:
        """Of `(C, h, w)`."""
        rows = features.flatten(1).float().T @ turn.T
        cells, channels = rows.shape
        rest = -(-(channels - _LEADING) // _TOGETHER) * _TOGETHER
        more = (0, _LEADING + rest - channels, 0, -cells % _PART)
        last = rows[:, _LEADING + _TOGETHER :].square().sum(1)
        length = rows[:, _LEADING : _LEADING + _TOGETHER].square().sum(1).add_(last).sqrt_()
        padded = F.pad(length, more[2:], value=-1.0), F.pad(last.sqrt_(), more[2:])
        return cls(F.pad(rows, more), *padded)


@dataclass(eq=False)
class WholeSearch:
    """The search as one pass over a clip uses it: what it prepares of a reference is kept.

    Feature maps are known again by identity, so they must not be changed.

    every: search for one cell of every x every in turn, and between them among what was found; 1:
    for all of them. The first frame of new references is searched for all cells.

    Source: the spreading of good matches to neighbours of PatchMatch (Barnes et al. 2009).
    """

    every: int = 1
    _frame: int = 0
    _kept: dict[int, tuple[ref[Tensor], _Cells]] = field(default_factory=dict)
    _turn: tuple[ref[Tensor], Tensor] | None = None
    _found: np.ndarray | None = None

    def can(self, target: Tensor, k: int, references: int) -> bool:
        """Whether it can search for a map, and is faster than the plain product."""
        channels, cells = target.shape[0], target[0].numel()
        return can_compile(target) and channels > _LEADING + _TOGETHER and k <= references * cells

    def top_k(self, target: Tensor, references: Sequence[Tensor], k: int) -> tuple[Tensor, Tensor]:
        """Similarity and number of the best cells, jointly over the references.

        Args:
            target, references: `(C, h, w)` float32, on the CPU.
            k: how many to find.

        Returns:
            `(N, k)` float32 similarities, falling; `(N, k)` int64 cells, counted through all
            references.
        """
        number = target[0].numel()
        keys = self._cells(references)
        assert self._turn is not None
        own, found = _Cells.of(target, self._turn[1]), self._found
        if found is None or found.shape != (number, k):
            values, index = _searched(own, keys, number, k, None)
            self._found = index.numpy()
            return values, index
        joined = torch.cat([key.rows[:number] for key in keys]) if len(keys) > 1 else keys[0].rows
        if self.every == 1:
            values, index = _searched(own, keys, number, k, (found, joined))
            self._found = index.numpy()
            return values, index
        h, w = target.shape[1:]
        top, left = divmod(self._frame * (self.every + 1) % self.every**2, self.every)
        self._frame += 1
        cells = torch.arange(number).reshape(h, w)[top :: self.every, left :: self.every].flatten()
        some = _Cells(own.rows[cells], own.length[cells], own.last[cells])
        values, index = torch.empty(number, k), torch.empty(number, k, dtype=torch.int64)
        known = found[cells.numpy()], joined
        values[cells], index[cells] = _searched(some, keys, number, k, known)
        compiled(_fill)(
            *(own.rows.numpy(), joined.numpy(), found, self.every, top, left, w),
            *(values.numpy(), index.numpy()),
        )
        self._found = index.numpy()
        return values, index

    def __reduce__(self) -> tuple[type[WholeSearch], tuple[int]]:
        """Written down, it is a new one: all it knows, it knows from the maps."""
        return WholeSearch, (self.every,)

    def _cells(self, references: Sequence[Tensor]) -> list[_Cells]:
        """References laid out, and kept until the next search."""
        if self._turn is None or self._turn[0]() is not references[0]:
            cells = references[0].flatten(1).double()  # so that it is the same on any thread
            turn = torch.linalg.eigh(cells @ cells.T / cells.shape[1])[1].flip(1).T
            turn = turn.float().contiguous()
            self._turn, self._kept = (ref(references[0]), turn), {}
        kept, self._kept, found = self._kept, {}, []
        if set(kept) != {id(x) for x in references}:
            self._found = None
        for x in references:
            known, cells = kept.get(id(x)) or self._kept.get(id(x)) or (None, None)
            if cells is None or known is None or known() is not x:
                cells, self._found = _Cells.of(x, self._turn[1]), None
            self._kept[id(x)] = (ref(x), cells)
            found.append(cells)
        return found


def _searched(
    own: _Cells,
    keys: Sequence[_Cells],
    number: int,
    k: int,
    known: tuple[np.ndarray, Tensor] | None,
) -> tuple[Tensor, Tensor]:
    """The best k of all cells of references, as `WholeSearch.top_k`.

    Args:
        own: the cells to search for. keys: the references', `number` each.
        known: `(N, k)` cells found before and the rows of all references, which set the bars.
    """
    count = min(len(own.rows), number)
    values, index = torch.full((count, k), OUTSIDE), torch.zeros(count, k, dtype=torch.int64)
    bars = np.full(count, np.float32(OUTSIDE))
    queries, lengths, lasts = own.rows.numpy(), own.length.numpy(), own.last.numpy()
    if known is not None:
        compiled(_set_bars)(queries, known[1].numpy(), known[0], bars)
    for place, key in enumerate(keys):
        leading = key.rows[:, :_LEADING].T
        there, long, longs = key.rows.numpy(), key.length.numpy(), key.last.numpy()
        scores = torch.empty(_CHUNK, len(key.rows))
        for first in range(0, count, _CHUNK):
            some = own.rows[first : min(first + _CHUNK, count), :_LEADING]
            torch.mm(some, leading, out=scores[: len(some)])
            compiled(_scan)(
                *(scores.numpy()[: len(some)], first, queries, lengths, lasts, there, long, longs),
                *(place * number, number, bars, values.numpy(), index.numpy()),
            )
    return values, index


def _set_bars(queries: np.ndarray, keys: np.ndarray, found: np.ndarray, bars: np.ndarray) -> None:
    """The least similarity of each cell to those found before: its k-th best is no less."""
    U, F = np.uint64, np.float32
    for n in range(len(found)):
        least = F(1e30)
        for i in range(found.shape[1]):
            there, total = found[n, i], F(0)
            for c in range(U(queries.shape[1])):
                total += queries[n, c] * keys[there, c]
            least = min(least, total)
        bars[n] = least


def _scan(
    scores: np.ndarray,
    first: int,
    queries: np.ndarray,
    queries_length: np.ndarray,
    queries_last: np.ndarray,
    keys: np.ndarray,
    keys_length: np.ndarray,
    keys_last: np.ndarray,
    offset: int,
    count: int,
    bars: np.ndarray,
    values: np.ndarray,
    index: np.ndarray,
) -> None:
    U, F = np.uint64, np.float32
    LEADING, NEXT, PART, SLACK = _LEADING, _LEADING + _TOGETHER, _PART, _SLACK
    k, channels = values.shape[1], queries.shape[1]
    for row in range(len(scores)):
        n = first + row
        rest = queries_length[n]
        bar = max(values[n, k - 1], bars[n] - SLACK)
        for start in range(0, scores.shape[1], PART):
            above, least = F(0), bar - SLACK
            for x in range(U(PART)):
                at = U(start) + x
                above += max(scores[row, at] + rest * keys_length[at] - least, F(0))
            if not above > F(0):
                continue
            for at in range(start, min(start + PART, count)):
                found = scores[row, at]
                if not found + rest * keys_length[at] > bar - SLACK:
                    continue
                for c in range(U(LEADING), U(NEXT)):
                    found += queries[n, c] * keys[at, c]
                if not found + queries_last[n] * keys_last[at] > bar - SLACK:
                    continue
                for c in range(U(NEXT), U(channels)):
                    found += queries[n, c] * keys[at, c]
                if not found > bar:
                    continue
                place = k - 1
                while place > 0 and values[n, place - 1] < found:
                    values[n, place] = values[n, place - 1]
                    index[n, place] = index[n, place - 1]
                    place -= 1
                values[n, place] = found
                index[n, place] = offset + at
                bar = max(values[n, k - 1], bars[n] - SLACK)


def _fill(
    queries: np.ndarray,
    keys: np.ndarray,
    before: np.ndarray,
    every: int,
    top: int,
    left: int,
    width: int,
    values: np.ndarray,
    index: np.ndarray,
) -> None:
    """The best of every cell that was not searched for, among what those around it point to."""
    U, F = np.uint64, np.float32
    number, k = values.shape
    channels, height = queries.shape[1], number // width
    for n in range(number):
        y, x = n // width, n % width
        if y % every == top and x % every == left:
            continue
        held = 0
        for dy in range(-every, every):
            for dx in range(-every, every):
                is_own = dy == -every and dx == -every
                away_y, away_x = (0, 0) if is_own else (dy, dx)
                if not is_own:
                    if dy == -every or dx == -every:
                        continue
                    if y + dy < 0 or y + dy >= height or x + dx < 0 or x + dx >= width:
                        continue
                    if (y + dy) % every != top or (x + dx) % every != left:
                        continue
                there = n + away_y * width + away_x
                for i in range(k):
                    at = before[n, i] if is_own else index[there, i]
                    inside = at % number
                    row, column = inside // width - away_y, inside % width - away_x
                    if row < 0 or row >= height or column < 0 or column >= width:
                        continue
                    at = at - inside + row * width + column
                    is_new = True
                    for j in range(held):
                        if index[n, j] == at:
                            is_new = False
                    if not is_new:
                        continue
                    total = F(0)
                    for c in range(U(channels)):
                        total += queries[n, c] * keys[at, c]
                    if held == k and not total > values[n, k - 1]:
                        continue
                    place = min(held, k - 1)
                    while place > 0 and values[n, place - 1] < total:
                        values[n, place] = values[n, place - 1]
                        index[n, place] = index[n, place - 1]
                        place -= 1
                    values[n, place], index[n, place] = total, at
                    held = min(held + 1, k)
