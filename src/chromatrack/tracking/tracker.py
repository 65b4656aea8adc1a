"""What users call: video in -> results out, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from os import fspath
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.formats.boxes import BoxMark
from chromatrack.formats.keypoints import KeypointMark
from chromatrack.formats.points import PointMark
from chromatrack.model.batchnorm import adapt
from chromatrack.model.encoder import (
    Encoder,
    PlainEncoder,
    ResNetEncoder,
    normalize_lab,
)
from chromatrack.model.fold import fold_batch_norm
from chromatrack.model.weights import load_encoder
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import fit_size
from chromatrack.propagation.bidirectional import Direction
from chromatrack.propagation.label_maps import Upsample, planes, resize
from chromatrack.propagation.memory_bank import PropagateConfig
from chromatrack.tracking.colorize import ColorizedFrame, colorize_frames
from chromatrack.tracking.inference import TrackedFrame, follow
from chromatrack.tracking.marks import LostMark, Marks
from chromatrack.tracking.read_marks import ColourReference, Masks, Source, read_reference
from chromatrack.tracking.session import Boxes, Places, Poses, Session, start_session

__all__ = ["ColorizedFrame", "TrackConfig", "TrackedFrame", "Tracker", "choose_device"]

Device = Literal["auto", "cpu", "cuda", "mps"]

ENLARGE = 2.0
"""How much a video smaller than the working size is enlarged at most: finer cells find more."""


@dataclass(frozen=True)
class TrackConfig:
    """Everything that changes a result, besides the model.

    size: short side in pixels at which frames are embedded; smaller ones are enlarged, up to twice.
    stride: pixels per cell, 8 or 4; None keeps the model's own (`EncoderConfig.track_stride`).
    adapt: how far the encoder's normalisation leans towards the clip's first frame, [0, 1].
    recall: report objects absent when they are gone, and look for them in the whole frame.
    propagate: how labels are copied. colour: the same for colours, by default from the references
    only and over the whole frame, because errors passed on from frame to frame smear.

    For the protocols of others (`measure.protocols`): square: frames are `size` x `size`.
    long_multiple: the longer side is cut down to a multiple of this many pixels. upsample: how
    masks come to full size, along the image's edges or by plain bilinear interpolation.
    stretch: every label is stretched to [0, 1] over the frame before the largest wins. protocol:
    its name, for the record alone.
    """

    size: int = 480
    stride: int | None = None
    adapt: float = 0.7
    recall: bool = True
    propagate: PropagateConfig = field(default_factory=PropagateConfig)
    colour: PropagateConfig = field(
        default_factory=lambda: PropagateConfig(recent=0, restrict_first=False)
    )
    square: bool = False
    long_multiple: int = 1
    upsample: Upsample = "guided"
    stretch: bool = False
    protocol: str = "ours"

    def __post_init__(self) -> None:
        if self.size < 16:
            raise InputError(f"size: expected a short side of 16 pixels or more, came {self.size}")
        if not 0 <= self.adapt <= 1:
            raise InputError(f"adapt: expected a share from 0 to 1, came {self.adapt}")
        if self.long_multiple < 1:
            raise InputError(f"long_multiple: expected 1 pixel or more, came {self.long_multiple}")
        if self.colour.top_k is None:
            raise InputError("colour: expected a number of cells as top_k, came None (all cells)")

    def working_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) at which a frame of (height, width) pixels is embedded."""
        if self.square:
            return self.size, self.size
        height, width = fit_size(size, short_side=self.size, enlarge=ENLARGE)
        longer = max(height, width) // self.long_multiple * self.long_multiple
        if self.long_multiple == 1 or longer < min(height, width):
            return height, width
        return (longer, width) if height > width else (height, longer)


def best_stride(encoder: Encoder) -> int:
    """Pixels per cell that a model is best used at: its own, or finer."""
    if isinstance(encoder, ResNetEncoder):
        return encoder.config.track_stride
    return encoder.spec.stride


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
        self.config = replace(
            self.config,
            propagate=self.config.propagate.at_stride(self.spec.stride),
            colour=self.config.colour.at_stride(self.spec.stride),
        )
        self.encoder = encoder.to(self.device).eval()
        self.grey_encoder = self.encoder
        if grey_encoder is not None:
            self.grey_encoder = self._at_stride(grey_encoder).to(self.device).eval()

    def _at_stride(self, encoder: Encoder) -> Encoder:
        stride = self.config.stride
        if stride is None:
            stride = best_stride(encoder)
        if stride == encoder.spec.stride:
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
        self,
        video: Source,
        *,
        masks: Masks | None = None,
        points: Sequence[PointMark] = (),
        boxes: Sequence[BoxMark] = (),
        keypoints: Sequence[KeypointMark] = (),
        lost: Sequence[LostMark] = (),
        direction: Direction = "both",
        start: int = 0,
        end: int | None = None,
    ) -> Iterator[TrackedFrame]:
        """Carry masks, points, boxes and poses through a video, in constant memory.

        Every marked frame is a keyframe: labels go forward and backward from it, and are merged
        between neighbours by distance and confidence.

        Args:
            video: file, folder or glob of images, or image.
            masks: a PNG or `(H, W)` integer array for frame `start`; a folder of `00000.png`-named
                masks or a dict for several frames. Ids are kept; 0 is background.
            points, boxes, keypoints: marks on any frames, in pixels of the source.
            lost: regions declared absent on a frame.
            direction: both ways from every keyframe, or one. With marks on frame `start` alone
                there is one way only, and frames come as they are read.
            start, end: first frame and the one after the last, counted from 0.

        Yields:
            TrackedFrame for every frame from `start` on.

        Raises:
            InputError: a mark is of another size, outside the frame, on a frame outside [start,
                end), or nothing is marked.
            VideoError: the video cannot be read; DamagedVideoError after the last good frame.
        """
        marks = Marks.gathered(
            video,
            masks=masks,
            points=points,
            boxes=boxes,
            keypoints=keypoints,
            lost=lost,
            start=start,
            end=end,
        )
        return follow(self, video, marks, direction=direction, start=start, end=end)

    def start(
        self,
        rgb: np.ndarray,
        *,
        masks: np.ndarray | None = None,
        points: Places | None = None,
        boxes: Boxes | None = None,
        keypoints: Poses | None = None,
        pts_seconds: float = 0.0,
    ) -> Session:
        """Begin to track live frames, pushed one by one: see `session.start_session`."""
        return start_session(
            self,
            rgb,
            masks=masks,
            points=points,
            boxes=boxes,
            keypoints=keypoints,
            pts_seconds=pts_seconds,
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
        return colorize_frames(self, video, pictures, start, end)

    def image(self, rgb: np.ndarray) -> Tensor:
        """`(H, W, 3)` uint8 -> `(3, H', W')` float32 in [0, 1] at the working size."""
        image = planes(rgb).to(self.device).float() / 255
        return resize(image, self.config.working_size((rgb.shape[0], rgb.shape[1])))

    def lab(self, rgb: np.ndarray) -> Tensor:
        """`(H, W, 3)` uint8 -> Lab `(3, H', W')` at the working size."""
        return rgb_to_lab(self.image(rgb))

    def clip_encoder(self, encoder: Encoder, lab: Tensor, *, grey: bool = False) -> Encoder:
        """The encoder as used for one clip: adapted to its first frame, made fast."""
        if self.config.adapt > 0 and isinstance(encoder, ResNetEncoder):
            image = normalize_lab(lab)
            encoder = adapt(encoder, image, share=self.config.adapt, grey=grey)
        config = self.config.colour if grey else self.config.propagate
        fast = fold_batch_norm(encoder)
        return fast if config.similarity == "cosine" else PlainEncoder(fast)
