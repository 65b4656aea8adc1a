"""The parts of a region that hang together, compiled for the machine."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from chromatrack.ops.compiled import compiled, has_compiler


def islands(region: np.ndarray) -> np.ndarray:
    """Which part each pixel of `(H, W)` bool is in, from 1: `(H, W)` int32, 0 where in none.

    Pixels that touch, also at a corner, are in one part; parts are numbered by their first pixels,
    row by row. By tensors where there is no compiler.
    """
    if not has_compiler():
        return _by_tensors(region)
    labels = np.zeros(region.shape, np.int32)
    compiled(_islands)(np.ascontiguousarray(region).view(np.uint8), labels)
    return labels


def _islands(region: np.ndarray, labels: np.ndarray) -> None:
    """Union of neighbours, each part known by its least provisional number."""
    high, wide = region.shape
    parent = np.zeros(high * wide // 2 + 2, np.int32)
    count = 0
    for y in range(high):
        for x in range(wide):
            if region[y, x] == 0:
                continue
            mine = 0
            for k in range(4):  # left, and the three above
                ny, nx = (y, x - 1) if k == 0 else (y - 1, x + k - 2)
                if ny < 0 or nx < 0 or nx >= wide or region[ny, nx] == 0:
                    continue
                other = labels[ny, nx]
                while parent[other] != other:
                    parent[other] = parent[parent[other]]
                    other = parent[other]
                if mine == 0:
                    mine = other
                elif other != mine:
                    least, most = min(mine, other), max(mine, other)
                    parent[most] = least
                    mine = least
            if mine == 0:
                count += 1
                parent[count] = count
                mine = count
            labels[y, x] = mine
    # What stands for itself is numbered through, and those numbers are kept below zero.
    last = 0
    for number in range(1, count + 1):
        if parent[number] == number:
            last += 1
            parent[number] = -last
    for y in range(high):
        for x in range(wide):
            number = labels[y, x]
            if number > 0:
                while parent[number] > 0:
                    number = parent[number]
                labels[y, x] = -parent[number]


def _by_tensors(region: np.ndarray) -> np.ndarray:
    """Every pixel takes the least number around it, over and over."""
    inside = torch.from_numpy(np.ascontiguousarray(region))
    none = float(region.size + 1)
    numbers = torch.arange(1, region.size + 1, dtype=torch.float64).reshape(region.shape)
    now = torch.where(inside, numbers, none)
    while True:
        least = -F.max_pool2d(-now[None], 3, 1, 1)[0] if region.size else now
        new = torch.where(inside, least, none)
        if torch.equal(new, now):
            break
        now = new
    found = np.where(region, now.numpy(), 0)
    values = np.unique(found[found > 0])
    return np.where(region, np.searchsorted(values, found) + 1, 0).astype(np.int32)
