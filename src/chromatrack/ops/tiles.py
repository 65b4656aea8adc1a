"""The frame in tiles, each with the reference cells that its windows reach: what the pointer reads.

A tile of target cells is compared with its halo, the tile grown by the radius on every side.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.structures import RadiusShape

CHUNK_FLOATS = 4_000_000
"""Scores held at once: 16 MB."""

OUTSIDE = -1.0e4
"""Similarity of a cell outside frame or window: exp(OUTSIDE / T) is exactly 0."""


def active_tiles(
    active: Tensor | None, size: tuple[int, int], *, tile: int, device: torch.device
) -> Tensor:
    """Row-major numbers of the tiles that hold an active cell, `(n,)` int64; None: all tiles."""
    h, w = size
    if active is None:
        return torch.arange(-(-h // tile) * -(-w // tile), device=device)
    padded = F.pad(active.float()[None], (0, -w % tile, 0, -h % tile))
    return F.max_pool2d(padded, tile).flatten().nonzero()[:, 0]


@dataclass(frozen=True)
class Windows:
    """Geometry of the windows of several references around one target cell, side by side."""

    radius: list[int]
    numbers: list[int]  # which reference each window belongs to
    size: tuple[int, int]
    shape: RadiusShape
    tile: int

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.size[0] // self.tile), -(-self.size[1] // self.tile)

    @property
    def places(self) -> int:
        """Places in all windows around one cell."""
        return sum((2 * r + 1) ** 2 for r in self.radius)

    def table(self, device: torch.device) -> Tensor:
        """`(places, 3)` int64: reference number, dy, dx of every place in the joint window."""
        parts = []
        for r, number in zip(self.radius, self.numbers, strict=True):
            d = torch.arange(-r, r + 1, device=device)
            dy, dx = torch.meshgrid(d, d, indexing="ij")
            parts.append(torch.stack([torch.full_like(dy, number), dy, dx], -1).reshape(-1, 3))
        return torch.cat(parts)

    def inside_halo(self, radius: int, device: torch.device) -> Tensor:
        """`(tile^2, halo^2)` bool: which cells of its halo each cell of a tile may point at."""
        own = torch.arange(self.tile, device=device)
        there = torch.arange(self.tile + 2 * radius, device=device) - radius
        apart = there[None, :] - own[:, None]
        dy, dx = apart[:, None, :, None], apart[None, :, None, :]
        if self.shape == "disc":
            return (dy * dy + dx * dx < radius * radius).flatten(2).flatten(0, 1)
        return ((dy.abs() <= radius) & (dx.abs() <= radius)).flatten(2).flatten(0, 1)


def tiled_queries(target: Tensor, windows: Windows) -> Tensor:
    """`(C, h, w)` -> `(rows, columns, tile^2, C + 1)`; the added channel is 1."""
    C, h, w = target.shape
    (rows, columns), tile = windows.grid, windows.tile
    padded = F.pad(
        torch.cat([target, target.new_ones(1, h, w)]), (0, columns * tile - w, 0, rows * tile - h)
    )
    tiled = padded.reshape(C + 1, rows, tile, columns, tile).permute(1, 3, 2, 4, 0)
    return tiled.reshape(rows, columns, tile * tile, C + 1)


def tiled_keys(reference: Tensor, radius: int, windows: Windows) -> Tensor:
    """A view `(rows, columns, C + 1, halo, halo)` of the padded reference.

    Cells outside the frame are zero vectors; the added channel is OUTSIDE there and 0 inside.
    """
    C, h, w = reference.shape
    (rows, columns), tile = windows.grid, windows.tile
    halo = tile + 2 * radius
    keys = F.pad(
        torch.cat([reference, reference.new_zeros(1, h, w)]),
        (radius, radius + columns * tile - w, radius, radius + rows * tile - h),
    )
    keys[C] = OUTSIDE
    keys[C, radius : radius + h, radius : radius + w] = 0
    return keys.unfold(1, halo, tile).unfold(2, halo, tile).permute(1, 2, 0, 3, 4)


def untiled(x: Tensor, windows: Windows) -> Tensor:
    """What belongs to tiled cells, `(tiles, tile^2, k)`, in the frame's order: `(h, w, k)`."""
    (h, w), (rows, columns), tile = windows.size, windows.grid, windows.tile
    x = x.reshape(rows, columns, tile, tile, -1).permute(0, 2, 1, 3, 4)
    return x.reshape(rows * tile, columns * tile, x.shape[-1])[:h, :w]
