"""3 x 3 convolutions in a Winograd transform, where the machine's usual ones do each product.

torch brings two libraries for the CPU. Its usual choice is oneDNN, which has no such transform on
CPUs with AVX2 only; NNPACK has: of 64 channels or more, it takes 0.5 to 0.65 of the time on one
thread (`benchmarks/README.md`), and no less than oneDNN on two.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEAST_CHANNELS = 64
"""Input channels from which the transform is worth it."""

_STRIP = 30
"""Rows that are made at a time: a multiple of the 6 that one transform makes, so that they stay the
same to the bit. What it works in grows with them, and a thread keeps it."""

_nnpack: Callable[..., Tensor] | None = getattr(torch, "_nnpack_spatial_convolution", None)


def is_faster() -> bool:
    """Whether this machine, and the number of threads now, are of the kind it was faster on."""
    return (
        _nnpack is not None
        and torch.get_num_threads() == 1
        and torch.backends.cpu.get_cpu_capability() == "AVX2"
        and torch.backends.nnpack.is_available()  # pyright: ignore[reportAttributeAccessIssue]
    )


class FastConvolution(nn.Conv2d):
    """A 3 x 3 convolution of stride 1, for inference; same output within float rounding."""

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or input.dtype != torch.float32 or not is_faster():
            return super().forward(input)
        B, _, H, W = input.shape
        made, weight = input.new_empty(B, self.out_channels, H, W), self.weight.contiguous()
        for first in range(0, H, _STRIP):
            after = min(H, first + _STRIP)
            part = input[:, :, max(0, first - 1) : after + 1]
            part = F.pad(part, (1, 1, int(first == 0), int(after == H))).contiguous()
            made[:, :, first:after] = _convolved(part, weight, self.bias)
        return made


def _convolved(padded: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    assert _nnpack is not None
    return _nnpack(padded, weight, bias, [0, 0], [1, 1])


def make_convolutions_fast(network: nn.Module) -> None:
    """Make those of a network's convolutions fast that can be, in place."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _can_be_fast(module):
            module.__class__ = FastConvolution


def _can_be_fast(convolution: nn.Conv2d) -> bool:
    return (
        convolution.kernel_size == (3, 3)
        and convolution.stride == convolution.dilation == (1, 1)
        and convolution.padding == (1, 1)
        and convolution.groups == 1
        and convolution.in_channels >= _LEAST_CHANNELS
    )
