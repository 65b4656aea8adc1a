"""How the learning rate moves with the share of the budget that is used. Pure functions."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["cosine", "step", "wsd"]


def learning_rate(
    progress: float,
    *,
    schedule: Schedule,
    peak: float,
    warmup: float,
    drops: tuple[float, ...] = (),
    factor: float = 0.1,
    decay: float = 0.2,
) -> float:
    """The learning rate at `progress`, the share of steps or minutes used, [0, 1].

    `cosine`: linear warm-up over the share `warmup`, then a cosine to exactly 0 at the end.
    `step`: the same warm-up, then `peak`, multiplied by `factor` at every share in `drops`.
    `wsd`: the same warm-up, then `peak` until the last share `decay`, which falls to 0 as
    1 - sqrt (Haegele et al. 2024): a run that goes on can branch off before it.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < warmup:
        return peak * (0.04 + 0.96 * progress / warmup)
    if schedule == "step":
        return peak * factor ** sum(progress >= drop for drop in drops)
    if schedule == "wsd":
        fallen = max(0.0, progress - (1 - decay)) / decay if decay else 0.0
        return peak * (1 - math.sqrt(min(fallen, 1.0)))
    return peak * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
