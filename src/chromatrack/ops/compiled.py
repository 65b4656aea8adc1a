"""Loops compiled for the machine, where tensor operations on the CPU go through memory too often.

Each has a twin of tensor operations, for other devices and for a Python without the compiler; tests
hold them equal. What they give lies in memory of torch, whose start is a multiple of 64: what a
matrix product rounds depends on where its factors begin, and runs are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.kept_loops import KeptLoop, calling


@cache
def has_compiler() -> bool:
    """Whether numba is there; for the newest Python it may not be yet."""
    return find_spec("numba") is not None


@cache
def compiled(
    function: Callable[..., None], *, prepare: Callable[[], None] | None = None
) -> Callable[..., None]:
    """A function of arrays, compiled at its first call and kept on disk; it runs beside Python.

    prepare: what the compiler must be told before.
    """
    return KeptLoop(function, prepare)


def can_compile(*tensors: Tensor) -> bool:
    """Whether compiled loops can work on these; what is traced must be operations of tensors."""
    return (
        has_compiler()
        and not torch.compiler.is_compiling()
        and all(
            x.device.type == "cpu" and x.dtype == torch.float32 and not x.requires_grad
            for x in tensors
        )
    )


def _array(x: Tensor) -> np.ndarray:
    return x.contiguous().numpy()


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Mean over the window around each place, inside the picture: `(C, h, w)` -> same."""
    if not can_compile(x):
        return F.avg_pool2d(x[None], 2 * radius + 1, 1, radius, count_include_pad=False)[0]
    out = torch.empty(x.shape)
    compiled(_box_mean)(_array(x), radius, out.numpy())
    return out


def coarse_image(image: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Means `(C, h, w)` of side x side pixels, and the spread `(1, h, w)` of their grey.

    Of `(C, H, W)`; what is left over at the edges counts as it is.
    """
    if not can_compile(image):
        return _coarse_image_by_tensors(image, side)
    h, w = (-(-n // side) for n in image.shape[1:])
    means, spread = torch.empty(len(image), h, w), torch.empty(1, h, w)
    compiled(_coarse_image)(_array(image), side, means.numpy(), spread.numpy())
    return means, spread


def _coarse_image_by_tensors(image: Tensor, side: int) -> tuple[Tensor, Tensor]:
    grey = image.mean(0, keepdim=True)
    parts = torch.cat([image, grey, grey * grey])[None]
    means = F.avg_pool2d(parts, side, ceil_mode=True, count_include_pad=False)[0]
    variance = means[-1:] - means[-2:-1] ** 2
    return means[:-2], variance.clamp(min=0).sqrt()


def window_max(x: Tensor, radius: int) -> Tensor:
    """Largest value in the window around each place: `(C, h, w)` -> same."""
    if radius > 0 and x.numel() and can_compile(x):
        out = torch.empty(x.shape)
        compiled(_window_max)(_array(x), radius, out.numpy())
        return out
    return _window_max_by_tensors(x, radius)


def _window_max(x: np.ndarray, radius: int, out: np.ndarray) -> None:
    """Runs of 1, 2, 4, ... places first; two of the longest that fit make a window."""
    channels, height, width = x.shape
    side, least = 2 * radius + 1, np.float32(-np.inf)
    run = 1
    while 2 * run <= side:
        run *= 2
    line = np.empty(width + side - 1, np.float32)
    tall = np.empty((height + side - 1, width), np.float32)
    for c in range(channels):
        for y in range(height):
            for i in range(radius):
                line[i] = line[radius + width + i] = least
            for i in range(width):
                line[radius + i] = x[c, y, i]
            step = 1
            while step < run:
                for i in range(len(line) - step):
                    line[i] = max(line[i], line[i + step])
                step *= 2
            for i in range(width):
                tall[radius + y, i] = max(line[i], line[i + side - run])
        for y in range(radius):
            for i in range(width):
                tall[y, i] = tall[radius + height + y, i] = least
        step = 1
        while step < run:
            for y in range(len(tall) - step):
                for i in range(width):
                    tall[y, i] = max(tall[y, i], tall[y + step, i])
            step *= 2
        for y in range(height):
            for i in range(width):
                out[c, y, i] = max(tall[y, i], tall[y + side - run, i])


def _window_max_by_tensors(x: Tensor, radius: int) -> Tensor:
    wide = F.max_pool2d(x, (1, 2 * radius + 1), 1, (0, radius))
    return F.max_pool2d(wide, (2 * radius + 1, 1), 1, (radius, 0))


def unit_cells(x: Tensor) -> Tensor:
    """Every cell's features at length 1, or 0 where they are 0: `(..., C, h, w)` -> same."""
    if x.numel() == 0 or not can_compile(x):
        return F.normalize(x, dim=-3)
    features = _array(x)
    out = torch.empty(x.shape)
    *_, channels, height, width = features.shape
    shape = (-1, channels, height * width)
    compiled(_unit_cells)(features.reshape(shape), out.numpy().reshape(shape))
    return out


def _unit_cells(x: np.ndarray, out: np.ndarray) -> None:
    batch, channels, cells = x.shape
    scale = np.empty(cells, np.float32)
    for b in range(batch):
        for i in range(cells):
            scale[i] = 0
        for c in range(channels):
            for i in range(cells):
                scale[i] += x[b, c, i] * x[b, c, i]
        for i in range(cells):
            scale[i] = np.float32(1) / max(np.sqrt(scale[i]), np.float32(1e-12))
        for c in range(channels):
            for i in range(cells):
                out[b, c, i] = x[b, c, i] * scale[i]


def strongest(label_map: Tensor) -> Tensor:
    """Which of the labels is largest, the first of equals: `(L, H, W)` -> `(H, W)` int32."""
    if not label_map.numel() or not can_compile(label_map):
        return label_map.argmax(0).to(torch.int32)
    out = torch.empty(label_map.shape[1:], dtype=torch.int32)
    compiled(_strongest)(_array(label_map), out.numpy())
    return out


def _strongest(labels: np.ndarray, out: np.ndarray) -> None:
    count, height, width = labels.shape
    best = np.empty(width, np.float32)
    for y in range(height):
        for x in range(width):
            best[x] = labels[0, y, x]
            out[y, x] = 0
        for label in range(1, count):
            for x in range(width):
                better = labels[label, y, x] > best[x]
                out[y, x] = label if better else out[y, x]
                best[x] = labels[label, y, x] if better else best[x]


def thumbnail(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Means over the picture cut into `size` parts, which overlap by a pixel where they must.

    `(C, H, W)` -> `(C, *size)`.
    """
    if not can_compile(image):
        return F.adaptive_avg_pool2d(image[None], size)[0]
    out = torch.empty(len(image), *size)
    compiled(_thumbnail)(image.numpy(), out.numpy())
    return out


def _thumbnail(image: np.ndarray, out: np.ndarray) -> None:
    channels, height, width = image.shape
    _, rows, columns = out.shape
    line = np.empty(width, np.float32)
    for y in range(rows):
        first, stop = y * height // rows, -(-(y + 1) * height // rows)
        for c in range(channels):
            for i in range(width):
                line[i] = 0
            for row in range(first, stop):
                for i in range(width):
                    line[i] += image[c, row, i]
            for x in range(columns):
                left, right = x * width // columns, -(-(x + 1) * width // columns)
                total = np.float32(0)
                for i in range(left, right):
                    total += line[i]
                out[c, y, x] = total / np.float32((stop - first) * (right - left))


def largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of every row `(n, m)`, falling, and where they are: both `(n, k)`.

    Rows much longer than k are searched several times faster than by `topk`.
    """
    if not can_compile(scores) or k > scores.shape[1]:
        found = scores.topk(k, dim=1)
        return found.values, found.indices
    values, index = torch.empty(len(scores), k), torch.empty(len(scores), k, dtype=torch.int64)
    compiled(_largest)(_array(scores), values.numpy(), index.numpy())
    return values, index


def _largest(scores: np.ndarray, values: np.ndarray, index: np.ndarray) -> None:
    rows, columns = scores.shape
    k, side = values.shape[1], 64
    for row in range(rows):
        best, place, held = values[row], index[row], 0
        for start in range(0, columns, side):
            part = scores[row, start : start + side]
            if held == k:
                most = part[0]
                for i in range(len(part)):
                    most = max(most, part[i])
                if not most > best[k - 1]:
                    continue
            for i in range(len(part)):
                if held == k and not part[i] > best[k - 1]:
                    continue
                at = held if held < k else k - 1
                while at > 0 and best[at - 1] < part[i]:
                    best[at], place[at] = best[at - 1], place[at - 1]
                    at -= 1
                best[at], place[at] = part[i], start + i
                held = min(held + 1, k)


NEAREST = 3


def mean_of_largest(scores: Tensor) -> Tensor:
    """Mean of the NEAREST largest of each column, or of all where there are fewer: `(m, n)`.

    -> `(n,)`. No score is below -2.
    """
    if len(scores) < NEAREST or not can_compile(scores):
        return scores.topk(min(NEAREST, len(scores)), dim=0).values.mean(0)
    out = torch.empty(scores.shape[1])
    compiled(_mean_of_largest)(_array(scores), out.numpy())
    return out


def _mean_of_largest(scores: np.ndarray, out: np.ndarray) -> None:
    rows, columns = scores.shape
    first, second, third = (
        np.empty(columns, np.float32),
        np.empty(columns, np.float32),
        np.empty(columns, np.float32),
    )
    for i in range(columns):
        first[i] = second[i] = third[i] = np.float32(-2)
    for row in range(rows):
        for i in range(columns):
            value = scores[row, i]
            less = min(first[i], value)
            first[i] = max(first[i], value)
            least = min(second[i], less)
            second[i] = max(second[i], less)
            third[i] = max(third[i], least)
    for i in range(columns):
        out[i] = (first[i] + second[i] + third[i]) / np.float32(3)


def _box_mean(x: np.ndarray, radius: int, out: np.ndarray) -> None:
    channels, height, width = x.shape
    line = np.empty(width + 2 * radius, np.float32)
    share = np.empty(width, np.float32)
    for i in range(radius):
        line[i] = line[radius + width + i] = 0
    for i in range(width):
        share[i] = 1 / (min(width - 1, i + radius) - max(0, i - radius) + 1)
    for c in range(channels):
        for y in range(height):
            first, last = max(0, y - radius), min(height - 1, y + radius)
            inner, there = line[radius : radius + width], x[c, first]
            for i in range(width):
                inner[i] = there[i]
            for row in range(first + 1, last + 1):
                there = x[c, row]
                for i in range(width):
                    inner[i] += there[i]
            result = out[c, y]
            for i in range(width):
                result[i] = line[i]
            for step in range(1, 2 * radius + 1):
                there = line[step : step + width]
                for i in range(width):
                    result[i] += there[i]
            rows = np.float32(1 / (last - first + 1))
            for i in range(width):
                result[i] *= share[i] * rows


def _coarse_image(image: np.ndarray, side: int, means: np.ndarray, spread: np.ndarray) -> None:
    channels, height, width = image.shape
    lines = np.empty((channels + 1, width), np.float32)
    grey = np.empty(width, np.float32)
    for y in range(means.shape[1]):
        first, stop = y * side, min(height, y * side + side)
        for c in range(channels + 1):
            for i in range(width):
                lines[c, i] = 0
        for row in range(first, stop):
            for i in range(width):
                grey[i] = 0
            for c in range(channels):
                for i in range(width):
                    value = image[c, row, i]
                    lines[c, i] += value
                    grey[i] += value
            for i in range(width):
                value = grey[i] / np.float32(channels)
                lines[channels, i] += value * value
        for x in range(means.shape[2]):
            left, right = x * side, min(width, x * side + side)
            share = np.float32(1 / ((stop - first) * (right - left)))
            middle = np.float32(0)
            for c in range(channels):
                total = np.float32(0)
                for i in range(left, right):
                    total += lines[c, i]
                means[c, y, x] = total * share
                middle += means[c, y, x]
            squares = np.float32(0)
            for i in range(left, right):
                squares += lines[channels, i]
            middle /= np.float32(channels)
            spread[0, y, x] = np.sqrt(max(squares * share - middle * middle, np.float32(0)))


def fit_colors(label: Tensor, guide: Tensor, mean: Tensor, inverse: Tensor, radius: int) -> Tensor:
    """A label as a linear function of colour around each place: slopes and level `(4, h, w)`.

    Args:
        label: `(h, w)`. guide: `(3, h, w)`. mean: `(3, h, w)`, of the windows' colours; inverse:
            `(6, h, w)`, of their covariance: xx, xy, xz, yy, yz, zz.
    """
    if not can_compile(label, guide, mean, inverse):
        return _fit_colors_by_tensors(label, guide, mean, inverse, radius)
    out = torch.empty(4, *label.shape)
    told = *map(_array, (label, guide, mean, inverse)), radius, out.numpy()
    compiled(_fit_colors, prepare=_TELL_BOX_MEAN)(*told)
    return out


def _fit_colors_by_tensors(
    label: Tensor, guide: Tensor, mean_guide: Tensor, inverse: Tensor, radius: int
) -> Tensor:
    mean = box_mean(label[None], radius)
    r, g, b = box_mean(guide * label, radius) - mean_guide * mean
    xx, xy, xz, yy, yz, zz = inverse
    slope = torch.stack(
        [xx * r + xy * g + xz * b, xy * r + yy * g + yz * b, xz * r + yz * g + zz * b]
    )
    level = mean - (slope * mean_guide).sum(0, keepdim=True)
    return box_mean(torch.cat([slope, level]), radius)


def _fit_colors(
    label: np.ndarray,
    guide: np.ndarray,
    mean: np.ndarray,
    inverse: np.ndarray,
    radius: int,
    out: np.ndarray,
) -> None:
    height, width = label.shape
    planes = np.empty((4, height, width), np.float32)
    for y in range(height):
        for x in range(width):
            planes[3, y, x] = label[y, x]
        for c in range(3):
            for x in range(width):
                planes[c, y, x] = guide[c, y, x] * label[y, x]
    _box_mean(planes, radius, out)
    for y in range(height):
        for x in range(width):
            middle = out[3, y, x]
            r = out[0, y, x] - mean[0, y, x] * middle
            g = out[1, y, x] - mean[1, y, x] * middle
            b = out[2, y, x] - mean[2, y, x] * middle
            xy, xz, yz = inverse[1, y, x], inverse[2, y, x], inverse[4, y, x]
            red = inverse[0, y, x] * r + xy * g + xz * b
            green = xy * r + inverse[3, y, x] * g + yz * b
            blue = xz * r + yz * g + inverse[5, y, x] * b
            level = middle - red * mean[0, y, x] - green * mean[1, y, x] - blue * mean[2, y, x]
            planes[0, y, x], planes[1, y, x], planes[2, y, x] = red, green, blue
            planes[3, y, x] = level
    _box_mean(planes, radius, out)


_TELL_BOX_MEAN = calling(_box_mean)
