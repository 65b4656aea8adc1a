"""Move a frame by a matrix and decide what shows at its edges: fills, crops, zoom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from chromatrack.errors import InputError
from chromatrack.ops.coords import pixel_grid, rescale_points

Fill: TypeAlias = Literal["crop", "black", "blur", "edge"]
"""What shows where the moved frame ends."""

SMALLEST_CROP = 16
"""px: a crop with a shorter side than this is no picture."""

BLUR = 16
"""px of the frame that become one in the blurred ground, at 480 rows; more for taller frames."""


@dataclass(frozen=True)
class Framing:
    """Which part of the steadied frame is shown, and at what size.

    source_size, output_size: (height, width) px. crop: left, top, width, height px of the steadied
    frame, None for all of it.
    """

    source_size: tuple[int, int]
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


def whole_framing(size: tuple[int, int]) -> Framing:
    """All of a frame of `size` (height, width), as it is."""
    return Framing(size, size)


def crop_framing(matrices: np.ndarray, *, size: tuple[int, int], zoom: bool = False) -> Framing:
    """The largest centred part of the frame's aspect, of even size, that every moved frame fills.

    Args:
        matrices: (N, 3, 3) that move the frames. size: (height, width) px.
        zoom: scale the part to the whole size.

    Raises:
        InputError: less than `SMALLEST_CROP` px would be left.
    """
    height, width = size
    inverses = np.linalg.inv(matrices)
    share, worst = _filled_share(inverses, size)
    # Shares are of distances between pixel centres: a whole pixel may fit where a share does not.
    across = min(width // 2 * 2, (int(share * width) + 4) // 2 * 2) if share > 0 else 0
    while across >= SMALLEST_CROP:
        down = int(across * height / width + 1e-6) // 2 * 2
        part = ((width - across) // 2, (height - down) // 2, across, down)
        if down >= SMALLEST_CROP and _is_filled(inverses, part, size):
            return Framing(size, size if zoom else (down, across), part)
        across -= 2
    raise InputError(
        f"nothing to crop to: the tracked frame number {worst} (from 0) moves so far that less "
        f"than {SMALLEST_CROP} px in the middle are always filled; choose another fill, or smooth"
    )


class Warp:
    """Moves frames, bicubic, into one framing with one kind of fill.

    >>> move = Warp(whole_framing((480, 640)), fill="black")
    >>> steadied = move(rgb, matrix)
    """

    def __init__(self, framing: Framing, *, fill: Fill) -> None:
        self._fill = fill
        self._places = framing.places()
        height, width = framing.source_size
        self._ones = torch.ones(1, 1, height, width)
        self._middle = torch.tensor([(width - 1) / 2, (height - 1) / 2])
        self._half = torch.tensor([width / 2, height / 2])

    def __call__(self, rgb: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8 of a (H, W, 3) uint8 frame whose pixels `matrix` (3, 3) moves."""
        back = torch.from_numpy(np.linalg.inv(matrix)).float()
        source = self._places @ back[:2, :2].T + back[:2, 2]
        grid = ((source - self._middle) / self._half)[None]
        image = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float()
        moved = F.grid_sample(
            image, grid, mode="bicubic", padding_mode="border", align_corners=False
        )
        if self._fill in ("black", "blur"):
            covered = F.grid_sample(self._ones, grid, mode="bilinear", align_corners=False)
            ground = _blurred(moved) if self._fill == "blur" else torch.zeros(1)
            moved = ground + covered * (moved - ground)
        pixels = moved.round().clamp(0, 255).to(torch.uint8)[0]
        return pixels.permute(1, 2, 0).contiguous().numpy()


# -- parts ---------------------------------------------------------------------------------


def _blurred(image: Tensor) -> Tensor:
    """A (1, 3, h, w) picture through a coarse grid and back: colour without detail."""
    height, width = image.shape[-2:]
    cell = max(2.0, BLUR * height / 480)
    coarse = (max(1, round(height / cell)), max(1, round(width / cell)))
    small = F.interpolate(image, size=coarse, mode="area")
    small = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return F.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)


def _filled_share(inverses: np.ndarray, size: tuple[int, int]) -> tuple[float, int]:
    """The share 0..1 of the frame's sides that a centred part may have, and the tightest row.

    A frame is convex, so a part is filled if its corners are; each corner moves on a line as the
    part grows, which the frame's four sides cut at a known share.
    """
    height, width = size
    limit = np.array([width - 1, height - 1], dtype=np.float64)
    middle = limit / 2
    starts = inverses[:, :2, :2] @ middle + inverses[:, :2, 2]
    signs = np.array([(-1, -1), (1, -1), (-1, 1), (1, 1)])
    ways = np.einsum("nij,kj->nki", inverses[:, :2, :2], signs * middle)
    room = np.where(ways > 0, limit - starts[:, None], starts[:, None])
    shares = room / np.maximum(np.abs(ways), 1e-9)
    shares[(starts < 0).any(axis=1) | (starts > limit).any(axis=1)] = 0
    worst = int(shares.min(axis=(1, 2)).argmin())
    return float(np.clip(shares.min() + 1e-9, 0, 1)), worst


def _is_filled(
    inverses: np.ndarray, part: tuple[int, int, int, int], size: tuple[int, int]
) -> bool:
    """Whether every pixel centre of a part comes from within every source frame."""
    left, top, width, height = part
    right, bottom = left + width - 1, top + height - 1
    corners = np.array([(left, top), (right, top), (left, bottom), (right, bottom)])
    source = np.einsum("nij,kj->nki", inverses[:, :2, :2], corners) + inverses[:, None, :2, 2]
    limit = np.array([size[1] - 1, size[0] - 1])
    return bool((source >= -1e-3).all() and (source <= limit + 1e-3).all())
