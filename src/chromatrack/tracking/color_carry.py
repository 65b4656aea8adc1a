"""Colours over time: what the frame before had follows its surfaces, checked against references.

Every pixel of the frame before holds a colour and how much stands behind it, its weight. Both are
laid over the next frame as reference pictures are. There the colour newly copied from the
references joins in by its own weight; one that contradicts what is well known counts less. A weight
fades with every frame unless the references confirm it, so that no error stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.coords import FeatureSpec, image_size
from chromatrack.ops.dense_affinity import Pointer
from chromatrack.ops.resample import upsample
from chromatrack.tracking.color_detail import COPIED, Places, laid_at

KEPT = 0.95
"""Share of a weight that the next frame still has."""

MOST = 4.0
"""Weight that no colour exceeds: that of about so many frames whose copies fit perfectly."""

APART = 12.0
"""Distance in ab at which a copied colour has lost 40 % of its say against a carried one."""

SHOWN = 64.0
"""How much more a carried colour is doubted than a copied one, where what was carried does not fit
the frame and what was copied fits perfectly: background that a thing has just uncovered."""

SURE = 8
"""Power of a copy's confidence that this takes: only copies that hardly err on clips with truth."""

SPREAD = 12.0
"""Standard deviation of the colours that one cell points to, in ab, that costs it 63 %."""


NEAR = 6.0
"""Frames from a reference at which what it adds by being near has fallen to 37 %."""

OFF = 20.0
"""Difference between a cell's L and the one copied with its colour that costs it 63 %."""

CALM = 16
"""Pixels of a step of the grid on which surroundings are averaged; twice as many either way."""


@dataclass(frozen=True)
class Estimate:
    """Colours of a frame and what stands behind them.

    ab: `(2, H, W)` Lab units. weight: `(1, H, W)` >= 0, what they count when colours are joined.
    confidence: `(1, H, W)` in [0, 1], how well they were copied. fit: `(1, H, W)` in [0, 1], of
    carried ones: how well the L that came along is the frame's; None: not known.
    """

    ab: Tensor
    weight: Tensor
    confidence: Tensor
    fit: Tensor | None = None

    @classmethod
    def given(cls, ab: Tensor) -> Estimate:
        """Colours `(2, H, W)` of a reference itself."""
        sure = torch.ones_like(ab[:1])
        return cls(ab, MOST * sure, sure)


@dataclass
class CarriedColors:
    """Colours of the frame before, as one pass over a clip keeps them."""

    spec: FeatureSpec
    picture: Tensor | None = None
    """`(5, H, W)`: L; ab, 1 and confidence, times weight."""

    def step(
        self,
        light: Tensor,
        copied: Estimate,
        motion: Places | None,
        *,
        also: Callable[[Estimate], Estimate] | None = None,
    ) -> Estimate:
        """What becomes of the colours newly copied to the next frame.

        Args:
            light: `(1, H, W)` L of the frame.
            copied: from the references. motion: where its cells lie in the frame before.
            also: what else weighs the carried ones.
        """
        carried = self._carried(light, motion)
        if carried is not None and also is not None:
            carried = also(carried)
        return self.keep(light, copied if carried is None else settle(copied, carried))

    def keep(self, light: Tensor, settled: Estimate) -> Estimate:
        """Go on from a frame's colours, such as a reference's own; args as `step`."""
        values = torch.cat([settled.ab, torch.ones_like(light), settled.confidence])
        self.picture = torch.cat([light, values * settled.weight])
        return settled

    def _carried(self, light: Tensor, motion: Places | None) -> Estimate | None:
        if motion is None or self.picture is None:
            return None
        laid = laid_at(motion, light, [self.picture], spec=self.spec)
        total, weight = laid[0], laid[0][2:3]
        some = weight.clamp(min=1e-6)
        sure, fit = (total[3:] / some).clamp(0, 1), laid[1].clamp(0, 1)
        return Estimate(total[:2] / some, weight, sure, fit)


def settle(copied: Estimate, carried: Estimate) -> Estimate:
    """Join what the references say of a frame's colours with what the frame before says.

    Source: a recursive mean with forgetting, its new values weighed down where they contradict the
    old (as M-estimators do), and the old where they fit badly and the new perfectly.
    """
    known = (carried.weight * KEPT).clamp(max=MOST)
    apart = (copied.ab - carried.ab).square().sum(0, keepdim=True) / APART**2
    if carried.fit is not None:
        known = known / (1 + SHOWN * apart * copied.confidence**SURE * (1 - carried.fit))
    doubt = 1 / (1 + apart * known / MOST * 4)
    new = copied.weight * doubt
    weight = new + known
    share = known / weight.clamp(min=1e-6)
    return Estimate(
        torch.lerp(copied.ab, carried.ab, share),
        weight.clamp(max=MOST),
        torch.lerp(copied.confidence, carried.confidence, share) * (0.9 + 0.1 * doubt),
    )


def copied_estimate(
    pointer: Pointer,
    cells: Tensor,
    light: Tensor,
    maps: Tensor,
    laid: tuple[Tensor, Tensor] | None,
    *,
    apart: Sequence[float | None],
    spec: FeatureSpec,
) -> Estimate:
    """Colours copied from R references, and how much stands behind them.

    Args:
        pointer: of the frame's cells. cells: `(2, H, W)` ab copied by them. light: `(1, H, W)` L.
        maps: `(R, 3, h, w)` Lab of the references' cells.
        laid: the references laid over the frame (`lay`), where they are frames of the video.
        apart: frames to each reference; None for another scene's.
    """
    size = image_size(cells)
    near = [0.0 if gap is None else math.exp(-gap / NEAR) for gap in apart]
    extra = maps.new_tensor(near)[:, None, None, None].expand(-1, 1, *image_size(maps))
    read = pointer.readout(torch.cat([maps, maps[:, 1:].square(), extra], dim=1))
    spread = (read[3:5] - read[1:3].square()).clamp(min=0).sum(0, keepdim=True).sqrt()
    read = torch.cat([torch.exp(-spread / SPREAD), read[:1], read[5:]])
    agree, seen, extra = upsample(read, size=size, spec=spec).split(1)
    if laid is None:
        like = torch.exp(-(seen - light).abs() / OFF)
        return Estimate(cells, agree * like * COPIED, agree * like)
    total, says = laid
    ab = (cells * COPIED + total) / (COPIED + says)
    weight = agree * (COPIED + says.square()) * (1 + (MOST - 1) * extra)
    return Estimate(ab, weight, (agree * (COPIED + says)).clamp(max=1))


def calmed(estimate: Estimate, *, floor: float) -> Tensor:
    """ab `(2, H, W)` whose unsure parts, confidence below `floor`, fade into what surrounds them.

    The surroundings are a mean over some 80 pixels, by confidence, and where nothing is sure there,
    the mean of the frame.
    """
    if floor <= 0:
        return estimate.ab
    size, sure = image_size(estimate.ab), estimate.confidence.square()
    both = torch.cat([estimate.ab * sure, sure])[None]
    grid = F.avg_pool2d(both, CALM, ceil_mode=True, count_include_pad=False)
    wide = F.avg_pool2d(grid, 5, 1, 2, count_include_pad=False)
    wide = wide + 0.02 * grid.mean((2, 3), keepdim=True)
    calm = F.interpolate(wide[:, :2] / wide[:, 2:].clamp(min=1e-6), size, mode="bilinear")[0]
    share = (estimate.confidence / floor).clamp(max=1)
    return torch.lerp(calm, estimate.ab, share)
