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
    """A random view inside an image of (height, width); see `random_views`."""
    return CropView(random_views(np.array([size]), crop, rng)[0], crop)


def random_views(size: np.ndarray, crop: int, rng: np.random.Generator) -> np.ndarray:
    """Random axis-aligned views, mirrored half of the time; their matrices, `(n, 3, 3)`.

    A side is 0.6 to 1 times the image's shorter side; small images are enlarged.

    Args:
        size: `(n, 2)` (height, width) of the images.
    """
    shorter = size.min(1)
    # An enlarged picture ends at the centres of its outermost pixels
    largest = np.minimum(shorter / crop, np.maximum(shorter - 1, 1) / (crop - 1))
    scale = rng.uniform(0.6 * largest, largest)
    side = scale * (crop - 1)
    matrix = np.zeros((len(size), 3, 3))
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    matrix[:, 0, 2] = rng.uniform(0, np.maximum(size[:, 1] - 1 - side, 0))
    matrix[:, 1, 2] = rng.uniform(0, np.maximum(size[:, 0] - 1 - side, 0))
    matrix[:, 2, 2] = 1
    mirrored = rng.random(len(size)) < 0.5
    matrix[mirrored] = matrix[mirrored] @ np.array([[-1, 0, crop - 1], [0, 1, 0], [0, 0, 1.0]])
    return matrix


def perturb(view: CropView, rng: np.random.Generator, *, amount: float) -> CropView:
    """The view after a random small motion; see `random_motions`."""
    return replace(view, matrix=view.matrix @ random_motions(np.array(amount), view.crop, rng))


def random_motions(amount: np.ndarray, crop: int, rng: np.random.Generator) -> np.ndarray:
    """Random small motions of views about their centres (rotation, zoom, shear, shift).

    Nothing is mirrored: the pointer could not tell left from right.

    Args:
        amount: strength of each; 1 is about 7 degrees and 15 %.

    Returns:
        `(*amount.shape, 3, 3)`, view pixels to view pixels.
    """
    shape = amount.shape
    angle = amount * rng.normal(0, np.radians(7), size=shape)
    zoom = np.exp(amount * rng.normal(0, 0.15, size=shape))
    shear = amount * rng.normal(0, 0.06, size=shape)
    stretch = np.exp(amount * rng.normal(0, 0.05, size=shape))
    shift = amount[..., None] * rng.normal(0, 0.09, size=(*shape, 2)) * crop
    cos, sin, one, none = np.cos(angle), np.sin(angle), np.ones(shape), np.zeros(shape)
    rotate = _stacked([[cos, -sin], [sin, cos]])
    zooms = _stacked([[zoom * stretch, none], [none, zoom / stretch]])
    linear = rotate @ _stacked([[one, shear], [none, one]]) @ zooms
    middle = np.full(2, (crop - 1) / 2)
    motion = np.zeros((*shape, 3, 3))
    motion[..., :2, :2] = linear
    motion[..., :2, 2] = middle - linear @ middle + shift
    motion[..., 2, 2] = 1
    return motion


def _stacked(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Matrices `(..., rows, columns)` from arrays of their elements."""
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def bend(view: CropView, rng: np.random.Generator, *, amount: float) -> CropView:
    """The view with every control point displaced at random.

    amount: standard deviation of a displacement, as a share of the view's side; above about 0.1
        the picture begins to fold over itself.
    """
    displaced = amount * view.crop * rng.normal(size=(CONTROL**2, 2))
    return replace(view, bend=displaced)


def view_to_image(
    matrix: Tensor,
    bends: Tensor | None = None,
    *,
    crop: int,
    cells: tuple[int, int],
    stride: int = 1,
    offset: float = 0.0,
) -> Tensor:
    """Where in its image each view looks, at a grid of its pixels.

    Source: thin-plate spline, Bookstein 1989: the least bent map through the control points.

    Args:
        matrix: `(n, 3, 3)`. bends: `(n, CONTROL**2, 2)`; None: no view bends.
        cells, stride, offset: the grid: `cells` (h, w) positions `stride * cell + offset`.

    Returns:
        `(n, h, w, 2)` xy pixels of the images; each view's values do not depend on the others.
    """
    grid = cells, stride, offset, matrix.dtype, matrix.device
    pixels = grid_pixels(*grid)
    if bends is not None:
        moved = bends.to(matrix.dtype).transpose(1, 2) @ bend_basis(crop, *grid)
        pixels = pixels + moved.unflatten(2, cells)
    return _moved(matrix, pixels)


def _moved(matrix: Tensor, pixels: Tensor) -> Tensor:
    """`(n, 3, 3)` times `(2, h, w)` or `(n, 2, h, w)` xy: `(n, h, w, 2)`."""
    x, y = pixels.unbind(-3)
    rows = matrix[:, :2, :, None, None].unbind(1)
    # Element by element, no matrix product: an example has the same bits in every batch
    return torch.stack([m[:, 0] * x + m[:, 1] * y + m[:, 2] for m in rows], dim=-1)


def as_tensors(
    views: Sequence[CropView], dtype: torch.dtype, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor | None]:
    """The matrices and bends of views, as `view_to_image` takes them."""
    matrix = torch.as_tensor(np.stack([v.matrix for v in views]), dtype=dtype, device=device)
    if all(view.bend is None for view in views):
        return matrix, None
    still = np.zeros((CONTROL**2, 2))
    bends = np.stack([still if view.bend is None else view.bend for view in views])
    return matrix, torch.as_tensor(bends, dtype=dtype, device=device)


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
        matrix, bends = as_tensors([views[n] for n in numbers], torch.float32, device)
        xy = view_to_image(matrix, bends, crop=crop, cells=(crop, crop))
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
    """`correspondences` of two views of one image of (height, width): `(h, w, 2)`, on the CPU.

    Raises:
        InputError: the reference bends.
    """
    if reference.bend is not None:
        raise InputError(
            "view_correspondence: expected a reference view without a bend (it has no closed "
            "inverse), got one with; bend the target instead"
        )
    matrix, bends = as_tensors([reference, target], torch.float64)
    bends = None if bends is None else bends[1:]
    sizes = torch.tensor([size])
    return correspondences(matrix[:1], matrix[1:], bends, sizes, spec, crop=target.crop)[0]


def correspondences(
    reference: Tensor,
    target: Tensor,
    bends: Tensor | None,
    size: Tensor,
    spec: FeatureSpec,
    *,
    crop: int,
) -> Tensor:
    """Where in a reference view each target cell's content is, for n pairs of views of an image.

    Args:
        reference, target: `(n, 3, 3)` float64 matrices. bends: of the targets.
        size: `(n, 2)` (height, width) of the images.

    Returns:
        `(n, h, w, 2)` float32 xy pixels in the reference view; NaN where either view shows what is
        mirrored at the image's border, or the reference does not reach.
    """
    grid = {"stride": spec.stride, "offset": spec.offset}
    cells = cell_count((crop, crop), stride=spec.stride)
    in_image = view_to_image(target, bends, crop=crop, cells=cells, **grid)
    found = _moved(torch.linalg.inv(reference), in_image.movedim(-1, 1))
    limit = size.flip(1)[:, None, None].to(in_image) - 1
    inside = ((in_image >= 0) & (in_image <= limit)).all(-1)
    inside &= ((found >= 0) & (found <= crop - 1)).all(-1)
    return found.masked_fill(~inside[..., None], float("nan")).float()
