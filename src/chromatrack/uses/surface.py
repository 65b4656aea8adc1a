"""Surfaces: which place of a keyframe every pixel of another frame shows, from tracked points.

A grid of points on the surface is tracked like any points. Where a point was and where it is now
are two samples of a smooth map; in between, the map is fitted: an affine one near every place, as
far as the points around it agree. The map goes backward, from frame to keyframe, so that whatever
is painted on the keyframe can be looked up for every pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from chromatrack.ops.coords import image_size, pixel_grid
from chromatrack.ops.resample import planes
from chromatrack.structures import PointMark, TrackedPoint

LEAST_POINTS = 3
"""Points that must be seen for a surface to be placed; fewer do not tell how it turned."""

_LEAST_SPACING = 6.0  # px between neighbouring points: closer ones see the same patch
_FLOOR = 0.5  # px: residuals below this are no reason to doubt a point
_PART_REACH, _WHOLE_REACH = 2.5, 1.25  # spacings: how far a point has a say on the map
_AROUND = 40  # points that have a say on a place at most
_LEAST_TRUST = 0.2  # below it a point is left out
_FEW = 1.0  # points near a place that count as much as those of the whole surface
_LEAST_SHARE = 0.04  # of a part's points must be trusted
_SIGHT = 0.1, 0.35  # trusted share of the points around a place: not seen, seen for sure


def choose_points(region: np.ndarray, rgb: np.ndarray, *, most: int) -> tuple[np.ndarray, float]:
    """Spread points over a region, each on the spot of its square that is easiest to follow.

    Source: the smaller eigenvalue of the structure tensor (Shi and Tomasi 1994), weighed towards
    the square's middle.

    Args:
        region: `(H, W)` bool, not empty. rgb: `(H, W, 3)` uint8. most: about how many points.

    Returns:
        `(P, 2)` float64 xy pixels, P >= 1, and the spacing of the squares in pixels.
    """
    spacing = max(_LEAST_SPACING, math.sqrt(np.count_nonzero(region) / most))
    score = _cornerness(rgb)
    rows, columns = np.nonzero(region)
    row, column = (rows - rows.min()) / spacing, (columns - columns.min()) / spacing
    square = np.floor(row).astype(np.int64) * region.shape[1] + np.floor(column).astype(np.int64)
    aside = np.maximum(np.abs(row % 1 - 1 / 2), np.abs(column % 1 - 1 / 2))
    value = (score[rows, columns] + 1e-6) * (1.05 - 2 * aside)
    order = np.lexsort((-value, square))
    _, first, count = np.unique(square[order], return_index=True, return_counts=True)
    full = count >= min(count.max(), spacing * spacing / 4)
    best = order[first[full]]
    return np.stack([columns[best], rows[best]], axis=1).astype(np.float64), spacing


def _cornerness(rgb: np.ndarray) -> np.ndarray:
    """Smaller eigenvalue of the 7 x 7 structure tensor of the luma, `(H, W)`."""
    luma = planes(rgb).float().mean(0) / 255
    dy, dx = (_slope(luma, axis) for axis in (0, 1))
    tensor = torch.stack([dx * dx, dx * dy, dy * dy])[None]
    xx, xy, yy = F.avg_pool2d(tensor, 7, 1, 3)[0]
    return ((xx + yy) / 2 - (((xx - yy) / 2) ** 2 + xy**2).sqrt()).clamp(min=0).numpy()


def _slope(values: torch.Tensor, axis: int) -> torch.Tensor:
    """Change from pixel to pixel along an axis; none where there is one pixel."""
    if values.shape[axis] == 1:
        return torch.zeros_like(values)
    return torch.gradient(values, dim=axis)[0]


@dataclass(frozen=True)
class Affine:
    """M affine maps of displacements: `value + (x - at) @ slope`.

    at: `(M, 2)` where each is centred. value: `(M, 2)` there. slope: `(M, 2, 2)`.
    """

    at: Tensor
    value: Tensor
    slope: Tensor

    def __call__(self, xy: Tensor) -> Tensor:
        """Displacements of each map at places of its own: `(M, K, 2)` -> `(M, K, 2)`."""
        return self.value[:, None] + (xy - self.at[:, None]) @ self.slope


def fit_affine(
    at: Tensor, source: Tensor, shift: Tensor, weights: Tensor, *, ridge: float
) -> Affine:
    """Weighted affine fits of displacements, many at once.

    Args:
        at: `(M, 2)` where the maps are centred, px. source: `(M, K, 2)` places that each is fitted
            to, px. shift: `(M, K, 2)`, their displacements, px. weights: `(M, K)` >= 0.
        ridge: px^2; slopes are pulled to 0 as if by places this far (squared) around.

    Returns:
        M maps; where all weights are 0 they are 0.
    """
    share = (weights / weights.sum(1, keepdim=True).clamp(min=1e-9))[..., None]
    away = source - at[:, None]
    middle, mean = (share * away).sum(1), (share * shift).sum(1)
    x, u = away - middle[:, None], shift - mean[:, None]
    weighted = (share * x).transpose(1, 2)
    slope = torch.linalg.solve(weighted @ x + ridge * torch.eye(2).to(x), weighted @ u)
    return Affine(at, mean - (middle[:, None] @ slope)[:, 0], slope)


def robust_affine(
    at: Tensor, source: Tensor, shift: Tensor, weights: Tensor, *, ridge: float, rounds: int = 3
) -> Affine:
    """As `fit_affine`, then again and again with less weight for points far off (Cauchy)."""
    found = fit_affine(at, source, shift, weights, ridge=ridge)
    for _ in range(rounds):
        residual = (found(source) - shift).norm(dim=-1)
        scale = _weighted_median(residual, weights).clamp(min=_FLOOR)[:, None]
        doubted = weights / (1 + (residual / (2 * scale)) ** 2)
        found = fit_affine(at, source, shift, doubted, ridge=ridge)
    return found


def _weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """Of each row of `(M, K)` values: `(M,)`."""
    ordered, order = values.sort(1)
    total = weights.gather(1, order).cumsum(1)
    place = (total < total[:, -1:] / 2).sum(1, keepdim=True).clamp(max=values.shape[1] - 1)
    return ordered.gather(1, place)[:, 0]


def nearest(at: Tensor, points: Tensor, *, width: float) -> tuple[Tensor, Tensor]:
    """The points near each place: numbers `(M, K)` and Gaussian weights `(M, K)` of them."""
    distance, number = torch.cdist(at, points).topk(min(_AROUND, len(points)), largest=False)
    return number, torch.exp(-distance.square() / (2 * width * width))


@dataclass(frozen=True)
class SmoothMap:
    """A smooth map known at points: source `(N, 2)` -> source + shift, px; weights `(N,)` >= 0.

    spacing: px between neighbouring points. reach: spacings, how far a point has a say.
    """

    source: Tensor
    shift: Tensor
    weights: Tensor
    spacing: float
    reach: float = _WHOLE_REACH

    def __call__(self, xy: Tensor) -> Tensor:
        """Where `(M, 2)` places go: one affine map for all, and what the points near add to it."""
        whole = self._whole()
        left = self.shift - whole(self.source[None])[0]
        number, near = nearest(xy, self.source, width=self.reach * self.spacing)
        near = near * self.weights[number]
        local = robust_affine(xy, self.source[number], left[number], near, ridge=self._ridge)
        # Far from all points the map of the whole surface is the better guess.
        mass = near.sum(1, keepdim=True)
        return xy + whole(xy[None])[0] + local.value * (mass / (mass + _FEW))

    @property
    def _ridge(self) -> float:
        """Of local maps, px^2: what they add may differ within their reach, but not wildly."""
        return (self.reach * self.spacing) ** 2 / 6

    def _whole(self) -> Affine:
        middle, ridge = self.source.mean(0, keepdim=True), (self.spacing / 10) ** 2
        parts = self.source[None], self.shift[None], self.weights[None]
        return robust_affine(middle, *parts, ridge=ridge, rounds=10)

    def agreement(self) -> Tensor:
        """`(N,)` in [0, 1]: how well each point agrees with the points around it."""
        left = self.shift - self._whole()(self.source[None])[0]
        number, near = nearest(self.source, self.source, width=4 * self.spacing)
        others = number != torch.arange(len(number))[:, None]
        near = near * self.weights[number] * others
        fit = robust_affine(self.source, self.source[number], left[number], near, ridge=self._ridge)
        residual = (fit.value - left).norm(dim=1)
        limit = max(1.0, self.spacing / 4)
        alone = near.sum(1) < 1e-3
        return torch.where(alone, 1.0, 1 / (1 + (residual / limit) ** 4))


@dataclass(frozen=True)
class SurfaceView:
    """A surface as a part of a frame shows it; elsewhere it is not seen.

    part: rows and columns, `(h, w)` pixels. places: `(2, h, w)` float32, the xy pixel of the
    keyframe that each pixel shows. seen: `(h, w)` float32 in [0, 1], how surely it does.
    """

    part: tuple[slice, slice]
    places: Tensor
    seen: Tensor


@dataclass(frozen=True, eq=False)
class Surface:
    """A part of a keyframe that is followed by points.

    frame: the keyframe. region: `(H, W)` bool. points: `(P, 2)` xy px on the keyframe. spacing: px
    between them.
    """

    frame: int
    region: np.ndarray
    points: np.ndarray
    spacing: float

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frames, px."""
        return self.region.shape[0], self.region.shape[1]

    @cached_property
    def is_whole(self) -> bool:
        """Whether the region is all of the frame, so that there is no mask of it to follow."""
        return bool(self.region.all())

    def marks(self, first: int) -> list[PointMark]:
        """The points as marks, with ids from `first` on."""
        return [
            PointMark(first + number, self.frame, float(x), float(y))
            for number, (x, y) in enumerate(self.points)
        ]

    def here(self) -> SurfaceView:
        """The surface on its own keyframe: every pixel of the frame shows itself."""
        part = slice(0, self.size[0]), slice(0, self.size[1])
        return SurfaceView(part, _pixels(part), torch.ones(self.size))

    def seen(
        self, points: Mapping[int, TrackedPoint], first: int, mask: np.ndarray | None
    ) -> SurfaceView | None:
        """The surface on another frame; None where it or too few of its points are seen.

        Args:
            points: the tracked points of the frame, by id; this surface's begin at `first`.
            mask: `(H, W)` bool, where the region is; None: anywhere.
        """
        part = _extent(np.ones(self.size, dtype=bool) if mask is None else mask)
        if part is None:
            return None
        tracked = [points[first + number] for number in range(len(self.points))]
        now = torch.tensor([(p.x, p.y) for p in tracked])
        trust = torch.tensor([p.confidence * p.visible for p in tracked])
        then = torch.from_numpy(self.points).float()
        trust = trust * SmoothMap(then, now - then, trust, self.spacing).agreement()
        trust = trust * (trust > _LEAST_TRUST)
        least = max(min(LEAST_POINTS, len(tracked)), _LEAST_SHARE * len(tracked))
        if int((trust > 0).sum()) < least:
            return None
        return self._view(then, now, trust, mask, part)

    def _view(
        self,
        then: Tensor,
        now: Tensor,
        trust: Tensor,
        mask: np.ndarray | None,
        part: tuple[slice, slice],
    ) -> SurfaceView:
        pixels = _pixels(part)
        size = image_size(pixels)
        # The map is fitted on a coarse grid, up to the first cell beyond the part.
        step = max(2, round(self.spacing / 2))
        coarse = -(-size[0] // step) + 1, -(-size[1] // step) + 1
        cells = (pixel_grid(coarse, stride=step, offset=0) + pixels[:, 0, 0]).reshape(-1, 2)
        reach = _WHOLE_REACH if mask is None else _PART_REACH
        kept = trust > 0
        there, here = then[kept], now[kept]
        places = SmoothMap(here, there - here, trust[kept], self.spacing, reach)(cells)
        seen = torch.ones(len(cells))
        if mask is None:
            # What was behind something on the keyframe shows no place of it: there and back again
            # does not lead to where one started.
            back = SmoothMap(there, here - there, trust[kept], self.spacing)(places)
            apart = (back - cells).norm(dim=1) / (self.spacing / 2)
            seen = self._seen_at(places, then, trust) / (1 + apart**4)
        fields = torch.cat([places - cells, seen[:, None]], 1).T.reshape(3, *coarse)
        fine = enlarge(fields, step=step, size=size)
        sight = fine[2].clamp(0, 1)
        if mask is not None:
            sight = sight * soften(mask[part])
        return SurfaceView(part, pixels + fine[:2], sight)

    def _seen_at(self, places: Tensor, then: Tensor, trust: Tensor) -> Tensor:
        """How surely places of the keyframe are seen now, by the points around them: `(M,)`."""
        number, near = nearest(places, then, width=self.spacing)
        share = (near * trust[number]).sum(1) / near.sum(1).clamp(min=1e-9)
        h, w = self.size
        inside = ((places >= -1) & (places <= torch.tensor([w, h]))).all(1)
        return smooth_step(share, *_SIGHT) * inside


def _pixels(part: tuple[slice, slice]) -> Tensor:
    """`(2, h, w)` float32 xy of a part's pixels."""
    rows, columns = part
    size = rows.stop - rows.start, columns.stop - columns.start
    grid = pixel_grid(size, stride=1, offset=0) + torch.tensor([columns.start, rows.start])
    return grid.permute(2, 0, 1)


def _extent(mask: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns that hold a mask, 2 px more around; None where it is empty."""
    box = Image.fromarray(mask).getbbox()
    if box is None:
        return None
    left, top, right, bottom = box
    rows = slice(max(0, top - 2), min(mask.shape[0], bottom + 2))
    return rows, slice(max(0, left - 2), min(mask.shape[1], right + 2))


def smooth_step(x: Tensor, low: float, high: float) -> Tensor:
    """0 up to `low`, 1 from `high` on, smooth in between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def soften(mask: np.ndarray) -> Tensor:
    """`(H, W)` bool -> float32 in [0, 1] whose edge is 3 pixels wide instead of none."""
    hard = torch.from_numpy(mask).float()[None, None]
    return F.avg_pool2d(hard, 3, 1, 1, count_include_pad=False)[0, 0]


def enlarge(fields: Tensor, *, step: int, size: tuple[int, int]) -> Tensor:
    """Bring `(C, h, w)` maps known at every `step`-th pixel to all `(C, H, W)` pixels, bilinear."""
    known = [(side - 1) * step + 1 for side in image_size(fields)]
    fine = F.interpolate(fields[None], size=known, mode="bilinear", align_corners=True)
    return fine[0, :, : size[0], : size[1]]


def sample_picture(
    picture: Tensor, places: Tensor, *, mode: str = "bicubic", padding_mode: str = "border"
) -> Tensor:
    """Colours of a picture between its pixels; outside, its border goes on.

    Args:
        picture: `(C, H, W)` float32. places: `(2, h, w)` xy pixels of the picture.
        mode, padding_mode: as of `grid_sample`.

    Returns:
        `(C, h, w)` float32; bicubic, may overshoot the picture's range a little.
    """
    h, w = image_size(picture)
    grid = (places.permute(1, 2, 0) * 2 + 1) / places.new_tensor([w, h]) - 1
    return F.grid_sample(
        picture[None], grid[None], mode=mode, padding_mode=padding_mode, align_corners=False
    )[0]
