"""Which label is the largest at every pixel of a size, in one pass, compiled for the machine.

The labels at that size are never held: at 1920 x 1080 each of them has 8 MB.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from chromatrack.ops.compiled import can_compile, compiled, strongest
from chromatrack.ops.resample import COARSE, from_coarse, resize

_MANY = 32  # labels from which they are brought to another size a few at a time


def largest_channel(maps: Tensor, size: Sequence[int]) -> np.ndarray:
    """`(L, h, w)` brought to a size bilinearly (see `resize`): the first largest, `(H, W)` int32.

    By tensors where a compiled loop cannot run or where the picture gets smaller.
    """
    if tuple(size) == tuple(maps.shape[1:]):
        return strongest(maps).cpu().numpy()
    if not can_compile(maps) or any(n < m for n, m in zip(size, maps.shape[1:], strict=True)):
        return _by_tensors(maps, size)
    out = np.empty(tuple(size), np.int32)
    ways = [_places(m, n) for n, m in zip(size, maps.shape[1:], strict=True)]
    compiled(_largest_channel)(maps.contiguous().numpy(), *ways[0], *ways[1], out)
    return out


def _places(have: int, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Along an axis: the two neighbours that each wanted place lies between, share of the second.

    In double precision as resize has it.
    """
    at = ((np.arange(wanted) + 0.5) * (have / wanted) - 0.5).clip(0, have - 1)
    first = np.floor(at).astype(np.int64)
    return first, np.minimum(first + 1, have - 1), (at - first).astype(np.float32)


def _by_tensors(maps: Tensor, size: Sequence[int]) -> np.ndarray:
    """A few labels at a time: all of them at the wanted size may not fit."""
    best, winner = maps.new_full(tuple(size), -torch.inf), None
    for first in range(0, len(maps), _MANY):
        found = resize(maps[first : first + _MANY], size).max(0)
        if winner is None:
            best, winner = found
            continue
        better = found.values > best
        best = torch.where(better, found.values, best)
        winner = torch.where(better, found.indices + first, winner)
    assert winner is not None
    return winner.to(torch.int32).cpu().numpy()


def _largest_channel(
    maps: np.ndarray,
    top: np.ndarray,
    bottom: np.ndarray,
    down: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    along: np.ndarray,
    out: np.ndarray,
) -> None:
    channels, _, narrow = maps.shape
    height, width = out.shape
    line = np.empty(narrow, np.float32)
    best = np.empty(width, np.float32)
    for y in range(height):
        winner, share = out[y], down[y]
        for c in range(channels):
            above, below = maps[c, top[y]], maps[c, bottom[y]]
            for i in range(narrow):
                line[i] = above[i] + share * (below[i] - above[i])
            if c == 0:
                for x in range(width):
                    best[x] = line[left[x]] + along[x] * (line[right[x]] - line[left[x]])
                    winner[x] = 0
                continue
            for x in range(width):
                value = line[left[x]] + along[x] * (line[right[x]] - line[left[x]])
                winner[x] = c if value > best[x] else winner[x]
                best[x] = max(value, best[x])


def largest_of_coarse(masks: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Which of some masks by COARSE x COARSE pixels is the largest at every pixel of a picture.

    `(R, ceil(H / 4), ceil(W / 4))` -> `(H, W)` int32: 0 where what they leave of 1 is, else 1 to R,
    the first of equals. They are looked at where they are not 0 alone, so many small ones cost
    little.
    """
    if not masks.numel() or not can_compile(masks):
        fine = from_coarse(masks, size)
        rest = (1 - fine.sum(0, keepdim=True)).clamp(min=0)
        return largest_channel(torch.cat([rest, fine]), size)
    out = np.zeros(size, np.int32)
    ways = [_places(n, n * COARSE) for n in masks.shape[1:]]
    compiled(_largest_of_coarse)(masks.contiguous().numpy(), *ways[0], *ways[1], out)
    return out


def _largest_of_coarse(
    masks: np.ndarray,
    top: np.ndarray,
    bottom: np.ndarray,
    down: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    along: np.ndarray,
    out: np.ndarray,
) -> None:
    count, coarse, narrow = masks.shape
    height, width = out.shape
    first, after = np.empty((count, coarse), np.int64), np.zeros((count, coarse), np.int64)
    for c in range(count):  # where each row of each mask begins and ends
        for y in range(coarse):
            first[c, y] = narrow
            for x in range(narrow):
                if masks[c, y, x] != 0:
                    first[c, y] = min(first[c, y], x)
                    after[c, y] = x + 1
    line = np.empty(narrow, np.float32)
    best, total = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(height):
        best[:] = 0
        total[:] = 0
        winner, share = out[y], down[y]
        for c in range(count):
            begin = min(first[c, top[y]], first[c, bottom[y]])
            end = max(after[c, top[y]], after[c, bottom[y]])
            if begin >= end:
                continue
            begin, end = max(0, begin - 1), min(narrow, end + 1)
            above, below = masks[c, top[y]], masks[c, bottom[y]]
            for i in range(begin, end):
                line[i] = above[i] + share * (below[i] - above[i])
            start = 0 if begin == 0 else COARSE * begin + COARSE // 2  # from a middle to the next
            stop = width if end == narrow else min(width, COARSE * (end - 1) + COARSE // 2)
            for x in range(start, stop):
                value = line[left[x]] + along[x] * (line[right[x]] - line[left[x]])
                total[x] += value
                if value > best[x]:
                    best[x] = value
                    winner[x] = c + 1
        for x in range(width):
            if best[x] <= 1 - total[x]:
                winner[x] = 0
