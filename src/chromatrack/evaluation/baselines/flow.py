"""Dense optical flow: where it comes from, and what is followed along it.

A flow is a function of two pictures (`Flow`): OpenCV's DIS, RAFT where torchvision is installed, or
any other. What is here of the rest is plain geometry: the places of a frame's pixels on an earlier
frame, chained from frame to frame, and how well the way there and the way back agree.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromatrack.errors import InputError
from chromatrack.ops.coords import inside_image, pixel_grid
from chromatrack.ops.subpixel import sample

Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(from, to) -> displacement `(H, W, 2)` float32, xy pixels: what is at p in the first picture is
at p + displacement in the second. Both are `(H, W)` grey or `(H, W, 3)` RGB, uint8."""

RaftSize = Literal["small", "large"]

DIS_LEAST = 16
"""Pixels of the shortest side that DIS can search; smaller pictures are padded."""

RAFT_MULTIPLE = 8
"""RAFT's frames have sides of a multiple of this many pixels."""

RAFT_LEAST = 128
"""Pixels of the shortest side that RAFT's pyramid of four levels can be built for."""


# -- estimators ----------------------------------------------------------------------------


class DisFlow:
    """Dense inverse search on luminance; made by `dis_flow`. Can be pickled."""

    def __init__(self) -> None:
        """Raises ImportError without OpenCV."""
        import cv2  # pyright: ignore[reportMissingImports]

        self._grey = lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """See `Flow`."""
        height, width = source.shape[:2]
        pad = [(0, max(0, DIS_LEAST - side)) for side in (height, width)]
        greys = [x if x.ndim == 2 else self._grey(x) for x in (source, target)]
        a, b = (np.pad(grey, pad, mode="edge") for grey in greys)
        flow = self._search.calc(a, b, np.zeros((*a.shape, 2), dtype=np.float32))
        return flow[:height, :width]

    def __reduce__(self) -> tuple[type[DisFlow], tuple[()]]:
        return DisFlow, ()


def dis_flow() -> Flow:
    """Dense inverse search (Kroeger et al. 2016), OpenCV's, at its most accurate preset.

    Raises:
        InputError: OpenCV is not installed.
    """
    try:
        return DisFlow()
    except ImportError as error:
        raise InputError(
            "optical flow: expected OpenCV, which is not installed; "
            "run `pip install chromatrack[flow]`, or leave the flow out"
        ) from error


class RaftFlow:
    """A RAFT network of torchvision; made by `raft_flow`. Grey pictures are shown as RGB."""

    def __init__(self, network: nn.Module, *, device: torch.device) -> None:
        self.network = network.to(device).eval()
        self.device = device

    @torch.inference_mode()
    def __call__(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """See `Flow`."""
        height, width = source.shape[:2]
        below, right = (max(RAFT_LEAST - side, -side % RAFT_MULTIPLE) for side in (height, width))
        pad = (0, right, 0, below)
        images = [F.pad(self._image(x), pad, mode="replicate") for x in (source, target)]
        flow = self.network(*images)[-1][0, :, :height, :width]
        return flow.permute(1, 2, 0).contiguous().float().cpu().numpy()

    def _image(self, picture: np.ndarray) -> Tensor:
        """`(1, 3, H, W)` float32 in [-1, 1], as RAFT was trained on."""
        rgb = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
        image = torch.from_numpy(rgb).to(self.device).permute(2, 0, 1)[None]
        return image.float() / 127.5 - 1


def raft_flow(
    weights: str | PathLike[str] | None = None,
    *,
    size: RaftSize = "large",
    device: torch.device | str = "cpu",
) -> Flow:
    """RAFT (Teed and Deng 2020), torchvision's.

    Args:
        weights: file of a state dict, such as torchvision offers; None takes torchvision's default
            weights if they are in its cache. Nothing is downloaded.

    Raises:
        InputError: torchvision is not installed, or the weights are not there or do not fit.
    """
    try:
        from torchvision.models import optical_flow  # pyright: ignore[reportMissingImports]
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        raise InputError(
            f"RAFT: expected torchvision of this torch ({torch.__version__}), got: {error}; "
            "run `pip install torchvision`, or use the flow of OpenCV (--model flow)"
        ) from error
    name, asked = f"raft_{size}", "raft" if size == "large" else "raft-small"
    path = _cached(optical_flow, name) if weights is None else Path(weights)
    network: nn.Module = getattr(optical_flow, name)(weights=None)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except FileNotFoundError as error:
        raise InputError(
            f"RAFT: no weights at '{fspath(path)}', and none are downloaded; fetch them with "
            f'`python -c "from torchvision.models.optical_flow import {name}; '
            f"{name}(weights='DEFAULT')\"`, or name a file (--model {asked}:PATH)"
        ) from error
    except (
        OSError,
        RuntimeError,
        ValueError,
        TypeError,
        EOFError,
        pickle.UnpicklingError,
    ) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"RAFT: expected a state dict of torchvision's {name} in '{fspath(path)}', "
            f"got another thing: {said}"
        ) from error
    return RaftFlow(network, device=torch.device(device))


# -- what is followed along it -------------------------------------------------------------


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
    """Colours, or any `(C, H, W)` of frame 0, taken from `(H, W, 2)` xy places, bilinear."""
    return sample(ab, places).permute(2, 0, 1).contiguous()


def come_from(known: Tensor, flow: np.ndarray) -> Tensor:
    """Which pixels of one more frame come from pixels that were known on the frame before.

    Args:
        known: `(H, W)` bool of the frame before. flow: as in `chain`.

    Returns:
        `(H, W)` bool, False also for what comes from outside the frame.
    """
    height, width = known.shape
    at = identity_places(known.shape) + torch.from_numpy(flow)
    x, y = at.round().long().unbind(-1)
    found = known[y.clamp(0, height - 1), x.clamp(0, width - 1)]
    return found & inside_image(at, (height, width))


def agreement(there: Tensor, back: Tensor) -> Tensor:
    """How well the way there and the way back of points agree, in [0, 1]; visible above 1/2.

    Source: the test of Sundaram, Brox and Keutzer 2010, |a + b|^2 < 0.01 (|a|^2 + |b|^2) + 0.5,
    made smooth: 1/2 where both sides are equal, halved again for each such distance squared.

    Args:
        there: `(P, 2)` displacement of the points, pixels. back: `(P, 2)` from where they came to.
    """
    allowed = 0.01 * ((there**2).sum(-1) + (back**2).sum(-1)) + 0.5
    return torch.exp2(-((there + back) ** 2).sum(-1) / allowed)


def _cached(optical_flow: object, name: str) -> Path:
    """Where torchvision keeps the default weights of a network once they were fetched."""
    weights = getattr(optical_flow, f"{name.title()}_Weights").DEFAULT
    return Path(torch.hub.get_dir()) / "checkpoints" / str(weights.url).rpartition("/")[2]


Mode = Literal["chained", "straight"]
