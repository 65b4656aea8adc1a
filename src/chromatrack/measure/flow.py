"""Dense optical flow, and what is carried along it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from chromatrack.coords import pixel_grid
from chromatrack.errors import InputError
from chromatrack.subcell import sample

Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(from `(H, W)` uint8, to, same shape) -> displacement `(H, W, 2)` float32, xy pixels: what is at
p in the first picture is at p + displacement in the second."""


def dis_flow() -> Flow:
    """Dense inverse search (Kroeger et al. 2016), OpenCV's, at its most accurate preset.

    Raises:
        InputError: OpenCV is not installed.
    """
    try:
        import cv2  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            "optical flow: expected OpenCV, which is not installed; "
            "run `pip install chromatrack[flow]`, or leave the flow out"
        ) from error
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def flow(source: np.ndarray, target: np.ndarray) -> np.ndarray:
        return search.calc(source, target, np.zeros((*source.shape, 2), dtype=np.float32))

    return flow


def identity_places(size: Sequence[int]) -> Tensor:
    """`(H, W, 2)` float32: every pixel of a picture of (height, width) at its own place, xy."""
    return pixel_grid(size, stride=1, offset=0)


def chain(places: Tensor, flow: np.ndarray) -> Tensor:
    """Places of one more frame's pixels in frame 0.

    Args:
        places: `(H, W, 2)` float32, where each pixel of the frame before is in frame 0, xy pixels.
        flow: `(H, W, 2)` float32 displacement from this frame to the one before.

    Returns:
        `(H, W, 2)` float32, inside the frame wherever `places` is: what comes from outside is
        taken for the border.
    """
    at = identity_places(flow.shape[:2]) + torch.from_numpy(flow)
    return sample(places.permute(2, 0, 1), at)


def carry(ab: Tensor, places: Tensor) -> Tensor:
    """Colours `(2, H, W)` of frame 0 taken from `(H, W, 2)` xy places, bilinear, to `(2, H, W)`."""
    return sample(ab, places).permute(2, 0, 1).contiguous()
