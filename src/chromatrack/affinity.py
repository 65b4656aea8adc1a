"""The pointer: similarity, window, top-k, softmax, readout. Pure functions of tensors.

Training and tracking both come through here: training with the full matrix (`affinity`),
tracking with its exact sparse form (`tiled_affinity`), which a test pins equal to the plain
`full_affinity`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.errors import InputError

RadiusShape = Literal["square", "disc"]

_CHUNK_FLOATS = 4_000_000  # scores held at once: 16 MB
_OUTSIDE = -1.0e4  # similarity of a cell outside frame or window: exp(_OUTSIDE / T) is exactly 0


def similarity(target: Tensor, reference: Tensor) -> Tensor:
    """Dot products between all cells: `(..., C, Nt)`, `(..., C, Nr)` -> `(..., Nt, Nr)`."""
    return target.transpose(-1, -2) @ reference


def affinity(
    similarity: Tensor, *, temperature: float, top_k: int | None = None, mask: Tensor | None = None
) -> Tensor:
    """Turn similarity into a pointer: window mask, top-k, softmax over the reference cells.

    Source: Vondrick et al. 2018, equation 2; top-k from CRW (Jabri et al. 2020).

    Args:
        similarity: `(..., Nt, Nr)` float.
        temperature: divides the similarity, once.
        top_k: keep exactly this many largest per row (all if None or more than Nr).
        mask: bool, broadcastable to `similarity`; False forbids a pair.

    Returns:
        `(..., Nt, Nr)`; rows are >= 0 and sum to 1.
    """
    if mask is not None:
        similarity = similarity.masked_fill(~mask, _OUTSIDE)
    if top_k is None or top_k >= similarity.shape[-1]:
        return (similarity / temperature).softmax(-1)
    values, index = similarity.topk(top_k, dim=-1)
    weights = (values / temperature).softmax(-1)
    return torch.zeros_like(similarity).scatter(-1, index, weights)


def readout(affinity: Tensor, labels: Tensor) -> Tensor:
    """Copy labels along the pointer: `(..., Nt, Nr)`, `(..., L, Nr)` -> `(..., L, Nt)`."""
    return labels @ affinity.transpose(-1, -2)


def window_mask(
    size: tuple[int, int], *, radius: int, radius_shape: RadiusShape = "square"
) -> Tensor:
    """Which cells may point at which: `(N, N)` bool for an (h, w) map, N = h*w, row-major.

    `square`: |dy| <= radius and |dx| <= radius. `disc`: dy^2 + dx^2 < radius^2 (CRW).
    """
    h, w = size
    y = torch.arange(h).repeat_interleave(w)
    x = torch.arange(w).repeat(h)
    dy, dx = y[:, None] - y[None, :], x[:, None] - x[None, :]
    if radius_shape == "disc":
        return dy * dy + dx * dx < radius * radius
    return (dy.abs() <= radius) & (dx.abs() <= radius)


@dataclass(frozen=True)
class SparseAffinity:
    """The k best reference cells of every target cell.

    index: `(N, k)` int64 into the R*N reference cells (reference-major, then row-major).
    weight: `(N, k)` float32 >= 0; rows sum to 1.
    """

    index: Tensor
    weight: Tensor
    size: tuple[int, int]

    def readout(self, labels: Tensor) -> Tensor:
        """Copy `(R, L, h, w)` reference label maps along the pointer -> `(L, h, w)` float32.

        Rows sum to 1, so label maps that sum to 1 over L keep doing so.
        """
        h, w = self.size
        flat = labels.permute(0, 2, 3, 1).reshape(-1, labels.shape[1]).float()
        picked = F.embedding_bag(self.index, flat, per_sample_weights=self.weight, mode="sum")
        return picked.T.reshape(-1, h, w)

    def entropy(self) -> Tensor:
        """How spread out each cell's pointer is: `(h, w)` in [0, 1]; 0 = one cell, 1 = all k."""
        k = self.weight.shape[1]
        nats = -torch.special.xlogy(self.weight, self.weight).sum(1)
        return (nats / math.log(max(k, 2))).reshape(self.size)


def _check_maps(target: Tensor, references: Tensor, radius: Sequence[int | None]) -> None:
    if target.ndim != 3 or references.ndim != 4 or references.shape[1:] != target.shape:
        raise InputError(
            "affinity: expected target (C, h, w) and references (R, C, h, w) of the same C, h, w; "
            f"came {tuple(target.shape)} and {tuple(references.shape)}"
        )
    if len(radius) != len(references) or any(r is not None and r < 0 for r in radius):
        raise InputError(
            f"affinity: expected one radius >= 0 cells (or None: no window) for each of the "
            f"{len(references)} references, came {list(radius)}"
        )


def full_affinity(
    target: Tensor,
    references: Tensor,
    *,
    radius: Sequence[int | None],
    top_k: int,
    temperature: float,
    radius_shape: RadiusShape = "square",
) -> SparseAffinity:
    """The plain definition: full matrix, mask, top-k, softmax. Slow; `tiled_affinity` equals it.

    Args, Returns and Raises as `tiled_affinity`. Cost: O(R N^2 C) time, O(R N^2) memory.
    """
    _check_maps(target, references, radius)
    C, h, w = target.shape
    N = h * w
    rows = []
    for reference, r in zip(references.float(), radius, strict=True):
        scores = similarity(target.float().reshape(C, N), reference.reshape(C, N))
        if r is not None:
            allowed = window_mask((h, w), radius=r, radius_shape=radius_shape)
            scores = scores.masked_fill(~allowed.to(scores.device), _OUTSIDE)
        rows.append(scores)
    values, index = torch.cat(rows, dim=1).topk(min(top_k, len(references) * N), dim=1)
    return SparseAffinity(index, (values / temperature).softmax(1), (h, w))


@torch.no_grad()
def tiled_affinity(
    target: Tensor,
    references: Tensor,
    *,
    radius: Sequence[int | None],
    top_k: int,
    temperature: float,
    radius_shape: RadiusShape = "square",
    active: Tensor | None = None,
    tile: int = 12,
) -> SparseAffinity:
    """Point from every target cell at its `top_k` best cells over all references, jointly.

    Exactly `full_affinity`, computed a tile of target cells at a time against the tile's halo.
    Always float32, also inside an autocast region.

    Args:
        target: `(C, h, w)` float feature map.
        references: `(R, C, h, w)` float feature maps.
        radius: per reference, in cells; None searches the whole frame.
        top_k: exactly this many, or R*h*w if that is less.
        temperature: divides the similarity, once.
        active: `(h, w)` bool; tiles without a True cell are skipped and their rows all 0 (unless a
            reference has no window).

    Returns:
        SparseAffinity with k <= top_k (fewer if the windows hold fewer cells); cells outside frame
        or window weigh exactly 0.

    Raises:
        InputError: shapes do not fit.
    """
    _check_maps(target, references, radius)
    _, h, w = target.shape
    k = min(top_k, len(references) * h * w)
    with torch.autocast(target.device.type, enabled=False):
        target, references = target.float(), references.float()
        near = [i for i, r in enumerate(radius) if r is not None and r < max(h, w)]
        best_values, best_index = [], []
        for i in sorted(set(range(len(references))) - set(near)):
            disc = radius[i] if radius_shape == "disc" else None
            values, index = _whole_frame_top_k(target, references[i], k, disc)
            best_values.append(values)
            best_index.append(index + i * h * w)
        if near:
            windows = _Windows([radius[i] or 0 for i in near], near, (h, w), radius_shape, tile)
            tiles = active_tiles(active, (h, w), tile=tile, device=target.device)
            values, index = _window_top_k(target, references[near], windows, k, tiles)
            best_values.append(values)
            best_index.append(index)
        values, index = torch.cat(best_values, dim=1), torch.cat(best_index, dim=1)
        if values.shape[1] > k:
            values, pick = values.topk(k, dim=1)
            index = index.gather(1, pick)
        weight = (values / temperature).softmax(1)
        return SparseAffinity(index, weight * (values[:, :1] > _OUTSIDE / 2), (h, w))


def active_tiles(
    active: Tensor | None, size: tuple[int, int], *, tile: int, device: torch.device
) -> Tensor:
    """Row-major numbers of the tiles that hold an active cell, `(n,)` int64; None: all tiles."""
    h, w = size
    if active is None:
        return torch.arange(-(-h // tile) * -(-w // tile), device=device)
    padded = F.pad(active.float()[None], (0, -w % tile, 0, -h % tile))
    return F.max_pool2d(padded, tile).flatten().nonzero()[:, 0]


def _whole_frame_top_k(
    target: Tensor, reference: Tensor, k: int, disc_radius: int | None, chunk: int = 1024
) -> tuple[Tensor, Tensor]:
    """Top-k over all cells of one reference, `chunk` target cells at a time."""
    C, h, w = target.shape
    N = h * w
    queries, keys = target.reshape(C, N).T.contiguous(), reference.reshape(C, N)
    allowed = None
    if disc_radius is not None:
        allowed = window_mask((h, w), radius=disc_radius, radius_shape="disc").to(target.device)
    values, index = [], []
    for start in range(0, N, chunk):
        scores = queries[start : start + chunk] @ keys
        if allowed is not None:
            scores = scores.masked_fill(~allowed[start : start + chunk], _OUTSIDE)
        best = scores.topk(min(k, N), dim=1)
        values.append(best.values)
        index.append(best.indices)
    return torch.cat(values), torch.cat(index)


@dataclass(frozen=True)
class _Windows:
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

    def table(self, device: torch.device) -> Tensor:
        """`(places, 3)` int64: reference number, dy, dx of every place in the joint window."""
        parts = []
        for r, number in zip(self.radius, self.numbers, strict=True):
            d = torch.arange(-r, r + 1, device=device)
            dy, dx = torch.meshgrid(d, d, indexing="ij")
            parts.append(torch.stack([torch.full_like(dy, number), dy, dx], -1).reshape(-1, 3))
        return torch.cat(parts)


def _tiled_queries(target: Tensor, windows: _Windows) -> Tensor:
    """`(C, h, w)` -> `(rows, columns, tile^2, C + 1)`; the added channel is 1."""
    C, h, w = target.shape
    (rows, columns), tile = windows.grid, windows.tile
    padded = F.pad(
        torch.cat([target, target.new_ones(1, h, w)]), (0, columns * tile - w, 0, rows * tile - h)
    )
    tiled = padded.reshape(C + 1, rows, tile, columns, tile).permute(1, 3, 2, 4, 0)
    return tiled.reshape(rows, columns, tile * tile, C + 1)


def _tiled_keys(reference: Tensor, radius: int, windows: _Windows) -> Tensor:
    """A view `(rows, columns, C + 1, halo, halo)` of the padded reference.

    Cells outside the frame are zero vectors; the added channel is _OUTSIDE there and 0 inside.
    """
    C, h, w = reference.shape
    (rows, columns), tile = windows.grid, windows.tile
    halo = tile + 2 * radius
    keys = F.pad(
        torch.cat([reference, reference.new_zeros(1, h, w)]),
        (radius, radius + columns * tile - w, radius, radius + rows * tile - h),
    )
    keys[C] = _OUTSIDE
    keys[C, radius : radius + h, radius : radius + w] = 0
    return keys.unfold(1, halo, tile).unfold(2, halo, tile).permute(1, 2, 0, 3, 4)


def _window_top_k(
    target: Tensor, references: Tensor, windows: _Windows, k: int, tiles: Tensor
) -> tuple[Tensor, Tensor]:
    """Top-k inside the windows of several references, jointly, for the given tiles.

    The frame is cut into tile x tile target cells. One matrix product per tile and reference gives
    the scores against its halo of (tile + 2 radius)^2 cells; a strided view then slides the window
    along the diagonal, so that target cell (i, j) sees halo cells (i .. i + 2 radius,
    j .. j + 2 radius) and no mask is needed. One top-k over all windows side by side is several
    times faster than one per window.
    """
    tile = windows.tile
    rows, columns = windows.grid
    queries = _tiled_queries(target, windows)
    keys = [_tiled_keys(x, r, windows) for x, r in zip(references, windows.radius, strict=True)]
    places = sum((2 * r + 1) ** 2 for r in windows.radius)
    k = min(k, places)
    best = target.new_full((rows * columns, tile * tile, k), _OUTSIDE)
    place = torch.zeros((rows * columns, tile * tile, k), dtype=torch.int64, device=target.device)
    for chunk in tiles.split(max(1, _CHUNK_FLOATS // (tile * tile * places))):
        at = (chunk // columns, chunk % columns)
        some = queries[at]
        scores = target.new_empty(len(chunk) * tile * tile, places)
        parts = scores.split([(2 * r + 1) ** 2 for r in windows.radius], dim=1)
        for view, r, part in zip(keys, windows.radius, parts, strict=True):
            _slide(torch.bmm(some, view[at].flatten(2)), r, windows, part)
        found = scores.topk(k, dim=1)
        best[chunk] = found.values.reshape(len(chunk), tile * tile, k)
        place[chunk] = found.indices.reshape(len(chunk), tile * tile, k)
    return _to_frame(best, place, windows)


def _slide(scores: Tensor, radius: int, windows: _Windows, out: Tensor) -> None:
    """Scores against halos `(n, tile^2, halo^2)` -> windows, into `out` `(n * tile^2, side^2)`."""
    tile, side, halo = windows.tile, 2 * radius + 1, windows.tile + 2 * radius
    step = halo * halo
    view = scores.as_strided(
        (len(scores), tile, tile, side, side),
        (tile * tile * step, tile * step + halo, step + 1, halo, 1),
    )
    out.unflatten(1, (side, side)).unflatten(0, (len(scores), tile, tile)).copy_(view)
    if windows.shape == "disc":
        d = torch.arange(-radius, radius + 1, device=scores.device)
        disc = (d[:, None] ** 2 + d[None, :] ** 2 < radius * radius).reshape(1, -1)
        out.masked_fill_(~disc, _OUTSIDE)


def _to_frame(values: Tensor, place: Tensor, windows: _Windows) -> tuple[Tensor, Tensor]:
    """Order tiled rows as the frame's cells; turn window places into cell indices."""
    (h, w), (rows, columns), tile = windows.size, windows.grid, windows.tile
    k = values.shape[-1]

    def untile(x: Tensor) -> Tensor:
        x = x.reshape(rows, columns, tile, tile, k).permute(0, 2, 1, 3, 4)
        return x.reshape(rows * tile, columns * tile, k)[:h, :w]

    values, place = untile(values), untile(place)
    number, dy, dx = windows.table(place.device).unbind(1)
    y = torch.arange(h, device=place.device)[:, None, None]
    x = torch.arange(w, device=place.device)[None, :, None]
    row = (y + dy[place]).clamp(0, h - 1)  # clamped ones weigh 0
    column = (x + dx[place]).clamp(0, w - 1)
    index = (number[place] * h + row) * w + column
    return values.reshape(h * w, k), index.reshape(h * w, k)
