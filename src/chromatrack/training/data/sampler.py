"""Step -> batch: which frames, which views of them and which light, from the step's number alone.

Example j of step s is drawn from its own random generator (seed, s, j), whatever the size of the
world, what was drawn before, and how often training was interrupted.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from chromatrack.errors import InputError, TrainingError
from chromatrack.ops.coords import FeatureSpec, cell_count, image_size
from chromatrack.training.config import SamplerConfig
from chromatrack.training.data.augment import (
    LightChange,
    change_light,
    draw_hidden,
    draw_light,
)
from chromatrack.training.data.crops import (
    CropView,
    bend,
    cut_views,
    perturb,
    random_view,
    view_correspondence,
)

if TYPE_CHECKING:
    from chromatrack.training.data.clip_store import ClipStore
    from chromatrack.training.data.decode import Clip


TRIES = 20
"""How often one example is drawn anew before the data is declared unusable."""

PHOTOS = 0.6  # share of stills that are photos when there are photos and videos
_TARGETS = 10  # targets tried before references at other distances than asked for are taken
_ROUNDING = 1e-3  # seconds: times of presentation are rounded to about this
_LOOSE = (0.5, 1.5)  # of the least and largest gap: near enough where frames are sparse
_REGULAR = 1 / 3  # of the gap: how far off a regular one may be; 25 fps have no 1/6 s


@dataclass(frozen=True)
class Batch:
    """Training examples: B examples of V views of S x S pixels; the last view is the target.

    lab: `(B, V, 3, S, S)` float32 normalised Lab, the truth.
    seen: as lab, float32, after the change of light; what the network gets, once the hidden
        channels are blanked.
    hidden: `(B, 3)` bool, the Lab channels the network does not get to see; never all three.
    correspondence: `(B, h, w, 2)` float32: xy pixel in view 0 of what the target shows at each
        cell; NaN where unknown (different frames) or outside the picture.
    gap_seconds: `(B,)` float32, largest time between the target and a reference; 0 for stills.
    source: `(B,)` int64, which video or photo: equal numbers are the same material.
    """

    lab: Tensor
    seen: Tensor
    hidden: Tensor
    correspondence: Tensor
    gap_seconds: Tensor
    source: Tensor

    def to(self, device: torch.device | str) -> Batch:
        """The batch with all tensors on a device."""
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def split(self, parts: int) -> list[Batch]:
        """The examples in `parts` batches, as even as they can be."""
        columns = {f.name: getattr(self, f.name).chunk(parts) for f in fields(self)}
        return [
            Batch(**dict(zip(columns, row, strict=True)))
            for row in zip(*columns.values(), strict=True)
        ]


@dataclass(frozen=True)
class _Example:
    """An example as drawn, before anything is cut: V images and V views of them."""

    images: Sequence[Tensor]
    views: Sequence[CropView]
    still: bool
    gap_seconds: float
    source: int
    light: LightChange
    hidden: np.ndarray


class AnySampler(ABC):
    """What draws a run's batches."""

    spec: FeatureSpec
    config: SamplerConfig

    @abstractmethod
    def batch(self, step: int, *, size: int, rank: int = 0, world: int = 1) -> Batch:
        """The share of process `rank` of `world` in one step's batch of `size` examples."""

    def batches(
        self, size: int, *, start: int = 0, rank: int = 0, world: int = 1
    ) -> Iterator[Batch]:
        """The batches of all steps from `start` on, without end; see `batch`."""
        for step in itertools.count(start):
            yield self.batch(step, size=size, rank=rank, world=world)


class Sampler(AnySampler):
    """Draws batches from a store of clips and photos."""

    def __init__(self, store: ClipStore, spec: FeatureSpec, config: SamplerConfig) -> None:
        self.store, self.spec, self.config = store, spec, config

    def batch(self, step: int, *, size: int, rank: int = 0, world: int = 1) -> Batch:
        """The batch of one step; depends on the data, the configuration and the step alone.

        Args:
            size: examples in all processes together; process `rank` of `world` gets examples
                rank, rank + world, ...

        Raises:
            InputError: fewer examples than processes.
            TrainingError: no usable data.
        """
        if not 0 <= rank < world <= size or step < 0:
            raise InputError(
                f"batch: expected a step of 0 or more and 0 <= rank < world <= size, got step "
                f"{step}, rank {rank}, world {world}, size {size}; give each process an example"
            )
        self.store.prepare(step)
        clips = self.store.available_clips(step)
        seeds = ((self.config.seed, step, number) for number in range(rank, size, world))
        return self._cut([self._draw(clips, np.random.default_rng(seed)) for seed in seeds])

    def _draw(self, clips: Sequence[int], rng: np.random.Generator) -> _Example:
        """One example. Videos or photos that are missing or all broken leave it to the others."""
        if rng.random() >= self.config.photo_share:
            makers = self._draw_moving, self._draw_photo
        elif rng.random() < PHOTOS:
            makers = self._draw_photo, self._draw_frame
        else:
            makers = self._draw_frame, self._draw_photo
        for make in makers:
            example = make(clips, rng)
            if example is not None:
                return example
        raise TrainingError(
            f"training data: {TRIES} draws in a row from {len(clips)} clips and as many from "
            f"{len(self.store.index.photos)} photos gave nothing that can be decoded; check the "
            "files named in the warnings"
        )

    def _video(self, stretch: int) -> int:
        return self.store.stretches[stretch].video

    def _draw_clip(self, clips: Sequence[int], rng: np.random.Generator) -> tuple[int, Clip] | None:
        """A clip, by its weight, and its stretch's number; None if none drawn can be decoded.

        Where little is worth drawing (all clips are nearly static), any clip must do in the end.
        """
        found = None
        for _ in range(TRIES if len(clips) else 0):
            number = int(clips[int(rng.integers(len(clips)))])
            accept = rng.random()
            clip = self.store.clip(number)
            if clip is not None:
                found = number, clip
                if accept < clip.weight:
                    return found
        return found

    def _draw_moving(self, clips: Sequence[int], rng: np.random.Generator) -> _Example | None:
        config = self.config
        for _ in range(TRIES):
            if (drawn := self._draw_clip(clips, rng)) is None:
                return None
            number, clip = drawn
            pick = pick_regular if config.regular_gap else pick_frames
            frames = pick(
                clip.pts_seconds,
                clip.scene,
                views=config.views,
                gap_seconds=config.gap_seconds,
                rng=rng,
            )
            if frames is not None:
                times = clip.pts_seconds[frames]
                views = self._views(image_size(clip.rgb), rng, amount=config.video_motion)
                images = [clip.rgb[frame] for frame in frames]
                gap = float(np.abs(times - times[-1]).max())
                return self._example(images, views, rng, gap=gap, source=self._video(number))
        raise TrainingError(
            f"training data: in {TRIES} clips in a row no {config.views} frames of one scene are "
            f"{config.gap_seconds[0]:g} to {config.gap_seconds[1]:g} s apart, among frames decoded "
            f"every {config.spacing_seconds:g} s; choose another gap or a smaller spacing"
        )

    def _draw_frame(self, clips: Sequence[int], rng: np.random.Generator) -> _Example | None:
        """A single frame of a clip, as if it was a photo."""
        if (drawn := self._draw_clip(clips, rng)) is None:
            return None
        number, clip = drawn
        image = clip.rgb[int(rng.integers(len(clip.rgb)))]
        return self._still(image, self._video(number), rng)

    def _draw_photo(self, clips: Sequence[int], rng: np.random.Generator) -> _Example | None:
        """A photo; None if there are none or none drawn can be decoded."""
        index = self.store.index
        for _ in range(TRIES if index.photos else 0):
            number = int(rng.integers(len(index.photos)))
            image = self.store.photo(number)
            if image is not None:
                return self._still(image, len(index.videos) + number, rng)
        return None

    def _still(self, image: Tensor, source: int, rng: np.random.Generator) -> _Example:
        config = self.config
        *references, target = self._views(image_size(image), rng, amount=config.still_motion)
        if config.thin_plate > 0 and config.independent_views:
            target = bend(target, rng, amount=config.thin_plate)
        images = [image] * config.views
        return self._example(images, [*references, target], rng, gap=0.0, source=source, still=True)

    def _views(
        self, size: tuple[int, int], rng: np.random.Generator, *, amount: float
    ) -> list[CropView]:
        """Views of one place, mirrored all or none."""
        base = random_view(size, self.config.crop, rng)
        if not self.config.independent_views:
            return [base] * self.config.views
        return [perturb(base, rng, amount=amount) for _ in range(self.config.views)]

    def _example(
        self,
        images: Sequence[Tensor],
        views: Sequence[CropView],
        rng: np.random.Generator,
        *,
        gap: float,
        source: int,
        still: bool = False,
    ) -> _Example:
        config = self.config
        hidden = draw_hidden(rng, hide=config.hide)
        if rng.random() < config.stills_show_all and still and config.hide == "dropout":
            hidden[:] = False
        light = draw_light(rng, views=config.views, strength=config.jitter)
        return _Example(images, views, still, gap, source, light, hidden)

    def _cut(self, examples: Sequence[_Example]) -> Batch:
        """Cut all views, each on its image's device; the batch lies on the accelerator if any."""
        views = self.config.views
        images = [image for example in examples for image in example.images]
        every = [view for example in examples for view in example.views]
        device = next((i.device for i in images if i.device.type != "cpu"), images[0].device)
        lab = cut_views([image.to(device) for image in images], every).unflatten(0, (-1, views))
        known = torch.stack([self._correspondence(example) for example in examples])
        return Batch(
            lab=lab,
            seen=change_light(lab, [example.light for example in examples]),
            hidden=torch.from_numpy(np.stack([e.hidden for e in examples])).to(device),
            correspondence=known.to(device),
            gap_seconds=torch.tensor([e.gap_seconds for e in examples], device=device),
            source=torch.tensor([e.source for e in examples], device=device),
        )

    def _correspondence(self, example: _Example) -> Tensor:
        if not example.still:
            crop = self.config.crop
            cells = cell_count((crop, crop), stride=self.spec.stride)
            return torch.full((*cells, 2), float("nan"))
        size = image_size(example.images[0])
        return view_correspondence(example.views[0], example.views[-1], size, self.spec)


def pick_frames(
    pts_seconds: np.ndarray,
    scene: np.ndarray,
    *,
    views: int,
    gap_seconds: tuple[float, float],
    rng: np.random.Generator,
) -> list[int] | None:
    """Some references and a target of one scene, each reference before or after the target.

    The distance in *time* of each reference is drawn; the frame nearest to it is taken. Where
    no frames are so far apart (few of them a second, or a very short scene), the nearest do.

    Args:
        pts_seconds: `(T,)`, increasing. scene: `(T,)`, constant within a scene.
        gap_seconds: least and largest time between the target and a reference.

    Returns:
        Frame indices, the target last; references differ while the scene has frames enough. None
        if all targets tried stand alone in their scene.
    """
    fallback = None
    for _ in range(_TARGETS):
        target = int(rng.integers(len(pts_seconds)))
        gaps = rng.uniform(*gap_seconds, size=views - 1)
        sides = rng.choice([-1, 1], size=views - 1)
        others = np.flatnonzero((scene == scene[target]) & (np.arange(len(scene)) != target))
        if len(others) == 0:
            continue
        apart = pts_seconds[others] - pts_seconds[target]
        chosen, near = _pick_references(apart, gaps, sides, gap_seconds)
        found = [*(int(frame) for frame in others[chosen]), target]
        if near:
            return found
        fallback = fallback or found
    return fallback


def _pick_references(
    apart: np.ndarray, gaps: np.ndarray, sides: np.ndarray, allowed: tuple[float, float]
) -> tuple[list[int], bool]:
    """Indices into `apart` (signed seconds from the target), and whether all are as asked."""
    far = np.abs(apart)
    strict = (far >= allowed[0] - _ROUNDING) & (far <= allowed[1] + _ROUNDING)
    loose = (far >= _LOOSE[0] * allowed[0]) & (far <= _LOOSE[1] * allowed[1])
    free = np.ones(len(apart), dtype=bool)
    chosen, near = [], True
    for gap, side in zip(gaps, sides, strict=True):
        as_asked = [strict & (apart * side > 0) & free, strict & free, loose & free]
        usable = next((tier for tier in as_asked if tier.any()), None)
        if usable is None:
            near, usable = False, free if free.any() else ~free
        best = int(np.argmin(np.where(usable, np.abs(far - gap), np.inf)))
        free[best] = False
        chosen.append(best)
    return chosen, near


def pick_regular(
    pts_seconds: np.ndarray,
    scene: np.ndarray,
    *,
    views: int,
    gap_seconds: tuple[float, float],
    rng: np.random.Generator,
) -> list[int] | None:
    """Frames of one scene in order of time, each one gap after the one before.

    One gap is drawn; every step between two frames is within a third of it. Arguments as in
    `pick_frames`.

    Returns:
        Frame indices, increasing; None if the clip has no such frames.
    """
    gap = rng.uniform(*gap_seconds)
    miss = np.abs(pts_seconds[None] - pts_seconds[:, None] - gap)
    following = miss.argmin(1)
    steps = miss.min(1) <= _REGULAR * gap
    steps &= (scene[following] == scene) & (following > np.arange(len(scene)))
    frames = [np.arange(len(scene))]
    whole = np.ones(len(scene), dtype=bool)
    for _ in range(views - 1):
        whole &= steps[frames[-1]]
        frames.append(following[frames[-1]])
    starts = np.flatnonzero(whole)
    if len(starts) == 0:
        return None
    start = int(starts[rng.integers(len(starts))])
    return [int(frame[start]) for frame in frames]
