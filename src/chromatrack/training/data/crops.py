"""Views of a picture: random square cuts whose motion between each other is known exactly.

A view maps its own pixels to pixels of the image: first an optional smooth bend (a thin plate over
a few control points), then an affine map. Only the affine part can be inverted in closed form, so
the reference of a pair never bends: target pixel -> image -> reference pixel stays exact.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.model.encoder import normalize_lab
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import FeatureSpec, cell_count, image_size, pixel_grid

CONTROL = 4
"""Control points of a bend along each side of a view."""

_CPU_AT_ONCE = 1  # views cut at once on a CPU: one stays in its cache, a quarter faster than 16


@dataclass(frozen=True)
class CropView:
    """A square cut of `crop` x `crop` pixels.

    matrix: (3, 3) float64, view pixels (x, y, 1) to image pixels, after the bend.
    bend: (CONTROL**2, 2) float64, by how many view pixels (x, y) each control point is displaced,
    row by row from the top left corner; None: nowhere.
    """

    matrix: np.ndarray
    crop: int
    bend: np.ndarray | None = None


def random_view(size: tuple[int, int], crop: int, rng: np.random.Generator) -> CropView:
    """A random axis-aligned view inside an image of (height, width), mirrored half of the time.

    Its side is 0.6 to 1 times the image's shorter side; small images are enlarged.
    """
    height, width = size
    shorter = min(height, width)
    # An enlarged picture ends at the centres of its outermost pixels
    largest = min(shorter / crop, max(shorter - 1, 1) / (crop - 1))
    scale = rng.uniform(0.6 * largest, largest)
    side = scale * (crop - 1)
    left = rng.uniform(0, max(width - 1 - side, 0))
    top = rng.uniform(0, max(height - 1 - side, 0))
    matrix = np.array([[scale, 0, left], [0, scale, top], [0, 0, 1.0]])
    if rng.random() < 0.5:
        matrix = matrix @ np.array([[-1, 0, crop - 1], [0, 1, 0], [0, 0, 1.0]])
    return CropView(matrix, crop)


def perturb(view: CropView, rng: np.random.Generator, *, amount: float) -> CropView:
    """The view after a random small motion about its centre (rotation, zoom, shear, shift).

    It is never mirrored by this: the pointer could not tell left from right.
    """
    angle = amount * rng.normal(0, np.radians(7))
    zoom = np.exp(amount * rng.normal(0, 0.15))
    shear, stretch = amount * rng.normal(0, 0.06), np.exp(amount * rng.normal(0, 0.05))
    shift = amount * rng.normal(0, 0.09, size=2) * view.crop
    rotate = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = rotate @ np.array([[1, shear], [0, 1]]) @ np.diag([zoom * stretch, zoom / stretch])
    middle = np.full(2, (view.crop - 1) / 2)
    motion = np.eye(3)
    motion[:2, :2] = linear
    motion[:2, 2] = middle - linear @ middle + shift
    return replace(view, matrix=view.matrix @ motion)


def bend(view: CropView, rng: np.random.Generator, *, amount: float) -> CropView:
    """The view with every control point displaced at random.

    amount: standard deviation of a displacement, as a share of the view's side; above about 0.1
        the picture begins to fold over itself.
    """
    displaced = amount * view.crop * rng.normal(size=(CONTROL**2, 2))
    return replace(view, bend=displaced)


def view_to_image(
    views: Sequence[CropView],
    *,
    cells: tuple[int, int],
    stride: int,
    offset: float,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """Where in its image each view looks, at a grid of its pixels.

    Source: thin-plate spline, Bookstein 1989: the least bent map through the control points.

    Args:
        views: n views of one crop.
        cells, stride, offset: the grid: `cells` (h, w) positions `stride * cell + offset`.

    Returns:
        `(n, h, w, 2)` xy pixels of the images; each view's values do not depend on the others.
    """
    pixels = grid_pixels(cells, stride, offset, dtype, device).expand(len(views), 2, *cells)
    if any(view.bend is not None for view in views):
        basis = bend_basis(views[0].crop, cells, stride, offset, dtype, device)
        pixels = pixels.clone()
        for moved, view in zip(pixels, views, strict=True):
            if view.bend is not None:
                displaced = torch.as_tensor(view.bend.T, dtype=dtype, device=device)
                moved += (displaced @ basis).reshape(moved.shape)
    stacked = np.stack([view.matrix[:2] for view in views])
    matrix = torch.as_tensor(stacked, dtype=dtype, device=device)[:, :, :, None, None]
    x, y = pixels.unbind(1)
    # Element by element, no matrix product: an example has the same bits in every batch
    return torch.stack([m[:, 0] * x + m[:, 1] * y + m[:, 2] for m in matrix.unbind(1)], dim=-1)


@functools.lru_cache(maxsize=8)
def grid_pixels(
    cells: tuple[int, int], stride: int, offset: float, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """`(2, h, w)`: x and y of a grid's pixels."""
    grid = pixel_grid(cells, stride=stride, offset=offset)
    return grid.movedim(-1, 0).contiguous().to(device, dtype)


@functools.lru_cache(maxsize=8)
def bend_basis(
    crop: int,
    cells: tuple[int, int],
    stride: int,
    offset: float,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """`(CONTROL**2, h * w)`: how much each pixel of a grid follows each control point."""
    # in sides of the view: the system is well conditioned and the same for every crop
    side = np.linspace(0, 1, CONTROL)
    control = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    count = len(control)
    system = np.zeros((count + 3, count + 3))
    system[:count] = _thin_plate_terms(control, control)
    system[count:, :count] = system[:count, count:].T
    solved = np.linalg.inv(system)[:, :count]  # control displacements -> spline coefficients
    points = pixel_grid(cells, stride=stride, offset=offset).double().reshape(-1, 2).numpy()
    basis = _thin_plate_terms(points / (crop - 1), control) @ solved
    return torch.from_numpy(np.ascontiguousarray(basis.T)).to(device, dtype)


def _thin_plate_terms(points: np.ndarray, control: np.ndarray) -> np.ndarray:
    """(P, 2) points, (K, 2) control points -> (P, K + 3): r^2 log r^2 to each, then 1, x, y."""
    square = ((points[:, None] - control[None]) ** 2).sum(-1)
    radial = square * np.log(np.maximum(square, 1e-300))  # 0 log 0 is 0
    return np.concatenate([radial, np.ones((len(points), 1)), points], axis=1)


def cut_rgb(images: Sequence[Tensor], views: Sequence[CropView]) -> Tensor:
    """Sample views of images, bilinearly, mirrored at the border, on the images' own device.

    Args:
        images: n of `(3, H, W)` uint8 on one device, of any sizes; those of one size are cut at
            once.
        views: n views of one crop S.

    Returns:
        `(n, 3, S, S)` float32 sRGB, [0, 1].
    """
    crop, device = views[0].crop, images[0].device
    alike: dict[tuple[int, int], list[int]] = {}
    for number, image in enumerate(images):
        alike.setdefault(image_size(image), []).append(number)
    found = torch.empty(len(images), 3, crop, crop, device=device)
    for (height, width), numbers in alike.items():
        xy = view_to_image(
            [views[n] for n in numbers],
            cells=(crop, crop),
            stride=1,
            offset=0.0,
            dtype=torch.float32,
            device=device,
        )
        far = xy.new_tensor([max(width - 1, 1), max(height - 1, 1)])  # one pixel wide: no 1 / 0
        pictures = torch.stack([images[n] for n in numbers]).float() / 255
        found[numbers] = F.grid_sample(
            pictures, xy * (2 / far) - 1, padding_mode="reflection", align_corners=True
        )
    return found


def cut_views(images: Sequence[Tensor], views: Sequence[CropView]) -> Tensor:
    """`cut_rgb` as network input: `(n, 3, S, S)` float32 normalised Lab."""
    at_once = _CPU_AT_ONCE if images[0].device.type == "cpu" else len(images)
    pieces = [slice(start, start + at_once) for start in range(0, len(images), at_once)]
    return torch.cat([normalize_lab(rgb_to_lab(cut_rgb(images[p], views[p]))) for p in pieces])


def view_correspondence(
    reference: CropView, target: CropView, size: tuple[int, int], spec: FeatureSpec
) -> Tensor:
    """Where in the reference view each target cell's content is, for two views of one image.

    Args:
        reference: a view without a bend.
        target: any view.
        size: (height, width) of the image.

    Returns:
        `(h, w, 2)` float32 xy pixels in the reference view, on the CPU; NaN where either view
        shows what is mirrored at the image's border, or the reference does not reach.

    Raises:
        InputError: the reference bends.
    """
    if reference.bend is not None:
        raise InputError(
            "view_correspondence: expected a reference view without a bend (it has no closed "
            "inverse), got one with; bend the target instead"
        )
    in_image = view_to_image(
        [target],
        cells=cell_count((target.crop, target.crop), stride=spec.stride),
        stride=spec.stride,
        offset=spec.offset,
        dtype=torch.float64,
        device=torch.device("cpu"),
    )[0]
    back = torch.from_numpy(np.linalg.inv(reference.matrix))
    in_reference = in_image @ back[:2, :2].T + back[:2, 2]
    limit = in_image.new_tensor([size[1] - 1, size[0] - 1])
    inside = ((in_image >= 0) & (in_image <= limit)).all(-1)
    inside &= ((in_reference >= 0) & (in_reference <= reference.crop - 1)).all(-1)
    return in_reference.masked_fill(~inside[..., None], float("nan")).float()
