"""A stretch of a video -> decoded frames spaced in time; an image file -> one small picture."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from av.error import FFmpegError
from av.video.frame import VideoFrame
from PIL import Image, ImageOps
from torch import Tensor

from chromatrack.errors import VideoError
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import fit_size
from chromatrack.ops.resample import planes
from chromatrack.ops.shot_boundary import CutDetector
from chromatrack.training.data.media import LEAST_SIDE
from chromatrack.video.decode import PictureReader
from chromatrack.video.picture_files import opened_picture
from chromatrack.video.picture_order import Clock, Damage
from chromatrack.video.pixel_format import RgbConverter

if TYPE_CHECKING:
    from chromatrack.training.data.media import MediaFile, VideoEntry


_EARLY = 1e-3  # seconds by which a frame may come early: times are rounded to ticks
_SEEKS = 3  # key pictures tried, from the last before the start backwards
_THUMB = (36, 48)
_MOVES = 3.0  # change (0 to 255) of the liveliest cells that is worth a full draw ...
_LIVELY = 0.95  # ... the share of cells that change less than those
_COLORED = 4.0  # spread of ab (Lab units) that is worth a full draw
_LEAST_WEIGHT = 0.05


@dataclass(frozen=True)
class Clip:
    """Decoded frames of one stretch of one video.

    rgb: `(T, 3, H, W)` uint8. pts_seconds: `(T,)` float64, increasing. scene: `(T,)` int64, one
    more at each hard cut: frames of two scenes have nothing in common. weight: (0, 1], how worth
    drawing from it is; near-static and grey clips get little.
    """

    rgb: Tensor
    pts_seconds: np.ndarray
    scene: np.ndarray
    weight: float


@dataclass(frozen=True)
class Decoded:
    """`clip` is None where fewer than two frames could be decoded; `problem` says what is wrong."""

    clip: Clip | None
    problem: str | None


def decode_stretch(
    entry: VideoEntry,
    *,
    start_seconds: float,
    end_seconds: float,
    short_side: int,
    spacing_seconds: float,
) -> Decoded:
    """The frames shown from `start_seconds` until before `end_seconds` of a video.

    Seeks to the key picture before the start: which frames come does not depend on it. Only the
    frames that are kept are converted to rgb. Damage ends the clip; what came before is good.

    Args:
        short_side: pixels that the shorter side is brought down to (never up).
        spacing_seconds: least time between two frames that are kept.
    """
    size = fit_size((entry.height, entry.width), short_side=short_side)
    converter = RgbConverter(size)
    frames: list[Tensor] = []
    times: list[float] = []
    problem = None
    try:
        for seconds, picture in _pictures(entry, start_seconds):
            if seconds >= end_seconds - _EARLY:
                break
            wanted = times[-1] + max(spacing_seconds, 2 * _EARLY) if times else start_seconds
            if seconds >= wanted - _EARLY:
                frames.append(planes(converter.rgb(picture)).contiguous())
                times.append(seconds)
    except (VideoError, Damage, FFmpegError, ValueError) as error:
        where = f"after {times[-1]:.2f} s" if times else f"from {start_seconds:.2f} s on"
        problem = f"{entry.label}: damaged {where} ({error})"
    if len(frames) < 2:
        count = "no frame" if not frames else "one frame"
        span = f"{start_seconds:.2f} to {end_seconds:.2f} s"
        return Decoded(None, problem or f"{entry.label}: {count} between {span}; two are needed")
    return Decoded(as_clip(torch.stack(frames), np.asarray(times)), problem)


def _pictures(entry: VideoEntry, start_seconds: float) -> Iterator[tuple[float, VideoFrame]]:
    """(time, picture) in order from some picture at or before `start_seconds` on; raises Damage."""
    before = [key for key in entry.keyframes[1:] if key <= start_seconds]
    for key in before[: -_SEEKS - 1 : -1]:
        reader = entry.open_video()
        try:
            pictures = _sought(reader, key, start_seconds)
            if pictures is not None:
                yield from _timed(pictures, reader.clock())
                return
        finally:
            reader.close()
    reader = entry.open_video()
    try:
        yield from _timed(reader.pictures(), reader.clock())
    finally:
        reader.close()


def _sought(
    reader: PictureReader, key_seconds: float, start_seconds: float
) -> Iterator[VideoFrame] | None:
    """The pictures from a key picture on; None unless the first is due by `start_seconds`."""
    base = reader.stream.time_base
    if not base:
        return None
    ticks = round(key_seconds / float(base))
    try:
        reader.container.seek(ticks, stream=reader.stream)
        pictures = reader.pictures(from_pts=ticks)
        first = next(pictures, None)
    except (FFmpegError, Damage):
        return None
    if first is None or first.pts is None or float(first.pts * base) > start_seconds + _EARLY:
        return None
    return chain([first], pictures)


def _timed(pictures: Iterator[VideoFrame], clock: Clock) -> Iterator[tuple[float, VideoFrame]]:
    for index, picture in enumerate(pictures):
        yield clock.read(picture, index), picture


def as_clip(rgb: Tensor, pts_seconds: np.ndarray) -> Clip:
    """Find the scenes and the weight of decoded frames: `(T, 3, H, W)` uint8, `(T,)` seconds."""
    detector = CutDetector()
    cuts = [detector.is_cut(frame[:, ::2, ::2].float() / 255) for frame in rgb]
    scene = np.cumsum(np.asarray(cuts, np.int64))
    return Clip(rgb, pts_seconds, scene, clip_weight(rgb, scene))


def clip_weight(rgb: Tensor, scene: np.ndarray) -> float:
    """How worth drawing from a clip is, [0.0025, 1]: 1 once something moves and colours differ.

    Movement is that of the liveliest cells of small pictures: one walker in front of a still
    camera is enough, the noise of a still picture is not. Colour is how much ab varies over the
    clip: none in grey film, little in toned film. Each below its threshold counts in proportion.

    Args:
        rgb: `(T, 3, H, W)` uint8. scene: `(T,)` int; changes across cuts are no movement.
    """
    small = torch.cat([F.adaptive_avg_pool2d(frame[None].float(), _THUMB) for frame in rgb])
    change = (small[1:] - small[:-1]).abs().mean(1).flatten(1)
    change = change[torch.from_numpy(scene[1:] == scene[:-1])]
    moves = float(change.quantile(_LIVELY, dim=1).mean()) if len(change) else 0.0
    ab = rgb_to_lab(small / 255)[:, 1:]
    spread = float(ab.var(dim=(0, 2, 3), correction=0).sum().sqrt())
    return _share(moves, _MOVES) * _share(spread, _COLORED)


def _share(value: float, full: float) -> float:
    return min(1.0, max(_LEAST_WEIGHT, value / full))


def load_photo(entry: MediaFile, *, short_side: int) -> Tensor:
    """A photo as `(3, H, W)` uint8 sRGB, upright, its shorter side brought down to `short_side`.

    Raises:
        VideoError: the data is no image that can be read, or is too small.
    """
    try:
        with Path(entry.path).open("rb") as file:
            file.seek(entry.start)
            data = file.read() if entry.length is None else file.read(entry.length)
    except OSError as error:
        raise VideoError(f"{entry.label}: cannot be read ({error.strerror or error})") from error
    with opened_picture(io.BytesIO(data), name=entry.label, error=VideoError) as opened:
        opened.draft("RGB", (2 * short_side, 2 * short_side))  # a huge JPEG is decoded smaller
        image = ImageOps.exif_transpose(opened).convert("RGB")
    if min(image.size) < LEAST_SIDE:
        raise VideoError(
            f"{entry.label}: expected at least {LEAST_SIDE} pixels a side, got "
            f"{image.width}x{image.height}"
        )
    height, width = fit_size((image.height, image.width), short_side=short_side)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return planes(np.array(image)).contiguous()
