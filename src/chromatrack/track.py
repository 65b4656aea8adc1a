"""What users call: video in -> results out, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from os import fspath
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.adapt import adapt
from chromatrack.color import lab_to_rgb, rgb_to_lab
from chromatrack.coords import fit_size, image_size
from chromatrack.encoder import (
    Encoder,
    ResNetEncoder,
    fold_batch_norm,
    load_encoder,
    normalize_lab,
)
from chromatrack.errors import InputError
from chromatrack.labels import (
    interleaved,
    label_map_to_mask,
    masks_to_label_map,
    merge_given,
    object_ids,
    planes,
    to_cells,
    upsample_guided,
)
from chromatrack.marks import (
    ColourReference,
    Masks,
    Source,
    check_marks,
    fit_picture,
    read_marks,
    read_reference,
    shows_same,
)
from chromatrack.propagate import Input, MemoryBank, PropagateConfig, Propagated, propagate
from chromatrack.video import read_frame, read_frames

Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class TrackConfig:
    """Everything that changes a result, besides the model.

    size: short side in pixels at which frames are embedded (never enlarged).
    stride: pixels per cell, 8 or 4; None keeps the model's own.
    adapt: how far the encoder's normalisation leans towards the clip's first frame, [0, 1].
    propagate: how labels are copied. colour: the same for colours, by default from the references
    only and over the whole frame, because errors passed on from frame to frame smear.
    """

    size: int = 480
    stride: int | None = None
    adapt: float = 0.7
    propagate: PropagateConfig = field(default_factory=PropagateConfig)
    colour: PropagateConfig = field(
        default_factory=lambda: PropagateConfig(recent=0, restrict_first=False)
    )

    def __post_init__(self) -> None:
        if self.size < 16:
            raise InputError(f"size: expected a short side of 16 pixels or more, came {self.size}")
        if not 0 <= self.adapt <= 1:
            raise InputError(f"adapt: expected a share from 0 to 1, came {self.adapt}")


@dataclass(frozen=True)
class TrackedFrame:
    """Objects found on one frame.

    rgb: `(H, W, 3)` uint8, the source frame. mask: `(H, W)` int32 object ids, 0 = background.
    areas: pixels per object id. entropy: mean pointer entropy over each object, [0, 1]; the higher,
    the less sure. duration_seconds: how long the source shows the frame, if it says so.
    """

    index: int
    pts_seconds: float
    rgb: np.ndarray
    mask: np.ndarray
    areas: dict[int, int]
    entropy: dict[int, float]
    duration_seconds: float | None = None


@dataclass(frozen=True)
class ColorizedFrame:
    """One coloured frame: rgb `(H, W, 3)` uint8; entropy: mean pointer entropy, [0, 1]."""

    index: int
    pts_seconds: float
    rgb: np.ndarray
    entropy: float
    duration_seconds: float | None = None


def choose_device(device: Device = "auto") -> torch.device:
    """The device to run on; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        InputError: the device asked for is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available()}
    there["mps"] = torch.backends.mps.is_available()
    if device == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    if not there.get(device, False):
        usable = ", ".join(name for name, here in there.items() if here)
        raise InputError(f"device: {device!r} is not available here; choose auto or {usable}")
    return torch.device(device)


class Tracker:
    """An encoder with a way to use it: tracks masks and copies colours through videos.

    >>> tracker = Tracker.from_pretrained("small")
    >>> for frame in tracker.track("clip.mp4", masks="first.png"):
    ...     print(frame.index, frame.areas)
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        grey_encoder: Encoder | None = None,
        device: Device = "auto",
        config: TrackConfig | None = None,
        model: str = "custom",
    ) -> None:
        """`grey_encoder`: the one to colour with, if it is not the one to track with."""
        self.config = config or TrackConfig()
        self.device = choose_device(device)
        self.model = model
        encoder = self._at_stride(encoder)
        self.spec = encoder.spec
        self.encoder = encoder.to(self.device).eval()
        self.grey_encoder = self.encoder
        if grey_encoder is not None:
            self.grey_encoder = self._at_stride(grey_encoder).to(self.device).eval()

    def _at_stride(self, encoder: Encoder) -> Encoder:
        stride = self.config.stride
        if stride is None or stride == encoder.spec.stride:
            return encoder
        if not isinstance(encoder, ResNetEncoder):
            raise InputError(
                f"stride: this encoder has stride {encoder.spec.stride} only, came {stride}"
            )
        return encoder.at_stride(stride)

    @classmethod
    def from_pretrained(
        cls,
        model: Source = "small",
        *,
        device: Device = "auto",
        config: TrackConfig | None = None,
    ) -> Tracker:
        """A tracker with trained weights: a shipped name, or the path of a weights file.

        Raises:
            WeightsError: no such model, or a file that does not fit.
        """
        return cls(
            load_encoder(model),
            grey_encoder=load_encoder(model, grey=True),
            device=device,
            config=config,
            model=fspath(model),
        )

    def track(
        self, video: Source, *, masks: Masks, start: int = 0, end: int | None = None
    ) -> Iterator[TrackedFrame]:
        """Carry object masks through a video, one frame at a time, in constant memory.

        Args:
            video: file, folder or glob of images, or image.
            masks: a PNG or `(H, W)` integer array for frame `start`; a folder of `00000.png`-named
                masks or a dict for several frames. Ids are kept; 0 is background.
            start, end: first frame and the one after the last, counted from 0.

        Yields:
            TrackedFrame for every frame from `start` on; empty masks before the first marked one.

        Raises:
            InputError: a mask is of another size, empty, or on a frame outside [start, end).
            VideoError: the video cannot be read; DamagedVideoError after the last good frame.
        """
        given = read_marks(masks, start=start)
        check_marks(given, video, start, end)
        return self._track(video, given, start, end)

    def _track(
        self, video: Source, given: Mapping[int, np.ndarray], start: int, end: int | None
    ) -> Iterator[TrackedFrame]:
        ids = object_ids(list(given.values()))
        frames = read_frames(video, start=start, end=end)
        first = next(frames, None)
        if first is None:
            return
        encoder = self._clip_encoder(self.encoder, self._lab(first.rgb))

        def inputs() -> Iterator[Input]:
            for frame in chain([first], frames):
                image, painted = self._image(frame.rgb), None
                if frame.index in given:
                    mask = given[frame.index]
                    size = image_size(image)
                    painted = masks_to_label_map(mask, ids=ids, size=size, spec=self.spec)
                    painted = painted.to(self.device)
                yield Input(frame.index, image, painted, frame)

        config = self.config.propagate
        steps = propagate(
            inputs(), encoder, self.spec, merge=merge_given, config=config, background=True
        )
        for step in steps:
            yield self._tracked(step, ids, given.get(step.input.index))

    def _tracked(
        self, step: Propagated, ids: Sequence[int], painted: np.ndarray | None
    ) -> TrackedFrame:
        frame = step.input.frame
        mask = np.zeros(frame.rgb.shape[:2], dtype=np.int32)
        entropy = dict.fromkeys(ids, 0.0)
        if step.label_map is not None:
            dense = upsample_guided(
                step.label_map, step.input.image, spec=self.spec, background=True
            )
            mask = label_map_to_mask(resize(dense, frame.rgb.shape[:2]), ids=ids)
            if step.entropy is not None:
                weight = step.label_map[1:].flatten(1)
                mean = (weight * step.entropy.flatten()).sum(1) / weight.sum(1).clamp(min=1e-6)
                entropy = dict(zip(ids, mean.tolist(), strict=True))
        if painted is not None:
            mask = np.where(painted > 0, painted, mask).astype(np.int32)
        counts = np.bincount(mask.ravel(), minlength=max(ids) + 1)
        areas = {i: int(counts[i]) for i in ids}
        return TrackedFrame(
            frame.index,
            frame.pts_seconds,
            frame.rgb,
            mask,
            areas,
            entropy,
            frame.duration_seconds,
        )

    def colorize(
        self,
        video: Source,
        *,
        references: Sequence[ColourReference],
        start: int = 0,
        end: int | None = None,
    ) -> Iterator[ColorizedFrame]:
        """Colour a grey or faded video from coloured pictures; its luminance is not touched.

        Args:
            video: file, folder or glob of images, or image; its own colours are ignored.
            references: `"R.png@12"` is frame 12 of the video in colour; `"R.png"` is a picture of
                similar things (it is taken as frame `start` if its luminance shows that frame).
                Or (rgb `(H, W, 3)` uint8, frame index or None).

        Yields:
            ColorizedFrame for every frame in [start, end).

        Raises:
            InputError: no reference, or a reference for a frame that is not there.
        """
        if self.spec.clip_length != 1:
            raise InputError("colorize: expected an encoder of single frames, came one of clips")
        pictures = [read_reference(reference) for reference in references]
        if not pictures:
            raise InputError("references: expected at least one coloured picture, came none")
        return self._colorize(video, pictures, start, end)

    def _colorize(
        self,
        video: Source,
        pictures: Sequence[tuple[np.ndarray, int | None]],
        start: int,
        end: int | None,
    ) -> Iterator[ColorizedFrame]:
        config = self.config.colour
        bank = MemoryBank(config)
        first = read_frame(video, index=start).rgb
        encoder = self._clip_encoder(self.grey_encoder, self._lab(first), grey=True)
        for number, (rgb, index) in enumerate(pictures):
            if index is None and shows_same(rgb, first):
                index = start
            lab = self._lab(fit_picture(rgb, first.shape[:2]))
            grey = lab
            if index is not None:
                grey = self._lab(read_frame(video, index=index).rgb)
            features = embed_grey(encoder, grey)
            colours = to_cells(lab[None, 1:], self.spec)[0]
            key = index if index is not None else -1 - number
            nothing = torch.zeros(2, dtype=torch.bool, device=self.device)
            bank.mark(key, features, colours, painted=nothing, whole_frame=index is None)

        def inputs() -> Iterator[Input]:
            for frame in read_frames(video, start=start, end=end):
                yield Input(frame.index, self._image(frame.rgb), None, frame)

        def encode(images: Tensor) -> Tensor:
            return torch.stack([embed_grey(encoder, rgb_to_lab(image)) for image in images])

        steps = propagate(
            inputs(), encode, self.spec, merge=lambda given, _: given, config=config, bank=bank
        )
        for step in steps:
            frame = step.input.frame
            assert step.label_map is not None and step.entropy is not None
            ab = upsample_guided(step.label_map, step.input.image, spec=self.spec)
            rgb = paint(frame.rgb, resize(ab, frame.rgb.shape[:2]))
            entropy = float(step.entropy.mean())
            yield ColorizedFrame(
                frame.index, frame.pts_seconds, rgb, entropy, frame.duration_seconds
            )

    def _image(self, rgb: np.ndarray) -> Tensor:
        """`(H, W, 3)` uint8 -> `(3, H', W')` float32 in [0, 1] at the working size."""
        image = planes(rgb).to(self.device).float() / 255
        return resize(image, fit_size(rgb.shape[:2], short_side=self.config.size))

    def _lab(self, rgb: np.ndarray) -> Tensor:
        return rgb_to_lab(self._image(rgb))

    def _clip_encoder(self, encoder: Encoder, lab: Tensor, *, grey: bool = False) -> Encoder:
        """The encoder as used for one clip: adapted to its first frame, made fast."""
        if self.config.adapt > 0 and isinstance(encoder, ResNetEncoder):
            image = normalize_lab(lab)
            encoder = adapt(encoder, image, share=self.config.adapt, grey=grey)
        return fold_batch_norm(encoder)


@torch.inference_mode()
def embed_grey(encoder: Encoder, lab: Tensor) -> Tensor:
    """Feature map `(C, h, w)` from L alone: Lab `(3, H, W)`."""
    grey = normalize_lab(lab) * lab.new_tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    return encoder.embed(grey[None])[0]


def resize(image: Tensor, size: Sequence[int]) -> Tensor:
    """`(C, H, W)` float -> `(C, *size)`, bilinear with anti-aliasing; the same tensor if equal."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    return F.interpolate(image[None], size=list(size), mode="bilinear", antialias=True)[0]


def paint(rgb: np.ndarray, ab: Tensor) -> np.ndarray:
    """Give a frame new colours under its own luminance.

    Args:
        rgb: `(H, W, 3)` uint8. ab: `(2, H, W)` float, Lab units.

    Returns:
        `(H, W, 3)` uint8; colours that sRGB cannot show at that luminance are made paler.
    """
    image = planes(rgb).to(ab.device).float() / 255
    lightness = rgb_to_lab(image)[:1]
    painted = lab_to_rgb(torch.cat([lightness, ab]), gamut="desaturate")
    return interleaved(painted)
