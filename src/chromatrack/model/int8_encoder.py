"""A residual network in 8-bit integers, where the CPU multiplies those faster than floats.

CPUs with VNNI do four products of bytes in place of one of floats, and a quarter of the memory is
moved. Activations are bytes with one scale a layer, from the frame that the network is fitted to;
weights are signed bytes with one scale an output channel; sums are exact. The picture has two bytes
a channel, the second for what the first one rounds off: with one, half of what features lose is
lost there. Features differ a little from those of floats (`benchmarks/README.md` says what that
does to masks).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromatrack.model.encoder import Encoder, ResidualBlock, ResNetEncoder
from chromatrack.ops.compiled import can_compile, compiled
from chromatrack.ops.coords import image_size

_ROOM = 1.25
"""Times nearly the largest value on the frame it is fitted to that a layer can hold."""

_LARGEST = 0.0001
"""Share of a layer's values that are larger than what is taken for nearly the largest one.

A few far larger ones would have the bytes of all others be coarser.
"""

_ROOM_OF_LAB = 1.2  # times the largest value of a channel of the picture

_FINER = 8
"""Second bytes of the picture are so many times finer than first ones.

More would have their weights, of one scale with those of the first bytes, be too coarse.
"""

_MOST_CUT = 0.002
"""Share of a layer's values that may be too large for it; a frame with more is embedded in floats.

Such as the first bright ones of a clip that begins in the dark.
"""

_MIDDLE = 128  # the byte that is 0 where values have signs


def is_faster() -> bool:
    """Whether this machine has the instructions, and torch the products."""
    has_vnni = getattr(torch.cpu, "_is_vnni_supported", lambda: False)
    return bool(has_vnni()) and hasattr(torch.ops.onednn, "qconv2d_pointwise")


@dataclass
class _Values:
    """How bytes of a layer stand for values: `scale * (byte - zero)`."""

    scale: float
    zero: int = 0

    @classmethod
    def of(cls, x: Tensor) -> _Values:
        """Of values like these."""
        values = x.abs().flatten()
        place = len(values) - 1 - int(_LARGEST * len(values))
        most = max(float(np.partition(values.numpy(), place)[place]) * _ROOM, 1e-6)
        return cls(most / 255) if float(x.amin()) >= 0 else cls(most / 127, _MIDDLE)


class _Convolution:
    """A convolution of bytes; what comes out is bytes, or floats where `after` is None."""

    def __init__(self, of: nn.Conv2d, before: _Values, after: _Values | None) -> None:
        weight = of.weight.detach().float()
        self.scales = weight.abs().amax((1, 2, 3)).clamp(min=1e-9) / 127
        levels = (weight / self.scales[:, None, None, None]).round().to(torch.int8)
        self.where = [list(of.stride), list(of.padding), list(of.dilation), of.groups]
        read = self.scales, before.scale, before.zero
        self.packed = torch.ops.onednn.qconv_prepack(levels, *read, *self.where)
        self.zeros = torch.zeros(len(levels), dtype=torch.int32)
        self.bias = None if of.bias is None else of.bias.detach().float()
        self.before, self.after = before, after

    def __call__(self, x: Tensor, *, relu: bool) -> Tensor:
        after = self.after or _Values(1.0)
        kind = torch.float32 if self.after is None else torch.uint8
        return torch.ops.onednn.qconv2d_pointwise(
            x,
            self.before.scale,
            self.before.zero,
            self.packed,
            self.scales,
            self.zeros,
            self.bias,
            *self.where,
            after.scale,
            after.zero,
            kind,
            "relu" if relu else "none",
            [],
            "",
        )

    def onto(self, x: Tensor, other: Tensor, values: _Values) -> Tensor:
        """The same added to another layer's bytes, in their place, and 0 for less."""
        assert self.after is not None
        return torch.ops.onednn.qconv2d_pointwise.binary(
            x,
            self.before.scale,
            self.before.zero,
            self.packed,
            self.scales,
            self.zeros,
            other,
            self.bias,
            *self.where,
            self.after.scale,
            self.after.zero,
            torch.uint8,
            values.scale,
            values.zero,
            "sum",
            1.0,
            "relu",
            [],
            "",
        )


class _Block:
    """A residual block of bytes, which takes its input's place."""

    def __init__(self, of: ResidualBlock, x: Tensor, before: _Values) -> None:
        y = F.relu(of.conv1(x))
        middle, self.after = _Values.of(y), _Values.of(of(x))
        self.first = _Convolution(of.conv1, before, middle)
        self.second = _Convolution(of.conv2, middle, self.after)
        self.skip, self.skipped = None, before
        if isinstance(of.skip, nn.Conv2d):
            self.skipped = _Values.of(of.skip(x))
            self.skip = _Convolution(of.skip, before, self.skipped)

    def __call__(self, x: Tensor) -> Tensor:
        y = self.first(x, relu=True)
        skipped = x if self.skip is None else self.skip(x, relu=False)
        return self.second.onto(y, skipped, self.skipped)


@dataclass
class _Fitted:
    """The parts of a network, fitted to a frame. levels: `(3,)` bytes per unit of each channel."""

    levels: Tensor
    stem: _Convolution
    blocks: list[_Block]
    head: _Convolution


class Int8Encoder(ResNetEncoder):
    """A folded `ResNetEncoder` in bytes; what is said of that holds for it, but for rounding."""

    def __init__(self, encoder: ResNetEncoder, lab: Tensor) -> None:
        """Fit it to normalised Lab `(1, 3, H, W)` of a frame.

        `encoder`: with its batch norms folded, at stride 8, without `detail` and colours.
        """
        Encoder.__init__(self)
        self.config, self.stride = encoder.config, encoder.stride
        self.exact = encoder
        with torch.inference_mode():
            self._parts = _fitted(encoder, lab)

    def project(self, lab: Tensor) -> Tensor:
        return torch.cat([self._one(picture) for picture in lab])

    def _one(self, lab: Tensor) -> Tensor:
        parts, x = self._parts, _empty(6, *image_size(lab))
        compiled(_to_bytes)(lab.contiguous().numpy(), parts.levels.numpy(), _rows(x))
        if not _holds(x[:, :3]):
            return self.exact.project(lab[None])
        x = pooled(parts.stem(x, relu=True))
        for block in parts.blocks:
            if not _holds(x):
                return self.exact.project(lab[None])
            x = block(x)
        return parts.head(x, relu=False) if _holds(x) else self.exact.project(lab[None])


def int8_encoder(encoder: Encoder, lab: Tensor) -> Encoder:
    """The network in bytes where it can be and this machine is faster so; else as it is.

    Args:
        encoder: with its batch norms folded.
        lab: `(1, 3, H, W)` normalised Lab of the frame that it is fitted to.
    """
    if isinstance(encoder, ResNetEncoder) and _can_be_bytes(encoder, lab):
        return Int8Encoder(encoder, lab)
    return encoder


def _can_be_bytes(encoder: ResNetEncoder, lab: Tensor) -> bool:
    return (
        encoder.stride == 8
        and encoder.detail is None
        and encoder.colors is None
        and can_compile(lab)
        and is_faster()
    )


def _fitted(encoder: ResNetEncoder, lab: Tensor) -> _Fitted:
    """Every layer as bytes, with room for the values that it has on a frame."""
    levels = 127 / (_ROOM_OF_LAB * lab.abs().amax((0, 2, 3)).clamp(min=0.2))
    stem = nn.Conv2d(6, encoder.config.widths[0], 7, 2, 3)
    weight = encoder.stem.weight / levels[:, None, None]
    stem.weight = nn.Parameter(torch.cat([weight, weight / _FINER], 1))
    stem.bias = encoder.stem.bias
    x = F.relu(encoder.stem(lab))
    values = _Values.of(x)
    first, blocks = _Convolution(stem, _Values(1.0, _MIDDLE), values), []
    x = F.max_pool2d(x, 3, 2, 1)
    for of in encoder.layers:
        assert isinstance(of, ResidualBlock)
        block = _Block(of, x, values)
        x, values = of(x), block.after
        blocks.append(block)
    return _Fitted(levels, first, blocks, _Convolution(encoder.head, values, None))


def _to_bytes(x: np.ndarray, levels: np.ndarray, out: np.ndarray) -> None:
    channels, height, width = x.shape
    most, finer = np.float32(127), np.float32(_FINER)
    for y in range(height):
        for c in range(channels):
            for i in range(width):
                level = x[c, y, i] * levels[c]
                whole = min(max(np.rint(level), -most), most)
                rest = min(max(np.rint((level - whole) * finer), -most), most)
                out[y, i, c] = np.uint8(whole + np.float32(128))
                out[y, i, channels + c] = np.uint8(rest + np.float32(128))


def _holds(x: Tensor) -> bool:
    """Whether nearly all values of a layer had room in its bytes."""
    some = _rows(x)[::2]
    return int(np.count_nonzero(some == 255)) <= _MOST_CUT * some.size


def _empty(channels: int, height: int, width: int) -> Tensor:
    """Room for bytes `(1, C, H, W)`, the channels of a pixel next to each other."""
    shape = 1, channels, height, width
    return torch.empty(shape, dtype=torch.uint8, memory_format=torch.channels_last)


def _rows(x: Tensor) -> np.ndarray:
    """`(H, W, C)` of such bytes, the same memory."""
    return x.permute(0, 2, 3, 1)[0].numpy()


def pooled(x: Tensor) -> Tensor:
    """`max_pool2d(x, 3, 2, 1)` of bytes `(1, C, H, W)`, channels last: torch has none of bytes."""
    _, channels, height, width = x.shape
    out = _empty(channels, (height + 1) // 2, (width + 1) // 2)
    compiled(_pool)(_rows(x), _rows(out))
    return out


def _pool(x: np.ndarray, out: np.ndarray) -> None:
    height, width, channels = x.shape
    rows = np.empty((width, channels), np.uint8)
    for y in range(out.shape[0]):
        first, last = max(2 * y - 1, 0), min(2 * y + 1, height - 1)
        for i in range(width):
            for c in range(channels):
                rows[i, c] = x[first, i, c]
        for row in range(first + 1, last + 1):
            for i in range(width):
                for c in range(channels):
                    rows[i, c] = max(rows[i, c], x[row, i, c])
        for i in range(out.shape[1]):
            before, after = max(2 * i - 1, 0), min(2 * i + 1, width - 1)
            for c in range(channels):
                out[y, i, c] = max(rows[before, c], max(rows[2 * i, c], rows[after, c]))
