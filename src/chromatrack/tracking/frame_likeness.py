"""How much of one grey frame's colours another could give, by features: to choose references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.resample import planes
from chromatrack.tracking.colorize import embed_grey
from chromatrack.tracking.embedder import FrameEmbedder

SHORT_SIDE = 128
"""Of the small pictures that are embedded, px; the long one follows."""

CELLS = (6, 8)
"""Rows and columns of a frame that are compared."""

COVERED = 0.85
"""Cosine from which a part of a frame is taken to find its colours in a part of another."""

_PER_L = 2.55


class FrameLooks:
    """Looks of frames: unit vectors `(48, C)` of their parts, which see luminance alone."""

    def __init__(self, embedder: FrameEmbedder) -> None:
        self._embedder = embedder
        self._encoder = embedder.grey_encoder

    def of(self, rgb: np.ndarray) -> Tensor:
        """Of `(H, W, 3)` uint8."""
        return self.of_light(small_light(rgb, (rgb.shape[0], rgb.shape[1])))

    @torch.inference_mode()
    def of_light(self, light: np.ndarray) -> Tensor:
        """Of what `small_light` made of a frame."""
        lab = torch.zeros(3, *light.shape, device=self._embedder.device)
        lab[0] = torch.from_numpy(light).to(lab) / _PER_L
        features = embed_grey(self._encoder, lab)
        parts = F.adaptive_avg_pool2d(features[None], CELLS)[0].flatten(1).T
        return F.normalize(parts, dim=1)


def small_light(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """L of a frame as it is embedded here: `(h, w)` uint8, 2.55 times Lab's.

    Args:
        rgb: `(H, W, 3)` uint8, the frame at any size.
        size: (height, width) of the film, whose shape the result has.
    """
    scale = SHORT_SIDE / min(size)
    height, width = (16 * max(1, round(side * scale / 16)) for side in size)
    small = np.array(Image.fromarray(rgb).resize((width, height), Image.Resampling.BOX))
    light = rgb_to_lab(planes(small).contiguous().float() / 255)[0]
    return np.rint(light.numpy() * _PER_L).astype(np.uint8)


@torch.inference_mode()
def likeness(frame: Tensor, reference: Tensor) -> Tensor:
    """`(48,)` cosine of each part of a frame to the part of a reference that is most like it."""
    return (frame @ reference.T).amax(1)


@dataclass(frozen=True)
class Choice:
    """A chosen candidate: its index, and the shares of everything that are covered by it.

    alone: by it, if it were the only one. added: beyond those chosen before it.
    """

    index: int
    alone: float
    added: float


@torch.inference_mode()
def choose(
    looks: Sequence[Tensor], weights: Sequence[float], count: int, *, known: Sequence[int] = ()
) -> list[Choice]:
    """The frames that together cover most of all frames, greedily (at worst 63 % of the best).

    Args:
        looks: of every candidate frame.
        weights: how much each stands for; any unit.
        count: how many to choose; fewer where all is covered.
        known: indices of those that have colours already: what they cover counts no more.
    """
    total = float(sum(weights))
    weight = torch.tensor(weights)[:, None] / (total * looks[0].shape[0])
    every = torch.stack(list(looks))
    covers = [
        ((every @ one.T).amax(2) >= COVERED).cpu() for one in looks
    ]  # (candidates, parts) for each
    left = torch.ones_like(covers[0])
    for index in known:
        left &= ~covers[index]
    chosen: list[Choice] = []
    for _ in range(min(count, len(looks))):
        gains = torch.stack([(weight * (cover & left)).sum() for cover in covers])
        best = int(gains.argmax())
        if float(gains[best]) < 1e-6:
            break
        alone = float((weight * covers[best]).sum())
        chosen.append(Choice(best, min(alone, 1.0), min(float(gains[best]), 1.0)))
        left &= ~covers[best]
    return chosen
