"""Colour strokes spread over the frame they are painted on, which then is a reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from chromatrack.formats.color_strokes import Strokes
from chromatrack.ops.color import lab_to_rgb, rgb_to_lab
from chromatrack.ops.resample import planes, resize, to_cells, upsample_guided
from chromatrack.structures import Source
from chromatrack.tracking.colorize import embed_grey, paint
from chromatrack.tracking.embedder import FrameEmbedder
from chromatrack.tracking.mark_checks import reference_frame

_TEMPERATURE = 0.05  # of the cosine of features
_NEAR = 0.1  # of the diagonal: colours of strokes farther away count less
_LIGHT = 10.0  # L within which a stroke's surface is looked for
_LEAST, _SURE = 0.2, 0.6  # cosine: below it stays grey, from it on takes the stroke's full colour
_PAINTED = 0.15  # share of a cell that must be painted


def strokes_as_references(
    embedder: FrameEmbedder, video: Source, strokes: Sequence[Strokes]
) -> list[tuple[np.ndarray, int]]:
    """Frames coloured from what is painted on them: rgb `(H, W, 3)` uint8, and their numbers.

    Raises:
        InputError: a frame that the video has not.
    """
    return [(spread(embedder, video, one), one.frame) for one in strokes]


@torch.inference_mode()
def spread(embedder: FrameEmbedder, video: Source, strokes: Strokes) -> np.ndarray:
    """A frame `(H, W, 3)` uint8 whose every part takes the colours of the strokes it is most like.

    Like in features and luminance, and near; what is like none stays grey.
    """
    frame, spec = reference_frame(video, strokes.frame).rgb, embedder.spec
    lab = embedder.lab(frame)
    features = embed_grey(embedder.for_clip(lab, grey=True), lab)
    size = (lab.shape[1], lab.shape[2])
    alpha = resize(torch.from_numpy(strokes.alpha)[None].to(lab.device), size)
    levels = planes(strokes.rgb).float() / 255 * torch.from_numpy(strokes.alpha)
    painted = resize(levels.to(lab.device), size)
    color = rgb_to_lab((painted / alpha.clamp(min=1e-3)).clamp(0, 1))[1:]
    share = to_cells(alpha[None], spec)[0]
    ab = to_cells((color * alpha)[None], spec)[0] / share.clamp(min=1e-6)
    light = to_cells(lab[None, :1], spec)[0]
    least = min(_PAINTED, 0.5 * float(share.max()))
    cells = _spread_cells(features, light, ab, (share[0] >= least) & (share[0] > 0))
    grey = lab_to_rgb(torch.cat([lab[:1], torch.zeros_like(lab[1:])]))
    copied = upsample_guided(cells, grey, spec=spec)
    found = torch.where(alpha > 0.5, color, copied)
    return paint(frame, found, light=lab[:1])


def _spread_cells(features: Tensor, light: Tensor, ab: Tensor, painted: Tensor) -> Tensor:
    """ab `(2, h, w)` of all cells from those painted, `(h, w)` bool."""
    height, width = painted.shape
    flat, own = features.flatten(1).T, painted.flatten()
    cosine = flat @ flat[own].T
    rows, columns = torch.meshgrid(
        torch.arange(height, device=ab.device), torch.arange(width, device=ab.device), indexing="ij"
    )
    at = torch.stack([rows, columns], -1).reshape(-1, 2).float()
    apart = torch.cdist(at, at[own]) / (height**2 + width**2) ** 0.5
    lights = light.flatten()
    other = (lights[:, None] - lights[own][None]).abs() / _LIGHT
    score = cosine / _TEMPERATURE - (apart / _NEAR).square() - other.square()
    mixed = score.softmax(1) @ ab.flatten(1).T[own]
    best = (cosine - 0.1 * other.square()).amax(1, keepdim=True)
    sure = ((best - _LEAST) / (_SURE - _LEAST)).clamp(0, 1)
    return (mixed * sure).T.reshape(2, height, width)
