"""Painting videos: textures and repainted frames carried from their keyframes to all frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.ops.resample import (
    interleaved,
    interleaved_deep,
    planes,
    resize,
    to_cells,
    upsample_guided,
)
from chromatrack.propagation.propagate import Reference, copy_labels
from chromatrack.runs.progress import Report
from chromatrack.runs.video_staging import check_video_output
from chromatrack.runs.writer import frames_ahead
from chromatrack.structures import Source
from chromatrack.tracking.inference import TrackedFrame
from chromatrack.tracking.tracker import Tracker
from chromatrack.uses.layers import (
    ImageLayer,
    Layer,
    add_changes,
    change_layer,
    lay_texture,
    luma_of,
    share_runs,
    shown_share,
    texture_layer,
)
from chromatrack.uses.video_output import video_output
from chromatrack.video.encoding import USUAL, Codec, Quality
from chromatrack.video.pixel_format import to_8_bit
from chromatrack.video.reader import Frame, Moment, frame_range, probe, read_frame, read_frames

Wash = Callable[[np.ndarray], Tensor]
"""Makes `(3, H, W)` Lab, the change on a frame `(H, W, 3)` uint8, without the surface's detail."""


@dataclass(frozen=True)
class PaintedFrame(Frame):
    """A frame with everything laid on it; `deep` where the source has more than 8 bits.

    shown: for every texture, then every painted frame, the share of it that is seen here, [0, 1].
    """

    shown: tuple[float, ...] = ()


@dataclass(frozen=True)
class PaintSummary:
    """What a run wrote: frames, wall-clock seconds; frames on which each layer was not seen."""

    output: Path
    frames: int
    seconds: float
    unseen: tuple[int, ...]


def paint_video(
    tracker: Tracker,
    video: Source,
    *,
    textures: Sequence[ImageLayer] = (),
    painted: Sequence[tuple[np.ndarray, int]] = (),
    output: Source,
    codec: Codec | None = None,
    start: Moment = 0,
    end: Moment | None = None,
    quality: Quality = USUAL,
    progress: Report | None = None,
) -> PaintSummary:
    """Carry textures and repainted frames through a video and write it, timing and sound kept.

    Args:
        tracker: the model and its configuration.
        video, textures, painted: as in `paint_frames`.
        output: a video file, or a folder or `*.png` pattern for images. Not the video itself.
        codec: how a video file is coded; None: as its suffix says.
        start, end: first frame and the one after the last: numbers, or times such as "2.5s".
        quality: of a video file.
        progress: called after every frame.

    Raises:
        InputError, VideoError: as `paint_frames`; or `codec` does not go with `output`.
        DamagedVideoError, KeyboardInterrupt: the frames until then are written and play.
        OutputError: `output` cannot be written.
    """
    began = time.perf_counter()
    first, last = frame_range(video, start=start, end=end)
    check_video_output(output, reads=[video], like=video)
    frames = paint_frames(tracker, video, textures=textures, painted=painted, start=first, end=last)
    total = frames_ahead(probe(video).frame_count, first, last)
    shown: list[tuple[float, ...]] = []
    with (
        video_output(
            output,
            video=video,
            name="paint",
            total=total,
            first=first,
            codec=codec,
            quality=quality,
            progress=progress,
        ) as put,
        closing(frames),
    ):
        for frame in frames:
            put(frame)
            shown.append(frame.shown)
    unseen = tuple(sum(share < 0.02 for share in shares) for shares in zip(*shown, strict=True))
    return PaintSummary(Path(output), len(shown), time.perf_counter() - began, unseen)


def paint_frames(
    tracker: Tracker,
    video: Source,
    *,
    textures: Sequence[ImageLayer] = (),
    painted: Sequence[tuple[np.ndarray, int]] = (),
    start: int = 0,
    end: int | None = None,
) -> Generator[PaintedFrame]:
    """Carry textures and repainted frames to every frame of a video, in constant memory.

    Every keyframe is tracked on its own, forward and backward; what lies on one keyframe without
    overlap shares a run.

    Args:
        video: file, folder or glob of images, or image.
        textures: laid over the frames in this order, under the clip's shading.
        painted: (rgb `(H, W, 3)` uint8, frame index): repainted copies of frames. Between two of
            them their changes are blended by distance.
        start, end: first frame and the one after the last, counted from 0.

    Yields:
        PaintedFrame for every frame in [start, end).

    Raises:
        InputError: nothing to paint; a texture without any opaque pixel or outside the frame; a
            repainted frame of another size or without any change; a frame outside [start, end).
        VideoError: the video cannot be read; DamagedVideoError after the last good frame.
    """
    found = [texture_layer(t, video, start, end) for t in textures]
    found += [change_layer(rgb, index, video, start, end) for rgb, index in painted]
    if not found:
        raise InputError("paint: expected a texture or a painted frame, got neither")
    layers = share_runs(found)
    surfaces, tracks = tracker.undecoded(), []
    for number in sorted({layer.run for layer in layers}):
        run = [layer for layer in layers if layer.run == number]
        tracks.append(
            surfaces.track(
                video,
                masks=_run_masks(run),
                points=[mark for layer in run for mark in layer.surface.marks(layer.first_id)],
                start=start,
                end=end,
            )
        )
    washes = [
        wash(tracker, layer, video)
        if not layer.is_texture and layer.surface.is_whole and tracker.spec.clip_length == 1
        else None
        for layer in layers
    ]
    return _painted_frames(layers, tracks, washes, _deep_frames(video, start, end))


def _run_masks(run: list[Layer]) -> dict[int, np.ndarray] | None:
    """The mask of a run's keyframe; None where all of the frame is followed."""
    if run[0].surface.is_whole:
        return None
    mask = np.zeros(run[0].surface.size, dtype=np.int32)
    for layer in run:
        mask[layer.surface.region] = layer.region_id
    return {run[0].surface.frame: mask}


@torch.inference_mode()
def wash(tracker: Tracker, layer: Layer, video: Source) -> Wash:
    """A repainted frame's change as colours, copied by the pointer.

    It fills what the surface does not reach: what was hidden on the keyframe, or moved too wildly.
    """
    rgb = read_frame(video, index=layer.surface.frame).rgb
    encoder = tracker.embedder.for_clip(tracker.embedder.lab(rgb))
    image = tracker.embedder.image(rgb)
    change = resize(layer.picture.to(image), image.shape[-2:])
    cells = to_cells(change[None], tracker.spec)[0]
    trust = torch.ones(len(cells), device=cells.device)
    reference = Reference(layer.surface.frame, encoder(image[None])[0], cells, None, trust)

    @torch.inference_mode()
    def on(rgb: np.ndarray) -> Tensor:
        image = tracker.embedder.image(rgb)
        cells, _ = copy_labels(encoder(image[None])[0], [reference], tracker.config.color)
        fine = upsample_guided(cells, image, spec=tracker.spec)
        return resize(fine, rgb.shape[:2]).cpu()

    return on


def _deep_frames(video: Source, start: int, end: int | None) -> Iterator[np.ndarray | None]:
    """The frames as `(H, W, 3)` uint16; None without end where the source has 8 bits."""
    for frame in read_frames(video, start=start, end=end, deep=True):
        if frame.deep is None:
            break
        yield frame.deep
    yield from repeat(None)


def _painted_frames(
    layers: list[Layer],
    tracks: list[Iterator[TrackedFrame]],
    washes: list[Wash | None],
    deep: Iterator[np.ndarray | None],
) -> Generator[PaintedFrame]:
    with ExitStack() as stack:
        for frames in (*tracks, deep):
            if isinstance(frames, Generator):
                stack.enter_context(closing(frames))
        for found in zip(*tracks, strict=True):
            yield _paint(found, layers, washes, next(deep))


@torch.inference_mode()
def _paint(
    found: Sequence[TrackedFrame],
    layers: list[Layer],
    washes: list[Wash | None],
    deep: np.ndarray | None,
) -> PaintedFrame:
    """One frame, as every run tracked it, with everything laid on it.

    deep: the frame as `(H, W, 3)` uint16, where the source has more than 8 bits.
    """
    frame = found[0]
    image = planes(frame.rgb).float() / 255
    if deep is not None:
        image = planes(deep.astype(np.int32)).float() / 65535
    views = [layer.view(found[layer.run]) for layer in layers]
    changes = [
        (layer, view, make(frame.rgb) if make and frame.index != layer.surface.frame else None)
        for layer, view, make in zip(layers, views, washes, strict=True)
        if not layer.is_texture
    ]
    if any(view is not None or color is not None for _, view, color in changes):
        image = add_changes(image, frame.index, changes)
    luma = luma_of(frame.rgb)
    for layer, view in zip(layers, views, strict=True):
        if layer.is_texture and view is not None:
            lay_texture(image, layer, view, luma)
    painted = interleaved(image) if deep is None else interleaved_deep(image)
    return PaintedFrame(
        to_8_bit(painted),
        frame.index,
        frame.pts_seconds,
        frame.duration_seconds,
        None if deep is None else painted,
        shown=tuple(shown_share(layer, view) for layer, view in zip(layers, views, strict=True)),
    )
