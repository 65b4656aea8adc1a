"""Pictures put on one frame, textures and repainted copies, and how they look on the others.

A texture takes the clip's shading: it grows lighter and darker as the surface under it does. Of a
repainted frame the change is carried, and added to each frame, so all else stays the clip's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.ops.color import lab_to_rgb, rgb_to_lab
from chromatrack.ops.coords import pixel_grid
from chromatrack.ops.resample import planes
from chromatrack.structures import Source
from chromatrack.tracking.inference import TrackedFrame
from chromatrack.uses.surface import (
    Surface,
    SurfaceView,
    choose_points,
    sample_picture,
    smooth_step,
)
from chromatrack.video.picture_files import read_rgb
from chromatrack.video.reader import read_frame

TEXTURE_POINTS, FRAME_POINTS = 150, 400
"""About how many points carry a texture or a repainted part, and a wholly repainted frame."""

WHOLE = 0.6
"""Share of changed pixels from which all of a frame counts as repainted."""

_CHANGED = 4.0  # Lab distance from which a pixel counts as repainted
_MARGIN = 6  # px around what is painted that are followed along with it
_UNLIKE = 6.0, 16.0  # Lab distance of a pixel from the place it should show: same, another
_SHADE = 0.4, 1.8  # least and most that shading makes of a texture's colours
_SMOOTH = 40  # shading is smoothed over the frame's shorter side divided by this, px
_COARSE = 4  # px per step of the shading


@dataclass(frozen=True, eq=False)
class ImageLayer:
    """A picture to lay on a frame's surface.

    rgba: `(h, w, 4)` uint8, alpha 0 = clear. frame: the keyframe it is laid on. x, y: pixel of that
    frame which its top left pixel covers; it may stick out. name: for messages.
    """

    rgba: np.ndarray
    frame: int = 0
    x: float = 0.0
    y: float = 0.0
    name: str = "texture"


def parse_texture(text: str) -> ImageLayer:
    """Read `T.png@FRAME:x,y`; without `@FRAME` frame 0, without `:x,y` the top left corner.

    Raises:
        InputError: not of this form, no such file, or not a picture.
    """
    number = r"[+-]?[0-9]+(?:\.[0-9]*)?"
    form = (
        "PICTURE@FRAME:x,y with FRAME counted from 0 and the pixel where its top left corner goes, "
        "as in logo.png@0:120,80"
    )
    place = rf"([0-9]{{1,9}})(?::({number}),({number}))?"
    picture, found = _picture_at(f"texture {text!r}", text, form=form, place=place, mode="RGBA")
    frame, x, y = found.groups(default="0")
    return ImageLayer(picture, int(frame), float(x), float(y), text)


def parse_painted(text: str) -> tuple[np.ndarray, int]:
    """Read `P.png@FRAME` (frame 0 without it): rgb `(H, W, 3)` uint8 and the frame it repaints.

    Raises:
        InputError: not of this form, no such file, or not a picture.
    """
    form = "PICTURE@FRAME with FRAME counted from 0, as in frame.png@0"
    name = f"painted {text!r}"
    picture, found = _picture_at(name, text, form=form, place="[0-9]{1,9}", mode="RGB")
    return picture, int(found[0])


def picture_and_place(text: str) -> tuple[str, str]:
    """The file that `PICTURE` or `PICTURE@PLACE` names, and the place, "0" without one."""
    path, at, where = text.rpartition("@")
    return (text, "0") if not at or Path(text).exists() else (path, where)


def _picture_at(
    name: str, text: str, *, form: str, place: str, mode: str
) -> tuple[np.ndarray, re.Match[str]]:
    """A picture named as PICTURE@PLACE in a Pillow mode, and its place, a regular expression."""
    path, where = picture_and_place(text)
    found = re.fullmatch(place, where)
    if found is None:
        raise InputError(f"{name}: expected {form}")
    return np.array(read_rgb(path, mode=mode, name=name)), found


@dataclass(frozen=True, eq=False)
class Layer:
    """One picture and the surface that carries it.

    picture: `(C, h, w)` float32, a texture's premultiplied sRGB and alpha in [0, 1], C = 4, or a
    change in Lab, C = 3. corner: xy px of its top left pixel on the keyframe. key: the keyframe,
    for a texture its luma `(1, H, W)` in [0, 1], for a change its Lab `(3, H, W)`. run: number of
    the tracking run that follows it; region_id, first_id: of its mask and its first point in that.
    """

    surface: Surface
    picture: Tensor
    corner: tuple[float, float]
    key: Tensor
    run: int = 0
    region_id: int = 0
    first_id: int = 0

    @property
    def is_texture(self) -> bool:
        """A texture, not a repainted frame."""
        return len(self.picture) == 4

    def view(self, frame: TrackedFrame) -> SurfaceView | None:
        """Its surface on a frame; None where it is not seen."""
        if frame.index == self.surface.frame:
            return self.surface.here()
        mask = None if self.surface.is_whole else frame.mask == self.region_id
        return self.surface.seen(frame.points, self.first_id, mask)

    def sample(self, places: Tensor) -> Tensor:
        """Its picture at places of the keyframe, `(C, H, W)`."""
        corner = places.new_tensor(self.corner)[:, None, None]
        return sample_picture(self.picture, places - corner)


def texture_layer(texture: ImageLayer, video: Source, start: int, end: int | None) -> Layer:
    """A texture with its surface; InputError where nothing of it is seen on frames [start, end)."""
    rgba, name = texture.rgba, texture.name
    if rgba.ndim != 3 or rgba.shape[2] != 4 or rgba.dtype != np.uint8:
        raise InputError(f"{name}: expected (h, w, 4) uint8 RGBA, got {rgba.shape} {rgba.dtype}")
    if not rgba[..., 3].any():
        raise InputError(f"{name}: expected a picture that shows, got one that is all transparent")
    _check_frame(name, texture.frame, start, end)
    rgb = read_frame(video, index=texture.frame).rgb
    image = torch.from_numpy(rgba).permute(2, 0, 1).float() / 255
    # A clear border, so that what lies beyond the picture's edge is clear too.
    picture = F.pad(torch.cat([image[:3] * image[3:], image[3:]]), (1, 1, 1, 1))
    corner = texture.x - 1, texture.y - 1
    grid = pixel_grid(rgb.shape[:2], stride=1, offset=0)
    places = (grid - grid.new_tensor(corner)).permute(2, 0, 1)
    covered = (sample_picture(picture, places)[3] > 0.05).numpy()
    if not covered.any():
        raise InputError(
            f"{name}: expected a place inside the {rgb.shape[1]}x{rgb.shape[0]} frame, got x "
            f"{texture.x:g}, y {texture.y:g}, where nothing of it is seen"
        )
    surface = _surface(texture.frame, covered, rgb, TEXTURE_POINTS)
    return Layer(surface, picture, corner, luma_of(rgb))


def change_layer(rgb: np.ndarray, index: int, video: Source, start: int, end: int | None) -> Layer:
    """A repainted frame, `(H, W, 3)` uint8, as a change with its surface; InputError if none."""
    name = f"painted frame {index}"
    _check_frame(name, index, start, end)
    source = read_frame(video, index=index).rgb
    if rgb.shape != source.shape or rgb.dtype != np.uint8:
        raise InputError(
            f"{name}: expected the video's {source.shape[1]}x{source.shape[0]} pixels, 8-bit RGB, "
            f"got {rgb.shape} {rgb.dtype}; repaint a copy of this very frame"
        )
    before, after = (rgb_to_lab(planes(image).float() / 255) for image in (source, rgb))
    change = after - before
    changed = F.avg_pool2d(change[None], 3, 1, 1)[0].norm(dim=0).numpy() > _CHANGED
    if not changed.any():
        raise InputError(f"{name}: expected a repainted copy, got one equal to the video's frame")
    most = TEXTURE_POINTS
    if changed.mean() >= WHOLE:
        changed, most = np.ones_like(changed), FRAME_POINTS
    return Layer(_surface(index, changed, source, most), change, (0.0, 0.0), before)


def share_runs(layers: Sequence[Layer]) -> list[Layer]:
    """Give layers the runs that follow them; those of one keyframe share one if none overlap."""
    placed: list[Layer] = []
    for layer in layers:
        run, mates = 0, [other for other in placed if other.run == 0]
        while not all(_are_apart(layer, other) for other in mates):
            run += 1
            mates = [other for other in placed if other.run == run]
        first = 1 + sum(len(other.surface.points) for other in mates)
        placed.append(replace(layer, run=run, region_id=len(mates) + 1, first_id=first))
    return placed


def _are_apart(a: Layer, b: Layer) -> bool:
    one_frame = a.surface.frame == b.surface.frame
    return one_frame and not bool((a.surface.region & b.surface.region).any())


def _check_frame(name: str, index: int, start: int, end: int | None) -> None:
    if index < start or (end is not None and index >= end):
        last = "the end" if end is None else f"{end - 1}"
        raise InputError(
            f"{name}: expected a frame from {start} to {last}, got {index}; frames are counted "
            "from 0"
        )


def _surface(frame: int, covered: np.ndarray, rgb: np.ndarray, most: int) -> Surface:
    hard = torch.from_numpy(covered).float()[None, None]
    region = F.max_pool2d(hard, 2 * _MARGIN + 1, 1, _MARGIN)[0, 0].numpy() > 0
    points, spacing = choose_points(region, rgb, most=most)
    return Surface(frame, region, points, spacing)


def shown_share(layer: Layer, view: SurfaceView | None) -> float:
    """Share of a layer that is seen, by its area on the keyframe."""
    if view is None:
        return 0.0
    area = float(np.count_nonzero(layer.surface.region))
    return min(1.0, float((view.seen * _inside(layer, view.places)).sum()) / area)


def _inside(layer: Layer, places: Tensor) -> Tensor:
    """Whether places of the keyframe lie in the region, `(h, w)` in [0, 1]."""
    region = torch.from_numpy(layer.surface.region).float()[None]
    return sample_picture(region, places)[0].clamp(0, 1)


def lay_texture(image: Tensor, layer: Layer, view: SurfaceView, luma: Tensor) -> None:
    """Composite a texture, in place: `(3, H, W)` sRGB in [0, 1], luma `(1, H, W)` of the frame."""
    sampled = layer.sample(view.places).clamp(0, 1)
    alpha = sampled[3:] * view.seen
    part = image[:, *view.part]
    shade = shading(layer, view, luma[:, *view.part])
    colors = (sampled[:3] * view.seen * shade).clamp(max=1)
    part.mul_(1 - alpha).add_(colors).clamp_(0, 1)


def shading(layer: Layer, view: SurfaceView, luma: Tensor) -> Tensor:
    """How much lighter the surface is than on the keyframe, smoothed.

    Args:
        luma: `(1, h, w)` of the view's part of the frame, in [0, 1].

    Returns:
        `(1, h, w)` float32, 0.4 to 1.8; 1 on the keyframe.
    """
    weight = (view.seen * _inside(layer, view.places))[None]
    then = sample_picture(layer.key, view.places).clamp(0, 1)
    smooth = torch.cat([weight * luma, weight * then])[None]
    smooth = F.avg_pool2d(smooth, _COARSE, ceil_mode=True, count_include_pad=False)
    radius = max(1, math.ceil(min(layer.surface.size) / _SMOOTH / _COARSE))
    for _ in range(2):
        smooth = F.avg_pool2d(smooth, 2 * radius + 1, 1, radius, count_include_pad=False)
    now, before = smooth[0]
    ratio = ((now + 1e-4) / (before + 1e-4)).clamp(*_SHADE)
    fine = F.interpolate(ratio[None, None], scale_factor=float(_COARSE), mode="bilinear")[0]
    return fine[:, : luma.shape[1], : luma.shape[2]]


def add_changes(
    image: Tensor,
    index: int,
    changes: Sequence[tuple[Layer, SurfaceView | None, Tensor | None]],
) -> Tensor:
    """Add repainted frames' changes in Lab: `(3, H, W)` sRGB in [0, 1] -> same.

    Each counts by how near its keyframe is in time and by whether it is seen; where one alone is
    seen, it counts alone.

    Args:
        changes: each with its view and, `(3, H, W)` Lab, what the pointer alone says of it: taken
            where the surface is not seen. None: nothing is added there.
    """
    shares = keyframe_shares(index, [layer.surface.frame for layer, _, _ in changes])
    lab = rgb_to_lab(image)
    total, mass = torch.zeros_like(image), image.new_zeros(1, *image.shape[1:])
    cover = mass.clone()
    for (layer, view, wash), share in zip(changes, shares, strict=True):
        if share == 0 or (view is None and wash is None):
            continue
        part = (slice(None), *view.part) if view else (slice(None),)
        seen, amount = torch.zeros_like(mass[part]), torch.zeros_like(total[part])
        if view is not None:
            seen = view.seen[None]
            if wash is not None:
                seen = seen * _same(lab, layer.key, view.places)
            elif index != layer.surface.frame:
                seen = seen * _inside(layer, view.places)
            amount = seen * layer.sample(view.places)
        if wash is not None:
            amount, seen = amount + (1 - seen) * wash, torch.ones_like(seen)
        total[part] += share * amount
        mass[part] += share * seen
        cover[part] = torch.maximum(cover[part], seen * min(1.0, 4 * share))
    change = total / mass.clamp(min=1e-6) * cover
    return lab_to_rgb(lab + change)


def _same(lab: Tensor, key: Tensor, places: Tensor) -> Tensor:
    """Whether pixels look like the places of the keyframe they are said to show: `(1, H, W)`.

    Both are Lab `(3, H, W)`, and compared smoothed, so that neither noise nor a small shift counts.
    """
    apart = F.avg_pool2d((lab - sample_picture(key, places))[None], 5, 1, 2)[0].norm(dim=0)
    return 1 - smooth_step(apart, *_UNLIKE)[None]


def keyframe_shares(index: int, keyframes: Sequence[int]) -> list[float]:
    """How much each keyframe counts at a frame, by distance; the shares sum to 1.

    The nearest keyframe on either side count; several on one frame share alike.
    """
    known = sorted(set(keyframes))
    shares = {k: float(np.interp(index, known, np.equal(known, k))) for k in known}
    return [shares[k] / list(keyframes).count(k) for k in keyframes]


def luma_of(rgb: np.ndarray) -> Tensor:
    """`(H, W, 3)` uint8 -> `(1, H, W)` in [0, 1], Rec. 709 weights on the coded values."""
    weights = torch.tensor([0.2126, 0.7152, 0.0722])
    return (planes(rgb).float() / 255 * weights[:, None, None]).sum(0, keepdim=True)
