"""The pointer over every cell in the windows, not only the best few: exact, a few tiles at a time.

It is the paper's own pointer, for the protocols that have no top-k. Its full matrix is too large to
hold, so it is computed anew whenever something is read from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chromatrack.affinity import SparseAffinity, check_maps
from chromatrack.tiles import (
    CHUNK_FLOATS,
    OUTSIDE,
    RadiusShape,
    Windows,
    active_tiles,
    tiled_keys,
    tiled_queries,
    untiled,
)


@dataclass(frozen=True)
class DenseAffinity:
    """Softmax over all cells in the windows of several references; made by `dense_affinity`."""

    target: Tensor
    references: Tensor
    windows: Windows
    everywhere: tuple[int, ...]
    temperature: float
    tiles: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the target."""
        return self.windows.size

    def readout(self, labels: Tensor) -> Tensor:
        """Copy `(R, L, h, w)` reference label maps along the pointer -> `(L, h, w)` float32."""
        labels = labels.float()
        L = labels.shape[1]
        near = self.windows.numbers
        views = [
            tiled_keys(labels[i], r, self.windows)[:, :, :L]
            for i, r in zip(near, self.windows.radius, strict=True)
        ]
        whole = [labels[i].flatten(1).T for i in self.everywhere]
        out = labels.new_zeros(*self.windows.grid, self.windows.tile**2, L).flatten(0, 1)
        for chunk, parts in self._weights():
            at = self._at(chunk)
            copied = [
                part @ view[at].flatten(2).transpose(1, 2)
                for part, view in zip(parts, views, strict=False)
            ]
            copied += [part @ x for part, x in zip(parts[len(near) :], whole, strict=True)]
            out[chunk] = torch.stack(copied).sum(0)
        return untiled(out, self.windows).permute(2, 0, 1)

    def entropy(self) -> Tensor:
        """How spread out each cell's pointer is: `(h, w)` in [0, 1]; 1 = even over its windows."""
        tile = self.windows.tile
        out = self.target.new_zeros(*self.windows.grid, tile * tile, 1).flatten(0, 1)
        for chunk, parts in self._weights():
            weight = torch.cat(parts, 2)
            nats = -torch.special.xlogy(weight, weight).sum(2)
            places = (weight > 0).sum(2).clamp(min=2)
            out[chunk] = (nats / places.log())[..., None]
        return untiled(out, self.windows)[..., 0]

    def _at(self, chunk: Tensor) -> tuple[Tensor, Tensor]:
        columns = self.windows.grid[1]
        return chunk // columns, chunk % columns

    def _weights(self) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Tiles `(n,)`, and their weights `(n, tile^2, keys)` for each reference, windows first."""
        windows, tile = self.windows, self.windows.tile
        queries = tiled_queries(self.target, windows)
        near = [
            (tiled_keys(self.references[i], r, windows), windows.inside_halo(r, self.target.device))
            for i, r in zip(windows.numbers, windows.radius, strict=True)
        ]
        whole = [self.references[i].flatten(1) for i in self.everywhere]
        keys = sum(inside.shape[1] for _, inside in near) + sum(x.shape[1] for x in whole)
        for chunk in self.tiles.split(max(1, CHUNK_FLOATS // (tile * tile * keys))):
            at = self._at(chunk)
            some = queries[at]
            scores = [
                torch.bmm(some, view[at].flatten(2)).masked_fill(~inside, OUTSIDE)
                for view, inside in near
            ]
            scores += [some[..., :-1] @ cells for cells in whole]
            weight = (torch.cat(scores, 2) / self.temperature).softmax(2)
            yield chunk, list(weight.split([part.shape[2] for part in scores], dim=2))


@torch.no_grad()
def dense_affinity(
    target: Tensor,
    references: Tensor,
    *,
    radius: Sequence[int | None],
    temperature: float,
    radius_shape: RadiusShape = "square",
    active: Tensor | None = None,
    tile: int = 12,
) -> DenseAffinity:
    """Point from every target cell at all cells in its windows over all references, jointly.

    Source: Vondrick et al. 2018, equation 2.

    Args:
        target: `(C, h, w)` float feature map.
        references: `(R, C, h, w)` float feature maps.
        radius: per reference, in cells; None: the whole frame.
        temperature: divides the similarity, once.
        active: `(h, w)` bool; tiles without a True cell are skipped, what is read there is 0.

    Raises:
        InputError: shapes do not fit.
    """
    check_maps(target, references, radius)
    size = (target.shape[1], target.shape[2])
    largest = max(size) if radius_shape == "square" else 2 * max(size)
    near = {i: r for i, r in enumerate(radius) if r is not None and r < largest}
    windows = Windows([*near.values()], [*near], size, radius_shape, tile)
    everywhere = tuple(i for i in range(len(radius)) if i not in near)
    tiles = active_tiles(active, size, tile=tile, device=target.device)
    return DenseAffinity(
        target.float(), references.float(), windows, everywhere, temperature, tiles
    )


Pointer = SparseAffinity | DenseAffinity
