"""Colours of reference pictures carried through a video by optical flow, or left where they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.flow import Flow, Mode, carry, chain, identity_places
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.resample import planes
from chromatrack.propagation.bidirectional import FrameReading, ReadingCache, chunks_backward
from chromatrack.structures import Source
from chromatrack.tracking.colorize import ColorizedFrame, fit_picture, paint
from chromatrack.tracking.marks import ColorReference, read_reference
from chromatrack.video.reader import Frame, probe, read_frame, read_frames

Placed = dict[int, tuple[np.ndarray, bool]]
"""frame -> reference rgb `(H, W, 3)` uint8 at the video's size, and whether it shows that frame."""


def place_references(video: Source, references: Sequence[ColorReference], *, start: int) -> Placed:
    """Reference pictures by the frame they are of.

    A picture that is of no frame is put on frame `start`.

    Raises:
        InputError: none, or one of a frame that is not there.
    """
    if not references:
        raise InputError("references: expected at least one coloured picture, got none")
    info = probe(video)
    placed: Placed = {}
    for rgb, index in map(read_reference, references):
        if index is not None and info.frame_count is not None and index >= info.frame_count:
            raise InputError(
                f"reference of frame {index}: expected a frame from 0 to {info.frame_count - 1}"
            )
        at = start if index is None else index
        fitted = np.ascontiguousarray(fit_picture(rgb, (info.height, info.width)))
        placed[at] = (fitted, index is not None)
    return placed


def nearest_reference(references: Mapping[int, object], index: int) -> int:
    """The last reference at or before a frame, else the first one after it."""
    before = [key for key in references if key <= index]
    return max(before) if before else min(references)


def hold_colors(
    video: Source, placed: Placed, start: int, end: int | None
) -> Iterator[ColorizedFrame]:
    """Every frame with the ab of `nearest_reference`, kept where it is."""
    colors = {key: ab_of(rgb) for key, (rgb, _) in placed.items()}
    for frame in read_frames(video, start=start, end=end):
        yield _colored(frame, colors[nearest_reference(placed, frame.index)])


def colorize_by_flow(
    flow: Flow,
    mode: Mode,
    video: Source,
    placed: Placed,
    start: int,
    end: int | None,
) -> Iterator[ColorizedFrame]:
    """Every frame with the ab of `nearest_reference`, carried by flow on luminance.

    Frames before the first reference are coloured backward from it. What comes from outside the
    frame takes the colour of its border.
    """
    carried = FlowColors(flow, mode, placed)
    behind = _backward(carried, video, start, end) if min(placed) > start else None
    try:
        first = max((key for key in placed if key <= start), default=start)
        for frame in read_frames(video, start=first, end=end):
            if frame.index < min(placed):
                assert behind is not None
                kept = behind.get(frame.index, device=torch.device("cpu"))
                assert kept is not None and kept.regions is not None
                yield _colored(frame, kept.regions)
                continue
            ab = carried.step(frame.index, luminance(frame.rgb))
            if frame.index >= start:
                yield _colored(frame, ab)
    finally:
        if behind is not None:
            behind.close()


class FlowColors:
    """The colours of one reference at a time, carried to frames in either order of time."""

    def __init__(self, flow: Flow, mode: Mode, references: Placed) -> None:
        self.flow, self.mode, self.references = flow, mode, references
        self.key: int | None = None
        self.places: Tensor | None = None  # (H, W, 2) on the reference's picture

    def step(self, index: int, light: np.ndarray) -> Tensor:
        """The ab `(2, H, W)` of the next frame, of which `(H, W)` uint8 luminance is shown."""
        if index in self.references:
            self.key, self.places = index, None
            rgb = self.references[index][0]
            self.ab, self.first = ab_of(rgb), luminance(rgb)
        assert self.key is not None, "begins with a reference"
        if self.references[self.key][1] and index == self.key:
            self.places = identity_places(light.shape)
        elif self.places is None or self.mode == "straight":
            found = torch.from_numpy(self.flow(light, self.first))
            self.places = identity_places(light.shape) + found
        else:
            self.places = chain(self.places, self.flow(light, self.before))
        self.before = light
        return carry(self.ab, self.places)


def _backward(carried: FlowColors, video: Source, start: int, end: int | None) -> ReadingCache:
    """Colours of the frames before the first reference, from it down to frame `start`."""
    spool, last = ReadingCache(), min(carried.references)
    frame_bytes = read_frame(video, index=start).rgb.nbytes
    for begin, after in chunks_backward(start, last, frame_bytes=frame_bytes):
        for frame in reversed(list(read_frames(video, start=begin, end=after))):
            ab = carried.step(frame.index, luminance(frame.rgb))
            if frame.index < last and (end is None or frame.index < end):
                spool.put(frame.index, FrameReading(ab))
    return spool


def ab_of(rgb: np.ndarray) -> Tensor:
    """The ab `(2, H, W)` float32 of a `(H, W, 3)` uint8 picture, Lab units."""
    return rgb_to_lab(planes(rgb).float() / 255)[1:]


def grey_of(rgb: np.ndarray) -> np.ndarray:
    """A `(H, W, 3)` uint8 picture of the same luminance L, its three channels equal."""
    return np.repeat(luminance(rgb)[..., None], 3, axis=2)


def luminance(rgb: np.ndarray) -> np.ndarray:
    """`(H, W, 3)` uint8 -> `(H, W)` uint8 grey of the same L."""
    return np.ascontiguousarray(paint(rgb, torch.zeros(2, *rgb.shape[:2]))[..., 1])


def _colored(frame: Frame, ab: Tensor) -> ColorizedFrame:
    rgb = paint(frame.rgb, ab)
    return ColorizedFrame(frame.index, frame.pts_seconds, rgb, 0.0, frame.duration_seconds)
