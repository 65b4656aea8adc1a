"""Where exactly a small patch has gone: positions between cells and between pixels.

The same three steps on any map, deep features (cells) or Lab pixels: sample a template around a
position, try whole steps around a guess, then slide to the place that fits best.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from weakref import ref

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.compiled import can_compile
from chromatrack.ops.kept import kept
from chromatrack.ops.subpixel_loops import fitted_cells, read_between, score_steps, slid


def square_offsets(radius: int, step: float = 1.0) -> Tensor:
    """`((2 radius + 1)^2, 2)` float32 xy offsets on a square grid around 0, `step` apart."""
    d = torch.arange(-radius, radius + 1) * step
    y, x = torch.meshgrid(d, d, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


offsets_like = kept(square_offsets)
"""The same as `offsets_like(xy, radius, step)`, in the type and on the device of `xy`."""


def sample(maps: Tensor, xy: Tensor) -> Tensor:
    """Bilinear values of `(C, h, w)` maps at `(..., 2)` xy positions -> `(..., C)`.

    Positions are in the map's own steps, `(0, 0)` the centre of its first element; outside, the
    border's value is taken.
    """
    if can_compile(maps, xy):
        return read_between(_by_place(maps), xy.reshape(-1, 2)).reshape(*xy.shape[:-1], -1)
    h, w = maps.shape[-2:]
    scale = xy.new_tensor([2 / max(w - 1, 1), 2 / max(h - 1, 1)])
    grid = (xy * scale - 1).reshape(1, 1, -1, 2)
    found = F.grid_sample(maps[None], grid, padding_mode="border", align_corners=True)
    return found[0, :, 0].T.reshape(*xy.shape[:-1], -1)


def _by_place(maps: Tensor) -> np.ndarray:
    """Maps `(C, h, w)` as `(h, w, C)`, what lies at a place side by side; kept for the next calls.

    Maps are known again by identity, so they must not be changed.
    """
    if len(maps) <= _FEW:
        return maps.numpy().transpose(1, 2, 0)
    found = next((laid_out for known, laid_out in _KEPT.maps if known() is maps), None)
    if found is None:
        found = maps.permute(1, 2, 0).contiguous().numpy()
        others = [pair for pair in _KEPT.maps if pair[0]() is not None]
        _KEPT.maps = (*others[1 - _MAPS :], (ref(maps), found))
    return found


class _Kept(threading.local):
    maps: tuple[tuple[ref[Tensor], np.ndarray], ...] = ()


_KEPT = _Kept()
_MAPS = 2  # a frame's, and those of the frame it is compared with
_FEW = 4  # channels that are as well read where they lie


def patches(maps: Tensor, xy: Tensor, offsets: Tensor) -> Tensor:
    """Values of `(C, h, w)` maps around `(P, 2)` positions, at `(K, 2)` offsets: `(P, K, C)`."""
    return sample(maps, xy[:, None] + offsets)


def patch_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Mean cosine of patches `(..., K, C)` -> `(...)` in [-1, 1]."""
    return F.cosine_similarity(a, b, dim=-1).mean(-1)


def best_steps(
    maps: Tensor, templates: Sequence[Tensor], xy: Tensor, *, offsets: Tensor, tries: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """For each of some templates, the best of some whole steps around a guess.

    Args:
        maps: `(C, h, w)`. templates: `(P, K, C)` each, sampled at `offsets` `(K, 2)`.
        xy: `(P, 2)` guesses. tries: `(G, 2)` steps to try around each.

    Returns:
        For each `(P, 2)` the best position and `(P,)` its `patch_similarity`, in [-1, 1].
    """
    looked_for = [_unit(template) for template in templates]
    if can_compile(maps, xy, *looked_for):
        scored = score_steps(_by_place(maps), torch.stack(looked_for), xy, offsets, tries)
        return [(xy + tries[found.indices], found.values) for found in (s.max(1) for s in scored)]
    scores: list[list[Tensor]] = [[] for _ in templates]
    for step in tries:  # every patch is sampled and brought to unit length once
        found = _unit(patches(maps, xy + step, offsets))
        for template, of_template in zip(looked_for, scores, strict=True):
            of_template.append((found * template).sum(-1).mean(-1))
    best = [torch.stack(of_template).max(0) for of_template in scores]
    return [(xy + tries[pick], score) for score, pick in best]


def _unit(vectors: Tensor) -> Tensor:
    """Vectors `(..., C)` at unit length, to the bit as `F.cosine_similarity` makes them."""
    lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / lengths.clamp_min(1e-8)


def best_cells(cells: Tensor, onto: Tensor, near: Tensor, *, reach: int) -> Tensor:
    """Where 3 x 3 cells `(P, 9, C)` fit best, cell by cell, around whole places: `(P, 2)` xy.

    Compiled; `onto`: `(C, h, w)`. near: `(P, 2)`. reach: cells to every side; inside the map.
    """
    return fitted_cells(_by_place(onto), cells, near, reach=reach)


def slide(
    maps: Tensor,
    templates: Tensor,
    xy: Tensor,
    *,
    offsets: Tensor,
    steps: int = 6,
    reach: float = 1.0,
) -> Tensor:
    """Slide positions to where the patch fits best: Gauss-Newton on the squared difference.

    Source: Lucas and Kanade 1981, inverse compositional form (Baker and Matthews 2004), on feature
    maps as well as on pixels. Patches are compared after taking off their mean, so that a change
    of light moves nothing.

    Args:
        maps: `(C, h, w)`. templates: `(P, K, C)` at `offsets` `(K, 2)`. xy: `(P, 2)` guesses.
        reach: a position that would move further than this from its guess stays there.
        steps: at most; compiled, a position that moves less than 0.001 has come to its end.

    Returns:
        `(P, 2)` positions.
    """
    if can_compile(maps, templates, xy):
        found = slid(_by_place(maps), templates, xy, offsets, steps=steps, reach=reach)
    else:
        found = _slid_by_tensors(maps, templates, xy, offsets, steps, reach)
    kept = (found - xy).norm(dim=1, keepdim=True) <= reach
    return torch.where(kept & found.isfinite().all(1, keepdim=True), found, xy)


def _slid_by_tensors(
    maps: Tensor, templates: Tensor, xy: Tensor, offsets: Tensor, steps: int, reach: float
) -> Tensor:
    target = templates - templates.mean(1, keepdim=True)
    half = xy.new_tensor([[0.5, 0.0], [0.0, 0.5]])
    for _ in range(steps):
        slopes = [patches(maps, xy + d, offsets) - patches(maps, xy - d, offsets) for d in half]
        slope = torch.stack(slopes, -1)
        slope = (slope - slope.mean(1, keepdim=True)).flatten(1, 2)
        now = patches(maps, xy, offsets)
        left = (target - (now - now.mean(1, keepdim=True))).flatten(1, 2)
        normal = slope.transpose(1, 2) @ slope
        damped = normal + 1e-3 * normal.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * (
            torch.eye(2, device=xy.device)
        )
        damped = damped + 1e-9 * torch.eye(2, device=xy.device)
        move = torch.linalg.solve(damped, (slope.transpose(1, 2) @ left[..., None])[..., 0])
        xy = xy + move.clamp(-reach / 2, reach / 2)
    return xy
