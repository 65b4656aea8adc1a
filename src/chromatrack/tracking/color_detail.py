"""Colours finer than cells: every pixel takes its colour where the cells around it point to.

A cell's pointer says roughly where its surroundings have come from; slid to where the luminance
fits, it says so to a pixel. Moved by that, the reference picture itself lies over the frame, at
full detail: where its luminance is also the frame's, its colour is believed, and where it is not,
the colour copied by cells stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.affinity import SparseAffinity
from chromatrack.ops.compiled import can_compile
from chromatrack.ops.coords import FeatureSpec, cell_to_pixel, grid_like, image_size, pixel_to_cell
from chromatrack.ops.patch_fit import best_steps, mixed, squares
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
    own = [number for number, picture in enumerate(pictures) if picture is not None]
    places = pointed_places(pointer, own, stride=spec.stride)
    if not bool(places.lends.any()):
        return None
    stack = torch.stack([picture for picture in pictures if picture is not None])
    small = _halved(stack[:, :1]), _halved(light[None])[0]
    places = slide_to_fit(places, *small, spec=spec, scale=2, reach=2)
    places = spread_to_neighbours(places, *small, spec=spec, scale=2)
    places = slide_to_fit(places, stack[:, :1], light, spec=spec, scale=1, reach=1)
    return mix(places, light, stack, spec=spec)


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
) -> Places:
    """Slide every cell's place by whole steps to where the luminance around it fits best.

    Args:
        pictures: `(R, 1, H, W)` L of the references. light: `(1, H, W)` L of the frame; both
            `scale` times smaller than the frame of `spec`, so that a step is `scale` pixels.
        reach: steps that a place may slide by along either axis.
    """
    h, w = places.picture.shape
    side = PATCH // scale
    here = _patches(light[None], None, spec=spec, size=(h, w), scale=scale, side=side)
    wide = side + 2 * reach
    there = _patches(pictures, places, spec=spec, size=(h, w), scale=scale, side=wide)
    here, there = here.unflatten(1, (side, side)), there.unflatten(1, (wide, wide))
    if can_compile(here, there):
        step = best_steps(here, there, worst=WORST, stay=STAY)
        shift = places.shift + scale * step.reshape(2, h, w)
        return Places(shift, places.picture, places.lends)
    offsets, fits = square_offsets(reach), []
    for x, y in offsets.long().tolist():
        seen = there[:, reach + y : reach + y + side, reach + x : reach + x + side]
        apart = (seen - here).abs_().clamp_(max=WORST).mean((1, 2))
        fits.append(apart + STAY * (x * x + y * y) ** 0.5)
    step = offsets_like(light, reach)[torch.stack(fits).argmin(0)]
    shift = places.shift + scale * step.T.reshape(2, h, w)
    return Places(shift, places.picture, places.lends)


def spread_to_neighbours(
    places: Places, pictures: Tensor, light: Tensor, *, spec: FeatureSpec, scale: int
) -> Places:
    """Let every cell move as one of the eight around it does, where that fits better.

    Args as `slide_to_fit`.
    """
    h, w = places.picture.shape
    side = PATCH // scale
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
    xy, picture, (h, w) = grid_like(maps, tuple(size), spec.stride / scale, offset), None, size
    if places is not None:
        xy, picture = xy + places.shift / scale, places.picture.reshape(-1, 1)
    if can_compile(maps):
        number = torch.zeros(h * w, dtype=torch.int64) if picture is None else picture.flatten()
        return squares(maps[:, 0], xy.reshape(2, -1), number, side).flatten(1)
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
    if can_compile(light, pictures):
        axes = [
            [_next_cells(pixels, count, away, spec=spec, device=light.device) for away in AWAY]
            for pixels, count in zip(size, image_size(places.picture), strict=True)
        ]
        rows, columns = (
            (torch.stack([cell for cell, _ in axis]), torch.stack([weight for _, weight in axis]))
            for axis in axes
        )
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
    here = grid_like(light, tuple(size), 1, 0)
    total, says = torch.zeros_like(pictures[0, 1:]), torch.zeros_like(light)
    for cells, kernel in around(places.state(), size, spec=spec):
        found = look(pictures, here + cells[:2], cells[2])
        apart = (found[:1] - light).abs_()
        apart = F.avg_pool2d(apart, 2 * BESIDE + 1, 1, BESIDE, count_include_pad=False)
        say = kernel * cells[3:] * torch.exp(-0.5 * (apart / ALIKE) ** 2)
        total += say * found[1:]
        says += say
    return total, says


def around(
    cells: Tensor, size: tuple[int, int], *, spec: FeatureSpec
) -> Iterator[tuple[Tensor, Tensor]]:
    """What the 3 x 3 cells next to every pixel hold, one of them at a time.

    Args:
        cells: `(C, h, w)`. size: (H, W) pixels.

    Yields:
        (its values at every pixel `(C, H, W)`, its weight `(1, H, W)`, which falls with its
        distance from the pixel; the nine sum to about 1).
    """
    axes = [
        [_next_cells(pixels, count, away, spec=spec, device=cells.device) for away in AWAY]
        for pixels, count in zip(size, image_size(cells), strict=True)
    ]
    for (row, down), (column, across) in product(*axes):
        yield cells[:, row][:, :, column], (down[:, None] * across)[None]


def _next_cells(
    pixels: int, cells: int, away: int, *, spec: FeatureSpec, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Along one axis: the cell `away` from each pixel's nearest, and its weight, both `(pixels,)`.

    Where there is no such cell, the last one stands in, as if it were there.
    """
    pixel = torch.arange(pixels, dtype=torch.float32, device=device)
    nearest = pixel_to_cell(pixel, stride=spec.stride, offset=spec.offset).round()
    nearest = nearest.clamp(0, cells - 1)
    gap = cell_to_pixel(nearest + away, stride=spec.stride, offset=spec.offset) - pixel
    weight = (1 - gap.abs() / (FADES * spec.stride)).clamp(min=0) / FADES
    return (nearest + away).clamp(0, cells - 1).long(), weight
