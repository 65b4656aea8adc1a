"""How the camera moved: whole frames aligned on their background, with sub-pixel precision.

Every frame is brought onto a key frame by Gauss-Newton on small grey images (Lucas and Kanade
1981; both images' gradients as in Benhimane and Malis 2004), tracked objects left out and what
moves otherwise weighed down. As long as the key frame is in view there is no drift; when too
little of it is left, the frame before becomes the next key frame. Each shot starts anew.

Inside, positions are in units of half the frame's height from its middle, so that one matrix
holds for every image size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from chromatrack.ops.coords import fit_size, image_size
from chromatrack.uses.plane_motion import Motion

WORKING_SIDE = 240
"""Short side in px of the grey images that are aligned; finer than this gains nothing visible."""

LEVELS = 3
STEPS = 12
"""Of Gauss-Newton per pyramid level, at most."""

KEY_OVERLAP = 0.6
"""Share of the key frame's background that must be in view, else there is a new key frame."""

KEY_CORRELATION = 0.6
"""Correlation with the key frame below which it no longer shows the same."""


@dataclass(frozen=True)
class BackgroundView:
    """One frame as alignment sees it.

    grey: (1, 1, h, w) float32 0..1. weight: (1, 1, h, w) float32, 0 on tracked things, else 1.
    aspect: width by height of the full frame. cut: a cut lies just before.
    """

    grey: Tensor
    weight: Tensor
    aspect: float
    cut: bool = False


def background_view(
    rgb: np.ndarray, foreground: np.ndarray, *, cut: bool = False
) -> BackgroundView:
    """Shrink a frame for alignment.

    Args:
        rgb: (H, W, 3) uint8. foreground: (H, W) bool, tracked things, left out with a margin.
    """
    luma = torch.tensor([0.299, 0.587, 0.114]) / 255
    grey = (torch.from_numpy(np.ascontiguousarray(rgb)).float() @ luma)[None, None]
    size = fit_size(image_size(grey), short_side=WORKING_SIDE, multiple=2 ** (LEVELS - 1))
    grey = F.interpolate(grey, size=size, mode="bilinear", antialias=True, align_corners=False)
    taken = torch.from_numpy(np.ascontiguousarray(foreground)).float()[None, None]
    taken = F.interpolate(taken, size=size, mode="area")
    taken = F.max_pool2d((taken > 0).float(), kernel_size=5, stride=1, padding=2)
    return BackgroundView(grey, 1 - taken, rgb.shape[1] / rgb.shape[0], cut)


def background_motions(
    views: Iterable[BackgroundView], *, size: tuple[int, int], motion: Motion
) -> Iterator[np.ndarray]:
    """For each frame the (3, 3) float64 matrix that takes its pixels to the shot's first frame.

    Args:
        views: the frames in order; two are held at a time.
        size: (height, width) of the full frames, whose pixels the matrices move.
        motion: "shift", or "similarity" for rotation and zoom too.
    """
    to_unit = _unit_matrix(size)
    key: BackgroundView | None = None
    before: BackgroundView | None = None
    key_place = place = np.eye(3)  # takes units of that frame to units of the first
    for view in views:
        if key is None or before is None or view.cut:
            key, key_place, place = view, np.eye(3), np.eye(3)
        else:
            step = _first_guess(before, view)
            guess = step @ np.linalg.inv(place) @ key_place
            found, is_good = _align(key, view, guess, motion)
            if not is_good:
                key, key_place = before, place
                found, is_good = _align(key, view, step, motion)
            if not is_good:  # less of a motion, unless more fits better
                found = _best_fit(key, view, (np.eye(3), step, found))
            place = key_place @ np.linalg.inv(found)
        before = view
        yield np.linalg.inv(to_unit) @ place @ to_unit


# -- parts ---------------------------------------------------------------------------------


def _unit_matrix(size: tuple[int, int]) -> np.ndarray:
    """(3, 3): pixels of an image of `size` -> half heights from its middle."""
    height, width = size
    scale = 2 / height
    return np.array(
        [[scale, 0, -scale * (width - 1) / 2], [0, scale, -scale * (height - 1) / 2], [0, 0, 1]]
    )


def _first_guess(before: BackgroundView, view: BackgroundView) -> np.ndarray:
    """(3, 3) shift in units from one frame to the next, to whole pixels, by phase correlation.

    Kuglin and Hines 1975. Stays at no shift unless the shifted frame fits better.
    """
    height, width = image_size(view.grey)
    window = torch.hann_window(height)[:, None] * torch.hann_window(width)[None]
    spectra = []
    for item in (before, view):
        mean = (item.grey * item.weight).sum() / item.weight.sum().clamp(min=1)
        spectra.append(torch.fft.rfft2((item.grey - mean)[0, 0] * item.weight[0, 0] * window))
    cross = spectra[1] * spectra[0].conj()
    surface = torch.fft.irfft2(cross / cross.abs().clamp(min=1e-9), s=(height, width))
    down, across = divmod(int(surface.argmax()), width)
    down -= height * (down > height // 2)
    across -= width * (across > width // 2)
    guess = np.eye(3)
    guess[:2, 2] = across / width * 2 * view.aspect, down / height * 2
    return _best_fit(before, view, (np.eye(3), guess))


def _best_fit(
    key: BackgroundView, view: BackgroundView, candidates: Iterable[np.ndarray]
) -> np.ndarray:
    """The matrix with the least mean absolute difference of the key frame and `view` through it."""

    def misfit(matrix: np.ndarray) -> float:
        seen, weight = _through(key, view, matrix)
        weight = weight * key.weight
        total = float(weight.sum())
        if total < 0.2 * weight.numel():
            return np.inf
        return float(((seen - key.grey).abs() * weight).sum()) / total

    return min(candidates, key=misfit)


def _align(
    key: BackgroundView, view: BackgroundView, guess: np.ndarray, motion: Motion
) -> tuple[np.ndarray, bool]:
    """(3, 3) units of the key frame -> units of `view`, coarse to fine, and whether to trust it."""
    matrix = guess
    overlap = correlation = 0.0
    for level in reversed(range(LEVELS)):
        small_key, small_view = _shrunk(key, level), _shrunk(view, level)
        for _ in range(STEPS):
            step, overlap, correlation = _gauss_newton(small_key, small_view, matrix, motion)
            matrix = matrix @ step
            # A hundredth of a working pixel: finer steps cannot be seen.
            if np.abs(step - np.eye(3)).max() < 0.02 / image_size(small_key.grey)[0]:
                break
    return matrix, overlap >= KEY_OVERLAP and correlation >= KEY_CORRELATION


def _gauss_newton(
    key: BackgroundView, view: BackgroundView, matrix: np.ndarray, motion: Motion
) -> tuple[np.ndarray, float, float]:
    """One step: the (3, 3) motion of the key frame to put before `matrix`; overlap, correlation."""
    seen, inside = _through(key, view, matrix)
    weight = inside * key.weight
    overlap = float(weight.sum() / key.weight.sum().clamp(min=1))
    fixed, moved = _normal(key.grey, weight), _normal(seen, weight)
    correlation = float((fixed * moved * weight).sum() / weight.sum().clamp(min=1))
    residual = moved - fixed
    spread = 1.4826 * float((residual.abs()[weight > 0.5]).median()) if (weight > 0.5).any() else 1
    weight = weight / (1 + (residual / max(spread, 1e-3)) ** 2)
    gx, gy = _gradient((fixed + moved) / 2, key.aspect)
    columns = [gx, gy]
    if motion == "similarity":
        x, y = _grid(key).unbind(-1)
        columns += [gx * x + gy * y, gy * x - gx * y]
    jacobian = torch.stack([c.flatten() for c in columns], dim=1).double()
    weighted = jacobian * weight.flatten()[:, None].double()
    normal = jacobian.T @ weighted
    # Flat pictures say nothing about motion: damping that any texture outweighs holds them still.
    normal += torch.eye(len(normal), dtype=normal.dtype) * (1e-4 * weight.numel())
    delta = -torch.linalg.solve(normal, weighted.T @ residual.flatten().double())
    dx, dy, grow, turn = [*delta.tolist(), 0.0, 0.0][:4]
    step = np.array([[1 + grow, -turn, dx], [turn, 1 + grow, dy], [0, 0, 1]])
    return step, overlap, correlation


def _through(
    key: BackgroundView, view: BackgroundView, matrix: np.ndarray
) -> tuple[Tensor, Tensor]:
    """A frame and its weight looked up at the key frame's places moved by `matrix`."""
    moved = _grid(key) @ torch.from_numpy(matrix[:2, :2].T).float()
    moved = moved + torch.from_numpy(matrix[:2, 2])
    places = (moved / torch.tensor([view.aspect, 1.0])).float()
    both = torch.cat([view.grey, view.weight], dim=1)
    seen = F.grid_sample(both, places, mode="bilinear", align_corners=False, padding_mode="zeros")
    return seen[:, :1], (seen[:, 1:] > 0.99).float()


def _grid(view: BackgroundView) -> Tensor:
    """(1, h, w, 2) float32 xy of pixel centres in half heights from the middle."""
    wide = torch.tensor([[[view.aspect, 0, 0], [0, 1, 0]]])
    return F.affine_grid(wide, list(view.grey.shape), align_corners=False)


def _gradient(image: Tensor, aspect: float) -> tuple[Tensor, Tensor]:
    """Change of a (1, 1, h, w) image per unit to the right and down, central differences."""
    height, width = image_size(image)
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return across * (width / 2 / aspect), down * (height / 2)


def _normal(image: Tensor, weight: Tensor) -> Tensor:
    """Image of weighted mean 0 and deviation 1, so that a change of light is no motion."""
    total = weight.sum().clamp(min=1)
    centred = image - (image * weight).sum() / total
    deviation = ((centred**2 * weight).sum() / total).sqrt()
    return centred / deviation.clamp(min=1 / 255)


def _shrunk(view: BackgroundView, level: int) -> BackgroundView:
    """The view at 1 / 2^level of its size."""
    grey, weight = F.avg_pool2d(view.grey, 2**level), F.avg_pool2d(view.weight, 2**level)
    return BackgroundView(grey, (weight > 0.5).float(), view.aspect)
