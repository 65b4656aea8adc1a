"""Single-image colorization: a baseline that colours every picture from its own luminance alone.

The network has our trainer, data and size but no reference to copy from (`chromatrack train
--recipe single`); colours are predicted as classes, after Zhang et al. 2016. Its features are
tracked like any others: `chromatrack evaluate davis ROOT --model single-image`.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.model.color_head import annealed_mean
from chromatrack.model.encoder import Encoder, color_head, color_scores, normalize_lab
from chromatrack.model.weights import load_encoder
from chromatrack.ops.color import lab_to_rgb, rgb_to_lab
from chromatrack.ops.coords import fit_size, image_size
from chromatrack.ops.resample import planes, resize, upsample_guided
from chromatrack.tracking.colorize import paint

MODEL = "single-image"
"""The shipped weights."""

SHORT_SIDE = 240
"""Pixels at which pictures are looked at: that of the training frames."""

AB_UNIT = 50.0
"""Lab units of one unit of normalised ab."""


@torch.no_grad()
def predict_cells(encoder: Encoder, lab: Tensor) -> Tensor:
    """Each cell's colour from L alone, the annealed mean of its class distribution.

    Args:
        lab: `(B, 3, H, W)` float32 in Lab units, of which a and b are not looked at.

    Returns:
        `(B, 2, h, w)` ab, Lab units, in the hull of the network's codebook.

    Raises:
        InputError: the network predicts no colours.
    """
    scores = color_scores(encoder, normalize_lab(lab)).float()
    head = color_head(encoder)
    assert head is not None, "color_scores has asked"
    return annealed_mean(scores, head.codebook) * AB_UNIT


@torch.no_grad()
def predict_ab(encoder: Encoder, rgb: np.ndarray, *, short_side: int = SHORT_SIDE) -> Tensor:
    """The colours that a network gives to a picture, of which it sees the luminance.

    Args:
        encoder: a network with a colour head, its statistics those of grey input.
        rgb: `(H, W, 3)` uint8, grey or not.
        short_side: pixels at which the network looks at it.

    Returns:
        ab `(2, H, W)` float32, Lab units; edges follow the picture's (guided filter).

    Raises:
        InputError: the network predicts no colours.
    """
    device = next(encoder.parameters()).device
    image = planes(rgb).to(device).float() / 255
    image = resize(image, fit_size(image_size(image), short_side=short_side))
    light = rgb_to_lab(image)[:1]
    lab = F.pad(light, (0, 0, 0, 0, 0, 2))
    cells = predict_cells(encoder, lab[None])[0]
    ab = upsample_guided(cells, lab_to_rgb(lab), spec=encoder.spec)
    return resize(ab, rgb.shape[:2]).cpu()


@dataclass(frozen=True)
class SingleImageColorer:
    """Colours one picture at a time; knows no other picture, so no reference and no time."""

    encoder: Encoder

    @classmethod
    def from_pretrained(cls, model: str | PathLike[str] = MODEL) -> SingleImageColorer:
        """The shipped baseline, or the weights of a run with `--recipe single`.

        Raises:
            WeightsError: see `load_encoder`.
        """
        return cls(load_encoder(model, grey=True))

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """A picture in the colours its luminance suggests: `(H, W, 3)` uint8 -> same.

        The luminance stays; what sRGB cannot show of a colour is made paler.
        """
        return paint(rgb, predict_ab(self.encoder, rgb))
