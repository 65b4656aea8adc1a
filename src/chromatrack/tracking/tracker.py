"""What users call: video in -> results out, one frame at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike, fspath
from typing import Unpack, get_args

import numpy as np
import torch

from chromatrack.errors import InputError
from chromatrack.model.encoder import Encoder
from chromatrack.model.weights import load_encoder
from chromatrack.ops.coords import FeatureSpec
from chromatrack.propagation.bidirectional import Direction
from chromatrack.structures import Source
from chromatrack.tracking.colorize import ColorizedFrame, colorize_frames
from chromatrack.tracking.config import Device, TrackConfig, choose_device
from chromatrack.tracking.embedder import FrameEmbedder
from chromatrack.tracking.inference import TrackedFrame, follow
from chromatrack.tracking.mark_checks import checked_marks
from chromatrack.tracking.mark_types import LARGEST_FRAME, whole
from chromatrack.tracking.marks import ColorReference, MarkArguments, Marks, read_reference
from chromatrack.tracking.session import LiveMarks, Session, start_session
from chromatrack.video.reader import Moment, frame_range

__all__ = ["ColorizedFrame", "TrackConfig", "TrackedFrame", "Tracker", "choose_device"]


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
        self.model = model
        self.embedder = FrameEmbedder(
            encoder, grey_encoder=grey_encoder, device=device, config=config
        )

    @property
    def config(self) -> TrackConfig:
        """Every setting, the windows filled in for the encoder's stride."""
        return self.embedder.config

    @property
    def spec(self) -> FeatureSpec:
        """Where the cells of a feature map are."""
        return self.embedder.spec

    @property
    def device(self) -> torch.device:
        """Where the encoder is."""
        return self.embedder.device

    @property
    def encoder(self) -> Encoder:
        """The network to track with, as loaded."""
        return self.embedder.encoder

    def undecoded(self) -> Tracker:
        """The same without a mask decoder: for parts of surfaces, which end where no edge is."""
        twin = copy.copy(self)
        twin.embedder = self.embedder.undecoded()
        return twin

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
        direction: Direction = "both",
        start: Moment = 0,
        end: Moment | None = None,
        **marks: Unpack[MarkArguments],
    ) -> Iterator[TrackedFrame]:
        """Carry masks, points, boxes and poses through a video, in constant memory.

        Every marked frame is a keyframe: labels go forward and backward from it, and are merged
        between neighbours by confidence and by distance, in which a doubtful frame is a long one.

        Args:
            video: file, folder or glob of images, or image.
            direction: both ways from every keyframe, or one. With marks on frame `start` alone
                there is one way only, and frames come as they are read.
            start, end: first frame and the one after the last, counted from 0; or times, "2.5s".
            marks: masks, points, boxes, keypoints, lost: see `MarkArguments`.

        Yields:
            TrackedFrame for every frame from `start` on.

        Raises:
            InputError: a mark is of another size, outside the frame, on a frame outside [start,
                end), or nothing is marked.
            VideoError: the video cannot be read; DamagedVideoError after the last good frame.
        """
        if direction not in get_args(Direction):
            raise InputError(f"direction: expected {_or(Direction)}, got {direction!r}")
        first, after = _range(video, start, end)
        given = Marks.of(start=first, **marks)
        checked = checked_marks(video, given, start=first, end=after, embedder=self.embedder)
        return follow(self.embedder, video, checked, direction=direction, start=first, end=after)

    def start(
        self,
        rgb: np.ndarray,
        *,
        pts_seconds: float = 0.0,
        **marks: Unpack[LiveMarks],
    ) -> Session:
        """Begin to track live frames, pushed one by one: see `session.start_session`."""
        return start_session(self.embedder, rgb, pts_seconds=pts_seconds, **marks)

    def colorize(
        self,
        video: Source,
        *,
        references: Sequence[ColorReference] | ColorReference,
        start: Moment = 0,
        end: Moment | None = None,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Iterator[ColorizedFrame]:
        """Colour a grey or faded video from coloured pictures; its luminance is not touched.

        Args:
            video: file, folder or glob of images, or image; its own colours are ignored, unless
                `config.coloring.faded` takes them as weak references.
            references: `"R.png@12"` is frame 12 of the video in color; `"R.png"` is a picture of
                similar things (it is taken as frame `start` if its luminance shows that frame).
                Or (rgb `(H, W, 3)` uint8, frame index or None).
            progress: called with how many frames are done and how many there are, in all passes:
                frames before a reference are coloured backwards too. None: the end is not known.

        Yields:
            ColorizedFrame for every frame in [start, end).

        Raises:
            InputError: no reference, or a reference for a frame that is not there.
        """
        if self.spec.clip_length != 1:
            raise InputError("colorize: expected an encoder of single frames, got one of clips")
        first, after = _range(video, start, end)
        if isinstance(references, str | PathLike) or _is_picture(references):
            references = [references]  # pyright: ignore[reportAssignmentType]
        if not isinstance(references, Iterable):
            raise InputError(
                f"references: expected coloured pictures, got {type(references).__name__}"
            )
        pictures = [read_reference(reference) for reference in references]  # pyright: ignore[reportArgumentType]
        if not pictures:
            raise InputError("references: expected at least one coloured picture, got none")
        return colorize_frames(self.embedder, video, pictures, first, after, progress)


def _is_picture(value: object) -> bool:
    """Whether it is (rgb, frame or None)."""
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], np.ndarray)


def _or(choices: object) -> str:
    return " or ".join(map(repr, get_args(choices)))


def _range(video: Source, start: Moment, end: Moment | None) -> tuple[int, int | None]:
    """Frame numbers of two moments, which may be numbers of NumPy.

    Raises:
        InputError: no video, or no moments.
    """
    if not isinstance(video, str | PathLike):
        raise InputError(
            "video: expected the path of a file, folder or glob of images, got "
            f"{type(video).__name__}; push frames one by one with Tracker.start"
        )
    moments = [x if isinstance(x, str) else _frame_number(x) for x in (start, end)]
    if isinstance(moments[0], int) and not isinstance(moments[1], str):
        return moments[0], moments[1]
    return frame_range(video, start=moments[0] or 0, end=moments[1])


def _frame_number(value: object) -> int | None:
    if value is None:
        return None
    return whole(value, "start and end: a frame or a time such as '2.5s'", most=LARGEST_FRAME)
