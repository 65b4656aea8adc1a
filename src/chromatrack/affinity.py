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
    tile: int = 8,
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

    Returns:
        SparseAffinity with k = min(top_k, R*h*w); cells outside frame or window weigh exactly 0.

    Raises:
        InputError: shapes do not fit.
    """
    _check_maps(target, references, radius)
    _, h, w = target.shape
    k = min(top_k, len(references) * h * w)
    with torch.autocast(target.device.type, enabled=False):
        target, references = target.float(), references.float()
        best_values, best_index = [], []
        for number, (reference, r) in enumerate(zip(references, radius, strict=True)):
            if r is None or 2 * r + 1 >= 2 * max(h, w):
                values, index = _whole_frame_top_k(target, reference, k, _disc(r, radius_shape))
            else:
                values, index = _window_top_k(target, reference, r, k, radius_shape, tile)
            best_values.append(values)
            best_index.append(index + number * h * w)
        values, index = torch.cat(best_values, dim=1), torch.cat(best_index, dim=1)
        if values.shape[1] > k:
            values, pick = values.topk(k, dim=1)
            index = index.gather(1, pick)
        return SparseAffinity(index, (values / temperature).softmax(1), (h, w))


def _disc(radius: int | None, shape: RadiusShape) -> int | None:
    """The radius if a disc still has to be cut out of a window that covers the whole frame."""
    return radius if shape == "disc" else None


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


def _window_top_k(
    target: Tensor, reference: Tensor, radius: int, k: int, shape: RadiusShape, tile: int
) -> tuple[Tensor, Tensor]:
    """Top-k inside the window of one reference.

    The frame is cut into tile x tile target cells. One matrix product per tile gives the scores
    against its halo of (tile + 2 radius)^2 cells; a strided view then slides the window along the
    diagonal, so that target cell (i, j) sees halo cells (i .. i + 2 radius, j .. j + 2 radius).
    Cells outside the frame are zero vectors whose score an added channel pushes to _OUTSIDE.
    """
    C, h, w = target.shape
    side = 2 * radius + 1
    rows, columns = -(-h // tile), -(-w // tile)
    pad_bottom, pad_right = rows * tile - h, columns * tile - w
    queries = F.pad(torch.cat([target, target.new_ones(1, h, w)]), (0, pad_right, 0, pad_bottom))
    inside = torch.cat([reference, reference.new_zeros(1, h, w)])
    keys = F.pad(inside, (radius, radius + pad_right, radius, radius + pad_bottom))
    keys[C] = _OUTSIDE
    keys[C, radius : radius + h, radius : radius + w] = 0

    halo = tile + 2 * radius
    query_tiles = queries.reshape(C + 1, rows, tile, columns, tile).permute(1, 3, 2, 4, 0)
    query_tiles = query_tiles.reshape(rows * columns, tile * tile, C + 1)
    key_tiles = keys.unfold(1, halo, tile).unfold(2, halo, tile).permute(1, 2, 0, 3, 4)
    key_tiles = key_tiles.reshape(rows * columns, C + 1, halo * halo)
    scores = torch.bmm(query_tiles, key_tiles)  # (tiles, tile^2, halo^2)

    step = halo * halo
    windows = scores.as_strided(
        (rows * columns, tile, tile, side, side),
        (tile * tile * step, tile * step + halo, step + 1, halo, 1),
    ).reshape(-1, side * side)
    if shape == "disc":
        d = torch.arange(-radius, radius + 1, device=target.device)
        disc = (d[:, None] ** 2 + d[None, :] ** 2 < radius * radius).reshape(1, -1)
        windows = windows.masked_fill(~disc, _OUTSIDE)
    values, place = windows.topk(min(k, side * side), dim=1)
    return _to_frame(values, place, (h, w), radius=radius, tile=tile)


def _to_frame(
    values: Tensor, place: Tensor, size: tuple[int, int], *, radius: int, tile: int
) -> tuple[Tensor, Tensor]:
    """Order tiled rows as the frame's cells; turn window places into cell indices."""
    h, w = size
    side = 2 * radius + 1
    rows, columns = -(-h // tile), -(-w // tile)
    k = values.shape[1]

    def untile(x: Tensor) -> Tensor:
        x = x.reshape(rows, columns, tile, tile, k).permute(0, 2, 1, 3, 4)
        return x.reshape(rows * tile, columns * tile, k)[:h, :w]

    values, place = untile(values), untile(place)
    y = torch.arange(h, device=place.device)[:, None, None]
    x = torch.arange(w, device=place.device)[None, :, None]
    row = (y + place.div(side, rounding_mode="floor") - radius).clamp(0, h - 1)
    column = (x + place % side - radius).clamp(0, w - 1)  # clamped ones weigh 0
    return values.reshape(h * w, k), (row * w + column).reshape(h * w, k)
