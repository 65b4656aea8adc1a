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
from chromatrack.ops.coords import image_size
from chromatrack.training.data.clip_store import ClipStore
from chromatrack.training.data.decode import Clip
from chromatrack.training.data.shards import atomic

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


def frame_table(store: ClipStore, *, cache: Path | None, workers: int | None = None) -> FrameTable:
    """Decode everything a store knows of, or read what an earlier run left in the cache.

    Raises:
        TrainingError: nothing could be decoded.
    """
    path = _path(store, cache)
    if path is not None and path.is_file():
        raw = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return FrameTable(**raw)
    table = _decode(store, workers=workers or os.cpu_count() or 1)
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


def _decode(store: ClipStore, *, workers: int) -> FrameTable:
    pixels: list[Tensor] = []
    rows: list[tuple[int, int, float, int, int, float]] = []
    scenes = 0
    for source, clip in _clips(store, workers):
        height, width = image_size(clip.rgb)
        pixels.append(clip.rgb.movedim(1, -1).reshape(-1, 3))
        for seconds, scene in zip(clip.pts_seconds, clip.scene, strict=True):
            where = scenes + int(scene)
            rows.append((height, width, float(seconds), where, source, clip.weight))
        scenes += int(clip.scene[-1]) + 1
    videos = len(rows)
    for number, image in _photos(store, workers):
        height, width = image_size(image)
        pixels.append(image.movedim(0, -1).reshape(-1, 3))
        rows.append((height, width, 0.0, scenes, len(store.index.videos) + number, 1.0))
        scenes += 1
    if not rows:
        raise TrainingError("training data: no clip and no photo could be decoded")
    columns = np.asarray(rows, np.float64).T
    size = torch.from_numpy(columns[:2].T.astype(np.int64))
    area = size.prod(1)
    return FrameTable(
        pixels=torch.cat(pixels),
        first=area.cumsum(0) - area,
        size=size,
        seconds=torch.from_numpy(columns[2].copy()),
        scene=torch.from_numpy(columns[3].astype(np.int64)),
        source=torch.from_numpy(columns[4].astype(np.int64)),
        weight=torch.from_numpy(columns[5].copy()),
        videos=videos,
    )


def _clips(store: ClipStore, workers: int) -> Iterator[tuple[int, Clip]]:
    """(source, clip) of all stretches that can be decoded, in order."""
    with ThreadPoolExecutor(workers) as pool:
        found = pool.map(store.decode, range(store.count))
        for stretch, clip in zip(store.stretches, found, strict=True):
            if clip is not None:
                yield stretch.video, clip


def _photos(store: ClipStore, workers: int) -> Iterator[tuple[int, Tensor]]:
    with ThreadPoolExecutor(workers) as pool:
        count = len(store.index.photos)
        for number, image in enumerate(pool.map(store.photo, range(count))):
            if image is not None:
                yield number, image


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
