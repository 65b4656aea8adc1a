"""The pointer over every cell in the windows, not only the best few: exact, a few tiles at a time.

It is the paper's own pointer, for the protocols that have no top-k. Its full matrix is too large to
hold, so it is computed anew whenever something is read from it.

On references long ago the windows may be moved: a coarse search, in a window of cells some way
apart, finds where each cell was, and the window lies around that place (MAST).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from chromatrack.ops.affinity import SparseAffinity, affinity, check_maps
from chromatrack.ops.shifted_windows import MovedWindows, moved_windows
from chromatrack.ops.tiles import (
    CHUNK_FLOATS,
    OUTSIDE,
    Windows,
    active_tiles,
    tiled_keys,
    tiled_queries,
    untiled,
)
from chromatrack.structures import RadiusShape


@dataclass(frozen=True)
class DenseAffinity:
    """Softmax over all cells in the windows of several references; made by `dense_affinity`."""

    target: Tensor
    references: Tensor
    windows: Windows
    everywhere: tuple[int, ...]
    temperature: float
    tiles: Tensor
    moved: Mapping[int, MovedWindows]
    top_k: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the target."""
        return self.windows.size

    def readout(self, labels: Tensor) -> Tensor:
        """Copy `(R, L, h, w)` reference label maps along the pointer -> `(L, h, w)` float32."""
        labels = labels.float()
        L = labels.shape[1]
        near, last = self.windows.numbers, len(labels) - len(self.moved)
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
            copied += [part @ x for part, x in zip(parts[len(near) : last], whole, strict=True)]
            copied += [
                view.readout(part, labels[i], chunk)
                for part, (i, view) in zip(parts[last:], self.moved.items(), strict=True)
            ]
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
        """Tiles `(n,)`, and their weights `(n, tile^2, keys)` for each reference: windows, whole
        frames, moved windows."""
        windows, tile = self.windows, self.windows.tile
        queries = tiled_queries(self.target, windows)
        near = [
            (tiled_keys(self.references[i], r, windows), windows.inside_halo(r, self.target.device))
            for i, r in zip(windows.numbers, windows.radius, strict=True)
        ]
        whole = [self.references[i].flatten(1) for i in self.everywhere]
        keys = sum(inside.shape[1] for _, inside in near) + sum(x.shape[1] for x in whole)
        keys += sum(view.places for view in self.moved.values())
        for chunk in self.tiles.split(max(1, CHUNK_FLOATS // (tile * tile * keys))):
            at = self._at(chunk)
            some = queries[at]
            scores = [
                torch.bmm(some, view[at].flatten(2)).masked_fill(~inside, OUTSIDE)
                for view, inside in near
            ]
            scores += [some[..., :-1] @ cells for cells in whole]
            scores += [
                view.scores(some[..., :-1], self.references[i], chunk)
                for i, view in self.moved.items()
            ]
            weight = affinity(torch.cat(scores, 2), temperature=self.temperature, top_k=self.top_k)
            yield chunk, list(weight.split([part.shape[2] for part in scores], dim=2))


@torch.no_grad()
def dense_affinity(
    target: Tensor,
    references: Tensor,
    *,
    radius: Sequence[int | None],
    temperature: float,
    radius_shape: RadiusShape = "square",
    dilation: Sequence[int | None] | None = None,
    top_k: int | None = None,
    active: Tensor | None = None,
    tile: int = 12,
) -> DenseAffinity:
    """Point from every target cell at all cells in its windows over all references, jointly.

    Source: Vondrick et al. 2018, equation 2; moved windows from MAST (Lai et al. 2020).

    Args: as `tiled_affinity`, and
        dilation: per reference, cells from one to the next in a `coarse_search`, to the places of
            which its windows are moved; None: they stay.
        top_k: keep the largest only, of cells and of the places of moved windows; None: all.
        active: what is read in tiles that are skipped is 0.

    Raises:
        InputError: shapes do not fit.
    """
    check_maps(target, references, radius)
    target, references = target.float(), references.float()
    size = (target.shape[1], target.shape[2])
    largest = max(size) if radius_shape == "square" else 2 * max(size)
    steps = dict(enumerate(dilation or ()))
    sought = {i: r for i, r in enumerate(radius) if r is not None and steps.get(i) is not None}
    near = {i: r for i, r in enumerate(radius) if r is not None and r < largest and i not in sought}
    windows = Windows([*near.values()], [*near], size, radius_shape, tile)
    everywhere = tuple(i for i in range(len(radius)) if i not in near and i not in sought)
    tiles = active_tiles(active, size, tile=tile, device=target.device)
    moved = {}
    for i, r in sought.items():
        places = coarse_search(
            target,
            references[i],
            radius=r,
            dilation=steps[i] or 1,
            temperature=temperature,
            radius_shape=radius_shape,
            active=active,
        )
        moved[i] = moved_windows(places, radius=r, windows=windows)
    return DenseAffinity(target, references, windows, everywhere, temperature, tiles, moved, top_k)


@torch.no_grad()
def coarse_search(
    target: Tensor,
    reference: Tensor,
    *,
    radius: int,
    dilation: int,
    temperature: float,
    radius_shape: RadiusShape = "square",
    active: Tensor | None = None,
) -> Tensor:
    """Where in the reference every target cell lies, by every `dilation`-th cell around it.

    Source: MAST (Lai et al., CVPR 2020): the mean place under the softmax over a dilated window.
    Cells that have the same remainder by `dilation` are a frame of their own, in which the dilated
    window is a plain one. Unlike there, cells outside the frame do not count.

    Args:
        target, reference: `(C, h, w)` float feature maps.
        radius: of the window, in steps of `dilation` cells.
        active: `(h, w)` bool; other cells may be taken to lie where they are.

    Returns:
        `(2, h, w)` float32 x, y in cells of the reference, inside it, in steps of 1/256 cell: so
        the last digits do not decide whether a window holds the frame's border.
    """
    _, h, w = target.shape
    y, x = torch.meshgrid(
        torch.arange(h, device=target.device), torch.arange(w, device=target.device), indexing="ij"
    )
    places = torch.stack([x, y, torch.ones_like(x)]).float()
    found = places[:2].clone()
    for top, left in product(range(min(dilation, h)), range(min(dilation, w))):
        own = (slice(None), slice(top, None, dilation), slice(left, None, dilation))
        pointer = dense_affinity(
            target[own],
            reference[own][None],
            radius=[radius],
            temperature=temperature,
            radius_shape=radius_shape,
            active=None if active is None else active[own[1:]],
        )
        read = pointer.readout(places[own][None])
        found[own] += read[:2] - places[:2][own] * read[2]
    found = (found * 256).round() / 256
    return torch.minimum(found.clamp(min=0), found.new_tensor([w - 1, h - 1])[:, None, None])


Pointer = SparseAffinity | DenseAffinity
