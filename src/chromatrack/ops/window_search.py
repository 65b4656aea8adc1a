"""The pointer's search on the CPU: scores and their best few in one pass, compiled for the machine.

`ops.affinity` computes the same with tensor operations, for every device; there, scores of a tile
against its halo are written, slid into windows and searched, three times over memory that a core's
cache does not hold. Here eight neighbouring cells are compared with one row of their windows at a
time, and of what no cell can want the rest is not computed: features are turned so that the first
directions say most, and lengths of what is left bound the rest. The answer is exact.

Loops are written so that the compiler makes vectors of them: numbers without a sign need no look at
whether they are negative, and loops over all cells at once are long enough not to be unrolled.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from weakref import ref

import numpy as np
import torch
from torch import Tensor

from chromatrack.ops.compiled import compiled, has_compiler
from chromatrack.ops.tiles import OUTSIDE, Windows
from chromatrack.ops.whole_search import WholeSearch
from chromatrack.structures import RadiusShape

_CELLS = 8
"""Neighbouring target cells that are compared together: one vector of float32."""

_ROWS = 4
"""Rows of them that share what is read of the references."""

_LEADING = 24
"""Channels after which the rest is computed only where it can matter: a multiple of 4."""

_TOGETHER = 32
"""The rest of the channels is a multiple of this: vectors without a remainder."""

_RADII = (8, 16, 20, 40)
"""Windows that there are compiled searches for; smaller ones take the next."""

_PAD = 24
"""Columns around a map that the usual windows need."""

_MOST = 64
"""Cells to find, at most: they are kept in order."""

_PARTS = 4
"""Parts of the work for every thread: cores that others use too are slower."""

_SLACK = np.float32(1e-4)
"""What rounding may take from a bound."""


@dataclass(frozen=True)
class Rows:
    """A feature map laid out for the search.

    leading: `(h, _LEADING, width)` float32, the first channels; column x of the map at `pad + x`,
    zeros around. rest: `(h, width, R)`, the others, zeros up to R. length: `(h, width)`, of `rest`.
    """

    leading: np.ndarray
    rest: np.ndarray
    length: np.ndarray
    pad: int

    @classmethod
    def of(cls, features: Tensor, pad: int) -> Rows:
        """Of `(C, h, w)`, with `pad` columns on either side."""
        C, h, w = features.shape
        width = 2 * pad + -(-w // _CELLS) * _CELLS
        left = -(-max(0, C - _LEADING) // _TOGETHER) * _TOGETHER
        leading = np.zeros((h, _LEADING, width), np.float32)
        rest = np.zeros((h, width, left), np.float32)
        length = np.zeros((h, width), np.float32)
        rows = features.float().contiguous().numpy()
        compiled(_lay_out)(rows, pad, leading, rest, length)
        return cls(leading, rest, length, pad)


def _lay_out(
    features: np.ndarray, pad: int, leading: np.ndarray, rest: np.ndarray, length: np.ndarray
) -> None:
    channels, height, width = features.shape
    first = leading.shape[1]
    for y in range(height):
        for c in range(min(channels, first)):
            for x in range(width):
                leading[y, c, pad + x] = features[c, y, x]
        for x in range(width):
            for c in range(first, channels):
                rest[y, pad + x, c - first] = features[c, y, x]
        for c in range(first, channels):
            for x in range(width):
                length[y, pad + x] += features[c, y, x] * features[c, y, x]
        for x in range(width):
            length[y, pad + x] = np.sqrt(length[y, pad + x])


@dataclass(eq=False)
class WindowSearch:
    """The search as one pass over a clip uses it: what it prepares of a frame is kept.

    Feature maps are known again by identity, so they must not be changed.
    """

    _led_by: Tensor | None = None
    _turn: Tensor | None = None
    _kept: dict[int, tuple[ref[Tensor], Rows]] = field(default_factory=dict)
    whole: WholeSearch = field(default_factory=WholeSearch)
    """The search where there is no window."""

    def lead_by(self, features: Tensor) -> None:
        """Compare first what varies most in `features` `(C, h, w)`; they change no result."""
        if features is self._led_by:
            return
        self._led_by, self._turn = features, None
        self._kept.clear()
        if len(features) > _LEADING and features.device.type == "cpu":
            cells = features.flatten(1).float()
            self._turn = torch.linalg.eigh(cells @ cells.T / cells.shape[1])[1].flip(1).T

    def can(self, windows: Windows, target: Tensor, k: int) -> bool:
        """Whether it can find that many cells in these windows, for a map on that device."""
        return (
            has_compiler()
            and target.device.type == "cpu"
            and max(windows.radius) <= _RADII[-1]
            and k <= min(_MOST, windows.places)
        )

    def top_k(
        self,
        target: Tensor,
        references: Sequence[Tensor],
        windows: Windows,
        k: int,
        active: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Similarity and number of the best cells in the windows, jointly over the references.

        Args:
            target, references: `(C, h, w)` float32, on the CPU.
            windows: one for each reference.
            k: how many to find.
            active: `(h, w)` bool, where to search; None: everywhere.

        Returns:
            `(N, k)` float32 similarities, falling, OUTSIDE where there are no more or nothing was
            searched; `(N, k)` int64 cells, counted through all references.
        """
        h, w = windows.size
        widest = [next(most for most in _RADII if r <= most) for r in windows.radius]
        pad = max(_PAD, -(-max(widest) // _CELLS) * _CELLS)
        queries, *keys = self._rows([target, *references], pad)
        found = torch.full((h * w, k), OUTSIDE), torch.zeros(h * w, k, dtype=torch.int64)
        values, index = (x.numpy().reshape(h, w, k) for x in found)
        order = sorted(range(len(keys)), key=lambda i: windows.radius[i])  # near ones set the bar
        searches = [
            (
                _search(widest[i]),
                keys[i],
                windows.numbers[i] * h * w,
                _reaches(windows.radius[i], windows.shape),
            )
            for i in order
        ]

        def work(blocks: np.ndarray) -> None:
            for search, there, first, reaches in searches:
                search(
                    *(queries.leading, queries.rest, queries.length),
                    *(there.leading, there.rest, there.length),
                    *(pad, first, blocks, reaches, values, index),
                )

        blocks, threads = _blocks(active, (h, w)), torch.get_num_threads()
        if threads == 1:
            work(blocks)
        else:
            count = threads * _PARTS
            parts = (blocks[i::count].copy() for i in range(count))
            list(_pool(os.getpid(), threads).map(work, parts))
        return found

    def __reduce__(self) -> tuple[type[WindowSearch], tuple[()]]:
        """Written down, it is a new one: all it knows, it knows from the maps."""
        return WindowSearch, ()

    def _rows(self, maps: Sequence[Tensor], pad: int) -> list[Rows]:
        """Maps laid out, and kept until the next search."""
        kept = self._kept
        self._kept, found = {}, []
        for x in maps:
            known, rows = kept.get(id(x)) or self._kept.get(id(x)) or (None, None)
            if rows is None or known is None or known() is not x or rows.pad != pad:
                turned = x if self._turn is None else torch.tensordot(self._turn, x.float(), 1)
                rows = Rows.of(turned, pad)
            self._kept[id(x)] = (ref(x), rows)
            found.append(rows)
        return found


def _blocks(active: Tensor | None, size: tuple[int, int]) -> np.ndarray:
    """Blocks of target cells with an active one: `(n, 3)` first row, first column, and which rows.

    A row is a bit of the last number.
    """
    h, w = size
    held = np.zeros((-(-h // _ROWS) * _ROWS, -(-w // _CELLS) * _CELLS), bool)
    held[:h, :w] = True if active is None else active.numpy()
    held = held.reshape(held.shape[0] // _ROWS, _ROWS, -1, _CELLS).any(3)
    bits = (held << np.arange(_ROWS)[None, :, None]).sum(1)
    rows, columns = bits.nonzero()
    return np.stack([rows * _ROWS, columns * _CELLS, bits[rows, columns]], 1)


def _reaches(radius: int, shape: RadiusShape) -> np.ndarray:
    """How far a window reaches to either side, `(2 radius + 1,)` by row from above; -1: not."""
    if shape == "square":
        return np.full(2 * radius + 1, radius)
    dy = np.arange(-radius, radius + 1)  # dy^2 + dx^2 < radius^2
    return np.ceil(np.sqrt(radius * radius - dy * dy)).astype(np.int64) - 1


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="window-search")


@cache
def _search(radius: int) -> Callable[..., None]:
    """The search in windows of one radius, compiled at its first call and kept on disk."""
    return compiled(_written(radius))


def _written(radius: int) -> Callable[..., None]:
    """The search in windows of up to `radius` cells, as Python."""
    U, F = np.uint64, np.float32
    CELLS, ROWS, LEADING, SLACK = _CELLS, _ROWS, _LEADING, _SLACK
    RADIUS = radius
    WIDTH = -(-(2 * RADIUS + CELLS) // CELLS) * CELLS

    def search(
        queries: np.ndarray,
        queries_rest: np.ndarray,
        queries_length: np.ndarray,
        keys: np.ndarray,
        keys_rest: np.ndarray,
        keys_length: np.ndarray,
        pad: int,
        first: int,
        blocks: np.ndarray,
        reaches: np.ndarray,
        values: np.ndarray,
        index: np.ndarray,
    ) -> None:
        left_over = queries_rest.shape[2]
        h, w, k = values.shape
        radius = len(reaches) // 2
        scores = np.empty((CELLS, WIDTH), F)
        query = np.empty((ROWS, LEADING, CELLS), F)
        rest, bars, totals = (
            np.empty((ROWS, CELLS), F),
            np.empty((ROWS, CELLS), F),
            np.empty(CELLS, F),
        )
        for block in range(len(blocks)):
            top, left = blocks[block, 0], blocks[block, 1]
            count, lines = min(CELLS, w - left), min(ROWS, h - top)
            for line in range(lines):
                for c in range(LEADING):
                    for i in range(CELLS):
                        query[line, c, i] = queries[top + line, c, pad + left + i]
                for i in range(CELLS):
                    rest[line, i] = queries_length[top + line, pad + left + i]
                    bars[line, i] = F(1e30)
                for i in range(count):
                    bars[line, i] = values[top + line, left + i, k - 1] - SLACK
            start, zero = pad + left - RADIUS, left - RADIUS
            for number in range(2 * radius + 2 * ROWS):
                # the nearest rows first: they set the bar
                away = (number + 1) // 2
                row = top + ROWS // 2 + (away if number % 2 == 0 else -away)
                if row < 0 or row >= h:
                    continue
                there, longs, at = keys[row], keys_length[row], U(start)
                for line in range(lines):
                    y = top + line
                    if (
                        not blocks[block, 2] >> line & 1
                        or row - y > radius
                        or y - row > radius
                        or reaches[radius + row - y] < 0
                    ):
                        continue
                    reach = reaches[radius + row - y]
                    for i in range(U(CELLS)):
                        for x in range(U(WIDTH)):
                            scores[i, x] = F(0)
                    n = U(line)
                    for four in range(U(LEADING // 4)):
                        c0 = four * U(4)
                        c1, c2, c3 = c0 + U(1), c0 + U(2), c0 + U(3)
                        for pair in range(U(CELLS // 2)):
                            i = pair * U(2)
                            j = i + U(1)
                            a0, a1 = query[n, c0, i], query[n, c1, i]
                            a2, a3 = query[n, c2, i], query[n, c3, i]
                            b0, b1 = query[n, c0, j], query[n, c1, j]
                            b2, b3 = query[n, c2, j], query[n, c3, j]
                            for x in range(U(WIDTH)):
                                k0, k1 = there[c0, at + x], there[c1, at + x]
                                k2, k3 = there[c2, at + x], there[c3, at + x]
                                scores[i, x] += a0 * k0 + a1 * k1 + a2 * k2 + a3 * k3
                                scores[j, x] += b0 * k0 + b1 * k1 + b2 * k2 + b3 * k3
                    r0, r1, r2, r3 = rest[n, 0], rest[n, 1], rest[n, 2], rest[n, 3]
                    r4, r5, r6, r7 = rest[n, 4], rest[n, 5], rest[n, 6], rest[n, 7]
                    l0, l1, l2, l3 = bars[n, 0], bars[n, 1], bars[n, 2], bars[n, 3]
                    l4, l5, l6, l7 = bars[n, 4], bars[n, 5], bars[n, 6], bars[n, 7]
                    t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = F(0)
                    for x in range(U(WIDTH)):
                        more = longs[at + x]
                        t0 += max(scores[0, x] + r0 * more - l0, F(0))
                        t1 += max(scores[1, x] + r1 * more - l1, F(0))
                        t2 += max(scores[2, x] + r2 * more - l2, F(0))
                        t3 += max(scores[3, x] + r3 * more - l3, F(0))
                        t4 += max(scores[4, x] + r4 * more - l4, F(0))
                        t5 += max(scores[5, x] + r5 * more - l5, F(0))
                        t6 += max(scores[6, x] + r6 * more - l6, F(0))
                        t7 += max(scores[7, x] + r7 * more - l7, F(0))
                    totals[0], totals[1], totals[2], totals[3] = t0, t1, t2, t3
                    totals[4], totals[5], totals[6], totals[7] = t4, t5, t6, t7
                    for i in range(count):
                        if not totals[i] > F(0):
                            continue
                        least, longest = values[y, left + i, k - 1], rest[line, i]
                        low = max(0, left + i - reach) - zero
                        high = min(w, left + i + reach + 1) - zero
                        here = pad + left + i
                        for x in range(low, high):
                            found = scores[i, x]
                            if found + longest * longs[start + x] > least - SLACK:
                                for c in range(U(left_over)):
                                    found += queries_rest[y, here, c] * keys_rest[row, start + x, c]
                                if not found > least:
                                    continue
                                place = k - 1
                                while place > 0 and values[y, left + i, place - 1] < found:
                                    values[y, left + i, place] = values[y, left + i, place - 1]
                                    index[y, left + i, place] = index[y, left + i, place - 1]
                                    place -= 1
                                values[y, left + i, place] = found
                                index[y, left + i, place] = first + row * w + zero + x
                                least = values[y, left + i, k - 1]
                        bars[line, i] = least - SLACK

    return search
