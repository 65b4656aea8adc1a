"""Move a frame by a matrix and decide what shows at its edges: fills, crops, zoom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from chromatrack.errors import InputError
from chromatrack.ops.coords import image_size, pixel_grid, rescale_points
from chromatrack.ops.resample import planes
from chromatrack.uses.surface import sample_picture

Fill: TypeAlias = Literal["crop", "black", "blur", "edge"]
"""What shows where the moved frame ends."""

SMALLEST_CROP = 16
"""px: a crop with a shorter side than this is no picture."""

BLUR = 16
"""px of the frame that become one in the blurred ground, at 480 rows; more for taller frames."""


@dataclass(frozen=True)
class Framing:
    """Which part of the steadied frame is shown, and at what size.

    output_size: (height, width) px. crop: left, top, width, height px of the steadied frame, None
    for all of it.
    """

    output_size: tuple[int, int]
    crop: tuple[int, int, int, int] | None = None

    def places(self) -> Tensor:
        """(h, w, 2) float32 xy in the steadied frame of every output pixel."""
        grid = pixel_grid(self.output_size, stride=1, offset=0)
        if self.crop is None:
            return grid
        left, top, width, height = self.crop
        inside = rescale_points(grid, from_size=self.output_size, to_size=(height, width))
        return inside + torch.tensor([left, top])


def crop_framing(matrices: np.ndarray, *, size: tuple[int, int], zoom: bool = False) -> Framing:
    """The largest centred part of the frame's aspect, of even size, that every moved frame fills.

    Args:
        matrices: (N, 3, 3) that move the frames. size: (height, width) px.
        zoom: scale the part to the whole size.

    Raises:
        InputError: less than `SMALLEST_CROP` px would be left.
    """
    height, width = size
    inverses, overhang = np.linalg.inv(matrices), np.zeros(len(matrices))
    for across in range(width // 2 * 2, SMALLEST_CROP - 1, -2):
        down = int(across * height / width + 1e-6) // 2 * 2
        if down < SMALLEST_CROP:
            break
        part = ((width - across) // 2, (height - down) // 2, across, down)
        overhang = _overhang(inverses, part, size)
        if overhang.max() <= 1e-3:
            return Framing(size if zoom else (down, across), part)
    raise InputError(
        f"nothing to crop to: the tracked frame number {overhang.argmax()} (from 0) moves so far "
        f"that less than {SMALLEST_CROP} px in the middle are always filled; choose another fill, "
        "or smooth"
    )


def _overhang(
    inverses: np.ndarray, part: tuple[int, int, int, int], size: tuple[int, int]
) -> np.ndarray:
    """(N,) px by which the pixel centres of a part come from beyond each source frame at most.

    A frame is convex, so the corners tell.
    """
    left, top, width, height = part
    right, bottom = left + width - 1, top + height - 1
    corners = np.array([(left, top), (right, top), (left, bottom), (right, bottom)])
    source = np.einsum("nij,kj->nki", inverses[:, :2, :2], corners) + inverses[:, None, :2, 2]
    limit = np.array([size[1] - 1, size[0] - 1])
    return np.maximum(-source, source - limit).max(axis=(1, 2))


class Warp:
    """Moves frames, bicubic, into one framing with one kind of fill.

    >>> move = Warp(Framing((480, 640)), fill="black")
    >>> steadied = move(rgb, matrix)
    """

    def __init__(self, framing: Framing, *, fill: Fill) -> None:
        self._fill = fill
        self._places = framing.places()

    def __call__(self, rgb: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """A moved frame: (h, w, 3) uint8 or uint16 of a (H, W, 3) frame of the same type.

        matrix: (3, 3), moves the pixels.
        """
        levels = rgb.astype(np.int32) if rgb.dtype == np.uint16 else rgb
        back = torch.from_numpy(np.linalg.inv(matrix)).float()
        source = (self._places @ back[:2, :2].T + back[:2, 2]).permute(2, 0, 1)
        image = planes(np.ascontiguousarray(levels)).float()
        moved = sample_picture(image, source)
        if self._fill in ("black", "blur"):
            ones = torch.ones(1, *image_size(image))
            covered = sample_picture(ones, source, mode="bilinear", padding_mode="zeros")
            ground = _blurred(moved) if self._fill == "blur" else torch.zeros(1)
            moved = ground + covered * (moved - ground)
        pixels = moved.round().clamp(0, np.iinfo(rgb.dtype).max).to(torch.int32)
        return pixels.permute(1, 2, 0).contiguous().numpy().astype(rgb.dtype)


def _blurred(image: Tensor) -> Tensor:
    """A (3, h, w) picture through a coarse grid and back: colour without detail."""
    height, width = image_size(image)
    cell = max(2.0, BLUR * height / 480)
    coarse = (max(1, round(height / cell)), max(1, round(width / cell)))
    small = F.interpolate(image[None], size=coarse, mode="area")
    small = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return F.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)[0]
