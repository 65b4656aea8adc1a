"""LPIPS, where its package is installed: how different two pictures look to a trained network.

Zhang et al. 2018, AlexNet, version 0.1: from the package `lpips`, else from `torchmetrics`. Neither
is a dependency of ours, and their weights are those of the user's own install.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.ops.resample import planes

Distance = Callable[[np.ndarray, np.ndarray], float]
"""LPIPS of two `(H, W, 3)` uint8 pictures; 0 when they are equal."""


def load_lpips() -> Distance:
    """The distance, its network loaded.

    Raises:
        InputError: no package that has it, or its weights cannot be loaded.
    """
    try:
        network = _network()
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            "LPIPS: expected the package `lpips` or `torchmetrics` with torchvision and its "
            f"weights, got: {reason}"
        ) from error

    @torch.inference_mode()
    def distance(rgb: np.ndarray, truth: np.ndarray) -> float:
        return float(network(_signed(rgb), _signed(truth)))

    return distance


def _network() -> Callable[[Tensor, Tensor], Any]:
    """From two `(1, 3, H, W)` tensors in [-1, 1] to their distance."""
    try:
        import lpips  # pyright: ignore[reportMissingImports]
    except ImportError:
        from torchmetrics.image.lpip import (  # pyright: ignore[reportMissingImports]
            LearnedPerceptualImagePatchSimilarity,
        )

        return LearnedPerceptualImagePatchSimilarity(net_type="alex").eval()
    return lpips.LPIPS(net="alex", verbose=False).eval()


def _signed(rgb: np.ndarray) -> Tensor:
    return planes(rgb)[None].float() / 127.5 - 1
