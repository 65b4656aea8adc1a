"""The loops of `ops.subpixel` that run over every point, compiled for the machine.

Maps are `(h, w, C)` here: what lies at a place is side by side. Outside, the border's value is
taken. Numbers of places are float32, as those of the tensor operations beside them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from chromatrack.ops.compiled import compiled

_FEW = 4  # channels up to which the places of a patch are looked at side by side instead
_STILL = np.float32(1e-3)  # a slide whose step is shorter has come to its end


def read_between(maps: np.ndarray, xy: Tensor) -> Tensor:
    """Bilinear values at `(P, 2)` positions: `(P, C)`."""
    places = xy.contiguous().numpy()
    out = torch.empty(len(places), maps.shape[2])
    compiled(_read_between)(maps, places, out.numpy())
    return out


def _read_between(maps: np.ndarray, places: np.ndarray, out: np.ndarray) -> None:
    height, width, channels = maps.shape
    for n in range(len(places)):
        x = min(max(places[n, 0], np.float32(0)), np.float32(width - 1))
        y = min(max(places[n, 1], np.float32(0)), np.float32(height - 1))
        left = min(max(int(x), 0), width - 1)  # also where there is no number
        top = min(max(int(y), 0), height - 1)
        right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
        x -= np.float32(left)
        y -= np.float32(top)
        a, b = (1 - x) * (1 - y), x * (1 - y)
        c, d = (1 - x) * y, x * y
        for i in range(channels):
            upper = a * maps[top, left, i] + b * maps[top, right, i]
            out[n, i] = upper + c * maps[bottom, left, i] + d * maps[bottom, right, i]


def score_steps(
    maps: np.ndarray, templates: Tensor, xy: Tensor, offsets: Tensor, tries: Tensor
) -> Tensor:
    """Mean cosine of each template with the patch at every step: `(T, P, G)`.

    templates: `(T, P, K, C)`, unit length. xy: `(P, 2)`. offsets: `(K, 2)`. tries: `(G, 2)`.
    """
    out = torch.empty(*templates.shape[:2], len(tries))
    arrays = (x.contiguous().numpy() for x in (templates, xy, offsets, tries))
    compiled(_score_steps)(maps, *arrays, out.numpy())
    return out


def _score_steps(
    maps: np.ndarray,
    templates: np.ndarray,
    places: np.ndarray,
    offsets: np.ndarray,
    tries: np.ndarray,
    out: np.ndarray,
) -> None:
    height, width, channels = maps.shape
    count, points, size, _ = templates.shape
    found = np.empty(channels, np.float32)
    for p in range(points):
        for g in range(len(tries)):
            for t in range(count):
                out[t, p, g] = 0
            for k in range(size):
                x = places[p, 0] + tries[g, 0] + offsets[k, 0]
                y = places[p, 1] + tries[g, 1] + offsets[k, 1]
                x = min(max(x, np.float32(0)), np.float32(width - 1))
                y = min(max(y, np.float32(0)), np.float32(height - 1))
                left = min(max(int(x), 0), width - 1)
                top = min(max(int(y), 0), height - 1)
                right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
                x -= np.float32(left)
                y -= np.float32(top)
                a, b = (1 - x) * (1 - y), x * (1 - y)
                c, d = (1 - x) * y, x * y
                length = np.float32(0)
                for i in range(channels):
                    upper = a * maps[top, left, i] + b * maps[top, right, i]
                    value = upper + c * maps[bottom, left, i] + d * maps[bottom, right, i]
                    found[i] = value
                    length += value * value
                share = np.float32(1) / max(np.sqrt(length), np.float32(1e-8))
                for t in range(count):
                    like = np.float32(0)
                    for i in range(channels):
                        like += found[i] * templates[t, p, k, i]
                    out[t, p, g] += like * share
            for t in range(count):
                out[t, p, g] /= np.float32(size)


def slid(
    maps: np.ndarray, templates: Tensor, xy: Tensor, offsets: Tensor, *, steps: int, reach: float
) -> Tensor:
    """Where `subpixel.slide` comes to after its steps, however far that is: `(P, 2)`."""
    out = torch.empty(len(xy), 2)
    most = np.float32(reach / 2)
    if maps.shape[2] <= _FEW:
        planes = np.ascontiguousarray(maps.transpose(2, 0, 1))
        turned = templates.transpose(1, 2).contiguous().numpy()
        arrays = (xy.contiguous().numpy(), offsets.T.contiguous().numpy())
        compiled(_slid_in_planes)(planes, turned, *arrays, steps, most, out.numpy())
        return out
    arrays = (x.contiguous().numpy() for x in (templates, xy, offsets))
    compiled(_slid)(maps, *arrays, steps, most, out.numpy())
    return out


def _slid(
    maps: np.ndarray,
    templates: np.ndarray,
    places: np.ndarray,
    offsets: np.ndarray,
    steps: int,
    most: np.float32,
    out: np.ndarray,
) -> None:
    height, width, channels = maps.shape
    points, size, _ = templates.shape
    half, wide = np.float32(0.5), np.float32(size)
    target = np.empty((size, channels), np.float32)
    across = np.empty((size, channels), np.float32)
    down = np.empty((size, channels), np.float32)
    left_over = np.empty((size, channels), np.float32)
    sums = np.empty((4, channels), np.float32)
    for p in range(points):
        sums[0] = 0
        for k in range(size):
            for i in range(channels):
                sums[0, i] += templates[p, k, i]
        for k in range(size):
            for i in range(channels):
                target[k, i] = templates[p, k, i] - sums[0, i] / wide
        at_x, at_y = places[p, 0], places[p, 1]
        for _ in range(steps):
            sums[:] = 0
            for k in range(size):
                for part in range(5):
                    x, y = at_x + offsets[k, 0], at_y + offsets[k, 1]
                    if part == 1:
                        x += half
                    elif part == 2:
                        x -= half
                    elif part == 3:
                        y += half
                    elif part == 4:
                        y -= half
                    x = min(max(x, np.float32(0)), np.float32(width - 1))
                    y = min(max(y, np.float32(0)), np.float32(height - 1))
                    left = min(max(int(x), 0), width - 1)
                    top = min(max(int(y), 0), height - 1)
                    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
                    x -= np.float32(left)
                    y -= np.float32(top)
                    a, b = (1 - x) * (1 - y), x * (1 - y)
                    c, d = (1 - x) * y, x * y
                    into = left_over if part == 0 else across if part < 3 else down
                    first = part == 0 or part == 1 or part == 3
                    for i in range(channels):
                        upper = a * maps[top, left, i] + b * maps[top, right, i]
                        value = upper + c * maps[bottom, left, i] + d * maps[bottom, right, i]
                        if first:
                            into[k, i] = value
                        else:
                            into[k, i] -= value
                for i in range(channels):
                    sums[0, i] += across[k, i]
                    sums[1, i] += down[k, i]
                    sums[2, i] += left_over[k, i]
            for i in range(channels):
                for j in range(3):
                    sums[j, i] /= wide
            xx = xy = yy = rx = ry = np.float32(0)
            for k in range(size):
                for i in range(channels):
                    sx, sy = across[k, i] - sums[0, i], down[k, i] - sums[1, i]
                    rest = target[k, i] - (left_over[k, i] - sums[2, i])
                    xx += sx * sx
                    xy += sx * sy
                    yy += sy * sy
                    rx += sx * rest
                    ry += sy * rest
            damp = 5e-4 * (float(xx) + float(yy)) + 1e-9
            m, n, o = float(xx) + damp, float(xy), float(yy) + damp
            area = m * o - n * n
            x = np.float32((o * float(rx) - n * float(ry)) / area)
            y = np.float32((m * float(ry) - n * float(rx)) / area)
            at_x += min(max(x, -most), most)
            at_y += min(max(y, -most), most)
            if abs(x) < _STILL and abs(y) < _STILL:
                break
        out[p, 0], out[p, 1] = at_x, at_y


def _slid_in_planes(
    maps: np.ndarray,
    templates: np.ndarray,
    places: np.ndarray,
    offsets: np.ndarray,
    steps: int,
    most: np.float32,
    out: np.ndarray,
) -> None:
    """`_slid` of maps `(C, h, w)` of few channels; templates `(P, C, K)`, offsets `(2, K)`."""
    channels, height, width = maps.shape
    size = templates.shape[2]
    half, wide = np.float32(0.5), np.float32(size)
    target = np.empty((channels, size), np.float32)
    seen = np.empty((5, channels, size), np.float32)
    near = np.empty((4, size), np.int32)
    share = np.empty((4, size), np.float32)
    for p in range(len(templates)):
        for i in range(channels):
            mean = np.float32(0)
            for k in range(size):
                mean += templates[p, i, k]
            mean /= wide
            for k in range(size):
                target[i, k] = templates[p, i, k] - mean
        at_x, at_y = places[p, 0], places[p, 1]
        for _ in range(steps):
            for part in range(5):
                middle_x = at_x + (half if part == 1 else -half if part == 2 else np.float32(0))
                middle_y = at_y + (half if part == 3 else -half if part == 4 else np.float32(0))
                for k in range(size):
                    x = min(max(middle_x + offsets[0, k], np.float32(0)), np.float32(width - 1))
                    y = min(max(middle_y + offsets[1, k], np.float32(0)), np.float32(height - 1))
                    left = min(max(np.int32(x), np.int32(0)), np.int32(width - 1))
                    top = min(max(np.int32(y), np.int32(0)), np.int32(height - 1))
                    right = min(left + np.int32(1), np.int32(width - 1))
                    bottom = min(top + np.int32(1), np.int32(height - 1))
                    x -= np.float32(left)
                    y -= np.float32(top)
                    near[0, k], near[1, k] = top * width + left, top * width + right
                    near[2, k], near[3, k] = bottom * width + left, bottom * width + right
                    share[0, k], share[1, k] = (1 - x) * (1 - y), x * (1 - y)
                    share[2, k], share[3, k] = (1 - x) * y, x * y
                for i in range(channels):
                    plane, values = maps[i].reshape(height * width), seen[part, i]
                    for k in range(size):
                        upper = share[0, k] * plane[near[0, k]] + share[1, k] * plane[near[1, k]]
                        lower = share[2, k] * plane[near[2, k]] + share[3, k] * plane[near[3, k]]
                        values[k] = upper + lower
            xx = xy = yy = rx = ry = np.float32(0)
            for i in range(channels):
                now, left_over = np.float32(0), target[i]
                across = down = np.float32(0)
                for k in range(size):
                    now += seen[0, i, k]
                    across += seen[1, i, k] - seen[2, i, k]
                    down += seen[3, i, k] - seen[4, i, k]
                now /= wide
                across /= wide
                down /= wide
                for k in range(size):
                    sx = seen[1, i, k] - seen[2, i, k] - across
                    sy = seen[3, i, k] - seen[4, i, k] - down
                    rest = left_over[k] - (seen[0, i, k] - now)
                    xx += sx * sx
                    xy += sx * sy
                    yy += sy * sy
                    rx += sx * rest
                    ry += sy * rest
            damp = 5e-4 * (float(xx) + float(yy)) + 1e-9
            m, n, o = float(xx) + damp, float(xy), float(yy) + damp
            area = m * o - n * n
            x = np.float32((o * float(rx) - n * float(ry)) / area)
            y = np.float32((m * float(ry) - n * float(rx)) / area)
            at_x += min(max(x, -most), most)
            at_y += min(max(y, -most), most)
            if abs(x) < _STILL and abs(y) < _STILL:
                break
        out[p, 0], out[p, 1] = at_x, at_y


def fitted_cells(maps: np.ndarray, cells: Tensor, near: Tensor, *, reach: int) -> Tensor:
    """Where 3 x 3 cells `(P, 9, C)` fit best, within `reach` of whole places `(P, 2)`: `(P, 2)`."""
    out = torch.empty(len(near), 2)
    arrays = (x.contiguous().numpy() for x in (cells, near))
    compiled(_fitted_cells)(maps, *arrays, reach, out.numpy())
    return out


def _fitted_cells(
    maps: np.ndarray, cells: np.ndarray, near: np.ndarray, reach: int, out: np.ndarray
) -> None:
    height, width, channels = maps.shape
    side = 2 * reach + 3
    like = np.empty((side, side, 9), np.float32)
    turned = np.empty((9, channels), np.float32)
    for p in range(len(near)):
        for k in range(9):
            for i in range(channels):
                turned[k, i] = cells[p, k, i]
        middle_x, middle_y = int(near[p, 0]), int(near[p, 1])
        for y in range(side):
            row = min(max(middle_y + y - reach - 1, 0), height - 1)
            for x in range(side):
                column = min(max(middle_x + x - reach - 1, 0), width - 1)
                for three in range(3):
                    a = b = c = np.float32(0)
                    for i in range(channels):
                        value = maps[row, column, i]
                        a += value * turned[3 * three, i]
                        b += value * turned[3 * three + 1, i]
                        c += value * turned[3 * three + 2, i]
                    like[y, x, 3 * three] = a
                    like[y, x, 3 * three + 1] = b
                    like[y, x, 3 * three + 2] = c
        best, found_x, found_y = np.float32(-1e30), -reach, -reach
        for y in range(side - 2):
            row = middle_y + y - reach
            if row < 0 or row >= height:
                continue
            for x in range(side - 2):
                column = middle_x + x - reach
                if column < 0 or column >= width:
                    continue
                total = np.float32(0)
                for k in range(9):
                    total += like[y + k // 3, x + k % 3, k]
                if total > best:
                    best, found_x, found_y = total, x - reach, y - reach
        out[p, 0], out[p, 1] = middle_x + found_x, middle_y + found_y


def places_of_bumps(label_maps: Tensor, *, reach: int) -> tuple[Tensor, Tensor]:
    """As `point_labels.centres` of `(P, h, w)`: `(P, 2)` xy in cells, and `(P,)` largest values."""
    xy, largest = torch.empty(len(label_maps), 2), torch.empty(len(label_maps))
    compiled(_places_of_bumps)(label_maps.contiguous().numpy(), reach, xy.numpy(), largest.numpy())
    return xy, largest


def _places_of_bumps(maps: np.ndarray, reach: int, xy: np.ndarray, largest: np.ndarray) -> None:
    """Rows are looked at whole; the highest 3 x 3 cells are sought in the row that has them."""
    points, height, width = maps.shape
    three = np.zeros(width + 2, np.float32)
    for p in range(points):
        most, best, row = np.float32(-np.inf), np.float32(-np.inf), 0
        for y in range(height):
            here = maps[p, y]
            for x in range(width):
                most = max(most, here[x])
        largest[p] = most
        if most <= 0:
            xy[p] = 0
            continue
        column = 0
        for y in range(height):
            above, here, below = maps[p, max(y - 1, 0)], maps[p, y], maps[p, min(y + 1, height - 1)]
            first, last = np.float32(y > 0), np.float32(y < height - 1)
            for x in range(width):
                three[x + 1] = first * above[x] + here[x] + last * below[x]
            highest = np.float32(-np.inf)
            for x in range(width):
                highest = max(highest, three[x] + three[x + 1] + three[x + 2])
            if highest > best:
                best, row = highest, y
        y = row
        above, here, below = maps[p, max(y - 1, 0)], maps[p, y], maps[p, min(y + 1, height - 1)]
        first, last = np.float32(y > 0), np.float32(y < height - 1)
        for x in range(width):
            three[x + 1] = first * above[x] + here[x] + last * below[x]
        highest = np.float32(-np.inf)
        for x in range(width):
            value = three[x] + three[x + 1] + three[x + 2]
            if value > highest:
                highest, column = value, x
        total = at_x = at_y = np.float32(0)
        for y in range(max(0, row - reach), min(height, row + reach + 1)):
            for x in range(max(0, column - reach), min(width, column + reach + 1)):
                value = maps[p, y, x]
                total += value
                at_x += value * np.float32(x)
                at_y += value * np.float32(y)
        total = max(total, np.float32(1e-9))
        xy[p, 0], xy[p, 1] = at_x / total, at_y / total
