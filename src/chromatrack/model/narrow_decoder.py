"""The mask decoder as one compiled loop on the CPU: `MaskDecoder` does the same, on any device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from chromatrack.ops.compiled import can_compile
from chromatrack.ops.narrow_network import BLOCK, Grid, Planes, Steps, packed

_MOST_THREADS = 2
"""Threads of torch up to which one loop is faster than its convolutions on all of them."""

_MOST_KEPT = 32  # sizes of pictures whose steps are kept


class NarrowDecoder:
    """A U-Net of blocks of two convolutions each, its weights packed.

    Args:
        down, up: blocks of convolution, ReLU, convolution, ReLU; batch norm is within them.
        last: of one pixel, from up to 16 channels to one.
    """

    def __init__(
        self, down: Sequence[nn.Sequential], up: Sequence[nn.Sequential], last: nn.Conv2d
    ) -> None:
        self._widths = [[convolution.out_channels for convolution in _of(b)] for b in (*down, *up)]
        self._inputs, self._depth = _of(down[0])[0].in_channels, len(down)
        kernels: list[Tensor] = []
        for number, block in enumerate((*down, *up)):
            first, second = _of(block)
            sources = (first.in_channels,)
            if number >= self._depth:  # what comes down on this level, and what comes up
                level = self._depth - 2 - (number - self._depth)
                sources = (self._widths[level][1], self._widths[number - 1][1])
            kernels += [packed(first.weight, sources), packed(second.weight, (first.out_channels,))]
        biases = [c.bias for block in (*down, *up) for c in _of(block)]
        self._weights, self._weights_at = _joined([*kernels, last.weight.flatten()])
        self._biases, self._biases_at = _joined([*biases, last.bias])
        self._steps: dict[tuple[int, int], Steps] = {}
        self._arenas: list[Tensor] = []

    def can(self, inputs: Tensor) -> bool:
        """Whether it is for this picture's device, and faster there."""
        return can_compile(inputs) and torch.get_num_threads() <= _MOST_THREADS

    def __call__(self, inputs: Tensor) -> Tensor:
        """What the last convolution gives, `(h, w)`, of `(C, h, w)`."""
        height, width = inputs.shape[1:]
        steps = self._steps.get((height, width))
        if steps is None:
            steps = self._written(Grid(height, width))
            kept = [*self._steps.items()][1 - _MOST_KEPT :]
            self._steps = dict([*kept, ((height, width), steps)])
        try:
            arena = self._arenas.pop()
        except IndexError:  # in use by another thread, or the first of all
            arena = torch.empty(0)
        if len(arena) < steps.size:
            arena = torch.empty(steps.size)
        answer = steps.run(arena, self._weights, self._biases, inputs)
        if not self._arenas:  # another thread may have brought one back
            self._arenas.append(arena)
        return answer

    def _written(self, grid: Grid) -> Steps:
        """What is done for pictures of a size."""
        steps, at, number = Steps(), 0, 0

        def made(channels: int, grid: Grid) -> Planes:
            nonlocal at
            planes = Planes(at, channels, grid)
            at = planes.end
            return planes

        def convolved(sources: tuple[Planes, ...], into: Planes) -> Planes:
            nonlocal number
            places = self._weights_at[number], self._biases_at[number]
            steps.convolve(sources, into, weights=places[0], biases=places[1])
            number += 1
            return into

        here = made(self._inputs, grid)
        steps.load(here)
        begun: list[tuple[Planes, Planes]] = []  # of each level: what it begins with, what it gives
        for depth in range(self._depth):
            if depth:
                pooled = made(here.channels, here.grid.halved)
                steps.pool(here, pooled)
                here = pooled
            first, second = self._widths[depth]
            between = convolved((here,), made(first, here.grid))
            begun.append((here, made(second, here.grid)))
            here = convolved((between,), begun[-1][1])
        for block, (start, level) in zip(
            self._widths[self._depth :], reversed(begun[:-1]), strict=True
        ):
            larger = Planes(start.at, here.channels, level.grid)  # where nothing is needed any more
            assert larger.end <= level.at and -(-block[1] // BLOCK) <= level.blocks
            steps.enlarge(here, larger)
            between = convolved((level, larger), made(block[0], level.grid))
            here = convolved((between,), Planes(level.at, block[1], level.grid))
        steps.last(here, weights=self._weights_at[number], biases=self._biases_at[number])
        return steps

    def __deepcopy__(self, memo: object) -> NarrowDecoder:
        """Nothing of it changes."""
        return self


def _of(block: nn.Sequential) -> list[nn.Conv2d]:
    return [module for module in block if isinstance(module, nn.Conv2d)]


def _joined(parts: Sequence[Tensor | None]) -> tuple[Tensor, list[int]]:
    """Flat tensors in one, each at a multiple of `BLOCK`, zeros between; and where each is."""
    places, joined = [], []
    for part in parts:
        assert part is not None
        places.append(sum(map(len, joined)))
        left = -len(part) % BLOCK
        joined += [part.detach().float(), part.new_zeros(left, dtype=torch.float32)]
    return torch.cat([part.cpu() for part in joined]), places
