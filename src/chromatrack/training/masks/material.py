"""What pasted clips are made of: stretches of videos as ground, photos to cut sprites out of."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from chromatrack.errors import TrainingError
from chromatrack.ops.coords import image_size
from chromatrack.ops.resample import resize
from chromatrack.training.config import SamplerConfig
from chromatrack.training.data.clip_store import EXCHANGE_EVERY, ClipStore
from chromatrack.training.data.index import Index
from chromatrack.training.masks.config import DecoderConfig
from chromatrack.training.masks.pasted_clips import LEAST_SHOWN, PastedClip, pasted_clip
from chromatrack.training.masks.regions import grown_region

_TRIES = 50  # how often a clip is drawn anew before the data is declared unusable
_GAPS = 3  # decoded frames between two of a clip, at most
_ZOOM = 1.4  # of the ground, at most
_PAN = 3.0  # pixels a frame by which a photo moves that stands in for a clip
_LEAST_KEPT = 10  # of this many videos or photos, at most one is set aside
_MOST_HELD = 40  # set aside of each, at most
_CLIPS_AN_EXCHANGE = 4  # pasted clips until one of the decoded stretches is exchanged

Item = TypeVar("Item")


def set_apart(index: Index, *, seed: int) -> tuple[Index, Index]:
    """What to learn from and what to measure with: one in ten videos and photos, by seed.

    Where there are fewer than ten of both, the same is used for both, which is warned of.
    """
    videos, held_videos = _split(index.videos, seed)
    photos, held_photos = _split(index.photos, seed + 1)
    if not held_videos and not held_photos:
        warnings.warn(
            f"held-out: nothing set aside of {len(index.videos)} videos and {len(index.photos)} "
            f"photos, as at most one of {_LEAST_KEPT} is; measured on other clips of what is "
            "learned from",
            stacklevel=2,
        )
        return index, index
    held = replace(
        index, videos=held_videos or index.videos, photos=held_photos or index.photos, problems=()
    )
    return replace(index, videos=videos, photos=photos), held


def _split(items: Sequence[Item], seed: int) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    count = min(_MOST_HELD, len(items) // _LEAST_KEPT)
    held = set(np.random.default_rng(seed).permutation(len(items))[:count].tolist())
    kept = tuple(item for number, item in enumerate(items) if number not in held)
    return kept, tuple(items[number] for number in sorted(held))


@dataclass
class Material:
    """Makes pasted clips of an index; which ones depends on the recipe and the data alone."""

    store: ClipStore
    config: DecoderConfig

    @classmethod
    def of(cls, index: Index, config: DecoderConfig, *, memory_gigabytes: float) -> Material:
        """Decoded as for training, in a memory of its own."""
        sampler = SamplerConfig(
            short_side=min(config.size),
            spacing_seconds=0.08,
            clip_seconds=6.0,
            memory_gigabytes=memory_gigabytes,
            seed=config.seed,
        )
        return cls(ClipStore(index, config=sampler, device=torch.device("cpu")), config)

    def close(self) -> None:
        """Stop decoding in the background."""
        self.store.close()

    def clip(self, number: int) -> PastedClip:
        """Pasted clip of a number, the same whenever and in whatever order it is asked for.

        Raises:
            TrainingError: nothing of the data can be used.
        """
        rng = np.random.default_rng((self.config.seed, number))
        step = number * EXCHANGE_EVERY // _CLIPS_AN_EXCHANGE
        self.store.prepare(step)
        for _ in range(_TRIES):
            ground = self._ground(step, rng)
            if ground is not None:
                clip = pasted_clip(ground, lambda: self._picture(step, rng), rng)
                if clip is not None:
                    return clip
        raise TrainingError(
            f"training data: no clip could be made of it in {_TRIES} tries; expected "
            f"videos of {self.config.frames} frames or more without a cut, or photos alone"
        )

    def real_clip(self, number: int) -> PastedClip | None:
        """A clip with nothing pasted: its truth is a region of its first frame, and ends there.

        None where by chance no stretch or no region of some size was drawn.
        """
        rng = np.random.default_rng((self.config.seed, 4, number))
        step = number * EXCHANGE_EVERY // _CLIPS_AN_EXCHANGE
        self.store.prepare(step)
        ground = self._ground(step, rng, frames=self.config.cycle_frames)
        if ground is None:
            return None
        truth = np.zeros((len(ground), *self.config.size), np.uint8)
        truth[0] = grown_region(ground[0].float() / 255, rng).numpy()
        if truth[0].sum() < LEAST_SHOWN:
            return None
        return PastedClip(ground.permute(0, 2, 3, 1).contiguous().numpy(), truth, (1,))

    def _ground(
        self, step: int, rng: np.random.Generator, *, frames: int | None = None
    ) -> Tensor | None:
        """A stretch of a video, or of a photo where there are no videos: `(T, 3, H, W)` uint8."""
        numbers, frames = self.store.available_clips(step), frames or self.config.frames
        if not numbers:
            return panned(self._picture(step, rng), self.config.size, frames, rng)
        clip = self.store.clip(int(rng.choice(numbers)))
        picked = None if clip is None else pick_frames(clip.scene, frames, rng)
        if clip is None or picked is None:
            return None
        ground = cropped(clip.rgb[picked], self.config.size, rng)
        ground = ground.flip(-1) if rng.random() < 0.5 else ground
        return ground.flip(0) if rng.random() < 0.5 else ground

    def _picture(self, step: int, rng: np.random.Generator) -> Tensor:
        """A photo, or a frame of a clip where there are no photos: `(3, H, W)` uint8.

        Raises:
            TrainingError: none can be read.
        """
        photos, clips = len(self.store.index.photos), self.store.available_clips(step)
        for _ in range(_TRIES):
            if photos:
                picture = self.store.photo(int(rng.integers(photos)))
            else:
                clip = self.store.clip(int(rng.choice(clips)))
                picture = None if clip is None else clip.rgb[int(rng.integers(len(clip.rgb)))]
            if picture is not None:
                return picture
        raise TrainingError(f"training data: {_TRIES} pictures in a row could not be read")


def pick_frames(scene: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray | None:
    """Frames at an even gap within one scene; None where the drawn one is too short.

    Args:
        scene: `(T,)` int, which scene each frame is of.
    """
    inside = (scene == rng.choice(scene)).nonzero()[0]
    most = min(_GAPS, (len(inside) - 1) // (count - 1))
    if most < 1:
        return None
    gap = int(rng.integers(1, most + 1))
    first = int(rng.integers(len(inside) - gap * (count - 1)))
    return inside[first : first + gap * (count - 1) + 1 : gap]


def cropped(frames: Tensor, size: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """Frames `(T, 3, H, W)` uint8 enlarged at random, and a part of `size` of them at random."""
    large = _enlarged(frames, size, float(rng.uniform(1, _ZOOM)))
    top, left = (int(rng.integers(a - b + 1)) for a, b in zip(image_size(large), size, strict=True))
    return large[..., top : top + size[0], left : left + size[1]]


def panned(photo: Tensor, size: tuple[int, int], count: int, rng: np.random.Generator) -> Tensor:
    """A photo `(3, H, W)` uint8 as a clip `(count, 3, *size)`: a part of it that moves evenly."""
    large = _enlarged(photo[None], size, _ZOOM)[0]
    room = np.subtract(image_size(large), size)
    way = np.clip(rng.uniform(-_PAN, _PAN, 2) * (count - 1), -room, room)
    start = rng.uniform(np.maximum(0, -way), np.minimum(room, room - way))
    places = np.rint(start + way * np.linspace(0, 1, count)[:, None]).astype(int).clip(0, room)
    return torch.stack([large[:, y : y + size[0], x : x + size[1]] for y, x in places.tolist()])


def _enlarged(frames: Tensor, size: tuple[int, int], zoom: float) -> Tensor:
    """Frames `(T, 3, H, W)` uint8 so large that `size` fits `zoom` times."""
    height, width = image_size(frames)
    scale = max(size[0] / height, size[1] / width) * zoom
    larger = [max(least, round(n * scale)) for n, least in zip((height, width), size, strict=True)]
    return torch.stack([resize(frame.float(), larger).round().byte() for frame in frames])
