"""How far to trust copied colours of a frame, estimated without knowing its true ones.

There is no colour to compare with. But whatever is copied well brings the right luminance along,
and points back to where it came from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from chromatrack.ops.affinity import SparseAffinity, similarity
from chromatrack.ops.dense_affinity import Pointer
from chromatrack.propagation.exemplars import thinned
from chromatrack.propagation.memory_bank import MemoryBank
from chromatrack.propagation.propagate import Propagated
from chromatrack.propagation.reliability import chance

MOST = 256
"""Cells of a frame that are pointed there and back, evenly spread."""

NEAR = 2
"""Cells from where it started at which a cell that comes back has come back."""

RIGHT = 2.5
"""Mean absolute ab error, Lab units, up to which a frame counts as coloured right."""

WEIGHTS = (1.446, -1.362, 3.754, -2.386)
"""Of 1, log(1 + light_error), agreement, entropy, in the logistic: `benchmarks/reliability.py`."""

PIXEL_RIGHT = 10.0
"""Distance in ab, Lab units, up to which a pixel counts as coloured right."""

PIXEL_WEIGHTS = (-1.166, 8.14)
"""Of 1 and what stands behind a pixel's colour: `benchmarks/color_confidence.py`."""

LOOK_BELOW = 0.46
"""Reliability below which a frame is to be looked at."""


@dataclass(frozen=True)
class ColorSignals:
    """What tells of one frame, without its colours, whether those copied to it are right.

    light_error: mean absolute distance of its cells' L from the L that the same pointer copies.
    agreement: share of its cells that come back to within NEAR cells when they follow their pointer
    and that place points back. entropy: of the pointers, [0, 1].
    """

    light_error: float
    agreement: float
    entropy: float


@torch.inference_mode()
def color_signals(
    step: Propagated, bank: MemoryBank, light: Mapping[int, Tensor], own: Tensor
) -> ColorSignals:
    """Signals of a frame that colours were copied to.

    Args:
        step: of the propagation. bank: its memory, with the frames it was copied from.
        light: `(1, h, w)` L of reference pictures by index; the others say nothing.
        own: `(1, h, w)` L of the frame.
    """
    assert step.pointer is not None and step.features is not None and step.entropy is not None
    pointer, (C, h, w) = step.pointer, step.features.shape
    held = {reference.index: reference for reference in [*bank.rolling, *bank.marked]}
    known = own.new_tensor([float(i in light and i in held) for i in step.copied_from])
    planes = torch.stack([light.get(i, torch.zeros_like(own)) for i in step.copied_from])
    shares = known[:, None, None, None].expand(-1, 1, h, w)
    read = pointer.readout(torch.cat([planes * shares, shares], dim=1))
    apart = ((read[0] / read[1].clamp(min=1e-6) - own[0]).abs() * (read[1] > 0)).sum()
    error = float(apart / (read[1] > 0).sum().clamp(min=1))
    maps = torch.stack([held[i].features if i in held else step.features for i in step.copied_from])
    best = _strongest(pointer, step.features, maps)
    usable = known[best // (h * w)] > 0
    cells = thinned(usable.nonzero()[:, 0], MOST)
    if len(cells) == 0:
        return ColorSignals(error, 0.0, float(step.entropy.mean()))
    there = maps.reshape(-1, C, h * w)[best[cells] // (h * w), :, best[cells] % (h * w)]
    back = similarity(there.T, step.features.reshape(C, -1)).argmax(1)
    apart_y, apart_x = (back // w - cells // w).abs(), (back % w - cells % w).abs()
    returned = float((torch.maximum(apart_y, apart_x) <= NEAR).float().mean())
    return ColorSignals(error, returned, float(step.entropy.mean()))


def _strongest(pointer: Pointer, features: Tensor, maps: Tensor) -> Tensor:
    """The reference cell, `(N,)` among R h w, that each cell points at most."""
    if isinstance(pointer, SparseAffinity):
        return pointer.index.gather(1, pointer.weight.argmax(1, keepdim=True))[:, 0]
    cells = maps.transpose(0, 1).flatten(1)  # over the whole frame, whatever the windows
    return similarity(features.flatten(1), cells).argmax(1)


def color_inputs(signals: ColorSignals) -> tuple[float, float, float]:
    """What the logistic combines."""
    return math.log1p(signals.light_error), signals.agreement, signals.entropy


def estimate_color(signals: ColorSignals) -> float:
    """Chance, [0, 1], that a frame's mean ab error is at most RIGHT."""
    return chance(WEIGHTS, color_inputs(signals))


def chance_right(confidence: Tensor) -> Tensor:
    """Chance, [0, 1], that a pixel's colour is at most PIXEL_RIGHT off, by what stands behind it.

    Source: Platt's scaling (1999), fitted to clips coloured from one of their own frames; stills of
    other scenes leave more open than it says.

    Args:
        confidence: any shape, [0, 1], of a `color_carry.Estimate`.
    """
    constant, slope = PIXEL_WEIGHTS
    return torch.sigmoid(constant + slope * confidence)
