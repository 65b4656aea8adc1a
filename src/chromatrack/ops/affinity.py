"""The pointer: similarity, window, top-k, softmax, readout. Pure functions of tensors.

Training and tracking both come through here: training with the full matrix (`affinity`),
tracking with its exact sparse form (`tiled_affinity`), which a test pins equal to the plain
`full_affinity`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.ops.compiled import largest
from chromatrack.ops.tiles import (
    CHUNK_FLOATS,
    OUTSIDE,
    Windows,
    active_tiles,
    tiled_keys,
    tiled_queries,
    untiled,
)
from chromatrack.ops.window_search import WindowSearch
from chromatrack.structures import RadiusShape


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
        similarity = similarity.masked_fill(~mask, OUTSIDE)
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


def check_maps(
    target: Tensor, references: Tensor | Sequence[Tensor], radius: Sequence[int | None]
) -> None:
    """Raise InputError where feature maps and radii do not fit each other."""
    shapes = {tuple(reference.shape) for reference in references}
    if target.ndim != 3 or shapes != {tuple(target.shape)}:
        raise InputError(
            "affinity: expected target (C, h, w) and references (R, C, h, w) of the same C, h, w; "
            f"got {tuple(target.shape)} and "
            + " ".join(str((len(references), *shape)) for shape in sorted(shapes))
        )
    if len(radius) != len(references) or any(r is not None and r < 0 for r in radius):
        raise InputError(
            f"affinity: expected one radius >= 0 cells (or None: no window) for each of the "
            f"{len(references)} references, got {list(radius)}"
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
    check_maps(target, references, radius)
    C, h, w = target.shape
    N = h * w
    rows = []
    for reference, r in zip(references.float(), radius, strict=True):
        scores = similarity(target.float().reshape(C, N), reference.reshape(C, N))
        if r is not None:
            allowed = window_mask((h, w), radius=r, radius_shape=radius_shape)
            scores = scores.masked_fill(~allowed.to(scores.device), OUTSIDE)
        rows.append(scores)
    values, index = torch.cat(rows, dim=1).topk(min(top_k, len(references) * N), dim=1)
    return SparseAffinity(index, (values / temperature).softmax(1), (h, w))


@torch.no_grad()
def tiled_affinity(
    target: Tensor,
    references: Tensor | Sequence[Tensor],
    *,
    radius: Sequence[int | None],
    top_k: int,
    temperature: float,
    radius_shape: RadiusShape = "square",
    active: Tensor | None = None,
    tile: int = 12,
    search: WindowSearch | None = None,
) -> SparseAffinity:
    """Point from every target cell at its `top_k` best cells over all references, jointly.

    Exactly `full_affinity`, computed a tile of target cells at a time against the tile's halo, or
    by a compiled search. Always float32, also inside an autocast region.

    Args:
        target: `(C, h, w)` float feature map.
        references: `(R, C, h, w)` float feature maps.
        radius: per reference, in cells; None searches the whole frame.
        top_k: exactly this many, or R*h*w if that is less.
        temperature: divides the similarity, once.
        active: `(h, w)` bool; tiles, or blocks of 8 cells of the compiled search, without a True
            cell are skipped and their rows all 0 (unless a reference has no window).
        search: what one pass over a clip searches windows with, where it can.

    Returns:
        SparseAffinity with k <= top_k (fewer if the windows hold fewer cells); cells outside frame
        or window weigh exactly 0.

    Raises:
        InputError: shapes do not fit.
    """
    check_maps(target, references, radius)
    _, h, w = target.shape
    k = min(top_k, len(references) * h * w)
    with torch.autocast(target.device.type, enabled=False):
        target = target.float()
        radii = {i: r for i, r in enumerate(radius) if r is not None and r < max(h, w)}
        best_values, best_index = [], []
        everywhere = [i for i, r in enumerate(radius) if r is None]
        if search is not None and everywhere and search.whole.can(target, k, len(everywhere)):
            maps = [references[i] for i in everywhere]
            values, index = search.whole.top_k(target, maps, k)
            first = torch.tensor(everywhere)
            best_values.append(values)
            best_index.append(first[index // (h * w)] * h * w + index % (h * w))
        else:
            everywhere = []
        for i in sorted(set(range(len(references))) - set(radii) - set(everywhere)):
            disc = radius[i] if radius_shape == "disc" else None
            values, index = _whole_frame_top_k(target, references[i].float(), k, disc)
            best_values.append(values)
            best_index.append(index + i * h * w)
        if radii:
            near = [references[i].float() for i in radii]
            windows = Windows([*radii.values()], [*radii], (h, w), radius_shape, tile)
            if search is not None and search.can(windows, target, k):
                values, index = search.top_k(target, near, windows, k, active)
            else:
                tiles = active_tiles(active, (h, w), tile=tile, device=target.device)
                values, index = _window_top_k(target, near, windows, k, tiles)
            best_values.append(values)
            best_index.append(index)
        values, index = torch.cat(best_values, dim=1), torch.cat(best_index, dim=1)
        if values.shape[1] > k:
            values, pick = values.topk(k, dim=1)
            index = index.gather(1, pick)
        weight = (values / temperature).softmax(1)
        return SparseAffinity(index, weight * (values[:, :1] > OUTSIDE / 2), (h, w))


def _whole_frame_top_k(
    target: Tensor, reference: Tensor, k: int, disc_radius: int | None, chunk: int = 256
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
            scores = scores.masked_fill(~allowed[start : start + chunk], OUTSIDE)
        best, place = largest(scores, min(k, N))
        values.append(best)
        index.append(place)
    return torch.cat(values), torch.cat(index)


def _window_top_k(
    target: Tensor, references: Sequence[Tensor], windows: Windows, k: int, tiles: Tensor
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
    queries = tiled_queries(target, windows)
    keys = [tiled_keys(x, r, windows) for x, r in zip(references, windows.radius, strict=True)]
    places = windows.places
    k = min(k, places)
    best = target.new_full((rows * columns, tile * tile, k), OUTSIDE)
    place = torch.zeros((rows * columns, tile * tile, k), dtype=torch.int64, device=target.device)
    for chunk in tiles.split(max(1, CHUNK_FLOATS // (tile * tile * places))):
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


def _slide(scores: Tensor, radius: int, windows: Windows, out: Tensor) -> None:
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
        out.masked_fill_(~disc, OUTSIDE)


def _to_frame(values: Tensor, place: Tensor, windows: Windows) -> tuple[Tensor, Tensor]:
    """Order tiled rows as the frame's cells; turn window places into cell indices."""
    (h, w), k = windows.size, values.shape[-1]
    values, place = untiled(values, windows), untiled(place, windows)
    number, dy, dx = windows.table(place.device).unbind(1)
    y = torch.arange(h, device=place.device)[:, None, None]
    x = torch.arange(w, device=place.device)[None, :, None]
    row = (y + dy[place]).clamp(0, h - 1)  # clamped ones weigh 0
    column = (x + dx[place]).clamp(0, w - 1)
    index = (number[place] * h + row) * w + column
    return values.reshape(h * w, k), index.reshape(h * w, k)
