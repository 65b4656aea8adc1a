"""Windows around places of a reference that are given cell by cell, between its cells too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.tiles import OUTSIDE, Windows, tiled_queries
from chromatrack.structures import RadiusShape


@dataclass(frozen=True)
class _Around:
    """The part of the reference that one tile's windows need, and where each of them lies in it.

    index: `(tile^2, side + 1, side + 1)` int64 into the part's cells, which lie next below and
    above the places of a window. share: `(tile^2, 2)` how far the places lie between them, x, y.
    inside: `(tile^2, side, side)` bool, places in the frame and in the window's shape.
    """

    part: tuple[slice, slice]
    index: Tensor
    share: Tensor
    inside: Tensor


@dataclass(frozen=True)
class MovedWindows:
    """The windows of one reference, each around a place of its own.

    middle: `(tiles, tile^2, 2)` float x, y in cells of the reference, inside it; made by
    `moved_windows`. A place between cells has what linear interpolation between them says; places
    outside the frame do not count.
    """

    middle: Tensor
    radius: int
    size: tuple[int, int]
    shape: RadiusShape

    @property
    def places(self) -> int:
        """Places in a window."""
        return (2 * self.radius + 1) ** 2

    def scores(self, queries: Tensor, reference: Tensor, tiles: Tensor) -> Tensor:
        """`(n, tile^2, C)`, `(C, h, w)` -> similarity `(n, tile^2, places)` at tiles `(n,)`."""
        parts = []
        for some, around in zip(queries, self._around(tiles), strict=True):
            near = some @ reference[:, *around.part].flatten(1)
            near = near.gather(1, around.index.flatten(1)).view(around.index.shape)
            x, y = around.share[:, :, None, None].unbind(1)
            near = torch.lerp(near[:, :-1], near[:, 1:], y)
            near = torch.lerp(near[:, :, :-1], near[:, :, 1:], x)
            parts.append(near.masked_fill(~around.inside, OUTSIDE).flatten(1))
        return torch.stack(parts)

    def readout(self, weights: Tensor, labels: Tensor, tiles: Tensor) -> Tensor:
        """`(n, tile^2, places)`, `(L, h, w)` -> `(n, tile^2, L)`: labels at places, weighted."""
        parts = []
        side = 2 * self.radius + 1
        for weight, around in zip(weights, self._around(tiles), strict=True):
            x, y = around.share[:, :, None, None].unbind(1)
            spread = weight.unflatten(1, (side, side))
            spread = F.pad(spread * (1 - x), (0, 1)) + F.pad(spread * x, (1, 0))
            spread = F.pad(spread * (1 - y), (0, 0, 0, 1)) + F.pad(spread * y, (0, 0, 1, 0))
            cells = labels[:, *around.part].flatten(1)
            onto = weight.new_zeros(len(weight), cells.shape[1])
            onto.scatter_add_(1, around.index.flatten(1), spread.flatten(1))
            parts.append(onto @ cells.T)
        return torch.stack(parts)

    def _around(self, tiles: Tensor) -> Iterator[_Around]:
        """What each of the tiles needs of the reference, one at a time."""
        (h, w), r = self.size, self.radius
        middle = self.middle[tiles]
        below = middle.floor().long()
        last = torch.tensor([w - 1, h - 1], device=middle.device)
        first = (below.amin(1) - r).clamp(min=0)
        stop = torch.minimum(below.amax(1) + r + 1, last) + 1
        step = torch.arange(-r, r + 1, device=middle.device)
        for at, share, (left, top), (right, bottom) in zip(
            below, middle - below, first.tolist(), stop.tolist(), strict=True
        ):
            x, y = (at[:, :, None] + torch.arange(-r, r + 2, device=at.device)).unbind(1)
            columns, rows = x.clamp(left, right - 1) - left, y.clamp(top, bottom - 1) - top
            index = rows[:, :, None] * (right - left) + columns[:, None, :]
            beyond = (share > 0).long()
            x, y = x[:, :-1], y[:, :-1]
            inside_x = (x >= 0) & (x + beyond[:, :1] < w)
            inside_y = (y >= 0) & (y + beyond[:, 1:] < h)
            inside = inside_y[:, :, None] & inside_x[:, None, :]
            if self.shape == "disc":
                inside = inside & (step[:, None] ** 2 + step[None, :] ** 2 < r * r)
            yield _Around((slice(top, bottom), slice(left, right)), index, share, inside)


def moved_windows(places: Tensor, *, radius: int, windows: Windows) -> MovedWindows:
    """Windows of `radius` cells around `(2, h, w)` places x, y in cells; tiled as `windows` are."""
    (h, w), (rows, columns), tile = windows.size, windows.grid, windows.tile
    size = places.new_tensor([w - 1, h - 1])[:, None, None]
    inside = torch.minimum(places.clamp(min=0), size)
    whole = F.pad(inside[None], (0, columns * tile - w, 0, rows * tile - h), mode="replicate")[0]
    middle = tiled_queries(whole, replace(windows, size=(rows * tile, columns * tile)))[..., :2]
    return MovedWindows(middle.flatten(0, 1), radius, windows.size, windows.shape)
