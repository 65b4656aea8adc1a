"""Narrow networks as one loop: every step as torch does it, and compiled as it is written."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from chromatrack.ops import narrow_network
from chromatrack.ops.narrow_network import BLOCK, Grid, Planes, Steps, packed

sides = st.integers(1, 40)


def network(height: int, width: int, *, channels: tuple[int, int, int, int]) -> Steps:
    """Steps of one that convolves, pools, convolves, enlarges, convolves both, and sums up."""
    inputs, first, second, third = channels
    grid, steps = Grid(height, width), Steps()
    start = Planes(0, inputs, grid)
    one = Planes(start.end, first, grid)
    small = Planes(one.end, first, grid.halved)
    two = Planes(small.end, second, grid.halved)
    large = Planes(two.end, second, grid)
    three = Planes(large.end, third, grid)
    sizes = [_length(first, inputs), _length(second, first), _length(third, first + second)]
    places = [0, sizes[0], sum(sizes[:2]), sum(sizes)]
    biases = [0, 2 * BLOCK, 4 * BLOCK, 6 * BLOCK]
    steps.load(start)
    steps.convolve((start,), one, weights=places[0], biases=biases[0])
    steps.pool(one, small)
    steps.convolve((small,), two, weights=places[1], biases=biases[1])
    steps.enlarge(two, large)
    steps.convolve((one, large), three, weights=places[2], biases=biases[2])
    steps.last(three, weights=places[3], biases=biases[3])
    return steps


def _length(outputs: int, inputs: int) -> int:
    return -(-outputs // BLOCK) * BLOCK * inputs * 9


def by_torch(picture: torch.Tensor, kernels: list[torch.Tensor], biases: list[torch.Tensor]):
    size = picture.shape[-2:]
    one = F.relu(F.conv2d(picture[None], kernels[0], biases[0], padding=1))
    small = F.max_pool2d(one, 2, ceil_mode=True)
    two = F.relu(F.conv2d(small, kernels[1], biases[1], padding=1))
    large = F.interpolate(two, size=size, mode="bilinear")
    three = F.relu(F.conv2d(torch.cat([one, large], 1), kernels[2], biases[2], padding=1))
    return F.conv2d(three, kernels[3], biases[3])[0, 0]


def made(channels: tuple[int, int, int, int], seed: int):
    inputs, first, second, third = channels
    draw = torch.Generator().manual_seed(seed)
    shapes = [(first, inputs), (second, first), (third, first + second)]
    kernels = [torch.randn(*shape, 3, 3, generator=draw) / 3 / shape[1] ** 0.5 for shape in shapes]
    kernels.append(torch.randn(1, third, 1, 1, generator=draw))
    return kernels, [torch.randn(n, generator=draw) for n in (first, second, third, 1)]


def joined(kernels: list[torch.Tensor], biases: list[torch.Tensor], first: int):
    sources = [(kernels[0].shape[1],), (first,), (first, kernels[2].shape[1] - first)]
    parts = [packed(kernel, s) for kernel, s in zip(kernels, sources, strict=False)]
    last = F.pad(kernels[3].flatten(), (0, BLOCK - kernels[3].shape[1]))
    padded = [F.pad(b, (0, 2 * BLOCK - len(b))) for b in biases[:3]]
    return torch.cat([*parts, last]), torch.cat([*padded, biases[3]])


@given(sides, sides, st.sampled_from([(10, 16, 24, 16), (3, 5, 32, 7), (17, 32, 1, 1)]))
@settings(deadline=None, max_examples=40)
def test_its_steps_are_what_torch_does(height, width, channels):
    kernels, biases = made(channels, seed=height * 41 + width)
    steps = network(height, width, channels=channels)
    picture = torch.randn(channels[0], height, width)
    arena = torch.full((steps.size,), 7.0)  # what was there before says nothing
    answer = steps.run(arena, *joined(kernels, biases, channels[1]), picture)
    torch.testing.assert_close(answer, by_torch(picture, kernels, biases), atol=1e-4, rtol=1e-4)


def test_compiled_it_is_what_is_written():
    channels = (10, 16, 24, 16)
    kernels, biases = made(channels, seed=3)
    steps = network(5, 7, channels=channels)
    picture, told = torch.randn(10, 5, 7), joined(kernels, biases, 16)
    arena, answer = np.full(steps.size, 7, np.float32), np.empty((5, 7), np.float32)
    rows = np.array(steps.rows, np.int64)
    with np.errstate(all="ignore"):
        narrow_network._run(rows, arena, *(x.numpy() for x in (*told, picture)), answer)
    compiled = steps.run(torch.empty(steps.size), *told, picture)
    torch.testing.assert_close(torch.from_numpy(answer), compiled, atol=1e-4, rtol=1e-4)
