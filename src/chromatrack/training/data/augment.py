"""What changes about the colours of a view: light and noise, and which channels are hidden.

Every draw takes the example's own random generator, so an example looks the same in every batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.training.config import Hide

_DROPOUT = np.array(
    [[0, 1, 1]] * 6 + [[0, 1, 0], [0, 0, 1]] * 2 + [[1, 0, 1], [1, 1, 0]], dtype=bool
)
NOISE = 0.02  # standard deviation of the noise at strength 1, normalised Lab


def draw_hidden(rng: np.random.Generator, *, hide: Hide) -> np.ndarray:
    """Which Lab channels the network does not see in an example: `(3,)` bool, never all three.

    "dropout": half of the examples keep L alone; the others hide one colour channel, or L and one
    colour channel. "color": a and b, so the input is grey. "none": nothing.

    Source: channel dropout, Lai and Xie 2019 (CorrFlow), with L among the channels (MAST 2020).

    Raises:
        InputError: hide is none of these.
    """
    if hide == "dropout":
        return _DROPOUT[rng.integers(len(_DROPOUT))].copy()
    if hide not in get_args(Hide):
        raise InputError(f"hide: expected {' or '.join(get_args(Hide))}, got {hide!r}")
    return np.array([False, hide == "color", hide == "color"])


@dataclass(frozen=True)
class LightChange:
    """How the light changes over the views of one example, in normalised Lab.

    gain, shift: (V, 3) float32, per channel, `lab * gain + shift`. noise: standard deviation of
    the noise of every pixel. noise_seed: what the noise is drawn from.
    """

    gain: np.ndarray
    shift: np.ndarray
    noise: float
    noise_seed: int


def draw_light(rng: np.random.Generator, *, views: int, strength: float) -> LightChange:
    """A random change of light and colour, independent for every view.

    strength: 0 changes nothing; at 1 lightness and colour are multiplied by about 0.8 to 1.25
        (a and b alike: a hue stays a hue) and shifted by about 6 and 2 units of Lab.
    """
    lightness, color = np.exp(rng.normal(size=(2, views)) * strength * [[0.2], [0.25]])
    shift = rng.normal(size=(views, 3)) * strength * [0.12, 0.04, 0.04]
    return LightChange(
        gain=np.stack([lightness, color, color], axis=1).astype(np.float32),
        shift=shift.astype(np.float32),
        noise=NOISE * strength,
        noise_seed=int(rng.integers(2**63 - 1)),
    )


def change_light(lab: Tensor, changes: Sequence[LightChange]) -> Tensor:
    """Apply each example's change of light to its views, on their device.

    Args:
        lab: `(B, V, 3, H, W)` float normalised Lab.
        changes: B changes of V views.

    Returns:
        As `lab`, a new tensor. The noise of a seed differs between kinds of devices.
    """
    gain = torch.from_numpy(np.stack([change.gain for change in changes])).to(lab)
    shift = torch.from_numpy(np.stack([change.shift for change in changes])).to(lab)
    changed = lab * gain[..., None, None] + shift[..., None, None]
    for example, change in zip(changed, changes, strict=True):
        if change.noise > 0:
            generator = torch.Generator(lab.device).manual_seed(change.noise_seed)
            noise = torch.randn(
                example.shape, generator=generator, device=lab.device, dtype=lab.dtype
            )
            example.add_(noise, alpha=change.noise)
    return changed
