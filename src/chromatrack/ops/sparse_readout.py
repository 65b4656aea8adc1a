"""Many labels copied along a pointer to few cells, compiled: most labels are 0 almost everywhere.

Tensor operations lay every label of every reference side by side first, which takes longer than the
copying; here only what is not 0 is laid out, once for a map that is asked again, and copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from chromatrack.ops.compiled import can_compile, compiled
from chromatrack.ops.kept import kept_of

MANY = 24
"""Labels from which this is faster."""


def can_read_sparse(maps: Sequence[Tensor]) -> bool:
    """Whether labels are many, and on the CPU."""
    return len(maps[0]) >= MANY and can_compile(*maps)


def read_sparse(
    index: Tensor, weight: Tensor, maps: Sequence[Tensor], scales: Sequence[Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Copy labels along a pointer.

    Args:
        index: `(N, k)` cells, counted through all references. weight: `(N, k)`.
        maps: `(L, h, w)` labels of each reference. scales: `(L,)` that each is multiplied with.

    Returns:
        `(L, h, w)` copied labels; and `(R, N)`, the weight of each reference.
    """
    out, shares = torch.zeros_like(maps[0]), torch.zeros(len(maps), len(index))
    L, N = len(out), out[0].numel()
    places, weights = index.contiguous().numpy(), weight.contiguous().numpy()
    for number, labels in enumerate(maps):
        scale = torch.ones(L) if scales is None else scales[number].float().contiguous()
        held = _laid_out(labels)
        compiled(_read_sparse)(
            *(places, weights, number * N, held.start, held.channel, held.value, scale.numpy()),
            *(out.numpy().reshape(L, N), shares[number].numpy()),
        )
    return out, shares


@dataclass(frozen=True)
class _Held:
    """What a label map holds: of cell i, `channel[start[i]:start[i + 1]]` and their values."""

    start: np.ndarray
    channel: np.ndarray
    value: np.ndarray


def _lay_out(label_map: Tensor) -> _Held:
    flat = label_map.contiguous().numpy().reshape(len(label_map), -1)
    start = np.zeros(flat.shape[1] + 1, np.int64)
    compiled(_count_held)(flat, start)
    held = _Held(start, np.empty(start[-1], np.int32), np.empty(start[-1], np.float32))
    compiled(_fill_held)(flat, start, held.channel, held.value)
    return held


_laid_out = kept_of(_lay_out)


def _count_held(labels: np.ndarray, start: np.ndarray) -> None:
    channels, cells = labels.shape
    for c in range(channels):
        for i in range(cells):
            start[i + 1] += labels[c, i] != 0
    for i in range(cells):
        start[i + 1] += start[i]


def _fill_held(
    labels: np.ndarray, start: np.ndarray, channel: np.ndarray, value: np.ndarray
) -> None:
    channels, cells = labels.shape
    end = start[:cells].copy()
    for c in range(channels):
        for i in range(cells):
            if labels[c, i] != 0:
                channel[end[i]] = c
                value[end[i]] = labels[c, i]
                end[i] += 1


def _read_sparse(
    index: np.ndarray,
    weight: np.ndarray,
    first: int,
    start: np.ndarray,
    channel: np.ndarray,
    value: np.ndarray,
    scale: np.ndarray,
    out: np.ndarray,
    share: np.ndarray,
) -> None:
    cells = len(start) - 1
    for n in range(len(index)):
        for k in range(index.shape[1]):
            at, much = index[n, k] - first, weight[n, k]
            if at < 0 or at >= cells or much == 0:
                continue
            share[n] += much
            for e in range(start[at], start[at + 1]):
                out[channel[e], n] += much * (value[e] * scale[channel[e]])
