"""What is set aside before training, to watch the run with."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chromatrack.model.encoder import unnormalize_lab
from chromatrack.ops.color import lab_to_rgb
from chromatrack.ops.coords import FeatureSpec
from chromatrack.training.config import TrainConfig
from chromatrack.training.data.clip_store import ClipStore
from chromatrack.training.data.index import Index
from chromatrack.training.data.sampler import Sampler

HeldPair = tuple[str, Tensor, Tensor]
"""Name, reference and target frame, `(3, H, W)` uint8 each, of material not trained on."""

LEAST_KEPT = 10  # of this many clips or photos, at most one is set aside
MOST_SHOWN = 3  # clips or photos that are trained on and watched, where nothing is set aside
PAIR_SECONDS = 1.0  # between the two frames of a pair: enough to move, and to compare runs with


def set_aside(index: Index, config: TrainConfig) -> tuple[Index, Index | None]:
    """Split off what is not trained on, evenly over the list: clips, or photos if there are few.

    Returns:
        What to train on, and what to watch with (None if there is too little of everything).
    """
    for name in ("videos", "photos"):
        items: Sequence[Any] = getattr(index, name)
        count = min(config.held_out, len(items) // LEAST_KEPT)
        if count:
            if count < config.held_out:
                warnings.warn(
                    f"held_out: {count} of {len(items)} {name} set aside instead of "
                    f"{config.held_out}; at most one of {LEAST_KEPT} is",
                    stacklevel=2,
                )
            held = {(2 * i + 1) * len(items) // (2 * count) for i in range(count)}
            kept = tuple(x for i, x in enumerate(items) if i not in held)
            apart = tuple(x for i, x in enumerate(items) if i in held)
            other = "photos" if name == "videos" else "videos"
            return (
                replace(index, **{name: kept}),
                replace(index, **{name: apart, other: (), "problems": ()}),
            )
    return index, None


def pairs_to_watch(held: Index | None, index: Index, config: TrainConfig) -> list[HeldPair]:
    """Pairs of what was set aside; where nothing was, a few of what is trained on, named so.

    Args:
        held, index: as `set_aside` gives them.
    """
    if held is not None:
        return held_pairs(held, config)
    if config.held_out:
        warnings.warn(
            f"held_out: nothing set aside of {len(index.videos)} videos and {len(index.photos)} "
            f"photos, as at most one of {LEAST_KEPT} is; pictures and colour errors are of what is "
            "trained on",
            stacklevel=2,
        )
    some = replace(index, videos=index.videos[:MOST_SHOWN], problems=())
    some = replace(some, photos=() if some.videos else index.photos[:MOST_SHOWN])
    return [(f"{name} (trained on)", a, b) for name, a, b in held_pairs(some, config)]


def held_pairs(index: Index, config: TrainConfig) -> list[HeldPair]:
    """Two frames of each clip that was set aside, or two views of each photo.

    Clips that cannot be decoded are left out.
    """
    sampler = replace(config.sampler, cache="none", views=2, photo_share=1.0)
    store = ClipStore(index, config=sampler, device=torch.device("cpu"), cache=None)
    if not index.videos:
        return _photo_pairs(index, store, config)
    pairs, seen = [], set()
    for number, stretch in enumerate(store.stretches):
        clip = None if stretch.video in seen else store.clip(number)
        if clip is None:
            continue
        seen.add(stretch.video)
        first = len(clip.pts_seconds) // 4
        away = np.abs(clip.pts_seconds - clip.pts_seconds[first] - PAIR_SECONDS)
        away[clip.scene != clip.scene[first]] = np.inf
        away[first] = np.inf
        if np.isfinite(away).any():
            name = PurePath(index.videos[stretch.video].path).name
            pairs.append((name, clip.rgb[first], clip.rgb[int(away.argmin())]))
    return pairs


def _photo_pairs(index: Index, store: ClipStore, config: TrainConfig) -> list[HeldPair]:
    """Views under random motion: the first is the reference."""
    spec = FeatureSpec(channels=1, stride=8, offset=0.0)
    still = replace(store.config, independent_views=True, regular_gap=False)
    batch = Sampler(store, spec, still).batch(0, size=len(index.photos))
    rgb = lab_to_rgb(unnormalize_lab(batch.lab.flatten(0, 1)))
    views = (rgb * 255).round().to(torch.uint8).unflatten(0, batch.lab.shape[:2])
    return [(f"photo {i + 1}", view[0], view[1]) for i, view in enumerate(views)]
