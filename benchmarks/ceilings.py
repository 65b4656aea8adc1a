"""Floating point operations counted, and what a machine can do of them at best.

A multiply-add is two operations; convolutions and matrix products are counted, all else is none.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from chromatrack.model.encoder import Encoder

RUNS = 5  # of each ceiling; the best counts


def clock(device: torch.device) -> float:
    """Seconds, once the device has done what it was given."""
    torch.get_device_module(device).synchronize()
    return time.perf_counter()


@dataclass(frozen=True)
class Operations:
    """Floating point operations, a multiply-add as two: convolutions and matrix products."""

    convolutions: int
    products: int

    @property
    def total(self) -> int:
        return self.convolutions + self.products


def count_operations(work: Callable[[], Tensor]) -> Operations:
    """Those of computing a scalar and of its backward pass."""
    return _counted(lambda: work().backward())


def forward_operations(work: Callable[[], object]) -> Operations:
    """Those of a call, as it does them."""
    return _counted(work)


def _counted(work: Callable[[], object]) -> Operations:
    with FlopCounterMode(display=False) as counter:
        work()
    found = counter.get_flop_counts().get("Global", {})  # not there where nothing counts
    convolutions = sum(n for kind, n in found.items() if "convolution" in str(kind))
    return Operations(convolutions, counter.get_total_flops() - convolutions)


def pointer_operations(
    active: Tensor, *, radius: Sequence[int | None], channels: int, disc: bool = False
) -> int:
    """Those of comparing active cells with all that their windows hold, and no others.

    Args:
        active: `(h, w)` bool, cells for which the pointer is wanted.
        radius: of the window in each reference, in cells; None: all of it.
    """
    h, w = active.shape
    pairs = 0
    for r in radius:
        if r is None:
            pairs += int(active.sum()) * h * w
            continue
        for dy in range(-r, r + 1):
            # as `ops.affinity.window_mask` has it: a disc's border is outside
            reach = math.isqrt(max(0, r * r - dy * dy - 1)) if disc else r
            if disc and abs(dy) >= r:
                continue
            rows = active[max(0, -dy) : max(0, h - max(0, dy))]
            columns = torch.arange(w, device=active.device)
            wide = (columns + reach).clamp(max=w - 1) - (columns - reach).clamp(min=0) + 1
            pairs += int((rows * wide).sum())
    return 2 * channels * pairs


def best_rate(work: Callable[[], object], *, operations: float, device: torch.device) -> float:
    """Operations a second in the best of some runs, after one to warm up."""
    work()
    times = []
    for _ in range(RUNS):
        began = clock(device)
        work()
        times.append(clock(device) - began)
    return operations / min(times)


def product_rate(side: int, *, device: torch.device, precision: torch.dtype) -> float:
    """Operations a second of the product of two square matrices."""
    a, b = (torch.randn(side, side, device=device).to(precision) for _ in range(2))
    return best_rate(lambda: a @ b, operations=2 * side**3, device=device)


@dataclass(frozen=True)
class Convolution:
    """A convolution of the network, alone, with input of the shape that it gets there."""

    layer: nn.Conv2d | nn.Conv3d
    images: Tensor

    @property
    def name(self) -> str:
        kernel = "x".join(map(str, self.layer.kernel_size))
        places = "x".join(map(str, self.images.shape[2:]))
        channels = f"{self.layer.in_channels} to {self.layer.out_channels} channels"
        return f"convolution {kernel}, {channels}, {len(self.images)} of {places}"

    def rate(self) -> float:
        """Operations a second, forward and backward."""
        count = count_operations(lambda: self.layer(self.images).sum()).total
        gradient = torch.randn_like(self.layer(self.images))

        def work() -> object:
            wanted = [self.images, self.layer.weight]
            return torch.autograd.grad(self.layer(self.images), wanted, gradient)

        return best_rate(work, operations=count, device=self.images.device)


def heaviest_convolution(encoder: Encoder, lab: Tensor, *, precision: torch.dtype) -> Convolution:
    """The one with most operations of all that `(B, 3, H, W)` pictures go through."""
    seen: list[tuple[int, nn.Conv2d | nn.Conv3d, Tensor]] = []

    def look(layer: nn.Conv2d | nn.Conv3d, images: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((output.numel() * layer.weight[0].numel(), layer, images[0]))

    layers = [m for m in encoder.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)]
    hooks = [layer.register_forward_hook(look) for layer in layers]
    with torch.no_grad():
        encoder.project(lab)
    for hook in hooks:
        hook.remove()
    _, layer, images = max(seen, key=lambda item: item[0])
    alone = copy.deepcopy(layer).to(precision)
    return Convolution(alone, torch.randn_like(images, dtype=precision).requires_grad_())
