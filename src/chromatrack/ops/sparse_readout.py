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

_NOTHING = 1e-7  # shares up to which a label is not there: the far ends of a point's bump
_BLOCK = 16  # cells that are read together: of float32, a line of memory


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
    L, N = len(maps[0]), maps[0][0].numel()
    out, shares = torch.empty_like(maps[0]), torch.zeros(len(maps), len(index))
    held = [_laid_out(labels) for labels in maps]
    begin = np.cumsum([0, *(len(one.value) for one in held)])
    scale = torch.ones(len(maps), L) if scales is None else torch.stack([*scales]).float()
    compiled(_read_sparse)(
        *(index.contiguous().numpy(), weight.contiguous().numpy()),
        np.concatenate([one.start + at for one, at in zip(held, begin[:-1], strict=True)]),
        np.concatenate([one.channel for one in held]),
        np.concatenate([one.value for one in held]),
        *(scale.contiguous().numpy(), out.numpy().reshape(L, N), shares.numpy()),
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
            start[i + 1] += abs(labels[c, i]) > _NOTHING
    for i in range(cells):
        start[i + 1] += start[i]


def _fill_held(
    labels: np.ndarray, start: np.ndarray, channel: np.ndarray, value: np.ndarray
) -> None:
    channels, cells = labels.shape
    end = start[:cells].copy()
    for c in range(channels):
        for i in range(cells):
            if abs(labels[c, i]) > _NOTHING:
                channel[end[i]] = c
                value[end[i]] = labels[c, i]
                end[i] += 1


def _read_sparse(
    index: np.ndarray,
    weight: np.ndarray,
    start: np.ndarray,
    channel: np.ndarray,
    value: np.ndarray,
    scale: np.ndarray,
    out: np.ndarray,
    share: np.ndarray,
) -> None:
    """A block of cells at a time, so that what is written to lies near."""
    labels, cells = out.shape
    found = np.empty((_BLOCK, labels), np.float32)
    for first in range(0, len(index), _BLOCK):
        many = min(_BLOCK, len(index) - first)
        found[:] = 0
        for n in range(many):
            row = found[n]
            for k in range(index.shape[1]):
                much = weight[first + n, k]
                if much == 0:
                    continue
                reference, at = divmod(index[first + n, k], cells)
                share[reference, first + n] += much
                place = reference * (cells + 1) + at
                for e in range(start[place], start[place + 1]):
                    row[channel[e]] += much * (value[e] * scale[reference, channel[e]])
        for c in range(labels):
            for n in range(many):
                out[c, first + n] = found[n, c]
