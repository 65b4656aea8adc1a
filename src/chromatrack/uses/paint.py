"""Painting videos: textures and repainted frames carried from their keyframes to all frames."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from os import fspath
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.ops.resample import interleaved, planes, resize, to_cells, upsample_guided
from chromatrack.propagation.propagate import Reference, copy_labels
from chromatrack.runs.progress import Report, stop_on_interrupt
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
    shown_share,
    texture_layer,
)
from chromatrack.uses.surface import SurfaceView
from chromatrack.video.reader import (
    ImageSequenceWriter,
    Moment,
    frame_range,
    open_writer,
    probe,
    read_frame,
)
from chromatrack.video.writer import Codec


@dataclass(frozen=True)
class PaintedFrame:
    """A frame with everything laid on it.

    rgb: `(H, W, 3)` uint8. shown: for every texture, then every painted frame, the share of it that
    is seen here, [0, 1].
    """

    index: int
    pts_seconds: float
    rgb: np.ndarray
    shown: tuple[float, ...]
    duration_seconds: float | None = None


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
    progress: Report | None = None,
) -> PaintSummary:
    """Carry textures and repainted frames through a video and write it, timing and sound kept.

    Args:
        tracker: the model and its configuration.
        video, textures, painted: as in `paint_frames`.
        output: a video file, or a folder or `*.png` pattern for images. Not the video itself.
        codec: how a video file is coded; None: as its suffix says.
        start, end: first frame and the one after the last: numbers, or times such as "2.5s".
        progress: called after every frame.

    Raises:
        InputError, VideoError: as `paint_frames`; or `codec` does not go with `output`.
        DamagedVideoError, KeyboardInterrupt: the frames until then are written and play.
        OutputError: `output` cannot be written.
    """
    began, count, info = time.perf_counter(), 0, probe(video)
    first, last = frame_range(video, start=start, end=end)
    _check_apart(video, output)
    frames = paint_frames(tracker, video, textures=textures, painted=painted, start=first, end=last)
    ends = [number for number in (info.frame_count, last) if number is not None]
    total = max(0, min(ends) - first) if ends else None
    unseen = np.zeros(len(textures) + len(painted), dtype=np.int64)
    writer = open_writer(output, codec=codec, fps=info.average_fps, audio_from=video)
    with stop_on_interrupt() as check_interrupt:
        try:
            with writer, closing(frames):
                if isinstance(writer, ImageSequenceWriter) and codec is not None:
                    raise InputError(f"codec: {output} takes PNG images, so leave {codec} out")
                for frame in frames:
                    writer.write(
                        frame.rgb,
                        pts_seconds=frame.pts_seconds,
                        duration_seconds=frame.duration_seconds,
                    )
                    count += 1
                    unseen += np.array(frame.shown) < 0.02
                    if progress is not None:
                        progress("paint", count, total)
                    check_interrupt()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted after {count} frames, which are in {fspath(output)}"
                if count
                else "interrupted before the first frame was written"
            ) from None
    seconds = time.perf_counter() - began
    return PaintSummary(Path(output), count, seconds, tuple(int(n) for n in unseen))


def _check_apart(video: Source, output: Source) -> None:
    """Raises InputError where writing `output` would overwrite frames of `video`."""
    source, target = Path(video).resolve(), Path(output).resolve()
    if target.suffix.lower() == ".png":
        target = target.parent
    if source == target or target in source.parents:
        raise InputError(
            f"{fspath(output)}: is the video itself, or holds it; choose another output"
        )


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
    layers: list[Layer] = [texture_layer(t, video, start, end) for t in textures]
    layers += [change_layer(rgb, index, video, start, end) for rgb, index in painted]
    if not layers:
        raise InputError("paint: expected a texture or a painted frame, got neither")
    runs = _group(layers)
    tracks = [
        tracker.track(
            video,
            masks={run[0].surface.frame: _run_mask(run)} if not run[0].surface.whole else None,
            points=[mark for layer in run for mark in layer.surface.marks(layer.first_id)],
            start=start,
            end=end,
        )
        for run in runs
    ]
    washes = {
        number: Wash(tracker, layer, video)
        for number, layer in enumerate(layers)
        if not layer.is_texture and layer.surface.whole and tracker.spec.clip_length == 1
    }
    return _painted_frames(layers, runs, tracks, washes)


@dataclass
class Wash:
    """A repainted frame's change as colours: copied by the pointer, without the surface's detail.

    It fills what the surface does not reach: what was hidden on the keyframe, or moved too wildly.
    """

    tracker: Tracker
    layer: Layer
    video: Source
    reference: Reference = field(init=False)

    def __post_init__(self) -> None:
        tracker, index = self.tracker, self.layer.surface.frame
        rgb = read_frame(self.video, index=index).rgb
        self.encoder = tracker.embedder.for_clip(tracker.embedder.lab(rgb))
        image = tracker.embedder.image(rgb)
        change = resize(self.layer.picture.to(image), image.shape[-2:])
        cells = to_cells(change[None], tracker.spec)[0]
        trust = torch.ones(len(cells), device=cells.device)
        self.reference = Reference(index, self._embed(image), cells, None, trust)

    @torch.inference_mode()
    def _embed(self, image: Tensor) -> Tensor:
        return self.encoder(image[None])[0]

    @torch.inference_mode()
    def on(self, rgb: np.ndarray) -> Tensor:
        """The change on a frame `(H, W, 3)` uint8: `(3, H, W)` float32, Lab."""
        image = self.tracker.embedder.image(rgb)
        cells, _ = copy_labels(self._embed(image), [self.reference], self.tracker.config.color)
        fine = upsample_guided(cells, image, spec=self.tracker.spec)
        return resize(fine, rgb.shape[:2]).cpu()


def _group(layers: list[Layer]) -> list[list[Layer]]:
    """Layers that one run can follow: of one keyframe, and not overlapping; ids are set."""
    groups: list[list[int]] = []
    for number, layer in enumerate(layers):
        home = next((g for g in groups if all(_apart(layers[i], layer) for i in g)), None)
        if home is None:
            groups.append([number])
        else:
            home.append(number)
    for group in groups:
        first = 1
        for place, number in enumerate(group, start=1):
            layers[number] = replace(layers[number], region_id=place, first_id=first)
            first += len(layers[number].surface.points)
    return [[layers[number] for number in group] for group in groups]


def _apart(a: Layer, b: Layer) -> bool:
    one_frame = a.surface.frame == b.surface.frame
    return one_frame and not bool((a.surface.region & b.surface.region).any())


def _run_mask(run: list[Layer]) -> np.ndarray:
    mask = np.zeros(run[0].surface.size, dtype=np.int32)
    for layer in run:
        mask[layer.surface.region] = layer.region_id
    return mask


def _painted_frames(
    layers: list[Layer],
    runs: list[list[Layer]],
    tracks: list[Iterator[TrackedFrame]],
    washes: dict[int, Wash],
) -> Generator[PaintedFrame]:
    with ExitStack() as stack:
        for track in tracks:
            if isinstance(track, Generator):
                stack.enter_context(closing(track))
        for found in zip(*tracks, strict=True):
            views = {
                id(layer): layer.view(frame)
                for run, frame in zip(runs, found, strict=True)
                for layer in run
            }
            frame = found[0]
            colors = [
                washes[number].on(frame.rgb)
                if number in washes and frame.index != layer.surface.frame
                else None
                for number, layer in enumerate(layers)
            ]
            yield _paint(frame, layers, [views[id(layer)] for layer in layers], colors)


@torch.inference_mode()
def _paint(
    frame: TrackedFrame,
    layers: list[Layer],
    views: Sequence[SurfaceView | None],
    washes: Sequence[Tensor | None],
) -> PaintedFrame:
    image = planes(frame.rgb).float() / 255
    pairs = list(zip(layers, views, strict=True))
    changes = [number for number, layer in enumerate(layers) if not layer.is_texture]
    if any(views[n] is not None or washes[n] is not None for n in changes):
        image = add_changes(
            image, frame.index, [pairs[n] for n in changes], [washes[n] for n in changes]
        )
    luma = luma_of(frame.rgb)
    for layer, view in pairs:
        if layer.is_texture and view is not None:
            lay_texture(image, layer, view, luma)
    shown = tuple(shown_share(layer, view) for layer, view in pairs)
    return PaintedFrame(
        frame.index, frame.pts_seconds, interleaved(image), shown, frame.duration_seconds
    )
