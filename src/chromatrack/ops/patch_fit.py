"""Small squares of one picture laid on others, compiled for the machine: fitted, and mixed.

What `tracking.color_detail` does by tensors on other devices; tests hold the two equal. Places are
xy pixels of the pictures given here, outside which the border's value is taken.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from chromatrack.ops.compiled import compiled


def squares(pictures: Tensor, xy: Tensor, number: Tensor, side: int) -> Tensor:
    """Bilinear values `(N, side, side)` of the squares around N places.

    Args:
        pictures: `(R, H, W)` float32. xy: `(2, N)` centres. number: `(N,)` int64 < R, in which.
    """
    out = np.empty((xy.shape[1], side, side), np.float32)
    arrays = [x.contiguous().numpy() for x in (pictures, xy, number)]
    compiled(_squares)(*arrays, out)
    return torch.from_numpy(out)


def best_steps(own: Tensor, seen: Tensor, *, worst: float, stay: float) -> Tensor:
    """By how many steps each square fits better elsewhere: `(2, N)` float32 xy.

    Args:
        own: `(N, side, side)`. seen: `(N, wide, wide)` around the places, wider by as many pixels
            on every side as a place may step. worst: difference above which a pixel says no more.
        stay: what a step costs.
    """
    out = np.empty((2, len(own)), np.float32)
    compiled(_best_steps)(own.numpy(), seen.numpy(), np.float32(worst), np.float32(stay), out)
    return torch.from_numpy(out)


def mixed(
    light: Tensor,
    pictures: Tensor,
    shift: Tensor,
    number: Tensor,
    lends: Tensor,
    rows: tuple[Tensor, Tensor],
    columns: tuple[Tensor, Tensor],
    *,
    beside: int,
    alike: float,
) -> tuple[Tensor, Tensor]:
    """What lies at the places of the cells around each pixel, weighed by how well its L fits.

    Args:
        light: `(H, W)` L. pictures: `(R, 1 + C, H, W)`, L first. shift: `(2, h, w)` xy pixels from
            a pixel of a cell to its place. number: `(h, w)` int64 < R. lends: `(h, w)` float32, 0
            where a cell has no say.
        rows: cell `(3, H)` int64 of every row's neighbours, weight `(3, H)`; columns alike, (3, W).
        beside: pixels around over which the difference of L is averaged. alike: difference at
            which a place has lost 40 % of its say.

    Returns:
        sums `(C, H, W)` of values times their says, and of the says `(1, H, W)`.
    """
    C, H, W = pictures.shape[1:]
    total, says = np.zeros((C - 1, H, W), np.float32), np.zeros((1, H, W), np.float32)
    arrays = [x.contiguous().numpy() for x in (light, pictures, shift, number, lends.float())]
    axes = [x.contiguous().numpy() for x in (*rows, *columns)]
    compiled(_mix)(*arrays, *axes, beside, np.float32(alike), total, says[0])
    return torch.from_numpy(total), torch.from_numpy(says)


def _squares(pictures: np.ndarray, xy: np.ndarray, number: np.ndarray, out: np.ndarray) -> None:
    side, (height, width) = out.shape[1], pictures.shape[1:]
    one, half = np.float32(1), np.float32((side - 1) / 2)
    x0, x1 = np.empty(side, np.int64), np.empty(side, np.int64)
    for n in range(len(out)):
        x, y = xy[0, n] - half, xy[1, n] - half
        left, top = int(np.floor(x)), int(np.floor(y))
        part_x, part_y = x - np.float32(left), y - np.float32(top)
        for i in range(side):
            x0[i] = min(max(left + i, 0), width - 1)
            x1[i] = min(max(left + i + 1, 0), width - 1)
        for j in range(side):
            upper = pictures[number[n], min(max(top + j, 0), height - 1)]
            lower = pictures[number[n], min(max(top + j + 1, 0), height - 1)]
            for i in range(side):
                a = upper[x0[i]] * (one - part_x) + upper[x1[i]] * part_x
                b = lower[x0[i]] * (one - part_x) + lower[x1[i]] * part_x
                out[n, j, i] = a * (one - part_y) + b * part_y


def _best_steps(
    own: np.ndarray, seen: np.ndarray, worst: np.float32, stay: np.float32, out: np.ndarray
) -> None:
    side, reach = own.shape[1], (seen.shape[1] - own.shape[1]) // 2
    for n in range(len(own)):
        best = np.float32(1e30)
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                total = np.float32(0)
                for j in range(side):
                    for i in range(side):
                        apart = abs(seen[n, reach + dy + j, reach + dx + i] - own[n, j, i])
                        total += min(apart, worst)
                fit = total / np.float32(side * side)
                fit += stay * np.float32(np.sqrt(np.float32(dx * dx + dy * dy)))
                if fit < best:
                    best = fit
                    out[0, n], out[1, n] = dx, dy


def _mix(
    light: np.ndarray,
    pictures: np.ndarray,
    shift: np.ndarray,
    number: np.ndarray,
    lends: np.ndarray,
    row_cell: np.ndarray,
    row_weight: np.ndarray,
    column_cell: np.ndarray,
    column_weight: np.ndarray,
    beside: int,
    alike: np.float32,
    total: np.ndarray,
    says: np.ndarray,
) -> None:
    channels, (height, width) = pictures.shape[1], light.shape
    found = np.empty((channels, height, width), np.float32)
    apart = np.empty((height, width), np.float32)
    line = np.zeros(width + 2 * beside, np.float32)
    mean = np.empty(width, np.float32)
    zero, one, scale = np.float32(0), np.float32(1), np.float32(-0.5) / (alike * alike)
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    for away_y in range(3):
        for away_x in range(3):
            for y in range(height):
                cell_y = row_cell[away_y, y]
                for x in range(width):
                    cell_x = column_cell[away_x, x]
                    at = number[cell_y, cell_x]
                    px = min(max(np.float32(x) + shift[0, cell_y, cell_x], zero), right)
                    py = min(max(np.float32(y) + shift[1, cell_y, cell_x], zero), bottom)
                    x0, y0 = int(px), int(py)
                    x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
                    part_x, part_y = px - np.float32(x0), py - np.float32(y0)
                    w11 = part_x * part_y
                    w01, w10 = part_x - w11, part_y - w11
                    w00 = one - part_x - w10
                    for c in range(channels):
                        picture = pictures[at, c]
                        found[c, y, x] = (
                            w00 * picture[y0, x0]
                            + w01 * picture[y0, x1]
                            + w10 * picture[y1, x0]
                            + w11 * picture[y1, x1]
                        )
                    apart[y, x] = abs(found[0, y, x] - light[y, x])
            for y in range(height):
                first, last = max(0, y - beside), min(height - 1, y + beside)
                line[:] = 0
                inner = line[beside : beside + width]
                for row in range(first, last + 1):
                    for x in range(width):
                        inner[x] += apart[row, x]
                mean[:] = 0
                for step in range(2 * beside + 1):
                    for x in range(width):
                        mean[x] += line[step + x]
                count = np.float32(last - first + 1)
                cell_y, weight_y = row_cell[away_y, y], row_weight[away_y, y]
                for x in range(width):
                    across = min(width - 1, x + beside) - max(0, x - beside) + 1
                    off = mean[x] / (count * np.float32(across))
                    say = np.exp(scale * off * off) * weight_y * column_weight[away_x, x]
                    mean[x] = say * lends[cell_y, column_cell[away_x, x]]
                    says[y, x] += mean[x]
                for c in range(1, channels):
                    for x in range(width):
                        total[c - 1, y, x] += mean[x] * found[c, y, x]
