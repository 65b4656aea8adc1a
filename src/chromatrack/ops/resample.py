"""Pixels <-> cells, and one size of image to another; edges that follow the image.

The only file but `video/reader.py` that turns axes: frames are `(H, W, 3)`, tensors `(3, H, W)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.compiled import box_mean, coarse_image, fit_colors
from chromatrack.ops.coords import FeatureSpec, cell_count, image_size, pixel_to_cell
from chromatrack.ops.kept import kept


def planes(rgb: np.ndarray) -> Tensor:
    """`(H, W, 3)` uint8 frame -> `(3, H, W)` uint8 view of the same memory."""
    return torch.from_numpy(rgb).permute(2, 0, 1)


def interleaved_deep(image: Tensor) -> np.ndarray:
    """`(3, H, W)` float in [0, 1] -> `(H, W, 3)` uint16, rounded."""
    levels = (image.double() * 65535).round().to(torch.int32)
    return levels.permute(1, 2, 0).contiguous().cpu().numpy().astype(np.uint16)


def interleaved(image: Tensor) -> np.ndarray:
    """`(3, H, W)` float in [0, 1] -> `(H, W, 3)` uint8 frame, rounded."""
    return (image * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()


def to_cells(image: Tensor, spec: FeatureSpec) -> Tensor:
    """Average of the pixels around each cell's position.

    The window is the smallest of at least `stride` pixels that is centred on the cell exactly:
    stride + 1 wide when cells sit on pixel centres (offset 0), stride wide when between two.

    Args:
        image: `(B, C, H, W)` float.

    Returns:
        `(B, C, h, w)`; pixels outside the image do not count.
    """
    h, w = cell_count(image_size(image), stride=spec.stride)
    between = round(2 * spec.offset) % 2 == 1
    window = spec.stride + (between == bool(spec.stride % 2))
    before = (window - 1) / 2 - spec.offset
    left = round(before)
    right_y = (h - 1) * spec.stride - left + window - image.shape[-2]
    right_x = (w - 1) * spec.stride - left + window - image.shape[-1]
    pad = (left, right_x, left, right_y)
    total = F.avg_pool2d(F.pad(image, pad), window, spec.stride, divisor_override=1)
    ones = F.pad(image.new_ones(1, 1, *image.shape[-2:]), pad)
    return total / F.avg_pool2d(ones, window, spec.stride, divisor_override=1)


def resize(image: Tensor, size: Sequence[int]) -> Tensor:
    """`(C, H, W)` float -> `(C, *size)`, bilinear with anti-aliasing; the same tensor if equal."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    shrinks = any(new < old for new, old in zip(size, image.shape[-2:], strict=True))
    return F.interpolate(image[None], size=list(size), mode="bilinear", antialias=shrinks)[0]


def upsample(label_map: Tensor, *, size: tuple[int, int], spec: FeatureSpec) -> Tensor:
    """Bilinear `(L, h, w)` -> `(L, H, W)`, each cell at its own pixel position (spec)."""
    h, w = label_map.shape[-2:]
    rows, columns = (_kept_linear(label_map, *n, spec) for n in ((h, size[0]), (w, size[1])))
    return rows @ label_map @ columns.T


def _linear(cells: int, pixels: int, spec: FeatureSpec) -> Tensor:
    """Weights `(pixels, cells)` of linear interpolation along an axis; the ends are repeated."""
    places = torch.arange(pixels, dtype=torch.float32)
    at = pixel_to_cell(places, stride=spec.stride, offset=spec.offset).clamp(0, cells - 1)
    return (1 - (at[:, None] - torch.arange(cells)).abs()).clamp(min=0)


_kept_linear = kept(_linear)


COARSE = 4
"""Pixels per step of the guided filter's statistics, and of the mask decoder's grid."""
_RADIUS = 2  # of its windows, in such steps
_SMOOTHNESS = 1e-4  # variance of colour, in [0, 1], below which the image has no say


def _inverse_3x3(m: Sequence[Tensor]) -> list[Tensor]:
    """Inverse of symmetric 3x3 matrices given as (xx, xy, xz, yy, yz, zz) planes, in that order."""
    xx, xy, xz, yy, yz, zz = m
    a, b, c = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
    determinant = xx * a + xy * b + xz * c
    rest = [xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy]
    return [x / determinant for x in (a, b, c, *rest)]


def upsample_guided(
    label_map: Tensor, image: Tensor, *, spec: FeatureSpec, background: bool = False
) -> Tensor:
    """Bring a label map to the image's size, its edges following the image's.

    Source: fast guided filter (He and Sun 2015): in every small window the label is a linear
    function of the pixel's colour; the coefficients are found on a 4 times smaller image.

    Args:
        label_map: `(L, h, w)` float.
        image: `(3, H, W)` float32 sRGB in [0, 1], or `(1, H, W)` of a grey one.
        background: channel 0 is background, 1 minus the others, and is not filtered itself.

    Returns:
        `(L, H, W)` float32; within each label's own range.
    """
    labels = label_map[1:] if background else label_map
    low = _coarse(upsample(labels, size=image_size(image), spec=spec))
    dense = _guided(low, image, [(float(cells.min()), float(cells.max())) for cells in labels])
    if not background:
        return dense
    return torch.cat([(1 - dense.sum(0, keepdim=True)).clamp(min=0), dense])


def guided(labels: Tensor, image: Tensor) -> Tensor:
    """Labels of the image's size, their edges following the image's; as `upsample_guided`.

    Args:
        labels: `(L, H, W)` float. image: `(3, H, W)` float32 sRGB in [0, 1].

    Returns:
        `(L, H, W)` float32; within each label's own range.
    """
    limits = [(float(label.min()), float(label.max())) for label in labels]
    return _guided(_coarse(labels), image, limits)


def _guided(low: Tensor, image: Tensor, limits: Sequence[tuple[float, float]]) -> Tensor:
    """Labels by COARSE x COARSE pixels, brought to the image's size and edges, within limits."""
    size = image_size(image)
    guide = _coarse(image)
    mean_guide, inverse = _guide_statistics(guide)
    dense = image.new_zeros(len(low), *size)
    for limit, label, out in zip(limits, low, dense, strict=True):
        rows, columns = _extent(label, margin=2 * _RADIUS + 2)
        fine_rows = slice(rows.start * COARSE, min(rows.stop * COARSE, size[0]))
        fine_columns = slice(columns.start * COARSE, min(columns.stop * COARSE, size[1]))
        if rows.stop > rows.start:
            value = _filter_label(
                label[rows, columns],
                guide[:, rows, columns],
                mean_guide[:, rows, columns],
                inverse[:, rows, columns],
                image[:, fine_rows, fine_columns],
            )
            out[fine_rows, fine_columns] = value.clamp_(*limit)
    return dense


def _coarse(image: Tensor) -> Tensor:
    """Averages of COARSE x COARSE pixels: `(C, H, W)` -> `(C, ceil(H / 4), ceil(W / 4))`."""
    return F.avg_pool2d(image[None], COARSE, ceil_mode=True, count_include_pad=False)[0]


@dataclass(frozen=True)
class CoarseImage:
    """A picture by COARSE x COARSE pixels, with what the guided filter needs of it.

    rgb: `(3, h, w)` means of the pixels. spread: `(1, h, w)` standard deviation of their grey.
    whole: the picture that this is a part of, and its rows and columns there, if what is made of
    its colours is to be taken from there: made once for many parts.
    """

    rgb: Tensor
    spread: Tensor
    whole: tuple[CoarseImage, Sequence[slice]] | None = None

    @classmethod
    def of(cls, image: Tensor) -> CoarseImage:
        """Of `(3, H, W)` float32 in [0, 1]."""
        return cls(*coarse_image(image, COARSE))

    def part(self, steps: Sequence[slice], *, of_many: bool = False) -> CoarseImage:
        """Rows and columns of it, as a picture of its own.

        of_many: windows of the filter see beyond the part, so that they are looked at once for all
        parts; labels that are the same up to its edge and beyond are filtered alike.
        """
        whole = (self, steps) if of_many else None
        return CoarseImage(self.rgb[:, *steps], self.spread[:, *steps], whole)

    @cached_property
    def lab(self) -> Tensor:
        """`(3, h, w)` Lab of the means."""
        if self.whole is None:
            return rgb_to_lab(self.rgb[None])[0]
        picture, steps = self.whole
        return picture.lab[:, *steps]

    @cached_property
    def _statistics(self) -> tuple[Tensor, Tensor]:
        if self.whole is None:
            return _guide_statistics(self.rgb)
        picture, steps = self.whole
        mean, inverse = picture._statistics
        return mean[:, *steps], inverse[:, *steps]

    def filtered(self, labels: Tensor) -> Tensor:
        """Labels of this grid, their edges following the picture's: `(L, h, w)` -> same."""
        mean, inverse = self._statistics
        found = []
        for label in labels:
            smooth = _fitted(label, self.rgb, mean, inverse)
            value = (smooth[:3] * self.rgb).sum(0) + smooth[3]
            found.append(value.clamp(float(label.min()), float(label.max())))
        return torch.stack(found)


def to_coarse(label_map: Tensor, *, size: tuple[int, int], spec: FeatureSpec) -> Tensor:
    """Cells `(L, h, w)` -> `(L, ceil(H / 4), ceil(W / 4))`: means of `upsample` to size (H, W)."""
    rows, columns = (
        _kept_to_coarse(label_map, cells, pixels, spec)
        for cells, pixels in zip(label_map.shape[-2:], size, strict=True)
    )
    return rows @ label_map @ columns.T


def _to_coarse(cells: int, pixels: int, spec: FeatureSpec) -> Tensor:
    """Weights `(steps, cells)` along an axis of that many pixels."""
    return _coarse(_linear(cells, pixels, spec).T[:, None])[:, 0].T.contiguous()


_kept_to_coarse = kept(_to_coarse)


def from_coarse(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Labels by COARSE x COARSE pixels `(L, h, w)` -> `(L, H, W)`, bilinear."""
    fine = F.interpolate(labels[None], scale_factor=float(COARSE), mode="bilinear")[0]
    return fine[:, : size[0], : size[1]]


def coarse_to_cells(label: Tensor, *, size: tuple[int, int], spec: FeatureSpec) -> Tensor:
    """A label by COARSE x COARSE pixels of a picture of that size in its cells: `(h, w)`.

    As `to_cells` of `from_coarse`, along one axis after the other.
    """
    rows, columns = (_kept_of_coarse(label, pixels, spec) for pixels in size)
    return rows @ label @ columns.T


def _of_coarse(pixels: int, spec: FeatureSpec) -> Tensor:
    """Weights `(cells, steps)` along an axis of that many pixels."""
    each = torch.eye(-(-pixels // COARSE))[:, None, None, :]  # a picture of one row of each
    fine = F.interpolate(each, size=(1, each.shape[-1] * COARSE), mode="bilinear")[..., :pixels]
    return to_cells(fine, spec)[:, 0, 0].T.contiguous()


_kept_of_coarse = kept(_of_coarse)


def _extent(label: Tensor, *, margin: int) -> tuple[slice, slice]:
    """Rows and columns that hold a label, and `margin` more: beyond them the filter gives 0."""
    slices = []
    for axis in (1, 0):
        held = (label != 0).any(axis).nonzero()
        low, high = (int(held[0]), int(held[-1])) if len(held) else (0, -1 - 2 * margin)
        slices.append(slice(max(0, low - margin), max(0, high + 1 + margin)))
    return slices[0], slices[1]


def _guide_statistics(guide: Tensor) -> tuple[Tensor, Tensor]:
    """Mean colour of every window `(3, h, w)` and inverse of its covariance, six planes.

    Of a grey guide `(1, h, w)` and one plane, for a slope that is the three channels' together.
    """
    if len(guide) == 1:
        mean, spread = box_mean(torch.cat([guide, guide * guide]), _RADIUS).split(1)
        return mean, 1 / (spread - mean * mean + _SMOOTHNESS / 3)
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    mean = box_mean(guide, _RADIUS)
    spread = box_mean(torch.stack([guide[i] * guide[j] for i, j in pairs]), _RADIUS)
    variance = [
        spread[k] - mean[i] * mean[j] + _SMOOTHNESS * (i == j) for k, (i, j) in enumerate(pairs)
    ]
    return mean, torch.stack(_inverse_3x3(variance))


def _filter_label(
    label: Tensor, guide: Tensor, mean_guide: Tensor, inverse: Tensor, image: Tensor
) -> Tensor:
    """One label, fitted to the colours of each window and laid over the image: `(H, W)`."""
    smooth = _fitted(label, guide, mean_guide, inverse)[None]
    fine = F.interpolate(smooth, scale_factor=float(COARSE), mode="bilinear")[0]
    fine = fine[:, : image.shape[-2], : image.shape[-1]]
    value = torch.addcmul(fine[-1], fine[0], image[0])
    for slope, channel in zip(fine[1:-1], image[1:], strict=True):
        value.addcmul_(slope, channel)
    return value


def _fitted(label: Tensor, guide: Tensor, mean_guide: Tensor, inverse: Tensor) -> Tensor:
    """The label as a linear function of colour around each place: slopes and level `(4, h, w)`."""
    if len(guide) > 1:
        return fit_colors(label, guide, mean_guide, inverse, _RADIUS)
    mean = box_mean(label[None], _RADIUS)
    slope = inverse * (box_mean(guide * label, _RADIUS) - mean_guide * mean)
    return box_mean(torch.cat([slope, mean - slope * mean_guide]), _RADIUS)
