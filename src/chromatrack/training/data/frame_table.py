"""All decoded frames and photos in one table on the accelerator, so that batches are cut there.

A row is a pixel: frames of any size lie one behind another, and a view gathers the rows it needs.
Frames are in order of scene and time, so that "half a second later in this scene" is a search.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from chromatrack.errors import TrainingError
from chromatrack.training.data.clip_store import ClipStore
from chromatrack.training.data.decode import Clip
from chromatrack.training.data.listing import atomic

_SCENE = 1e6  # seconds: longer than any scene


@dataclass(frozen=True)
class FrameTable:
    """F frames of videos, then photos.

    pixels: `(P, 3)` uint8 sRGB, row by row of each frame. first: `(F,)` int64, its first pixel.
    size: `(F, 2)` int64, (height, width). seconds: `(F,)` float64. scene: `(F,)` int64, growing;
    frames of two scenes have nothing in common. source: `(F,)` int64, which video or photo.
    weight: `(F,)` float64, how worth drawing from it is. videos: how many frames are of videos.
    """

    pixels: Tensor
    first: Tensor
    size: Tensor
    seconds: Tensor
    scene: Tensor
    source: Tensor
    weight: Tensor
    videos: int

    @property
    def count(self) -> int:
        """Frames and photos in all."""
        return len(self.first)

    def on(self, device: torch.device) -> FrameTable:
        """The table with its pixels on a device; what frames are drawn by stays on the CPU."""
        return replace(self, pixels=self.pixels.to(device))


def frame_table(store: ClipStore, *, cache: Path | None) -> FrameTable:
    """Decode everything a store knows of, or read what an earlier run left in the cache.

    Raises:
        TrainingError: nothing could be decoded.
    """
    path = _path(store, cache)
    if path is not None and path.is_file():
        raw = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return FrameTable(**raw)
    table = _decode(store)
    if path is not None:
        content = {f.name: getattr(table, f.name) for f in fields(table)}
        with suppress(OSError, RuntimeError), atomic(path) as file:  # no room: decoded next time
            torch.save(content, file)
    return table


def _path(store: ClipStore, cache: Path | None) -> Path | None:
    if cache is None:
        return None
    config = store.config
    knobs = [config.short_side, config.spacing_seconds, config.clip_seconds]
    known = json.dumps([store.index.digest, len(store.index.videos), *knobs])
    return cache / f"frames-{hashlib.sha256(known.encode()).hexdigest()[:16]}.pt"


def _decode(store: ClipStore) -> FrameTable:
    clips: list[Clip] = []
    sources: list[int] = []
    for source, clip in _decoded(store):
        if clip is not None:
            clips.append(replace(clip, rgb=clip.rgb.movedim(1, -1).contiguous()))
            sources.append(source)
    if not clips:
        raise TrainingError("training data: no clip and no photo could be decoded")
    lengths = np.array([len(clip.rgb) for clip in clips])
    scenes = np.array([clip.scene[-1] + 1 for clip in clips])
    scene = np.concatenate([clip.scene for clip in clips])
    size = np.repeat([clip.rgb.shape[1:3] for clip in clips], lengths, axis=0)
    source, area = np.repeat(sources, lengths), size.prod(1)
    return FrameTable(
        pixels=torch.cat([clip.rgb.reshape(-1, 3) for clip in clips]),
        first=torch.from_numpy(area.cumsum() - area),
        size=torch.from_numpy(size),
        seconds=torch.from_numpy(np.concatenate([clip.pts_seconds for clip in clips])),
        scene=torch.from_numpy(scene + np.repeat(scenes.cumsum() - scenes, lengths)),
        source=torch.from_numpy(source),
        weight=torch.from_numpy(np.repeat([clip.weight for clip in clips], lengths)),
        videos=int((source < len(store.index.videos)).sum()),
    )


def _decoded(store: ClipStore) -> Iterator[tuple[int, Clip | None]]:
    """(source, clip) of all stretches, in order, then of all photos as clips of one frame."""

    def stretch(number: int) -> Clip | None:
        return store.decode(number).clip

    def photo(number: int) -> Clip | None:
        image = store.photo(number)
        one = np.zeros(1)
        return None if image is None else Clip(image[None], one, one.astype(np.int64), 1.0)

    videos, photos = len(store.index.videos), len(store.index.photos)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sources = [stretch.video for stretch in store.stretches]
        yield from zip(sources, pool.map(stretch, range(store.count)), strict=True)
        yield from zip(range(videos, videos + photos), pool.map(photo, range(photos)), strict=True)


def neighbour(table: FrameTable, frames: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """The frames nearest to `gaps` seconds (signed) away in the same scenes; never the same one.

    Args:
        frames: `(n,)` int. gaps: `(n,)` seconds.

    Returns:
        `(n,)` int; a frame that is alone in its scene is its own neighbour.
    """
    scene, seconds = table.scene.numpy(), table.seconds.numpy()
    key = scene * _SCENE + seconds - seconds.min()
    own = scene[frames]
    begin, end = np.searchsorted(scene, own), np.searchsorted(scene, own, side="right") - 1
    after = np.searchsorted(key, key[frames] + gaps)
    low, high = np.clip(after - 1, begin, end), np.clip(after, begin, end)
    wanted = key[frames] + gaps
    found = np.where(np.abs(key[low] - wanted) <= np.abs(key[high] - wanted), low, high)
    other = np.where(frames < end, frames + 1, np.where(frames > begin, frames - 1, frames))
    return np.where(found == frames, other, found)
