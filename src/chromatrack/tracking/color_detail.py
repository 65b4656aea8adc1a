"""Colours finer than cells: every pixel takes its colour where the cells around it point to.

A cell's pointer says roughly where its surroundings have come from; slid to where the luminance
fits, it says so to a pixel. Moved by that, the reference picture itself lies over the frame, at
full detail: where its luminance is also the frame's, its colour is believed, and where it is not,
the colour copied by cells stands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.affinity import SparseAffinity
from chromatrack.ops.compiled import can_compile
from chromatrack.ops.coords import FeatureSpec, cell_to_pixel, grid_like, image_size, pixel_to_cell
from chromatrack.ops.kept import kept
from chromatrack.ops.patch_fit import best_slides, best_states, mixed
from chromatrack.ops.subpixel import offsets_like, square_offsets

# ALIKE and COPIED: by the error at 0.2 and 2 s on six clips of docs/results.md's colour table.
NEAR = 1.5
"""Cells around the best one over which a cell's place is averaged."""

PATCH = 16
"""Pixels, the side of the square around a cell that is laid on the reference."""

WORST = 20.0
"""Difference of L above which a pixel of a patch says no more: it may be another thing."""

STAY = 0.05
"""L by which another place must fit better, per step: flat parts stay where they are."""

BETTER = 0.5
"""L by which where a cell points must fit better than where it was followed to."""

FADES = 1.5
"""Cells from its own centre at which a cell has no say any more on a pixel's colour."""

ALIKE = 4.5
"""Difference of L at which a place has lost 40 % of its say."""

BESIDE = 2
"""Pixels around a pixel over which that difference is averaged."""

AWAY = (-1, 0, 1)
"""Cells, along either axis, from a pixel's nearest to those that have a say on it."""

COPIED = 0.1
"""Say of the colour copied by cells, where the places' says sum to about 1 if all of them fit."""


@dataclass(frozen=True)
class Places:
    """Where each cell of a frame lies in R pictures.

    shift: `(2, h, w)` xy pixels from the cell to its place. picture: `(h, w)` int64 < R, in which
    one. lends: `(h, w)` bool, False where the cell points to none of them.
    """

    shift: Tensor
    picture: Tensor
    lends: Tensor

    def state(self) -> Tensor:
        """All of it as `(4, h, w)` floats, to be moved about together."""
        return torch.cat([self.shift, torch.stack([self.picture, self.lends]).to(self.shift)])


def places_of(state: Tensor) -> Places:
    """The inverse of `Places.state`."""
    return Places(state[:2], state[2].long(), state[3] > 0)


def fine_colors(
    pointer: SparseAffinity,
    copied: Tensor,
    light: Tensor,
    pictures: Sequence[Tensor | None],
    *,
    spec: FeatureSpec,
) -> Tensor:
    """ab at full detail, from where the cells point.

    Source: overlapped block motion compensation (Orchard and Sullivan 1994), its weights gated by
    luminance; good places spread to neighbours as in PatchMatch (Barnes et al. 2009).

    Args:
        pointer: of the frame's `(h, w)` cells over R reference frames.
        copied: `(2, H, W)` ab copied by cells. light: `(1, H, W)` L of the frame.
        pictures: R pictures `(3, H, W)` Lab; None for a reference without colours of its own,
            which lends nothing.
        spec: where the cells are.

    Returns:
        `(2, H, W)` ab; `copied` where no picture is pointed to, or none fits.
    """
    lent = lay(pointer, light, pictures, spec=spec)
    if lent is None:
        return copied
    total, says = lent
    return (copied * COPIED + total) / (COPIED + says)


def lay(
    pointer: SparseAffinity,
    light: Tensor,
    pictures: Sequence[Tensor | None],
    *,
    spec: FeatureSpec,
) -> tuple[Tensor, Tensor] | None:
    """Pictures laid over a frame, pixel on pixel, where its cells point.

    Args:
        pointer, light: as in `fine_colors`.
        pictures: R pictures `(1 + C, H, W)`, L and any C channels; None lends nothing.

    Returns:
        sums `(C, H, W)` of the channels times how well their L fits, and of these fits
        `(1, H, W)`, about 1 where all fit; None where no picture is pointed to.
    """
    places = places_over(pointer, light, pictures, spec=spec)
    return None if places is None else laid_at(places, light, pictures, spec=spec)


def laid_at(
    places: Places, light: Tensor, pictures: Sequence[Tensor | None], *, spec: FeatureSpec
) -> tuple[Tensor, Tensor]:
    """`lay` where the places are known."""
    stack = torch.stack([picture for picture in pictures if picture is not None])
    return mix(places, light, stack, spec=spec)


def places_over(
    pointer: SparseAffinity,
    light: Tensor,
    pictures: Sequence[Tensor | None],
    *,
    spec: FeatureSpec,
    followed: Places | None = None,
) -> Places | None:
    """Where the cells of a frame lie in pictures, to a pixel; None where they point to none.

    Args:
        pointer, light, pictures: as `lay`; of the pictures L alone is looked at.
        followed: where else a cell may lie; taken unless where it points fits better by `BETTER`.
    """
    own = [number for number, picture in enumerate(pictures) if picture is not None]
    places = pointed_places(pointer, own, stride=spec.stride)
    if not bool(places.lends.any()) and followed is None:
        return None
    stack = torch.stack([picture[:1] for picture in pictures if picture is not None])
    small = _halved(stack), _halved(light[None])[0]
    places, fits = slide_to_fit(places, *small, spec=spec, scale=2, reach=2)
    if followed is not None:
        followed, other = slide_to_fit(followed, *small, spec=spec, scale=2, reach=2)
        stays = other + 2 * WORST * ~followed.lends <= fits + 2 * WORST * ~places.lends + BETTER
        places = places_of(torch.where(stays, followed.state(), places.state()))
    places = spread_to_neighbours(places, *small, spec=spec, scale=2)
    return slide_to_fit(places, stack, light, spec=spec, scale=1, reach=1)[0]


def pointed_places(pointer: SparseAffinity, own: Sequence[int], *, stride: int) -> Places:
    """Where each cell points: the mean of those of its k cells that are near the best one.

    Only the references `own` count; they are numbered in that order.
    """
    h, w = pointer.size
    inside, reference = pointer.index % (h * w), pointer.index // (h * w)
    x, y = inside % w, inside // w
    number = torch.full_like(reference, -1)
    for place, picture in enumerate(own):
        number[reference == picture] = place
    top, best = (pointer.weight * (number >= 0)).max(1, keepdim=True)
    near = (x - x.gather(1, best)).abs() <= NEAR
    near &= (y - y.gather(1, best)).abs() <= NEAR
    near &= number == number.gather(1, best)
    weight = pointer.weight * near
    weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-9)
    place = torch.stack([(weight * x).sum(1), (weight * y).sum(1)]).reshape(2, h, w)
    here = grid_like(place, (h, w), 1, 0)
    picture = number.gather(1, best).clamp(min=0).reshape(h, w)
    return Places((place - here) * stride, picture, top.reshape(h, w) > 0)


# -- places --------------------------------------------------------------------------------


def slide_to_fit(
    places: Places, pictures: Tensor, light: Tensor, *, spec: FeatureSpec, scale: int, reach: int
) -> tuple[Places, Tensor]:
    """Slide every cell's place by whole steps to where the luminance around it fits best.

    Args:
        pictures: `(R, 1, H, W)` L of the references. light: `(1, H, W)` L of the frame; both
            `scale` times smaller than the frame of `spec`, so that a step is `scale` pixels.
        reach: steps that a place may slide by along either axis.

    Returns:
        the places; and `(h, w)` mean difference of L there.
    """
    h, w = places.picture.shape
    side = PATCH // scale
    if can_compile(light, pictures):
        step, fit = best_slides(
            light[0],
            pictures[:, 0],
            (places.shift, places.picture),
            side,
            reach,
            scale=scale,
            first=(spec.offset - (scale - 1) / 2) / scale,
            step=spec.stride / scale,
            worst=WORST,
            stay=STAY,
        )
        return Places(places.shift + scale * step, places.picture, places.lends), fit
    here = _patches(light[None], None, spec=spec, size=(h, w), scale=scale, side=side)
    wide = side + 2 * reach
    there = _patches(pictures, places, spec=spec, size=(h, w), scale=scale, side=wide)
    here, there = here.unflatten(1, (side, side)), there.unflatten(1, (wide, wide))
    offsets, fits, costs = square_offsets(reach), [], []
    for x, y in offsets.long().tolist():
        seen = there[:, reach + y : reach + y + side, reach + x : reach + x + side]
        fits.append((seen - here).abs_().clamp_(max=WORST).mean((1, 2)))
        costs.append(STAY * (x * x + y * y) ** 0.5)
    apart = torch.stack(fits)
    best = (apart + apart.new_tensor(costs)[:, None]).argmin(0)
    step = offsets_like(light, reach)[best].T.reshape(2, h, w)
    fit = apart.gather(0, best[None]).reshape(h, w)
    return Places(places.shift + scale * step, places.picture, places.lends), fit


def spread_to_neighbours(
    places: Places, pictures: Tensor, light: Tensor, *, spec: FeatureSpec, scale: int
) -> Places:
    """Let every cell move as one of the eight around it does, where that fits better.

    Args as `slide_to_fit`.
    """
    h, w = places.picture.shape
    side = PATCH // scale
    if can_compile(light, pictures):
        state = best_states(
            light[0],
            pictures[:, 0],
            places.state(),
            side,
            scale=scale,
            first=(spec.offset - (scale - 1) / 2) / scale,
            step=spec.stride / scale,
            worst=WORST,
            stay=STAY,
        )
        return places_of(state)
    here = _patches(light[None], None, spec=spec, size=(h, w), scale=scale, side=side)
    padded = F.pad(places.state()[None], (1,) * 4, mode="replicate")[0]
    tries, fits = [], []
    for dy, dx in product((0, -1, 1), repeat=2):  # its own first
        state = padded[:, 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w]
        moved = places_of(state)
        there = _patches(pictures, moved, spec=spec, size=(h, w), scale=scale, side=side)
        apart = (there - here).abs_().clamp_(max=WORST).mean(1).reshape(h, w)
        fits.append(apart + STAY * bool(dx or dy) + 2 * WORST * ~moved.lends)
        tries.append(state)
    best = torch.stack(fits).argmin(0).expand(1, 4, h, w)
    return places_of(torch.stack(tries).gather(0, best)[0])


def _patches(
    maps: Tensor,
    places: Places | None,
    *,
    spec: FeatureSpec,
    size: tuple[int, int],
    scale: int,
    side: int,
) -> Tensor:
    """Values `(h * w, side^2)` of `(R, 1, H, W)` maps around cells, or around their places."""
    offset = (spec.offset - (scale - 1) / 2) / scale
    xy, picture = grid_like(maps, tuple(size), spec.stride / scale, offset), None
    if places is not None:
        xy, picture = xy + places.shift / scale, places.picture.reshape(-1, 1)
    inner = torch.arange(side, device=maps.device) - (side - 1) / 2
    inner = torch.stack([inner.repeat(side), inner.repeat_interleave(side)])
    return look(maps, xy.reshape(2, -1, 1) + inner[:, None], picture)[0]


def look(pictures: Tensor, xy: Tensor, number: Tensor | None) -> Tensor:
    """Bilinear values of one picture each at `(2, M, K)` xy pixels.

    Args:
        pictures: `(R, C, H, W)`; outside, the border's value is taken.
        number: which one, broadcastable to `(M, K)`; None: the first.

    Returns:
        `(C, M, K)`.
    """
    R, C, H, W = pictures.shape
    tall = pictures.transpose(0, 1).reshape(C, R * H, W)  # one below the other
    x, y = xy
    if number is not None and R > 1:
        y = y.clamp(0, H - 1) + number * H
    scaled = (x * (2 / max(W - 1, 1)) - 1, y * (2 / max(R * H - 1, 1)) - 1)
    grid = torch.stack(scaled, dim=-1)[None]
    return F.grid_sample(tall[None], grid, padding_mode="border", align_corners=True)[0]


def _halved(maps: Tensor) -> Tensor:
    """Means of 2 x 2 pixels: `(B, C, H, W)` -> half the size, rounded up."""
    return F.avg_pool2d(maps, 2, ceil_mode=True, count_include_pad=False)


# -- colours -------------------------------------------------------------------------------


def mix(
    places: Places, light: Tensor, pictures: Tensor, *, spec: FeatureSpec
) -> tuple[Tensor, Tensor]:
    """Add up what lies at the places of the cells around each pixel, by how well it fits.

    Args:
        light: `(1, H, W)` L of the frame. pictures: `(R, 1 + C, H, W)`, L first.

    Returns:
        as `lay`.
    """
    size = image_size(light)
    rows, columns = (
        _kept_says(light, cells, pixels, spec)
        for cells, pixels in zip(image_size(places.picture), size, strict=True)
    )
    if can_compile(light, pictures):
        return mixed(
            light[0],
            pictures,
            places.shift,
            places.picture,
            places.lends,
            rows,
            columns,
            beside=BESIDE,
            alike=ALIKE,
        )
    return _mix_by_tensors(places, light, pictures, rows, columns, spec=spec)


def _mix_by_tensors(
    places: Places,
    light: Tensor,
    pictures: Tensor,
    rows: Tensor,
    columns: Tensor,
    *,
    spec: FeatureSpec,
) -> tuple[Tensor, Tensor]:
    """`mix` a few rows of cells at a time: squares around all of them, which overlap, summed up."""
    (height, width), (h, w) = image_size(light), image_size(places.picture)
    ahead = spec.stride + math.ceil(spec.stride / 2) + 1  # pixels before a cell's that it reaches
    side = 2 * ahead + spec.stride
    wide = side + 2 * BESIDE
    inner = torch.arange(wide, device=light.device) - ahead - BESIDE
    y, x = (torch.arange(n, device=light.device)[:, None] * spec.stride + inner for n in (h, w))
    is_in = (y >= 0) & (y < height), (x >= 0) & (x < width)
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    middle = slice(BESIDE, BESIDE + side)
    say_y, say_x = (
        (says.gather(1, at) * inside)[:, middle]
        for says, at, inside in zip((rows, columns), (y, x), is_in, strict=True)
    )
    found = []
    for i in range(h):
        xy = torch.stack([x[:, None, :].expand(w, wide, wide), y[i, :, None].expand(w, wide, wide)])
        xy = xy + places.shift[:, i, :, None, None]
        number = places.picture[i, :, None]
        seen = look(pictures, xy.flatten(2).to(light), number).unflatten(2, (wide, wide))
        inside = (is_in[0][i, :, None] & is_in[1][:, None, :])[:, None].to(light)
        own = light[0, y[i]][:, x].permute(1, 0, 2)
        sums = F.avg_pool2d((seen[0] - own).abs()[:, None] * inside, 2 * BESIDE + 1, 1)
        apart = sums / F.avg_pool2d(inside, 2 * BESIDE + 1, 1).clamp(min=1e-6)
        say = torch.exp(-0.5 * (apart[:, 0] / ALIKE) ** 2) * say_y[i, :, None] * say_x[:, None, :]
        say = say * places.lends[i, :, None, None]
        found.append(torch.cat([seen[1:, :, middle, middle] * say, say[None]]))
    squares = torch.stack(found, 1)  # (C + 1, h, w, side, side)
    out = (h - 1) * spec.stride + side, (w - 1) * spec.stride + side
    patches = squares.permute(0, 3, 4, 1, 2).reshape(len(squares), side * side, h * w)
    laid = F.fold(patches, out, side, stride=spec.stride)[:, 0]
    laid = laid[:, ahead : ahead + height, ahead : ahead + width]
    return laid[:-1], laid[-1:]


def _says(cells: int, pixels: int, spec: FeatureSpec) -> Tensor:
    """Say `(cells, pixels)` of every cell on every pixel along one axis.

    The three next to a pixel have one, which falls with their distance; the three sum to about 1.
    Where there is no such cell, the last one stands in, as if it were there.
    """
    pixel = torch.arange(pixels, dtype=torch.float32)
    nearest = pixel_to_cell(pixel, stride=spec.stride, offset=spec.offset).round()
    nearest = nearest.clamp(0, cells - 1)
    says = torch.zeros(cells, pixels)
    for away in AWAY:
        gap = cell_to_pixel(nearest + away, stride=spec.stride, offset=spec.offset) - pixel
        weight = (1 - gap.abs() / (FADES * spec.stride)).clamp(min=0) / FADES
        says.scatter_add_(0, (nearest + away).clamp(0, cells - 1).long()[None], weight[None])
    return says


_kept_says = kept(_says)
