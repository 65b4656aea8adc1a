"""Colours put under a picture's own luminance, compiled for the machine.

One pass from the picture's bytes to the coloured bytes: light by a table, ab read between its own
pixels, of which those as bright as the picture's count most, so that colours end where the picture
has its edges.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from chromatrack.ops.color import RGB_OF_XYZ, XYZ_OF_RGB, curves, sample_light
from chromatrack.ops.compiled import compiled

LIKE = 6.0
"""Difference of L at which a pixel of ab counts half."""

_STEPS = 16384


def painted_under(rgb: np.ndarray, ab: Tensor, light: Tensor | None) -> np.ndarray:
    """A picture with new colours under its own luminance; see `tracking.colorize.paint`.

    Args:
        rgb: `(H, W, 3)` uint8 or uint16. ab: `(2, h, w)` float32 Lab units, at any size.
        light: `(h, w)` float32 L of what ab was made for; None: every pixel of ab counts alike.

    Returns:
        `(H, W, 3)` of rgb's dtype.
    """
    out = np.empty_like(rgb)
    peak = np.float32(np.iinfo(rgb.dtype).max)
    guide = torch.zeros(1, 1) if light is None else light
    arrays = [x.contiguous().numpy() for x in (ab, guide)]
    tables = (_light(rgb.dtype.str), curves()[1], _value())
    matrices = (XYZ_OF_RGB, RGB_OF_XYZ)
    compiled(_paint)(
        np.ascontiguousarray(rgb),
        *arrays,
        light is not None,
        np.float32(LIKE),
        *tables,
        *matrices,
        peak,
        out,
    )
    return out


@cache
def _light(dtype: str) -> np.ndarray:
    """Linear light by the picture's own numbers."""
    return sample_light(np.iinfo(np.dtype(dtype)).max + 1)


@cache
def _value() -> np.ndarray:
    """sRGB value by the square root of linear light, both [0, 1]: finer where it is dark."""
    linear = np.linspace(0, 1, _STEPS + 1) ** 2
    value = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return value.astype(np.float32)


def _paint(
    rgb: np.ndarray,
    ab: np.ndarray,
    guide: np.ndarray,
    is_guided: bool,
    like: np.float32,
    light: np.ndarray,
    root: np.ndarray,
    value: np.ndarray,
    to_xyz: np.ndarray,
    to_rgb: np.ndarray,
    peak: np.float32,
    out: np.ndarray,
) -> None:
    """Row by row in passes over small arrays, of which the compiler makes vectors."""
    U, F = np.uint64, np.float32
    height, width = rgb.shape[:2]
    h, w = ab.shape[1:]
    zero, one, half = F(0), F(1), F(0.5)
    scale_y, scale_x = F(h / height), F(w / width)
    steps, last = F((len(root) - 1) / 1.001), len(root) - 2
    value_steps, value_last = F(len(value) - 1), len(value) - 2
    left, right = np.empty(width, np.int64), np.empty(width, np.int64)
    parts = np.empty(width, F)
    for x in range(width):
        px = min(max((F(x) + half) * scale_x - half, zero), F(w - 1))
        left[x] = int(px)
        right[x] = min(left[x] + 1, w - 1)
        parts[x] = px - F(left[x])
    luminance, fy = np.empty(width, F), np.empty(width, F)
    a, b = np.empty(width, F), np.empty(width, F)
    linear = np.empty((3, width), F)
    y_red, y_green, y_blue = to_xyz[1, 0], to_xyz[1, 1], to_xyz[1, 2]
    m00, m01, m02 = to_rgb[0, 0], to_rgb[0, 1], to_rgb[0, 2]
    m10, m11, m12 = to_rgb[1, 0], to_rgb[1, 1], to_rgb[1, 2]
    m20, m21, m22 = to_rgb[2, 0], to_rgb[2, 1], to_rgb[2, 2]
    for y in range(height):
        py = min(max((F(y) + half) * scale_y - half, zero), F(h - 1))
        y0 = int(py)
        y1, part_y = min(y0 + 1, h - 1), py - F(y0)
        for x in range(U(width)):
            total = y_red * light[rgb[y, x, 0]] + y_green * light[rgb[y, x, 1]]
            total += y_blue * light[rgb[y, x, 2]]
            luminance[x] = min(max(total, zero), one)
        for x in range(U(width)):
            at = luminance[x] * steps
            low = min(int(at), last)
            fy[x] = root[low] + (at - F(low)) * (root[low + 1] - root[low])
        a0, a1, b0, b1 = ab[0, y0], ab[0, y1], ab[1, y0], ab[1, y1]
        if is_guided:
            g0, g1 = guide[y0], guide[y1]
            for x in range(U(width)):
                x0, x1, part_x = left[x], right[x], parts[x]
                own = F(116) * fy[x] - F(16)
                p00, p01 = (g0[x0] - own) / like, (g0[x1] - own) / like
                p10, p11 = (g1[x0] - own) / like, (g1[x1] - own) / like
                p00, p01, p10, p11 = (
                    one + p00 * p00,
                    one + p01 * p01,
                    one + p10 * p10,
                    one + p11 * p11,
                )
                w11 = part_x * part_y
                w01, w10 = part_x - w11, part_y - w11
                w00 = (one - part_x - w10) / p00
                w01, w10, w11 = w01 / p01, w10 / p10, w11 / p11
                share = one / (w00 + w01 + w10 + w11)
                found = w00 * a0[x0] + w01 * a0[x1] + w10 * a1[x0] + w11 * a1[x1]
                a[x] = found * share
                found = w00 * b0[x0] + w01 * b0[x1] + w10 * b1[x0] + w11 * b1[x1]
                b[x] = found * share
        else:
            for x in range(U(width)):
                x0, x1, part_x = left[x], right[x], parts[x]
                w11 = part_x * part_y
                w01, w10 = part_x - w11, part_y - w11
                w00 = one - part_x - w10
                a[x] = w00 * a0[x0] + w01 * a0[x1] + w10 * a1[x0] + w11 * a1[x1]
                b[x] = w00 * b0[x0] + w01 * b0[x1] + w10 * b1[x0] + w11 * b1[x1]
        for x in range(U(width)):
            fx = fy[x] + a[x] * F(1 / 500)
            fz = max(fy[x] - b[x] * F(1 / 200), zero)
            cube, line = fx * fx * fx, (fx - F(16 / 116)) * F(1 / 7.787)
            xx = line if fx <= F(0.206896) else cube
            cube, line = fz * fz * fz, (fz - F(16 / 116)) * F(1 / 7.787)
            zz = line if fz <= F(0.206896) else cube
            level = luminance[x]
            red = m00 * xx + m01 * level + m02 * zz - level
            green = m10 * xx + m11 * level + m12 * zz - level
            blue = m20 * xx + m21 * level + m22 * zz - level
            over, under = one - level, level
            keep = (over if red > zero else under) / max(abs(red), F(1e-6))
            other = (over if green > zero else under) / max(abs(green), F(1e-6))
            third = (over if blue > zero else under) / max(abs(blue), F(1e-6))
            keep = min(min(keep, other), min(third, one))
            linear[0, x] = np.sqrt(min(max(level + keep * red, zero), one))
            linear[1, x] = np.sqrt(min(max(level + keep * green, zero), one))
            linear[2, x] = np.sqrt(min(max(level + keep * blue, zero), one))
        for c in range(3):
            for x in range(U(width)):
                at = linear[c, x] * value_steps
                low = min(int(at), value_last)
                found = value[low] + (at - F(low)) * (value[low + 1] - value[low])
                out[y, x, c] = int(found * peak + half)
