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
    height, width = rgb.shape[:2]
    h, w = ab.shape[1:]
    zero, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    scale_y, scale_x = np.float32(h / height), np.float32(w / width)
    bottom, right = np.float32(h - 1), np.float32(w - 1)
    steps, last = np.float32((len(root) - 1) / 1.001), len(root) - 2
    value_steps, value_last = np.float32(len(value) - 1), len(value) - 2
    share = np.empty(4, np.float32)
    linear = np.empty(3, np.float32)
    for y in range(height):
        py = min(max((np.float32(y) + half) * scale_y - half, zero), bottom)
        y0 = int(py)
        y1, part_y = min(y0 + 1, h - 1), py - np.float32(y0)
        for x in range(width):
            red, green, blue = light[rgb[y, x, 0]], light[rgb[y, x, 1]], light[rgb[y, x, 2]]
            luminance = to_xyz[1, 0] * red + to_xyz[1, 1] * green + to_xyz[1, 2] * blue
            luminance = min(max(luminance, zero), one)
            at = luminance * steps
            low = min(int(at), last)
            fy = root[low] + (at - np.float32(low)) * (root[low + 1] - root[low])
            px = min(max((np.float32(x) + half) * scale_x - half, zero), right)
            x0 = int(px)
            x1, part_x = min(x0 + 1, w - 1), px - np.float32(x0)
            share[3] = part_x * part_y
            share[1], share[2] = part_x - share[3], part_y - share[3]
            share[0] = one - part_x - share[2]
            if is_guided:
                own = np.float32(116) * fy - np.float32(16)
                off = (guide[y0, x0] - own) / like
                share[0] /= one + off * off
                off = (guide[y0, x1] - own) / like
                share[1] /= one + off * off
                off = (guide[y1, x0] - own) / like
                share[2] /= one + off * off
                off = (guide[y1, x1] - own) / like
                share[3] /= one + off * off
                total = one / (share[0] + share[1] + share[2] + share[3])
                for i in range(4):
                    share[i] *= total
            a = share[0] * ab[0, y0, x0] + share[1] * ab[0, y0, x1]
            a += share[2] * ab[0, y1, x0] + share[3] * ab[0, y1, x1]
            b = share[0] * ab[1, y0, x0] + share[1] * ab[1, y0, x1]
            b += share[2] * ab[1, y1, x0] + share[3] * ab[1, y1, x1]
            fx, fz = fy + a / np.float32(500), max(fy - b / np.float32(200), zero)
            xx, zz = fx * fx * fx, fz * fz * fz
            if fx <= np.float32(0.206896):
                xx = (fx - np.float32(16 / 116)) / np.float32(7.787)
            if fz <= np.float32(0.206896):
                zz = (fz - np.float32(16 / 116)) / np.float32(7.787)
            keep = one
            for c in range(3):
                part = to_rgb[c, 0] * xx + to_rgb[c, 1] * luminance + to_rgb[c, 2] * zz
                away = part - luminance
                room = one - luminance if away > zero else luminance
                away_size = max(abs(away), np.float32(1e-6))
                if room < keep * away_size:
                    keep = room / away_size
                linear[c] = away
            for c in range(3):
                part = min(max(luminance + keep * linear[c], zero), one)
                at = np.sqrt(part) * value_steps
                low = min(int(at), value_last)
                found = value[low] + (at - np.float32(low)) * (value[low + 1] - value[low])
                out[y, x, c] = int(found * peak + half)
