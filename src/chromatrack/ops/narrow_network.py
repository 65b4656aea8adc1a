"""Networks of narrow 3 x 3 convolutions on the CPU, as one compiled loop over blocks of channels.

Where channels are few and pictures small, torch reaches a quarter of the machine's rate. Here 16
channels of a pixel lie together; the sums of some neighbouring pixels stay in registers, and what
is read of one pixel is used for three of them at once. A network is a list of steps over planes of
one stretch of memory, so that nothing is put together or made anew on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from chromatrack.ops.compiled import compiled
from chromatrack.ops.vector_code import telling

BLOCK = 16
"""Channels that lie together."""

_PIXELS = 16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 6
"""Neighbouring pixels whose sums are in registers together."""

_U = np.uint64
"""Numbers without a sign need no look at whether they are negative."""

_LOAD, _CONVOLVE, _POOL, _ENLARGE, _LAST = range(5)
_COLUMNS = 11  # numbers that a step takes, its kind included


@dataclass(frozen=True)
class Grid:
    """A picture's size in planes.

    Rows follow each other with one pixel of zeros between them, a row of zeros above and below.
    """

    height: int
    width: int

    @property
    def plane(self) -> int:
        """Numbers that a block of channels takes, those that sums beyond the last row go to too."""
        return ((self.height + 2) * (self.width + 1) + 2 + _PIXELS) * BLOCK

    @property
    def halved(self) -> Grid:
        """After pooling two by two pixels."""
        return Grid(-(-self.height // 2), -(-self.width // 2))


@dataclass(frozen=True)
class Planes:
    """Channels of a picture: where their first block begins."""

    at: int
    channels: int
    grid: Grid

    @property
    def blocks(self) -> int:
        """Blocks of channels."""
        return -(-self.channels // BLOCK)

    @property
    def end(self) -> int:
        """Where other planes can begin."""
        return self.at + self.blocks * self.grid.plane


@dataclass
class Steps:
    """What a network does for pictures of one size, step by step; `size`: numbers it needs."""

    rows: list[tuple[int, ...]] = field(default_factory=list)
    size: int = 0

    def load(self, into: Planes) -> None:
        """Lay out the picture."""
        self._add(into, _LOAD, into.at, into.channels, *_sides(into.grid))

    def convolve(
        self, sources: tuple[Planes, ...], into: Planes, *, weights: int, biases: int
    ) -> None:
        """Of one or two sources, and nothing below 0; with what `packed` made of the weights."""
        first, *others = sources
        second = others[0] if others else Planes(0, 0, into.grid)
        read = first.at, first.channels, second.at, second.channels
        self._add(into, _CONVOLVE, *read, into.at, into.blocks, *_sides(into.grid), weights, biases)

    def pool(self, source: Planes, into: Planes) -> None:
        """The largest of two by two pixels; there are none below 0."""
        self._add(into, _POOL, source.at, source.blocks, into.at, *_sides(source.grid))

    def enlarge(self, source: Planes, into: Planes) -> None:
        """Bilinear, to another size."""
        sides = *_sides(source.grid), *_sides(into.grid)
        self._add(into, _ENLARGE, source.at, source.blocks, into.at, *sides)

    def last(self, source: Planes, *, weights: int, biases: int) -> None:
        """The weighted sum of a block's channels, as the network's answer."""
        self._add(source, _LAST, source.at, *_sides(source.grid), weights, biases)

    def _add(self, used: Planes, *numbers: int) -> None:
        self.rows.append((*numbers, *[0] * (_COLUMNS - len(numbers))))
        self.size = max(self.size, used.end)

    def run(self, arena: Tensor, weights: Tensor, biases: Tensor, picture: Tensor) -> Tensor:
        """The answer `(h, w)` of a picture `(C, h, w)`.

        Args:
            arena: `(size,)` float32 or more, of any content; none that another thread works in.
            weights, biases: all that steps name places in, float32.
        """
        answer = torch.empty(picture.shape[1:])
        compiled(_run, prepare=_TELL)(
            np.array(self.rows, np.int64),
            arena.numpy(),
            weights.numpy(),
            biases.numpy(),
            picture.contiguous().numpy(),
            answer.numpy(),
        )
        return answer


def _sides(grid: Grid) -> tuple[int, int]:
    return grid.height, grid.width


def packed(kernel: Tensor, channels: tuple[int, ...]) -> Tensor:
    """Weights `(O, I, 3, 3)` of a convolution in the order in which they are read: flat.

    channels: of each source; they are I together.
    """
    outputs = -(-len(kernel) // BLOCK) * BLOCK
    wide = kernel.new_zeros(outputs, *kernel.shape[1:])
    wide[: len(kernel)] = kernel
    parts = []
    for source in wide.permute(1, 2, 3, 0).split(channels):  # channel, row, column, output
        parts += [block.transpose(0, 1).flatten(0, 1) for block in source.split(BLOCK)]
    return torch.cat(parts).unflatten(2, (-1, BLOCK)).permute(2, 0, 1, 3).flatten()


# -- compiled ------------------------------------------------------------------------------------


def _run(
    steps: np.ndarray,
    arena: np.ndarray,
    weights: np.ndarray,
    biases: np.ndarray,
    picture: np.ndarray,
    answer: np.ndarray,
) -> None:
    pixels = _PIXELS  # what is kept depends on it
    for number in range(len(steps)):
        step = steps[number]
        if step[0] == _LOAD:
            _load(step, arena, picture)
        elif step[0] == _CONVOLVE:
            _convolve(step, arena, weights, biases, pixels)
        elif step[0] == _POOL:
            _pool(step, arena)
        elif step[0] == _ENLARGE:
            _enlarge(step, arena)
        else:
            _last(step, arena, weights, biases, answer)


def _load(step: np.ndarray, arena: np.ndarray, picture: np.ndarray) -> None:
    at, channels, height, width = step[1], step[2], step[3], step[4]
    plane, side = ((height + 2) * (width + 1) + 2 + _PIXELS) * BLOCK, _U(BLOCK)
    for c in range(channels):
        block = at + c // BLOCK * plane
        if c % BLOCK == 0:
            _clear_edges(arena, block, height, width)
        for y in range(height):
            start = _U(block + ((y + 1) * (width + 1) + 1) * BLOCK + c % BLOCK)
            for x in range(_U(width)):
                arena[start + x * side] = picture[c, y, x]


def _clear_edges(arena: np.ndarray, at: int, height: int, width: int) -> None:
    """Zeros around a plane's pixels."""
    pitch, nothing = width + 1, np.float32(0)
    start = _U(at)
    for i in range(_U((pitch + 1) * BLOCK)):
        arena[start + i] = nothing
    for y in range(1, height + 1):
        start = _U(at + (y + 1) * pitch * BLOCK)
        for i in range(_U(BLOCK)):
            arena[start + i] = nothing
    start = _U(at + (height + 1) * pitch * BLOCK)
    for i in range(_U((pitch + 2 + _PIXELS) * BLOCK)):
        arena[start + i] = nothing


def _convolve(
    step: np.ndarray, arena: np.ndarray, weights: np.ndarray, biases: np.ndarray, pixels: int
) -> None:
    into, blocks, height, width = step[5], step[6], step[7], step[8]
    pitch = width + 1
    plane = ((height + 2) * pitch + 2 + _PIXELS) * BLOCK
    first = (pitch + 1) * BLOCK
    offsets = np.empty(3 * (step[2] + step[4]), np.int64)
    count = 0
    for source in range(2):
        at, channels = step[1 + 2 * source], step[2 + 2 * source]
        for start in range(0, channels, BLOCK):
            for row in range(3):
                for c in range(min(BLOCK, channels - start)):
                    block = at + (start // BLOCK) * plane
                    offsets[count] = block + first + (row - 1) * pitch * BLOCK + c
                    count += 1
    for block in range(blocks):
        at = into + block * plane
        kernel = step[9] + block * count * 3 * BLOCK
        for pixel in range(0, height * pitch, pixels):
            here = pixel * BLOCK
            to = at + first + here
            _sums(arena, here, offsets, weights, kernel, biases, step[10] + block * BLOCK, to)
        _clear_edges(arena, at, height, width)


def _sums(
    arena: np.ndarray,
    here: int,
    offsets: np.ndarray,
    weights: np.ndarray,
    kernel: int,
    biases: np.ndarray,
    bias: int,
    to: int,
) -> None:
    """16 sums of each of `_PIXELS` pixels, and nothing below 0.

    Of what lies at each offset and beside it, times 3 x 16 weights. Compiled, it is `_vectors`.
    """
    totals = np.empty((_PIXELS, BLOCK), np.float32)
    totals[:] = biases[bias : bias + BLOCK]
    for k in range(len(offsets)):
        for pixel in range(_PIXELS):
            for column in range(3):
                value = arena[here + offsets[k] + (pixel + column - 1) * BLOCK]
                start = kernel + (3 * k + column) * BLOCK
                totals[pixel] += value * weights[start : start + BLOCK]
    arena[to : to + _PIXELS * BLOCK] = np.maximum(totals, 0).ravel()


def _pool(step: np.ndarray, arena: np.ndarray) -> None:
    source, blocks, into, height, width = step[1], step[2], step[3], step[4], step[5]
    pitch = width + 1
    h, w = (height + 1) // 2, (width + 1) // 2
    for block in range(blocks):
        start = source + block * ((height + 2) * pitch + 2 + _PIXELS) * BLOCK
        at = into + block * ((h + 2) * (w + 1) + 2 + _PIXELS) * BLOCK
        for y in range(h):
            for x in range(w):
                first = start + ((2 * y + 1) * pitch + 2 * x + 1) * BLOCK
                a, b = _U(first), _U(first + BLOCK)
                d, e = _U(first + pitch * BLOCK), _U(first + (pitch + 1) * BLOCK)
                to = _U(at + ((y + 1) * (w + 1) + x + 1) * BLOCK)
                for c in range(_U(BLOCK)):
                    above = max(arena[a + c], arena[b + c])
                    arena[to + c] = max(above, max(arena[d + c], arena[e + c]))
        _clear_edges(arena, at, h, w)


def _enlarge(step: np.ndarray, arena: np.ndarray) -> None:
    source, blocks, into, height, width = step[1], step[2], step[3], step[4], step[5]
    h, w = step[6], step[7]
    down, across = np.float32(height / h), np.float32(width / w)
    half, nothing = np.float32(0.5), np.float32(0)
    for block in range(blocks):
        start = source + (block * ((height + 2) * (width + 1) + 2 + _PIXELS) + 1) * BLOCK
        at = into + block * ((h + 2) * (w + 1) + 2 + _PIXELS) * BLOCK
        for y in range(h):
            row = max((np.float32(y) + half) * down - half, nothing)
            y0 = int(row)
            y1, low = min(y0 + 1, height - 1), row - np.float32(y0)
            upper = start + (y0 + 1) * (width + 1) * BLOCK
            lower = start + (y1 + 1) * (width + 1) * BLOCK
            for x in range(w):
                column = max((np.float32(x) + half) * across - half, nothing)
                x0 = int(column)
                x1, right = min(x0 + 1, width - 1), column - np.float32(x0)
                a, b = _U(upper + x0 * BLOCK), _U(upper + x1 * BLOCK)
                d, e = _U(lower + x0 * BLOCK), _U(lower + x1 * BLOCK)
                to = _U(at + ((y + 1) * (w + 1) + x + 1) * BLOCK)
                for c in range(_U(BLOCK)):
                    above = arena[a + c] + (arena[b + c] - arena[a + c]) * right
                    below = arena[d + c] + (arena[e + c] - arena[d + c]) * right
                    arena[to + c] = above + (below - above) * low
        _clear_edges(arena, at, h, w)


def _last(
    step: np.ndarray,
    arena: np.ndarray,
    weights: np.ndarray,
    biases: np.ndarray,
    answer: np.ndarray,
) -> None:
    at, height, width, first, bias = step[1], step[2], step[3], _U(step[4]), step[5]
    for y in range(height):
        for x in range(width):
            here = _U(at + ((y + 1) * (width + 1) + x + 1) * BLOCK)
            total = np.float32(0)
            for c in range(_U(BLOCK)):
                total += arena[here + c] * weights[first + c]
            answer[y, x] = total + biases[bias]


_TELL = telling(
    _sums,
    (_clear_edges, _load, _convolve, _pool, _enlarge, _last),
    pixels=_PIXELS,
    width=BLOCK,
)
