"""Small squares of one picture laid on others, compiled for the machine: fitted, and mixed.

What `tracking.color_detail` does by tensors on other devices; tests hold the two equal. Places are
xy pixels of the pictures given here, outside which the border's value is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from chromatrack.ops.compiled import compiled

_VECTOR = 8
"""Numbers that are worked on at once: loops are as long as a multiple of it."""


def best_slides(
    light: Tensor,
    pictures: Tensor,
    places: tuple[Tensor, Tensor],
    side: int,
    reach: int,
    *,
    scale: int,
    first: float,
    step: float,
    worst: float,
    stay: float,
) -> tuple[Tensor, Tensor]:
    """By how many steps the square around each cell's place fits better elsewhere.

    Args:
        light, pictures, side, scale, first, step, worst: as `best_states`.
        places: `(2, h, w)` float32 xy shift in pixels of the full size and `(h, w)` int64 number of
            the picture. reach: steps that a place may slide by along either axis.
        stay: what a step costs.

    Returns:
        `(2, h, w)` float32 xy steps; `(h, w)` float32 mean difference there, their cost left out.
    """
    shift, number = places
    steps, fits = torch.empty(shift.shape), torch.empty(number.shape)
    maps = torch.cat([light[None], pictures])
    arrays = [x.contiguous().numpy() for x in (maps, shift, number)]
    numbers = [np.float32(x) for x in (first, step, 1 / scale, worst, stay)]
    pitch = -(-(side + 2 * reach) // _VECTOR) * _VECTOR
    slide = compiled(_best_slides)
    slide(*arrays, _offsets(reach), side, reach, pitch, *numbers, steps.numpy(), fits.numpy())
    return steps, fits


@cache
def _offsets(reach: int) -> np.ndarray:
    """`(n, 2)` int64 xy steps, the nearest first."""
    along = np.arange(-reach, reach + 1)
    steps = np.stack(np.meshgrid(along, along), -1).reshape(-1, 2).astype(np.int64)
    return steps[np.argsort((steps**2).sum(1), kind="stable")]


def best_states(
    light: Tensor,
    pictures: Tensor,
    state: Tensor,
    side: int,
    *,
    scale: int,
    first: float,
    step: float,
    worst: float,
    stay: float,
) -> Tensor:
    """The state of each cell or of one of the eight around it, whichever fits its square best.

    Args:
        light: `(H, W)` L. pictures: `(R, H, W)` L. state: `(4, h, w)` float32: xy shift in pixels
            of the full size, which is `scale` times this one, number of the picture, and whether it
            lends anything.
        side: of the squares. first: pixel of cell 0, along either axis. step: to the next.
        worst, stay: as `best_steps`.

    Returns:
        `(4, h, w)`.
    """
    out = torch.empty(state.shape)
    arrays = [x.contiguous().numpy() for x in (light, pictures, state)]
    numbers = [np.float32(x) for x in (first, step, 1 / scale, worst, stay)]
    compiled(_best_states)(*arrays, side, *numbers, out.numpy())
    return out


def mixed(
    light: Tensor,
    pictures: Tensor,
    shift: Tensor,
    number: Tensor,
    lends: Tensor,
    rows: Tensor,
    columns: Tensor,
    *,
    beside: int,
    alike: float,
) -> tuple[Tensor, Tensor]:
    """What lies at the places of the cells around each pixel, weighed by how well its L fits.

    Args:
        light: `(H, W)` L. pictures: `(R, 1 + C, H, W)`, L first. shift: `(2, h, w)` xy pixels from
            a pixel of a cell to its place. number: `(h, w)` int64 < R. lends: `(h, w)` float32, 0
            where a cell has no say.
        rows, columns: `(h, H)` and `(w, W)`, say of each cell on each pixel along an axis, 0 but
            for a few pixels next to each other.
        beside: pixels around over which the difference of L is averaged. alike: difference at
            which a place has lost 40 % of its say.

    Returns:
        sums `(C, H, W)` of values times their says, and of the says `(1, H, W)`.
    """
    C, H, W = pictures.shape[1:]
    total, says = torch.zeros(C - 1, H, W), torch.zeros(1, H, W)
    tensors = (light, pictures, shift, number, lends.float(), rows, columns)
    arrays = [x.contiguous().numpy() for x in tensors]
    spans = [_spans(x) for x in (rows, columns)]
    widest = int((spans[1][:, 1] - spans[1][:, 0]).max()) + 2 * beside
    mix = _mixer(-(-widest // _VECTOR) * _VECTOR)
    mix(*arrays, *spans, beside, np.float32(alike), total.numpy(), says[0].numpy())
    return total, says


def _spans(says: Tensor) -> np.ndarray:
    """First pixel of each cell and the one after its last, `(cells, 2)`; empty: 0, 0."""
    some = (says > 0).numpy()
    first, last = some.argmax(1), some.shape[1] - some[:, ::-1].argmax(1)
    return np.where(some.any(1, keepdims=True), np.stack([first, last], 1), 0)


def _best_slides(
    maps: np.ndarray,
    shift: np.ndarray,
    number: np.ndarray,
    offsets: np.ndarray,
    side: int,
    reach: int,
    pitch: int,
    first: np.float32,
    step: np.float32,
    scale: np.float32,
    worst: np.float32,
    stay: np.float32,
    steps: np.ndarray,
    fits: np.ndarray,
) -> None:
    """Squares lie row after row, `pitch` apart, so that one long loop goes over all of them.

    It does so in two halves: a step that is worse after the first is left.
    """
    U, F = np.uint64, np.float32
    high, wide = maps.shape[1:]
    h, w = number.shape
    one, count = F(1), F(side * side)
    window, middle = side + 2 * reach, (side // 2) * pitch
    own, mask = np.zeros(side * pitch, F), np.zeros(side * pitch, F)
    there, line = np.zeros((window + 1) * pitch, F), np.zeros((2, pitch + 1), F)
    for row in range(side):
        mask[row * pitch : row * pitch + side] = one
    for i in range(h):
        for j in range(w):
            for which in range(2):
                size = side if which == 0 else window
                left = first + step * F(j) - F(size - 1) * F(0.5)
                top = first + step * F(i) - F(size - 1) * F(0.5)
                at, seen = 0, own
                if which == 1:
                    left += shift[0, i, j] * scale
                    top += shift[1, i, j] * scale
                    at, seen = number[i, j] + 1, there
                whole_x, whole_y = int(np.floor(left)), int(np.floor(top))
                part_x, part_y = left - F(whole_x), top - F(whole_y)
                w11 = part_x * part_y
                w01, w10 = part_x - w11, part_y - w11
                w00 = one - part_x - w10
                is_inside = whole_x >= 0 and whole_x + pitch < wide
                for row in range(size):
                    y0 = min(max(whole_y + row, 0), high - 1)
                    y1 = min(max(whole_y + row + 1, 0), high - 1)
                    start = U(row * pitch)
                    if is_inside:
                        for n in range(U(pitch)):
                            m = U(whole_x) + n
                            upper = w00 * maps[at, y0, m] + w01 * maps[at, y0, m + U(1)]
                            lower = w10 * maps[at, y1, m] + w11 * maps[at, y1, m + U(1)]
                            seen[start + n] = upper + lower
                        continue
                    for n in range(pitch + 1):
                        source = min(max(whole_x + n, 0), wide - 1)
                        line[0, n], line[1, n] = maps[at, y0, source], maps[at, y1, source]
                    for n in range(U(pitch)):
                        upper = w00 * line[0, n] + w01 * line[0, n + U(1)]
                        seen[start + n] = upper + w10 * line[1, n] + w11 * line[1, n + U(1)]
            best = F(1e30)
            for k in range(len(offsets)):
                dx, dy = offsets[k, 0], offsets[k, 1]
                cost = stay * F(np.sqrt(F(dx * dx + dy * dy)))
                if cost >= best:
                    break
                begin, total = U((reach + dy) * pitch + reach + dx), F(0)
                for n in range(U(middle)):
                    total += mask[n] * min(abs(there[begin + n] - own[n]), worst)
                if total >= (best - cost) * count:
                    continue
                for n in range(U(middle), U(len(own))):
                    total += mask[n] * min(abs(there[begin + n] - own[n]), worst)
                if total < (best - cost) * count:
                    best = total / count + cost
                    fits[i, j] = total / count
                    steps[0, i, j], steps[1, i, j] = F(dx), F(dy)


def _best_states(
    light: np.ndarray,
    pictures: np.ndarray,
    state: np.ndarray,
    side: int,
    first: np.float32,
    step: np.float32,
    scale: np.float32,
    worst: np.float32,
    stay: np.float32,
    out: np.ndarray,
) -> None:
    U, F = np.uint64, np.float32
    high, wide = light.shape
    h, w = state.shape[1:]
    one, half, count = F(1), F((side - 1) / 2), F(side * side)
    upper, lower = np.empty(side + 1, F), np.empty(side + 1, F)
    own, seen_states = np.empty((side, side), F), np.empty((9, 4), F)
    for i in range(h):
        for j in range(w):
            here_x, here_y = first + step * F(j), first + step * F(i)
            left, top = here_x - half, here_y - half
            whole_x, whole_y = int(np.floor(left)), int(np.floor(top))
            part_x, part_y = left - F(whole_x), top - F(whole_y)
            for row in range(side):
                y0 = min(max(whole_y + row, 0), high - 1)
                y1 = min(max(whole_y + row + 1, 0), high - 1)
                for n in range(side):
                    x0 = min(max(whole_x + n, 0), wide - 1)
                    x1 = min(max(whole_x + n + 1, 0), wide - 1)
                    a = light[y0, x0] * (one - part_x) + light[y0, x1] * part_x
                    b = light[y1, x0] * (one - part_x) + light[y1, x1] * part_x
                    own[row, n] = a * (one - part_y) + b * part_y
            best, tried = F(1e30), 0
            for number in range(9):
                away_y = (0, -1, 1)[number // 3]  # its own first
                away_x = (0, -1, 1)[number % 3]
                y, x = min(max(i + away_y, 0), h - 1), min(max(j + away_x, 0), w - 1)
                if number > 0 and y == i and x == j:
                    continue
                fit = stay if number > 0 else F(0)
                if not state[3, y, x] > F(0):
                    fit += F(2) * worst
                if fit >= best:
                    continue
                is_new = True
                for m in range(tried):
                    parts = 0
                    for c in range(4):
                        parts += state[c, y, x] == seen_states[m, c]
                    if parts == 4:
                        is_new = False
                if not is_new:
                    continue
                for c in range(4):
                    seen_states[tried, c] = state[c, y, x]
                tried += 1
                limit = (best - fit) * count
                left = here_x - half + state[0, y, x] * scale
                top = here_y - half + state[1, y, x] * scale
                whole_x, whole_y = int(np.floor(left)), int(np.floor(top))
                part_x, part_y = left - F(whole_x), top - F(whole_y)
                at, total = int(state[2, y, x]), F(0)
                is_inside = whole_x >= 0 and whole_x + side < wide
                for row in range(side):
                    y0 = min(max(whole_y + row, 0), high - 1)
                    y1 = min(max(whole_y + row + 1, 0), high - 1)
                    if is_inside:
                        for n in range(U(side + 1)):
                            upper[n] = pictures[at, y0, U(whole_x) + n]
                            lower[n] = pictures[at, y1, U(whole_x) + n]
                    else:
                        for n in range(side + 1):
                            source = min(max(whole_x + n, 0), wide - 1)
                            upper[n], lower[n] = pictures[at, y0, source], pictures[at, y1, source]
                    for n in range(U(side)):
                        m = n + U(1)
                        a = upper[n] * (one - part_x) + upper[m] * part_x
                        b = lower[n] * (one - part_x) + lower[m] * part_x
                        seen = a * (one - part_y) + b * part_y
                        total += min(abs(seen - own[row, n]), worst)
                    if total >= limit:
                        break
                fit += total / count
                if fit < best:
                    best = fit
                    for c in range(4):
                        out[c, i, j] = state[c, y, x]


@cache
def _mixer(width: int) -> Callable[..., None]:
    """`_mix` of cells whose pixels and their border are at most `width`, compiled."""
    return compiled(_written(width))


def _written(width: int) -> Callable[..., None]:
    """The loops for one width: known to the compiler, they become vectors without a rest."""
    U, F, WIDTH = np.uint64, np.float32, width

    def mix(
        light: np.ndarray,
        pictures: np.ndarray,
        shift: np.ndarray,
        number: np.ndarray,
        lends: np.ndarray,
        row_says: np.ndarray,
        column_says: np.ndarray,
        row_span: np.ndarray,
        column_span: np.ndarray,
        beside: int,
        alike: np.float32,
        total: np.ndarray,
        says: np.ndarray,
    ) -> None:
        channels, (high, wide) = pictures.shape[1], light.shape
        tall = 0
        for i in range(len(row_span)):
            tall = max(tall, row_span[i, 1] - row_span[i, 0])
        side = U(2 * beside + 1)
        upper, lower, own = np.zeros(WIDTH + 1, F), np.zeros(WIDTH + 1, F), np.zeros(WIDTH, F)
        off, across = np.zeros(2 * WIDTH, F), np.zeros((tall + 2 * beside, WIDTH), F)
        say, share, part_of = np.zeros((tall, WIDTH), F), np.zeros(WIDTH, F), np.zeros(WIDTH, F)
        sums = np.zeros(WIDTH, F)
        one, scale = F(1), F(0.5) / (alike * alike) / F(16)
        half, third, fourth = F(1 / 2), F(1 / 6), F(1 / 24)
        for i in range(len(row_span)):
            top, bottom = row_span[i, 0], row_span[i, 1]
            for j in range(len(column_span)):
                left, count = column_span[j, 0], column_span[j, 1] - column_span[j, 0]
                if not lends[i, j] > F(0) or bottom == top or count == 0:
                    continue
                at, move_x, move_y = number[i, j], shift[0, i, j], shift[1, i, j]
                whole_x, whole_y = int(np.floor(move_x)), int(np.floor(move_y))
                part_x, part_y = move_x - F(whole_x), move_y - F(whole_y)
                w11 = part_x * part_y
                w01, w10 = part_x - w11, part_y - w11
                w00 = one - part_x - w10
                begin = left - beside
                is_inside = begin >= 0 and begin + WIDTH <= wide
                for y in range(top - beside, bottom + beside):
                    r = U(y - top + beside)
                    if y < 0 or y >= high:
                        for x in range(U(WIDTH)):
                            across[r, x] = F(0)
                        continue
                    y0 = min(max(y + whole_y, 0), high - 1)
                    y1 = min(max(y + whole_y + 1, 0), high - 1)
                    start = begin + whole_x
                    if start >= 0 and start + WIDTH < wide:
                        for x in range(U(WIDTH + 1)):
                            upper[x] = pictures[at, 0, y0, U(start) + x]
                            lower[x] = pictures[at, 0, y1, U(start) + x]
                    else:
                        for x in range(WIDTH + 1):
                            source = min(max(start + x, 0), wide - 1)
                            upper[x] = pictures[at, 0, y0, source]
                            lower[x] = pictures[at, 0, y1, source]
                    if is_inside:
                        for x in range(U(WIDTH)):
                            own[x] = light[y, U(begin) + x]
                    else:
                        for x in range(WIDTH):
                            own[x] = light[y, min(max(begin + x, 0), wide - 1)]
                    for x in range(U(WIDTH)):
                        n = x + U(1)
                        seen = w00 * upper[x] + w01 * upper[n] + w10 * lower[x] + w11 * lower[n]
                        off[x] = abs(seen - own[x])
                    if not is_inside:
                        for x in range(WIDTH):
                            if begin + x < 0 or begin + x >= wide:
                                off[x] = F(0)
                    for x in range(U(WIDTH)):
                        across[r, x] = off[x]
                    for step in range(U(1), side):
                        for x in range(U(WIDTH)):
                            across[r, x] += off[x + step]
                for x in range(WIDTH):
                    columns = min(wide, left + x + beside + 1) - max(0, left + x - beside)
                    share[x] = one / F(max(columns, 1))
                    part_of[x] = column_says[j, left + x] if x < count else F(0)
                for y in range(top, bottom):
                    r = U(y - top)
                    for x in range(U(WIDTH)):
                        sums[x] = across[r, x]
                    for step in range(U(1), side):
                        for x in range(U(WIDTH)):
                            sums[x] += across[r + step, x]
                    rows = one / F(min(high, y + beside + 1) - max(0, y - beside))
                    weight = row_says[i, y] * lends[i, j]
                    for x in range(U(WIDTH)):
                        mean = sums[x] * share[x] * rows
                        part = min(scale * mean * mean, one)  # exp(-16) and less is nothing
                        fit = one - part * (one - part * (half - part * (third - part * fourth)))
                        fit *= fit
                        fit *= fit
                        fit *= fit
                        fit *= fit
                        say[r, x] = fit * weight * part_of[x]
                    for x in range(U(count)):
                        says[y, U(left) + x] += say[r, x]
                start = left + whole_x
                for c in range(1, channels):
                    for y in range(top, bottom):
                        y0 = min(max(y + whole_y, 0), high - 1)
                        y1 = min(max(y + whole_y + 1, 0), high - 1)
                        if start >= 0 and start + WIDTH < wide:
                            for x in range(U(WIDTH + 1)):
                                upper[x] = pictures[at, c, y0, U(start) + x]
                                lower[x] = pictures[at, c, y1, U(start) + x]
                        else:
                            for x in range(WIDTH + 1):
                                source = min(max(start + x, 0), wide - 1)
                                upper[x] = pictures[at, c, y0, source]
                                lower[x] = pictures[at, c, y1, source]
                        r = U(y - top)
                        for x in range(U(WIDTH)):
                            n = x + U(1)
                            seen = w00 * upper[x] + w01 * upper[n] + w10 * lower[x] + w11 * lower[n]
                            sums[x] = say[r, x] * seen
                        for x in range(U(count)):
                            total[c - 1, y, U(left) + x] += sums[x]

    return mix
