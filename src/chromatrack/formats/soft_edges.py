"""Smooth edges in masks: shades along the edge of something are no objects of their own.

A paint program that smooths edges, a resized mask or a JPEG has, between flat values, shades that
lie on edges alone: never a patch of 3 x 3 pixels of one shade, and always between a darker and a
brighter neighbour. Ids have patches, or are no such mixtures. Shades are joined to the flat value
next to them that they are most like, so that an object ends where half of it is there.

Memory is about that of a few copies of the picture: numbers are kept in the least type that holds
them, and what needs more is done in bands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from chromatrack.distinct import distinct

_PATCH = 1  # pixels to each side that are of one value inside a patch
_REACH = 2  # pixels to each side within which a shade's darker and brighter neighbours lie
_BETWEEN = 0.8  # share of a shade's pixels that must lie between their neighbours
_FEW = 3  # shades that are needed before edges are called smooth
_LEAST_PIXELS = 8  # places with shades that are needed
_MOST_SHARE = 0.5  # of the picture that shades may cover
_MANY = 16  # shades from which flat values close to a more frequent one are its tail
_TAIL = 0.1  # of the range of values that counts as close
_MOST_FLAT = 64  # flat values among shades; with more, nothing can be said
_ENDS = 0.6  # of a grey picture that must be near black or near its brightest to be one soft object
_SMALL_STEP = 0.05  # of the range; smaller ones, where anything changes, are those of a photograph
_CHANGING = 0.2  # share of pixels that differ from the next one in a photograph
_SPECKLED = 0.1  # share of smeared pixels that may form patches all the same
_BLOCK = 8  # pixels along a block that is smeared together
_DEEP = 5  # pixels from an edge at which its smear has ended
_SMEAR = 32  # grey levels by which a lossy format smears
_FAR = 10**9  # what a flat value that is not beside a pixel is further from it
_BAND = 1 << 20  # pixels that are worked on at a time where that takes memory


@dataclass(frozen=True)
class Joined:
    """A picture without its smooth edges.

    pixels: `(H, W, C)` as given, each pixel of a flat value. shades: how many values were joined to
    others. objects: flat values that are not 0.
    """

    pixels: np.ndarray
    shades: int
    objects: int


@dataclass(frozen=True)
class _Values:
    """A picture's distinct values `(n, C)`, which one each pixel has, how often each is there.

    `index` is of the least unsigned type that holds it.
    """

    colors: np.ndarray
    index: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, pixels: np.ndarray) -> _Values:
        packed, bits = packed_values(pixels)
        kept = distinct_values(packed)
        numbers = np.arange(len(kept), dtype=np.min_scalar_type(len(kept)))
        index = mapped(packed, kept, numbers)
        counts = np.zeros(len(kept), dtype=np.int64)
        for band in _bands(index):
            counts += np.bincount(band, minlength=len(kept))
        shifts = bits * np.arange(pixels.shape[2])[::-1]
        return cls(kept[:, None].astype(np.int64) >> shifts & (1 << bits) - 1, index, counts)

    def share(self, pixels: np.ndarray) -> np.ndarray:
        """Of every value, the share of its pixels that a `(H, W)` bool picture holds."""
        held = np.zeros(len(self.counts), dtype=np.int64)
        for band, inside in zip(_bands(self.index), _bands(pixels), strict=True):
            held += np.bincount(band[inside], minlength=len(held))
        return held / self.counts


def packed_values(pixels: np.ndarray) -> tuple[np.ndarray, int]:
    """`(H, W)` one number for each pixel of `(H, W, C)`, and the bits that a channel has in it.

    Args:
        pixels: uint8, or uint16 of one channel.
    """
    if pixels.shape[2] == 1:
        return pixels[..., 0], 8 * pixels.dtype.itemsize
    packed = np.zeros(pixels.shape[:2], dtype=np.int32)
    for channel in np.moveaxis(pixels, 2, 0):
        np.left_shift(packed, 8, out=packed)
        np.bitwise_or(packed, channel, out=packed)
    return packed, 8


def distinct_values(values: np.ndarray) -> np.ndarray:
    """`(n,)`: every value that is there, ascending."""
    found = [distinct(band) for band in _bands(values)]
    return np.unique(np.concatenate(found)) if found else values.reshape(-1)


def mapped(values: np.ndarray, kept: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Every value exchanged for that of `to` which stands where it stands in `kept`, ascending."""
    result = np.empty(values.shape, to.dtype)
    for band, found in zip(_bands(values), _bands(result), strict=True):
        found[:] = to[np.searchsorted(kept, band)]
    return result


def _bands(values: np.ndarray) -> Iterator[np.ndarray]:
    """Pieces of a picture, one after the other, each flat."""
    flat = values.reshape(-1)
    return (flat[start : start + _BAND] for start in range(0, flat.size, _BAND))


def join_shades(pixels: np.ndarray, *, full_scale: int) -> Joined | None:
    """Join the shades on smooth edges to the flat values beside them.

    Args:
        pixels: `(H, W, C)` uint8, or uint16 of one channel.
        full_scale: the largest value there can be; where it is used fewer signs of smooth edges
            are asked for, because ids seldom reach it.

    Returns:
        None where the edges are not smooth, or it cannot be said: the values are what they are.
    """
    values = _Values.of(pixels)
    if len(values.counts) < 4:
        return None
    patch = _patches(values.index)
    shade = (values.share(patch) == 0) & (values.share(_between(pixels)) >= _BETWEEN)
    white = int(pixels.max()) == full_scale
    if not _is_smooth(values, shade, white=white):
        return None
    flat = _flat_values(values, shade, values.share(patch) > 0)
    if not 0 < len(flat) <= _MOST_FLAT or not values.colors[flat].any():
        return None
    joined = _nearest_beside(values, flat, patch, pixels)
    objects = int((values.colors[flat].any(axis=1)).sum())
    return Joined(joined, len(values.counts) - len(flat), objects)


def is_photograph(values: np.ndarray) -> bool:
    """Whether grey `(H, W)` values change little by little nearly everywhere: no mask of ids.

    Ids beside one another differ by any amount, in one direction at least.
    """
    if min(values.shape) < 3 or len(distinct(values)) <= _MOST_FLAT:
        return False
    wide = values.astype(np.int32)
    largest = _SMALL_STEP * int(wide.max() - wide.min())
    for axis in (0, 1):
        steps = np.abs(np.diff(wide, axis=axis))
        if (steps > 0).mean() < _CHANGING or np.median(steps[steps > 0]) > largest:
            return False
    return True


def lossy_object(pixels: np.ndarray, *, was_lossy: bool = True) -> np.ndarray | None:
    """The one object of a smeared `(H, W, C)` uint8 mask, black around it: `(H, W)` bool, or None.

    None where it shows more than one flat colour, or nothing flat.

    Args:
        was_lossy: the format smears. Otherwise values but black and the brightest must lie beside
            each other: where they form patches they are ids.
    """
    level = pixels.max(axis=2).astype(np.int16)
    top = int(level.max())
    low, high = level <= _SMEAR, level >= top - _SMEAR
    if top < 4 * _SMEAR or not low.any() or (low | high).mean() < _ENDS:
        return None
    if not was_lossy:
        usual = [int(np.bincount(level[end]).argmax()) for end in (low, high)]
        patch, other = _patches(level), ~np.isin(level, usual)
        if other.sum() < _LEAST_PIXELS or patch[other].mean() > _SPECKLED or top < 255 - _SMEAR:
            return None
        if other.mean() > _MOST_SHARE or not (patch[high].any() and patch[low].any()):
            return None
        if min(level.shape) < _BLOCK or len(np.unique(level[high | low])) <= 2 + _FEW:
            return None
    steady = _spread(level, _PATCH) <= _SMEAR // 4
    if (steady & ~low & ~high).sum() > _SPECKLED * (~low).sum():
        return None
    deep = ~_wide(~high, _DEEP)
    if (inside := pixels[deep & steady].astype(np.int64)).size:
        first, last = np.percentile(inside, (5, 95), axis=0)
        if (last - first).max() > _SMEAR:
            return None
    around = level[low & steady]
    if around.size and np.percentile(around, 95) > _SMEAR // 4:
        return None
    return level > top // 2


def _is_smooth(values: _Values, shade: np.ndarray, *, white: bool) -> bool:
    """Enough shades, in enough places, on a small enough part of the picture."""
    count, here = int(shade.sum()), shade[values.index]
    if count == 0 or (here.mean() > _MOST_SHARE and not _two_ends(values)):
        return False
    if count < _FEW:
        level = values.colors[shade].max(axis=1) / max(1, int(values.colors.max()))
        if not white or level.min() < 1 / 8 or level.max() > 7 / 8:
            return False
    places = int(here.sum()) - sum(
        int(((a == b) & held).sum())
        for a, b, held in (
            (values.index[1:], values.index[:-1], here[1:]),
            (values.index[:, 1:], values.index[:, :-1], here[:, 1:]),
        )
    )
    return places >= max(_LEAST_PIXELS, count if white else 2 * count)


def _two_ends(values: _Values) -> bool:
    """Grey values that are mostly near black or near the brightest one, and often the latter."""
    if values.colors.shape[1] > 1:
        return False
    level, total = values.colors[:, 0] / max(1, int(values.colors.max())), values.counts.sum()
    high = values.counts[level > 1 - 2 * _TAIL].sum()
    low = values.counts[level < 2 * _TAIL].sum()
    return bool(low + high > _ENDS * total and high > (total - low) / 4)


def _flat_values(values: _Values, shade: np.ndarray, patched: np.ndarray) -> np.ndarray:
    """Numbers of the values that shades are joined to."""
    flat = np.flatnonzero(~shade)
    if shade.sum() < _MANY:
        return flat
    solid = flat[patched[flat]]
    if not values.colors[solid].any():  # too small for a patch: its brightest value
        brightest = flat[values.colors[flat].sum(axis=1).argmax()]
        solid = np.append(solid, brightest)
    close = _TAIL * int(values.colors.max())
    kept: list[int] = []
    for number in sorted(solid, key=lambda n: (values.colors[n].any(), -values.counts[n])):
        apart = [np.abs(values.colors[number] - values.colors[k]).max() > close for k in kept]
        if all(apart):
            kept.append(int(number))
    return np.array(kept)


def _nearest_beside(
    values: _Values, flat: np.ndarray, patch: np.ndarray, pixels: np.ndarray
) -> np.ndarray:
    """`(H, W, C)`: every pixel that is not in a flat patch as the likest flat value beside it."""
    is_flat = np.zeros(len(values.colors), dtype=bool)
    is_flat[flat] = True
    has_no_patch = values.share(patch) == 0
    settled = is_flat[values.index] & (_wide(patch, _PATCH) | has_no_patch[values.index])
    open_pixels = np.flatnonzero(~settled)
    own = values.index.reshape(-1)[open_pixels]
    best = np.full(len(open_pixels), np.iinfo(np.int32).max, dtype=np.int32)
    nearest = np.zeros(len(open_pixels), dtype=np.uint8)
    for place, number in enumerate(flat):
        apart = np.abs(values.colors - values.colors[number]).sum(axis=1).astype(np.int32)
        is_beside = _wide(settled & (values.index == number), _REACH).reshape(-1)[open_pixels]
        cost = apart[own]
        cost[~is_beside] += _FAR
        nearest[cost < best] = place
        np.minimum(best, cost, out=best)
    result = pixels.copy()
    likest = values.colors[flat][nearest].astype(pixels.dtype)
    result.reshape(-1, pixels.shape[2])[open_pixels] = likest
    return result


def _patches(values: np.ndarray) -> np.ndarray:
    """`(H, W)` bool: pixels whose neighbours, as far as there are some, are all of their value."""
    return _spread(values, _PATCH) == 0


def _spread(values: np.ndarray, reach: int) -> np.ndarray:
    """`(H, W)`: largest less least value within `reach` pixels."""
    padded = np.pad(values, reach, mode="edge")
    return _extreme(padded, reach, np.maximum) - _extreme(padded, reach, np.minimum)


def _between(pixels: np.ndarray) -> np.ndarray:
    """`(H, W)` bool: pixels between their neighbours in every channel, strictly in one at least."""
    inside, strictly = np.ones(pixels.shape[:2], dtype=bool), np.zeros(pixels.shape[:2], dtype=bool)
    for channel in np.moveaxis(pixels, 2, 0):
        padded = np.pad(channel, _REACH, mode="edge")
        low, high = _extreme(padded, _REACH, np.minimum), _extreme(padded, _REACH, np.maximum)
        inside &= (low < channel) & (channel < high) | (low == high)
        strictly |= (low < channel) & (channel < high)
    return inside & strictly


def _wide(pixels: np.ndarray, reach: int) -> np.ndarray:
    return _extreme(np.pad(pixels, reach), reach, np.logical_or)


def _extreme(padded: np.ndarray, reach: int, ufunc: np.ufunc) -> np.ndarray:
    """Least or largest value within `reach` of each pixel of a picture padded by as much."""
    height, width = (side - 2 * reach for side in padded.shape)
    rows = padded[:height]
    for shift in range(1, 2 * reach + 1):
        rows = ufunc(rows, padded[shift : shift + height])
    result = rows[:, :width]
    for shift in range(1, 2 * reach + 1):
        result = ufunc(result, rows[:, shift : shift + width])
    return result
