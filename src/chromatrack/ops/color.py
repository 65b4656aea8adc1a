"""Colour: sRGB <-> CIE Lab, the ab codebook, quantise and dequantise. Pure tensor functions.

Lab is D65, 2 degree observer: L in [0, 100], a and b in about [-110, 110].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.ops.compiled import can_compile, compiled
from chromatrack.ops.kept import kept

Gamut = Literal["clip", "desaturate"]

# IEC 61966-2-1 primaries and the D65 white point, the numbers scikit-image uses.
_RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)
_EPSILON = 0.008856
_KAPPA = 7.787


def _check_channels(name: str, image: Tensor, channels: int) -> None:
    if image.ndim < 3 or image.shape[-3] != channels or not image.is_floating_point():
        raise InputError(
            f"{name}: expected a float tensor (..., {channels}, H, W), "
            f"got {tuple(image.shape)} {image.dtype}"
        )


def _apply_matrix(matrix: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """(3, 3) matrix on the channel axis of (..., 3, H, W)."""
    flat = image.flatten(-2)
    return (matrix(flat) @ flat).unflatten(-1, image.shape[-2:])


def _from_rgb() -> Tensor:
    matrix = torch.tensor(_RGB_TO_XYZ, dtype=torch.float64)
    return matrix / torch.tensor(_WHITE).double()[:, None]


def _to_rgb() -> Tensor:
    matrix = torch.linalg.inv(torch.tensor(_RGB_TO_XYZ, dtype=torch.float64))
    return matrix * torch.tensor(_WHITE).double()[None, :]


_kept_from_rgb, _kept_to_rgb = kept(_from_rgb), kept(_to_rgb)


def _power(base: Tensor, exponent: float) -> Tensor:
    """base ** exponent for base > 0 (else a small number): exp2 of log2 is 7 times faster."""
    return torch.exp2(base.clamp(min=1e-6).log2() * exponent)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB to CIE Lab.

    Source: CIE 1976 with sRGB companding; equal to `skimage.color.rgb2lab` within 1e-3.

    Args:
        rgb: `(..., 3, H, W)` float, [0, 1].

    Returns:
        `(..., 3, H, W)` float: L in [0, 100], a, b.
    """
    _check_channels("rgb_to_lab", rgb, 3)
    if can_compile(rgb):
        pixels = np.ascontiguousarray(rgb.numpy()).reshape(-1, 3, rgb.shape[-2] * rgb.shape[-1])
        lab = torch.empty(rgb.shape)
        compiled(_to_lab)(pixels, *curves(), XYZ_OF_RGB, lab.numpy().reshape(pixels.shape))
        return lab
    return _to_lab_by_tensors(rgb)


def _to_lab_by_tensors(rgb: Tensor) -> Tensor:
    curve = _power(((rgb + 0.055) / 1.055), 2.4)
    linear = torch.where(rgb > 0.04045, curve, rgb / 12.92)
    xyz = _apply_matrix(_kept_from_rgb, linear)
    f = torch.where(xyz > _EPSILON, _power(xyz, 1 / 3), _KAPPA * xyz + 16 / 116)
    fx, fy, fz = f.unbind(-3)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=-3)


_STEPS = 4096  # of the table of light by sRGB value
_ROOT_STEPS = 16384  # of the table of Lab's f by light; both are read between their entries
_BRIGHTEST = 1.001
_TO_XYZ = np.array(_RGB_TO_XYZ) / np.array(_WHITE)[:, None]
XYZ_OF_RGB = _TO_XYZ.astype(np.float32)
"""Light relative to white, of linear sRGB."""

RGB_OF_XYZ = np.linalg.inv(_TO_XYZ).astype(np.float32)
"""Its inverse."""


def sample_light(count: int) -> np.ndarray:
    """Linear light of `count` sRGB values, evenly spread over [0, 1]: float32."""
    value = np.linspace(0, 1, count)
    light = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    return light.astype(np.float32)


@cache
def curves() -> tuple[np.ndarray, np.ndarray]:
    """Light by sRGB value, [0, 1]; Lab's f by light relative to white, [0, `_BRIGHTEST`]."""
    xyz = np.linspace(0, _BRIGHTEST, _ROOT_STEPS + 1)
    f = np.where(xyz > _EPSILON, np.cbrt(xyz), _KAPPA * xyz + 16 / 116)
    return sample_light(_STEPS + 1), f.astype(np.float32)


def _to_lab(
    rgb: np.ndarray, light: np.ndarray, root: np.ndarray, matrix: np.ndarray, lab: np.ndarray
) -> None:
    """The same from tables, `(B, 3, N)`: no power of any pixel is computed."""
    steps, most = np.float32(len(light) - 1), len(light) - 2
    f = np.empty(3, np.float32)
    scale, last = np.float32((len(root) - 1) / 1.001), len(root) - 2
    linear = np.empty(3, np.float32)
    for b in range(len(rgb)):
        for i in range(rgb.shape[2]):
            for c in range(3):
                at = rgb[b, c, i] * steps
                low = min(max(int(at), 0), most)
                linear[c] = light[low] + (at - np.float32(low)) * (light[low + 1] - light[low])
            for c in range(3):
                xyz = matrix[c, 0] * linear[0]
                xyz += matrix[c, 1] * linear[1] + matrix[c, 2] * linear[2]
                at = xyz * scale
                low = min(max(int(at), 0), last)
                f[c] = root[low] + (at - np.float32(low)) * (root[low + 1] - root[low])
            lab[b, 0, i] = np.float32(116) * f[1] - np.float32(16)
            lab[b, 1, i] = np.float32(500) * (f[0] - f[1])
            lab[b, 2, i] = np.float32(200) * (f[1] - f[2])


def lab_to_rgb(lab: Tensor, *, gamut: Gamut = "clip") -> Tensor:
    """Convert CIE Lab to sRGB.

    Source: inverse of `rgb_to_lab`; with `clip` equal to `skimage.color.lab2rgb` within 1e-3.

    Args:
        lab: `(..., 3, H, W)` float.
        gamut: colours outside sRGB are clipped per channel, or mixed in linear light with the grey
            of the same luminance until they fit (`desaturate`: L stays exactly as given).

    Returns:
        `(..., 3, H, W)` float, [0, 1].
    """
    _check_channels("lab_to_rgb", lab, 3)
    lightness, a, b = lab.unbind(-3)
    fy = (lightness + 16) / 116
    f = torch.stack([fy + a / 500, fy, (fy - b / 200).clamp(min=0)], dim=-3)
    xyz = torch.where(f > _EPSILON ** (1 / 3), f**3, (f - 16 / 116) / _KAPPA)
    linear = _apply_matrix(_kept_to_rgb, xyz)
    if gamut == "desaturate":
        linear = _desaturate(linear, xyz[..., 1:2, :, :].clamp(0, 1))
    curve = 1.055 * _power(linear, 1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curve, 12.92 * linear).clamp(0, 1)


_GREYS = 16384  # of the table of sRGB values by L


def grey_of_light(light: Tensor) -> Tensor:
    """sRGB value, [0, 1], of greys of L in [0, 100]; any shape, to 1e-4: as `lab_to_rgb`."""
    at = (light * (_GREYS / 100)).round_().clamp_(0, _GREYS)
    return _kept_greys(light)[at.long()]


def _greys() -> Tensor:
    light = torch.linspace(0, 100, _GREYS + 1)
    return lab_to_rgb(F.pad(light[None, None], (0, 0, 0, 0, 0, 2)))[1, 0]


_kept_greys = kept(_greys)


def _desaturate(linear: Tensor, luminance: Tensor) -> Tensor:
    """Largest mix of a linear colour with its grey that lies in [0, 1]; luminance is linear."""
    away = linear - luminance
    room = torch.where(away > 0, 1 - luminance, luminance)
    keep = (room / away.abs().clamp(min=1e-6)).amin(-3, keepdim=True).clamp(max=1)
    return luminance + keep * away


def fit_codebook(ab: Tensor, *, clusters: int = 16, iterations: int = 30, seed: int = 0) -> Tensor:
    """Cluster ab colours by k-means (k-means++ start).

    Source: the paper quantises Lab's ab plane into 16 k-means clusters.

    Args:
        ab: `(N, 2)` float ab values, N >= clusters.

    Returns:
        codebook `(clusters, 2)` float32, ordered by a, then b.
    """
    if ab.ndim != 2 or ab.shape[1] != 2 or len(ab) < clusters:
        raise InputError(
            f"fit_codebook: expected (N, 2) ab values with N >= {clusters}, got {tuple(ab.shape)}"
        )
    generator = torch.Generator().manual_seed(seed)
    ab = ab.detach().float().cpu()
    centres = _spread_start(ab, clusters, generator)
    for _ in range(iterations):
        assigned = torch.cdist(ab, centres).argmin(1)
        counts = torch.bincount(assigned, minlength=clusters)
        sums = torch.zeros_like(centres).index_add_(0, assigned, ab)
        moved = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    order = sorted(range(clusters), key=lambda i: tuple(centres[i].tolist()))
    return centres[order]


def _spread_start(ab: Tensor, clusters: int, generator: torch.Generator) -> Tensor:
    """k-means++: each next centre is drawn with probability proportional to squared distance."""
    chosen = [int(torch.randint(len(ab), (1,), generator=generator))]
    distance = torch.full((len(ab),), float("inf"))
    while len(chosen) < clusters:
        distance = torch.minimum(distance, (ab - ab[chosen[-1]]).square().sum(1))
        weights = distance if float(distance.sum()) > 0 else torch.ones_like(distance)
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
    return ab[chosen].clone()


def quantize(ab: Tensor, codebook: Tensor) -> Tensor:
    """Nearest codebook class of every pixel: `(..., 2, H, W)` ab -> `(..., H, W)` int64 < K."""
    _check_channels("quantize", ab, 2)
    pixels = ab.movedim(-3, -1)
    distance = torch.cdist(pixels.reshape(-1, 2), codebook.to(pixels))
    return distance.argmin(-1).reshape(pixels.shape[:-1])


def dequantize(weights: Tensor, codebook: Tensor) -> Tensor:
    """Mean ab of class distributions: `(..., K, H, W)`, summing to 1 over K -> `(..., 2, H, W)`."""
    _check_channels("dequantize", weights, len(codebook))
    return torch.einsum("...khw,kc->...chw", weights, codebook.to(weights))
