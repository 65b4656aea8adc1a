"""Objects as mattes and cut-outs with soft edges, from a run's masks and the video's own frames.

Masks hold one id a pixel; their edges are softened along the picture's (`ops.soft_masks`). There is
one output for each object, and with several one of all together.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, PngImagePlugin

from chromatrack.errors import InputError
from chromatrack.formats.cryptomatte import write_frame
from chromatrack.formats.exchange import ExportOptions, need
from chromatrack.formats.poses import distinct
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.formats.trajectories import file_names
from chromatrack.ops.resample import planes
from chromatrack.ops.soft_masks import soft_masks
from chromatrack.video.output_files import MADE_BY
from chromatrack.video.reader import Frame, probe, read_frames
from chromatrack.video.writer import VideoWriter

ALL = "all"
"""What the output of all objects together is called."""

_AROUND = 4  # px around an object where a cut-out keeps the picture's colours, so none bleeds in
_FULL_8, _FULL_16 = 255, 65535

Put = Callable[[Frame, np.ndarray, str], None]
"""Writes a frame of one output: the frame, (H, W) float32 opacity in [0, 1], its file's name."""


@dataclass(frozen=True)
class SoftFrame:
    """A frame with its number in the output and (L, H, W) float32 opacity of the L objects."""

    frame: Frame
    number: int
    opacity: np.ndarray


def write_matte_pngs(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write grey pictures of 8 bits, a folder for each object: white is the object."""

    def open_one(folder: Path, stack: ExitStack) -> Put:
        return lambda frame, opacity, name: _save(folder, name, _levels(opacity, np.uint8))

    return _write(tracked, path, options, open_one)


def write_matte_movs(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write ProRes 4444 videos, one for each object: alpha and brightness are both its opacity."""

    def make(frame: Frame, opacity: np.ndarray) -> np.ndarray:
        grey = _levels(opacity, np.uint16)
        return np.stack([grey] * 4, axis=-1)

    return _write(tracked, path, options, _movies(tracked, make))


def write_cutout_pngs(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write pictures with transparency, a folder for each object, in the video's own colours.

    Raises:
        InputError: premultiplied colours were asked for, which PNG files do not hold.
    """
    if options.premultiplied:
        raise InputError(
            "premultiplied: PNG files hold straight colours; take cutout-prores, or leave it out"
        )

    def open_one(folder: Path, stack: ExitStack) -> Put:
        def put(frame: Frame, opacity: np.ndarray, name: str) -> None:
            _save(folder, name, cutout(frame.rgb, opacity))

        return put

    return _write(tracked, path, options, open_one)


def write_cutout_movs(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write ProRes 4444 videos with transparency, one for each object, in the video's colours."""

    def make(frame: Frame, opacity: np.ndarray) -> np.ndarray:
        rgb = frame.rgb if frame.deep is None else frame.deep
        return cutout(rgb, opacity, premultiplied=options.premultiplied)

    return _write(tracked, path, options, _movies(tracked, make), deep=True)


def write_cryptomatte(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write OpenEXR files with Cryptomatte layers of all objects, one for each frame.

    Raises:
        InputError: OpenEXR is not installed.
    """
    need("OpenEXR", "film", "cryptomatte")
    names = _names(tracked)
    for soft in soft_frames(tracked, options):
        write_frame(path / f"{soft.number:05d}.exr", soft.opacity, names)
    return []


def soft_frames(
    tracked: TrackedVideo, options: ExportOptions, *, deep: bool = False
) -> Generator[SoftFrame]:
    """Every frame of a run with the opacity of its objects, in the order of ids; in one pass.

    Args:
        deep: of more than 8 bits where the video has them.

    Raises:
        InputError: the video is not there, of another size, or ends before the run does.
    """
    ids = torch.tensor(tracked.ids("object"))
    source, total = tracked.find_video(), len(tracked.frames)
    first, last = int(tracked.frames[0]), int(tracked.frames[-1])
    numbers = options.numbers(tracked.frames).tolist()
    done = 0
    frames = read_frames(source, start=first, end=last + 1, deep=deep)
    for number, frame, mask in zip(numbers, frames, tracked.masks(), strict=False):
        if frame.rgb.shape[:2] != tracked.size:
            raise InputError(
                f"{tracked.video}: expected {tracked.size[1]}x{tracked.size[0]} pixels as tracked, "
                f"got {frame.rgb.shape[1]}x{frame.rgb.shape[0]}; give the video of this run"
            )
        yield SoftFrame(_looking(frame, options), number, _opacity(frame.rgb, mask, ids))
        done += 1
    if done < total:
        raise InputError(
            f"{tracked.video}: expected {total} frames as tracked, got {done}; give the whole video"
        )


def cutout(rgb: np.ndarray, opacity: np.ndarray, *, premultiplied: bool = False) -> np.ndarray:
    """(H, W, 4) of (H, W, 3) uint8 or uint16: the object in its own colours, else clear black.

    A few pixels around it keep their colour, so that nothing dark bleeds in where it is scaled.
    """
    full = _FULL_8 if rgb.dtype == np.uint8 else _FULL_16
    alpha = _levels(opacity, rgb.dtype)
    if premultiplied:
        colors = np.rint(rgb * (alpha[..., None] / full)).astype(rgb.dtype)
    else:
        there = torch.from_numpy(opacity > 0).float()[None, None]
        near = F.max_pool2d(there, 2 * _AROUND + 1, 1, _AROUND)[0, 0].numpy() > 0
        colors = np.where(near[..., None], rgb, 0).astype(rgb.dtype)
    return np.concatenate([colors, alpha[..., None]], axis=-1)


# -- parts ---------------------------------------------------------------------------------


def _looking(frame: Frame, options: ExportOptions) -> Frame:
    """A frame as it is to be shown; its edges are those that it has."""
    if options.look is None:
        return frame
    deep = None if frame.deep is None else options.look(frame.index, frame.deep)
    return replace(frame, rgb=options.look(frame.index, frame.rgb), deep=deep)


@torch.inference_mode()
def _opacity(rgb: np.ndarray, mask: np.ndarray, ids: torch.Tensor) -> np.ndarray:
    masks = torch.from_numpy(mask)[None] == ids[:, None, None]
    return soft_masks(masks, planes(rgb).float() / 255).numpy()


def _names(tracked: TrackedVideo) -> list[str]:
    ids = tracked.ids("object")
    return list(distinct((tracked.called("object", number), number) for number in ids))


def outputs_of(tracked: TrackedVideo) -> list[str]:
    """What the outputs of the objects are called, and last, of several, the one of all of them."""
    names = _names(tracked)
    return list(file_names([*names, ALL] if len(names) > 1 else names))


def _write(
    tracked: TrackedVideo,
    path: Path,
    options: ExportOptions,
    open_one: Callable[[Path, ExitStack], Put],
    *,
    deep: bool = False,
) -> list[str]:
    """Every frame to every output; `open_one` makes the function that writes one of them."""
    places = [path / name for name in outputs_of(tracked)]
    several = len(places) > 1
    with ExitStack() as stack:
        puts = [open_one(place, stack) for place in places]
        frames = stack.enter_context(closing(soft_frames(tracked, options, deep=deep)))
        for soft in frames:
            shares = [*soft.opacity]
            if several:
                shares.append(soft.opacity.sum(axis=0).clip(0, 1))
            for put, share in zip(puts, shares, strict=True):
                put(soft.frame, share, f"{soft.number:05d}.png")
    return []


def _movies(
    tracked: TrackedVideo, make: Callable[[Frame, np.ndarray], np.ndarray]
) -> Callable[[Path, ExitStack], Put]:
    display = probe(tracked.find_video()).display

    def open_one(place: Path, stack: ExitStack) -> Put:
        target = place.with_name(f"{place.name}.mov")
        writer = stack.enter_context(
            VideoWriter(target, codec="prores4444", fps=tracked.fps, display=display)
        )

        def put(frame: Frame, opacity: np.ndarray, name: str) -> None:
            times = {"pts_seconds": frame.pts_seconds, "duration_seconds": frame.duration_seconds}
            writer.write(make(frame, opacity), **times)

        return put

    return open_one


def _levels(opacity: np.ndarray, kind: type[np.generic] | np.dtype) -> np.ndarray:
    return np.rint(opacity * np.iinfo(kind).max).astype(kind)


def _save(folder: Path, name: str, pixels: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    said = PngImagePlugin.PngInfo()
    said.add_text("Software", MADE_BY)
    Image.fromarray(pixels).save(folder / name, "PNG", compress_level=3, pnginfo=said)
