"""Colour strokes spread over the frame they are painted on, which then is a reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
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
_CORRECTS = (0.3, 0.7)  # the same of strokes on colours that are there
_ALIKE = 12.0  # Lab units of ab: colours there that are so far apart are hardly corrected as one
_UNDER = 0.35  # share of what lies under a stroke that a colour must be like
_REACH_LEAST, _REACH_LENGTH, _REACH = 0.04, 0.3, 0.1  # of the diagonal: `_reach`
_ONE_COLOR = 4.0  # Lab units of ab: cells that touch and differ by less are of one stroke
_PAINTED = 0.15  # share of a cell that must be painted


def strokes_as_references(
    embedder: FrameEmbedder, video: Source, strokes: Sequence[Strokes]
) -> list[tuple[np.ndarray, int]]:
    """Frames coloured from what is painted on them: rgb `(H, W, 3)` uint8, and their numbers.

    Raises:
        InputError: a frame that the video has not.
    """
    return [(spread(embedder, video, one), one.frame) for one in strokes]


@dataclass(frozen=True)
class PaintedFrame:
    """A frame that is painted on: rgb `(H, W, 3)` uint8; at the working size, lab `(3, H', W')`
    and features `(C, h, w)`."""

    rgb: np.ndarray
    lab: Tensor
    features: Tensor

    @classmethod
    @torch.inference_mode()
    def of(cls, embedder: FrameEmbedder, video: Source, frame: int) -> PaintedFrame:
        """Read and embed a frame. Raises InputError where the video has none."""
        rgb = reference_frame(video, frame).rgb
        lab = embedder.lab(rgb)
        return cls(rgb, lab, embed_grey(embedder.for_clip(lab, grey=True), lab))


@torch.inference_mode()
def spread(
    embedder: FrameEmbedder,
    video: Source,
    strokes: Strokes,
    *,
    ground: np.ndarray | None = None,
    known: PaintedFrame | None = None,
) -> np.ndarray:
    """A frame `(H, W, 3)` uint8 whose every part takes the colours of the strokes it is most like.

    Like in features and luminance, and near; what is like none stays grey.

    Args:
        ground: `(2, h, w)` float, Lab units: the colours of the frame, which strokes correct: then
            only what is near, alike and coloured as what lies under a stroke takes its colour, and
            the rest stays as it was.
        known: the frame, if it was looked at before.
    """
    seen = PaintedFrame.of(embedder, video, strokes.frame) if known is None else known
    frame, lab, features, spec = seen.rgb, seen.lab, seen.features, embedder.spec
    size = (lab.shape[1], lab.shape[2])
    alpha = resize(torch.from_numpy(strokes.alpha)[None].to(lab.device), size)
    levels = planes(strokes.rgb).float() / 255 * torch.from_numpy(strokes.alpha)
    painted = resize(levels.to(lab.device), size)
    color = rgb_to_lab((painted / alpha.clamp(min=1e-3)).clamp(0, 1))[1:]
    share = to_cells(alpha[None], spec)[0]
    ab = to_cells((color * alpha)[None], spec)[0] / share.clamp(min=1e-6)
    light = to_cells(lab[None, :1], spec)[0]
    least = min(_PAINTED, 0.5 * float(share.max()))
    own = (share[0] >= least) & (share[0] > 0)
    grey = lab_to_rgb(torch.cat([lab[:1], torch.zeros_like(lab[1:])]))
    if ground is None:
        mixed, sure = _spread_cells(features, light, ab, own)
        copied = upsample_guided(mixed * sure, grey, spec=spec)
    else:
        before = resize(torch.from_numpy(ground).to(lab), size)
        held = to_cells(before[None], spec)[0]
        mixed, sure = _spread_cells(features, light, ab, own, ground=held)
        copied = before + upsample_guided((mixed - held) * sure, grey, spec=spec)
    found = paint(frame, torch.where(alpha > 0.5, color, copied), light=lab[:1])
    return _as_painted(frame, strokes, found)


def _as_painted(frame: np.ndarray, strokes: Strokes, found: np.ndarray) -> np.ndarray:
    """`(H, W, 3)` uint8 of a frame and its colours, of the same shape: strokes have their own.

    Each pixel that is painted, however thin the line is at the working size.
    """
    where = strokes.alpha > 0.5
    if not where.any():
        return found
    rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    ab = rgb_to_lab(planes(strokes.rgb[part].copy()).float() / 255)[1:]
    result = found.copy()
    result[part] = np.where(where[part][..., None], paint(frame[part].copy(), ab), found[part])
    return result


def _spread_cells(
    features: Tensor, light: Tensor, ab: Tensor, painted: Tensor, *, ground: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(ab `(2, h, w)` of all cells from those painted, how sure `(1, h, w)` in [0, 1]).

    painted: `(h, w)` bool. ground: ab `(2, h, w)` of the cells' own colours, which are corrected.
    """
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
    given = ab.flatten(1).T[own]
    like = cosine - 0.1 * other.square()
    if ground is None:
        mixed = score.softmax(1) @ given
        sure = ((like.amax(1) - _LEAST) / (_SURE - _LEAST)).clamp(0, 1)
    else:
        meant, reach = _by_stroke(ground, painted, _strokes_of(at[own], given))
        mixed = (score + meant.clamp(min=1e-6).log()).softmax(1) @ given
        least, full = _CORRECTS
        sure = ((like - least) / (full - least)).clamp(0, 1)
        sure = (sure * (-(apart / reach).square()).exp() * meant).amax(1)
    return mixed.T.reshape(2, height, width), sure.reshape(1, height, width)


def _strokes_of(at: Tensor, ab: Tensor) -> Tensor:
    """Which stroke each painted cell is of, `(P,)` from 0: cells of one colour that touch.

    at: `(P, 2)` rows and columns. ab: `(P, 2)`.
    """
    joined = (torch.cdist(at, at) < 1.5) & (torch.cdist(ab, ab) < _ONE_COLOR)
    name = torch.arange(len(at), device=at.device)
    while True:
        new = torch.where(joined, name[None], -1).amax(1)
        new = new[new]  # and theirs: a long stroke has its name soon
        if torch.equal(new, name):
            return name.unique(return_inverse=True)[1]
        name = new


def _by_stroke(ground: Tensor, painted: Tensor, strokes: Tensor) -> tuple[Tensor, Tensor]:
    """(`_meant` of all cells by the stroke of each that is painted `(N, P)`, its `_reach` `(P,)`).

    strokes: `(P,)`, which stroke each painted cell is of.
    """
    each = [torch.zeros_like(painted) for _ in range(int(strokes.max()) + 1)]
    for number, one in enumerate(each):
        one[painted] = strokes == number
    meant = torch.stack([_meant(ground, one).flatten() for one in each], 1)
    return meant[:, strokes], ground.new_tensor([_reach(one) for one in each])[strokes]


def _meant(ground: Tensor, painted: Tensor) -> Tensor:
    """How much each cell is what a stroke is to correct, `(h, w)` in [0, 1].

    That is what is coloured like a good part of what lies under it, and joined to it by such.

    Args:
        ground: ab `(2, h, w)`, the colours that are there. painted: `(h, w)` bool, by the stroke.
    """
    under = ground[:, painted].T
    apart = torch.cdist(ground.flatten(1).T, under)
    # not the nearest: a stroke that goes over an edge a little does not mean what lies there
    apart = apart.kthvalue(max(1, round(_UNDER * len(under))), dim=1).values
    alike = (-(apart / _ALIKE).square()).exp().reshape(1, *painted.shape)
    joined = painted[None].to(alike)
    while True:
        new = torch.minimum(F.max_pool2d(joined, 3, 1, 1), alike).maximum(joined)
        if torch.equal(new, joined):
            return joined[0]
        joined = new


def _reach(painted: Tensor) -> float:
    """How far a stroke corrects, of the frame's diagonal: the farther, the longer it is itself.

    painted: `(h, w)` bool, by the stroke.
    """
    at = painted.nonzero()
    length = math.dist(at.amax(0).tolist(), at.amin(0).tolist()) / math.hypot(*painted.shape)
    return min(_REACH, _REACH_LEAST + _REACH_LENGTH * length)
