"""Which decoded clips are at hand at a step (a pure plan), and where they are kept."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from chromatrack.atomic import replace_file
from chromatrack.errors import InputError, OutputError, VideoError
from chromatrack.ops.coords import fit_size
from chromatrack.training.data.decode import Clip, Decoded, decode_stretch, load_photo
from chromatrack.training.data.index import Index, stretches
from chromatrack.training.data.media import Stretch, VideoEntry

if TYPE_CHECKING:
    from chromatrack.training.config import SamplerConfig

FIRST = 16
"""Stretches available at step 0; one more a step until the memory is full."""

EXCHANGE_EVERY = 20
"""Steps between two exchanges of a stretch when the memory is full."""

_AHEAD = EXCHANGE_EVERY  # steps: what those need is decoded meanwhile
_RECENT = 8  # clips at hand when none are kept in memory
_PHOTO_SHARE = 1 / 3  # of the memory at most is for photos when there are videos
_VERSION = 2  # of a clip on disk: raise it when decoding gives other frames, scenes or weights
_ASPECT = 1.5  # of a photo not yet seen


@dataclass(frozen=True)
class ClipSchedule:
    """A window that rolls over the stretches in a fixed random order, round and round.

    order: `(N,)` int, stretch numbers. sizes: `(N,)` float64, bytes of each in that order.
    budget: bytes that fit; at least one stretch is available all the same.
    """

    order: np.ndarray
    sizes: np.ndarray
    budget: float

    @cached_property
    def _ends(self) -> np.ndarray:
        """`(2 N + 1,)` bytes before each stretch of two rounds."""
        return np.concatenate([[0.0], np.cumsum(np.concatenate([self.sizes, self.sizes]))])

    def at(self, step: int) -> tuple[int, ...]:
        """Stretch numbers available at a step; each step brings at most one that is new."""
        count = len(self.order)
        if not count:
            return ()
        ends = self._ends
        fitting = int(np.searchsorted(ends[1 : count + 1], self.budget, side="right"))
        full = max(1, fitting)
        first = min(FIRST, full)
        if full == count or first + step <= full:
            return tuple(self.order[: min(first + step, full)].tolist())
        taken = full + (step - (full - first)) // EXCHANGE_EVERY
        end = (taken - 1) % count + 1 + count  # in the second of two rounds
        start = int(np.searchsorted(ends, ends[end] - self.budget, side="left"))
        start = min(max(start, end - count, count if taken <= count else 0), end - 1)
        return tuple(np.concatenate([self.order, self.order])[start:end].tolist())


def stretch_seconds(config: SamplerConfig) -> float:
    """Longest stretch decoded at once; with nothing kept, only what is around the drawn frames."""
    if config.cache != "none":
        return config.clip_seconds
    steps = config.views - 1 if config.regular_gap else 1
    reach = 1.25 * steps * config.gap_seconds[1] + config.spacing_seconds
    return min(config.clip_seconds, 3 * reach)


def stretch_bytes(index: Index, stretch: Stretch, config: SamplerConfig) -> int:
    """Bytes that the decoded frames of a stretch will take, from what the index says."""
    video = index.videos[stretch.video]
    height, width = fit_size((video.height, video.width), short_side=config.short_side)
    seconds = stretch.end_seconds - stretch.start_seconds
    step = config.spacing_seconds
    if video.fps > 0:
        step = max(1.0, np.ceil((step - 1e-3) * video.fps)) / video.fps
    return int(np.ceil(seconds / step)) * 3 * height * width


class ClipStore:
    """Decoded clips and photos of an index, for one thread at a time.

    What `available_clips`, `clip` and `photo` answer depends on the data and the configuration
    alone, never on what was asked before: only how long they take does.
    """

    def __init__(
        self,
        index: Index,
        *,
        config: SamplerConfig,
        device: torch.device,
        cache: Path | None = None,
    ) -> None:
        """
        Args:
            device: where clips are kept if the configuration says so; the CPU's memory otherwise.
            cache: folder of the disk cache.

        Raises:
            InputError: frames are to be cached on disk and no folder is given.
        """
        if config.cache == "disk" and cache is None:
            raise InputError("cache: frames kept on disk need a cache folder; give one")
        self.index, self.config = index, config
        self.device = device if config.cache == "device" else torch.device("cpu")
        self.stretches = stretches(index, seconds=stretch_seconds(config))
        self._files = FrameFiles(cache / "clips") if cache and config.cache == "disk" else None
        self._photo_budget = self._budget_for_photos()
        self._plan = self._make_plan()
        self._kept: dict[int, Clip] = {}
        self._coming: dict[int, Future[Decoded]] = {}
        self._broken: set[int] = set()
        self._photos: dict[int, Tensor | None] = {}
        self._photo_bytes = 0
        self._warned: set[str] = set()
        self._on_disk = 0  # stretches in order that the disk cache has been asked to hold
        self._workers = max(2, min(8, os.cpu_count() or 1))
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="chromatrack-decode")

    @property
    def count(self) -> int:
        """Stretches in all."""
        return len(self.stretches)

    @property
    def _rolls(self) -> bool:
        return self.config.cache in ("memory", "device")

    def available_clips(self, step: int) -> Sequence[int]:
        """Numbers of the stretches that may be drawn at a step; depends on nothing else."""
        return self._plan.at(step) if self._rolls else range(self.count)

    def prepare(self, step: int) -> None:
        """Decode what is available at a step and missing, let go of what it does not need.

        What the next steps need is decoded in the background.
        """
        self._harvest()
        if not self._rolls:
            if self._files is not None:
                self._fill_disk()
            return
        needed, later = self.available_clips(step), self.available_clips(step + _AHEAD)
        wanted = {*needed, *later}
        self._kept = {number: clip for number, clip in self._kept.items() if number in wanted}
        missing = [number for number in needed if self._is_missing(number)]
        for place, number in enumerate(missing):
            self._order(missing[place:])
            self._finish(number)
        self._order(number for number in later if self._is_missing(number))

    def clip(self, number: int) -> Clip | None:
        """The decoded stretch; None if it cannot be used, which is warned of once per video."""
        if number in self._broken:
            return None
        if number not in self._kept:
            self._order([number], at_once=True)
            self._finish(number)
            while not self._rolls and len(self._kept) > _RECENT:
                self._kept.pop(next(iter(self._kept)))
        return self._kept.get(number)

    def photo(self, number: int) -> Tensor | None:
        """A photo, `(3, H, W)` uint8, at the configured size; None: unusable, warned of once."""
        if number in self._photos:
            return self._photos[number]
        entry = self.index.photos[number]
        try:
            image = load_photo(entry, short_side=self.config.short_side).to(self.device)
        except VideoError as error:
            self._warn_once(str(error), str(error))
            self._photos[number] = None
            return None
        if self._photo_bytes + image.numel() <= self._photo_budget:
            self._photos[number] = image
            self._photo_bytes += image.numel()
        return image

    def close(self) -> None:
        """Stop decoding in the background."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    # -- decoding in the background ----------------------------------------------------------

    def _is_missing(self, number: int) -> bool:
        return number not in self._kept and number not in self._broken

    def _order(self, numbers: Iterable[int], *, at_once: bool = False) -> None:
        """Have stretches decoded, few at a time so that none keep a program that ends waiting."""
        for number in numbers:
            if not at_once and len(self._coming) >= 2 * self._workers:
                return
            if number not in self._coming:
                self._coming[number] = self._pool.submit(self.decode, number)

    def _finish(self, number: int) -> None:
        """Wait for an ordered stretch and take it in."""
        decoded = self._coming.pop(number).result()
        if decoded.problem:
            path = self.index.videos[self.stretches[number].video].path
            self._warn_once(path, decoded.problem)
        if decoded.clip is None:
            self._broken.add(number)
        else:
            self._kept[number] = decoded.clip

    def _harvest(self) -> None:
        """Take in what has been decoded in the meantime."""
        for number in [n for n, future in self._coming.items() if future.done()]:
            self._finish(number)
            if not self._rolls:
                self._kept.pop(number, None)  # it is on disk now

    def _fill_disk(self) -> None:
        while self._on_disk < self.count and len(self._coming) < self._workers:
            self._order([int(self._plan.order[self._on_disk])])
            self._on_disk += 1

    def decode(self, number: int) -> Decoded:
        """A stretch decoded now, or read from disk, and not kept. For any thread."""
        stretch = self.stretches[number]
        video = self.index.videos[stretch.video]
        config = self.config
        if self._files is not None:
            clip = self._files.read(video, stretch, config)
            if clip is not None:
                return Decoded(clip, None)
        decoded = decode_stretch(
            video,
            start_seconds=stretch.start_seconds,
            end_seconds=stretch.end_seconds,
            short_side=config.short_side,
            spacing_seconds=config.spacing_seconds,
        )
        clip = decoded.clip
        if clip is None:
            return decoded
        if self._files is not None:
            self._files.write(video, stretch, config, clip)
        here = Clip(clip.rgb.to(self.device), clip.pts_seconds, clip.scene, clip.weight)
        return Decoded(here, decoded.problem)

    def _warn_once(self, key: str, problem: str) -> None:
        if key not in self._warned:
            self._warned.add(key)
            warnings.warn(f"training data: {problem}", stacklevel=4)

    # -- the plan ----------------------------------------------------------------------------

    def _budget_for_photos(self) -> float:
        if not self._rolls:
            return 0.0
        memory = self.config.memory_gigabytes * 1e9
        side = self.config.short_side
        guess = len(self.index.photos) * 3 * _ASPECT * side**2
        return min(guess, memory * (_PHOTO_SHARE if self.index.videos else 1.0))

    def _make_plan(self) -> ClipSchedule:
        order = np.random.default_rng(self.config.seed).permutation(self.count)
        sizes = [stretch_bytes(self.index, self.stretches[i], self.config) for i in order]
        budget = self.config.memory_gigabytes * 1e9 - self._photo_budget
        return ClipSchedule(order, np.asarray(sizes, np.float64), budget)


class FrameFiles:
    """A folder of decoded clips: below it one folder per video, in it a file per stretch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._works = True

    def read(self, video: VideoEntry, stretch: Stretch, config: SamplerConfig) -> Clip | None:
        """The clip with frames mapped from disk; None if it is not there, or damaged."""
        try:
            found = load_file(self._path(video, stretch, config))
        except (OSError, SafetensorError):
            return None
        times, scene = found["pts_seconds"].numpy(), found["scene"].numpy()
        return Clip(found["rgb"], times, scene, float(found["weight"]))

    def write(self, video: VideoEntry, stretch: Stretch, config: SamplerConfig, clip: Clip) -> None:
        """Keep a clip; where that fails (a full disk) it is warned of once, and not tried again."""
        if not self._works:
            return
        path = self._path(video, stretch, config)
        content = {
            "rgb": clip.rgb,
            "pts_seconds": torch.from_numpy(clip.pts_seconds),
            "scene": torch.from_numpy(clip.scene),
            "weight": torch.tensor(clip.weight, dtype=torch.float64),
        }
        try:
            replace_file(path, save(content))
        except OutputError as error:
            self._works = False
            warnings.warn(
                f"training data: decoded clips cannot be kept in {self.folder} ({error}); they "
                "are decoded anew each time",
                stacklevel=2,
            )
            return
        self._forget_others(path, video)

    def _path(self, video: VideoEntry, stretch: Stretch, config: SamplerConfig) -> Path:
        span = stretch.start_seconds, stretch.end_seconds
        knobs = config.short_side, config.spacing_seconds
        place = _hash(video.path, video.start, video.length)
        return self.folder / place / f"{_stamp(video)}-{_hash(*span, *knobs)}.safetensors"

    def _forget_others(self, path: Path, video: VideoEntry) -> None:
        """Delete clips of what the video was before it changed."""
        with suppress(OSError):
            for other in path.parent.iterdir():
                if not other.name.startswith((_stamp(video), ".")):
                    other.unlink(missing_ok=True)


def _stamp(video: VideoEntry) -> str:
    return _hash(_VERSION, video.bytes, video.modified_ns)


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
