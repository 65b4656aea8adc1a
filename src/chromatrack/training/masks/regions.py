"""Regions of photos that could be things: parts of like colours grown together, random shapes."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.coords import image_size
from chromatrack.ops.resample import resize

_SIDE = 96  # longer side of the small picture that regions are made in
_ROUNDS = 8  # of k-means
_MOST_PARTS = 60  # that a region is grown from
_UNLIKE = 0.25  # distance of mean colours that counts as much as e times the contact
_CHANCE = 0.7  # of which part comes next
_SOFTEN = 1.5  # pixels by which a region's steps are smoothed


def grown_region(photo: Tensor, rng: np.random.Generator) -> Tensor:
    """Parts of a photo that hang together and are rather alike, as one mask without holes.

    The photo is cut into parts by k-means over colour and place; from a part near the middle the
    region grows over its neighbours, those of like colour and long contact first.

    Args:
        photo: `(3, H, W)` float in [0, 1].

    Returns:
        `(H, W)` bool; mostly between 6 and 40 % of the photo, its thinnest parts rounded off.
    """
    small = resize(photo, _small(image_size(photo)))
    parts = pieces(_clusters(small, rng))
    chosen = _grow(parts, small, rng)
    return _smooth(largest_piece(filled(_closed(chosen[parts]))), image_size(photo))


def random_shape(size: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """A roundish blob near the middle: `size` bool, 5 to 40 % of it."""
    h, w = _small(size)
    waves = torch.from_numpy(rng.normal(size=(1, 1, *rng.integers(4, 12, 2))).astype(np.float32))
    height = F.interpolate(waves, size=(h, w), mode="bicubic")[0, 0]
    rows, columns = (torch.linspace(-1, 1, n).square() for n in (h, w))
    height = height / height.std() - 3 * (rows[:, None] + columns)
    mask = height > height.flatten().quantile(1 - float(rng.uniform(0.05, 0.4)))
    return _smooth(largest_piece(mask), size)


def pieces(labels: Tensor) -> Tensor:
    """Number what hangs together (sides, not corners) and has one label.

    Args:
        labels: `(h, w)` of any type.

    Returns:
        `(h, w)` int64, from 0 on without gaps.
    """
    number = torch.arange(labels.numel()).view(labels.shape)
    below, beside = labels[1:] == labels[:-1], labels[:, 1:] == labels[:, :-1]
    while True:
        before, number = number, number.clone()
        for here, there, same in (
            (number[1:], before[:-1], below),
            (number[:-1], before[1:], below),
            (number[:, 1:], before[:, :-1], beside),
            (number[:, :-1], before[:, 1:], beside),
        ):
            here.copy_(torch.where(same, torch.maximum(here, there), here))
        number = number.flatten()[number]  # every number is a place: look what that one has by now
        if torch.equal(number, before):
            return torch.unique(number, return_inverse=True)[1]


def largest_piece(mask: Tensor) -> Tensor:
    """The largest piece of a mask `(h, w)` bool; the mask itself where it is empty."""
    if not bool(mask.any()):
        return mask
    number = pieces(mask)
    return number == number[mask].bincount().argmax()


def filled(mask: Tensor) -> Tensor:
    """A mask `(h, w)` bool with its holes: what is not in it and does not reach the border."""
    number = pieces(mask)
    border = torch.cat([number[0], number[-1], number[:, 0], number[:, -1]])
    return mask | ~torch.isin(number, border)


def blurred(image: Tensor, sigma: float) -> Tensor:
    """`(C, H, W)` float smoothed by a Gaussian of `sigma` pixels, mirrored at the border."""
    radius = math.ceil(3 * sigma)
    kernel = torch.exp(-(torch.arange(-radius, radius + 1.0) / sigma).square() / 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    padded = F.pad(image[:, None], [radius] * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel), kernel.mT)[:, 0]


def _small(size: tuple[int, int]) -> tuple[int, int]:
    """A size brought down so that its longer side is _SIDE, where it is more."""
    share = min(1.0, _SIDE / max(size))
    return max(2, round(size[0] * share)), max(2, round(size[1] * share))


def _smooth(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A small mask brought to `size`, its steps rounded off."""
    large = F.interpolate(mask[None, None].float(), size=size, mode="bilinear")[0]
    return blurred(large, _SOFTEN)[0] > 0.5


def _closed(mask: Tensor) -> Tensor:
    """Gaps of a pixel closed."""
    wide = F.max_pool2d(mask[None].float(), 3, 1, 1)
    return (-F.max_pool2d(-wide, 3, 1, 1))[0] > 0.5


def _clusters(image: Tensor, rng: np.random.Generator) -> Tensor:
    """k-means over colour and place, 12 to 49 clusters: `(3, h, w)` -> `(h, w)` int64."""
    h, w = image.shape[-2:]
    places = torch.stack(torch.meshgrid(*(torch.arange(n) / n for n in (h, w)), indexing="ij"))
    weight = 3 * float(rng.uniform(0.5, 2))
    pixels = torch.cat([4 * image, weight * places]).flatten(1).T
    count = min(int(rng.integers(12, 50)), len(pixels))
    centres = pixels[torch.from_numpy(rng.choice(len(pixels), count, replace=False))]
    for _ in range(_ROUNDS):
        near = torch.cdist(pixels, centres).argmin(1)
        centres = torch.where(
            near.bincount(minlength=count)[:, None] > 0, _means(pixels, near, count), centres
        )
    return torch.cdist(pixels, centres).argmin(1).view(h, w)


def _means(values: Tensor, groups: Tensor, count: int) -> Tensor:
    """Means `(count, D)` of the rows of each group; 0 of those without any."""
    sums = values.new_zeros(count, values.shape[1]).index_add_(0, groups, values)
    return sums / groups.bincount(minlength=count).clamp(min=1)[:, None]


def _grow(parts: Tensor, image: Tensor, rng: np.random.Generator) -> Tensor:
    """Which parts `(P,)` bool a region takes in, from one near the middle on."""
    h, w = parts.shape
    areas, count = parts.flatten().bincount(), int(parts.max()) + 1
    colors = _means(image.flatten(1).T, parts.flatten(), count)
    contact = _contact(parts, count)
    chosen = torch.zeros(count, dtype=torch.bool)
    chosen[parts[rng.integers(h // 5, h - h // 5), rng.integers(w // 5, w - w // 5)]] = True
    target = float(rng.uniform(0.06, 0.4)) * parts.numel()
    while int(areas[chosen].sum()) < target and int(chosen.sum()) < _MOST_PARTS:
        touching = contact[chosen].sum(0) * ~chosen
        if not bool(touching.any()):
            break
        unlike = (colors - colors[chosen].mean(0)).norm(dim=1) / _UNLIKE
        chance = torch.from_numpy(rng.gumbel(size=count).astype(np.float32)) * _CHANCE
        chosen[(unlike - touching.log() + chance).argmin()] = True
    return chosen


def _contact(parts: Tensor, count: int) -> Tensor:
    """How many sides of pixels each part has in common with each other: `(P, P)` float."""
    below = torch.stack([parts[1:].flatten(), parts[:-1].flatten()])
    beside = torch.stack([parts[:, 1:].flatten(), parts[:, :-1].flatten()])
    one, other = torch.cat([below, beside], 1)
    shared = torch.zeros(count, count)
    shared.index_put_((one, other), torch.ones(len(one)), accumulate=True)
    return (shared + shared.T).fill_diagonal_(0)
