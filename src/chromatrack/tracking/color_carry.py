"""Colours over time: what the frame before had follows its surfaces, checked against references.

Every pixel of the frame before holds a colour and how much stands behind it, its weight. Both are
laid over the next frame as reference pictures are. There the colour newly copied from the
references joins in by its own weight; one that contradicts what is well known counts less. A weight
fades with every frame unless the references confirm it, so that no error stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from chromatrack.ops.affinity import SparseAffinity, tiled_affinity
from chromatrack.ops.coords import FeatureSpec, image_size
from chromatrack.ops.resample import upsample
from chromatrack.ops.window_search import WindowSearch
from chromatrack.tracking.color_detail import COPIED, lay

REACH = 64
"""Pixels that a thing may have moved since the frame before."""

TOP_K = 3
"""Cells of the frame before that a cell points to."""

KEPT = 0.95
"""Share of a weight that the next frame still has."""

MOST = 4.0
"""Weight that no colour exceeds: that of about so many frames whose copies fit perfectly."""

APART = 12.0
"""Distance in ab at which a copied colour has lost 40 % of its say against a carried one."""

SPREAD = 12.0
"""Standard deviation of the colours that one cell points to, in ab, that costs it 63 %."""


@dataclass(frozen=True)
class Estimate:
    """Colours of a frame: ab `(2, H, W)` Lab units, weight `(1, H, W)` >= 0."""

    ab: Tensor
    weight: Tensor


@dataclass
class CarriedColors:
    """Colours of the frame before, as one pass over a clip keeps them."""

    spec: FeatureSpec
    temperature: float
    search: WindowSearch = field(default_factory=WindowSearch)
    features: Tensor | None = None
    picture: Tensor | None = None  # (4, H, W): L, weight x a, weight x b, weight

    def step(self, features: Tensor, light: Tensor, copied: Estimate) -> Estimate:
        """What becomes of the colours newly copied to the next frame.

        Args:
            features: `(C, h, w)` of the frame. light: `(1, H, W)` its L.
            copied: from the references.
        """
        carried = self._carried(features, light)
        settled = copied if carried is None else settle(copied, carried)
        self.features = features
        self.picture = torch.cat([light, settled.ab * settled.weight, settled.weight])
        return settled

    def _carried(self, features: Tensor, light: Tensor) -> Estimate | None:
        if self.features is None or self.picture is None:
            return None
        pointer = tiled_affinity(
            features,
            [self.features],
            radius=[REACH // self.spec.stride],
            top_k=TOP_K,
            temperature=self.temperature,
            search=self.search,
        )
        laid = lay(pointer, light, [self.picture], spec=self.spec)
        if laid is None:
            return None
        total = laid[0]
        return Estimate(total[:2] / total[2:].clamp(min=1e-6), total[2:])


def settle(copied: Estimate, carried: Estimate) -> Estimate:
    """Join what the references say of a frame's colours with what the frame before says.

    Source: a recursive mean with forgetting, its new values weighed down where they contradict the
    old (as M-estimators do).
    """
    known = (carried.weight * KEPT).clamp(max=MOST)
    apart = (copied.ab - carried.ab).square().sum(0, keepdim=True)
    doubt = 1 / (1 + apart / APART**2 * known / MOST * 4)
    new = copied.weight * doubt
    weight = new + known
    share = known / weight.clamp(min=1e-6)
    return Estimate(torch.lerp(copied.ab, carried.ab, share), weight.clamp(max=MOST))


def copied_estimate(
    pointer: SparseAffinity,
    cells: Tensor,
    colors: Tensor,
    laid: tuple[Tensor, Tensor] | None,
    *,
    spec: FeatureSpec,
) -> Estimate:
    """Colours copied from references, and how much stands behind them.

    Args:
        pointer: of the frame's cells. cells: `(2, H, W)` ab copied by them.
        colors: `(R, 2, h, w)` ab of the references' cells.
        laid: the references laid over the frame (`lay`), where they are frames of the video.
    """
    size = image_size(cells)
    mean = pointer.readout(colors)
    variance = (pointer.readout(colors.square()) - mean.square()).clamp(min=0).sum(0, keepdim=True)
    agree = upsample(torch.exp(-variance.sqrt() / SPREAD), size=size, spec=spec)
    if laid is None:
        return Estimate(cells, agree * COPIED)
    total, says = laid
    ab = (cells * COPIED + total) / (COPIED + says)
    return Estimate(ab, agree * (COPIED + says.square()))
